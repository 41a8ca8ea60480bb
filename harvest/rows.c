/* SPDX-License-Identifier: MIT */
/* rows : CSV, JSON objects and rows of Parquet into labelled texts.
 *
 * Contents:  1. texts   2. CSV   3. JSON */
#include "harvest/rows.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/text/bytes.h"
#include "lib/text/csv.h"
#include "lib/text/json_rows.h"
#include "lib/text/kind.h"

/* --- 1. texts ----------------------------------------------------------------------------- */

struct where {
    const char *path;
    uint64_t line;
    const char *unit; /* "line", or "row" of Parquet */
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
                           "'%s' %s %" PRIu64 ": split '%.40s', expected "
                           "'train' or 'test'",
                           at.path, at.unit, at.line, text);
    return SAE_OK;
}

/* The text itself: UTF-8, what is not replaced and counted. */
static enum sae_status copy_text(struct harvest_dataset *set, struct harvest_text *to,
                                 const char *text, size_t len, struct where at,
                                 struct sae_err *err)
{
    struct sae_str copy = {0};
    uint64_t n_replaced = 0;
    SAE_TRY(sae_utf8_append(&copy, text, len, &n_replaced, err));
    sae_left_replaced(&set->left, at.path, at.line, n_replaced);
    to->text = copy.s;
    to->len = copy.len;
    return SAE_OK;
}

static enum sae_status add_text(struct harvest_dataset *set, const char *text, size_t len,
                                const char *label, const char *split, const char *attribute,
                                struct where at, struct sae_err *err)
{
    uint8_t part = HARVEST_UNSPLIT;
    if (!sae_utf8_is_valid(label, strlen(label)) ||
        (attribute != NULL && !sae_utf8_is_valid(attribute, strlen(attribute))))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' %s %" PRIu64 ": the label is not valid UTF-8; convert the file",
                           at.path, at.unit, at.line);
    if (split != NULL)
        SAE_TRY(parse_split(&part, split, at, err));
    if (len == 0) {
        set->n_empty++;
        return SAE_OK;
    }
    SAE_TRY(sae_mem_grow(&set->v, &set->cap, set->n + 1, sizeof *set->v, err));
    struct harvest_text *t = &set->v[set->n++];
    *t = (struct harvest_text){.split = part};
    SAE_TRY(copy_text(set, t, text, len, at, err));
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
    if (*row.label == '\0' || (row.attribute != NULL && *row.attribute == '\0')) {
        sae_left_add(&rows->set->left, at.path, at.line, "the %s is empty",
                     *row.label == '\0' ? "label" : "attribute");
        return SAE_OK;
    }
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

/* A split or attribute column that was asked for by name must be there; by default it may lack. */
static enum sae_status check_asked(const struct harvest_rows *rows,
                                   bool (*has)(const void *row, const char *column),
                                   const void *row, const char *found, struct sae_err *err)
{
    const struct harvest_columns *c = rows->columns;
    const char *lacking = NULL;
    if (c->need_split && rows->split == NULL && !has(row, c->split))
        lacking = c->split;
    else if (c->need_attribute && !has(row, c->attribute))
        lacking = c->attribute;
    if (lacking == NULL)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT, "'%s' has no column '%s'; it has: %s", rows->path, lacking,
                       found[0] != '\0' ? found : "none");
}

/* --- 2. CSV ------------------------------------------------------------------------------- */

static enum sae_status need_column(const struct sae_csv *csv, const char *name, size_t *ret,
                                   struct sae_err *err)
{
    char found[200];
    *ret = sae_csv_column(csv, name);
    if (*ret < csv->n_fields)
        return SAE_OK;
    sae_csv_names(found, sizeof found, csv);
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
    sae_csv_names(found, sizeof found, csv);
    if (rows->preset != NULL && !harvest_preset_layout(rows->preset, csv_has, csv, &layout))
        return other_layout(rows, found, err);
    if (rows->preset == NULL)
        SAE_TRY(check_asked(rows, csv_has, csv, found, err));
    SAE_TRY(need_column(csv, layout.text, &ret->text, err));
    if (layout.label != NULL && layout.class == NULL)
        SAE_TRY(need_column(csv, layout.label, &ret->label, err));
    if (layout.attribute != NULL)
        ret->attribute = sae_csv_column(csv, layout.attribute);
    if (rows->preset == NULL && rows->split == NULL && columns->split != NULL)
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
        if (csv->n_fields != p.n_fields) {
            sae_left_add(&rows->set->left, csv->path, csv->line,
                         "%zu fields, but the header has %zu", csv->n_fields, p.n_fields);
            continue;
        }
        const struct row row = {
            .text = csv->field[p.text].s,
            .len = csv->field[p.text].len,
            .label = p.class != NULL ? p.class : csv->field[p.label].s,
            .split = has_split ? csv->field[p.split].s : NULL,
            .attribute = p.attribute < p.n_fields ? csv->field[p.attribute].s : NULL,
        };
        SAE_TRY(add_row(rows, row, (struct where){csv->path, csv->line, "line"}, err));
    }
    return SAE_OK;
}

/* --- 3. JSON ------------------------------------------------------------------------------ */

/* Labels are names, or whole numbers and truths as many data sets have them. False: there is no
 * label, and the row is counted as left out. */
static bool label_text(char *to, size_t size, struct sae_json_rows *json, const json_t *object,
                       const char *field)
{
    const json_t *value = json_object_get(object, field);
    size_t len;
    if (json_is_boolean(value)) {
        snprintf(to, size, "%s", json_is_true(value) ? "true" : "false");
        return true;
    }
    if (json_is_integer(value)) {
        snprintf(to, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return true;
    }
    if (json_is_real(value) && json_real_value(value) == floor(json_real_value(value)) &&
        fabs(json_real_value(value)) < 1e9) { /* ratings: 5.0 */
        snprintf(to, size, "%.1f", json_real_value(value));
        return true;
    }
    const char *const text = sae_json_rows_text(json, object, field, &len);
    if (text == NULL)
        return false;
    if (len >= size || strlen(text) != len) {
        sae_left_add(json->left, json->path, json->line,
                     "the label is longer than %zu bytes, or holds a NUL", size - 1);
        return false;
    }
    memcpy(to, text, len + 1);
    return true;
}

static struct where where_of(const struct harvest_rows *rows, const struct sae_json_rows *json)
{
    return (struct where){rows->path, json->line, json->parquet != NULL ? "row" : "line"};
}

static bool json_has(const void *row, const char *column)
{
    return column != NULL && json_object_get(row, column) != NULL;
}

/* The first row must have the fields that were asked for: else they are of another name. */
static enum sae_status check_first(const struct harvest_rows *rows, const json_t *object,
                                   struct where at, struct sae_err *err)
{
    const char *const fields[] = {rows->columns->text, rows->columns->label};
    char keys[200];
    if (rows->set->n_rows > 0)
        return SAE_OK;
    sae_json_keys(keys, sizeof keys, object);
    for (size_t i = 0; i < 2; i++) {
        if (json_has(object, fields[i]))
            continue;
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' %s %" PRIu64 " has no field '%s'; it has: %s; see --%s-column",
                           at.path, at.unit, at.line, fields[i], keys[0] != '\0' ? keys : "none",
                           i == 0 ? "text" : "label");
    }
    return check_asked(rows, json_has, object, keys, err);
}

/* A field that every line has, or none. */
static enum sae_status check_same(bool has, bool had, const char *field, struct where at,
                                  struct sae_err *err)
{
    if (has == had)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' %s %" PRIu64 " has %s field '%s', unlike the %ss before", at.path, at.unit,
                       at.line, has ? "a" : "no", field, at.unit);
}

static enum sae_status add_object(struct harvest_rows *rows, struct sae_json_rows *json,
                                  const json_t *object, struct sae_err *err)
{
    struct harvest_dataset *set = rows->set;
    const struct harvest_columns *columns = rows->columns;
    const struct where at = where_of(rows, json);
    struct row row = {0};
    size_t split_len;
    char label[256], attribute[256];
    SAE_TRY(check_first(rows, object, at, err));
    const bool has_split = rows->split == NULL && json_has(object, columns->split);
    const bool has_attribute = json_has(object, columns->attribute);
    row.text = sae_json_rows_text(json, object, columns->text, &row.len);
    if (row.text == NULL || !label_text(label, sizeof label, json, object, columns->label) ||
        (has_attribute &&
         !label_text(attribute, sizeof attribute, json, object, columns->attribute)))
        return SAE_OK;
    row.label = label;
    row.attribute = has_attribute ? attribute : NULL;
    if (set->n_rows == 0)
        set->split_given = has_split;
    else if (rows->split == NULL)
        SAE_TRY(check_same(has_split, set->split_given, columns->split, at, err));
    if (has_split)
        row.split = sae_json_rows_text(json, object, columns->split, &split_len);
    if (has_split && row.split == NULL)
        return SAE_OK;
    if (set->n > 0)
        SAE_TRY(
            check_same(has_attribute, set->v[0].attribute != NULL, columns->attribute, at, err));
    return add_row(rows, row, at, err);
}

/* *full: no more texts are wanted of what such a row holds. */
static enum sae_status add_preset_object(struct harvest_rows *rows, struct sae_json_rows *json,
                                         const json_t *object, bool *full, struct sae_err *err)
{
    struct harvest_layout layout;
    struct row row = {0};
    char label[1024], attribute[256], found[200];
    const json_t *both = json_object_get(object, "translation");
    if (rows->preset->kind == HARVEST_PARALLEL && json_is_object(both))
        object = both;
    if (!harvest_preset_layout(rows->preset, json_has, object, &layout)) {
        sae_json_keys(found, sizeof found, object);
        return other_layout(rows, found, err);
    }
    row.text = sae_json_rows_text(json, object, layout.text, &row.len);
    if (row.text == NULL)
        return SAE_OK;
    if (layout.class == NULL && !label_text(label, sizeof label, json, object, layout.label))
        return SAE_OK;
    row.label = layout.class != NULL ? layout.class : label;
    if (layout.attribute != NULL) {
        if (!label_text(attribute, sizeof attribute, json, object, layout.attribute))
            return SAE_OK;
        row.attribute = attribute;
    }
    SAE_TRY(add_row(rows, row, where_of(rows, json), err));
    *full = is_full(rows, layout.class);
    return SAE_OK;
}

static enum sae_status read_json(struct harvest_rows *rows, struct sae_json_rows *json,
                                 struct sae_err *err)
{
    bool more = true, full = false;
    enum sae_status st = SAE_OK;
    while (!full && st == SAE_OK) {
        json_t *object = NULL;
        SAE_TRY(sae_json_rows_next(json, &more, err));
        if (!more)
            break;
        SAE_TRY(sae_json_rows_object(json, &object, err));
        if (object == NULL)
            continue;
        st = rows->preset != NULL ? add_preset_object(rows, json, object, &full, err)
                                  : add_object(rows, json, object, err);
        json_decref(object);
    }
    return st;
}

/* A few odd rows are left out; where it is most of them, the file is another than it seems. */
static enum sae_status check_left(const struct harvest_dataset *set, struct sae_err *err)
{
    if (set->left.n <= set->n_rows)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT, "%" PRIu64 " of %" PRIu64 " rows cannot be used; the "
                                         "first: %s",
                       set->left.n, set->left.n + set->n_rows, set->left.first);
}

enum sae_status harvest_rows_read(struct harvest_rows *rows, struct sae_err *err)
{
    struct sae_bytes bytes = {0};
    struct sae_csv csv = {0};
    struct sae_json_rows json = {0};
    struct sae_kind_found found;
    enum sae_status st;
    SAE_GO(st, sae_bytes_open(&bytes, rows->path, err));
    SAE_GO(st, sae_kind_find(&found, &bytes, rows->path, NULL, err));
    if (!found.usable) {
        st = sae_err_set(err, SAE_EFORMAT, "cannot use '%s': %s", rows->path, found.why);
        goto done;
    }
    if (found.kind == SAE_KIND_PARQUET) {
        SAE_GO(st, sae_json_rows_parquet(&json, rows->path, NULL, &rows->set->left, err));
        SAE_GO(st, read_json(rows, &json, err));
    } else if (found.kind == SAE_KIND_JSON_LINES || found.kind == SAE_KIND_JSON_ARRAY) {
        sae_json_rows_init(&json, &bytes, rows->path, found.kind == SAE_KIND_JSON_ARRAY,
                           &rows->set->left);
        SAE_GO(st, read_json(rows, &json, err));
    } else {
        sae_csv_init(&csv, &bytes, rows->path, found.kind == SAE_KIND_TSV ? '\t' : ',');
        SAE_GO(st, read_csv(rows, &csv, err));
    }
    st = check_left(rows->set, err);
done:
    sae_csv_clear(&csv);
    sae_json_rows_clear(&json);
    sae_bytes_close(&bytes);
    return st;
}
