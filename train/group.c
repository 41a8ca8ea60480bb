/* SPDX-License-Identifier: MIT */
/* group : the loop. Runs that see the same batches are stepped side by side on each, as many at a
 * time as memory holds; groups follow one another.
 * Contents: 1. groups   2. what is shown   3. one group   4. all of them */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/plan.h"
#include "lib/cli/progress.h"
#include "train/job.h"

struct member {
    struct run_plan *plan;
    struct run run;
    bool active;
};

struct group {
    struct feed feed;
    size_t n, n_active;
    struct member *member;
};

/* What all groups share. */
struct loop {
    struct job *job;
    struct sae_progress bar;
    uint64_t tokens;  /* trained on by now, over all runs, those of earlier processes too */
    size_t n_groups, group, n_failed;
    struct run_clock clock;
};

/* --- 1. groups ---------------------------------------------------------------------------- */

/* In order of the runs, a group is open to the runs of its feed until its memory is full. */
size_t job_groups(const struct job *job, double memory, size_t *group_of, size_t *ret_most,
                  double *ret_bytes)
{
    const size_t d = sae_acts_d(job->acts), n_rows = sae_acts_n_rows(job->acts);
    size_t n_groups = 0;
    *ret_most = 0;
    *ret_bytes = 0;
    for (size_t i = 0; i < job->n; i++)
        group_of[i] = SIZE_MAX;
    for (size_t i = 0; i < job->n; i++) {
        const struct settings *const set = &job->plans[i].set;
        if (job->plans[i].finished || group_of[i] != SIZE_MAX)
            continue;
        double used = feed_memory(set, n_rows, d) + run_memory(set, d);
        size_t size = 1;
        group_of[i] = n_groups;
        for (size_t j = i + 1; j < job->n; j++) {
            const double more = run_memory(&job->plans[j].set, d);
            if (job->plans[j].finished || group_of[j] != SIZE_MAX ||
                !feed_same(set, &job->plans[j].set) || used + more > memory)
                continue;
            group_of[j] = n_groups;
            used += more;
            size++;
        }
        *ret_most = size > *ret_most ? size : *ret_most;
        *ret_bytes = fmax(*ret_bytes, used);
        n_groups++;
    }
    return n_groups;
}

double job_memory(const struct job *job)
{
    return job->memory ? (double)job->memory : 0.75 * sae_host_memory_free();
}

/* Warns where memory does not suffice; of the disk job_check_disk decides. */
static void warn_of(const struct job *job, double planned)
{
    struct sae_plan plan;
    sae_plan_init(&plan, false, job->dir);
    sae_plan_memory(&plan, planned, "run");
    sae_plan_warn(&plan);
}

/* Says what will be done and what it takes. */
static void tell_plan(const struct job *job, double memory, size_t n_groups, size_t most)
{
    double one = 0;
    size_t n = 0;
    for (size_t i = 0; i < job->n; i++) {
        if (job->plans[i].finished)
            continue;
        n++;
        one = fmax(one, run_memory(&job->plans[i].set, sae_acts_d(job->acts)));
    }
    if (n == 0 || !job->sweep)
        return;
    char each[32], limit[32];
    sae_plan_size_text(each, sizeof each, one);
    sae_plan_size_text(limit, sizeof limit, memory);
    sae_log_info("sweep: %zu run%s to train%s in %zu group%s; a group of up to %zu shares one pass "
                 "over the activations; about %s a run, %s may be taken (--memory)",
                 n, n == 1 ? "" : "s", n < job->n ? ", the others are finished," : "", n_groups,
                 n_groups == 1 ? "" : "s", most, each, limit);
    if (one > memory)
        sae_log_warn("one run takes about %s, more than the %s that may be taken; they are trained "
                     "one at a time all the same",
                     each, limit);
}

/* A store that is read many times over teaches its rows by heart. */
static void tell_epochs(const struct job *job)
{
    double most = 0, rows = 0;
    for (size_t i = 0; i < job->n; i++) {
        const struct settings *const set = &job->plans[i].set;
        const double n = (double)sae_acts_n_rows(job->acts) - (double)set->heldout_rows;
        const double times = (double)set->steps * (double)set->batch / n;
        if (job->plans[i].finished || !(times > most))
            continue;
        most = times;
        rows = n;
    }
    if (most > 1.005)
        sae_log_info("the run goes %.1f times through the %.0f training rows of the store%s", most,
                     rows,
                     most > 10 ? "; so many passes overfit: harvest more tokens, or train for fewer"
                               : "");
}

/* A small store ends a run before it has learnt anything. */
static void tell_short(const struct job *job)
{
    enum { FEW = 100 };
    const struct settings *fewest = NULL;
    for (size_t i = 0; i < job->n; i++)
        if (!job->plans[i].finished && (!fewest || job->plans[i].set.steps < fewest->steps))
            fewest = &job->plans[i].set;
    if (fewest && fewest->steps < FEW)
        sae_log_info("%" PRIu64 " step%s of %" PRIu64 " tokens teach an autoencoder little: harvest more "
                     "text, read it several times with --tokens, or make --batch smaller",
                     fewest->steps, fewest->steps == 1 ? "" : "s", fewest->batch);
}

/* --- 2. what is shown --------------------------------------------------------------------- */

static void note_one(char *to, size_t size, const struct run *run)
{
    const struct step_stats *const s = &run->last;
    int at = snprintf(to, size, "loss %.4g  l0 %.1f  dead %.0f", s->loss, s->l0, s->dead);
    if (run->plan->set.orth != ORTH_NONE && at > 0 && (size_t)at < size)
        snprintf(to + at, size - (size_t)at, "  lambda2 %.3g  tau %.3g", s->lambda2, s->tau);
}

static void note_group(char *to, size_t size, const struct loop *loop, const struct group *group)
{
    double low = INFINITY, high = -INFINITY, dead = 0;
    uint64_t step = 0;
    for (size_t i = 0; i < group->n; i++) {
        const struct run *const run = &group->member[i].run;
        if (!group->member[i].active)
            continue;
        low = fmin(low, run->last.loss);
        high = fmax(high, run->last.loss);
        dead = fmax(dead, run->last.dead);
        step = run->t->step;
    }
    snprintf(to, size, "group %zu/%zu: %zu runs at step %" PRIu64 "  loss %.4g to %.4g  dead %.0f",
             loop->group + 1, loop->n_groups, group->n_active, step, low, high, dead);
}

static void show(struct loop *loop, const struct group *group)
{
    char note[160];
    if (group->n_active == 0)
        return;
    if (loop->job->sweep)
        note_group(note, sizeof note, loop, group);
    else
        note_one(note, sizeof note, &group->member[0].run);
    sae_progress_step(&loop->bar, loop->tokens < loop->bar.total ? loop->tokens : loop->bar.total,
                      note);
}

/* --- 3. one group ------------------------------------------------------------------------- */

static void drop_member(struct group *group, struct member *member)
{
    run_close(&member->run);
    member->active = false;
    group->n_active--;
}

/* The run ends here; the others go on. Alone, its failure is the job's. */
static enum sae_status fail(struct loop *loop, struct group *group, struct member *member,
                            enum sae_status st, struct sae_err *err)
{
    struct run_plan *const plan = member->plan;
    plan->failed = st;
    drop_member(group, member);
    if (!loop->job->sweep)
        return st;
    loop->n_failed++;
    sae_log_error("%s: %s", sae_fs_base(plan->dir), err ? err->msg : "failed");
    return sae_mem_strdup(&plan->why, err ? err->msg : "failed", err);
}

static enum sae_status open_group(struct loop *loop, struct group *group, struct sae_err *err)
{
    double norm = 0;
    for (size_t i = 0; i < group->n; i++) {
        struct member *const member = &group->member[i];
        member->active = true;
        group->n_active++;
        const enum sae_status st = run_open(&member->run, member->plan, err);
        if (st != SAE_OK) {
            SAE_TRY(fail(loop, group, member, st, err));
            continue;
        }
        norm = norm > 0 ? norm : member->run.norm;
    }
    if (group->n_active == 0)
        return SAE_OK;
    const struct settings *const set = &group->member[0].plan->set;
    for (size_t i = 0; i < group->n; i++)
        if (group->member[i].active)
            group->feed.reserve_bytes += run_later_bytes(&group->member[i].plan->set, loop->job->ops,
                                                        sae_acts_d(loop->job->acts));
    SAE_TRY(feed_begin(&group->feed, set, loop->job->ops, norm, err));
    if (!loop->job->begun) {
        SAE_TRY(feed_batch(&group->feed, 0, err));
        SAE_TRY(job_begin(loop->job, err)); /* all that can be refused has been */
    }
    for (size_t i = 0; i < group->n; i++) {
        struct member *const member = &group->member[i];
        if (!member->active)
            continue;
        const enum sae_status st = run_begin(&member->run, &group->feed, err);
        if (st != SAE_OK)
            SAE_TRY(fail(loop, group, member, st, err));
        else if (member->plan->until == 0) /* only its first checkpoint was missing */
            drop_member(group, member);
    }
    return SAE_OK;
}

/* All runs that are furthest behind make their step: after a kill they may have been saved at
 * different steps, and meet again here. */
static enum sae_status step_group(struct loop *loop, struct group *group, struct sae_err *err)
{
    uint64_t step = UINT64_MAX;
    for (size_t i = 0; i < group->n; i++)
        if (group->member[i].active && group->member[i].run.t->step < step)
            step = group->member[i].run.t->step;
    const double began = sae_stop_clock();
    SAE_TRY(feed_batch(&group->feed, step, err));
    loop->clock.read += sae_stop_clock() - began;
    for (size_t i = 0; i < group->n; i++) {
        struct member *const member = &group->member[i];
        if (!member->active || member->run.t->step != step)
            continue;
        const enum sae_status st = run_step(&member->run, &group->feed, &loop->clock, err);
        if (st != SAE_OK) {
            SAE_TRY(fail(loop, group, member, st, err));
            continue;
        }
        loop->tokens += group->feed.n;
        show(loop, group);
        if (member->run.t->step == member->plan->until)
            drop_member(group, member);
    }
    return SAE_OK;
}

/* The state of each run that is not at its end. */
static enum sae_status stop_group(const struct loop *loop, struct group *group, struct sae_err *err)
{
    const struct job *const job = loop->job;
    struct run *run = NULL;
    for (size_t i = 0; i < group->n; i++) {
        if (!group->member[i].active)
            continue;
        run = &group->member[i].run;
        SAE_TRY(run_save_state(run, err));
    }
    if (!run)
        return SAE_OK;
    const char *const acts = job->moved ? " --acts " : "";
    const struct sae_shell at = job->moved ? sae_str_shell(job->moved) : (struct sae_shell){""};
    if (job->sweep)
        return sae_err_set(err, SAE_EINTR,
                           "stopped, the state of %zu runs saved; continue with: sae-train "
                           "--resume %s%s%s",
                           group->n_active, sae_str_shell(job->dir).s, acts, at.s);
    return sae_err_set(err, SAE_EINTR,
                       "stopped after step %" PRIu64 " of %" PRIu64 ", state saved; continue "
                       "with: sae-train --resume %s%s%s",
                       run->t->step, run->plan->set.steps, sae_str_shell(job->dir).s, acts, at.s);
}

static enum sae_status train_group(struct loop *loop, struct group *group, struct sae_err *err)
{
    SAE_TRY(feed_open(&group->feed, loop->job->acts, &group->member[0].plan->set, err));
    SAE_TRY(open_group(loop, group, err));
    while (group->n_active > 0) {
        SAE_TRY(step_group(loop, group, err));
        if (sae_stop_asked())
            SAE_TRY(stop_group(loop, group, err));
    }
    return SAE_OK;
}

static void close_group(struct group *group)
{
    for (size_t i = 0; i < group->n; i++)
        run_close(&group->member[i].run);
    feed_close(&group->feed);
    free(group->member);
}

/* --- 4. all of them ----------------------------------------------------------------------- */

static enum sae_status train_numbered(struct loop *loop, const size_t *group_of,
                                      struct sae_err *err)
{
    const struct job *const job = loop->job;
    struct group group = {0};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&group.member, job->n, sizeof *group.member, err));
    for (size_t i = 0; i < job->n; i++)
        if (group_of[i] == loop->group)
            group.member[group.n++].plan = &job->plans[i];
    st = train_group(loop, &group, err);
done:
    close_group(&group);
    return st;
}

static void begin_bar(struct loop *loop)
{
    const struct job *const job = loop->job;
    uint64_t total = 0;
    for (size_t i = 0; i < job->n; i++) {
        const struct run_plan *const plan = &job->plans[i];
        if (plan->finished)
            continue;
        total += plan->until * plan->set.batch;
        loop->tokens += plan->from_step * plan->set.batch;
    }
    sae_progress_begin(&loop->bar, "train", "tokens", loop->tokens, total);
}

/* Where the time went, and how far it is from the steps alone; memory beside its plan. */
static void tell_clock(const struct job *job, double planned)
{
    char plan[32], peak[32];
    const struct run_clock *const c = &job->clock;
    sae_log_debug("%.2f s: steps %.2f, waiting for batches %.2f, series %.2f, checkpoints %.2f, "
                  "rest %.2f",
                  job->seconds, c->step, c->read, c->watch, c->save,
                  job->seconds - c->step - c->read - c->watch - c->save);
    sae_plan_size_text(plan, sizeof plan, planned);
    sae_plan_size_text(peak, sizeof peak, sae_host_memory_peak());
    sae_log_debug("memory: %s at most, about %s were planned", peak, plan);
}

enum sae_status job_train(struct job *job, struct sae_err *err)
{
    struct loop loop = {.job = job};
    size_t *group_of = NULL;
    const double began = sae_stop_clock();
    const double limit = job_memory(job);
    size_t most = 0;
    double planned = 0;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&group_of, job->n, sizeof *group_of, err));
    loop.n_groups = job_groups(job, limit, group_of, &most, &planned);
    tell_plan(job, limit, loop.n_groups, most);
    tell_short(job);
    tell_epochs(job);
    SAE_GO(st, job_check_disk(job, most, err));
    warn_of(job, planned);
    begin_bar(&loop);
    for (; loop.group < loop.n_groups; loop.group++)
        SAE_GO(st, train_numbered(&loop, group_of, err));
    st = SAE_OK;
    if (loop.n_failed > 0)
        st = sae_err_set(err, SAE_ERANGE, "%zu of %zu runs failed, see above; the others are whole",
                         loop.n_failed, job->n);
done:
    sae_progress_end(&loop.bar);
    job->clock = loop.clock;
    job->seconds = sae_stop_clock() - began;
    tell_clock(job, planned);
    free(group_of);
    return st;
}
