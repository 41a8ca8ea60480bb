/* SPDX-License-Identifier: MIT */
/* zip : reading archives. The central directory is the table of contents; the local header of a
 * member only tells where its data begins.
 * Contents: 1. numbers   2. the end record   3. the directory   4. members */
#include "lib/file/zip.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"

enum {
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    ENTRY_BYTES = 46,
    LOCAL_BYTES = 30,
    NAME_MAX_LEN = 1024,
    MEMBERS_MAX = 10000,
    STORED = 0,
    DEFLATED = 8
};
#define DEFLATE_RATIO_MAX 1032 /* of the format: no honest member claims more */
#define INFLATED_MAX ((uint64_t)64 << 30)

struct member {
    char *name;
    unsigned method;
    uint32_t crc;
    uint64_t n_stored, n_bytes, local;
    uint8_t *inflated; /* owned, once asked for */
    bool checked;
};

struct sae_zip {
    struct sae_map map;
    char *path;
    struct member *members;
    size_t n;
};

/* --- 1. numbers --------------------------------------------------------------------------- */

static uint64_t le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static bool signed_as(const uint8_t *p, unsigned char a, unsigned char b)
{
    return p[0] == 'P' && p[1] == 'K' && p[2] == a && p[3] == b;
}

/* Whether [at, at + n) lies in the file. */
static bool inside(const struct sae_zip *zip, uint64_t at, uint64_t n)
{
    return at <= zip->map.n && n <= zip->map.n - at;
}

/* --- 2. the end record -------------------------------------------------------------------- */

struct directory {
    uint64_t at, n_bytes, n;
};

/* Offset of the end record: the last thing in the file but for a comment. SIZE_MAX: none. */
static size_t find_end(const struct sae_zip *zip)
{
    if (zip->map.n < END_BYTES)
        return SIZE_MAX;
    const size_t last = zip->map.n - END_BYTES;
    const size_t first = last > UINT16_MAX ? last - UINT16_MAX : 0;
    for (size_t at = last + 1; at-- > first;)
        if (signed_as(zip->map.bytes + at, 5, 6) &&
            at + END_BYTES + le(zip->map.bytes + at + 20, 2) == zip->map.n)
            return at;
    return SIZE_MAX;
}

/* The 64-bit end record, where the classic one says that its fields are too small. */
static enum sae_status read_end64(struct directory *dir, const struct sae_zip *zip, size_t end,
                                  struct sae_err *err)
{
    const uint8_t *const bytes = zip->map.bytes;
    if (end < LOCATOR_BYTES || !signed_as(bytes + end - LOCATOR_BYTES, 6, 7))
        return SAE_OK; /* numbers that happen to be all ones */
    const uint64_t at = le(bytes + end - LOCATOR_BYTES + 8, 8);
    if (!inside(zip, at, END64_BYTES) || !signed_as(bytes + at, 6, 6))
        return sae_err_set(err, SAE_EFORMAT, "'%s': the zip64 end record is not where it should be",
                           zip->path);
    *dir = (struct directory){.n = le(bytes + at + 32, 8),
                              .n_bytes = le(bytes + at + 40, 8),
                              .at = le(bytes + at + 48, 8)};
    return SAE_OK;
}

static enum sae_status read_end(struct directory *ret, const struct sae_zip *zip,
                                struct sae_err *err)
{
    const size_t end = find_end(zip);
    if (end == SIZE_MAX)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' has no zip directory at its end; it is cut or not a zip archive",
                           zip->path);
    const uint8_t *const p = zip->map.bytes + end;
    struct directory dir = {.n = le(p + 10, 2), .n_bytes = le(p + 12, 4), .at = le(p + 16, 4)};
    if (le(p + 4, 2) != 0 && le(p + 4, 2) != UINT16_MAX)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is one part of a split archive", zip->path);
    if (dir.n == UINT16_MAX || dir.n_bytes == UINT32_MAX || dir.at == UINT32_MAX)
        SAE_TRY(read_end64(&dir, zip, end, err));
    if (!inside(zip, dir.at, dir.n_bytes) || dir.n > MEMBERS_MAX ||
        dir.n * ENTRY_BYTES > dir.n_bytes)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': a directory of %llu members in %llu bytes at %llu cannot be",
                           zip->path, (unsigned long long)dir.n, (unsigned long long)dir.n_bytes,
                           (unsigned long long)dir.at);
    *ret = dir;
    return SAE_OK;
}

/* --- 3. the directory --------------------------------------------------------------------- */

/* Fields that do not fit in 32 bits stand in the extra field of id 1, in this order. */
static void read_extra64(struct member *m, const uint8_t *extra, size_t n)
{
    uint64_t *const wide[] = {&m->n_bytes, &m->n_stored, &m->local};
    for (size_t at = 0; at + 4 <= n;) {
        const size_t id = le(extra + at, 2), len = le(extra + at + 2, 2);
        const uint8_t *from = extra + at + 4;
        if (len > n - at - 4)
            return;
        for (size_t i = 0, used = 0; id == 1 && i < 3; i++) {
            if (*wide[i] != UINT32_MAX || used + 8 > len)
                continue;
            *wide[i] = le(from + used, 8);
            used += 8;
        }
        at += 4 + len;
    }
}

static enum sae_status read_name(struct member *m, const struct sae_zip *zip, const uint8_t *name,
                                 size_t len, struct sae_err *err)
{
    if (len == 0 || len > NAME_MAX_LEN || memchr(name, 0, len) != NULL)
        return sae_err_set(err, SAE_EFORMAT, "'%s': a member's name is %s", zip->path,
                           len == 0 ? "empty" : "too long or holds a zero byte");
    SAE_TRY(sae_mem_alloc(&m->name, len + 1, 1, err));
    memcpy(m->name, name, len);
    for (size_t i = 0; i < len; i++) /* names are for people too, in messages */
        if (name[i] < ' ' || name[i] > '~')
            return sae_err_set(err, SAE_EFORMAT, "'%s': a member's name is not plain ASCII",
                               zip->path);
    return SAE_OK;
}

static enum sae_status check_member(const struct member *m, const struct sae_zip *zip,
                                    unsigned flags, struct sae_err *err)
{
    if (flags & 1U)
        return sae_err_set(err, SAE_EFORMAT, "'%s': '%s' is encrypted", zip->path, m->name);
    if (m->method != STORED && m->method != DEFLATED)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': '%s' is packed by method %u; stored and deflated are read",
                           zip->path, m->name, m->method);
    if (!inside(zip, m->local, LOCAL_BYTES) || !inside(zip, m->local, m->n_stored))
        return sae_err_set(err, SAE_EFORMAT, "'%s': '%s' lies beyond the end of the file",
                           zip->path, m->name);
    const bool fits = m->method == STORED ? m->n_bytes == m->n_stored
                                          : m->n_bytes / DEFLATE_RATIO_MAX <= m->n_stored &&
                                                m->n_bytes <= INFLATED_MAX;
    if (!fits)
        return sae_err_set(err, SAE_EFORMAT, "'%s': '%s' claims %llu bytes of %llu in the file",
                           zip->path, m->name, (unsigned long long)m->n_bytes,
                           (unsigned long long)m->n_stored);
    return SAE_OK;
}

static enum sae_status read_members(struct sae_zip *zip, const struct directory *dir,
                                    struct sae_err *err)
{
    const uint8_t *p = zip->map.bytes + dir->at, *const end = p + dir->n_bytes;
    uint64_t n_stored = 0; /* members lie side by side: many over the same bytes would be a bomb */
    SAE_TRY(sae_mem_alloc(&zip->members, (size_t)dir->n, sizeof *zip->members, err));
    for (size_t i = 0; i < dir->n; i++) {
        if ((size_t)(end - p) < ENTRY_BYTES || !signed_as(p, 1, 2))
            return sae_err_set(err, SAE_EFORMAT, "'%s': entry %zu of the directory is damaged",
                               zip->path, i);
        const size_t n_name = le(p + 28, 2), n_extra = le(p + 30, 2), n_note = le(p + 32, 2);
        if ((size_t)(end - p) - ENTRY_BYTES < n_name + n_extra + n_note)
            return sae_err_set(err, SAE_EFORMAT, "'%s': entry %zu of the directory is cut",
                               zip->path, i);
        struct member *const m = &zip->members[zip->n++];
        *m = (struct member){.method = (unsigned)le(p + 10, 2),
                             .crc = (uint32_t)le(p + 16, 4),
                             .n_stored = le(p + 20, 4),
                             .n_bytes = le(p + 24, 4),
                             .local = le(p + 42, 4)};
        SAE_TRY(read_name(m, zip, p + ENTRY_BYTES, n_name, err));
        read_extra64(m, p + ENTRY_BYTES + n_name, n_extra);
        SAE_TRY(check_member(m, zip, (unsigned)le(p + 8, 2), err));
        n_stored += m->n_stored;
        if (n_stored > zip->map.n)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s': its members claim more bytes than the file has; they overlap",
                               zip->path);
        if (sae_zip_find(zip, m->name) != i)
            return sae_err_set(err, SAE_EFORMAT, "'%s': two members are named '%s'", zip->path,
                               m->name);
        p += ENTRY_BYTES + n_name + n_extra + n_note;
    }
    return SAE_OK;
}

enum sae_status sae_zip_open(struct sae_zip **ret, const char *path, struct sae_err *err)
{
    struct sae_zip *zip = NULL;
    struct directory dir = {0};
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&zip, 1, sizeof *zip, err));
    SAE_GO(st, sae_mem_strdup(&zip->path, path, err));
    SAE_GO(st, sae_map_open(&zip->map, path, err));
    SAE_GO(st, read_end(&dir, zip, err));
    SAE_GO(st, read_members(zip, &dir, err));
    *ret = zip;
    zip = NULL;
done:
    sae_zip_close(zip);
    return st;
}

void sae_zip_close(struct sae_zip *zip)
{
    if (zip == NULL)
        return;
    for (size_t i = 0; i < zip->n; i++) {
        free(zip->members[i].name);
        free(zip->members[i].inflated);
    }
    free(zip->members);
    sae_map_close(&zip->map);
    free(zip->path);
    free(zip);
}

/* --- 4. members --------------------------------------------------------------------------- */

size_t sae_zip_size(const struct sae_zip *zip)
{
    return zip->n;
}

const char *sae_zip_name(const struct sae_zip *zip, size_t i)
{
    return zip->members[i].name;
}

size_t sae_zip_find(const struct sae_zip *zip, const char *name)
{
    for (size_t i = 0; i < zip->n; i++)
        if (strcmp(zip->members[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

/* Where a member's data begins, checked to lie in the file. */
static enum sae_status find_data(const uint8_t **ret, const struct sae_zip *zip,
                                 const struct member *m, struct sae_err *err)
{
    const uint8_t *const p = zip->map.bytes + m->local;
    const uint64_t at = m->local + LOCAL_BYTES + le(p + 26, 2) + le(p + 28, 2);
    if (!signed_as(p, 3, 4) || !inside(zip, at, m->n_stored))
        return sae_err_set(err, SAE_EFORMAT, "'%s': the data of '%s' is not where it should be",
                           zip->path, m->name);
    *ret = zip->map.bytes + at;
    return SAE_OK;
}

/* Steps of at most 1 GiB, since zlib counts in 32 bits. */
static bool inflate_all(const uint8_t *from, uint64_t n_from, uint8_t *to, uint64_t n_to)
{
    const uint64_t step = (uint64_t)1 << 30;
    z_stream z = {0};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return false;
    z.next_in = (Bytef *)(uintptr_t)from;
    z.next_out = to;
    int code = Z_OK;
    while (code == Z_OK) {
        const uint64_t left_in = n_from - (uint64_t)(z.next_in - from);
        const uint64_t left_out = n_to - (uint64_t)(z.next_out - to);
        z.avail_in = (uInt)(left_in < step ? left_in : step);
        z.avail_out = (uInt)(left_out < step ? left_out : step);
        code = inflate(&z, Z_NO_FLUSH);
    }
    const bool whole = code == Z_STREAM_END && z.next_out == to + n_to && z.next_in == from + n_from;
    inflateEnd(&z);
    return whole;
}

static uint32_t checksum(const uint8_t *bytes, uint64_t n)
{
    const uint64_t step = (uint64_t)1 << 30;
    uLong crc = crc32(0, NULL, 0);
    for (uint64_t at = 0; at < n; at += step)
        crc = crc32(crc, bytes + at, (uInt)(n - at < step ? n - at : step));
    return (uint32_t)crc;
}

enum sae_status sae_zip_get(struct sae_zip *zip, size_t i, const uint8_t **ret, size_t *ret_n,
                            struct sae_err *err)
{
    struct member *const m = &zip->members[i];
    const uint8_t *bytes = NULL;
    SAE_TRY(find_data(&bytes, zip, m, err));
    if (m->method == DEFLATED && m->inflated == NULL) {
        SAE_TRY(sae_mem_alloc(&m->inflated, (size_t)m->n_bytes, 1, err));
        if (!inflate_all(bytes, m->n_stored, m->inflated, m->n_bytes))
            return sae_err_set(err, SAE_EFORMAT, "'%s': '%s' does not inflate to %llu bytes",
                               zip->path, m->name, (unsigned long long)m->n_bytes);
    }
    if (m->method == DEFLATED)
        bytes = m->inflated;
    if (!m->checked && checksum(bytes, m->n_bytes) != m->crc)
        return sae_err_set(err, SAE_EFORMAT, "'%s': the checksum of '%s' is wrong; it is damaged",
                           zip->path, m->name);
    m->checked = true;
    *ret = bytes;
    *ret_n = (size_t)m->n_bytes;
    return SAE_OK;
}
