/* SPDX-License-Identifier: MIT */
/* pair : two SAEs matched by decoder, by encoder and by firing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "match/match.h"

const char *const match_kind_names[MATCH_KINDS] = {"decoder", "encoder", "firing"};

void match_unit_rows(float *ret, size_t m, size_t d, const float *W)
{
    for (size_t j = 0; j < m; j++) {
        double sq = 0;
        for (size_t i = 0; i < d; i++)
            sq += (double)W[j * d + i] * (double)W[j * d + i];
        for (size_t i = 0; i < d; i++)
            ret[j * d + i] = sq > 0 ? (float)((double)W[j * d + i] / sqrt(sq)) : 0;
    }
}

/* --- by rows -------------------------------------------------------------------------------- */

static enum sae_status match_rows(struct sae_matching *ret, const struct sae_model *a,
                                  const struct sae_model *b, enum match_kind kind,
                                  const struct sae_ops *ops, bool is_signed, struct sae_err *err)
{
    float *A = NULL, *B = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&A, a->m * a->d, sizeof *A, err));
    SAE_GO(st, sae_mem_alloc(&B, b->m * b->d, sizeof *B, err));
    match_unit_rows(A, a->m, a->d, kind == MATCH_DECODER ? a->W_dec : a->W_enc);
    match_unit_rows(B, b->m, b->d, kind == MATCH_DECODER ? b->W_dec : b->W_enc);
    st = sae_match_rows(ret, ops, a->m, b->m, a->d, A, B, is_signed, err);
done:
    free(A);
    free(B);
    return st;
}

/* --- by firing ------------------------------------------------------------------------------ */

/* Above so many coactivations, counted with repeats, a dictionary is too dense to be told by them. */
static const double MOST_COACTIVATIONS = 3e8;

static const char *store_of(const struct sae_ckpt *c)
{
    return sae_json_str(sae_record_find_input(c->record, "acts"), "id", "");
}

static bool comparable(const struct sae_ckpt *a, const struct sae_ckpt *b)
{
    const struct sae_masks *const x = &a->heldout, *const y = &b->heldout;
    double coactivations = 0;
    if (x->n_rows == 0 || x->n_rows != y->n_rows || strcmp(store_of(a), store_of(b)) != 0)
        return false;
    for (size_t t = 0; t < x->n_rows; t++)
        coactivations += (double)(x->start[t + 1] - x->start[t]) * (double)(y->start[t + 1] - y->start[t]);
    return coactivations <= MOST_COACTIVATIONS;
}

/* Rows of each latent, and where they begin. */
static enum sae_status by_latent(size_t **ret_start, uint32_t **ret_row, const struct sae_masks *masks,
                                 size_t m, struct sae_err *err)
{
    size_t *start = NULL, *at = NULL;
    uint32_t *row = NULL;
    const size_t nnz = (size_t)masks->start[masks->n_rows];
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&start, m + 1, sizeof *start, err));
    SAE_GO(st, sae_mem_alloc(&at, m, sizeof *at, err));
    SAE_GO(st, sae_mem_alloc(&row, nnz, sizeof *row, err));
    for (size_t e = 0; e < nnz; e++)
        start[masks->idx[e] + 1]++;
    for (size_t j = 0; j < m; j++) {
        start[j + 1] += start[j];
        at[j] = start[j];
    }
    for (uint32_t t = 0; t < masks->n_rows; t++)
        for (uint64_t e = masks->start[t]; e < masks->start[t + 1]; e++)
            row[at[masks->idx[e]]++] = t;
    *ret_start = start;
    *ret_row = row;
    start = NULL;
    row = NULL;
done:
    free(start);
    free(at);
    free(row);
    return st;
}

struct coactivations {
    size_t n, cap, cap_jaccard;
    uint32_t *column;
    float *jaccard;
    uint32_t *count, *met; /* [m of b] of the latent in work, and which are not 0 */
};

/* Those of one latent, which fires on rows [n]. n_b: how often each latent of b does. */
static enum sae_status add_latent(struct coactivations *all, const uint32_t *rows, size_t n,
                                  const struct sae_masks *b, const size_t *start_b,
                                  struct sae_err *err)
{
    size_t n_met = 0;
    for (size_t k = 0; k < n; k++)
        for (uint64_t e = b->start[rows[k]]; e < b->start[rows[k] + 1]; e++)
            if (all->count[b->idx[e]]++ == 0)
                all->met[n_met++] = b->idx[e];
    SAE_TRY(sae_mem_grow(&all->column, &all->cap, all->n + n_met, sizeof *all->column, err));
    SAE_TRY(sae_mem_grow(&all->jaccard, &all->cap_jaccard, all->n + n_met, sizeof *all->jaccard, err));
    for (size_t k = 0; k < n_met; k++) {
        const uint32_t c = all->met[k];
        const double both = (double)all->count[c];
        const double either = (double)n + (double)(start_b[c + 1] - start_b[c]) - both;
        all->column[all->n] = c;
        all->jaccard[all->n++] = (float)(both / either);
        all->count[c] = 0;
    }
    return SAE_OK;
}

enum sae_status match_firing(size_t **ret_start, uint32_t **ret_column, float **ret_jaccard,
                             const struct sae_ckpt *a, const struct sae_ckpt *b, struct sae_err *err)
{
    size_t *start = NULL, *start_a = NULL, *start_b = NULL;
    uint32_t *row_a = NULL, *row_b = NULL;
    struct coactivations all = {0};
    enum sae_status st;
    *ret_start = NULL;
    if (!comparable(a, b))
        return SAE_OK;
    SAE_GO(st, by_latent(&start_a, &row_a, &a->heldout, a->model.m, err));
    SAE_GO(st, by_latent(&start_b, &row_b, &b->heldout, b->model.m, err));
    SAE_GO(st, sae_mem_alloc(&start, a->model.m + 1, sizeof *start, err));
    SAE_GO(st, sae_mem_alloc(&all.count, b->model.m, sizeof *all.count, err));
    SAE_GO(st, sae_mem_alloc(&all.met, b->model.m, sizeof *all.met, err));
    for (size_t j = 0; j < a->model.m; j++) {
        SAE_GO(st, add_latent(&all, row_a + start_a[j], start_a[j + 1] - start_a[j], &b->heldout,
                              start_b, err));
        start[j + 1] = all.n;
    }
    *ret_start = start;
    *ret_column = all.column;
    *ret_jaccard = all.jaccard;
    start = NULL;
    all.column = NULL;
    all.jaccard = NULL;
done:
    free(start);
    free(start_a);
    free(start_b);
    free(row_a);
    free(row_b);
    free(all.column);
    free(all.jaccard);
    free(all.count);
    free(all.met);
    return st;
}

static enum sae_status match_by_firing(struct sae_matching *ret, const struct sae_ckpt *a,
                                       const struct sae_ckpt *b, struct sae_err *err)
{
    size_t *start = NULL;
    uint32_t *column = NULL;
    float *jaccard = NULL;
    enum sae_status st = match_firing(&start, &column, &jaccard, a, b, err);
    ret->mean = NAN;
    if (st == SAE_OK && start)
        st = sae_match_sparse(ret, a->model.m, b->model.m, start, column, jaccard, err);
    free(start);
    free(column);
    free(jaccard);
    return st;
}

/* --- a pair --------------------------------------------------------------------------------- */

static double per_pair(size_t count, const struct sae_matching *of)
{
    return (double)count / (double)(of->n < of->m ? of->n : of->m);
}

static void count_shares(struct match_pair *pair, const struct match_settings *s)
{
    const struct sae_matching *const dec = &pair->of[MATCH_DECODER], *const enc = &pair->of[MATCH_ENCODER];
    size_t same = 0;
    for (int k = 0; k < MATCH_KINDS; k++)
        for (int level = 0; level < 2; level++) {
            const struct sae_matching *const of = &pair->of[k];
            size_t n = 0;
            for (size_t j = 0; of->partner && j < of->n; j++)
                n += of->partner[j] != SAE_MATCH_NONE &&
                     (double)of->similarity[j] >= s->shared[level] - 1e-6;
            pair->share[k][level] = of->partner ? per_pair(n, of) : NAN;
        }
    for (size_t j = 0; j < dec->n; j++)
        same += dec->partner[j] != SAE_MATCH_NONE && dec->partner[j] == enc->partner[j];
    pair->agree = per_pair(same, dec);
}

enum sae_status match_pair_make(struct match_pair *ret, const struct sae_ckpt *a,
                                const struct sae_ckpt *b, const struct sae_ops *ops,
                                const struct match_settings *s, struct sae_err *err)
{
    struct match_pair pair = {0};
    enum sae_status st;
    SAE_GO(st, match_rows(&pair.of[MATCH_DECODER], &a->model, &b->model, MATCH_DECODER, ops,
                          s->is_signed, err));
    SAE_GO(st, match_rows(&pair.of[MATCH_ENCODER], &a->model, &b->model, MATCH_ENCODER, ops,
                          s->is_signed, err));
    SAE_GO(st, match_by_firing(&pair.of[MATCH_FIRING], a, b, err));
    count_shares(&pair, s);
    *ret = pair;
    pair = (struct match_pair){0};
done:
    match_pair_clear(&pair);
    return st;
}

enum sae_status match_pair_turn(struct match_pair *ret, const struct match_pair *pair,
                                struct sae_err *err)
{
    struct match_pair turned = *pair;
    enum sae_status st = SAE_OK;
    for (int k = 0; k < MATCH_KINDS; k++)
        turned.of[k].partner = NULL, turned.of[k].similarity = NULL;
    for (int k = 0; k < MATCH_KINDS; k++) {
        const struct sae_matching *const from = &pair->of[k];
        struct sae_matching *const to = &turned.of[k];
        to->n = from->m;
        to->m = from->n;
        if (!from->partner)
            continue;
        SAE_GO(st, sae_mem_alloc(&to->partner, to->n, sizeof *to->partner, err));
        SAE_GO(st, sae_mem_alloc(&to->similarity, to->n, sizeof *to->similarity, err));
        for (size_t j = 0; j < to->n; j++)
            to->partner[j] = SAE_MATCH_NONE;
        for (uint32_t j = 0; j < from->n; j++)
            if (from->partner[j] != SAE_MATCH_NONE) {
                to->partner[from->partner[j]] = j;
                to->similarity[from->partner[j]] = from->similarity[j];
            }
    }
    *ret = turned;
    return SAE_OK;
done:
    match_pair_clear(&turned);
    return st;
}

void match_pair_clear(struct match_pair *pair)
{
    for (int k = 0; k < MATCH_KINDS; k++)
        sae_matching_clear(&pair->of[k]);
    *pair = (struct match_pair){0};
}
