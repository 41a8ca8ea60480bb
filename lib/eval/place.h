/* SPDX-License-Identifier: MIT */
/* place : where the things lie that a checkpoint's record names: its store, its language model,
 * the texts. A recorded path may be relative to where a program ran, or have moved. */
#ifndef SAE_LIB_EVAL_PLACE_H
#define SAE_LIB_EVAL_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/sae/ckpt.h"

/* Whether two paths are one file: "run_1/../acts" and "run_2/../acts". */
bool sae_place_same(const char *a, const char *b);

/* A recorded path as seen from here: from the store's folder, from the current one, from those
 * above the store (a path that was typed is relative to where harvest ran). *ret is NULL where it
 * is at none of them, or has another length than n_bytes (UINT64_MAX: any). store may be NULL. */
SAE_MUST_CHECK enum sae_status sae_place_locate(char **ret, const char *store, const char *path,
                                                uint64_t n_bytes, struct sae_err *err);

/* Folder of the store a checkpoint was trained on; NULL where it is not recorded. It may have
 * gone: model and text may still be found. */
SAE_MUST_CHECK enum sae_status sae_place_store(char **ret, const struct sae_ckpt *ckpt,
                                               struct sae_err *err);

/* Folder of the language model: `given`, or, where that is NULL, the one recorded.
 * Fails: SAE_EARG not recorded or not there any more: names the option --model */
SAE_MUST_CHECK enum sae_status sae_place_model(char **ret, const struct sae_ckpt *ckpt,
                                               const char *given, struct sae_err *err);
/* Layer of its residual stream: `given`, or, where that is UINT64_MAX, the one recorded.
 * Fails: SAE_EARG not recorded */
SAE_MUST_CHECK enum sae_status sae_place_layer(size_t *ret, const struct sae_ckpt *ckpt,
                                               uint64_t given, struct sae_err *err);

#endif /* SAE_LIB_EVAL_PLACE_H */
