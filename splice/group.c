/* SPDX-License-Identifier: MIT */
/* group : see the header. */
#include "splice/group.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/result.h"
#include "splice/part.h"

/* All SAEs of an invocation, and which of them have been measured. */
struct all {
    struct sae_subjects *saes;
    struct splice_source *sources;
    bool *done;
};

/* One group: model and text open, checkpoints picked out of all. */
struct group {
    const struct splice_source *source; /* of its first checkpoint */
    struct gemma_model *gemma;
    struct gemma_tok *tok;
    char model_id[SAE_DIGEST_HEX];
    char kept_id[SAE_DIGEST_HEX + 48]; /* of what is kept of its passes */
    struct splice_text text;
    size_t n, *member; /* indices into all */
    const struct sae_model **models;
    struct splice_answer *answers;
    struct splice_reference reference;
    struct splice_part *parts;
    char *shelf; /* NULL: nothing is kept */
};

static void close_all(struct all *all)
{
    for (size_t i = 0; all->sources != NULL && i < all->saes->n; i++)
        splice_source_clear(&all->sources[i]);
    free(all->sources);
    free(all->done);
}

static enum sae_status load_all(struct all *all, const struct splice_settings *settings,
                                struct sae_err *err)
{
    const size_t n = all->saes->n;
    SAE_TRY(sae_mem_alloc(&all->sources, n, sizeof *all->sources, err));
    SAE_TRY(sae_mem_alloc(&all->done, n, sizeof *all->done, err));
    SAE_TRY(sae_subjects_load(all->saes, settings->subject.acts, err));
    for (size_t i = 0; i < n; i++)
        SAE_TRY(splice_source_find(&all->sources[i], &all->saes->ckpts[i], settings, err));
    return SAE_OK;
}

static void close_group(struct group *group)
{
    for (size_t i = 0; group->answers != NULL && i < group->n; i++)
        splice_stats_clear(&group->answers[i].stats);
    for (size_t i = 0; group->parts != NULL && i < group->n; i++)
        free(group->parts[i].path);
    free(group->parts);
    free(group->shelf);
    free(group->answers);
    free(group->models);
    free(group->member);
    splice_text_clear(&group->text);
    gemma_tok_close(group->tok);
    gemma_model_close(group->gemma);
}

/* The folder may have been replaced since: weights are compared by hash, not by name. */
static enum sae_status check_model(const struct group *group, const struct sae_ckpt *ckpt,
                                   struct sae_err *err)
{
    const char *id = sae_json_str(sae_store_site(ckpt->record), "model_id", NULL);
    if (id == NULL) {
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
static void tell_text(const struct group *group, const struct splice_settings *settings)
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
    if (text->n < settings->n_contexts)
        sae_log_warn("the text ended after %zu contexts; %zu were asked for", text->n,
                     settings->n_contexts);
}

static enum sae_status open_group(struct group *group, const struct all *all, size_t first,
                                  const struct splice_settings *settings,
                                  const struct sae_ops *ops, struct sae_err *err)
{
    group->source = &all->sources[first];
    SAE_TRY(sae_mem_alloc(&group->member, all->saes->n, sizeof *group->member, err));
    SAE_TRY(sae_mem_alloc(&group->models, all->saes->n, sizeof(struct sae_model *), err));
    SAE_TRY(sae_mem_alloc(&group->answers, all->saes->n, sizeof *group->answers, err));
    SAE_TRY(gemma_model_open(&group->gemma, group->source->model, err));
    SAE_TRY(gemma_model_id(group->gemma, group->model_id, err));
    SAE_TRY(gemma_model_place(group->gemma, ops, settings->matmul,
                              gemma_model_config(group->gemma)->L, err));
    (void)snprintf(group->kept_id, sizeof group->kept_id, "%s%s%s", group->model_id,
                   ops->host ? "" : " ", ops->host ? "" : gemma_model_numerics(group->gemma));
    for (size_t i = first; i < all->saes->n; i++) {
        if (all->done[i] || !splice_source_same(group->source, &all->sources[i]))
            continue;
        SAE_TRY(check_model(group, &all->saes->ckpts[i], err));
        group->models[group->n] = &all->saes->ckpts[i].model;
        group->member[group->n++] = i;
    }
    const struct gemma_config *config = gemma_model_config(group->gemma);
    const struct splice_text_settings text = {.files = group->source->texts,
                                              .n_files = group->source->n_texts,
                                              .field = group->source->field,
                                              .split = group->source->split,
                                              .skip = group->source->skip,
                                              .skip_asked = group->source->skip_asked,
                                              .n_contexts = settings->n_contexts,
                                              .context = settings->context};
    SAE_TRY(gemma_tok_open(&group->tok, group->source->model, config, err));
    gemma_model_set_specials(group->gemma, group->tok);
    SAE_TRY(splice_text_load(&group->text, &text, group->tok, config->bos, err));
    tell_text(group, settings);
    return SAE_OK;
}

/* Where what the untouched model did is kept: beside the store. Two arrays of D numbers a token
 * weigh little beside a store of one, but a long text in a wide model is worth a word. */
static enum sae_status find_shelf(struct group *group, const struct splice_settings *settings,
                                  struct sae_err *err)
{
    const size_t D = gemma_model_config(group->gemma)->D;
    const uint64_t bytes = (uint64_t)group->text.n * group->text.context * (2 * D * 4 + 3 * 8);
    if (!settings->keep)
        return SAE_OK;
    if (bytes > settings->shelf_bytes) {
        sae_log_info("the untouched model's passes would take %.1f GB and are not kept for the "
                     "next checkpoint; see --reference-size",
                     (double)bytes / 1e9);
        return SAE_OK;
    }
    if (settings->shelf != NULL)
        return sae_mem_strdup(&group->shelf, settings->shelf, err);
    if (group->source->store == NULL || !sae_fs_is_dir(group->source->store))
        return SAE_OK;
    return sae_fs_join(&group->shelf, group->source->store, "reference", err);
}

static enum sae_status name_parts(struct group *group, const struct all *all,
                                  const struct splice_settings *settings, struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&group->parts, group->n, sizeof *group->parts, err));
    for (size_t k = 0; k < group->n; k++) {
        const struct sae_ckpt *ckpt = &all->saes->ckpts[group->member[k]];
        char *out = NULL;
        SAE_TRY(sae_subject_out(&out, &settings->subject, "core", ckpt, "core.json", err));
        const enum sae_status st = sae_subject_part(&group->parts[k].path, out, ".hdf5", err);
        free(out);
        if (st != SAE_OK)
            return st;
        splice_part_key(group->parts[k].key, ckpt->id, group->kept_id, group->source->layer,
                        &group->text, settings->batch);
    }
    return SAE_OK;
}

/* Results of a group, written beside their checkpoints. */
static enum sae_status write_results(const struct group *group, const struct all *all,
                                     const struct splice_settings *settings,
                                     const struct sae_ops *ops, const json_t *record,
                                     struct sae_err *err)
{
    for (size_t k = 0; k < group->n; k++) {
        const size_t at = group->member[k];
        struct splice_weights weights = {0};
        json_t *result = NULL;
        char *path = NULL;
        enum sae_status st = SAE_OK;
        SAE_GO(st, splice_weights_make(&weights, &all->saes->ckpts[at].model, ops, err));
        const struct splice_outcome outcome = {.ckpt = &all->saes->ckpts[at],
                                               .source = group->source,
                                               .text = &group->text,
                                               .settings = settings,
                                               .reference = &group->reference,
                                               .answer = &group->answers[k],
                                               .weights = &weights,
                                               .model_name = gemma_model_config(group->gemma)->name,
                                               .model_id = group->model_id,
                                               .numerics = gemma_model_numerics(group->gemma)};
        SAE_GO(st, splice_outcome_make(&result, &outcome, record, err));
        SAE_GO(st, sae_subject_path(&path, &settings->subject, "core", &all->saes->ckpts[at],
                                    "core.json", err));
        SAE_GO(st, sae_subjects_write(all->saes, path, result, group->parts[k].path, err));
        json_array_set(all->saes->answers, at, result);
    done:
        splice_weights_clear(&weights);
        json_decref(result);
        free(path);
        if (st != SAE_OK)
            return st;
    }
    return SAE_OK;
}

static enum sae_status run_group(struct all *all, size_t first,
                                 const struct splice_settings *settings, const struct sae_ops *ops,
                                 const json_t *record, struct sae_err *err)
{
    struct group group = {0};
    enum sae_status st = SAE_OK;
    SAE_GO(st, open_group(&group, all, first, settings, ops, err));
    SAE_GO(st, find_shelf(&group, settings, err));
    SAE_GO(st, name_parts(&group, all, settings, err));
    const struct splice_job job = {.gemma = group.gemma,
                                   .layer = group.source->layer,
                                   .text = &group.text,
                                   .batch = settings->batch,
                                   .shelf = group.shelf,
                                   .model_id = group.kept_id,
                                   .parts = group.parts};
    SAE_GO(st, splice_pass(&group.reference, group.answers, group.models, group.n, &job, ops, err));
    SAE_GO(st, write_results(&group, all, settings, ops, record, err));
    for (size_t k = 0; k < group.n; k++)
        all->done[group.member[k]] = true;
done:
    close_group(&group);
    return st;
}

enum sae_status splice_group_run(struct sae_subjects *saes, const struct splice_settings *settings,
                                 const struct sae_ops *ops, const json_t *record,
                                 struct sae_err *err)
{
    struct all all = {.saes = saes};
    enum sae_status st;
    SAE_GO(st, load_all(&all, settings, err));
    for (size_t i = 0; i < saes->n; i++)
        if (!all.done[i])
            SAE_GO(st, run_group(&all, i, settings, ops, record, err));
done:
    close_all(&all);
    return st;
}
