/* SPDX-License-Identifier: MIT */
/* cpu_orth : the orthogonality term over partner lists.
 *
 * Few pairs are taken one by one. Many are taken by tiles, as entries are in cpu_sparse: first the
 * cosine of every pair from its lower end, then the signed coefficients of both ends, then the sums
 * of partners. G is the same to the last bit whether or not Gout is asked for.
 *
 * Where a good part of all pairs competes, products of whole blocks of rows are faster than either.
 *
 * Contents: 1. sums   2. one by one   3. by tiles   4. by dense products */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/math/cpu/cpu_slice.h"

/* What the term is made of; scratch is NULL on the way one by one. */
struct orth {
    size_t m, d;
    const float *W;
    const struct sae_pairs *pairs;
    double weight;
    float *G, *Gout;
    float *packed;   /* W by slices [slices][m][SLICE] */
    float *along;    /* [n] the cosine of a pair above, then the coefficient of each entry */
    uint32_t *bound; /* [m][tiles + 1] */
    uint32_t *below; /* [m] number of partners below */
    uint32_t *next;  /* [m] cursors */
};

/* 1. sums: a piece is a run of latents with its own sums, added in the order of the pieces */

enum { PIECES = 256 };

static void count_pair(struct sae_orth_stats *stats, double c, double abs_cos)
{
    stats->loss += c * abs_cos;
    stats->n_pairs++;
    stats->mean_abs_cos += abs_cos;
    if (abs_cos > stats->max_abs_cos)
        stats->max_abs_cos = abs_cos;
}

static float coefficient(const struct orth *o, size_t e, float cosine)
{
    return (float)(o->weight * o->pairs->c[e] * ((cosine > 0) - (cosine < 0)));
}

static void run_pieces(const struct orth *o,
                       void (*run)(const struct orth *o, size_t i0, size_t i1,
                                   struct sae_orth_stats *stats),
                       struct sae_orth_stats *ret)
{
    struct sae_orth_stats piece[PIECES], sum = {0};
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t p = 0; p < PIECES; p++) {
        piece[p] = (struct sae_orth_stats){0};
        run(o, p * o->m / PIECES, (p + 1) * o->m / PIECES, &piece[p]);
    }
    for (size_t p = 0; p < PIECES; p++) {
        sum.loss += piece[p].loss;
        sum.n_pairs += piece[p].n_pairs;
        sum.mean_abs_cos += piece[p].mean_abs_cos;
        if (piece[p].max_abs_cos > sum.max_abs_cos)
            sum.max_abs_cos = piece[p].max_abs_cos;
    }
    if (sum.n_pairs > 0)
        sum.mean_abs_cos /= (double)sum.n_pairs;
    *ret = sum;
}

/* 2. one by one */

enum { COLUMNS = 4096 }; /* more are taken in turns, with the cosines formed anew */

static void put_columns(const struct orth *o, size_t at, size_t w, const float *sum)
{
    if (o->Gout)
        memcpy(o->Gout + at, sum, w * sizeof *sum);
    if (o->G)
        sae_cpu_axpy(w, 1, sum, o->G + at);
}

static void run_singly(const struct orth *o, size_t i0, size_t i1, struct sae_orth_stats *stats)
{
    float sum[COLUMNS];
    const bool wanted = o->G || o->Gout;
    for (size_t i = i0; i < i1; i++) {
        for (size_t l = 0; l == 0 || (wanted && l < o->d); l += COLUMNS) {
            const size_t w = o->d - l < COLUMNS ? o->d - l : COLUMNS;
            sae_cpu_fill(w, NULL, sum);
            for (size_t e = o->pairs->start[i]; e < o->pairs->start[i + 1]; e++) {
                const size_t j = o->pairs->idx[e];
                const float *const partner = o->W + j * o->d;
                if (!wanted && j < i)
                    continue;
                const float cosine = sae_cpu_dot(o->d, o->W + i * o->d, partner);
                const float along = coefficient(o, e, cosine);
                if (j > i && l == 0)
                    count_pair(stats, o->pairs->c[e], fabs((double)cosine));
                if (wanted && along != 0)
                    sae_cpu_axpy(w, along, partner + l, sum);
            }
            if (wanted)
                put_columns(o, i * o->d + l, w, sum);
        }
    }
}

/* 3. by tiles */

enum { PARTS = 8 };

static void find_below(const struct orth *o)
{
#pragma omp parallel for schedule(dynamic, 64)
    for (size_t i = 0; i < o->m; i++) {
        const uint32_t *const row = o->pairs->idx + o->pairs->start[i];
        const size_t n = o->pairs->start[i + 1] - o->pairs->start[i];
        size_t lo = 0, hi = n;
        while (lo < hi) {
            const size_t mid = (lo + hi) / 2;
            if (row[mid] < i)
                lo = mid + 1;
            else
                hi = mid;
        }
        o->below[i] = (uint32_t)lo;
    }
}

/* Entries of latent i with partners in tile b, only those above i where `above`. */
static size_t entries(const struct orth *o, size_t i, size_t b, bool above, size_t *ret_n)
{
    const uint32_t *const cut = o->bound + i * (sae_cpu_tiles(o->m) + 1) + b;
    const size_t first = above && o->below[i] > cut[0] ? o->below[i] : cut[0];
    *ret_n = cut[1] > first ? cut[1] - first : 0;
    return o->pairs->start[i] + first;
}

/* Cosines of latents [i0, i1) with their partners above in tile b. */
static void cosines_tile(const struct orth *o, size_t b, size_t i0, size_t i1)
{
    size_t n;
    for (size_t i = i0; i < i1; i++) {
        const size_t e = entries(o, i, b, true, &n);
        sae_cpu_fill(n, NULL, o->along + e);
    }
    for (size_t s = 0; s < sae_cpu_slices(o->d); s++) {
        const float *const slices = o->packed + s * o->m * SLICE;
        for (size_t i = i0; i < i1; i++) {
            const size_t e = entries(o, i, b, true, &n);
            if (n > 0)
                sae_cpu_pair_slices(n, o->pairs->idx + e, (uint32_t)(b * TILE_ROWS),
                                    slices + b * TILE_ROWS * SLICE, SLICE, slices + i * SLICE,
                                    o->along + e);
        }
    }
}

static void cosines(const struct orth *o)
{
    const size_t n_tiles = sae_cpu_tiles(o->m);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t p = 0; p < n_tiles * PARTS; p++) {
        /* the last tiles have the most latents below them: first */
        const size_t b = n_tiles - 1 - p / PARTS, part = p % PARTS;
        const size_t end = (b + 1) * TILE_ROWS < o->m ? (b + 1) * TILE_ROWS : o->m;
        cosines_tile(o, b, part * end / PARTS, (part + 1) * end / PARTS);
    }
}

/* Sums, and the coefficients of the entries above. */
static void run_above(const struct orth *o, size_t i0, size_t i1, struct sae_orth_stats *stats)
{
    for (size_t i = i0; i < i1; i++) {
        for (size_t e = o->pairs->start[i] + o->below[i]; e < o->pairs->start[i + 1]; e++) {
            const float cosine = o->along[e];
            count_pair(stats, o->pairs->c[e], fabs((double)cosine));
            o->along[e] = coefficient(o, e, cosine);
        }
    }
}

/* The entries below a latent, in order, are those above it of lower latents, in order. */
static void mirror(const struct orth *o)
{
    memset(o->next, 0, o->m * sizeof *o->next);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t b = 0; b < sae_cpu_tiles(o->m); b++) {
        for (size_t i = 0; i < o->m && i < (b + 1) * TILE_ROWS; i++) {
            size_t n;
            const size_t e = entries(o, i, b, true, &n);
            for (size_t k = e; k < e + n; k++) {
                const size_t j = o->pairs->idx[k];
                o->along[o->pairs->start[j] + o->next[j]++] = o->along[k];
            }
        }
    }
}

/* Columns of slice s of latents [i0, i1); sum has room for their slices. */
static void add_partners(const struct orth *o, size_t s, size_t i0, size_t i1, float *sum)
{
    const float *const slices = o->packed + s * o->m * SLICE;
    const size_t w = o->d - s * SLICE < SLICE ? o->d - s * SLICE : SLICE;
    sae_cpu_fill((i1 - i0) * SLICE, NULL, sum);
    for (size_t b = 0; b < sae_cpu_tiles(o->m); b++) {
        for (size_t i = i0; i < i1; i++) {
            size_t n;
            const size_t e = entries(o, i, b, false, &n);
            if (n > 0)
                sae_cpu_add_slices(n, o->pairs->idx + e, o->along + e, (uint32_t)(b * TILE_ROWS),
                                   slices + b * TILE_ROWS * SLICE, SLICE, sum + (i - i0) * SLICE);
        }
    }
    for (size_t i = i0; i < i1; i++)
        put_columns(o, i * o->d + s * SLICE, w, sum + (i - i0) * SLICE);
}

static bool gradients(const struct orth *o)
{
    const size_t n_slices = sae_cpu_slices(o->d);
    const size_t groups = n_slices >= 16 ? 1 : (16 + n_slices - 1) / n_slices;
    const size_t rows = o->m / groups + 1;
    bool done = true;
#pragma omp parallel
    {
        float *const sum = sae_cpu_scratch(rows * SLICE);
        if (!sum) {
#pragma omp atomic write
            done = false;
        }
#pragma omp barrier
#pragma omp for schedule(dynamic, 1)
        for (size_t p = 0; p < n_slices * groups; p++) {
            const size_t g = p % groups;
            if (done)
                add_partners(o, p / groups, g * o->m / groups, (g + 1) * o->m / groups, sum);
        }
        free(sum);
    }
    return done;
}

/* False where there is no memory for it; then nothing was written. */
static bool orth_tiled(struct orth *o, struct sae_orth_stats *stats)
{
    const size_t n = o->pairs->start[o->m];
    bool done = false;
    o->packed = sae_cpu_pack_all(o->m, o->d, o->W);
    o->along = sae_cpu_scratch(n);
    o->bound = sae_cpu_bounds(o->m, o->m, o->pairs->start, o->pairs->idx);
    o->below = malloc(o->m * sizeof *o->below);
    o->next = malloc(o->m * sizeof *o->next);
    if (o->packed && o->along && o->bound && o->below && o->next) {
        find_below(o);
        cosines(o);
        run_pieces(o, run_above, stats);
        done = true;
        if (o->G || o->Gout) {
            mirror(o);
            done = gradients(o);
        }
    }
    free(o->packed);
    free(o->along);
    free(o->bound);
    free(o->below);
    free(o->next);
    return done;
}

/* 4. by dense products: cosines of a block of rows to all rows, the coefficients in their place (0
 * where a pair does not compete), the sums of partners as a second product */

enum { ROWS = 256, DENSE_SHARE = 5 }; /* pairs above a fifth of all: docs/PERFORMANCE.md */

/* Cosines of row i -> coefficients; zero [m] is, and is left, full of 0. */
static void weigh_row(const struct orth *o, size_t i, float *row, float *zero,
                      struct sae_orth_stats *stats)
{
    const size_t a = o->pairs->start[i], b = o->pairs->start[i + 1];
    for (size_t e = a; e < b; e++) {
        const size_t j = o->pairs->idx[e];
        if (j > i)
            count_pair(stats, o->pairs->c[e], fabs((double)row[j]));
        zero[j] = coefficient(o, e, row[j]);
    }
    memcpy(row, zero, o->m * sizeof *row);
    for (size_t e = a; e < b; e++)
        zero[o->pairs->idx[e]] = 0;
}

static void add_stats(size_t n, const struct sae_orth_stats *part, struct sae_orth_stats *ret)
{
    struct sae_orth_stats sum = {0};
    for (size_t i = 0; i < n; i++) {
        sum.loss += part[i].loss;
        sum.n_pairs += part[i].n_pairs;
        sum.mean_abs_cos += part[i].mean_abs_cos;
        if (part[i].max_abs_cos > sum.max_abs_cos)
            sum.max_abs_cos = part[i].max_abs_cos;
    }
    if (sum.n_pairs > 0)
        sum.mean_abs_cos /= (double)sum.n_pairs;
    *ret = sum;
}

/* False where there is no memory for it; then nothing was written. */
static bool orth_dense(const struct orth *o, struct sae_orth_stats *stats)
{
    const size_t m = o->m, d = o->d, rows = ROWS < m ? ROWS : m;
    float *const block = sae_cpu_scratch(rows * m), *const sum = sae_cpu_scratch(rows * d);
    float *const zero = calloc((size_t)omp_get_max_threads() * m, sizeof *zero);
    struct sae_orth_stats *const part = calloc(m, sizeof *part);
    const bool done = block && sum && zero && part;
    for (size_t i0 = 0; done && i0 < m; i0 += rows) {
        const size_t n = m - i0 < rows ? m - i0 : rows;
        sae_cpu_gemm(false, true, n, m, d, 1, o->W + i0 * d, d, o->W, d, 0, block, m);
#pragma omp parallel for schedule(dynamic, 4)
        for (size_t i = i0; i < i0 + n; i++)
            weigh_row(o, i, block + (i - i0) * m, zero + (size_t)omp_get_thread_num() * m,
                      &part[i]);
        if (!o->G && !o->Gout)
            continue;
        sae_cpu_gemm(false, false, n, d, m, 1, block, m, o->W, d, 0, sum, d);
        for (size_t i = i0; i < i0 + n; i++)
            put_columns(o, i * d, d, sum + (i - i0) * d);
    }
    if (done)
        add_stats(m, part, stats);
    free(block);
    free(sum);
    free(zero);
    free(part);
    return done;
}

void sae_cpu_orth(size_t m, size_t d, const float *W, const struct sae_pairs *pairs, double weight,
                  float *G, float *Gout, struct sae_orth_stats *stats)
{
    struct orth o = {
        .m = m, .d = d, .W = W, .pairs = pairs, .weight = weight, .G = G, .Gout = Gout};
    /* 0 times what is not finite is not 0 */
    if (m * d >= CACHE_FLOATS && pairs->start[m] > m * m / DENSE_SHARE &&
        isfinite(sae_cpu_sum_sq(m * d, W)) && orth_dense(&o, stats))
        return;
    /* packing W pays where it does not fit the cache and each row is used a few times */
    if (m * d < CACHE_FLOATS || pairs->start[m] < 8 * m || !orth_tiled(&o, stats))
        run_pieces(&o, run_singly, stats);
}
