/* SPDX-License-Identifier: MIT */
/* load : runs from their folders, checkpoint by checkpoint, with the results beside them.
 *
 * A damaged checkpoint or result becomes a line in report->problems; the rest is kept. A result
 * made from another version of its checkpoint (the run was repeated since) is not used. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/folder.h"
#include "lib/cli/target.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/file/result.h"
#include "report/report.h"

/* A problem that is something which could not be read. */
static enum sae_status lose(struct report *report, const char *why, struct sae_err *err)
{
    report->n_lost++;
    return report_lines_add(&report->problems, err, "%s", why);
}

/* --- one phase ------------------------------------------------------------------------------ */

/* What a checkpoint's name says about its progress: ckpt_50.h5 -> 50. */
static int percent_of_name(const char *path)
{
    const char *p = strstr(sae_fs_base(path), "ckpt_");
    int percent = 0;
    if (p == NULL)
        return 0;
    for (p += 5; *p >= '0' && *p <= '9' && percent < 1000; p++)
        percent = percent * 10 + (*p - '0');
    return percent;
}

static enum sae_status load_result(struct report *report, struct report_phase *phase,
                                   enum sae_source source, struct sae_err *err)
{
    char *path = NULL;
    json_t *json = NULL;
    struct sae_err why = {0};
    enum sae_status st = SAE_OK;
    if (source == SAE_SOURCE_HELDOUT) /* the checkpoint itself holds it */
        return SAE_OK;
    SAE_TRY(sae_result_path(&path, phase->path, report_sources[source].suffix, err));
    if (!sae_fs_is_file(path)) {
        free(path);
        return SAE_OK;
    }
    if (sae_json_load(&json, path, &why) != SAE_OK) {
        st = lose(report, why.msg, err);
    } else if (!json_is_object(json_object_get(json, "eval_result_metrics"))) {
        st = report_lines_add(&report->problems, err,
                              "'%s': no eval_result_metrics; not a result of saekit", path);
    } else {
        const char *id = sae_json_str(json, "saekit.checkpoint.id", NULL);
        if (phase->readable && id != NULL && strcmp(id, phase->id) != 0)
            st = report_lines_add(&report->problems, err,
                                  "'%s': made from an earlier '%s', which has changed since; "
                                  "left out",
                                  path, sae_fs_base(phase->path));
        else
            phase->result[source] = json_incref(json);
    }
    json_decref(json);
    free(path);
    return st;
}

/* The report needs series, pairs and record; a run's weights would only fill memory. */
static void drop_arrays(struct sae_ckpt *ckpt)
{
    sae_model_clear(&ckpt->model);
    free(ckpt->heldout.start);
    free(ckpt->heldout.idx);
    free(ckpt->heldout.val);
    memset(&ckpt->heldout, 0, sizeof ckpt->heldout);
}

static void take_run_facts(struct report_run *run, struct sae_ckpt *ckpt)
{
    run->arch = ckpt->model.arch;
    run->d = ckpt->model.d;
    run->m = ckpt->model.m;
    run->k = ckpt->model.k;
    run->seed = ckpt->seed;
    run->total_steps = ckpt->total_steps;
    json_decref(run->record);
    run->record = json_incref(ckpt->record);
    sae_ckpt_clear(&run->last);
    run->last = *ckpt;
    drop_arrays(&run->last);
}

static enum sae_status add_phase(struct report *report, struct report_run *run, const char *path,
                                 struct sae_err *err)
{
    for (size_t i = 0; i < run->n_phases; i++)
        if (strcmp(sae_fs_base(run->phases[i].path), sae_fs_base(path)) == 0)
            return SAE_OK;
    SAE_TRY(
        sae_mem_grow(&run->phases, &run->cap_phases, run->n_phases + 1, sizeof *run->phases, err));
    struct report_phase *phase = &run->phases[run->n_phases++];
    SAE_TRY(sae_mem_strdup(&phase->path, path, err));
    struct sae_ckpt ckpt = {0};
    struct sae_err why = {0};
    if (sae_ckpt_load(&ckpt, path, &why) == SAE_OK) {
        phase->readable = true;
        memcpy(phase->id, ckpt.id, sizeof phase->id);
        phase->percent = (int)lround(100 * ckpt.progress);
        phase->step = ckpt.step;
        phase->total_steps = ckpt.total_steps;
        if (json_object_size(ckpt.heldout_metrics) > 0)
            phase->result[SAE_SOURCE_HELDOUT] = json_incref(ckpt.heldout_metrics);
        take_run_facts(run, &ckpt);
    } else {
        phase->percent = percent_of_name(path);
        SAE_TRY(lose(report, why.msg, err));
    }
    for (enum sae_source s = 0; s < SAE_SOURCE_N; s++)
        SAE_TRY(load_result(report, phase, s, err));
    return SAE_OK;
}

/* --- runs ----------------------------------------------------------------------------------- */

static enum sae_status find_run(struct report *report, const char *folder, struct report_run **ret,
                                struct sae_err *err)
{
    char *real = realpath(folder, NULL);
    for (size_t i = 0; i < report->n_runs && real != NULL; i++) {
        char *other = realpath(report->runs[i].path, NULL);
        const bool same = other != NULL && strcmp(real, other) == 0;
        free(other);
        if (same) {
            *ret = &report->runs[i];
            free(real);
            return SAE_OK;
        }
    }
    enum sae_status st = sae_mem_grow(&report->runs, &report->cap_runs, report->n_runs + 1,
                                      sizeof *report->runs, err);
    if (st == SAE_OK) {
        struct report_run *run = &report->runs[report->n_runs++];
        st = sae_mem_strdup(&run->path, folder, err);
        if (st == SAE_OK)
            st = sae_mem_strdup(&run->name, sae_fs_base(real != NULL ? real : folder), err);
        *ret = run;
    }
    free(real);
    return st;
}

/* "run_2/" and "run_2" are one folder; results are named by the shorter. */
static enum sae_status trimmed(char **ret, const char *path, struct sae_err *err)
{
    SAE_TRY(sae_mem_strdup(ret, path, err));
    size_t len = strlen(*ret);
    while (len > 1 && (*ret)[len - 1] == '/')
        (*ret)[--len] = '\0';
    return SAE_OK;
}

/* Results whose checkpoint is gone cannot be told from those of an earlier run: named, not used. */
static enum sae_status name_orphans(struct report *report, const char *folder,
                                    enum sae_source source, struct sae_err *err)
{
    char suffix[32], **names = NULL;
    size_t n = 0;
    struct sae_err why = {0};
    if (source == SAE_SOURCE_HELDOUT)
        return SAE_OK;
    snprintf(suffix, sizeof suffix, ".%s", report_sources[source].suffix);
    if (sae_fs_list(&names, &n, folder, "ckpt_", suffix, &why) != SAE_OK)
        return report_lines_add(&report->problems, err, "%s", why.msg);
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n && st == SAE_OK; i++) {
        struct sae_str path = {0};
        st = sae_str_printf(&path, err, "%s/%.*s.h5", folder,
                            (int)(strlen(names[i]) - strlen(suffix)), names[i]);
        if (st == SAE_OK && !sae_fs_is_file(path.s))
            st = report_lines_add(&report->problems, err,
                                  "'%s/%s': its checkpoint '%s' is not there; left out", folder,
                                  names[i], sae_fs_base(path.s));
        sae_str_clear(&path);
    }
    sae_fs_list_free(names, n);
    return st;
}

/* A run and its checkpoints; there is one at least. */
static enum sae_status add_run(struct report *report, const char *folder, struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0;
    struct sae_err why = {0};
    struct report_run *run = NULL;
    if (sae_fs_list(&names, &n, folder, "ckpt_", ".h5", &why) != SAE_OK)
        return lose(report, why.msg, err);
    enum sae_status st = find_run(report, folder, &run, err);
    if (st == SAE_OK)
        run->whole = true;
    for (size_t i = 0; i < n && st == SAE_OK; i++) {
        char *path = NULL;
        st = sae_fs_join(&path, folder, names[i], err);
        if (st == SAE_OK)
            st = add_phase(report, run, path, err);
        free(path);
    }
    for (enum sae_source s = 0; s < SAE_SOURCE_N && st == SAE_OK; s++)
        st = name_orphans(report, folder, s, err);
    sae_fs_list_free(names, n);
    return st;
}

static enum sae_status add_runs(struct report *report, const char *folder, struct sae_err *err)
{
    char **runs = NULL;
    size_t n = 0;
    SAE_TRY(sae_folder_runs(&runs, &n, folder, err));
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n && st == SAE_OK; i++)
        st = add_run(report, runs[i], err);
    sae_fs_list_free(runs, n);
    return st;
}

static enum sae_status not_a_run(struct report *report, const char *folder, enum sae_folder kind,
                                 struct sae_err *err)
{
    report->n_lost++;
    SAE_TRY(report_lines_add(&report->problems, err,
                             "'%s' %s; name a run folder of sae-train, a folder of runs, a "
                             "checkpoint, or a folder of results made with -o",
                             folder, sae_folder_says(kind)));
    /* results may lie there whose checkpoints are gone */
    for (enum sae_source s = 0; s < SAE_SOURCE_N; s++)
        SAE_TRY(name_orphans(report, folder, s, err));
    return SAE_OK;
}

static enum sae_status add_folder(struct report *report, const char *folder, struct sae_err *err)
{
    enum sae_folder kind;
    struct sae_err why = {0};
    if (sae_folder_kind(&kind, folder, &why) != SAE_OK)
        return lose(report, why.msg, err);
    switch (kind) {
    case SAE_FOLDER_RUN:
        return add_run(report, folder, err);
    case SAE_FOLDER_RUNS:
        return add_runs(report, folder, err);
    case SAE_FOLDER_RESULTS:
        return report_results_load(report, folder, err);
    default:
        return not_a_run(report, folder, kind, err);
    }
}

static enum sae_status add_operand(struct report *report, const char *operand, struct sae_err *err)
{
    char *path = NULL, *folder = NULL;
    struct report_run *run = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, trimmed(&path, operand, err));
    if (sae_fs_is_dir(path)) {
        st = add_folder(report, path, err);
    } else if (!sae_fs_is_file(path)) {
        report->n_lost++;
        st =
            report_lines_add(&report->problems, err, "'%s': no such folder or checkpoint", operand);
    } else if (sae_str_ends(path, ".json")) {
        st = report_results_load(report, path, err);
    } else {
        SAE_GO(st, sae_target_run(&folder, path, err));
        SAE_GO(st, find_run(report, folder, &run, err));
        st = add_phase(report, run, path, err);
    }
done:
    free(path);
    free(folder);
    return st;
}

/* No operand: the run one stands in, else every run_* here, else the runs of folders here. */
static enum sae_status add_what_lies_here(struct report *report, struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0, n_runs = 0;
    SAE_TRY(sae_fs_list(&names, &n, ".", "ckpt_", ".h5", err));
    sae_fs_list_free(names, n);
    if (n > 0)
        return add_folder(report, ".", err);
    SAE_TRY(sae_fs_list(&names, &n, ".", "run_", "", err));
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n && st == SAE_OK; i++)
        if (sae_fs_is_dir(names[i])) {
            st = add_folder(report, names[i], err);
            n_runs++;
        }
    sae_fs_list_free(names, n);
    enum sae_folder kind = SAE_FOLDER_OTHER;
    if (st == SAE_OK && n_runs == 0)
        st = sae_folder_kind(&kind, ".", err);
    if (st == SAE_OK && kind == SAE_FOLDER_RUNS)
        return add_runs(report, ".", err);
    if (st == SAE_OK && n_runs == 0)
        st = sae_err_set(err, SAE_EARG,
                         "no run named, and neither ckpt_*.h5 nor folders of runs here; name the runs: "
                         "sae-report run_1 run_2 > notes.txt");
    return st;
}

/* Sorted by percent, so that a phase list reads in time; files sort by name already. */
static int by_percent(const void *a, const void *b)
{
    const struct report_phase *const x = a, *const y = b;
    return (x->percent > y->percent) - (x->percent < y->percent);
}

/* Drops runs of which nothing could be read. */
static void drop_empty(struct report *report);

/* Runs without checkpoints after the others, whose options are compared. */
static void elsewhere_last(struct report *report)
{
    size_t n = 0;
    for (size_t i = 0; i < report->n_runs; i++) {
        if (report->runs[i].elsewhere)
            continue;
        const struct report_run run = report->runs[i];
        memmove(&report->runs[n + 1], &report->runs[n], (i - n) * sizeof run);
        report->runs[n++] = run;
    }
    report->n_trained = n;
}

static enum sae_status choose_against(struct report *report, const char *name, struct sae_err *err)
{
    report->against = 0;
    if (name == NULL)
        return SAE_OK;
    const size_t found = report_find_run(report, name);
    if (found != SIZE_MAX) {
        report->against = found;
        return SAE_OK;
    }
    return sae_err_set(err, SAE_EARG, "--against %s: not one run among those reported (first is '%s')",
                       name, report->runs[0].name);
}

static enum sae_status load_baselines(struct report *report, const struct report_settings *settings,
                                      struct sae_err *err)
{
    char *dir = NULL, **names = NULL;
    size_t n = 0;
    struct sae_err why = {0};
    SAE_TRY(report_baselines_dir(&dir, settings, err));
    if (dir == NULL)
        return report_lines_add(&report->problems, err,
                                "published baselines not found; name their folder with "
                                "--baselines DIR");
    if (sae_fs_list(&names, &n, dir, "", ".json", &why) != SAE_OK) {
        free(dir);
        return report_lines_add(&report->problems, err, "%s", why.msg);
    }
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n && st == SAE_OK; i++) {
        struct report_baseline one = {0};
        char *path = NULL;
        st = sae_fs_join(&path, dir, names[i], err);
        if (st == SAE_OK && report_baseline_load(&one, path, &why) != SAE_OK)
            st = report_lines_add(&report->problems, err, "%s", why.msg);
        else if (st == SAE_OK)
            st = sae_mem_grow(&report->baselines, &report->cap_baselines, report->n_baselines + 1,
                              sizeof one, err);
        if (st == SAE_OK && one.json != NULL)
            report->baselines[report->n_baselines++] = one;
        else
            report_baseline_clear(&one);
        free(path);
    }
    sae_fs_list_free(names, n);
    free(dir);
    return st;
}

enum sae_status report_load(struct report *ret, const struct report_settings *settings,
                            struct sae_err *err)
{
    struct report report = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < settings->n_operands; i++)
        SAE_GO(st, add_operand(&report, settings->operands[i], err));
    if (settings->n_operands == 0)
        SAE_GO(st, add_what_lies_here(&report, err));
    drop_empty(&report);
    if (report.n_runs == 0) {
        st = sae_err_set(err, SAE_EFORMAT, "nothing to report: %s",
                         report.problems.n > 0 ? report.problems.v[0] : "no checkpoint");
        goto done;
    }
    for (size_t i = 0; i < report.n_runs; i++)
        qsort(report.runs[i].phases, report.runs[i].n_phases, sizeof(struct report_phase),
              by_percent);
    elsewhere_last(&report);
    SAE_GO(st, report_name_runs(&report, settings->labels, settings->n_labels, err));
    report.doubtful = settings->doubtful;
    SAE_GO(st, choose_against(&report, settings->against, err));
    SAE_GO(st, load_baselines(&report, settings, err));
    for (size_t i = 0; i < settings->n_saebench; i++)
        SAE_GO(st, report_saebench_load(&report, settings->saebench[i], err));
    SAE_GO(st, report_group(&report, err));
    SAE_GO(st, report_find_missing(&report, err));
    *ret = report;
    return SAE_OK;
done:
    report_clear(&report);
    return st;
}

/* --- release -------------------------------------------------------------------------------- */

static void clear_phase(struct report_phase *phase)
{
    free(phase->path);
    for (size_t s = 0; s < SAE_SOURCE_N; s++)
        json_decref(phase->result[s]);
}

static void clear_run(struct report_run *run)
{
    for (size_t i = 0; i < run->n_phases; i++)
        clear_phase(&run->phases[i]);
    free(run->phases);
    free(run->name);
    free(run->path);
    json_decref(run->record);
    json_decref(run->config);
    sae_ckpt_clear(&run->last);
    *run = (struct report_run){0};
}

static bool has_anything(const struct report_run *run)
{
    for (size_t i = 0; i < run->n_phases; i++) {
        if (run->phases[i].readable)
            return true;
        for (size_t s = 0; s < SAE_SOURCE_N; s++)
            if (run->phases[i].result[s] != NULL)
                return true;
    }
    return false;
}

static void drop_empty(struct report *report)
{
    size_t kept = 0;
    for (size_t i = 0; i < report->n_runs; i++) {
        if (has_anything(&report->runs[i])) {
            const struct report_run run = report->runs[i];
            report->runs[i] = (struct report_run){0};
            report->runs[kept++] = run;
        } else {
            clear_run(&report->runs[i]);
        }
    }
    report->n_runs = kept;
}

void report_clear(struct report *report)
{
    for (size_t i = 0; i < report->n_runs; i++)
        clear_run(&report->runs[i]);
    free(report->runs);
    for (size_t i = 0; i < report->n_baselines; i++)
        report_baseline_clear(&report->baselines[i]);
    free(report->baselines);
    report_lines_clear(&report->problems);
    report_lines_clear(&report->charts);
    report_lines_clear(&report->missing_why);
    report_lines_clear(&report->missing_command);
    *report = (struct report){0};
}
