/* SPDX-License-Identifier: MIT */
/* parquet : rows out of columns, which are read only as far as rows are asked for.
 *
 * Contents:  1. files   2. which columns   3. rows   4. values */
#include "lib/text/parquet.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/text/parquet_inner.h"

/* A column of the rows. */
struct selected {
    size_t leaf;
    char *key;
    struct pq_column column;
    uint64_t behind; /* rows up to the current one that it has not given */
};

struct sae_parquet {
    char *path;
    struct sae_map map;
    struct pq_meta meta;
    size_t n, cap;
    struct selected *v;
    size_t group;        /* the next one */
    uint64_t group_left; /* rows of the current one behind the current row */
    uint64_t n_replaced; /* of the current row */
};

/* --- 1. files ------------------------------------------------------------------------------ */

enum sae_status sae_parquet_open(struct sae_parquet **ret, const char *path, struct sae_err *err)
{
    struct sae_parquet *p = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&p, 1, sizeof *p, err));
    SAE_GO(st, sae_mem_strdup(&p->path, path, err));
    SAE_GO(st, sae_map_open(&p->map, path, err));
    SAE_GO(st, pq_meta_read(&p->meta, &p->map, path, err));
    *ret = p;
    return SAE_OK;
done:
    sae_parquet_close(p);
    return st;
}

void sae_parquet_close(struct sae_parquet *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n; i++) {
        pq_column_clear(&p->v[i].column);
        free(p->v[i].key);
    }
    free(p->v);
    pq_meta_clear(&p->meta);
    sae_map_close(&p->map);
    free(p->path);
    free(p);
}

void sae_parquet_names(char *to, size_t size, const struct sae_parquet *p)
{
    size_t len = 0;
    to[0] = '\0';
    for (size_t i = 0; i < p->meta.n_leaves; i++) {
        const char *const name = p->meta.leaf[i].name;
        if (len + strlen(name) + 8 > size) {
            snprintf(to + len, size - len, ", ...");
            return;
        }
        len += (size_t)snprintf(to + len, size - len, "%s%s", i > 0 ? ", " : "", name);
    }
}

/* --- 2. which columns ---------------------------------------------------------------------- */

static bool is_source(const struct pq_leaf *leaf)
{
    return ((leaf->kind == PQ_TEXT || leaf->kind == PQ_BINARY) && leaf->max_rep == 0) ||
           (leaf->kind == PQ_WHOLE && leaf->max_rep == 1);
}

static size_t named(const struct sae_parquet *p, const char *name)
{
    for (size_t i = 0; i < p->meta.n_leaves; i++)
        if (strcmp(p->meta.leaf[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

/* The only column of strings; SIZE_MAX: there is none, or more than one. */
static size_t only_text(const struct sae_parquet *p)
{
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < p->meta.n_leaves; i++) {
        if (p->meta.leaf[i].kind != PQ_TEXT || p->meta.leaf[i].max_rep > 0)
            continue;
        if (found != SIZE_MAX)
            return SIZE_MAX;
        found = i;
    }
    return found;
}

size_t sae_parquet_find(const struct sae_parquet *p, const char *field, char *why, size_t n_why)
{
    const bool any = strcmp(field, "text") == 0;
    char names[150];
    size_t at = named(p, field);
    if (at == SIZE_MAX && any)
        at = only_text(p);
    if (at == SIZE_MAX && any)
        at = named(p, "input_ids");
    if (at != SIZE_MAX && is_source(&p->meta.leaf[at]))
        return at;
    sae_parquet_names(names, sizeof names, p);
    if (at == SIZE_MAX)
        snprintf(why, n_why, "it has no column '%.60s'; its columns are: %s; see --field", field, names);
    else
        snprintf(why, n_why, "its column '%.60s' holds neither strings nor lists of token ids; its "
                             "columns are: %s; see --field",
                 p->meta.leaf[at].name, names);
    return SIZE_MAX;
}

static bool is_readable(const struct pq_leaf *leaf)
{
    return leaf->kind != PQ_OTHER && leaf->max_rep <= 1;
}

static enum sae_status add_column(struct sae_parquet *p, size_t leaf, const char *key,
                                  struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&p->v, &p->cap, p->n + 1, sizeof *p->v, err));
    struct selected *const s = &p->v[p->n];
    *s = (struct selected){.leaf = leaf};
    s->column = (struct pq_column){.leaf = &p->meta.leaf[leaf], .path = p->path, .map = &p->map};
    p->n++;
    return key != NULL ? sae_mem_strdup(&s->key, key, err) : SAE_OK;
}

enum sae_status sae_parquet_select(struct sae_parquet *p, size_t column, const char *key,
                                   struct sae_err *err)
{
    if (column == SIZE_MAX) {
        for (size_t i = 0; i < p->meta.n_leaves; i++)
            if (is_readable(&p->meta.leaf[i]))
                SAE_TRY(add_column(p, i, NULL, err));
        return SAE_OK;
    }
    if (!is_readable(&p->meta.leaf[column]))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': column '%s' is a list of lists or of a type that is not read", p->path,
                           p->meta.leaf[column].name);
    return add_column(p, column, key, err);
}

const char *sae_parquet_selected(const struct sae_parquet *p)
{
    return p->v[0].column.leaf->name;
}

/* --- 3. rows ------------------------------------------------------------------------------- */

static enum sae_status damaged(const struct sae_parquet *p, const struct pq_leaf *leaf,
                               struct sae_err *err)
{
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s': column '%s' is damaged: it has not as many values as its row group has "
                       "rows",
                       p->path, leaf->name);
}

static enum sae_status begin_column(const struct sae_parquet *p, struct selected *s,
                                    struct sae_err *err)
{
    const struct pq_leaf *const leaf = s->column.leaf;
    const struct pq_chunk *const chunk = &p->meta.chunk[p->group * p->meta.n_leaves + s->leaf];
    if (chunk->encrypted || chunk->elsewhere)
        return sae_err_set(err, SAE_EFORMAT, "'%s': column '%s' %s, which is not read", p->path,
                           leaf->name, chunk->encrypted ? "is encrypted" : "lies in another file");
    SAE_TRY(pq_check_codec(chunk->codec, p->path, leaf->name, err));
    if (leaf->max_rep == 0 ? chunk->n_values != p->meta.group_rows[p->group]
                           : chunk->n_values < p->meta.group_rows[p->group])
        return damaged(p, leaf, err);
    pq_column_begin(&s->column, chunk);
    s->behind = 0;
    return SAE_OK;
}

/* Every list of the group is read: nothing may follow. */
static enum sae_status end_columns(struct sae_parquet *p, struct sae_err *err)
{
    for (size_t i = 0; i < p->n; i++) {
        bool more = false;
        uint32_t rep;
        if (p->v[i].behind == 0 && p->group > 0)
            SAE_TRY(pq_column_peek(&p->v[i].column, &more, &rep, err));
        if (more)
            return damaged(p, p->v[i].column.leaf, err);
    }
    return SAE_OK;
}

enum sae_status sae_parquet_next(struct sae_parquet *p, bool *ret_more, struct sae_err *err)
{
    while (p->group_left == 0) {
        SAE_TRY(end_columns(p, err));
        *ret_more = p->group < p->meta.n_groups;
        if (!*ret_more)
            return SAE_OK;
        for (size_t i = 0; i < p->n; i++)
            SAE_TRY(begin_column(p, &p->v[i], err));
        p->group_left = p->meta.group_rows[p->group++];
    }
    p->group_left--;
    for (size_t i = 0; i < p->n; i++)
        p->v[i].behind++;
    *ret_more = true;
    return SAE_OK;
}

/* --- 4. values ----------------------------------------------------------------------------- */

static enum sae_status no_memory(const struct sae_parquet *p, struct sae_err *err)
{
    return sae_err_set(err, SAE_ENOMEM, "out of memory (reading '%s')", p->path);
}

static enum sae_status too_long(const struct sae_parquet *p, const struct selected *s,
                                struct sae_err *err)
{
    return sae_err_set(err, SAE_ERANGE,
                       "'%s': column '%s' has a row of more than %d elements or %d MiB; split it", p->path,
                       s->column.leaf->name, SAE_PARQUET_LIST_MAX, SAE_PARQUET_ROW_MAX >> 20);
}

/* NULL: no memory. */
static json_t *make_text(struct sae_parquet *p, const char *s, size_t n)
{
    struct sae_str clean = {0};
    if (sae_utf8_is_valid(s, n))
        return json_stringn_nocheck(s, n);
    json_t *const text = sae_utf8_append(&clean, s, n, &p->n_replaced, NULL) == SAE_OK
                             ? json_stringn_nocheck(clean.s, clean.len)
                             : NULL;
    sae_str_clear(&clean);
    return text;
}

static json_t *make_value(struct sae_parquet *p, const struct pq_leaf *leaf, int def,
                          const struct pq_value *value)
{
    if (def < leaf->max_def)
        return json_null();
    switch (leaf->kind) {
    case PQ_TEXT:
    case PQ_BINARY:
        return make_text(p, value->s, value->n);
    case PQ_WHOLE:
        return json_integer((json_int_t)value->whole);
    case PQ_TRUTH:
        return json_boolean(value->whole != 0);
    default:
        return isfinite(value->real) ? json_real(value->real) : json_null();
    }
}

/* The next entry, which must continue the row or begin one (rep 0). wanted: make its value. */
static enum sae_status take(struct sae_parquet *p, struct selected *s, bool begins, bool wanted,
                            int *ret_def, json_t **ret, size_t *n_bytes, struct sae_err *err)
{
    struct pq_value value = {.s = ""};
    bool more;
    uint32_t rep;
    SAE_TRY(pq_column_peek(&s->column, &more, &rep, err));
    if (!more || (rep == 0) != begins)
        return damaged(p, s->column.leaf, err);
    SAE_TRY(pq_column_take(&s->column, ret_def, &value, err));
    *n_bytes += value.n;
    if (!wanted)
        return SAE_OK;
    if (*n_bytes > SAE_PARQUET_ROW_MAX)
        return too_long(p, s, err);
    *ret = make_value(p, s->column.leaf, *ret_def, &value);
    return *ret != NULL ? SAE_OK : no_memory(p, err);
}

/* The rest of a list whose first element is `first`, which it takes. */
static enum sae_status take_list(struct sae_parquet *p, struct selected *s, json_t *first,
                                 int def, bool wanted, json_t **ret, size_t n_bytes,
                                 struct sae_err *err)
{
    json_t *list = wanted ? json_array() : NULL, *value = first;
    enum sae_status st = SAE_OK;
    bool more = true;
    uint32_t rep;
    if (def >= s->column.leaf->list_def && wanted && json_array_append_new(list, value) != 0)
        st = no_memory(p, err);
    else if (def < s->column.leaf->list_def)
        json_decref(first);
    for (size_t n = 1; st == SAE_OK; n++) {
        SAE_GO(st, pq_column_peek(&s->column, &more, &rep, err));
        if (!more || rep == 0)
            break;
        if (n == SAE_PARQUET_LIST_MAX && wanted)
            SAE_GO(st, too_long(p, s, err));
        value = NULL;
        SAE_GO(st, take(p, s, false, wanted, &def, &value, &n_bytes, err));
        if (wanted && json_array_append_new(list, value) != 0)
            st = no_memory(p, err);
    }
    if (wanted && st == SAE_OK)
        *ret = list;
done:
    if (st != SAE_OK)
        json_decref(list);
    return st;
}

/* The column's next row: a value, or a list of them; null where there is none. */
static enum sae_status take_cell(struct sae_parquet *p, struct selected *s, bool wanted,
                                 json_t **ret, struct sae_err *err)
{
    const struct pq_leaf *const leaf = s->column.leaf;
    json_t *value = NULL;
    size_t n_bytes = 0;
    int def = 0;
    SAE_TRY(take(p, s, true, wanted, &def, &value, &n_bytes, err));
    if (leaf->max_rep == 0 || def < leaf->list_def - 1) { /* no list at all: value is null */
        *ret = value;
        return SAE_OK;
    }
    return take_list(p, s, value, def, wanted, ret, n_bytes, err);
}

/* Passes over the rows before the current one. */
static enum sae_status catch_up(struct sae_parquet *p, struct selected *s, struct sae_err *err)
{
    json_t *none = NULL;
    while (s->behind > 1) {
        uint64_t n = s->behind - 1;
        if (s->column.leaf->max_rep == 0)
            SAE_TRY(pq_column_skip(&s->column, &n, err));
        s->behind = n + 1;
        if (n == 0)
            break;
        SAE_TRY(take_cell(p, s, false, &none, err));
        s->behind--;
    }
    return SAE_OK;
}

static int put(json_t *row, const struct selected *s, json_t *value)
{
    const struct pq_leaf *const leaf = s->column.leaf;
    if (s->key != NULL || leaf->n_group == 0)
        return json_object_set_new_nocheck(row, s->key != NULL ? s->key : leaf->name, value);
    json_t *group = json_object_getn(row, leaf->name, leaf->n_group);
    if (!json_is_object(group)) {
        group = json_object();
        if (json_object_setn_new_nocheck(row, leaf->name, leaf->n_group, group) != 0) {
            json_decref(value);
            return -1;
        }
    }
    return json_object_set_new_nocheck(group, leaf->name + leaf->n_group + 1, value);
}

enum sae_status sae_parquet_row(struct sae_parquet *p, json_t **ret, uint64_t *n_replaced,
                                struct sae_err *err)
{
    json_t *row = json_object();
    p->n_replaced = 0;
    enum sae_status st = row != NULL ? SAE_OK : no_memory(p, err);
    for (size_t i = 0; i < p->n && st == SAE_OK; i++) {
        struct selected *const s = &p->v[i];
        json_t *value = NULL;
        SAE_GO(st, catch_up(p, s, err));
        SAE_GO(st, take_cell(p, s, true, &value, err));
        s->behind = 0;
        if (put(row, s, value) != 0)
            st = no_memory(p, err);
    }
done:
    if (st != SAE_OK) {
        json_decref(row);
        return st;
    }
    *ret = row;
    *n_replaced += p->n_replaced;
    return SAE_OK;
}
