/* SPDX-License-Identifier: MIT */
/* cpu_hist : the histogram of cosines between rows, and each row's nearest and farthest.
 *
 * Tiles of the upper triangle, each taken by one thread: its matrix product, then, while it lies in the
 * cache, the bins and the search of its rows and columns. Every thread has sums and extremes of its own,
 * joined at the end; of equal cosines the lowest partner counts, so the order of tiles does not matter.
 */
#include <cblas.h>
#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/cpu/cpu.h"

enum { TILE = 512, LANES = 4 };

/* One thread's. */
struct hist {
    size_t n_bins;
    uint32_t *bins;  /* [LANES][n_bins] of one tile: equal bins in a row do not wait */
    uint64_t *total; /* [n_bins] */
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

static void bin_row(const struct hist *h, size_t i)
{
    int32_t bin[TILE];
    const size_t first = h->i0 == h->j0 ? i + 1 : 0;
    if (first >= h->n_cols)
        return;
    const size_t n = h->n_cols - first;
    bin_of_row(n, h->tile + i * TILE + first, h->n_bins, bin);
    for (size_t j = 0; j < n; j++)
        if (bin[j] >= 0)
            h->bins[j % LANES * h->n_bins + (size_t)bin[j]]++;
}

SAE_CLONES static void ends_of_row(size_t n, const float *c, float *ret_max, float *ret_min)
{
    float most = -INFINITY, least = INFINITY;
#pragma omp simd reduction(max : most) reduction(min : least)
    for (size_t j = 0; j < n; j++) {
        most = c[j] > most ? c[j] : most;
        least = c[j] < least ? c[j] : least;
    }
    /* of no number (all are NaN): gcc begins these at infinity, clang at the largest float */
    *ret_max = most > -FLT_MAX ? most : -INFINITY;
    *ret_min = least < FLT_MAX ? least : INFINITY;
}

/* A row's extremes so far, and one more cosine. */
static void offer(const struct hist *h, size_t row, float most, size_t partner, float least)
{
    if (most > h->row_max[row] || (most == h->row_max[row] && partner < h->row_argmax[row])) {
        h->row_max[row] = most;
        h->row_argmax[row] = (uint32_t)partner;
    }
    if (least < h->row_min[row])
        h->row_min[row] = least;
}

/* Row i of the tile: its partners are the columns. */
static void search_row(const struct hist *h, size_t i)
{
    const float *const c = h->tile + i * TILE;
    float most, least;
    size_t j = 0;
    ends_of_row(h->n_cols, c, &most, &least);
    if (most >= h->row_max[h->i0 + i])
        while (j < h->n_cols && c[j] != most) /* all may be NaN */
            j++;
    offer(h, h->i0 + i, most, h->j0 + j, least);
}

/* Row `from` as a partner of n columns. */
SAE_CLONES static void offer_row(size_t n, uint32_t from, const float *restrict c,
                                 float *restrict row_max, uint32_t *restrict row_argmax,
                                 float *restrict row_min)
{
    for (size_t j = 0; j < n; j++) {
        const bool take = (c[j] > row_max[j]) | ((c[j] == row_max[j]) & (from < row_argmax[j]));
        row_argmax[j] = take ? from : row_argmax[j];
        row_max[j] = take ? c[j] : row_max[j];
        row_min[j] = c[j] < row_min[j] ? c[j] : row_min[j];
    }
}

static void read_tile(const struct hist *h)
{
    const bool diagonal = h->i0 == h->j0;
    for (size_t i = 0; i < h->n_rows; i++) {
        float *const c = h->tile + i * TILE;
        if (diagonal)
            c[i] = NAN;
        bin_row(h, i);
        search_row(h, i);
        if (!diagonal)
            offer_row(h->n_cols, (uint32_t)(h->i0 + i), c, h->row_max + h->j0,
                      h->row_argmax + h->j0, h->row_min + h->j0);
    }
    for (size_t b = 0; b < LANES * h->n_bins; b++) {
        h->total[b % h->n_bins] += h->bins[b];
        h->bins[b] = 0;
    }
}

static void clear_ends(size_t m, float *row_max, uint32_t *row_argmax, float *row_min)
{
    for (size_t i = 0; i < m; i++) {
        row_max[i] = -INFINITY;
        row_min[i] = INFINITY;
        row_argmax[i] = 0;
    }
}

static void free_all(size_t n, struct hist *all)
{
    for (size_t t = 0; all && t < n; t++) {
        free(all[t].tile);
        free(all[t].bins);
        free(all[t].total);
        free(all[t].row_max);
        free(all[t].row_argmax);
    }
    free(all);
}

static enum sae_status alloc_all(size_t n, size_t m, size_t n_bins, struct hist **ret,
                                 struct sae_err *err)
{
    struct hist *all = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&all, n, sizeof *all, err));
    for (size_t t = 0; t < n; t++) {
        struct hist *const h = &all[t];
        h->n_bins = n_bins;
        SAE_GO(st, sae_mem_alloc(&h->tile, (size_t)TILE * TILE, sizeof *h->tile, err));
        SAE_GO(st, sae_mem_alloc(&h->bins, LANES * n_bins, sizeof *h->bins, err));
        SAE_GO(st, sae_mem_alloc(&h->total, n_bins, sizeof *h->total, err));
        SAE_GO(st, sae_mem_alloc(&h->row_max, 2 * m, sizeof *h->row_max, err));
        SAE_GO(st, sae_mem_alloc(&h->row_argmax, m, sizeof *h->row_argmax, err));
        h->row_min = h->row_max + m;
        clear_ends(m, h->row_max, h->row_argmax, h->row_min);
    }
    *ret = all;
    return SAE_OK;
done:
    free_all(n, all);
    return st;
}

/* Tile t of the triangle of n x n tiles, row by row. */
static void find_tile(size_t t, size_t n, size_t *ret_i, size_t *ret_j)
{
    size_t i = 0;
    while (t >= n - i)
        t -= n - i++;
    *ret_i = i;
    *ret_j = i + t;
}

static void take_tile(struct hist *h, size_t t, size_t m, size_t d, const float *U)
{
    find_tile(t, (m + TILE - 1) / TILE, &h->i0, &h->j0);
    h->i0 *= TILE;
    h->j0 *= TILE;
    h->n_rows = m - h->i0 < TILE ? m - h->i0 : TILE;
    h->n_cols = m - h->j0 < TILE ? m - h->j0 : TILE;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)h->n_rows, (blasint)h->n_cols,
                (blasint)d, 1, U + h->i0 * d, (blasint)d, U + h->j0 * d, (blasint)d, 0, h->tile,
                TILE);
    read_tile(h);
}

enum sae_status sae_cpu_cos_hist(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                 float *row_max, uint32_t *row_argmax, float *row_min,
                                 struct sae_err *err)
{
    const size_t side = (m + TILE - 1) / TILE, n_tiles = side * (side + 1) / 2;
    const size_t n_threads = (size_t)omp_get_max_threads();
    struct hist *all = NULL;
    SAE_TRY(alloc_all(n_threads, m, n_bins, &all, err));
    const int blas = sae_cpu_blas_single();
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t t = 0; t < n_tiles; t++)
        take_tile(&all[omp_get_thread_num()], t, m, d, U);
    sae_cpu_blas_again(blas);
    const struct hist sum = {.row_max = row_max, .row_min = row_min, .row_argmax = row_argmax};
    memset(hist, 0, n_bins * sizeof *hist);
    clear_ends(m, row_max, row_argmax, row_min);
    for (size_t t = 0; t < n_threads; t++) {
        for (size_t b = 0; b < n_bins; b++)
            hist[b] += all[t].total[b];
        for (size_t i = 0; i < m; i++)
            offer(&sum, i, all[t].row_max[i], all[t].row_argmax[i], all[t].row_min[i]);
    }
    free_all(n_threads, all);
    return SAE_OK;
}
