/* SPDX-License-Identifier: MIT */
/* rows : norms, activations, caps, rotation and attention of single rows; see the header. */
#include "lm/rows.h"

#include <math.h>
#include <string.h>

#include "lib/math/clones.h"
#include "lm/vec.h"

SAE_LM_INLINE float inverse_rms(const float *x, size_t D, double eps)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < D; i++)
        sum += (double)x[i] * (double)x[i];
    return (float)(1.0 / sqrt(sum / (double)D + eps));
}

/* What a layer norm takes from x, and scales it by. */
SAE_LM_INLINE float inverse_deviation(const float *x, size_t D, double eps, float *mean)
{
    double sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < D; i++)
        sum += (double)x[i];
    const double m = sum / (double)D;
#pragma omp simd reduction(+ : square)
    for (size_t i = 0; i < D; i++)
        square += ((double)x[i] - m) * ((double)x[i] - m);
    *mean = (float)m;
    return (float)(1.0 / sqrt(square / (double)D + eps));
}

SAE_CLONES void sae_lm_row_norm(enum sae_lm_norm kind, float *h, const float *x, const float *w,
                                size_t D, double eps)
{
    if (kind == SAE_LM_LAYER) {
        float mean;
        const float r = inverse_deviation(x, D, eps, &mean);
#pragma omp simd
        for (size_t i = 0; i < D; i++)
            h[i] = (x[i] - mean) * r * w[i] + w[D + i];
        return;
    }
    const float r = inverse_rms(x, D, eps), one = kind == SAE_LM_RMS1P ? 1.0F : 0.0F;
#pragma omp simd
    for (size_t i = 0; i < D; i++)
        h[i] = x[i] * r * (one + w[i]);
}

SAE_CLONES void sae_lm_row_join(enum sae_lm_norm kind, float *x, const float *a, const float *w,
                                size_t D, double eps)
{
    float mean = 0, r = 1;
    if (w == NULL) {
#pragma omp simd
        for (size_t i = 0; i < D; i++)
            x[i] += a[i];
        return;
    }
    if (kind == SAE_LM_LAYER) {
        r = inverse_deviation(a, D, eps, &mean);
#pragma omp simd
        for (size_t i = 0; i < D; i++)
            x[i] += (a[i] - mean) * r * w[i] + w[D + i];
        return;
    }
    r = inverse_rms(a, D, eps);
    const float one = kind == SAE_LM_RMS1P ? 1.0F : 0.0F;
#pragma omp simd
    for (size_t i = 0; i < D; i++)
        x[i] += a[i] * r * (one + w[i]);
}

/* 0.5 g (1 + tanh u) = g / (1 + e^-2u), u = sqrt(2/pi) (g + 0.044715 g^3): exact, no cancelling. */
SAE_LM_INLINE float gelu_tanh(float g)
{
    const float u2 = -1.5957691216057308F * (g + 0.044715F * (g * g * g));
    return g / (1.0F + sae_lm_exp(u2 > 80.0F ? 80.0F : u2));
}

SAE_LM_INLINE float gelu(float g)
{
    const float tail = 0.5F * g * sae_lm_erfc(fabsf(g) * 0.70710678F);
    return g < 0 ? tail : g - tail;
}

SAE_LM_INLINE float silu(float g)
{
    return g / (1.0F + sae_lm_exp(-g > 80.0F ? 80.0F : -g));
}

#define ACT(f)                                                                                     \
    do {                                                                                           \
        if (up != NULL) {                                                                          \
            _Pragma("omp simd") for (size_t i = 0; i < n; i++) gate[i] = f(gate[i]) * up[i];       \
        } else {                                                                                   \
            _Pragma("omp simd") for (size_t i = 0; i < n; i++) gate[i] = f(gate[i]);               \
        }                                                                                          \
    } while (0)

SAE_CLONES void sae_lm_row_act(enum sae_lm_act act, float *gate, const float *up, size_t n)
{
    switch (act) {
    case SAE_LM_GELU_TANH:
        ACT(gelu_tanh);
        break;
    case SAE_LM_GELU:
        ACT(gelu);
        break;
    case SAE_LM_SILU:
        ACT(silu);
        break;
    }
}

SAE_CLONES void sae_lm_row_cap(float *z, size_t n, float cap)
{
    const float inverse = 1.0F / cap;
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        z[i] = cap * sae_lm_tanh(z[i] * inverse);
}

SAE_CLONES void sae_lm_row_rope(float *heads, size_t n_heads, size_t d, const float *cosines,
                                const float *sines, size_t half)
{
    for (size_t n = 0; n < n_heads; n++) {
        float *a = heads + n * d, *b = a + half;
#pragma omp simd
        for (size_t k = 0; k < half; k++) {
            const float p = a[k], q = b[k];
            a[k] = p * cosines[k] - q * sines[k];
            b[k] = q * cosines[k] + p * sines[k];
        }
    }
}

/* --- attention ------------------------------------------------------------------------------ */

/* Four queries go together; keys and output columns in steps of one vector. */
enum { ROWS = 4, LANES = 16 };
typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

static size_t round_up(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

/* Keys transposed [d][Tp], values [T][dp], scores [ROWS][Tp]; p = padded to LANES. */
size_t sae_lm_head_scratch(size_t T, size_t d)
{
    return d * round_up(T) + T * round_up(d) + ROWS * round_up(T);
}

SAE_LM_INLINE void gather(const struct sae_lm_head *h, float *kt, float *v)
{
    const size_t Tp = round_up(h->T), dp = round_up(h->d);
    for (size_t c = 0; c < h->d; c++)
        memset(kt + c * Tp + h->T, 0, (Tp - h->T) * sizeof *kt);
    for (size_t t = 0; t < h->T; t++) {
        const float *k = h->k + t * h->ld;
        for (size_t c = 0; c < h->d; c++)
            kt[c * Tp + t] = k[c];
        memcpy(v + t * dp, h->v + t * h->ld, h->d * sizeof *v);
        memset(v + t * dp + h->d, 0, (dp - h->d) * sizeof *v);
    }
}

/* s[r][j] = q_r . k_j for the tile of keys j ... j + LANES - 1. */
SAE_LM_INLINE void score_tile(float *s, const float *const q[ROWS], const float *kt, size_t Tp,
                              size_t d, size_t j)
{
    lanes s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    for (size_t c = 0; c < d; c++) {
        const lanes k = *(const lanes *)(kt + c * Tp + j);
        s0 += q[0][c] * k;
        s1 += q[1][c] * k;
        s2 += q[2][c] * k;
        s3 += q[3][c] * k;
    }
    *(lanes *)(s + j) = s0;
    *(lanes *)(s + Tp + j) = s1;
    *(lanes *)(s + 2 * Tp + j) = s2;
    *(lanes *)(s + 3 * Tp + j) = s3;
}

/* Scale, cap and exponential of one row's keys [lo, hi); returns 1 / sum. */
SAE_LM_INLINE float soften(float *s, size_t lo, size_t hi, float scale, float cap)
{
    float top = -INFINITY, sum = 0;
    if (cap > 0) {
        const float in = scale / cap;
#pragma omp simd
        for (size_t j = lo; j < hi; j++)
            s[j] = cap * sae_lm_tanh(s[j] * in);
    } else {
#pragma omp simd
        for (size_t j = lo; j < hi; j++)
            s[j] *= scale;
    }
#pragma omp simd reduction(max : top)
    for (size_t j = lo; j < hi; j++)
        top = s[j] > top ? s[j] : top;
#pragma omp simd reduction(+ : sum)
    for (size_t j = lo; j < hi; j++) {
        s[j] = sae_lm_exp(s[j] - top);
        sum += s[j];
    }
    return 1.0F / sum;
}

/* Columns c ... c + LANES - 1 of sum_j p[r][j] v_j, keys [lo, hi). */
SAE_LM_INLINE void mix_tile(float out[ROWS][LANES], const float *p, size_t Tp, const float *v,
                            size_t dp, size_t lo, size_t hi)
{
    lanes o0 = {0}, o1 = {0}, o2 = {0}, o3 = {0};
    for (size_t j = lo; j < hi; j++) {
        const lanes x = *(const lanes *)(v + j * dp);
        o0 += p[j] * x;
        o1 += p[Tp + j] * x;
        o2 += p[2 * Tp + j] * x;
        o3 += p[3 * Tp + j] * x;
    }
    *(lanes *)out[0] = o0;
    *(lanes *)out[1] = o1;
    *(lanes *)out[2] = o2;
    *(lanes *)out[3] = o3;
}

SAE_LM_INLINE size_t first_key(size_t t, size_t window)
{
    return t + 1 > window ? t + 1 - window : 0;
}

/* Queries t0 ... t0 + ROWS - 1; those past the end repeat the last and are not stored. */
SAE_LM_INLINE void attend_rows(const struct sae_lm_head *h, size_t t0, const float *kt,
                               const float *v, float *s)
{
    const size_t Tp = round_up(h->T), dp = round_up(h->d);
    const size_t n = h->T - t0 < ROWS ? h->T - t0 : ROWS;
    const size_t lo = first_key(t0, h->window) / LANES * LANES, hi = t0 + n;
    const float *q[ROWS];
    float weight[ROWS];
    for (size_t r = 0; r < ROWS; r++)
        q[r] = h->q + (t0 + (r < n ? r : n - 1)) * h->ld;
    for (size_t j = lo; j < hi; j += LANES)
        score_tile(s, q, kt, Tp, h->d, j);
    for (size_t r = 0; r < ROWS; r++) {
        const size_t t = t0 + (r < n ? r : n - 1), from = first_key(t, h->window);
        float *row = s + r * Tp;
        weight[r] = soften(row, from, t + 1, h->scale, h->cap);
        memset(row + lo, 0, (from - lo) * sizeof *row);
        memset(row + t + 1, 0, (hi - t - 1) * sizeof *row);
    }
    for (size_t c = 0; c < h->d; c += LANES) {
        float out[ROWS][LANES];
        const size_t m = h->d - c < LANES ? h->d - c : LANES;
        mix_tile(out, s, Tp, v + c, dp, lo, hi);
        for (size_t r = 0; r < n; r++)
            for (size_t i = 0; i < m; i++)
                h->o[(t0 + r) * h->ld_o + c + i] = out[r][i] * weight[r];
    }
}

SAE_CLONES void sae_lm_head_attend(const struct sae_lm_head *head, float *scratch)
{
    float *kt = scratch, *v = kt + head->d * round_up(head->T);
    float *s = v + head->T * round_up(head->d);
    gather(head, kt, v);
    for (size_t t0 = 0; t0 < head->T; t0 += ROWS)
        attend_rows(head, t0, kt, v, s);
}
