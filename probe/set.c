/* SPDX-License-Identifier: MIT */
/* set : one labelled set under one checkpoint.
 *
 * Contents:  1. what a set holds   2. running it */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
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

void probe_set_drop_latents(struct probe_set *set)
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
