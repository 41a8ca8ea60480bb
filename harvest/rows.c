/* SPDX-License-Identifier: MIT */
/* rows : CSV and JSON lines into labelled texts.
 *
 * Contents:  1. texts   2. CSV   3. JSON lines */
#include "harvest/rows.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gemma/utf8.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/text/bytes.h"
#include "lib/text/csv.h"
#include "lib/text/docs.h"

/* --- 1. texts ----------------------------------------------------------------------------- */

struct where {
    const char *path;
    uint64_t line;
};

static enum sae_status parse_split(uint8_t *ret, const char *text, struct where at,
                                   struct sae_err *err)
{
    if (strcmp(text, "train") == 0)
        *ret = 0;
    else if (strcmp(text, "test") == 0)
        *ret = 1;
    else
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' line %" PRIu64 ": split '%.40s', expected "
                           "'train' or 'test'",
                           at.path, at.line, text);
    return SAE_OK;
}

static enum sae_status add_text(struct harvest_dataset *set, const char *text, size_t len,
                                const char *label, const char *split, const char *attribute,
                                struct where at, struct sae_err *err)
{
    uint8_t part = HARVEST_UNSPLIT;
    if (*label == '\0' || (attribute != NULL && *attribute == '\0'))
        return sae_err_set(err, SAE_EFORMAT, "'%s' line %" PRIu64 ": the %s is empty", at.path,
                           at.line, *label == '\0' ? "label" : "attribute");
    if (!gemma_utf8_is_valid(label, strlen(label)) ||
        (attribute != NULL && !gemma_utf8_is_valid(attribute, strlen(attribute))))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' line %" PRIu64 ": the label is not valid UTF-8; convert the file",
                           at.path, at.line);
    if (split != NULL)
        SAE_TRY(parse_split(&part, split, at, err));
    if (len == 0) {
        set->n_empty++;
        return SAE_OK;
    }
    SAE_TRY(sae_mem_grow(&set->v, &set->cap, set->n + 1, sizeof *set->v, err));
    struct harvest_text *t = &set->v[set->n++];
    *t = (struct harvest_text){.len = len, .split = part};
    SAE_TRY(sae_mem_alloc(&t->text, len + 1, 1, err));
    memcpy(t->text, text, len);
    SAE_TRY(sae_mem_strdup(&t->label, label, err));
    return attribute == NULL ? SAE_OK : sae_mem_strdup(&t->attribute, attribute, err);
}

/* What a row holds, as it stands in the file. */
struct row {
    const char *text, *label, *split, *attribute; /* the last two may be NULL */
    size_t len;
};

/* Are enough texts of this class read, or, of NULL, of every class? */
static bool is_full(const struct harvest_rows *rows, const char *class)
{
    if (rows->preset == NULL || !rows->preset->first || rows->columns->first == 0)
        return false;
    for (size_t c = 0; rows->preset->classes[c].key != NULL; c++)
        if ((class == NULL || strcmp(rows->preset->classes[c].name, class) == 0) &&
            rows->set->n_taken[c] < rows->columns->first)
            return false;
    return true;
}

static void count_class(struct harvest_rows *rows, const char *class)
{
    for (size_t c = 0; rows->preset->classes[c].key != NULL; c++)
        if (strcmp(rows->preset->classes[c].name, class) == 0)
            rows->set->n_taken[c]++;
}

/* A row of a preset: renamed, cut, or passed over. */
static enum sae_status take_row(struct harvest_rows *rows, struct row row, struct where at,
                                struct sae_err *err)
{
    const struct harvest_preset *preset = rows->preset;
    size_t cut;
    const char *class = harvest_preset_class(preset, row.label);
    if (class == NULL && rows->strange[0] == '\0')
        snprintf(rows->strange, sizeof rows->strange, "%s", row.label);
    if (class == NULL || is_full(rows, class))
        return SAE_OK;
    if (row.attribute != NULL) {
        row.attribute = harvest_preset_value(preset, row.attribute);
        if (row.attribute == NULL)
            return SAE_OK;
    }
    if (!harvest_preset_cut(preset, row.text, row.len, &cut))
        return SAE_OK;
    if (row.len > 0)
        count_class(rows, class);
    return add_text(rows->set, row.text + cut, row.len - cut, class, row.split, row.attribute, at,
                    err);
}

static enum sae_status add_row(struct harvest_rows *rows, struct row row, struct where at,
                               struct sae_err *err)
{
    rows->set->n_rows++;
    if (rows->split != NULL)
        row.split = rows->split;
    if (rows->preset != NULL)
        return take_row(rows, row, at, err);
    return add_text(rows->set, row.text, row.len, row.label, row.split, row.attribute, at, err);
}

static enum sae_status other_layout(const struct harvest_rows *rows, const char *found,
                                    struct sae_err *err)
{
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' is not as %s is exported: it has the columns %s; expected %s",
                       rows->path, rows->preset->origin, found, rows->preset->expected);
}

/* --- 2. CSV ------------------------------------------------------------------------------- */

static void list_columns(char *to, size_t size, const struct sae_csv *csv)
{
    size_t len = 0;
    to[0] = '\0';
    for (size_t i = 0; i < csv->n_fields && len < size - 60; i++)
        len +=
            (size_t)snprintf(to + len, size - len, "%s%.40s", i > 0 ? ", " : "", csv->field[i].s);
}

static enum sae_status need_column(const struct sae_csv *csv, const char *name, size_t *ret,
                                   struct sae_err *err)
{
    char found[200];
    *ret = sae_csv_column(csv, name);
    if (*ret < csv->n_fields)
        return SAE_OK;
    list_columns(found, sizeof found, csv);
    return sae_err_set(err, SAE_EFORMAT, "'%s' has no column '%s'; its header names: %s", csv->path,
                       name, found);
}

static bool csv_has(const void *row, const char *column)
{
    const struct sae_csv *csv = row;
    return sae_csv_column(csv, column) < csv->n_fields;
}

/* Columns of the header; n_fields stands for one that is not there. */
struct places {
    size_t n_fields, text, label, split, attribute;
    const char *class; /* of every text, where there is no label */
};

static enum sae_status read_header(struct harvest_rows *rows, const struct sae_csv *csv,
                                   struct places *ret, struct sae_err *err)
{
    const struct harvest_columns *columns = rows->columns;
    struct harvest_layout layout = {columns->text, columns->label, columns->attribute, NULL};
    char found[200];
    ret->n_fields = ret->label = ret->split = ret->attribute = csv->n_fields;
    list_columns(found, sizeof found, csv);
    if (rows->preset != NULL && !harvest_preset_layout(rows->preset, csv_has, csv, &layout))
        return other_layout(rows, found, err);
    SAE_TRY(need_column(csv, layout.text, &ret->text, err));
    if (layout.label != NULL && layout.class == NULL)
        SAE_TRY(need_column(csv, layout.label, &ret->label, err));
    if (layout.attribute != NULL)
        ret->attribute = sae_csv_column(csv, layout.attribute);
    if (rows->preset == NULL && rows->split == NULL)
        ret->split = sae_csv_column(csv, columns->split);
    ret->class = layout.class;
    return SAE_OK;
}

static enum sae_status read_csv(struct harvest_rows *rows, struct sae_csv *csv, struct sae_err *err)
{
    bool more;
    struct places p = {0};
    SAE_TRY(sae_csv_next(csv, &more, err));
    if (!more)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is empty; expected a CSV header", csv->path);
    SAE_TRY(read_header(rows, csv, &p, err));
    const bool has_split = p.split < p.n_fields;
    if (rows->set->n_rows > 0 && rows->split == NULL && has_split != rows->set->split_given)
        return sae_err_set(err, SAE_EFORMAT, "'%s' has %s column '%s', unlike the files before",
                           csv->path, has_split ? "a" : "no", rows->columns->split);
    rows->set->split_given |= has_split;
    while (!is_full(rows, p.class)) {
        SAE_TRY(sae_csv_next(csv, &more, err));
        if (!more)
            return SAE_OK;
        if (csv->n_fields != p.n_fields)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' line %" PRIu64 " has %zu fields, the header "
                               "has %zu",
                               csv->path, csv->line, csv->n_fields, p.n_fields);
        const struct row row = {
            .text = csv->field[p.text].s,
            .len = csv->field[p.text].len,
            .label = p.class != NULL ? p.class : csv->field[p.label].s,
            .split = has_split ? csv->field[p.split].s : NULL,
            .attribute = p.attribute < p.n_fields ? csv->field[p.attribute].s : NULL,
        };
        SAE_TRY(add_row(rows, row, (struct where){csv->path, csv->line}, err));
    }
    return SAE_OK;
}

/* --- 3. JSON lines ------------------------------------------------------------------------ */

/* Labels are names, or whole numbers as many data sets have them. */
static enum sae_status label_text(char *to, size_t size, const json_t *object, const char *field,
                                  struct where at, struct sae_err *err)
{
    const json_t *value = json_object_get(object, field);
    if (json_is_integer(value)) {
        snprintf(to, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return SAE_OK;
    }
    if (json_is_real(value) && json_real_value(value) == floor(json_real_value(value)) &&
        fabs(json_real_value(value)) < 1e9) { /* ratings: 5.0 */
        snprintf(to, size, "%.1f", json_real_value(value));
        return SAE_OK;
    }
    const char *text;
    size_t len;
    SAE_TRY(sae_docs_field(&text, &len, object, field, at.path, at.line, err));
    if (len >= size || strlen(text) != len)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' line %" PRIu64 ": the label is longer than "
                           "%zu bytes",
                           at.path, at.line, size - 1);
    memcpy(to, text, len + 1);
    return SAE_OK;
}

static bool json_has(const void *row, const char *column)
{
    return json_object_get(row, column) != NULL;
}

static void list_fields(char *to, size_t size, const json_t *object)
{
    size_t len = 0;
    const char *key;
    json_t *value;
    to[0] = '\0';
    json_object_foreach((json_t *)object, key, value) if (len < size - 60) len +=
        (size_t)snprintf(to + len, size - len, "%s%.40s", len > 0 ? ", " : "", key);
}

/* A field that every line has, or none. */
static enum sae_status check_same(bool has, bool had, const char *field, struct where at,
                                  struct sae_err *err)
{
    if (has == had)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' line %" PRIu64 " has %s field '%s', unlike the lines before", at.path,
                       at.line, has ? "a" : "no", field);
}

static enum sae_status add_object(struct harvest_rows *rows, const json_t *object, struct where at,
                                  struct sae_err *err)
{
    struct harvest_dataset *set = rows->set;
    const struct harvest_columns *columns = rows->columns;
    struct row row = {0};
    size_t split_len;
    char label[256], attribute[256];
    SAE_TRY(sae_docs_field(&row.text, &row.len, object, columns->text, at.path, at.line, err));
    SAE_TRY(label_text(label, sizeof label, object, columns->label, at, err));
    row.label = label;
    const bool has_split = rows->split == NULL && json_has(object, columns->split);
    if (set->n_rows == 0)
        set->split_given = has_split;
    else if (rows->split == NULL)
        SAE_TRY(check_same(has_split, set->split_given, columns->split, at, err));
    if (has_split)
        SAE_TRY(
            sae_docs_field(&row.split, &split_len, object, columns->split, at.path, at.line, err));
    const bool has_attribute = json_has(object, columns->attribute);
    if (has_attribute)
        SAE_TRY(label_text(attribute, sizeof attribute, object, columns->attribute, at, err));
    if (set->n > 0)
        SAE_TRY(
            check_same(has_attribute, set->v[0].attribute != NULL, columns->attribute, at, err));
    row.attribute = has_attribute ? attribute : NULL;
    return add_row(rows, row, at, err);
}

/* *full: no more texts are wanted of what such a line holds. */
static enum sae_status add_preset_object(struct harvest_rows *rows, const json_t *object,
                                         struct where at, bool *full, struct sae_err *err)
{
    struct harvest_layout layout;
    struct row row = {0};
    char label[1024], attribute[256], found[200];
    const json_t *both = json_object_get(object, "translation");
    if (rows->preset->kind == HARVEST_PARALLEL && json_is_object(both))
        object = both;
    if (!harvest_preset_layout(rows->preset, json_has, object, &layout)) {
        list_fields(found, sizeof found, object);
        return other_layout(rows, found, err);
    }
    SAE_TRY(sae_docs_field(&row.text, &row.len, object, layout.text, at.path, at.line, err));
    if (layout.class == NULL)
        SAE_TRY(label_text(label, sizeof label, object, layout.label, at, err));
    row.label = layout.class != NULL ? layout.class : label;
    if (layout.attribute != NULL) {
        SAE_TRY(label_text(attribute, sizeof attribute, object, layout.attribute, at, err));
        row.attribute = attribute;
    }
    SAE_TRY(add_row(rows, row, at, err));
    *full = is_full(rows, layout.class);
    return SAE_OK;
}

static enum sae_status read_json(struct harvest_rows *rows, struct sae_bytes *bytes,
                                 struct sae_err *err)
{
    struct sae_str line = {0};
    struct where at = {rows->path, 0};
    bool more = true, full = false;
    enum sae_status st = SAE_OK;
    while (!full) {
        SAE_GO(st, sae_docs_line(bytes, &line, &at.line, &more, err));
        if (!more)
            break;
        json_t *object = NULL;
        SAE_GO(st, sae_docs_object(&object, &line, rows->path, at.line, err));
        st = rows->preset != NULL ? add_preset_object(rows, object, at, &full, err)
                                  : add_object(rows, object, at, err);
        json_decref(object);
        if (st != SAE_OK)
            goto done;
    }
done:
    sae_str_clear(&line);
    return st;
}

enum sae_status harvest_rows_read(struct harvest_rows *rows, struct sae_err *err)
{
    struct sae_bytes bytes = {0};
    struct sae_csv csv = {0};
    enum sae_status st;
    SAE_GO(st, sae_bytes_open(&bytes, rows->path, err));
    if (sae_docs_is_json(rows->path) || sae_str_ends(rows->path, ".json")) {
        st = read_json(rows, &bytes, err);
    } else {
        sae_csv_init(&csv, &bytes, rows->path);
        st = read_csv(rows, &csv, err);
    }
done:
    sae_csv_clear(&csv);
    sae_bytes_close(&bytes);
    return st;
}
