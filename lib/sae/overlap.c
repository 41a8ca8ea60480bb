/* SPDX-License-Identifier: MIT */
/* overlap : co-activation counts from sparse masks, one latent at a time.
 *
 * The partners of latent i are the entries of the rows on which i is active; a counter per latent
 * adds them up. Work is about sum over tokens of (active latents)^2, memory one row of counters a
 * thread. Pieces of consecutive latents keep their own lists, which are joined in order, so that
 * the result does not depend on the number of threads.
 *
 * Contents: 1. values   2. counts of one latent   3. competing pairs   4. all pairs */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/clones.h"
#include "lib/sae/overlap.h"

/* 1. values */

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

/* 2. counts of one latent: only of partners above it, as every pair has a lower end */

enum { BLOCK = 8 }; /* partners that are looked at, or passed over, together */

struct counter {
    uint32_t *now;      /* [m] partners within one batch; zero between latents */
    double *sum;        /* [m] weighted over batches, where there are several; zero too */
    unsigned char *hit; /* [m / BLOCK + 1] which blocks have a partner; zero too */
};

static void counter_clear(struct counter *c)
{
    free(c->now);
    free(c->sum);
    free(c->hit);
    *c = (struct counter){NULL, NULL, NULL};
}

static enum sae_status counter_init(struct counter *ret, size_t m, size_t n_batches,
                                    struct sae_err *err)
{
    struct counter c = {NULL, NULL, NULL};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&c.now, m, sizeof *c.now, err));
    SAE_GO(st, sae_mem_alloc(&c.hit, m / BLOCK + 1, sizeof *c.hit, err));
    if (n_batches > 1)
        SAE_GO(st, sae_mem_alloc(&c.sum, m, sizeof *c.sum, err));
done:
    if (st != SAE_OK)
        counter_clear(&c);
    *ret = c;
    return st;
}

/* Returns how many partners were met, the same one again too. */
static size_t count_batch(const struct sae_csr *csr, const struct sae_csc *csc, size_t i,
                          struct counter *c)
{
    size_t met = 0;
    for (size_t p = csc->start[i]; p < csc->start[i + 1]; p++) {
        const size_t end = csr->start[csc->row[p] + 1];
        met += end - csc->pos[p] - 1;
        for (size_t e = csc->pos[p] + 1; e < end; e++) {
            const size_t j = csr->idx[e];
            c->now[j]++;
            c->hit[j / BLOCK] = 1;
        }
    }
    return met;
}

SAE_CLONES static void add_weighted(size_t n, double w, uint32_t *restrict now,
                                    double *restrict sum)
{
    for (size_t j = 0; j < n; j++)
        sum[j] += w * now[j];
    memset(now, 0, n * sizeof *now);
}

static size_t count_latent(size_t m, const struct sae_overlap_masks *masks, size_t i,
                           struct counter *c)
{
    size_t met = 0;
    for (size_t b = 0; b < masks->n_batches; b++) {
        met += count_batch(masks->csr[b], masks->csc[b], i, c);
        if (c->sum)
            add_weighted(m - i - 1, masks->weight[b], c->now + i + 1, c->sum + i + 1);
    }
    return met;
}

static inline double count_at(const struct counter *c, const struct sae_overlap_masks *masks,
                              size_t j)
{
    return c->sum ? c->sum[j] : masks->weight[0] * c->now[j];
}

static size_t blocks_of(size_t m)
{
    return (m + BLOCK - 1) / BLOCK;
}

/* The first block from b on that is marked, or n_blocks. */
static size_t next_block(const unsigned char *mark, size_t b, size_t n_blocks)
{
    const unsigned char *const at = memchr(mark + b, 1, n_blocks - b);
    return at ? (size_t)(at - mark) : n_blocks;
}

/* Counts of partners above i to zero, by runs of the blocks that have any. */
static void counter_zero(struct counter *c, size_t m, size_t i)
{
    const size_t n_blocks = blocks_of(m);
    size_t b = next_block(c->hit, i / BLOCK, n_blocks);
    while (b < n_blocks) {
        size_t end = b + 1;
        while (end < n_blocks && c->hit[end])
            end++;
        const size_t j0 = b * BLOCK, j1 = end * BLOCK < m ? end * BLOCK : m;
        if (c->sum)
            memset(c->sum + j0, 0, (j1 - j0) * sizeof *c->sum);
        else
            memset(c->now + j0, 0, (j1 - j0) * sizeof *c->now);
        memset(c->hit + b, 0, end - b);
        b = next_block(c->hit, end, n_blocks);
    }
}

/* n_i of every latent, and B. */
static enum sae_status count_single(size_t m, const struct sae_overlap_masks *masks, double **ret_n,
                                    double *ret_B, struct sae_err *err)
{
    double *n = NULL, B = 0;
    SAE_TRY(sae_mem_alloc(&n, m, sizeof *n, err));
    for (size_t b = 0; b < masks->n_batches; b++) {
        const size_t *const start = masks->csc[b]->start;
        for (size_t j = 0; j < m; j++)
            n[j] += masks->weight[b] * (double)(start[j + 1] - start[j]);
        B += masks->weight[b] * (double)masks->csr[b]->n;
    }
    *ret_n = n;
    *ret_B = B;
    return SAE_OK;
}

/* 3. competing pairs
 *
 * Where most blocks have a partner, most partners meet too rarely to compete. A count that n_ij must
 * exceed, a little too low to be safe against rounding, is formed from one number a latent; only
 * blocks in which a count passes are weighed. */

enum { PIECE = 64, DENSE = 4 };

struct piece {
    uint32_t *idx;
    float *c;
    size_t cap_idx, cap_c, n;
};

struct pairs_job {
    size_t m;
    const struct sae_overlap_masks *masks;
    const struct sae_compete_rule *rule;
    const double *n; /* [m] */
    double B;
    float *part;   /* [m] a latent's part of the count to exceed; infinite: never competes */
    size_t *above; /* [m] receives the number of partners above each latent */
};

static void fill_parts(struct pairs_job *job)
{
    const struct sae_compete_rule *const r = job->rule;
    const double tau = r->form == SAE_COMPETE_LINEAR ? r->tau * (1 - 1e-5) : 0;
    for (size_t j = 0; j < job->m; j++) {
        const double n = job->n[j];
        double part = tau * n; /* overlap: n_ij > tau min(n_i, n_j) */
        if (r->overlap == SAE_OVERLAP_JACCARD)
            part = tau / (1 + tau) * n; /* n_ij (1 + tau) > tau (n_i + n_j) */
        else if (r->overlap == SAE_OVERLAP_COSINE)
            part = sqrt(tau * n); /* n_ij > tau sqrt(n_i n_j), the product of two parts */
        else if (r->overlap == SAE_OVERLAP_LIFT)
            part = sqrt(tau / job->B) * n;
        else if (r->overlap == SAE_OVERLAP_BATCH)
            part = tau * job->B;
        job->part[j] = n > 0 && n >= r->min_count ? (float)part : INFINITY;
    }
}

/* Marks blocks of `n` counts in which one exceeds what it must. */
#define MARK_BLOCKS(NEED)                                                                          \
    for (size_t j0 = 0; j0 < n; j0 += BLOCK) {                                                     \
        const size_t w = n - j0 < BLOCK ? n - j0 : BLOCK;                                          \
        int any = 0;                                                                               \
        for (size_t j = j0; j < j0 + w; j++) {                                                     \
            const float q = part[j], need = (NEED);                                                \
            any |= (weight * (float)count[j] > need) & (q < INFINITY);                             \
        }                                                                                          \
        mark[j0 / BLOCK] = (unsigned char)any;                                                     \
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

static enum sae_status piece_room(struct piece *piece, size_t more)
{
    SAE_TRY(sae_mem_grow(&piece->idx, &piece->cap_idx, piece->n + more, sizeof *piece->idx, NULL));
    return sae_mem_grow(&piece->c, &piece->cap_c, piece->n + more, sizeof *piece->c, NULL);
}

static enum sae_status weigh_block(const struct pairs_job *job, size_t i, size_t j0, size_t j1,
                                   const struct counter *count, struct piece *piece)
{
    const struct sae_compete_rule *const r = job->rule;
    SAE_TRY(piece_room(piece, j1 - j0));
    for (size_t j = j0; j < j1; j++) {
        const double n_ij = count_at(count, job->masks, j);
        if (!(n_ij > 0) || !(job->part[j] < INFINITY))
            continue;
        const double nhat = sae_overlap_value(r->overlap, job->B, job->n[i], job->n[j], n_ij);
        const float c = (float)sae_compete_value(r->form, r->sharpness, nhat, r->tau);
        if (c > 0) {
            piece->idx[piece->n] = (uint32_t)j;
            piece->c[piece->n++] = c;
        }
    }
    return SAE_OK;
}

/* Marks blocks from that of i on. */
static void mark_passing(const struct pairs_job *job, size_t i, const struct counter *count,
                         unsigned char *mark)
{
    const size_t j0 = i / BLOCK * BLOCK, n = job->m - j0;
    const float part = job->part[i];
    if (count->sum)
        mark_sums(n, job->rule->overlap, count->sum + j0, 1, part, job->part + j0,
                  mark + j0 / BLOCK);
    else
        mark_counts(n, job->rule->overlap, count->now + j0, (float)job->masks->weight[0], part,
                    job->part + j0, mark + j0 / BLOCK);
}

static enum sae_status pairs_of_latent(const struct pairs_job *job, size_t i, unsigned char *mark,
                                       struct counter *count, struct piece *piece)
{
    const size_t before = piece->n, n_blocks = blocks_of(job->m);
    const size_t met = count_latent(job->m, job->masks, i, count);
    const bool dense = met > (job->m - i) / BLOCK / DENSE;
    if (dense)
        mark_passing(job, i, count, mark);
    const unsigned char *const of = dense ? mark : count->hit;
    for (size_t b = next_block(of, i / BLOCK, n_blocks); b < n_blocks;
         b = next_block(of, b + 1, n_blocks)) {
        const size_t j1 = (b + 1) * BLOCK < job->m ? (b + 1) * BLOCK : job->m;
        SAE_TRY(weigh_block(job, i, b * BLOCK, j1, count, piece));
    }
    counter_zero(count, job->m, i);
    job->above[i] = piece->n - before;
    return SAE_OK;
}

static enum sae_status count_pieces(const struct pairs_job *job, struct piece *piece,
                                    size_t n_pieces)
{
    enum sae_status all = SAE_OK;
#pragma omp parallel
    {
        struct counter count = {NULL, NULL, NULL};
        unsigned char *mark = NULL;
        enum sae_status st = counter_init(&count, job->m, job->masks->n_batches, NULL);
        if (st == SAE_OK)
            st = sae_mem_alloc(&mark, job->m / BLOCK + 1, sizeof *mark, NULL);
#pragma omp for schedule(dynamic, 1)
        for (size_t p = 0; p < n_pieces; p++) {
            const size_t end = (p + 1) * PIECE < job->m ? (p + 1) * PIECE : job->m;
            for (size_t i = p * PIECE; i < end && st == SAE_OK; i++)
                if (job->part[i] < INFINITY)
                    st = pairs_of_latent(job, i, mark, &count, &piece[p]);
        }
        counter_clear(&count);
        free(mark);
        if (st != SAE_OK) {
#pragma omp critical(sae_overlap_status)
            all = st;
        }
    }
    return all;
}

/* Nothing of the old lists is wanted any more, so they go before the new ones come: at their largest
 * these are the largest arrays there are. */
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
    for (size_t i = 0; i < job->m; i++)
        start[i + 1] += start[i] + job->above[i];
    SAE_TRY(pairs_room(pairs, start[job->m], err));
    memcpy(next, start, job->m * sizeof *next);
    for (size_t p = 0; p < n_pieces; p++) {
        size_t e = 0;
        for (size_t i = p * PIECE; i < job->m && e < piece[p].n; i++) {
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
    pairs->m = job->m;
    return SAE_OK;
}

enum sae_status sae_overlap_pairs(size_t m, const struct sae_overlap_masks *masks,
                                  const struct sae_compete_rule *rule, struct sae_pairs *pairs,
                                  struct sae_err *err)
{
    const size_t n_pieces = (m + PIECE - 1) / PIECE;
    struct pairs_job job = {.m = m, .masks = masks, .rule = rule};
    struct piece *piece = NULL;
    double *n = NULL;
    size_t *start = NULL, *next = NULL;
    enum sae_status st;
    SAE_GO(st, count_single(m, masks, &n, &job.B, err));
    job.n = n;
    SAE_GO(st, sae_mem_alloc(&job.part, m, sizeof *job.part, err));
    SAE_GO(st, sae_mem_alloc(&job.above, m, sizeof *job.above, err));
    SAE_GO(st, sae_mem_alloc(&piece, n_pieces, sizeof *piece, err));
    SAE_GO(st, sae_mem_alloc(&start, m + 1, sizeof *start, err));
    SAE_GO(st, sae_mem_alloc(&next, m, sizeof *next, err));
    fill_parts(&job);
    st = count_pieces(&job, piece, n_pieces);
    if (st != SAE_OK) {
        sae_err_set(err, st, "out of memory while listing competing pairs of %zu latents", m);
        goto done;
    }
    SAE_GO(st, join_pieces(&job, piece, n_pieces, start, next, pairs, err));
    start = NULL;
done:
    for (size_t p = 0; piece && p < n_pieces; p++) {
        free(piece[p].idx);
        free(piece[p].c);
    }
    free(piece);
    free(job.part);
    free(job.above);
    free(start);
    free(next);
    free(n);
    return st;
}

/* 4. all pairs */

enum sae_status sae_overlap_visit(size_t m, const struct sae_overlap_masks *masks,
                                  void (*visit)(void *user, uint32_t i, uint32_t j, double n_i,
                                                double n_j, double n_ij),
                                  void *user, struct sae_err *err)
{
    struct counter count = {NULL, NULL, NULL};
    double *n = NULL, B = 0;
    enum sae_status st;
    SAE_GO(st, count_single(m, masks, &n, &B, err));
    SAE_GO(st, counter_init(&count, m, masks->n_batches, err));
    for (size_t i = 0; i < m; i++) {
        if (!(n[i] > 0))
            continue;
        count_latent(m, masks, i, &count);
        for (size_t b = next_block(count.hit, i / BLOCK, blocks_of(m)); b < blocks_of(m);
             b = next_block(count.hit, b + 1, blocks_of(m))) {
            for (size_t j = b * BLOCK; j < m && j < (b + 1) * BLOCK; j++) {
                const double n_ij = count_at(&count, masks, j);
                if (n_ij > 0)
                    visit(user, (uint32_t)i, (uint32_t)j, n[i], n[j], n_ij);
            }
        }
        counter_zero(&count, m, i);
    }
done:
    counter_clear(&count);
    free(n);
    return st;
}
