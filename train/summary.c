/* SPDX-License-Identifier: MIT */
/* summary : what sae-train prints - the checkpoints of a run, or the runs of a sweep.
 * Contents: 1. checkpoints   2. one run   3. a sweep */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fs.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/cli/table.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "train/job.h"

/* --- 1. checkpoints ----------------------------------------------------------------------- */

static const struct {
    const char *metric, *head;
    int digits; /* -1: a count */
} columns[] = {{"recon", "held-out recon", 4},
               {"explained_variance", "expl. var.", 4},
               {"l0", "L0", 1},
               {"dead", "dead", -1},
               {"competing_pairs", "competing", -1},
               {"mean_abs_cos", "mean |cos|", 4}};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

/* {"path", "step", metrics...} of a checkpoint, from its attributes. */
static enum sae_status read_summary(json_t **ret, const char *path, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    uint64_t step = 0;
    json_t *row = NULL;
    enum sae_status st;
    SAE_GO(st, sae_h5_open(&file, path, "checkpoint", err));
    SAE_GO(st, sae_h5_attr_u64(file, "/", "step", &step, err));
    row = json_pack("{s:s, s:I}", "checkpoint", path, "step", (json_int_t)step);
    for (const char *const *name = sae_ckpt_metric_names; *name; name++) {
        double v = NAN;
        if (sae_h5_attr_has(file, "/heldout", *name))
            SAE_GO(st, sae_h5_attr_f64(file, "/heldout", *name, &v, err));
        json_object_set_new(row, *name, sae_json_number(v));
    }
    *ret = row;
    row = NULL;
done:
    json_decref(row);
    sae_h5_close(file);
    return st;
}

static void metric_cells(struct sae_table *table, const json_t *row)
{
    for (size_t c = 0; c < N_COLUMNS; c++) {
        const double v = sae_json_real(row, columns[c].metric, NAN);
        if (columns[c].digits < 0)
            sae_table_count(table, v);
        else
            sae_table_real(table, v, columns[c].digits);
    }
}

/* All checkpoints of a run that are there. */
static enum sae_status read_rows(json_t **ret, const struct run_plan *plan, struct sae_err *err)
{
    json_t *rows = json_array();
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < plan->set.checkpoints.n; i++) {
        char *path = NULL;
        json_t *row = NULL;
        SAE_GO(st, run_checkpoint_path(&path, plan->dir, &plan->set, i, err));
        if (plan->failed == SAE_OK || sae_fs_is_file(path))
            st = read_summary(&row, path, err);
        free(path);
        if (st != SAE_OK)
            goto done;
        if (row)
            json_array_append_new(rows, row);
    }
    *ret = rows;
    rows = NULL;
done:
    json_decref(rows);
    return st;
}

/* --- 2. one run --------------------------------------------------------------------------- */

static enum sae_status print_run(const json_t *rows, const struct run_plan *plan,
                                 struct sae_err *err)
{
    const char *heads[N_COLUMNS + 2] = {"checkpoint", "step"};
    for (size_t c = 0; c < N_COLUMNS; c++)
        heads[c + 2] = columns[c].head;
    struct sae_table *table = NULL;
    SAE_TRY(sae_table_make(&table, N_COLUMNS + 2, heads, err));
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        sae_table_text(table, "%s", sae_fs_base(sae_json_str(row, "checkpoint", "")));
        sae_table_count(table, sae_json_real(row, "step", NAN));
        metric_cells(table, row);
    }
    const enum sae_status st = sae_table_print(table, stdout, 0, err);
    sae_table_free(table);
    if (st == SAE_OK)
        sae_utf8_print(stdout, "\n%s, d %zu, m %" PRIu64 ", %" PRIu64 " steps of %" PRIu64 " tokens; held-out recon: "
               "mean |x - xhat|^2 of a held-out token;\ndead: latents that fired on none of the last "
               "%" PRIu64 " training tokens (--dead-after);\ncompeting: pairs of held-out masks above "
               "the base threshold.\nCheckpoints are in %s. To measure how separated the features are:\n"
               "sae-analyze --all %s\n",
               train_arch_names[plan->set.arch], sae_acts_d(plan->acts), plan->set.m,
               plan->set.steps, plan->set.batch, plan->set.dead_after, plan->dir,
               sae_str_shell(plan->dir).s);
    return st;
}

/* {"run", "checkpoints", "failed", "record"} */
static enum sae_status describe(json_t **ret, const struct run_plan *plan, struct sae_err *err)
{
    json_t *rows = NULL;
    SAE_TRY(read_rows(&rows, plan, err));
    *ret = json_pack("{s:s, s:o, s:O}", "run", plan->dir, "checkpoints", rows, "record",
                     plan->record);
    if (!*ret)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    if (plan->why)
        json_object_set_new(*ret, "failed", json_string(plan->why));
    return SAE_OK;
}

/* --- 3. a sweep --------------------------------------------------------------------------- */

/* The last checkpoint of each run. */
static enum sae_status print_sweep(const struct job *job, const json_t *runs, struct sae_err *err)
{
    const char *heads[N_COLUMNS + 2] = {"run", "step"};
    for (size_t c = 0; c < N_COLUMNS; c++)
        heads[c + 2] = columns[c].head;
    struct sae_table *table = NULL;
    SAE_TRY(sae_table_make(&table, N_COLUMNS + 2, heads, err));
    bool failed = false;
    for (size_t i = 0; i < job->n; i++) {
        const json_t *const rows = json_object_get(json_array_get(runs, i), "checkpoints");
        const json_t *const row = json_array_get(rows, json_array_size(rows) - 1);
        failed = failed || job->plans[i].why;
        sae_table_text(table, "%s%s", sae_fs_base(job->plans[i].dir),
                       job->plans[i].why ? " (failed)" : "");
        sae_table_count(table, sae_json_real(row, "step", NAN));
        metric_cells(table, row);
    }
    const enum sae_status st = sae_table_print(table, stdout, 0, err);
    sae_table_free(table);
    if (st == SAE_OK)
        sae_utf8_print(stdout, "\nThe last checkpoint of each run%s; held-out recon: mean |x - xhat|^2 of a held-out "
               "token;\ndead: latents that fired on none of the run's last --dead-after training "
               "tokens;\ncompeting: pairs of held-out masks above the run's base threshold.\nThe runs are in %s. To compare "
               "them:\nsae-report %s\n",
               failed ? ", for a failed one the last that is good" : "", job->dir,
               sae_str_shell(job->dir).s);
    return st;
}

/* Volatile, and therefore in no file. */
static json_t *seconds_of(const struct job *job)
{
    const struct run_clock *const c = &job->clock;
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "all", job->seconds, "steps", c->step, "waiting",
                     c->read, "series", c->watch, "checkpoints", c->save);
}

enum sae_status job_print(const struct job *job, bool as_json, struct sae_err *err)
{
    json_t *const runs = json_array();
    json_t *all = NULL;
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < job->n; i++) {
        json_t *run = NULL;
        SAE_GO(st, describe(&run, &job->plans[i], err));
        json_array_append_new(runs, run);
    }
    const json_t *const first = json_array_get(runs, 0);
    if (as_json) {
        all = job->sweep ? json_pack("{s:s, s:O}", "sweep", job->dir, "runs", runs)
                         : json_incref(json_array_get(runs, 0));
        json_object_set_new(all, "seconds", seconds_of(job));
        st = sae_json_print(stdout, all, err);
    } else {
        st = job->sweep ? print_sweep(job, runs, err)
                        : print_run(json_object_get(first, "checkpoints"), &job->plans[0], err);
    }
done:
    json_decref(all);
    json_decref(runs);
    return st;
}
