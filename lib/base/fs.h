/* SPDX-License-Identifier: MIT */
/* fs : folders, paths, and text files that appear whole or not at all. */
#ifndef SAE_LIB_BASE_FS_H
#define SAE_LIB_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/base/err.h"

bool sae_fs_is_dir(const char *path);
bool sae_fs_is_file(const char *path);
/* Whether two paths are one file: "run_1/../acts" and "run_2/../acts". */
bool sae_fs_same(const char *a, const char *b);
SAE_MUST_CHECK enum sae_status sae_fs_make_dirs(const char *path, struct sae_err *err);

/* Free bytes of the disk where `dir` is or will be made; negative where the system does not tell. */
double sae_fs_free_bytes(const char *dir);

/* "dir/name" in new memory; `name` alone where it is absolute or dir is NULL or empty. */
SAE_MUST_CHECK enum sae_status sae_fs_join(char **ret, const char *dir, const char *name,
                                           struct sae_err *err);
const char *sae_fs_base(const char *path);                       /* after the last '/' */
SAE_MUST_CHECK enum sae_status sae_fs_dir(char **ret, const char *path, struct sae_err *err);

/* Shortens a path in place where it goes into a folder and out again: "run_1/../acts" becomes
 * "acts", "./../acts" becomes "../acts". A folder that is a symbolic link stays, since ".." of it is elsewhere. */
void sae_fs_shorten(char *path);

/* `to` as seen from folder `from`, both existing: "../acts". New memory. */
SAE_MUST_CHECK enum sae_status sae_fs_relative(char **ret, const char *from, const char *to,
                                               struct sae_err *err);

/* Names in a folder that start with `prefix` and end with `suffix`, sorted by natural order
 * (ckpt_50 before ckpt_100, lam0.003 before lam0.1). Free with sae_fs_list_free. */
SAE_MUST_CHECK enum sae_status sae_fs_list(char ***ret_names, size_t *ret_n, const char *dir,
                                           const char *prefix, const char *suffix,
                                           struct sae_err *err);
void sae_fs_list_free(char **names, size_t n);
int sae_fs_natural_cmp(const char *a, const char *b);

/* Opens a regular file for reading; close(fd). A pipe, a socket and a device are refused, but for
 * the process's own descriptors (/dev/stdin, /dev/fd/N), and so is a Git LFS pointer.
 * Fails: SAE_EIO not there, not readable; SAE_EFORMAT not a regular file, an LFS pointer */
SAE_MUST_CHECK enum sae_status sae_fs_open(int *ret_fd, const char *path, struct sae_err *err);
/* The same as a stream; fclose. */
SAE_MUST_CHECK enum sae_status sae_fs_open_stream(FILE **ret, const char *path,
                                                  struct sae_err *err);

/* Whether a file that starts with these bytes is what Git leaves in place of a large file that was
 * not fetched, and the refusal of one, for openers that do not use sae_fs_open or sae_map_open. */
bool sae_fs_is_lfs_pointer(const void *bytes, size_t n);
SAE_MUST_CHECK enum sae_status sae_fs_refuse_lfs_pointer(const char *path, struct sae_err *err);

/* Reads a whole file; *ret is NUL-terminated. Fails: as sae_fs_open; SAE_ERANGE above max_bytes. */
SAE_MUST_CHECK enum sae_status sae_fs_read(char **ret, size_t *ret_len, const char *path,
                                           size_t max_bytes, struct sae_err *err);

/* Writes a temporary file (part.h), syncs, renames over path. */
SAE_MUST_CHECK enum sae_status sae_fs_write(const char *path, const char *data, size_t len,
                                            struct sae_err *err);

#endif /* SAE_LIB_BASE_FS_H */
