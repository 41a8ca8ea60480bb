/* SPDX-License-Identifier: MIT */
/* lines : see the header. zlib reads gzip and plain files alike; zstd is told by its first bytes.
 */
#include "splice/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "lib/base/mem.h"

enum { ROOM = 1 << 18 };
#define MAX_LINE ((size_t)1 << 30)

struct splice_lines {
    char *path;
    gzFile plain; /* NULL for zstd */
    FILE *file;
    ZSTD_DStream *zstd;
    size_t zstd_hint; /* 0 at the end of a frame */
    ZSTD_inBuffer in;
    unsigned char *raw, *data; /* [ROOM] each */
    size_t at, end;
    bool first;
};

static bool is_zstd(FILE *file)
{
    unsigned char head[4] = {0};
    const size_t n = fread(head, 1, sizeof head, file);
    rewind(file);
    return n == 4 && head[0] == 0x28 && head[1] == 0xB5 && head[2] == 0x2F && head[3] == 0xFD;
}

void splice_lines_close(struct splice_lines *lines)
{
    if (lines == NULL)
        return;
    if (lines->plain != NULL)
        gzclose(lines->plain);
    if (lines->file != NULL)
        fclose(lines->file);
    ZSTD_freeDStream(lines->zstd);
    free(lines->raw);
    free(lines->data);
    free(lines->path);
    free(lines);
}

enum sae_status splice_lines_open(struct splice_lines **ret, const char *path, struct sae_err *err)
{
    struct splice_lines *lines = NULL;
    enum sae_status st = SAE_OK;
    SAE_TRY(sae_mem_alloc(&lines, 1, sizeof *lines, err));
    SAE_GO(st, sae_mem_strdup(&lines->path, path, err));
    SAE_GO(st, sae_mem_alloc(&lines->raw, ROOM, 1, err));
    SAE_GO(st, sae_mem_alloc(&lines->data, ROOM, 1, err));
    lines->first = true;
    lines->file = fopen(path, "rb");
    if (lines->file == NULL) {
        st = sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
        goto done;
    }
    if (is_zstd(lines->file)) {
        lines->zstd = ZSTD_createDStream();
        lines->in.src = lines->raw;
        if (lines->zstd == NULL)
            st = sae_err_set(err, SAE_ENOMEM, "out of memory reading '%s'", path);
    } else {
        lines->plain = gzopen(path, "rb");
        if (lines->plain == NULL)
            st = sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
    }
done:
    if (st != SAE_OK) {
        splice_lines_close(lines);
        return st;
    }
    *ret = lines;
    return SAE_OK;
}

static enum sae_status fill_zstd(struct splice_lines *lines, struct sae_err *err)
{
    ZSTD_outBuffer out = {lines->data, ROOM, 0};
    while (out.pos == 0) {
        if (lines->in.pos == lines->in.size) {
            lines->in.size = fread(lines->raw, 1, ROOM, lines->file);
            lines->in.pos = 0;
            if (ferror(lines->file))
                return sae_err_set(err, SAE_EIO, "cannot read '%s': %s", lines->path,
                                   strerror(errno));
            if (lines->in.size == 0 && lines->zstd_hint != 0)
                return sae_err_set(err, SAE_EFORMAT, "'%s' is cut short (zstd)", lines->path);
            if (lines->in.size == 0)
                break;
        }
        lines->zstd_hint = ZSTD_decompressStream(lines->zstd, &out, &lines->in);
        if (ZSTD_isError(lines->zstd_hint))
            return sae_err_set(err, SAE_EFORMAT, "'%s' is damaged: %s", lines->path,
                               ZSTD_getErrorName(lines->zstd_hint));
    }
    lines->end = out.pos;
    return SAE_OK;
}

/* Brings more bytes; none at the end of the file. */
static enum sae_status fill(struct splice_lines *lines, struct sae_err *err)
{
    lines->at = lines->end = 0;
    if (lines->zstd != NULL) {
        SAE_TRY(fill_zstd(lines, err));
    } else {
        const int n = gzread(lines->plain, lines->data, ROOM);
        int code = Z_OK;
        const char *why = gzerror(lines->plain, &code);
        if (n < 0 || (n == 0 && code == Z_BUF_ERROR))
            return sae_err_set(err, SAE_EFORMAT, "'%s' is damaged or cut short: %s", lines->path,
                               why);
        lines->end = (size_t)n;
    }
    if (lines->first && lines->end >= 3 && memcmp(lines->data, "\xEF\xBB\xBF", 3) == 0)
        lines->at = 3; /* byte order mark */
    lines->first = false;
    return SAE_OK;
}

enum sae_status splice_lines_next(struct splice_lines *lines, struct sae_str *line, bool *more,
                                  struct sae_err *err)
{
    bool any = false;
    line->len = 0;
    SAE_TRY(sae_str_append(line, "", 0, err));
    for (;;) {
        if (lines->at == lines->end) {
            SAE_TRY(fill(lines, err));
            if (lines->at == lines->end)
                break;
        }
        any = true;
        const char *from = (const char *)lines->data + lines->at;
        const char *newline = memchr(from, '\n', lines->end - lines->at);
        const size_t n = newline != NULL ? (size_t)(newline - from) : lines->end - lines->at;
        SAE_TRY(sae_str_append(line, from, n, err));
        lines->at += n + (newline != NULL);
        if (newline != NULL)
            break;
        if (line->len > MAX_LINE)
            return sae_err_set(err, SAE_ERANGE, "'%s' holds a line of more than 1 GiB",
                               lines->path);
    }
    if (line->len > 0 && line->s[line->len - 1] == '\r')
        line->s[--line->len] = '\0';
    *more = any;
    return SAE_OK;
}
