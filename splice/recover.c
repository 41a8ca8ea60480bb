/* SPDX-License-Identifier: MIT */
/* recover : see the header. Rows are independent, so threads over rows change no bit. */
#include "splice/recover.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 512 }; /* floats summed before the sum goes to double */

/* exp(x) for x <= 0 within 2 ulp, in plain arithmetic that compilers vectorise: 2^n e^r with
 * |r| <= ln 2 / 2 (Cody and Waite's split of ln 2), e^r by its Taylor polynomial of degree 7.
 * Below -87 the result would be subnormal; it is 0. */
static inline float exp_down(float x)
{
    const float y = x < -87.0F ? -87.0F : x;
    const float n = (y * 1.44269504F + 12582912.0F) - 12582912.0F;
    const float r = (y - n * 0.693359375F) + n * 2.12194440e-4F;
    float e = 1.98412698e-4F;
    e = e * r + 1.38888889e-3F;
    e = e * r + 8.33333333e-3F;
    e = e * r + 4.16666667e-2F;
    e = e * r + 1.66666667e-1F;
    e = e * r + 0.5F;
    e = e * r + 1.0F;
    e = e * r + 1.0F;
    const int32_t bits = ((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return x < -87.0F ? 0.0F : e * scale;
}

/* log sum exp of a row. */
static double log_sum(size_t V, const float *z)
{
    float top = z[0];
    for (size_t v = 1; v < V; v++)
        top = z[v] > top ? z[v] : top;
    double sum = 0;
    for (size_t from = 0; from < V; from += BLOCK) {
        const size_t to = from + BLOCK < V ? from + BLOCK : V;
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (size_t v = from; v < to; v++)
            part += exp_down(z[v] - top);
        sum += (double)part;
    }
    return (double)top + log(sum);
}

void splice_recover_reference(size_t n, size_t V, float *logits, float *p, const uint32_t *target,
                              double *ce)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < n; row++) {
        float *z = logits + row * V, *q = p + row * V;
        const double lse = log_sum(V, z);
        const float shift = (float)lse;
        ce[row] = target[row] != SPLICE_NO_TARGET ? lse - (double)z[target[row]] : 0;
#pragma omp simd
        for (size_t v = 0; v < V; v++) {
            const float l = z[v] - shift;
            z[v] = l;
            q[v] = exp_down(l < 0 ? l : 0);
        }
    }
}

void splice_recover_compare(size_t n, size_t V, const float *log_p, const float *p,
                            const float *logits, const uint32_t *target, double *ce, double *kl)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < n; row++) {
        const float *z = logits + row * V, *l = log_p + row * V, *w = p + row * V;
        const double lse = log_sum(V, z);
        const float shift = (float)lse;
        double sum = 0;
        for (size_t from = 0; from < V; from += BLOCK) {
            const size_t to = from + BLOCK < V ? from + BLOCK : V;
            float part = 0;
#pragma omp simd reduction(+ : part)
            for (size_t v = from; v < to; v++)
                part += w[v] * (l[v] - (z[v] - shift));
            sum += (double)part;
        }
        kl[row] = sum;
        ce[row] = target[row] != SPLICE_NO_TARGET ? lse - (double)z[target[row]] : 0;
    }
}

double splice_recover_score(double clean, double spliced, double ablated)
{
    return (ablated - spliced) / (ablated - clean);
}
