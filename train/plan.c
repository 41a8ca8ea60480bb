/* SPDX-License-Identifier: MIT */
/* plan : what training will take. The most demanding run is begun as in training, in memory, and makes
 * some steps; what it then holds and how long they took is the plan's.
 * Contents: 1. some steps   2. the whole */
#include <math.h>
#include <stdlib.h>

#include "lib/base/host.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/plan.h"
#include "train/job.h"

/* --- 1. some steps ------------------------------------------------------------------------ */

struct probe {
    struct feed feed;
    struct run run;
    double begin, step, point, check; /* seconds: before the first step, of one, of a point of the series
                                         besides, of a checkpoint's held-out figures */
};

static void close_probe(struct probe *p)
{
    run_close(&p->run);
    feed_close(&p->feed);
}

/* As run_begin, but that nothing is saved. */
static enum sae_status begin(struct probe *p, struct run_plan *plan, struct sae_err *err)
{
    float *x = NULL;
    const double from = sae_stop_clock();
    SAE_TRY(feed_open(&p->feed, plan->acts, &plan->set, err));
    SAE_TRY(run_open(&p->run, plan, err));
    SAE_TRY(feed_begin(&p->feed, &plan->set, plan->ops, 0, err));
    p->run.norm = p->feed.norm;
    SAE_TRY(heldout_open(&p->run.held, p->feed.n_held, p->feed.d, p->feed.held, p->feed.norm,
                         p->run.t->m, err));
    SAE_TRY(feed_batch(&p->feed, 0, err));
    SAE_TRY(feed_host(&x, &p->feed, err));
    trainer_init(p->run.t, x);
    free(x);
    SAE_TRY(pair_log_add(&p->run.pairs, p->run.t, p->feed.x, true, err));
    p->begin = sae_stop_clock() - from;
    return SAE_OK;
}

static enum sae_status step(struct probe *p, uint64_t i, bool log, double *seconds,
                            struct sae_err *err)
{
    struct heldout_sums sums;
    SAE_TRY(feed_batch(&p->feed, i, err));
    const double from = sae_stop_clock();
    SAE_TRY(trainer_step(p->run.t, p->feed.x, log, &p->run.last, err));
    if (log) {
        const size_t rows =
            p->run.held.n < HELDOUT_QUICK_ROWS ? p->run.held.n : HELDOUT_QUICK_ROWS;
        SAE_TRY(heldout_sums(&p->run.held, p->run.t, rows, &sums, err));
        SAE_TRY(pair_log_add(&p->run.pairs, p->run.t, p->feed.x, false, err));
    }
    *seconds = sae_stop_clock() - from;
    return SAE_OK;
}

/* The first step finds cold memory; the least of the next ones counts, as many as there is time for. */
static enum sae_status run_probe(struct probe *p, struct run_plan *plan, struct sae_err *err)
{
    enum { STEPS = 20 };
    const double from = sae_stop_clock();
    double took;
    SAE_TRY(begin(p, plan, err));
    SAE_TRY(step(p, 0, true, &took, err));
    p->step = INFINITY;
    for (uint64_t i = 1; i < STEPS && (i < 3 || sae_stop_clock() - from < 5); i++) {
        SAE_TRY(step(p, i, false, &took, err));
        p->step = fmin(p->step, took);
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped; nothing was written");
    }
    SAE_TRY(step(p, p->run.t->step, true, &took, err));
    p->point = fmax(took - p->step, 0);
    json_t *metrics = NULL;
    struct sae_masks masks = {0};
    const double then = sae_stop_clock();
    const enum sae_status st = heldout_checkpoint(&p->run.held, p->run.t, &metrics, &masks, err);
    p->check = sae_stop_clock() - then;
    json_decref(metrics);
    free(masks.start);
    free(masks.idx);
    free(masks.val);
    return st;
}

/* --- 2. the whole ------------------------------------------------------------------------- */

/* Operations of a step; those of the orthogonality term are not known before. */
static double step_flops(const struct settings *set, size_t d)
{
    const double n = (double)set->batch, m = (double)set->m, w = (double)d;
    const double k = (double)(set->k > set->k_start ? set->k : set->k_start);
    const double dense = 2 * n * m * w, adam = 24 * m * w;
    return settings_has_k(set) ? dense + 8 * n * k * w + adam : 5 * dense + adam;
}

/* The unfinished run that takes most memory. */
static struct run_plan *most_demanding(const struct job *job, size_t d)
{
    struct run_plan *best = NULL;
    for (size_t i = 0; i < job->n; i++)
        if (!job->plans[i].finished &&
            (!best || run_memory(&job->plans[i].set, d) > run_memory(&best->set, d)))
            best = &job->plans[i];
    return best;
}

/* Runs of other sizes take time by their operations. */
static void list_stages(struct sae_plan *plan, const struct job *job, const struct probe *p,
                        const struct settings *probed, size_t n_groups)
{
    static const double WRITE = 4e8; /* bytes a second: digest, checksums, disk */
    const size_t d = sae_acts_d(job->acts);
    const struct sae_plan_stage begin = {.unit = "groups",
                                         .n = (double)n_groups,
                                         .seconds = p->begin * (double)n_groups};
    struct sae_plan_stage steps = {.unit = "steps"}, points = {.unit = "points"},
                          saves = {.unit = "checkpoints"};
    for (size_t i = 0; i < job->n; i++) {
        const struct settings *const set = &job->plans[i].set;
        const double times = step_flops(set, d) / step_flops(probed, d),
                     n = (double)set->steps, n_points = n / (double)set->log_every;
        if (job->plans[i].finished)
            continue;
        steps.n += n;
        steps.seconds += n * times * p->step;
        steps.flops += n * step_flops(set, d);
        points.n += n_points;
        points.seconds += n_points * times * p->point;
        const double files = (double)set->checkpoints.n;
        saves.n += files;
        saves.seconds += files * (times * p->check +
                                  (run_file_bytes(set, d, set->full_checkpoints) +
                                   run_file_bytes(set, d, true)) / WRITE);
    }
    sae_plan_stage(plan, &begin, "reading, scale, first weights");
    sae_plan_stage(plan, &steps, "steps%s",
                   probed->orth != ORTH_NONE ? ", with the orthogonality term as at the start" : "");
    sae_plan_stage(plan, &points, "points of the series");
    sae_plan_stage(plan, &saves, "checkpoints, written at 0.4 GB/s");
}

static void list_disk(struct sae_plan *plan, const struct job *job, size_t most)
{
    const size_t d = sae_acts_d(job->acts);
    double stay = 0, state = 0;
    for (size_t i = 0; i < job->n; i++) {
        const struct settings *const set = &job->plans[i].set;
        if (job->plans[i].finished)
            continue;
        stay += (double)set->checkpoints.n * run_file_bytes(set, d, set->full_checkpoints);
        state = fmax(state, run_file_bytes(set, d, true));
    }
    sae_plan_disk(plan, stay, "checkpoints");
    sae_plan_disk(plan, (double)(most + 1) * state, "state.h5, while it trains");
}

enum sae_status job_plan_print(const struct job *job, const struct sae_cli *cli, struct sae_err *err)
{
    const size_t d = sae_acts_d(job->acts);
    struct run_plan *const head = most_demanding(job, d);
    struct probe p = {.begin = NAN, .step = NAN, .point = NAN, .check = NAN};
    struct sae_plan plan;
    size_t *group_of = NULL, most = 0;
    double formula = 0;
    enum sae_status st;
    sae_plan_init(&plan, true, job->dir);
    SAE_TRY(sae_mem_alloc(&group_of, job->n, sizeof *group_of, err));
    const size_t n_groups = job_groups(job, job_memory(job), group_of, &most, &formula);
    const double one = run_memory(&head->set, d) + feed_memory(&head->set, sae_acts_n_rows(job->acts), d);
    sae_plan_hold(&plan);
    if (one < sae_host_memory_free()) {
        SAE_GO(st, run_probe(&p, head, err));
        sae_plan_memory(&plan, sae_host_memory_peak() - plan.held,
                        "run, its batches and a checkpoint, as held while it was tried");
        sae_plan_memory(&plan, (double)(most - 1) * run_memory(&head->set, d),
                        "%zu further runs side by side", most - 1);
    } else {
        sae_plan_memory(&plan, formula, "runs and their batches, not tried: that is more than is free");
    }
    sae_plan_memory(&plan, SAE_PLAN_H5_BYTES, "files while they are written");
    list_stages(&plan, job, &p, &head->set, n_groups);
    list_disk(&plan, job, most);
    st = sae_plan_print(&plan, cli, err);
done:
    close_probe(&p);
    free(group_of);
    return st;
}
