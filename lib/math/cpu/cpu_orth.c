/* SPDX-License-Identifier: MIT */
/* cpu_orth : the orthogonality term over partner lists.
 *
 * Few pairs are taken one by one. Many are taken by slices, as entries are in cpu_sparse: first the
 * cosine of every pair from its lower end, then the signed coefficients of both ends, then the sums
 * of partners. G is the same to the last bit whether or not Gout is asked for.
 *
 * Where a good part of all pairs competes, products of whole blocks of rows are faster than either.
 *
 * Contents: 1. sums   2. one by one   3. by slices   4. by dense products */
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
    float *along;    /* [n] the cosine of a pair above, then the coefficient of each entry */
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

/* 3. by slices */

enum { RUN = 64, OWNERS = 16 };

/* The first partner of latent i that is not below j, as a position in the list of i. */
static size_t first_from(const struct orth *o, size_t i, size_t j)
{
    const uint32_t *const row = o->pairs->idx + o->pairs->start[i];
    size_t lo = 0, hi = o->pairs->start[i + 1] - o->pairs->start[i];
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (row[mid] < j)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void find_below(const struct orth *o)
{
#pragma omp parallel for schedule(dynamic, RUN)
    for (size_t i = 0; i < o->m; i++)
        o->below[i] = (uint32_t)first_from(o, i, i);
}

/* The lists of partners above do not follow each other, so what comes next is asked for: entries
 * of latent i + 2, and the slices that latent i + 1 begins with. */
static void ask_above(const struct orth *o, const float *slice, size_t i, size_t i1)
{
    enum { FIRST = 12, LINE = 16 };
    const size_t *const start = o->pairs->start;
    if (i + 2 < i1) {
        for (size_t e = start[i + 2] + o->below[i + 2]; e < start[i + 3]; e += LINE) {
            __builtin_prefetch(o->pairs->idx + e);
            __builtin_prefetch(o->along + e, 1);
        }
    }
    if (i + 1 < i1) {
        const size_t first = start[i + 1] + o->below[i + 1], end = start[i + 2];
        for (size_t e = first; e < end && e < first + FIRST; e++)
            for (size_t l = 0; l < SLICE; l += LINE)
                __builtin_prefetch(slice + (size_t)o->pairs->idx[e] * SLICE + l);
    }
}

/* Cosines of latents [i0, i1) with their partners above. */
static void add_cosines(const void *user, size_t s, const float *slice, size_t i0, size_t i1)
{
    const struct orth *const o = user;
    const size_t *const start = o->pairs->start;
    for (size_t i = i0; i < i1; i++) {
        const size_t e = start[i] + o->below[i], n = start[i + 1] - e;
        if (s == 0)
            sae_cpu_fill(n, NULL, o->along + e);
        ask_above(o, slice, i, i1);
        sae_cpu_pair_slices(n, n, o->pairs->idx + e, slice, SLICE, slice + i * SLICE, o->along + e);
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

/* The entries below a latent, in order, are those above it of lower latents, in order. An owner
 * has a range of latents to fill. */
static void mirror(const struct orth *o)
{
    memset(o->next, 0, o->m * sizeof *o->next);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t p = 0; p < OWNERS; p++) {
        const size_t j0 = p * o->m / OWNERS, j1 = (p + 1) * o->m / OWNERS;
        for (size_t i = 0; i < j1; i++) {
            const size_t end = o->pairs->start[i + 1];
            for (size_t e = o->pairs->start[i] + first_from(o, i, i < j0 ? j0 : i);
                 e < end && o->pairs->idx[e] < j1; e++) {
                const size_t j = o->pairs->idx[e];
                o->along[o->pairs->start[j] + o->next[j]++] = o->along[e];
            }
        }
    }
}

static void add_partners(const void *user, size_t s, const float *slice, size_t i0, size_t i1)
{
    const struct orth *const o = user;
    const size_t *const start = o->pairs->start;
    const size_t w = o->d - s * SLICE < SLICE ? o->d - s * SLICE : SLICE;
    enum { AHEAD = 2, LINE = 16 };
    for (size_t i = i0; i < i1; i++) {
        float sum[SLICE] = {0};
        /* rows of G are pages apart: the machine does not foresee the next */
        for (size_t l = 0; o->G && l < w && i + AHEAD < o->m; l += LINE)
            __builtin_prefetch(o->G + (i + AHEAD) * o->d + s * SLICE + l, 1);
        sae_cpu_add_slices(start[i + 1] - start[i], start[o->m] - start[i],
                           o->pairs->idx + start[i], o->along + start[i], slice, SLICE, sum);
        put_columns(o, i * o->d + s * SLICE, w, sum);
    }
}

/* False where there is no memory for it; then nothing was written. */
static bool orth_sliced(struct orth *o, struct sae_orth_stats *stats)
{
    const size_t m = o->m, d = o->d;
    bool done = false;
    o->along = sae_cpu_scratch(o->pairs->start[m]);
    o->below = malloc(m * sizeof *o->below);
    o->next = malloc(m * sizeof *o->next);
    if (o->along && o->below && o->next) {
        find_below(o);
        done = sae_cpu_by_slices(m, d, o->W, m, RUN, add_cosines, o);
    }
    if (done)
        run_pieces(o, run_above, stats);
    if (done && (o->G || o->Gout)) {
        mirror(o);
        done = sae_cpu_by_slices(m, d, o->W, m, RUN, add_partners, o);
    }
    free(o->along);
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
    if (m * d < CACHE_FLOATS || pairs->start[m] < 8 * m || !orth_sliced(&o, stats))
        run_pieces(&o, run_singly, stats);
}
