/* SPDX-License-Identifier: MIT */
/* npy : magic, version, length of the header, then a Python dict in text:
 *   {'descr': '<f4', 'fortran_order': False, 'shape': (16, 64), } */
#include "lib/file/npy.h"

#include <stdio.h>
#include <string.h>

/* The header's text, eaten from the front. */
struct text {
    const char *at, *end;
};

static bool eat(struct text *t, const char *word)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n'))
        t->at++;
    const size_t len = strlen(word);
    if ((size_t)(t->end - t->at) < len || memcmp(t->at, word, len) != 0)
        return false;
    t->at += len;
    return true;
}

static bool eat_number(struct text *t, size_t *ret)
{
    size_t v = 0;
    if (!eat(t, "") || t->at == t->end || *t->at < '0' || *t->at > '9')
        return false;
    for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
        if (__builtin_mul_overflow(v, (size_t)10, &v) ||
            __builtin_add_overflow(v, (size_t)(*t->at - '0'), &v))
            return false;
    *ret = v;
    return true;
}

static bool eat_type(struct text *t, enum sae_tensor_type *ret)
{
    static const struct {
        const char *name;
        enum sae_tensor_type type;
    } types[] = {
        {"'<f4'", SAE_TENSOR_F32}, {"'<f8'", SAE_TENSOR_F64}, {"'<f2'", SAE_TENSOR_F16},
        {"'<i8'", SAE_TENSOR_I64}, {"'<i4'", SAE_TENSOR_I32}, {"'<i2'", SAE_TENSOR_I16},
        {"'|i1'", SAE_TENSOR_I8},  {"'|u1'", SAE_TENSOR_U8},  {"'<u2'", SAE_TENSOR_U16},
        {"'<u4'", SAE_TENSOR_U32}, {"'<u8'", SAE_TENSOR_U64},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (eat(t, types[i].name)) {
            *ret = types[i].type;
            return true;
        }
    return false;
}

static bool eat_shape(struct text *t, struct sae_tensor *tensor)
{
    if (!eat(t, "("))
        return false;
    while (!eat(t, ")")) {
        if (tensor->rank == SAE_TENSOR_RANK_MAX || !eat_number(t, &tensor->shape[tensor->rank]))
            return false;
        tensor->rank++;
        if (!eat(t, ",")) /* a comma must follow, but for the last number of several */
            return tensor->rank > 1 && eat(t, ")");
    }
    return true;
}

static enum sae_status parse_head(struct sae_tensor *tensor, bool *fortran, struct text t,
                                  struct sae_err *err)
{
    bool has[3] = {false, false, false}, good = eat(&t, "{");
    while (good && !eat(&t, "}")) {
        if (!has[0] && eat(&t, "'descr':")) {
            has[0] = true;
            if (!eat_type(&t, &tensor->type)) {
                if (eat(&t, "'|O"))
                    return sae_err_set(err, SAE_EFORMAT,
                                       "elements of type '|O' are Python objects, which are not "
                                       "read; save numbers: x.astype(numpy.float32)");
                const char *const name = t.at + (t.at < t.end && *t.at == '\'');
                int len = 0;
                while (len < 12 && name + len < t.end && name[len] != '\'')
                    len++;
                return sae_err_set(err, SAE_EFORMAT,
                                   "elements of type '%.*s'; little-endian floats and whole numbers "
                                   "are read",
                                   len, name);
            }
        } else if (!has[1] && eat(&t, "'fortran_order':")) {
            has[1] = true;
            *fortran = eat(&t, "True");
            good = *fortran || eat(&t, "False");
        } else {
            good = !has[2] && eat(&t, "'shape':") && eat_shape(&t, tensor);
            has[2] = true;
        }
        good = good && (eat(&t, ",") || (t.at < t.end && *t.at == '}'));
    }
    if (!good || !has[0] || !has[1] || !has[2] || (eat(&t, ""), t.at != t.end))
        return sae_err_set(err, SAE_EFORMAT, "the header is not one that numpy writes");
    return SAE_OK;
}

/* Strides and the number of elements; the data must be just as long. */
static enum sae_status lay_out(struct sae_tensor *tensor, bool fortran, size_t n_data,
                               struct sae_err *err)
{
    size_t n = 1, n_bytes;
    for (size_t i = 0; i < tensor->rank; i++) {
        const size_t dim = fortran ? i : tensor->rank - 1 - i;
        tensor->stride[dim] = n;
        if (__builtin_mul_overflow(n, tensor->shape[dim], &n))
            return sae_err_set(err, SAE_EFORMAT, "the shape overflows");
    }
    tensor->n = n;
    if (__builtin_mul_overflow(n, sae_tensor_width(tensor->type), &n_bytes) || n_bytes != n_data) {
        char shape[SAE_TENSOR_SHAPE_BYTES];
        return sae_err_set(err, SAE_EFORMAT, "%zu bytes of data do not make a shape of %s", n_data,
                           sae_tensor_shape(tensor, shape));
    }
    return SAE_OK;
}

enum sae_status sae_npy_parse(struct sae_tensor *ret, const uint8_t *bytes, size_t n,
                              struct sae_err *err)
{
    struct sae_tensor tensor = {0};
    bool fortran = false;
    if (n < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return sae_err_set(err, SAE_EFORMAT, "it does not begin as a numpy array");
    if (bytes[6] < 1 || bytes[6] > 3)
        return sae_err_set(err, SAE_EFORMAT, "version %u of the array format; 1 to 3 are read",
                           bytes[6]);
    size_t at = bytes[6] == 1 ? 10 : 12, n_head = bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1)
        n_head |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (n_head > n - at)
        return sae_err_set(err, SAE_EFORMAT, "a header of %zu bytes where %zu are left", n_head,
                           n - at);
    const struct text text = {(const char *)bytes + at, (const char *)bytes + at + n_head};
    SAE_TRY(parse_head(&tensor, &fortran, text, err));
    at += n_head;
    SAE_TRY(lay_out(&tensor, fortran, n - at, err));
    tensor.data = bytes + at;
    *ret = tensor;
    return SAE_OK;
}

size_t sae_npy_head(char to[SAE_NPY_HEAD_MAX], size_t rank, const size_t *shape)
{
    char dims[128];
    int len = 0;
    for (size_t i = 0; i < rank; i++)
        len += snprintf(dims + len, sizeof dims - (size_t)len, i + 1 < rank ? "%zu, " : "%zu",
                        shape[i]);
    dims[len] = '\0';
    memcpy(to, "\x93NUMPY\x01\x00", 8);
    len = snprintf(to + 10, SAE_NPY_HEAD_MAX - 10,
                   "{'descr': '<f4', 'fortran_order': False, 'shape': (%s%s), }", dims,
                   rank == 1 ? "," : "");
    size_t end = 10 + (size_t)len;
    while ((end + 1) % 64 != 0)
        to[end++] = ' ';
    to[end++] = '\n';
    to[8] = (char)((end - 10) & 255U);
    to[9] = (char)((end - 10) >> 8);
    return end;
}
