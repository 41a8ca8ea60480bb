/* SPDX-License-Identifier: MIT */
/* jumprelu : a learned threshold for each latent (Rajamanoharan et al. 2024, arXiv 2407.14435), in
 * dictionary_learning's form.
 *
 *   z = W_enc x + b_enc      f = z 1[z > theta]      H = 1[f > theta]     L0 = mean sum H
 *   L = mean |x - xhat|^2 + weight (L0 / target - 1)^2
 *
 * Straight through, with bandwidth e and K(u) = 1[|u| < 1/2]:
 *   dtheta_j = - theta_j / e  sum of df K((z - theta) / e)      df = dL/dxhat . W_dec[j]
 *              - 1 / e  dL/dH  sum of K((f - theta) / e)        dL/dH = 2 weight (L0/T - 1) / (T n)
 *
 * With --l0-step z, as in the paper, H = 1[z > theta] and the window of z counts on both sides.
 * Otherwise H looks at f, not z. Above its threshold an entry has f = z; below it f = 0, which lies in the
 * window, or above theta, only where theta < e / 2 or theta < 0: then for all of these at once.
 *
 * Contents: 1. memory   2. selection   3. gradient of the thresholds */
#include <math.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/clones.h"
#include "train/trainer.h"

enum { SPAN = 64 }; /* entries looked at together: most spans hold none */

struct jump {
    struct sae_csr window; /* entries with z near theta; val = z */
    uint32_t *active;      /* [m] tokens with z > theta */
    double *df, *above;    /* [m] sums over the window: df, entries that count for L0 */
};

/* --- 1. memory ---------------------------------------------------------------------------- */

enum sae_status jump_open(struct jump **ret, const struct trainer *t, struct sae_err *err)
{
    struct jump *a = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&a, 1, sizeof *a, err));
    SAE_GO(st, sae_csr_alloc(&a->window, t->ops, t->n, t->n, err));
    SAE_GO(st, sae_mem_alloc(&a->active, t->m, sizeof *a->active, err));
    SAE_GO(st, sae_mem_alloc(&a->df, t->m, sizeof *a->df, err));
    SAE_GO(st, sae_mem_alloc(&a->above, t->m, sizeof *a->above, err));
    *ret = a;
    a = NULL;
done:
    jump_close(a, t->ops);
    return st;
}

void jump_close(struct jump *a, const struct sae_ops *ops)
{
    if (!a)
        return;
    sae_csr_free(&a->window, ops);
    free(a->active);
    free(a->df);
    free(a->above);
    free(a);
}

/* --- 2. selection ------------------------------------------------------------------------- */

static inline bool in_window(float v, float theta, float width)
{
    const float u = (v - theta) / width;
    return u > -0.5F && u < 0.5F;
}

/* Entries of a row above theta; counted for each latent too. */
SAE_CLONES static uint32_t count_row(size_t m, const float *restrict pre, const float *restrict b,
                                     const float *restrict theta, uint32_t *restrict active)
{
    uint32_t count = 0;
#pragma omp simd reduction(+ : count)
    for (size_t j = 0; j < m; j++) {
        const uint32_t on = pre[j] + b[j] > theta[j];
        active[j] += on;
        count += on;
    }
    return count;
}

SAE_CLONES static uint32_t span_active(size_t n, const float *restrict pre, const float *restrict b,
                                       const float *restrict theta)
{
    uint32_t count = 0;
#pragma omp simd reduction(+ : count)
    for (size_t j = 0; j < n; j++)
        count += pre[j] + b[j] > theta[j];
    return count;
}

SAE_CLONES static uint32_t span_window(size_t n, const float *restrict pre, const float *restrict b,
                                       const float *restrict theta, float width)
{
    uint32_t count = 0;
#pragma omp simd reduction(+ : count)
    for (size_t j = 0; j < n; j++) {
        const float u = (pre[j] + b[j] - theta[j]) / width;
        count += (u > -0.5F) & (u < 0.5F);
    }
    return count;
}

size_t jump_count(struct trainer *t)
{
    struct jump *const a = t->jump;
    size_t nnz = 0;
    memset(a->active, 0, t->m * sizeof *a->active);
    for (size_t r = 0; r < t->n; r++)
        nnz += count_row(t->m, t->pre + r * t->m, t->w.b_enc, t->w.theta, a->active);
    return nnz;
}

void jump_fill(const struct trainer *t, struct sae_csr *csr)
{
    size_t nnz = 0;
    for (size_t r = 0; r < t->n; r++) {
        const float *const pre = t->pre + r * t->m, *const b = t->w.b_enc, *const th = t->w.theta;
        csr->start[r] = nnz;
        for (size_t j0 = 0; j0 < t->m; j0 += SPAN) {
            const size_t n = t->m - j0 < SPAN ? t->m - j0 : SPAN;
            if (span_active(n, pre + j0, b + j0, th + j0) == 0)
                continue;
            for (size_t j = j0; j < j0 + n; j++)
                if (pre[j] + b[j] > th[j]) {
                    csr->idx[nnz] = (uint32_t)j;
                    csr->val[nnz++] = pre[j] + b[j];
                }
        }
    }
    csr->start[t->n] = nnz;
    csr->n = t->n;
}

static enum sae_status window_room(struct trainer *t, size_t nnz, struct sae_err *err)
{
    struct sae_csr *const old = &t->jump->window, fresh = {0};
    if (nnz <= old->cap)
        return SAE_OK;
    SAE_TRY(sae_csr_alloc(&fresh, t->ops, t->n, nnz + nnz / 2, err));
    memcpy(fresh.start, old->start, (t->n + 1) * sizeof *fresh.start);
    memcpy(fresh.idx, old->idx, old->cap * sizeof *fresh.idx);
    memcpy(fresh.val, old->val, old->cap * sizeof *fresh.val);
    sae_csr_free(old, t->ops);
    *old = fresh;
    return SAE_OK;
}

enum sae_status jump_window(struct trainer *t, struct sae_err *err)
{
    struct sae_csr *const w = &t->jump->window;
    const float width = (float)t->set.bandwidth;
    size_t nnz = 0;
    for (size_t r = 0; r < t->n; r++) {
        const float *const pre = t->pre + r * t->m, *const b = t->w.b_enc, *const th = t->w.theta;
        w->start[r] = nnz;
        for (size_t j0 = 0; j0 < t->m; j0 += SPAN) {
            const size_t n = t->m - j0 < SPAN ? t->m - j0 : SPAN;
            const uint32_t count = span_window(n, pre + j0, b + j0, th + j0, width);
            if (count == 0)
                continue;
            SAE_TRY(window_room(t, nnz + n, err));
            for (size_t j = j0; j < j0 + n; j++)
                if (in_window(pre[j] + b[j], th[j], width)) {
                    w->idx[nnz] = (uint32_t)j;
                    w->val[nnz++] = pre[j] + b[j];
                }
        }
    }
    w->start[t->n] = nnz;
    return SAE_OK;
}

/* --- 3. gradient of the thresholds -------------------------------------------------------- */

double jump_l0(const struct trainer *t)
{
    double sum = 0;
    for (size_t j = 0; j < t->m; j++)
        sum += t->set.l0_step == L0_STEP_F && t->w.theta[j] < 0 ? (double)t->n
                                                                : (double)t->jump->active[j];
    return sum / (double)t->n;
}

/* Sums over the window of df, and of the entries that L0's step sees in it. */
static void sum_window(struct trainer *t)
{
    struct jump *const a = t->jump;
    memset(a->df, 0, t->m * sizeof *a->df);
    memset(a->above, 0, t->m * sizeof *a->above);
    const bool both_sides = t->set.l0_step == L0_STEP_Z;
    for (size_t r = 0; r < t->n; r++)
        for (size_t e = a->window.start[r]; e < a->window.start[r + 1]; e++) {
            const size_t j = a->window.idx[e];
            const float *const g = t->grad + r * t->d, *const w = t->w.W_dec + j * t->d;
            double df = 0;
#pragma omp simd reduction(+ : df)
            for (size_t i = 0; i < t->d; i++)
                df += (double)g[i] * (double)w[i];
            a->df[j] += df;
            a->above[j] += both_sides || a->window.val[e] > t->w.theta[j];
        }
}

void jump_backward(struct trainer *t, double weight)
{
    struct jump *const a = t->jump;
    const double target = t->set.target_l0, width = t->set.bandwidth;
    const double dH = 2 * weight * (jump_l0(t) / target - 1) / (target * (double)t->n);
    sum_window(t);
    for (size_t j = 0; j < t->m; j++) {
        const float theta = t->w.theta[j];
        double steps = a->above[j];
        if (t->set.l0_step == L0_STEP_F && in_window(0, theta, (float)width))
            steps += (double)t->n - (double)a->active[j];
        t->g.theta[j] = (float)(-((double)theta * a->df[j] + dH * steps) / width);
    }
}
