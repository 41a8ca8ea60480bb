/* SPDX-License-Identifier: MIT */
/* cache : the ground-truth probe of a word set, kept beside it for the next invocation. */
#ifndef SAE_ABSORB_CACHE_H
#define SAE_ABSORB_CACHE_H

#include <stdbool.h>

#include "absorb/absorb.h"

/* words.truth_<8 digits>.h5 beside words.h5; the digits stand for word set, seed and training.
 *   /w f32 [26][d]   /b f32 [26] */
SAE_MUST_CHECK enum sae_status absorb_cache_path(char **ret, const char *words_path,
                                                const struct sae_words *words,
                                                const struct absorb_settings *settings,
                                                struct sae_err *err);
/* *ret_found is false if it is absent or, with a warning, damaged.
 * Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status absorb_cache_load(struct absorb_probe *ret, bool *ret_found,
                                                const char *path, const struct sae_words *words,
                                                struct sae_err *err);
SAE_MUST_CHECK enum sae_status absorb_cache_save(const char *path, const struct absorb_probe *probe,
                                                struct sae_err *err);

#endif /* SAE_ABSORB_CACHE_H */
