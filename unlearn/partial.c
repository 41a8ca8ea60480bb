/* SPDX-License-Identifier: MIT */
/* partial : what an interrupted checkpoint has finished. A file of another version, checkpoint,
 * model, text or set of questions is passed over; cells of another grid are simply not asked
 * for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/file/cache.h"
#include "lib/file/json.h"
#include "unlearn/unlearn.h"

static enum sae_status take_density(double **ret, const json_t *list, size_t m, struct sae_err *err)
{
    if (json_array_size(list) != m)
        return SAE_OK;
    SAE_TRY(sae_mem_alloc(ret, m, sizeof **ret, err));
    for (size_t i = 0; i < m; i++)
        (*ret)[i] = json_number_value(json_array_get(list, i));
    return SAE_OK;
}

static enum sae_status take_over(struct unlearn_partial *partial, const json_t *json,
                                 struct sae_err *err)
{
    json_t *cells = json_object_get(json, "cells"), *known = json_object_get(json, "known");
    if (!json_equal(json_object_get(json, "key"), partial->key))
        return SAE_OK;
    if (json_is_object(cells)) {
        json_decref(partial->cells);
        partial->cells = json_incref(cells);
    }
    if (json_is_object(known)) {
        json_decref(partial->known);
        partial->known = json_incref(known);
    }
    SAE_TRY(take_density(&partial->forget, json_object_get(json, "forget"), partial->m, err));
    return take_density(&partial->retain, json_object_get(json, "retain"), partial->m, err);
}

enum sae_status unlearn_partial_open(struct unlearn_partial *ret, const char *path, json_t *key,
                                     size_t m, struct sae_err *err)
{
    struct unlearn_partial partial = {.path = path,
                                      .key = json_incref(key),
                                      .cells = json_object(),
                                      .known = json_object(),
                                      .m = m};
    struct sae_err why;
    json_t *json = NULL;
    enum sae_status st = SAE_OK;
    if (sae_fs_is_file(partial.path)) {
        if (sae_json_load(&json, partial.path, &why) == SAE_OK)
            SAE_GO(st, take_over(&partial, json, err));
        else
            sae_log_warn("%s; starting again", why.msg);
    }
    *ret = partial;
    partial = (struct unlearn_partial){0};
done:
    json_decref(json);
    unlearn_partial_clear(&partial);
    return st;
}

void unlearn_partial_clear(struct unlearn_partial *partial)
{
    json_decref(partial->key);
    json_decref(partial->cells);
    json_decref(partial->known);
    free(partial->forget);
    free(partial->retain);
    *partial = (struct unlearn_partial){0};
}

static int put_density(json_t *json, const char *name, const double *density, size_t m)
{
    json_t *list = json_array();
    for (size_t i = 0; density != NULL && i < m; i++)
        json_array_append_new(list, json_real(density[i]));
    return json_object_set_new(json, name, list);
}

enum sae_status unlearn_partial_save(const struct unlearn_partial *partial, struct sae_err *err)
{
    json_t *json = json_pack("{s:O, s:O, s:O}", "key", partial->key, "known", partial->known,
                             "cells", partial->cells);
    enum sae_status st = SAE_OK;
    if (json == NULL || put_density(json, "forget", partial->forget, partial->m) != 0 ||
        put_density(json, "retain", partial->retain, partial->m) != 0)
        st = sae_err_set(err, SAE_ENOMEM, "out of memory ('%s')", partial->path);
    else
        st = sae_cache_save(partial->path, json, err);
    json_decref(json);
    return st;
}

static void cell_name(char name[96], const struct unlearn_cell *cell)
{
    snprintf(name, 96, "%.17g %zu %.17g", cell->threshold, cell->n_used, cell->multiplier);
}

void unlearn_partial_take_cell(const struct unlearn_partial *partial, struct unlearn_cell *cell,
                               size_t n_sets)
{
    char name[96];
    cell_name(name, cell);
    const json_t *right = json_object_get(partial->cells, name);
    if (json_array_size(right) != n_sets)
        return;
    for (size_t i = 0; i < n_sets; i++)
        cell->right[i] = (size_t)json_integer_value(json_array_get(right, i));
    cell->done = true;
}

enum sae_status unlearn_partial_add_cell(struct unlearn_partial *partial,
                                         const struct unlearn_cell *cell, size_t n_sets,
                                         struct sae_err *err)
{
    char name[96];
    json_t *right = json_array();
    cell_name(name, cell);
    for (size_t i = 0; i < n_sets; i++)
        json_array_append_new(right, json_integer((json_int_t)cell->right[i]));
    if (json_object_set_new(partial->cells, name, right) != 0)
        return sae_err_set(err, SAE_ENOMEM, "out of memory ('%s')", partial->path);
    return unlearn_partial_save(partial, err);
}
