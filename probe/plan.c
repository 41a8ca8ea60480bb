/* SPDX-License-Identifier: MIT */
/* plan : see the header. One task of the neurons and one of the latents are run, with the full probe and
 * without; latents are those of the first texts, repeated. */
#include "probe/plan.h"

#include <math.h>
#include <omp.h>

#include "lib/base/stop.h"
#include "lib/eval/cost.h"

enum { NODE = 16 /* bytes of liblinear's for a value */ };

/* Seconds of one task of the first class. */
static enum sae_status time_task(double *ret, const struct sae_pool *features,
                                 const struct sae_task_plan *tasks,
                                 const struct probe_settings *settings, bool full,
                                 struct sae_err *err)
{
    struct sae_task_plan one = *tasks;
    struct probe_settings s = *settings;
    struct probe_scores scores = {0};
    one.n_classes = s.n_seeds = 1;
    s.full = full;
    const double from = sae_stop_clock();
    SAE_TRY(probe_scores_run(&scores, features, &one, &s, "a task", err));
    *ret = sae_stop_clock() - from;
    probe_scores_clear(&scores);
    return SAE_OK;
}

/* Of all tasks: the full probe is run under the first seed only; tasks run side by side. */
static enum sae_status time_tasks(double *ret, const struct sae_pool *features,
                                  const struct sae_task_plan *tasks, const struct probe_settings *s,
                                  struct sae_err *err)
{
    const double classes = (double)tasks->n_classes, n = classes * (double)s->n_seeds,
                 threads = fmin((double)omp_get_max_threads(), n);
    double few, full = 0;
    SAE_TRY(time_task(&few, features, tasks, s, false, err));
    if (s->full)
        SAE_TRY(time_task(&full, features, tasks, s, true, err));
    *ret = (n * few + classes * fmax(full - few, 0)) / threads;
    return SAE_OK;
}

struct rates {
    double encode, neurons, latents; /* seconds: rows, tasks */
    double entries;                  /* latents of all texts */
};

static enum sae_status measure(struct rates *r, const struct sae_labels *labels,
                               const struct sae_task_plan *tasks, const struct sae_model *model,
                               const struct sae_ops *ops, const struct probe_settings *s,
                               struct sae_err *err)
{
    struct sae_pool pool = {0};
    enum sae_status st;
    SAE_GO(st, sae_pool_neurons(&pool, labels, err));
    SAE_GO(st, time_tasks(&r->neurons, &pool, tasks, s, err));
    sae_pool_clear(&pool);
    SAE_GO(st, sae_cost_pool(&pool, &r->encode, labels, model, ops, s->batch, err));
    r->entries = (double)pool.x.start[pool.x.n];
    st = time_tasks(&r->latents, &pool, tasks, s, err);
done:
    sae_pool_clear(&pool);
    return st;
}

/* Texts of the largest task: for training, or also for testing. */
static double task_texts(const struct sae_task_plan *tasks, bool all)
{
    size_t most = 0;
    for (size_t c = 0; c < tasks->n_classes; c++) {
        const size_t *const side = tasks->classes[c].n_side, n = 2 * (side[0] + (all ? side[1] : 0));
        most = n > most ? n : most;
    }
    return (double)most;
}

static void list(struct sae_plan *plan, const struct rates *r, const struct sae_labels *labels,
                 const struct sae_task_plan *tasks, const struct sae_model *model,
                 const struct probe_settings *s)
{
    const double texts = (double)labels->n_texts, d = (double)labels->d, rows = (double)labels->n_rows,
                 k = s->n_k > 0 ? (double)s->k[s->n_k - 1] : 0, classes = (double)tasks->n_classes,
                 n = classes * (double)s->n_seeds,
                 a_task = task_texts(tasks, true), train = task_texts(tasks, false),
                 threads = fmin((double)omp_get_max_threads(), n);
    const double pooled = 4 * texts * d, wide = s->full ? d : k;
    const struct sae_plan_stage neurons = {
        .unit = "tasks",
        .n = n,
        .seconds = r->neurons,
        .flops = 100 * a_task * (n * k + (s->full ? classes * d : 0)),
        .bytes = pooled + sae_cost_codes_bytes(texts, texts * d) +
                 threads * wide * (4 * a_task + NODE * train)};
    const struct sae_plan_stage encode = {
        .unit = "tokens",
        .n = rows,
        .seconds = r->encode,
        .flops = sae_cost_encode_flops(model, rows),
        .bytes = pooled + sae_cost_pool_bytes(model, labels, s->batch, r->entries)};
    const struct sae_plan_stage latents = {
        .unit = "tasks",
        .n = n,
        .seconds = r->latents,
        .flops = 100 * a_task * (n * k + (s->full ? classes * r->entries / texts : 0)),
        .bytes = pooled + sae_cost_codes_bytes(texts, r->entries) +
                 threads * (4 * k * a_task + NODE * train * fmax(k, s->full ? r->entries / texts : 0) +
                            16 * (double)model->m)};
    sae_plan_stage(plan, &neurons, "neurons of '%s'", labels->name);
    sae_plan_stage(plan, &encode, "latents of the texts of '%s'", labels->name);
    sae_plan_stage(plan, &latents, "latents of '%s'", labels->name);
    sae_plan_disk(plan, 3e4, "result on '%s'", labels->name);
}

enum sae_status probe_plan_set(struct sae_plan *plan, const char *path, const struct sae_model *model,
                               const struct sae_ops *ops, const struct probe_settings *settings,
                               struct sae_err *err)
{
    enum { GUESS = 64 };
    struct sae_labels labels = {0};
    struct sae_task_plan tasks = {0};
    struct rates r = {NAN, NAN, NAN, 0};
    enum sae_status st;
    SAE_TRY(sae_labels_open(&labels, path, err));
    SAE_GO(st, sae_task_plan_make(&tasks, &labels, settings->train_size, settings->test_size, err));
    r.entries = (double)labels.n_texts * GUESS;
    if (plan->is_asked)
        SAE_GO(st, measure(&r, &labels, &tasks, model, ops, settings, err));
    list(plan, &r, &labels, &tasks, model, settings);
done:
    sae_task_plan_clear(&tasks);
    sae_labels_close(&labels);
    return st;
}
