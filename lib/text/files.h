/* SPDX-License-Identifier: MIT */
/* files : which text files are read, in which order, what they hold, and their SHA-256. */
#ifndef SAE_LIB_TEXT_FILES_H
#define SAE_LIB_TEXT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/digest.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/text/kind.h"

struct sae_text_file {
    char *path;
    uint64_t n_bytes; /* as on disk */
    char sha256[SAE_DIGEST_HEX];
    bool named; /* by the user, not found in a folder */
    struct sae_kind_found found;
};

enum { SAE_FILES_REASONS = 40 };

struct sae_files {
    const char *glob; /* set it before adding: of folders, only names that match; NULL = all */
    size_t n, cap;
    struct sae_text_file *v;
    /* what sae_files_sort_out left out */
    size_t n_left, n_reasons;
    struct {
        const char *name; /* "PDF", "documentation" */
        size_t n;
    } left[SAE_FILES_REASONS];
    char first_left[400]; /* "'x/a.pdf': it is PDF, ..." */
};

/* Appends a file, or every file below a folder: recursive, sorted by path (bytes), names that
 * begin with '.' and links to folders left out. A glob with a '/' is compared with the path below
 * the folder, another one with the file's name. Sizes are set; hashes and kinds are not.
 * Fails: SAE_EIO not there, a folder without files, or none that matches the glob */
SAE_MUST_CHECK enum sae_status sae_files_add(struct sae_files *files, const char *path,
                                             struct sae_err *err);

/* Finds the kind of each file (kind.h; field as there). Of those found in folders it leaves out
 * what is no text: images, archives, markup, tables and objects without the field, and README and
 * LICENSE files beside tables and objects. Files that were named, or chosen by a glob, are never
 * left out but refused if they cannot be used.
 * Fails: SAE_EFORMAT such a file, or none is left; SAE_EIO; SAE_EINTR */
SAE_MUST_CHECK enum sae_status sae_files_sort_out(struct sae_files *files, const char *field,
                                                  struct sae_err *err);

/* "126 files: 120 plain text, 2 JSON lines; 4 left out (3 PDF, 1 PNG)" */
SAE_MUST_CHECK enum sae_status sae_files_say(const struct sae_files *files, struct sae_str *to,
                                             struct sae_err *err);

/* Hashes every file. `step` (may be NULL) is called with the number of bytes done.
 * Fails: SAE_EIO, SAE_EINTR */
SAE_MUST_CHECK enum sae_status sae_files_hash(struct sae_files *files,
                                              void (*step)(void *context, uint64_t done),
                                              void *context, struct sae_err *err);
uint64_t sae_files_bytes(const struct sae_files *files); /* of all */
void sae_files_clear(struct sae_files *files);

#endif /* SAE_LIB_TEXT_FILES_H */
