/* SPDX-License-Identifier: MIT */
/* cpu_orth : the orthogonality term from masks.
 *
 * Competing pairs are listed by their lower end: first the cosine of every pair, then its signed
 * coefficient, then, where a gradient is wanted, the same pairs by their upper end and the sums of
 * partners. Few pairs are taken one by one, many by slices, as entries are in cpu_sparse. Where a
 * good part of all pairs competes there are no lists: products of whole blocks of rows are faster,
 * with coefficients formed a row at a time.
 *
 * Contents: 1. sums   2. cosines   3. partners   4. by dense products   5. the operation */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/cpu/cpu_compete.h"
#include "lib/math/cpu/cpu_slice.h"

enum {
    DENSE = 4,  /* by products where more than one in so many of all pairs competes */
    PACKED = 4, /* by slices from so many pairs a latent on: packing W pays where it does not fit the
                 * cache and each row is used a few times */
    PIECES = 256,
    RUN = 64,
    OWNERS = 16,
    COLUMNS = 4096 /* of a sum that is formed one by one */
};

struct term {
    size_t m, d;
    const float *W;
    double weight;
    float *G, *Gout;
    bool packed;
    struct sae_cpu_pairs above; /* c is used up: the cosine is kept in `proj` */
    float *proj;                /* [n] the cosine of each pair, then its coefficient */
    struct sae_cpu_pairs below; /* the same by their upper end; c is the coefficient */
};

/* --- 1. sums ------------------------------------------------------------------------------ */

/* A piece is a run of latents with its own sums, added in the order of the pieces. */

struct sums {
    double loss, abs_cos, largest, n;
};

static struct sums add_up(size_t n, const struct sums *part)
{
    struct sums all = {0};
    for (size_t i = 0; i < n; i++) {
        all.loss += part[i].loss;
        all.abs_cos += part[i].abs_cos;
        all.n += part[i].n;
        if (part[i].largest > all.largest)
            all.largest = part[i].largest;
    }
    return all;
}

/* Sums of the pairs of latents [i0, i1), and coefficients in the place of their cosines. */
static struct sums weigh_pairs(const struct term *o, size_t i0, size_t i1)
{
    struct sums s = {0};
    for (size_t e = o->above.start[i0]; e < o->above.start[i1]; e++) {
        const float cosine = o->proj[e];
        const double c = (double)o->above.c[e], size = fabs((double)cosine);
        s.loss += c * size;
        s.abs_cos += size;
        s.n++;
        if (size > s.largest)
            s.largest = size;
        o->proj[e] = (float)(o->weight * c * ((cosine > 0) - (cosine < 0)));
    }
    return s;
}

static struct sums weigh_all(const struct term *o)
{
    struct sums piece[PIECES];
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t p = 0; p < PIECES; p++)
        piece[p] = weigh_pairs(o, p * o->m / PIECES, (p + 1) * o->m / PIECES);
    return add_up(PIECES, piece);
}

/* --- 2. cosines --------------------------------------------------------------------------- */

/* Slice s of the cosines of latents [i0, i1). */
static void add_cosines(const void *user, size_t s, const float *slice, size_t i0, size_t i1)
{
    const struct term *const o = user;
    const size_t *const start = o->above.start;
    for (size_t i = i0; i < i1; i++) {
        const size_t e = start[i], n = start[i + 1] - e;
        if (s == 0)
            sae_cpu_fill(n, NULL, o->proj + e);
        sae_cpu_pair_slices(n, start[o->m] - e, o->above.idx + e, slice, SLICE, slice + i * SLICE,
                            o->proj + e);
    }
}

/* False where there is no memory. */
static bool find_cosines(const struct term *o)
{
    if (o->packed)
        return sae_cpu_by_slices(o->m, o->d, o->W, o->m, RUN, add_cosines, o);
#pragma omp parallel for schedule(dynamic, RUN)
    for (size_t i = 0; i < o->m; i++)
        for (size_t e = o->above.start[i]; e < o->above.start[i + 1]; e++)
            o->proj[e] = sae_cpu_dot(o->d, o->W + i * o->d, o->W + o->above.idx[e] * o->d);
    return true;
}

/* --- 3. partners -------------------------------------------------------------------------- */

/* The pairs below a latent, in order, are those above it of lower latents, in order. An owner has a
 * range of latents to fill. next [m]: cursors. */
static void mirror(const struct term *o, size_t *next)
{
    const struct sae_cpu_pairs *const from = &o->above, *const to = &o->below;
    for (size_t e = 0; e < from->start[o->m]; e++)
        to->start[from->idx[e] + 1]++;
    for (size_t j = 0; j < o->m; j++) {
        to->start[j + 1] += to->start[j];
        next[j] = to->start[j];
    }
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t p = 0; p < OWNERS; p++) {
        const size_t j0 = p * o->m / OWNERS, j1 = (p + 1) * o->m / OWNERS;
        for (size_t i = 0; i < j1; i++) {
            const size_t end = from->start[i + 1];
            for (size_t e = sae_cpu_first_from(from->idx, from->start[i], end, j0);
                 e < end && from->idx[e] < j1; e++) {
                const size_t at = next[from->idx[e]]++;
                to->idx[at] = (uint32_t)i;
                to->c[at] = o->proj[e];
            }
        }
    }
}

/* False where there is no memory. */
static bool list_below(struct term *o)
{
    const size_t n = o->above.start[o->m];
    size_t *next = NULL;
    free(o->above.c);
    o->above.c = NULL;
    o->below.idx = (uint32_t *)sae_cpu_scratch(n);
    o->below.c = sae_cpu_scratch(n);
    if (!o->below.idx || !o->below.c ||
        sae_mem_alloc(&o->below.start, o->m + 1, sizeof *o->below.start, NULL) != SAE_OK ||
        sae_mem_alloc(&next, o->m, sizeof *next, NULL) != SAE_OK)
        return false;
    mirror(o, next);
    free(next);
    return true;
}

static void put_columns(const struct term *o, size_t at, size_t w, const float *sum)
{
    if (o->Gout)
        memcpy(o->Gout + at, sum, w * sizeof *sum);
    if (o->G)
        sae_cpu_axpy(w, 1, sum, o->G + at);
}

static void add_partners(const void *user, size_t s, const float *slice, size_t i0, size_t i1)
{
    const struct term *const o = user;
    const size_t *const below = o->below.start, *const above = o->above.start, n = above[o->m];
    const size_t w = o->d - s * SLICE < SLICE ? o->d - s * SLICE : SLICE;
    for (size_t i = i0; i < i1; i++) {
        float sum[SLICE] = {0};
        /* rows of G are pages apart: the machine does not foresee the next but one */
        for (size_t l = 0; o->G && l < w && i + 2 < o->m; l += LINE)
            __builtin_prefetch(o->G + (i + 2) * o->d + s * SLICE + l, 1);
        sae_cpu_add_slices(below[i + 1] - below[i], n - below[i], o->below.idx + below[i],
                           o->below.c + below[i], slice, SLICE, sum);
        sae_cpu_add_slices(above[i + 1] - above[i], n - above[i], o->above.idx + above[i],
                           o->proj + above[i], slice, SLICE, sum);
        put_columns(o, i * o->d + s * SLICE, w, sum);
    }
}

static void add_listed(const struct term *o, size_t n, const uint32_t *idx, const float *val,
                       size_t l, size_t w, float *sum)
{
    for (size_t e = 0; e < n; e++)
        if (val[e] != 0)
            sae_cpu_axpy(w, val[e], o->W + idx[e] * o->d + l, sum);
}

static void add_singly(const struct term *o, size_t i)
{
    const size_t b = o->below.start[i], a = o->above.start[i];
    float sum[COLUMNS];
    if (!o->Gout && b == o->below.start[i + 1] && a == o->above.start[i + 1])
        return;
    for (size_t l = 0; l < o->d; l += COLUMNS) {
        const size_t w = o->d - l < COLUMNS ? o->d - l : COLUMNS;
        sae_cpu_fill(w, NULL, sum);
        add_listed(o, o->below.start[i + 1] - b, o->below.idx + b, o->below.c + b, l, w, sum);
        add_listed(o, o->above.start[i + 1] - a, o->above.idx + a, o->proj + a, l, w, sum);
        put_columns(o, i * o->d + l, w, sum);
    }
}

/* False where there is no memory: then nothing was written. */
static bool by_lists(struct term *o, struct sums *ret)
{
    const size_t n = o->above.start[o->m];
    o->packed = o->m * o->d >= CACHE_FLOATS && n >= PACKED * o->m;
    o->proj = sae_cpu_scratch(n);
    if (!o->proj || !find_cosines(o))
        return false;
    *ret = weigh_all(o);
    if (!o->G && !o->Gout)
        return true;
    if (!list_below(o))
        return false;
    if (o->packed)
        return sae_cpu_by_slices(o->m, o->d, o->W, o->m, RUN, add_partners, o);
#pragma omp parallel for schedule(dynamic, RUN)
    for (size_t i = 0; i < o->m; i++)
        add_singly(o, i);
    return true;
}

/* --- 4. by dense products ----------------------------------------------------------------- */

/* Cosines of a block of rows to all later rows, the coefficients in their place (0 where a pair does
 * not compete), and two products of those, one for either end of the pairs. */

enum { ROWS = 512 };

struct rows_job {
    size_t m, d;
    const float *W;
    const struct sae_cpu_singles *singles;
    double weight;
    struct sums *part;               /* [m] */
    size_t n_threads;
    struct sae_cpu_counter *counter; /* [n_threads] */
    float *c;                        /* [n_threads][m] */
    float *block;                    /* [ROWS][m] */
};

/* n cosines -> coefficients of the lower end, and their sums. */
SAE_CLONES static void weigh_row(size_t n, float weight, const float *c, float *row,
                                 struct sums *ret)
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
    *ret = (struct sums){loss, sum, (double)most, (double)competing};
}

/* Cosines of rows [i0, i0 + n) with rows from i0 on -> coefficients; block [n][m - i0]. */
static void weigh_block(const struct rows_job *job, size_t i0, size_t n)
{
    const size_t w = job->m - i0;
#pragma omp parallel for schedule(dynamic, 4)
    for (size_t r = 0; r < n; r++) {
        const size_t thread = (size_t)omp_get_thread_num();
        float *const c = job->c + thread * job->m, *const row = job->block + r * w;
        sae_cpu_counter_row(job->singles, i0 + r, &job->counter[thread], c);
        row[r] = 0;
        weigh_row(w - r - 1, (float)job->weight, c + i0 + r + 1, row + r + 1, &job->part[i0 + r]);
    }
    for (size_t r = 0; r < n; r++) /* the square at its head has both halves */
        for (size_t q = r + 1; q < n; q++)
            job->block[q * w + r] = job->block[r * w + q];
}

static void run_blocks(const struct rows_job *job, float *to)
{
    const size_t m = job->m, d = job->d;
    for (size_t i0 = 0; i0 < m; i0 += ROWS) {
        const size_t w = m - i0, n = w < ROWS ? w : ROWS;
        const float *const rows = job->W + i0 * d;
        sae_cpu_gemm(false, true, n, w, d, 1, rows, d, rows, d, 0, job->block, w);
        weigh_block(job, i0, n);
        if (to)
            sae_cpu_gemm(false, false, n, d, w, 1, job->block, w, rows, d, 1, to + i0 * d, d);
        if (to && w > n)
            sae_cpu_gemm(true, false, w - n, d, n, 1, job->block + n, w, rows, d, 1,
                         to + (i0 + n) * d, d);
    }
}

static enum sae_status rows_open(struct rows_job *job)
{
    job->n_threads = (size_t)omp_get_max_threads();
    SAE_TRY(sae_mem_alloc(&job->part, job->m, sizeof *job->part, NULL));
    SAE_TRY(sae_mem_alloc(&job->c, job->n_threads * job->m, sizeof *job->c, NULL));
    SAE_TRY(sae_mem_alloc(&job->counter, job->n_threads, sizeof *job->counter, NULL));
    for (size_t t = 0; t < job->n_threads; t++)
        SAE_TRY(sae_cpu_counter_init(&job->counter[t], job->singles));
    job->block = sae_cpu_scratch((job->m < ROWS ? job->m : ROWS) * job->m);
    return job->block ? SAE_OK : SAE_ENOMEM;
}

/* False where there is no memory: then nothing was written. */
static bool by_rows(const struct term *o, const struct sae_cpu_singles *singles, struct sums *ret)
{
    struct rows_job job = {
        .m = o->m, .d = o->d, .W = o->W, .singles = singles, .weight = o->weight};
    const bool can = rows_open(&job) == SAE_OK;
    if (can) {
        if (o->Gout)
            memset(o->Gout, 0, o->m * o->d * sizeof *o->Gout);
        run_blocks(&job, o->Gout ? o->Gout : o->G);
        if (o->G && o->Gout)
            sae_cpu_axpy(o->m * o->d, 1, o->Gout, o->G);
        *ret = add_up(o->m, job.part);
    }
    for (size_t t = 0; job.counter && t < job.n_threads; t++)
        sae_cpu_counter_clear(&job.counter[t]);
    free(job.counter);
    free(job.part);
    free(job.c);
    free(job.block);
    return can;
}

/* --- 5. the operation --------------------------------------------------------------------- */

void sae_cpu_orth_masks(size_t m, size_t d, const float *W, const struct sae_overlap_masks *masks,
                        const struct sae_compete_rule *rule, double weight, bool per_pair,
                        const double *expected_partners, float *G, float *Gout, double *sum)
{
    const size_t most = m * m / 2 / DENSE;
    struct term o = {.m = m, .d = d, .W = W, .weight = weight, .G = G, .Gout = Gout};
    struct sae_cpu_singles singles;
    struct sums s = {0};
    size_t n = 0;
    (void)expected_partners; /* how many there are is known before anything is multiplied */
    bool done = sae_cpu_singles_open(&singles, m, masks, rule) == SAE_OK &&
                sae_cpu_pairs_list(&singles, most, &o.above, &n) == SAE_OK;
    if (per_pair)
        o.weight = n > 0 ? weight * (1 / (double)n) : 0;
    done = done && (n > most ? by_rows(&o, &singles, &s) : by_lists(&o, &s));
    sae_cpu_pairs_clear(&o.above);
    sae_cpu_pairs_clear(&o.below);
    free(o.proj);
    sae_cpu_singles_close(&singles);
    if (!done)
        sae_cpu_no_memory();
    const double none = done ? 0 : NAN;
    sum[0] = s.loss + none;
    sum[1] = s.n + none;
    sum[2] = s.abs_cos + none;
    sum[3] = s.largest + none;
    sum[4] = 2 * s.n + none;
}
