/* SPDX-License-Identifier: MIT */
/* sets : labelled sets and first-letter word sets.
 *
 * Contents:  1. labelled sets   2. word sets */
#include "lib/file/sets.h"

#include <math.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "lib/file/record.h"

/* --- 1. labelled sets --------------------------------------------------------------------- */

/* "a/labels_section.h5" -> "section". */
static enum sae_status name_of(char **ret, const char *path, struct sae_err *err)
{
    const char *base = sae_fs_base(path);
    if (strncmp(base, "labels_", 7) == 0)
        base += 7;
    char *name = NULL;
    SAE_TRY(sae_mem_strdup(&name, base, err));
    if (sae_str_ends(name, ".h5"))
        name[strlen(name) - 3] = '\0';
    *ret = name;
    return SAE_OK;
}

/* What must hold of every set, whether it comes from a caller or from a file. */
static enum sae_status check_labels(const struct sae_labels *labels, const char *path,
                                    struct sae_err *err)
{
    if (labels->n_texts == 0 || labels->d == 0 || labels->n_classes == 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': %zu texts of width %zu in %zu classes; "
                           "a labelled set needs at least one of each",
                           path, labels->n_texts, labels->d, labels->n_classes);
    if (labels->start[0] != 0 || labels->start[labels->n_texts] != labels->n_rows)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': /start runs from %llu to %llu, expected 0 to "
                           "%zu rows",
                           path, (unsigned long long)labels->start[0],
                           (unsigned long long)labels->start[labels->n_texts], labels->n_rows);
    for (size_t t = 0; t < labels->n_texts; t++) {
        if (labels->start[t + 1] <= labels->start[t] || labels->start[t + 1] > labels->n_rows)
            return sae_err_set(err, SAE_EFORMAT, "'%s': text %zu has no rows", path, t);
        if (labels->label[t] >= labels->n_classes)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s': text %zu has label %u, but there are %zu "
                               "classes",
                               path, t, labels->label[t], labels->n_classes);
        if (labels->split[t] > 1)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s': text %zu has split %u, expected 0 (train) "
                               "or 1 (test)",
                               path, t, labels->split[t]);
        if (labels->n_attributes > 0 && labels->attribute[t] >= labels->n_attributes)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s': text %zu has attribute %u, but there are %zu attributes",
                               path, t, labels->attribute[t], labels->n_attributes);
    }
    return SAE_OK;
}

static enum sae_status check_finite(const float *x, size_t rows, size_t d, const char *what,
                                    const char *path, struct sae_err *err)
{
    for (size_t i = 0; i < rows * d; i++)
        if (!isfinite(x[i]))
            return sae_err_set(err, SAE_EFORMAT, "'%s': %s row %zu holds NaN or infinity", path,
                               what, i / d);
    return SAE_OK;
}

static enum sae_status read_labels(struct sae_labels *l, const char *path, struct sae_err *err)
{
    size_t dims[2];
    SAE_TRY(sae_h5_shape(l->file, "/rows", 2, dims, err));
    l->n_rows = dims[0];
    l->d = dims[1];
    SAE_TRY(sae_h5_shape(l->file, "/label", 1, &l->n_texts, err));
    const size_t starts = l->n_texts + 1, want[2] = {l->n_texts, l->d};
    SAE_TRY(sae_h5_get(l->file, "/pooled", SAE_H5_F32, 2, want, NULL, &l->pooled, err));
    SAE_TRY(sae_h5_get(l->file, "/start", SAE_H5_U64, 1, &starts, NULL, &l->start, err));
    SAE_TRY(sae_h5_get(l->file, "/label", SAE_H5_U32, 1, want, NULL, &l->label, err));
    SAE_TRY(sae_h5_get(l->file, "/split", SAE_H5_U8, 1, want, NULL, &l->split, err));
    SAE_TRY(sae_h5_get_strings(l->file, "/classes", &l->n_classes, &l->classes, err));
    if (sae_h5_has(l->file, "/attribute")) {
        SAE_TRY(sae_h5_get(l->file, "/attribute", SAE_H5_U32, 1, want, NULL, &l->attribute, err));
        SAE_TRY(sae_h5_get_strings(l->file, "/attributes", &l->n_attributes, &l->attributes, err));
    }
    SAE_TRY(check_labels(l, path, err));
    SAE_TRY(check_finite(l->pooled, l->n_texts, l->d, "/pooled", path, err));
    SAE_TRY(sae_json_parse(&l->record, sae_h5_record(l->file), path, err));
    memcpy(l->id, sae_h5_id(l->file), sizeof l->id);
    return SAE_OK;
}

enum sae_status sae_labels_open(struct sae_labels *ret, const char *path, struct sae_err *err)
{
    struct sae_labels l = {0};
    enum sae_status st;
    SAE_GO(st, name_of(&l.name, path, err));
    SAE_GO(st, sae_h5_open(&l.file, path, "labels", err));
    SAE_GO(st, read_labels(&l, path, err));
    *ret = l;
    return SAE_OK;
done:
    sae_labels_close(&l);
    return st;
}

enum sae_status sae_labels_rows(struct sae_labels *labels, size_t first, size_t n, float *x,
                                struct sae_err *err)
{
    if (first > labels->n_rows || n > labels->n_rows - first)
        return sae_err_set(err, SAE_ERANGE, "'%s': rows %zu to %zu asked, but there are %zu",
                           sae_h5_path(labels->file), first, first + n, labels->n_rows);
    uint16_t *bits = NULL;
    SAE_TRY(sae_mem_alloc(&bits, n * labels->d, sizeof *bits, err));
    const enum sae_status st =
        sae_h5_read_rows(labels->file, "/rows", SAE_H5_BF16, first, n, bits, err);
    if (st == SAE_OK)
        sae_bf16_widen(x, bits, n * labels->d);
    free(bits);
    return st;
}

void sae_labels_close(struct sae_labels *labels)
{
    free(labels->name);
    free(labels->pooled);
    free(labels->start);
    free(labels->label);
    free(labels->split);
    sae_h5_strings_free(labels->classes, labels->n_classes);
    free(labels->attribute);
    sae_h5_strings_free(labels->attributes, labels->n_attributes);
    json_decref(labels->record);
    sae_h5_close(labels->file);
    *labels = (struct sae_labels){0};
}

/* pooled[t] = mean over the text's rows; summed in double, in row order. */
static enum sae_status pool_rows(float **ret, const struct sae_labels *labels, const uint16_t *rows,
                                 struct sae_err *err)
{
    const size_t d = labels->d;
    float *pooled = NULL;
    double *sum = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&pooled, labels->n_texts * d, sizeof *pooled, err));
    SAE_GO(st, sae_mem_alloc(&sum, d, sizeof *sum, err));
    for (size_t t = 0; t < labels->n_texts; t++) {
        const size_t first = (size_t)labels->start[t], last = (size_t)labels->start[t + 1];
        memset(sum, 0, d * sizeof *sum);
        for (size_t r = first; r < last; r++)
            for (size_t j = 0; j < d; j++)
                sum[j] += (double)sae_bf16_to_f32(rows[r * d + j]);
        for (size_t j = 0; j < d; j++)
            pooled[t * d + j] = (float)(sum[j] / (double)(last - first));
    }
    *ret = pooled;
    pooled = NULL;
done:
    free(pooled);
    free(sum);
    return st;
}

static enum sae_status put_labels(struct sae_h5 *h5, const struct sae_labels *l,
                                  const uint16_t *rows, const float *pooled, struct sae_err *err)
{
    SAE_TRY(sae_h5_put2(h5, "/rows", SAE_H5_BF16, l->n_rows, l->d, rows, err));
    SAE_TRY(sae_h5_put2(h5, "/pooled", SAE_H5_F32, l->n_texts, l->d, pooled, err));
    SAE_TRY(sae_h5_put1(h5, "/start", SAE_H5_U64, l->n_texts + 1, l->start, err));
    SAE_TRY(sae_h5_put1(h5, "/label", SAE_H5_U32, l->n_texts, l->label, err));
    SAE_TRY(sae_h5_put1(h5, "/split", SAE_H5_U8, l->n_texts, l->split, err));
    SAE_TRY(sae_h5_put_strings(h5, "/classes", l->n_classes, l->classes, err));
    if (l->n_attributes == 0)
        return SAE_OK;
    SAE_TRY(sae_h5_put1(h5, "/attribute", SAE_H5_U32, l->n_texts, l->attribute, err));
    return sae_h5_put_strings(h5, "/attributes", l->n_attributes, l->attributes, err);
}

enum sae_status sae_labels_save(const char *path, const struct sae_labels *labels,
                                const uint16_t *rows, const json_t *record, bool force,
                                struct sae_err *err)
{
    struct sae_h5 *h5 = NULL;
    float *pooled = NULL;
    char *text = NULL;
    enum sae_status st;
    SAE_GO(st, check_labels(labels, path, err));
    SAE_GO(st, pool_rows(&pooled, labels, rows, err));
    SAE_GO(st, check_finite(pooled, labels->n_texts, labels->d, "/pooled", path, err));
    SAE_GO(st, sae_record_text(&text, record, err));
    SAE_GO(st, sae_h5_create(&h5, path, "labels", force, err));
    SAE_GO(st, put_labels(h5, labels, rows, pooled, err));
    SAE_GO(st, sae_h5_commit(&h5, text, err));
done:
    sae_h5_close(h5);
    free(pooled);
    free(text);
    return st;
}

/* --- 2. word sets ------------------------------------------------------------------------- */

static enum sae_status check_words(const struct sae_words *words, const char *path,
                                   struct sae_err *err)
{
    if (words->n == 0 || words->d == 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': %zu words of width %zu; a word set needs at "
                           "least one",
                           path, words->n, words->d);
    for (size_t i = 0; i < words->n; i++)
        if (words->letter[i] > 25 || words->split[i] > 1 || words->correct[i] > 1)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s': word %zu has letter %u, split %u, correct "
                               "%u; expected 0..25, 0 or 1, 0 or 1",
                               path, i, words->letter[i], words->split[i], words->correct[i]);
    SAE_TRY(check_finite(words->probe, words->n, words->d, "/probe", path, err));
    return check_finite(words->eval, words->n, words->d, "/eval", path, err);
}

static enum sae_status read_words(struct sae_words *w, const struct sae_h5 *h5, const char *path,
                                  struct sae_err *err)
{
    size_t dims[2];
    SAE_TRY(sae_h5_shape(h5, "/probe", 2, dims, err));
    w->d = dims[1];
    SAE_TRY(sae_h5_get_strings(h5, "/words", &w->n, &w->words, err));
    const size_t want[2] = {w->n, w->d};
    SAE_TRY(sae_h5_get(h5, "/token", SAE_H5_U32, 1, want, NULL, &w->token, err));
    SAE_TRY(sae_h5_get(h5, "/letter", SAE_H5_U8, 1, want, NULL, &w->letter, err));
    SAE_TRY(sae_h5_get(h5, "/split", SAE_H5_U8, 1, want, NULL, &w->split, err));
    SAE_TRY(sae_h5_get(h5, "/correct", SAE_H5_U8, 1, want, NULL, &w->correct, err));
    SAE_TRY(sae_h5_get(h5, "/probe", SAE_H5_F32, 2, want, NULL, &w->probe, err));
    SAE_TRY(sae_h5_get(h5, "/eval", SAE_H5_F32, 2, want, NULL, &w->eval, err));
    SAE_TRY(check_words(w, path, err));
    SAE_TRY(sae_json_parse(&w->record, sae_h5_record(h5), path, err));
    memcpy(w->id, sae_h5_id(h5), sizeof w->id);
    return SAE_OK;
}

enum sae_status sae_words_load(struct sae_words *ret, const char *path, struct sae_err *err)
{
    struct sae_words w = {0};
    struct sae_h5 *h5 = NULL;
    SAE_TRY(sae_h5_open(&h5, path, "words", err));
    const enum sae_status st = read_words(&w, h5, path, err);
    sae_h5_close(h5);
    if (st != SAE_OK) {
        sae_words_clear(&w);
        return st;
    }
    *ret = w;
    return SAE_OK;
}

void sae_words_clear(struct sae_words *words)
{
    sae_h5_strings_free(words->words, words->n);
    free(words->token);
    free(words->letter);
    free(words->split);
    free(words->correct);
    free(words->probe);
    free(words->eval);
    json_decref(words->record);
    *words = (struct sae_words){0};
}

static enum sae_status put_words(struct sae_h5 *h5, const struct sae_words *w, struct sae_err *err)
{
    SAE_TRY(sae_h5_put_strings(h5, "/words", w->n, w->words, err));
    SAE_TRY(sae_h5_put1(h5, "/token", SAE_H5_U32, w->n, w->token, err));
    SAE_TRY(sae_h5_put1(h5, "/letter", SAE_H5_U8, w->n, w->letter, err));
    SAE_TRY(sae_h5_put1(h5, "/split", SAE_H5_U8, w->n, w->split, err));
    SAE_TRY(sae_h5_put1(h5, "/correct", SAE_H5_U8, w->n, w->correct, err));
    SAE_TRY(sae_h5_put2(h5, "/probe", SAE_H5_F32, w->n, w->d, w->probe, err));
    return sae_h5_put2(h5, "/eval", SAE_H5_F32, w->n, w->d, w->eval, err);
}

enum sae_status sae_words_save(const char *path, const struct sae_words *words,
                               const json_t *record, bool force, struct sae_err *err)
{
    struct sae_h5 *h5 = NULL;
    char *text = NULL;
    enum sae_status st;
    SAE_GO(st, check_words(words, path, err));
    SAE_GO(st, sae_record_text(&text, record, err));
    SAE_GO(st, sae_h5_create(&h5, path, "words", force, err));
    SAE_GO(st, put_words(h5, words, err));
    SAE_GO(st, sae_h5_commit(&h5, text, err));
done:
    sae_h5_close(h5);
    free(text);
    return st;
}
