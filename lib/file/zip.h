/* SPDX-License-Identifier: MIT */
/* zip : a strict reader of zip archives with stored and deflated members (zip64 too), and a writer
 * of stored ones. numpy's npz and PyTorch's files are such archives. The file is mapped; nothing
 * of it is believed before it is checked. */
#ifndef SAE_LIB_FILE_ZIP_H
#define SAE_LIB_FILE_ZIP_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct sae_zip;

/* Fails: SAE_EIO; SAE_EFORMAT, naming the rule that is broken; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_zip_open(struct sae_zip **ret, const char *path,
                                            struct sae_err *err);
void sae_zip_close(struct sae_zip *zip);

size_t sae_zip_size(const struct sae_zip *zip);              /* members */
const char *sae_zip_name(const struct sae_zip *zip, size_t i); /* in the archive's order */
/* Member by name; SIZE_MAX where there is none. */
size_t sae_zip_find(const struct sae_zip *zip, const char *name);

/* Bytes of a member, borrowed until the archive is closed; stored members are not copied. Its
 * checksum is verified. Fails: SAE_EFORMAT damaged; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_zip_get(struct sae_zip *zip, size_t i, const uint8_t **ret,
                                           size_t *ret_n, struct sae_err *err);

/* --- writing ------------------------------------------------------------------------------ */

/* A member in up to two pieces (a header and an array), to save joining them. */
struct sae_zip_item {
    const char *name;
    const void *head, *data;
    size_t n_head, n_data;
};
/* Writes stored members whose data begins at multiples of 64 bytes, without dates: equal items
 * give equal bytes. Whole or not at all. Fails: SAE_EARG more than 4 GB in a member; SAE_EIO */
SAE_MUST_CHECK enum sae_status sae_zip_write(const char *path, const struct sae_zip_item *items,
                                             size_t n, struct sae_err *err);

#endif /* SAE_LIB_FILE_ZIP_H */
