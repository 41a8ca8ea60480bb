/* SPDX-License-Identifier: MIT */
/* tensors : files of named arrays, told apart by content.
 * Contents: 1. opening   2. values */
#include "lib/file/tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/base/f16.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/npy.h"
#include "lib/file/st.h"
#include "lib/file/torch.h"
#include "lib/file/zip.h"

/* --- 1. opening --------------------------------------------------------------------------- */

static enum sae_status open_st(struct sae_tensors *to, const char *path, struct sae_err *err)
{
    to->kind = "safetensors";
    SAE_TRY(sae_st_open(&to->st, path, err));
    const size_t n = sae_st_size(to->st);
    SAE_TRY(sae_mem_alloc(&to->v, n, sizeof *to->v, err));
    for (size_t i = 0; i < n; i++) {
        const struct sae_st_tensor *const from = sae_st_at(to->st, i);
        struct sae_tensor *const t = &to->v[to->n++];
        SAE_TRY(sae_mem_strdup(&t->name, from->name, err));
        t->type = SAE_TENSOR_F32;
        while (t->type != SAE_TENSOR_OTHER &&
               strcmp(sae_tensor_type_name(t->type), from->dtype_name) != 0)
            t->type++;
        t->rank = from->rank;
        t->n = from->n;
        t->data = from->data;
        size_t stride = 1;
        for (size_t d = t->rank; d-- > 0;) {
            t->shape[d] = from->shape[d];
            t->stride[d] = stride;
            stride *= from->shape[d];
        }
    }
    return SAE_OK;
}

static enum sae_status open_npz(struct sae_tensors *to, struct sae_err *err)
{
    to->kind = "npz";
    const size_t n = sae_zip_size(to->zip);
    SAE_TRY(sae_mem_alloc(&to->v, n, sizeof *to->v, err));
    for (size_t i = 0; i < n; i++) {
        const char *const name = sae_zip_name(to->zip, i);
        const uint8_t *bytes;
        size_t n_bytes;
        if (!sae_str_ends(name, ".npy"))
            continue;
        SAE_TRY(sae_zip_get(to->zip, i, &bytes, &n_bytes, err));
        struct sae_tensor *const t = &to->v[to->n];
        if (sae_npy_parse(t, bytes, n_bytes, err) != SAE_OK)
            return sae_err_prefix(err, "array '%s'", name);
        SAE_TRY(sae_mem_strdup(&t->name, name, err));
        t->name[strlen(name) - strlen(".npy")] = '\0';
        to->n++;
    }
    return to->n > 0 ? SAE_OK
                     : sae_err_set(err, SAE_EFORMAT,
                                   "the archive holds neither numpy arrays (*.npy) nor a PyTorch "
                                   "state dict (data.pkl)");
}

static enum sae_status open_zip(struct sae_tensors *to, const char *path, struct sae_err *err)
{
    SAE_TRY(sae_zip_open(&to->zip, path, err));
    const size_t pickle = sae_torch_find(to->zip);
    enum sae_status st;
    if (pickle == SIZE_MAX) {
        st = open_npz(to, err);
    } else {
        to->kind = "torch";
        st = sae_torch_read(to, to->zip, pickle, err);
    }
    /* messages of the archive itself name the file already */
    return st != SAE_OK && strstr(err->msg, path) == NULL ? sae_err_prefix(err, "'%s'", path) : st;
}

/* The first bytes tell the kind. */
static enum sae_status read_kind(bool *ret_zip, const char *path, struct sae_err *err)
{
    struct sae_map map = {0};
    SAE_TRY(sae_map_open(&map, path, err));
    *ret_zip = map.n >= 4 && memcmp(map.bytes, "PK", 2) == 0 && map.bytes[2] < 8;
    /* a safetensors header begins at byte 8, and no pickle of tensors has a '{' there */
    const bool st = map.n > 8 && map.bytes[8] == '{';
    const bool pickle = map.n >= 2 && map.bytes[0] == 0x80 && map.bytes[1] <= 5;
    sae_map_close(&map);
    if (*ret_zip || st)
        return SAE_OK;
    if (pickle)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' is a bare pickle, PyTorch's form before 1.6; load it there and "
                           "save it again (torch.save)",
                           path);
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' is of no known kind; expected safetensors, npz or PyTorch's zip form",
                       path);
}

enum sae_status sae_tensors_open(struct sae_tensors *ret, const char *path, struct sae_err *err)
{
    struct sae_tensors tensors = {0};
    struct sae_err local;
    bool zip = false;
    if (err == NULL)
        err = &local;
    SAE_TRY(read_kind(&zip, path, err));
    const enum sae_status st = zip ? open_zip(&tensors, path, err) : open_st(&tensors, path, err);
    if (st != SAE_OK)
        sae_tensors_close(&tensors);
    else
        *ret = tensors;
    return st;
}

void sae_tensors_close(struct sae_tensors *tensors)
{
    for (size_t i = 0; tensors->v != NULL && i < tensors->n; i++)
        free(tensors->v[i].name);
    for (size_t i = 0; tensors->numbers != NULL && i < tensors->n_numbers; i++)
        free(tensors->numbers[i].name);
    free(tensors->v);
    free(tensors->numbers);
    sae_st_close(tensors->st);
    sae_zip_close(tensors->zip);
    *tensors = (struct sae_tensors){0};
}

const struct sae_tensor *sae_tensors_find(const struct sae_tensors *tensors, const char *name)
{
    for (size_t i = 0; i < tensors->n; i++)
        if (strcmp(tensors->v[i].name, name) == 0)
            return &tensors->v[i];
    return NULL;
}

/* --- 2. values ---------------------------------------------------------------------------- */

double sae_tensor_element(enum sae_tensor_type type, const uint8_t *p)
{
    union {
        float f;
        double d;
        int64_t q;
        int32_t l;
        int16_t s;
        uint16_t h;
        uint32_t w;
        uint64_t v;
    } u = {0};
    memcpy(&u, p, sae_tensor_width(type));
    switch (type) {
    case SAE_TENSOR_F32:
        return (double)u.f;
    case SAE_TENSOR_F64:
        return u.d;
    case SAE_TENSOR_F16:
        return (double)sae_f16_to_f32(u.h);
    case SAE_TENSOR_BF16:
        return (double)sae_bf16_to_f32(u.h);
    case SAE_TENSOR_I64:
        return (double)u.q;
    case SAE_TENSOR_I32:
        return u.l;
    case SAE_TENSOR_I16:
        return u.s;
    case SAE_TENSOR_I8:
        return (int8_t)*p;
    case SAE_TENSOR_U8:
        return *p;
    case SAE_TENSOR_U16:
        return u.h;
    case SAE_TENSOR_U32:
        return u.w;
    case SAE_TENSOR_U64:
        return (double)u.v;
    case SAE_TENSOR_OTHER:
        break;
    }
    return 0;
}

double sae_tensor_number(const struct sae_tensor *tensor)
{
    return tensor->n == 1 ? sae_tensor_element(tensor->type, tensor->data) : 0;
}

/* Rows [r0, r1) of a matrix, in squares that the cache holds: one of the two strides is long. */
static void read_matrix(const struct sae_tensor *t, float *to)
{
    enum { SIDE = 64 };
    const size_t rows = t->shape[0], cols = t->shape[1], width = sae_tensor_width(t->type);
    for (size_t r0 = 0; r0 < rows; r0 += SIDE)
        for (size_t c0 = 0; c0 < cols; c0 += SIDE)
            for (size_t r = r0; r < rows && r < r0 + SIDE; r++)
                for (size_t c = c0; c < cols && c < c0 + SIDE; c++) {
                    const uint8_t *const p =
                        t->data + (r * t->stride[0] + c * t->stride[1]) * width;
                    if (t->type == SAE_TENSOR_F32)
                        memcpy(&to[r * cols + c], p, sizeof *to);
                    else
                        to[r * cols + c] = (float)sae_tensor_element(t->type, p);
                }
}

static bool in_order(const struct sae_tensor *t)
{
    size_t stride = 1;
    for (size_t d = t->rank; d-- > 0; stride *= t->shape[d])
        if (t->stride[d] != stride && t->shape[d] != 1)
            return false;
    return true;
}

enum sae_status sae_tensor_read(const struct sae_tensor *tensor, float *to, struct sae_err *err)
{
    const size_t width = sae_tensor_width(tensor->type);
    if (tensor->type == SAE_TENSOR_OTHER)
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s' is of a type that cannot be read",
                           tensor->name);
    if (tensor->n == 0)
        return SAE_OK;
    if (tensor->type == SAE_TENSOR_F32 && in_order(tensor)) {
        memcpy(to, tensor->data, tensor->n * sizeof *to);
    } else if (tensor->rank == 2) {
        read_matrix(tensor, to);
    } else if (tensor->rank > 2 && !in_order(tensor)) {
        return sae_err_set(err, SAE_EFORMAT,
                           "tensor '%s' of %zu dimensions is not stored in order", tensor->name,
                           tensor->rank);
    } else {
        const size_t stride = tensor->rank == 1 ? tensor->stride[0] : 1;
        for (size_t i = 0; i < tensor->n; i++)
            to[i] = (float)sae_tensor_element(tensor->type, tensor->data + i * stride * width);
    }
    return SAE_OK;
}

struct sae_tensor sae_tensor_transposed(const struct sae_tensor *tensor)
{
    struct sae_tensor t = *tensor;
    if (t.rank == 2) {
        t.shape[0] = tensor->shape[1];
        t.shape[1] = tensor->shape[0];
        t.stride[0] = tensor->stride[1];
        t.stride[1] = tensor->stride[0];
    }
    return t;
}
