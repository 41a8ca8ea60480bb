/* SPDX-License-Identifier: MIT */
/* run : the loop - read a batch, step, log, save.
 * Contents: 1. checkpoints by name   2. beginning   3. logging   4. the loop */
#include "train/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "lib/cli/progress.h"

enum { NORM_BATCHES = 100 }; /* batches whose mean square norm sets the scale */

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

/* --- 2. beginning ------------------------------------------------------------------------- */

/* Square root of the mean square norm over the first batches of the stream. */
static enum sae_status find_norm(struct run *run, struct sae_err *err)
{
    const struct trainer *const t = run->t;
    const uint64_t n_train = sae_acts_n_rows(run->plan->acts) - t->set.heldout_rows;
    double sum = 0;
    uint64_t batches = 0;
    for (; batches < NORM_BATCHES && (batches == 0 || (batches + 1) * t->n <= n_train); batches++) {
        SAE_TRY(sae_acts_stream_read(run->stream, batches * t->n, t->n, run->x, err));
        sum += t->ops->sum_sq(t->n * t->d, run->x) / (double)t->n;
    }
    run->norm = sqrt(sum / (double)batches);
    if (!(run->norm > 0) || !isfinite(run->norm))
        return sae_err_set(err, SAE_ERANGE, "the activations have norm %f: nothing to learn",
                           run->norm);
    return SAE_OK;
}

static enum sae_status read_batch(struct run *run, struct sae_err *err)
{
    const struct trainer *const t = run->t;
    SAE_TRY(sae_acts_stream_read(run->stream, t->step * t->n, t->n, run->x, err));
    if (run->norm != 1)
        for (size_t i = 0; i < t->n * t->d; i++)
            run->x[i] = (float)((double)run->x[i] / run->norm);
    return SAE_OK;
}

static enum sae_status begin(struct run *run, struct sae_err *err)
{
    const struct run_plan *const plan = run->plan;
    const struct settings *const set = &plan->set;
    const size_t d = sae_acts_d(plan->acts);
    const size_t n_train = sae_acts_n_rows(plan->acts) - (size_t)set->heldout_rows;
    SAE_TRY(trainer_open(&run->t, set, plan->ops, d, err));
    SAE_TRY(sae_mem_alloc(&run->x, run->t->n * d, sizeof *run->x, err));
    SAE_TRY(sae_acts_stream_open(&run->stream, plan->acts, n_train, set->seed, err));
    run->norm = 1;
    if (plan->from) {
        SAE_TRY(run_restore(run, plan->from, err));
    } else {
        if (set->normalize == NORM_UNIT)
            SAE_TRY(find_norm(run, err));
        SAE_TRY(read_batch(run, err));
        trainer_init(run->t, run->x);
    }
    return heldout_open(&run->held, plan->acts, (size_t)set->heldout_rows, run->norm, run->t->m,
                        err);
}

static void end(struct run *run)
{
    const struct sae_ops *const ops = run->plan->ops;
    heldout_close(&run->held, ops);
    trainer_close(run->t);
    sae_acts_stream_close(run->stream);
    series_clear(&run->series);
    pair_log_clear(&run->pairs);
    free(run->x);
    free(run->last_ckpt);
}

/* --- 3. logging --------------------------------------------------------------------------- */

static bool log_due(const struct settings *set, uint64_t done)
{
    return done == 1 || done == set->steps || done % set->log_every == 0;
}

static enum sae_status log_point(struct run *run, const struct step_stats *stats,
                                 struct sae_err *err)
{
    struct heldout_sums sums;
    const size_t rows = run->held.n < HELDOUT_QUICK_ROWS ? run->held.n : HELDOUT_QUICK_ROWS;
    SAE_TRY(series_add(&run->series, run->t, stats, err));
    SAE_TRY(heldout_sums(&run->held, run->t, rows, &sums, err));
    const size_t at = run->series.n - 1;
    run->series.column[SERIES_heldout_recon][at] = sums.sq_error * run->norm * run->norm;
    run->series.column[SERIES_heldout_explained_variance][at] = sums.explained_variance;
    run->series.column[SERIES_heldout_l0][at] = sums.l0;
    return pair_log_add(&run->pairs, run->t, err);
}

static void show(struct sae_progress *bar, const struct run *run, const struct step_stats *s)
{
    char note[120];
    snprintf(note, sizeof note, "loss %.4g  l0 %.1f  dead %.0f", s->loss, s->l0, s->dead);
    sae_progress_step(bar, run->t->step * run->t->n, note);
}

/* --- 4. the loop -------------------------------------------------------------------------- */

static enum sae_status save_state(struct run *run, struct sae_err *err)
{
    char *path = NULL;
    SAE_TRY(sae_fs_join(&path, run->plan->dir, "state.h5", err));
    const enum sae_status st = run_save(run, path, err);
    free(path);
    return st;
}

/* Writes the checkpoint that falls on the present step, if one does. */
static enum sae_status save_checkpoints(struct run *run, struct sae_err *err)
{
    const struct settings *const set = &run->plan->set;
    for (size_t i = 0; i < set->checkpoints.n; i++) {
        if (run_checkpoint_step(set, i) != run->t->step)
            continue;
        if (run->pairs.n == 0 && run->t->step > 0) {
            SAE_TRY(pair_log_choose(&run->pairs, run->t, err));
            SAE_TRY(pair_log_add(&run->pairs, run->t, err));
        }
        char *path = NULL;
        SAE_TRY(run_checkpoint_path(&path, run->plan->dir, set, i, err));
        const enum sae_status st = run_save(run, path, err);
        if (st != SAE_OK) {
            free(path);
            return st;
        }
        free(run->last_ckpt);
        run->last_ckpt = path;
    }
    return SAE_OK;
}

static enum sae_status stop_now(struct run *run, struct sae_err *err)
{
    SAE_TRY(save_state(run, err));
    return sae_err_set(err, SAE_EINTR,
                       "stopped after step %" PRIu64 " of %" PRIu64 ", state saved; continue with "
                       "'sae-train --resume %s'",
                       run->t->step, run->plan->set.steps, run->plan->dir);
}

static enum sae_status explain(struct run *run, enum sae_status st, struct sae_err *err)
{
    if (st != SAE_ERANGE || !err)
        return st;
    char why[600];
    snprintf(why, sizeof why, "%.500s", err->msg);
    return sae_err_set(err, st,
                       "training diverged: %s; %s%s%s a smaller --lr or --normalize unit may help",
                       why, run->last_ckpt ? "the last good checkpoint is '" : "no checkpoint yet",
                       run->last_ckpt ? run->last_ckpt : "", run->last_ckpt ? "';" : ";");
}

static enum sae_status one_step(struct run *run, struct sae_progress *bar, struct sae_err *err)
{
    const struct settings *const set = &run->plan->set;
    struct trainer *const t = run->t;
    struct step_stats stats;
    const bool log = log_due(set, t->step + 1);
    SAE_TRY(read_batch(run, err));
    SAE_TRY(explain(run, trainer_step(t, run->x, log, &stats, err), err));
    if (log)
        SAE_TRY(log_point(run, &stats, err));
    show(bar, run, &stats);
    SAE_TRY(explain(run, save_checkpoints(run, err), err));
    if (t->step < set->steps && sae_stop_asked())
        return stop_now(run, err);
    if (set->save_every && t->step % set->save_every == 0 && t->step < set->steps)
        return save_state(run, err);
    return SAE_OK;
}

/* The last checkpoint holds all that state.h5 held. What a kill in the midst of saving it left
 * behind goes too. */
static void remove_state(const char *state)
{
    struct sae_str part = {0};
    unlink(state);
    if (sae_str_printf(&part, NULL, "%s.part", state) == SAE_OK)
        unlink(part.s);
    sae_str_clear(&part);
}

enum sae_status run_train(const struct run_plan *plan, struct sae_err *err)
{
    struct run run = {.plan = plan};
    struct sae_progress bar;
    bool shown = false;
    char *state = NULL;
    enum sae_status st;
    SAE_GO(st, begin(&run, err));
    SAE_GO(st, sae_fs_join(&state, plan->dir, "state.h5", err));
    const uint64_t total = plan->set.steps * run.t->n;
    sae_progress_begin(&bar, "train", "tokens", run.t->step * run.t->n, total);
    shown = true;
    if (run.t->step == 0)
        SAE_GO(st, save_checkpoints(&run, err));
    while (run.t->step < plan->set.steps)
        SAE_GO(st, one_step(&run, &bar, err));
    remove_state(state);
done:
    if (shown)
        sae_progress_end(&bar);
    free(state);
    end(&run);
    return st;
}
