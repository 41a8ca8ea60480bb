/* SPDX-License-Identifier: MIT */
/* dataset : labelled texts, read and drawn.
 *
 * Contents:  1. names   2. reading   3. classes   4. drawing */
#include "harvest/dataset.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gemma/utf8.h"
#include "lib/text/csv.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/text/bytes.h"
#include "lib/text/docs.h"

/* --- 1. names ----------------------------------------------------------------------------- */

enum sae_status harvest_dataset_name(char **ret, const char *path, struct sae_err *err)
{
    static const char *const suffixes[] = {".gz", ".zst", ".csv", ".jsonl", ".ndjson"};
    char *name = NULL;
    SAE_TRY(sae_mem_strdup(&name, sae_fs_base(path), err));
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (sae_str_ends(name, suffixes[i]) && strlen(name) > strlen(suffixes[i]))
            name[strlen(name) - strlen(suffixes[i])] = '\0';
    for (const char *c = name; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr("._-", *c) == NULL) {
            const enum sae_status st =
                sae_err_set(err, SAE_EARG,
                            "'%s': the file's name becomes the set's name and may "
                            "hold letters, digits, '.', '_' and '-' only",
                            path);
            free(name);
            return st;
        }
    *ret = name;
    return SAE_OK;
}

/* --- 2. reading --------------------------------------------------------------------------- */

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

static enum sae_status need_column(const struct sae_csv *csv, const char *name, size_t *ret,
                                   struct sae_err *err)
{
    *ret = sae_csv_column(csv, name);
    if (*ret < csv->n_fields)
        return SAE_OK;
    char found[200] = "";
    size_t len = 0;
    for (size_t i = 0; i < csv->n_fields && len < sizeof found - 60; i++)
        len += (size_t)snprintf(found + len, sizeof found - len, "%s%.40s", i > 0 ? ", " : "",
                                csv->field[i].s);
    return sae_err_set(err, SAE_EFORMAT, "'%s' has no column '%s'; its header names: %s", csv->path,
                       name, found);
}

static enum sae_status read_csv(struct harvest_dataset *set, struct sae_csv *csv,
                                const struct harvest_columns *columns, struct sae_err *err)
{
    bool more;
    size_t text, label;
    SAE_TRY(sae_csv_next(csv, &more, err));
    if (!more)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is empty; expected a CSV header", csv->path);
    SAE_TRY(need_column(csv, columns->text, &text, err));
    SAE_TRY(need_column(csv, columns->label, &label, err));
    const size_t n = csv->n_fields, split = sae_csv_column(csv, columns->split);
    const size_t attribute = sae_csv_column(csv, columns->attribute);
    set->split_given = split < n;
    for (;;) {
        SAE_TRY(sae_csv_next(csv, &more, err));
        if (!more)
            return SAE_OK;
        if (csv->n_fields != n)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' line %" PRIu64 " has %zu fields, the header "
                               "has %zu",
                               csv->path, csv->line, csv->n_fields, n);
        const struct where at = {csv->path, csv->line};
        SAE_TRY(add_text(set, csv->field[text].s, csv->field[text].len, csv->field[label].s,
                         set->split_given ? csv->field[split].s : NULL,
                         attribute < n ? csv->field[attribute].s : NULL, at, err));
    }
}

/* Labels are names, or whole numbers as many data sets have them. */
static enum sae_status label_text(char *to, size_t size, const json_t *object, const char *field,
                                  struct where at, struct sae_err *err)
{
    const json_t *value = json_object_get(object, field);
    if (json_is_integer(value)) {
        snprintf(to, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
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

static enum sae_status add_object(struct harvest_dataset *set, const json_t *object,
                                  const struct harvest_columns *columns, struct where at,
                                  struct sae_err *err)
{
    const char *text, *split = NULL;
    size_t len, split_len;
    char label[256], attribute[256];
    SAE_TRY(sae_docs_field(&text, &len, object, columns->text, at.path, at.line, err));
    SAE_TRY(label_text(label, sizeof label, object, columns->label, at, err));
    const bool has_split = json_object_get(object, columns->split) != NULL;
    if (set->n + set->n_empty == 0)
        set->split_given = has_split;
    if (set->split_given)
        SAE_TRY(sae_docs_field(&split, &split_len, object, columns->split, at.path, at.line, err));
    else if (has_split)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' line %" PRIu64 " has a field '%s', the lines "
                           "before have not",
                           at.path, at.line, columns->split);
    const bool has_attribute = json_object_get(object, columns->attribute) != NULL;
    if (has_attribute)
        SAE_TRY(label_text(attribute, sizeof attribute, object, columns->attribute, at, err));
    if (set->n > 0 && has_attribute != (set->v[0].attribute != NULL))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' line %" PRIu64 " has %s field '%s', unlike the lines before",
                           at.path, at.line, has_attribute ? "a" : "no", columns->attribute);
    return add_text(set, text, len, label, split, has_attribute ? attribute : NULL, at, err);
}

static enum sae_status read_json(struct harvest_dataset *set, struct sae_bytes *bytes,
                                 const char *path, const struct harvest_columns *columns,
                                 struct sae_err *err)
{
    struct sae_str line = {0};
    struct where at = {path, 0};
    bool more = true;
    enum sae_status st;
    for (;;) {
        SAE_GO(st, sae_bytes_line(bytes, &line, &more, err));
        if (!more)
            break;
        at.line++;
        if (strspn(line.s, " \t") == line.len)
            continue;
        json_t *object = NULL;
        SAE_GO(st, sae_docs_object(&object, &line, path, at.line, err));
        st = add_object(set, object, columns, at, err);
        json_decref(object);
        if (st != SAE_OK)
            goto done;
    }
done:
    sae_str_clear(&line);
    return st;
}

/* --- 3. classes --------------------------------------------------------------------------- */

static int compare_labels(const void *a, const void *b)
{
    const char *const x = *(const char *const *)a, *const y = *(const char *const *)b;
    const int order = sae_fs_natural_cmp(x, y);
    return order != 0 ? order : strcmp(x, y); /* "1" and "01" are two classes */
}

static enum sae_status find_classes(struct harvest_dataset *set, struct sae_err *err)
{
    const char **labels = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&labels, set->n, sizeof *labels, err));
    for (size_t i = 0; i < set->n; i++)
        labels[i] = set->v[i].label;
    if (set->n > 0)
        qsort(labels, set->n, sizeof *labels, compare_labels);
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++)
        if (n == 0 || compare_labels(&labels[n - 1], &labels[i]) != 0)
            labels[n++] = labels[i];
    SAE_GO(st, sae_mem_alloc(&set->classes, n, sizeof *set->classes, err));
    for (size_t c = 0; c < n; c++) {
        SAE_GO(st, sae_mem_strdup(&set->classes[c].name, labels[c], err));
        set->n_classes++;
    }
    for (size_t i = 0; i < set->n; i++) {
        const char **at = bsearch(&set->v[i].label, labels, n, sizeof *labels, compare_labels);
        set->v[i].class = (uint32_t)(at - labels);
        set->classes[set->v[i].class].n_found++;
    }
    st = SAE_OK;
done:
    free(labels);
    return st;
}

static enum sae_status find_attributes(struct harvest_dataset *set, struct sae_err *err)
{
    const char **all = NULL;
    size_t n = 0;
    enum sae_status st;
    if (set->n == 0 || set->v[0].attribute == NULL)
        return SAE_OK;
    SAE_TRY(sae_mem_alloc(&all, set->n, sizeof *all, err));
    for (size_t i = 0; i < set->n; i++)
        all[i] = set->v[i].attribute;
    qsort(all, set->n, sizeof *all, compare_labels);
    for (size_t i = 0; i < set->n; i++)
        if (n == 0 || compare_labels(&all[n - 1], &all[i]) != 0)
            all[n++] = all[i];
    SAE_GO(st, sae_mem_alloc(&set->attributes, n, sizeof *set->attributes, err));
    for (; set->n_attributes < n; set->n_attributes++)
        SAE_GO(st, sae_mem_strdup(&set->attributes[set->n_attributes], all[set->n_attributes],
                                  err));
    for (size_t i = 0; i < set->n; i++) {
        const char **at = bsearch(&set->v[i].attribute, all, n, sizeof *all, compare_labels);
        set->v[i].value = (uint32_t)(at - all);
    }
    st = SAE_OK;
done:
    free(all);
    return st;
}

enum sae_status harvest_dataset_load(struct harvest_dataset *ret, const char *path,
                                     const struct harvest_columns *columns, struct sae_err *err)
{
    struct harvest_dataset set = {0};
    struct sae_bytes bytes = {0};
    struct sae_csv csv = {0};
    enum sae_status st;
    SAE_GO(st, harvest_dataset_name(&set.name, path, err));
    SAE_GO(st, sae_bytes_open(&bytes, path, err));
    if (sae_docs_is_json(path)) {
        SAE_GO(st, read_json(&set, &bytes, path, columns, err));
    } else {
        sae_csv_init(&csv, &bytes, path);
        SAE_GO(st, read_csv(&set, &csv, columns, err));
    }
    SAE_GO(st, find_classes(&set, err));
    SAE_GO(st, find_attributes(&set, err));
    if (set.n_empty > 0)
        sae_log_warn("'%s': %zu texts are empty and left out", path, set.n_empty);
    if (set.n_classes < 2) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' has %zu texts of %zu classes; probing needs two "
                         "classes or more",
                         path, set.n, set.n_classes);
        goto done;
    }
    *ret = set;
    set = (struct harvest_dataset){0};
done:
    sae_csv_clear(&csv);
    sae_bytes_close(&bytes);
    harvest_dataset_clear(&set);
    return st;
}

static void text_clear(struct harvest_text *text)
{
    free(text->text);
    free(text->label);
    free(text->attribute);
    *text = (struct harvest_text){0};
}

void harvest_dataset_clear(struct harvest_dataset *set)
{
    for (size_t i = 0; i < set->n; i++)
        text_clear(&set->v[i]);
    for (size_t c = 0; c < set->n_classes; c++)
        free(set->classes[c].name);
    for (size_t a = 0; a < set->n_attributes; a++)
        free(set->attributes[a]);
    free(set->attributes);
    free(set->v);
    free(set->classes);
    free(set->name);
    *set = (struct harvest_dataset){0};
}

/* --- 4. drawing --------------------------------------------------------------------------- */

enum { LEFT_OUT = 3 };

/* Keeps the first `max` of a shuffled list in split `part`, and leaves the others out. */
static size_t keep_first(struct harvest_dataset *set, const uint32_t *index, size_t n, size_t max,
                         uint8_t part)
{
    for (size_t i = 0; i < n; i++)
        set->v[index[i]].split = i < max ? part : LEFT_OUT;
    return n < max ? n : max;
}

/* Shuffles the texts of class c with attribute `value`, gives each its split, and leaves out those
 * above the limits. */
static void draw_group(struct harvest_dataset *set, size_t c, size_t value,
                       const struct harvest_draw *draw, struct sae_rng *rng, uint32_t *index)
{
    struct harvest_class *class = &set->classes[c];
    size_t n = 0, n_test = 0;
    for (size_t i = 0; i < set->n; i++)
        if (set->v[i].class == c && set->v[i].value == value && set->v[i].split != 1)
            index[n++] = (uint32_t)i;
    for (size_t i = 0; i < set->n; i++)
        if (set->v[i].class == c && set->v[i].value == value && set->v[i].split == 1)
            index[n + n_test++] = (uint32_t)i;
    if (set->split_given) {
        sae_rng_shuffle_u32(rng, index, n);
        sae_rng_shuffle_u32(rng, index + n, n_test);
    } else {
        sae_rng_shuffle_u32(rng, index, n);
        n_test = n / 5;
        n -= n_test;
    }
    class->n_train += keep_first(set, index, n, draw->max_train, 0);
    class->n_test += keep_first(set, index + n, n_test, draw->max_test, 1);
}

static void draw_class(struct harvest_dataset *set, size_t c, const struct harvest_draw *draw,
                       struct sae_rng *rng, uint32_t *index)
{
    for (size_t value = 0; value == 0 || value < set->n_attributes; value++)
        draw_group(set, c, value, draw, rng, index);
}

static bool is_too_small(const struct harvest_class *class, const struct harvest_draw *draw)
{
    const size_t test = draw->min_texts / 5, train = draw->min_texts - test;
    return class->n_found < draw->min_texts || class->n_train == 0 || class->n_test == 0 ||
           class->n_train < (train < draw->max_train ? train : draw->max_train) ||
           class->n_test < (test < draw->max_test ? test : draw->max_test);
}

/* Removes classes without texts and texts that were left out; renumbers the rest. */
static enum sae_status compact(struct harvest_dataset *set, struct sae_err *err)
{
    uint32_t *number = NULL;
    SAE_TRY(sae_mem_alloc(&number, set->n_classes, sizeof *number, err));
    size_t n_classes = 0, n = 0;
    for (size_t c = 0; c < set->n_classes; c++) {
        const struct harvest_class class = set->classes[c];
        number[c] = (uint32_t)n_classes;
        if (class.n_train == 0)
            free(class.name);
        else
            set->classes[n_classes++] = class;
    }
    for (size_t i = 0; i < set->n; i++) {
        if (set->v[i].split == LEFT_OUT) {
            text_clear(&set->v[i]);
            continue;
        }
        const struct harvest_text text = set->v[i];
        set->v[n] = text;
        set->v[n++].class = number[text.class];
    }
    set->n = n;
    set->n_classes = n_classes;
    free(number);
    return SAE_OK;
}

enum sae_status harvest_dataset_draw(struct harvest_dataset *set, const struct harvest_draw *draw,
                                     struct sae_err *err)
{
    struct sae_rng rng = sae_rng_make(draw->seed, SAE_RNG_PROBE);
    uint32_t *index = NULL;
    SAE_TRY(sae_mem_alloc(&index, set->n, sizeof *index, err));
    for (size_t c = 0; c < set->n_classes; c++) {
        struct harvest_class *class = &set->classes[c];
        draw_class(set, c, draw, &rng, index);
        if (!is_too_small(class, draw))
            continue;
        sae_log_warn("%s: class '%s' is left out: %zu texts (%zu train, %zu test), at least %zu "
                     "are needed",
                     set->name, class->name, class->n_found, class->n_train, class->n_test,
                     draw->min_texts);
        class->n_train = class->n_test = 0;
        for (size_t i = 0; i < set->n; i++)
            if (set->v[i].class == c)
                set->v[i].split = LEFT_OUT;
    }
    free(index);
    SAE_TRY(compact(set, err));
    if (set->n_classes < 2)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': %zu classes have enough texts; probing needs "
                           "two or more (see --min-per-class)",
                           set->name, set->n_classes);
    return SAE_OK;
}
