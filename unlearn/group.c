/* SPDX-License-Identifier: MIT */
/* group : see the header.
 * Contents: 1. one SAE   2. opening a group   3. beginning and ending   4. results */
#include "unlearn/group.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/record.h"

/* --- 1. one SAE --------------------------------------------------------------------------- */

enum sae_status unlearn_group_open(struct sae_evaluation *run, struct sae_err *err)
{
    struct unlearn_group *const g = run->eval->data;
    if (g->given.n_thresholds == 0 || g->given.n_multipliers == 0 || g->given.n_n_latents == 0)
        return sae_err_set(err, SAE_EARG,
                           "--thresholds, --multipliers and --features need a number each");
    return unlearn_task_open(&g->task, &g->given, err);
}

void unlearn_group_close(struct sae_evaluation *run)
{
    unlearn_task_clear(&((struct unlearn_group *)run->eval->data)->task);
}

enum sae_status unlearn_group_check(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                    struct sae_err *err)
{
    const struct unlearn_group *const g = run->eval->data;
    struct unlearn_member *member = NULL;
    SAE_TRY(sae_mem_alloc(&member, 1, sizeof *member, err));
    subject->own = member;
    SAE_TRY(sae_store_model(&member->model, &subject->ckpt, g->given.model, err));
    return sae_store_hook(&member->hook, &subject->ckpt, g->given.layer, g->given.hook, err);
}

void unlearn_group_drop(void *own)
{
    struct unlearn_member *const member = own;
    free(member->model);
    unlearn_partial_clear(&member->partial);
    free(member);
}

bool unlearn_group_same(const struct sae_eval_subject *a, const struct sae_eval_subject *b)
{
    const struct unlearn_member *const x = a->own, *const y = b->own;
    return sae_hook_same(x->hook, y->hook) && sae_fs_same(x->model, y->model);
}

const struct sae_model *unlearn_group_model(const struct unlearn_group *g, size_t k)
{
    return &g->subjects[k]->ckpt.model;
}

struct unlearn_partial *unlearn_group_partial(const struct unlearn_group *g, size_t k)
{
    return &((struct unlearn_member *)g->subjects[k]->own)->partial;
}

/* --- 2. opening a group ------------------------------------------------------------------- */

/* What unfinished work depends on: everything but the grid. */
static json_t *key_of(const struct unlearn_group *g, const struct sae_ckpt *ckpt)
{
    const struct unlearn_settings *s = &g->settings;
    char hook[SAE_HOOK_NAME];
    json_t *sets = json_array();
    for (size_t i = 0; i < g->task.n_sets; i++)
        json_array_append_new(sets,
                              json_pack("{s:s, s:s, s:I}", "name", g->task.sets[i].name, "id",
                                        g->task.sets[i].id, "n", (json_int_t)g->task.sets[i].n));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o}",
                     "version", SAE_VERSION, "checkpoint", ckpt->id, "model", g->model_id,
                     "numerics", sae_lm_numerics(g->lm), "hook", sae_hook_name(hook, g->hook),
                     "form", unlearn_form_names[g->speech.form], "forget", g->task.forget_id,
                     "retain", g->task.retain_id, "field", s->field, "split", s->split,
                     "dataset_size", (json_int_t)s->dataset_size, "context", (json_int_t)s->context,
                     "min_length", (json_int_t)s->min_length, "seed", (json_int_t)s->seed, "sets",
                     sets);
}

static enum sae_status open_partials(struct unlearn_group *g, struct sae_err *err)
{
    for (size_t k = 0; k < g->n; k++) {
        const struct sae_eval_subject *const subject = g->subjects[k];
        json_t *const key = key_of(g, &subject->ckpt);
        if (!key)
            return sae_err_set(err, SAE_ENOMEM, "out of memory ('%s')", subject->partial);
        const enum sae_status st = unlearn_partial_open(
            unlearn_group_partial(g, k), subject->partial, key, subject->ckpt.model.m, err);
        json_decref(key);
        SAE_TRY(st);
    }
    return SAE_OK;
}

/* A different tokenizer suggests an unrelated model: a warning. */
static enum sae_status check_tokenizer(const struct unlearn_group *g, const struct sae_ckpt *ckpt,
                                       struct sae_err *err)
{
    const json_t *acts = ckpt->record ? sae_record_find_input(ckpt->record, "acts") : NULL;
    const char *trained = acts ? sae_json_str(acts, "record.tokenizer.sha256", NULL) : NULL;
    char here[SAE_DIGEST_HEX], *path = NULL;
    if (trained == NULL)
        return SAE_OK;
    SAE_TRY(sae_tok_find(&path, g->folder, g->config, err));
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
    const size_t width = sae_lm_width(g->config, g->hook.point);
    if (ckpt->model.d != width)
        return sae_err_set(err, SAE_EARG,
                           "'%s' has width %zu, but the language model '%s' has %zu at %s; name a "
                           "model of the one it was trained on with --model",
                           ckpt->path, ckpt->model.d, g->folder, width,
                           sae_points[g->hook.point].name);
    if (id == NULL || strcmp(id, g->model_id) != 0)
        sae_log_warn("'%s' was trained on %s '%s', and is measured on '%s'", ckpt->path,
                     id == NULL ? "an unknown model," : "model",
                     sae_json_str(sae_store_site(ckpt->record), "model", "?"), g->folder);
    return check_tokenizer(g, ckpt, err);
}

static enum sae_status open_model(struct unlearn_group *g, struct sae_err *err)
{
    SAE_TRY(sae_lm_open(&g->lm, g->folder, err));
    SAE_TRY(sae_lm_id(g->lm, g->model_id, err));
    SAE_TRY(sae_lm_place(g->lm, g->ops, (enum sae_precision)*g->settings.matmul,
                         sae_lm_config(g->lm)->L, err));
    g->config = sae_lm_config(g->lm);
    if (g->config->max_context < g->settings.context)
        g->settings.context = g->config->max_context;
    SAE_TRY(sae_lm_check_hook(g->lm, g->hook, err));
    for (size_t k = 0; k < g->n; k++)
        SAE_TRY(check_model(g, &g->subjects[k]->ckpt, err));
    SAE_TRY(sae_tok_open(&g->tok, g->folder, g->config, err));
    sae_lm_set_specials(g->lm, g->tok);
    SAE_TRY(unlearn_speech_make(&g->speech, g->tok, g->config, g->settings.form, err));
    g->task.form = g->speech.form;
    return unlearn_model_open(&g->model, g->lm, &g->speech, g->hook, g->settings.batch, err);
}

/* --- 3. beginning and ending -------------------------------------------------------------- */

enum sae_status unlearn_group_begin(struct sae_evaluation *run, struct sae_err *err)
{
    struct unlearn_group *const g = run->eval->data;
    const struct unlearn_settings *const s = &g->settings;
    const struct unlearn_member *const first = run->group[0]->own;
    g->settings = g->given;
    g->ops = run->ops;
    g->folder = first->model;
    g->hook = first->hook;
    g->n = run->n_group;
    g->subjects = run->group;
    SAE_TRY(open_model(g, err));
    SAE_TRY(
        unlearn_text_load(&g->forget, g->task.forget, s->dataset_size, s, g->tok, g->config, err));
    return unlearn_text_load(&g->retain, g->task.retain, 0, s, g->tok, g->config, err);
}

enum sae_status unlearn_group_share(struct sae_evaluation *run, struct sae_err *err)
{
    struct unlearn_group *const g = run->eval->data;
    SAE_TRY(open_partials(g, err));
    SAE_TRY(unlearn_group_known(g, err));
    SAE_TRY(unlearn_group_densities(g, err));
    return unlearn_group_ask(g, err);
}

void unlearn_group_end(struct sae_evaluation *run)
{
    struct unlearn_group *const g = run->eval->data;
    unlearn_prompts_clear(&g->prompts);
    unlearn_model_close(g->model);
    unlearn_text_clear(&g->forget);
    unlearn_text_clear(&g->retain);
    sae_tok_close(g->tok);
    sae_lm_close(g->lm);
    *g = (struct unlearn_group){.given = g->given, .task = g->task};
}

/* --- 4. results --------------------------------------------------------------------------- */

static enum sae_status run_grid(struct unlearn_grid *grid, struct unlearn_group *g,
                                const struct sae_eval_subject *subject, struct sae_err *err)
{
    struct unlearn_partial *const partial = &((struct unlearn_member *)subject->own)->partial;
    const struct sae_model *const model = &subject->ckpt.model;
    SAE_TRY(unlearn_grid_make(grid, &g->settings, partial->forget, partial->retain, model->m,
                              g->task.n_sets, err));
    for (size_t t = 0; t < grid->n_thresholds; t++)
        if (grid->n_selected[t] < grid->n_max)
            sae_log_info("'%s': %zu latents fire on the text to forget and on less than %g of the "
                         "other; %zu were asked for",
                         subject->path, grid->n_selected[t], grid->thresholds[t], grid->n_max);
    return unlearn_group_cells(grid, partial, g, model, err);
}

enum sae_status unlearn_group_one(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                  struct sae_result_parts parts[], json_t *record,
                                  struct sae_err *err)
{
    struct unlearn_group *const g = run->eval->data;
    const struct unlearn_member *const member = subject->own;
    struct unlearn_grid grid = {0};
    enum sae_status st;
    SAE_GO(st, run_grid(&grid, g, subject, err));
    const struct unlearn_measured measured = {.task = &g->task,
                                              .settings = &g->settings,
                                              .grid = &grid,
                                              .forget = &g->forget,
                                              .retain = &g->retain,
                                              .forget_density = member->partial.forget,
                                              .retain_density = member->partial.retain,
                                              .model = g->folder,
                                              .model_name = g->config->name,
                                              .model_id = g->model_id,
                                              .numerics = sae_lm_numerics(g->lm),
                                              .hook = g->hook,
                                              .context = g->settings.context};
    parts[0] = unlearn_result_parts(&measured);
    st = unlearn_result_inputs(record, &measured, err);
done:
    unlearn_grid_clear(&grid);
    return st;
}
