/* SPDX-License-Identifier: MIT */
/* h5 : HDF5 with saekit's law - whole or absent, no timestamps, checksums, an id over the content.
 * Contents: 1. types   2. open and close   3. writing   4. reading   5. attributes   6. strings */
#include "lib/file/h5.h"

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum {
    FORMAT_VERSION = 1,
    CHUNK_BYTES = 1 << 20, /* of a chunk: large enough for disk speed, small enough to cache */
    SMALL_BYTES = 64       /* below this a checksum costs more than the data */
};

struct sae_h5 {
    hid_t id;
    char *path;
    char *part;   /* file being written; NULL when reading */
    char *kind;
    char *record; /* when reading */
    char hex[SAE_DIGEST_HEX];
    struct sae_digest digest;
};

/* Every file is closed here, so nothing is left for HDF5 1.10 to do at exit; and what it does there
 * crashes where a write failed on a full disk. The call counts only before any other. */
__attribute__((constructor)) static void forgo_cleanup_at_exit(void)
{
    H5dont_atexit();
}

/* --- 1. types ----------------------------------------------------------------------------- */

const char *sae_h5_library(void)
{
    static char text[32];
    unsigned major = 0, minor = 0, release = 0;
    if (text[0] == '\0') {
        H5get_libversion(&major, &minor, &release);
        snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    }
    return text;
}

/* bf16 as an HDF5 float: sign 15, exponent 8 bits from 7, fraction 7 bits, bias 127. */
static hid_t make_bf16(void)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 7, 8, 0, 7);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 127);
    return type;
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

/* HDF5's own sentence about the innermost failure, for people who know it. */
static herr_t copy_innermost(unsigned n, const H5E_error2_t *entry, void *to)
{
    if (n == 0 && entry->desc != NULL)
        snprintf(to, 200, "%s", entry->desc);
    return 0;
}

static enum sae_status fail(const struct sae_h5 *file, struct sae_err *err, enum sae_status code,
                            const char *doing, const char *name)
{
    char why[200] = "no reason given";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, copy_innermost, why);
    const int full = file->part != NULL && errno == ENOSPC;
    return sae_err_set(err, code, "cannot %s '%s' in '%s': %s", doing, name, file->path,
                       full ? "no space left on device" : why);
}

/* --- 2. open and close -------------------------------------------------------------------- */

static enum sae_status file_new(struct sae_h5 **ret, const char *path, struct sae_err *err)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* messages go through err, never straight to stderr */
    struct sae_h5 *file = NULL;
    SAE_TRY(sae_mem_alloc(&file, 1, sizeof *file, err));
    file->id = H5I_INVALID_HID;
    const enum sae_status st = sae_mem_strdup(&file->path, path, err);
    if (st != SAE_OK)
        free(file);
    else
        *ret = file;
    return st;
}

void sae_h5_close(struct sae_h5 *file)
{
    if (file == NULL)
        return;
    if (file->id >= 0)
        H5Fclose(file->id);
    if (file->part != NULL)
        unlink(file->part);
    free(file->path);
    free(file->part);
    free(file->kind);
    free(file->record);
    free(file);
}

/* Equal runs give equal bytes: no access times, and names kept in a fixed (creation) order. */
static hid_t open_for_writing(const char *part)
{
    const hid_t fcpl = H5Pcreate(H5P_FILE_CREATE);
    const hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_obj_track_times(fcpl, 0);
    H5Pset_libver_bounds(fapl, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    const hid_t id = H5Fcreate(part, H5F_ACC_TRUNC, fcpl, fapl);
    H5Pclose(fapl);
    H5Pclose(fcpl);
    return id;
}

enum sae_status sae_h5_create(struct sae_h5 **ret, const char *path, const char *kind, bool force,
                              struct sae_err *err)
{
    if (!force && access(path, F_OK) == 0)
        return sae_err_set(err, SAE_EARG, "'%s' exists already; give --force to replace it", path);
    struct sae_h5 *file = NULL;
    struct sae_str part = {0};
    enum sae_status st;
    SAE_TRY(file_new(&file, path, err));
    SAE_GO(st, sae_mem_strdup(&file->kind, kind, err));
    SAE_GO(st, sae_str_printf(&part, err, "%s.part", path));
    errno = 0;
    file->id = open_for_writing(part.s);
    if (file->id < 0) {
        st = sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path,
                         errno != 0 ? strerror(errno) : "HDF5 cannot create it");
        goto done;
    }
    file->part = part.s;
    part = (struct sae_str){0};
    sae_digest_init(&file->digest);
    sae_digest_update(&file->digest, kind, strlen(kind) + 1);
    SAE_GO(st, sae_h5_attr_put_str(file, "/", "kind", kind, err));
    SAE_GO(st, sae_h5_attr_put_u64(file, "/", "format_version", FORMAT_VERSION, err));
    *ret = file;
    file = NULL;
done:
    sae_str_clear(&part);
    sae_h5_close(file);
    return st;
}

enum sae_status sae_h5_commit(struct sae_h5 **file_ref, const char *record, struct sae_err *err)
{
    struct sae_h5 *file = *file_ref;
    *file_ref = NULL;
    enum sae_status st;
    char *const lines[1] = {(char *)record};
    SAE_GO(st, sae_h5_put_strings(file, "/record", 1, lines, err));
    char hex[SAE_DIGEST_HEX];
    sae_digest_hex(&file->digest, hex);
    SAE_GO(st, sae_h5_attr_put_str(file, "/", "id", hex, err));
    errno = 0;
    const herr_t flushed = H5Fflush(file->id, H5F_SCOPE_GLOBAL);
    const int why = errno;
    const herr_t closed = H5Fclose(file->id);
    file->id = H5I_INVALID_HID;
    if (flushed < 0 || closed < 0) {
        st = sae_err_set(err, SAE_EIO, "cannot write '%s': %s", file->path,
                         why != 0 ? strerror(why) : "HDF5 could not finish the file");
        goto done;
    }
    SAE_GO(st, sae_fs_publish(file->part, file->path, err));
    free(file->part);
    file->part = NULL;
done:
    sae_h5_close(file);
    return st;
}

static enum sae_status check_head(struct sae_h5 *file, const char *kind, struct sae_err *err)
{
    uint64_t version;
    char *id = NULL;
    if (H5Aexists(file->id, "kind") <= 0 || H5Aexists(file->id, "format_version") <= 0 ||
        H5Aexists(file->id, "id") <= 0)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is an HDF5 file, but not one of saekit's",
                           file->path);
    SAE_TRY(sae_h5_attr_str(file, "/", "kind", &file->kind, err));
    SAE_TRY(sae_h5_attr_u64(file, "/", "format_version", &version, err));
    if (version > FORMAT_VERSION)
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' has format version %llu, this build reads up to %d; use a newer "
                           "saekit",
                           file->path, (unsigned long long)version, FORMAT_VERSION);
    if (kind != NULL && strcmp(kind, file->kind) != 0)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is of kind '%s', expected '%s'", file->path,
                           file->kind, kind);
    SAE_TRY(sae_h5_attr_str(file, "/", "id", &id, err));
    snprintf(file->hex, sizeof file->hex, "%s", id);
    free(id);
    return SAE_OK;
}

enum sae_status sae_h5_open(struct sae_h5 **ret, const char *path, const char *kind,
                            struct sae_err *err)
{
    if (access(path, R_OK) != 0)
        return sae_err_set(err, SAE_EIO, "cannot open '%s': %s", path, strerror(errno));
    if (sae_fs_is_dir(path))
        return sae_err_set(err, SAE_EIO, "cannot open '%s': it is a folder", path);
    struct sae_h5 *file = NULL;
    char **lines = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_TRY(file_new(&file, path, err));
    if (H5Fis_hdf5(path) <= 0) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is not an HDF5 file", path);
        goto done;
    }
    file->id = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file->id < 0) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is damaged or truncated: HDF5 cannot open it",
                         path);
        goto done;
    }
    SAE_GO(st, check_head(file, kind, err));
    SAE_GO(st, sae_h5_get_strings(file, "/record", &n, &lines, err));
    if (n != 1) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' has %zu records, expected 1", path, n);
        goto done;
    }
    file->record = lines[0];
    lines[0] = NULL;
    *ret = file;
    file = NULL;
done:
    sae_h5_strings_free(lines, n);
    sae_h5_close(file);
    return st;
}

const char *sae_h5_path(const struct sae_h5 *file)
{
    return file->path;
}

const char *sae_h5_kind(const struct sae_h5 *file)
{
    return file->kind;
}

const char *sae_h5_id(const struct sae_h5 *file)
{
    return file->hex;
}

const char *sae_h5_record(const struct sae_h5 *file)
{
    return file->record;
}

/* --- 3. writing --------------------------------------------------------------------------- */

/* Chunks are whole rows, about CHUNK_BYTES of them. */
static void chunk_dims(size_t rank, const size_t *dims, size_t elem, hsize_t *chunk)
{
    size_t row = elem;
    for (size_t i = 1; i < rank; i++) {
        chunk[i] = dims[i];
        row *= dims[i];
    }
    size_t rows = row == 0 ? 1 : CHUNK_BYTES / row;
    rows = rows < 1 ? 1 : rows > dims[0] ? dims[0] : rows;
    chunk[0] = rows;
}

static hid_t layout(size_t rank, const size_t *dims, size_t elem)
{
    const hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(dcpl, 0);
    size_t bytes = elem;
    for (size_t i = 0; i < rank; i++)
        bytes *= dims[i];
    if (bytes > SMALL_BYTES && rank > 0) {
        hsize_t chunk[H5S_MAX_RANK];
        chunk_dims(rank, dims, elem, chunk);
        H5Pset_chunk(dcpl, (int)rank, chunk);
        H5Pset_fletcher32(dcpl);
    }
    return dcpl;
}

/* Makes the group at path where it is not there yet. Groups carry timestamps unless told not to,
 * and HDF5's own making of intermediate groups cannot be told, so they are made here. */
static bool make_group(hid_t file, const char *path)
{
    if (H5Lexists(file, path, H5P_DEFAULT) > 0)
        return true;
    const hid_t gcpl = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(gcpl, 0);
    const hid_t group = H5Gcreate2(file, path, H5P_DEFAULT, gcpl, H5P_DEFAULT);
    H5Pclose(gcpl);
    return group >= 0 && H5Gclose(group) >= 0;
}

/* Makes every group above `name`: "/a" and "/a/b" for "/a/b/c". */
static bool make_parents(hid_t file, const char *name)
{
    char path[512];
    if (strlen(name) >= sizeof path)
        return false;
    for (size_t i = 1; name[i] != '\0'; i++) {
        if (name[i] != '/')
            continue;
        memcpy(path, name, i);
        path[i] = '\0';
        if (!make_group(file, path))
            return false;
    }
    return true;
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
    const hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple((int)rank, extent, NULL);
    const hid_t dcpl = layout(rank, dims, elem);
    errno = 0;
    const hid_t set = !make_parents(file->id, name)
                          ? H5I_INVALID_HID
                          : H5Dcreate2(file->id, name, type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    const herr_t wrote =
        set < 0 ? -1 : n == 0 ? 0 : H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    enum sae_status st = SAE_OK;
    if (wrote < 0)
        st = fail(file, err, SAE_EIO, "write", name);
    if (set >= 0 && H5Dclose(set) < 0 && st == SAE_OK)
        st = fail(file, err, SAE_EIO, "write", name);
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

/* --- 4. reading --------------------------------------------------------------------------- */

bool sae_h5_has(const struct sae_h5 *file, const char *name)
{
    /* Each group on the way must exist before H5Lexists may ask for the next. */
    char path[512];
    if (strlen(name) >= sizeof path)
        return false;
    for (size_t i = 1; name[0] == '/' && i <= strlen(name); i++) {
        if (name[i] != '/' && name[i] != '\0')
            continue;
        memcpy(path, name, i);
        path[i] = '\0';
        if (i > 1 && H5Lexists(file->id, path, H5P_DEFAULT) <= 0)
            return false;
    }
    return true;
}

/* Opens a dataset of the given rank and gives its extent. */
static enum sae_status open_set(const struct sae_h5 *file, const char *name, size_t rank,
                                size_t *dims, hid_t *ret, struct sae_err *err)
{
    if (!sae_h5_has(file, name))
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no dataset '%s'", file->path, name);
    const hid_t set = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (set < 0)
        return fail(file, err, SAE_EFORMAT, "open", name);
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

enum sae_status sae_h5_shape(const struct sae_h5 *file, const char *name, size_t rank,
                             size_t *dims, struct sae_err *err)
{
    hid_t set;
    SAE_TRY(open_set(file, name, rank, dims, &set, err));
    H5Dclose(set);
    return SAE_OK;
}

static bool is_number(hid_t set)
{
    const hid_t type = H5Dget_type(set);
    const H5T_class_t class = H5Tget_class(type);
    H5Tclose(type);
    return class == H5T_INTEGER || class == H5T_FLOAT;
}

/* Lengths as the caller wants them, and a product that fits. */
static enum sae_status check_extent(const struct sae_h5 *file, const char *name, size_t rank,
                                    const size_t *dims, const size_t *want, struct sae_err *err)
{
    size_t n = 1;
    for (size_t i = 0; i < rank; i++) {
        if (want != NULL && want[i] != 0 && want[i] != dims[i])
            return sae_err_set(err, SAE_EFORMAT, "'%s' in '%s' has length %zu on axis %zu, "
                               "expected %zu", name, file->path, dims[i], i, want[i]);
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
    const hid_t h5type = type_open(type);
    const herr_t read =
        n == 0 ? 0 : H5Dread(set, h5type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Tclose(h5type);
    if (read < 0) {
        st = fail(file, err, SAE_EFORMAT, "read (damaged?)", name);
        goto done;
    }
    memcpy(ret, &data, sizeof data);
    data = NULL;
    for (size_t i = 0; got != NULL && i < rank; i++)
        got[i] = dims[i];
done:
    free(data);
    H5Dclose(set);
    return st;
}

enum sae_status sae_h5_read_rows(const struct sae_h5 *file, const char *name,
                                 enum sae_h5_type type, size_t first, size_t n, void *to,
                                 struct sae_err *err)
{
    if (!sae_h5_has(file, name))
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no dataset '%s'", file->path, name);
    const hid_t set = H5Dopen2(file->id, name, H5P_DEFAULT);
    const hid_t space = set < 0 ? H5I_INVALID_HID : H5Dget_space(set);
    const int rank = set < 0 ? 0 : H5Sget_simple_extent_ndims(space);
    enum sae_status st = SAE_OK;
    hsize_t extent[2] = {0, 1}, start[2] = {first, 0}, count[2] = {n, 1};
    if (rank == 1 || rank == 2)
        H5Sget_simple_extent_dims(space, extent, NULL);
    count[1] = extent[1];
    if (rank != 1 && rank != 2)
        st = sae_err_set(err, SAE_EFORMAT, "'%s' in '%s' cannot be read by rows", name,
                         file->path);
    else if (first > extent[0] || n > extent[0] - first)
        st = sae_err_set(err, SAE_ERANGE, "rows %zu to %zu of '%s' in '%s': it has %llu", first,
                         first + n, name, file->path, (unsigned long long)extent[0]);
    if (st == SAE_OK && n > 0) {
        const hid_t memory = H5Screate_simple(rank, count, NULL);
        const hid_t h5type = type_open(type);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
        if (H5Dread(set, h5type, memory, space, H5P_DEFAULT, to) < 0)
            st = fail(file, err, SAE_EFORMAT, "read (damaged?)", name);
        H5Tclose(h5type);
        H5Sclose(memory);
    }
    if (set >= 0) {
        H5Sclose(space);
        H5Dclose(set);
    }
    return st;
}

/* --- 5. attributes ------------------------------------------------------------------------ */

/* Opens the object an attribute belongs to, making it a group where it is not there yet. */
static hid_t object_open(const struct sae_h5 *file, const char *object)
{
    if (!sae_h5_has(file, object) &&
        (file->part == NULL || !make_parents(file->id, object) || !make_group(file->id, object)))
        return H5I_INVALID_HID;
    return H5Oopen(file->id, object, H5P_DEFAULT);
}

static enum sae_status attr_put(struct sae_h5 *file, const char *object, const char *name,
                                hid_t type, const void *value, size_t bytes, struct sae_err *err)
{
    const hid_t at = object_open(file, object);
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attr = at < 0 ? H5I_INVALID_HID
                              : H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    enum sae_status st = SAE_OK;
    if (attr < 0 || H5Awrite(attr, type, value) < 0)
        st = fail(file, err, SAE_EIO, "write attribute", name);
    if (attr >= 0)
        H5Aclose(attr);
    if (at >= 0)
        H5Oclose(at);
    H5Sclose(space);
    if (st == SAE_OK && strcmp(name, "id") != 0) {
        sae_digest_update(&file->digest, name, strlen(name) + 1);
        sae_digest_update(&file->digest, value, bytes);
    }
    return st;
}

enum sae_status sae_h5_attr_put_str(struct sae_h5 *file, const char *object, const char *name,
                                    const char *value, struct sae_err *err)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, strlen(value) + 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    const enum sae_status st =
        attr_put(file, object, name, type, value, strlen(value) + 1, err);
    H5Tclose(type);
    return st;
}

enum sae_status sae_h5_attr_put_u64(struct sae_h5 *file, const char *object, const char *name,
                                    uint64_t value, struct sae_err *err)
{
    return attr_put(file, object, name, H5T_STD_U64LE, &value, sizeof value, err);
}

enum sae_status sae_h5_attr_put_f64(struct sae_h5 *file, const char *object, const char *name,
                                    double value, struct sae_err *err)
{
    return attr_put(file, object, name, H5T_IEEE_F64LE, &value, sizeof value, err);
}

static hid_t attr_open(const struct sae_h5 *file, const char *object, const char *name,
                       H5T_class_t class, H5T_class_t or_class, hid_t *ret_type)
{
    if (!sae_h5_has(file, object))
        return H5I_INVALID_HID;
    const hid_t attr = H5Aopen_by_name(file->id, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attr < 0)
        return attr;
    const hid_t type = H5Aget_type(attr);
    const H5T_class_t found = H5Tget_class(type);
    const hid_t space = H5Aget_space(attr);
    const bool scalar = H5Sget_simple_extent_npoints(space) == 1;
    H5Sclose(space);
    if (!scalar || (found != class && found != or_class) || H5Tis_variable_str(type) > 0) {
        H5Tclose(type);
        H5Aclose(attr);
        return H5I_INVALID_HID;
    }
    *ret_type = type;
    return attr;
}

enum sae_status sae_h5_attr_str(const struct sae_h5 *file, const char *object, const char *name,
                                char **ret, struct sae_err *err)
{
    hid_t type;
    const hid_t attr = attr_open(file, object, name, H5T_STRING, H5T_STRING, &type);
    if (attr < 0)
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no text attribute '%s' on '%s'",
                           file->path, name, object);
    char *text = NULL;
    enum sae_status st = sae_mem_alloc(&text, H5Tget_size(type) + 1, 1, err);
    if (st == SAE_OK && H5Aread(attr, type, text) < 0)
        st = fail(file, err, SAE_EFORMAT, "read attribute", name);
    if (st == SAE_OK)
        *ret = text;
    else
        free(text);
    H5Tclose(type);
    H5Aclose(attr);
    return st;
}

static enum sae_status attr_number(const struct sae_h5 *file, const char *object, const char *name,
                                   H5T_class_t or_class, hid_t memory, void *to,
                                   struct sae_err *err)
{
    hid_t type;
    const hid_t attr = attr_open(file, object, name, H5T_INTEGER, or_class, &type);
    if (attr < 0)
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no number attribute '%s' on '%s'",
                           file->path, name, object);
    const enum sae_status st = H5Aread(attr, memory, to) < 0
                                   ? fail(file, err, SAE_EFORMAT, "read attribute", name)
                                   : SAE_OK;
    H5Tclose(type);
    H5Aclose(attr);
    return st;
}

enum sae_status sae_h5_attr_u64(const struct sae_h5 *file, const char *object, const char *name,
                                uint64_t *ret, struct sae_err *err)
{
    return attr_number(file, object, name, H5T_INTEGER, H5T_NATIVE_UINT64, ret, err);
}

enum sae_status sae_h5_attr_f64(const struct sae_h5 *file, const char *object, const char *name,
                                double *ret, struct sae_err *err)
{
    return attr_number(file, object, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, ret, err);
}

/* --- 6. strings --------------------------------------------------------------------------- */

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
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, width);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    /* One string is a scalar: h5py then shows text, not an array of one. */
    const enum sae_status st =
        put_typed(file, name, type, width, n == 1 ? 0 : 1, &n, block, err);
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

enum sae_status sae_h5_get_strings(const struct sae_h5 *file, const char *name, size_t *ret_n,
                                   char ***ret, struct sae_err *err)
{
    if (!sae_h5_has(file, name))
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no dataset '%s'", file->path, name);
    const hid_t set = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (set < 0)
        return fail(file, err, SAE_EFORMAT, "open", name);
    const hid_t type = H5Dget_type(set);
    const hid_t space = H5Dget_space(set);
    const hssize_t n = H5Sget_simple_extent_npoints(space);
    const size_t width = H5Tget_size(type);
    char *block = NULL;
    enum sae_status st = SAE_OK;
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0 || n < 0)
        st = sae_err_set(err, SAE_EFORMAT, "'%s' in '%s' does not hold fixed-length text", name,
                         file->path);
    if (st == SAE_OK)
        st = sae_mem_alloc(&block, (size_t)n, width, err);
    if (st == SAE_OK && n > 0 && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, block) < 0)
        st = fail(file, err, SAE_EFORMAT, "read (damaged?)", name);
    if (st == SAE_OK)
        st = split_block(ret, (size_t)n, width, block, err);
    if (st == SAE_OK)
        *ret_n = (size_t)n;
    free(block);
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(set);
    return st;
}

void sae_h5_strings_free(char **strings, size_t n)
{
    sae_fs_list_free(strings, n);
}

struct name_list {
    char **names;
    size_t n, cap;
    struct sae_err *err;
    enum sae_status st;
};

static herr_t add_name(hid_t group, const char *name, const H5L_info_t *info, void *user)
{
    (void)group, (void)info;
    struct name_list *list = user;
    list->st = sae_mem_grow(&list->names, &list->cap, list->n + 1, sizeof *list->names, list->err);
    if (list->st == SAE_OK)
        list->st = sae_mem_strdup(&list->names[list->n], name, list->err);
    if (list->st != SAE_OK)
        return -1;
    list->n++;
    return 0;
}

enum sae_status sae_h5_names(const struct sae_h5 *file, const char *group, size_t *ret_n,
                             char ***ret, struct sae_err *err)
{
    if (!sae_h5_has(file, group))
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no group '%s'", file->path, group);
    struct name_list list = {.err = err, .st = SAE_OK};
    const herr_t walked = H5Literate_by_name(file->id, group, H5_INDEX_NAME, H5_ITER_INC, NULL,
                                             add_name, &list, H5P_DEFAULT);
    if (walked < 0) {
        sae_h5_strings_free(list.names, list.n);
        return list.st != SAE_OK ? list.st : fail(file, err, SAE_EFORMAT, "list", group);
    }
    *ret = list.names;
    *ret_n = list.n;
    return SAE_OK;
}
