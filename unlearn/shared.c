/* SPDX-License-Identifier: MIT */
/* shared : what does not depend on the SAE, or is found for all of a group in one pass.
 * Contents:  1. known questions   2. densities   3. prompts */
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/file/cache.h"
#include "lib/file/json.h"
#include "unlearn/group.h"

static enum sae_status save_partials(const struct unlearn_group *g, struct sae_err *err)
{
    for (size_t k = 0; k < g->n; k++)
        SAE_TRY(unlearn_partial_save(unlearn_group_partial(g, k), err));
    return SAE_OK;
}

/* --- 1. known questions --------------------------------------------------------------------- */

/* What an interrupted invocation found out; *ret_found false where it did not. */
static enum sae_status known_before(bool *ret_found, struct unlearn_set *set,
                                    const struct unlearn_partial *partial, struct sae_err *err)
{
    const json_t *entry = json_object_get(partial->known, set->name);
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

static enum sae_status note_known(const struct unlearn_group *g, const struct unlearn_set *set,
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
        json_object_set(unlearn_group_partial(g, k)->known, set->name, entry);
    json_decref(entry);
    return save_partials(g, err);
}

static enum sae_status find_known(struct unlearn_group *g, size_t s, struct sae_err *err)
{
    struct unlearn_set *set = &g->task.sets[s];
    bool found = false;
    struct sae_err why;
    set->is_known_done = false;
    for (size_t k = 0; k < g->n && !found; k++)
        SAE_TRY(known_before(&found, set, unlearn_group_partial(g, k), err));
    if (!found && g->settings.known != NULL)
        SAE_TRY(unlearn_cache_read(&found, set, g->settings.known, err));
    if (!found) {
        SAE_TRY(unlearn_trial_known(g->task.sets, s, g->model, &g->speech, err));
        if (g->settings.known != NULL)
            SAE_TRY(sae_cache_wrote(unlearn_cache_write(set, g->settings.known, &why), &why, err));
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

enum sae_status unlearn_group_known(struct unlearn_group *g, struct sae_err *err)
{
    size_t n[2] = {0, 0}, known[2] = {0, 0};
    for (size_t s = 0; s < g->task.n_sets; s++) {
        const struct unlearn_set *set = &g->task.sets[s];
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
                               g->folder, n[forget], forget ? "to be forgotten" : "to stay known");
    sae_log_info("questions known: %zu of %zu to be forgotten, %zu of %zu to stay", known[1], n[1],
                 known[0], n[0]);
    return SAE_OK;
}

/* --- 2. densities --------------------------------------------------------------------------- */

enum sae_status unlearn_group_densities(struct unlearn_group *g, struct sae_err *err)
{
    const struct sae_model **models = NULL;
    double **forget = NULL, **retain = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&models, g->n, sizeof(struct sae_model *), err));
    SAE_GO(st, sae_mem_alloc(&forget, g->n, sizeof(double *), err));
    SAE_GO(st, sae_mem_alloc(&retain, g->n, sizeof(double *), err));
    for (size_t k = 0; k < g->n; k++) {
        const struct sae_model *model = unlearn_group_model(g, k);
        const struct unlearn_partial *partial = unlearn_group_partial(g, k);
        if (partial->forget != NULL && partial->retain != NULL)
            continue;
        models[n] = model;
        SAE_GO(st, sae_mem_alloc(&forget[n], model->m, sizeof(double), err));
        SAE_GO(st, sae_mem_alloc(&retain[n], model->m, sizeof(double), err));
        n++;
    }
    if (n == 0)
        goto done;
    SAE_GO(st, unlearn_density(forget, models, n, &g->forget, "text to forget", g->lm, g->hook,
                               g->settings.batch, g->ops, err));
    SAE_GO(st, unlearn_density(retain, models, n, &g->retain, "text to retain", g->lm, g->hook,
                               g->settings.batch, g->ops, err));
    for (size_t k = 0, at = 0; k < g->n && at < n; k++) {
        struct unlearn_partial *partial = unlearn_group_partial(g, k);
        if (models[at] != unlearn_group_model(g, k))
            continue;
        free(partial->forget);
        free(partial->retain);
        partial->forget = forget[at];
        partial->retain = retain[at];
        forget[at] = retain[at] = NULL;
        at++;
    }
    st = save_partials(g, err);
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

/* --- 3. prompts ----------------------------------------------------------------------------- */

enum sae_status unlearn_group_ask(struct unlearn_group *g, struct sae_err *err)
{
    size_t tokens = 0;
    for (size_t s = 0; s < g->task.n_sets; s++)
        for (size_t q = 0; q < g->task.sets[s].n; q++) {
            bool fits = true;
            if (!g->task.sets[s].known[q])
                continue;
            SAE_TRY(
                unlearn_prompts_add(&g->prompts, &fits, &g->speech, g->task.sets, s, q, NULL, err));
            if (!fits) { /* only where a file said that it is known */
                g->task.sets[s].known[q] = false;
                g->task.sets[s].n_known--;
                g->task.sets[s].n_long++;
            }
        }
    for (size_t i = 0; i < g->prompts.n; i++)
        tokens += g->prompts.v[i].n;
    const bool keep =
        tokens <= UNLEARN_KEEP_BYTES / (unlearn_model_floats(g->model) * sizeof(float));
    if (!keep)
        sae_log_info("the streams of %zu prompts are too large to keep; they are computed again "
                     "for each setting",
                     g->prompts.n);
    return unlearn_model_ask(g->model, &g->prompts, keep, "known questions", err);
}
