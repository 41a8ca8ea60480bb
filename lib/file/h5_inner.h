/* SPDX-License-Identifier: MIT */
/* h5_inner : what the three h5 files share. They alone include hdf5.h:
 * h5.c opens and closes, h5_data.c reads and writes datasets, h5_attr.c attributes and groups,
 * h5_guard.c refuses what a file may not do to its reader. */
#ifndef SAE_LIB_FILE_H5_INNER_H
#define SAE_LIB_FILE_H5_INNER_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/file/h5.h"

/* Datasets of a file that were found harmless. */
struct h5_checked {
    char **names;
    size_t n, cap;
};

struct sae_h5 {
    hid_t id;
    char *path;
    char *part;   /* file being written; NULL when reading */
    bool replace; /* at commit: whether a file of that name may be replaced */
    bool is_id_only; /* nothing is written, the id alone is made */
    char *kind;
    char *record; /* when reading */
    char hex[SAE_DIGEST_HEX];
    uint64_t n_bytes; /* of the file, when reading */
    struct h5_checked *checked;
    struct sae_digest digest;
};

/* "cannot <doing> '<name>' in '<file>': <HDF5's innermost sentence>" */
enum sae_status h5_fail(const struct sae_h5 *file, struct sae_err *err, enum sae_status code,
                        const char *doing, const char *name);
/* Makes the group at path where it is not there yet; every group above a name. */
bool h5_make_group(hid_t file, const char *path);
bool h5_make_parents(hid_t file, const char *name);

/* UTF-8 text of a fixed length; padding as H5Tset_strpad. H5Tclose; negative where HDF5 fails. */
hid_t h5_text_type(size_t bytes, H5T_str_t padding);

/* Library settings; call it before any other use of HDF5. */
void h5_set_up(void);
/* How files are opened and created: without locks. H5Pclose. */
hid_t h5_access(void);

/* Whether an error number is about the disk or the network, not about the file. */
bool h5_is_system_failure(int why);

/* Whether `path` is a regular file that starts as HDF5 files do, and how long it is.
 * Fails: SAE_EIO, SAE_EFORMAT (not HDF5, a Git LFS pointer, a pipe) */
SAE_MUST_CHECK enum sae_status h5_check_file(uint64_t *ret_bytes, const char *path,
                                             struct sae_err *err);
/* Reports the failure of H5Fopen by its cause: a lock, the system, or the file. */
SAE_MUST_CHECK enum sae_status h5_open_failed(const char *path, int system_says,
                                              struct sae_err *err);

/* Whether each part of a name that exists is in the file itself, not behind a link. */
SAE_MUST_CHECK enum sae_status h5_check_links(const struct sae_h5 *file, const char *name,
                                              struct sae_err *err);
/* Opens a dataset whose content is in the file and that claims no more than is stored; H5Dclose. */
SAE_MUST_CHECK enum sae_status h5_open_set(hid_t *ret, const struct sae_h5 *file, const char *name,
                                           struct sae_err *err);
void h5_checked_clear(struct h5_checked *checked);

#endif /* SAE_LIB_FILE_H5_INNER_H */
