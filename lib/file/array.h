/* SPDX-License-Identifier: MIT */
/* array : rows of numbers in a file that another program wrote, read block by block: numpy's .npy and
 * .npz, safetensors, PyTorch's zip format, HDF5; told apart by content. Files are mapped or read in
 * pieces, so they may be larger than memory, but for packed (deflated) members of an npz. */
#ifndef SAE_LIB_FILE_ARRAY_H
#define SAE_LIB_FILE_ARRAY_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct sae_arrays; /* an open file */

/* Fails: SAE_EIO; SAE_EFORMAT of no known kind, damaged; as sae_tensors_open and sae_h5_open */
SAE_MUST_CHECK enum sae_status sae_arrays_open(struct sae_arrays **ret, const char *path,
                                               struct sae_err *err);
void sae_arrays_close(struct sae_arrays *arrays);             /* accepts NULL */
const char *sae_arrays_kind(const struct sae_arrays *arrays); /* "numpy", "HDF5", ...; static */

/* One array of the file, which stays the file's. */
struct sae_array {
    const struct sae_arrays *in;
    char *name;              /* NULL of .npy */
    const char *type;        /* "F32", "BF16", ...; static */
    size_t rows, d;          /* d is 1 of a column */
    const uint8_t *data;     /* NULL: in HDF5 */
    size_t element;          /* enum sae_tensor_type, where data is given */
};
void sae_array_clear(struct sae_array *array); /* accepts zeroed */

/* Floats [rows][d] of that name, or, with name NULL, the only such array of the file.
 * Fails: SAE_EFORMAT none or several, of another rank or type, not in C order, without rows; the
 *        message names file and array, and what the file holds */
SAE_MUST_CHECK enum sae_status sae_arrays_rows(struct sae_array *ret,
                                               const struct sae_arrays *arrays, const char *name,
                                               struct sae_err *err);
/* Numbers [rows] of that name. Fails: SAE_EFORMAT likewise, or another length */
SAE_MUST_CHECK enum sae_status sae_arrays_column(struct sae_array *ret,
                                                 const struct sae_arrays *arrays, const char *name,
                                                 size_t rows, struct sae_err *err);

/* Rows [first, first + n) as f32 [n][d]; what is beyond the range of f32 becomes infinite.
 * Fails: SAE_EFORMAT damaged; SAE_EIO */
SAE_MUST_CHECK enum sae_status sae_array_read(const struct sae_array *array, size_t first, size_t n,
                                              float *to, struct sae_err *err);
/* Likewise a column, as whole numbers of up to `most`. Fails besides: SAE_EFORMAT another number */
SAE_MUST_CHECK enum sae_status sae_array_read_whole(const struct sae_array *array, size_t first,
                                                    size_t n, uint32_t most, uint32_t *to,
                                                    struct sae_err *err);

#endif /* SAE_LIB_FILE_ARRAY_H */
