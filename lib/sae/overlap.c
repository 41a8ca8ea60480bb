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

/* 2. counts of one latent */

struct counter {
    uint32_t *now; /* [m] partners within one batch; zero between latents */
    double *sum;   /* [m] weighted over batches; only where there are several */
};

static enum sae_status counter_init(struct counter *ret, size_t m, size_t n_batches,
                                    struct sae_err *err)
{
    struct counter c = {NULL, NULL};
    SAE_TRY(sae_mem_alloc(&c.now, m, sizeof *c.now, err));
    if (n_batches > 1) {
        const enum sae_status st = sae_mem_alloc(&c.sum, m, sizeof *c.sum, err);
        if (st != SAE_OK) {
            free(c.now);
            return st;
        }
    }
    *ret = c;
    return SAE_OK;
}

static void counter_clear(struct counter *c)
{
    free(c->now);
    free(c->sum);
    *c = (struct counter){NULL, NULL};
}

/* Adds the partners of latent i in one batch; only those above i where `upper`. */
static void count_partners(const struct sae_csr *csr, const struct sae_csc *csc, size_t i,
                           bool upper, uint32_t *now)
{
    for (size_t p = csc->start[i]; p < csc->start[i + 1]; p++) {
        const size_t t = csc->row[p], end = csr->start[t + 1];
        for (size_t e = upper ? csc->pos[p] + 1 : csr->start[t]; e < end; e++)
            now[csr->idx[e]]++;
    }
}

/* Takes n_ij of latent j out of the counter. */
static inline double take_count(struct counter *c, const struct sae_overlap_masks *masks, size_t j)
{
    double n_ij;
    if (c->sum) {
        n_ij = c->sum[j];
        c->sum[j] = 0;
    } else {
        n_ij = masks->weight[0] * c->now[j];
        c->now[j] = 0;
    }
    return n_ij;
}

static void count_latent(size_t m, const struct sae_overlap_masks *masks, size_t i, bool upper,
                         struct counter *c)
{
    for (size_t b = 0; b < masks->n_batches; b++) {
        count_partners(masks->csr[b], masks->csc[b], i, upper, c->now);
        if (!c->sum)
            continue;
        for (size_t j = upper ? i + 1 : 0; j < m; j++) {
            c->sum[j] += masks->weight[b] * c->now[j];
            c->now[j] = 0;
        }
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

/* 3. competing pairs */

enum { PIECE = 64 };

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
    size_t *start; /* [m+1]; start[i+1] receives the number of partners of i */
};

static enum sae_status piece_room(struct piece *piece, size_t more)
{
    SAE_TRY(sae_mem_grow(&piece->idx, &piece->cap_idx, piece->n + more, sizeof *piece->idx, NULL));
    return sae_mem_grow(&piece->c, &piece->cap_c, piece->n + more, sizeof *piece->c, NULL);
}

static bool is_zero_block(const struct counter *c, size_t j, size_t w)
{
    bool any = false;
    if (c->sum)
        for (size_t l = j; l < j + w; l++)
            any |= c->sum[l] > 0;
    else
        for (size_t l = j; l < j + w; l++)
            any |= c->now[l] > 0;
    return !any;
}

static enum sae_status pairs_of_latent(const struct pairs_job *job, size_t i, struct counter *count,
                                       struct piece *piece)
{
    const struct sae_compete_rule *const r = job->rule;
    const size_t before = piece->n;
    count_latent(job->m, job->masks, i, false, count);
    for (size_t j0 = 0; j0 < job->m; j0 += PIECE) {
        const size_t w = job->m - j0 < PIECE ? job->m - j0 : PIECE;
        if (is_zero_block(count, j0, w))
            continue;
        SAE_TRY(piece_room(piece, w));
        for (size_t j = j0; j < j0 + w; j++) {
            const double n_ij = take_count(count, job->masks, j);
            if (!(n_ij > 0) || j == i || job->n[j] < r->min_count)
                continue;
            const double nhat = sae_overlap_value(r->overlap, job->B, job->n[i], job->n[j], n_ij);
            const float c = (float)sae_compete_value(r->form, r->sharpness, nhat, r->tau);
            if (c > 0) {
                piece->idx[piece->n] = (uint32_t)j;
                piece->c[piece->n++] = c;
            }
        }
    }
    job->start[i + 1] = piece->n - before;
    return SAE_OK;
}

static enum sae_status count_pieces(const struct pairs_job *job, struct piece *piece,
                                    size_t n_pieces)
{
    enum sae_status all = SAE_OK;
#pragma omp parallel
    {
        struct counter count = {NULL, NULL};
        enum sae_status st = counter_init(&count, job->m, job->masks->n_batches, NULL);
#pragma omp for schedule(dynamic, 1)
        for (size_t p = 0; p < n_pieces; p++) {
            const size_t end = (p + 1) * PIECE < job->m ? (p + 1) * PIECE : job->m;
            for (size_t i = p * PIECE; i < end && st == SAE_OK; i++)
                if (job->n[i] > 0 && job->n[i] >= job->rule->min_count)
                    st = pairs_of_latent(job, i, &count, &piece[p]);
        }
        counter_clear(&count);
        if (st != SAE_OK) {
#pragma omp critical(sae_overlap_status)
            all = st;
        }
    }
    return all;
}

static enum sae_status pairs_room(struct sae_pairs *pairs, size_t n, struct sae_err *err)
{
    size_t cap_idx = pairs->cap, cap_c = pairs->cap;
    SAE_TRY(sae_mem_grow(&pairs->idx, &cap_idx, n, sizeof *pairs->idx, err));
    SAE_TRY(sae_mem_grow(&pairs->c, &cap_c, n, sizeof *pairs->c, err));
    pairs->cap = cap_idx < cap_c ? cap_idx : cap_c;
    return SAE_OK;
}

/* Puts the lists of the pieces behind each other; takes over `start` on success. */
static enum sae_status join_pieces(const struct pairs_job *job, const struct piece *piece,
                                   size_t n_pieces, struct sae_pairs *pairs, struct sae_err *err)
{
    for (size_t i = 0; i < job->m; i++)
        job->start[i + 1] += job->start[i];
    SAE_TRY(pairs_room(pairs, job->start[job->m], err));
    for (size_t p = 0; p < n_pieces; p++) {
        const size_t at = job->start[p * PIECE];
        if (piece[p].n == 0)
            continue;
        memcpy(pairs->idx + at, piece[p].idx, piece[p].n * sizeof *pairs->idx);
        memcpy(pairs->c + at, piece[p].c, piece[p].n * sizeof *pairs->c);
    }
    free(pairs->start);
    pairs->start = job->start;
    pairs->m = job->m;
    return SAE_OK;
}

enum sae_status sae_overlap_pairs(size_t m, const struct sae_overlap_masks *masks,
                                  const struct sae_compete_rule *rule, struct sae_pairs *pairs,
                                  struct sae_err *err)
{
    const size_t n_pieces = (m + PIECE - 1) / PIECE;
    struct piece *piece = NULL;
    double *n = NULL, B = 0;
    size_t *start = NULL;
    enum sae_status st;
    SAE_GO(st, count_single(m, masks, &n, &B, err));
    SAE_GO(st, sae_mem_alloc(&piece, n_pieces, sizeof *piece, err));
    SAE_GO(st, sae_mem_alloc(&start, m + 1, sizeof *start, err));
    const struct pairs_job job = {
        .m = m, .masks = masks, .rule = rule, .n = n, .B = B, .start = start};
    st = count_pieces(&job, piece, n_pieces);
    if (st != SAE_OK) {
        sae_err_set(err, st, "out of memory while listing competing pairs of %zu latents", m);
        goto done;
    }
    SAE_GO(st, join_pieces(&job, piece, n_pieces, pairs, err));
    start = NULL;
done:
    for (size_t p = 0; piece && p < n_pieces; p++) {
        free(piece[p].idx);
        free(piece[p].c);
    }
    free(piece);
    free(start);
    free(n);
    return st;
}

/* 4. all pairs */

enum sae_status sae_overlap_visit(size_t m, const struct sae_overlap_masks *masks,
                                  void (*visit)(void *user, uint32_t i, uint32_t j, double n_i,
                                                double n_j, double n_ij),
                                  void *user, struct sae_err *err)
{
    struct counter count = {NULL, NULL};
    double *n = NULL, B = 0;
    enum sae_status st;
    SAE_GO(st, count_single(m, masks, &n, &B, err));
    SAE_GO(st, counter_init(&count, m, masks->n_batches, err));
    for (size_t i = 0; i < m; i++) {
        if (!(n[i] > 0))
            continue;
        count_latent(m, masks, i, true, &count);
        for (size_t j0 = i + 1; j0 < m; j0 += PIECE) {
            const size_t w = m - j0 < PIECE ? m - j0 : PIECE;
            if (is_zero_block(&count, j0, w))
                continue;
            for (size_t j = j0; j < j0 + w; j++) {
                const double n_ij = take_count(&count, masks, j);
                if (n_ij > 0)
                    visit(user, (uint32_t)i, (uint32_t)j, n[i], n[j], n_ij);
            }
        }
    }
done:
    counter_clear(&count);
    free(n);
    return st;
}
