/* SPDX-License-Identifier: MIT */
/* labels : labelled texts through the model.
 *
 * Texts are run sorted by length, so that a batch needs little padding; the padding is on the
 * right, where the causal model cannot see it from the tokens that are kept. */
#include "harvest/labels.h"

#include <stdio.h>
#include <string.h>

#include "harvest/origin.h"
#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "lib/cli/progress.h"
#include "lib/file/json.h"
#include "lib/file/sets.h"

struct work {
    struct harvest_tap *tap;
    const struct harvest_labels_settings *set;
    struct harvest_dataset data;
    uint32_t **ids;  /* [n_texts] BOS first, truncated */
    size_t *n_ids;   /* [n_texts] */
    uint32_t *order; /* [n_texts] by length */
    uint32_t *batch; /* tokens of one pass */
    uint64_t *start; /* [n_texts + 1] */
    uint16_t *rows;  /* [start[n_texts]][d] */
    size_t n_truncated;
    struct sae_progress bar;
};

enum sae_status harvest_labels_path(char **ret, const char *dir, const char *source,
                                    struct sae_err *err)
{
    char *name = NULL;
    struct sae_str file = {0};
    enum sae_status st;
    SAE_GO(st, harvest_dataset_name(&name, source, err));
    SAE_GO(st, sae_str_printf(&file, err, "labels_%s.h5", name));
    SAE_GO(st, sae_fs_join(ret, dir, file.s, err));
done:
    free(name);
    sae_str_clear(&file);
    return st;
}

static enum sae_status stopped(const struct work *w, struct sae_err *err)
{
    return sae_err_set(err, SAE_EINTR, "stopped; sets that were finished are kept in '%s'",
                       w->set->dir);
}

/* --- tokens ------------------------------------------------------------------------------- */

static size_t kept_tokens(const struct work *w, size_t t)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_ids[t]; i++)
        n += !harvest_tap_is_special(w->tap, w->ids[t][i]);
    return n;
}

static enum sae_status tokenize(struct work *w, size_t t, struct sae_err *err)
{
    uint32_t *ids = NULL;
    size_t kept = 0;
    bool all;
    const struct harvest_text *text = &w->data.v[t];
    SAE_TRY(sae_tok_encode_first(w->tap->tok, text->text, text->len, w->set->context - 1, &ids,
                                 &kept, &all, err));
    w->n_truncated += !all;
    const enum sae_status st = sae_mem_alloc(&w->ids[t], kept + 1, sizeof **w->ids, err);
    if (st == SAE_OK) {
        w->ids[t][0] = w->tap->config->bos;
        memcpy(w->ids[t] + 1, ids, kept * sizeof *ids);
        w->n_ids[t] = kept + 1;
    }
    free(ids);
    return st;
}

/* Insertion by counting: stable, so that the order depends on lengths and places alone. */
static enum sae_status sort_by_length(struct work *w, struct sae_err *err)
{
    size_t *first = NULL;
    SAE_TRY(sae_mem_alloc(&first, w->set->context + 2, sizeof *first, err));
    for (size_t t = 0; t < w->data.n; t++)
        first[w->n_ids[t] + 1]++;
    for (size_t l = 1; l < w->set->context + 2; l++)
        first[l] += first[l - 1];
    for (size_t t = 0; t < w->data.n; t++)
        w->order[first[w->n_ids[t]]++] = (uint32_t)t;
    free(first);
    return SAE_OK;
}

static enum sae_status tokenize_all(struct work *w, struct sae_err *err)
{
    const size_t n = w->data.n;
    SAE_TRY(sae_mem_alloc(&w->ids, n, sizeof *w->ids, err));
    SAE_TRY(sae_mem_alloc(&w->n_ids, n, sizeof *w->n_ids, err));
    SAE_TRY(sae_mem_alloc(&w->order, n, sizeof *w->order, err));
    SAE_TRY(sae_mem_alloc(&w->start, n + 1, sizeof *w->start, err));
    for (size_t t = 0; t < n; t++) {
        if (sae_stop_asked())
            return stopped(w, err);
        SAE_TRY(tokenize(w, t, err));
        const size_t kept = kept_tokens(w, t);
        if (kept == 0)
            return sae_err_set(err, SAE_EFORMAT, "%s: a text of class '%s' has no tokens: '%.60s'",
                               w->data.name, w->data.v[t].label, w->data.v[t].text);
        w->start[t + 1] = w->start[t] + kept;
    }
    return sort_by_length(w, err);
}

static enum sae_status prepare(struct work *w, struct sae_err *err)
{
    const size_t n_batch = w->set->batch * w->set->context;
    SAE_TRY(harvest_tap_reserve(w->tap, n_batch, w->set->context, err));
    SAE_TRY(sae_mem_alloc(&w->batch, n_batch, sizeof *w->batch, err));
    SAE_TRY(tokenize_all(w, err));
    return sae_mem_alloc(&w->rows, (size_t)w->start[w->data.n] * w->tap->d, sizeof *w->rows, err);
}

/* --- batches ------------------------------------------------------------------------------ */

static void store_text(struct work *w, size_t t, const float *x)
{
    const size_t d = w->tap->d;
    uint16_t *row = w->rows + (size_t)w->start[t] * d;
    for (size_t i = 0; i < w->n_ids[t]; i++) {
        if (harvest_tap_is_special(w->tap, w->ids[t][i]))
            continue;
        sae_bf16_narrow(row, x + i * d, d);
        row += d;
    }
}

/* Texts order[first ...) that fit into one pass; the last is the longest. */
static size_t batch_size(const struct work *w, size_t first)
{
    const size_t capacity = w->set->batch * w->set->context;
    size_t n = 1;
    while (first + n < w->data.n && (n + 1) * w->n_ids[w->order[first + n]] <= capacity)
        n++;
    return n;
}

static enum sae_status run_batch(struct work *w, size_t first, size_t n, struct sae_err *err)
{
    const size_t T = w->n_ids[w->order[first + n - 1]];
    for (size_t b = 0; b < n; b++) {
        const size_t t = w->order[first + b];
        for (size_t i = 0; i < T; i++)
            w->batch[b * T + i] = i < w->n_ids[t] ? w->ids[t][i] : w->tap->config->pad;
    }
    const enum sae_status st = harvest_tap_rows(w->tap, w->batch, n, T, err);
    if (st == SAE_EINTR)
        return stopped(w, err);
    SAE_TRY(st);
    for (size_t b = 0; b < n; b++)
        store_text(w, w->order[first + b], w->tap->x + b * T * w->tap->d);
    return SAE_OK;
}

static enum sae_status run_all(struct work *w, struct sae_err *err)
{
    sae_progress_begin(&w->bar, w->data.name, "texts", 0, w->data.n);
    for (size_t at = 0; at < w->data.n;) {
        if (sae_stop_asked())
            return stopped(w, err);
        const size_t n = batch_size(w, at);
        SAE_TRY(run_batch(w, at, n, err));
        at += n;
        sae_progress_step(&w->bar, at, NULL);
    }
    sae_progress_end(&w->bar);
    return SAE_OK;
}

/* --- the set ------------------------------------------------------------------------------ */

static json_t *totals_of(const struct work *w)
{
    json_t *classes = json_object();
    for (size_t c = 0; c < w->data.n_classes; c++) {
        const struct harvest_class *class = &w->data.classes[c];
        json_object_set_new(classes, class->name,
                            json_pack("{s:I, s:I, s:I}", "found", (json_int_t) class->n_found,
                                      "train", (json_int_t) class->n_train, "test",
                                      (json_int_t) class->n_test));
    }
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:s}", "classes", classes, "rows",
                     (json_int_t)w->start[w->data.n], "truncated", (json_int_t)w->n_truncated,
                     "empty", (json_int_t)w->data.n_empty, "rows_left_out",
                     (json_int_t)w->data.left.n, "replaced", (json_int_t)w->data.left.n_replaced,
                     "split",
                     w->data.split_given ? "given" : "drawn");
}

static enum sae_status save(const struct work *w, const char *path, const json_t *record,
                            struct sae_err *err)
{
    const struct harvest_dataset *data = &w->data;
    struct sae_labels labels = {.n_texts = data->n,
                                .n_rows = (size_t)w->start[data->n],
                                .d = w->tap->d,
                                .n_classes = data->n_classes,
                                .start = w->start};
    json_t *with_totals = json_copy((json_t *)record);
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&labels.label, data->n, sizeof *labels.label, err));
    SAE_GO(st, sae_mem_alloc(&labels.split, data->n, sizeof *labels.split, err));
    SAE_GO(st, sae_mem_alloc(&labels.classes, data->n_classes, sizeof *labels.classes, err));
    if (data->n_attributes > 0)
        SAE_GO(st, sae_mem_alloc(&labels.attribute, data->n, sizeof *labels.attribute, err));
    labels.n_attributes = data->n_attributes;
    labels.attributes = data->attributes;
    for (size_t t = 0; t < data->n; t++) {
        if (labels.attribute != NULL)
            labels.attribute[t] = data->v[t].value;
        labels.label[t] = data->v[t].class;
        labels.split[t] = data->v[t].split;
    }
    for (size_t c = 0; c < data->n_classes; c++)
        labels.classes[c] = data->classes[c].name;
    if (json_object_set_new(with_totals, "totals", totals_of(w)) != 0) {
        st = sae_err_set(err, SAE_ENOMEM, "out of memory (record)");
        goto done;
    }
    SAE_GO(st, sae_labels_save(path, &labels, w->rows, with_totals, w->set->force, err));
done:
    free(labels.label);
    free(labels.split);
    free(labels.classes);
    free(labels.attribute);
    json_decref(with_totals);
    return st;
}

static void read_totals(struct harvest_labels_totals *ret, const json_t *record)
{
    const char *name;
    json_t *class;
    json_t *classes = sae_json_at(record, "totals.classes");
    ret->n_classes = json_object_size(classes);
    ret->n_rows = (size_t)sae_json_u64(record, "totals.rows", 0);
    ret->n_truncated = (size_t)sae_json_u64(record, "totals.truncated", 0);
    json_object_foreach(classes, name, class)
    {
        ret->n_train += (size_t)sae_json_u64(class, "train", 0);
        ret->n_test += (size_t)sae_json_u64(class, "test", 0);
    }
    ret->found = true;
}

/* A set that is there already, and equal, answers by itself. */
static enum sae_status find_made(const char *path, const json_t *record, bool force,
                                 struct harvest_labels_totals *ret, struct sae_err *err)
{
    if (force || !sae_fs_is_file(path))
        return SAE_OK;
    json_t *old = NULL;
    SAE_TRY(harvest_origin_read(&old, path, err));
    const enum sae_status st = harvest_origin_check(old, record, path, err);
    if (st == SAE_OK)
        read_totals(ret, old);
    json_decref(old);
    return st;
}

static void work_clear(struct work *w)
{
    for (size_t t = 0; w->ids != NULL && t < w->data.n; t++)
        free(w->ids[t]);
    free(w->ids);
    free(w->n_ids);
    free(w->order);
    free(w->batch);
    free(w->start);
    free(w->rows);
    harvest_dataset_clear(&w->data);
}

enum sae_status harvest_labels_write(struct harvest_tap *tap, const char *source,
                                     const struct harvest_labels_settings *settings,
                                     const json_t *record, struct harvest_labels_totals *ret,
                                     struct sae_err *err)
{
    struct work w = {.tap = tap, .set = settings};
    struct harvest_labels_totals totals = {0};
    char *path = NULL;
    enum sae_status st;
    SAE_GO(st, harvest_labels_path(&path, settings->dir, source, err));
    SAE_GO(st, sae_fs_make_dirs(settings->dir, err));
    SAE_GO(st, find_made(path, record, settings->force, &totals, err));
    if (!totals.found) {
        SAE_GO(st, harvest_dataset_load(&w.data, source, &settings->columns, err));
        SAE_GO(st, harvest_dataset_draw(&w.data, &settings->draw, err));
        SAE_GO(st, prepare(&w, err));
        SAE_GO(st, run_all(&w, err));
        SAE_GO(st, harvest_tap_check_lock(tap, err));
        SAE_GO(st, save(&w, path, record, err));
        totals.n_classes = w.data.n_classes;
        totals.n_rows = (size_t)w.start[w.data.n];
        totals.n_truncated = w.n_truncated;
        for (size_t c = 0; c < w.data.n_classes; c++) {
            totals.n_train += w.data.classes[c].n_train;
            totals.n_test += w.data.classes[c].n_test;
        }
    }
    snprintf(totals.name, sizeof totals.name, "%s", sae_fs_base(path) + 7 /* "labels_" */);
    totals.name[strlen(totals.name) - 3] = '\0';
    *ret = totals;
done:
    work_clear(&w);
    free(path);
    return st;
}

enum sae_status harvest_labels_measure(struct harvest_tap *tap, const char *source,
                                       const struct harvest_labels_settings *settings,
                                       struct harvest_labels_size *ret, struct sae_err *err)
{
    struct work w = {.tap = tap, .set = settings};
    struct harvest_labels_size size = {0};
    enum sae_status st;
    sae_host_memory_trim();
    const double before = sae_host_memory_held();
    SAE_GO(st, harvest_dataset_load(&w.data, source, &settings->columns, err));
    SAE_GO(st, harvest_dataset_draw(&w.data, &settings->draw, err));
    SAE_GO(st, tokenize_all(&w, err));
    size.n_texts = w.data.n;
    size.n_rows = (size_t)w.start[w.data.n];
    size.text_bytes = sae_host_memory_held() - before;
    for (size_t t = 0; t < w.data.n; t++)
        size.n_tokens += w.n_ids[t];
    *ret = size;
done:
    work_clear(&w);
    return st;
}
