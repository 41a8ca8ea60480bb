/* SPDX-License-Identifier: MIT */
/* run : from SAEs to results, a group at a time.
 * Contents:  1. all SAEs   2. part files   3. one SAE   4. a group */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "unlearn/group.h"

/* --- 1. all SAEs ---------------------------------------------------------------------------- */

struct all {
    char **models; /* folder of each one's language model */
    size_t *layers;
    struct unlearn_part *parts;
    bool *done;
};

static void close_all(struct all *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (all->parts != NULL)
            unlearn_part_clear(&all->parts[i]);
        if (all->models != NULL)
            free(all->models[i]);
    }
    free(all->models);
    free(all->layers);
    free(all->parts);
    free(all->done);
}

static enum sae_status load_all(struct all *all, struct sae_subjects *saes,
                                const struct unlearn_settings *settings, struct sae_err *err)
{
    const size_t n = saes->n;
    SAE_TRY(sae_mem_alloc(&all->models, n, sizeof(char *), err));
    SAE_TRY(sae_mem_alloc(&all->layers, n, sizeof *all->layers, err));
    SAE_TRY(sae_mem_alloc(&all->parts, n, sizeof *all->parts, err));
    SAE_TRY(sae_mem_alloc(&all->done, n, sizeof *all->done, err));
    SAE_TRY(sae_subjects_load(saes, settings->subject.acts, err));
    for (size_t i = 0; i < n; i++) {
        SAE_TRY(sae_store_model(&all->models[i], &saes->ckpts[i], settings->model, err));
        SAE_TRY(sae_store_layer(&all->layers[i], &saes->ckpts[i], settings->layer, err));
    }
    return SAE_OK;
}

/* --- 2. part files -------------------------------------------------------------------------- */

/* What a part file depends on: everything but the grid. */
static json_t *key_of(const struct unlearn_group *g, const struct sae_ckpt *ckpt)
{
    const struct unlearn_settings *s = g->settings;
    json_t *sets = json_array();
    for (size_t i = 0; i < g->task->n_sets; i++)
        json_array_append_new(sets, json_pack("{s:s, s:s, s:I}", "name", g->task->sets[i].name,
                                              "id", g->task->sets[i].id, "n",
                                              (json_int_t)g->task->sets[i].n));
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o}",
                     "version", SAE_VERSION, "checkpoint", ckpt->id, "model", g->model_id,
                     "numerics", gemma_model_numerics(g->gemma), "layer",
                     (json_int_t)g->layer, "form", unlearn_form_names[g->speech.form], "forget",
                     g->task->forget_id, "retain", g->task->retain_id, "field", s->field, "split",
                     s->split, "dataset_size", (json_int_t)s->dataset_size, "context",
                     (json_int_t)s->context, "min_length", (json_int_t)s->min_length, "seed",
                     (json_int_t)s->seed, "sets", sets);
}

static enum sae_status out_of(char **ret, const struct unlearn_group *g, const struct sae_ckpt *ckpt,
                              struct sae_err *err)
{
    return sae_subject_out(ret, &g->settings->subject, "unlearning", ckpt, "unlearn.json", err);
}

static enum sae_status open_parts(struct unlearn_group *g, struct sae_err *err)
{
    for (size_t k = 0; k < g->n; k++) {
        const size_t i = g->member[k];
        json_t *key = key_of(g, &g->saes->ckpts[i]);
        if (key == NULL)
            return sae_err_set(err, SAE_ENOMEM, "out of memory (part file)");
        char *out = NULL;
        enum sae_status st = out_of(&out, g, &g->saes->ckpts[i], err);
        if (st == SAE_OK)
            st = unlearn_part_open(&g->parts[i], out, key, g->saes->ckpts[i].model.m, err);
        free(out);
        json_decref(key);
        SAE_TRY(st);
    }
    return SAE_OK;
}

/* --- 3. one SAE ----------------------------------------------------------------------------- */

static enum sae_status run_checkpoint(size_t i, struct unlearn_group *g, const json_t *record,
                                      struct sae_err *err)
{
    const struct sae_ckpt *ckpt = &g->saes->ckpts[i];
    struct unlearn_part *part = &g->parts[i];
    struct unlearn_grid grid = {0};
    json_t *result = NULL;
    char *path = NULL;
    enum sae_status st;
    SAE_GO(st, unlearn_grid_make(&grid, g->settings, part->forget, part->retain, ckpt->model.m,
                                 g->task->n_sets, err));
    for (size_t t = 0; t < grid.n_thresholds; t++)
        if (grid.n_selected[t] < grid.n_max)
            sae_log_info("'%s': %zu latents fire on the text to forget and on less than %g of the "
                         "other; %zu were asked for",
                         ckpt->path, grid.n_selected[t], grid.thresholds[t], grid.n_max);
    SAE_GO(st, unlearn_group_cells(&grid, part, g, &ckpt->model, err));
    const struct unlearn_outcome outcome = {.ckpt = ckpt,
                                            .task = g->task,
                                            .settings = g->settings,
                                            .grid = &grid,
                                            .forget = &g->forget,
                                            .retain = &g->retain,
                                            .forget_density = part->forget,
                                            .retain_density = part->retain,
                                            .model = g->folder,
                                            .model_name = g->config->name,
                                            .model_id = g->model_id,
                                            .numerics = gemma_model_numerics(g->gemma),
                                            .layer = g->layer,
                                            .context = g->settings->context};
    SAE_GO(st, unlearn_outcome_make(&result, &outcome, record, err));
    SAE_GO(st, sae_subject_path(&path, &g->settings->subject, "unlearning", ckpt, "unlearn.json",
                                err));
    SAE_GO(st, sae_subjects_write(g->saes, path, result, part->path, err));
    json_array_set(g->saes->answers, i, result);
done:
    json_decref(result);
    free(path);
    unlearn_grid_clear(&grid);
    return st;
}

/* --- 4. a group ----------------------------------------------------------------------------- */

static void close_group(struct unlearn_group *g)
{
    unlearn_prompts_clear(&g->prompts);
    unlearn_model_close(g->model);
    unlearn_text_clear(&g->forget);
    unlearn_text_clear(&g->retain);
    gemma_tok_close(g->tok);
    gemma_model_close(g->gemma);
    free(g->member);
}

/* A model that cuts text into other tokens is hardly kin to the one trained on. */
static enum sae_status check_tokenizer(const struct unlearn_group *g, const struct sae_ckpt *ckpt,
                                       struct sae_err *err)
{
    const json_t *acts = ckpt->record ? sae_record_find_input(ckpt->record, "acts") : NULL;
    const char *trained = acts ? sae_json_str(acts, "record.tokenizer.sha256", NULL) : NULL;
    char here[SAE_DIGEST_HEX], *path = NULL;
    if (trained == NULL)
        return SAE_OK;
    SAE_TRY(sae_fs_join(&path, g->folder, "tokenizer.model", err));
    const enum sae_status st = sae_digest_file(path, here, err);
    if (st == SAE_OK && strcmp(here, trained) != 0)
        sae_log_warn("'%s' was trained on text cut by tokenizer %.12s, and '%s' is %.12s: is it a "
                     "variant of the same model?",
                     ckpt->path, trained, path, here);
    free(path);
    return st;
}

/* An autoencoder of a base model may be put on its instruct model: another model is said, another
 * width refused. */
static enum sae_status check_model(const struct unlearn_group *g, const struct sae_ckpt *ckpt,
                                   struct sae_err *err)
{
    const char *id = sae_json_str(sae_store_site(ckpt->record), "model_id", NULL);
    if (ckpt->model.d != g->config->D)
        return sae_err_set(err, SAE_EARG,
                           "'%s' has width %zu, but the language model '%s' %zu; name a model of "
                           "the one it was trained on with --model",
                           ckpt->path, ckpt->model.d, g->folder, g->config->D);
    if (id == NULL || strcmp(id, g->model_id) != 0)
        sae_log_warn("'%s' was trained on %s '%s', and is measured on '%s'", ckpt->path,
                     id == NULL ? "an unknown model," : "model",
                     sae_json_str(sae_store_site(ckpt->record), "model", "?"), g->folder);
    return check_tokenizer(g, ckpt, err);
}

static enum sae_status open_group(struct unlearn_group *g, const struct all *all, size_t first,
                                  struct sae_err *err)
{
    g->folder = all->models[first];
    g->layer = all->layers[first];
    SAE_TRY(sae_mem_alloc(&g->member, g->saes->n, sizeof *g->member, err));
    SAE_TRY(gemma_model_open(&g->gemma, g->folder, err));
    SAE_TRY(gemma_model_id(g->gemma, g->model_id, err));
    SAE_TRY(gemma_model_place(g->gemma, g->ops, g->settings->matmul,
                              gemma_model_config(g->gemma)->L, err));
    g->config = gemma_model_config(g->gemma);
    for (size_t i = first; i < g->saes->n; i++) {
        if (all->done[i] || all->layers[i] != g->layer ||
            !sae_fs_same(g->folder, all->models[i]))
            continue;
        SAE_TRY(check_model(g, &g->saes->ckpts[i], err));
        g->member[g->n++] = i;
    }
    SAE_TRY(gemma_tok_open(&g->tok, g->folder, g->config, err));
    gemma_model_set_specials(g->gemma, g->tok);
    SAE_TRY(unlearn_speech_make(&g->speech, g->tok, g->config, g->task->form, err));
    return unlearn_model_open(&g->model, g->gemma, &g->speech, g->layer, g->settings->batch, err);
}

static enum sae_status run_group(struct unlearn_group *g, struct all *all, size_t first,
                                 const json_t *record, struct sae_err *err)
{
    struct unlearn_settings own = *g->settings; /* the context as this model has it */
    SAE_TRY(open_group(g, all, first, err));
    own.context = own.context < g->config->max_context ? own.context : g->config->max_context;
    g->settings = &own;
    g->task->form = g->speech.form;
    SAE_TRY(open_parts(g, err));
    SAE_TRY(unlearn_group_known(g, err));
    SAE_TRY(unlearn_text_load(&g->forget, g->task->forget, own.dataset_size, &own, g->tok,
                              g->config, err));
    SAE_TRY(unlearn_text_load(&g->retain, g->task->retain, 0, &own, g->tok, g->config, err));
    SAE_TRY(unlearn_group_densities(g, err));
    SAE_TRY(unlearn_group_ask(g, err));
    for (size_t k = 0; k < g->n; k++) {
        SAE_TRY(run_checkpoint(g->member[k], g, record, err));
        all->done[g->member[k]] = true;
    }
    return SAE_OK;
}

enum sae_status unlearn_run(struct sae_subjects *saes, const struct unlearn_settings *settings,
                            const struct sae_ops *ops, const json_t *record, struct sae_err *err)
{
    struct all all = {0};
    struct unlearn_task task = {0};
    enum sae_status st;
    SAE_GO(st, load_all(&all, saes, settings, err));
    SAE_GO(st, unlearn_task_open(&task, settings, err));
    for (size_t i = 0; i < saes->n; i++) {
        struct unlearn_group group = {
            .settings = settings, .ops = ops, .saes = saes, .parts = all.parts, .task = &task};
        if (all.done[i])
            continue;
        task.form = settings->form;
        st = run_group(&group, &all, i, record, err);
        if (st == SAE_EINTR && group.n > 0)
            sae_log_info("what is finished is kept in '%s'%s; the same command goes on from there",
                         all.parts[i].path, group.n > 1 ? " and beside the other checkpoints" : "");
        close_group(&group);
        if (st != SAE_OK)
            goto done;
    }
    st = SAE_OK;
done:
    unlearn_task_clear(&task);
    close_all(&all, saes->n);
    return st;
}
