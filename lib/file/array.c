/* SPDX-License-Identifier: MIT */
/* array : rows of numbers from files of other programs.
 * Contents: 1. files   2. which array   3. values */
#include "lib/file/array.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/base/f16.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/file/h5.h"
#include "lib/file/npy.h"
#include "lib/file/tensors.h"

/* --- 1. files ----------------------------------------------------------------------------- */

struct sae_arrays {
    char *path;
    const char *kind;
    struct sae_map map; /* .npy: its bytes, and their description as the one tensor */
    struct sae_tensor npy;
    struct sae_tensors tensors; /* other kinds but HDF5 */
    struct sae_h5 *h5;
};

static enum sae_status open_npy(struct sae_arrays *to, struct sae_err *err)
{
    to->kind = "numpy";
    SAE_TRY(sae_map_open(&to->map, to->path, err));
    if (sae_npy_parse(&to->npy, to->map.bytes, to->map.n, err) != SAE_OK)
        return sae_err_prefix(err, "'%s'", to->path);
    return SAE_OK;
}

static enum sae_status open_kind(struct sae_arrays *to, struct sae_err *err)
{
    struct sae_map map = {0};
    SAE_TRY(sae_map_open(&map, to->path, err));
    const bool npy = map.n >= 6 && memcmp(map.bytes, "\x93NUMPY", 6) == 0;
    const bool h5 = map.n >= 8 && memcmp(map.bytes, "\x89HDF\r\n\x1a\n", 8) == 0;
    const bool empty = map.n == 0;
    sae_map_close(&map);
    if (empty)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is empty", to->path);
    if (npy)
        return open_npy(to, err);
    if (h5) {
        to->kind = "HDF5";
        return sae_h5_open_foreign(&to->h5, to->path, err);
    }
    const enum sae_status st = sae_tensors_open(&to->tensors, to->path, err);
    to->kind = to->tensors.kind;
    if (st != SAE_OK && strstr(err->msg, "of no known kind") != NULL)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' is of no known kind; expected .npy, .npz, safetensors, HDF5, or "
                           "PyTorch's zip form (torch.save)",
                           to->path);
    return st;
}

enum sae_status sae_arrays_open(struct sae_arrays **ret, const char *path, struct sae_err *err)
{
    struct sae_arrays *arrays = NULL;
    struct sae_err local;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&arrays, 1, sizeof *arrays, err));
    SAE_GO(st, sae_mem_strdup(&arrays->path, path, err));
    SAE_GO(st, open_kind(arrays, err ? err : &local));
    *ret = arrays;
    arrays = NULL;
done:
    sae_arrays_close(arrays);
    return st;
}

void sae_arrays_close(struct sae_arrays *arrays)
{
    if (!arrays)
        return;
    sae_tensors_close(&arrays->tensors);
    sae_h5_close(arrays->h5);
    sae_map_close(&arrays->map);
    free(arrays->path);
    free(arrays);
}

const char *sae_arrays_kind(const struct sae_arrays *arrays)
{
    return arrays->kind;
}

void sae_array_clear(struct sae_array *array)
{
    free(array->name);
    *array = (struct sae_array){0};
}

/* --- 2. which array ----------------------------------------------------------------------- */

static bool is_float(enum sae_tensor_type type)
{
    return type == SAE_TENSOR_F32 || type == SAE_TENSOR_F64 || type == SAE_TENSOR_F16 ||
           type == SAE_TENSOR_BF16;
}

static size_t n_tensors(const struct sae_arrays *a)
{
    return a->map.bytes ? 1 : a->tensors.n;
}

static const struct sae_tensor *tensor_at(const struct sae_arrays *a, size_t i)
{
    return a->map.bytes ? &a->npy : &a->tensors.v[i];
}

/* "x [100, 8] F32, tokens [100] I64" for messages. */
static void say_held(char *to, size_t size, const struct sae_arrays *a)
{
    enum { MOST = 6 };
    char shape[SAE_TENSOR_SHAPE_BYTES];
    size_t len = 0, n = n_tensors(a);
    for (size_t i = 0; i < n && i < MOST && len < size; i++) {
        const struct sae_tensor *const t = tensor_at(a, i);
        const char *const type = sae_tensor_type_name(t->type);
        len += (size_t)snprintf(to + len, size - len, "%s%.60s %s %s", i > 0 ? ", " : "",
                                t->name ? t->name : "an array", sae_tensor_shape(t, shape),
                                *type != '\0' ? type : "(other type)");
    }
    if (n > MOST && len < size)
        (void)snprintf(to + len, size - len, ", and %zu more", n - MOST);
    if (n == 0)
        (void)snprintf(to, size, "no arrays");
}

static bool in_order(const struct sae_tensor *t)
{
    return t->rank == 1 ? t->stride[0] == 1 || t->n < 2
                        : (t->stride[1] == 1 || t->shape[1] == 1) &&
                              (t->stride[0] == t->shape[1] || t->shape[0] == 1);
}

static enum sae_status take_tensor(struct sae_array *ret, const struct sae_arrays *a,
                                   const struct sae_tensor *t, size_t rank, struct sae_err *err)
{
    const char *const name = t->name ? t->name : "its array";
    char shape[SAE_TENSOR_SHAPE_BYTES];
    if (t->rank != rank)
        return sae_err_set(err, SAE_EFORMAT, "'%s': %s has shape %s, expected %s", a->path, name,
                           sae_tensor_shape(t, shape), rank == 2 ? "[rows, width]" : "[rows]");
    if (t->type == SAE_TENSOR_OTHER || (rank == 2 && !is_float(t->type)))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': %s holds %s, expected %s", a->path, name,
                           t->type == SAE_TENSOR_OTHER ? "a type that is not read"
                                                       : sae_tensor_type_name(t->type),
                           rank == 2 ? "F32, F16, BF16 or F64" : "numbers");
    if (!in_order(t))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': %s is not stored row by row (Fortran order, or transposed); save "
                           "numpy.ascontiguousarray(x), or x.contiguous() in PyTorch",
                           a->path, name);
    struct sae_array array = {.in = a,
                              .type = sae_tensor_type_name(t->type),
                              .rows = t->shape[0],
                              .d = rank == 2 ? t->shape[1] : 1,
                              .data = t->data,
                              .element = t->type};
    if (t->name)
        SAE_TRY(sae_mem_strdup(&array.name, t->name, err));
    *ret = array;
    return SAE_OK;
}

static enum sae_status find_tensor(struct sae_array *ret, const struct sae_arrays *a,
                                   const char *name, size_t rank, struct sae_err *err)
{
    const struct sae_tensor *found = NULL;
    char held[600];
    size_t n = 0;
    say_held(held, sizeof held, a);
    if (name && a->map.bytes)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' is a .npy file, whose one array has no name; '%s' cannot be in it",
                           a->path, name);
    for (size_t i = 0; i < n_tensors(a); i++) {
        const struct sae_tensor *const t = tensor_at(a, i);
        if (name ? strcmp(t->name, name) == 0 : t->rank == rank && is_float(t->type)) {
            found = t;
            n++;
        }
    }
    if (n == 0 && !name && n_tensors(a) == 1)
        found = tensor_at(a, 0), n = 1; /* take_tensor says what is wrong with it */
    if (n == 1)
        return take_tensor(ret, a, found, rank, err);
    if (name)
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no array '%s'; it holds: %s", a->path, name,
                           held);
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' has %s array of floats with two dimensions; %sit holds: %s", a->path,
                       n == 0 ? "no" : "more than one", n == 0 ? "" : "name one with --array; ",
                       held);
}

/* "/x" of "x", in new memory: links are checked on the way from the root. */
static enum sae_status absolute(char **ret, const char *name, struct sae_err *err)
{
    const size_t n = strlen(name), slash = name[0] != '/';
    char *path = NULL;
    SAE_TRY(sae_mem_alloc(&path, n + slash + 1, 1, err));
    path[0] = '/';
    memcpy(path + slash, name, n + 1);
    *ret = path;
    return SAE_OK;
}

/* Takes `path`, new memory, in either case. */
static enum sae_status take_dataset(struct sae_array *ret, const struct sae_arrays *a, char *path,
                                    size_t rank, struct sae_err *err)
{
    size_t dims[2] = {0, 1};
    const char *type = NULL;
    enum sae_status st = sae_h5_shape(a->h5, path, rank, dims, err);
    if (st == SAE_OK)
        type = sae_h5_float_name(a->h5, path);
    if (st == SAE_OK && rank == 2 && !type)
        st = sae_err_set(err, SAE_EFORMAT, "'%s': '%s' does not hold floats", a->path, path);
    if (st != SAE_OK) {
        free(path);
        return st;
    }
    *ret = (struct sae_array){.in = a,
                              .name = path,
                              .type = type ? type : "whole",
                              .rows = dims[0],
                              .d = dims[1]};
    return SAE_OK;
}

/* The only matrix of floats among the members of the root. */
static enum sae_status only_dataset(struct sae_array *ret, const struct sae_arrays *a,
                                    struct sae_err *err)
{
    char **names = NULL, *found = NULL;
    size_t n = 0, n_found = 0, dims[2];
    enum sae_status st;
    SAE_TRY(sae_h5_names(a->h5, "/", &n, &names, err));
    for (size_t i = 0; i < n; i++) {
        char *path = NULL;
        SAE_GO(st, absolute(&path, names[i], err));
        if (sae_h5_float_name(a->h5, path) && sae_h5_shape(a->h5, path, 2, dims, NULL) == SAE_OK &&
            n_found++ == 0)
            found = path;
        else
            free(path);
    }
    if (n_found == 1) {
        st = take_dataset(ret, a, found, 2, err);
        found = NULL;
    } else {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' has %s dataset of floats with two dimensions in its root; name one "
                         "with --array, such as '/layer_3/x'",
                         a->path, n_found == 0 ? "no" : "more than one");
    }
done:
    free(found);
    sae_h5_strings_free(names, n);
    return st;
}

static enum sae_status find_dataset(struct sae_array *ret, const struct sae_arrays *a,
                                    const char *name, size_t rank, struct sae_err *err)
{
    char *path = NULL;
    if (!name)
        return only_dataset(ret, a, err);
    SAE_TRY(absolute(&path, name, err));
    return take_dataset(ret, a, path, rank, err);
}

static enum sae_status find(struct sae_array *ret, const struct sae_arrays *arrays,
                            const char *name, size_t rank, struct sae_err *err)
{
    if (!arrays->h5)
        return find_tensor(ret, arrays, name, rank, err);
    return find_dataset(ret, arrays, name, rank, err);
}

enum sae_status sae_arrays_rows(struct sae_array *ret, const struct sae_arrays *arrays,
                                const char *name, struct sae_err *err)
{
    struct sae_array array = {0};
    size_t n;
    SAE_TRY(find(&array, arrays, name, 2, err));
    if (array.rows > 0 && array.d > 0 && !__builtin_mul_overflow(array.rows, array.d, &n) &&
        n <= SIZE_MAX / sizeof(double)) {
        *ret = array;
        return SAE_OK;
    }
    const enum sae_status st =
        sae_err_set(err, SAE_EFORMAT, "'%s': %s has shape [%zu, %zu]%s", arrays->path,
                    array.name ? array.name : "its array", array.rows, array.d,
                    array.rows == 0 || array.d == 0 ? ": it is empty" : ", which cannot be");
    sae_array_clear(&array);
    return st;
}

enum sae_status sae_arrays_column(struct sae_array *ret, const struct sae_arrays *arrays,
                                  const char *name, size_t rows, struct sae_err *err)
{
    struct sae_array array = {0};
    SAE_TRY(find(&array, arrays, name, 1, err));
    if (array.rows == rows) {
        *ret = array;
        return SAE_OK;
    }
    const enum sae_status st =
        sae_err_set(err, SAE_EFORMAT, "'%s': '%s' has length %zu, but there are %zu rows",
                    arrays->path, name, array.rows, rows);
    sae_array_clear(&array);
    return st;
}

/* --- 3. values ---------------------------------------------------------------------------- */

static void widen(float *to, enum sae_tensor_type type, const uint8_t *from, size_t n)
{
    uint16_t half;
    if (type == SAE_TENSOR_F32) {
        memcpy(to, from, n * sizeof *to);
    } else if (type == SAE_TENSOR_F16) {
        for (size_t i = 0; i < n; i++) {
            memcpy(&half, from + 2 * i, 2);
            to[i] = sae_f16_to_f32(half);
        }
    } else if (type == SAE_TENSOR_BF16) {
        for (size_t i = 0; i < n; i++) {
            memcpy(&half, from + 2 * i, 2);
            to[i] = sae_bf16_to_f32(half);
        }
    } else {
        const size_t width = sae_tensor_width(type);
        for (size_t i = 0; i < n; i++) {
            const double v = sae_tensor_element(type, from + i * width);
            to[i] = fabs(v) > (double)FLT_MAX ? INFINITY : (float)v;
        }
    }
}

static enum sae_status check_range(const struct sae_array *array, size_t first, size_t n,
                                   struct sae_err *err)
{
    if (first <= array->rows && n <= array->rows - first)
        return SAE_OK;
    return sae_err_set(err, SAE_ERANGE, "rows %zu to %zu of '%s': it has %zu", first, first + n,
                       array->in->path, array->rows);
}

enum sae_status sae_array_read(const struct sae_array *array, size_t first, size_t n, float *to,
                               struct sae_err *err)
{
    SAE_TRY(check_range(array, first, n, err));
    if (!array->data)
        return sae_h5_read_rows(array->in->h5, array->name, SAE_H5_F32, first, n, to, err);
    const enum sae_tensor_type type = (enum sae_tensor_type)array->element;
    const size_t row = array->d * sae_tensor_width(type);
    widen(to, type, array->data + first * row, n * array->d);
    /* members of an archive may be memory that does not come back */
    if (array->in->map.bytes || array->in->tensors.st)
        sae_map_drop(array->data + first * row, n * row);
    return SAE_OK;
}

enum sae_status sae_array_read_whole(const struct sae_array *array, size_t first, size_t n,
                                     uint32_t most, uint32_t *to, struct sae_err *err)
{
    SAE_TRY(check_range(array, first, n, err));
    const enum sae_tensor_type type = (enum sae_tensor_type)array->element;
    const size_t width = array->data ? sae_tensor_width(type) : 0;
    if (!array->data)
        SAE_TRY(sae_h5_read_rows(array->in->h5, array->name, SAE_H5_U32, first, n, to, err));
    for (size_t i = 0; i < n; i++) {
        const double v = array->data
                             ? sae_tensor_element(type, array->data + (first + i) * width)
                             : (double)to[i];
        if (!(v >= 0 && v <= (double)most && v == floor(v)))
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s': '%s' holds %.17g at row %zu; expected whole numbers from 0 to "
                               "%" PRIu32,
                               array->in->path, array->name, v, first + i, most);
        to[i] = (uint32_t)v;
    }
    return SAE_OK;
}
