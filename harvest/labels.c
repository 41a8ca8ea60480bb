/* SPDX-License-Identifier: MIT */
/* labels : labelled texts through the model, all their tokens kept. */
#include "harvest/labels.h"

#include <stdio.h>
#include <string.h>

#include "harvest/origin.h"
#include "harvest/texts.h"
#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/host.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/json.h"
#include "lib/file/sets.h"

struct work {
    size_t n;                  /* taps; the token ids are those of the first */
    struct harvest_tap **taps; /* [n] */
    const char *dir;           /* of the first */
    const struct harvest_labels_settings *set;
    struct harvest_dataset data;
    struct harvest_texts texts;
    uint64_t *start; /* [n_texts + 1] */
    uint16_t **rows; /* [n], each [start[n_texts]][d] */
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

/* --- rows --------------------------------------------------------------------------------- */

/* Tokens of each text, and the rows that it will have: those of its tokens that are not special. */
static enum sae_status tokenize(struct work *w, struct sae_err *err)
{
    const size_t n = w->data.n;
    w->texts = (struct harvest_texts){.taps = w->taps,
                                      .n_taps = w->n,
                                      .name = w->data.name,
                                      .dir = w->dir,
                                      .context = w->set->context,
                                      .batch = w->set->batch};
    SAE_TRY(harvest_texts_read(&w->texts, w->data.v, n, err));
    SAE_TRY(sae_mem_alloc(&w->start, n + 1, sizeof *w->start, err));
    for (size_t t = 0; t < n; t++) {
        w->start[t + 1] = w->start[t];
        for (size_t i = 0; i < w->texts.n_ids[t]; i++)
            w->start[t + 1] += !harvest_tap_is_special(w->taps[0], w->texts.ids[t][i]);
    }
    return SAE_OK;
}

static void store_text(void *to, size_t tap, size_t t, const float *x)
{
    const struct work *const w = to;
    const size_t d = w->taps[tap]->d;
    uint16_t *row = w->rows[tap] + (size_t)w->start[t] * d;
    for (size_t i = 0; i < w->texts.n_ids[t]; i++) {
        if (harvest_tap_is_special(w->taps[0], w->texts.ids[t][i]))
            continue;
        sae_bf16_narrow(row, x + i * d, d);
        row += d;
    }
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
                     (json_int_t)w->start[w->data.n], "truncated", (json_int_t)w->texts.n_truncated,
                     "empty", (json_int_t)w->data.n_empty, "rows_left_out",
                     (json_int_t)w->data.left.n, "replaced", (json_int_t)w->data.left.n_replaced,
                     "split",
                     w->data.split_given ? "given" : "drawn");
}

static enum sae_status save(const struct work *w, size_t tap, const char *path,
                            const json_t *record, struct sae_err *err)
{
    const struct harvest_dataset *data = &w->data;
    struct sae_labels labels = {.n_texts = data->n,
                                .n_rows = (size_t)w->start[data->n],
                                .d = w->taps[tap]->d,
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
    SAE_GO(st, sae_labels_save(path, &labels, w->rows[tap], with_totals, w->set->force, err));
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
    harvest_texts_clear(&w->texts);
    for (size_t i = 0; w->rows != NULL && i < w->n; i++)
        free(w->rows[i]);
    free(w->rows);
    free(w->taps);
    free(w->start);
    harvest_dataset_clear(&w->data);
}

/* Texts, their tokens, and what comes out of them at every tap. */
static enum sae_status read_texts(struct work *w, const char *source, struct sae_err *err)
{
    SAE_TRY(harvest_dataset_load(&w->data, source, &w->set->columns, err));
    SAE_TRY(harvest_dataset_draw(&w->data, &w->set->draw, err));
    return tokenize(w, err);
}

static enum sae_status run_texts(struct work *w, struct sae_err *err)
{
    const size_t n = (size_t)w->start[w->data.n];
    SAE_TRY(sae_mem_alloc(&w->rows, w->n, sizeof *w->rows, err));
    for (size_t i = 0; i < w->n; i++)
        SAE_TRY(sae_mem_alloc(&w->rows[i], n * w->taps[i]->d, sizeof **w->rows, err));
    return harvest_texts_run(&w->texts, store_text, w, err);
}

static void set_totals(struct harvest_labels_totals *to, const struct work *w)
{
    to->n_classes = w->data.n_classes;
    to->n_rows = (size_t)w->start[w->data.n];
    to->n_truncated = w->texts.n_truncated;
    for (size_t c = 0; c < w->data.n_classes; c++) {
        to->n_train += w->data.classes[c].n_train;
        to->n_test += w->data.classes[c].n_test;
    }
}

/* Which sets are not there yet; the others' totals. */
static enum sae_status find_all(struct work *w, char **paths, const struct harvest_target *targets,
                                size_t n, const char *source, struct harvest_labels_totals *totals,
                                struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&w->taps, n, sizeof(struct harvest_tap *), err));
    for (size_t i = 0; i < n; i++) {
        SAE_TRY(harvest_labels_path(&paths[i], targets[i].dir, source, err));
        SAE_TRY(sae_fs_make_dirs(targets[i].dir, err));
        SAE_TRY(find_made(paths[i], targets[i].record, w->set->force, &totals[i], err));
        (void)snprintf(totals[i].name, sizeof totals[i].name, "%s",
                       sae_fs_base(paths[i]) + 7 /* "labels_" */);
        totals[i].name[strlen(totals[i].name) - 3] = '\0';
        if (!totals[i].found)
            w->taps[w->n++] = targets[i].tap;
    }
    return SAE_OK;
}

enum sae_status harvest_labels_write(const struct harvest_target *targets, size_t n,
                                     const char *source,
                                     const struct harvest_labels_settings *settings,
                                     struct harvest_labels_totals *ret, struct sae_err *err)
{
    struct work w = {.dir = targets[0].dir, .set = settings};
    char **paths = NULL;
    enum sae_status st;
    memset(ret, 0, n * sizeof *ret);
    SAE_GO(st, sae_mem_alloc(&paths, n, sizeof *paths, err));
    SAE_GO(st, find_all(&w, paths, targets, n, source, ret, err));
    if (w.n > 0) {
        SAE_GO(st, read_texts(&w, source, err));
        SAE_GO(st, run_texts(&w, err));
    }
    for (size_t i = 0, k = 0; i < n; i++) {
        if (ret[i].found)
            continue;
        SAE_GO(st, harvest_tap_check_lock(targets[i].tap, err));
        SAE_GO(st, save(&w, k++, paths[i], targets[i].record, err));
        set_totals(&ret[i], &w);
    }
done:
    work_clear(&w);
    for (size_t i = 0; paths != NULL && i < n; i++)
        free(paths[i]);
    free(paths);
    return st;
}

enum sae_status harvest_labels_measure(struct harvest_tap *tap, const char *source,
                                       const struct harvest_labels_settings *settings,
                                       struct harvest_labels_size *ret, struct sae_err *err)
{
    struct work w = {.n = 1, .dir = "", .set = settings};
    struct harvest_labels_size size = {0};
    enum sae_status st;
    sae_host_memory_trim();
    const double before = sae_host_memory_held();
    SAE_GO(st, sae_mem_alloc(&w.taps, 1, sizeof(struct harvest_tap *), err));
    w.taps[0] = tap;
    SAE_GO(st, read_texts(&w, source, err));
    size.n_texts = w.data.n;
    size.n_rows = (size_t)w.start[w.data.n];
    size.text_bytes = sae_host_memory_held() - before;
    for (size_t t = 0; t < w.data.n; t++)
        size.n_tokens += w.texts.n_ids[t];
    *ret = size;
done:
    work_clear(&w);
    return st;
}
