/* SPDX-License-Identifier: MIT */
/* baseline : the published results that runs are set beside. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/json.h"
#include "report/report.h"

/* Set by the build; a program moved elsewhere still finds ../share beside itself. */
#ifndef REPORT_DATA_INSTALLED
#define REPORT_DATA_INSTALLED "/usr/local/share/saekit"
#endif
#ifndef REPORT_DATA_SOURCE
#define REPORT_DATA_SOURCE ""
#endif

static const json_t *training(const json_t *json)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value)
    {
        if (strncmp(key, "training results", strlen("training results")) == 0)
            return value;
    }
    return NULL;
}

static enum sae_status describe(struct report_baseline *one, const json_t *config,
                                struct sae_err *err)
{
    struct sae_str title = {0};
    enum sae_status st = SAE_OK;
    const uint64_t k = sae_json_u64(config, "k", 0);
    const double l1 = sae_json_real(config, "l1_penalty", 0);
    const uint64_t steps = sae_json_u64(training(one->json), "final_info.training_steps", 0);
    if (k > 0)
        SAE_GO(st, sae_str_printf(&title, err, "TopK, k %llu", (unsigned long long)k));
    else
        SAE_GO(st, sae_str_printf(&title, err, "standard, L1 %g", l1));
    SAE_GO(st, sae_str_printf(&title, err, ", m %llu, %llu steps",
                              (unsigned long long)sae_json_u64(config, "dict_size", 0),
                              (unsigned long long)steps));
    SAE_GO(st, sae_mem_strdup(&one->title, title.s, err));
done:
    sae_str_clear(&title);
    return st;
}

enum sae_status report_baseline_load(struct report_baseline *ret, const char *path,
                                     struct sae_err *err)
{
    struct report_baseline one = {0};
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_json_load(&one.json, path, err));
    const json_t *const config = json_object_get(training(one.json), "config");
    if (!json_is_object(config)) {
        st = sae_err_set(
            err, SAE_EFORMAT,
            "'%s': no \"training results ...\" with a config; not a published baseline", path);
        goto done;
    }
    SAE_GO(st, sae_mem_strdup(&one.name, sae_fs_base(path), err));
    one.name[strlen(one.name) - strlen(".json")] = '\0';
    SAE_GO(st, sae_mem_strdup(&one.model, sae_fs_base(sae_json_str(config, "lm_name", "unknown")),
                              err));
    one.layer = (long)sae_json_u64(config, "layer", 0);
    SAE_GO(st, describe(&one, config, err));
    *ret = one;
    return SAE_OK;
done:
    report_baseline_clear(&one);
    return st;
}

void report_baseline_clear(struct report_baseline *baseline)
{
    free(baseline->name);
    free(baseline->title);
    free(baseline->model);
    free(baseline->full);
    json_decref(baseline->json);
    for (size_t s = 0; s < SAE_SOURCE_N; s++)
        json_decref(baseline->part[s]);
    *baseline = (struct report_baseline){0};
}

/* The published runs that come with the program have names that a user's own runs have too. */
const char *report_baseline_label(char buf[REPORT_LABEL], const struct report_baseline *baseline)
{
    snprintf(buf, REPORT_LABEL, "[%s%.*s]", baseline->full != NULL ? "" : "published ",
             REPORT_LABEL - 16, baseline->name);
    return buf;
}

bool report_same_site(const struct report_run *run, const struct report_baseline *baseline)
{
    const json_t *const site = run->elsewhere ? run->config : report_site(run);
    const char *const model = sae_json_str(site, run->elsewhere ? "model_name" : "model", NULL);
    const char *const layer = run->elsewhere ? "hook_layer" : "layer";
    if (model == NULL)
        return false;
    return strcmp(sae_fs_base(model), baseline->model) == 0 &&
           sae_json_u64(site, layer, UINT64_MAX) == (uint64_t)baseline->layer;
}

const char *report_baselines_site(char buf[128], const struct report *report)
{
    const struct report_baseline *const first = report->baselines;
    for (size_t i = 1; i < report->n_baselines; i++)
        if (report->baselines[i].layer != first->layer ||
            strcmp(report->baselines[i].model, first->model) != 0)
            return "of several models or layers";
    if (first->layer < 0)
        snprintf(buf, 128, "%.100s", first->model);
    else
        snprintf(buf, 128, "%.100s layer %ld", first->model, first->layer);
    return buf;
}

/* "/usr/bin/sae-report" -> "/usr/bin/../share/saekit" */
/* NULL where there is no program to start from or no way. */
static enum sae_status from_program(char **ret, const char *program, const char *way,
                                    struct sae_err *err)
{
    char *folder = NULL;
    *ret = NULL;
    if (program == NULL || way[0] == '\0')
        return SAE_OK;
    enum sae_status st = sae_fs_dir(&folder, program, err);
    if (st == SAE_OK)
        st = sae_fs_join(ret, folder, way, err);
    free(folder);
    return st;
}

enum sae_status report_baselines_dir(char **ret, const struct report_settings *settings,
                                     struct sae_err *err)
{
    *ret = NULL;
    if (settings->baselines != NULL)
        return sae_mem_strdup(ret, settings->baselines, err);
    char *near = NULL, *source = NULL;
    enum sae_status st = from_program(&near, settings->program, "../share/saekit", err);
    if (st == SAE_OK)
        st = from_program(&source, settings->program, REPORT_DATA_SOURCE, err);
    const char *const places[] = {near, source, REPORT_DATA_INSTALLED};
    for (size_t i = 0; i < 3 && *ret == NULL && st == SAE_OK; i++) {
        if (places[i] == NULL || places[i][0] == '\0')
            continue;
        char *dir = NULL;
        st = sae_fs_join(&dir, places[i], "baselines", err);
        if (st == SAE_OK && sae_fs_is_dir(dir))
            *ret = dir;
        else
            free(dir);
    }
    free(near);
    free(source);
    return st;
}
