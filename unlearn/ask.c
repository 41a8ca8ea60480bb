/* SPDX-License-Identifier: MIT */
/* ask : what the language model thinks of each choice, its stream untouched or edited.
 *
 * Sequences of about equal length go through together, padded on the right, where the causal
 * model cannot see it. Scores are logarithms of probabilities:
 *   letters   of choice i: the larger of log p("A" + i) and log p(" " + "A" + i) after the prompt
 *   cloze     the mean over a choice's tokens of log p(token | all before it) */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "unlearn/unlearn.h"

#define LOGIT_BYTES ((size_t)64 << 20)

struct unlearn_model {
    const struct sae_lm_config *config;
    const struct unlearn_speech *speech;
    struct sae_lm_run *run;
    struct sae_hook hook, stream; /* stream: beside the hook, where that is of a branch */
    bool branch;
    size_t n_max, chunk; /* tokens of a batch; rows of logits at a time */
    size_t width;        /* of the hook */
    uint32_t *ids;       /* [n_max] */
    float *x, *beside;   /* [n_max][width], [n_max][D] */
    float *logits;       /* [chunk][V] */
    double *whole;       /* [chunk] log-sum-exp of each */
    size_t *rows;        /* [n_max] rows of the batch whose logits are wanted */
    size_t *order;       /* scratch of one call */
};

enum sae_status unlearn_model_open(struct unlearn_model **ret, const struct sae_lm *lm,
                                   const struct unlearn_speech *speech, struct sae_hook hook,
                                   size_t batch, struct sae_err *err)
{
    struct unlearn_model *m = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&m, 1, sizeof *m, err));
    m->config = sae_lm_config(lm);
    m->speech = speech;
    m->hook = hook;
    m->branch = sae_lm_beside(&m->stream, hook);
    m->width = sae_lm_width(m->config, hook.point);
    const size_t T = m->config->max_context < 4096 ? m->config->max_context : 4096;
    m->n_max = batch > T ? batch : T;
    m->chunk = LOGIT_BYTES / (m->config->V * sizeof(float));
    m->chunk = m->chunk < 1 ? 1 : m->chunk;
    SAE_GO(st, sae_lm_run_open(&m->run, lm, m->n_max, T, err));
    SAE_GO(st, sae_mem_alloc(&m->ids, m->n_max, sizeof *m->ids, err));
    SAE_GO(st, sae_mem_alloc(&m->x, m->n_max, m->width * sizeof *m->x, err));
    if (m->branch)
        SAE_GO(st, sae_mem_alloc(&m->beside, m->n_max, m->config->D * sizeof *m->beside, err));
    SAE_GO(st, sae_mem_alloc(&m->logits, m->chunk, m->config->V * sizeof *m->logits, err));
    SAE_GO(st, sae_mem_alloc(&m->whole, m->chunk, sizeof *m->whole, err));
    SAE_GO(st, sae_mem_alloc(&m->rows, m->n_max, sizeof *m->rows, err));
    *ret = m;
    m = NULL;
done:
    unlearn_model_close(m);
    return st;
}

size_t unlearn_model_floats(const struct unlearn_model *m)
{
    return m->width + (m->branch ? m->config->D : 0);
}

void unlearn_model_close(struct unlearn_model *m)
{
    if (m == NULL)
        return;
    sae_lm_run_close(m->run);
    free(m->ids);
    free(m->x);
    free(m->beside);
    free(m->logits);
    free(m->whole);
    free(m->rows);
    free(m->order);
    free(m);
}

/* --- batches -------------------------------------------------------------------------------- */

/* Prompts sorted by length: a batch is order[first .. first + B), the last the longest. */
struct batch {
    const struct unlearn_prompts *prompts;
    const size_t *order;
    size_t B, T;
};

static const struct unlearn_prompt *at(const struct batch *b, size_t i)
{
    return &b->prompts->v[b->order[i]];
}

/* Stable, by counting: the order depends on lengths and places alone. */
static enum sae_status sort_by_length(struct unlearn_model *m, const struct unlearn_prompts *p,
                                      const struct unlearn_edit *edit, size_t *ret_n,
                                      struct sae_err *err)
{
    size_t *first = NULL, n = 0;
    free(m->order);
    m->order = NULL;
    SAE_TRY(sae_mem_alloc(&m->order, p->n, sizeof *m->order, err));
    SAE_TRY(sae_mem_alloc(&first, m->n_max + 2, sizeof *first, err));
    for (size_t i = 0; i < p->n; i++)
        if (edit == NULL || unlearn_edit_touches(edit, i))
            first[p->v[i].n + 1]++;
    for (size_t l = 1; l < m->n_max + 2; l++)
        first[l] += first[l - 1];
    for (size_t i = 0; i < p->n; i++)
        if (edit == NULL || unlearn_edit_touches(edit, i)) {
            m->order[first[p->v[i].n]++] = i;
            n++;
        }
    free(first);
    *ret_n = n;
    return SAE_OK;
}

static struct batch next_batch(const struct unlearn_model *m, const struct unlearn_prompts *prompts,
                               size_t first, size_t n)
{
    struct batch b = {prompts, m->order + first, 0, 0};
    while (first + b.B < n) {
        const size_t T = prompts->v[m->order[first + b.B]].n;
        if ((b.B + 1) * T > m->n_max)
            break;
        b.T = T;
        b.B++;
    }
    return b;
}

/* The hook, and what is beside it, of a batch. */
static enum sae_status tap_ids(struct unlearn_model *m, const uint32_t *ids, size_t B, size_t T,
                               float *x, float *beside, struct sae_err *err)
{
    const struct sae_hook hooks[] = {m->hook, m->stream};
    float *const to[] = {x, beside};
    return sae_lm_tap_all(m->run, ids, B, T, hooks, beside != NULL ? 2 : 1, to, err);
}

/* m->x [B][T][width] from the tokens. */
static enum sae_status tap(struct unlearn_model *m, const struct batch *b, struct sae_err *err)
{
    for (size_t i = 0; i < b->B; i++)
        for (size_t t = 0; t < b->T; t++)
            m->ids[i * b->T + t] = t < at(b, i)->n ? at(b, i)->ids[t] : m->config->pad;
    return tap_ids(m, m->ids, b->B, b->T, m->x, m->beside, err);
}

/* --- scores --------------------------------------------------------------------------------- */

static double log_sum_exp(const float *z, size_t V)
{
    float top = z[0];
    double sum = 0;
    for (size_t v = 1; v < V; v++)
        top = z[v] > top ? z[v] : top;
    for (size_t v = 0; v < V; v++)
        sum += (double)expf(z[v] - top);
    return (double)top + log(sum);
}

/* One row of logits, that of position t of prompt i, into its scores. */
static void take_row(const struct unlearn_model *m, const struct unlearn_prompt *p, size_t t,
                     const float *z, double whole, double *score)
{
    if (m->speech->form == UNLEARN_CLOZE) {
        score[0] += ((double)z[p->ids[t + 1]] - whole) / (double)(p->n - p->n_prompt);
        return;
    }
    for (size_t i = 0; i < p->n_scores; i++) {
        const float a = z[m->speech->letters[i][0]], b = z[m->speech->letters[i][1]];
        score[i] = (double)(a > b ? a : b) - whole;
    }
}

/* Runs m->x on and fills score[b->order[i]] of the batch's prompts. */
static enum sae_status finish(struct unlearn_model *m, const struct batch *b, double *const *score,
                              struct sae_err *err)
{
    const bool cloze = m->speech->form == UNLEARN_CLOZE;
    const size_t V = m->config->V;
    size_t n = 0;
    SAE_TRY(sae_lm_resume(m->run, m->x, m->beside, b->B, b->T, m->hook, err));
    for (size_t i = 0; i < b->B; i++) {
        const struct unlearn_prompt *p = at(b, i);
        memset(score[b->order[i]], 0, p->n_scores * sizeof **score);
        for (size_t t = cloze ? p->n_prompt - 1 : p->n - 1; t < (cloze ? p->n - 1 : p->n); t++)
            m->rows[n++] = i * b->T + t;
    }
    for (size_t from = 0; from < n; from += m->chunk) {
        const size_t some = from + m->chunk < n ? m->chunk : n - from;
        SAE_TRY(sae_lm_logits_at(m->run, m->rows + from, some, m->logits, err));
#pragma omp parallel for schedule(static)
        for (size_t k = 0; k < some; k++)
            m->whole[k] = log_sum_exp(m->logits + k * V, V);
        for (size_t k = 0; k < some; k++) {
            const size_t row = m->rows[from + k], i = row / b->T;
            take_row(m, at(b, i), row % b->T, m->logits + k * V, m->whole[k], score[b->order[i]]);
        }
    }
    for (size_t i = 0; i < b->B; i++)
        for (size_t k = 0; k < at(b, i)->n_scores; k++)
            if (isnan(score[b->order[i]][k]))
                return sae_err_set(err, SAE_EFORMAT,
                                   "the language model's predictions are not finite numbers");
    return SAE_OK;
}

/* A prompt's rows in the batch, from `row` on, to its own memory and back: those of the hook, then
 * those beside it. Behind the prompt's end come zeros. */
static enum sae_status keep_rows(const struct unlearn_model *m, struct unlearn_prompt *p,
                                 size_t row, struct sae_err *err)
{
    const size_t W = m->width, D = m->branch ? m->config->D : 0;
    SAE_TRY(sae_mem_alloc(&p->x, p->n, (W + D) * sizeof *p->x, err));
    memcpy(p->x, m->x + row * W, p->n * W * sizeof *p->x);
    if (m->branch)
        memcpy(p->x + p->n * W, m->beside + row * D, p->n * D * sizeof *p->x);
    return SAE_OK;
}

static void put_rows(struct unlearn_model *m, const struct unlearn_prompt *p, size_t row, size_t T)
{
    const size_t W = m->width, D = m->branch ? m->config->D : 0;
    memcpy(m->x + row * W, p->x, p->n * W * sizeof *p->x);
    memset(m->x + (row + p->n) * W, 0, (T - p->n) * W * sizeof *p->x);
    if (!m->branch)
        return;
    memcpy(m->beside + row * D, p->x + p->n * W, p->n * D * sizeof *p->x);
    memset(m->beside + (row + p->n) * D, 0, (T - p->n) * D * sizeof *p->x);
}

enum sae_status unlearn_model_ask(struct unlearn_model *m, struct unlearn_prompts *prompts,
                                  bool keep, const char *what, struct sae_err *err)
{
    double **score = NULL;
    size_t n = 0;
    struct sae_progress bar;
    enum sae_status st;
    SAE_GO(st, sort_by_length(m, prompts, NULL, &n, err));
    SAE_GO(st, sae_mem_alloc(&score, prompts->n, sizeof *score, err));
    for (size_t i = 0; i < prompts->n; i++)
        score[i] = prompts->v[i].score;
    sae_progress_begin(&bar, what, "sequences", 0, n);
    for (size_t first = 0; first < n;) {
        const struct batch b = next_batch(m, prompts, first, n);
        if (sae_stop_asked()) {
            st = sae_err_set(err, SAE_EINTR, "stopped");
            goto done;
        }
        SAE_GO(st, tap(m, &b, err));
        for (size_t i = 0; keep && i < b.B; i++)
            SAE_GO(st, keep_rows(m, &prompts->v[b.order[i]], i * b.T, err));
        SAE_GO(st, finish(m, &b, score, err));
        first += b.B;
        sae_progress_step(&bar, first, NULL);
    }
    sae_progress_end(&bar);
done:
    free(score);
    return st;
}

enum sae_status unlearn_model_stream(struct unlearn_model *m, const struct unlearn_prompt *prompt,
                                     float *x, struct sae_err *err)
{
    const size_t bytes = prompt->n * m->width * sizeof *x;
    if (prompt->x != NULL) {
        memcpy(x, prompt->x, bytes);
        return SAE_OK;
    }
    return tap_ids(m, prompt->ids, 1, prompt->n, x, NULL, err);
}

/* --- edits ---------------------------------------------------------------------------------- */

bool unlearn_edit_touches(const struct unlearn_edit *edit, size_t i)
{
    for (size_t k = 0; k < edit->n_fired[i]; k++)
        if (edit->fired[i][k].rank < edit->n_latents)
            return true;
    return false;
}

void unlearn_edit_apply(const struct unlearn_edit *edit, size_t i, float *x)
{
    for (size_t k = 0; k < edit->n_fired[i]; k++) {
        const struct unlearn_fired f = edit->fired[i][k];
        if (f.rank >= edit->n_latents)
            continue;
        const float *w = edit->W_dec + (size_t)edit->latents[f.rank] * edit->d;
        const float by = (float)(-edit->multiplier - (double)f.value);
        float *row = x + (size_t)f.token * edit->d;
        for (size_t j = 0; j < edit->d; j++)
            row[j] += by * w[j];
    }
}

enum sae_status unlearn_model_edited(struct unlearn_model *m, const struct unlearn_prompts *prompts,
                                     const struct unlearn_edit *edit, double *const *score,
                                     struct sae_err *err)
{
    size_t n = 0;
    SAE_TRY(sort_by_length(m, prompts, edit, &n, err));
    for (size_t first = 0; first < n;) {
        const struct batch b = next_batch(m, prompts, first, n);
        bool kept = true;
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped");
        for (size_t i = 0; i < b.B; i++)
            kept = kept && at(&b, i)->x != NULL;
        if (!kept)
            SAE_TRY(tap(m, &b, err));
        for (size_t i = 0; i < b.B; i++) {
            if (kept)
                put_rows(m, at(&b, i), i * b.T, b.T);
            unlearn_edit_apply(edit, b.order[i], m->x + i * b.T * m->width);
        }
        SAE_TRY(finish(m, &b, score, err));
        first += b.B;
    }
    return SAE_OK;
}
