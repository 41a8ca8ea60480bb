/* SPDX-License-Identifier: MIT */
/* lasts : texts of sae-probes through the model, the last token of each kept.
 *
 * Contents:  1. one set   2. its record   3. all sets */
#include "harvest/lasts.h"

#include <stdio.h>
#include <string.h>

#include "harvest/dataset.h"
#include "harvest/origin.h"
#include "harvest/texts.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/cli/table.h"
#include "lib/file/json.h"
#include "lib/file/lasts.h"
#include "lib/text/files.h"

/* --- 1. one set --------------------------------------------------------------------------- */

struct work {
    struct harvest_tap *tap;
    struct harvest_dataset data;
    struct harvest_texts texts;
    struct sae_lasts lasts; /* borrows the classes of data */
};

struct totals {
    char *name;
    size_t n, n_positive, n_truncated;
    bool found, passed_over;
};

static void keep_last(void *to, size_t tap, size_t t, const float *x)
{
    (void)tap; /* there is one */
    struct work *const w = to;
    const size_t d = w->tap->d;
    memcpy(w->lasts.x + t * d, x + (w->texts.n_ids[t] - 1) * d, d * sizeof *x);
}

static enum sae_status fill(struct work *w, struct totals *totals, struct sae_err *err)
{
    struct sae_lasts *const l = &w->lasts;
    const size_t n = w->data.n < HARVEST_LASTS_TEXTS ? w->data.n : HARVEST_LASTS_TEXTS;
    *l = (struct sae_lasts){.n = n, .d = w->tap->d, .n_classes = w->data.n_classes};
    SAE_TRY(sae_mem_alloc(&l->x, n * l->d, sizeof *l->x, err));
    SAE_TRY(sae_mem_alloc(&l->label, n, sizeof *l->label, err));
    SAE_TRY(sae_mem_alloc(&l->classes, l->n_classes, sizeof *l->classes, err));
    for (size_t c = 0; c < l->n_classes; c++)
        l->classes[c] = w->data.classes[c].name;
    for (size_t t = 0; t < n; t++) {
        l->label[t] = (uint8_t)w->data.v[t].class;
        totals->n_positive += l->label[t];
    }
    SAE_TRY(harvest_texts_read(&w->texts, w->data.v, n, err));
    SAE_TRY(harvest_texts_run(&w->texts, keep_last, w, err));
    totals->n = n;
    totals->n_truncated = w->texts.n_truncated;
    return SAE_OK;
}

static void work_clear(struct work *w)
{
    free(w->lasts.x);
    free(w->lasts.label);
    free(w->lasts.classes);
    harvest_texts_clear(&w->texts);
    harvest_dataset_clear(&w->data);
}

static enum sae_status add_totals(json_t *record, const struct totals *t, struct sae_err *err)
{
    json_t *const totals =
        json_pack("{s:I, s:I, s:I}", "texts", (json_int_t)t->n, "positive",
                  (json_int_t)t->n_positive, "truncated", (json_int_t)t->n_truncated);
    return json_object_set_new(record, "totals", totals) == 0
               ? SAE_OK
               : sae_err_set(err, SAE_ENOMEM, "out of memory (record)");
}

/* A set that is there already, and equal, answers by itself. */
static enum sae_status find_made(const char *path, const json_t *record, bool force,
                                 struct totals *totals, struct sae_err *err)
{
    if (force || !sae_fs_is_file(path))
        return SAE_OK;
    json_t *old = NULL;
    SAE_TRY(harvest_origin_read(&old, path, err));
    const enum sae_status st = harvest_origin_check(old, record, path, err);
    if (st == SAE_OK) {
        totals->n = (size_t)sae_json_u64(old, "totals.texts", 0);
        totals->n_positive = (size_t)sae_json_u64(old, "totals.positive", 0);
        totals->n_truncated = (size_t)sae_json_u64(old, "totals.truncated", 0);
        totals->found = true;
    }
    json_decref(old);
    return st;
}

/* may_pass: the file was found in a folder, where there are others. */
static enum sae_status make_set(struct harvest_tap *tap, const char *source, bool may_pass,
                                const struct harvest_lasts_settings *s, json_t *record,
                                struct totals *totals, struct sae_err *err)
{
    const struct harvest_columns columns = {
        .text = "prompt", .label = "target", .name = totals->name, .one_class = true};
    struct work w = {.tap = tap};
    struct sae_str file = {0};
    char *path = NULL;
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&file, err, SAE_LASTS_PREFIX "%s.h5", totals->name));
    SAE_GO(st, sae_fs_join(&path, s->dir, file.s, err));
    SAE_GO(st, find_made(path, record, s->force, totals, err));
    if (totals->found)
        goto done;
    SAE_GO(st, harvest_dataset_load(&w.data, source, &columns, err));
    totals->passed_over = w.data.n_classes != 2 && may_pass;
    if (totals->passed_over)
        goto done;
    if (w.data.n_classes != 2) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' has %zu class%s; expected two", source,
                         w.data.n_classes, w.data.n_classes == 1 ? "" : "es");
        goto done;
    }
    w.texts = (struct harvest_texts){.taps = &w.tap,
                                     .n_taps = 1,
                                     .name = totals->name,
                                     .dir = s->dir,
                                     .context = s->context,
                                     .batch = s->batch,
                                     .keep_end = true};
    SAE_GO(st, fill(&w, totals, err));
    SAE_GO(st, harvest_tap_check_lock(tap, err));
    SAE_GO(st, add_totals(record, totals, err));
    SAE_GO(st, sae_lasts_save(path, &w.lasts, record, s->force, err));
done:
    work_clear(&w);
    sae_str_clear(&file);
    free(path);
    return st;
}

/* "151_it_tick_HR Support" of dir/151_it_tick_HR Support.csv.zst: up to the first dot, as there. */
static enum sae_status name_of(char **ret, const char *source, struct sae_err *err)
{
    const char *const base = sae_fs_base(source);
    const size_t n = strcspn(base, ".");
    bool is_plain = n > 0 && sae_utf8_is_valid(base, n);
    for (size_t i = 0; i < n; i++)
        is_plain = is_plain && (unsigned char)base[i] >= ' ' && base[i] != 0x7f;
    if (!is_plain)
        return sae_err_set(err, SAE_EARG,
                           "'%s': the file's name becomes the set's name; give it one of letters",
                           source);
    SAE_TRY(sae_mem_strdup(ret, base, err));
    (*ret)[n] = '\0';
    return SAE_OK;
}

/* --- 2. its record ------------------------------------------------------------------------ */

static enum sae_status make_record(json_t **ret, struct harvest_tap *tap, const char *source,
                                   const struct harvest_lasts_settings *s, struct sae_err *err)
{
    static const char *const options[] = {"sae-probes", "batch", NULL};
    struct sae_files files = {0};
    json_t *record = NULL;
    enum sae_status st;
    SAE_GO(st, sae_files_add(&files, source, err));
    SAE_GO(st, sae_files_hash(&files, NULL, NULL, err));
    SAE_GO(st, harvest_origin_make(&record, s->invocation, options, tap, s->context, s->dir, err));
    SAE_GO(st, harvest_origin_files(record, "labels", &files, err));
    if (json_object_set_new(json_object_get(record, "options"), "sae-probes",
                            json_string(source)) != 0 ||
        json_object_set_new(record, "pooling",
                            json_pack("{s:s, s:s, s:i}", "token", "last", "truncation", "left",
                                      "texts", HARVEST_LASTS_TEXTS)) != 0) {
        st = sae_err_set(err, SAE_ENOMEM, "out of memory (record)");
        goto done;
    }
    *ret = record;
    record = NULL;
done:
    json_decref(record);
    sae_files_clear(&files);
    return st;
}

/* --- 3. all sets -------------------------------------------------------------------------- */

static void report(const struct harvest_lasts_settings *s, struct sae_table *table,
                   const struct totals *t)
{
    if (s->answer) {
        json_array_append_new(
            json_object_get(s->answer, "sae_probes"),
            json_pack("{s:s, s:I, s:I, s:I, s:b}", "name", t->name, "texts", (json_int_t)t->n,
                      "positive", (json_int_t)t->n_positive, "truncated",
                      (json_int_t)t->n_truncated, "found", t->found));
        return;
    }
    sae_table_text(table, "%s%s", t->name, t->found ? " (made before)" : "");
    sae_table_count(table, (double)t->n);
    sae_table_count(table, (double)t->n_positive);
    sae_table_count(table, (double)t->n_truncated);
}

static enum sae_status make_one(struct harvest_tap *tap, const char *source, bool may_pass,
                                const struct harvest_lasts_settings *s, struct sae_table *table,
                                size_t *n_passed, struct sae_err *err)
{
    struct totals totals = {0};
    json_t *record = NULL;
    enum sae_status st;
    SAE_GO(st, name_of(&totals.name, source, err));
    SAE_GO(st, make_record(&record, tap, source, s, err));
    SAE_GO(st, make_set(tap, source, may_pass, s, record, &totals, err));
    if (totals.passed_over)
        *n_passed += 1;
    else
        report(s, table, &totals);
done:
    json_decref(record);
    free(totals.name);
    return st;
}

static enum sae_status make_all(struct harvest_tap *tap, const struct harvest_lasts_settings *s,
                                struct sae_table *table, struct sae_err *err)
{
    size_t n_passed = 0;
    for (size_t i = 0; i < s->sources->n; i++) {
        struct sae_files files = {0};
        const bool is_folder = sae_fs_is_dir(s->sources->v[i]);
        enum sae_status st = sae_files_add(&files, s->sources->v[i], err);
        for (size_t f = 0; f < files.n && st == SAE_OK; f++)
            st = make_one(tap, files.v[f].path, is_folder, s, table, &n_passed, err);
        sae_files_clear(&files);
        SAE_TRY(st);
    }
    if (n_passed > 0)
        sae_log_info("%zu file%s of one class, or of more than two, passed over", n_passed,
                     n_passed == 1 ? "" : "s");
    return SAE_OK;
}

enum sae_status harvest_lasts_write(struct harvest_tap *tap,
                                    const struct harvest_lasts_settings *settings,
                                    struct sae_err *err)
{
    static const char *const heads[] = {"set of sae-probes", "texts", "second class", "truncated"};
    struct sae_table *table = NULL;
    SAE_TRY(sae_fs_make_dirs(settings->dir, err));
    SAE_TRY(sae_table_make(&table, sizeof heads / sizeof *heads, heads, err));
    if (settings->answer)
        json_object_set_new(settings->answer, "sae_probes", json_array());
    enum sae_status st = make_all(tap, settings, table, err);
    if (st == SAE_OK && !settings->answer)
        st = sae_table_print(table, stdout, 0, err);
    sae_table_free(table);
    return st;
}
