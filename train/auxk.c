/* SPDX-License-Identifier: MIT */
/* auxk : dead latents explain the residual (Gao et al. 2024, arXiv 2406.04093, appendix A.2).
 *
 *   e = x - xhat (constant); z = the k_aux largest of relu(pre + b_enc) among dead latents;
 *   r = W_dec^T z (no bias);  L = mean |e - r|^2 / mean |e - mean e|^2,  k_aux = min(d/2, dead)
 *
 * Dead latents were not active, so no other gradient reaches their rows. Where there is none no entry
 * is found, and nothing is added. */
#include "train/inner.h"

static enum sae_status reserve(struct trainer *t, size_t k, struct sae_err *err)
{
    struct work *const a = t->work;
    const size_t cap = t->n * k;
    SAE_TRY(state_reserve(t, &a->r, t->n * t->d, err));
    if (cap <= a->aux_cap)
        return SAE_OK;
    masks_close(&a->aux, a->ops);
    a->ops->free(a->aux_dz);
    a->aux_dz = NULL;
    a->aux_cap = 0;
    SAE_TRY(masks_open(&a->aux, a->ops, t->n, t->m, cap, err));
    SAE_TRY(a->ops->alloc(&a->aux_dz, cap, sizeof *a->aux_dz, err));
    a->aux_cap = cap;
    return SAE_OK;
}

enum sae_status auxk_step(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m, d = t->d;
    double dead = (double)m;
    if (numbers_known(t, DEAD, &dead) && !(dead > 0))
        return SAE_OK;
    const size_t k = d / 2 < (size_t)dead ? d / 2 : (size_t)dead;
    SAE_TRY(reserve(t, k, err));
    ops->topk_idle(n, m, d, k, a->xc, a->w.W_enc, a->w.b_enc, a->made, a->idle, t->set.dead_after,
                   &a->aux.csr);
    ops->transpose(m, &a->aux.csr, &a->aux.csc);
    ops->decode(d, &a->aux.csr, a->w.W_dec, NULL, a->r);
    ops->spread_sum(n, d, a->x, a->xhat, a->number + SPREAD);
    ops->aux_loss(n, d, t->set.auxk_alpha, a->x, a->xhat, a->number + SPREAD, a->number + DEAD, a->r,
                  a->number + AUX);
    ops->grad_add(m, d, &a->aux.csr, &a->aux.csc, a->r, a->xc, a->w.W_dec, a->aux_dz, a->g.W_enc,
                  a->g.W_dec, a->g.b_enc);
    return SAE_OK;
}
