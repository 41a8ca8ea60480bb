/* SPDX-License-Identifier: MIT */
/* compete : masks of recent batches, and the rule by which two latents compete. The values of the
 * formulas are in lib/sae/overlap.h. */
#ifndef SAE_LIB_MATH_COMPETE_H
#define SAE_LIB_MATH_COMPETE_H

#include <stddef.h>

struct sae_csr;
struct sae_csc;

enum sae_overlap {
    SAE_OVERLAP_OVERLAP, /* n_ij / min(n_i, n_j) */
    SAE_OVERLAP_JACCARD, /* n_ij / (n_i + n_j - n_ij) */
    SAE_OVERLAP_COSINE,  /* n_ij / sqrt(n_i n_j) */
    SAE_OVERLAP_LIFT,    /* B n_ij / (n_i n_j) */
    SAE_OVERLAP_BATCH,   /* n_ij / B */
    SAE_OVERLAP_N
};

enum sae_compete { SAE_COMPETE_LINEAR, SAE_COMPETE_SIGMOID, SAE_COMPETE_N };

/* Which pairs compete, and how much, under masks (weights of several batches: see train). */
struct sae_compete_rule {
    enum sae_overlap overlap;
    enum sae_compete form;
    double sharpness; /* s of the sigmoid, 4 */
    double tau;       /* > 0 */
    double min_count; /* pairs with a latent that fires less often are left out */
};

/* One or several batches of masks, each with a weight; B = sum of weight * rows. The lists are the
 * host's; what the matrices point to is memory of the backend that is given them. */
struct sae_overlap_masks {
    size_t n_batches;
    const struct sae_csr *const *csr;
    const struct sae_csc *const *csc;
    const double *weight;
};

#endif /* SAE_LIB_MATH_COMPETE_H */
