/* SPDX-License-Identifier: MIT */
/* cpu_ortsae : the penalty of OrtSAE (equations: docs/MATH.md, section 2). The cosines of a chunk
 * are made a slab of rows at a time, each pair once: m chunk d products in all, and no chunk x chunk
 * matrix.
 *
 * Contents: 1. the largest cosines   2. gradient   3. the operation */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/cpu/cpu_slice.h"

enum { SLAB = 128 };              /* rows of cosines at a time */
static const double LEAST = 1e-8; /* a shorter row has no direction */

struct ortsae {
    size_t m, d, n_chunks;
    const float *W;
    const uint32_t *order; /* [m] latents, chunk after chunk */
    double *norm;          /* [m] |f_i| */
    float *U;              /* [longest chunk][d] its directions */
    float *slab;           /* [SLAB][longest chunk] */
    float *best;           /* [longest chunk] largest cosine so far, by place in the chunk */
    uint32_t *at;          /* [longest chunk] the place that reaches it */
    float *c;              /* [m] by latent: c_i */
    uint32_t *partner;     /* [m] the latent that reaches it; i itself where there is none */
    float *share;          /* [m] 1 / (K |C|) */
};

static bool open_arrays(struct ortsae *a)
{
    const size_t m = a->m, longest = (m + a->n_chunks - 1) / a->n_chunks;
    a->U = sae_cpu_scratch(longest * a->d);
    a->slab = sae_cpu_scratch(SLAB * longest);
    return a->U && a->slab && sae_mem_alloc(&a->norm, m, sizeof *a->norm, NULL) == SAE_OK &&
           sae_mem_alloc(&a->best, longest, sizeof *a->best, NULL) == SAE_OK &&
           sae_mem_alloc(&a->at, longest, sizeof *a->at, NULL) == SAE_OK &&
           sae_mem_alloc(&a->c, m, sizeof *a->c, NULL) == SAE_OK &&
           sae_mem_alloc(&a->partner, m, sizeof *a->partner, NULL) == SAE_OK &&
           sae_mem_alloc(&a->share, m, sizeof *a->share, NULL) == SAE_OK;
}

static void close_arrays(struct ortsae *a)
{
    void *const arrays[] = {a->norm, a->U, a->slab, a->best, a->at, a->c, a->partner, a->share};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

/* --- 1. the largest cosines --------------------------------------------------------------- */

/* u = f / |f|, 0 where that is too short. Returns |f|. */
SAE_CLONES static double direction(size_t d, const float *restrict f, float *restrict u)
{
    double sq = 0;
#pragma omp simd reduction(+ : sq)
    for (size_t i = 0; i < d; i++)
        sq += (double)f[i] * (double)f[i];
    const double norm = sqrt(sq), scale = norm > LEAST ? 1 / norm : 0;
    for (size_t i = 0; i < d; i++)
        u[i] = (float)(scale * (double)f[i]);
    return norm;
}

static void gather(const struct ortsae *a, const uint32_t *chunk, size_t n)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        a->norm[chunk[i]] = direction(a->d, a->W + chunk[i] * a->d, a->U + i * a->d);
        a->best[i] = -2;
        a->at[i] = (uint32_t)i;
    }
}

/* Cosines v of the row at place r with places r + 1 ... r + n: both ends look at them. */
SAE_CLONES static void update_best(size_t n, const float *restrict v, uint32_t r,
                                   float *restrict best, uint32_t *restrict at)
{
    float top = -2;
#pragma omp simd reduction(max : top)
    for (size_t i = 0; i < n; i++)
        top = v[i] > top ? v[i] : top;
    if (top > best[0]) {
        size_t i = 0;
        while (v[i] < top)
            i++;
        best[0] = top;
        at[0] = r + 1 + (uint32_t)i;
    }
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        const bool more = v[i] > best[i + 1];
        best[i + 1] = more ? v[i] : best[i + 1];
        at[i + 1] = more ? r : at[i + 1];
    }
}

static void search(const struct ortsae *a, size_t n)
{
    const size_t d = a->d;
    for (size_t r0 = 0; r0 < n; r0 += SLAB) {
        const size_t rows = n - r0 < SLAB ? n - r0 : SLAB, cols = n - r0;
        const float *const U = a->U + r0 * d;
        sae_cpu_gemm(false, true, rows, cols, d, 1, U, d, U, d, 0, a->slab, cols);
        for (size_t r = 0; r < rows && r + 1 < cols; r++)
            update_best(cols - r - 1, a->slab + r * cols + r + 1, (uint32_t)(r0 + r),
                        a->best + r0 + r, a->at + r0 + r);
    }
}

/* Fills c, partner and share of every latent. Returns the loss. */
static double find_partners(const struct ortsae *a)
{
    double loss = 0;
    for (size_t k = 0; k < a->n_chunks; k++) {
        const size_t begin = a->m * k / a->n_chunks, n = a->m * (k + 1) / a->n_chunks - begin;
        const uint32_t *const chunk = a->order + begin;
        const double share = 1 / ((double)a->n_chunks * (double)n);
        double sum = 0;
        gather(a, chunk, n);
        search(a, n);
        for (size_t i = 0; i < n; i++) {
            const size_t j = chunk[i];
            a->c[j] = n > 1 ? a->best[i] : 0;
            a->partner[j] = chunk[a->at[i]];
            a->share[j] = (float)share;
            sum += (double)a->c[j] * (double)a->c[j];
        }
        loss += share * sum;
    }
    return loss;
}

/* --- 2. gradient -------------------------------------------------------------------------- */

/* to += s (other / |other| - c own / |own|) */
SAE_CLONES static void add_pull_grad(size_t d, double s, double c, const float *other,
                                     double other_norm, const float *own, double own_norm,
                                     float *to)
{
    const float p = (float)(s / other_norm), q = (float)(-s * c / own_norm);
#pragma omp simd
    for (size_t e = 0; e < d; e++)
        to[e] += p * other[e] + q * own[e];
}

static void add_gradient(const struct ortsae *a, double weight, float *G)
{
    const size_t d = a->d;
    for (size_t i = 0; i < a->m; i++) {
        const size_t j = a->partner[i];
        const double ni = a->norm[i], nj = a->norm[j];
        if (j == i || !(ni > LEAST) || !(nj > LEAST))
            continue;
        const float *const fi = a->W + i * d, *const fj = a->W + j * d;
        const double c = (double)a->c[i], s = weight * 2 * c * (double)a->share[i];
        add_pull_grad(d, s / ni, c, fj, nj, fi, ni, G + i * d);
        add_pull_grad(d, s / nj, c, fi, ni, fj, nj, G + j * d);
    }
}

/* --- 3. the operation --------------------------------------------------------------------- */

void sae_cpu_ortsae(size_t m, size_t d, const float *W, size_t n_chunks, const uint32_t *order,
                    double weight, float *G, float *Gout, double *sum)
{
    struct ortsae a = {.m = m, .d = d, .n_chunks = n_chunks, .W = W, .order = order};
    *sum = NAN;
    if (open_arrays(&a)) {
        *sum = find_partners(&a);
        if (Gout) {
            memset(Gout, 0, m * d * sizeof *Gout);
            add_gradient(&a, weight, Gout);
        }
        if (G)
            add_gradient(&a, weight, G);
    } else {
        sae_cpu_no_memory();
    }
    close_arrays(&a);
}
