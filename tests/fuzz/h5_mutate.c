/* SPDX-License-Identifier: MIT */
/* h5_mutate : see h5_mutate.h.
 *
 * What HDF5 refuses to do is passed over: most of what is asked makes no sense. */
#include "tests/fuzz/h5_mutate.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 64, MAX_OPS = 12 };

/* --- names --------------------------------------------------------------------------------- */

struct names {
    char **v;
    size_t n;
};

static herr_t add_name(hid_t object, const char *name, const H5O_info_t *info, void *to)
{
    struct names *const names = to;
    (void)object;
    (void)info;
    if (names->n + 1 < MAX_NAMES)
        names->v[names->n++] = strdup(name);
    return 0;
}

static hid_t open_file(const char *path)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    if (file < 0)
        abort();
    return file;
}

char **h5_mutate_names(const char *path)
{
    struct names names = {calloc(MAX_NAMES, sizeof(char *)), 0};
    const hid_t file = open_file(path);
    if (names.v == NULL)
        abort();
    H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, add_name, &names);
    H5Fclose(file);
    return names.v;
}

/* Removes a link. One to the root group stays: HDF5 takes that group apart as it removes the link, and
 * crashes at the next look into it. */
static void drop(hid_t file, const char *name)
{
    H5O_info_t root, object;
    if (H5Oget_info_by_name2(file, name, &object, H5O_INFO_BASIC, H5P_DEFAULT) >= 0 &&
        H5Oget_info2(file, &root, H5O_INFO_BASIC) >= 0 && object.addr == root.addr)
        return;
    H5Ldelete(file, name, H5P_DEFAULT);
}

/* --- types, shapes, fills ------------------------------------------------------------------ */

/* New type; the caller closes it. */
static hid_t type_of(unsigned which)
{
    hid_t type;
    switch (which % 16) {
    case 0:
        return H5Tcopy(H5T_IEEE_F32LE);
    case 1:
        return H5Tcopy(H5T_IEEE_F64BE);
    case 2:
        return H5Tcopy(H5T_STD_U8LE);
    case 3:
        return H5Tcopy(H5T_STD_U64LE);
    case 4:
        return H5Tcopy(H5T_STD_I64BE);
    case 5:
        return H5Tcopy(H5T_STD_I8LE);
    case 6:
        type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, 1 + which / 16);
        return type;
    case 7:
        type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, H5T_VARIABLE);
        return type;
    case 8:
        type = H5Tcreate(H5T_COMPOUND, 8);
        H5Tinsert(type, "a", 0, H5T_STD_I32LE);
        H5Tinsert(type, "b", 4, H5T_IEEE_F32LE);
        return type;
    case 9:
        return H5Tvlen_create(H5T_STD_U8LE);
    case 10:
        return H5Tcreate(H5T_OPAQUE, 4);
    case 11:
        return H5Tcopy(H5T_STD_REF_OBJ);
    case 12:
        return H5Tarray_create2(H5T_IEEE_F32LE, 1, (hsize_t[]){3});
    case 13:
        type = H5Tenum_create(H5T_STD_I8LE);
        H5Tenum_insert(type, "no", (int8_t[]){0});
        H5Tenum_insert(type, "yes", (int8_t[]){1});
        return type;
    case 14:
        return H5Tcopy(H5T_STD_B32LE);
    default:
        type = H5Tcopy(H5T_IEEE_F32LE); /* 16 bits of a float: bf16 */
        H5Tset_fields(type, 15, 7, 8, 0, 7);
        H5Tset_size(type, 2);
        return type;
    }
}

static hsize_t length_of(unsigned which, hsize_t was)
{
    static const hsize_t lengths[] = {
        0, 1, 2, 3, 255, 65537, (hsize_t)1 << 20, (hsize_t)1 << 34, (hsize_t)1 << 62};
    which %= 12;
    return which < 9 ? lengths[which] : which == 9 ? was + 1 : which == 10 ? was - 1 : 2 * was;
}

/* Bytes that are special in some type: NaN, infinity, -1, large, tiny, ascending. */
static void fill(uint8_t *to, size_t n, unsigned which)
{
    static const uint8_t patterns[][4] = {
        {0,    0,    0xC0, 0x7F},
        {0,    0,    0x80, 0xFF},
        {0xFF, 0xFF, 0xFF, 0xFF},
        {0xFF, 0xFF, 0x7F, 0x7F},
        {1,    0,    0,    0   },
        {0,    0,    0,    0   },
        {0,    0,    0x80, 0x3F},
        {0,    0,    0,    0x80}
    };
    for (size_t i = 0; i < n; i++)
        to[i] = which % 16 < 8 ? patterns[which % 8][i % 4] : (uint8_t)(i * (which / 16 + 1));
}

/* --- replacing a dataset ------------------------------------------------------------------- */

struct form {
    hid_t type, space, dcpl;
};

static void form_close(struct form *form)
{
    H5Tclose(form->type);
    H5Sclose(form->space);
    H5Pclose(form->dcpl);
}

static struct form form_of(hid_t file, const char *name)
{
    const hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    struct form form = {H5Dget_type(set), H5Dget_space(set), H5Pcreate(H5P_DATASET_CREATE)};
    H5Dclose(set);
    return form;
}

static hid_t with_lengths(hid_t space, unsigned a, unsigned b)
{
    hsize_t dims[4] = {1, 1, 1, 1};
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank > 4 || H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        return H5I_INVALID_HID;
    if (a % 3 == 2)
        rank = (int)(b % 4);
    else if (rank > 0)
        dims[a % (unsigned)rank] = length_of(b, dims[a % (unsigned)rank]);
    return rank == 0 ? H5Screate(b % 2 ? H5S_SCALAR : H5S_NULL)
                     : H5Screate_simple(rank, dims, NULL);
}

/* Chunks need not be there: a large shape costs nothing in the file. */
static void in_chunks(const struct form *form, bool filtered)
{
    hsize_t chunk[4] = {8, 8, 8, 8};
    const int rank = H5Sget_simple_extent_ndims(form->space);
    if (rank < 1 || rank > 4)
        return;
    H5Pset_chunk(form->dcpl, rank, chunk);
    if (filtered) {
        H5Pset_shuffle(form->dcpl);
        H5Pset_deflate(form->dcpl, 1);
    }
}

static void make_dataset(hid_t file, const char *name, const struct form *form, unsigned filling)
{
    drop(file, name);
    const hid_t set =
        H5Dcreate2(file, name, form->type, form->space, H5P_DEFAULT, form->dcpl, H5P_DEFAULT);
    const hssize_t n = H5Sget_simple_extent_npoints(form->space);
    const size_t size = H5Tget_size(form->type);
    /* A view of itself would be written for ever. */
    const bool plain =
        H5Pget_layout(form->dcpl) != H5D_VIRTUAL && H5Tdetect_class(form->type, H5T_VLEN) <= 0 &&
        H5Tis_variable_str(form->type) <= 0 && H5Tget_class(form->type) != H5T_REFERENCE;
    if (set >= 0 && plain && n > 0 && n < 1 << 16) {
        uint8_t *const data = malloc((size_t)n * size);
        if (data != NULL) {
            fill(data, (size_t)n * size, filling);
            H5Dwrite(set, form->type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
        }
        free(data);
    }
    H5Dclose(set);
}

static void replace_dataset(hid_t file, const char *name, unsigned what, unsigned a, unsigned b)
{
    struct form form = form_of(file, name);
    if (form.type < 0) {
        form_close(&form);
        return;
    }
    switch (what) {
    case 0: /* another type */
        H5Tclose(form.type);
        form.type = type_of(a);
        break;
    case 1: { /* another shape */
        const hid_t space = with_lengths(form.space, a, b);
        if (space >= 0) {
            H5Sclose(form.space);
            form.space = space;
        }
        in_chunks(&form, b % 2 == 0);
        break;
    }
    case 2: /* its bytes in another file */
        H5Pset_external(form.dcpl, "/etc/hostname", 0, H5F_UNLIMITED);
        break;
    case 3: { /* a view of another dataset, or of one that is not there */
        H5Pset_virtual(form.dcpl, form.space, b % 2 ? "." : "none.h5", a % 2 ? name : "/b_dec",
                       form.space);
        break;
    }
    case 4: /* a filter nobody has */
        in_chunks(&form, false);
        H5Pset_filter(form.dcpl, (H5Z_filter_t)(300 + a), H5Z_FLAG_OPTIONAL, 0, NULL);
        break;
    default: /* other values */
        break;
    }
    make_dataset(file, name, &form, what == 0 ? b : a);
    form_close(&form);
}

/* --- attributes, links, texts -------------------------------------------------------------- */

static void change_attribute(hid_t file, const char *name, unsigned a, unsigned b)
{
    char attribute[128];
    if (H5Aget_name_by_idx(file, name, H5_INDEX_NAME, H5_ITER_INC, a % 8, attribute,
                           sizeof attribute, H5P_DEFAULT) < 0)
        return;
    H5Adelete_by_name(file, name, attribute, H5P_DEFAULT);
    if (b % 8 == 0)
        return;
    const hid_t type = b % 8 < 4    ? H5Tcopy(H5T_STD_U64LE)
                       : b % 8 == 4 ? H5Tcopy(H5T_IEEE_F64LE)
                                    : type_of(b / 8);
    const hid_t space = b % 8 == 6   ? H5Screate(H5S_NULL)
                        : b % 8 == 7 ? H5Screate_simple(1, (hsize_t[]){b}, NULL)
                                     : H5Screate(H5S_SCALAR);
    const hid_t made = H5Acreate_by_name(file, name, attribute, type, space, H5P_DEFAULT,
                                         H5P_DEFAULT, H5P_DEFAULT);
    static uint8_t data[256 * 32];
    fill(data, sizeof data, b / 8 + a);
    if (b % 8 == 1)
        memset(data, 0, 8), data[0] = (uint8_t)a;
    if (made >= 0 && H5Tdetect_class(type, H5T_VLEN) <= 0 && H5Tis_variable_str(type) <= 0)
        H5Awrite(made, type, data);
    H5Aclose(made);
    H5Sclose(space);
    H5Tclose(type);
}

static void change_link(hid_t file, const char *name, unsigned a, const char *other)
{
    drop(file, name);
    switch (a % 7) {
    case 0:
        break;
    case 1:
        H5Lcreate_soft("/none", file, name, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 2:
        H5Lcreate_soft(name, file, name, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 3:
        H5Lcreate_external("other.h5", "/W_enc", file, name, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 4:
        H5Lcreate_hard(file, "/", file, name, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 5:
        H5Lcreate_hard(file, other, file, name, H5P_DEFAULT, H5P_DEFAULT);
        break;
    default:
        H5Gclose(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
}

static void put_text(hid_t file, const char *name, const uint8_t *text, size_t n, bool variable)
{
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    char *copy = calloc(n + 1, 1);
    if (copy == NULL)
        abort();
    memcpy(copy, text, n);
    H5Tset_size(type, variable ? H5T_VARIABLE : n + 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    drop(file, name);
    const hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, variable ? (void *)&copy : (void *)copy);
    H5Dclose(set);
    H5Sclose(space);
    H5Tclose(type);
    free(copy);
}

/* --- all together -------------------------------------------------------------------------- */

void h5_mutate(const char *path, char *const *names, const uint8_t *how, size_t n_how)
{
    size_t n_names = 0;
    const hid_t file = open_file(path);
    while (names[n_names] != NULL)
        n_names++;
    for (size_t op = 0; op < MAX_OPS && n_how >= 4; op++) {
        const char *const name = names[how[1] % n_names];
        const unsigned what = how[0] % 10, a = how[2], b = how[3];
        how += 4;
        n_how -= 4;
        if (what < 6) {
            replace_dataset(file, name, what, a, b);
        } else if (what < 8) {
            change_attribute(file, what == 6 ? "/" : name, a, b);
        } else if (what == 8) {
            change_link(file, name, a, names[b % n_names]);
        } else {
            const size_t n = a < n_how ? a : n_how;
            put_text(file, b % 4 == 3 ? name : "/record", how, n, b % 2);
            how += n;
            n_how -= n;
        }
    }
    H5Fclose(file);
}
