/* SPDX-License-Identifier: MIT */
/* pass : one run over the text for all checkpoints.
 *
 * A batch (16 contexts) is tapped once. Then, for as many contexts at a time as the logits of V
 * words leave room for: the clean model, the zero-ablated one, and each checkpoint in turn -
 * encode and decode the kept rows, put them back into the stream, run on. Positions of BOS, EOS
 * and PAD keep their own vectors and are not averaged over. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "splice/recover.h"
#include "splice/splice.h"

#define LOGIT_BYTES ((size_t)192 << 20) /* for three arrays of them */

struct pass {
    const struct gemma_model *gemma;
    const struct gemma_config *config;
    struct gemma_run *run;
    size_t layer, T, D, V, batch, chunk; /* contexts of a batch, of a chunk */
    size_t n_models;
    struct sae_coder **coders;
    struct splice_answer *answers;
    struct splice_reference ref;
    float *x;                  /* [batch*T][D] the batch, as tapped */
    float *stream;             /* [chunk*T][D] what runs on */
    float *kept, *xhat;        /* [chunk*T][D] kept rows, their reconstruction */
    float *log_p, *p, *logits; /* [chunk*T][V] */
    double *ce, *kl;           /* [chunk*T] */
    double *mean;              /* [D] of the batch's kept rows */
    bool *keep;                /* [batch*T] */
    uint32_t *target;          /* [batch*T] next token, or SPLICE_NO_TARGET */
    uint64_t *context;         /* [chunk*T] of each kept row */
};

static enum sae_status open_pass(struct pass *p, const struct sae_model *const *models,
                                 const struct sae_ops *ops, struct sae_err *err)
{
    const size_t n = p->chunk * p->T, all = p->batch * p->T, f = sizeof(float);
    SAE_TRY(gemma_run_open(&p->run, p->gemma, all, p->T, err));
    SAE_TRY(sae_mem_alloc(&p->x, all, p->D * f, err));
    SAE_TRY(sae_mem_alloc(&p->stream, n, p->D * f, err));
    SAE_TRY(sae_mem_alloc(&p->kept, n, p->D * f, err));
    SAE_TRY(sae_mem_alloc(&p->xhat, n, p->D * f, err));
    SAE_TRY(sae_mem_alloc(&p->log_p, n, p->V * f, err));
    SAE_TRY(sae_mem_alloc(&p->p, n, p->V * f, err));
    SAE_TRY(sae_mem_alloc(&p->logits, n, p->V * f, err));
    SAE_TRY(sae_mem_alloc(&p->ce, n, sizeof *p->ce, err));
    SAE_TRY(sae_mem_alloc(&p->kl, n, sizeof *p->kl, err));
    SAE_TRY(sae_mem_alloc(&p->mean, p->D, sizeof *p->mean, err));
    SAE_TRY(sae_mem_alloc(&p->keep, all, sizeof *p->keep, err));
    SAE_TRY(sae_mem_alloc(&p->target, all, sizeof *p->target, err));
    SAE_TRY(sae_mem_alloc(&p->context, n, sizeof *p->context, err));
    SAE_TRY(sae_mem_alloc(&p->coders, p->n_models, sizeof(struct sae_coder *), err));
    for (size_t i = 0; i < p->n_models; i++) {
        if (models[i]->d != p->D)
            return sae_err_set(err, SAE_EARG,
                               "the autoencoder has width %zu, but the language model %zu; name "
                               "the model it was trained on with --model",
                               models[i]->d, p->D);
        SAE_TRY(sae_coder_open(&p->coders[i], models[i], ops, n, err));
        SAE_TRY(splice_stats_init(&p->answers[i].stats, p->D, models[i]->m, err));
    }
    return SAE_OK;
}

static void close_pass(struct pass *p)
{
    for (size_t i = 0; p->coders != NULL && i < p->n_models; i++)
        sae_coder_close(p->coders[i]);
    free(p->coders);
    gemma_run_close(p->run);
    free(p->x);
    free(p->stream);
    free(p->kept);
    free(p->xhat);
    free(p->log_p);
    free(p->p);
    free(p->logits);
    free(p->ce);
    free(p->kl);
    free(p->mean);
    free(p->keep);
    free(p->target);
    free(p->context);
}

/* Which rows are kept, their mean, and the next token of each row that is averaged for CE. */
static size_t survey(struct pass *p, const uint32_t *ids, size_t B)
{
    size_t n = 0;
    memset(p->mean, 0, p->D * sizeof *p->mean);
    for (size_t at = 0; at < B * p->T; at++) {
        const uint32_t id = ids[at];
        p->keep[at] = id != p->config->bos && id != p->config->eos && id != p->config->pad;
        p->target[at] = p->keep[at] && (at + 1) % p->T != 0 ? ids[at + 1] : SPLICE_NO_TARGET;
        if (!p->keep[at])
            continue;
        n++;
        for (size_t j = 0; j < p->D; j++)
            p->mean[j] += (double)p->x[at * p->D + j];
    }
    for (size_t j = 0; j < p->D && n > 0; j++)
        p->mean[j] /= (double)n;
    return n;
}

/* Sums over kept rows of a chunk, in order. */
static enum sae_status add_up(const struct pass *p, size_t from, size_t n, double *ce, double *kl,
                              struct sae_err *err)
{
    for (size_t t = 0; t < n; t++) {
        if (p->target[from + t] != SPLICE_NO_TARGET)
            *ce += p->ce[t];
        if (p->keep[from + t] && kl != NULL)
            *kl += p->kl[t];
    }
    if (!isfinite(*ce) || (kl != NULL && !isfinite(*kl)))
        return sae_err_set(err, SAE_EFORMAT,
                           "the language model's predictions are not finite numbers");
    return SAE_OK;
}

/* Clean and zero-ablated model over the rows [from, from + n) of the batch. */
static enum sae_status run_reference(struct pass *p, size_t from, size_t n, struct sae_err *err)
{
    const size_t B = n / p->T;
    SAE_TRY(gemma_run_resume(p->run, p->x + from * p->D, B, p->T, p->layer, err));
    SAE_TRY(gemma_run_logits(p->run, 0, n, p->log_p, err));
    splice_recover_reference(n, p->V, p->log_p, p->p, p->target + from, p->ce);
    SAE_TRY(add_up(p, from, n, &p->ref.ce_clean, NULL, err));
    memset(p->stream, 0, n * p->D * sizeof(float));
    SAE_TRY(gemma_run_resume(p->run, p->stream, B, p->T, p->layer, err));
    SAE_TRY(gemma_run_logits(p->run, 0, n, p->logits, err));
    splice_recover_compare(n, p->V, p->log_p, p->p, p->logits, p->target + from, p->ce, p->kl);
    SAE_TRY(add_up(p, from, n, &p->ref.ce_ablated, &p->ref.kl_ablated, err));
    for (size_t t = from; t < from + n; t++) {
        p->ref.n_ce += p->target[t] != SPLICE_NO_TARGET;
        p->ref.n_kl += p->keep[t];
    }
    return SAE_OK;
}

/* One checkpoint over the same rows; first: running number of the chunk's first context. */
static enum sae_status run_model(struct pass *p, size_t model, size_t from, size_t n,
                                 uint64_t first, struct sae_err *err)
{
    struct splice_answer *answer = &p->answers[model];
    const size_t bytes = p->D * sizeof(float);
    const struct sae_csr *f = NULL;
    size_t n_kept = 0;
    for (size_t t = 0; t < n; t++) {
        if (!p->keep[from + t])
            continue;
        p->context[n_kept] = first + t / p->T;
        memcpy(p->kept + n_kept++ * p->D, p->x + (from + t) * p->D, bytes);
    }
    SAE_TRY(sae_coder_encode(p->coders[model], p->kept, n_kept, &f, err));
    SAE_TRY(sae_coder_decode(p->coders[model], f, p->xhat, err));
    splice_stats_add(&answer->stats, n_kept, p->kept, p->xhat, f, p->context);
    memcpy(p->stream, p->x + from * p->D, n * bytes);
    for (size_t t = 0, at = 0; t < n; t++)
        if (p->keep[from + t])
            memcpy(p->stream + t * p->D, p->xhat + at++ * p->D, bytes);
    SAE_TRY(gemma_run_resume(p->run, p->stream, n / p->T, p->T, p->layer, err));
    SAE_TRY(gemma_run_logits(p->run, 0, n, p->logits, err));
    splice_recover_compare(n, p->V, p->log_p, p->p, p->logits, p->target + from, p->ce, p->kl);
    return add_up(p, from, n, &answer->ce, &answer->kl, err);
}

static enum sae_status run_batch(struct pass *p, const uint32_t *ids, size_t B, uint64_t first,
                                 struct sae_err *err)
{
    SAE_TRY(gemma_run_tap(p->run, ids, B, p->T, p->layer, p->x, err));
    const size_t n_kept = survey(p, ids, B);
    for (size_t j = 0; j < p->D; j++)
        if (!isfinite(p->mean[j]))
            return sae_err_set(err, SAE_EFORMAT,
                               "the language model's activations at layer %zu are not finite",
                               p->layer);
    for (size_t i = 0; i < p->n_models; i++)
        splice_stats_begin(&p->answers[i].stats, n_kept, p->mean);
    for (size_t c = 0; c < B; c += p->chunk) {
        const size_t n = (c + p->chunk < B ? p->chunk : B - c) * p->T;
        SAE_TRY(run_reference(p, c * p->T, n, err));
        for (size_t i = 0; i < p->n_models; i++) {
            if (sae_stop_asked())
                return sae_err_set(err, SAE_EINTR, "stopped; nothing was written");
            SAE_TRY(run_model(p, i, c * p->T, n, first + c, err));
        }
    }
    for (size_t i = 0; i < p->n_models; i++)
        splice_stats_end(&p->answers[i].stats);
    return SAE_OK;
}

static void finish(struct pass *p)
{
    const double n_ce = (double)p->ref.n_ce, n_kl = (double)p->ref.n_kl;
    p->ref.ce_clean /= n_ce;
    p->ref.ce_ablated /= n_ce;
    p->ref.kl_ablated /= n_kl;
    for (size_t i = 0; i < p->n_models; i++) {
        p->answers[i].ce /= n_ce;
        p->answers[i].kl /= n_kl;
    }
}

enum sae_status splice_pass(struct splice_reference *ret_reference, struct splice_answer *answers,
                            const struct sae_model *const *models, size_t n,
                            const struct gemma_model *gemma, size_t layer,
                            const struct splice_text *text, size_t batch, const struct sae_ops *ops,
                            struct sae_err *err)
{
    const struct gemma_config *config = gemma_model_config(gemma);
    const size_t fit = LOGIT_BYTES / (3 * text->context * config->V * sizeof(float));
    const size_t of_batch = batch < text->n ? batch : text->n;
    struct pass p = {.gemma = gemma,
                     .config = config,
                     .layer = layer,
                     .T = text->context,
                     .D = config->D,
                     .V = config->V,
                     .batch = of_batch,
                     .chunk = fit < 1          ? 1
                              : fit < of_batch ? fit
                                               : of_batch,
                     .n_models = n,
                     .answers = answers};
    struct sae_progress bar;
    enum sae_status st = SAE_OK;
    memset(answers, 0, n * sizeof *answers);
    SAE_GO(st, open_pass(&p, models, ops, err));
    sae_progress_begin(&bar, "splice", "contexts", 0, text->n);
    for (size_t c = 0; c < text->n; c += p.batch) {
        const size_t B = c + p.batch < text->n ? p.batch : text->n - c;
        SAE_GO(st, run_batch(&p, text->ids + c * p.T, B, c, err));
        sae_progress_step(&bar, c + B, NULL);
    }
    sae_progress_end(&bar);
    finish(&p);
    *ret_reference = p.ref;
done:
    close_pass(&p);
    for (size_t i = 0; st != SAE_OK && i < n; i++)
        splice_stats_clear(&answers[i].stats);
    return st;
}
