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
 * G1, G2: gradients at xhat and x_gate. Everything is made a block of tokens at a time by dense
 * products; t->pre keeps u.
 *
 * Contents: 1. memory   2. activations   3. forward   4. backward */
#include <math.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/clones.h"
#include "train/trainer.h"

enum { BLOCK = 256 }; /* tokens of a block */

struct gated {
    float *scale;         /* [m] exp(r_mag) */
    float *f, *gate;      /* [BLOCK][m] activations */
    float *d1, *d2;       /* [BLOCK][m] gradients */
    float *x_gate, *grad; /* [n][d] reconstruction by the gate; G2 */
    float *du_sum;        /* [m] */
    double *sums;         /* [3][m] of dg, df and df u over tokens */
};

/* --- 1. memory ---------------------------------------------------------------------------- */

enum sae_status gated_open(struct gated **ret, const struct trainer *t, struct sae_err *err)
{
    const struct sae_ops *const ops = t->ops;
    struct gated *a = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&a, 1, sizeof *a, err));
    float **const blocks[] = {&a->f, &a->gate, &a->d1, &a->d2};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        SAE_GO(st, ops->alloc(blocks[i], BLOCK * t->m, sizeof(float), err));
    SAE_GO(st, ops->alloc(&a->x_gate, t->n * t->d, sizeof(float), err));
    SAE_GO(st, ops->alloc(&a->grad, t->n * t->d, sizeof(float), err));
    SAE_GO(st, ops->alloc(&a->scale, t->m, sizeof(float), err));
    SAE_GO(st, ops->alloc(&a->du_sum, t->m, sizeof(float), err));
    SAE_GO(st, sae_mem_alloc(&a->sums, 3 * t->m, sizeof *a->sums, err));
    *ret = a;
    a = NULL;
done:
    gated_close(a, ops);
    return st;
}

void gated_close(struct gated *a, const struct sae_ops *ops)
{
    if (!a)
        return;
    float *const arrays[] = {a->scale, a->f, a->gate, a->d1, a->d2, a->x_gate, a->grad, a->du_sum};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i])
            ops->free(arrays[i]);
    free(a->sums);
    free(a);
}

/* --- 2. activations ----------------------------------------------------------------------- */

static void refresh(struct trainer *t)
{
    for (size_t j = 0; j < t->m; j++)
        t->gated->scale[j] = expf(t->w.r_mag[j]);
}

/* As products, because the compiler turns a choice into a branch. */
SAE_CLONES static void activate(size_t m, const float *restrict u, const float *restrict b_gate,
                                const float *restrict scale, const float *restrict b_mag,
                                float *restrict f, float *restrict gate)
{
#pragma omp simd
    for (size_t j = 0; j < m; j++) {
        const float g = u[j] + b_gate[j], v = scale[j] * u[j] + b_mag[j];
        const float open = (float)(g > 0);
        gate[j] = open * g;
        f[j] = open * (float)(v > 0) * v;
    }
}

static void activate_block(struct trainer *t, size_t r0, size_t rows)
{
    struct gated *const a = t->gated;
    for (size_t r = 0; r < rows; r++)
        activate(t->m, t->pre + (r0 + r) * t->m, t->w.b_enc, a->scale, t->w.b_mag, a->f + r * t->m,
                 a->gate + r * t->m);
}

static size_t block_rows(size_t rows, size_t r0)
{
    return rows - r0 < BLOCK ? rows - r0 : BLOCK;
}

enum sae_status gated_select(struct trainer *t, size_t rows, struct sae_csr *csr,
                             struct sae_err *err)
{
    struct gated *const a = t->gated;
    refresh(t);
    size_t nnz = 0;
    for (size_t r0 = 0; r0 < rows; r0 += BLOCK) {
        activate_block(t, r0, block_rows(rows, r0));
        for (size_t i = 0; i < block_rows(rows, r0) * t->m; i++)
            nnz += a->f[i] > 0;
    }
    SAE_TRY(trainer_csr_grow(t, csr, nnz, err));
    csr->n = rows;
    nnz = 0;
    for (size_t r0 = 0; r0 < rows; r0 += BLOCK) {
        activate_block(t, r0, block_rows(rows, r0));
        for (size_t r = 0; r < block_rows(rows, r0); r++) {
            const float *const f = a->f + r * t->m;
            csr->start[r0 + r] = nnz;
            for (size_t j = 0; j < t->m; j++)
                if (f[j] > 0) {
                    csr->idx[nnz] = (uint32_t)j;
                    csr->val[nnz++] = f[j];
                }
        }
    }
    csr->start[rows] = nnz;
    return SAE_OK;
}

/* --- 3. forward --------------------------------------------------------------------------- */

/* t->largest: of f, by latent. Returns the active entries of the block. */
SAE_CLONES static size_t look_at(size_t rows, size_t m, const float *restrict f,
                                 const float *restrict gate, float *restrict largest,
                                 double *restrict gate_sum)
{
    size_t nnz = 0;
    double sum = 0;
    for (size_t r = 0; r < rows; r++) {
        uint32_t count = 0;
#pragma omp simd reduction(+ : count, sum)
        for (size_t j = 0; j < m; j++) {
            const float v = f[r * m + j];
            largest[j] = v > largest[j] ? v : largest[j];
            count += v > 0;
            sum += (double)gate[r * m + j];
        }
        nnz += count;
    }
    *gate_sum += sum;
    return nnz;
}

static void reconstruct(const struct trainer *t, const float *f, size_t r0, size_t rows, float *to)
{
    for (size_t r = 0; r < rows; r++)
        memcpy(to + (r0 + r) * t->d, t->w.b_dec, t->d * sizeof *to);
    t->ops->gemm(false, false, rows, t->d, t->m, 1, f, t->m, t->w.W_dec, t->d, 1, to + r0 * t->d,
                 t->d);
}

size_t gated_forward(struct trainer *t, double *ret_gate)
{
    struct gated *const a = t->gated;
    size_t nnz = 0;
    double sum = 0;
    const bool lp = settings_has_lp(&t->set);
    lp_begin(t);
    refresh(t);
    memset(t->largest, 0, t->m * sizeof *t->largest);
    for (size_t r0 = 0; r0 < t->n; r0 += BLOCK) {
        const size_t rows = block_rows(t->n, r0);
        activate_block(t, r0, rows);
        nnz += look_at(rows, t->m, a->f, a->gate, t->largest, &sum);
        for (size_t r = 0; lp && r < rows; r++)
            lp_add(t, t->m, a->gate + r * t->m);
        reconstruct(t, a->f, r0, rows, t->xhat);
        reconstruct(t, a->gate, r0, rows, a->x_gate);
    }
    *ret_gate = (lp ? t->lp.sum : sum) / (double)t->n;
    return nnz;
}

double gated_loss(struct trainer *t, const float *x)
{
    return trainer_loss(t, x, t->gated->x_gate, t->gated->grad);
}

/* --- 4. backward -------------------------------------------------------------------------- */

/* One token. d2 becomes du; sums gain dg, df and df u. */
SAE_CLONES static void combine(size_t m, const float *restrict u, const float *restrict scale,
                               const float *restrict f, const float *restrict gate, float l1,
                               const float *restrict d1, float *restrict d2, double *restrict sums)
{
#pragma omp simd
    for (size_t j = 0; j < m; j++) {
        const float dg = (float)(gate[j] > 0) * (d2[j] + l1);
        const float df = (float)(f[j] > 0) * d1[j];
        d2[j] = dg + scale[j] * df;
        sums[j] += (double)dg;
        sums[m + j] += (double)df;
        sums[2 * m + j] += (double)df * (double)u[j];
    }
}

const float *gated_backward(struct trainer *t, float l1)
{
    const struct sae_ops *const ops = t->ops;
    struct gated *const a = t->gated;
    const size_t m = t->m, d = t->d;
    const bool lp = settings_has_lp(&t->set); /* slopes differ by entry */
    memset(a->sums, 0, 3 * m * sizeof *a->sums);
    for (size_t r0 = 0; r0 < t->n; r0 += BLOCK) {
        const size_t rows = block_rows(t->n, r0);
        const float beta = r0 ? 1 : 0, *const G1 = t->grad + r0 * d, *const G2 = a->grad + r0 * d;
        activate_block(t, r0, rows);
        ops->gemm(true, false, m, d, rows, 1, a->f, m, G1, d, beta, t->g.W_dec, d);
        ops->gemm(false, true, rows, m, d, 1, G1, d, t->w.W_dec, d, 0, a->d1, m);
        ops->gemm(false, true, rows, m, d, 1, G2, d, t->w.W_dec, d, 0, a->d2, m);
        for (size_t r = 0; lp && r < rows; r++)
            lp_slopes(t, m, a->gate + r * m, l1, a->d2 + r * m);
        for (size_t r = 0; r < rows; r++)
            combine(m, t->pre + (r0 + r) * m, a->scale, a->f + r * m, a->gate + r * m, lp ? 0 : l1,
                    a->d1 + r * m, a->d2 + r * m, a->sums);
        ops->gemm(true, false, m, d, rows, 1, a->d2, m, t->xc + r0 * d, d, beta, t->g.W_enc, d);
    }
    for (size_t j = 0; j < m; j++) {
        const double dg = a->sums[j], df = a->sums[m + j], scale = (double)a->scale[j];
        t->g.b_enc[j] = (float)dg;
        t->g.b_mag[j] = (float)df;
        t->g.r_mag[j] = (float)(scale * a->sums[2 * m + j]);
        a->du_sum[j] = (float)(dg + scale * df);
    }
    return a->du_sum;
}
