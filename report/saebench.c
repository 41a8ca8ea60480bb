/* SPDX-License-Identifier: MIT */
/* saebench : folders of SAEBench's result files (*_eval_results.json) as published rows, one row an
 * SAE. What changed its meaning over the years is put under the name of its formula; a file that
 * cannot be told is named and left out.
 *
 *   absorption   A  mean_absorption_score                                    to 2025-01-12
 *                B  fraction over all latents       moved to version_b       to 2025-03-26
 *                C  fraction over three latents     dated later, or D: min_feats_for_eval
 *   core         explained_variance before 2025-03-07 is what is now called legacy; -1 is no number
 *
 * Contents: 1. one file   2. rows   3. folders */
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/json.h"
#include "report/results.h"

#define SUFFIX "_eval_results.json"
enum { DEPTH_MAX = 4, NAME_SHOWN = 34 };
#define MILLIS_2025_03_27 1743033600000.0 /* absorption's fraction changed */

/* --- 1. one file -------------------------------------------------------------------------- */

/* Whether the categories are objects of numbers and nulls, as every reader takes for granted. */
static bool is_flat(const json_t *metrics)
{
    const char *key, *inner;
    json_t *part, *value;
    if (!json_is_object(metrics) || json_object_size(metrics) == 0)
        return false;
    json_object_foreach((json_t *)(uintptr_t)metrics, key, part)
    {
        if (!json_is_object(part))
            return false;
        json_object_foreach(part, inner, value)
        {
            if (!json_is_number(value) && !json_is_null(value))
                return false;
        }
    }
    return true;
}

static enum sae_status move_fraction(json_t *json, const char *path, struct sae_err *err)
{
    json_t *const mean = sae_json_at(json, "eval_result_metrics.mean");
    json_t *const fraction = json_object_get(mean, "mean_absorption_fraction_score");
    const double made = sae_json_real(json, "datetime_epoch_millis", 0);
    const bool is_d = sae_json_at(json, "eval_config.min_feats_for_eval") != NULL;
    if (fraction == NULL && json_object_get(mean, "mean_absorption_score") == NULL)
        return sae_err_set(err, SAE_EFORMAT, "'%s': its absorption scores are of no known version",
                           path);
    if (fraction == NULL || is_d || made >= MILLIS_2025_03_27)
        return SAE_OK;
    if (made <= 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' has no date, so its absorption fraction may be by either of two "
                           "formulas",
                           path);
    json_object_set_new(json_object_get(json, "eval_result_metrics"), "version_b",
                        json_pack("{s:O}", "mean_absorption_fraction_score", fraction));
    json_object_del(mean, "mean_absorption_fraction_score");
    return SAE_OK;
}

/* -1 stands for NaN; and what was plainly called explained variance before there were two. */
static void mend_core(json_t *json)
{
    const char *key, *inner;
    json_t *part, *value;
    void *next;
    json_object_foreach(json_object_get(json, "eval_result_metrics"), key, part)
    {
        json_object_foreach_safe(part, next, inner, value)
        {
            if (json_number_value(value) == -1)
                json_object_del(part, inner);
        }
    }
    json_t *const quality = sae_json_at(json, "eval_result_metrics.reconstruction_quality");
    json_t *const plain = json_object_get(quality, "explained_variance");
    if (plain != NULL && json_object_get(quality, "explained_variance_legacy") == NULL) {
        json_object_set(quality, "explained_variance_legacy", plain);
        json_object_del(quality, "explained_variance");
    }
}

static enum sae_status read_file(json_t **ret, enum sae_source *ret_source, const char *path,
                                 struct sae_err *err)
{
    json_t *json = NULL;
    SAE_TRY(sae_json_load(&json, path, err));
    const enum sae_source source = report_source_of(sae_json_str(json, "eval_type_id", ""));
    enum sae_status st = SAE_OK;
    if (source == SAE_SOURCE_N)
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is of evaluation '%.40s', which is not known here",
                         path, sae_json_str(json, "eval_type_id", "?"));
    else if (!is_flat(json_object_get(json, "eval_result_metrics")))
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s': eval_result_metrics is not {category: {metric: number}}", path);
    else if (source == SAE_SOURCE_ABSORB)
        st = move_fraction(json, path, err);
    else if (source == SAE_SOURCE_CORE)
        mend_core(json);
    if (st != SAE_OK) {
        json_decref(json);
        return st;
    }
    *ret = json;
    *ret_source = source;
    return SAE_OK;
}

/* --- 2. rows ------------------------------------------------------------------------------ */

static long layer_of(const json_t *json)
{
    const uint64_t plain = sae_json_u64(json, "sae_cfg_dict.hook_layer", UINT64_MAX);
    const char *const hook = sae_json_str(json, "sae_cfg_dict.hook_name",
                                          sae_json_str(json, "sae_cfg_dict.metadata.hook_name", ""));
    const char *const digits = strpbrk(hook, "0123456789");
    if (plain <= 1000)
        return (long)plain;
    return digits != NULL ? strtol(digits, NULL, 10) : -1;
}

/* Names are long and alike in front: the end of one, unless another row has it. */
static enum sae_status shorten(char **ret, const struct report *report, const char *full,
                               struct sae_err *err)
{
    const size_t n = strlen(full);
    const char *end = n > NAME_SHOWN ? full + n - NAME_SHOWN : full;
    struct sae_str name = {0};
    SAE_TRY(sae_str_printf(&name, err, "%s%s", end != full ? ".." : "", end));
    for (size_t i = 0; i < report->n_baselines; i++)
        if (strcmp(report->baselines[i].name, name.s) == 0 && end != full) {
            sae_str_clear(&name);
            SAE_TRY(sae_str_printf(&name, err, "%s", full));
        }
    *ret = name.s;
    return SAE_OK;
}

static enum sae_status new_row(struct report *report, const char *full, const json_t *json,
                               struct report_baseline **ret, struct sae_err *err)
{
    struct report_baseline one = {.layer = layer_of(json)};
    const char *const model = sae_json_str(
        json, "eval_config.model_name", sae_json_str(json, "sae_cfg_dict.model_name", "unknown"));
    struct sae_str title = {0};
    enum sae_status st;
    SAE_GO(st, shorten(&one.name, report, full, err));
    SAE_GO(st, sae_mem_strdup(&one.full, full, err));
    SAE_GO(st, sae_mem_strdup(&one.model, sae_fs_base(model), err));
    SAE_GO(st, sae_str_printf(&title, err, "%s, m %llu", sae_json_str(json,
                                                                      "sae_cfg_dict.architecture",
                                                                      "architecture unknown"),
                              (unsigned long long)sae_json_u64(json, "sae_cfg_dict.d_sae", 0)));
    SAE_GO(st, sae_mem_strdup(&one.title, title.s, err));
    SAE_GO(st, sae_mem_grow(&report->baselines, &report->cap_baselines, report->n_baselines + 1,
                            sizeof one, err));
    *ret = &report->baselines[report->n_baselines];
    report->baselines[report->n_baselines++] = one;
    one = (struct report_baseline){0};
done:
    sae_str_clear(&title);
    report_baseline_clear(&one);
    return st;
}

/* The row of an SAE, found by its file's name, its model and its layer. */
static struct report_baseline *find_row(struct report *report, const char *full, const json_t *json)
{
    const char *const model = sae_json_str(
        json, "eval_config.model_name", sae_json_str(json, "sae_cfg_dict.model_name", "unknown"));
    for (size_t i = 0; i < report->n_baselines; i++) {
        struct report_baseline *const one = &report->baselines[i];
        if (one->full != NULL && strcmp(one->full, full) == 0 &&
            strcmp(one->model, sae_fs_base(model)) == 0)
            return one;
    }
    return NULL;
}

static enum sae_status add_row(struct report *report, const char *full, enum sae_source source,
                               json_t *json, const char *path, struct sae_err *err)
{
    struct report_baseline *row = find_row(report, full, json);
    if (row == NULL)
        SAE_TRY(new_row(report, full, json, &row, err));
    json_t **const place = &row->part[source];
    if (*place != NULL)
        return report_lines_add(&report->problems, err,
                                "'%s': another %s result of the same SAE was read before; left out",
                                path, report_sources[source].id);
    *place = json_incref(json);
    return SAE_OK;
}

/* What a walk through folders makes of each file: a published row, or a run of its own. */
struct walk {
    struct report *report;
    const char *runs_of; /* folder whose results become runs; NULL: rows */
    size_t n_found;
};

/* An SAE's name from that of its result: without the endings that all have. */
static enum sae_status sae_name(char **ret, const char *path, bool own, struct sae_err *err)
{
    static const char *const endings[] = {SUFFIX, ".json", "_custom_sae"};
    SAE_TRY(sae_mem_strdup(ret, sae_fs_base(path), err));
    for (size_t i = 0; i < (own ? 3 : 1); i++)
        if (sae_str_ends(*ret, endings[i]) && strlen(*ret) > strlen(endings[i]))
            (*ret)[strlen(*ret) - strlen(endings[i])] = '\0';
    return SAE_OK;
}

static enum sae_status add_file(const struct walk *walk, const char *path, struct sae_err *err)
{
    struct report *const report = walk->report;
    struct sae_err why = {0};
    json_t *json = NULL;
    char *name = NULL;
    enum sae_source source;
    if (read_file(&json, &source, path, &why) != SAE_OK) {
        report->n_lost += walk->runs_of != NULL;
        return report_lines_add(&report->problems, err, "%s; left out", why.msg);
    }
    enum sae_status st;
    SAE_GO(st, sae_name(&name, path, walk->runs_of != NULL, err));
    st = walk->runs_of != NULL
             ? report_result_add(report, walk->runs_of, name, source, json, path, err)
             : add_row(report, name, source, json, path, err);
done:
    free(name);
    json_decref(json);
    return st;
}

/* --- 3. folders --------------------------------------------------------------------------- */

static enum sae_status add_folder(struct walk *walk, const char *dir, int depth, struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0;
    struct sae_err why = {0};
    if (sae_fs_list(&names, &n, dir, "", "", &why) != SAE_OK)
        return report_lines_add(&walk->report->problems, err, "%s", why.msg);
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n && st == SAE_OK; i++) {
        char *path = NULL;
        if (names[i][0] == '.')
            continue;
        st = sae_fs_join(&path, dir, names[i], err);
        if (st == SAE_OK && sae_str_ends(names[i], SUFFIX)) {
            walk->n_found++;
            st = add_file(walk, path, err);
        } else if (st == SAE_OK && depth < DEPTH_MAX && sae_fs_is_dir(path)) {
            st = add_folder(walk, path, depth + 1, err);
        }
        free(path);
    }
    sae_fs_list_free(names, n);
    return st;
}

enum sae_status report_results_load(struct report *report, const char *path, struct sae_err *err)
{
    struct walk walk = {.report = report, .runs_of = path};
    char *folder = NULL;
    if (sae_fs_is_dir(path))
        return add_folder(&walk, path, 0, err);
    SAE_TRY(sae_fs_dir(&folder, path, err));
    walk.runs_of = folder;
    const enum sae_status st = add_file(&walk, path, err);
    free(folder);
    return st;
}

enum sae_status report_saebench_load(struct report *report, const char *dir, struct sae_err *err)
{
    struct walk walk = {.report = report};
    if (!sae_fs_is_dir(dir))
        return sae_err_set(err, SAE_EARG, "--saebench '%s': no such folder", dir);
    SAE_TRY(add_folder(&walk, dir, 0, err));
    return walk.n_found > 0 ? SAE_OK
                       : report_lines_add(&report->problems, err,
                                          "no *" SUFFIX " in '%s' or the folders below it", dir);
}
