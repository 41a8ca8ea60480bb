/* SPDX-License-Identifier: MIT */
/* result : the probing result as JSON in SAEBench's shape, and as a table for people.
 *
 * Keys of SAEBench keep their names and meaning: {llm,sae}_top_{k}_test_accuracy,
 * {llm,sae}_test_accuracy. Beside each stand ..._se (standard error of the draw of negatives), for
 * accuracy ..._se_texts (of the finite test texts) and ..._se_total (of both), and for F1 and AUC
 * ..._f1, ..._auc in place of ..._accuracy. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/cli/table.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/result.h"
#include "probe/probe.h"

enum { KEY_BYTES = 64 };
static const uint64_t bench_k[] = {1,  2,  5,  10,
                                   20, 50, 100}; /* SAEBench's fields, null if not run */

/* "sae_top_5_test_accuracy"; k = 0 is the full probe: "sae_test_accuracy". */
static void make_key(char key[KEY_BYTES], bool latents, uint64_t k, enum probe_metric metric,
                     const char *suffix)
{
    const char *const side = latents ? "sae" : "llm", *const name = probe_metric_names[metric];
    if (k == 0)
        snprintf(key, KEY_BYTES, "%s_test_%s%s", side, name, suffix);
    else
        snprintf(key, KEY_BYTES, "%s_top_%llu_test_%s%s", side, (unsigned long long)k, name,
                 suffix);
}

static int put_mean(json_t *to, bool latents, uint64_t k, enum probe_metric metric,
                    struct probe_mean mean)
{
    char key[KEY_BYTES];
    make_key(key, latents, k, metric, "");
    int bad = json_object_set_new(to, key, sae_json_number(mean.mean));
    make_key(key, latents, k, metric, "_se");
    bad |= json_object_set_new(to, key, sae_json_number(mean.se));
    return bad;
}

/* The other part of the accuracy's standard error, and both together. */
static int put_errors(json_t *to, bool latents, uint64_t k, double draws, double texts)
{
    char key[KEY_BYTES];
    make_key(key, latents, k, PROBE_ACCURACY, "_se_texts");
    int bad = json_object_set_new(to, key, sae_json_number(texts));
    make_key(key, latents, k, PROBE_ACCURACY, "_se_total");
    bad |= json_object_set_new(to, key, sae_json_number(hypot(isfinite(draws) ? draws : 0.0, texts)));
    return bad;
}

/* All metrics of one side over one or several sets; SAEBench's keys first, in its order. */
static int put_side(json_t *to, bool latents, const struct probe_set *sets, size_t n_sets,
                    const struct probe_settings *s)
{
    char key[KEY_BYTES];
    make_key(key, latents, 0, PROBE_ACCURACY, "");
    int bad = json_object_set_new(to, key, json_null());
    for (size_t i = 0; i < sizeof bench_k / sizeof *bench_k; i++) {
        make_key(key, latents, bench_k[i], PROBE_ACCURACY, "");
        bad |= json_object_set_new(to, key, json_null());
    }
    for (size_t p = 0; p < s->n_k + s->full; p++) {
        const uint64_t k = p < s->n_k ? s->k[p] : 0;
        for (int m = 0; m < PROBE_N_METRICS; m++)
            bad |= put_mean(to, latents, k, (enum probe_metric)m,
                            probe_sets_mean(sets, n_sets, latents, p, (enum probe_metric)m));
        bad |= put_errors(to, latents, k,
                          probe_sets_mean(sets, n_sets, latents, p, PROBE_ACCURACY).se,
                          probe_sets_texts_se(sets, n_sets, latents, p));
    }
    return bad;
}

static json_t *make_details(const struct probe_set *set, const struct probe_settings *s)
{
    json_t *const to = json_object();
    int bad = json_object_set_new(to, "dataset_name", json_sprintf("%s_results", set->name));
    bad |= put_side(to, false, set, 1, s) | put_side(to, true, set, 1, s);
    size_t train_min = SIZE_MAX, train_max = 0, test_min = SIZE_MAX, test_max = 0;
    for (size_t c = 0; c < set->n_classes; c++) {
        train_min = set->n_train[c] < train_min ? set->n_train[c] : train_min;
        train_max = set->n_train[c] > train_max ? set->n_train[c] : train_max;
        test_min = set->n_test[c] < test_min ? set->n_test[c] : test_min;
        test_max = set->n_test[c] > test_max ? set->n_test[c] : test_max;
    }
    const struct {
        const char *key;
        size_t n;
    } sizes[] = {
        {"n_classes",          set->n_classes },
        {"n_classes_left_out", set->n_left_out},
        {"n_train_texts_min",  train_min      },
        {"n_train_texts_max",  train_max      },
        {"n_test_texts_min",   test_min       },
        {"n_test_texts_max",   test_max       }
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        bad |= json_object_set_new(to, sizes[i].key, json_integer((json_int_t)sizes[i].n));
    return bad ? NULL : to;
}

/* {"<metric>": {"<class>": value}} of one set, and how many texts its tasks had. */
static json_t *make_classes(const struct probe_set *set, const struct probe_settings *s)
{
    json_t *const to = json_object();
    int bad = 0;
    for (int latents = 0; latents < 2; latents++)
        for (size_t p = 0; p < s->n_k + s->full; p++)
            for (int m = 0; m < PROBE_N_METRICS; m++) {
                char key[KEY_BYTES];
                make_key(key, latents, p < s->n_k ? s->k[p] : 0, (enum probe_metric)m, "");
                json_t *const by_class = json_object();
                for (size_t c = 0; c < set->n_classes; c++)
                    bad |= json_object_set_new(
                        by_class, set->classes[c],
                        sae_json_number(probe_scores_class(latents ? &set->latents : &set->neurons,
                                                           p, c, (enum probe_metric)m)));
                bad |= json_object_set_new(to, key, by_class);
            }
    json_t *const n_train = json_object(), *const n_test = json_object();
    for (size_t c = 0; c < set->n_classes; c++) {
        bad |= json_object_set_new(n_train, set->classes[c],
                                   json_integer((json_int_t)set->n_train[c]));
        bad |=
            json_object_set_new(n_test, set->classes[c], json_integer((json_int_t)set->n_test[c]));
    }
    bad |= json_object_set_new(to, "n_train_texts", n_train);
    bad |= json_object_set_new(to, "n_test_texts", n_test);
    return bad ? NULL : to;
}

static json_t *make_config(const struct sae_ckpt *ckpt, const struct probe_set *sets, size_t n_sets,
                           const struct probe_settings *s)
{
    const json_t *const site = sae_store_site(ckpt->record);
    json_t *const names = json_array(), *const ks = json_array(), *const seeds = json_array();
    for (size_t i = 0; i < n_sets; i++)
        json_array_append_new(names, json_string(sets[i].name));
    for (size_t i = 0; i < s->n_k; i++)
        json_array_append_new(ks, json_integer((json_int_t)s->k[i]));
    for (size_t i = 0; i < s->n_seeds; i++)
        json_array_append_new(seeds, sae_json_whole(s->seeds[i]));
    return json_pack("{s:o, s:o, s:I, s:I, s:O?, s:I, s:n, s:s, s:s?, s:o, s:b, s:o}",
                     "random_seed", sae_json_whole(s->seeds[0]), "dataset_names", names,
                     "probe_train_set_size", (json_int_t)s->train_size, "probe_test_set_size",
                     (json_int_t)s->test_size, "context_length",
                     site ? sae_json_at(site, "context") : NULL, "sae_batch_size",
                     (json_int_t)s->batch, "llm_batch_size", "llm_dtype", "float32", "model_name",
                     site ? sae_json_str(site, "model", NULL) : NULL, "k_values", ks,
                     "lower_vram_usage", !s->full, "random_seeds", seeds);
}

static json_t *make_versions(void)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "top_k_test_accuracy",
        "saebench-0.6 sparse_probing: mean-difference selection, L2 logistic regression C=1",
        "test_accuracy",
        "saekit-1: L2 logistic regression C=1 on every feature, first seed (saebench-0.6 trains "
        "by AdamW and reports its best test epoch)",
        "test_f1", "saekit-1: F1 of the positive class at score > 0", "test_auc",
        "saekit-1: area under the ROC curve, ties count one half", "se",
        "saekit-1: of the draw of negatives: sample standard deviation over seeds / sqrt(seeds)",
        "se_texts", "saekit-1: of the finite test texts: sqrt(p (1 - p) / texts), combined over sets",
        "se_total", "saekit-1: sqrt(se^2 + se_texts^2)");
}

struct sae_result_parts probe_result_parts(const struct sae_ckpt *ckpt,
                                           const struct probe_set *sets, size_t n_sets,
                                           const struct probe_settings *settings)
{
    json_t *const llm = json_object(), *const sae = json_object();
    json_t *const details = json_array(), *const classes = json_object();
    int bad =
        put_side(llm, false, sets, n_sets, settings) | put_side(sae, true, sets, n_sets, settings);
    for (size_t i = 0; i < n_sets; i++) {
        char key[256];
        snprintf(key, sizeof key, "%s_results", sets[i].name);
        bad |= json_array_append_new(details, make_details(&sets[i], settings));
        bad |= json_object_set_new(classes, key, make_classes(&sets[i], settings));
    }
    return (struct sae_result_parts){.config = make_config(ckpt, sets, n_sets, settings),
                                     .metrics = json_pack("{s:o, s:o}", "llm", llm, "sae", sae),
                                     .details = details,
                                     .unstructured = classes,
                                     .versions = bad ? NULL : make_versions()};
}

/* --- the table ---------------------------------------------------------------------------- */

/* What a line of the table holds. */
enum row { ROW_ACCURACY, ROW_SE_DRAWS, ROW_SE_TEXTS };

/* One line: what, sizes, latents or neurons, then accuracy (or a standard error of it) by k. */
static void put_row(struct sae_table *table, const char *name, const struct probe_set *sets,
                    size_t n_sets, const struct probe_settings *s, bool latents, enum row row)
{
    sae_table_text(table, "%s", name);
    size_t train = SIZE_MAX, test = SIZE_MAX;
    for (size_t c = 0; c < sets[0].n_classes && n_sets == 1; c++) {
        train = sets[0].n_train[c] < train ? sets[0].n_train[c] : train;
        test = sets[0].n_test[c] < test ? sets[0].n_test[c] : test;
    }
    const bool sizes = n_sets == 1 && *name && latents && row == ROW_ACCURACY;
    sae_table_count(table, sizes ? (double)sets[0].n_classes : NAN);
    sae_table_count(table, sizes ? (double)train : NAN);
    sae_table_count(table, sizes ? (double)test : NAN);
    sae_table_text(table, "%s", latents ? "latents" : "neurons");
    for (size_t p = 0; p < s->n_k + s->full; p++) {
        const struct probe_mean m = probe_sets_mean(sets, n_sets, latents, p, PROBE_ACCURACY);
        const double texts = probe_sets_texts_se(sets, n_sets, latents, p);
        sae_table_real(table, row == ROW_ACCURACY ? m.mean : row == ROW_SE_DRAWS ? m.se : texts, 4);
    }
}

static enum sae_status make_table(struct sae_table **ret, const struct probe_settings *s,
                                  struct sae_err *err)
{
    enum { FIXED = 5 };
    const size_t n_columns = FIXED + s->n_k + s->full;
    char(*text)[32] = NULL;
    const char **heads = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&text, n_columns, sizeof *text, err));
    SAE_GO(st, sae_mem_alloc(&heads, n_columns, sizeof *heads, err));
    static const char *const fixed[FIXED] = {"set", "classes", "train", "test", "features"};
    for (size_t c = 0; c < n_columns; c++) {
        if (c < FIXED)
            snprintf(text[c], sizeof *text, "%s", fixed[c]);
        else if (c < FIXED + s->n_k)
            snprintf(text[c], sizeof *text, "k=%llu", (unsigned long long)s->k[c - FIXED]);
        else
            snprintf(text[c], sizeof *text, "all");
        heads[c] = text[c];
    }
    SAE_GO(st, sae_table_make(ret, n_columns, heads, err));
done:
    free(heads);
    free(text);
    return st;
}

enum sae_status probe_table_print(const struct sae_ckpt *ckpt, const struct probe_set *sets,
                                  size_t n_sets, const struct probe_settings *s, FILE *to,
                                  struct sae_err *err)
{
    struct sae_table *table = NULL;
    SAE_TRY(make_table(&table, s, err));
    for (size_t i = 0; i < n_sets; i++)
        for (int latents = 1; latents >= 0; latents--)
            put_row(table, sets[i].name, &sets[i], 1, s, latents, ROW_ACCURACY);
    if (n_sets > 1)
        for (int latents = 1; latents >= 0; latents--)
            put_row(table, "mean", sets, n_sets, s, latents, ROW_ACCURACY);
    for (int latents = 1; latents >= 0 && s->n_seeds > 1; latents--)
        put_row(table, "s.e. draws", sets, n_sets, s, latents, ROW_SE_DRAWS);
    for (int latents = 1; latents >= 0; latents--)
        put_row(table, "s.e. texts", sets, n_sets, s, latents, ROW_SE_TEXTS);
    char sae[SAE_ARCH_DESCRIBED];
    sae_arch_describe(sae, ckpt->model.arch, ckpt->model.d, ckpt->model.m, ckpt->model.k);
    sae_utf8_print(to, "%s (%s): test accuracy of probes on k latents or raw neurons\n", ckpt->path,
                   sae);
    const enum sae_status st = sae_table_print(table, to, 2, err);
    if (s->n_seeds > 1)
        fprintf(to,
                "  s.e. draws: of the mean, over %zu draws of negative examples; 0 if nothing is "
                "drawn\n",
                s->n_seeds);
    fputs("  s.e. texts: of the mean, for want of more test texts; the same texts judge every "
          "checkpoint,\n  so two of them differ by less\n",
          to);
    sae_table_free(table);
    return st;
}
