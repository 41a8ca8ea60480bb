/* SPDX-License-Identifier: MIT */
/* st_inner : the header of one safetensors file, between its parser and the files' owner. */
#ifndef SAE_GEMMA_ST_INNER_H
#define SAE_GEMMA_ST_INNER_H

#include "gemma/safetensors.h"

/* Parses and checks a header of n bytes at `text`, with n_data bytes of tensors after it.
 * *ret is sorted by position; `data` pointers are left NULL. Free with gemma_st_tensors_free. */
SAE_MUST_CHECK enum sae_status gemma_st_parse(struct gemma_st_tensor **ret, size_t *ret_n,
                                              const char *text, size_t n, size_t n_data,
                                              struct sae_err *err);
void gemma_st_tensors_free(struct gemma_st_tensor *tensors, size_t n);

#endif /* SAE_GEMMA_ST_INNER_H */
