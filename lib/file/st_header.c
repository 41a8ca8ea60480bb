/* SPDX-License-Identifier: MIT */
/* st_header : the JSON header of a safetensors file, checked rule by rule.
 * jansson checks UTF-8, escapes, duplicate keys and trailing text; what JSON allows and the
 * format does not is checked here. */
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/file/st_inner.h"

enum { DEPTH_MAX = 4, NAME_MAX_LEN = 1024, TENSORS_MAX = 1000000 };
#define NUMBER_MAX ((json_int_t)1 << 48)

static const struct dtype {
    const char *name;
    enum sae_st_dtype dtype;
    size_t bits;
} dtypes[] = {
    {"F32",         SAE_ST_F32,   32},
    {"BF16",        SAE_ST_BF16,  16},
    {"F16",         SAE_ST_F16,   16},
    {"BOOL",        SAE_ST_OTHER, 8 },
    {"U8",          SAE_ST_OTHER, 8 },
    {"I8",          SAE_ST_OTHER, 8 },
    {"F8_E5M2",     SAE_ST_OTHER, 8 },
    {"F8_E4M3",     SAE_ST_OTHER, 8 },
    {"F8_E8M0",     SAE_ST_OTHER, 8 },
    {"F8_E4M3FNUZ", SAE_ST_OTHER, 8 },
    {"F8_E5M2FNUZ", SAE_ST_OTHER, 8 },
    {"I16",         SAE_ST_OTHER, 16},
    {"U16",         SAE_ST_OTHER, 16},
    {"I32",         SAE_ST_OTHER, 32},
    {"U32",         SAE_ST_OTHER, 32},
    {"C64",         SAE_ST_OTHER, 64},
    {"F64",         SAE_ST_OTHER, 64},
    {"I64",         SAE_ST_OTHER, 64},
    {"U64",         SAE_ST_OTHER, 64},
    {"F4",          SAE_ST_OTHER, 4 },
    {"F6_E2M3",     SAE_ST_OTHER, 6 },
    {"F6_E3M2",     SAE_ST_OTHER, 6 },
};

/* What only the raw text shows: nesting, and numbers with a sign, point or exponent. Every
 * number of a valid header is a plain count, so those letters may stand only inside strings. */
static enum sae_status check_text(const char *text, size_t n, struct sae_err *err)
{
    if (n == 0 || text[0] != '{')
        return sae_err_set(err, SAE_EFORMAT, "the header does not start with '{'");
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"')
            in_string = true;
        else if ((c == '{' || c == '[') && ++depth > DEPTH_MAX)
            return sae_err_set(err, SAE_EFORMAT, "the header nests deeper than %d", DEPTH_MAX);
        else if ((c == '}' || c == ']') && depth > 0)
            depth--;
        else if (c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E')
            return sae_err_set(err, SAE_EFORMAT,
                               "header byte %zu is '%c' where only plain whole numbers and strings "
                               "are allowed",
                               i, c);
    }
    return SAE_OK;
}

static enum sae_status read_number(size_t *ret, const json_t *value, const char *name,
                                   const char *what, struct sae_err *err)
{
    if (!json_is_integer(value))
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s': %s holds something not a whole number",
                           name, what);
    const json_int_t v = json_integer_value(value);
    if (v < 0 || v > NUMBER_MAX)
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s': %s holds %lld, outside 0 ... 2^48", name,
                           what, (long long)v);
    *ret = (size_t)v;
    return SAE_OK;
}

static enum sae_status read_shape(struct sae_st_tensor *t, const json_t *shape,
                                  struct sae_err *err)
{
    if (!json_is_array(shape))
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s': 'shape' is not a list", t->name);
    t->rank = json_array_size(shape);
    if (t->rank > SAE_ST_RANK_MAX)
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s': %zu dimensions, at most %d are allowed",
                           t->name, t->rank, SAE_ST_RANK_MAX);
    t->n = 1;
    for (size_t i = 0; i < t->rank; i++) {
        SAE_TRY(read_number(&t->shape[i], json_array_get(shape, i), t->name, "'shape'", err));
        if (__builtin_mul_overflow(t->n, t->shape[i], &t->n))
            return sae_err_set(err, SAE_EFORMAT, "tensor '%s': the shape overflows", t->name);
    }
    return SAE_OK;
}

static enum sae_status read_dtype(struct sae_st_tensor *t, size_t *ret_bits, const json_t *value,
                                  struct sae_err *err)
{
    const char *s = json_string_value(value);
    if (s == NULL)
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s': 'dtype' is not a string", t->name);
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (strcmp(s, dtypes[i].name) != 0)
            continue;
        t->dtype = dtypes[i].dtype;
        t->dtype_name = dtypes[i].name;
        *ret_bits = dtypes[i].bits;
        return SAE_OK;
    }
    return sae_err_set(err, SAE_EFORMAT, "tensor '%s': unknown dtype '%.32s'", t->name, s);
}

static enum sae_status read_offsets(struct sae_st_tensor *t, size_t bits, const json_t *pair,
                                    struct sae_err *err)
{
    if (!json_is_array(pair) || json_array_size(pair) != 2)
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s': 'data_offsets' is not a pair", t->name);
    SAE_TRY(read_number(&t->begin, json_array_get(pair, 0), t->name, "'data_offsets'", err));
    SAE_TRY(read_number(&t->end, json_array_get(pair, 1), t->name, "'data_offsets'", err));
    if (t->end < t->begin)
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s': ends at %zu before it begins at %zu",
                           t->name, t->end, t->begin);
    size_t all_bits;
    if (__builtin_mul_overflow(t->n, bits, &all_bits) || all_bits % 8 != 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "tensor '%s': %zu elements of %zu bits are not whole bytes", t->name,
                           t->n, bits);
    if (t->end - t->begin != all_bits / 8)
        return sae_err_set(err, SAE_EFORMAT,
                           "tensor '%s': %zu bytes of data, expected %zu for its shape and %s",
                           t->name, t->end - t->begin, all_bits / 8, t->dtype_name);
    return SAE_OK;
}

static enum sae_status read_tensor(struct sae_st_tensor *t, const char *name, const json_t *entry,
                                   struct sae_err *err)
{
    const size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_LEN)
        return sae_err_set(err, SAE_EFORMAT, "a tensor name has %zu bytes, expected 1 to %d", len,
                           NAME_MAX_LEN);
    SAE_TRY(sae_mem_strdup(&t->name, name, err));
    if (!json_is_object(entry))
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s': not an object", name);
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    for (size_t i = 0; i < 3; i++)
        if (json_object_get(entry, keys[i]) == NULL)
            return sae_err_set(err, SAE_EFORMAT, "tensor '%s': no '%s'", name, keys[i]);
    if (json_object_size(entry) != 3)
        return sae_err_set(err, SAE_EFORMAT,
                           "tensor '%s': keys other than dtype, shape and data_offsets", name);
    size_t bits = 0;
    SAE_TRY(read_dtype(t, &bits, json_object_get(entry, "dtype"), err));
    SAE_TRY(read_shape(t, json_object_get(entry, "shape"), err));
    return read_offsets(t, bits, json_object_get(entry, "data_offsets"), err);
}

static enum sae_status check_metadata(const json_t *meta, struct sae_err *err)
{
    if (!json_is_object(meta))
        return sae_err_set(err, SAE_EFORMAT, "'__metadata__' is not an object");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)meta, key, value)
    {
        if (!json_is_string(value))
            return sae_err_set(err, SAE_EFORMAT, "'__metadata__': '%.64s' is not a string", key);
    }
    return SAE_OK;
}

static int by_position(const void *a, const void *b)
{
    const struct sae_st_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Tensors tile the data: no hole, no overlap, no byte left. */
static enum sae_status check_tiling(const struct sae_st_tensor *t, size_t n, size_t n_data,
                                    struct sae_err *err)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (t[i].begin != at)
            return sae_err_set(err, SAE_EFORMAT, "tensor '%s': begins at %zu, expected %zu (%s)",
                               t[i].name, t[i].begin, at, t[i].begin < at ? "overlap" : "hole");
        at = t[i].end;
    }
    if (at != n_data)
        return sae_err_set(err, SAE_EFORMAT, "%zu bytes of data in the file, the tensors hold %zu",
                           n_data, at);
    return SAE_OK;
}

static enum sae_status read_tensors(struct sae_st_tensor *tensors, size_t *n, json_t *root,
                                    struct sae_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            SAE_TRY(check_metadata(value, err));
            continue;
        }
        *n += 1; /* before the fill, so that a half-filled entry is freed too */
        SAE_TRY(read_tensor(&tensors[*n - 1], key, value, err));
    }
    return SAE_OK;
}

enum sae_status sae_st_parse(struct sae_st_tensor **ret, size_t *ret_n, const char *text,
                               size_t n, size_t n_data, struct sae_err *err)
{
    SAE_TRY(check_text(text, n, err));
    json_error_t why;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        return sae_err_set(err, SAE_EFORMAT, "the header is not valid JSON: %s", why.text);
    enum sae_status st;
    struct sae_st_tensor *tensors = NULL;
    size_t count = 0;
    if (json_object_size(root) > TENSORS_MAX) {
        st = sae_err_set(err, SAE_EFORMAT, "%zu tensors, at most %d are allowed",
                         json_object_size(root), TENSORS_MAX);
        goto done;
    }
    SAE_GO(st, sae_mem_alloc(&tensors, json_object_size(root), sizeof *tensors, err));
    SAE_GO(st, read_tensors(tensors, &count, root, err));
    qsort(tensors, count, sizeof *tensors, by_position);
    SAE_GO(st, check_tiling(tensors, count, n_data, err));
    *ret = tensors;
    *ret_n = count;
done:
    json_decref(root);
    if (st != SAE_OK)
        sae_st_tensors_free(tensors, count);
    return st;
}

void sae_st_tensors_free(struct sae_st_tensor *tensors, size_t n)
{
    for (size_t i = 0; tensors != NULL && i < n; i++)
        free(tensors[i].name);
    free(tensors);
}
