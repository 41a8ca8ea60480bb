/* SPDX-License-Identifier: MIT */
/* h5_inner : what the three h5 files share. They alone include hdf5.h:
 * h5.c opens and closes, h5_data.c reads and writes datasets, h5_attr.c attributes and groups. */
#ifndef SAE_LIB_FILE_H5_INNER_H
#define SAE_LIB_FILE_H5_INNER_H

#include <hdf5.h>

#include "lib/base/digest.h"
#include "lib/file/h5.h"

struct sae_h5 {
    hid_t id;
    char *path;
    char *part;   /* file being written; NULL when reading */
    bool replace; /* at commit: whether a file of that name may be replaced */
    char *kind;
    char *record; /* when reading */
    char hex[SAE_DIGEST_HEX];
    struct sae_digest digest;
};

/* "cannot <doing> '<name>' in '<file>': <HDF5's innermost sentence>" */
enum sae_status h5_fail(const struct sae_h5 *file, struct sae_err *err, enum sae_status code,
                        const char *doing, const char *name);
/* Makes the group at path where it is not there yet; every group above a name. */
bool h5_make_group(hid_t file, const char *path);
bool h5_make_parents(hid_t file, const char *name);

#endif /* SAE_LIB_FILE_H5_INNER_H */
