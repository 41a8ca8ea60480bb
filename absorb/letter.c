/* SPDX-License-Identifier: MIT */
/* letter : the words of each letter tested, and means over letters.
 *
 * A letter's words are the test words that begin with it and whose ground-truth logit is > 0: the
 * true positives. Their activations come from fresh prompts (/eval), so that the probe has not
 * been chosen on them. Version A tests fewer words: those that the k-sparse probe misses on the
 * first prompts and whose split latents are silent on the fresh ones.
 *
 * Contents:  1. cosines   2. one letter   3. all letters   4. means   5. a checkpoint */
#include <math.h>
#include <string.h>

#include "absorb/absorb.h"
#include "absorb/partial.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/eval/codes.h"
#include "lib/eval/score.h"

/* --- 1. cosines --------------------------------------------------------------------------- */

static double dot(const float *a, const float *b, size_t n)
{
    double s = 0.0;
    for (size_t i = 0; i < n; i++)
        s += (double)a[i] * b[i];
    return s;
}

/* SAEBench's for weights in bf16; a row of zeros belongs to a latent that decodes to nothing. */
#define NORM_TOLERANCE 1e-2

/* Projections assume unit decoder rows, so anything else would silently scale the result. */
static enum sae_status check_decoder(const struct sae_ckpt *ckpt, struct sae_err *err)
{
    const struct sae_model *const m = &ckpt->model;
    for (size_t i = 0; i < m->m; i++) {
        const double norm = sqrt(dot(m->W_dec + i * m->d, m->W_dec + i * m->d, m->d));
        if (norm != 0.0 && !(fabs(norm - 1.0) <= NORM_TOLERANCE))
            return sae_err_set(err, SAE_EFORMAT,
                               "cannot test '%s' for absorption: decoder row %zu has norm %.6g, "
                               "expected 1 (within %g), or 0. The norms of a top-k SAE cannot be "
                               "folded into its encoder: that would choose other latents",
                               ckpt->path, i, norm, NORM_TOLERANCE);
    }
    return SAE_OK;
}

static void cosines(double *cos, const struct sae_model *model, const float *direction, double norm)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < model->m; i++) {
        const float *const row = model->W_dec + i * model->d;
        const double length = sqrt(dot(row, row, model->d));
        cos[i] = length > 0.0 ? dot(row, direction, model->d) / (length * norm) : 0.0;
    }
}

/* --- 2. one letter ------------------------------------------------------------------------ */

static double entry(const struct sae_csr *x, size_t row, uint32_t column)
{
    for (size_t e = x->start[row]; e < x->start[row + 1]; e++)
        if (x->idx[e] == column)
            return x->val[e];
    return 0.0;
}

/* Score of the k-sparse probe on the word's first prompt. */
static double sparse_score(const struct absorb_split *split, const struct sae_csr *test_x,
                           size_t row)
{
    double score = split->b;
    for (size_t k = 0; k < split->n; k++)
        score += split->w[k] * entry(test_x, row, split->latent[k]);
    return score;
}

static void finish(struct absorb_letter *letter, double sum_b, double sum_c, double probe_f1,
                   double min_probe_f1)
{
    const double n = (double)letter->n_true_positives;
    const bool some = letter->n_true_positives > 0;
    letter->full_rate = some ? (double)letter->n_full / n : NAN;
    letter->fraction_b = some ? sum_b / n : NAN;
    letter->fraction_c = some ? sum_c / n : NAN;
    letter->rate_a = some ? (double)letter->n_absorbed_a / n : NAN;
    letter->in_a = letter->n_candidates_a > 0;
    letter->in_d = some && probe_f1 > min_probe_f1;
}

static void test_letter(struct absorb_letter *ret, size_t c, const double *cos, double norm,
                        const struct absorb_split *split, const struct sae_csr *test_x,
                        const struct sae_csr *eval_x, const struct sae_words *words,
                        const struct absorb_truth *truth, double min_probe_f1)
{
    struct absorb_letter letter = {.n_split = split->n};
    const float *const direction = truth->probe.w + c * words->d;
    double sum_b = 0.0, sum_c = 0.0;
    for (size_t i = 0; i < truth->n_test && split->n; i++) {
        const size_t word = truth->test[i];
        if (words->letter[word] != c || !(truth->test_logit[i * ABSORB_LETTERS + c] > 0.0F))
            continue;
        const double P = dot(words->eval + word * words->d, direction, words->d) / norm;
        const size_t first = eval_x->start[i];
        const struct absorb_word w =
            absorb_word_test(eval_x->idx + first, eval_x->val + first, eval_x->start[i + 1] - first,
                             cos, split->latent, split->n, P);
        letter.n_true_positives++;
        letter.n_full += w.full;
        sum_b += w.fraction_b;
        sum_c += w.fraction_c;
        if (sparse_score(split, test_x, i) <= 0.0 && w.main_sum < ABSORB_SILENT) {
            letter.n_candidates_a++;
            letter.n_absorbed_a += w.full;
        }
    }
    finish(&letter, sum_b, sum_c, truth->f1[c], min_probe_f1);
    *ret = letter;
}

/* --- 3. all letters ----------------------------------------------------------------------- */

enum sae_status absorb_letters_make(struct absorb_letter letter[ABSORB_LETTERS],
                                    const struct absorb_split *split, const struct sae_csr *test_x,
                                    const struct sae_csr *eval_x, const struct sae_words *words,
                                    const struct absorb_truth *truth, const struct sae_model *model,
                                    const struct absorb_settings *settings, struct sae_err *err)
{
    double *cos = NULL;
    SAE_TRY(sae_mem_alloc(&cos, model->m, sizeof *cos, err));
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        const float *const direction = truth->probe.w + c * words->d;
        const double norm = sqrt(dot(direction, direction, words->d));
        cosines(cos, model, direction, norm);
        test_letter(&letter[c], c, cos, norm, &split[c], test_x, eval_x, words, truth,
                    settings->min_probe_f1);
    }
    free(cos);
    return SAE_OK;
}

/* --- 4. means ----------------------------------------------------------------------------- */

static bool counts(const struct absorb_letter *letter, enum absorb_version version)
{
    if (letter->n_true_positives == 0)
        return false;
    return version == ABSORB_A ? letter->in_a : version == ABSORB_D ? letter->in_d : true;
}

struct absorb_mean absorb_mean_of(const struct absorb_letter letter[ABSORB_LETTERS],
                                  enum absorb_version version, size_t min_letters)
{
    double rate[ABSORB_LETTERS], fraction[ABSORB_LETTERS], n_split[ABSORB_LETTERS];
    size_t n = 0;
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        if (!counts(&letter[c], version))
            continue;
        rate[n] = version == ABSORB_A ? letter[c].rate_a : letter[c].full_rate;
        fraction[n] = version == ABSORB_A   ? NAN
                      : version == ABSORB_B ? letter[c].fraction_b
                                            : letter[c].fraction_c;
        n_split[n++] = (double)letter[c].n_split;
    }
    if (version == ABSORB_D && n < min_letters)
        return (struct absorb_mean){n, NAN, NAN, NAN, NAN, NAN, NAN};
    const struct sae_score_mean r = sae_score_mean_of(rate, n, 1),
                                f = sae_score_mean_of(fraction, n, 1),
                                k = sae_score_mean_of(n_split, n, 1);
    return (struct absorb_mean){n, r.mean, r.sd, f.mean, f.sd, k.mean, k.sd};
}

/* --- 5. a checkpoint ---------------------------------------------------------------------- */

/* Latents of chosen words; each word is encoded once for everything that follows. */
static enum sae_status encode(struct sae_csr *ret, struct sae_coder *coder, const float *x,
                              const uint32_t *rows, size_t n, size_t d, size_t batch,
                              struct sae_err *err)
{
    SAE_TRY(sae_codes_init(ret, n, err));
    return sae_codes_encode(ret, coder, x, rows, n, d, batch, err);
}

/* The latents that carry each letter, as far as the partial work lacks them. */
static enum sae_status find_splits(struct absorb_partial *partial, const struct sae_csr *train_x,
                                   const struct sae_csr *test_x, size_t m,
                                   const struct sae_words *words, const struct absorb_truth *truth,
                                   const struct sae_ops *ops, const struct absorb_settings *s,
                                   struct sae_err *err)
{
    struct absorb_probe probe = {0};
    if (!partial->ranked) {
        SAE_TRY(absorb_sparse_train(&probe, train_x, m, words->letter, truth->train, truth->n_train,
                                    ops, s, err));
        absorb_rank(partial, &probe);
        absorb_probe_clear(&probe);
    }
    return absorb_splits_make(partial, train_x, test_x, m, words, truth, s, err);
}

static enum sae_status take_up(struct absorb_partial *partial, const struct sae_ckpt *ckpt,
                               const struct sae_words *words, const struct absorb_settings *s,
                               struct sae_err *err)
{
    size_t n = 0;
    partial->max_k = s->max_k < ckpt->model.m ? s->max_k : ckpt->model.m;
    partial->saved = sae_stop_clock();
    absorb_partial_key(partial->key, ckpt, words, s);
    SAE_TRY(absorb_partial_load(partial, &n, err));
    if (partial->ranked)
        sae_log_info("continuing '%s': %zu letters are done", ckpt->path, n);
    return SAE_OK;
}

enum sae_status absorb_run(struct absorb_letters *ret, const struct sae_ckpt *ckpt,
                           const struct sae_words *words, const struct absorb_truth *truth,
                           const char *partial_path, const struct sae_ops *ops,
                           const struct absorb_settings *s, struct sae_err *err)
{
    const struct sae_model *const model = &ckpt->model;
    const size_t d = model->d, batch = s->encode_batch;
    struct sae_coder *coder = NULL;
    struct sae_csr train_x = {0}, test_x = {0}, eval_x = {0};
    struct absorb_partial partial = {.path = partial_path};
    struct absorb_letters letters = {0};
    enum sae_status st;
    SAE_GO(st, check_decoder(ckpt, err));
    SAE_GO(st, take_up(&partial, ckpt, words, s, err));
    SAE_GO(st, sae_coder_open(&coder, model, ops, batch, err));
    SAE_GO(st, encode(&train_x, coder, words->probe, truth->train, truth->n_train, d, batch, err));
    SAE_GO(st, encode(&test_x, coder, words->probe, truth->test, truth->n_test, d, batch, err));
    SAE_GO(st, encode(&eval_x, coder, words->eval, truth->test, truth->n_test, d, batch, err));
    /* small, and from the host's arrays */
    const struct sae_ops *const host = ops->host ? ops : &sae_ops_cpu;
    SAE_GO(st, find_splits(&partial, &train_x, &test_x, model->m, words, truth, host, s, err));
    memcpy(letters.split, partial.split, sizeof letters.split);
    SAE_GO(st, absorb_letters_make(letters.letter, letters.split, &test_x, &eval_x, words, truth,
                                   model, s, err));
    *ret = letters;
done:
    sae_codes_clear(&train_x);
    sae_codes_clear(&test_x);
    sae_codes_clear(&eval_x);
    sae_coder_close(coder);
    return st;
}
