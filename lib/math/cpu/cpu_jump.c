/* SPDX-License-Identifier: MIT */
/* cpu_jump : thresholds of JumpReLU, and which latents a batch activates. Latents are cut into blocks
 * of columns, whose sums over tokens one thread makes in the order of the tokens.
 * Contents: 1. counts   2. entries   3. gradient of the thresholds */
#include <math.h>
#include <string.h>

#include "lib/math/cpu/cpu.h"

enum { COLUMNS = 512, SPAN = 64, SMALL = 1 << 18 }; /* SPAN: most hold no entry */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* --- 1. counts ------------------------------------------------------------------------------ */

SAE_CLONES static void add_active(size_t n, const float *restrict f, uint32_t *restrict active)
{
    for (size_t j = 0; j < n; j++)
        active[j] += f[j] > 0;
}

void sae_cpu_count_active(size_t n, size_t m, const float *f, bool add, uint32_t *active)
{
    if (!add)
        memset(active, 0, m * sizeof *active);
#pragma omp parallel for schedule(dynamic, 1) if (n * m > SMALL)
    for (size_t j = 0; j < m; j += COLUMNS)
        for (size_t t = 0; t < n; t++)
            add_active(least(COLUMNS, m - j), f + t * m + j, active + j);
}

SAE_CLONES static void jump_row(size_t n, const float *restrict b, const float *restrict theta,
                                float *restrict z, uint32_t *restrict active)
{
    for (size_t j = 0; j < n; j++) {
        z[j] += b[j];
        active[j] += z[j] > theta[j];
    }
}

void sae_cpu_jump(size_t n, size_t m, const float *b_enc, const float *theta, bool by_z, float *z,
                  uint32_t *active, double *sum)
{
    memset(active, 0, m * sizeof *active);
#pragma omp parallel for schedule(dynamic, 1) if (n * m > SMALL)
    for (size_t j = 0; j < m; j += COLUMNS)
        for (size_t t = 0; t < n; t++)
            jump_row(least(COLUMNS, m - j), b_enc + j, theta + j, z + t * m + j, active + j);
    sum[0] = sum[1] = 0;
    for (size_t j = 0; j < m; j++) {
        sum[0] += active[j];
        sum[1] += !by_z && theta[j] < 0 ? (double)n : (double)active[j];
    }
}

/* --- 2. entries ----------------------------------------------------------------------------- */

SAE_CLONES static void fill_row(size_t n, const float *restrict z, const float *restrict theta,
                                float *restrict f)
{
    for (size_t j = 0; j < n; j++)
        f[j] = z[j] > theta[j] ? z[j] : 0;
}

void sae_cpu_jump_fill(size_t n, size_t m, const float *z, const float *theta, float *f)
{
#pragma omp parallel for schedule(dynamic, 8) if (n * m > SMALL)
    for (size_t t = 0; t < n; t++)
        fill_row(m, z + t * m, theta, f + t * m);
}

SAE_CLONES static uint32_t span_above(size_t n, const float *restrict pre, const float *restrict b,
                                      const float *restrict theta)
{
    uint32_t count = 0;
    for (size_t j = 0; j < n; j++)
        count += pre[j] + b[j] > theta[j];
    return count;
}

/* Entries of a row, to where they are wanted. */
static void write_above(size_t m, const float *pre, const float *b, const float *theta,
                        uint32_t *idx, float *val)
{
    size_t e = 0;
    for (size_t j0 = 0; j0 < m; j0 += SPAN) {
        const size_t n = least(SPAN, m - j0);
        if (span_above(n, pre + j0, b + j0, theta + j0) == 0)
            continue;
        for (size_t j = j0; j < j0 + n; j++)
            if (pre[j] + b[j] > theta[j]) {
                idx[e] = (uint32_t)j;
                val[e++] = pre[j] + b[j];
            }
    }
}

void sae_cpu_above(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                   struct sae_csr *csr, size_t *ret_nnz)
{
    csr->n = n;
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = 0; t < n; t++)
        csr->start[t + 1] = span_above(m, pre + t * m, b_enc, theta);
    if (!sae_cpu_place_rows(csr, ret_nnz))
        return;
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = 0; t < n; t++)
        write_above(m, pre + t * m, b_enc, theta, csr->idx + csr->start[t],
                    csr->val + csr->start[t]);
}

/* --- 3. gradient of the thresholds ---------------------------------------------------------- */

static inline bool in_window(float v, float theta, float width)
{
    return fabsf(v - theta) < width / 2;
}

SAE_CLONES static uint32_t span_window(size_t n, const float *restrict z,
                                       const float *restrict theta, float half)
{
    uint32_t count = 0;
    for (size_t j = 0; j < n; j++) {
        count += fabsf(z[j] - theta[j]) < half;
    }
    return count;
}

SAE_CLONES static double dot_of(size_t d, const float *restrict a, const float *restrict b)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < d; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Of the window, for a tile of latents: sums of dL/df, and entries that L0's step sees. */
struct near {
    double df[COLUMNS], steps[COLUMNS];
};

static void sum_window(size_t n, size_t m, size_t d, const struct sae_jump *h, size_t j0,
                       size_t width, const float *z, const float *theta, const float *g,
                       const float *W_dec, struct near *ret)
{
    *ret = (struct near){0};
    for (size_t t = 0; t < n; t++) {
        const float *const row = z + t * m + j0;
        for (size_t i0 = 0; i0 < width; i0 += SPAN) {
            const size_t end = i0 + least(SPAN, width - i0);
            if (span_window(end - i0, row + i0, theta + j0 + i0, (float)h->width / 2) == 0)
                continue;
            for (size_t i = i0; i < end; i++) {
                if (!in_window(row[i], theta[j0 + i], (float)h->width))
                    continue;
                ret->df[i] += dot_of(d, g + t * d, W_dec + (j0 + i) * d);
                ret->steps[i] += h->by_z || row[i] > theta[j0 + i];
            }
        }
    }
}

void sae_cpu_jump_grad(size_t n, size_t m, size_t d, const struct sae_jump *h, const float *z,
                       const float *theta, const uint32_t *active, const double *l0,
                       const float *g, const float *W_dec, float *g_theta)
{
    const double dH = 2 * h->weight * (*l0 / (double)n / h->target - 1) / (h->target * (double)n);
#pragma omp parallel for schedule(dynamic, 1) if (n * m > SMALL)
    for (size_t j0 = 0; j0 < m; j0 += COLUMNS) {
        struct near near;
        const size_t width = least(COLUMNS, m - j0);
        sum_window(n, m, d, h, j0, width, z, theta, g, W_dec, &near);
        for (size_t i = 0; i < width; i++) {
            const size_t j = j0 + i;
            double steps = near.steps[i];
            if (!h->by_z && in_window(0, theta[j], (float)h->width))
                steps += (double)n - (double)active[j];
            g_theta[j] = (float)(-((double)theta[j] * near.df[i] + dH * steps) / h->width);
        }
    }
}
