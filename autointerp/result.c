/* SPDX-License-Identifier: MIT */
/* result : the result as JSON in SAEBench's shape, and the table for people.
 *
 * SAEBench's keys keep their names and meaning: autointerp_score, autointerp_std_dev, and of each
 * latent latent, explanation, predictions, "correct seqs", score, logs.
 *
 * Contents:  1. one latent   2. the question   3. the result   4. the table */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autointerp/autointerp.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/cli/table.h"
#include "lib/eval/score.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/file/result.h"

/* --- 1. one latent --------------------------------------------------------------------------- */

/* Numbers, from 1, of the sequences that were named, or that fire (SAEBench's truth). */
json_t *autointerp_sequences(const struct autointerp_pick *pick, const bool *said)
{
    json_t *const list = json_array();
    for (size_t i = 0; i < AUTOINTERP_SCORE; i++)
        if (said != NULL ? said[i] : pick->score[i].fires && !pick->score[i].random)
            json_array_append_new(list, json_integer((json_int_t)i + 1));
    return list;
}

static json_t *latent_json(const struct autointerp_pick *pick, const struct autointerp_answer *o)
{
    return json_pack("{s:I, s:s, s:o, s:o, s:f, s:f, s:s}", "latent", (json_int_t)pick->latent,
                     "explanation", o->explanation, "predictions", autointerp_sequences(pick, o->said),
                     "correct seqs", autointerp_sequences(pick, NULL), "score", o->mark.score, "score_checked",
                     o->mark.checked, "logs", o->log != NULL ? o->log : "");
}

/* {"<latent>": {...}} of those that are done. */
json_t *autointerp_latents(const struct autointerp_job *job)
{
    json_t *const to = json_object();
    for (size_t i = 0; i < job->n; i++) {
        char key[16];
        if (!job->answers[i].done)
            continue;
        snprintf(key, sizeof key, "%u", job->picks[i].latent);
        if (json_object_set_new(to, key, latent_json(&job->picks[i], &job->answers[i])) != 0) {
            json_decref(to);
            return NULL;
        }
    }
    return to;
}

static size_t count_done(const struct autointerp_job *job)
{
    size_t n = 0;
    for (size_t i = 0; i < job->n; i++)
        n += job->answers[i].done;
    return n;
}

/* --- 2. the question ------------------------------------------------------------------------- */

/* The text the excerpts come from, by its file's name; SAEBench wants one. */
static const char *text_of(const struct sae_ckpt *ckpt)
{
    const json_t *const text = ckpt->record ? sae_record_find_input(ckpt->record, "text") : NULL;
    return text ? sae_fs_base(sae_json_str(text, "path", "unknown")) : "unknown";
}

/* Everything an answer depends on but the checkpoint; SAEBench's names first. */
json_t *autointerp_config(const struct autointerp_job *job)
{
    const struct autointerp_settings *const s = job->settings;
    const json_t *const site = sae_store_site(job->ckpt->record);
    return json_pack(
        "{s:s?, s:I, s:n, s:I, s:o, s:s, s:I, s:i, s:s, s:i, s:b, s:f, s:I, s:b, s:i, s:b, s:i, "
        "s:i, s:i, s:i, s:i, s:s, s:s, s:s?, s:s, s:s}",
        "model_name", site ? sae_json_str(site, "model", NULL) : NULL, "n_latents",
        (json_int_t)s->n_latents, "override_latents", "dead_latent_threshold",
        (json_int_t)s->min_active, "random_seed", sae_json_whole(s->seed), "dataset_name",
        text_of(job->ckpt), "llm_context_size", (json_int_t)job->corpus->T, "llm_batch_size", 0,
        "llm_dtype", "float32",
        "buffer", AUTOINTERP_BUFFER, "no_overlap", 1, "act_threshold_frac", AUTOINTERP_ACTIVE_SHARE,
        "total_tokens", (json_int_t)(job->corpus->n_contexts * job->corpus->T), "scoring", 1,
        "max_tokens_in_explanation", AUTOINTERP_EXPLAIN_TOKENS, "use_demos_in_explanation", 1,
        "n_top_ex_for_generation", AUTOINTERP_TOP_EXPLAIN, "n_iw_sampled_ex_for_generation",
        AUTOINTERP_WEIGHTED_EXPLAIN, "n_top_ex_for_scoring",
        AUTOINTERP_TOP - AUTOINTERP_TOP_EXPLAIN, "n_random_ex_for_scoring", AUTOINTERP_RANDOM,
        "n_iw_sampled_ex_for_scoring", AUTOINTERP_WEIGHTED - AUTOINTERP_WEIGHTED_EXPLAIN,
        "explainer", s->llm, "api_base", s->api_base, "request", s->body, "acts_id", job->acts_id,
        "prompts", "saekit-1");
}

/* --- 3. the result --------------------------------------------------------------------------- */

/* Over the latents that were scored. */
static struct sae_score_mean mean_of(const struct autointerp_job *job, double *scratch,
                                     size_t offset_in_mark)
{
    for (size_t i = 0; i < job->n; i++) {
        scratch[i] = NAN;
        if (job->answers[i].done)
            memcpy(&scratch[i], (const char *)&job->answers[i].mark + offset_in_mark, sizeof *scratch);
    }
    return sae_score_mean_of(scratch, job->n, 1);
}

#define MEAN(member) mean_of(job, scratch, offsetof(struct autointerp_mark, member))

static json_t *metrics_json(const struct autointerp_job *job, double *scratch)
{
    const struct sae_score_mean score = MEAN(score), checked = MEAN(checked);
    return json_pack(
        "{s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I}}", "autointerp", "autointerp_score",
        sae_json_number(score.mean), "autointerp_std_dev", sae_json_number(score.sd),
        "autointerp_se", sae_json_number(score.sd / sqrt((double)score.n)),
        "autointerp_score_checked", sae_json_number(checked.mean), "autointerp_std_dev_checked",
        sae_json_number(checked.sd), "hit_rate", sae_json_number(MEAN(hits).mean), "pass_rate",
        sae_json_number(MEAN(passes).mean), "latents_chosen", (json_int_t)job->n, "latents_scored",
        (json_int_t)score.n, "latents_failed", (json_int_t)(job->n - score.n));
}

static json_t *details_json(const struct autointerp_job *job)
{
    json_t *const list = json_array();
    for (size_t i = 0; i < job->n; i++) {
        const struct autointerp_answer *const o = &job->answers[i];
        json_array_append_new(
            list,
            json_pack("{s:I, s:s, s:I, s:o, s:o, s:s?, s:s?}", "latent",
                      (json_int_t)job->picks[i].latent, "status", o->done ? "scored" : "failed",
                      "active_tokens", (json_int_t)job->picks[i].n_active, "score",
                      sae_json_number(o->done ? o->mark.score : NAN), "score_checked",
                      sae_json_number(o->done ? o->mark.checked : NAN), "explanation",
                      o->explanation, "reason", o->done ? NULL : o->why));
    }
    return list;
}

static json_t *versions_json(void)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s}", "autointerp_score",
        "saebench-0.6 autointerp: 15 excerpts explain, 14 score; random excerpts count as silent; "
        "f32 activations; prompts saekit-1",
        "autointerp_score_checked", "saekit-1: the same, random excerpts looked up", "hit_rate",
        "saekit-1: share of the 4 excerpts with activity that were named", "pass_rate",
        "saekit-1: share of the 10 random excerpts that were not named");
}

enum sae_status autointerp_result_parts(struct sae_result_parts *ret,
                                        const struct autointerp_job *job, struct sae_err *err)
{
    double *scratch = NULL;
    if (count_done(job) == 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': none of %zu latents could be scored; the first failed with: %s",
                           job->ckpt->path, job->n, job->answers[0].why);
    SAE_TRY(sae_mem_alloc(&scratch, job->n, sizeof *scratch, err));
    *ret = (struct sae_result_parts){.config = autointerp_config(job),
                                     .metrics = metrics_json(job, scratch),
                                     .details = details_json(job),
                                     .unstructured = autointerp_latents(job),
                                     .versions = versions_json()};
    free(scratch);
    return SAE_OK;
}

/* --- 4. the table ---------------------------------------------------------------------------- */

enum { SHOWN = 10, EXPLANATION = 66 }; /* latents from each end; columns of an explanation */

struct ranked {
    double score;
    size_t i;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *const x = a, *const y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->i > y->i) - (x->i < y->i);
}

/* The start of an explanation on one line, cut between characters. */
static void shorten(char to[EXPLANATION * 4 + 4], const char *text)
{
    size_t n = 0, columns = 0;
    for (; text[n] != '\0'; n++) {
        columns += ((unsigned char)text[n] & 0xC0U) != 0x80U;
        if (columns > EXPLANATION)
            break;
        to[n] = (unsigned char)text[n] < 0x20 ? ' ' : text[n];
    }
    to[n] = '\0';
    if (text[n] != '\0')
        memcpy(to + n, "...", 4);
}

static void put_latent(struct sae_table *table, const struct autointerp_job *job, size_t i)
{
    char text[EXPLANATION * 4 + 4];
    shorten(text, job->answers[i].explanation);
    sae_table_count(table, job->picks[i].latent);
    sae_table_count(table, (double)job->picks[i].n_active);
    sae_table_real(table, job->answers[i].mark.score, 3);
    sae_table_real(table, job->answers[i].mark.checked, 3);
    sae_table_text(table, "%s", text);
}

static enum sae_status print_latents(const struct autointerp_job *job, FILE *to,
                                     struct sae_err *err)
{
    static const char *const heads[] = {"latent", "active tokens", "score", "checked",
                                        "activates on"};
    struct sae_table *table = NULL;
    struct ranked *ranked = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&ranked, job->n, sizeof *ranked, err));
    for (size_t i = 0; i < job->n; i++)
        if (job->answers[i].done)
            ranked[n++] = (struct ranked){job->answers[i].mark.score, i};
    qsort(ranked, n, sizeof *ranked, by_score);
    SAE_GO(st, sae_table_make(&table, sizeof heads / sizeof *heads, heads, err));
    for (size_t r = 0; r < n; r++)
        if (r < SHOWN || r + SHOWN >= n)
            put_latent(table, job, ranked[r].i);
    st = sae_table_print(table, to, 2, err);
    if (n > 2 * SHOWN)
        fprintf(to, "  the %d best and the %d worst of %zu; the rest is in the result\n", SHOWN,
                SHOWN, n);
done:
    sae_table_free(table);
    free(ranked);
    return st;
}

enum sae_status autointerp_table_print(const struct autointerp_job *job, FILE *to,
                                       struct sae_err *err)
{
    char sae[SAE_ARCH_DESCRIBED];
    double *scratch = NULL;
    const struct sae_model *const model = &job->ckpt->model;
    SAE_TRY(sae_mem_alloc(&scratch, job->n, sizeof *scratch, err));
    const struct sae_score_mean score = MEAN(score), checked = MEAN(checked);
    sae_arch_describe(sae, model->arch, model->d, model->m, model->k);
    sae_utf8_print(to, "%s (%s): latents explained and predicted by %s\n", job->ckpt->path, sae,
                   job->settings->llm);
    enum sae_status st = print_latents(job, to, err);
    fprintf(to, "  mean score %.4f", score.mean);
    if (isfinite(score.sd))
        fprintf(to, " (sd %.4f, s.e. %.4f)", score.sd, score.sd / sqrt((double)score.n));
    fprintf(to, " over %zu of %zu latents chosen", score.n, job->n);
    if (score.n < job->n)
        fprintf(to, "; %zu FAILED and are not in it", job->n - score.n);
    fprintf(to,
            "\n  checked %.4f: random excerpts looked up; named %.3f of the excerpts with "
            "activity, passed over %.3f of the random ones; naming none scores 0.714\n",
            checked.mean, MEAN(hits).mean, MEAN(passes).mean);
    free(scratch);
    return st;
}
