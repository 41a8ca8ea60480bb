/* SPDX-License-Identifier: MIT */
/* resume : what an interrupted run or sweep left, and its plan again.
 * Contents: 1. states of a run   2. record and store   3. one run   4. a sweep */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/sae/ckpt.h"
#include "train/job.h"
#include "train/options.h"

/* --- 1. states of a run ------------------------------------------------------------------- */

struct state {
    char *path;
    uint64_t step, total;
};

struct states {
    size_t n, cap;
    struct state *v;
};

static void clear_states(struct states *states)
{
    for (size_t i = 0; i < states->n; i++)
        free(states->v[i].path);
    free(states->v);
    *states = (struct states){0};
}

static enum sae_status step_of(struct state *state, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    enum sae_status st;
    SAE_GO(st, sae_h5_open(&file, state->path, "checkpoint", err));
    SAE_GO(st, sae_h5_attr_u64(file, "/", "step", &state->step, err));
    SAE_GO(st, sae_h5_attr_u64(file, "/", "total_steps", &state->total, err));
done:
    sae_h5_close(file);
    return st;
}

/* Damage is told and passed over. */
static enum sae_status add_state(struct states *states, const char *dir, const char *name,
                                 struct sae_err *err)
{
    struct state state = {0};
    struct sae_err why = {0};
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&state.path, dir, name, err));
    st = step_of(&state, &why);
    if (st == SAE_EVERSION || st == SAE_ENOMEM) {
        st = sae_err_set(err, st, "%s", why.msg);
        goto done;
    }
    if (st != SAE_OK) {
        sae_log_warn("%s; going on without it", why.msg);
        st = SAE_OK;
        goto done;
    }
    SAE_GO(st, sae_mem_grow(&states->v, &states->cap, states->n + 1, sizeof *states->v, err));
    states->v[states->n++] = state;
    state.path = NULL;
done:
    free(state.path);
    return st;
}

static int furthest_first(const void *a, const void *b)
{
    const struct state *const x = a, *const y = b;
    if (x->step != y->step)
        return x->step < y->step ? 1 : -1;
    return sae_fs_natural_cmp(x->path, y->path);
}

/* Everything in the folder that a run can go on from, furthest first; may be nothing. */
static enum sae_status list_states(struct states *ret, const char *dir, struct sae_err *err)
{
    static const char *const prefixes[] = {"ckpt_", "state"};
    enum sae_status st = SAE_OK;
    for (size_t p = 0; st == SAE_OK && p < sizeof prefixes / sizeof *prefixes; p++) {
        char **names = NULL;
        size_t n = 0;
        SAE_TRY(sae_fs_list(&names, &n, dir, prefixes[p], ".h5", err));
        for (size_t i = 0; st == SAE_OK && i < n; i++)
            st = add_state(ret, dir, names[i], err);
        sae_fs_list_free(names, n);
    }
    if (st == SAE_OK && ret->n > 1)
        qsort(ret->v, ret->n, sizeof *ret->v, furthest_first);
    return st;
}

static enum sae_status take_states(struct run_plan *plan, struct states *states,
                                   struct sae_err *err)
{
    if (states->n == 0)
        return SAE_OK;
    SAE_TRY(sae_mem_alloc(&plan->from, states->n, sizeof *plan->from, err));
    for (size_t i = 0; i < states->n; i++) {
        plan->from[i] = states->v[i].path;
        states->v[i].path = NULL;
    }
    plan->n_from = states->n;
    plan->from_step = states->v[0].step;
    plan->finished = states->v[0].step >= states->v[0].total;
    return SAE_OK;
}

/* --- 2. record and store ------------------------------------------------------------------ */

static enum sae_status record_of(json_t **ret, const char *path, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    enum sae_status st;
    SAE_GO(st, sae_h5_open(&file, path, "checkpoint", err));
    SAE_GO(st, sae_json_parse(ret, sae_h5_record(file), path, err));
done:
    sae_h5_close(file);
    return st;
}

/* Opens the store the run was trained on: where the record says, or where --acts says it went. */
static enum sae_status open_store(struct job *job, const struct asked *asked, const char *dir,
                                  const json_t *record, struct sae_err *err)
{
    const json_t *const input = sae_record_find_input(record, "acts");
    const char *const path = sae_json_str(input, "path", NULL);
    const char *const id = sae_json_str(input, "id", NULL);
    char *store = NULL;
    enum sae_status st = SAE_OK;
    if (!path || !id)
        return sae_err_set(err, SAE_EFORMAT, "'%s' names no activation store in its record", dir);
    if (!job->acts) {
        SAE_GO(st, asked->acts ? sae_mem_strdup(&store, asked->acts, err)
                               : sae_fs_join(&store, dir, path, err));
        st = sae_acts_open(&job->acts, store, err);
        if (st != SAE_OK) {
            if (!asked->acts)
                (void)sae_err_prefix(err, "the run's store (if it moved, give --acts DIR)");
            goto done;
        }
    }
    if (strcmp(id, sae_acts_id(job->acts)) != 0)
        st = sae_err_set(err, SAE_EARG,
                         "'%s' is not the store of this run: its id is %.12s, but '%s' was "
                         "trained on %.12s",
                         sae_acts_dir(job->acts), sae_acts_id(job->acts), dir, id);
done:
    free(store);
    return st;
}

/* A longer or shorter run is no continuation: where the schedules stand follows from its length. */
static enum sae_status refuse_length(const struct asked *asked, const char *name,
                                     const json_t *options, struct sae_err *err)
{
    const char *const was = sae_json_str(options, name, "");
    const uint64_t now =
        strcmp(name, "steps") == 0 ? asked->set->steps : asked->set->tokens;
    if (!sae_opt_given(asked->cli, name) || strtoull(was, NULL, 10) == now)
        return SAE_OK;
    return sae_err_set(err, SAE_EARG,
                       "--%s %" PRIu64 ": the run was started with %s, and its schedules (learning "
                       "rate, lambda2, tau, k) follow the whole length; train a new run of that "
                       "length with -o",
                       name, now, was);
}

/* The table becomes what it was when the run began. */
static enum sae_status apply_record(const struct asked *asked, const json_t *record,
                                    const char *dir, struct sae_err *err)
{
    json_t *const options = json_copy(json_object_get(record, "options"));
    enum sae_status st;
    if (!json_is_object(options)) {
        json_decref(options);
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no options in its record", dir);
    }
    /* The store is known by its id, not by where it was when the run began. */
    json_object_del(options, "acts");
    SAE_GO(st, sae_opt_rewind(asked->cli, err));
    options_unset(asked->set);
    SAE_GO(st, sae_opt_refresh(asked->cli, err));
    SAE_GO(st, refuse_length(asked, "steps", options, err));
    SAE_GO(st, refuse_length(asked, "tokens", options, err));
    st = sae_opt_apply(asked->cli, options, err);
done:
    json_decref(options);
    return st;
}

/* Adds the plan of a run from its record. */
static enum sae_status plan_again(struct job *job, const struct asked *asked, const char *dir,
                                  json_t *record, struct sae_err *err)
{
    SAE_TRY(apply_record(asked, record, dir, err));
    SAE_TRY(open_store(job, asked, dir, record, err));
    struct settings set = *asked->set;
    SAE_TRY(settings_resolve(&set, sae_acts_n_rows(job->acts), sae_acts_d(job->acts), err));
    return job_add(job, &set, dir, json_incref(record), err);
}

/* --- 3. one run --------------------------------------------------------------------------- */

/* A damaged end is told and dropped from the list, so that the run is finished anew from the state
 * before it. */
static void drop_damaged_end(struct states *states)
{
    while (states->n > 0 && states->v[0].step >= states->v[0].total) {
        struct sae_ckpt ckpt = {0};
        struct sae_err why = {0};
        const enum sae_status st = sae_ckpt_load(&ckpt, states->v[0].path, &why);
        sae_ckpt_clear(&ckpt);
        if (st == SAE_OK)
            return;
        sae_log_warn("%s; going on from what was saved before it", why.msg);
        free(states->v[0].path);
        memmove(states->v, states->v + 1, --states->n * sizeof *states->v);
    }
}

/* A run that was killed between its last checkpoint and the removal of state.h5 has that left to
 * do; else there is nothing to resume. */
static enum sae_status finish_up(const struct run_plan *plan, struct sae_err *err)
{
    if (run_remove_state(plan->dir))
        return SAE_OK;
    return sae_err_set(err, SAE_EARG,
                       "'%s' is finished: %" PRIu64 " of %" PRIu64 " steps are done; nothing to "
                       "resume (a longer run is a run of its own, for its schedules follow the "
                       "whole length)",
                       plan->dir, plan->from_step, plan->set.steps);
}

static enum sae_status resume_one(struct job *job, const struct asked *asked, struct sae_err *err)
{
    struct states states = {0};
    json_t *record = NULL;
    enum sae_status st;
    SAE_GO(st, list_states(&states, asked->resume, err));
    drop_damaged_end(&states);
    if (states.n == 0) {
        st = sae_err_set(err, SAE_EARG, "cannot resume '%s': no sound checkpoint and no state.h5 in it",
                         asked->resume);
        goto done;
    }
    SAE_GO(st, record_of(&record, states.v[0].path, err));
    SAE_GO(st, plan_again(job, asked, asked->resume, record, err));
    SAE_GO(st, take_states(&job->plans[0], &states, err));
    if (job->plans[0].finished)
        st = finish_up(&job->plans[0], err);
    else
        sae_log_info("resuming from '%s'", job->plans[0].from[0]);
done:
    json_decref(record);
    clear_states(&states);
    return st;
}

/* --- 4. a sweep --------------------------------------------------------------------------- */

static enum sae_status load_sweep(json_t **ret, const char *path, struct sae_err *err)
{
    json_t *sweep = NULL;
    SAE_TRY(sae_json_load(&sweep, path, err));
    const uint64_t version = sae_json_u64(sweep, "format_version", 0);
    enum sae_status st = SAE_OK;
    if (version > 1)
        st = sae_err_set(err, SAE_EVERSION,
                         "'%s' has format version %" PRIu64 ", this build knows up to 1", path,
                         version);
    else if (version == 0 || strcmp(sae_json_str(sweep, "kind", ""), "sweep") != 0 ||
             json_array_size(json_object_get(sweep, "runs")) == 0)
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is not the plan of a sweep", path);
    if (st != SAE_OK) {
        json_decref(sweep);
        return st;
    }
    *ret = sweep;
    return SAE_OK;
}

static enum sae_status resume_member(struct job *job, const struct asked *asked, const json_t *run,
                                     struct sae_err *err)
{
    const char *const name = sae_json_str(run, "name", "");
    json_t *const record = json_object_get(run, "record");
    struct states states = {0};
    char *dir = NULL;
    enum sae_status st;
    if (strncmp(name, "run_", 4) != 0 || strchr(name, '/') || !json_is_object(record))
        return sae_err_set(err, SAE_EFORMAT, "'%s/sweep.json' holds a run without name or record",
                           asked->resume);
    SAE_GO(st, sae_fs_join(&dir, asked->resume, name, err));
    if (sae_fs_is_dir(dir))
        SAE_GO(st, list_states(&states, dir, err));
    SAE_GO(st, plan_again(job, asked, dir, record, err));
    SAE_GO(st, take_states(&job->plans[job->n - 1], &states, err));
    if (job->plans[job->n - 1].finished)
        run_remove_state(dir);
done:
    free(dir);
    clear_states(&states);
    return st;
}

static enum sae_status resume_sweep(struct job *job, const struct asked *asked, const char *path,
                                    struct sae_err *err)
{
    json_t *sweep = NULL;
    SAE_TRY(load_sweep(&sweep, path, err));
    size_t i, finished = 0;
    json_t *run;
    enum sae_status st = SAE_OK;
    job->sweep = true;
    if (!sae_opt_given(asked->cli, "memory"))
        job->memory = sae_json_u64(sweep, "memory", 0);
    json_array_foreach(json_object_get(sweep, "runs"), i, run)
    {
        SAE_GO(st, resume_member(job, asked, run, err));
        finished += job->plans[i].finished;
    }
    if (finished == job->n)
        st = sae_err_set(err, SAE_EARG, "'%s' is finished: all of its %zu runs are; nothing to "
                         "resume", asked->resume, job->n);
    for (i = 0; st == SAE_OK && i < job->n; i++)
        st = sae_fs_make_dirs(job->plans[i].dir, err);
done:
    json_decref(sweep);
    return st;
}

enum sae_status job_resume(struct job *job, const struct asked *asked, struct sae_err *err)
{
    char *path = NULL;
    enum sae_status st;
    if (asked->out)
        return sae_err_set(err, SAE_EARG,
                           "--out and --resume both name a run folder; leave --out "
                           "out to continue '%s'",
                           asked->resume);
    if (!sae_fs_is_dir(asked->resume))
        return sae_err_set(err, SAE_EIO, "cannot resume '%s': no such folder", asked->resume);
    job->memory = asked->memory;
    job->begun = true;
    SAE_GO(st, sae_mem_strdup(&job->dir, asked->resume, err));
    SAE_GO(st, job_sweep_path(&path, asked->resume, err));
    st = sae_fs_is_file(path) ? resume_sweep(job, asked, path, err) : resume_one(job, asked, err);
done:
    free(path);
    return st;
}
