/* SPDX-License-Identifier: MIT */
/* batch : what a batch tells by itself. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "train/trainer.h"

/* Weiszfeld's iteration. A point that equals the guess would weigh infinitely much: its distance
 * is held at a small positive number instead. */
void trainer_median(size_t n, size_t d, const float *x, float *ret)
{
    double *guess = NULL, *next = NULL;
    if (sae_mem_alloc(&guess, d, sizeof *guess, NULL) != SAE_OK ||
        sae_mem_alloc(&next, d, sizeof *next, NULL) != SAE_OK)
        goto done; /* b_dec stays zero: a start, if a worse one */
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < d; i++)
            guess[i] += (double)x[t * d + i] / (double)n;
    for (int round = 0; round < 100; round++) {
        double weights = 0, moved = 0;
        memset(next, 0, d * sizeof *next);
        for (size_t t = 0; t < n; t++) {
            double sq = 0;
            for (size_t i = 0; i < d; i++)
                sq += ((double)x[t * d + i] - guess[i]) * ((double)x[t * d + i] - guess[i]);
            const double w = 1 / fmax(sqrt(sq), 1e-10);
            weights += w;
            for (size_t i = 0; i < d; i++)
                next[i] += w * (double)x[t * d + i];
        }
        for (size_t i = 0; i < d; i++) {
            const double v = next[i] / weights;
            moved += (v - guess[i]) * (v - guess[i]);
            guess[i] = v;
        }
        if (sqrt(moved) < 1e-5)
            break;
    }
    for (size_t i = 0; i < d; i++)
        ret[i] = (float)guess[i];
done:
    free(guess);
    free(next);
}

double trainer_spread(size_t n, size_t d, const float *x, const float *minus, double *mean)
{
    memset(mean, 0, d * sizeof *mean);
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++)
            mean[i] += (double)x[r * d + i] - (minus ? (double)minus[r * d + i] : 0);
    for (size_t i = 0; i < d; i++)
        mean[i] /= (double)n;
    double sum = 0;
    for (size_t r = 0; r < n; r++) {
        double row = 0;
#pragma omp simd reduction(+ : row)
        for (size_t i = 0; i < d; i++) {
            const double v =
                (double)x[r * d + i] - (minus ? (double)minus[r * d + i] : 0) - mean[i];
            row += v * v;
        }
        sum += row;
    }
    return sum;
}
