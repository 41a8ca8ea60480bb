/* SPDX-License-Identifier: MIT */
/* set : one labelled set under one checkpoint, and what an interrupted run keeps.
 *
 * Contents:  1. what a set holds   2. running it   3. the part file */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/eval/site.h"
#include "lib/file/cache.h"
#include "lib/file/json.h"
#include "probe/probe.h"

/* --- 1. what a set holds ------------------------------------------------------------------ */

static enum sae_status describe(struct probe_set *set, const struct sae_labels *labels,
                                const struct sae_task_plan *plan, struct sae_err *err)
{
    memcpy(set->id, labels->id, sizeof set->id);
    set->record = json_incref(labels->record);
    set->n_texts = labels->n_texts;
    set->n_rows = labels->n_rows;
    set->d = labels->d;
    set->n_left_out = plan->n_left_out;
    SAE_TRY(sae_mem_strdup(&set->name, labels->name, err));
    SAE_TRY(sae_mem_alloc(&set->classes, plan->n_classes, sizeof *set->classes, err));
    SAE_TRY(sae_mem_alloc(&set->n_train, plan->n_classes, sizeof *set->n_train, err));
    SAE_TRY(sae_mem_alloc(&set->n_test, plan->n_classes, sizeof *set->n_test, err));
    set->n_classes = plan->n_classes;
    for (size_t c = 0; c < plan->n_classes; c++) {
        const struct sae_task_class *const class = &plan->classes[c];
        SAE_TRY(sae_mem_strdup(&set->classes[c], labels->classes[class->index], err));
        set->n_train[c] = 2 * class->n_side[0];
        set->n_test[c] = 2 * class->n_side[1];
    }
    return SAE_OK;
}

enum sae_status probe_set_open(struct probe_set *ret, const char *path,
                               const struct probe_settings *settings, struct sae_err *err)
{
    struct sae_labels labels = {0};
    struct sae_task_plan plan = {0};
    struct probe_set set = {0};
    SAE_TRY(sae_labels_open(&labels, path, err));
    enum sae_status st;
    SAE_GO(st, sae_mem_strdup(&set.path, path, err));
    SAE_GO(st, sae_task_plan_make(&plan, &labels, settings->train_size,
                                  settings->test_size, err));
    SAE_GO(st, describe(&set, &labels, &plan, err));
    if (set.n_left_out)
        sae_log_warn("'%s': %zu of %zu classes have no texts to train or no texts to test on and "
                     "are left out",
                     path, set.n_left_out, labels.n_classes);
    *ret = set;
    set = (struct probe_set){0};
done:
    probe_set_clear(&set);
    sae_task_plan_clear(&plan);
    sae_labels_close(&labels);
    return st;
}

void probe_set_forget_latents(struct probe_set *set)
{
    probe_scores_clear(&set->latents);
    set->has_latents = false;
}

void probe_set_clear(struct probe_set *set)
{
    free(set->path);
    free(set->name);
    json_decref(set->record);
    for (size_t c = 0; c < set->n_classes; c++)
        free(set->classes[c]);
    free(set->classes);
    free(set->n_train);
    free(set->n_test);
    probe_scores_clear(&set->latents);
    probe_scores_clear(&set->neurons);
    *set = (struct probe_set){0};
}

/* --- 2. running it ------------------------------------------------------------------------ */

enum sae_status probe_set_run(struct probe_set *set, const struct sae_ckpt *ckpt,
                              const struct sae_ops *ops, const struct probe_settings *settings,
                              struct sae_err *err)
{
    if (set->has_latents && set->has_neurons)
        return SAE_OK;
    struct sae_labels labels = {0};
    struct sae_task_plan plan = {0};
    struct sae_pool features = {0};
    char what[160];
    SAE_TRY(sae_labels_open(&labels, set->path, err));
    enum sae_status st;
    SAE_GO(st, sae_task_plan_make(&plan, &labels, settings->train_size,
                                  settings->test_size, err));
    if (!set->has_neurons) {
        SAE_GO(st, sae_pool_neurons(&features, &labels, err));
        snprintf(what, sizeof what, "%s, neurons", set->name);
        SAE_GO(st, probe_scores_run(&set->neurons, &features, &plan, settings, what, err));
        set->has_neurons = true;
        sae_pool_clear(&features);
    }
    if (!set->has_latents) {
        SAE_GO(st, sae_pool_latents(&features, &labels, &ckpt->model, ops, settings->batch, err));
        snprintf(what, sizeof what, "%s, latents", set->name);
        SAE_GO(st, probe_scores_run(&set->latents, &features, &plan, settings, what, err));
        set->has_latents = true;
    }
done:
    sae_pool_clear(&features);
    sae_task_plan_clear(&plan);
    sae_labels_close(&labels);
    return st;
}

/* --- 3. the part file --------------------------------------------------------------------- */

static json_t *list_u64(const uint64_t *v, size_t n)
{
    json_t *const list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, json_integer((json_int_t)v[i]));
    return list;
}

/* What a finished set depends on besides the set itself. */
static json_t *part_key(const struct sae_ckpt *ckpt, const struct probe_settings *s)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:b}", "version", SAE_VERSION, "checkpoint",
                     ckpt->id, "k", list_u64(s->k, s->n_k), "seeds", list_u64(s->seeds, s->n_seeds),
                     "train_size", (json_int_t)s->train_size, "test_size", (json_int_t)s->test_size,
                     "full", s->full);
}

static size_t n_values(const struct probe_scores *s)
{
    return s->n_probes * s->n_classes * s->n_seeds * PROBE_N_METRICS;
}

static json_t *scores_json(const struct probe_scores *s)
{
    json_t *const list = json_array();
    for (size_t i = 0; list && i < n_values(s); i++)
        json_array_append_new(list, sae_json_number(s->v[i]));
    return list;
}

enum sae_status probe_part_save(const char *path, const struct sae_ckpt *ckpt,
                                const struct probe_set *sets, size_t n_sets,
                                const struct probe_settings *settings, struct sae_err *err)
{
    json_t *const done = json_array();
    for (size_t i = 0; i < n_sets; i++)
        if (sets[i].has_latents && sets[i].has_neurons)
            json_array_append_new(done, json_pack("{s:s, s:o, s:o}", "id", sets[i].id, "latents",
                                                  scores_json(&sets[i].latents), "neurons",
                                                  scores_json(&sets[i].neurons)));
    json_t *const part = json_pack("{s:o, s:o}", "key", part_key(ckpt, settings), "sets", done);
    if (!part)
        return sae_err_set(err, SAE_ENOMEM, "out of memory writing '%s'", path);
    struct sae_err why;
    const enum sae_status st = sae_cache_wrote(sae_json_save(path, part, &why), &why, err);
    json_decref(part);
    return st;
}

static enum sae_status take_scores(struct probe_scores *ret, bool *ret_taken, const json_t *list,
                                   const struct probe_set *set,
                                   const struct probe_settings *settings, struct sae_err *err)
{
    struct probe_scores s;
    SAE_TRY(probe_scores_alloc(&s, settings->n_k + 1, set->n_classes, settings->n_seeds, err));
    *ret_taken = json_array_size(list) == n_values(&s);
    if (!*ret_taken) {
        probe_scores_clear(&s);
        return SAE_OK;
    }
    for (size_t i = 0; i < n_values(&s); i++) {
        const json_t *const v = json_array_get(list, i);
        if (json_is_number(v)) /* null stands for NaN, which alloc has filled in */
            s.v[i] = json_number_value(v);
    }
    probe_scores_clear(ret);
    *ret = s;
    return SAE_OK;
}

enum sae_status probe_part_load(size_t *ret_n_taken, const char *path, const struct sae_ckpt *ckpt,
                                struct probe_set *sets, size_t n_sets,
                                const struct probe_settings *settings, struct sae_err *err)
{
    *ret_n_taken = 0;
    if (!sae_fs_is_file(path))
        return SAE_OK;
    json_t *part = NULL, *key = part_key(ckpt, settings);
    struct sae_err ignored;
    enum sae_status st = SAE_OK;
    /* a damaged part costs the work in it and nothing else */
    if (sae_json_load(&part, path, &ignored) != SAE_OK || !key ||
        !json_equal(key, json_object_get(part, "key")))
        goto done;
    size_t at;
    const json_t *kept;
    json_array_foreach(json_object_get(part, "sets"), at, kept)
    {
        const char *const id = sae_json_str(kept, "id", "");
        for (size_t i = 0; i < n_sets; i++) {
            bool taken = false;
            if (strcmp(sets[i].id, id) != 0 || sets[i].has_latents)
                continue;
            SAE_GO(st, take_scores(&sets[i].latents, &taken, json_object_get(kept, "latents"),
                                   &sets[i], settings, err));
            sets[i].has_latents = taken;
            if (!sets[i].has_neurons) {
                SAE_GO(st, take_scores(&sets[i].neurons, &taken, json_object_get(kept, "neurons"),
                                       &sets[i], settings, err));
                sets[i].has_neurons = taken;
            }
            *ret_n_taken += sets[i].has_latents && sets[i].has_neurons;
        }
    }
done:
    json_decref(part);
    json_decref(key);
    return st;
}
