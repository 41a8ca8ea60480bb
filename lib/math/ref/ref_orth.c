/* SPDX-License-Identifier: MIT */
/* ref_orth : the orthogonality term and the cosine histogram, plainly. */
#include <math.h>
#include <string.h>

#include "lib/math/ref/ref.h"

static double dot_rows(size_t d, const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static void add_pair_stats(struct sae_orth_stats *stats, double c, double dot)
{
    stats->loss += c * fabs(dot);
    stats->n_pairs++;
    stats->mean_abs_cos += fabs(dot);
    if (fabs(dot) > stats->max_abs_cos)
        stats->max_abs_cos = fabs(dot);
}

/* Columns [l0, l0 + w) of the term of latent i. */
static void orth_columns(size_t d, const float *W, const struct sae_pairs *pairs, size_t i,
                         size_t l0, size_t w, double *sum)
{
    memset(sum, 0, w * sizeof *sum);
    for (size_t e = pairs->start[i]; e < pairs->start[i + 1]; e++) {
        const float *const partner = W + pairs->idx[e] * d;
        const double dot = dot_rows(d, W + i * d, partner);
        const double along = pairs->c[e] * (double)((dot > 0) - (dot < 0));
        for (size_t l = 0; along != 0 && l < w; l++)
            sum[l] += along * partner[l0 + l];
    }
}

void sae_ref_orth(size_t m, size_t d, const float *W, const struct sae_pairs *pairs, double weight,
                  float *G, float *Gout, struct sae_orth_stats *stats)
{
    enum { COLUMNS = 256 };
    double sum[COLUMNS];
    *stats = (struct sae_orth_stats){0};
    for (size_t i = 0; i < m; i++) {
        for (size_t e = pairs->start[i]; e < pairs->start[i + 1]; e++) {
            const size_t j = pairs->idx[e];
            if (j > i)
                add_pair_stats(stats, pairs->c[e], dot_rows(d, W + i * d, W + j * d));
        }
        for (size_t l0 = 0; (G || Gout) && l0 < d; l0 += COLUMNS) {
            const size_t w = d - l0 < COLUMNS ? d - l0 : COLUMNS;
            orth_columns(d, W, pairs, i, l0, w, sum);
            for (size_t l = 0; l < w; l++) {
                const size_t at = i * d + l0 + l;
                if (Gout)
                    Gout[at] = (float)(weight * sum[l]);
                if (G)
                    G[at] = (float)(G[at] + weight * sum[l]);
            }
        }
    }
    if (stats->n_pairs > 0)
        stats->mean_abs_cos /= (double)stats->n_pairs;
}

enum sae_status sae_ref_cos_hist(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                 float *row_max, uint32_t *row_argmax, float *row_min,
                                 struct sae_err *err)
{
    (void)err;
    memset(hist, 0, n_bins * sizeof *hist);
    for (size_t i = 0; i < m; i++) {
        row_max[i] = -INFINITY;
        row_min[i] = INFINITY;
        row_argmax[i] = 0;
        for (size_t j = 0; j < m; j++) {
            if (j == i)
                continue;
            const float c = (float)dot_rows(d, U + i * d, U + j * d);
            if (c > row_max[i]) {
                row_max[i] = c;
                row_argmax[i] = (uint32_t)j;
            }
            if (c < row_min[i])
                row_min[i] = c;
            if (j < i || isnan(c))
                continue;
            const double bin = floor(((double)c + 1) / 2 * (double)n_bins);
            const size_t last = n_bins - 1;
            hist[bin < 0 ? 0 : bin > (double)last ? last : (size_t)bin]++;
        }
    }
    return SAE_OK;
}
