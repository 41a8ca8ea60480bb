/* SPDX-License-Identifier: MIT */
/* overlap : co-activation counts from sparse masks, one latent at a time.
 *
 * Work is about sum over tokens of (active latents)^2, memory one row of counters (partners.h) a
 * thread. Pieces of consecutive latents keep their own lists, which are joined in order, so that
 * the result does not depend on the number of threads.
 *
 * Contents: 1. values   2. competing pairs of one latent   3. lists   4. rows   5. all pairs */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/clones.h"
#include "lib/sae/overlap.h"
#include "lib/sae/partners.h"

/* --- 1. values ---------------------------------------------------------------------------- */

const char *const sae_overlap_names[SAE_OVERLAP_N + 1] = {"overlap", "jaccard", "cosine",
                                                          "lift",    "batch",   NULL};
const char *const sae_compete_names[SAE_COMPETE_N + 1] = {"linear", "sigmoid", NULL};

double sae_overlap_value(enum sae_overlap kind, double B, double n_i, double n_j, double n_ij)
{
    if (!(n_ij > 0)) /* also latents that never fire, where the quotients have no value */
        return 0;
    switch (kind) {
    case SAE_OVERLAP_JACCARD:
        return n_ij / (n_i + n_j - n_ij);
    case SAE_OVERLAP_COSINE:
        return n_ij / sqrt(n_i * n_j);
    case SAE_OVERLAP_LIFT:
        return B * n_ij / (n_i * n_j);
    case SAE_OVERLAP_BATCH:
        return n_ij / B;
    case SAE_OVERLAP_OVERLAP:
    default:
        return n_ij / (n_i < n_j ? n_i : n_j);
    }
}

double sae_compete_value(enum sae_compete form, double s, double nhat, double tau)
{
    const double over = (nhat - tau) / tau;
    if (form == SAE_COMPETE_SIGMOID)
        return nhat > 0 ? 1 / (1 + exp(-s * over)) : 0;
    return over < 0 ? 0 : over > 1 ? 1 : over;
}

/* --- 2. competing pairs of one latent ----------------------------------------------------- */

/* Where most blocks have a partner, most partners meet too rarely to compete. A count that n_ij
 * must exceed, a little too low to be safe against rounding, is formed from one number a latent;
 * only blocks in which a count passes are weighed. */

enum { DENSE = 4 };

struct weighing {
    size_t m;
    const struct sae_overlap_masks *masks;
    struct sae_compete_rule rule;
    double *n; /* [m] */
    double B;
    float *part; /* [m] a latent's part of the count to exceed; infinite: never competes */
};

/* What a thread needs to look at one latent after another. */
struct look {
    struct sae_partners count;
    unsigned char *mark; /* [m / PARTNERS_BLOCK + 1] blocks in which a count passes */
};

static enum sae_status look_init(struct look *ret, const struct weighing *w, struct sae_err *err)
{
    SAE_TRY(sae_partners_init(&ret->count, w->m, w->masks->n_batches, err));
    return sae_mem_alloc(&ret->mark, w->m / PARTNERS_BLOCK + 1, sizeof *ret->mark, err);
}

static void look_clear(struct look *look)
{
    sae_partners_clear(&look->count);
    free(look->mark);
    look->mark = NULL;
}

static void fill_parts(struct weighing *w)
{
    const struct sae_compete_rule *const r = &w->rule;
    const double tau = r->form == SAE_COMPETE_LINEAR ? r->tau * (1 - 1e-5) : 0;
    for (size_t j = 0; j < w->m; j++) {
        const double n = w->n[j];
        double part = tau * n; /* overlap: n_ij > tau min(n_i, n_j) */
        if (r->overlap == SAE_OVERLAP_JACCARD)
            part = tau / (1 + tau) * n; /* n_ij (1 + tau) > tau (n_i + n_j) */
        else if (r->overlap == SAE_OVERLAP_COSINE)
            part = sqrt(tau * n); /* n_ij > tau sqrt(n_i n_j), the product of two parts */
        else if (r->overlap == SAE_OVERLAP_LIFT)
            part = sqrt(tau / w->B) * n;
        else if (r->overlap == SAE_OVERLAP_BATCH)
            part = tau * w->B;
        w->part[j] = n > 0 && n >= r->min_count ? (float)part : INFINITY;
    }
}

static enum sae_status weighing_init(struct weighing *ret, size_t m,
                                     const struct sae_overlap_masks *masks,
                                     const struct sae_compete_rule *rule, struct sae_err *err)
{
    struct weighing w = {.m = m, .masks = masks, .rule = *rule};
    enum sae_status st;
    SAE_GO(st, sae_partners_single(m, masks, &w.n, &w.B, err));
    SAE_GO(st, sae_mem_alloc(&w.part, m, sizeof *w.part, err));
    fill_parts(&w);
done:
    *ret = w;
    return st;
}

static void weighing_clear(struct weighing *w)
{
    free(w->n);
    free(w->part);
}

/* Marks blocks of `n` counts in which one exceeds what it must. */
#define MARK_BLOCKS(NEED)                                                                          \
    for (size_t j0 = 0; j0 < n; j0 += PARTNERS_BLOCK) {                                            \
        const size_t w = n - j0 < PARTNERS_BLOCK ? n - j0 : PARTNERS_BLOCK;                        \
        int any = 0;                                                                               \
        for (size_t j = j0; j < j0 + w; j++) {                                                     \
            const float q = part[j], need = (NEED);                                                \
            any |= (weight * (float)count[j] > need) & (q < INFINITY);                             \
        }                                                                                          \
        mark[j0 / PARTNERS_BLOCK] = (unsigned char)any;                                            \
    }
#define MARK_FUNCTION(NAME, TYPE)                                                                  \
    SAE_CLONES static void NAME(size_t n, enum sae_overlap kind, const TYPE *count, float weight,  \
                                float p, const float *part, unsigned char *mark)                   \
    {                                                                                              \
        if (kind == SAE_OVERLAP_OVERLAP)                                                           \
            MARK_BLOCKS(p < q ? p : q)                                                             \
        else if (kind == SAE_OVERLAP_JACCARD)                                                      \
            MARK_BLOCKS(p + q)                                                                     \
        else if (kind == SAE_OVERLAP_BATCH)                                                        \
            MARK_BLOCKS(q)                                                                         \
        else                                                                                       \
            MARK_BLOCKS(p *q)                                                                      \
    }
MARK_FUNCTION(mark_counts, uint32_t)
MARK_FUNCTION(mark_sums, double)

/* Marks blocks from that of i on. */
static void mark_passing(const struct weighing *w, size_t i, struct look *look)
{
    const size_t j0 = i / PARTNERS_BLOCK * PARTNERS_BLOCK, n = w->m - j0;
    unsigned char *const mark = look->mark + j0 / PARTNERS_BLOCK;
    if (look->count.sum)
        mark_sums(n, w->rule.overlap, look->count.sum + j0, 1, w->part[i], w->part + j0, mark);
    else
        mark_counts(n, w->rule.overlap, look->count.now + j0, (float)w->masks->weight[0],
                    w->part[i], w->part + j0, mark);
}

/* c_ij of the partners in block b, into c [PARTNERS_BLOCK], which is 0; returns whether one is > 0.
 */
static bool weigh_block(const struct weighing *w, size_t i, size_t b,
                        const struct sae_partners *count, float *c)
{
    const struct sae_compete_rule *const r = &w->rule;
    const size_t j0 = b * PARTNERS_BLOCK,
                 n = w->m - j0 < PARTNERS_BLOCK ? w->m - j0 : PARTNERS_BLOCK;
    bool any = false;
    for (size_t l = 0; l < n; l++) {
        const double n_ij = sae_partners_at(count, w->masks, j0 + l);
        if (!(n_ij > 0) || !(w->part[j0 + l] < INFINITY))
            continue;
        const double nhat = sae_overlap_value(r->overlap, w->B, w->n[i], w->n[j0 + l], n_ij);
        c[l] = (float)sae_compete_value(r->form, r->sharpness, nhat, r->tau);
        any |= c[l] > 0;
    }
    return any;
}

/* Gives take(user, b, c) the coefficients of latent i with every block of latents above it that has
 * one which competes, in order, until it fails. */
static enum sae_status look_at(const struct weighing *w, size_t i, struct look *look,
                               enum sae_status (*take)(void *user, size_t b, const float *c),
                               void *user)
{
    const size_t n_blocks = sae_partners_blocks(w->m);
    const size_t met = sae_partners_count(w->m, w->masks, i, &look->count);
    const bool dense = met > (w->m - i) / PARTNERS_BLOCK / DENSE;
    enum sae_status st = SAE_OK;
    if (dense)
        mark_passing(w, i, look);
    const unsigned char *const of = dense ? look->mark : look->count.hit;
    for (size_t b = sae_partners_next(of, i / PARTNERS_BLOCK, n_blocks);
         b < n_blocks && st == SAE_OK; b = sae_partners_next(of, b + 1, n_blocks)) {
        float c[PARTNERS_BLOCK] = {0};
        if (weigh_block(w, i, b, &look->count, c))
            st = take(user, b, c);
    }
    sae_partners_zero(&look->count, w->m, i);
    return st;
}

/* --- 3. lists ----------------------------------------------------------------------------- */

enum { PIECE = 64 };

/* The partners above of a run of latents. `over`: too many to be listed, they are only counted. */
struct piece {
    uint32_t *idx;
    float *c;
    size_t cap_idx, cap_c, n;
    bool over;
};

struct pairs_job {
    struct weighing w;
    size_t *above; /* [m] receives the number of partners above each latent */
    size_t most, found;
};

static void piece_clear(struct piece *piece)
{
    free(piece->idx);
    free(piece->c);
    piece->idx = NULL;
    piece->c = NULL;
}

static enum sae_status take_listed(void *user, size_t b, const float *c)
{
    struct piece *const piece = user;
    if (!piece->over) {
        const size_t room = piece->n + PARTNERS_BLOCK;
        SAE_TRY(sae_mem_grow(&piece->idx, &piece->cap_idx, room, sizeof *piece->idx, NULL));
        SAE_TRY(sae_mem_grow(&piece->c, &piece->cap_c, room, sizeof *piece->c, NULL));
    }
    for (size_t l = 0; l < PARTNERS_BLOCK; l++) {
        if (!(c[l] > 0))
            continue;
        if (!piece->over) {
            piece->idx[piece->n] = (uint32_t)(b * PARTNERS_BLOCK + l);
            piece->c[piece->n] = c[l];
        }
        piece->n++;
    }
    return SAE_OK;
}

static enum sae_status list_latent(struct pairs_job *job, size_t i, struct look *look,
                                   struct piece *piece)
{
    const size_t before = piece->n;
    size_t found;
    if (job->w.part[i] < INFINITY)
        SAE_TRY(look_at(&job->w, i, look, take_listed, piece));
    job->above[i] = piece->n - before;
#pragma omp atomic capture
    {
        job->found += job->above[i];
        found = job->found;
    }
    if (found > job->most && !piece->over) {
        piece_clear(piece);
        piece->over = true;
    }
    return SAE_OK;
}

static enum sae_status list_pieces(struct pairs_job *job, struct piece *piece, size_t n_pieces)
{
    const size_t m = job->w.m;
    enum sae_status all = SAE_OK;
#pragma omp parallel
    {
        struct look look = {.mark = NULL};
        enum sae_status st = look_init(&look, &job->w, NULL);
#pragma omp for schedule(dynamic, 1)
        for (size_t p = 0; p < n_pieces; p++) {
            const size_t end = (p + 1) * PIECE < m ? (p + 1) * PIECE : m;
            for (size_t i = p * PIECE; i < end && st == SAE_OK; i++)
                st = list_latent(job, i, &look, &piece[p]);
        }
        look_clear(&look);
        if (st != SAE_OK) {
#pragma omp critical(sae_overlap_status)
            all = st;
        }
    }
    return all;
}

/* Nothing of the old lists is wanted any more, so they go before the new ones come: at their
 * largest these are the largest arrays there are. */
static enum sae_status pairs_room(struct sae_pairs *pairs, size_t n, struct sae_err *err)
{
    const size_t cap = n + n / 8;
    if (n <= pairs->cap)
        return SAE_OK;
    free(pairs->idx);
    free(pairs->c);
    pairs->idx = NULL;
    pairs->c = NULL;
    pairs->cap = 0;
    SAE_TRY(sae_mem_alloc(&pairs->idx, cap, sizeof *pairs->idx, err));
    SAE_TRY(sae_mem_alloc(&pairs->c, cap, sizeof *pairs->c, err));
    pairs->cap = cap;
    return SAE_OK;
}

/* Symmetric lists from the partners above: those below i come first, and come in order because
 * the lower ends are gone through in order. next [m] is scratch. */
static enum sae_status join_pieces(const struct pairs_job *job, const struct piece *piece,
                                   size_t n_pieces, size_t *start, size_t *next,
                                   struct sae_pairs *pairs, struct sae_err *err)
{
    for (size_t p = 0; p < n_pieces; p++)
        for (size_t e = 0; e < piece[p].n; e++)
            start[piece[p].idx[e] + 1]++;
    for (size_t i = 0; i < job->w.m; i++)
        start[i + 1] += start[i] + job->above[i];
    SAE_TRY(pairs_room(pairs, start[job->w.m], err));
    memcpy(next, start, job->w.m * sizeof *next);
    for (size_t p = 0; p < n_pieces; p++) {
        size_t e = 0;
        for (size_t i = p * PIECE; i < job->w.m && e < piece[p].n; i++) {
            const size_t at = start[i + 1] - job->above[i];
            for (size_t a = 0; a < job->above[i]; a++, e++) {
                const size_t j = piece[p].idx[e], mirror = next[j]++;
                pairs->idx[at + a] = (uint32_t)j;
                pairs->c[at + a] = piece[p].c[e];
                pairs->idx[mirror] = (uint32_t)i;
                pairs->c[mirror] = piece[p].c[e];
            }
        }
    }
    free(pairs->start);
    pairs->start = start;
    pairs->m = job->w.m;
    return SAE_OK;
}

enum sae_status sae_overlap_pairs_up_to(size_t m, const struct sae_overlap_masks *masks,
                                        const struct sae_compete_rule *rule, size_t most,
                                        struct sae_pairs *pairs, size_t *ret_n, struct sae_err *err)
{
    const size_t n_pieces = (m + PIECE - 1) / PIECE;
    struct pairs_job job = {.most = most};
    struct piece *piece = NULL;
    size_t *start = NULL, *next = NULL;
    enum sae_status st;
    SAE_GO(st, weighing_init(&job.w, m, masks, rule, err));
    SAE_GO(st, sae_mem_alloc(&job.above, m, sizeof *job.above, err));
    SAE_GO(st, sae_mem_alloc(&piece, n_pieces, sizeof *piece, err));
    SAE_GO(st, sae_mem_alloc(&start, m + 1, sizeof *start, err));
    SAE_GO(st, sae_mem_alloc(&next, m, sizeof *next, err));
    st = list_pieces(&job, piece, n_pieces);
    if (st != SAE_OK) {
        sae_err_set(err, st, "out of memory while listing competing pairs of %zu latents", m);
        goto done;
    }
    *ret_n = job.found;
    if (job.found > most)
        goto done;
    SAE_GO(st, join_pieces(&job, piece, n_pieces, start, next, pairs, err));
    start = NULL;
done:
    for (size_t p = 0; piece && p < n_pieces; p++)
        piece_clear(&piece[p]);
    free(piece);
    free(job.above);
    free(start);
    free(next);
    weighing_clear(&job.w);
    return st;
}

enum sae_status sae_overlap_pairs(size_t m, const struct sae_overlap_masks *masks,
                                  const struct sae_compete_rule *rule, struct sae_pairs *pairs,
                                  struct sae_err *err)
{
    size_t n;
    return sae_overlap_pairs_up_to(m, masks, rule, SIZE_MAX, pairs, &n, err);
}

/* --- 4. rows ------------------------------------------------------------------------------ */

struct sae_overlap_rows {
    struct weighing w;
    struct look *look; /* of each thread */
    size_t n_looks;
};

enum sae_status sae_overlap_rows_open(struct sae_overlap_rows **ret, size_t m,
                                      const struct sae_overlap_masks *masks,
                                      const struct sae_compete_rule *rule, struct sae_err *err)
{
    struct sae_overlap_rows *rows = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&rows, 1, sizeof *rows, err));
    SAE_GO(st, weighing_init(&rows->w, m, masks, rule, err));
    SAE_GO(st, sae_mem_alloc(&rows->look, (size_t)omp_get_max_threads(), sizeof *rows->look, err));
    rows->n_looks = (size_t)omp_get_max_threads();
    for (size_t t = 0; t < rows->n_looks; t++)
        SAE_GO(st, look_init(&rows->look[t], &rows->w, err));
    *ret = rows;
    return SAE_OK;
done:
    sae_overlap_rows_close(rows);
    return st;
}

void sae_overlap_rows_close(struct sae_overlap_rows *rows)
{
    if (!rows)
        return;
    for (size_t t = 0; t < rows->n_looks; t++)
        look_clear(&rows->look[t]);
    free(rows->look);
    weighing_clear(&rows->w);
    free(rows);
}

struct row {
    size_t m;
    float *c;
};

static enum sae_status take_row(void *user, size_t b, const float *c)
{
    const struct row *const row = user;
    const size_t j0 = b * PARTNERS_BLOCK,
                 n = row->m - j0 < PARTNERS_BLOCK ? row->m - j0 : PARTNERS_BLOCK;
    memcpy(row->c + j0, c, n * sizeof *c);
    return SAE_OK;
}

void sae_overlap_rows_fill(const void *user, size_t i, float *c)
{
    const struct sae_overlap_rows *const rows = user;
    struct row row = {rows->w.m, c};
    memset(c + i, 0, (rows->w.m - i) * sizeof *c);
    if (rows->w.part[i] < INFINITY)
        (void)look_at(&rows->w, i, &rows->look[omp_get_thread_num()], take_row, &row);
}

/* --- 5. all pairs ------------------------------------------------------------------------- */

enum sae_status sae_overlap_visit(size_t m, const struct sae_overlap_masks *masks,
                                  void (*visit)(void *user, uint32_t i, uint32_t j, double n_i,
                                                double n_j, double n_ij),
                                  void *user, struct sae_err *err)
{
    struct sae_partners count = {NULL, NULL, NULL};
    double *n = NULL, B = 0;
    enum sae_status st;
    SAE_GO(st, sae_partners_single(m, masks, &n, &B, err));
    SAE_GO(st, sae_partners_init(&count, m, masks->n_batches, err));
    for (size_t i = 0; i < m; i++) {
        if (!(n[i] > 0))
            continue;
        sae_partners_count(m, masks, i, &count);
        for (size_t b = sae_partners_next(count.hit, i / PARTNERS_BLOCK, sae_partners_blocks(m));
             b < sae_partners_blocks(m);
             b = sae_partners_next(count.hit, b + 1, sae_partners_blocks(m))) {
            for (size_t j = b * PARTNERS_BLOCK; j < m && j < (b + 1) * PARTNERS_BLOCK; j++) {
                const double n_ij = sae_partners_at(&count, masks, j);
                if (n_ij > 0)
                    visit(user, (uint32_t)i, (uint32_t)j, n[i], n[j], n_ij);
            }
        }
        sae_partners_zero(&count, m, i);
    }
done:
    sae_partners_clear(&count);
    free(n);
    return st;
}
