/* SPDX-License-Identifier: MIT */
/* gguf : one file.
 *
 * Contents:  1. bytes   2. metadata   3. tensors   4. the file */
#include "lib/file/gguf_inner.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/file/blocks.h"

enum {
    KEY_MAX = 65535, /* bytes, of the format */
    NAME_MAX_LEN = 64,
    RANK_MAX = 4,
    NESTING_MAX = 4,                /* arrays of arrays */
    ELEMENTS_MAX = 1 << 24,         /* of all arrays: one takes some 40 bytes of memory, and 1 of the file */
    ALIGNMENT = 32,                 /* where general.alignment is not given */
    TENSOR_MIN = 8 + 4 + 8 + 4 + 8, /* bytes of a tensor's entry */
    PAIR_MIN = 8 + 4 + 1            /* bytes of a key and its value */
};

/* Types of values. */
enum type { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64, N_TYPES };
static const uint8_t widths[N_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8}; /* at least */

/* --- 1. bytes ------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *bytes;
    size_t n, at;
    size_t n_elements; /* of arrays, read so far */
    const char *what;  /* is read: for messages */
    struct sae_err *err;
};

static size_t left(const struct reader *r)
{
    return r->n - r->at;
}

static enum sae_status need(const struct reader *r, uint64_t n)
{
    if (n <= left(r))
        return SAE_OK;
    return sae_err_set(r->err, SAE_EFORMAT,
                       "%s: %" PRIu64 " bytes at %zu, the file has %zu more; it is cut or damaged",
                       r->what, n, r->at, left(r));
}

static enum sae_status read_number(struct reader *r, uint64_t *ret, size_t n_bytes)
{
    SAE_TRY(need(r, n_bytes));
    *ret = 0;
    for (size_t i = 0; i < n_bytes; i++)
        *ret |= (uint64_t)r->bytes[r->at + i] << (8 * i);
    r->at += n_bytes;
    return SAE_OK;
}

/* Borrowed, not terminated. */
static enum sae_status read_text(struct reader *r, const char **ret, size_t *ret_n)
{
    uint64_t n;
    SAE_TRY(read_number(r, &n, 8));
    SAE_TRY(need(r, n));
    *ret = (const char *)r->bytes + r->at;
    *ret_n = (size_t)n;
    r->at += (size_t)n;
    if (!sae_utf8_is_valid(*ret, *ret_n) || memchr(*ret, '\0', *ret_n))
        return sae_err_set(r->err, SAE_EFORMAT, "%s: a text of %zu bytes is no UTF-8 without NUL",
                           r->what, *ret_n);
    return SAE_OK;
}

/* --- 2. metadata ---------------------------------------------------------------------------- */

/* The shortest decimal that is this f32. */
static double shorten(float f)
{
    char text[40];
    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)f);
        if (strtof(text, NULL) == f)
            break;
    }
    return strtod(text, NULL);
}

static enum sae_status make_real(const struct reader *r, json_t **ret, uint64_t bits, bool is_f32)
{
    const uint32_t bits32 = (uint32_t)bits;
    double d;
    float f;
    memcpy(&d, &bits, sizeof d);
    memcpy(&f, &bits32, sizeof f);
    if (is_f32 ? !isfinite(f) : !isfinite(d))
        return sae_err_set(r->err, SAE_EFORMAT, "%s is infinite or no number", r->what);
    *ret = json_real(is_f32 ? shorten(f) : d);
    return SAE_OK;
}

static json_int_t sign_extend(uint64_t bits, size_t n_bytes)
{
    const unsigned shift = (unsigned)(64 - 8 * n_bytes);
    return (json_int_t)((int64_t)(bits << shift) >> shift);
}

static enum sae_status read_scalar(struct reader *r, json_t **ret, enum type type)
{
    uint64_t bits = 0;
    const char *s = NULL;
    size_t n = 0;
    if (type == STRING)
        SAE_TRY(read_text(r, &s, &n));
    else
        SAE_TRY(read_number(r, &bits, widths[type]));
    switch (type) {
    case STRING:
        *ret = json_stringn(s, n);
        break;
    case BOOL:
        if (bits > 1)
            return sae_err_set(r->err, SAE_EFORMAT, "%s is %" PRIu64 ", expected 0 or 1", r->what,
                               bits);
        *ret = json_boolean(bits == 1);
        break;
    case F32:
    case F64:
        SAE_TRY(make_real(r, ret, bits, type == F32));
        break;
    case I8:
    case I16:
    case I32:
    case I64:
        *ret = json_integer(sign_extend(bits, widths[type]));
        break;
    default:
        if (bits > INT64_MAX)
            return sae_err_set(r->err, SAE_EFORMAT, "%s is %" PRIu64 ", at most 2^63 - 1 is read",
                               r->what, bits);
        *ret = json_integer((json_int_t)bits);
        break;
    }
    return *ret ? SAE_OK : sae_err_set(r->err, SAE_ENOMEM, "%s", r->what);
}

static enum sae_status read_type(struct reader *r, enum type *type)
{
    uint64_t number;
    SAE_TRY(read_number(r, &number, 4));
    if (number >= N_TYPES)
        return sae_err_set(r->err, SAE_EFORMAT, "%s has type %" PRIu64 ", expected at most %d",
                           r->what, number, N_TYPES - 1);
    *type = (enum type)number;
    return SAE_OK;
}

static enum sae_status read_value(struct reader *r, json_t **ret, enum type type, int depth);

static enum sae_status read_elements(struct reader *r, json_t *array, enum type type, uint64_t n,
                                     int depth)
{
    for (uint64_t i = 0; i < n; i++) {
        json_t *element = NULL;
        SAE_TRY(read_value(r, &element, type, depth));
        if (json_array_append_new(array, element) != 0)
            return sae_err_set(r->err, SAE_ENOMEM, "%s", r->what);
    }
    return SAE_OK;
}

static enum sae_status read_array(struct reader *r, json_t **ret, int depth)
{
    enum type type = U8;
    uint64_t n;
    if (depth == NESTING_MAX)
        return sae_err_set(r->err, SAE_EFORMAT, "%s: arrays in more than %d arrays", r->what,
                           NESTING_MAX);
    SAE_TRY(read_type(r, &type));
    SAE_TRY(read_number(r, &n, 8));
    if (n > left(r) / widths[type])
        return sae_err_set(r->err, SAE_EFORMAT,
                           "%s: %" PRIu64 " elements of at least %u bytes, the file has %zu more",
                           r->what, n, widths[type], left(r));
    if (n > ELEMENTS_MAX - r->n_elements)
        return sae_err_set(r->err, SAE_EFORMAT,
                           "%s: %" PRIu64 " elements, %zu were read before; at most %d in a file",
                           r->what, n, r->n_elements, ELEMENTS_MAX);
    r->n_elements += (size_t)n;
    json_t *const array = json_array();
    if (!array)
        return sae_err_set(r->err, SAE_ENOMEM, "%s", r->what);
    const enum sae_status st = read_elements(r, array, type, n, depth + 1);
    if (st != SAE_OK)
        json_decref(array);
    else
        *ret = array;
    return st;
}

static enum sae_status read_value(struct reader *r, json_t **ret, enum type type, int depth)
{
    return type == ARRAY ? read_array(r, ret, depth) : read_scalar(r, ret, type);
}

static enum sae_status read_pair(struct reader *r, json_t *meta)
{
    const char *key;
    size_t n;
    char what[200];
    enum type type = U8;
    json_t *value = NULL;
    r->what = "the key of a value";
    SAE_TRY(read_text(r, &key, &n));
    if (n == 0 || n > KEY_MAX)
        return sae_err_set(r->err, SAE_EFORMAT, "a key has %zu bytes, expected 1 to %d", n,
                           KEY_MAX);
    (void)snprintf(what, sizeof what, "'%.*s'", n < 160 ? (int)n : 160, key);
    r->what = what;
    if (json_object_getn(meta, key, n))
        return sae_err_set(r->err, SAE_EFORMAT, "%s is given twice", what);
    SAE_TRY(read_type(r, &type));
    SAE_TRY(read_value(r, &value, type, 0));
    if (json_object_setn_new(meta, key, n, value) != 0)
        return sae_err_set(r->err, SAE_ENOMEM, "%s", what);
    return SAE_OK;
}

/* --- 3. tensors ----------------------------------------------------------------------------- */

static enum sae_status read_type_of(struct reader *r, struct sae_st_tensor *t,
                                    const struct sae_blocks **kind)
{
    uint64_t id;
    SAE_TRY(read_number(r, &id, 4));
    *kind = sae_blocks_by_id((uint32_t)id);
    if (!*kind) {
        const char *const name = sae_blocks_other((uint32_t)id);
        return sae_err_set(r->err, SAE_EFORMAT,
                           "tensor '%s' is %s (type %" PRIu64 "); read are F32, F16, BF16, Q8_0, "
                           "Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K",
                           t->name, name ? name : "of a kind that is not known", id);
    }
    t->dtype = (*kind)->dtype;
    t->dtype_name = (*kind)->name;
    return SAE_OK;
}

/* The first dimension of the file is the fastest. */
static enum sae_status read_shape(struct reader *r, struct sae_st_tensor *t)
{
    uint64_t rank, size;
    SAE_TRY(read_number(r, &rank, 4));
    if (rank > RANK_MAX)
        return sae_err_set(r->err, SAE_EFORMAT,
                           "tensor '%s' has %" PRIu64 " dimensions, at most %d", t->name, rank,
                           RANK_MAX);
    t->rank = (size_t)rank;
    t->n = 1;
    for (size_t i = t->rank; i-- > 0;) {
        SAE_TRY(read_number(r, &size, 8));
        t->shape[i] = (size_t)size;
        if (size == 0 || size > INT64_MAX || __builtin_mul_overflow(t->n, t->shape[i], &t->n))
            return sae_err_set(r->err, SAE_EFORMAT,
                               "tensor '%s': a dimension of %" PRIu64 " makes its size 0 or too "
                               "large",
                               t->name, size);
    }
    return SAE_OK;
}

static enum sae_status read_tensor(struct reader *r, struct sae_st_tensor *t)
{
    const struct sae_blocks *kind = NULL;
    const char *name;
    size_t n, bytes;
    uint64_t begin;
    r->what = "the name of a tensor";
    SAE_TRY(read_text(r, &name, &n));
    if (n == 0 || n > NAME_MAX_LEN)
        return sae_err_set(r->err, SAE_EFORMAT, "a tensor name has %zu bytes, expected 1 to %d", n,
                           NAME_MAX_LEN);
    SAE_TRY(sae_mem_alloc(&t->name, n + 1, 1, r->err));
    memcpy(t->name, name, n);
    r->what = t->name;
    SAE_TRY(read_shape(r, t));
    SAE_TRY(read_type_of(r, t, &kind));
    SAE_TRY(read_number(r, &begin, 8));
    const size_t row = t->rank > 0 ? t->shape[t->rank - 1] : 1;
    if (row % kind->n_elements != 0)
        return sae_err_set(r->err, SAE_EFORMAT,
                           "tensor '%s': rows of %zu elements, expected a multiple of %zu by %s",
                           t->name, row, kind->n_elements, kind->name);
    if (begin > INT64_MAX ||
        __builtin_mul_overflow(t->n / kind->n_elements, kind->n_bytes, &bytes) ||
        __builtin_add_overflow((size_t)begin, bytes, &t->end))
        return sae_err_set(r->err, SAE_EFORMAT, "tensor '%s' begins or ends beyond any file",
                           t->name);
    t->begin = (size_t)begin;
    return SAE_OK;
}

static int by_position(const void *a, const void *b)
{
    const struct sae_st_tensor *const x = a, *const y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Tensors lie aligned, none in another, all in the file. Holes are padding. */
static enum sae_status place(const struct reader *r, struct sae_st_tensor *t, size_t n,
                             size_t alignment)
{
    const size_t gap = (alignment - r->at % alignment) % alignment;
    const size_t n_data = left(r) > gap ? left(r) - gap : 0;
    qsort(t, n, sizeof *t, by_position);
    for (size_t i = 0; i < n; i++) {
        if (t[i].begin % alignment != 0)
            return sae_err_set(r->err, SAE_EFORMAT,
                               "tensor '%s' begins at %zu, expected a multiple of %zu", t[i].name,
                               t[i].begin, alignment);
        if (i > 0 && t[i].begin < t[i - 1].end)
            return sae_err_set(r->err, SAE_EFORMAT, "tensors '%s' and '%s' overlap", t[i - 1].name,
                               t[i].name);
        if (t[i].end > n_data)
            return sae_err_set(r->err, SAE_EFORMAT,
                               "tensor '%s' ends at byte %zu of the data, which has %zu; the file "
                               "is cut",
                               t[i].name, t[i].end, n_data);
        t[i].data = r->bytes + r->at + gap + t[i].begin;
    }
    return SAE_OK;
}

static enum sae_status read_alignment(const struct reader *r, const json_t *meta, size_t *ret)
{
    const json_t *const value = json_object_get(meta, "general.alignment");
    const json_int_t v = value ? json_integer_value(value) : ALIGNMENT;
    if (v < 1 || v > 1 << 20 || (v & (v - 1)) != 0)
        return sae_err_set(r->err, SAE_EFORMAT,
                           "'general.alignment' is %lld, expected a power of two, at most 2^20",
                           (long long)v);
    *ret = (size_t)v;
    return SAE_OK;
}

/* --- 4. the file ---------------------------------------------------------------------------- */

static enum sae_status read_head(struct reader *r, uint64_t *n_tensors, uint64_t *n_pairs)
{
    uint64_t version;
    r->what = "the file's head";
    if (r->n < 4 || memcmp(r->bytes, "GGUF", 4) != 0)
        return sae_err_set(r->err, SAE_EFORMAT, "no GGUF file: it does not begin with GGUF");
    r->at = 4;
    SAE_TRY(read_number(r, &version, 4));
    if (version != 2 && version != 3)
        return sae_err_set(r->err, SAE_EFORMAT,
                           "GGUF version %" PRIu64 ", read are 2 and 3, little endian", version);
    SAE_TRY(read_number(r, n_tensors, 8));
    SAE_TRY(read_number(r, n_pairs, 8));
    if (*n_tensors > left(r) / TENSOR_MIN || *n_pairs > left(r) / PAIR_MIN)
        return sae_err_set(r->err, SAE_EFORMAT,
                           "%" PRIu64 " tensors and %" PRIu64 " keys, the file has %zu more bytes",
                           *n_tensors, *n_pairs, left(r));
    return SAE_OK;
}

static enum sae_status read_all(struct reader *r, json_t *meta, struct sae_st_tensor **ret,
                                size_t *ret_n)
{
    uint64_t n_tensors = 0, n_pairs = 0;
    size_t alignment = ALIGNMENT;
    SAE_TRY(read_head(r, &n_tensors, &n_pairs));
    for (uint64_t i = 0; i < n_pairs; i++)
        SAE_TRY(read_pair(r, meta));
    SAE_TRY(read_alignment(r, meta, &alignment));
    SAE_TRY(sae_mem_alloc(ret, (size_t)n_tensors, sizeof **ret, r->err));
    for (; *ret_n < n_tensors;) {
        *ret_n += 1; /* before the fill, so that a half-filled entry is freed too */
        SAE_TRY(read_tensor(r, &(*ret)[*ret_n - 1]));
    }
    return place(r, *ret, *ret_n, alignment);
}

enum sae_status sae_gguf_read(json_t **ret_meta, struct sae_st_part *ret, const char *path,
                              struct sae_err *err)
{
    struct sae_st_part part = {0};
    enum sae_status st;
    json_t *const meta = json_object();
    if (!meta)
        return sae_err_set(err, SAE_ENOMEM, "metadata of '%s'", path);
    SAE_GO(st, sae_mem_strdup(&part.path, path, err));
    SAE_GO(st, sae_map_open(&part.map, path, err));
    struct reader r = {.bytes = part.map.bytes, .n = part.map.n, .err = err};
    st = read_all(&r, meta, &part.tensors, &part.n);
    if (st != SAE_OK)
        (void)sae_err_prefix(err, "'%s'", path);
done:
    if (st != SAE_OK) {
        sae_st_part_free(&part);
        json_decref(meta);
        return st;
    }
    *ret_meta = meta;
    *ret = part;
    return SAE_OK;
}
