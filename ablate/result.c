/* SPDX-License-Identifier: MIT */
/* result : SCR or TPP in SAEBench's shape (eval_type_id scr, tpp), and as a table. Keys of
 * SAEBench keep their names; beside each of the metrics stands ..._se, over seeds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ablate/ablate.h"
#include "lib/base/utf8.h"
#include "lib/cli/table.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"

/* SAEBench's fields, null where not run. */
static const uint64_t bench_n[] = {2, 5, 10, 20, 50, 100, 500};

static void make_key(char key[96], bool scr, uint64_t n, size_t value, const char *suffix)
{
    static const char *const scr_names[] = {"dir1", "metric", "dir2"};
    static const char *const tpp_names[] = {"total_metric", "intended_diff_only",
                                            "unintended_diff_only"};
    if (scr)
        snprintf(key, 96, "scr_%s_threshold_%llu%s", scr_names[value], (unsigned long long)n,
                 suffix);
    else
        snprintf(key, 96, "tpp_threshold_%llu_%s%s", (unsigned long long)n, tpp_names[value],
                 suffix);
}

static void put_means(json_t *to, const struct ablate_scores *scores, const char *set, bool by_set,
                      bool scr, const struct ablate_settings *s)
{
    char key[96];
    for (size_t i = 0; set == NULL && i < sizeof bench_n / sizeof *bench_n; i++)
        for (size_t value = 0; value < ABLATE_VALUES; value++) {
            make_key(key, scr, bench_n[i], value, "");
            json_object_set_new(to, key, json_null());
        }
    for (size_t k = 0; k < s->n_n; k++)
        for (size_t value = 0; value < ABLATE_VALUES; value++) {
            double mean, se;
            ablate_scores_mean(scores, s, set, by_set, k, value, &mean, &se);
            make_key(key, scr, s->n[k], value, "");
            json_object_set_new(to, key, sae_json_number(mean));
            make_key(key, scr, s->n[k], value, "_se");
            json_object_set_new(to, key, sae_json_number(se));
        }
}

/* One entry's means over seeds. */
static void put_entry(json_t *to, const struct ablate_entry *entry, bool scr,
                      const struct ablate_settings *s)
{
    struct ablate_entry copy = *entry;
    const struct ablate_scores one = {.n = 1, .v = &copy};
    char key[96];
    for (size_t k = 0; k < s->n_n; k++)
        for (size_t value = 0; value < ABLATE_VALUES; value++) {
            double mean, se;
            ablate_scores_mean(&one, s, NULL, false, k, value, &mean, &se);
            make_key(key, scr, s->n[k], value, "");
            json_object_set_new(to, key, sae_json_number(mean));
        }
}

/* SCR: a row a pair of classes. TPP: a row a set. */
static json_t *details_of(const struct ablate_scores *scores, bool scr,
                          const struct ablate_settings *s)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < scores->n; i++) {
        const struct ablate_entry *e = &scores->v[i];
        json_t *row = json_object();
        if (scr) {
            json_object_set_new(row, "dataset_name",
                                json_sprintf("%s_scr_%s_results", e->set, e->name));
            put_entry(row, e, true, s);
            json_object_set_new(row, "dir1_clean_accuracy", sae_json_number(e->clean[0]));
            json_object_set_new(row, "dir1_biased_accuracy", sae_json_number(e->original[0]));
            json_object_set_new(row, "dir2_clean_accuracy", sae_json_number(e->clean[1]));
            json_object_set_new(row, "dir2_biased_accuracy", sae_json_number(e->original[1]));
        } else if (i == 0 || strcmp(e->set, scores->v[i - 1].set) != 0) {
            json_object_set_new(row, "dataset_name", json_sprintf("%s_tpp_results", e->set));
            put_means(row, scores, e->set, false, false, s);
        }
        if (json_object_size(row) > 0)
            json_array_append(rows, row);
        json_decref(row);
    }
    return rows;
}

/* {set: {class: {metric: value}}} as upstream, with the clean accuracy of each class's probe. */
static json_t *classes_of(const struct ablate_scores *scores, const struct ablate_settings *s)
{
    json_t *sets = json_object();
    for (size_t i = 0; i < scores->n; i++) {
        const struct ablate_entry *e = &scores->v[i];
        json_t *set = json_object_get(sets, e->set), *class = json_object();
        if (set == NULL) {
            set = json_object();
            json_object_set_new(sets, e->set, set);
        }
        put_entry(class, e, false, s);
        json_object_set_new(class, "clean_accuracy", sae_json_number(e->clean[0]));
        json_object_set_new(set, e->name, class);
    }
    return sets;
}

static json_t *list_u64(const uint64_t *v, size_t n)
{
    json_t *const list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, sae_json_whole(v[i]));
    return list;
}

static json_t *config_of(const struct sae_ckpt *ckpt, const struct ablate_scores *scores, bool scr,
                         const struct ablate_settings *s)
{
    const json_t *const site = sae_store_site(ckpt->record);
    json_t *const names = json_array();
    for (size_t i = 0; i < scores->n; i++)
        if (i == 0 || strcmp(scores->v[i].set, scores->v[i - 1].set) != 0)
            json_array_append_new(names, json_string(scores->v[i].set));
    return json_pack(
        "{s:o, s:o, s:b, s:I, s:I, s:I, s:O?, s:I, s:I, s:f, s:f, s:I, s:I, s:s, s:b, s:s?, s:o, "
        "s:o, s:o}",
        "random_seed", sae_json_whole(s->seeds[0]), "dataset_names", names, "perform_scr", (int)scr,
        "early_stopping_patience", (json_int_t)s->epochs, "train_set_size",
        (json_int_t)s->train_size, "test_set_size", (json_int_t)s->test_size, "context_length",
        site ? sae_json_at(site, "context") : NULL, "probe_train_batch_size",
        (json_int_t)s->probe_batch, "probe_epochs", (json_int_t)s->epochs, "probe_lr", s->lr,
        "probe_l1_penalty", s->l1, "sae_batch_size", (json_int_t)s->batch, "llm_batch_size",
        (json_int_t)0 /* no language model runs here */, "llm_dtype", "float32", "lower_vram_usage",
        0, "model_name", site ? sae_json_str(site, "model", NULL) : NULL, "n_values",
        list_u64(s->n, s->n_n), "random_seeds", list_u64(s->seeds, s->n_seeds), "padding",
        s->padding == UINT64_MAX ? json_string("as harvested")
                                 : json_integer((json_int_t)s->padding));
}

static json_t *versions_of(bool scr)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s}", scr ? "scr_metrics" : "tpp_metrics",
        scr ? "SAEBench 0.6: (ablated - biased) / (clean - biased) accuracy"
            : "SAEBench 0.6: accuracy lost by the class's own probe, by the others, difference",
        "selection",
        scr ? "SAEBench 0.6: |difference of means x probe . W_dec|; ties to the lower index"
            : "SAEBench 0.6: max(difference of means, 0) x probe . W_dec; ties to the lower index",
        "draws", "saekit 1: one draw of negatives for training, selection and both accuracies",
        "reliability",
        "doubtful: fails the lenses of Chanin 2026 (arXiv 2605.18229); see docs/math-ablation.md");
}

struct sae_result_parts ablate_result_parts(const struct sae_ckpt *ckpt,
                                            const struct ablate_scores *scores, bool scr,
                                            const struct ablate_settings *settings)
{
    json_t *const metrics = json_object();
    put_means(metrics, scores, NULL, !scr, scr, settings);
    return (struct sae_result_parts){
        .config = config_of(ckpt, scores, scr, settings),
        .metrics = json_pack("{s:o}", scr ? "scr_metrics" : "tpp_metrics", metrics),
        .details = details_of(scores, scr, settings),
        .unstructured = scr ? NULL : classes_of(scores, settings),
        .versions = versions_of(scr)};
}

/* --- the table ---------------------------------------------------------------------------- */

static void put_row(struct sae_table *table, const char *name, double clean,
                    const struct ablate_scores *scores, const char *set, bool by_set, bool errors,
                    size_t value, const struct ablate_settings *s)
{
    sae_table_text(table, "%s", name);
    sae_table_real(table, clean, 4);
    for (size_t k = 0; k < s->n_n; k++) {
        double mean, se;
        ablate_scores_mean(scores, s, set, by_set, k, value, &mean, &se);
        sae_table_real(table, errors ? se : mean, 4);
    }
}

enum sae_status ablate_table_print(const struct sae_ckpt *ckpt, const struct ablate_scores *scores,
                                   bool scr, const struct ablate_settings *s, FILE *to,
                                   struct sae_err *err)
{
    enum { FIXED = 2, MOST = 24 };
    char text[MOST][24], name[600], described[SAE_ARCH_DESCRIBED];
    const char *heads[MOST] = {scr ? "pair" : "class", "clean acc."};
    struct sae_table *table = NULL;
    const size_t n_columns = FIXED + (s->n_n < MOST - FIXED ? s->n_n : MOST - FIXED);
    struct ablate_settings shown = *s;
    shown.n_n = s->n_n;
    for (size_t c = FIXED; c < n_columns; c++) {
        snprintf(text[c], sizeof text[c], "n=%llu", (unsigned long long)s->n[c - FIXED]);
        heads[c] = text[c];
    }
    SAE_TRY(sae_table_make(&table, n_columns, heads, err));
    for (size_t i = 0; i < scores->n; i++) {
        struct ablate_entry copy = scores->v[i];
        const struct ablate_scores one = {.n = 1, .v = &copy};
        snprintf(name, sizeof name, "%s %s", copy.set, copy.name);
        put_row(table, name, copy.clean[0], &one, NULL, false, false, scr ? 1 : 0, &shown);
    }
    put_row(table, "mean", NAN, scores, NULL, !scr, false, scr ? 1 : 0, &shown);
    if (s->n_seeds > 1)
        put_row(table, "s.e.", NAN, scores, NULL, !scr, true, scr ? 1 : 0, &shown);
    sae_arch_describe(described, ckpt->model.arch, ckpt->model.d, ckpt->model.m, ckpt->model.k);
    sae_utf8_print(to, "%s (%s): %s by number of latents ablated\n", ckpt->path, described,
                   scr ? "spurious correlation removed (SCR)"
                       : "targeted probe perturbation (TPP)");
    const enum sae_status st = sae_table_print(table, to, 2, err);
    sae_table_free(table);
    return st;
}
