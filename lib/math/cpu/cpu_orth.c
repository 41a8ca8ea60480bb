/* SPDX-License-Identifier: MIT */
/* cpu_orth : the orthogonality term over partner lists.
 *
 * Few pairs are taken one by one. Many are taken by slices, as entries are in cpu_sparse: first the
 * cosine of every pair from its lower end, then the signed coefficients of both ends, then the sums
 * of partners. Where a good part of all pairs competes, products of whole blocks of rows are faster
 * than either.
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

/* --- 1. sums ------------------------------------------------------------------------------ */

/* A piece is a run of latents with its own sums, added in the order of the pieces. */

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

static void run_pieces(const struct orth *o,
                       void (*run)(const struct orth *o, size_t i0, size_t i1,
                                   struct sae_orth_stats *stats),
                       struct sae_orth_stats *ret)
{
    struct sae_orth_stats piece[PIECES];
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t p = 0; p < PIECES; p++) {
        piece[p] = (struct sae_orth_stats){0};
        run(o, p * o->m / PIECES, (p + 1) * o->m / PIECES, &piece[p]);
    }
    add_stats(PIECES, piece, ret);
}

/* --- 2. one by one ------------------------------------------------------------------------ */

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

/* --- 3. by slices ------------------------------------------------------------------------- */

enum { RUN = 64, OWNERS = 16 };

static void find_below(const struct orth *o)
{
#pragma omp parallel for schedule(dynamic, RUN)
    for (size_t i = 0; i < o->m; i++)
        o->below[i] = (uint32_t)(sae_cpu_first_from(o->pairs->idx, o->pairs->start[i],
                                                    o->pairs->start[i + 1], i) -
                                 o->pairs->start[i]);
}

/* The lists of partners above do not follow each other, so what comes next is asked for: entries
 * of latent i + 2, and the slices that latent i + 1 begins with. */
static void ask_above(const struct orth *o, const float *slice, size_t i, size_t i1)
{
    const size_t *const start = o->pairs->start;
    if (i + 2 < i1) {
        for (size_t e = start[i + 2] + o->below[i + 2]; e < start[i + 3]; e += LINE) {
            __builtin_prefetch(o->pairs->idx + e);
            __builtin_prefetch(o->along + e, 1);
        }
    }
    if (i + 1 < i1) {
        const size_t first = start[i + 1] + o->below[i + 1], end = start[i + 2];
        for (size_t e = first; e < end && e < first + AHEAD; e++)
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
            const size_t above = o->pairs->start[i] + o->below[i];
            for (size_t e = sae_cpu_first_from(o->pairs->idx, above, end, j0);
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
    for (size_t i = i0; i < i1; i++) {
        float sum[SLICE] = {0};
        /* rows of G are pages apart: the machine does not foresee the next but one */
        for (size_t l = 0; o->G && l < w && i + 2 < o->m; l += LINE)
            __builtin_prefetch(o->G + (i + 2) * o->d + s * SLICE + l, 1);
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

/* --- 4. by dense products ----------------------------------------------------------------- */

/* Cosines of a block of rows to all later rows, the coefficients in their
 * place (0 where a pair does not compete), and two products of those, one for either end of the
 * pairs. */

enum { ROWS = 512 };

struct rows_job {
    size_t m, d;
    const float *W;
    void (*fill)(const void *user, size_t i, float *c);
    const void *user;
    double weight;
    struct sae_orth_stats *part; /* [m] */
    float *c;                    /* [threads][m] */
};

/* n cosines -> coefficients of the lower end; adds to the sums. */
SAE_CLONES static void weigh_row(size_t n, float weight, const float *c, float *row,
                                 struct sae_orth_stats *stats)
{
    double loss = 0, sum = 0;
    float most = 0;
    size_t competing = 0;
#pragma omp simd reduction(+ : loss, sum, competing) reduction(max : most)
    for (size_t j = 0; j < n; j++) {
        const float cosine = row[j], size = c[j] > 0 ? fabsf(cosine) : 0;
        loss += (double)c[j] * (double)size;
        sum += (double)size;
        competing += c[j] > 0;
        most = size > most ? size : most;
        row[j] = cosine > 0 ? weight * c[j] : cosine < 0 ? -weight * c[j] : 0;
    }
    stats->loss += loss;
    stats->mean_abs_cos += sum;
    stats->n_pairs += competing;
    stats->max_abs_cos = most;
}

/* Cosines of rows [i0, i0 + n) with rows from i0 on -> coefficients; block [n][m - i0]. */
static void weigh_block(const struct rows_job *job, size_t i0, size_t n, float *block)
{
    const size_t w = job->m - i0;
#pragma omp parallel for schedule(dynamic, 4)
    for (size_t r = 0; r < n; r++) {
        float *const c = job->c + (size_t)omp_get_thread_num() * job->m, *const row = block + r * w;
        job->fill(job->user, i0 + r, c);
        row[r] = 0;
        weigh_row(w - r - 1, (float)job->weight, c + i0 + r + 1, row + r + 1, &job->part[i0 + r]);
    }
    for (size_t r = 0; r < n; r++) /* the square at its head has both halves */
        for (size_t q = r + 1; q < n; q++)
            block[q * w + r] = block[r * w + q];
}

static void run_blocks(const struct rows_job *job, float *block, float *to)
{
    const size_t m = job->m, d = job->d;
    for (size_t i0 = 0; i0 < m; i0 += ROWS) {
        const size_t w = m - i0, n = w < ROWS ? w : ROWS;
        const float *const rows = job->W + i0 * d;
        sae_cpu_gemm(false, true, n, w, d, 1, rows, d, rows, d, 0, block, w);
        weigh_block(job, i0, n, block);
        if (to)
            sae_cpu_gemm(false, false, n, d, w, 1, block, w, rows, d, 1, to + i0 * d, d);
        if (to && w > n)
            sae_cpu_gemm(true, false, w - n, d, n, 1, block + n, w, rows, d, 1, to + (i0 + n) * d,
                         d);
    }
}

bool sae_cpu_orth_rows(size_t m, size_t d, const float *W,
                       void (*fill)(const void *user, size_t i, float *c), const void *user,
                       double weight, float *G, float *Gout, struct sae_orth_stats *stats)
{
    struct rows_job job = {m,
                           d,
                           W,
                           fill,
                           user,
                           weight,
                           calloc(m, sizeof *job.part),
                           sae_cpu_scratch((size_t)omp_get_max_threads() * m)};
    float *const block = sae_cpu_scratch((m < ROWS ? m : ROWS) * m);
    /* 0 times what is not finite is not 0 */
    const bool can = block && job.part && job.c && isfinite(sae_cpu_sum_sq(m * d, W));
    if (can) {
        if (Gout)
            memset(Gout, 0, m * d * sizeof *Gout);
        run_blocks(&job, block, Gout ? Gout : G);
        if (G && Gout)
            sae_cpu_axpy(m * d, 1, Gout, G);
        add_stats(m, job.part, stats);
    }
    free(block);
    free(job.part);
    free(job.c);
    return can;
}

static void fill_listed(const void *user, size_t i, float *c)
{
    const struct sae_pairs *const pairs = user;
    memset(c + i, 0, (pairs->m - i) * sizeof *c);
    for (size_t e = pairs->start[i]; e < pairs->start[i + 1]; e++)
        if (pairs->idx[e] > i)
            c[pairs->idx[e]] = pairs->c[e];
}

void sae_cpu_orth(size_t m, size_t d, const float *W, const struct sae_pairs *pairs, double weight,
                  float *G, float *Gout, struct sae_orth_stats *stats)
{
    struct orth o = {
        .m = m, .d = d, .W = W, .pairs = pairs, .weight = weight, .G = G, .Gout = Gout};
    if (m * d >= CACHE_FLOATS && pairs->start[m] > m * m / SAE_ORTH_DENSE &&
        sae_cpu_orth_rows(m, d, W, fill_listed, pairs, weight, G, Gout, stats))
        return;
    /* packing W pays where it does not fit the cache and each row is used a few times */
    if (m * d < CACHE_FLOATS || pairs->start[m] < 8 * m || !orth_sliced(&o, stats))
        run_pieces(&o, run_singly, stats);
}
