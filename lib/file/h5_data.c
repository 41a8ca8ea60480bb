/* SPDX-License-Identifier: MIT */
/* h5_data : datasets of numbers and of text.
 * Contents: 1. types   2. writing   3. reading   4. strings */
#include "lib/file/h5_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"

enum {
    CHUNK_BYTES = 1 << 20, /* of a chunk: large enough for disk speed, small enough to cache */
    CHUNK_ROWS = 256,      /* of a matrix, at most: what is read at random places is blocks of so many */
    SMALL_BYTES = 64       /* below this a checksum costs more than the data */
};

/* --- 1. types ----------------------------------------------------------------------------- */

/* bf16 as an HDF5 float: sign 15, exponent 8 bits from 7, fraction 7 bits, bias 127. */
static hid_t make_bf16(void)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    if (type >= 0 && H5Tset_fields(type, 15, 7, 8, 0, 7) >= 0 && H5Tset_size(type, 2) >= 0 &&
        H5Tset_ebias(type, 127) >= 0)
        return type;
    if (type >= 0)
        H5Tclose(type);
    return H5I_INVALID_HID;
}

static size_t type_size(enum sae_h5_type type)
{
    static const size_t size[] = {4, 8, 2, 1, 2, 4, 8, 4, 8};
    return size[type];
}

/* Memory and file type are the same: all machines that build saekit are little-endian. */
static hid_t type_open(enum sae_h5_type type)
{
    switch (type) {
    case SAE_H5_F32:
        return H5Tcopy(H5T_IEEE_F32LE);
    case SAE_H5_F64:
        return H5Tcopy(H5T_IEEE_F64LE);
    case SAE_H5_BF16:
        return make_bf16();
    case SAE_H5_U8:
        return H5Tcopy(H5T_STD_U8LE);
    case SAE_H5_U16:
        return H5Tcopy(H5T_STD_U16LE);
    case SAE_H5_U32:
        return H5Tcopy(H5T_STD_U32LE);
    case SAE_H5_U64:
        return H5Tcopy(H5T_STD_U64LE);
    case SAE_H5_I32:
        return H5Tcopy(H5T_STD_I32LE);
    case SAE_H5_I64:
        return H5Tcopy(H5T_STD_I64LE);
    }
    return H5I_INVALID_HID;
}

/* --- 2. writing --------------------------------------------------------------------------- */

/* Chunks are whole rows, about CHUNK_BYTES of them; of a matrix a power of two, so that a block of
 * rows is whole chunks and nothing is read twice. */
static void chunk_dims(size_t rank, const size_t *dims, size_t elem, hsize_t *chunk)
{
    size_t row = elem;
    for (size_t i = 1; i < rank; i++) {
        chunk[i] = dims[i];
        row *= dims[i];
    }
    size_t rows = row == 0 ? 1 : CHUNK_BYTES / row;
    if (rank > 1) {
        size_t power = 1;
        while (2 * power <= rows && power < CHUNK_ROWS)
            power *= 2;
        rows = power;
    }
    chunk[0] = rows < 1 ? 1 : rows > dims[0] ? dims[0] : rows;
}

/* Negative where HDF5 had no memory for it: a dataset must not lose its checksum unnoticed. */
static hid_t layout(size_t rank, const size_t *dims, size_t elem)
{
    const hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    bool good = dcpl >= 0 && H5Pset_obj_track_times(dcpl, 0) >= 0;
    size_t bytes = elem;
    for (size_t i = 0; i < rank; i++)
        bytes *= dims[i];
    if (bytes > SMALL_BYTES && rank > 0) {
        hsize_t chunk[H5S_MAX_RANK];
        chunk_dims(rank, dims, elem, chunk);
        good = good && H5Pset_chunk(dcpl, (int)rank, chunk) >= 0 && H5Pset_fletcher32(dcpl) >= 0;
    }
    if (good)
        return dcpl;
    if (dcpl >= 0)
        H5Pclose(dcpl);
    return H5I_INVALID_HID;
}

static void digest_dataset(struct sae_h5 *file, const char *name, size_t rank, const size_t *dims,
                           const void *data, size_t bytes)
{
    sae_digest_update(&file->digest, name, strlen(name) + 1);
    for (size_t i = 0; i < rank; i++) {
        const uint64_t n = dims[i];
        sae_digest_update(&file->digest, &n, sizeof n);
    }
    if (bytes > 0)
        sae_digest_update(&file->digest, data, bytes);
}

static enum sae_status put_typed(struct sae_h5 *file, const char *name, hid_t type, size_t elem,
                                 size_t rank, const size_t *dims, const void *data,
                                 struct sae_err *err)
{
    hsize_t extent[H5S_MAX_RANK];
    size_t n = 1;
    for (size_t i = 0; i < rank; i++) {
        extent[i] = dims[i];
        n *= dims[i];
    }
    if (file->is_id_only) {
        digest_dataset(file, name, rank, dims, data, n * elem);
        return SAE_OK;
    }
    const hid_t space =
        rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple((int)rank, extent, NULL);
    const hid_t dcpl = layout(rank, dims, elem);
    errno = 0;
    const hid_t set = !h5_make_parents(file->id, name)
                          ? H5I_INVALID_HID
                          : H5Dcreate2(file->id, name, type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    const herr_t wrote = set < 0  ? -1
                         : n == 0 ? 0
                                  : H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    enum sae_status st = SAE_OK;
    if (wrote < 0)
        st = h5_fail(file, err, SAE_EIO, "write", name);
    if (set >= 0 && H5Dclose(set) < 0 && st == SAE_OK)
        st = h5_fail(file, err, SAE_EIO, "write", name);
    H5Pclose(dcpl);
    H5Sclose(space);
    if (st == SAE_OK)
        digest_dataset(file, name, rank, dims, data, n * elem);
    return st;
}

enum sae_status sae_h5_put(struct sae_h5 *file, const char *name, enum sae_h5_type type,
                           size_t rank, const size_t *dims, const void *data, struct sae_err *err)
{
    const hid_t h5type = type_open(type);
    const enum sae_status st =
        put_typed(file, name, h5type, type_size(type), rank, dims, data, err);
    H5Tclose(h5type);
    return st;
}

enum sae_status sae_h5_put1(struct sae_h5 *file, const char *name, enum sae_h5_type type, size_t n,
                            const void *data, struct sae_err *err)
{
    return sae_h5_put(file, name, type, 1, &n, data, err);
}

enum sae_status sae_h5_put2(struct sae_h5 *file, const char *name, enum sae_h5_type type,
                            size_t rows, size_t cols, const void *data, struct sae_err *err)
{
    const size_t dims[2] = {rows, cols};
    return sae_h5_put(file, name, type, 2, dims, data, err);
}

/* --- 3. reading --------------------------------------------------------------------------- */

static enum sae_status open_set(const struct sae_h5 *file, const char *name, size_t rank,
                                size_t *dims, hid_t *ret, struct sae_err *err)
{
    hid_t set;
    SAE_TRY(h5_open_set(&set, file, name, err));
    const hid_t space = H5Dget_space(set);
    const int found = H5Sget_simple_extent_ndims(space);
    hsize_t extent[H5S_MAX_RANK];
    if (found == (int)rank)
        H5Sget_simple_extent_dims(space, extent, NULL);
    H5Sclose(space);
    if (found != (int)rank) {
        H5Dclose(set);
        return sae_err_set(err, SAE_EFORMAT, "'%s' in '%s' has %d axes, expected %zu", name,
                           file->path, found, rank);
    }
    for (size_t i = 0; i < rank; i++)
        dims[i] = (size_t)extent[i];
    *ret = set;
    return SAE_OK;
}

enum sae_status sae_h5_shape(const struct sae_h5 *file, const char *name, size_t rank, size_t *dims,
                             struct sae_err *err)
{
    hid_t set;
    SAE_TRY(open_set(file, name, rank, dims, &set, err));
    H5Dclose(set);
    return SAE_OK;
}

/* HDF5 alone gives the nearest number that an integer type holds: 0 for -1. */
static H5T_conv_ret_t convert_exactly(H5T_conv_except_t what, hid_t from, hid_t to, void *source,
                                      void *target, void *met)
{
    (void)what, (void)from, (void)source, (void)target;
    if (H5Tget_class(to) != H5T_INTEGER)
        return H5T_CONV_UNHANDLED;
    *(bool *)met = true;
    return H5T_CONV_ABORT;
}

/* Fails: SAE_EFORMAT, also where a number is none of that integer type; SAE_EIO */
static enum sae_status read_numbers(const struct sae_h5 *file, const char *name, hid_t set,
                                    enum sae_h5_type type, hid_t memory, hid_t space, void *to,
                                    struct sae_err *err)
{
    bool unfit = false;
    const hid_t h5type = type_open(type), transfer = H5Pcreate(H5P_DATASET_XFER);
    errno = 0;
    const bool good = transfer >= 0 &&
                      H5Pset_type_conv_cb(transfer, convert_exactly, &unfit) >= 0 &&
                      H5Dread(set, h5type, memory, space, transfer, to) >= 0;
    enum sae_status st = SAE_OK;
    if (unfit)
        st = sae_err_set(
            err, SAE_EFORMAT,
            "'%s' in '%s' holds a number that is negative, broken or too large; expected "
            "whole numbers of %zu bits",
            name, file->path, 8 * type_size(type));
    else if (!good)
        st = h5_fail(file, err, SAE_EFORMAT, "read (damaged?)", name);
    if (transfer >= 0)
        H5Pclose(transfer);
    if (h5type >= 0)
        H5Tclose(h5type);
    return st;
}

static bool is_number(hid_t set)
{
    const hid_t type = H5Dget_type(set);
    const H5T_class_t class = H5Tget_class(type);
    H5Tclose(type);
    return class == H5T_INTEGER || class == H5T_FLOAT;
}

const char *sae_h5_float_name(const struct sae_h5 *file, const char *name)
{
    hid_t set;
    if (h5_open_set(&set, file, name, NULL) != SAE_OK)
        return NULL;
    const hid_t type = H5Dget_type(set);
    const bool is_float = H5Tget_class(type) == H5T_FLOAT;
    const size_t size = H5Tget_size(type);
    const bool wide = is_float && H5Tget_ebias(type) == 127; /* the exponent of f32 and bf16 */
    H5Tclose(type);
    H5Dclose(set);
    if (!is_float)
        return NULL;
    return size == 8 ? "F64" : size == 4 ? "F32" : size == 2 ? (wide ? "BF16" : "F16") : "float";
}

/* Lengths as the caller wants them, and a product that fits. */
static enum sae_status check_extent(const struct sae_h5 *file, const char *name, size_t rank,
                                    const size_t *dims, const size_t *want, struct sae_err *err)
{
    size_t n = 1;
    for (size_t i = 0; i < rank; i++) {
        if (want != NULL && want[i] != 0 && want[i] != dims[i])
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' in '%s' has length %zu on axis %zu, "
                               "expected %zu",
                               name, file->path, dims[i], i, want[i]);
        if (__builtin_mul_overflow(n, dims[i], &n))
            return sae_err_set(err, SAE_EFORMAT, "'%s' in '%s' is impossibly large", name,
                               file->path);
    }
    return SAE_OK;
}

enum sae_status sae_h5_get(const struct sae_h5 *file, const char *name, enum sae_h5_type type,
                           size_t rank, const size_t *want, size_t *got, void *ret,
                           struct sae_err *err)
{
    size_t dims[H5S_MAX_RANK] = {0};
    hid_t set;
    SAE_TRY(open_set(file, name, rank, dims, &set, err));
    void *data = NULL;
    enum sae_status st;
    SAE_GO(st, check_extent(file, name, rank, dims, want, err));
    if (!is_number(set)) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' in '%s' does not hold numbers", name, file->path);
        goto done;
    }
    size_t n = 1;
    for (size_t i = 0; i < rank; i++)
        n *= dims[i];
    SAE_GO(st, sae_mem_alloc(&data, n, type_size(type), err));
    if (n > 0)
        SAE_GO(st, read_numbers(file, name, set, type, H5S_ALL, H5S_ALL, data, err));
    memcpy(ret, &data, sizeof data);
    data = NULL;
    for (size_t i = 0; got != NULL && i < rank; i++)
        got[i] = dims[i];
done:
    free(data);
    H5Dclose(set);
    return st;
}

enum sae_status sae_h5_read_rows(const struct sae_h5 *file, const char *name, enum sae_h5_type type,
                                 size_t first, size_t n, void *to, struct sae_err *err)
{
    hid_t set;
    SAE_TRY(h5_open_set(&set, file, name, err));
    const hid_t space = H5Dget_space(set);
    const int rank = H5Sget_simple_extent_ndims(space);
    enum sae_status st = SAE_OK;
    hsize_t extent[2] = {0, 1}, start[2] = {first, 0}, count[2] = {n, 1};
    if (rank == 1 || rank == 2)
        H5Sget_simple_extent_dims(space, extent, NULL);
    count[1] = extent[1];
    if (rank != 1 && rank != 2)
        st = sae_err_set(err, SAE_EFORMAT, "'%s' in '%s' cannot be read by rows", name, file->path);
    else if (first > extent[0] || n > extent[0] - first)
        st = sae_err_set(err, SAE_ERANGE, "rows %zu to %zu of '%s' in '%s': it has %llu", first,
                         first + n, name, file->path, (unsigned long long)extent[0]);
    if (st == SAE_OK && n > 0) {
        const hid_t memory = H5Screate_simple(rank, count, NULL);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
        st = read_numbers(file, name, set, type, memory, space, to, err);
        H5Sclose(memory);
    }
    H5Sclose(space);
    H5Dclose(set);
    return st;
}

/* --- 4. strings --------------------------------------------------------------------------- */

enum sae_status sae_h5_put_strings(struct sae_h5 *file, const char *name, size_t n,
                                   char *const *strings, struct sae_err *err)
{
    size_t width = 1;
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(strings[i]);
        width = len > width ? len : width;
    }
    char *block = NULL;
    SAE_TRY(sae_mem_alloc(&block, n, width, err));
    for (size_t i = 0; i < n; i++)
        memcpy(block + i * width, strings[i], strlen(strings[i]));
    const hid_t type = h5_text_type(width, H5T_STR_NULLPAD);
    /* One string is a scalar: h5py then shows text, not an array of one. */
    const enum sae_status st = put_typed(file, name, type, width, n == 1 ? 0 : 1, &n, block, err);
    H5Tclose(type);
    free(block);
    return st;
}

static enum sae_status split_block(char ***ret, size_t n, size_t width, const char *block,
                                   struct sae_err *err)
{
    char **strings = NULL;
    SAE_TRY(sae_mem_alloc(&strings, n, sizeof *strings, err));
    for (size_t i = 0; i < n; i++) {
        const enum sae_status st = sae_mem_alloc(&strings[i], width + 1, 1, err);
        if (st != SAE_OK) {
            sae_h5_strings_free(strings, n);
            return st;
        }
        memcpy(strings[i], block + i * width, width);
    }
    *ret = strings;
    return SAE_OK;
}

/* Text of fixed length, one block of n times `width` bytes. */
static enum sae_status get_fixed(const struct sae_h5 *file, const char *name, hid_t set, hid_t type,
                                 size_t n, char ***ret, struct sae_err *err)
{
    const size_t width = H5Tget_size(type);
    char *block = NULL;
    SAE_TRY(sae_mem_alloc(&block, n, width, err));
    errno = 0;
    enum sae_status st = SAE_OK;
    if (n > 0 && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, block) < 0)
        st = h5_fail(file, err, SAE_EFORMAT, "read (damaged?)", name);
    if (st == SAE_OK)
        st = split_block(ret, n, width, block, err);
    free(block);
    return st;
}

/* Text of variable length, as h5py writes it: pointers into memory of HDF5. */
static enum sae_status get_variable(const struct sae_h5 *file, const char *name, hid_t set,
                                    hid_t type, size_t n, char ***ret, struct sae_err *err)
{
    char **theirs = NULL, **strings = NULL;
    const hid_t space = H5Dget_space(set);
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&theirs, n, sizeof *theirs, err));
    errno = 0;
    if (n > 0 && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, theirs) < 0) {
        st = h5_fail(file, err, SAE_EFORMAT, "read (damaged?)", name);
        goto done;
    }
    SAE_GO(st, sae_mem_alloc(&strings, n, sizeof *strings, err));
    for (size_t i = 0; i < n && st == SAE_OK; i++)
        st = sae_mem_strdup(&strings[i], theirs[i] != NULL ? theirs[i] : "", err);
    if (n > 0)
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, theirs);
    if (st != SAE_OK)
        sae_h5_strings_free(strings, n);
    else
        *ret = strings;
done:
    H5Sclose(space);
    free(theirs);
    return st;
}

enum sae_status sae_h5_get_strings(const struct sae_h5 *file, const char *name, size_t *ret_n,
                                   char ***ret, struct sae_err *err)
{
    hid_t set;
    SAE_TRY(h5_open_set(&set, file, name, err));
    const hid_t type = H5Dget_type(set);
    const hid_t space = H5Dget_space(set);
    const hssize_t n = H5Sget_simple_extent_npoints(space);
    enum sae_status st;
    if (H5Tget_class(type) != H5T_STRING || n < 0)
        st = sae_err_set(err, SAE_EFORMAT, "'%s' in '%s' does not hold text", name, file->path);
    else if (H5Tis_variable_str(type) > 0)
        st = get_variable(file, name, set, type, (size_t)n, ret, err);
    else
        st = get_fixed(file, name, set, type, (size_t)n, ret, err);
    if (st == SAE_OK)
        *ret_n = (size_t)n;
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(set);
    return st;
}
