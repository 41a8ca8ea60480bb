/* SPDX-License-Identifier: MIT */
/* last_result : the result as JSON in the shape of SAEBench's sparse_probing_sae_probes, and as a
 * table for people. Keys of SAEBench keep their names; keys of our own: ..._test_accuracy_se_texts
 * and _se_total (of the finite test texts), C, tail AUC, latents and sizes of each set. */
#include <math.h>
#include <stdio.h>

#include "lib/base/utf8.h"
#include "lib/cli/table.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "probe/last.h"

enum { KEY_BYTES = 64 };
/* SAEBench's fields, null if not run */
static const uint64_t bench_k[] = {1, 2, 5, 10, 20, 50, 100};

/* "sae_top_5_test_auc"; k = 0 is the probe on the activation itself: "llm_test_auc". */
static void make_key(char key[KEY_BYTES], uint64_t k, enum probe_metric metric, const char *suffix)
{
    if (k == 0)
        snprintf(key, KEY_BYTES, "llm_test_%s%s", probe_metric_names[metric], suffix);
    else
        snprintf(key, KEY_BYTES, "sae_top_%llu_test_%s%s", (unsigned long long)k,
                 probe_metric_names[metric], suffix);
}

/* p: place among the k, or n_k for the probe on the activation. */
static double value_of(const struct probe_last_set *set, const struct probe_last_settings *s,
                       size_t p, enum probe_metric metric)
{
    return p < s->n_k ? set->latents[p].v[metric] : set->neurons.v[metric];
}

/* Unweighted over sets, as SAEBench has it; sets whose test texts lack a class have no AUC. */
static double mean_of(const struct probe_last_set *sets, size_t n_sets,
                      const struct probe_last_settings *s, size_t p, enum probe_metric metric)
{
    double sum = 0.0, n = 0.0;
    for (size_t i = 0; i < n_sets; i++) {
        const double v = value_of(&sets[i], s, p, metric);
        sum += isfinite(v) ? v : 0.0;
        n += isfinite(v) ? 1.0 : 0.0;
    }
    return n > 0.0 ? sum / n : NAN;
}

static double texts_se(const struct probe_last_set *sets, size_t n_sets,
                       const struct probe_last_settings *s, size_t p)
{
    double variance = 0.0;
    for (size_t i = 0; i < n_sets; i++) {
        const double a = value_of(&sets[i], s, p, PROBE_ACCURACY);
        variance += a * (1.0 - a) / (double)sets[i].n_test;
    }
    return sqrt(variance) / (double)n_sets;
}

static int put_probe(json_t *to, const struct probe_last_set *sets, size_t n_sets,
                     const struct probe_last_settings *s, size_t p)
{
    const uint64_t k = p < s->n_k ? s->k[p] : 0;
    char key[KEY_BYTES];
    int bad = 0;
    for (int m = 0; m < PROBE_N_METRICS; m++) {
        make_key(key, k, (enum probe_metric)m, "");
        bad |= json_object_set_new(
            to, key, sae_json_number(mean_of(sets, n_sets, s, p, (enum probe_metric)m)));
    }
    static const char *const suffixes[] = {"_se_texts", "_se_total"};
    for (size_t i = 0; i < 2; i++) {
        make_key(key, k, PROBE_ACCURACY, suffixes[i]);
        bad |= json_object_set_new(to, key, sae_json_number(texts_se(sets, n_sets, s, p)));
    }
    return bad;
}

/* SAEBench's fields of latents, null first. */
static int put_latents(json_t *to, const struct probe_last_set *sets, size_t n_sets,
                       const struct probe_last_settings *s)
{
    static const enum probe_metric order[] = {PROBE_ACCURACY, PROBE_AUC, PROBE_F1};
    char key[KEY_BYTES];
    int bad = json_object_set_new(to, "sae_test_accuracy", json_null());
    for (size_t i = 0; i < sizeof bench_k / sizeof *bench_k; i++)
        for (size_t m = 0; m < 3; m++) {
            make_key(key, bench_k[i], order[m], "");
            bad |= json_object_set_new(to, key, json_null());
        }
    for (size_t p = 0; p < s->n_k; p++)
        bad |= put_probe(to, sets, n_sets, s, p);
    return bad;
}

static int put_neurons(json_t *to, const struct probe_last_set *sets, size_t n_sets,
                       const struct probe_last_settings *s)
{
    char key[KEY_BYTES];
    int bad = 0;
    for (int m = 0; m < PROBE_N_METRICS; m++) {
        make_key(key, 0, (enum probe_metric)m, "");
        bad |= json_object_set_new(to, key, json_null());
    }
    return s->full ? bad | put_probe(to, sets, n_sets, s, s->n_k) : bad;
}

/* {"1": {"test_accuracy", "test_auc", "test_f1"}, ...} */
static json_t *by_k(const struct probe_last_set *sets, size_t n_sets,
                    const struct probe_last_settings *s)
{
    json_t *const to = json_object();
    for (size_t p = 0; p < s->n_k; p++) {
        char key[24];
        snprintf(key, sizeof key, "%llu", (unsigned long long)s->k[p]);
        json_object_set_new(
            to, key,
            json_pack("{s:o, s:o, s:o}", "test_accuracy",
                      sae_json_number(mean_of(sets, n_sets, s, p, PROBE_ACCURACY)), "test_auc",
                      sae_json_number(mean_of(sets, n_sets, s, p, PROBE_AUC)), "test_f1",
                      sae_json_number(mean_of(sets, n_sets, s, p, PROBE_F1))));
    }
    return to;
}

static json_t *make_details(const struct probe_last_set *set, const struct probe_last_settings *s)
{
    json_t *const to = json_pack("{s:s}", "dataset_name", set->name);
    if (put_neurons(to, set, 1, s) | put_latents(to, set, 1, s) |
        json_object_set_new(to, "sae_metrics_by_k", by_k(set, 1, s)) |
        json_object_set_new(to, "n_train_texts", json_integer((json_int_t)set->n_train)) |
        json_object_set_new(to, "n_test_texts", json_integer((json_int_t)set->n_test))) {
        json_decref(to);
        return NULL;
    }
    return to;
}

static json_t *choice_json(const struct probe_last_score *score)
{
    return json_pack("{s:o, s:o}", "C", sae_json_number(score->C), "tail_auc",
                     sae_json_number(score->tail_auc));
}

/* Which latents, best first, and what C was chosen for each k and for the activation. */
static json_t *make_choices(const struct probe_last_set *set, const struct probe_last_settings *s)
{
    json_t *const latents = json_array(), *const of_k = json_object();
    for (size_t j = 0; j < s->k[s->n_k - 1]; j++)
        json_array_append_new(latents, json_integer(set->selected[j]));
    for (size_t p = 0; p < s->n_k; p++) {
        char key[24];
        snprintf(key, sizeof key, "%llu", (unsigned long long)s->k[p]);
        json_object_set_new(of_k, key, choice_json(&set->latents[p]));
    }
    return json_pack("{s:o, s:o, s:o}", "latents", latents, "sae", of_k, "llm",
                     s->full ? choice_json(&set->neurons) : json_null());
}

static json_t *make_config(const struct sae_ckpt *ckpt, const struct probe_last_set *sets,
                           size_t n_sets, const struct probe_last_settings *s)
{
    const json_t *const site = sae_store_site(ckpt->record);
    json_t *const names = json_array(), *const ks = json_array();
    for (size_t i = 0; i < n_sets; i++)
        json_array_append_new(names, json_string(sets[i].name));
    for (size_t i = 0; i < s->n_k; i++)
        json_array_append_new(ks, json_integer((json_int_t)s->k[i]));
    return json_pack("{s:s?, s:I, s:o, s:s, s:s, s:o, s:b, s:b, s:s}", "model_name",
                     site ? sae_json_str(site, "model", NULL) : NULL, "random_seed",
                     (json_int_t)s->seed, "dataset_names", names, "reg_type", "l1", "setting",
                     "normal", "ks", ks, "binarize", 0, "include_llm_baseline", s->full,
                     "baseline_method", "logreg");
}

static json_t *make_versions(void)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s}", "sae_top_k",
        "sae-probes 0.4, normal: last token, ranking by difference of means over mean where active, "
        "L1 (saga), C of ten by the AUC of a held-out tail",
        "llm", "sae-probes 0.4, logreg: L2 (lbfgs) on the activation, C likewise; in f64", "f1",
        "mean of both classes' F1, weighted by their texts", "se_texts",
        "saekit-1: of the finite test texts: sqrt(p (1 - p) / texts), combined over sets");
}

struct sae_result_parts probe_last_parts(const struct sae_ckpt *ckpt,
                                         const struct probe_last_set *sets, size_t n_sets,
                                         const struct probe_last_settings *settings)
{
    json_t *const llm = json_object(), *const sae = json_object();
    json_t *const details = json_array(), *const choices = json_object();
    int bad = put_neurons(llm, sets, n_sets, settings) | put_latents(sae, sets, n_sets, settings);
    for (size_t i = 0; i < n_sets; i++) {
        bad |= json_array_append_new(details, make_details(&sets[i], settings));
        bad |= json_object_set_new(choices, sets[i].name, make_choices(&sets[i], settings));
    }
    return (struct sae_result_parts){
        .config = make_config(ckpt, sets, n_sets, settings),
        .metrics = json_pack("{s:o, s:o}", "llm", llm, "sae", sae),
        .details = details,
        .unstructured = json_pack("{s:o, s:o}", "sae_metrics_by_k", by_k(sets, n_sets, settings),
                                  "choices", choices),
        .versions = bad ? NULL : make_versions()};
}

/* --- the table ---------------------------------------------------------------------------- */

static void put_row(struct sae_table *table, const char *name, const struct probe_last_set *sets,
                    size_t n_sets, const struct probe_last_settings *s, size_t p)
{
    const bool first = p == 0;
    sae_table_text(table, "%s", name);
    sae_table_count(table, first && n_sets == 1 ? (double)sets->n_train : NAN);
    sae_table_count(table, first && n_sets == 1 ? (double)sets->n_test : NAN);
    if (p < s->n_k)
        sae_table_text(table, "%llu", (unsigned long long)s->k[p]);
    else
        sae_table_text(table, "activation");
    sae_table_real(table, mean_of(sets, n_sets, s, p, PROBE_AUC), 4);
    sae_table_real(table, mean_of(sets, n_sets, s, p, PROBE_ACCURACY), 4);
    sae_table_real(table, mean_of(sets, n_sets, s, p, PROBE_F1), 4);
    if (n_sets == 1 && p < s->n_k)
        sae_table_text(table, "%u", sets->selected[s->k[p] - 1]);
    else
        sae_table_text(table, "%s", "");
}

enum sae_status probe_last_print(const struct sae_ckpt *ckpt, const struct probe_last_set *sets,
                                 size_t n_sets, const struct probe_last_settings *s, FILE *to,
                                 struct sae_err *err)
{
    static const char *const heads[] = {"set", "train",    "test", "k",
                                        "AUC", "accuracy", "F1",   "k-th latent"};
    struct sae_table *table = NULL;
    char sae[SAE_ARCH_DESCRIBED];
    SAE_TRY(sae_table_make(&table, sizeof heads / sizeof *heads, heads, err));
    for (size_t i = 0; i < n_sets; i++)
        for (size_t p = 0; p < s->n_k + s->full; p++)
            put_row(table, sets[i].name, &sets[i], 1, s, p);
    for (size_t p = 0; p < s->n_k + s->full && n_sets > 1; p++)
        put_row(table, "mean", sets, n_sets, s, p);
    sae_arch_describe(sae, ckpt->model.arch, ckpt->model.d, ckpt->model.m, ckpt->model.k);
    sae_utf8_print(to, "%s (%s): L1 probes on k latents at the last token, as sae-probes\n",
                   ckpt->path, sae);
    const enum sae_status st = sae_table_print(table, to, 2, err);
    sae_table_free(table);
    return st;
}
