/* SPDX-License-Identifier: MIT */
/* pairs : representative pairs, chosen once and followed to the end of the run.
 * Contents: 1. counts   2. choosing   3. following */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "train/series.h"

/* Pairs are chosen once in a run, which may take some seconds. */
static const double CHOOSE_COACTIVATIONS_MAX = 5e9;

/* --- 1. counts ---------------------------------------------------------------------------- */

/* The threshold of the coming update; at the end of the run, of the last one. */
static double tau_now(const struct trainer *t)
{
    const uint64_t steps = t->set.steps, at = t->step < steps ? t->step : steps - 1;
    return trainer_tau(t, (double)at / (double)steps);
}

static double count_of(const struct sae_overlap_masks *masks, uint32_t i)
{
    double n = 0;
    for (size_t b = 0; b < masks->n_batches; b++)
        n += masks->weight[b] * (double)(masks->csc[b]->start[i + 1] - masks->csc[b]->start[i]);
    return n;
}

static double rows_of(const struct sae_overlap_masks *masks)
{
    double n = 0;
    for (size_t b = 0; b < masks->n_batches; b++)
        n += masks->weight[b] * (double)masks->csr[b]->n;
    return n;
}

static double count_both(const struct sae_overlap_masks *masks, uint32_t i, uint32_t j)
{
    double n = 0;
    for (size_t b = 0; b < masks->n_batches; b++) {
        const struct sae_csc *const csc = masks->csc[b];
        size_t p = csc->start[i], q = csc->start[j], meet = 0;
        while (p < csc->start[i + 1] && q < csc->start[j + 1]) {
            if (csc->row[p] == csc->row[q]) {
                meet++;
                p++;
                q++;
            } else if (csc->row[p] < csc->row[q]) {
                p++;
            } else {
                q++;
            }
        }
        n += masks->weight[b] * (double)meet;
    }
    return n;
}

static double cosine(const struct trainer *t, uint32_t i, uint32_t j)
{
    const float *const a = t->w.W_dec + (size_t)i * t->d, *const b = t->w.W_dec + (size_t)j * t->d;
    double sum = 0;
    for (size_t c = 0; c < t->d; c++)
        sum += (double)a[c] * (double)b[c];
    return sum;
}

/* --- 2. choosing -------------------------------------------------------------------------- */

struct candidate {
    uint32_t i, j;
    double strength;
};

static int by_strength(const void *a, const void *b)
{
    const struct candidate *const x = a, *const y = b;
    if (x->strength != y->strength)
        return x->strength < y->strength ? 1 : -1;
    if (x->i != y->i)
        return x->i < y->i ? -1 : 1;
    return x->j < y->j ? -1 : x->j > y->j;
}

static void add(struct pair_log *log, uint32_t i, uint32_t j, uint8_t kind)
{
    log->i[log->n] = i;
    log->j[log->n] = j;
    log->kind[log->n++] = kind;
}

/* The strongest competitors, and a reservoir of pairs that meet: each has the same chance, in one
 * pass of unknown length. */
struct choice {
    const struct trainer *t;
    struct sae_compete_rule rule;
    double B;
    struct sae_rng rng;
    uint64_t seen;
    size_t size, n_kept, n_strong;
    struct candidate *kept;   /* [size] */
    struct candidate *strong; /* [2 size]: sorted and cut to `size` when full */
};

static void sort_strong(struct choice *c)
{
    qsort(c->strong, c->n_strong, sizeof *c->strong, by_strength);
    if (c->n_strong > c->size)
        c->n_strong = c->size;
}

static void offer(void *user, uint32_t i, uint32_t j, double n_i, double n_j, double n_ij)
{
    struct choice *const c = user;
    const struct sae_compete_rule *const r = &c->rule;
    if (n_i < r->min_count || n_j < r->min_count)
        return;
    const double nhat = sae_overlap_value(r->overlap, c->B, n_i, n_j, n_ij);
    const float competes = (float)sae_compete_value(r->form, r->sharpness, nhat, r->tau);
    if (competes > 0) {
        if (c->n_strong == 2 * c->size)
            sort_strong(c);
        c->strong[c->n_strong++] =
            (struct candidate){i, j, (double)competes * fabs(cosine(c->t, i, j))};
    }
    c->seen++;
    if (c->n_kept < c->size) {
        c->kept[c->n_kept++] = (struct candidate){i, j, 0};
        return;
    }
    const uint64_t at = sae_rng_below(&c->rng, c->seen);
    if (at < c->size)
        c->kept[at] = (struct candidate){i, j, 0};
}

static enum sae_status add_met(struct pair_log *log, struct trainer *t,
                               const struct sae_overlap_masks *masks, struct sae_err *err)
{
    struct choice c = {.t = t,
                       .B = rows_of(masks),
                       .rng = sae_rng_make(t->set.seed, SAE_RNG_PAIRS),
                       .size = (size_t)t->set.pairs};
    enum sae_status st;
    trainer_rule(t, tau_now(t), &c.rule);
    SAE_GO(st, sae_mem_alloc(&c.kept, c.size, sizeof *c.kept, err));
    SAE_GO(st, sae_mem_alloc(&c.strong, 2 * c.size, sizeof *c.strong, err));
    SAE_GO(st, sae_overlap_visit(t->m, masks, offer, &c, err));
    sort_strong(&c);
    for (size_t p = 0; p < c.n_strong; p++)
        add(log, c.strong[p].i, c.strong[p].j, 0);
    qsort(c.kept, c.n_kept, sizeof *c.kept, by_strength);
    for (size_t p = 0; p < c.n_kept; p++)
        add(log, c.kept[p].i, c.kept[p].j, 1);
done:
    free(c.kept);
    free(c.strong);
    return st;
}

/* Draws pairs until enough never meet; gives up where nearly all do. */
static void add_never(struct pair_log *log, const struct trainer *t,
                      const struct sae_overlap_masks *masks)
{
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_PAIRS);
    rng.counter = UINT64_C(1) << 60; /* apart from the draws for co-active pairs */
    const size_t first = log->n;
    for (size_t tries = 0; tries < 1000 * t->set.pairs && log->n - first < t->set.pairs; tries++) {
        uint32_t i = (uint32_t)sae_rng_below(&rng, t->m), j = (uint32_t)sae_rng_below(&rng, t->m);
        if (i == j)
            continue;
        if (i > j) {
            const uint32_t swap = i;
            i = j;
            j = swap;
        }
        bool fresh = true;
        for (size_t p = first; p < log->n; p++)
            fresh = fresh && !(log->i[p] == i && log->j[p] == j);
        if (fresh && count_of(masks, i) >= t->set.min_count &&
            count_of(masks, j) >= t->set.min_count && count_both(masks, i, j) <= 0)
            add(log, i, j, 2);
    }
}

static enum sae_status choose(struct pair_log *log, struct trainer *t,
                              const struct sae_overlap_masks *masks, struct sae_err *err)
{
    const size_t most = 3 * (size_t)t->set.pairs;
    SAE_TRY(sae_mem_alloc(&log->i, most, sizeof *log->i, err));
    SAE_TRY(sae_mem_alloc(&log->j, most, sizeof *log->j, err));
    SAE_TRY(sae_mem_alloc(&log->kind, most, sizeof *log->kind, err));
    SAE_TRY(add_met(log, t, masks, err));
    add_never(log, t, masks);
    return SAE_OK;
}

/* --- 3. following ------------------------------------------------------------------------- */

static enum sae_status reserve(struct pair_log *log, size_t n_logged, struct sae_err *err)
{
    float **const columns[] = {&log->c, &log->nhat, &log->cos};
    for (size_t a = 0; a < 3; a++) {
        size_t cap = log->cap * log->n;
        SAE_TRY(sae_mem_grow(columns[a], &cap, n_logged * log->n, sizeof(float), err));
    }
    size_t cap = log->cap;
    SAE_TRY(sae_mem_grow(&log->step, &cap, n_logged, sizeof *log->step, err));
    log->cap = log->cap > n_logged ? log->cap : n_logged;
    return SAE_OK;
}

/* c, nhat and cos of every pair, under the present weights. */
static enum sae_status add_row(struct pair_log *log, const struct trainer *t,
                               const struct sae_overlap_masks *masks, struct sae_err *err)
{
    if (log->n_logged == log->cap)
        SAE_TRY(reserve(log, log->cap ? 2 * log->cap : 16, err));
    const double B = rows_of(masks), tau = tau_now(t);
    for (size_t p = 0; p < log->n; p++) {
        const uint32_t i = log->i[p], j = log->j[p];
        const double n_i = count_of(masks, i), n_j = count_of(masks, j),
                     n_ij = count_both(masks, i, j);
        const bool counted = n_i >= t->set.min_count && n_j >= t->set.min_count && n_ij > 0;
        const double nhat =
            n_ij > 0 ? sae_overlap_value((enum sae_overlap)t->set.overlap, B, n_i, n_j, n_ij) : 0;
        const size_t at = log->n_logged * log->n + p;
        log->nhat[at] = (float)nhat;
        log->c[at] = counted ? (float)sae_compete_value((enum sae_compete)t->set.competition,
                                                        t->set.sharpness, nhat, tau)
                             : 0;
        log->cos[at] = (float)cosine(t, i, j);
    }
    log->step[log->n_logged++] = (double)t->step;
    return SAE_OK;
}

enum sae_status pair_log_add(struct pair_log *log, struct trainer *t, const float *x,
                             bool may_choose, struct sae_err *err)
{
    const bool first = log->n == 0;
    struct sae_overlap_masks masks;
    if (t->set.pairs == 0 || (first && !may_choose))
        return SAE_OK;
    if (!first && log->n_logged > 0 && log->step[log->n_logged - 1] >= (double)t->step)
        return SAE_OK; /* chosen at this step */
    SAE_TRY(trainer_masks_on(t, x, err));
    trainer_masks_now(t, &masks);
    if (first && (!t->now || trainer_coactivations(&masks) > CHOOSE_COACTIVATIONS_MAX))
        return SAE_OK; /* too many latents are active; there may be fewer at a later checkpoint */
    if (first)
        SAE_TRY(choose(log, t, &masks, err));
    return log->n > 0 ? add_row(log, t, &masks, err) : SAE_OK;
}

enum sae_status pair_log_restore(struct pair_log *log, const struct sae_ckpt *ckpt,
                                 struct sae_err *err)
{
    const size_t n = ckpt->pairs.n, logged = ckpt->pairs.n_logged;
    if (n == 0)
        return SAE_OK;
    SAE_TRY(sae_mem_alloc(&log->i, n, sizeof *log->i, err));
    SAE_TRY(sae_mem_alloc(&log->j, n, sizeof *log->j, err));
    SAE_TRY(sae_mem_alloc(&log->kind, n, sizeof *log->kind, err));
    memcpy(log->i, ckpt->pairs.i, n * sizeof *log->i);
    memcpy(log->j, ckpt->pairs.j, n * sizeof *log->j);
    memcpy(log->kind, ckpt->pairs.kind, n * sizeof *log->kind);
    log->n = n;
    SAE_TRY(reserve(log, logged + 1, err));
    memcpy(log->c, ckpt->pairs.c, logged * n * sizeof *log->c);
    memcpy(log->nhat, ckpt->pairs.nhat, logged * n * sizeof *log->nhat);
    memcpy(log->cos, ckpt->pairs.cos, logged * n * sizeof *log->cos);
    memcpy(log->step, ckpt->pairs.step, logged * sizeof *log->step);
    log->n_logged = logged;
    return SAE_OK;
}

void pair_log_clear(struct pair_log *log)
{
    free(log->i);
    free(log->j);
    free(log->kind);
    free(log->c);
    free(log->nhat);
    free(log->cos);
    free(log->step);
    *log = (struct pair_log){0};
}
