/* SPDX-License-Identifier: MIT */
/* parquet_codec : pages are unpacked whole, into as many bytes as their head says and no others. */
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#ifdef SAE_SNAPPY
#include <snappy-c.h>
#endif

#include "lib/text/parquet_inner.h"

enum sae_status pq_check_codec(int codec, const char *path, const char *column, struct sae_err *err)
{
    static const char *const names[] = {"uncompressed", "snappy", "gzip",   "lzo",
                                        "brotli",       "lz4",    "zstd", "lz4_raw"};
    const char *const name =
        codec >= 0 && codec < (int)(sizeof names / sizeof *names) ? names[codec] : "an unknown codec";
#ifndef SAE_SNAPPY
    if (codec == PQ_SNAPPY)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': column '%s' is compressed with snappy, and this saekit was built "
                           "without it; install libsnappy-dev and build again",
                           path, column);
#endif
    if (codec == PQ_UNCOMPRESSED || codec == PQ_SNAPPY || codec == PQ_GZIP || codec == PQ_ZSTD)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s': column '%s' is compressed with %s (codec %d); snappy, gzip, zstd and "
                       "uncompressed are read: write it with compression='zstd'",
                       path, column, name, codec);
}

static bool unpack_snappy(uint8_t *to, size_t n_to, const uint8_t *from, size_t n_from)
{
#ifdef SAE_SNAPPY
    size_t n = 0;
    if (snappy_uncompressed_length((const char *)from, n_from, &n) != SNAPPY_OK || n != n_to)
        return false;
    return snappy_uncompress((const char *)from, n_from, (char *)to, &n) == SNAPPY_OK && n == n_to;
#else
    (void)to, (void)n_to, (void)from, (void)n_from;
    return false;
#endif
}

/* Members one after the other. */
static bool unpack_gzip(uint8_t *to, size_t n_to, const uint8_t *from, size_t n_from)
{
    z_stream z = {0};
    int code = Z_OK;
    if (n_to > UINT32_MAX || n_from > UINT32_MAX || inflateInit2(&z, 15 + 32) != Z_OK)
        return false;
    z.next_in = (Bytef *)(uintptr_t)from;
    z.avail_in = (uInt)n_from;
    z.next_out = to;
    z.avail_out = (uInt)n_to;
    do {
        code = inflate(&z, Z_FINISH);
    } while (code == Z_STREAM_END && z.avail_in > 0 && inflateReset(&z) == Z_OK);
    const bool whole = code == Z_STREAM_END && z.avail_out == 0;
    inflateEnd(&z);
    return whole;
}

static bool unpack_zstd(uint8_t *to, size_t n_to, const uint8_t *from, size_t n_from)
{
    const size_t n = ZSTD_decompress(to, n_to, from, n_from);
    return !ZSTD_isError(n) && n == n_to;
}

enum sae_status pq_unpack(int codec, uint8_t *to, size_t n_to, const uint8_t *from, size_t n_from,
                          const char *path, struct sae_err *err)
{
    bool done;
    const char *name;
    if (codec == PQ_SNAPPY)
        done = unpack_snappy(to, n_to, from, n_from), name = "snappy";
    else if (codec == PQ_GZIP)
        done = unpack_gzip(to, n_to, from, n_from), name = "gzip";
    else
        done = unpack_zstd(to, n_to, from, n_from), name = "zstd";
    if (done)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s': a page of %zu bytes is damaged: it does not unpack (%s) into the %zu "
                       "bytes that its head says",
                       path, n_from, name, n_to);
}
