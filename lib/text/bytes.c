/* SPDX-License-Identifier: MIT */
/* bytes : plain, gzip (also of several members) and zstd (several frames) files as one stream. */
#include "lib/text/bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"

enum { BUFFER = 1 << 17, MAX_TEXT = 1 << 30 };

enum packing { PLAIN, GZIP, ZSTD };

struct sae_bytes_inner {
    FILE *file;
    char *path;
    enum packing packing;
    z_stream z;
    ZSTD_DStream *zstd;
    bool open_frame; /* inside a gzip member or a zstd frame: the file must not end here */
    bool any_frame;  /* one has ended */
    int window_log;  /* of zstd: at most 2^window_log bytes are kept */
    size_t n_in, used_in;
    unsigned char in[BUFFER], out[BUFFER];
};

static enum sae_status damaged(const struct sae_bytes_inner *b, const char *why,
                               struct sae_err *err)
{
    return sae_err_set(err, SAE_EFORMAT, "'%s': %s data are damaged: %s", b->path,
                       b->packing == GZIP ? "gzip" : "zstd", why);
}

static enum sae_status read_in(struct sae_bytes_inner *b, struct sae_err *err)
{
    if (b->used_in < b->n_in)
        return SAE_OK;
    b->used_in = 0;
    b->n_in = fread(b->in, 1, sizeof b->in, b->file);
    if (ferror(b->file))
        return sae_err_set(err, SAE_EIO, "cannot read '%s': %s", b->path, strerror(errno));
    return SAE_OK;
}

/* Large corpora are often packed with --long=31, which takes 2 GiB to read. What a file may ask for
 * grows with its size, so that a few bytes cannot ask for that much; 2^27 is zstd's own limit. */
static int window_log_of(uint64_t n_bytes)
{
    int log = 27;
    while (log < 31 && n_bytes >> (log - 6) != 0)
        log++;
    return log;
}

static enum sae_status start_unpacking(struct sae_bytes_inner *b, struct sae_err *err)
{
    if (b->packing == GZIP && inflateInit2(&b->z, 15 + 16) != Z_OK)
        return sae_err_set(err, SAE_ENOMEM, "out of memory (reading '%s')", b->path);
    if (b->packing == ZSTD) {
        b->zstd = ZSTD_createDStream();
        if (b->zstd == NULL)
            return sae_err_set(err, SAE_ENOMEM, "out of memory (reading '%s')", b->path);
        struct stat file;
        b->window_log =
            window_log_of(fstat(fileno(b->file), &file) == 0 ? (uint64_t)file.st_size : 0);
        ZSTD_DCtx_setParameter(b->zstd, ZSTD_d_windowLogMax, b->window_log);
    }
    return SAE_OK;
}

/* Tapes and block stores fill a file up with zeros behind its last member. False: nothing
 * else is left of what was read. */
static bool skip_zeros(struct sae_bytes_inner *b)
{
    while (b->any_frame && b->used_in < b->n_in && b->in[b->used_in] == 0)
        b->used_in++;
    return b->used_in < b->n_in;
}

static enum sae_status unpack_gzip(struct sae_bytes_inner *b, size_t at, size_t *ret_n,
                                   struct sae_err *err)
{
    *ret_n = 0;
    if (!b->open_frame) {
        if (!skip_zeros(b))
            return SAE_OK;
        inflateReset(&b->z);
        b->open_frame = true;
    }
    b->z.next_in = b->in + b->used_in;
    b->z.avail_in = (uInt)(b->n_in - b->used_in);
    b->z.next_out = b->out + at;
    b->z.avail_out = (uInt)(sizeof b->out - at);
    const int code = inflate(&b->z, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return damaged(b, b->z.msg != NULL ? b->z.msg : "unknown reason", err);
    b->open_frame = code != Z_STREAM_END;
    b->any_frame |= !b->open_frame;
    b->used_in = b->n_in - b->z.avail_in;
    *ret_n = sizeof b->out - at - b->z.avail_out;
    return SAE_OK;
}

static enum sae_status unpack_zstd(struct sae_bytes_inner *b, size_t at, size_t *ret_n,
                                   struct sae_err *err)
{
    ZSTD_inBuffer in = {b->in, b->n_in, b->used_in};
    ZSTD_outBuffer out = {b->out + at, sizeof b->out - at, 0};
    const size_t left = ZSTD_decompressStream(b->zstd, &out, &in);
    if (ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge)
        return sae_err_set(err, SAE_ERANGE,
                           "'%s' wants more than %d MiB of memory to be unpacked, too much for a "
                           "zstd file of its size; unpack it with 'zstd -d --long=31' and give that",
                           b->path, 1 << (b->window_log - 20));
    if (ZSTD_isError(left))
        return damaged(b, ZSTD_getErrorName(left), err);
    b->open_frame = left != 0;
    b->used_in = in.pos;
    *ret_n = out.pos;
    return SAE_OK;
}

/* Puts more content at out + at, which must not be the end of it; *ret_n 0 at the end. */
static enum sae_status next_block(struct sae_bytes_inner *b, size_t at, size_t *ret_n,
                                  struct sae_err *err)
{
    *ret_n = 0;
    while (*ret_n == 0) {
        SAE_TRY(read_in(b, err));
        /* Without input there may still be output held back; then nothing more. */
        const bool at_end = b->used_in == b->n_in;
        if (at_end && !b->open_frame)
            return SAE_OK;
        if (b->packing == GZIP) {
            SAE_TRY(unpack_gzip(b, at, ret_n, err));
        } else if (b->packing == ZSTD) {
            SAE_TRY(unpack_zstd(b, at, ret_n, err));
        } else {
            const size_t left = b->n_in - b->used_in, free_bytes = sizeof b->out - at;
            *ret_n = left < free_bytes ? left : free_bytes;
            memcpy(b->out + at, b->in + b->used_in, *ret_n);
            b->used_in += *ret_n;
        }
        if (at_end && *ret_n == 0 && b->open_frame)
            return damaged(b, "the file ends too early", err);
    }
    return SAE_OK;
}

enum sae_status sae_bytes_fill(struct sae_bytes *bytes, struct sae_err *err)
{
    size_t n;
    if (bytes->inner == NULL) {
        bytes->at = bytes->end;
        return SAE_OK;
    }
    SAE_TRY(next_block(bytes->inner, 0, &n, err));
    bytes->at = bytes->inner->out;
    bytes->end = bytes->at + n;
    return SAE_OK;
}

enum sae_status sae_bytes_peek(struct sae_bytes *bytes, size_t n, struct sae_err *err)
{
    struct sae_bytes_inner *b = bytes->inner;
    size_t have = (size_t)(bytes->end - bytes->at), more = 1;
    assert(n <= SAE_BYTES_PEEK_MAX);
    if (b == NULL || have >= n)
        return SAE_OK;
    memmove(b->out, bytes->at, have);
    bytes->at = b->out;
    bytes->end = b->out + have;
    while (have < n && more > 0) {
        SAE_TRY(next_block(b, have, &more, err));
        have += more;
        bytes->end = b->out + have;
    }
    return SAE_OK;
}

bool sae_bytes_packed(const struct sae_bytes *bytes)
{
    return bytes->inner != NULL && bytes->inner->packing != PLAIN;
}

static enum packing packing_of(const unsigned char *in, size_t n)
{
    if (n >= 2 && in[0] == 0x1f && in[1] == 0x8b)
        return GZIP;
    if (n >= 4 && memcmp(in, "\x28\xb5\x2f\xfd", 4) == 0)
        return ZSTD;
    return PLAIN;
}

enum sae_status sae_bytes_open(struct sae_bytes *ret, const char *path, struct sae_err *err)
{
    struct sae_bytes bytes = {0};
    enum sae_status st;
    if (sae_fs_is_dir(path))
        return sae_err_set(err, SAE_EIO, "cannot read '%s': it is a folder", path);
    SAE_TRY(sae_mem_alloc(&bytes.inner, 1, sizeof *bytes.inner, err));
    struct sae_bytes_inner *b = bytes.inner;
    SAE_GO(st, sae_mem_strdup(&b->path, path, err));
    b->file = fopen(path, "rb");
    if (b->file == NULL) {
        st = sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
        goto done;
    }
    SAE_GO(st, read_in(b, err));
    b->packing = packing_of(b->in, b->n_in);
    SAE_GO(st, start_unpacking(b, err));
    SAE_GO(st, sae_bytes_fill(&bytes, err));
    if (bytes.end - bytes.at >= 3 && memcmp(bytes.at, "\xef\xbb\xbf", 3) == 0)
        bytes.at += 3;
    *ret = bytes;
    return SAE_OK;
done:
    sae_bytes_close(&bytes);
    return st;
}

void sae_bytes_close(struct sae_bytes *bytes)
{
    struct sae_bytes_inner *b = bytes->inner;
    if (b == NULL)
        return;
    if (b->file != NULL)
        fclose(b->file);
    if (b->packing == GZIP)
        inflateEnd(&b->z);
    ZSTD_freeDStream(b->zstd);
    free(b->path);
    free(b);
    *bytes = (struct sae_bytes){0};
}

static enum sae_status append(struct sae_bytes *bytes, struct sae_str *to, size_t n,
                              struct sae_err *err)
{
    if (to->len + n > MAX_TEXT)
        return sae_err_set(err, SAE_ERANGE,
                           "'%s' holds a single text of more than 1 GiB; "
                           "split it into documents",
                           bytes->inner != NULL ? bytes->inner->path : "");
    SAE_TRY(sae_str_append(to, (const char *)bytes->at, n, err));
    bytes->at += n;
    return SAE_OK;
}

enum sae_status sae_bytes_line_part(struct sae_bytes *bytes, struct sae_str *line, size_t max,
                                    bool *ret_more, bool *ret_whole, struct sae_err *err)
{
    SAE_TRY(sae_str_append(line, "", 0, err)); /* never NULL */
    line->len = 0;
    bool found = false, any = false, full = false;
    while (!found && !full) {
        if (bytes->at == bytes->end)
            SAE_TRY(sae_bytes_fill(bytes, err));
        if (bytes->at == bytes->end)
            break;
        const size_t left = (size_t)(bytes->end - bytes->at);
        const unsigned char *newline = memchr(bytes->at, '\n', left);
        const size_t n = newline != NULL ? (size_t)(newline - bytes->at) : left;
        any = true;
        full = n > max - line->len;
        SAE_TRY(append(bytes, line, full ? max - line->len : n, err));
        found = newline != NULL && !full;
        bytes->at += found;
    }
    if (!full && line->len > 0 && line->s[line->len - 1] == '\r')
        line->len--;
    line->s[line->len] = '\0';
    *ret_more = any;
    *ret_whole = !full;
    return SAE_OK;
}

enum sae_status sae_bytes_rest(struct sae_bytes *bytes, struct sae_str *all, size_t max,
                               struct sae_err *err)
{
    while (max > 0) {
        if (bytes->at == bytes->end)
            SAE_TRY(sae_bytes_fill(bytes, err));
        if (bytes->at == bytes->end)
            return SAE_OK;
        const size_t left = (size_t)(bytes->end - bytes->at), n = left < max ? left : max;
        SAE_TRY(append(bytes, all, n, err));
        max -= n;
    }
    return SAE_OK;
}
