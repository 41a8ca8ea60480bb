/* SPDX-License-Identifier: MIT */
/* cpu_hist : the histogram of cosines between rows, and each row's nearest and farthest.
 *
 * Tiles of the upper triangle in order, one matrix product each; then the tile is binned and its
 * rows and columns are searched. Tiles come in ascending order of partner for every row, so the
 * first largest cosine is the one of the lowest partner. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/cpu/cpu.h"

enum { TILE = 1024, PARTS = 16, LANES = 4 };

struct hist {
    size_t n_bins;
    uint32_t *bins; /* [PARTS][LANES][n_bins] of one tile: equal bins in a row do not wait */
    uint64_t *total;
    float *row_max, *row_min;
    uint32_t *row_argmax;
    float *tile; /* [n_rows][TILE]; NaN on the diagonal */
    size_t i0, j0, n_rows, n_cols;
};

SAE_CLONES static void bin_of_row(size_t n, const float *c, size_t n_bins, int32_t *bin)
{
    const float scale = 0.5f * (float)n_bins, last = (float)(n_bins - 1);
    for (size_t j = 0; j < n; j++) {
        float b = (c[j] + 1) * scale;
        b = b > 0 ? b : 0;
        b = b < last ? b : last;
        bin[j] = c[j] == c[j] ? (int32_t)b : -1; /* conversion cuts off: floor, as b >= 0 */
    }
}

static void bin_row(const struct hist *h, size_t i, uint32_t *bins)
{
    int32_t bin[TILE];
    const size_t first = h->i0 == h->j0 ? i + 1 : 0;
    if (first >= h->n_cols)
        return;
    const size_t n = h->n_cols - first;
    bin_of_row(n, h->tile + i * TILE + first, h->n_bins, bin);
    for (size_t j = 0; j < n; j++)
        if (bin[j] >= 0)
            bins[j % LANES * h->n_bins + (size_t)bin[j]]++;
}

SAE_CLONES static void ends_of_row(size_t n, const float *c, float *ret_max, float *ret_min)
{
    float most = -INFINITY, least = INFINITY;
#pragma omp simd reduction(max : most) reduction(min : least)
    for (size_t j = 0; j < n; j++) {
        most = c[j] > most ? c[j] : most;
        least = c[j] < least ? c[j] : least;
    }
    *ret_max = most;
    *ret_min = least;
}

/* Row i of the tile: its partners are the columns. */
static void search_row(const struct hist *h, size_t i)
{
    const float *const c = h->tile + i * TILE;
    const size_t row = h->i0 + i;
    float most, least;
    ends_of_row(h->n_cols, c, &most, &least);
    if (most > h->row_max[row]) {
        size_t j = 0;
        while (c[j] != most)
            j++;
        h->row_max[row] = most;
        h->row_argmax[row] = (uint32_t)(h->j0 + j);
    }
    if (least < h->row_min[row])
        h->row_min[row] = least;
}

/* Row `from` as a partner of n columns. */
SAE_CLONES static void offer_row(size_t n, uint32_t from, const float *restrict c,
                                 float *restrict row_max, uint32_t *restrict row_argmax,
                                 float *restrict row_min)
{
    for (size_t j = 0; j < n; j++) {
        row_argmax[j] = c[j] > row_max[j] ? from : row_argmax[j];
        row_max[j] = c[j] > row_max[j] ? c[j] : row_max[j];
        row_min[j] = c[j] < row_min[j] ? c[j] : row_min[j];
    }
}

static void read_rows(const struct hist *h, size_t part)
{
    uint32_t *const bins = h->bins + part * LANES * h->n_bins;
    for (size_t i = part * h->n_rows / PARTS; i < (part + 1) * h->n_rows / PARTS; i++) {
        bin_row(h, i, bins);
        search_row(h, i);
    }
    for (size_t b = 0; b < LANES * h->n_bins; b++) {
#pragma omp atomic
        h->total[b % h->n_bins] += bins[b];
        bins[b] = 0;
    }
}

static void read_columns(const struct hist *h, size_t part)
{
    const size_t a = part * h->n_cols / PARTS, b = (part + 1) * h->n_cols / PARTS, j = h->j0 + a;
    for (size_t i = 0; i < h->n_rows; i++)
        offer_row(b - a, (uint32_t)(h->i0 + i), h->tile + i * TILE + a, h->row_max + j,
                  h->row_argmax + j, h->row_min + j);
}

static void read_tile(const struct hist *h)
{
    const bool diagonal = h->i0 == h->j0;
    for (size_t i = 0; diagonal && i < h->n_rows; i++)
        h->tile[i * TILE + i] = NAN;
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t part = 0; part < PARTS; part++)
        read_rows(h, part);
#pragma omp parallel for schedule(dynamic, 1) if (!diagonal)
    for (size_t part = 0; part < PARTS; part++)
        if (!diagonal)
            read_columns(h, part);
}

enum sae_status sae_cpu_cos_hist(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                 float *row_max, uint32_t *row_argmax, float *row_min,
                                 struct sae_err *err)
{
    struct hist h = {.n_bins = n_bins,
                     .total = hist,
                     .row_max = row_max,
                     .row_min = row_min,
                     .row_argmax = row_argmax};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&h.tile, TILE * TILE, sizeof *h.tile, err));
    SAE_GO(st, sae_mem_alloc(&h.bins, PARTS * LANES * n_bins, sizeof *h.bins, err));
    memset(hist, 0, n_bins * sizeof *hist);
    for (size_t i = 0; i < m; i++) {
        row_max[i] = -INFINITY;
        row_min[i] = INFINITY;
        row_argmax[i] = 0;
    }
    for (h.i0 = 0; h.i0 < m; h.i0 += TILE) {
        h.n_rows = m - h.i0 < TILE ? m - h.i0 : TILE;
        for (h.j0 = h.i0; h.j0 < m; h.j0 += TILE) {
            h.n_cols = m - h.j0 < TILE ? m - h.j0 : TILE;
            sae_cpu_gemm(false, true, h.n_rows, h.n_cols, d, 1, U + h.i0 * d, d, U + h.j0 * d, d, 0,
                         h.tile, TILE);
            read_tile(&h);
        }
    }
done:
    free(h.tile);
    free(h.bins);
    return st;
}
