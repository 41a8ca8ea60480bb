/* SPDX-License-Identifier: MIT */
/* compete : how often latents fire together, and which pairs compete (method: docs/MATH.md).
 *   n_i  = number of tokens on which latent i is active;  n_ij = tokens on which both are */
#ifndef SAE_LIB_MATH_COMPETE_H
#define SAE_LIB_MATH_COMPETE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

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
extern const char *const sae_overlap_names[SAE_OVERLAP_N + 1]; /* NULL-terminated, for options */
/* nhat; 0 where n_ij is not > 0. B: tokens */
double sae_overlap_value(enum sae_overlap kind, double B, double n_i, double n_j, double n_ij);

enum sae_compete { SAE_COMPETE_LINEAR, SAE_COMPETE_SIGMOID, SAE_COMPETE_N };
extern const char *const sae_compete_names[SAE_COMPETE_N + 1];
/* linear: clip((nhat - tau)/tau, 0, 1); sigmoid: 1/(1 + exp(-s (nhat - tau)/tau)). */
double sae_compete_value(enum sae_compete form, double s, double nhat, double tau);

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

/* Calls visit(user, i, j, n_i, n_j, n_ij) for every pair i < j with n_ij > 0, in order of i, j.
 * masks: on the host. One thread. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_overlap_visit(size_t m, const struct sae_overlap_masks *masks,
                                                 void (*visit)(void *user, uint32_t i, uint32_t j,
                                                               double n_i, double n_j, double n_ij),
                                                 void *user, struct sae_err *err);

#ifdef __cplusplus
}
#endif

#endif /* SAE_LIB_MATH_COMPETE_H */
