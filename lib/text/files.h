/* SPDX-License-Identifier: MIT */
/* files : which text files are read, in which order, and what they are (SHA-256, size). */
#ifndef SAE_LIB_TEXT_FILES_H
#define SAE_LIB_TEXT_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/digest.h"
#include "lib/base/err.h"

struct sae_text_file {
    char *path;
    uint64_t n_bytes; /* as on disk */
    char sha256[SAE_DIGEST_HEX];
};

struct sae_files {
    size_t n, cap;
    struct sae_text_file *v;
};

/* Appends a file, or every file below a folder: recursive, sorted by path (bytes), names that
 * begin with '.' and links to folders left out. Sizes are set; hashes are not.
 * Fails: SAE_EIO not there, or a folder without files */
SAE_MUST_CHECK enum sae_status sae_files_add(struct sae_files *files, const char *path,
                                             struct sae_err *err);
/* Hashes every file. Fails: SAE_EIO, SAE_EINTR */
SAE_MUST_CHECK enum sae_status sae_files_hash(struct sae_files *files, struct sae_err *err);
void sae_files_clear(struct sae_files *files);

#endif /* SAE_LIB_TEXT_FILES_H */
