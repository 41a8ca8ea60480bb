/* SPDX-License-Identifier: MIT */
/* truth : the ground-truth probe, 26 independent linear outputs on raw activations.
 *
 *   z_c  = w_c . a + b_c
 *   loss = 1/(B 26) sum_b sum_c -( pw_c y log s(z) + (1 - y) log(1 - s(z)) ),  pw_c = n_neg / n_pos
 *
 * Adam (beta .9, .999, eps 1e-8, L2-coupled weight decay 1e-4 on weights and biases), batches of
 * 64 in a fresh order each epoch, 50 epochs, learning rate 1e-2 (1e-3)^(epoch / 50).
 *
 * Contents:  1. the loss   2. words   3. training   4. judging */
#include <math.h>
#include <string.h>

#include "absorb/absorb.h"
#include "absorb/adam.h"
#include "absorb/cache.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "lib/eval/score.h"
#include "lib/file/cache.h"

/* --- 1. the loss -------------------------------------------------------------------------- */

double absorb_bce(size_t n, const float *z, const uint8_t *letter, const float *pos_weight,
                  float *dz)
{
    const float share = 1.0F / (float)(n * ABSORB_LETTERS);
    double loss = 0.0;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < ABSORB_LETTERS; c++) {
            const float v = z[i * ABSORB_LETTERS + c];
            const float e = expf(-fabsf(v)); /* both logarithms from one, without overflow */
            const float log1pe = log1pf(e);
            const float sigmoid = v >= 0.0F ? 1.0F / (1.0F + e) : e / (1.0F + e);
            const int is = letter[i] == c;
            const float weight = is ? pos_weight[c] : 1.0F;
            loss += weight * (log1pe + (is == (v < 0.0F) ? fabsf(v) : 0.0F));
            dz[i * ABSORB_LETTERS + c] = share * weight * (sigmoid - (float)is);
        }
    return loss * share;
}

void absorb_pos_weight(float pos_weight[ABSORB_LETTERS], const uint8_t *letter,
                       const uint32_t *rows, size_t n)
{
    size_t count[ABSORB_LETTERS] = {0};
    for (size_t i = 0; i < n; i++)
        count[letter[rows[i]]]++;
    for (size_t c = 0; c < ABSORB_LETTERS; c++)
        pos_weight[c] = count[c] ? (float)(n - count[c]) / (float)count[c] : 1.0F;
}

void absorb_probe_clear(struct absorb_probe *probe)
{
    free(probe->w);
    *probe = (struct absorb_probe){0};
}

/* --- 2. words ----------------------------------------------------------------------------- */

static enum sae_status list_words(struct absorb_truth *truth, const struct sae_words *words,
                                  struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&truth->train, words->n, sizeof *truth->train, err));
    SAE_TRY(sae_mem_alloc(&truth->test, words->n, sizeof *truth->test, err));
    size_t n_correct = 0;
    for (size_t i = 0; i < words->n; i++) {
        if (words->letter[i] >= ABSORB_LETTERS)
            return sae_err_set(err, SAE_EFORMAT, "word %zu has letter %u, expected 0 to 25", i,
                               words->letter[i]);
        n_correct += words->correct[i] != 0;
        if (words->split[i]) {
            truth->test[truth->n_test++] = (uint32_t)i;
            truth->n_test_of[words->letter[i]]++;
        } else {
            truth->train[truth->n_train++] = (uint32_t)i;
            truth->n_train_of[words->letter[i]]++;
        }
    }
    if (truth->n_train == 0 || truth->n_test == 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "the word set has %zu training and %zu test words; both are needed",
                           truth->n_train, truth->n_test);
    size_t n_letters = 0;
    for (int c = 0; c < ABSORB_LETTERS; c++)
        n_letters += truth->n_train_of[c] > 0;
    if (n_letters < 2)
        return sae_err_set(err, SAE_EFORMAT,
                           "all training words of the word set begin with one letter; a probe "
                           "tells letters apart, so at least two are needed");
    truth->correct = (double)n_correct / (double)words->n;
    return SAE_OK;
}

/* --- 3. training -------------------------------------------------------------------------- */

struct trainer {
    struct absorb_adam adam; /* parameters: w [26][d], then b [26] */
    uint32_t *order;
    float *x, *z, *dz; /* one batch */
    uint8_t *letter;
    float pos_weight[ABSORB_LETTERS];
};

static void trainer_clear(struct trainer *t)
{
    absorb_adam_clear(&t->adam);
    free(t->order);
    free(t->x);
    free(t->z);
    free(t->dz);
    free(t->letter);
}

static enum sae_status trainer_init(struct trainer *t, const struct absorb_truth *truth,
                                    const struct sae_words *words, const struct absorb_settings *s,
                                    struct sae_err *err)
{
    const size_t d = words->d, batch = s->truth_batch;
    *t = (struct trainer){0};
    SAE_TRY(absorb_adam_init(&t->adam, (d + 1) * ABSORB_LETTERS, 1.0 / sqrt((double)d), s->seed,
                             ABSORB_DRAW_TRUTH_INIT, err));
    SAE_TRY(sae_mem_alloc(&t->order, truth->n_train, sizeof *t->order, err));
    SAE_TRY(sae_mem_alloc(&t->x, batch * d, sizeof *t->x, err));
    SAE_TRY(sae_mem_alloc(&t->z, batch * ABSORB_LETTERS, sizeof *t->z, err));
    SAE_TRY(sae_mem_alloc(&t->dz, batch * ABSORB_LETTERS, sizeof *t->dz, err));
    SAE_TRY(sae_mem_alloc(&t->letter, batch, sizeof *t->letter, err));
    memcpy(t->order, truth->train, truth->n_train * sizeof *t->order);
    absorb_pos_weight(t->pos_weight, words->letter, truth->train, truth->n_train);
    return SAE_OK;
}

static void add_bias(float *z, size_t n, const float *b)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < ABSORB_LETTERS; c++)
            z[i * ABSORB_LETTERS + c] += b[c];
}

static double train_batch(struct trainer *t, const struct sae_words *words, const uint32_t *rows,
                          size_t n, double lr, const struct sae_ops *ops)
{
    const size_t d = words->d;
    float *const w = t->adam.param, *const b = w + ABSORB_LETTERS * d;
    float *const dw = t->adam.grad, *const db = dw + ABSORB_LETTERS * d;
    for (size_t i = 0; i < n; i++) {
        memcpy(t->x + i * d, words->probe + rows[i] * d, d * sizeof *t->x);
        t->letter[i] = words->letter[rows[i]];
    }
    ops->gemm(false, true, n, ABSORB_LETTERS, d, 1.0F, t->x, d, w, d, 0.0F, t->z, ABSORB_LETTERS);
    add_bias(t->z, n, b);
    const double loss = absorb_bce(n, t->z, t->letter, t->pos_weight, t->dz);
    ops->gemm(true, false, ABSORB_LETTERS, d, n, 1.0F, t->dz, ABSORB_LETTERS, t->x, d, 0.0F, dw, d);
    memset(db, 0, ABSORB_LETTERS * sizeof *db);
    add_bias(db, 1, t->dz);
    for (size_t i = 1; i < n; i++)
        add_bias(db, 1, t->dz + i * ABSORB_LETTERS);
    absorb_adam_step(&t->adam, lr, 1e-4, ops);
    return loss;
}

static enum sae_status train(struct absorb_truth *truth, const struct sae_words *words,
                             const struct sae_ops *ops, const struct absorb_settings *s,
                             struct sae_err *err)
{
    struct trainer t;
    struct sae_progress bar;
    struct sae_rng rng = absorb_draws(s->seed, ABSORB_DRAW_TRUTH_ORDER);
    const size_t d = words->d;
    enum sae_status st;
    SAE_GO(st, trainer_init(&t, truth, words, s, err));
    sae_progress_begin(&bar, "ground-truth probe", "epochs", 0, s->truth_epochs);
    for (size_t epoch = 0; epoch < s->truth_epochs && st == SAE_OK; epoch++) {
        const double lr = absorb_rate(epoch, s->truth_epochs);
        sae_rng_shuffle_u32(&rng, t.order, truth->n_train);
        for (size_t at = 0; at < truth->n_train; at += s->truth_batch) {
            const size_t left = truth->n_train - at;
            train_batch(&t, words, t.order + at, left < s->truth_batch ? left : s->truth_batch, lr,
                        ops);
        }
        if (sae_stop_asked())
            st = sae_err_set(err, SAE_EINTR, "stopped while training the ground-truth probe");
        sae_progress_step(&bar, epoch + 1, NULL);
    }
    sae_progress_end(&bar);
    if (st != SAE_OK)
        goto done;
    SAE_GO(st, sae_mem_alloc(&truth->probe.w, ABSORB_LETTERS * d, sizeof *truth->probe.w, err));
    memcpy(truth->probe.w, t.adam.param, ABSORB_LETTERS * d * sizeof *truth->probe.w);
    memcpy(truth->probe.b, t.adam.param + ABSORB_LETTERS * d, sizeof truth->probe.b);
    truth->probe.width = d;
done:
    trainer_clear(&t);
    return st;
}

/* --- 4. judging --------------------------------------------------------------------------- */

/* Logits of the test words, and F1 of each letter among them. */
static enum sae_status judge(struct absorb_truth *truth, const struct sae_words *words,
                             struct sae_err *err)
{
    const size_t n = truth->n_test, d = words->d;
    double *score = NULL;
    uint8_t *label = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&truth->test_logit, n * ABSORB_LETTERS, sizeof(float), err));
    SAE_GO(st, sae_mem_alloc(&score, n, sizeof *score, err));
    SAE_GO(st, sae_mem_alloc(&label, n, sizeof *label, err));
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        const float *const w = truth->probe.w + c * d;
        for (size_t i = 0; i < n; i++) {
            const float *const a = words->probe + truth->test[i] * d;
            double z = truth->probe.b[c];
            for (size_t j = 0; j < d; j++)
                z += (double)w[j] * a[j];
            score[i] = z;
            truth->test_logit[i * ABSORB_LETTERS + c] = (float)z;
            label[i] = words->letter[truth->test[i]] == c;
        }
        truth->f1[c] = truth->n_train_of[c] && truth->n_test_of[c]
                           ? sae_score_decide(score, label, n).f1
                           : NAN;
    }
done:
    free(score);
    free(label);
    return st;
}

/* From the cache, or by training; a folder that cannot be written costs a later run. */
static enum sae_status find_probe(struct absorb_truth *truth, const struct sae_words *words,
                                  const char *cache, const struct sae_ops *ops,
                                  const struct absorb_settings *settings, struct sae_err *err)
{
    bool found = false;
    struct sae_err why;
    if (cache)
        SAE_TRY(absorb_cache_load(&truth->probe, &found, cache, words, err));
    if (found)
        return SAE_OK;
    SAE_TRY(train(truth, words, ops, settings, err));
    return !cache ? SAE_OK
                        : sae_cache_wrote(absorb_cache_save(cache, &truth->probe, &why), &why, err);
}

enum sae_status absorb_truth_make(struct absorb_truth *ret, const struct sae_words *words,
                                  const char *cache, const struct sae_ops *ops,
                                  const struct absorb_settings *settings, struct sae_err *err)
{
    struct absorb_truth truth = {0};
    enum sae_status st;
    SAE_GO(st, list_words(&truth, words, err));
    SAE_GO(st, find_probe(&truth, words, cache, ops, settings, err));
    SAE_GO(st, judge(&truth, words, err));
    *ret = truth;
    return SAE_OK;
done:
    absorb_truth_clear(&truth);
    return st;
}

void absorb_truth_clear(struct absorb_truth *truth)
{
    free(truth->train);
    free(truth->test);
    free(truth->test_logit);
    absorb_probe_clear(&truth->probe);
    *truth = (struct absorb_truth){0};
}
