/* SPDX-License-Identifier: MIT */
/* cpu_group : the loss of a nested dictionary's prefix; its products are in cpu_sparse.c. */
#include "lib/math/cpu/cpu.h"

enum { PARTS = 256, SMALL = 1 << 18 };

/* H may be xhat. */
SAE_CLONES static double prefix_part(size_t n, double scale, const float *x, const float *xhat,
                                     const float *later, float *H)
{
    double sq = 0;
#pragma omp simd reduction(+ : sq)
    for (size_t i = 0; i < n; i++) {
        const double miss = (double)(xhat[i] - x[i]);
        sq += miss * miss;
        H[i] = (float)(scale * miss) + (later ? later[i] : 0);
    }
    return sq;
}

void sae_cpu_prefix_loss(size_t n, size_t d, double weight, const float *x, const float *xhat,
                         const float *later, float *H, double *sum)
{
    double part[PARTS], sq = 0;
    const size_t nd = n * d;
#pragma omp parallel for schedule(dynamic, 1) if (nd > SMALL)
    for (size_t p = 0; p < PARTS; p++) {
        const size_t i = p * nd / PARTS, end = (p + 1) * nd / PARTS;
        part[p] = prefix_part(end - i, weight * 2 / (double)n, x + i, xhat + i,
                              later ? later + i : NULL, H + i);
    }
    for (size_t p = 0; p < PARTS; p++)
        sq += part[p];
    *sum = weight * sq + (later ? *sum : 0);
}
