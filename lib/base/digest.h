/* SPDX-License-Identifier: MIT */
/* digest : SHA-256 of what programs read and write (through nettle). */
#ifndef SAE_LIB_BASE_DIGEST_H
#define SAE_LIB_BASE_DIGEST_H

#include <nettle/sha2.h>
#include <stddef.h>

#include "lib/base/err.h"

#define SAE_DIGEST_HEX 65 /* 64 hex digits and the NUL */

struct sae_digest {
    struct sha256_ctx ctx;
};

void sae_digest_init(struct sae_digest *digest);
void sae_digest_update(struct sae_digest *digest, const void *data, size_t n_bytes);
void sae_digest_hex(struct sae_digest *digest, char hex[SAE_DIGEST_HEX]); /* ends it */

/* SHA-256 of a whole file. Fails: SAE_EIO */
SAE_MUST_CHECK enum sae_status sae_digest_file(const char *path, char hex[SAE_DIGEST_HEX],
                                               struct sae_err *err);

#endif /* SAE_LIB_BASE_DIGEST_H */
