/* SPDX-License-Identifier: MIT */
/* pass : one run over the text for all checkpoints.
 *
 * A batch (16 contexts) is tapped once. Then, for as many contexts at a time as the logits of V
 * words leave room for: the clean model, the zero-ablated one, and each checkpoint in turn -
 * encode and decode the kept rows, put them back, run on. Positions of BOS, EOS
 * and PAD keep their own vectors and are not averaged over.
 *
 * What does not depend on a checkpoint is taken from the cache where it is there (cache.h), and
 * put there where it is not; a checkpoint that was interrupted goes on after its last whole batch
 * (partial.h). Neither changes a bit of the result.
 *
 * Contents:  1. memory   2. a batch's reference   3. a checkpoint   4. batches   5. the pass */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "lib/file/cache.h"
#include "splice/cache.h"
#include "splice/partial.h"
#include "splice/recover.h"
#include "splice/splice.h"

#define SAVE_EVERY 30.0 /* seconds between partials written without being asked to stop */
#define LOGIT_BYTES ((size_t)192 << 20)      /* for three arrays of them */
#define DEVICE_LOGIT_BYTES ((size_t)2 << 30) /* for the one that a device keeps */

struct pass {
    const struct sae_lm *lm;
    const struct sae_lm_config *config;
    struct sae_lm_run *run;
    bool on_device;               /* logits stay there: none of the three arrays of them here */
    struct sae_hook hook, stream; /* stream: what is beside a hook of a branch */
    size_t width, T, D, V, batch, chunk; /* of the hook; contexts of a batch, of a chunk */
    size_t n_models;
    const struct splice_job *job;
    struct splice_cache cache;
    struct sae_coder **coders;
    struct splice_sums *sums;
    struct splice_reference ref;
    struct splice_baseline baseline; /* of the batch; its x is the batch as tapped */
    bool is_cached;                  /* the baseline was read, not made here */
    double saved;                    /* when partials were written last */
    uint64_t saved_to;               /* contexts they hold */
    bool is_cache_closed;            /* nothing more is put on the cache: it cannot be written */
    float *spliced;                  /* [chunk*T][width] what runs on */
    float *kept, *xhat;              /* [chunk*T][width] kept rows, their reconstruction */
    float *log_p, *p, *logits;       /* [chunk*T][V] */
    double *ce, *kl;                 /* [chunk*T] */
    double *mean;                    /* [width] of the batch's kept rows */
    bool *keep;                      /* [batch*T] */
    uint32_t *target;                /* [batch*T] next token, or SPLICE_NO_TARGET */
    uint64_t *context;               /* [chunk*T] of each kept row */
};

/* --- 1. memory ---------------------------------------------------------------------------- */

static enum sae_status open_pass(struct pass *p, const struct sae_model *const *models,
                                 const struct sae_ops *ops, struct sae_err *err)
{
    const size_t n = p->chunk * p->T, all = p->batch * p->T, f = sizeof(float);
    SAE_TRY(sae_lm_run_open(&p->run, p->lm, all, p->T, err));
    SAE_TRY(splice_baseline_init(&p->baseline, all, p->D, p->width,
                                 sae_lm_beside(&p->stream, p->hook), err));
    SAE_TRY(sae_mem_alloc(&p->spliced, n, p->width * f, err));
    SAE_TRY(sae_mem_alloc(&p->kept, n, p->width * f, err));
    SAE_TRY(sae_mem_alloc(&p->xhat, n, p->width * f, err));
    if (!p->on_device) {
        SAE_TRY(sae_mem_alloc(&p->log_p, n, p->V * f, err));
        SAE_TRY(sae_mem_alloc(&p->p, n, p->V * f, err));
        SAE_TRY(sae_mem_alloc(&p->logits, n, p->V * f, err));
    }
    SAE_TRY(sae_mem_alloc(&p->ce, n, sizeof *p->ce, err));
    SAE_TRY(sae_mem_alloc(&p->kl, n, sizeof *p->kl, err));
    SAE_TRY(sae_mem_alloc(&p->mean, p->width, sizeof *p->mean, err));
    SAE_TRY(sae_mem_alloc(&p->keep, all, sizeof *p->keep, err));
    SAE_TRY(sae_mem_alloc(&p->target, all, sizeof *p->target, err));
    SAE_TRY(sae_mem_alloc(&p->context, n, sizeof *p->context, err));
    SAE_TRY(sae_mem_alloc(&p->coders, p->n_models, sizeof(struct sae_coder *), err));
    for (size_t i = 0; i < p->n_models; i++) {
        if (models[i]->d != p->width)
            return sae_err_set(err, SAE_EARG,
                               "the autoencoder has width %zu, but the language model %zu at "
                               "%s; name the model it was trained on with --model",
                               models[i]->d, p->width, sae_points[p->hook.point].name);
        SAE_TRY(sae_coder_open(&p->coders[i], models[i], ops, n, err));
        SAE_TRY(splice_stats_init(&p->sums[i].stats, p->width, models[i]->m, err));
        if (p->job->partials != NULL)
            SAE_TRY(splice_partial_load(&p->sums[i], p->job->partials[i].path,
                                        p->job->partials[i].key, err));
    }
    return SAE_OK;
}

size_t splice_pass_chunk(const struct splice_job *job)
{
    const size_t a_context = job->text->context * sae_lm_config(job->lm)->V * sizeof(float);
    const size_t fit = sae_lm_on_device(job->lm) ? DEVICE_LOGIT_BYTES / a_context
                                                 : LOGIT_BYTES / (3 * a_context);
    const size_t of_batch = job->batch < job->text->n ? job->batch : job->text->n;
    return fit < 1 ? 1 : fit < of_batch ? fit : of_batch;
}

double splice_pass_bytes(const struct splice_job *job, const struct sae_model *const *models,
                         size_t n_models)
{
    const struct sae_lm_config *const config = sae_lm_config(job->lm);
    const size_t of_batch = job->batch < job->text->n ? job->batch : job->text->n,
                 chunk = splice_pass_chunk(job) * job->text->context;
    const bool of_branch = sae_points[job->hook.point].of_branch;
    const double n = (double)chunk, all = (double)(of_batch * job->text->context),
                 D = (double)config->D, w = (double)sae_lm_width(config, job->hook.point);
    double bytes = all * (4 * (w + D + (of_branch ? D : 0)) + 3 * 8 + 5) + n * (12 * w + 3 * 8) + 8 * w;
    if (!sae_lm_on_device(job->lm))
        bytes += 12 * n * (double)config->V;
    for (size_t i = 0; i < n_models; i++)
        bytes += sae_coder_bytes(models[i], chunk) + 24 * (double)models[i]->m + 8 * w;
    return bytes;
}

static void close_pass(struct pass *p)
{
    for (size_t i = 0; p->coders != NULL && i < p->n_models; i++)
        sae_coder_close(p->coders[i]);
    free(p->coders);
    sae_lm_run_close(p->run);
    splice_baseline_clear(&p->baseline);
    free(p->spliced);
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

/* --- 2. a batch's reference ---------------------------------------------------------------- */

/* Which rows are kept, their mean, and the next token of each row that is averaged for CE. */
static size_t survey(struct pass *p, const uint32_t *ids, size_t B)
{
    size_t n = 0;
    memset(p->mean, 0, p->width * sizeof *p->mean);
    for (size_t at = 0; at < B * p->T; at++) {
        const uint32_t id = ids[at];
        p->keep[at] = id != p->config->bos && id != p->config->eos && id != p->config->pad;
        p->target[at] = p->keep[at] && (at + 1) % p->T != 0 ? ids[at + 1] : SPLICE_NO_TARGET;
        if (!p->keep[at])
            continue;
        n++;
        for (size_t j = 0; j < p->width; j++)
            p->mean[j] += (double)p->baseline.x[at * p->width + j];
    }
    for (size_t j = 0; j < p->width && n > 0; j++)
        p->mean[j] /= (double)n;
    return n;
}

static enum sae_status check_finite(double ce, double kl, struct sae_err *err)
{
    if (isfinite(ce) && isfinite(kl))
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT, "the language model's predictions are not finite numbers");
}

/* The untouched model's predictions of the n rows run last, to compare with; ce of their targets.
 */
static enum sae_status set_reference(struct pass *p, size_t n, const uint32_t *target, double *ce,
                                     struct sae_err *err)
{
    if (p->on_device)
        return sae_lm_set_reference(p->run, n, target, ce, err);
    SAE_TRY(sae_lm_logits(p->run, 0, n, p->log_p, err));
    splice_recover_reference(n, p->V, p->log_p, p->p, target, ce);
    return SAE_OK;
}

/* Those of another model, run last, against them. */
static enum sae_status compare(struct pass *p, size_t n, const uint32_t *target, double *ce,
                               double *kl, struct sae_err *err)
{
    if (p->on_device)
        return sae_lm_compare(p->run, n, target, ce, kl, err);
    SAE_TRY(sae_lm_logits(p->run, 0, n, p->logits, err));
    splice_recover_compare(n, p->V, p->log_p, p->p, p->logits, target, ce, kl);
    return SAE_OK;
}

/* The model from the hook on, whose rows [from, from + n) of the batch are x. */
static enum sae_status resume(struct pass *p, const float *x, size_t from, size_t n,
                              struct sae_err *err)
{
    const float *const beside = p->baseline.beside;
    return sae_lm_resume(p->run, x, beside != NULL ? beside + from * p->D : NULL, n / p->T, p->T,
                         p->hook, err);
}

/* The untouched model over the rows [from, from + n) of the batch; where they are new, the
 * zero-ablated model too. */
static enum sae_status run_reference(struct pass *p, size_t from, size_t n, struct sae_err *err)
{
    struct splice_baseline *r = &p->baseline;
    if (p->is_cached) {
        SAE_TRY(sae_lm_put_final(p->run, r->final + from * p->D, n, err));
        return set_reference(p, n, p->target + from, p->ce, err);
    }
    SAE_TRY(resume(p, r->x + from * p->width, from, n, err));
    SAE_TRY(sae_lm_final(p->run, 0, n, r->final + from * p->D, err));
    SAE_TRY(set_reference(p, n, p->target + from, r->ce_clean + from, err));
    memset(p->spliced, 0, n * p->width * sizeof(float));
    SAE_TRY(resume(p, p->spliced, from, n, err));
    return compare(p, n, p->target + from, r->ce_ablated + from, r->kl_ablated + from, err);
}

/* Adds the batch to the sums, in order of rows. */
static enum sae_status add_reference(struct pass *p, size_t n, struct sae_err *err)
{
    for (size_t t = 0; t < n; t++) {
        if (p->target[t] != SPLICE_NO_TARGET) {
            p->ref.ce_clean += p->baseline.ce_clean[t];
            p->ref.ce_ablated += p->baseline.ce_ablated[t];
            p->ref.n_ce++;
        }
        if (p->keep[t]) {
            p->ref.kl_ablated += p->baseline.kl_ablated[t];
            p->ref.n_kl++;
        }
    }
    return check_finite(p->ref.ce_clean + p->ref.ce_ablated, p->ref.kl_ablated, err);
}

/* --- 3. a checkpoint ---------------------------------------------------------------------- */

/* One checkpoint over the same rows; first: running number of the chunk's first context. */
static enum sae_status run_model(struct pass *p, size_t model, size_t from, size_t n,
                                 uint64_t first, struct sae_err *err)
{
    struct splice_sums *const sums = &p->sums[model];
    const size_t W = p->width, bytes = W * sizeof(float);
    const struct sae_csr *f = NULL;
    size_t n_kept = 0;
    for (size_t t = 0; t < n; t++) {
        if (!p->keep[from + t])
            continue;
        p->context[n_kept] = first + t / p->T;
        memcpy(p->kept + n_kept++ * W, p->baseline.x + (from + t) * W, bytes);
    }
    SAE_TRY(sae_coder_encode(p->coders[model], p->kept, n_kept, &f, err));
    SAE_TRY(sae_coder_decode(p->coders[model], f, p->xhat, err));
    splice_stats_add(&sums->stats, n_kept, p->kept, p->xhat, f, p->context);
    memcpy(p->spliced, p->baseline.x + from * W, n * bytes);
    for (size_t t = 0, at = 0; t < n; t++)
        if (p->keep[from + t])
            memcpy(p->spliced + t * W, p->xhat + at++ * W, bytes);
    SAE_TRY(resume(p, p->spliced, from, n, err));
    SAE_TRY(compare(p, n, p->target + from, p->ce, p->kl, err));
    for (size_t t = 0; t < n; t++) {
        sums->ce += p->target[from + t] != SPLICE_NO_TARGET ? p->ce[t] : 0;
        sums->kl += p->keep[from + t] ? p->kl[t] : 0;
    }
    return check_finite(sums->ce, sums->kl, err);
}

/* --- 4. batches --------------------------------------------------------------------------- */

static bool is_behind(const struct pass *p, size_t model, uint64_t end)
{
    return p->sums[model].n_done < end;
}

static bool any_behind(const struct pass *p, uint64_t end)
{
    for (size_t i = 0; i < p->n_models; i++)
        if (is_behind(p, i, end))
            return true;
    return false;
}

static enum sae_status tap(struct pass *p, const uint32_t *ids, struct sae_err *err)
{
    struct splice_baseline *r = &p->baseline;
    SAE_TRY(splice_cache_load(r, &p->is_cached, &p->cache, ids, err));
    const struct sae_hook hooks[] = {p->hook, p->stream};
    float *const to[] = {r->x, r->beside};
    if (p->is_cached)
        return SAE_OK;
    return sae_lm_tap_all(p->run, ids, r->B, p->T, hooks, r->beside != NULL ? 2 : 1, to, err);
}

/* The unfinished sums of each checkpoint that got anywhere. */
static enum sae_status save_partials(struct pass *p, uint64_t to, struct sae_err *err)
{
    struct sae_err why;
    for (size_t i = 0; p->job->partials != NULL && i < p->n_models; i++) {
        if (p->sums[i].n_done == 0)
            continue;
        const enum sae_status st = splice_partial_save(p->job->partials[i].path,
                                                       p->job->partials[i].key, &p->sums[i], &why);
        SAE_TRY(sae_cache_wrote(st, &why, err));
    }
    p->saved = sae_stop_clock();
    p->saved_to = to;
    return SAE_OK;
}

static void report_partials(const struct pass *p)
{
    for (size_t i = 0; i < p->n_models; i++)
        if (p->sums[i].n_done > 0)
            sae_log_info("'%s' continues after %" PRIu64 " contexts", p->job->partials[i].path,
                         p->sums[i].n_done);
}

/* Contexts [first, first + baseline.B): those checkpoints that have not had them. */
static enum sae_status run_batch(struct pass *p, const uint32_t *ids, uint64_t first,
                                 struct sae_err *err)
{
    const size_t B = p->baseline.B;
    const uint64_t end = first + B;
    SAE_TRY(tap(p, ids, err));
    const size_t n_kept = survey(p, ids, B);
    for (size_t j = 0; j < p->width; j++)
        if (!isfinite(p->mean[j]))
            return sae_err_set(err, SAE_EFORMAT,
                               "the language model's activations at layer %zu are not finite",
                               p->hook.layer);
    for (size_t i = 0; i < p->n_models; i++)
        if (is_behind(p, i, end))
            splice_stats_begin(&p->sums[i].stats, n_kept, p->mean);
    for (size_t c = 0; c < B && (!p->is_cached || any_behind(p, end)); c += p->chunk) {
        const size_t n = (c + p->chunk < B ? p->chunk : B - c) * p->T;
        SAE_TRY(run_reference(p, c * p->T, n, err));
        for (size_t i = 0; i < p->n_models; i++) {
            /* a large model takes minutes for a batch: none is finished for its own sake */
            if (sae_stop_asked() && (p->job->partials == NULL || p->saved_to == first))
                return sae_err_set(err, SAE_EINTR, "stopped");
            if (is_behind(p, i, end))
                SAE_TRY(run_model(p, i, c * p->T, n, first + c, err));
        }
    }
    for (size_t i = 0; i < p->n_models; i++)
        if (is_behind(p, i, end)) {
            splice_stats_end(&p->sums[i].stats);
            p->sums[i].n_done = end;
        }
    if (!p->is_cached && p->cache.dir != NULL && !p->is_cache_closed) {
        struct sae_err why;
        const enum sae_status st = splice_cache_save(&p->baseline, &p->cache, ids, &why);
        p->is_cache_closed = st != SAE_OK; /* it is still read */
        SAE_TRY(sae_cache_wrote(st, &why, err));
    }
    return add_reference(p, B * p->T, err);
}

/* Between batches, of which `to` contexts are done: keeps that, if one was asked to stop or it was
 * long ago. */
static enum sae_status pause_pass(struct pass *p, uint64_t to, struct sae_err *err)
{
    const bool last = to == p->job->text->n;
    const bool stop = sae_stop_asked() && !last;
    if (!last && (stop || sae_stop_clock() - p->saved >= SAVE_EVERY))
        SAE_TRY(save_partials(p, to, err));
    return stop ? sae_err_set(err, SAE_EINTR, "stopped") : SAE_OK;
}

/* --- 5. the pass -------------------------------------------------------------------------- */

static void finish(struct pass *p)
{
    const double n_ce = (double)p->ref.n_ce, n_kl = (double)p->ref.n_kl;
    p->ref.ce_clean /= n_ce;
    p->ref.ce_ablated /= n_ce;
    p->ref.kl_ablated /= n_kl;
    for (size_t i = 0; i < p->n_models; i++) {
        p->sums[i].ce /= n_ce;
        p->sums[i].kl /= n_kl;
    }
}

enum sae_status splice_pass(struct splice_reference *ret_reference, struct splice_sums *sums,
                            const struct sae_model *const *models, size_t n,
                            const struct splice_job *job, const struct sae_ops *ops,
                            struct sae_err *err)
{
    const struct sae_lm_config *config = sae_lm_config(job->lm);
    const struct splice_text *text = job->text;
    const bool on_device = sae_lm_on_device(job->lm);
    const size_t of_batch = job->batch < text->n ? job->batch : text->n;
    struct pass p = {
        .lm = job->lm,
        .on_device = on_device,
        .config = config,
        .hook = job->hook,
        .width = sae_lm_width(config, job->hook.point),
        .T = text->context,
        .D = config->D,
        .V = config->V,
        .batch = of_batch,
        .chunk = splice_pass_chunk(job),
        .n_models = n,
        .job = job,
        .cache = {job->cache, job->model_id, job->hook},
        .sums = sums,
        .saved = sae_stop_clock()
    };
    struct sae_progress bar;
    enum sae_status st = SAE_OK;
    memset(sums, 0, n * sizeof *sums);
    SAE_GO(st, open_pass(&p, models, ops, err));
    report_partials(&p);
    sae_progress_begin(&bar, "splice", "contexts", 0, text->n);
    for (size_t c = 0; c < text->n; c += p.batch) {
        p.baseline.B = c + p.batch < text->n ? p.batch : text->n - c;
        p.baseline.T = p.T;
        SAE_GO(st, run_batch(&p, text->ids + c * p.T, c, err));
        sae_progress_step(&bar, c + p.baseline.B, NULL);
        SAE_GO(st, pause_pass(&p, c + p.baseline.B, err));
    }
    sae_progress_end(&bar);
    finish(&p);
    *ret_reference = p.ref;
done:
    close_pass(&p);
    for (size_t i = 0; st != SAE_OK && i < n; i++)
        splice_stats_clear(&sums[i].stats);
    return st;
}
