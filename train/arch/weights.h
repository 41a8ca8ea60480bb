/* SPDX-License-Identifier: MIT */
/* weights : random initial weights, as several architectures draw them. */
#ifndef SAE_TRAIN_ARCH_WEIGHTS_H
#define SAE_TRAIN_ARCH_WEIGHTS_H

#include "lib/base/rng.h"
#include "train/trainer.h"

static inline void weights_uniform(struct sae_rng *rng, double bound, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)((2 * sae_rng_uniform(rng) - 1) * bound);
}

/* The decoder: unit rows of uniform or normal directions. */
static inline void weights_decoder(struct trainer *t, struct sae_rng *rng, bool is_normal)
{
    const size_t md = t->m * t->d;
    if (!is_normal)
        weights_uniform(rng, 1, md, t->w.W_dec);
    for (size_t i = 0; is_normal && i < md; i++)
        t->w.W_dec[i] = (float)sae_rng_normal(rng);
    t->ops->unit_rows(t->m, t->d, 0, t->w.W_dec);
}

/* The encoder: the decoder times a factor. */
static inline void weights_tie(struct trainer *t, float factor)
{
    for (size_t i = 0; i < t->m * t->d; i++)
        t->w.W_enc[i] = factor * t->w.W_dec[i];
}

#endif /* SAE_TRAIN_ARCH_WEIGHTS_H */
