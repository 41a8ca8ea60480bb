/* SPDX-License-Identifier: MIT */
/* part : the temporary file in which a final file grows, until a rename makes it appear whole.
 *
 * Its name is "FINAL.HOST.PID.N.part" (HOST: sae_host_token), so that no two processes, on this
 * machine or another that shares the folder, write into one; and it is created exclusively, so that
 * a link or a pipe that somebody put there is never opened. */
#ifndef SAE_LIB_BASE_PART_H
#define SAE_LIB_BASE_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/base/err.h"

/* A temporary name for `path` that is free, in new memory, for a library that creates the file
 * itself (exclusively). The first call for a folder sweeps it (sae_part_sweep).
 * Fails: SAE_EARG path is a device; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_part_name(char **ret, const char *path, struct sae_err *err);

/* Creates the temporary file and opens it for writing.
 *   ret_name  new memory; pass it to sae_part_publish, or unlink it
 * Fails: SAE_EIO folder missing or not writable; SAE_EARG; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_part_open(FILE **ret, char **ret_name, const char *path,
                                             struct sae_err *err);

/* Whether a file can be written at `path`: creates the temporary file and removes it.
 * Fails: as sae_part_open */
SAE_MUST_CHECK enum sae_status sae_part_try(const char *path, struct sae_err *err);

/* Syncs the closed temporary file and renames it to `path`; removes it on failure.
 *   replace  false: a file that is at `path` stays, and this fails
 * Fails: SAE_EIO, SAE_EARG there is a file already */
SAE_MUST_CHECK enum sae_status sae_part_publish(const char *part, const char *path, bool replace,
                                                struct sae_err *err);

/* Removes the temporary files in a folder that no process will finish: those of dead processes of
 * this machine, and those of other machines that nobody touched for a day. Returns how many went. */
size_t sae_part_sweep(const char *dir);

#endif /* SAE_LIB_BASE_PART_H */
