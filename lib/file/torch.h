/* SPDX-License-Identifier: MIT */
/* torch : PyTorch's file of a state dict: a zip archive of data.pkl and one raw record a storage. */
#ifndef SAE_LIB_FILE_TORCH_H
#define SAE_LIB_FILE_TORCH_H

#include "lib/file/tensors.h"
#include "lib/file/zip.h"

/* Member "<anything>/data.pkl" of an archive; SIZE_MAX where it is no PyTorch file. */
size_t sae_torch_find(const struct sae_zip *zip);

/* Fills v, n, numbers of `to`; the data stays the archive's. Every element of every tensor is
 * checked to lie in its record. Fails: SAE_EFORMAT, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_torch_read(struct sae_tensors *to, struct sae_zip *zip,
                                              size_t pickle, struct sae_err *err);

/* --- writing ------------------------------------------------------------------------------ */

/* A tensor of f32, or with `whole` one int32 number in place of data. */
struct sae_torch_item {
    const char *name;
    size_t rank;
    size_t shape[2];
    const float *data;
    bool is_whole;
    int32_t whole;
};
/* torch.save of an OrderedDict of these, as torch.load(weights_only=True) reads it.
 * Fails: SAE_EARG more than 4 GB; SAE_EIO; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_torch_write(const char *path, const struct sae_torch_item *items,
                                               size_t n, struct sae_err *err);

#endif /* SAE_LIB_FILE_TORCH_H */
