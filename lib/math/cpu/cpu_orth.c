/* SPDX-License-Identifier: MIT */
/* cpu_orth : the orthogonality term over partner lists, and the histogram of cosines by tiles.
 *
 * Contents: 1. orthogonality   2. cosines */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/cpu/cpu.h"

/* 1. orthogonality: a piece is a run of latents with its own sums */

enum { PIECES = 256, SLICE = 512 };

SAE_CLONES static void axpy(size_t d, float a, const float *restrict x, float *restrict y)
{
    for (size_t i = 0; i < d; i++)
        y[i] += a * x[i];
}

/* Both ends of a pair form the same products and sums, so they agree on the sign. */
SAE_CLONES static float dot(size_t d, const float *restrict x, const float *restrict y)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < d; i++)
        sum += x[i] * y[i];
    return sum;
}

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
            const float cosine = dot(d, W + i * d, w);
            const float along = (float)(weight * pairs->c[e] * ((cosine > 0) - (cosine < 0)));
            if (j > i)
                count_pair(stats, pairs->c[e], fabs((double)cosine));
            if (out && along != 0)
                axpy(d, along, w, out);
            else if (G && along != 0)
                axpy(d, along, w, G + i * d);
        }
        if (out && G)
            axpy(d, 1, out, G + i * d);
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

/* 2. cosines: tiles of the upper triangle in order, one product each; then its rows are binned
 * and its rows and columns searched. Tiles come in ascending order of partner for every latent,
 * so the first largest cosine is the one of the lowest partner. */

enum { TILE = 1024 };

struct cosines {
    size_t n_bins;
    float *row_max, *row_min;
    uint32_t *row_argmax;
    const float *tile; /* [n_rows][TILE] */
    size_t i0, j0, n_rows, n_cols;
};

SAE_CLONES static void bin_of_row(size_t n, const float *c, size_t n_bins, int32_t *bin)
{
    const float scale = 0.5f * (float)n_bins, last = (float)(n_bins - 1);
    for (size_t j = 0; j < n; j++) {
        float b = floorf((c[j] + 1) * scale);
        b = b < 0 ? 0 : b;
        b = b > last ? last : b;
        bin[j] = c[j] == c[j] ? (int32_t)b : -1;
    }
}

static void bin_row(const struct cosines *s, size_t i, uint64_t *hist)
{
    int32_t bin[TILE];
    const float *const c = s->tile + i * TILE;
    const size_t first = s->i0 == s->j0 ? i + 1 : 0;
    if (first >= s->n_cols)
        return;
    bin_of_row(s->n_cols - first, c + first, s->n_bins, bin);
    for (size_t j = 0; j < s->n_cols - first; j++)
        if (bin[j] >= 0)
            hist[bin[j]]++;
}

/* Offers partner j of latent i. */
static inline void offer(const struct cosines *s, size_t i, size_t j, float c)
{
    if (c > s->row_max[i]) {
        s->row_max[i] = c;
        s->row_argmax[i] = (uint32_t)j;
    }
    if (c < s->row_min[i])
        s->row_min[i] = c;
}

/* Rows [a, b) of the tile: their partners are the columns. */
static void search_rows(const struct cosines *s, size_t a, size_t b)
{
    for (size_t i = a; i < b; i++)
        for (size_t j = 0; j < s->n_cols; j++)
            if (s->i0 + i != s->j0 + j)
                offer(s, s->i0 + i, s->j0 + j, s->tile[i * TILE + j]);
}

/* Columns [a, b) of a tile above the diagonal: their partners are the rows. */
static void search_columns(const struct cosines *s, size_t a, size_t b)
{
    for (size_t i = 0; i < s->n_rows; i++)
        for (size_t j = a; j < b; j++)
            offer(s, s->j0 + j, s->i0 + i, s->tile[i * TILE + j]);
}

static void read_tile(const struct cosines *s, uint64_t *hist)
{
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t part = 0; part < 32; part++) {
        search_rows(s, part * s->n_rows / 32, (part + 1) * s->n_rows / 32);
    }
    if (s->i0 != s->j0) {
#pragma omp parallel for schedule(dynamic, 1)
        for (size_t part = 0; part < 16; part++)
            search_columns(s, part * s->n_cols / 16, (part + 1) * s->n_cols / 16);
    }
    for (size_t i = 0; i < s->n_rows; i++)
        bin_row(s, i, hist);
}

enum sae_status sae_cpu_cos_hist(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                 float *row_max, uint32_t *row_argmax, float *row_min,
                                 struct sae_err *err)
{
    float *tile = NULL;
    SAE_TRY(sae_mem_alloc(&tile, TILE * TILE, sizeof *tile, err));
    memset(hist, 0, n_bins * sizeof *hist);
    for (size_t i = 0; i < m; i++) {
        row_max[i] = -INFINITY;
        row_min[i] = INFINITY;
        row_argmax[i] = 0;
    }
    struct cosines s = {.n_bins = n_bins,
                        .row_max = row_max,
                        .row_min = row_min,
                        .row_argmax = row_argmax,
                        .tile = tile};
    for (s.i0 = 0; s.i0 < m; s.i0 += TILE) {
        s.n_rows = m - s.i0 < TILE ? m - s.i0 : TILE;
        for (s.j0 = s.i0; s.j0 < m; s.j0 += TILE) {
            s.n_cols = m - s.j0 < TILE ? m - s.j0 : TILE;
            sae_cpu_gemm(false, true, s.n_rows, s.n_cols, d, 1, U + s.i0 * d, d, U + s.j0 * d, d, 0,
                         tile, TILE);
            read_tile(&s, hist);
        }
    }
    free(tile);
    return SAE_OK;
}
