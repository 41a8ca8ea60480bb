/* SPDX-License-Identifier: MIT */
/* partners : with which latents above it one latent fires, and how often; every pair has a lower
 * end. The partners of latent i are the entries of the rows on which i is active; a counter per
 * latent adds them up. Internal to lib/math. */
#ifndef SAE_LIB_MATH_PARTNERS_H
#define SAE_LIB_MATH_PARTNERS_H

#include <string.h>

#include "lib/math/ops.h"

enum { PARTNERS_BLOCK = 8 }; /* latents that are looked at, or passed over, together */

struct sae_partners {
    uint32_t *now;      /* [m] meetings within one batch; zero between latents */
    double *sum;        /* [m] weighted over batches, where there are several; zero too */
    unsigned char *hit; /* [m / PARTNERS_BLOCK + 1] which blocks have a partner; zero too */
};

/* Fails: SAE_ENOMEM, then nothing is held */
SAE_MUST_CHECK enum sae_status sae_partners_init(struct sae_partners *ret, size_t m,
                                                 size_t n_batches, struct sae_err *err);
void sae_partners_clear(struct sae_partners *c);

/* Counts those of latent i. Returns how many were met, the same one again too. */
size_t sae_partners_count(size_t m, const struct sae_overlap_masks *masks, size_t i,
                          struct sae_partners *c);
/* Counts of latents above i to zero, by runs of the blocks that have any. */
void sae_partners_zero(struct sae_partners *c, size_t m, size_t i);

/* n_i of every latent (free), and B. */
SAE_MUST_CHECK enum sae_status sae_partners_single(size_t m, const struct sae_overlap_masks *masks,
                                                   double **ret_n, double *ret_B,
                                                   struct sae_err *err);

/* n_ij */
static inline double sae_partners_at(const struct sae_partners *c,
                                     const struct sae_overlap_masks *masks, size_t j)
{
    return c->sum ? c->sum[j] : masks->weight[0] * c->now[j];
}

static inline size_t sae_partners_blocks(size_t m)
{
    return (m + PARTNERS_BLOCK - 1) / PARTNERS_BLOCK;
}

/* The first block from b on that is marked, or n_blocks. */
static inline size_t sae_partners_next(const unsigned char *mark, size_t b, size_t n_blocks)
{
    const unsigned char *const at = memchr(mark + b, 1, n_blocks - b);
    return at ? (size_t)(at - mark) : n_blocks;
}

#endif /* SAE_LIB_MATH_PARTNERS_H */
