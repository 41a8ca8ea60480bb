/* SPDX-License-Identifier: MIT */
/* run : checkpoints of one language model and layer, evaluated together: what does not depend on
 * the autoencoder - which questions are known, the streams of their prompts - is done once, and
 * both texts are read once for all.
 *
 * Contents:  1. checkpoints   2. known questions   3. densities   4. prompts   5. one checkpoint
 *            6. a group */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "lib/eval/place.h"
#include "lib/eval/site.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "unlearn/unlearn.h"

#define KEEP_BYTES ((size_t)4 << 30) /* of streams held in memory; beyond, they are made anew */

/* --- 1. checkpoints ------------------------------------------------------------------------- */

struct all {
    size_t n;
    struct sae_ckpt *ckpts;
    char **models;   /* folder of each one's language model */
    size_t *layers;
    struct unlearn_part *parts;
    bool *done;
};

struct group {
    const struct unlearn_settings *settings;
    const struct sae_ops *ops;
    struct all *all;
    struct unlearn_task *task;
    const char *folder;
    size_t layer, n, *member; /* indices into all */
    struct gemma_model *gemma;
    const struct gemma_config *config;
    struct gemma_tok *tok;
    char model_id[SAE_DIGEST_HEX];
    struct unlearn_speech speech;
    struct unlearn_model *model;
    struct unlearn_text forget, retain;
    struct unlearn_prompts prompts;
};

void unlearn_rows_free(struct unlearn_row *rows, size_t n)
{
    for (size_t i = 0; rows != NULL && i < n; i++) {
        free(rows[i].ckpt);
        json_decref(rows[i].json);
    }
    free(rows);
}

static void close_all(struct all *all)
{
    for (size_t i = 0; i < all->n; i++) {
        if (all->ckpts != NULL)
            sae_ckpt_clear(&all->ckpts[i]);
        if (all->parts != NULL)
            unlearn_part_clear(&all->parts[i]);
        if (all->models != NULL)
            free(all->models[i]);
    }
    free(all->ckpts);
    free(all->models);
    free(all->layers);
    free(all->parts);
    free(all->done);
}

static enum sae_status load_all(struct all *all, char *const *paths, size_t n,
                                const struct unlearn_settings *settings, struct sae_err *err)
{
    all->n = n;
    SAE_TRY(sae_mem_alloc(&all->ckpts, n, sizeof *all->ckpts, err));
    SAE_TRY(sae_mem_alloc(&all->models, n, sizeof(char *), err));
    SAE_TRY(sae_mem_alloc(&all->layers, n, sizeof *all->layers, err));
    SAE_TRY(sae_mem_alloc(&all->parts, n, sizeof *all->parts, err));
    SAE_TRY(sae_mem_alloc(&all->done, n, sizeof *all->done, err));
    for (size_t i = 0; i < n; i++) {
        SAE_TRY(sae_subject_load(&all->ckpts[i], paths[i], settings->subject.acts, err));
        SAE_TRY(sae_place_model(&all->models[i], &all->ckpts[i], settings->model, err));
        SAE_TRY(sae_place_layer(&all->layers[i], &all->ckpts[i], settings->layer, err));
    }
    return SAE_OK;
}

/* What a part file depends on: everything but the grid. */
static json_t *key_of(const struct group *g, const struct sae_ckpt *ckpt)
{
    const struct unlearn_settings *s = g->settings;
    json_t *sets = json_array();
    for (size_t i = 0; i < g->task->n_sets; i++)
        json_array_append_new(sets, json_pack("{s:s, s:s, s:I}", "name", g->task->sets[i].name,
                                              "id", g->task->sets[i].id, "n",
                                              (json_int_t)g->task->sets[i].n));
    return json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o}",
                     "version", SAE_VERSION, "checkpoint", ckpt->id, "model", g->model_id, "layer",
                     (json_int_t)g->layer, "form", unlearn_form_names[g->speech.form], "forget",
                     g->task->forget_id, "retain", g->task->retain_id, "field", s->field, "split",
                     s->split, "dataset_size", (json_int_t)s->dataset_size, "context",
                     (json_int_t)s->context, "min_length", (json_int_t)s->min_length, "seed",
                     (json_int_t)s->seed, "sets", sets);
}

static enum sae_status out_of(char **ret, const struct group *g, const struct sae_ckpt *ckpt,
                              struct sae_err *err)
{
    return sae_subject_out(ret, &g->settings->subject, "unlearning", ckpt->path, "unlearn.json",
                           err);
}

static enum sae_status open_parts(struct group *g, struct sae_err *err)
{
    for (size_t k = 0; k < g->n; k++) {
        const size_t i = g->member[k];
        json_t *key = key_of(g, &g->all->ckpts[i]);
        if (key == NULL)
            return sae_err_set(err, SAE_ENOMEM, "out of memory (part file)");
        char *out = NULL;
        enum sae_status st = out_of(&out, g, &g->all->ckpts[i], err);
        if (st == SAE_OK)
            st = unlearn_part_open(&g->all->parts[i], out, key, g->all->ckpts[i].model.m, err);
        free(out);
        json_decref(key);
        SAE_TRY(st);
    }
    return SAE_OK;
}

static enum sae_status save_parts(const struct group *g, struct sae_err *err)
{
    for (size_t k = 0; k < g->n; k++)
        SAE_TRY(unlearn_part_save(&g->all->parts[g->member[k]], err));
    return SAE_OK;
}

/* --- 2. known questions --------------------------------------------------------------------- */

/* What an interrupted invocation found out; *ret_found false where it did not. */
static enum sae_status known_of_part(bool *ret_found, struct unlearn_set *set,
                                     const struct unlearn_part *part, struct sae_err *err)
{
    const json_t *entry = json_object_get(part->known, set->name);
    const json_t *rows = json_object_get(entry, "known");
    *ret_found = json_is_array(rows);
    if (!*ret_found)
        return SAE_OK;
    free(set->known);
    set->known = NULL;
    SAE_TRY(sae_mem_alloc(&set->known, set->n, sizeof *set->known, err));
    set->n_known = 0;
    for (size_t q = 0; q < set->n; q++)
        for (size_t i = 0; i < json_array_size(rows) && !set->known[q]; i++)
            if ((size_t)json_integer_value(json_array_get(rows, i)) == set->v[q].row) {
                set->known[q] = true;
                set->n_known++;
            }
    set->n_right = (size_t)sae_json_u64(entry, "right", SIZE_MAX);
    set->n_long = (size_t)sae_json_u64(entry, "too_long", 0);
    set->known_from = strcmp(sae_json_str(entry, "from", "model"), "file") == 0 ? "file" : "model";
    set->is_known_done = true;
    return SAE_OK;
}

static enum sae_status note_known(const struct group *g, const struct unlearn_set *set,
                                  struct sae_err *err)
{
    json_t *rows = json_array();
    for (size_t q = 0; q < set->n; q++)
        if (set->known[q])
            json_array_append_new(rows, json_integer((json_int_t)set->v[q].row));
    json_t *entry = json_pack("{s:o, s:s, s:I}", "known", rows, "from", set->known_from, "too_long",
                              (json_int_t)set->n_long);
    if (entry != NULL && set->n_right != SIZE_MAX)
        json_object_set_new(entry, "right", json_integer((json_int_t)set->n_right));
    for (size_t k = 0; entry != NULL && k < g->n; k++)
        json_object_set(g->all->parts[g->member[k]].known, set->name, entry);
    json_decref(entry);
    return save_parts(g, err);
}

static enum sae_status find_known(struct group *g, size_t s, struct sae_err *err)
{
    struct unlearn_set *set = &g->task->sets[s];
    bool found = false;
    set->is_known_done = false;
    for (size_t k = 0; k < g->n && !found; k++)
        SAE_TRY(known_of_part(&found, set, &g->all->parts[g->member[k]], err));
    if (!found && g->settings->known != NULL)
        SAE_TRY(unlearn_known_read(&found, set, g->settings->known, err));
    if (!found) {
        SAE_TRY(unlearn_known_find(g->task->sets, s, g->model, &g->speech, err));
        if (g->settings->known != NULL)
            SAE_TRY(unlearn_known_write(set, g->settings->known, err));
    }
    SAE_TRY(note_known(g, set, err));
    if (set->n_long > 0)
        sae_log_warn("'%s': %zu questions are longer than the model's %zu tokens and left out",
                     set->name, set->n_long, g->config->max_context);
    if (set->n_known == 0)
        sae_log_warn("'%s': the language model knows none of %zu questions; the set does not count",
                     set->name, set->n);
    return SAE_OK;
}

static enum sae_status find_all_known(struct group *g, struct sae_err *err)
{
    size_t n[2] = {0, 0}, known[2] = {0, 0};
    for (size_t s = 0; s < g->task->n_sets; s++) {
        const struct unlearn_set *set = &g->task->sets[s];
        SAE_TRY(find_known(g, s, err));
        n[set->forget] += set->n;
        known[set->forget] += set->n_known;
    }
    for (int forget = 0; forget < 2; forget++)
        if (known[forget] == 0)
            return sae_err_set(err, SAE_EARG,
                               "the language model '%s' knows none of the %zu questions %s, so "
                               "there is nothing to measure; use an instruct model that does, or "
                               "other questions",
                               g->folder, n[forget],
                               forget ? "to be forgotten" : "to stay known");
    sae_log_info("questions known: %zu of %zu to be forgotten, %zu of %zu to stay", known[1], n[1],
                 known[0], n[0]);
    return SAE_OK;
}

/* --- 3. densities --------------------------------------------------------------------------- */

/* Of the members that lack them, in one pass over each text. */
static enum sae_status find_densities(struct group *g, struct sae_err *err)
{
    const struct sae_model **models = NULL;
    double **forget = NULL, **retain = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&models, g->n, sizeof(struct sae_model *), err));
    SAE_GO(st, sae_mem_alloc(&forget, g->n, sizeof(double *), err));
    SAE_GO(st, sae_mem_alloc(&retain, g->n, sizeof(double *), err));
    for (size_t k = 0; k < g->n; k++) {
        const struct sae_model *model = &g->all->ckpts[g->member[k]].model;
        const struct unlearn_part *part = &g->all->parts[g->member[k]];
        if (part->forget != NULL && part->retain != NULL)
            continue;
        models[n] = model;
        SAE_GO(st, sae_mem_alloc(&forget[n], model->m, sizeof(double), err));
        SAE_GO(st, sae_mem_alloc(&retain[n], model->m, sizeof(double), err));
        n++;
    }
    if (n == 0)
        goto done;
    SAE_GO(st, unlearn_density(forget, models, n, &g->forget, "text to forget", g->gemma, g->layer,
                               g->settings->batch, g->ops, err));
    SAE_GO(st, unlearn_density(retain, models, n, &g->retain, "text to retain", g->gemma, g->layer,
                               g->settings->batch, g->ops, err));
    for (size_t k = 0, at = 0; k < g->n && at < n; k++) {
        struct unlearn_part *part = &g->all->parts[g->member[k]];
        if (models[at] != &g->all->ckpts[g->member[k]].model)
            continue;
        free(part->forget);
        free(part->retain);
        part->forget = forget[at];
        part->retain = retain[at];
        forget[at] = retain[at] = NULL;
        at++;
    }
    st = save_parts(g, err);
done:
    for (size_t k = 0; k < g->n; k++) {
        if (forget != NULL)
            free(forget[k]);
        if (retain != NULL)
            free(retain[k]);
    }
    free(models);
    free(forget);
    free(retain);
    return st;
}

/* --- 4. prompts ----------------------------------------------------------------------------- */

/* Known questions in the order they stand in, their untouched scores and streams. */
static enum sae_status ask_clean(struct group *g, struct sae_err *err)
{
    size_t tokens = 0;
    for (size_t s = 0; s < g->task->n_sets; s++)
        for (size_t q = 0; q < g->task->sets[s].n; q++) {
            bool fits = true;
            if (!g->task->sets[s].known[q])
                continue;
            SAE_TRY(unlearn_prompts_add(&g->prompts, &fits, &g->speech, g->task->sets, s, q, NULL,
                                        err));
            if (!fits) { /* only where a file said that it is known */
                g->task->sets[s].known[q] = false;
                g->task->sets[s].n_known--;
                g->task->sets[s].n_long++;
            }
        }
    for (size_t i = 0; i < g->prompts.n; i++)
        tokens += g->prompts.v[i].n;
    const bool keep = tokens <= KEEP_BYTES / (g->config->D * sizeof(float));
    if (!keep)
        sae_log_info("the streams of %zu prompts are too large to keep; they are made anew for "
                     "each setting",
                     g->prompts.n);
    return unlearn_model_ask(g->model, &g->prompts, keep, "known questions", err);
}

/* --- 5. one checkpoint ---------------------------------------------------------------------- */

/* Which selected latents fire where, under every threshold. */
struct fired {
    size_t n_thresholds, n_prompts;
    struct unlearn_fired **v; /* [n_thresholds * n_prompts] */
    size_t *n, *cap;
};

static void fired_clear(struct fired *f)
{
    for (size_t i = 0; f->v != NULL && i < f->n_thresholds * f->n_prompts; i++)
        free(f->v[i]);
    free(f->v);
    free(f->n);
    free(f->cap);
}

/* Position 0, BOS, is never touched. */
static enum sae_status note_fired(struct fired *f, size_t prompt, const struct sae_csr *codes,
                                  const struct unlearn_grid *grid, uint32_t *const *rank,
                                  size_t n_tokens, struct sae_err *err)
{
    for (size_t t = 0; t < f->n_thresholds; t++) {
        const size_t at = t * f->n_prompts + prompt;
        for (size_t row = 0; row < n_tokens; row++)
            for (size_t e = codes->start[row]; e < codes->start[row + 1]; e++) {
                const uint32_t r = rank[t][codes->idx[e]];
                if (r >= grid->n_selected[t])
                    continue;
                SAE_TRY(sae_mem_grow(&f->v[at], &f->cap[at], f->n[at] + 1, sizeof **f->v, err));
                f->v[at][f->n[at]++] =
                    (struct unlearn_fired){(uint32_t)row + 1, r, codes->val[e]};
            }
    }
    return SAE_OK;
}

static enum sae_status find_fired(struct fired *f, struct group *g, const struct sae_model *model,
                                  const struct unlearn_grid *grid, struct sae_err *err)
{
    const size_t D = g->config->D, n_all = grid->n_thresholds * g->prompts.n;
    struct sae_coder *coder = NULL;
    uint32_t **rank = NULL;
    float *x = NULL;
    size_t longest = 1;
    struct sae_progress bar;
    enum sae_status st;
    *f = (struct fired){.n_thresholds = grid->n_thresholds, .n_prompts = g->prompts.n};
    for (size_t i = 0; i < g->prompts.n; i++)
        longest = g->prompts.v[i].n > longest ? g->prompts.v[i].n : longest;
    SAE_GO(st, sae_mem_alloc(&f->v, n_all, sizeof *f->v, err));
    SAE_GO(st, sae_mem_alloc(&f->n, n_all, sizeof *f->n, err));
    SAE_GO(st, sae_mem_alloc(&f->cap, n_all, sizeof *f->cap, err));
    SAE_GO(st, sae_mem_alloc(&x, longest, D * sizeof *x, err));
    SAE_GO(st, sae_mem_alloc(&rank, grid->n_thresholds, sizeof(uint32_t *), err));
    for (size_t t = 0; t < grid->n_thresholds; t++) {
        SAE_GO(st, sae_mem_alloc(&rank[t], model->m, sizeof(uint32_t), err));
        memset(rank[t], 0xFF, model->m * sizeof(uint32_t));
        for (size_t r = 0; r < grid->n_selected[t]; r++)
            rank[t][grid->selected[t][r]] = (uint32_t)r;
    }
    SAE_GO(st, sae_coder_open(&coder, model, g->ops, longest, err));
    sae_progress_begin(&bar, "where latents fire", "prompts", 0, g->prompts.n);
    for (size_t i = 0; i < g->prompts.n; i++) {
        const struct sae_csr *codes = NULL;
        const struct unlearn_prompt *p = &g->prompts.v[i];
        if (sae_stop_asked()) {
            st = sae_err_set(err, SAE_EINTR, "stopped");
            goto done;
        }
        SAE_GO(st, unlearn_model_stream(g->model, p, x, err));
        SAE_GO(st, sae_coder_encode(coder, x + D, p->n - 1, &codes, err));
        SAE_GO(st, note_fired(f, i, codes, grid, rank, p->n - 1, err));
        sae_progress_step(&bar, i + 1, NULL);
    }
    sae_progress_end(&bar);
done:
    for (size_t t = 0; rank != NULL && t < grid->n_thresholds; t++)
        free(rank[t]);
    free(rank);
    free(x);
    sae_coder_close(coder);
    return st;
}

/* Counts right answers from the prompts' scores, edited where there are such. */
static void count_right(struct unlearn_cell *cell, const struct group *g, double *const *score)
{
    const bool cloze = g->speech.form == UNLEARN_CLOZE;
    memset(cell->right, 0, g->task->n_sets * sizeof *cell->right);
    for (size_t i = 0; i < g->prompts.n;) {
        const struct unlearn_prompt *p = &g->prompts.v[i];
        const struct unlearn_question *q = &g->task->sets[p->set].v[p->question];
        double s[UNLEARN_MAX_CHOICES];
        for (size_t k = 0; k < q->n_choices; k++)
            s[k] = cloze ? score[i + k][0] : score[i][k];
        cell->right[p->set] += unlearn_best(s, q->n_choices) == q->answer;
        i += cloze ? q->n_choices : 1;
    }
}

static enum sae_status run_cell(struct unlearn_cell *cell, size_t threshold, struct group *g,
                                const struct sae_model *model, const struct unlearn_grid *grid,
                                const struct fired *fired, double *const *score,
                                struct sae_err *err)
{
    const size_t from = threshold * fired->n_prompts;
    const struct unlearn_edit edit = {.W_dec = model->W_dec,
                                      .latents = grid->selected[threshold],
                                      .n_latents = cell->n_used,
                                      .multiplier = cell->multiplier,
                                      .fired = (const struct unlearn_fired *const *)fired->v + from,
                                      .n_fired = fired->n + from,
                                      .d = model->d};
    for (size_t i = 0; i < g->prompts.n; i++)
        memcpy(score[i], g->prompts.v[i].score, g->prompts.v[i].n_scores * sizeof **score);
    SAE_TRY(unlearn_model_edited(g->model, &g->prompts, &edit, score, err));
    count_right(cell, g, score);
    cell->done = true;
    return SAE_OK;
}

/* Cells in order; those of the part file, and those equal to one before, are not run again. */
static enum sae_status run_cells(struct unlearn_grid *grid, struct unlearn_part *part,
                                 struct group *g, const struct sae_model *model,
                                 struct sae_err *err)
{
    const size_t n_sets = g->task->n_sets, a_threshold = grid->n / grid->n_thresholds;
    struct fired fired = {0};
    double **score = NULL;
    size_t n_done = 0;
    struct sae_progress bar;
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < grid->n; i++) {
        unlearn_part_take_cell(part, &grid->cells[i], n_sets);
        n_done += grid->cells[i].done;
    }
    if (n_done > 0)
        sae_log_info("%zu of %zu settings were finished before, in '%s'", n_done, grid->n,
                     part->path);
    if (n_done == grid->n)
        return SAE_OK;
    SAE_GO(st, find_fired(&fired, g, model, grid, err));
    SAE_GO(st, sae_mem_alloc(&score, g->prompts.n, sizeof *score, err));
    for (size_t i = 0; i < g->prompts.n; i++)
        SAE_GO(st, sae_mem_alloc(&score[i], g->prompts.v[i].n_scores, sizeof **score, err));
    sae_progress_begin(&bar, "grid", "settings", n_done, grid->n);
    for (size_t i = 0; i < grid->n; i++) {
        struct unlearn_cell *cell = &grid->cells[i];
        unlearn_part_take_cell(part, cell, n_sets); /* an equal one may be there now */
        if (!cell->done) {
            SAE_GO(st, run_cell(cell, i / a_threshold, g, model, grid, &fired, score, err));
            SAE_GO(st, unlearn_part_add_cell(part, cell, n_sets, err));
        }
        sae_progress_step(&bar, i + 1 > n_done ? i + 1 : n_done, NULL);
    }
    sae_progress_end(&bar);
done:
    for (size_t i = 0; score != NULL && i < g->prompts.n; i++)
        free(score[i]);
    free(score);
    fired_clear(&fired);
    return st;
}

static enum sae_status run_checkpoint(struct unlearn_row *row, size_t i, struct group *g,
                                      const json_t *record, struct sae_err *err)
{
    const struct sae_ckpt *ckpt = &g->all->ckpts[i];
    struct unlearn_part *part = &g->all->parts[i];
    struct unlearn_grid grid = {0};
    char *path = NULL;
    enum sae_status st;
    SAE_GO(st, unlearn_grid_make(&grid, g->settings, part->forget, part->retain, ckpt->model.m,
                                 g->task->n_sets, err));
    for (size_t t = 0; t < grid.n_thresholds; t++)
        if (grid.n_selected[t] < grid.n_max)
            sae_log_info("'%s': %zu latents fire on the text to forget and on less than %g of the "
                         "other; %zu were asked for",
                         ckpt->path, grid.n_selected[t], grid.thresholds[t], grid.n_max);
    SAE_GO(st, run_cells(&grid, part, g, &ckpt->model, err));
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
                                            .layer = g->layer,
                                            .context = g->settings->context};
    SAE_GO(st, unlearn_outcome_make(&row->json, &outcome, record, err));
    SAE_GO(st, out_of(&path, g, ckpt, err));
    SAE_GO(st, sae_json_save(path, row->json, err));
    unlink(part->path);
    sae_log_info("wrote '%s'", path);
done:
    free(path);
    unlearn_grid_clear(&grid);
    return st;
}

/* --- 6. a group ----------------------------------------------------------------------------- */

static void close_group(struct group *g)
{
    unlearn_prompts_clear(&g->prompts);
    unlearn_model_close(g->model);
    unlearn_text_clear(&g->forget);
    unlearn_text_clear(&g->retain);
    gemma_tok_close(g->tok);
    gemma_model_close(g->gemma);
    free(g->member);
}

/* An autoencoder of a base model may be put on its instruct model: another model is said, another
 * width refused. */
/* A model that cuts text into other tokens is hardly kin to the one trained on. */
static enum sae_status check_tokenizer(const struct group *g, const struct sae_ckpt *ckpt,
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

static enum sae_status check_model(const struct group *g, const struct sae_ckpt *ckpt,
                                   struct sae_err *err)
{
    const char *id = sae_json_str(sae_site_of(ckpt->record), "model_id", NULL);
    if (ckpt->model.d != g->config->D)
        return sae_err_set(err, SAE_EARG,
                           "'%s' has width %zu, but the language model '%s' %zu; name a model of "
                           "the one it was trained on with --model",
                           ckpt->path, ckpt->model.d, g->folder, g->config->D);
    if (id == NULL || strcmp(id, g->model_id) != 0)
        sae_log_warn("'%s' was trained on %s '%s', and is measured on '%s'", ckpt->path,
                     id == NULL ? "an unknown model," : "model",
                     sae_json_str(sae_site_of(ckpt->record), "model", "?"), g->folder);
    return check_tokenizer(g, ckpt, err);
}

static enum sae_status open_group(struct group *g, size_t first, struct sae_err *err)
{
    struct all *all = g->all;
    g->folder = all->models[first];
    g->layer = all->layers[first];
    SAE_TRY(sae_mem_alloc(&g->member, all->n, sizeof *g->member, err));
    SAE_TRY(gemma_model_open(&g->gemma, g->folder, err));
    SAE_TRY(gemma_model_id(g->gemma, g->model_id, err));
    g->config = gemma_model_config(g->gemma);
    for (size_t i = first; i < all->n; i++) {
        if (all->done[i] || all->layers[i] != g->layer ||
            !sae_place_same(g->folder, all->models[i]))
            continue;
        SAE_TRY(check_model(g, &all->ckpts[i], err));
        g->member[g->n++] = i;
    }
    SAE_TRY(gemma_tok_open(&g->tok, g->folder, g->config, err));
    SAE_TRY(unlearn_speech_make(&g->speech, g->tok, g->config, g->task->form, err));
    return unlearn_model_open(&g->model, g->gemma, &g->speech, g->layer, g->settings->batch, err);
}

static enum sae_status run_group(struct group *g, size_t first, struct unlearn_row *rows,
                                 const json_t *record, struct sae_err *err)
{
    struct unlearn_settings own = *g->settings; /* the context as this model has it */
    SAE_TRY(open_group(g, first, err));
    own.context = own.context < g->config->max_context ? own.context : g->config->max_context;
    g->settings = &own;
    g->task->form = g->speech.form;
    SAE_TRY(open_parts(g, err));
    SAE_TRY(find_all_known(g, err));
    SAE_TRY(unlearn_text_load(&g->forget, g->task->forget, own.dataset_size, &own, g->tok,
                              g->config, err));
    SAE_TRY(unlearn_text_load(&g->retain, g->task->retain, 0, &own, g->tok, g->config, err));
    SAE_TRY(find_densities(g, err));
    SAE_TRY(ask_clean(g, err));
    for (size_t k = 0; k < g->n; k++) {
        SAE_TRY(run_checkpoint(&rows[g->member[k]], g->member[k], g, record, err));
        g->all->done[g->member[k]] = true;
    }
    return SAE_OK;
}

enum sae_status unlearn_run(struct unlearn_row *rows, char *const *paths, size_t n,
                            const struct unlearn_settings *settings, const struct sae_ops *ops,
                            const json_t *record, struct sae_err *err)
{
    struct all all = {0};
    struct unlearn_task task = {0};
    enum sae_status st;
    for (size_t i = 0; i < n; i++)
        SAE_GO(st, sae_mem_strdup(&rows[i].ckpt, paths[i], err));
    SAE_GO(st, load_all(&all, paths, n, settings, err));
    SAE_GO(st, unlearn_task_open(&task, settings, err));
    for (size_t i = 0; i < n; i++) {
        struct group group = {.settings = settings, .ops = ops, .all = &all, .task = &task};
        if (all.done[i])
            continue;
        task.form = settings->form;
        st = run_group(&group, i, rows, record, err);
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
    close_all(&all);
    return st;
}
