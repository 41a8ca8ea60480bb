/* SPDX-License-Identifier: MIT */
/* cpu_compete : competing pairs from sparse masks, one latent at a time.
 *
 * Work is about sum over tokens of (active latents)^2, memory one row of counters (partners.h) a
 * thread. Where most blocks of latents have a partner, most partners meet too rarely to compete: a
 * count that n_ij must exceed, a little too low to be safe against rounding, is formed from one
 * number a latent, and only blocks in which a count passes are weighed. Pieces of consecutive
 * latents keep their own lists, which are joined in order, so that the result does not depend on
 * the number of threads.
 *
 * Contents: 1. one latent   2. rows   3. lists */
#include "lib/math/cpu/cpu_compete.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/cpu/cpu_slice.h"

/* --- 1. one latent ------------------------------------------------------------------------ */

enum { DENSE = 4 };

static void fill_parts(struct sae_cpu_singles *s)
{
    const struct sae_compete_rule *const r = s->rule;
    const double tau = r->form == SAE_COMPETE_LINEAR ? r->tau * (1 - 1e-5) : 0;
    for (size_t j = 0; j < s->m; j++) {
        const double n = s->n[j];
        double part = tau * n; /* overlap: n_ij > tau min(n_i, n_j) */
        if (r->overlap == SAE_OVERLAP_JACCARD)
            part = tau / (1 + tau) * n; /* n_ij (1 + tau) > tau (n_i + n_j) */
        else if (r->overlap == SAE_OVERLAP_COSINE)
            part = sqrt(tau * n); /* n_ij > tau sqrt(n_i n_j), the product of two parts */
        else if (r->overlap == SAE_OVERLAP_LIFT)
            part = sqrt(tau / s->B) * n;
        else if (r->overlap == SAE_OVERLAP_BATCH)
            part = tau * s->B;
        s->part[j] = n > 0 && n >= r->min_count ? (float)part : INFINITY;
    }
}

enum sae_status sae_cpu_singles_open(struct sae_cpu_singles *ret, size_t m,
                                     const struct sae_overlap_masks *masks,
                                     const struct sae_compete_rule *rule)
{
    *ret = (struct sae_cpu_singles){.m = m, .masks = masks, .rule = rule};
    SAE_TRY(sae_partners_single(m, masks, &ret->n, &ret->B, NULL));
    SAE_TRY(sae_mem_alloc(&ret->part, m, sizeof *ret->part, NULL));
    fill_parts(ret);
    return SAE_OK;
}

void sae_cpu_singles_close(struct sae_cpu_singles *s)
{
    free(s->n);
    free(s->part);
}

enum sae_status sae_cpu_counter_init(struct sae_cpu_counter *ret, const struct sae_cpu_singles *s)
{
    *ret = (struct sae_cpu_counter){.mark = NULL};
    SAE_TRY(sae_partners_init(&ret->count, s->m, s->masks->n_batches, NULL));
    return sae_mem_alloc(&ret->mark, s->m / PARTNERS_BLOCK + 1, sizeof *ret->mark, NULL);
}

void sae_cpu_counter_clear(struct sae_cpu_counter *counter)
{
    sae_partners_clear(&counter->count);
    free(counter->mark);
    counter->mark = NULL;
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
static void mark_passing(const struct sae_cpu_singles *s, size_t i, struct sae_cpu_counter *counter)
{
    const size_t j0 = i / PARTNERS_BLOCK * PARTNERS_BLOCK, n = s->m - j0;
    unsigned char *const mark = counter->mark + j0 / PARTNERS_BLOCK;
    if (counter->count.sum)
        mark_sums(n, s->rule->overlap, counter->count.sum + j0, 1, s->part[i], s->part + j0, mark);
    else
        mark_counts(n, s->rule->overlap, counter->count.now + j0, (float)s->masks->weight[0],
                    s->part[i], s->part + j0, mark);
}

/* c_ij of the partners in block b, into c [PARTNERS_BLOCK], which is 0; returns whether one is > 0.
 */
static bool weigh_block(const struct sae_cpu_singles *s, size_t i, size_t b,
                        const struct sae_partners *count, float *c)
{
    const struct sae_compete_rule *const r = s->rule;
    const size_t j0 = b * PARTNERS_BLOCK,
                 n = s->m - j0 < PARTNERS_BLOCK ? s->m - j0 : PARTNERS_BLOCK;
    bool any = false;
    for (size_t l = 0; l < n; l++) {
        const double n_ij = sae_partners_at(count, s->masks, j0 + l);
        if (!(n_ij > 0) || !(s->part[j0 + l] < INFINITY))
            continue;
        const double nhat = sae_overlap_value(r->overlap, s->B, s->n[i], s->n[j0 + l], n_ij);
        c[l] = (float)sae_compete_value(r->form, r->sharpness, nhat, r->tau);
        any |= c[l] > 0;
    }
    return any;
}

/* Gives take(user, b, c) the coefficients of latent i with every block of latents above it that has
 * one which competes, in order, until it fails. */
static enum sae_status each_block(const struct sae_cpu_singles *s, size_t i,
                                  struct sae_cpu_counter *counter,
                                  enum sae_status (*take)(void *user, size_t b, const float *c),
                                  void *user)
{
    const size_t n_blocks = sae_partners_blocks(s->m);
    const size_t met = sae_partners_count(s->m, s->masks, i, &counter->count);
    const bool dense = met > (s->m - i) / PARTNERS_BLOCK / DENSE;
    enum sae_status st = SAE_OK;
    if (dense)
        mark_passing(s, i, counter);
    const unsigned char *const of = dense ? counter->mark : counter->count.hit;
    for (size_t b = sae_partners_next(of, i / PARTNERS_BLOCK, n_blocks);
         b < n_blocks && st == SAE_OK; b = sae_partners_next(of, b + 1, n_blocks)) {
        float c[PARTNERS_BLOCK] = {0};
        if (weigh_block(s, i, b, &counter->count, c))
            st = take(user, b, c);
    }
    sae_partners_zero(&counter->count, s->m, i);
    return st;
}

/* --- 2. rows ------------------------------------------------------------------------------ */

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

void sae_cpu_counter_row(const struct sae_cpu_singles *s, size_t i,
                         struct sae_cpu_counter *counter, float *c)
{
    struct row row = {s->m, c};
    memset(c + i, 0, (s->m - i) * sizeof *c);
    if (s->part[i] < INFINITY)
        (void)each_block(s, i, counter, take_row, &row);
}

/* --- 3. lists ----------------------------------------------------------------------------- */

enum { PIECE = 64 };

/* The pairs of a run of lower ends. `over`: too many to be listed, they are only counted. */
struct piece {
    uint32_t *idx;
    float *c;
    size_t cap_idx, cap_c, n;
    bool over;
};

struct listing {
    const struct sae_cpu_singles *s;
    struct piece *piece;
    size_t n_pieces, most, found;
    size_t *above; /* [m] number of pairs of each lower end */
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
        const size_t capacity = piece->n + PARTNERS_BLOCK;
        SAE_TRY(sae_mem_grow(&piece->idx, &piece->cap_idx, capacity, sizeof *piece->idx, NULL));
        SAE_TRY(sae_mem_grow(&piece->c, &piece->cap_c, capacity, sizeof *piece->c, NULL));
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

static enum sae_status list_latent(struct listing *job, size_t i, struct sae_cpu_counter *counter,
                                   struct piece *piece)
{
    const size_t before = piece->n;
    size_t found;
    if (job->s->part[i] < INFINITY)
        SAE_TRY(each_block(job->s, i, counter, take_listed, piece));
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

static enum sae_status list_pieces(struct listing *job)
{
    const size_t m = job->s->m;
    enum sae_status all = SAE_OK;
#pragma omp parallel
    {
        struct sae_cpu_counter counter;
        enum sae_status st = sae_cpu_counter_init(&counter, job->s);
#pragma omp for schedule(dynamic, 1)
        for (size_t p = 0; p < job->n_pieces; p++) {
            const size_t end = (p + 1) * PIECE < m ? (p + 1) * PIECE : m;
            for (size_t i = p * PIECE; i < end && st == SAE_OK; i++)
                st = list_latent(job, i, &counter, &job->piece[p]);
        }
        sae_cpu_counter_clear(&counter);
        if (st != SAE_OK) {
#pragma omp critical(sae_cpu_list_pieces)
            all = st;
        }
    }
    return all;
}

/* Each piece goes as soon as it is copied: at their largest these are the largest arrays there
 * are. */
static enum sae_status join_pieces(const struct listing *job, struct sae_cpu_pairs *ret)
{
    ret->idx = (uint32_t *)sae_cpu_scratch(job->found);
    ret->c = sae_cpu_scratch(job->found);
    if (!ret->idx || !ret->c)
        return SAE_ENOMEM;
    ret->start[0] = 0;
    for (size_t i = 0; i < job->s->m; i++)
        ret->start[i + 1] = ret->start[i] + job->above[i];
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t p = 0; p < job->n_pieces; p++) {
        struct piece *const piece = &job->piece[p];
        if (piece->n > 0) {
            memcpy(ret->idx + ret->start[p * PIECE], piece->idx, piece->n * sizeof *piece->idx);
            memcpy(ret->c + ret->start[p * PIECE], piece->c, piece->n * sizeof *piece->c);
        }
        piece_clear(piece);
    }
    return SAE_OK;
}

enum sae_status sae_cpu_pairs_list(const struct sae_cpu_singles *s, size_t most,
                                   struct sae_cpu_pairs *ret, size_t *ret_n)
{
    struct listing job = {.s = s, .n_pieces = (s->m + PIECE - 1) / PIECE, .most = most};
    enum sae_status st;
    *ret = (struct sae_cpu_pairs){NULL, NULL, NULL};
    SAE_GO(st, sae_mem_alloc(&job.above, s->m, sizeof *job.above, NULL));
    SAE_GO(st, sae_mem_alloc(&job.piece, job.n_pieces, sizeof *job.piece, NULL));
    SAE_GO(st, sae_mem_alloc(&ret->start, s->m + 1, sizeof *ret->start, NULL));
    SAE_GO(st, list_pieces(&job));
    *ret_n = job.found;
    if (job.found <= most)
        SAE_GO(st, join_pieces(&job, ret));
done:
    for (size_t p = 0; job.piece && p < job.n_pieces; p++)
        piece_clear(&job.piece[p]);
    free(job.piece);
    free(job.above);
    if (st != SAE_OK || job.found > most)
        sae_cpu_pairs_clear(ret);
    return st;
}

void sae_cpu_pairs_clear(struct sae_cpu_pairs *pairs)
{
    free(pairs->start);
    free(pairs->idx);
    free(pairs->c);
    *pairs = (struct sae_cpu_pairs){NULL, NULL, NULL};
}
