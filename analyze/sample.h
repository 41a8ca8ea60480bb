/* SPDX-License-Identifier: MIT */
/* sample : similarity matrix of a fixed sample of latents, ordered so that likes stand together. */
#ifndef SAE_ANALYZE_SAMPLE_H
#define SAE_ANALYZE_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "analyze/usage.h"
#include "lib/base/err.h"

struct analyze_sample {
    size_t n;
    uint32_t *latent; /* [n] in the order of rows and columns */
    float *cos;       /* [n][n] */
};

/* The n_want most frequent latents (usage NULL: latents 0, 1, ...), ordered greedily: start at
 * the first; go on with the latent closest (largest cosine) to the one before, of those not yet
 * placed; ties: earlier in the sample. U: host, unit rows [m][d]. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status analyze_sample_make(struct analyze_sample *ret, size_t m, size_t d,
                                                   const float *U,
                                                   const struct analyze_usage *usage, size_t n_want,
                                                   struct sae_err *err);
void analyze_sample_clear(struct analyze_sample *sample);

#endif /* SAE_ANALYZE_SAMPLE_H */
