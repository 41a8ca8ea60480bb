/* SPDX-License-Identifier: MIT */
/* job : a new run or sweep.
 * Contents: 1. plans and locks   2. folders   3. records   4. one run   5. a sweep
 *           6. the beginning */
#include "train/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/grid.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "train/options.h"

/* --- 1. plans and locks ------------------------------------------------------------------- */

enum sae_status job_add(struct job *job, const struct settings *set, const char *dir,
                        json_t *record, struct sae_err *err)
{
    struct run_plan plan = {.set = *set, .record = record, .acts = job->acts, .ops = job->ops};
    size_t cap = job->n;
    enum sae_status st;
    SAE_GO(st, settings_own_lists(&plan.set, err));
    SAE_GO(st, run_plan_all(&plan, err));
    SAE_GO(st, sae_mem_strdup(&plan.dir, dir, err));
    SAE_GO(st, sae_mem_grow(&job->plans, &cap, job->n + 1, sizeof *job->plans, err));
    job->plans[job->n++] = plan;
    return SAE_OK;
done:
    run_plan_clear(&plan);
    return st;
}

void job_clear(struct job *job)
{
    for (size_t i = 0; i < job->n; i++)
        run_plan_clear(&job->plans[i]);
    for (size_t i = 0; i < job->n_locks; i++)
        sae_lock_release(job->locks[i]);
    free(job->locks);
    free(job->plans);
    free(job->dir);
    free(job->command);
    sae_acts_close(job->acts);
    *job = (struct job){0};
}

enum sae_status job_lock(struct job *job, const char *dir, const struct sae_lock **ret,
                         struct sae_err *err)
{
    size_t cap = job->n_locks;
    SAE_TRY(sae_mem_grow(&job->locks, &cap, job->n_locks + 1, sizeof *job->locks, err));
    SAE_TRY(sae_lock_take(&job->locks[job->n_locks], dir, "sae-train", err));
    *ret = job->locks[job->n_locks++];
    return SAE_OK;
}

enum sae_status job_sweep_path(char **ret, const char *dir, struct sae_err *err)
{
    return sae_fs_join(ret, dir, "sweep.json", err);
}

/* --- 2. folders --------------------------------------------------------------------------- */

/* Of a run: what --force replaces. Nothing else in its folder is ever removed. */
static bool is_run_file(const char *name)
{
    return (strncmp(name, "ckpt_", 5) == 0 && sae_str_ends(name, ".h5")) ||
           strcmp(name, "state.h5") == 0;
}

enum sae_status job_run_files(char ***ret_names, size_t *ret_n, const char *dir,
                              struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0, kept = 0;
    SAE_TRY(sae_fs_list(&names, &n, dir, "", ".h5", err));
    for (size_t i = 0; i < n; i++)
        if (is_run_file(names[i]))
            names[kept++] = names[i];
        else
            free(names[i]);
    *ret_names = names;
    *ret_n = kept;
    return SAE_OK;
}

/* An earlier run in the folder is refused, or with --force removed: old checkpoints beside new
 * ones would be read as one run. */
static enum sae_status clear_run(const char *dir, bool force, struct sae_err *err)
{
    enum sae_status st = SAE_OK;
    char **names = NULL;
    size_t n = 0;
    SAE_TRY(job_run_files(&names, &n, dir, err));
    if (n > 0 && !force)
        st = sae_err_set(err, SAE_EARG,
                         "'%s' holds a run already ('%s'); continue it with --continue or --resume %s, "
                         "or replace it with --force",
                         dir, names[0], sae_str_shell(dir).s);
    for (size_t i = 0; st == SAE_OK && i < n; i++) {
        char *path = NULL;
        st = sae_fs_join(&path, dir, names[i], err);
        if (st == SAE_OK && unlink(path) != 0)
            st = sae_err_set(err, SAE_EIO, "cannot remove '%s'", path);
        free(path);
    }
    sae_fs_list_free(names, n);
    return st;
}

/* Of a sweep that is replaced. Another process may be working on it alone. */
static enum sae_status clear_member(const char *dir, struct sae_err *err)
{
    struct sae_lock *lock = NULL;
    SAE_TRY(sae_lock_take(&lock, dir, "sae-train", err));
    const enum sae_status st = clear_run(dir, true, err);
    sae_lock_release(lock);
    if (st == SAE_OK)
        rmdir(dir); /* stays where something else lies in it */
    return st;
}

/* Likewise an earlier sweep: the files of its runs, their folders where nothing else is in them,
 * and sweep.json last, so that an interrupted removal can be asked for again. */
static enum sae_status clear_sweep(const char *dir, bool force, struct sae_err *err)
{
    char *path = NULL, **names = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_GO(st, job_sweep_path(&path, dir, err));
    if (!sae_fs_is_file(path))
        goto done;
    if (!force) {
        st = sae_err_set(err, SAE_EARG,
                         "'%s' holds a sweep already; continue it with --continue or --resume %s, or "
                         "replace it with --force",
                         dir, sae_str_shell(dir).s);
        goto done;
    }
    SAE_GO(st, sae_fs_list(&names, &n, dir, "run_", "", err));
    for (size_t i = 0; i < n; i++) {
        char *run = NULL;
        SAE_GO(st, sae_fs_join(&run, dir, names[i], err));
        if (sae_fs_is_dir(run))
            st = clear_member(run, err);
        free(run);
        if (st != SAE_OK)
            goto done;
    }
    if (unlink(path) != 0)
        st = sae_err_set(err, SAE_EIO, "cannot remove '%s'", path);
done:
    sae_fs_list_free(names, n);
    free(path);
    return st;
}

static enum sae_status clear_folder(const char *dir, bool force, struct sae_err *err)
{
    if (!sae_fs_is_dir(dir))
        return SAE_OK;
    SAE_TRY(clear_sweep(dir, force, err));
    return clear_run(dir, force, err);
}

/* What is there and may not be replaced. */
static enum sae_status check_folders(const struct job *job, struct sae_err *err)
{
    if (job->force)
        return SAE_OK;
    SAE_TRY(clear_folder(job->dir, false, err));
    for (size_t i = 0; i < job->n; i++)
        SAE_TRY(clear_folder(job->plans[i].dir, false, err));
    return SAE_OK;
}

/* --- 3. records --------------------------------------------------------------------------- */

/* Options as resolved, the store, and the store's site. */
static enum sae_status finish_record(const struct run_plan *plan, struct sae_err *err)
{
    char *relative = NULL;
    enum sae_status st;
    SAE_GO(st, sae_fs_relative(&relative, plan->dir, sae_acts_dir(plan->acts), err));
    const json_t *const from = sae_acts_record(plan->acts);
    SAE_GO(st,
           sae_record_input(plan->record, "acts", relative, sae_acts_id(plan->acts), from, err));
    json_t *const site = json_object_get(from, "site");
    if (site && json_object_set(plan->record, "site", site) != 0)
        st = sae_err_set(err, SAE_ENOMEM, "out of memory");
done:
    free(relative);
    return st;
}

/* Resolves the table as it stands and adds the run. */
static enum sae_status plan_run(struct job *job, const struct asked *asked, const char *dir,
                                struct sae_err *err)
{
    struct settings set = *asked->set; /* the table's own stay as typed */
    json_t *record = NULL;
    SAE_TRY(settings_resolve(&set, sae_acts_n_rows(job->acts), sae_acts_d(job->acts), err));
    SAE_TRY(sae_opt_record(&record, asked->cli, err));
    const enum sae_status st = options_record(record, &set, err);
    if (st != SAE_OK) {
        json_decref(record);
        return st;
    }
    return job_add(job, &set, dir, record, err);
}

/* --- 4. one run --------------------------------------------------------------------------- */

static enum sae_status start_one(struct job *job, const struct asked *asked, struct sae_err *err)
{
    SAE_TRY(options_check(asked->cli, asked->set, err));
    SAE_TRY(sae_acts_open(&job->acts, asked->acts, err));
    return plan_run(job, asked, asked->out, err);
}

/* --- 5. a sweep --------------------------------------------------------------------------- */

/* Short forms in the names of runs; other options stand with their own name. */
static const struct {
    const char *option, *tag;
} tags[] = {
    {"arch",           ""   },
    {"orth",           ""   },
    {"k",              "k"  },
    {"m",              "m"  },
    {"seed",           "s"  },
    {"lambda2-max",    "lam"},
    {"base-threshold", "tau"},
    {"gamma",          "g"  },
    {"lr",             "lr" },
};

struct name {
    struct sae_str text, seed; /* the seed comes last: repeats stand together */
};

static enum sae_status add_to_name(void *user, const char *option, const char *value,
                                   struct sae_err *err)
{
    struct name *const name = user;
    struct sae_str *const to = strcmp(option, "seed") == 0 ? &name->seed : &name->text;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (strcmp(tags[i].option, option) == 0)
            return sae_str_printf(to, err, "_%s%s", tags[i].tag, value);
    return sae_str_printf(to, err, "_%s-%s", option, value);
}

/* "run_lam0.1_tau0.3_s2": what this run has of the lists. */
static enum sae_status name_run(char **ret, const struct sae_grid *grid, struct sae_err *err)
{
    struct name name = {0};
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&name.text, err, "run"));
    SAE_GO(st, sae_grid_each(grid, add_to_name, &name, err));
    if (name.seed.s)
        SAE_GO(st, sae_str_append(&name.text, name.seed.s, name.seed.len, err));
    *ret = name.text.s;
    name.text = (struct sae_str){0};
done:
    sae_str_clear(&name.text);
    sae_str_clear(&name.seed);
    return st;
}

static int by_name(const void *a, const void *b)
{
    return sae_fs_natural_cmp(((const struct run_plan *)a)->dir, ((const struct run_plan *)b)->dir);
}

/* Two combinations that differ in options without meaning for either are one run. */
static bool is_planned(const struct job *job, const char *dir)
{
    for (size_t i = 0; i < job->n; i++)
        if (strcmp(job->plans[i].dir, dir) == 0)
            return true;
    return false;
}

static enum sae_status plan_combination(struct job *job, const struct asked *asked,
                                        const struct sae_grid *grid, struct sae_err *err)
{
    char *name = NULL, *dir = NULL;
    enum sae_status st;
    SAE_GO(st, name_run(&name, grid, err));
    SAE_GO(st, sae_fs_join(&dir, asked->out, name, err));
    if (is_planned(job, dir))
        goto done;
    st = plan_run(job, asked, dir, err);
    if (st != SAE_OK)
        (void)sae_err_prefix(err, "%s", name);
done:
    free(dir);
    free(name);
    return st;
}

static enum sae_status plan_grid(struct job *job, const struct asked *asked, struct sae_grid *grid,
                                 struct sae_err *err)
{
    bool drop = false; /* whether the list is of an option that decides the meaning of others */
    for (const struct sae_opt *row = options_rows; row->name; row++)
        drop = drop || (row->when && sae_grid_is_list(grid, row->when->by));
    for (size_t i = 0; i < sae_grid_n(grid); i++) {
        SAE_TRY(sae_grid_set(grid, i, err));
        options_unset(asked->set);
        SAE_TRY(sae_opt_refresh(asked->cli, err));
        if (drop)
            SAE_TRY(options_drop(asked->cli, asked->set, err));
        SAE_TRY(options_check(asked->cli, asked->set, err));
        sae_grid_keep(grid);
        SAE_TRY(plan_combination(job, asked, grid, err));
    }
    const char *const unused = sae_grid_unused(grid);
    if (unused)
        return sae_err_set(err, SAE_EARG,
                           "--%s has no meaning for any run of this sweep; leave it out", unused);
    qsort(job->plans, job->n, sizeof *job->plans, by_name);
    return SAE_OK;
}

static enum sae_status start_sweep(struct job *job, const struct asked *asked,
                                   struct sae_grid *grid, struct sae_err *err)
{
    json_t *record = NULL;
    enum sae_status st;
    SAE_TRY(sae_opt_record(&record, asked->cli, err)); /* its command has the lists */
    SAE_GO(st, sae_mem_strdup(&job->command, sae_json_str(record, "command", ""), err));
    SAE_GO(st, sae_acts_open(&job->acts, asked->acts, err));
    st = plan_grid(job, asked, grid, err);
done:
    json_decref(record);
    return st;
}

enum sae_status job_plan(struct job *job, const struct asked *asked, struct sae_err *err)
{
    if (!asked->acts)
        return sae_err_set(err, SAE_EARG, "no activation store; give --acts DIR");
    if (!asked->out)
        return sae_err_set(err, SAE_EARG, "no run folder; give -o RUN");
    struct sae_grid *grid = NULL;
    enum sae_status st;
    job->force = asked->cli->force;
    job->any_space = asked->any_space;
    job->memory = asked->memory;
    SAE_GO(st, sae_mem_strdup(&job->dir, asked->out, err));
    SAE_GO(st, sae_grid_open(&grid, asked->cli, err));
    job->sweep = sae_grid_n(grid) > 1;
    st = job->sweep ? start_sweep(job, asked, grid, err) : start_one(job, asked, err);
done:
    sae_grid_close(grid);
    return st;
}

enum sae_status job_start(struct job *job, const struct asked *asked, struct sae_err *err)
{
    SAE_TRY(job_plan(job, asked, err));
    return check_folders(job, err);
}

/* --- 6. the beginning --------------------------------------------------------------------- */

static enum sae_status write_sweep(const struct job *job, struct sae_err *err)
{
    char *path = NULL;
    json_t *const runs = json_array();
    json_t *sweep = NULL;
    enum sae_status st;
    for (size_t i = 0; i < job->n; i++)
        json_array_append_new(runs, json_pack("{s:s, s:O}", "name",
                                              sae_fs_base(job->plans[i].dir), "record",
                                              job->plans[i].record));
    sweep = json_pack("{s:s, s:i, s:s, s:I, s:O}", "kind", "sweep", "format_version", 1, "command",
                      job->command, "memory", (json_int_t)job->memory, "runs", runs);
    if (!sweep || json_array_size(runs) != job->n) {
        st = sae_err_set(err, SAE_ENOMEM, "out of memory");
        goto done;
    }
    SAE_GO(st, job_sweep_path(&path, job->dir, err));
    st = sae_json_save(path, sweep, err);
done:
    free(path);
    json_decref(runs);
    json_decref(sweep);
    return st;
}

/* Folders, each with this process as its one writer, and nothing of an earlier run in them. */
static enum sae_status take_folders(struct job *job, struct sae_err *err)
{
    const struct sae_lock *lock = NULL;
    SAE_TRY(sae_fs_make_dirs(job->dir, err));
    SAE_TRY(job_lock(job, job->dir, &lock, err));
    SAE_TRY(clear_folder(job->dir, job->force, err));
    for (size_t i = 0; i < job->n; i++) {
        struct run_plan *const plan = &job->plans[i];
        plan->lock = lock;
        if (!job->sweep)
            continue;
        SAE_TRY(sae_fs_make_dirs(plan->dir, err));
        SAE_TRY(job_lock(job, plan->dir, &plan->lock, err));
        SAE_TRY(clear_folder(plan->dir, job->force, err));
    }
    return SAE_OK;
}

enum sae_status job_begin(struct job *job, struct sae_err *err)
{
    SAE_TRY(take_folders(job, err));
    for (size_t i = 0; i < job->n; i++)
        SAE_TRY(finish_record(&job->plans[i], err));
    if (job->sweep)
        SAE_TRY(write_sweep(job, err));
    job->begun = true;
    return SAE_OK;
}
