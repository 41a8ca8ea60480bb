/* SPDX-License-Identifier: MIT */
/* products : the products of a step, from dense activations or from the few that are kept.
 *
 *   xhat = f W_dec + b_dec     dW_dec = f^T g     dz = g W_dec^T where f is not 0, plus the slope of
 *   the sparsity term          dW_enc = dz^T xc   db_enc = sum dz       g = dL/dxhat
 *
 * Dense gradients [n][m] are made a block of tokens at a time, as many as the backend likes: a host
 * never holds a second array of that size. Sums over tokens are then those of the blocks' sums.
 *
 * Contents: 1. encoder   2. dense   3. sparse */
#include "train/inner.h"

/* --- 1. encoder ----------------------------------------------------------------------------- */

void products_center(struct trainer *t, size_t rows)
{
    struct work *const a = t->work;
    if (t->arch->subtracts_b_dec)
        a->ops->center(rows, t->d, a->x, a->w.b_dec, a->xc);
    else
        a->ops->copy(a->xc, a->x, rows * t->d * sizeof *a->xc);
}

void products_pre(struct trainer *t, size_t rows)
{
    struct work *const a = t->work;
    products_center(t, rows);
    a->ops->gemm(false, true, rows, t->m, t->d, 1, a->xc, t->d, a->w.W_enc, t->d, 0, a->pre, t->m);
    a->made = a->pre;
}

/* --- 2. dense ------------------------------------------------------------------------------- */

size_t products_rows(const struct trainer *t, size_t rows, size_t r0)
{
    return rows - r0 < t->work->block ? rows - r0 : t->work->block;
}

bool products_dense(const struct trainer *t, size_t nnz)
{
    const struct work *const a = t->work;
    return a->ops->numbers_delayed || nnz > t->n * t->m / a->dense_share;
}

enum sae_status products_open_dense(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    SAE_TRY(state_reserve(t, &a->dzf, a->block * t->m, err));
    return a->n_blocks > 1 ? state_reserve(t, &a->sums, a->n_blocks * t->m, err) : SAE_OK;
}

void products_decode(struct trainer *t, const float *f, size_t r0, size_t rows, float *xhat)
{
    struct work *const a = t->work;
    struct sae_csr none = a->none;
    none.n = rows;
    a->ops->decode(t->d, &none, a->w.W_dec, a->w.b_dec, xhat + r0 * t->d);
    a->ops->gemm(false, false, rows, t->d, t->m, 1, f, t->m, a->w.W_dec, t->d, 1, xhat + r0 * t->d,
                 t->d);
}

void products_decoder(struct trainer *t, const float *f, const float *grad, size_t r0, size_t rows,
                      size_t first, size_t end)
{
    struct work *const a = t->work;
    const size_t m = t->m, d = t->d, some = end - first;
    const float *const g = grad + r0 * d;
    if (f)
        a->ops->gemm(true, false, some, d, rows, 1, f + first, m, g, d, r0 > 0 ? 1 : 0,
                     a->g.W_dec + first * d, d);
    a->ops->gemm(false, true, rows, some, d, 1, g, d, a->w.W_dec + first * d, d, 0, a->dzf + first,
                 m);
}

void products_encoder(struct trainer *t, const float *f, float l1, size_t r0, size_t rows)
{
    struct work *const a = t->work;
    const size_t m = t->m, d = t->d;
    const bool last = r0 + rows == t->n;
    if (step_has_lp(t))
        lp_grad(t, r0, rows, NULL, f, (double)l1, a->dzf);
    else
        a->ops->mask_grad(rows * m, f, l1, a->dzf);
    a->ops->gemm(true, false, m, d, rows, 1, a->dzf, m, a->xc + r0 * d, d, r0 > 0 ? 1 : 0, a->g.W_enc,
                 d);
    a->ops->col_sum(rows, m, a->dzf, a->sums ? a->sums + r0 / a->block * m : a->g.b_enc);
    if (last && a->sums)
        a->ops->col_sum(a->n_blocks, m, a->sums, a->g.b_enc);
}

enum sae_status products_backward_dense(struct trainer *t, const float *f, float l1,
                                        struct sae_err *err)
{
    struct work *const a = t->work;
    SAE_TRY(products_open_dense(t, err));
    a->ops->gemm(true, false, t->m, t->d, t->n, 1, f, t->m, a->grad, t->d, 0, a->g.W_dec, t->d);
    for (size_t r0 = 0; r0 < t->n; r0 += a->block) {
        const size_t rows = products_rows(t, t->n, r0);
        products_decoder(t, NULL, a->grad, r0, rows, 0, t->m);
        products_encoder(t, f + r0 * t->m, l1, r0, rows);
    }
    return SAE_OK;
}

/* --- 3. sparse ------------------------------------------------------------------------------ */

enum sae_status products_reserve_dz(struct trainer *t, const struct sae_csr *csr,
                                    struct sae_err *err)
{
    struct work *const a = t->work;
    if (csr->cap <= a->dz_cap)
        return SAE_OK;
    a->ops->free(a->dz);
    a->dz = NULL;
    a->dz_cap = 0;
    SAE_TRY(a->ops->alloc(&a->dz, csr->cap, sizeof *a->dz, err));
    a->dz_cap = csr->cap;
    return SAE_OK;
}

enum sae_status products_backward_sparse(struct trainer *t, const struct masks *masks, float l1,
                                         struct sae_err *err)
{
    struct work *const a = t->work;
    const struct sae_csr *const csr = &masks->csr;
    SAE_TRY(products_reserve_dz(t, csr, err));
    a->ops->grad_dec(t->m, t->d, csr, &masks->csc, a->grad, a->w.W_dec, a->dz, a->g.W_dec);
    if (step_has_lp(t))
        lp_grad(t, 0, t->n, csr->start, csr->val, (double)l1, a->dz);
    else if (l1 > 0)
        a->ops->mask_grad(a->nnz, csr->val, l1, a->dz);
    a->ops->grad_enc(t->m, t->d, csr, &masks->csc, a->dz, a->xc, a->g.W_enc, a->g.b_enc);
    return SAE_OK;
}
