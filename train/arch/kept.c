/* SPDX-License-Identifier: MIT */
/* kept : what the architectures with k share. */
#include "train/arch/kept.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "train/arch/weights.h"

void kept_init(struct trainer *t, const float *x)
{
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_INIT);
    weights_decoder(t, &rng, false);
    weights_tie(t, 1);
    trainer_median(t->n, t->d, x, t->w.b_dec);
}

/* A host never holds [n][m] for them: it keeps to the entries. */
enum sae_status kept_spread(struct trainer *t, const struct sae_csr *csr, struct sae_err *err)
{
    struct work *const a = t->work;
    a->dense = a->ops->numbers_delayed && t->k_max * a->dense_share > t->m;
    if (!a->dense)
        return SAE_OK;
    SAE_TRY(state_reserve(t, &a->f, t->n * t->m, err));
    a->ops->scatter(t->m, csr, a->f);
    return SAE_OK;
}

enum sae_status kept_decode(struct trainer *t, const struct masks *masks, struct sae_err *err)
{
    struct work *const a = t->work;
    SAE_TRY(kept_spread(t, &masks->csr, err));
    if (a->dense)
        products_decode(t, a->f, 0, t->n, a->xhat);
    else
        a->ops->decode(t->d, &masks->csr, a->w.W_dec, a->w.b_dec, a->xhat);
    return SAE_OK;
}

enum sae_status kept_loss(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    (void)err;
    a->ops->loss_sum(t->arch->root_loss, t->n, t->d, a->x, a->xhat, a->grad, a->number + RECON);
    return SAE_OK;
}

enum sae_status kept_backward(struct trainer *t, const struct masks *masks, double sparse_weight,
                              struct sae_err *err)
{
    (void)sparse_weight;
    return t->work->dense ? products_backward_dense(t, t->work->f, 0, err)
                          : products_backward_sparse(t, masks, 0, err);
}

enum sae_status kept_of_batch(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    struct work *const a = t->work;
    products_pre(t, t->n);
    a->ops->batchtopk(t->n, t->m, (size_t)trainer_k(t), a->pre, a->w.b_enc, &masks->csr);
    return masks_index(masks, a->ops, t->m, err);
}

/* The threshold is the same for each latent. */
enum sae_status kept_infer_by_cut(struct trainer *t, size_t rows, uint64_t k, struct sae_csr *csr,
                                  struct sae_err *err)
{
    struct work *const a = t->work;
    float *theta = NULL;
    double cut = 0;
    (void)k;
    SAE_TRY(sae_mem_alloc(&theta, t->m, sizeof *theta, err));
    a->ops->get(&cut, a->number + CUT, sizeof cut);
    for (size_t j = 0; j < t->m; j++)
        theta[j] = (float)cut;
    a->ops->put(a->theta, theta, t->m * sizeof *theta);
    free(theta);
    products_pre(t, rows);
    return masks_select(t, rows, a->pre, a->w.b_enc, a->theta, false, csr, err);
}
