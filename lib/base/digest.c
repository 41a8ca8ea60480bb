/* SPDX-License-Identifier: MIT */
/* digest : SHA-256 through nettle. */
#include "lib/base/digest.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"

void sae_digest_init(struct sae_digest *digest)
{
    sha256_init(&digest->ctx);
}

void sae_digest_update(struct sae_digest *digest, const void *data, size_t n_bytes)
{
    sha256_update(&digest->ctx, n_bytes, data);
}

void sae_digest_hex(struct sae_digest *digest, char hex[SAE_DIGEST_HEX])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t raw[SHA256_DIGEST_SIZE];
    sha256_digest(&digest->ctx, sizeof raw, raw);
    for (size_t i = 0; i < sizeof raw; i++) {
        hex[2 * i] = digits[raw[i] >> 4];
        hex[2 * i + 1] = digits[raw[i] & 15];
    }
    hex[SAE_DIGEST_HEX - 1] = '\0';
}

enum sae_status sae_digest_file(const char *path, char hex[SAE_DIGEST_HEX], struct sae_err *err)
{
    enum { CHUNK = 1 << 20 };
    FILE *file = NULL;
    SAE_TRY(sae_fs_open_stream(&file, path, err));
    unsigned char *buf = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&buf, CHUNK, 1, err));
    struct sae_digest digest;
    sae_digest_init(&digest);
    size_t n;
    while ((n = fread(buf, 1, CHUNK, file)) > 0)
        sae_digest_update(&digest, buf, n);
    if (ferror(file)) {
        st = sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
        goto done;
    }
    sae_digest_hex(&digest, hex);
done:
    free(buf);
    fclose(file);
    return st;
}
