/* SPDX-License-Identifier: MIT */
/* forward : the forward passes that are no part of an update. */
#include "train/inner.h"

enum sae_status trainer_forward(struct trainer *t, const float *x, size_t rows, uint64_t k,
                                struct forward_view *ret, struct sae_err *err)
{
    struct work *const a = t->work;
    SAE_TRY(state_load(t, err));
    SAE_TRY(masks_grow(&a->infer.csr, a->ops, t->n, rows * (k ? (size_t)k : 16), err));
    a->x = trainer_batch(t, x, rows);
    a->infer.csr.n = rows;
    SAE_TRY(t->arch->infer(t, rows, k, &a->infer.csr, err));
    a->ops->decode(t->d, &a->infer.csr, a->w.W_dec, a->w.b_dec, a->xhat);
    ret->xhat = a->ops->host ? a->xhat : a->host_xhat;
    if (!a->ops->host)
        a->ops->get(a->host_xhat, a->xhat, rows * t->d * sizeof *a->xhat);
    return state_view(t, &a->infer.csr, &a->host_csr, &ret->csr, err);
}

/* Memory at first use. */
static enum sae_status open_now(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    const size_t cap = t->n * (step_has_k(t) ? t->k_max : 16);
    return a->now.csr.start ? SAE_OK : masks_open(&a->now, a->ops, t->n, t->m, cap, err);
}

static enum sae_status masks_once(struct trainer *t, bool want, struct sae_err *err)
{
    struct work *const a = t->work;
    numbers_begin(t);
    a->now.valid = want;
    a->nnz = SIZE_MAX;
    return t->arch->forward(t, &a->now, err);
}

/* What the host sees of them. */
static enum sae_status show_now(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    const struct sae_csr *csr;
    t->now = NULL;
    if (!a->now.valid)
        return a->ops->check(err);
    SAE_TRY(state_view(t, &a->now.csr, &a->host_now.csr, &csr, err));
    if (!a->ops->host)
        SAE_TRY(masks_index(&a->host_now, t->ops, t->m, err));
    t->now = a->ops->host ? &a->now : &a->host_now;
    return SAE_OK;
}

enum sae_status trainer_masks_on(struct trainer *t, const float *x, struct sae_err *err)
{
    struct work *const a = t->work;
    const bool want = step_has_k(t) || settings_competes(&t->set);
    SAE_TRY(state_load(t, err));
    SAE_TRY(state_fetch(t, false, err));
    SAE_TRY(open_now(t, err));
    a->x = x;
    SAE_TRY(masks_once(t, want, err));
    const double coactivations = (double)a->nnz * (double)a->nnz / (double)t->n;
    if (!a->now.valid && a->nnz != SIZE_MAX && coactivations <= TRAINER_COACTIVATIONS_MAX)
        SAE_TRY(masks_once(t, true, err));
    return show_now(t, err);
}
