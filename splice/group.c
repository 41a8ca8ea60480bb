/* SPDX-License-Identifier: MIT */
/* group : see the header.
 * Contents: 1. one SAE   2. opening a group   3. the pass   4. results */
#include "splice/group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "splice/partial.h"

/* --- 1. one SAE --------------------------------------------------------------------------- */

enum sae_status splice_group_check(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                   struct sae_err *err)
{
    const struct splice_group *const group = run->eval->data;
    struct splice_source *source = NULL;
    SAE_TRY(sae_mem_alloc(&source, 1, sizeof *source, err));
    subject->own = source;
    return splice_source_find(source, &subject->ckpt, &group->settings, err);
}

bool splice_group_same(const struct sae_eval_subject *a, const struct sae_eval_subject *b)
{
    return splice_source_same(a->own, b->own);
}

void splice_group_drop(void *source)
{
    splice_source_clear(source);
    free(source);
}

/* --- 2. opening a group ------------------------------------------------------------------- */

/* The folder may have been replaced since: weights are compared by hash, not by name. */
static enum sae_status check_model(const struct splice_group *group, const struct sae_ckpt *ckpt,
                                   struct sae_err *err)
{
    const char *id = sae_json_str(sae_store_site(ckpt->record), "model_id", NULL);
    if (!id) {
        sae_log_warn("'%s' does not say from which model's weights it comes; using '%s' unchecked",
                     ckpt->path, group->source->model);
        return SAE_OK;
    }
    if (strcmp(id, group->model_id) != 0)
        return sae_err_set(err, SAE_EARG,
                           "'%s' was trained on model %.12s, but '%s' is model %.12s; name the "
                           "right folder with --model",
                           ckpt->path, id, group->source->model, group->model_id);
    return SAE_OK;
}

/* Says what the numbers will be measured on. */
static void report_text(const struct splice_group *group)
{
    const struct splice_text *text = &group->text;
    const struct splice_source *source = group->source;
    if (text->is_tail)
        sae_log_warn("the store was made from the whole of its text: measuring on the text's last "
                     "%zu contexts, which the autoencoders may have been trained on; name another "
                     "text with --text",
                     text->n);
    else
        sae_log_info("text: documents %" PRIu64 " to %" PRIu64 " of '%s'%s%s, %zu contexts of %zu",
                     text->first_document, text->last_document, source->texts[0],
                     source->n_texts > 1 ? " and further files" : "",
                     source->recorded_text && source->skip > 0 ? ", after those the store holds"
                                                               : "",
                     text->n, text->context);
    if (text->n < group->settings.n_contexts)
        sae_log_warn("the text ended after %zu contexts; %zu were asked for", text->n,
                     group->settings.n_contexts);
}

static enum sae_status open_model(struct splice_group *group, const struct sae_evaluation *run,
                                  struct sae_err *err)
{
    SAE_TRY(sae_lm_open(&group->lm, group->source->model, err));
    SAE_TRY(sae_lm_id(group->lm, group->model_id, err));
    SAE_TRY(sae_lm_place(group->lm, run->ops, (enum sae_precision)*group->settings.matmul,
                         sae_lm_config(group->lm)->L, err));
    const char *const numerics = sae_lm_numerics(group->lm);
    const bool plain = strcmp(numerics, "cpu f32") == 0; /* all there was at first */
    (void)snprintf(group->cache_id, sizeof group->cache_id, "%s%s%s", group->model_id,
                   plain ? "" : " ", plain ? "" : numerics);
    SAE_TRY(sae_lm_check_hook(group->lm, group->source->hook, err));
    for (size_t k = 0; k < run->n_group; k++)
        SAE_TRY(check_model(group, &run->group[k]->ckpt, err));
    return SAE_OK;
}

static enum sae_status open_text(struct splice_group *group, struct sae_err *err)
{
    const struct sae_lm_config *const config = sae_lm_config(group->lm);
    const struct splice_source *const source = group->source;
    const struct splice_text_settings text = {.files = source->texts,
                                              .n_files = source->n_texts,
                                              .field = source->field,
                                              .split = source->split,
                                              .skip = source->skip,
                                              .skip_asked = source->skip_asked,
                                              .n_contexts = group->settings.n_contexts,
                                              .context = group->settings.context,
                                              .n_vocab = config->V};
    SAE_TRY(sae_tok_open(&group->tok, source->model, config, err));
    sae_lm_set_specials(group->lm, group->tok);
    SAE_TRY(splice_text_load(&group->text, &text, group->tok, config->bos, err));
    report_text(group);
    return SAE_OK;
}

double splice_group_cache_bytes(const struct splice_group *group)
{
    const struct sae_lm_config *const config = sae_lm_config(group->lm);
    const enum sae_point point = group->source->hook.point;
    const size_t floats =
        sae_lm_width(config, point) + config->D * (sae_points[point].of_branch ? 2 : 1);
    return (double)group->text.n * (double)group->text.context * ((double)floats * 4 + 3 * 8 + 4);
}

/* Folder of the cache, new memory, NULL for none: beside the store. Two or three arrays of D
 * numbers a token weigh little beside a store of one, but a long text in a wide model is worth a
 * word. */
static enum sae_status find_cache(char **ret, const struct splice_group *group, struct sae_err *err)
{
    const struct splice_settings *const settings = &group->settings;
    const double bytes = splice_group_cache_bytes(group);
    if (!settings->keep)
        return SAE_OK;
    if (bytes > (double)settings->cache_bytes) {
        sae_log_info("the untouched model's passes would take %.1f GB and are not kept for the "
                     "next checkpoint; see --reference-size",
                     bytes / 1e9);
        return SAE_OK;
    }
    if (settings->cache)
        return sae_mem_strdup(ret, settings->cache, err);
    if (!group->source->store || !sae_fs_is_dir(group->source->store))
        return SAE_OK;
    return sae_fs_join(ret, group->source->store, "reference", err);
}

enum sae_status splice_group_begin(struct sae_evaluation *run, struct sae_err *err)
{
    struct splice_group *const group = run->eval->data;
    group->source = run->group[0]->own;
    SAE_TRY(open_model(group, run, err));
    SAE_TRY(open_text(group, err));
    SAE_TRY(find_cache(&group->cache, group, err));
    SAE_TRY(sae_mem_alloc(&group->models, run->n_group, sizeof *group->models, err));
    for (size_t k = 0; k < run->n_group; k++)
        group->models[k] = &run->group[k]->ckpt.model;
    return SAE_OK;
}

/* --- 3. the pass -------------------------------------------------------------------------- */

struct splice_job splice_group_job(const struct splice_group *group)
{
    return (struct splice_job){.lm = group->lm,
                               .hook = group->source->hook,
                               .text = &group->text,
                               .batch = group->settings.batch,
                               .cache = group->cache,
                               .model_id = group->cache_id,
                               .partials = group->partials};
}

enum sae_status splice_group_share(struct sae_evaluation *run, struct sae_err *err)
{
    struct splice_group *const group = run->eval->data;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&group->sums, run->n_group, sizeof *group->sums, err));
    SAE_GO(st, sae_mem_alloc(&group->partials, run->n_group, sizeof *group->partials, err));
    for (size_t k = 0; k < run->n_group; k++) {
        group->partials[k].path = run->group[k]->partial;
        splice_partial_key(group->partials[k].key, run->group[k]->ckpt.id, group->cache_id,
                           group->source->hook, &group->text, group->settings.batch);
    }
    const struct splice_job job = splice_group_job(group);
    SAE_GO(st, splice_pass(&group->reference, group->sums, group->models, run->n_group, &job,
                           run->ops, err));
    group->n = run->n_group;
done:
    return st;
}

void splice_group_end(struct sae_evaluation *run)
{
    struct splice_group *const group = run->eval->data;
    for (size_t k = 0; k < group->n; k++)
        splice_stats_clear(&group->sums[k].stats);
    free(group->sums);
    free(group->partials);
    free(group->models);
    free(group->cache);
    splice_text_clear(&group->text);
    sae_tok_close(group->tok);
    sae_lm_close(group->lm);
    *group = (struct splice_group){.settings = group->settings};
}

/* --- 4. results --------------------------------------------------------------------------- */

enum sae_status splice_group_one(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                 struct sae_result_parts parts[], json_t *record,
                                 struct sae_err *err)
{
    const struct splice_group *const group = run->eval->data;
    struct splice_weights weights = {0};
    size_t k = 0;
    while (run->group[k] != subject)
        k++;
    SAE_TRY(splice_weights_make(&weights, &subject->ckpt.model, run->ops, err));
    const struct splice_measured measured = {.ckpt = &subject->ckpt,
                                             .source = group->source,
                                             .text = &group->text,
                                             .settings = &group->settings,
                                             .reference = &group->reference,
                                             .sums = &group->sums[k],
                                             .weights = &weights,
                                             .model_name = sae_lm_config(group->lm)->name,
                                             .model_id = group->model_id,
                                             .numerics = sae_lm_numerics(group->lm)};
    parts[0] = splice_result_parts(&measured);
    splice_weights_clear(&weights);
    return splice_result_inputs(record, &measured, err);
}
