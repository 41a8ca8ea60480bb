/* SPDX-License-Identifier: MIT */
/* relu : the step of a ReLU autoencoder. */
#include "train/arch/relu.h"

/* The entries, where they are wanted or where it is known that they are few. Sets work->dense. */
static enum sae_status select_entries(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    struct work *const a = t->work;
    a->dense = true;
    if (a->ops->numbers_delayed) {
        if (!masks->valid)
            return SAE_OK;
        SAE_TRY(masks_select(t, t->n, a->pre, a->w.b_enc, NULL, false, &masks->csr, err));
        return masks_index(masks, a->ops, t->m, err);
    }
    a->ops->threshold(t->n, t->m, a->pre, a->w.b_enc, NULL, &masks->csr, &a->nnz);
    a->dense = products_dense(t, a->nnz);
    if (a->dense && !masks->valid)
        return SAE_OK;
    if (a->nnz > masks->csr.cap)
        SAE_TRY(masks_select(t, t->n, a->pre, a->w.b_enc, NULL, false, &masks->csr, err));
    return masks_index(masks, a->ops, t->m, err);
}

static void sum_sparse(struct trainer *t, const struct sae_csr *csr)
{
    struct work *const a = t->work;
    if (step_has_lp(t))
        lp_sum(t, 0, t->n, csr->start, csr->val);
    else
        a->ops->lp_sum(false, t->n, t->m, csr->start, csr->val, 1, 0, a->lp_row, a->number + L1);
}

enum sae_status relu_forward(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    struct work *const a = t->work;
    products_pre(t, t->n);
    SAE_TRY(select_entries(t, masks, err));
    if (!a->dense) {
        sum_sparse(t, &masks->csr);
        a->ops->decode(t->d, &masks->csr, a->w.W_dec, a->w.b_dec, a->xhat);
        return SAE_OK;
    }
    a->ops->relu_sum(t->n, t->m, a->w.b_enc, a->pre, a->number + L1);
    if (!masks->valid)
        a->ops->count_active(t->n, t->m, a->pre, false, a->active);
    if (step_has_lp(t))
        lp_sum(t, 0, t->n, NULL, a->pre);
    products_decode(t, a->pre, 0, t->n, a->xhat);
    return SAE_OK;
}

enum sae_status relu_backward(struct trainer *t, const struct masks *masks, double sparse_weight,
                              struct sae_err *err)
{
    const float l1 = (float)(sparse_weight / (double)t->n);
    return t->work->dense ? products_backward_dense(t, t->work->pre, l1, err)
                          : products_backward_sparse(t, masks, l1, err);
}

enum sae_status relu_infer(struct trainer *t, size_t rows, uint64_t k, struct sae_csr *csr,
                           struct sae_err *err)
{
    struct work *const a = t->work;
    (void)k;
    products_pre(t, rows);
    return masks_select(t, rows, a->pre, a->w.b_enc, NULL, false, csr, err);
}
