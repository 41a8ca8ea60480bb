/* SPDX-License-Identifier: MIT */
/* dataset : labelled texts, read and drawn.
 *
 * Contents:  1. names   2. reading   3. classes   4. drawing */
#include "harvest/dataset.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harvest/preset.h"
#include "harvest/rows.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/base/str.h"
#include "lib/text/files.h"

/* --- 1. names ----------------------------------------------------------------------------- */

enum sae_status harvest_dataset_name(char **ret, const char *source, struct sae_err *err)
{
    static const char *const suffixes[] = {".gz",    ".zst",    ".csv",  ".tsv",
                                           ".jsonl", ".ndjson", ".json", ".parquet"};
    const struct harvest_preset *preset;
    const char *path;
    char *name = NULL;
    SAE_TRY(harvest_preset_parse(&preset, &path, source, err));
    if (preset != NULL)
        return sae_mem_strdup(ret, preset->name, err);
    SAE_TRY(sae_mem_strdup(&name, path, err));
    for (size_t n = strlen(name); n > 1 && name[n - 1] == '/'; n--)
        name[n - 1] = '\0'; /* a folder */
    memmove(name, sae_fs_base(name), strlen(sae_fs_base(name)) + 1);
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

static bool begins(const char *path, const char *word)
{
    return strncmp(sae_fs_base(path), word, strlen(word)) == 0;
}

/* Do the names of a folder's files give the split? */
static bool is_split(const struct sae_files *files)
{
    bool train = false, test = false;
    for (size_t i = 0; i < files->n; i++) {
        train |= begins(files->v[i].path, "train");
        test |= begins(files->v[i].path, "test");
    }
    return train && test;
}

static enum sae_status read_files(struct harvest_dataset *set, struct harvest_rows *rows,
                                  const struct sae_files *files, struct sae_err *err)
{
    const bool split = is_split(files);
    for (size_t i = 0; i < files->n; i++) {
        rows->path = files->v[i].path;
        if (split && (begins(rows->path, "dev") || begins(rows->path, "valid")))
            continue;
        rows->split = !split ? NULL : begins(rows->path, "train") ? "train" : "test";
        if (split && !begins(rows->path, rows->split))
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' is beside files named train* and test*: is it of either? "
                               "rename it, or take it away",
                               rows->path);
        SAE_TRY(harvest_rows_read(rows, err));
    }
    set->split_given |= split;
    return SAE_OK;
}

/* At least one row, and a word where a class of the preset has none. */
static enum sae_status check_preset(const struct harvest_dataset *set,
                                    const struct harvest_rows *rows, const char *path,
                                    struct sae_err *err)
{
    char classes[300] = "";
    size_t len = 0;
    for (size_t c = 0; rows->preset->classes[c].key != NULL; c++) {
        const struct harvest_name *name = &rows->preset->classes[c];
        len += (size_t)snprintf(classes + len, sizeof classes - len, "%s%s %s", c > 0 ? ", " : "",
                                name->key, name->name);
        if (set->n_taken[c] == 0 && set->n > 0)
            sae_log_warn("'%s': no text of class %s (%s)", path, name->key, name->name);
    }
    if (set->n > 0)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT, "'%s': none of %zu rows is taken for %s, whose %ss are %s%s%s%s",
                       path, set->n_rows, rows->preset->name,
                       rows->preset->label != NULL ? rows->preset->label : "language", classes,
                       rows->strange[0] != '\0' ? "; the first is of '" : "", rows->strange,
                       rows->strange[0] != '\0' ? "'" : "");
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

enum sae_status harvest_dataset_load(struct harvest_dataset *ret, const char *source,
                                     const struct harvest_columns *columns, struct sae_err *err)
{
    struct harvest_dataset set = {0};
    struct harvest_rows rows = {.set = &set, .columns = columns};
    struct sae_files files = {0};
    const char *path;
    enum sae_status st;
    SAE_GO(st, columns->name != NULL ? sae_mem_strdup(&set.name, columns->name, err)
                                     : harvest_dataset_name(&set.name, source, err));
    SAE_GO(st, harvest_preset_parse(&rows.preset, &path, source, err));
    SAE_GO(st, sae_files_add(&files, path, err));
    SAE_GO(st, sae_files_sort_out(&files, NULL, err));
    SAE_GO(st, read_files(&set, &rows, &files, err));
    if (rows.preset != NULL)
        SAE_GO(st, check_preset(&set, &rows, path, err));
    set.balanced = rows.preset != NULL && rows.preset->attribute != NULL;
    SAE_GO(st, find_classes(&set, err));
    SAE_GO(st, find_attributes(&set, err));
    if (set.n_empty > 0)
        sae_log_warn("'%s': %zu texts are empty and left out", path, set.n_empty);
    if (set.left.n > 1)
        sae_log_warn("'%s': %" PRIu64 " of %" PRIu64 " rows are left out; the first: %s", path,
                     set.left.n, set.left.n + set.n_rows, set.left.first);
    if (set.n_classes < (columns->one_class ? 1 : 2)) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' has %zu text%s of %zu class%s; probing needs two "
                         "classes or more",
                         path, set.n, set.n == 1 ? "" : "s", set.n_classes,
                         set.n_classes == 1 ? "" : "es");
        goto done;
    }
    *ret = set;
    set = (struct harvest_dataset){0};
done:
    sae_files_clear(&files);
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

/* Limits under which a class of a balanced set has equally many texts of each attribute: its share,
 * or what the smallest attribute has. */
static struct harvest_draw balance(const struct harvest_dataset *set, size_t c,
                                   const struct harvest_draw *draw)
{
    struct harvest_draw even = *draw;
    even.max_train /= set->n_attributes;
    even.max_test /= set->n_attributes;
    for (size_t value = 0; value < set->n_attributes; value++) {
        size_t n[2] = {0, 0};
        for (size_t i = 0; i < set->n; i++)
            if (set->v[i].class == c && set->v[i].value == value)
                n[set->v[i].split == 1]++;
        const size_t n_test = set->split_given ? n[1] : n[0] / 5, n_train = n[0] + n[1] - n_test;
        even.max_train = n_train < even.max_train ? n_train : even.max_train;
        even.max_test = n_test < even.max_test ? n_test : even.max_test;
    }
    return even;
}

static void draw_class(struct harvest_dataset *set, size_t c, const struct harvest_draw *limits,
                       struct sae_rng *rng, uint32_t *index)
{
    const struct harvest_draw even = set->balanced ? balance(set, c, limits) : *limits;
    const struct harvest_draw *draw = &even;
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

static void warn_small(const struct harvest_dataset *set, const struct harvest_class *class,
                       const struct harvest_draw *draw)
{
    const size_t test = draw->min_texts / 5;
    if (class->n_found < draw->min_texts)
        sae_log_warn("%s: class '%s' is left out: %zu texts, at least %zu are needed "
                     "(--min-per-class)",
                     set->name, class->name, class->n_found, draw->min_texts);
    else
        sae_log_warn("%s: class '%s' is left out: the split gives it %zu texts to train on and %zu "
                     "to test on, at least %zu and %zu are needed (--min-per-class)",
                     set->name, class->name, class->n_train, class->n_test,
                     draw->min_texts - test, test > 0 ? test : 1);
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
        warn_small(set, class, draw);
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
