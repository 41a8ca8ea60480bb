/* SPDX-License-Identifier: MIT */
/* cpu_aux : operations over dead latents (AuxK), of which there are few: they are gathered into a
 * small problem of their own.
 * Contents: 1. selection   2. loss */
#include <stdlib.h>
#include <string.h>

#include "lib/math/cpu/cpu_slice.h"

/* --- 1. selection --------------------------------------------------------------------------- */

enum { BLOCK = 256 }; /* tokens whose pre-activations are held at a time */

struct idle {
    size_t n;         /* dead latents */
    uint32_t *latent; /* [n] */
    float *b_enc;     /* [n] */
    float *W_enc;     /* [n][d], where pre-activations have to be formed */
    float *pre;       /* [BLOCK][n] */
};

static void idle_close(struct idle *a)
{
    free(a->latent);
    free(a->b_enc);
    free(a->W_enc);
    free(a->pre);
}

/* False where there is no memory. */
static bool idle_open(struct idle *a, size_t n, size_t d, bool form)
{
    const size_t rows = n < BLOCK ? n : BLOCK;
    a->latent = malloc(a->n * sizeof *a->latent);
    a->b_enc = sae_cpu_scratch(a->n);
    a->W_enc = form ? sae_cpu_scratch(a->n * d) : NULL;
    a->pre = sae_cpu_scratch(rows * a->n);
    return a->latent && a->b_enc && a->pre && (a->W_enc || !form);
}

static void gather_latents(struct idle *a, size_t m, size_t d, const float *W_enc,
                           const float *b_enc, const uint64_t *idle, uint64_t dead_after)
{
    size_t c = 0;
    for (size_t j = 0; j < m; j++) {
        if (idle[j] < dead_after)
            continue;
        a->latent[c] = (uint32_t)j;
        a->b_enc[c++] = b_enc[j];
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < (a->W_enc ? a->n : 0); i++)
        memcpy(a->W_enc + i * d, W_enc + a->latent[i] * d, d * sizeof *W_enc);
}

static void gather_columns(const struct idle *a, size_t rows, size_t m, const float *pre)
{
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < a->n; i++)
            a->pre[r * a->n + i] = pre[r * m + a->latent[i]];
}

void sae_cpu_topk_idle(size_t n, size_t m, size_t d, size_t k, const float *xc, const float *W_enc,
                       const float *b_enc, const float *pre, const uint64_t *idle,
                       uint64_t dead_after, struct sae_csr *csr)
{
    struct idle a = {0};
    csr->n = n;
    for (size_t j = 0; j < m; j++)
        a.n += idle[j] >= dead_after;
    if (a.n == 0 || k == 0 || !idle_open(&a, n, d, !pre)) {
        if (a.n > 0 && k > 0)
            sae_cpu_no_memory();
        memset(csr->start, 0, (n + 1) * sizeof *csr->start);
        idle_close(&a);
        return;
    }
    gather_latents(&a, m, d, W_enc, b_enc, idle, dead_after);
    for (size_t t = 0; t < n; t += BLOCK) {
        const size_t rows = n - t < BLOCK ? n - t : BLOCK;
        if (pre)
            gather_columns(&a, rows, m, pre + t * m);
        else
            sae_cpu_gemm(false, true, rows, a.n, d, 1, xc + t * d, d, a.W_enc, d, 0, a.pre, a.n);
        sae_cpu_topk_rows(rows, a.n, k, a.pre, a.b_enc, t, csr);
    }
    sae_cpu_close_gaps(n, k, csr);
    for (size_t e = 0; e < csr->start[n]; e++)
        csr->idx[e] = a.latent[csr->idx[e]];
    idle_close(&a);
}

/* --- 2. loss -------------------------------------------------------------------------------- */

enum { PARTS = 256, SMALL = 1 << 18 };

/* r becomes the gradient; returns the sum of squares of what it misses. */
SAE_CLONES static double miss_part(size_t n, float scale, const float *restrict x,
                                   const float *restrict xhat, float *restrict r)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        const float miss = r[i] - (x[i] - xhat[i]);
        sum += (double)miss * (double)miss;
        r[i] = scale * miss;
    }
    return sum;
}

void sae_cpu_aux_loss(size_t n, size_t d, double alpha, const float *x, const float *xhat,
                      const double *spread, const double *dead, float *r, double *loss)
{
    double part[PARTS], sum = 0;
    const size_t nd = n * d;
    *loss = 0;
    if (!(*spread > 0) || !(*dead > 0)) {
        memset(r, 0, nd * sizeof *r);
        return;
    }
    const double denominator = *spread / (double)n;
    const float scale = (float)(2 * alpha / ((double)n * denominator));
#pragma omp parallel for schedule(dynamic, 1) if (nd > SMALL)
    for (size_t p = 0; p < PARTS; p++) {
        const size_t i = p * nd / PARTS, end = (p + 1) * nd / PARTS;
        part[p] = miss_part(end - i, scale, x + i, xhat + i, r + i);
    }
    for (size_t p = 0; p < PARTS; p++)
        sum += part[p];
    *loss = sum / (double)n / denominator;
}
