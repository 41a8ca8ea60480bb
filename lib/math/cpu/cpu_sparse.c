/* SPDX-License-Identifier: MIT */
/* cpu_sparse : operations over the kept entries.
 *
 * Contents: 1. transpose   2. decode   3. gradients */
#include <string.h>

#include "lib/math/cpu/cpu.h"

enum { TILE_LATENTS = 1024 };

/* y += a x */
SAE_CLONES static void axpy(size_t d, float a, const float *restrict x, float *restrict y)
{
    for (size_t i = 0; i < d; i++)
        y[i] += a * x[i];
}

SAE_CLONES static float dot(size_t d, const float *restrict x, const float *restrict y)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < d; i++)
        sum += x[i] * y[i];
    return sum;
}

/* 1. transpose: a counting sort; a thread owns a range of latents, which in each row is a run of
 * entries, so that no two threads write one counter and nothing is allocated */

static size_t first_reaching(const struct sae_csr *csr, size_t t, size_t latent)
{
    size_t lo = csr->start[t], hi = csr->start[t + 1];
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (csr->idx[mid] < latent)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void sae_cpu_transpose(size_t m, const struct sae_csr *csr, struct sae_csc *csc)
{
    csc->m = m;
    memset(csc->start, 0, (m + 1) * sizeof *csc->start);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t j0 = 0; j0 < m; j0 += TILE_LATENTS) {
        for (size_t t = 0; t < csr->n; t++) {
            const size_t end = csr->start[t + 1];
            for (size_t e = first_reaching(csr, t, j0); e < end && csr->idx[e] < j0 + TILE_LATENTS;
                 e++)
                csc->start[csr->idx[e] + 1]++;
        }
    }
    for (size_t j = 0; j < m; j++)
        csc->start[j + 1] += csc->start[j];
        /* start[j] walks to the end of latent j while entries are placed, then is moved back */
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t j0 = 0; j0 < m; j0 += TILE_LATENTS) {
        for (size_t t = 0; t < csr->n; t++) {
            const size_t end = csr->start[t + 1];
            for (size_t e = first_reaching(csr, t, j0); e < end && csr->idx[e] < j0 + TILE_LATENTS;
                 e++) {
                const size_t p = csc->start[csr->idx[e]]++;
                csc->row[p] = (uint32_t)t;
                csc->pos[p] = (uint32_t)e;
            }
        }
    }
    memmove(csc->start + 1, csc->start, m * sizeof *csc->start);
    csc->start[0] = 0;
}

/* 2. decode */

void sae_cpu_decode(size_t d, const struct sae_csr *csr, const float *W_dec, const float *b_dec,
                    float *xhat)
{
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = 0; t < csr->n; t++) {
        float *const y = xhat + t * d;
        if (b_dec)
            memcpy(y, b_dec, d * sizeof *y);
        else
            memset(y, 0, d * sizeof *y);
        for (size_t e = csr->start[t]; e < csr->start[t + 1]; e++)
            axpy(d, csr->val[e], W_dec + csr->idx[e] * d, y);
    }
}

/* 3. gradients */

void sae_cpu_grad_dec(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *W_dec, float *dz, float *dW_dec)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t j = 0; j < m; j++) {
        float *const out = dW_dec + j * d;
        const float *const w = W_dec + j * d;
        memset(out, 0, d * sizeof *out);
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++) {
            const float *const row = g + csc->row[p] * d;
            dz[csc->pos[p]] = dot(d, row, w);
            axpy(d, csr->val[csc->pos[p]], row, out);
        }
    }
}

void sae_cpu_grad_enc(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *dz, const float *xc, float *dW_enc, float *db_enc)
{
    (void)csr;
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t j = 0; j < m; j++) {
        float *const out = dW_enc + j * d;
        double bias = 0;
        memset(out, 0, d * sizeof *out);
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++) {
            const float z = dz[csc->pos[p]];
            bias += z;
            axpy(d, z, xc + csc->row[p] * d, out);
        }
        db_enc[j] = (float)bias;
    }
}
