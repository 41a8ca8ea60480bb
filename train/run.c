/* SPDX-License-Identifier: MIT */
/* run : one run - open, step, log, save.
 * Contents: 1. checkpoints by name   2. memory and state   3. saving   4. beginning   5. a step */
#include "train/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/part.h"
#include "lib/base/stop.h"

/* --- 1. checkpoints by name --------------------------------------------------------------- */

uint64_t run_checkpoint_step(const struct settings *set, size_t i)
{
    return (uint64_t)llround((double)set->steps * set->checkpoints.v[i] / 100);
}

enum sae_status run_checkpoint_path(char **ret, const char *dir, const struct settings *set,
                                    size_t i, struct sae_err *err)
{
    const double percent = set->checkpoints.v[i];
    char name[64];
    if (percent == floor(percent))
        snprintf(name, sizeof name, "ckpt_%02d.h5", (int)percent);
    else
        snprintf(name, sizeof name, "ckpt_%g.h5", percent);
    return sae_fs_join(ret, dir, name, err);
}

/* --- 2. memory and state ------------------------------------------------------------------ */

enum sae_status run_plan_all(struct run_plan *plan, struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&plan->due, plan->set.checkpoints.n, sizeof *plan->due, err));
    for (size_t i = 0; i < plan->set.checkpoints.n; i++)
        plan->due[i] = true;
    plan->until = plan->set.steps;
    return SAE_OK;
}

void run_plan_clear(struct run_plan *plan)
{
    sae_fs_list_free(plan->from, plan->n_from);
    json_decref(plan->record);
    free(plan->due);
    settings_clear(&plan->set);
    free(plan->dir);
    free(plan->why);
    *plan = (struct run_plan){0};
}

void run_close(struct run *run)
{
    heldout_close(&run->held);
    trainer_close(run->t);
    series_clear(&run->series);
    pair_log_clear(&run->pairs);
    free(run->last_ckpt);
    *run = (struct run){0};
}

static enum sae_status open_blank(struct run *run, struct run_plan *plan, struct sae_err *err)
{
    run_close(run);
    run->plan = plan;
    return trainer_open(&run->t, &plan->set, plan->ops, sae_acts_d(plan->acts), err);
}

/* A checkpoint that cannot be gone on from is damaged: it is to be written again. */
static enum sae_status make_due(struct run_plan *plan, const char *from, struct sae_err *err)
{
    for (size_t i = 0; i < plan->set.checkpoints.n; i++) {
        char *path = NULL;
        SAE_TRY(run_checkpoint_path(&path, plan->dir, &plan->set, i, err));
        plan->due[i] = plan->due[i] || strcmp(path, from) == 0;
        free(path);
    }
    return SAE_OK;
}

enum sae_status run_open(struct run *run, struct run_plan *plan, struct sae_err *err)
{
    *run = (struct run){0};
    SAE_TRY(open_blank(run, plan, err));
    struct sae_err why = {0};
    for (size_t i = 0; i < plan->n_from; i++) {
        const enum sae_status st = run_restore(run, plan->from[i], &why);
        if (st == SAE_OK)
            return sae_mem_strdup(&run->last_ckpt, plan->from[i], err);
        if (st != SAE_EFORMAT && st != SAE_EIO)
            return sae_err_set(err, st, "%s", why.msg);
        sae_log_warn("%s; continuing from what was saved before it", why.msg);
        SAE_TRY(make_due(plan, plan->from[i], err));
        SAE_TRY(open_blank(run, plan, err)); /* a state half read is no state */
    }
    return SAE_OK;
}

/* --- 3. saving ---------------------------------------------------------------------------- */

enum sae_status run_save_state(struct run *run, struct sae_err *err)
{
    char *path = NULL;
    SAE_TRY(sae_fs_join(&path, run->plan->dir, "state.h5", err));
    const enum sae_status st = run_save(run, path, true, err);
    free(path);
    run->saved_at = sae_stop_clock();
    return st;
}

/* A row of the followed pairs, on the batch that the feed holds. */
static enum sae_status follow_pairs(struct run *run, const struct feed *feed, bool may_choose,
                                    struct sae_err *err)
{
    return pair_log_add(&run->pairs, run->t, feed->x, may_choose, err);
}

static enum sae_status save_checkpoint(struct run *run, size_t i, struct sae_err *err)
{
    const struct settings *const set = &run->plan->set;
    char *path = NULL;
    SAE_TRY(run_checkpoint_path(&path, run->plan->dir, set, i, err));
    const enum sae_status st = run_save(run, path, set->full_checkpoints, err);
    if (st != SAE_OK) {
        free(path);
        return st;
    }
    free(run->last_ckpt);
    run->last_ckpt = path;
    return SAE_OK;
}

/* Writes the checkpoints that fall on the present step, if any does and is due. Each leaves a state to
 * go on from: a step below it would be lost, as the first is not. */
static enum sae_status save_checkpoints(struct run *run, const struct feed *feed,
                                        struct sae_err *err)
{
    const struct run_plan *const plan = run->plan;
    bool any = false;
    for (size_t i = 0; i < plan->set.checkpoints.n; i++) {
        if (run_checkpoint_step(&plan->set, i) != run->t->step)
            continue;
        SAE_TRY(follow_pairs(run, feed, true, err)); /* due or not: later files hold this row */
        if (!plan->due[i])
            continue;
        SAE_TRY(save_checkpoint(run, i, err));
        any = true;
    }
    if (!any || plan->set.full_checkpoints || run->t->step == 0 || run->t->step >= plan->until)
        return SAE_OK;
    return run_save_state(run, err);
}

/* A state by number of steps or by time. */
static enum sae_status save_on_the_way(struct run *run, struct sae_err *err)
{
    const struct settings *const set = &run->plan->set;
    const bool by_step = set->save_every && run->t->step % set->save_every == 0,
               by_time = set->save_minutes > 0 &&
                         sae_stop_clock() - run->saved_at >= 60 * set->save_minutes;
    return (by_step || by_time) && run->t->step < run->plan->until ? run_save_state(run, err)
                                                                   : SAE_OK;
}

void run_remove_state(const char *dir)
{
    char *path = NULL;
    if (sae_fs_join(&path, dir, "state.h5", NULL) == SAE_OK)
        unlink(path);
    free(path);
    (void)sae_part_sweep(dir);
}

/* --- 4. beginning ------------------------------------------------------------------------- */

enum sae_status run_begin(struct run *run, struct feed *feed, struct sae_err *err)
{
    if (run->norm > 0 && run->norm != feed->norm)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' was scaled by %.17g, but this group of runs by %.17g; resume it "
                           "by itself",
                           run->plan->dir, run->norm, feed->norm);
    run->norm = feed->norm;
    SAE_TRY(heldout_open(&run->held, feed->n_held, feed->d, feed->held, feed->norm, run->t->m,
                         err));
    run->saved_at = sae_stop_clock();
    if (run->last_ckpt) /* restored */
        return SAE_OK;
    float *x = NULL;
    SAE_TRY(feed_batch(feed, 0, err));
    SAE_TRY(feed_host(&x, feed, err));
    trainer_init(run->t, x);
    free(x);
    SAE_TRY(follow_pairs(run, feed, true, err));
    return save_checkpoints(run, feed, err);
}

/* --- 5. a step ---------------------------------------------------------------------------- */

static bool log_due(const struct settings *set, uint64_t done)
{
    return done == 1 || done == set->steps || done % set->log_every == 0;
}

static enum sae_status log_point(struct run *run, const struct feed *feed,
                                 const struct step_stats *stats, struct sae_err *err)
{
    struct heldout_sums sums;
    const size_t rows = run->held.n < HELDOUT_QUICK_ROWS ? run->held.n : HELDOUT_QUICK_ROWS;
    SAE_TRY(series_add(&run->series, run->t, stats, err));
    SAE_TRY(heldout_sums(&run->held, run->t, rows, &sums, err));
    const size_t at = run->series.n - 1;
    run->series.column[SERIES_heldout_recon][at] = sums.sq_error * run->norm * run->norm;
    run->series.column[SERIES_heldout_explained_variance][at] = sums.explained_variance;
    run->series.column[SERIES_heldout_l0][at] = sums.l0;
    return follow_pairs(run, feed, false, err);
}

/* What to change, from the last step that went well. */
static void advise(char *to, size_t size, const struct run *run)
{
    const struct settings *const set = &run->plan->set;
    const struct step_stats *const s = &run->last;
    const double orth = s->orth_weight * s->orth;
    if (set->orth != ORTH_NONE && orth > s->recon)
        snprintf(to, size,
                 "the orthogonality term had outgrown the reconstruction (%.3g against %.3g): a "
                 "smaller --lambda2-max (now %g) or --orth-normalizer latent may help",
                 orth, s->recon, set->lambda2_max);
    else
        snprintf(to, size, "a smaller --lr (now %g)%s may help", set->lr,
                 set->normalize == NORM_NONE ? " or --normalize unit" : "");
}

static enum sae_status explain(struct run *run, enum sae_status st, struct sae_err *err)
{
    if (st != SAE_ERANGE || !err)
        return st;
    char why[400], advice[240], was[64] = "";
    snprintf(why, sizeof why, "%.399s", err->msg);
    advise(advice, sizeof advice, run);
    if (run->series.n > 0)
        snprintf(was, sizeof was, " (at step %.0f the loss was %.4g)",
                 series_last(&run->series, SERIES_step), series_last(&run->series, SERIES_loss));
    return sae_err_set(err, st, "training diverged: %s%s; %s%s%s %s", why, was,
                       run->last_ckpt ? "the last good checkpoint is '" : "no checkpoint yet",
                       run->last_ckpt ? run->last_ckpt : "", run->last_ckpt ? "';" : ";", advice);
}

/* A finite loss may have lost its data all the same; weights that far out do not come back. before: the
 * step before this one, which then is the last that went well. */
static enum sae_status check_error(struct run *run, const struct step_stats *before,
                                   struct sae_err *err)
{
    static const double HOPELESS = -1e8;
    if (!(run->last.explained_variance < HOPELESS))
        return SAE_OK;
    const double times = 1 - run->last.explained_variance;
    run->last = *before;
    return sae_err_set(err, SAE_ERANGE,
                       "the squared error of step %" PRIu64 " is %.3g times the variance of its "
                       "batch",
                       run->t->step, times);
}

/* Adds the seconds since *since to a sum, and moves *since to now. */
static void lap(double *since, double *sum)
{
    const double now = sae_stop_clock();
    *sum += now - *since;
    *since = now;
}

enum sae_status run_step(struct run *run, const struct feed *feed, struct run_clock *clock,
                         struct sae_err *err)
{
    const struct settings *const set = &run->plan->set;
    struct trainer *const t = run->t;
    const bool log = log_due(set, t->step + 1);
    const struct step_stats before = run->last;
    double since = sae_stop_clock();
    SAE_TRY(explain(run, trainer_step(t, feed->x, log, &run->last, err), err));
    lap(&since, &clock->step);
    if (log)
        SAE_TRY(explain(run, check_error(run, &before, err), err));
    if (log)
        SAE_TRY(log_point(run, feed, &run->last, err));
    lap(&since, &clock->watch);
    SAE_TRY(explain(run, save_checkpoints(run, feed, err), err));
    SAE_TRY(save_on_the_way(run, err));
    lap(&since, &clock->save);
    if (t->step == run->plan->until)
        run_remove_state(run->plan->dir);
    return SAE_OK;
}
