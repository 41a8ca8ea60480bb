/* SPDX-License-Identifier: MIT */
/* compete : the formulas of overlap and competition, and a walk over all pairs that meet.
 * Never an m x m matrix: partners of one latent at a time, from sparse masks. */
#include "lib/math/compete.h"

#include <math.h>
#include <stdlib.h>

#include "lib/math/partners.h"

const char *const sae_overlap_names[SAE_OVERLAP_N + 1] = {"overlap", "jaccard", "cosine",
                                                          "lift",    "batch",   NULL};
const char *const sae_compete_names[SAE_COMPETE_N + 1] = {"linear", "sigmoid", NULL};

double sae_overlap_value(enum sae_overlap kind, double B, double n_i, double n_j, double n_ij)
{
    if (!(n_ij > 0)) /* also latents that never fire, where the quotients have no value */
        return 0;
    switch (kind) {
    case SAE_OVERLAP_JACCARD:
        return n_ij / (n_i + n_j - n_ij);
    case SAE_OVERLAP_COSINE:
        return n_ij / sqrt(n_i * n_j);
    case SAE_OVERLAP_LIFT:
        return B * n_ij / (n_i * n_j);
    case SAE_OVERLAP_BATCH:
        return n_ij / B;
    case SAE_OVERLAP_OVERLAP:
    default:
        return n_ij / (n_i < n_j ? n_i : n_j);
    }
}

double sae_compete_value(enum sae_compete form, double s, double nhat, double tau)
{
    const double over = (nhat - tau) / tau;
    if (form == SAE_COMPETE_SIGMOID)
        return nhat > 0 ? 1 / (1 + exp(-s * over)) : 0;
    return over < 0 ? 0 : over > 1 ? 1 : over;
}

enum sae_status sae_overlap_visit(size_t m, const struct sae_overlap_masks *masks,
                                  void (*visit)(void *user, uint32_t i, uint32_t j, double n_i,
                                                double n_j, double n_ij),
                                  void *user, struct sae_err *err)
{
    struct sae_partners count = {NULL, NULL, NULL};
    double *n = NULL, B = 0;
    enum sae_status st;
    SAE_GO(st, sae_partners_single(m, masks, &n, &B, err));
    SAE_GO(st, sae_partners_init(&count, m, masks->n_batches, err));
    for (size_t i = 0; i < m; i++) {
        if (!(n[i] > 0))
            continue;
        sae_partners_count(m, masks, i, &count);
        for (size_t b = sae_partners_next(count.hit, i / PARTNERS_BLOCK, sae_partners_blocks(m));
             b < sae_partners_blocks(m);
             b = sae_partners_next(count.hit, b + 1, sae_partners_blocks(m))) {
            for (size_t j = b * PARTNERS_BLOCK; j < m && j < (b + 1) * PARTNERS_BLOCK; j++) {
                const double n_ij = sae_partners_at(&count, masks, j);
                if (n_ij > 0)
                    visit(user, (uint32_t)i, (uint32_t)j, n[i], n[j], n_ij);
            }
        }
        sae_partners_zero(&count, m, i);
    }
done:
    sae_partners_clear(&count);
    free(n);
    return st;
}
