/* SPDX-License-Identifier: MIT */
/* h5_attr : attributes and groups of HDF5 files.
 * Contents: 1. attributes   2. names */
#include "lib/file/h5_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"

/* --- 1. attributes ------------------------------------------------------------------------ */

/* Opens the object an attribute belongs to, making it a group where it is not there yet. */
static hid_t object_open(const struct sae_h5 *file, const char *object)
{
    if (!sae_h5_has(file, object) && (file->part == NULL || !h5_make_parents(file->id, object) ||
                                      !h5_make_group(file->id, object)))
        return H5I_INVALID_HID;
    return H5Oopen(file->id, object, H5P_DEFAULT);
}

static void digest_attr(struct sae_h5 *file, const char *name, const void *value, size_t bytes)
{
    if (strcmp(name, "id") == 0)
        return;
    sae_digest_update(&file->digest, name, strlen(name) + 1);
    sae_digest_update(&file->digest, value, bytes);
}

static enum sae_status attr_put(struct sae_h5 *file, const char *object, const char *name,
                                hid_t type, const void *value, size_t bytes, struct sae_err *err)
{
    if (file->is_id_only) {
        digest_attr(file, name, value, bytes);
        return SAE_OK;
    }
    const hid_t at = object_open(file, object);
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attr =
        at < 0 ? H5I_INVALID_HID : H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    enum sae_status st = SAE_OK;
    if (attr < 0 || H5Awrite(attr, type, value) < 0)
        st = h5_fail(file, err, SAE_EIO, "write attribute", name);
    if (attr >= 0)
        H5Aclose(attr);
    if (at >= 0)
        H5Oclose(at);
    H5Sclose(space);
    if (st == SAE_OK)
        digest_attr(file, name, value, bytes);
    return st;
}

enum sae_status sae_h5_attr_put_str(struct sae_h5 *file, const char *object, const char *name,
                                    const char *value, struct sae_err *err)
{
    const hid_t type = h5_text_type(strlen(value) + 1, H5T_STR_NULLTERM);
    const enum sae_status st = attr_put(file, object, name, type, value, strlen(value) + 1, err);
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

bool sae_h5_attr_has(const struct sae_h5 *file, const char *object, const char *name)
{
    /* Where HDF5 cannot tell, reading it will say why. */
    return sae_h5_has(file, object) &&
           H5Aexists_by_name(file->id, object, name, H5P_DEFAULT) != 0;
}

/* Opens a scalar attribute of one of two classes. */
static enum sae_status attr_open(hid_t *ret, hid_t *ret_type, const struct sae_h5 *file,
                                 const char *object, const char *name, H5T_class_t class,
                                 H5T_class_t or_class, struct sae_err *err)
{
    const char *const what = class == H5T_STRING ? "text" : "number";
    if (!sae_h5_attr_has(file, object, name))
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no %s attribute '%s' on '%s'", file->path,
                           what, name, object);
    SAE_TRY(h5_check_links(file, object, err));
    errno = 0;
    const hid_t attr = H5Aopen_by_name(file->id, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attr < 0)
        return h5_fail(file, err, SAE_EFORMAT, "read attribute", name);
    const hid_t type = H5Aget_type(attr);
    const H5T_class_t found = H5Tget_class(type);
    const hid_t space = H5Aget_space(attr);
    const bool scalar = H5Sget_simple_extent_npoints(space) == 1;
    H5Sclose(space);
    if (!scalar || (found != class && found != or_class)) {
        H5Tclose(type);
        H5Aclose(attr);
        return sae_err_set(err, SAE_EFORMAT, "attribute '%s' on '%s' of '%s' is not a single %s",
                           name, object, file->path, what);
    }
    *ret_type = type;
    *ret = attr;
    return SAE_OK;
}

static enum sae_status attr_fixed(const struct sae_h5 *file, const char *name, hid_t attr,
                                  hid_t type, char **ret, struct sae_err *err)
{
    const size_t width = H5Tget_size(type);
    char *text = NULL;
    if (width > file->n_bytes && file->part == NULL)
        return sae_err_set(err, SAE_EFORMAT,
                           "attribute '%s' of '%s' claims %zu bytes, more than the file has", name,
                           file->path, width);
    SAE_TRY(sae_mem_alloc(&text, width + 1, 1, err));
    if (H5Aread(attr, type, text) < 0) {
        free(text);
        return h5_fail(file, err, SAE_EFORMAT, "read attribute", name);
    }
    *ret = text;
    return SAE_OK;
}

/* As h5py writes text: a pointer to memory of HDF5. */
static enum sae_status attr_variable(const struct sae_h5 *file, const char *name, hid_t attr,
                                     hid_t type, char **ret, struct sae_err *err)
{
    char *theirs = NULL;
    if (H5Aread(attr, type, &theirs) < 0)
        return h5_fail(file, err, SAE_EFORMAT, "read attribute", name);
    const enum sae_status st = sae_mem_strdup(ret, theirs != NULL ? theirs : "", err);
    H5free_memory(theirs);
    return st;
}

enum sae_status sae_h5_attr_str(const struct sae_h5 *file, const char *object, const char *name,
                                char **ret, struct sae_err *err)
{
    hid_t attr = H5I_INVALID_HID, type = H5I_INVALID_HID;
    SAE_TRY(attr_open(&attr, &type, file, object, name, H5T_STRING, H5T_STRING, err));
    const enum sae_status st = H5Tis_variable_str(type) > 0
                                   ? attr_variable(file, name, attr, type, ret, err)
                                   : attr_fixed(file, name, attr, type, ret, err);
    H5Tclose(type);
    H5Aclose(attr);
    return st;
}

static enum sae_status attr_number(const struct sae_h5 *file, const char *object, const char *name,
                                   H5T_class_t or_class, hid_t memory, void *to,
                                   struct sae_err *err)
{
    hid_t attr = H5I_INVALID_HID, type = H5I_INVALID_HID;
    SAE_TRY(attr_open(&attr, &type, file, object, name, H5T_INTEGER, or_class, err));
    int64_t whole = 0; /* HDF5 alone reads a negative number as 0 */
    enum sae_status st = SAE_OK;
    if (H5Tget_sign(type) == H5T_SGN_2 && H5Tequal(memory, H5T_NATIVE_UINT64) > 0 &&
        H5Aread(attr, H5T_NATIVE_INT64, &whole) >= 0 && whole < 0)
        st = sae_err_set(err, SAE_EFORMAT, "attribute '%s' of '%s' is %lld, expected 0 or more",
                         name, file->path, (long long)whole);
    else if (H5Aread(attr, memory, to) < 0)
        st = h5_fail(file, err, SAE_EFORMAT, "read attribute", name);
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

/* --- 2. names ----------------------------------------------------------------------------- */

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

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum sae_status sae_h5_names(const struct sae_h5 *file, const char *group, size_t *ret_n,
                             char ***ret, struct sae_err *err)
{
    if (!sae_h5_has(file, group))
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no group '%s'", file->path, group);
    SAE_TRY(h5_check_links(file, group, err));
    struct name_list list = {.err = err, .st = SAE_OK};
    /* Sorted here: of a damaged group HDF5 1.10 crashes where it is asked to sort. */
    const herr_t walked = H5Literate_by_name(file->id, group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL,
                                             add_name, &list, H5P_DEFAULT);
    if (walked < 0) {
        sae_h5_strings_free(list.names, list.n);
        return list.st != SAE_OK ? list.st : h5_fail(file, err, SAE_EFORMAT, "list", group);
    }
    if (list.n > 0)
        qsort(list.names, list.n, sizeof *list.names, compare_names);
    *ret = list.names;
    *ret_n = list.n;
    return SAE_OK;
}
