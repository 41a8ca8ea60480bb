/* SPDX-License-Identifier: MIT */
/* usage : how often each latent fires on the held-out tokens; silent and dense latents. */
#ifndef SAE_ANALYZE_USAGE_H
#define SAE_ANALYZE_USAGE_H

#include <stddef.h>
#include <stdint.h>

#include "analyze/hist.h"
#include "lib/base/err.h"
#include "lib/sae/ckpt.h"

/* Density of a latent = share of held-out tokens on which it is active. */
struct analyze_usage {
    size_t m, n_tokens;
    uint64_t *n;              /* [m] tokens on which each latent is active */
    double l0;                /* mean active latents a token */
    size_t n_dead;            /* never active here */
    double frac_alive;        /* as SAEBench core: share with density > 0 */
    double over_1, over_10;   /* share of latents with density > 1 %, > 10 % */
    double mass_1, mass_10;   /* share of all activations that those latents make */
    double median_alive;      /* median density of the latents that fire */
    double effective;         /* exp of the entropy of each latent's share of activations */
    struct analyze_hist hist; /* log10 density of the latents that fire */
};

/* Fails: SAE_EFORMAT masks that name a latent beyond m or run backwards; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status analyze_usage_make(struct analyze_usage *ret, size_t m,
                                                  const struct sae_masks *masks,
                                                  struct sae_err *err);
void analyze_usage_clear(struct analyze_usage *usage);

/* The n_want most frequent latents, most frequent first; ties: lower index. Fewer where fewer
 * fire. ret: the caller's [n_want]; returns how many. Fails by returning SAE_ENOMEM. */
SAE_MUST_CHECK enum sae_status analyze_usage_top(const struct analyze_usage *usage, size_t n_want,
                                                 uint32_t *ret, size_t *ret_n, struct sae_err *err);

#endif /* SAE_ANALYZE_USAGE_H */
