/* SPDX-License-Identifier: MIT */
/* results : a folder that evaluations filled with -o DIR, as runs of one phase each: SAEs of other
 * packages, or checkpoints whose results were put elsewhere, beside the runs of sae-train.
 *
 * A result's file is named by its SAE; each name is one run, its phase 100 % where the results do
 * not say how far it was trained. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/json.h"
#include "report/results.h"

/* Sets *ret to the run of a name in a folder, a new one where there is none. */
static enum sae_status find_run(struct report *report, const char *folder, const char *name,
                                struct report_run **ret, struct sae_err *err)
{
    char *path = NULL;
    SAE_TRY(sae_fs_join(&path, folder, name, err));
    for (size_t i = 0; i < report->n_runs; i++)
        if (report->runs[i].elsewhere && strcmp(report->runs[i].path, path) == 0) {
            *ret = &report->runs[i];
            free(path);
            return SAE_OK;
        }
    struct report_run run = {.elsewhere = true, .path = path};
    enum sae_status st = sae_mem_strdup(&run.name, name, err);
    if (st == SAE_OK)
        st = sae_mem_alloc(&run.phases, 1, sizeof *run.phases, err);
    if (st == SAE_OK)
        st = sae_mem_strdup(&run.phases[0].path, path, err);
    if (st == SAE_OK)
        st = sae_mem_grow(&report->runs, &report->cap_runs, report->n_runs + 1, sizeof run, err);
    if (st != SAE_OK) {
        if (run.phases != NULL)
            free(run.phases[0].path);
        free(run.phases);
        free(run.name);
        free(path);
        return st;
    }
    run.n_phases = run.cap_phases = 1;
    run.phases[0].percent = 100;
    report->runs[report->n_runs] = run;
    *ret = &report->runs[report->n_runs++];
    return SAE_OK;
}

/* What the results say about their SAE, each as far as it goes: SAEBench's sae_cfg_dict, and what saekit
 * says of the checkpoint. */
static enum sae_status take_facts(struct report_run *run, const json_t *json, struct sae_err *err)
{
    static const struct {
        const char *from, *to;
    } of_checkpoint[] = {{"arch", "architecture"}, {"d", "d_in"}, {"m", "d_sae"}, {"k", "k"}};
    const json_t *const checkpoint = sae_json_at(json, "saekit.checkpoint");
    const double progress = sae_json_real(checkpoint, "progress", NAN);
    const uint64_t step = sae_json_u64(checkpoint, "step", 0);
    if (run->config == NULL)
        run->config = json_object();
    if (run->config == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    json_object_update_missing(run->config, json_object_get(json, "sae_cfg_dict"));
    for (size_t i = 0; i < sizeof of_checkpoint / sizeof *of_checkpoint; i++) {
        json_t *const value = json_object_get(checkpoint, of_checkpoint[i].from);
        if (value != NULL && json_object_get(run->config, of_checkpoint[i].to) == NULL)
            json_object_set(run->config, of_checkpoint[i].to, value);
    }
    run->d = (size_t)sae_json_u64(run->config, "d_in", 0);
    run->m = (size_t)sae_json_u64(run->config, "d_sae", 0);
    run->k = (size_t)sae_json_u64(run->config, "k", 0);
    if (step > 0 && progress >= 0 && progress <= 1)
        run->phases[0].percent = (int)lround(100 * progress);
    run->phases[0].step = step;
    snprintf(run->phases[0].id, sizeof run->phases[0].id, "%s", sae_json_str(checkpoint, "id", ""));
    return SAE_OK;
}

/* Two results under one name that are of different SAEs cannot stand in one row. */
static bool is_other(const struct report_phase *phase, const json_t *json)
{
    const char *const id = sae_json_str(json, "saekit.checkpoint.id", "");
    return phase->id[0] != '\0' && id[0] != '\0' && strcmp(phase->id, id) != 0;
}

enum sae_status report_result_add(struct report *report, const char *folder, const char *name,
                                  enum sae_source source, json_t *json, const char *path,
                                  struct sae_err *err)
{
    struct report_run *run = NULL;
    SAE_TRY(find_run(report, folder, name, &run, err));
    struct report_phase *const phase = &run->phases[0];
    if (is_other(phase, json))
        return report_lines_add(&report->problems, err,
                                "'%s': it is of another SAE than the other results of that name; "
                                "left out",
                                path);
    if (phase->result[source] != NULL)
        return report_lines_add(&report->problems, err,
                                "'%s': another result of the same evaluation and SAE was read "
                                "before; left out",
                                path);
    phase->result[source] = json_incref(json);
    return take_facts(run, json, err);
}

enum sae_status report_result_describe(char **ret, const struct report_run *run,
                                       struct sae_err *err)
{
    const char *const arch = sae_json_str(run->config, "architecture", "architecture unknown");
    const char *const model = sae_json_str(run->config, "model_name", NULL);
    struct sae_str text = {0};
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&text, err, "%s SAE, m %zu", arch, run->m));
    if (run->k > 0)
        SAE_GO(st, sae_str_printf(&text, err, ", k %zu", run->k));
    if (model != NULL)
        SAE_GO(st, sae_str_printf(&text, err, ", %s", sae_fs_base(model)));
    SAE_GO(st, sae_str_printf(&text, err, "; results only, no checkpoint here"));
    *ret = text.s;
    return SAE_OK;
done:
    sae_str_clear(&text);
    return st;
}
