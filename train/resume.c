/* SPDX-License-Identifier: MIT */
/* resume : what an interrupted run or sweep left, and its plan again.
 * Contents: 1. what is there   2. where to go on from   3. record and store   4. one run
 *           5. a sweep   6. either */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cli/folder.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/sae/ckpt.h"
#include "train/job.h"
#include "train/options.h"

/* --- 1. what is there --------------------------------------------------------------------- */

/* The record of a run: of its furthest file that opens. A warning names those that do not, where their
 * place in the run is known. */
static enum sae_status record_of(json_t **ret, const char *path, uint64_t *ret_step,
                                 struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    enum sae_status st;
    SAE_GO(st, sae_h5_open(&file, path, "checkpoint", err));
    SAE_GO(st, sae_h5_attr_u64(file, "/", "step", ret_step, err));
    st = sae_json_parse(ret, sae_h5_record(file), path, err);
done:
    sae_h5_close(file);
    return st;
}

static bool is_fatal(enum sae_status st)
{
    return st == SAE_EVERSION || st == SAE_ENOMEM;
}

/* *ret is NULL where no file opens; why says then what was wrong with the last. */
static enum sae_status find_record(json_t **ret, const char *dir, struct sae_err *why,
                                   struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0;
    uint64_t furthest = 0;
    enum sae_status st = SAE_OK;
    *ret = NULL;
    SAE_TRY(job_run_files(&names, &n, dir, err));
    for (size_t i = 0; st == SAE_OK && i < n; i++) {
        char *path = NULL;
        json_t *record = NULL;
        uint64_t step = 0;
        st = sae_fs_join(&path, dir, names[i], err);
        const enum sae_status got = st == SAE_OK ? record_of(&record, path, &step, why) : st;
        if (st == SAE_OK && is_fatal(got))
            st = sae_err_set(err, got, "%s", why->msg);
        if (record && (!*ret || step >= furthest)) {
            json_decref(*ret);
            *ret = json_incref(record);
            furthest = step;
        }
        json_decref(record);
        free(path);
    }
    sae_fs_list_free(names, n);
    if (st != SAE_OK) {
        json_decref(*ret);
        *ret = NULL;
    }
    return st;
}

/* Whether a checkpoint is whole, and this run's. */
static enum sae_status check_checkpoint(const struct run_plan *plan, size_t i, const char *path,
                                        struct sae_err *err)
{
    struct sae_ckpt ckpt = {0};
    SAE_TRY(sae_ckpt_load(&ckpt, path, err));
    enum sae_status st = SAE_OK;
    if (!json_equal(ckpt.record, plan->record) ||
        ckpt.step != run_checkpoint_step(&plan->set, i))
        st = sae_err_set(err, SAE_EFORMAT, "'%s' was made by another run than '%s' is", path,
                         plan->dir);
    sae_ckpt_clear(&ckpt);
    return st;
}

/* plan->due: the checkpoints that are not there, or damaged. */
static enum sae_status find_due(struct run_plan *plan, struct sae_err *err)
{
    plan->finished = true;
    plan->until = 0;
    for (size_t i = 0; i < plan->set.checkpoints.n; i++) {
        char *path = NULL;
        struct sae_err why = {0};
        SAE_TRY(run_checkpoint_path(&path, plan->dir, &plan->set, i, err));
        const bool is_file = sae_fs_is_file(path);
        const enum sae_status st = is_file ? check_checkpoint(plan, i, path, &why) : SAE_OK;
        free(path);
        if (is_fatal(st))
            return sae_err_set(err, st, "%s", why.msg);
        if (st != SAE_OK)
            sae_log_warn("%s; it is written again", why.msg);
        plan->due[i] = !is_file || st != SAE_OK;
        if (!plan->due[i])
            continue;
        plan->finished = false;
        plan->until = run_checkpoint_step(&plan->set, i);
    }
    return SAE_OK;
}

/* --- 2. where to go on from --------------------------------------------------------------- */

struct state {
    char *path;
    uint64_t step;
};

static int furthest_first(const void *a, const void *b)
{
    const struct state *const x = a, *const y = b;
    if (x->step != y->step)
        return x->step < y->step ? 1 : -1;
    return sae_fs_natural_cmp(x->path, y->path);
}

/* First step after which a checkpoint is due. */
static uint64_t first_due(const struct run_plan *plan)
{
    for (size_t i = 0; i < plan->set.checkpoints.n; i++)
        if (plan->due[i])
            return run_checkpoint_step(&plan->set, i);
    return UINT64_MAX;
}

static enum sae_status take_states(struct run_plan *plan, struct state *states, size_t n,
                                   struct sae_err *err)
{
    if (n == 0)
        return SAE_OK;
    qsort(states, n, sizeof *states, furthest_first);
    SAE_TRY(sae_mem_alloc(&plan->from, n, sizeof *plan->from, err));
    for (size_t i = 0; i < n; i++) {
        plan->from[i] = states[i].path;
        states[i].path = NULL;
    }
    plan->n_from = n;
    plan->from_step = states[0].step;
    return SAE_OK;
}

/* plan->from: files with all that a resume needs, from before what is due. None: from the start. */
static enum sae_status find_states(struct run_plan *plan, struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0, n_states = 0;
    struct state *states = NULL;
    const uint64_t before = first_due(plan);
    enum sae_status st;
    SAE_GO(st, job_run_files(&names, &n, plan->dir, err));
    SAE_GO(st, sae_mem_alloc(&states, n + 1, sizeof *states, err));
    for (size_t i = 0; i < n; i++) {
        struct state *const state = &states[n_states];
        struct sae_err why = {0};
        bool full = false;
        SAE_GO(st, sae_fs_join(&state->path, plan->dir, names[i], err));
        const enum sae_status got = run_state_info(state->path, &state->step, &full, &why);
        if (got != SAE_OK && strcmp(names[i], "state.h5") == 0)
            sae_log_warn("%s; continuing from what was saved before it", why.msg);
        if (got == SAE_OK && full && state->step < before) {
            n_states++;
            continue;
        }
        free(state->path);
        state->path = NULL;
    }
    st = take_states(plan, states, n_states, err);
done:
    for (size_t i = 0; states && i < n_states; i++)
        free(states[i].path);
    free(states);
    sae_fs_list_free(names, n);
    return st;
}

static enum sae_status find_work(struct run_plan *plan, struct sae_err *err)
{
    SAE_TRY(find_due(plan, err));
    if (!plan->finished)
        return find_states(plan, err);
    run_remove_state(plan->dir); /* a kill came before its removal */
    return SAE_OK;
}

/* --- 3. record and store ------------------------------------------------------------------ */

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
        sae_fs_shorten(store);
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

/* Nothing that is recorded counts as given, but what may be given anew. */
static enum sae_status forget_given(const struct sae_cli *cli, const json_t *options,
                                    struct sae_err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)options, name, value)
        if (!sae_opt_same(cli, name, "", NULL)) /* it may differ from the record */
            SAE_TRY(sae_opt_drop(cli, name, err));
    return SAE_OK;
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
    if (asked->go_on) /* compared with the record already, a list of a sweep part by part */
        SAE_GO(st, forget_given(asked->cli, options, err));
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

/* --- 4. one run --------------------------------------------------------------------------- */

static void tell_start(const struct run_plan *plan)
{
    if (plan->finished)
        sae_log_info("'%s' is finished: all %zu checkpoints of its %" PRIu64
                     " steps are there; nothing to do (a longer run needs another folder: schedules "
                     "depend on the length)",
                     plan->dir, plan->set.checkpoints.n, plan->set.steps);
    else if (plan->n_from > 0)
        sae_log_info("resuming from '%s'", plan->from[0]);
    else
        sae_log_info("'%s' holds nothing to continue from before the first missing checkpoint; it "
                     "is trained from its start, to the same bytes",
                     plan->dir);
}

/* Why there is nothing to resume: the folder may be of another kind. */
static enum sae_status refuse_resume(const char *dir, const char *why, struct sae_err *err)
{
    enum sae_folder kind;
    SAE_TRY(sae_folder_kind(&kind, dir, err));
    if (kind == SAE_FOLDER_STORE || kind == SAE_FOLDER_MODEL || kind == SAE_FOLDER_SAE ||
        kind == SAE_FOLDER_RESULTS)
        return sae_err_set(err, SAE_EARG, "cannot resume '%s': it %s", dir, sae_folder_says(kind));
    return sae_err_set(err, SAE_EARG, "cannot resume '%s': %s", dir, why);
}

static enum sae_status resume_one(struct job *job, const struct asked *asked, struct sae_err *err)
{
    json_t *record = NULL;
    struct sae_err why = {.msg = "it holds no checkpoint and no state.h5"};
    enum sae_status st;
    SAE_GO(st, find_record(&record, asked->resume, &why, err));
    if (!record) {
        st = refuse_resume(asked->resume, why.msg, err);
        goto done;
    }
    SAE_GO(st, plan_again(job, asked, asked->resume, record, err));
    job->plans[0].lock = job->locks[0];
    SAE_GO(st, find_work(&job->plans[0], err));
    tell_start(&job->plans[0]);
done:
    json_decref(record);
    return st;
}

/* --- 5. a sweep --------------------------------------------------------------------------- */

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
    char *dir = NULL;
    enum sae_status st;
    if (strncmp(name, "run_", 4) != 0 || strchr(name, '/') || !json_is_object(record))
        return sae_err_set(err, SAE_EFORMAT, "'%s/sweep.json' holds a run without name or record",
                           asked->resume);
    SAE_GO(st, sae_fs_join(&dir, asked->resume, name, err));
    SAE_GO(st, plan_again(job, asked, dir, record, err));
    SAE_GO(st, sae_fs_make_dirs(dir, err));
    SAE_GO(st, job_lock(job, dir, &job->plans[job->n - 1].lock, err));
    st = find_work(&job->plans[job->n - 1], err);
done:
    free(dir);
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
        sae_log_info("'%s' is finished: all of its %zu runs are; nothing to do", asked->resume,
                     job->n);
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
    job->any_space = asked->any_space;
    job->moved = asked->acts;
    job->begun = true;
    const struct sae_lock *lock = NULL;
    SAE_GO(st, sae_mem_strdup(&job->dir, asked->resume, err));
    SAE_GO(st, job_lock(job, asked->resume, &lock, err));
    SAE_GO(st, job_sweep_path(&path, asked->resume, err));
    st = sae_fs_is_file(path) ? resume_sweep(job, asked, path, err) : resume_one(job, asked, err);
done:
    free(path);
    return st;
}

/* --- 6. either ---------------------------------------------------------------------------- */

/* The first option that a record has otherwise. Those that an older version did not record pass. */
static enum sae_status compare_options(const struct asked *asked, const char *dir,
                                       const json_t *asked_record, const json_t *record,
                                       struct sae_err *err)
{
    const json_t *const now = json_object_get(asked_record, "options"),
                 *const was = json_object_get(record, "options");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)now, name, value)
    {
        const json_t *const old = json_object_get(was, name);
        const char *const a = json_string_value(value), *const b = json_string_value(old);
        if (!old || strcmp(name, "acts") == 0 || sae_opt_same(asked->cli, name, a, b))
            continue;
        return sae_err_set(err, SAE_EARG,
                           "--continue: '%s' was begun with --%s %s, but this command line has %s; "
                           "change it, take another folder, or replace the run with --force",
                           dir, name, b ? b : "(unset)", a ? a : "(unset)");
    }
    return SAE_OK;
}

static enum sae_status compare_run(const struct job *fresh, const struct asked *asked,
                                   struct sae_err *err)
{
    json_t *record = NULL;
    struct sae_err why = {0};
    SAE_TRY(find_record(&record, asked->out, &why, err));
    if (!record)
        return sae_err_set(err, SAE_EFORMAT, "cannot continue '%s': %s", asked->out, why.msg);
    const enum sae_status st =
        compare_options(asked, asked->out, fresh->plans[0].record, record, err);
    json_decref(record);
    return st;
}

static const json_t *find_run(const json_t *sweep, const char *name)
{
    size_t i;
    json_t *run;
    json_array_foreach(json_object_get(sweep, "runs"), i, run)
        if (strcmp(sae_json_str(run, "name", ""), name) == 0)
            return run;
    return NULL;
}

static enum sae_status compare_sweep(const struct job *fresh, const struct asked *asked,
                                     const char *path, struct sae_err *err)
{
    json_t *sweep = NULL;
    SAE_TRY(load_sweep(&sweep, path, err));
    enum sae_status st = SAE_OK;
    const size_t n = json_array_size(json_object_get(sweep, "runs"));
    if (n != fresh->n)
        st = sae_err_set(err, SAE_EARG,
                         "--continue: '%s' was begun with %zu runs, but this command line makes %zu; "
                         "give the options it was begun with, or train other runs into another "
                         "folder",
                         asked->out, n, fresh->n);
    for (size_t i = 0; st == SAE_OK && i < fresh->n; i++) {
        const char *const dir = fresh->plans[i].dir;
        const json_t *const run = find_run(sweep, sae_fs_base(dir));
        st = run ? compare_options(asked, dir, fresh->plans[i].record,
                                   json_object_get(run, "record"), err)
                 : sae_err_set(err, SAE_EARG, "--continue: '%s' was begun without '%s'; give the options it was "
                               "begun with, or train other runs into another folder",
                               asked->out, sae_fs_base(dir));
    }
    json_decref(sweep);
    return st;
}

/* What the folder holds must be what the command line asks for. *ret: whether it holds anything. */
static enum sae_status compare_folder(const struct job *fresh, const struct asked *asked,
                                      bool *ret, struct sae_err *err)
{
    char *path = NULL, **names = NULL;
    size_t n = 0;
    enum sae_status st = SAE_OK;
    *ret = false;
    if (!sae_fs_is_dir(asked->out))
        return SAE_OK;
    SAE_GO(st, job_sweep_path(&path, asked->out, err));
    SAE_GO(st, job_run_files(&names, &n, asked->out, err));
    const bool sweep = sae_fs_is_file(path);
    *ret = sweep || n > 0;
    if (*ret && sweep != fresh->sweep)
        st = sae_err_set(err, SAE_EARG, "--continue: '%s' holds a %s, but this command line makes a %s",
                         asked->out, sweep ? "sweep" : "run", sweep ? "run" : "sweep");
    else if (*ret)
        st = sweep ? compare_sweep(fresh, asked, path, err) : compare_run(fresh, asked, err);
done:
    sae_fs_list_free(names, n);
    free(path);
    return st;
}

enum sae_status job_continue(struct job *job, const struct asked *asked, struct sae_err *err)
{
    struct job fresh = {.ops = job->ops};
    bool begun = false;
    enum sae_status st;
    if (asked->resume)
        return sae_err_set(err, SAE_EARG, "--continue continues the run of -o; leave out --resume");
    if (asked->cli->force)
        return sae_err_set(err, SAE_EARG,
                           "--force replaces what --continue would continue; give one of them");
    SAE_GO(st, job_plan(&fresh, asked, err));
    SAE_GO(st, compare_folder(&fresh, asked, &begun, err));
    if (!begun) {
        *job = fresh;
        return SAE_OK;
    }
    struct asked again = *asked;
    again.resume = asked->out;
    again.out = NULL;
    st = job_resume(job, &again, err);
done:
    job_clear(&fresh);
    return st;
}
