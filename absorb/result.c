/* SPDX-License-Identifier: MIT */
/* result : the absorption result as JSON in SAEBench's shape, and as a table for people.
 *
 * eval_result_metrics.mean holds SAEBench's current keys (version D: null with too few letters)
 * and version A's mean_absorption_score; version_a ... version_d hold each version by itself.
 * Details list every letter that was tested; in_mean tells whether it counts in version D. */
#include <math.h>
#include <stdio.h>

#include "absorb/absorb.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/cli/table.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/result.h"

/* --- JSON --------------------------------------------------------------------------------- */

static json_t *mean_json(const struct absorb_mean *m)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "mean_absorption_fraction_score",
        sae_json_number(m->fraction), "mean_full_absorption_score", sae_json_number(m->rate),
        "mean_num_split_features", sae_json_number(m->n_split), "std_dev_absorption_fraction_score",
        sae_json_number(m->fraction_sd), "std_dev_full_absorption_score",
        sae_json_number(m->rate_sd), "std_dev_num_split_features", sae_json_number(m->n_split_sd));
}

static json_t *make_metrics(const struct absorb_letter *letter, const struct absorb_settings *s)
{
    static const char *const names[] = {"version_a", "version_b", "version_c", "version_d"};
    json_t *const to = json_object();
    struct absorb_mean m[ABSORB_VERSIONS];
    for (int v = 0; v < ABSORB_VERSIONS; v++)
        m[v] = absorb_mean_of(letter, (enum absorb_version)v, s->min_letters);
    json_t *const mean = mean_json(&m[ABSORB_D]);
    int bad = json_object_set_new(to, "mean", mean);
    bad |= json_object_set_new(mean, "mean_absorption_score", sae_json_number(m[ABSORB_A].rate));
    for (int v = 0; v < ABSORB_VERSIONS; v++) {
        json_t *const own =
            v == ABSORB_A
                ? json_pack("{s:o, s:o, s:o}", "mean_absorption_score", sae_json_number(m[v].rate),
                            "std_dev_absorption_score", sae_json_number(m[v].rate_sd),
                            "mean_num_split_features", sae_json_number(m[v].n_split))
                : mean_json(&m[v]);
        bad |= json_object_set_new(own, "num_letters", json_integer((json_int_t)m[v].n_letters));
        bad |= json_object_set_new(to, names[v], own);
    }
    return bad ? NULL : to;
}

static json_t *letter_json(size_t c, const struct absorb_truth *truth,
                           const struct absorb_split *split, const struct absorb_letter *l)
{
    const char name[2] = {(char)('a' + (int)c), 0};
    json_t *const latents = json_array(), *const tried = json_array(), *const f1 = json_array();
    for (size_t k = 0; k < split->n; k++)
        json_array_append_new(latents, json_integer(split->latent[k]));
    for (size_t k = 0; k < split->n_tried; k++) {
        json_array_append_new(tried, json_integer(split->latent[k]));
        json_array_append_new(f1, sae_json_number(split->f1[k]));
    }
    return json_pack(
        "{s:s, s:o, s:o, s:I, s:I, s:I, s:b, s:o, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:o, s:o, "
        "s:o}",
        "first_letter", name, "mean_absorption_fraction", sae_json_number(l->fraction_c),
        "full_absorption_rate", sae_json_number(l->full_rate), "num_full_absorption",
        (json_int_t)l->n_full, "num_probe_true_positives", (json_int_t)l->n_true_positives,
        "num_split_features", (json_int_t)l->n_split, "in_mean", l->in_d, "probe_f1",
        sae_json_number(truth->f1[c]), "num_train_words", (json_int_t)truth->n_train_of[c],
        "num_test_words", (json_int_t)truth->n_test_of[c], "mean_absorption_fraction_b",
        sae_json_number(l->fraction_b), "absorption_rate", sae_json_number(l->rate_a),
        "k_sparse_f1", sae_json_number(split->n ? split->f1[split->n - 1] : NAN), "num_absorption",
        (json_int_t)l->n_absorbed_a, "num_candidates", (json_int_t)l->n_candidates_a,
        "split_latents", latents, "tried_latents", tried, "tried_f1", f1);
}

static json_t *make_details(const struct absorb_truth *truth, const struct absorb_letters *o)
{
    json_t *const to = json_array();
    int bad = 0;
    for (size_t c = 0; c < ABSORB_LETTERS; c++)
        if (o->letter[c].n_true_positives)
            bad |= json_array_append_new(to, letter_json(c, truth, &o->split[c], &o->letter[c]));
    return bad ? NULL : to;
}

/* Contexts of a pass when the words were harvested; SAEBench wants a number, 0 where unknown. */
static json_int_t batch_of(const struct sae_words *words)
{
    uint64_t batch = 0;
    const char *const text = words->record ? sae_json_str(words->record, "options.batch", "") : "";
    return sae_str_u64(text, &batch) ? (json_int_t)batch : 0;
}

static json_t *make_config(const struct sae_ckpt *ckpt, const struct sae_words *words,
                           const struct absorb_truth *truth, const struct absorb_settings *s)
{
    const json_t *const site = sae_store_site(ckpt->record);
    return json_pack(
        "{s:s?, s:o, s:f, s:I, s:s, s:i, s:I, s:s, s:f, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:o}",
        "model_name", site ? sae_json_str(site, "model", NULL) : NULL, "random_seed",
        sae_json_whole(s->seed), "f1_jump_threshold", s->f1_jump, "max_k_value", (json_int_t)s->max_k,
        "prompt_template", "{word} has the first letter:", "prompt_token_pos", -6, "llm_batch_size",
        batch_of(words), "llm_dtype", "float32", "k_sparse_probe_l1_decay", s->l1_decay, "k_sparse_probe_batch_size",
        (json_int_t)s->sparse_batch, "k_sparse_probe_num_epochs", (json_int_t)s->sparse_epochs,
        "min_GT_probe_f1", s->min_probe_f1, "min_feats_for_eval", (json_int_t)s->min_letters,
        "num_words", (json_int_t)words->n, "num_train_words", (json_int_t)truth->n_train,
        "num_test_words", (json_int_t)truth->n_test, "model_letter_accuracy",
        sae_json_number(truth->correct));
}

static json_t *make_versions(void)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s}", "mean",
        "saebench-0.6 (version D): letters with probe F1 > min_GT_probe_f1, null below "
        "min_feats_for_eval letters",
        "mean_absorption_score", "saebench-0.2 (version A): probe misses, silent split latents",
        "version_b", "saebench-0.3 to 0.4.0: fraction over all latents, every letter", "version_c",
        "saebench-0.4.1: fraction over 3 latents with cosine >= 0.1, every letter", "version_d",
        "as mean", "k_sparse_probe_batch_size",
        "saekit-1: SAEBench's 4096, less where an epoch would have under 20 steps");
}

struct sae_result_parts absorb_result_parts(const struct sae_ckpt *ckpt,
                                            const struct sae_words *words,
                                            const struct absorb_truth *truth,
                                            const struct absorb_letters *letters,
                                            const struct absorb_settings *settings)
{
    return (struct sae_result_parts){.config = make_config(ckpt, words, truth, settings),
                                     .metrics = make_metrics(letters->letter, settings),
                                     .details = make_details(truth, letters),
                                     .versions = make_versions()};
}

/* --- the table ---------------------------------------------------------------------------- */

static void row_letter(struct sae_table *t, size_t c, const struct absorb_truth *truth,
                       const struct absorb_split *split, const struct absorb_letter *l)
{
    sae_table_text(t, "%c%s", 'a' + (int)c, l->in_d ? "" : " *");
    sae_table_real(t, truth->f1[c], 3);
    sae_table_count(t, (double)truth->n_test_of[c]);
    sae_table_count(t, (double)l->n_true_positives);
    sae_table_count(t, l->n_split ? (double)l->n_split : NAN);
    sae_table_real(t, split->n ? split->f1[split->n - 1] : NAN, 3);
    sae_table_real(t, l->full_rate, 4);
    sae_table_real(t, l->fraction_b, 4);
    sae_table_real(t, l->fraction_c, 4);
    sae_table_real(t, l->rate_a, 4);
}

static enum sae_status print_letters(const struct absorb_truth *truth,
                                     const struct absorb_letters *o, FILE *to, struct sae_err *err)
{
    static const char *const heads[] = {"letter",     "probe F1", "words", "true pos.",
                                        "splits",     "k-sp. F1", "full",  "fraction B",
                                        "fraction C", "version A"};
    struct sae_table *t = NULL;
    SAE_TRY(sae_table_make(&t, sizeof heads / sizeof *heads, heads, err));
    for (size_t c = 0; c < ABSORB_LETTERS; c++)
        row_letter(t, c, truth, &o->split[c], &o->letter[c]);
    const enum sae_status st = sae_table_print(t, to, 2, err);
    sae_table_free(t);
    return st;
}

static enum sae_status print_means(const struct absorb_letters *o, const struct absorb_settings *s,
                                   FILE *to, struct sae_err *err)
{
    static const char *const heads[] = {"version",  "letters", "rate",  "s.d.",
                                        "fraction", "s.d.",    "splits"};
    static const char *const names[] = {"A  SAEBench to 0.2", "B  SAEBench 0.3, 0.4.0",
                                        "C  SAEBench 0.4.1", "D  SAEBench now"};
    struct sae_table *t = NULL;
    SAE_TRY(sae_table_make(&t, sizeof heads / sizeof *heads, heads, err));
    for (int v = 0; v < ABSORB_VERSIONS; v++) {
        const struct absorb_mean m =
            absorb_mean_of(o->letter, (enum absorb_version)v, s->min_letters);
        sae_table_text(t, "%s", names[v]);
        sae_table_count(t, (double)m.n_letters);
        sae_table_real(t, m.rate, 4);
        sae_table_real(t, m.rate_sd, 4);
        sae_table_real(t, m.fraction, 4);
        sae_table_real(t, m.fraction_sd, 4);
        sae_table_real(t, m.n_split, 2);
    }
    const enum sae_status st = sae_table_print(t, to, 2, err);
    sae_table_free(t);
    return st;
}

enum sae_status absorb_table_print(const struct sae_ckpt *ckpt, const struct absorb_truth *truth,
                                   const struct absorb_letters *letters,
                                   const struct absorb_settings *s, FILE *to, struct sae_err *err)
{
    char sae[SAE_ARCH_DESCRIBED];
    sae_arch_describe(sae, ckpt->model.arch, ckpt->model.d, ckpt->model.m, ckpt->model.k);
    sae_utf8_print(
        to,
        "%s (%s): absorption of first letters, %zu training and %zu test words, the model "
        "names the letter of %.1f %%\n",
        ckpt->path, sae, truth->n_train, truth->n_test, 100.0 * truth->correct);
    SAE_TRY(print_letters(truth, letters, to, err));
    fprintf(to, "  * not in version D: probe F1 at most %g, or no true positives\n\n",
            s->min_probe_f1);
    fprintf(to, "  Means over letters; rate: share of words fully absorbed. Lower is better.\n");
    SAE_TRY(print_means(letters, s, to, err));
    const struct absorb_mean d = absorb_mean_of(letters->letter, ABSORB_D, s->min_letters);
    if (d.n_letters < s->min_letters)
        fprintf(to,
                "  Fewer than %zu letters (%zu) have a probe of F1 > %g: version D gives no mean "
                "here,\n  and versions B and C include letters that the model hardly knows.\n",
                s->min_letters, d.n_letters, s->min_probe_f1);
    return SAE_OK;
}
