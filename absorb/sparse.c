/* SPDX-License-Identifier: MIT */
/* sparse : which latents carry a letter.
 *
 * An L1-penalised probe ranks them:  loss = BCE (as in truth.c) + l1 mean over c of sum_i |w_ic|,
 * Adam 1e-2 -> 1e-5 over 50 epochs, weight decay 1e-6. Its k largest signed weights of a letter
 * are the candidates; a logistic regression with balanced classes on them gives F1_k on the test
 * words; k grows from 1 while F1 rises by more than the jump threshold.
 *
 * Latents stay sparse throughout: row b adds val_e W[idx_e] to its 26 logits, and its gradient
 * goes back the same way. Weights are latent-major in lanes of 32 (26 letters, 6 idle zeros), so
 * an entry touches two whole vectors. Threads share the logits by rows and the gradient by halves
 * of the lanes: every sum has one owner and one order, whatever their number.
 *
 * Contents:  1. the L1 probe   2. splits of a letter   3. of all letters */
#include <math.h>
#include <string.h>

#include "absorb/absorb.h"
#include "absorb/adam.h"
#include "absorb/partial.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "lib/eval/codes.h"
#include "lib/eval/logit.h"
#include "lib/eval/score.h"
#include "lib/math/clones.h"

enum { C = ABSORB_LETTERS, LANES = 32, HALF = 16 };

size_t absorb_auto_batch(size_t n_train)
{
    const size_t twentieth = (n_train + 19) / 20;
    return twentieth > 4096 ? 4096 : twentieth ? twentieth : 1;
}

/* --- 1. the L1 probe ---------------------------------------------------------------------- */

struct trainer {
    struct absorb_adam adam; /* w [m][LANES], then b [LANES] */
    uint32_t *order;
    float *z, *dz; /* [batch][26] */
    uint8_t *letter;
    float pos_weight[C];
};

static void trainer_clear(struct trainer *t)
{
    absorb_adam_clear(&t->adam);
    free(t->order);
    free(t->z);
    free(t->dz);
    free(t->letter);
}

static enum sae_status trainer_init(struct trainer *t, size_t m, size_t n,
                                    const struct absorb_settings *s, struct sae_err *err)
{
    *t = (struct trainer){0};
    SAE_TRY(absorb_adam_init(&t->adam, (m + 1) * LANES, 1.0 / sqrt((double)m), s->seed,
                             ABSORB_DRAW_SPARSE_INIT, err));
    for (size_t i = 0; i <= m; i++)
        memset(t->adam.param + i * LANES + C, 0, (LANES - C) * sizeof *t->adam.param);
    SAE_TRY(sae_mem_alloc(&t->order, n, sizeof *t->order, err));
    SAE_TRY(sae_mem_alloc(&t->z, s->sparse_batch * C, sizeof *t->z, err));
    SAE_TRY(sae_mem_alloc(&t->dz, s->sparse_batch * C, sizeof *t->dz, err));
    return sae_mem_alloc(&t->letter, s->sparse_batch, sizeof *t->letter, err);
}

/* Logits of one row. Its loops over lanes are elementwise: the width of the vectors changes no digit. */
SAE_CLONES static void forward_row(float *z, const uint32_t *idx, const float *val, size_t n,
                                   const float *w, const float *b)
{
    float sum[LANES];
    memcpy(sum, b, sizeof sum);
    for (size_t e = 0; e < n; e++) {
        const float v = val[e], *const we = w + (size_t)idx[e] * LANES;
#pragma omp simd
        for (size_t c = 0; c < LANES; c++)
            sum[c] += v * we[c];
    }
    memcpy(z, sum, C * sizeof *z);
}

/* Half of the lanes of the gradient of one row: dw[idx_e] += val_e dz. */
SAE_CLONES static void backward_row(float *dw, const uint32_t *idx, const float *val, size_t n,
                                    const float *dz)
{
    for (size_t e = 0; e < n; e++) {
        const float v = val[e];
        float *const we = dw + (size_t)idx[e] * LANES;
#pragma omp simd
        for (size_t c = 0; c < HALF; c++)
            we[c] += v * dz[c];
    }
}

/* Below this many entries a batch is done before other threads have woken. */
static bool is_large(const struct sae_csr *x, size_t n)
{
    return (x->start[x->n] / (x->n ? x->n : 1)) * n > 100000;
}

static void forward(float *z, const struct sae_csr *x, const uint32_t *order, size_t n,
                    const float *w, const float *b)
{
#pragma omp parallel for schedule(static) if (is_large(x, n))
    for (size_t i = 0; i < n; i++) {
        const size_t first = x->start[order[i]], last = x->start[order[i] + 1];
        forward_row(z + i * C, x->idx + first, x->val + first, last - first, w, b);
    }
}

/* Adds the gradient of the loss to dw [m][LANES] and db [LANES]. */
static void backward(float *dw, float *db, const struct sae_csr *x, const uint32_t *order, size_t n,
                     const float *dz)
{
#pragma omp parallel for schedule(static, 1) if (is_large(x, n))
    for (size_t half = 0; half < LANES / HALF; half++)
        for (size_t i = 0; i < n; i++) {
            const size_t first = x->start[order[i]], last = x->start[order[i] + 1];
            const size_t from = half * HALF, lanes = half ? C - HALF : HALF;
            float di[HALF] = {0};
            memcpy(di, dz + i * C + from, lanes * sizeof *di);
            for (size_t c = 0; c < HALF; c++)
                db[from + c] += di[c];
            backward_row(dw + from, x->idx + first, x->val + first, last - first, di);
        }
}

static void train_batch(struct trainer *t, const struct sae_csr *x, size_t m, const uint8_t *letter,
                        const uint32_t *rows, const uint32_t *order, size_t n, double lr, double l1,
                        const struct sae_ops *ops)
{
    float *const w = t->adam.param, *const dw = t->adam.grad;
    for (size_t i = 0; i < n; i++)
        t->letter[i] = letter[rows[order[i]]];
    forward(t->z, x, order, n, w, w + m * LANES);
    absorb_bce(n, t->z, t->letter, t->pos_weight, t->dz);
    /* the L1 term starts the gradient: l1 / 26 sign(w), nothing at 0; the bias has none */
    const float shrink = (float)(l1 / C);
    for (size_t i = 0; i < m * LANES; i++)
        dw[i] = shrink * (float)((w[i] > 0.0F) - (w[i] < 0.0F));
    memset(dw + m * LANES, 0, LANES * sizeof *dw);
    backward(dw, dw + m * LANES, x, order, n, t->dz);
    absorb_adam_step(&t->adam, lr, 1e-6, ops);
}

enum sae_status absorb_sparse_train(struct absorb_probe *ret, const struct sae_csr *x, size_t m,
                                    const uint8_t *letter, const uint32_t *rows, size_t n,
                                    const struct sae_ops *ops, const struct absorb_settings *s,
                                    struct sae_err *err)
{
    struct trainer t;
    struct sae_progress bar;
    struct sae_rng rng = absorb_draws(s->seed, ABSORB_DRAW_SPARSE_ORDER);
    enum sae_status st;
    SAE_GO(st, trainer_init(&t, m, n, s, err));
    absorb_pos_weight(t.pos_weight, letter, rows, n);
    for (size_t i = 0; i < n; i++)
        t.order[i] = (uint32_t)i;
    sae_progress_begin(&bar, "L1 probe", "epochs", 0, s->sparse_epochs);
    for (size_t epoch = 0; epoch < s->sparse_epochs && st == SAE_OK; epoch++) {
        const double lr = absorb_rate(epoch, s->sparse_epochs);
        sae_rng_shuffle_u32(&rng, t.order, n);
        for (size_t at = 0; at < n; at += s->sparse_batch) {
            const size_t left = n - at, now = left < s->sparse_batch ? left : s->sparse_batch;
            train_batch(&t, x, m, letter, rows, t.order + at, now, lr, s->l1_decay, ops);
        }
        if (sae_stop_asked())
            st = sae_err_set(err, SAE_EINTR, "stopped while training the L1 probe");
        sae_progress_step(&bar, epoch + 1, NULL);
    }
    sae_progress_end(&bar);
    if (st != SAE_OK)
        goto done;
    struct absorb_probe made = {.width = m};
    SAE_GO(st, sae_mem_alloc(&made.w, m * C, sizeof *made.w, err));
    for (size_t i = 0; i < m; i++)
        memcpy(made.w + i * C, t.adam.param + i * LANES, C * sizeof *made.w);
    memcpy(made.b, t.adam.param + m * LANES, sizeof made.b);
    *ret = made;
done:
    trainer_clear(&t);
    return st;
}

/* --- 2. splits of a letter ---------------------------------------------------------------- */

size_t absorb_split_count(const double *f1, size_t n, double f1_jump)
{
    double best = -100.0;
    size_t k = 0;
    while (k < n && f1[k] > best + f1_jump)
        best = f1[k++];
    return k;
}

/* The n largest signed weights of letter c; equal weights: lower latent first. */
static void top_latents(uint32_t *ret, size_t n, const struct absorb_probe *probe, size_t c)
{
    for (size_t k = 0; k < n; k++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < probe->width; i++) {
            bool taken = false;
            for (size_t j = 0; j < k && !taken; j++)
                taken = ret[j] == i;
            if (!taken && (best == SIZE_MAX || probe->w[i * C + c] > probe->w[best * C + c]))
                best = i;
        }
        ret[k] = (uint32_t)best;
    }
}

struct columns {
    uint32_t *rows;
    float *train, *test; /* [n][max_k] of one letter's candidates */
    uint8_t *train_is, *test_is;
    double *score;
};

static void columns_clear(struct columns *columns)
{
    free(columns->rows);
    free(columns->train);
    free(columns->test);
    free(columns->train_is);
    free(columns->test_is);
    free(columns->score);
}

static enum sae_status columns_init(struct columns *to, const struct absorb_truth *truth,
                                    size_t max_k, struct sae_err *err)
{
    const size_t n_train = truth->n_train, n_test = truth->n_test;
    const size_t n = n_train > n_test ? n_train : n_test;
    SAE_TRY(sae_mem_alloc(&to->rows, n, sizeof *to->rows, err));
    for (size_t i = 0; i < n; i++)
        to->rows[i] = (uint32_t)i;
    SAE_TRY(sae_mem_alloc(&to->train, n_train * max_k, sizeof *to->train, err));
    SAE_TRY(sae_mem_alloc(&to->test, n_test * max_k, sizeof *to->test, err));
    SAE_TRY(sae_mem_alloc(&to->train_is, n_train, 1, err));
    SAE_TRY(sae_mem_alloc(&to->test_is, n_test, 1, err));
    return sae_mem_alloc(&to->score, n_test, sizeof *to->score, err);
}

/* Fits k = 1, 2, ... until one more latent no longer pays. */
static enum sae_status grow_split(struct absorb_split *split, const struct columns *at,
                                  size_t max_k, const struct absorb_truth *truth, double f1_jump,
                                  struct sae_err *err)
{
    const struct sae_logit_settings how = {.C = 1.0, .eps = SAE_LOGIT_EPS_EXACT, .balanced = true};
    for (size_t k = 1; k <= max_k; k++) {
        double w[ABSORB_MAX_K], b;
        SAE_TRY(
            sae_logit_dense(w, &b, at->train, max_k, truth->n_train, k, at->train_is, &how, err));
        for (size_t i = 0; i < truth->n_test; i++) {
            at->score[i] = b;
            for (size_t j = 0; j < k; j++)
                at->score[i] += w[j] * at->test[i * max_k + j];
        }
        split->f1[k - 1] = sae_score_decide(at->score, at->test_is, truth->n_test).f1;
        split->n_tried = k;
        if (absorb_split_count(split->f1, k, f1_jump) < k)
            break;
        split->n = k;
        memcpy(split->w, w, k * sizeof *w);
        split->b = b;
    }
    return SAE_OK;
}

static enum sae_status split_letter(struct absorb_partial *partial, size_t c,
                                    const struct sae_csr *train_x, const struct sae_csr *test_x,
                                    size_t m, const struct sae_words *words,
                                    const struct absorb_truth *truth,
                                    const struct absorb_settings *s, struct sae_err *err)
{
    struct absorb_split split = {0};
    struct columns at = {0};
    const size_t max_k = partial->max_k;
    enum sae_status st;
    SAE_GO(st, columns_init(&at, truth, max_k, err));
    for (size_t i = 0; i < truth->n_train; i++)
        at.train_is[i] = words->letter[truth->train[i]] == c;
    for (size_t i = 0; i < truth->n_test; i++)
        at.test_is[i] = words->letter[truth->test[i]] == c;
    memcpy(split.latent, partial->ranking[c], max_k * sizeof *split.latent);
    SAE_GO(st, sae_codes_columns(train_x, m, at.rows, truth->n_train, split.latent,
                                 max_k, at.train, err));
    SAE_GO(st, sae_codes_columns(test_x, m, at.rows, truth->n_test, split.latent, max_k, at.test,
                                 err));
    SAE_GO(st, grow_split(&split, &at, max_k, truth, s->f1_jump, err));
    partial->split[c] = split;
done:
    columns_clear(&at);
    return st;
}

/* --- 3. of all letters -------------------------------------------------------------------- */

#define SAVE_EVERY 10.0 /* seconds */

void absorb_rank(struct absorb_partial *partial, const struct absorb_probe *probe)
{
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < C; c++)
        top_latents(partial->ranking[c], partial->max_k, probe, c);
    partial->ranked = true;
}

/* Letters take their splits side by side; each writes its own and none waits for another. */
static enum sae_status next_letter(struct absorb_partial *partial, size_t c,
                                   const struct sae_csr *train_x, const struct sae_csr *test_x,
                                   size_t m, const struct sae_words *words,
                                   const struct absorb_truth *truth,
                                   const struct absorb_settings *settings, struct sae_err *err)
{
    const size_t n_of = truth->n_train_of[c];
    if (partial->done[c])
        return SAE_OK;
    if (sae_stop_asked())
        return sae_err_set(err, SAE_EINTR, "stopped while fitting k-sparse probes");
    if (n_of != 0 && n_of != truth->n_train && truth->n_test_of[c] != 0)
        SAE_TRY(split_letter(partial, c, train_x, test_x, m, words, truth, settings, err));
    enum sae_status st = SAE_OK;
#pragma omp critical(absorb_partial)
    {
        partial->done[c] = true;
        if (partial->path != NULL && sae_stop_clock() - partial->saved > SAVE_EVERY)
            st = absorb_partial_save(partial, err);
    }
    return st;
}

enum sae_status absorb_splits_make(struct absorb_partial *partial, const struct sae_csr *train_x,
                                   const struct sae_csr *test_x, size_t m,
                                   const struct sae_words *words, const struct absorb_truth *truth,
                                   const struct absorb_settings *settings, struct sae_err *err)
{
    enum sae_status status[C] = {SAE_OK};
    struct sae_err errs[C];
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t c = 0; c < C; c++)
        status[c] =
            next_letter(partial, c, train_x, test_x, m, words, truth, settings, &errs[c]);
    for (size_t c = 0; c < C; c++)
        if (status[c] != SAE_OK && status[c] != SAE_EINTR)
            return sae_err_set(err, status[c], "letter %c: %s", 'a' + (int)c, errs[c].msg);
    for (size_t c = 0; c < C; c++) {
        if (status[c] != SAE_EINTR)
            continue;
        if (partial->path != NULL)
            SAE_TRY(absorb_partial_save(partial, err));
        return sae_err_set(err, SAE_EINTR, "%s", errs[c].msg);
    }
    return SAE_OK;
}
