/* SPDX-License-Identifier: MIT */
/* cpu_orth : the orthogonality term over partner lists. */
#include <math.h>
#include <string.h>

#include "lib/math/cpu/cpu_slice.h"

/* A piece is a run of latents with its own sums */

enum { PIECES = 256 };

static void count_pair(struct sae_orth_stats *stats, double c, double abs_cos)
{
    stats->loss += c * abs_cos;
    stats->n_pairs++;
    stats->mean_abs_cos += abs_cos;
    if (abs_cos > stats->max_abs_cos)
        stats->max_abs_cos = abs_cos;
}

static void orth_piece(size_t i0, size_t i1, size_t d, const float *W,
                       const struct sae_pairs *pairs, double weight, float *G, float *Gout,
                       struct sae_orth_stats *stats)
{
    *stats = (struct sae_orth_stats){0};
    for (size_t i = i0; i < i1; i++) {
        float *const out = Gout ? Gout + i * d : NULL;
        if (out)
            memset(out, 0, d * sizeof *out);
        for (size_t e = pairs->start[i]; e < pairs->start[i + 1]; e++) {
            const size_t j = pairs->idx[e];
            const float *const w = W + j * d;
            const float cosine = sae_cpu_dot(d, W + i * d, w);
            const float along = (float)(weight * pairs->c[e] * ((cosine > 0) - (cosine < 0)));
            if (j > i)
                count_pair(stats, pairs->c[e], fabs((double)cosine));
            if (out && along != 0)
                sae_cpu_axpy(d, along, w, out);
            else if (G && along != 0)
                sae_cpu_axpy(d, along, w, G + i * d);
        }
        if (out && G)
            sae_cpu_axpy(d, 1, out, G + i * d);
    }
}

void sae_cpu_orth(size_t m, size_t d, const float *W, const struct sae_pairs *pairs, double weight,
                  float *G, float *Gout, struct sae_orth_stats *stats)
{
    struct sae_orth_stats piece[PIECES];
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t p = 0; p < PIECES; p++)
        orth_piece(p * m / PIECES, (p + 1) * m / PIECES, d, W, pairs, weight, G, Gout, &piece[p]);
    struct sae_orth_stats sum = {0};
    for (size_t p = 0; p < PIECES; p++) {
        sum.loss += piece[p].loss;
        sum.n_pairs += piece[p].n_pairs;
        sum.mean_abs_cos += piece[p].mean_abs_cos;
        if (piece[p].max_abs_cos > sum.max_abs_cos)
            sum.max_abs_cos = piece[p].max_abs_cos;
    }
    if (sum.n_pairs > 0)
        sum.mean_abs_cos /= (double)sum.n_pairs;
    *stats = sum;
}
