/* SPDX-License-Identifier: MIT */
/* gated : gate and magnitude share one product u = W_enc (x - b_dec) (Rajamanoharan et al. 2024,
 * arXiv 2404.16014).
 *
 *   g = u + b_gate     f_gate = relu(g)     f = 1[g > 0] relu(exp(r_mag) u + b_mag)
 *   L = mean |x - xhat|^2 + l1 mean sum f_gate + mean |x - x_gate|^2
 *   xhat = W_dec^T f + b_dec      x_gate = W_dec^T f_gate + b_dec, both constant there
 *
 *   df = G1 W_dec^T 1[f > 0]      dg = (G2 W_dec^T + l1 / n) 1[g > 0]     du = dg + exp(r_mag) df
 *
 * G1, G2: gradients at xhat and x_gate. All by dense products; where tokens go by blocks, work->pre
 * keeps u and the activations are made again. */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "train/arch/arch.h"
#include "train/arch/kept.h"
#include "train/arch/weights.h"

struct gate {
    float *f, *gate, *d2; /* [block][m] activations, and the gradient at the gate, then du */
    float *x_gate, *grad; /* [n][d] reconstruction by the gate; G2 */
    float *sums[4];       /* [n_blocks][m] of dg, df, exp(r_mag) df u and du over tokens */
    float *du;            /* [m] */
    struct sae_csr piece; /* entries of a block */
    double *count;        /* [2] of a second pass, which nobody reads */
};

/* --- 1. memory ------------------------------------------------------------------------------ */

static void init(struct trainer *t, const float *x)
{
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_INIT);
    (void)x;
    weights_decoder(t, &rng, true);
    weights_tie(t, 1);
}

static enum sae_status open_gate(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    struct gate *g = NULL;
    SAE_TRY(sae_mem_alloc(&g, 1, sizeof *g, err));
    a->own = g;
    float **const blocks[] = {&g->f, &g->gate, &g->d2, &a->dzf};
    for (size_t i = 0; i < 4; i++) {
        SAE_TRY(state_reserve(t, blocks[i], a->block * t->m, err));
        SAE_TRY(state_reserve(t, &g->sums[i], a->n_blocks * t->m, err));
    }
    SAE_TRY(state_reserve(t, &g->x_gate, t->n * t->d, err));
    SAE_TRY(state_reserve(t, &g->grad, t->n * t->d, err));
    SAE_TRY(a->ops->alloc(&g->count, 2, sizeof *g->count, err));
    return state_reserve(t, &g->du, t->m, err);
}

static void close_gate(struct trainer *t)
{
    const struct sae_ops *const ops = t->work->ops;
    struct gate *const g = t->work->own;
    if (!g)
        return;
    void *const arrays[] = {g->f,       g->gate,    g->d2,      g->x_gate, g->grad, g->sums[0],
                            g->sums[1], g->sums[2], g->sums[3], g->du,     g->count};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        ops->free(arrays[i]);
    sae_csr_free(&g->piece, ops);
    free(g);
}

/* --- 2. activations ------------------------------------------------------------------------- */

/* f and gate of a block; sum: what is added to (ops->gate). */
static void activate(struct trainer *t, size_t r0, size_t rows, double *sum)
{
    struct work *const a = t->work;
    struct gate *const g = a->own;
    a->ops->gate(rows, t->m, a->pre + r0 * t->m, a->w.b_enc, a->w.r_mag, a->w.b_mag, g->f, g->gate,
                 sum);
}

/* All active entries of the rows, a block at a time. */
static enum sae_status select_all(struct trainer *t, size_t n, struct sae_csr *csr,
                                  struct sae_err *err)
{
    struct work *const a = t->work;
    struct gate *const g = a->own;
    size_t nnz = 0;
    csr->n = 0;
    a->ops->put(csr->start, &nnz, sizeof nnz);
    SAE_TRY(masks_grow(&g->piece, a->ops, t->n, a->block * 16, err));
    for (size_t r0 = 0; r0 < n; r0 += a->block) {
        const size_t rows = products_rows(t, n, r0);
        activate(t, r0, rows, g->count);
        SAE_TRY(masks_select(t, rows, g->f, a->zero, NULL, false, &g->piece, err));
        SAE_TRY(masks_append(t, &g->piece, a->nnz, csr, err));
        nnz += a->nnz;
    }
    a->nnz = nnz;
    return SAE_OK;
}

static enum sae_status forward(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    struct work *const a = t->work;
    struct gate *const g = a->own;
    const size_t m = t->m;
    double active = 0;
    products_pre(t, t->n);
    for (size_t r0 = 0; r0 < t->n; r0 += a->block) {
        const size_t rows = products_rows(t, t->n, r0);
        activate(t, r0, rows, a->number + L1);
        a->ops->count_active(rows, m, g->f, r0 > 0, a->active);
        if (step_has_lp(t))
            lp_sum(t, r0, rows, NULL, g->gate);
        products_decode(t, g->f, r0, rows, a->xhat);
        products_decode(t, g->gate, r0, rows, g->x_gate);
    }
    if (masks->valid) {
        SAE_TRY(select_all(t, t->n, &masks->csr, err));
        return masks_index(masks, a->ops, m, err);
    }
    if (numbers_known(t, ACTIVE, &active))
        a->nnz = (size_t)active;
    return SAE_OK;
}

static enum sae_status infer(struct trainer *t, size_t rows, uint64_t k, struct sae_csr *csr,
                             struct sae_err *err)
{
    (void)k;
    products_pre(t, rows);
    return select_all(t, rows, csr, err);
}

static enum sae_status loss(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    struct gate *const g = a->own;
    a->ops->loss_sum(false, t->n, t->d, a->x, g->x_gate, g->grad, a->number + AUX);
    return kept_loss(t, err);
}

/* --- 3. backward ---------------------------------------------------------------------------- */

/* du of a block, in d2. */
static void block_grad(struct trainer *t, float l1, size_t r0, size_t rows)
{
    struct work *const a = t->work;
    struct gate *const g = a->own;
    const size_t m = t->m, d = t->d, at = r0 / a->block * m;
    const bool lp = step_has_lp(t);
    products_decoder(t, g->f, a->grad, r0, rows, 0, m);
    a->ops->gemm(false, true, rows, m, d, 1, g->grad + r0 * d, d, a->w.W_dec, d, 0, g->d2, m);
    if (lp)
        lp_grad(t, r0, rows, NULL, g->gate, (double)l1, g->d2);
    a->ops->gate_grad(rows, m, a->pre + r0 * m, a->w.r_mag, g->f, g->gate, lp ? 0 : l1, a->dzf,
                      g->d2, g->sums[0] + at, g->sums[1] + at, g->sums[2] + at, g->sums[3] + at);
    a->ops->gemm(true, false, m, d, rows, 1, g->d2, m, a->xc + r0 * d, d, r0 > 0 ? 1 : 0, a->g.W_enc,
                 d);
}

static enum sae_status backward(struct trainer *t, const struct masks *masks, double sparse_weight,
                                struct sae_err *err)
{
    struct work *const a = t->work;
    struct gate *const g = a->own;
    float *const to[] = {a->g.b_enc, a->g.b_mag, a->g.r_mag, g->du};
    const float l1 = (float)(sparse_weight / (double)t->n);
    (void)masks;
    (void)err;
    for (size_t r0 = 0; r0 < t->n; r0 += a->block) {
        const size_t rows = products_rows(t, t->n, r0);
        if (a->n_blocks > 1)
            activate(t, r0, rows, g->count);
        block_grad(t, l1, r0, rows);
    }
    for (size_t i = 0; i < 4; i++)
        a->ops->col_sum(a->n_blocks, t->m, g->sums[i], to[i]);
    a->dz_sum = g->du;
    return SAE_OK;
}

static const struct train_array arrays[] = {
    TRAIN_ARRAYS_OF_ALL("b_gate"),
    {"b_mag", TRAIN_SHAPE_M, offsetof(struct params, b_mag)},
    {"r_mag", TRAIN_SHAPE_M, offsetof(struct params, r_mag)},
    {0}};

const struct train_arch train_arch_gated = {
    .summary = "a gate, with an L1 term and a loss of its own, decides which latents are active",
    .model = "gated",
    .arrays = arrays,
    .penalty = TRAIN_PENALTY_GATE,
    .l1 = 0.1,
    .sparsity_warmup = true,
    .lr = 5e-5,
    .subtracts_b_dec = true,
    .beta1 = 0,
    .init = init,
    .open = open_gate,
    .close = close_gate,
    .forward = forward,
    .loss = loss,
    .backward = backward,
    .infer = infer,
};
