/* SPDX-License-Identifier: MIT */
/* parquet_page : a column, entry by entry. A page at a time is in memory, and the dictionary.
 *
 * Contents:  1. heads   2. bytes   3. dictionaries   4. data pages   5. values   6. entries */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/base/mem.h"
#include "lib/text/parquet_inner.h"
#include "lib/text/thrift.h"

enum { DATA_PAGE = 0, INDEX_PAGE = 1, DICTIONARY_PAGE = 2, DATA_PAGE_V2 = 3 };
enum {
    PLAIN = 0,
    PLAIN_DICTIONARY = 2,
    RLE = 3,
    BIT_PACKED = 4,
    DELTA_BINARY_PACKED = 5,
    DELTA_LENGTH_BYTE_ARRAY = 6,
    DELTA_BYTE_ARRAY = 7,
    RLE_DICTIONARY = 8,
    BYTE_STREAM_SPLIT = 9
};

/* What a page may unpack to: 64 MiB, or more if it is large itself (deflate reaches 1:1032). */
enum { PAGE_FREE = 64 << 20, PAGE_RATIO = 1100, PAGE_MOST = 1 << 30 };

static enum sae_status damaged(const struct pq_column *c, const char *what, struct sae_err *err)
{
    return sae_err_set(err, SAE_EFORMAT, "'%s': column '%s' is damaged: %s", c->path, c->leaf->name,
                       what);
}

/* --- 1. heads ------------------------------------------------------------------------------ */

struct head {
    int64_t type, n_unpacked, n_packed, n_values, encoding, def_encoding, rep_encoding;
    int64_t n_def, n_rep; /* of v2: bytes of the levels */
    uint32_t crc;
    bool has_crc, packed;
};

/* The part of the head that is of its type of page. */
static void read_detail(struct head *h, struct sae_thrift *t, int page)
{
    struct sae_thrift_field field = {0};
    while (sae_thrift_next(t, &field)) {
        int64_t *to = NULL, packed = 0;
        if (field.id == 1)
            to = &h->n_values;
        else if (page == DATA_PAGE || page == DICTIONARY_PAGE)
            to = field.id == 2                        ? &h->encoding
                 : page == DATA_PAGE && field.id == 3 ? &h->def_encoding
                 : page == DATA_PAGE && field.id == 4 ? &h->rep_encoding
                                                      : NULL;
        else
            to = field.id == 4   ? &h->encoding
                 : field.id == 5 ? &h->n_def
                 : field.id == 6 ? &h->n_rep
                 : field.id == 7 ? &packed
                                 : NULL;
        if (to == NULL)
            sae_thrift_skip(t, field.type);
        else
            *to = sae_thrift_int(t, field.type);
        if (to == &packed)
            h->packed = packed != 0;
    }
}

/* Reads the head at c->at and leaves c->at behind it, at the page's bytes, which are all there. */
static enum sae_status read_head(struct head *ret, struct pq_column *c, struct sae_err *err)
{
    struct sae_thrift t = {.at = c->at, .end = c->end};
    struct head h = {.type = -1, .def_encoding = RLE, .rep_encoding = RLE, .packed = true};
    struct sae_thrift_field field = {0};
    int64_t crc = 0;
    while (sae_thrift_next(&t, &field)) {
        const bool detail = field.type == SAE_THRIFT_STRUCT;
        if (field.id == 4)
            h.has_crc = true;
        if (field.id >= 1 && field.id <= 4)
            *(field.id == 1   ? &h.type
              : field.id == 2 ? &h.n_unpacked
              : field.id == 3 ? &h.n_packed
                              : &crc) = sae_thrift_int(&t, field.type);
        else if (detail && field.id == 5)
            read_detail(&h, &t, DATA_PAGE);
        else if (detail && field.id == 7)
            read_detail(&h, &t, DICTIONARY_PAGE);
        else if (detail && field.id == 8)
            read_detail(&h, &t, DATA_PAGE_V2);
        else
            sae_thrift_skip(&t, field.type);
    }
    h.crc = (uint32_t)crc;
    if (t.bad || h.type < 0)
        return damaged(c, "the head of a page cannot be", err);
    if (h.n_packed < 0 || h.n_unpacked < 0 || h.n_packed > c->end - t.at || h.n_values < 0)
        return damaged(c, "a page is said to be longer than its column", err);
    *ret = h;
    c->at = t.at;
    return SAE_OK;
}

/* --- 2. bytes ------------------------------------------------------------------------------ */

static enum sae_status reserve(struct pq_buffer *buffer, size_t n, struct sae_err *err)
{
    if (n <= buffer->cap)
        return SAE_OK;
    free(buffer->v);
    *buffer = (struct pq_buffer){0};
    return sae_mem_grow(&buffer->v, &buffer->cap, n, 1, err);
}

/* The bytes of a page behind its first `plain`, which are not compressed: where they are in the file,
 * or unpacked into the buffer. */
static enum sae_status unpack(struct pq_column *c, const struct head *h, size_t plain,
                              struct pq_buffer *to, const uint8_t **ret, size_t *ret_n,
                              struct sae_err *err)
{
    const uint8_t *const from = c->at + plain;
    const size_t n_from = (size_t)h->n_packed - plain, n_to = (size_t)h->n_unpacked - plain;
    const bool packed = c->codec != PQ_UNCOMPRESSED && h->packed;
    if (!packed && n_from != n_to)
        return damaged(c, "a page that is not compressed has two sizes", err);
    if (n_to > PAGE_MOST || (n_to > PAGE_FREE && n_to / PAGE_RATIO > n_from))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': column '%s' has a page of %zu bytes that wants %zu bytes of memory, "
                           "too much for its size",
                           c->path, c->leaf->name, n_from, n_to);
    *ret = from;
    *ret_n = n_to;
    if (!packed)
        return SAE_OK;
    SAE_TRY(reserve(to, n_to + 1, err));
    *ret = to->v;
    if (n_from == 0 && n_to == 0)
        return SAE_OK;
    return pq_unpack(c->codec, to->v, n_to, from, n_from, c->path, err);
}

static enum sae_status check_crc(const struct pq_column *c, const struct head *h, struct sae_err *err)
{
    if (!h->has_crc || (uint32_t)crc32(0, c->at, (uInt)h->n_packed) == h->crc)
        return SAE_OK;
    return damaged(c, "the checksum (CRC) of a page is another than in its head", err);
}

/* --- 3. dictionaries ----------------------------------------------------------------------- */

/* Bytes of a value of fixed width; 0: of other ones. */
static size_t width_of(const struct pq_column *c)
{
    const int type = c->leaf->type;
    return type == PQ_INT32 || type == PQ_FLOAT    ? 4
           : type == PQ_INT64 || type == PQ_DOUBLE ? 8
                                                   : 0;
}

/* Where each text begins. */
static enum sae_status index_texts(struct pq_column *c, struct sae_err *err)
{
    size_t at = 0;
    if (c->n_dict > c->cap_dict_at)
        SAE_TRY(sae_mem_grow(&c->dict_at, &c->cap_dict_at, c->n_dict, sizeof *c->dict_at, err));
    for (size_t i = 0; i < c->n_dict; i++) {
        c->dict_at[i] = (uint32_t)at;
        const size_t left = c->dict_n_bytes - at;
        if (left < 4 || pq_u32(c->dict_bytes + at) > left - 4)
            return damaged(c, "a text of its dictionary is longer than it", err);
        at += 4 + (size_t)pq_u32(c->dict_bytes + at);
    }
    return SAE_OK;
}

static enum sae_status read_dictionary(struct pq_column *c, const struct head *h, struct sae_err *err)
{
    if (h->encoding != PLAIN && h->encoding != PLAIN_DICTIONARY)
        return damaged(c, "its dictionary is not PLAIN", err);
    SAE_TRY(unpack(c, h, 0, &c->dict, &c->dict_bytes, &c->dict_n_bytes, err));
    const size_t width = width_of(c), least = width > 0 ? width : 4;
    if ((uint64_t)h->n_values > c->dict_n_bytes / least || c->leaf->type == PQ_BOOLEAN)
        return damaged(c, "its dictionary has fewer values than it says", err);
    c->n_dict = (size_t)h->n_values;
    return width > 0 ? SAE_OK : index_texts(c, err);
}

/* --- 4. data pages ------------------------------------------------------------------------- */

static int bits_of(int most)
{
    int n = 0;
    while (most >> n != 0)
        n++;
    return n;
}

/* Levels of v1: their length, then their runs. */
static bool take_levels(struct pq_runs *runs, const uint8_t **at, const uint8_t *end, int most)
{
    pq_runs_init(runs, NULL, NULL, 0);
    if (most == 0)
        return true;
    if (end - *at < 4 || pq_u32(*at) > (size_t)(end - *at) - 4)
        return false;
    const size_t n = pq_u32(*at);
    pq_runs_init(runs, *at + 4, *at + 4 + n, bits_of(most));
    *at += 4 + n;
    return true;
}

/* The values, which begin with what their encoding needs. */
static enum sae_status begin_values(struct pq_column *c, const uint8_t *at, const uint8_t *end,
                                    struct sae_err *err)
{
    const uint8_t *next;
    bool ok = true;
    c->bytes = at;
    c->bytes_end = end;
    c->n_taken = 0;
    c->n_last = 0;
    c->prefixes = c->lengths = (struct pq_delta){0};
    if (at == end) /* all of them are null */
        return SAE_OK;
    switch (c->encoding) {
    case PLAIN_DICTIONARY:
    case RLE_DICTIONARY:
        ok = *at <= 32;
        pq_runs_init(&c->indices, at + 1, end, *at);
        break;
    case RLE:
        ok = take_levels(&c->indices, &at, end, 1);
        break;
    case BYTE_STREAM_SPLIT:
        c->n_split = (size_t)(end - at) / width_of(c);
        break;
    case DELTA_BINARY_PACKED:
        ok = pq_delta_init(&c->lengths, at, end);
        break;
    case DELTA_BYTE_ARRAY:
        ok = pq_delta_init(&c->prefixes, at, end) && (at = pq_delta_end(&c->prefixes)) != NULL;
        /* fall through */
    case DELTA_LENGTH_BYTE_ARRAY:
        ok = ok && pq_delta_init(&c->lengths, at, end) && (next = pq_delta_end(&c->lengths)) != NULL;
        if (ok)
            c->bytes = next;
        break;
    default:
        break;
    }
    return ok ? SAE_OK : damaged(c, "the values of a page are cut", err);
}

static enum sae_status check_encoding(const struct pq_column *c, struct sae_err *err)
{
    static const char *const names[] = {"PLAIN",
                                        "GROUP_VAR_INT",
                                        "PLAIN_DICTIONARY",
                                        "RLE",
                                        "BIT_PACKED",
                                        "DELTA_BINARY_PACKED",
                                        "DELTA_LENGTH_BYTE_ARRAY",
                                        "DELTA_BYTE_ARRAY",
                                        "RLE_DICTIONARY",
                                        "BYTE_STREAM_SPLIT"};
    const int type = c->leaf->type, encoding = c->encoding;
    const bool dictionary = encoding == PLAIN_DICTIONARY || encoding == RLE_DICTIONARY;
    if (encoding == PLAIN || (dictionary && type != PQ_BOOLEAN) ||
        (encoding == RLE && type == PQ_BOOLEAN) ||
        (encoding == BYTE_STREAM_SPLIT && width_of(c) > 0) ||
        (encoding == DELTA_BINARY_PACKED && (type == PQ_INT32 || type == PQ_INT64)) ||
        ((encoding == DELTA_LENGTH_BYTE_ARRAY || encoding == DELTA_BYTE_ARRAY) && type == PQ_BYTES))
        return SAE_OK;
    const bool known = encoding >= 0 && encoding < (int)(sizeof names / sizeof *names);
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s': column '%s' is encoded as %s (%d), which is not read here; write it as "
                       "PLAIN or with a dictionary",
                       c->path, c->leaf->name, known ? names[encoding] : "something unknown", encoding);
}

static enum sae_status read_data(struct pq_column *c, const struct head *h, struct sae_err *err)
{
    const uint8_t *at;
    size_t n;
    c->encoding = h->encoding >= 0 && h->encoding < INT32_MAX ? (int)h->encoding : INT32_MAX;
    SAE_TRY(check_encoding(c, err));
    if ((uint64_t)h->n_values > c->values_left)
        return damaged(c, "its pages have more values than it", err);
    c->page_left = (uint64_t)h->n_values;
    c->values_left -= c->page_left;
    c->has_rep = false;
    if (h->type == DATA_PAGE) {
        if ((h->def_encoding != RLE && c->leaf->max_def > 0) ||
            (h->rep_encoding != RLE && c->leaf->max_rep > 0))
            return damaged(c, "its levels are not RLE, as those of old writers (BIT_PACKED)", err);
        SAE_TRY(unpack(c, h, 0, &c->page, &at, &n, err));
        const uint8_t *const end = at + n;
        if (!take_levels(&c->reps, &at, end, c->leaf->max_rep) ||
            !take_levels(&c->defs, &at, end, c->leaf->max_def))
            return damaged(c, "the levels of a page are longer than it", err);
        return begin_values(c, at, end, err);
    }
    const int64_t most = h->n_packed < h->n_unpacked ? h->n_packed : h->n_unpacked;
    if (h->n_rep < 0 || h->n_def < 0 || h->n_rep > most || h->n_def > most - h->n_rep)
        return damaged(c, "the levels of a page are longer than it", err);
    const uint8_t *const levels = c->at, *const defs = levels + h->n_rep, *const behind = defs + h->n_def;
    pq_runs_init(&c->reps, levels, defs, bits_of(c->leaf->max_rep));
    pq_runs_init(&c->defs, defs, behind, bits_of(c->leaf->max_def));
    SAE_TRY(unpack(c, h, (size_t)(behind - levels), &c->page, &at, &n, err));
    return begin_values(c, at, at + n, err);
}

/* Reads pages until one has entries; c->page_left stays 0 at the end of the chunk. With `n` a page of up
 * to *n entries is passed over, and *n becomes less. */
static enum sae_status next_page(struct pq_column *c, uint64_t *n, struct sae_err *err)
{
    while (c->page_left == 0 && c->values_left > 0) {
        struct head h;
        sae_map_drop(c->dropped, (size_t)(c->at - c->dropped));
        c->dropped = c->at;
        SAE_TRY(read_head(&h, c, err));
        const uint8_t *const behind = c->at + h.n_packed;
        const bool data = h.type == DATA_PAGE || h.type == DATA_PAGE_V2;
        if (data && n != NULL && (uint64_t)h.n_values <= *n && (uint64_t)h.n_values <= c->values_left) {
            *n -= (uint64_t)h.n_values;
            c->values_left -= (uint64_t)h.n_values;
        } else if (data || h.type == DICTIONARY_PAGE) {
            SAE_TRY(check_crc(c, &h, err));
            SAE_TRY(data ? read_data(c, &h, err) : read_dictionary(c, &h, err));
        }
        c->at = behind;
    }
    return SAE_OK;
}

/* --- 5. values ----------------------------------------------------------------------------- */

static void set_fixed(const struct pq_column *c, struct pq_value *ret, const uint8_t *at)
{
    const struct pq_leaf *const leaf = c->leaf;
    if (leaf->type == PQ_FLOAT) {
        const uint32_t bits = pq_u32(at);
        float f;
        memcpy(&f, &bits, sizeof f);
        ret->real = (double)f;
    } else if (leaf->type == PQ_DOUBLE) {
        const uint64_t bits = pq_u64(at);
        memcpy(&ret->real, &bits, sizeof ret->real);
    } else if (leaf->type == PQ_INT32) {
        ret->whole = leaf->is_unsigned ? (int64_t)pq_u32(at) : (int64_t)(int32_t)pq_u32(at);
    } else {
        ret->whole = (int64_t)pq_u64(at);
    }
}

static bool take_plain(struct pq_column *c, struct pq_value *ret)
{
    const size_t left = (size_t)(c->bytes_end - c->bytes), width = width_of(c);
    if (c->leaf->type == PQ_BOOLEAN) {
        if (c->n_taken / 8 >= left)
            return false;
        ret->whole = c->bytes[c->n_taken / 8] >> (c->n_taken % 8) & 1;
        c->n_taken++;
        return true;
    }
    if (width > 0) {
        if (left < width)
            return false;
        set_fixed(c, ret, c->bytes);
        c->bytes += width;
        return true;
    }
    if (left < 4 || pq_u32(c->bytes) > left - 4)
        return false;
    ret->n = pq_u32(c->bytes);
    ret->s = (const char *)c->bytes + 4;
    c->bytes += 4 + ret->n;
    return true;
}

/* The first bytes of all values, then the second ones, ... */
static bool take_split(struct pq_column *c, struct pq_value *ret)
{
    uint8_t bytes[8] = {0};
    if (c->n_taken >= c->n_split)
        return false;
    for (size_t i = 0; i < width_of(c); i++)
        bytes[i] = c->bytes[i * c->n_split + c->n_taken];
    c->n_taken++;
    set_fixed(c, ret, bytes);
    return true;
}

static bool take_index(struct pq_column *c, struct pq_value *ret)
{
    uint32_t i;
    if (!pq_runs_next(&c->indices, &i) || i >= c->n_dict)
        return false;
    if (width_of(c) > 0) {
        set_fixed(c, ret, c->dict_bytes + i * width_of(c));
        return true;
    }
    ret->n = pq_u32(c->dict_bytes + c->dict_at[i]);
    ret->s = (const char *)c->dict_bytes + c->dict_at[i] + 4;
    return true;
}

static bool take_delta_text(struct pq_column *c, struct pq_value *ret)
{
    int64_t n;
    if (!pq_delta_next(&c->lengths, &n) || n < 0 || n > c->bytes_end - c->bytes)
        return false;
    ret->s = (const char *)c->bytes;
    ret->n = (size_t)n;
    c->bytes += n;
    return true;
}

/* The first bytes of the value before, and its own. */
static enum sae_status take_front(struct pq_column *c, struct pq_value *ret, bool *ok,
                                  struct sae_err *err)
{
    int64_t same;
    *ok = pq_delta_next(&c->prefixes, &same) && same >= 0 && (uint64_t)same <= c->n_last &&
          take_delta_text(c, ret) && ret->n <= PAGE_MOST - (size_t)same;
    if (!*ok)
        return SAE_OK;
    SAE_TRY(sae_mem_grow(&c->last.v, &c->last.cap, (size_t)same + ret->n + 1, 1, err));
    memcpy(c->last.v + same, ret->s, ret->n);
    c->n_last = (size_t)same + ret->n;
    ret->s = (const char *)c->last.v;
    ret->n = c->n_last;
    return SAE_OK;
}

static enum sae_status take_value(struct pq_column *c, struct pq_value *ret, struct sae_err *err)
{
    bool ok = c->bytes < c->bytes_end || c->encoding == DELTA_BYTE_ARRAY ||
              c->encoding == DELTA_LENGTH_BYTE_ARRAY;
    uint32_t truth = 0;
    *ret = (struct pq_value){.s = ""};
    if (c->bytes == NULL || !ok)
        return damaged(c, "a page has fewer values than it says", err);
    switch (c->encoding) {
    case PLAIN:
        ok = take_plain(c, ret);
        break;
    case PLAIN_DICTIONARY:
    case RLE_DICTIONARY:
        ok = take_index(c, ret);
        break;
    case BYTE_STREAM_SPLIT:
        ok = take_split(c, ret);
        break;
    case RLE:
        ok = pq_runs_next(&c->indices, &truth);
        ret->whole = truth;
        break;
    case DELTA_BINARY_PACKED:
        ok = pq_delta_next(&c->lengths, &ret->whole);
        if (c->leaf->type == PQ_INT32)
            ret->whole = c->leaf->is_unsigned ? (int64_t)(uint32_t)ret->whole
                                              : (int64_t)(int32_t)(uint32_t)ret->whole;
        break;
    case DELTA_LENGTH_BYTE_ARRAY:
        ok = take_delta_text(c, ret);
        break;
    default:
        SAE_TRY(take_front(c, ret, &ok, err));
    }
    return ok ? SAE_OK : damaged(c, "a page ends before its last value, or points beyond its dictionary",
                                 err);
}

/* --- 6. entries ---------------------------------------------------------------------------- */

void pq_column_begin(struct pq_column *c, const struct pq_chunk *chunk)
{
    c->at = c->map->bytes + chunk->at;
    c->dropped = c->at;
    c->end = c->at + chunk->n_bytes;
    c->values_left = chunk->n_values;
    c->codec = chunk->codec;
    c->page_left = 0;
    c->n_dict = 0;
    c->has_rep = false;
}

void pq_column_clear(struct pq_column *c)
{
    free(c->dict.v);
    free(c->dict_at);
    free(c->page.v);
    free(c->last.v);
    *c = (struct pq_column){0};
}

enum sae_status pq_column_peek(struct pq_column *c, bool *ret_more, uint32_t *ret, struct sae_err *err)
{
    if (c->page_left == 0)
        SAE_TRY(next_page(c, NULL, err));
    *ret_more = c->page_left > 0;
    if (*ret_more && !c->has_rep) {
        if (!pq_runs_next(&c->reps, &c->rep) || c->rep > (uint32_t)c->leaf->max_rep)
            return damaged(c, "a repetition level cannot be", err);
        c->has_rep = true;
    }
    *ret = c->rep;
    return SAE_OK;
}

enum sae_status pq_column_take(struct pq_column *c, int *ret_def, struct pq_value *ret,
                               struct sae_err *err)
{
    uint32_t def;
    if (!pq_runs_next(&c->defs, &def) || def > (uint32_t)c->leaf->max_def)
        return damaged(c, "a definition level cannot be", err);
    c->page_left--;
    c->has_rep = false;
    *ret_def = (int)def;
    return (int)def == c->leaf->max_def ? take_value(c, ret, err) : SAE_OK;
}

enum sae_status pq_column_skip(struct pq_column *c, uint64_t *n, struct sae_err *err)
{
    return c->page_left == 0 ? next_page(c, n, err) : SAE_OK;
}
