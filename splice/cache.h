/* SPDX-License-Identifier: MIT */
/* cache : what the untouched and the zero-ablated model do on one batch of contexts. It does not
 * depend on an autoencoder, so it is kept in a folder: a further checkpoint costs its own pass.
 *
 * One file a batch, named by what it holds (model, hook, token ids), kind "reference":
 *   /ids u32 [B][T]   /x f32 [B*T][width] at the hook
 *   /beside f32 [B*T][D]  of a hook of a branch: the stream beside it (sae_lm_beside)
 *   /final f32 [B*T][D]   the untouched model after its final norm: log-probabilities follow from
 *                         it by the unembedding alone, and take D numbers a token in place of V
 *   /ce_clean, /ce_ablated, /kl_ablated f64 [B*T]; 0 where a row is not averaged over */
#ifndef SAE_SPLICE_CACHE_H
#define SAE_SPLICE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/file/hook.h"

/* A batch of up to n tokens. */
struct splice_baseline {
    size_t B, T, D, width;
    float *x;               /* [B*T][width] */
    float *beside, *final;  /* [B*T][D]; beside: NULL where the hook is of the stream */
    double *ce_clean, *ce_ablated, *kl_ablated; /* [B*T] */
};
SAE_MUST_CHECK enum sae_status splice_baseline_init(struct splice_baseline *ret, size_t n, size_t D,
                                                    size_t width, bool branch, struct sae_err *err);
void splice_baseline_clear(struct splice_baseline *baseline); /* accepts zeroed */

/* Where batches are kept, and of which model. */
struct splice_cache {
    const char *dir; /* made when the first batch is put there; NULL: nothing is kept */
    const char *model_id;
    struct sae_hook hook;
};
/* Reads the batch `ids` [baseline->B][baseline->T] into baseline; *ret_found is false if it is not cached.
 * A file that is damaged or of another batch counts as none, with a warning.
 * Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status splice_cache_load(struct splice_baseline *baseline, bool *ret_found,
                                                 const struct splice_cache *cache,
                                                 const uint32_t *ids, struct sae_err *err);
/* Fails: SAE_EIO */
SAE_MUST_CHECK enum sae_status splice_cache_save(const struct splice_baseline *baseline,
                                                 const struct splice_cache *cache,
                                                 const uint32_t *ids, struct sae_err *err);

#endif /* SAE_SPLICE_CACHE_H */
