/* SPDX-License-Identifier: MIT */
/* fuzz : what the fuzz targets share. A target is one file target_<name>.c with two functions:
 *
 *   LLVMFuzzerTestOneInput   gives a byte string to one reader, in this process
 *   fuzz_seeds               names the inputs to begin from
 *
 * Each is built with driver.c, which mutates the seeds by itself, and under clang also with
 * libFuzzer (run.sh). Files that a reader wants lie in a folder in memory (/dev/shm). A first byte
 * of an input is often a mode: which reader, which file name. */
#ifndef SAE_TESTS_FUZZ_H
#define SAE_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);
void fuzz_seeds(void);

/* --- called by fuzz_seeds ----------------------------------------------------------------- */

void fuzz_seed(const void *bytes, size_t n);
void fuzz_seed_text(uint8_t mode, const char *text);
/* mode, then a file; the path counts from the root of the source. */
void fuzz_seed_file(uint8_t mode, const char *path);

/* Where fuzz_seed leaves them: a folder (SAE_FUZZ_SEEDS), or the driver's list. */
extern void (*fuzz_take_seed)(const void *bytes, size_t n);

/* --- called by targets -------------------------------------------------------------------- */

/* The folder in memory, made at the first call, removed at exit. */
const char *fuzz_folder(void);
/* "folder/name"; the text lives until the fourth call after this one. */
const char *fuzz_path(const char *name);
/* Writes folder/name, replacing it; returns its path. */
const char *fuzz_put(const char *name, const void *bytes, size_t n);
/* A whole file below the source's root in new memory. */
uint8_t *fuzz_read_source(const char *path, size_t *ret_n);

/* Ends the program where the promises of err.h are broken: a failure without a message, or whose
 * message belongs to another code. Returns whether the status is SAE_OK. */
int fuzz_ok(enum sae_status status, const struct sae_err *err);
/* Ends the program as a finding. */
_Noreturn void fuzz_finding(const char *what);
#define FUZZ_REQUIRE(condition) ((condition) ? (void)0 : fuzz_finding(#condition))

/* --- archives whose checksums are right ---------------------------------------------------- */

struct fuzz_member {
    const char *name;
    const void *bytes;
    size_t n;
};
/* A zip archive of stored members, in new memory. */
uint8_t *fuzz_zip(const struct fuzz_member *members, size_t n, size_t *ret_n);

#endif /* SAE_TESTS_FUZZ_H */
