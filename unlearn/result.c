/* SPDX-License-Identifier: MIT */
/* result : what the result of one checkpoint is made of, in SAEBench's shape (unlearning), with
 * every cell of the grid as a row of details. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "unlearn/unlearn.h"

static json_t *reals(const double *v, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_real(v[i]));
    return list;
}

static json_t *config_of(const struct unlearn_measured *o)
{
    const struct unlearn_settings *s = o->settings;
    char hook[SAE_HOOK_NAME];
    json_t *names = json_array(), *counts = json_array();
    for (size_t i = 0; i < o->task->n_sets; i++)
        json_array_append_new(names, json_string(o->task->sets[i].name));
    for (size_t i = 0; i < s->n_n_latents; i++)
        json_array_append_new(counts, json_integer((json_int_t)s->n_latents[i]));
    return json_pack(
        "{s:o, s:o, s:s, s:o, s:o, s:o, s:I, s:I, s:i, s:s, s:b, s:s, s:I, s:s, s:s, s:s, s:s, "
        "s:s, s:I, s:s, s:s}",
        "random_seed", sae_json_whole(s->seed), "dataset_names", names, "intervention_method",
        "clamp_feature_activation", "retain_thresholds", reals(s->thresholds, s->n_thresholds),
        "n_features_list", counts, "multipliers", reals(s->multipliers, s->n_multipliers),
        "dataset_size", (json_int_t)s->dataset_size, "seq_len", (json_int_t)o->context,
        "n_batch_loss_added", 0, "target_metric", "correct", "save_metrics", 1, "model_name",
        o->model_name, "llm_batch_size", (json_int_t)s->batch, "llm_dtype",
        strstr(o->numerics, "bf16") != NULL ? "bfloat16" : "float32", "task_name", o->task->name,
        "question_form", unlearn_form_names[o->task->form], "forget_corpus",
        sae_fs_base(o->task->forget), "retain_corpus", sae_fs_base(o->task->retain), "hook_layer",
        (json_int_t)o->hook.layer, "hook_name", sae_hook_name(hook, o->hook), "llm_numerics",
        o->numerics);
}

static json_t *metrics_of(const struct unlearn_measured *o)
{
    const struct unlearn_score score = unlearn_grid_score(o->grid, o->task->sets, o->task->n_sets);
    const struct unlearn_cell *best = score.best == SIZE_MAX ? NULL : &o->grid->cells[score.best];
    json_t *metrics = json_object();
    json_object_set_new(metrics, "unlearning_score", sae_json_number(score.score));
    json_object_set_new(metrics, "best_forget_accuracy", sae_json_number(score.forget));
    json_object_set_new(metrics, "best_side_effect_accuracy", sae_json_number(score.side_effect));
    json_object_set_new(metrics, "best_retain_threshold",
                        sae_json_number(best == NULL ? NAN : best->threshold));
    json_object_set_new(metrics, "best_n_features",
                        best == NULL ? json_null() : json_integer((json_int_t)best->n_used));
    json_object_set_new(metrics, "best_multiplier",
                        sae_json_number(best == NULL ? NAN : best->multiplier));
    return json_pack("{s:o}", "unlearning", metrics);
}

static json_t *details_of(const struct unlearn_measured *o)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < o->grid->n; i++) {
        const struct unlearn_cell *cell = &o->grid->cells[i];
        double forget, side_effect;
        unlearn_cell_accuracy(cell, o->task->sets, o->task->n_sets, &forget, &side_effect);
        json_t *row =
            json_pack("{s:f, s:I, s:I, s:f, s:o, s:o, s:b}", "retain_threshold", cell->threshold,
                      "n_features", (json_int_t)cell->n_asked, "n_features_used",
                      (json_int_t)cell->n_used, "multiplier", cell->multiplier, "forget_accuracy",
                      sae_json_number(forget), "side_effect_accuracy", sae_json_number(side_effect),
                      "counts", side_effect >= UNLEARN_SIDE_EFFECT_BOUND);
        for (size_t s = 0; s < o->task->n_sets; s++) {
            const struct unlearn_set *set = &o->task->sets[s];
            char key[300];
            snprintf(key, sizeof key, "%.250s_accuracy", set->name);
            json_object_set_new(row, key,
                                sae_json_number(set->n_known > 0
                                                    ? (double)cell->right[s] / (double)set->n_known
                                                    : NAN));
        }
        json_array_append_new(rows, row);
    }
    return rows;
}

/* What each set held, and what the untouched model made of it. */
static json_t *sets_of(const struct unlearn_measured *o)
{
    json_t *sets = json_object();
    for (size_t s = 0; s < o->task->n_sets; s++) {
        const struct unlearn_set *set = &o->task->sets[s];
        double chance = 0;
        for (size_t q = 0; q < set->n; q++)
            chance += 1.0 / (double)set->v[q].n_choices / (double)set->n;
        json_t *known = json_array();
        for (size_t q = 0; q < set->n; q++)
            if (set->known[q])
                json_array_append_new(known, json_integer((json_int_t)set->v[q].row));
        json_object_set_new(
            sets, set->name,
            json_pack(
                "{s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:s, s:o}", "role",
                set->forget ? "forget" : "retain", "file", sae_fs_base(set->path), "n_questions",
                (json_int_t)set->n, "n_left_out", (json_int_t)set->n_left_out, "n_too_long",
                (json_int_t)set->n_long, "n_known", (json_int_t)set->n_known, "accuracy_clean",
                set->n_right == SIZE_MAX ? json_null()
                                         : sae_json_number((double)set->n_right / (double)set->n),
                "accuracy_chance", sae_json_number(chance), "known_from", set->known_from, "known",
                known));
    }
    return sets;
}

static json_t *selected_of(const struct unlearn_measured *o)
{
    json_t *all = json_object();
    for (size_t t = 0; t < o->grid->n_thresholds; t++) {
        char key[32];
        json_t *list = json_array();
        for (size_t r = 0; r < o->grid->n_selected[t]; r++) {
            const uint32_t i = o->grid->selected[t][r];
            json_array_append_new(list, json_pack("{s:I, s:f, s:f}", "latent", (json_int_t)i,
                                                  "forget_density", o->forget_density[i],
                                                  "retain_density", o->retain_density[i]));
        }
        snprintf(key, sizeof key, "%g", o->grid->thresholds[t]);
        json_object_set_new(all, key, list);
    }
    return all;
}

static json_t *text_of(const struct unlearn_text *text)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "rows", (json_int_t)text->n, "tokens",
                     (json_int_t)(text->n * text->context), "documents",
                     (json_int_t)text->n_documents, "too_short", (json_int_t)text->n_short);
}

static json_t *versions_of(const struct unlearn_measured *o)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s}", "unlearning_score",
        "SAEBench 0.6: 1 - least forget accuracy of settings with side-effect accuracy >= 0.99",
        "questions",
        o->task->form == UNLEARN_LETTERS
            ? "SAEBench 0.6: letter after a chat turn; known = right under every order of choices"
            : "saekit 1: likeliest continuation, mean log p a token; known = right",
        "selection",
        "SAEBench 0.6: largest forget density among latents of retain density < "
        "threshold; ties to the lower index",
        "text", "saekit 1: documents joined by EOS, rows that start with BOS, no token lost");
}

struct sae_result_parts unlearn_result_parts(const struct unlearn_measured *measured)
{
    return (struct sae_result_parts){
        .config = config_of(measured),
        .metrics = metrics_of(measured),
        .details = details_of(measured),
        .unstructured = json_pack("{s:o, s:o, s:o, s:o}", "sets", sets_of(measured), "selected",
                                  selected_of(measured), "forget_text", text_of(measured->forget),
                                  "retain_text", text_of(measured->retain)),
        .versions = versions_of(measured)};
}

enum sae_status unlearn_result_inputs(json_t *record, const struct unlearn_measured *measured,
                                      struct sae_err *err)
{
    const struct unlearn_task *const task = measured->task;
    SAE_TRY(sae_record_input(record, "model", measured->model, measured->model_id, NULL, err));
    SAE_TRY(sae_record_input(record, "forget", task->forget, task->forget_id, NULL, err));
    SAE_TRY(sae_record_input(record, "retain", task->retain, task->retain_id, NULL, err));
    for (size_t s = 0; s < task->n_sets; s++)
        SAE_TRY(
            sae_record_input(record, "questions", task->sets[s].path, task->sets[s].id, NULL, err));
    return SAE_OK;
}
