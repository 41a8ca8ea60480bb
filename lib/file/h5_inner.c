/* SPDX-License-Identifier: MIT */
/* h5_inner : what the files of h5 share: failures, links, groups and types. */
#include "lib/file/h5_inner.h"

#include <errno.h>
#include <string.h>

#include "lib/base/fs.h"

enum { WHY_MAX = 200 };

bool h5_is_system_failure(int why)
{
    return why == EIO || why == ESTALE || why == ENOTCONN || why == ETIMEDOUT || why == ENODEV ||
           why == ENOMEM;
}

/* HDF5's own sentence about the innermost failure, for people who know it, on one line: the times in
 * it end lines. */
static herr_t copy_innermost(unsigned n, const H5E_error2_t *entry, void *to)
{
    if (n != 0 || entry->desc == NULL)
        return 0;
    char *text = to;
    for (const char *p = entry->desc; *p != '\0' && text - (char *)to < WHY_MAX - 1; p++)
        if (*p != '\n')
            *text++ = *p;
    *text = '\0';
    return 0;
}

enum sae_status h5_fail(const struct sae_h5 *file, struct sae_err *err, enum sae_status code,
                        const char *doing, const char *name)
{
    char why[WHY_MAX] = "no reason given";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, copy_innermost, why);
    /* Of a full disk and the like the system speaks more clearly than HDF5. */
    const int system_says = errno;
    const bool full = file->part != NULL &&
                      (system_says == ENOSPC || system_says == EDQUOT || system_says == EFBIG);
    const bool failed = full || h5_is_system_failure(system_says);
    return sae_err_set(err, failed ? SAE_EIO : code, "cannot %s '%s' in '%s': %s", doing, name,
                       file->path, failed ? strerror(system_says) : why);
}

bool sae_h5_has(const struct sae_h5 *file, const char *name)
{
    /* Each group on the way must exist before HDF5 may be asked for the next. */
    char path[512];
    if (strlen(name) >= sizeof path)
        return false;
    for (size_t i = 1; name[0] == '/' && i <= strlen(name); i++) {
        if (name[i] != '/' && name[i] != '\0')
            continue;
        memcpy(path, name, i);
        path[i] = '\0';
        if (i == 1)
            continue;
        H5L_info_t info;
        if (H5Lget_info(file->id, path, &info, H5P_DEFAULT) < 0)
            return false;
        if (info.type != H5L_TYPE_HARD)
            return true; /* it is there, and refused when it is opened: not taken for absent */
    }
    return true;
}

/* Makes the group at path where it is not there yet. Groups carry timestamps unless told not to,
 * and HDF5's own making of intermediate groups cannot be told, so they are made here. */
bool h5_make_group(hid_t file, const char *path)
{
    if (H5Lexists(file, path, H5P_DEFAULT) > 0)
        return true;
    const hid_t gcpl = H5Pcreate(H5P_GROUP_CREATE);
    const hid_t group = gcpl < 0 || H5Pset_obj_track_times(gcpl, 0) < 0
                            ? H5I_INVALID_HID
                            : H5Gcreate2(file, path, H5P_DEFAULT, gcpl, H5P_DEFAULT);
    H5Pclose(gcpl);
    return group >= 0 && H5Gclose(group) >= 0;
}

/* Makes every group above `name`: "/a" and "/a/b" for "/a/b/c". */
bool h5_make_parents(hid_t file, const char *name)
{
    char path[512];
    if (strlen(name) >= sizeof path)
        return false;
    for (size_t i = 1; name[i] != '\0'; i++) {
        if (name[i] != '/')
            continue;
        memcpy(path, name, i);
        path[i] = '\0';
        if (!h5_make_group(file, path))
            return false;
    }
    return true;
}

hid_t h5_text_type(size_t bytes, H5T_str_t padding)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && H5Tset_size(type, bytes) >= 0 && H5Tset_strpad(type, padding) >= 0 &&
        H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
        return type;
    if (type >= 0)
        H5Tclose(type);
    return H5I_INVALID_HID;
}

void sae_h5_strings_free(char **strings, size_t n)
{
    sae_fs_list_free(strings, n);
}
