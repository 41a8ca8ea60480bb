/* SPDX-License-Identifier: MIT */
/* score : selection of features by mean difference, and the probes on them.
 *
 *   score_i = | mean over positives v_i - mean over negatives v_i |     on the training texts
 *
 * The k best feed a logistic regression (lib/eval/logit.h); its accuracy, F1 and AUC are taken on
 * the test texts. Tasks are independent, so they run side by side without changing a digit.
 *
 * Contents:  1. scores   2. selection   3. one task   4. all tasks   5. means */
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "lib/eval/codes.h"
#include "lib/eval/logit.h"
#include "lib/eval/score.h"
#include "probe/probe.h"

const char *const probe_metric_names[PROBE_N_METRICS] = {"accuracy", "f1", "auc"};

/* --- 1. scores ---------------------------------------------------------------------------- */

double *probe_scores_at(const struct probe_scores *s, size_t probe, size_t class, size_t seed)
{
    return s->v + ((probe * s->n_classes + class) * s->n_seeds + seed) * PROBE_N_METRICS;
}

enum sae_status probe_scores_alloc(struct probe_scores *ret, size_t n_probes, size_t n_classes,
                                   size_t n_seeds, struct sae_err *err)
{
    struct probe_scores s = {n_probes, n_classes, n_seeds, NULL};
    const size_t n = n_probes * n_classes * n_seeds * PROBE_N_METRICS;
    SAE_TRY(sae_mem_alloc(&s.v, n, sizeof *s.v, err));
    for (size_t i = 0; i < n; i++)
        s.v[i] = NAN;
    *ret = s;
    return SAE_OK;
}

void probe_scores_clear(struct probe_scores *scores)
{
    free(scores->v);
    *scores = (struct probe_scores){0};
}

/* --- 2. selection ------------------------------------------------------------------------- */

enum sae_status probe_select(uint32_t *ret, size_t n, const struct sae_pool *features,
                             const struct sae_task *task, struct sae_err *err)
{
    double *diff = NULL; /* mean over positives - mean over negatives */
    SAE_TRY(sae_mem_alloc(&diff, features->width, sizeof *diff, err));
    const struct sae_csr *const x = &features->x;
    const double share = 2.0 / (double)task->n_train; /* tasks are balanced */
    for (size_t i = 0; i < task->n_train; i++) {
        const double sign = task->label[i] ? share : -share;
        for (size_t e = x->start[task->rows[i]]; e < x->start[task->rows[i] + 1]; e++)
            diff[x->idx[e]] += sign * x->val[e];
    }
    for (size_t j = 0; j < features->width; j++)
        diff[j] = fabs(diff[j]);
    for (size_t c = 0; c < n; c++) { /* n is small: n passes beat a sort */
        size_t best = 0;
        for (size_t j = 1; j < features->width; j++)
            if (diff[j] > diff[best])
                best = j;
        ret[c] = (uint32_t)best;
        diff[best] = -1.0;
    }
    free(diff);
    return SAE_OK;
}

/* --- 3. one task -------------------------------------------------------------------------- */

struct work {
    uint32_t *selected;
    float *x; /* [n_train + n_test][k max] */
    double *w, *score;
};

static void work_clear(struct work *work)
{
    free(work->selected);
    free(work->x);
    free(work->w);
    free(work->score);
}

static enum sae_status judge(double *to, const struct work *work, const struct sae_task *task,
                             struct sae_err *err)
{
    const uint8_t *const label = task->label + task->n_train;
    const struct sae_score s = sae_score_decide(work->score, label, task->n_test);
    double auc;
    SAE_TRY(sae_score_auc(&auc, work->score, label, task->n_test, err));
    to[PROBE_ACCURACY] = s.accuracy;
    to[PROBE_F1] = s.f1;
    to[PROBE_AUC] = auc;
    return SAE_OK;
}

/* A probe on the first `width` of the columns in work->x. */
static enum sae_status probe_columns(double *to, const struct work *work, size_t stride,
                                     size_t width, double eps, const struct sae_task *task,
                                     struct sae_err *err)
{
    const struct sae_logit_settings how = {.C = 1.0, .eps = eps};
    double b;
    SAE_TRY(sae_logit_dense(work->w, &b, work->x, stride, task->n_train, width, task->label, &how,
                            err));
    for (size_t i = 0; i < task->n_test; i++) {
        const float *const row = work->x + (task->n_train + i) * stride;
        double s = b;
        for (size_t j = 0; j < width; j++)
            s += work->w[j] * row[j];
        work->score[i] = s;
    }
    return judge(to, work, task, err);
}

/* A probe on every feature, sparse. */
static enum sae_status probe_sparse(double *to, const struct work *work,
                                    const struct sae_pool *features,
                                    const struct sae_task *task, struct sae_err *err)
{
    const struct sae_logit_settings how = {.C = 1.0, .eps = SAE_LOGIT_EPS_FAST};
    const struct sae_csr *const x = &features->x;
    double b;
    SAE_TRY(sae_logit_sparse(work->w, &b, x, task->rows, task->n_train, features->width,
                             task->label, &how, err));
    for (size_t i = 0; i < task->n_test; i++) {
        const uint32_t row = task->rows[task->n_train + i];
        double s = b;
        for (size_t e = x->start[row]; e < x->start[row + 1]; e++)
            s += work->w[x->idx[e]] * x->val[e];
        work->score[i] = s;
    }
    return judge(to, work, task, err);
}

static enum sae_status run_task(const struct probe_scores *scores, size_t class, size_t seed,
                                const struct sae_pool *features,
                                const struct sae_task *task,
                                const struct probe_settings *settings, struct sae_err *err)
{
    const size_t k_max = settings->n_k ? (size_t)settings->k[settings->n_k - 1] : 0;
    const size_t n = task->n_train + task->n_test;
    /* raw neurons are dense: the full probe takes them centred, as columns in index order */
    const bool full_too = settings->full && seed == 0;
    const bool wide = features->dense && full_too;
    const size_t n_columns = wide && features->width > k_max ? features->width : k_max;
    struct work work = {0};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&work.selected, n_columns, sizeof *work.selected, err));
    SAE_GO(st, sae_mem_alloc(&work.x, n * n_columns, sizeof *work.x, err));
    SAE_GO(st, sae_mem_alloc(&work.w, features->width, sizeof *work.w, err));
    SAE_GO(st, sae_mem_alloc(&work.score, task->n_test, sizeof *work.score, err));
    SAE_GO(st, probe_select(work.selected, k_max, features, task, err));
    SAE_GO(st, sae_codes_columns(&features->x, features->width, task->rows, n, work.selected, k_max,
                                 work.x, err));
    for (size_t p = 0; p < settings->n_k; p++)
        SAE_GO(st, probe_columns(probe_scores_at(scores, p, class, seed), &work, k_max,
                                 (size_t)settings->k[p], SAE_LOGIT_EPS_EXACT, task, err));
    if (!full_too)
        goto done;
    double *const full = probe_scores_at(scores, settings->n_k, class, seed);
    if (!features->dense) {
        st = probe_sparse(full, &work, features, task, err);
        goto done;
    }
    for (size_t j = 0; j < features->width; j++)
        work.selected[j] = (uint32_t)j;
    SAE_GO(st, sae_codes_columns(&features->x, features->width, task->rows, n, work.selected,
                                 features->width, work.x, err));
    st =
        probe_columns(full, &work, features->width, features->width, SAE_LOGIT_EPS_FAST, task, err);
done:
    work_clear(&work);
    return st;
}

/* --- 4. all tasks ------------------------------------------------------------------------- */

struct tally {
    struct sae_progress bar;
    size_t n_done;
    enum sae_status status;
    size_t failed; /* the first task that failed, so that the message does not depend on threads */
    struct sae_err err;
};

static void note_task(struct tally *tally, size_t task, enum sae_status st,
                      const struct sae_err *err)
{
    tally->n_done++;
    if (st != SAE_OK && (tally->status == SAE_OK || task < tally->failed)) {
        tally->status = st;
        tally->failed = task;
        tally->err = *err;
    }
    sae_progress_step(&tally->bar, tally->n_done, NULL);
}

enum sae_status probe_scores_run(struct probe_scores *ret, const struct sae_pool *features,
                                 const struct sae_task_plan *plan,
                                 const struct probe_settings *settings, const char *what,
                                 struct sae_err *err)
{
    for (size_t p = 0; p < settings->n_k; p++)
        if (settings->k[p] > features->width)
            return sae_err_set(err, SAE_EARG, "k = %llu, but %s has %zu features; use smaller k",
                               (unsigned long long)settings->k[p],
                               features->dense ? "a raw activation" : "the autoencoder",
                               features->width);
    struct probe_scores s;
    SAE_TRY(probe_scores_alloc(&s, settings->n_k + 1, plan->n_classes, settings->n_seeds, err));
    const size_t n_tasks = plan->n_classes * settings->n_seeds;
    struct tally tally = {.status = SAE_OK};
    sae_progress_begin(&tally.bar, what, "tasks", 0, n_tasks);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t t = 0; t < n_tasks; t++) {
        const size_t class = t / settings->n_seeds, seed = t % settings->n_seeds;
        struct sae_task task = {0};
        struct sae_err task_err = {0};
        enum sae_status st = SAE_OK;
        if (sae_stop_asked())
            st = sae_err_set(&task_err, SAE_EINTR, "stopped while probing");
        if (st == SAE_OK)
            st = sae_task_make(&task, plan, class, settings->seeds[seed], &task_err);
        if (st == SAE_OK)
            st = run_task(&s, class, seed, features, &task, settings, &task_err);
        sae_task_clear(&task);
#pragma omp critical(probe_tally)
        note_task(&tally, t, st, &task_err);
    }
    sae_progress_end(&tally.bar);
    if (tally.status != SAE_OK) {
        probe_scores_clear(&s);
        return sae_err_set(err, tally.status, "%s", tally.err.msg);
    }
    *ret = s;
    return SAE_OK;
}

/* --- 5. means ----------------------------------------------------------------------------- */

static double over_classes(const struct probe_scores *s, size_t probe, size_t seed,
                           enum probe_metric metric)
{
    return sae_score_mean_of(probe_scores_at(s, probe, 0, seed) + metric, s->n_classes,
                             s->n_seeds * PROBE_N_METRICS)
        .mean;
}

struct probe_mean probe_scores_mean(const struct probe_scores *s, size_t probe,
                                    enum probe_metric metric)
{
    struct probe_set one = {.latents = *s};
    return probe_sets_mean(&one, 1, true, probe, metric);
}

double probe_scores_class(const struct probe_scores *s, size_t probe, size_t class,
                          enum probe_metric metric)
{
    return sae_score_mean_of(probe_scores_at(s, probe, class, 0) + metric, s->n_seeds,
                             PROBE_N_METRICS)
        .mean;
}

struct probe_mean probe_sets_mean(const struct probe_set *sets, size_t n_sets, bool latents,
                                  size_t probe, enum probe_metric metric)
{
    const struct probe_scores *const first = latents ? &sets[0].latents : &sets[0].neurons;
    double n = 0.0, mean = 0.0, square = 0.0; /* Welford over seeds: no array to allocate */
    for (size_t seed = 0; seed < first->n_seeds; seed++) {
        double sum = 0.0;
        for (size_t i = 0; i < n_sets; i++)
            sum += over_classes(latents ? &sets[i].latents : &sets[i].neurons, probe, seed, metric);
        const double x = sum / (double)n_sets, delta = x - mean;
        if (!isfinite(x)) /* the full probe runs under the first seed only */
            continue;
        n += 1.0;
        mean += delta / n;
        square += delta * (x - mean);
    }
    return (struct probe_mean){n > 0.0 ? mean : NAN, n > 1.0 ? sqrt(square / (n - 1.0) / n) : NAN};
}

double probe_sets_texts_se(const struct probe_set *sets, size_t n_sets, bool latents, size_t probe)
{
    double variance = 0.0;
    for (size_t i = 0; i < n_sets; i++) {
        double n_texts = 0.0; /* half of each class's task are its own texts */
        for (size_t c = 0; c < sets[i].n_classes; c++)
            n_texts += 0.5 * (double)sets[i].n_test[c];
        const double p =
            probe_sets_mean(&sets[i], 1, latents, probe, PROBE_ACCURACY).mean;
        variance += p * (1.0 - p) / n_texts;
    }
    return sqrt(variance) / (double)n_sets;
}
