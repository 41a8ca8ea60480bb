/* SPDX-License-Identifier: MIT */
/* npy : numpy's array files, the members of an npz. Versions 1 to 3, little-endian numbers. */
#ifndef SAE_LIB_FILE_NPY_H
#define SAE_LIB_FILE_NPY_H

#include "lib/file/tensors.h"

/* Describes the array in n bytes; `data` points into them. name stays NULL.
 * Fails: SAE_EFORMAT, naming what is wrong */
SAE_MUST_CHECK enum sae_status sae_npy_parse(struct sae_tensor *ret, const uint8_t *bytes, size_t n,
                                             struct sae_err *err);

/* Header of a little-endian f32 array in C order, a multiple of 64 bytes; returns its length. */
enum { SAE_NPY_HEAD_MAX = 256 };
size_t sae_npy_head(char to[SAE_NPY_HEAD_MAX], size_t rank, const size_t *shape);

#endif /* SAE_LIB_FILE_NPY_H */
