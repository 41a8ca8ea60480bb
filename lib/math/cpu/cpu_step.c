/* SPDX-License-Identifier: MIT */
/* cpu_step : passes of a training step over dense arrays. Sums are in double, over parts that
 * follow from the shape, added in the order of the parts; sums over tokens are made by whoever owns
 * the columns. Contents: 1. sums   2. dense activations   3. counters   4. annealed sparsity   5.
 * copies */
#include <math.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/math/cpu/cpu.h"

enum { COLUMNS = 64, CHUNK = 16384, PARTS = 256, SMALL = 1 << 18 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static double total(const double part[PARTS])
{
    double sum = 0;
    for (size_t p = 0; p < PARTS; p++)
        sum += part[p];
    return sum;
}

/* --- 1. sums -------------------------------------------------------------------------------- */

void sae_cpu_sq_sum(size_t n, const float *a, double *sum)
{
    *sum += sae_cpu_sum_sq(n, a);
}

/* Of w <= COLUMNS columns, rows d apart; minus may be NULL. */
SAE_CLONES static double spread_columns(size_t n, size_t d, size_t w, const float *x,
                                        const float *minus)
{
    double mean[COLUMNS] = {0}, sq[COLUMNS] = {0}, sum = 0;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < w; i++)
            mean[i] += (double)x[t * d + i] - (minus ? (double)minus[t * d + i] : 0);
    for (size_t i = 0; i < w; i++)
        mean[i] /= (double)n;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < w; i++) {
            const double v =
                (double)x[t * d + i] - (minus ? (double)minus[t * d + i] : 0) - mean[i];
            sq[i] += v * v;
        }
    for (size_t i = 0; i < w; i++)
        sum += sq[i];
    return sum;
}

void sae_cpu_spread_sum(size_t n, size_t d, const float *x, const float *minus, double *sum)
{
    double part[PARTS];
    const size_t tiles = (d + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for schedule(dynamic, 1) if (n * d > SMALL)
    for (size_t p = 0; p < PARTS; p++) {
        part[p] = 0;
        for (size_t c = p * tiles / PARTS; c < (p + 1) * tiles / PARTS; c++) {
            const size_t i = c * COLUMNS;
            part[p] += spread_columns(n, d, least(COLUMNS, d - i), x + i, minus ? minus + i : NULL);
        }
    }
    *sum = total(part);
}

/* --- 2. dense activations ------------------------------------------------------------------- */

SAE_CLONES static double relu_row(size_t m, const float *restrict b, float *restrict row,
                                  double *restrict active)
{
    double sum = 0;
    uint32_t count = 0;
#pragma omp simd reduction(+ : sum, count)
    for (size_t j = 0; j < m; j++) {
        const float v = row[j] + b[j];
        row[j] = v > 0 ? v : 0;
        sum += (double)row[j];
        count += v > 0;
    }
    *active += count;
    return sum;
}

void sae_cpu_relu_sum(size_t n, size_t m, const float *b_enc, float *pre, double *sum)
{
    double part[PARTS], active[PARTS];
#pragma omp parallel for schedule(dynamic, 1) if (n * m > SMALL)
    for (size_t p = 0; p < PARTS; p++) {
        part[p] = active[p] = 0;
        for (size_t t = p * n / PARTS; t < (p + 1) * n / PARTS; t++)
            part[p] += relu_row(m, b_enc, pre + t * m, &active[p]);
    }
    sum[0] = total(part);
    sum[1] = total(active);
}

SAE_CLONES static void mask_part(size_t n, const float *restrict f, float l1, float *restrict dz)
{
    for (size_t i = 0; i < n; i++)
        dz[i] = fabsf(f[i]) > 0 ? dz[i] + l1 : 0;
}

void sae_cpu_mask_grad(size_t n, const float *f, float l1, float *dz)
{
#pragma omp parallel for schedule(dynamic, 1) if (n > SMALL)
    for (size_t i = 0; i < n; i += CHUNK)
        mask_part(least(CHUNK, n - i), f + i, l1, dz + i);
}

void sae_cpu_scatter(size_t m, const struct sae_csr *csr, float *f)
{
#pragma omp parallel for schedule(dynamic, 8) if (csr->n * m > SMALL)
    for (size_t t = 0; t < csr->n; t++) {
        memset(f + t * m, 0, m * sizeof *f);
        for (size_t e = csr->start[t]; e < csr->start[t + 1]; e++)
            f[t * m + csr->idx[e]] = csr->val[e];
    }
}

/* --- 3. counters ---------------------------------------------------------------------------- */

void sae_cpu_age(size_t n, size_t m, const size_t *start, const uint32_t *active,
                 uint64_t dead_after, uint64_t *idle, double *sum)
{
    size_t dead = 0;
    for (size_t j = 0; j < m; j++) {
        const bool used = start ? start[j + 1] > start[j] : active[j] > 0;
        idle[j] = used ? 0 : idle[j] + n;
        dead += idle[j] >= dead_after;
    }
    sum[0] = (double)dead;
    if (start)
        sum[1] = (double)start[m];
}

SAE_CLONES static float least_of(size_t n, const float *a)
{
    float v = a[0];
#pragma omp simd reduction(min : v)
    for (size_t i = 0; i < n; i++)
        v = a[i] < v ? a[i] : v;
    return v;
}

void sae_cpu_cut_move(const struct sae_csr *csr, double keep, double *cut)
{
    const size_t nnz = csr->start[csr->n];
    const double v = nnz > 0 ? (double)least_of(nnz, csr->val) : 0;
    *cut = *cut < 0 ? v : keep * *cut + (1 - keep) * v;
}

/* --- 4. annealed sparsity ------------------------------------------------------------------- */

struct lp_row {
    bool root;
    const size_t *start;
    size_t m;
    const float *f;
};

static size_t row_begin(const struct lp_row *r, size_t t)
{
    return r->start ? r->start[t] : t * r->m;
}

static double lp_value(bool root, double sum, double p)
{
    return root ? (sum > 0 ? pow(sum, 1 / p) : 0) : sum;
}

SAE_CLONES static double plain_sum(size_t n, const float *f)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += f[i] > 0 ? (double)f[i] : 0;
    return sum;
}

static double power_sum(const struct lp_row *r, size_t t, double p)
{
    double sum = 0;
    if (p == 1)
        return plain_sum(row_begin(r, t + 1) - row_begin(r, t), r->f + row_begin(r, t));
    for (size_t i = row_begin(r, t); i < row_begin(r, t + 1); i++)
        if (r->f[i] > 0)
            sum += pow((double)r->f[i], p);
    return sum;
}

void sae_cpu_lp_sum(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                    double p_next, double *row, double *sum)
{
    const struct lp_row r = {root, start, m, f};
    double now[PARTS], next[PARTS];
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < PARTS; i++) {
        now[i] = next[i] = 0;
        for (size_t t = i * n / PARTS; t < (i + 1) * n / PARTS; t++) {
            row[t] = power_sum(&r, t, p);
            now[i] += lp_value(root, row[t], p);
            if (p_next > 0)
                next[i] += lp_value(root, power_sum(&r, t, p_next), p_next);
        }
    }
    sum[0] += total(now);
    sum[1] += total(next);
}

void sae_cpu_lp_grad(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                     double weight, const double *row, float *dz)
{
    const struct lp_row at = {root, start, m, f};
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = 0; t < n; t++) {
        const double r = weight * (root ? pow(row[t], 1 / p - 1) : p);
        for (size_t i = row_begin(&at, t); i < row_begin(&at, t + 1); i++)
            dz[i] = f[i] > 0 ? dz[i] + (float)(r * pow((double)f[i], p - 1)) : 0;
    }
}

/* --- 5. copies ------------------------------------------------------------------------------ */

void sae_cpu_copy(void *to, const void *from, size_t bytes)
{
    enum { PIECE = 1 << 18 };
#pragma omp parallel for schedule(static) if (bytes > 4 * (size_t)PIECE)
    for (size_t i = 0; i < bytes; i += PIECE)
        memcpy((char *)to + i, (const char *)from + i, least(PIECE, bytes - i));
}

SAE_CLONES static void divide_row(size_t d, double norm, float *x)
{
    for (size_t i = 0; i < d; i++)
        x[i] = (float)((double)x[i] / norm);
}

void sae_cpu_widen_rows(size_t n, size_t d, const uint16_t *rows, const uint32_t *row, double norm,
                        float *x)
{
#pragma omp parallel for schedule(dynamic, 16) if (n * d > SMALL)
    for (size_t t = 0; t < n; t++) {
        sae_bf16_widen(x + t * d, rows + row[t] * d, d);
        if (norm != 1)
            divide_row(d, norm, x + t * d);
    }
}
