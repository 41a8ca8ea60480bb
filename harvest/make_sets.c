/* SPDX-License-Identifier: MIT */
/* make_sets : labelled sets, last tokens of labelled texts, and the word set. */
#include <stdio.h>
#include <stdlib.h>

#include "harvest/command.h"
#include "harvest/lasts.h"
#include "harvest/origin.h"
#include "harvest/preset.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"

/* Options that decide the bytes of each. */
static const char *const of_labels[] = {"labels",
                                        "text-column",
                                        "label-column",
                                        "attribute-column",
                                        "split-column",
                                        "max-train-per-class",
                                        "max-test-per-class",
                                        "min-per-class",
                                        "context",
                                        "batch",
                                        "seed",
                                        NULL};
static const char *const of_words[] = {"max-words", "spaced-only", "context",
                                       "batch",     "seed",        NULL};

/* Where what is made at each site goes; its record has these options. */
static enum sae_status make_targets(struct harvest_target **ret, const struct harvest *h,
                                    const char *const *named, struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(ret, h->sites.n, sizeof **ret, err));
    for (size_t i = 0; i < h->sites.n; i++) {
        struct harvest_site *const site = &h->sites.v[i];
        json_t *record = NULL;
        SAE_TRY(harvest_origin_make(&record, h->invocation, named, &site->tap,
                                    (size_t)harvest_wanted.context, site->dir, err));
        (*ret)[i] = (struct harvest_target){&site->tap, site->dir, record};
    }
    return SAE_OK;
}

static void free_targets(struct harvest_target *targets, size_t n)
{
    for (size_t i = 0; targets != NULL && i < n; i++)
        json_decref((json_t *)(uintptr_t)targets[i].record);
    free(targets);
}

/* --- labelled sets ------------------------------------------------------------------------ */

static void answer_labels(struct harvest *h, const struct harvest_site *site,
                          const struct harvest_labels_totals *t)
{
    char hook[SAE_HOOK_NAME] = "";
    if (h->sites.n > 1)
        (void)sae_hook_name(hook, site->hook);
    if (h->cli->json) {
        json_t *const set = json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:b}", "name", t->name, "classes",
            (json_int_t)t->n_classes, "train", (json_int_t)t->n_train, "test",
            (json_int_t)t->n_test, "rows", (json_int_t)t->n_rows, "truncated",
            (json_int_t)t->n_truncated, "found", t->found);
        if (hook[0] != '\0')
            json_object_set_new(set, "hook", json_string(hook));
        json_array_append_new(json_object_get(h->answer, "labels"), set);
        return;
    }
    sae_table_text(h->labels_table, "%s%s%s%s", t->name, hook[0] != '\0' ? " at " : "", hook,
                   t->found ? " (made before)" : "");
    sae_table_count(h->labels_table, (double)t->n_classes);
    sae_table_count(h->labels_table, (double)t->n_train);
    sae_table_count(h->labels_table, (double)t->n_test);
    sae_table_count(h->labels_table, (double)t->n_rows);
    sae_table_real(h->labels_table, (double)t->n_rows / (double)(t->n_train + t->n_test), 1);
    sae_table_count(h->labels_table, (double)t->n_truncated);
}

struct harvest_labels_settings harvest_labels_wanted(const struct harvest *h)
{
    const struct harvest_wanted *const w = &harvest_wanted;
    struct harvest_columns columns = w->columns;
    columns.need_split = sae_opt_given(h->cli, "split-column");
    columns.need_attribute = sae_opt_given(h->cli, "attribute-column");
    columns.first = (size_t)(w->max_train + w->max_test) + 1; /* as SAEBench */
    return (struct harvest_labels_settings){
        .columns = columns,
        .draw = {(size_t)w->max_train, (size_t)w->max_test, (size_t)w->min_texts, w->seed},
        .context = (size_t)w->context,
        .batch = (size_t)w->batch,
        .force = h->cli->force
    };
}

/* A set at every site. */
static enum sae_status harvest_one_set(struct harvest *h, const char *source, struct sae_err *err)
{
    struct sae_files files = {0};
    struct harvest_labels_totals *totals = NULL;
    struct harvest_target *targets = NULL;
    const struct harvest_preset *preset;
    const char *path;
    const size_t n = h->sites.n;
    enum sae_status st;
    SAE_GO(st, harvest_preset_parse(&preset, &path, source, err));
    SAE_GO(st, sae_files_add(&files, path, err));
    SAE_GO(st, sae_files_sort_out(&files, NULL, err));
    SAE_GO(st, harvest_hash(&files, "reading labels", err));
    SAE_GO(st, make_targets(&targets, h, of_labels, err));
    for (size_t i = 0; i < n; i++) {
        json_t *const record = (json_t *)(uintptr_t)targets[i].record;
        SAE_GO(st, harvest_origin_files(record, "labels", &files, err));
        json_object_set_new(json_object_get(record, "options"), "labels", json_string(path));
        if (preset != NULL)
            json_object_set_new(record, "dataset", json_string(preset->name));
    }
    const struct harvest_labels_settings settings = harvest_labels_wanted(h);
    SAE_GO(st, sae_mem_alloc(&totals, n, sizeof *totals, err));
    SAE_GO(st, harvest_labels_write(targets, n, source, &settings, totals, err));
    for (size_t i = 0; i < n; i++)
        answer_labels(h, &h->sites.v[i], &totals[i]);
done:
    free_targets(targets, n);
    free(totals);
    sae_files_clear(&files);
    return st;
}

enum sae_status harvest_make_labels(struct harvest *h, struct sae_err *err)
{
    static const char *const heads[] = {"labelled set", "classes",     "train",    "test",
                                        "rows",         "rows a text", "truncated"};
    SAE_TRY(sae_table_make(&h->labels_table, sizeof heads / sizeof *heads, heads, err));
    json_object_set_new(h->answer, "labels", json_array());
    enum sae_status st = SAE_OK;
    for (size_t i = 0; st == SAE_OK && i < harvest_wanted.labels.n; i++)
        st = harvest_one_set(h, harvest_wanted.labels.v[i], err);
    if (st == SAE_OK && !h->cli->json)
        st = sae_table_print(h->labels_table, stdout, 0, err);
    return st;
}

enum sae_status harvest_make_lasts(struct harvest *h, struct sae_err *err)
{
    struct harvest_site *const site = h->sites.v;
    const size_t most = site->tap.config->max_context;
    const size_t usual = most < HARVEST_LASTS_CONTEXT ? most : HARVEST_LASTS_CONTEXT;
    const size_t context = sae_opt_given(h->cli, "context") ? (size_t)harvest_wanted.context : usual;
    const size_t batch = (size_t)(harvest_wanted.batch * harvest_wanted.context) / context;
    const struct harvest_lasts_settings settings = {.dir = site->dir,
                                                    .sources = &harvest_wanted.sae_probes,
                                                    .invocation = h->invocation,
                                                    .context = context,
                                                    .batch = batch > 0 ? batch : 1,
                                                    .force = h->cli->force,
                                                    .answer = h->cli->json ? h->answer : NULL};
    return harvest_lasts_write(&site->tap, &settings, err);
}

/* --- the word set ------------------------------------------------------------------------- */

static void print_words(const char *dir, const struct harvest_words_totals *t)
{
    sae_utf8_print(stdout, "word set %s/words.h5%s\n", dir, t->found ? " (made before)" : "");
    printf("  words       %zu%s: %zu train, %zu test\n", t->n,
           harvest_wanted.spaced_only ? " with a leading space" : " with and without a leading space",
           t->n_train, t->n_test);
    printf("  left out    %zu of %zu candidates are not one token in the prompt\n", t->n_skipped,
           t->n_candidates);
    printf("  answered    %zu (%.1f %%) rightly by the model itself\n", t->n_correct,
           100.0 * (double)t->n_correct / (double)t->n);
}

struct harvest_words_settings harvest_words_wanted(const struct harvest *h)
{
    return (struct harvest_words_settings){.seed = harvest_wanted.seed,
                                           .max_words = (size_t)harvest_wanted.max_words,
                                           .spaced_only = harvest_wanted.spaced_only,
                                           .n_batch = (size_t)(harvest_wanted.batch * harvest_wanted.context),
                                           .force = h->cli->force};
}

/* "words": of the one site, or {hook: ...}. */
static int answer_words(struct harvest *h, const struct harvest_site *site,
                        const struct harvest_words_totals *t)
{
    char name[SAE_HOOK_NAME];
    json_t *const words = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "words", (json_int_t)t->n, "train",
        (json_int_t)t->n_train, "test", (json_int_t)t->n_test, "candidates",
        (json_int_t)t->n_candidates, "skipped", (json_int_t)t->n_skipped, "correct",
        (json_int_t)t->n_correct, "found", t->found);
    if (h->sites.n == 1)
        return json_object_set_new(h->answer, "words", words);
    if (json_object_get(h->answer, "words") == NULL)
        json_object_set_new(h->answer, "words", json_object());
    return json_object_set_new(json_object_get(h->answer, "words"),
                               sae_hook_name(name, site->hook), words);
}

enum sae_status harvest_make_words(struct harvest *h, struct sae_err *err)
{
    struct harvest_words_totals *totals = NULL;
    struct harvest_target *targets = NULL;
    const size_t n = h->sites.n;
    const struct harvest_words_settings settings = harvest_words_wanted(h);
    enum sae_status st;
    SAE_GO(st, make_targets(&targets, h, of_words, err));
    SAE_GO(st, sae_mem_alloc(&totals, n, sizeof *totals, err));
    SAE_GO(st, harvest_words_write(targets, n, &settings, totals, err));
    for (size_t i = 0; i < n; i++)
        if (!h->cli->json)
            print_words(h->sites.v[i].dir, &totals[i]);
        else if (answer_words(h, &h->sites.v[i], &totals[i]) != 0)
            st = sae_err_set(err, SAE_ENOMEM, "out of memory");
done:
    free_targets(targets, n);
    free(totals);
    return st;
}
