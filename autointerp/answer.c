/* SPDX-License-Identifier: MIT */
/* answer : the result as JSON in SAEBench's shape, the part file, and the table for people.
 *
 * SAEBench's keys keep their names and meaning: autointerp_score, autointerp_std_dev, and of each
 * latent latent, explanation, predictions, "correct seqs", score, logs.
 *
 * Contents:  1. one latent   2. the part file   3. the result   4. the table */
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
#include "lib/eval/output.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/file/result.h"

static enum sae_status no_memory(struct sae_err *err)
{
    return sae_err_set(err, SAE_ENOMEM, "out of memory writing the result");
}

/* --- 1. one latent --------------------------------------------------------------------------- */

/* Numbers, from 1, of the sequences that were named, or that fire (SAEBench's truth). */
static json_t *sequences(const struct autointerp_pick *pick, const bool *said)
{
    json_t *const list = json_array();
    for (size_t i = 0; i < AUTOINTERP_SCORE; i++)
        if (said != NULL ? said[i] : pick->score[i].fires && !pick->score[i].random)
            json_array_append_new(list, json_integer((json_int_t)i + 1));
    return list;
}

static json_t *latent_json(const struct autointerp_pick *pick, const struct autointerp_outcome *o)
{
    return json_pack("{s:I, s:s, s:o, s:o, s:f, s:f, s:s}", "latent", (json_int_t)pick->latent,
                     "explanation", o->explanation, "predictions", sequences(pick, o->said),
                     "correct seqs", sequences(pick, NULL), "score", o->mark.score, "score_checked",
                     o->mark.checked, "logs", o->log != NULL ? o->log : "");
}

/* {"<latent>": {...}} of those that are done. */
static json_t *latents_json(const struct autointerp_job *job)
{
    json_t *const to = json_object();
    for (size_t i = 0; i < job->n; i++) {
        char key[16];
        if (!job->outcomes[i].done)
            continue;
        snprintf(key, sizeof key, "%u", job->picks[i].latent);
        if (json_object_set_new(to, key, latent_json(&job->picks[i], &job->outcomes[i])) != 0) {
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
        n += job->outcomes[i].done;
    return n;
}

/* --- 2. the part file ------------------------------------------------------------------------ */

/* The text the excerpts come from, by its file's name; SAEBench wants one. */
static const char *text_of(const struct sae_ckpt *ckpt)
{
    const json_t *const text = ckpt->record ? sae_record_find_input(ckpt->record, "text") : NULL;
    return text ? sae_fs_base(sae_json_str(text, "path", "unknown")) : "unknown";
}

/* Everything an answer depends on but the checkpoint; SAEBench's names first. */
static json_t *config_json(const struct autointerp_job *job)
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

enum sae_status autointerp_part_save(const char *path, const struct autointerp_job *job,
                                     struct sae_err *err)
{
    json_t *const part = json_pack("{s:o, s:s, s:o}", "eval_config", config_json(job), "checkpoint",
                                   job->ckpt->id, "eval_result_unstructured", latents_json(job));
    if (part == NULL)
        return no_memory(err);
    const enum sae_status st = sae_json_save(path, part, err);
    json_decref(part);
    return st;
}

/* Takes one finished latent over where it faced the same excerpts. */
static enum sae_status take_latent(struct autointerp_outcome *o, const struct autointerp_pick *pick,
                                   const json_t *kept, struct sae_err *err)
{
    const char *const explanation = sae_json_str(kept, "explanation", NULL);
    const json_t *const named = json_object_get(kept, "predictions");
    json_t *const truth = sequences(pick, NULL);
    const bool same = json_equal(truth, json_object_get(kept, "correct seqs"));
    bool said[AUTOINTERP_SCORE] = {false};
    size_t i;
    const json_t *number;
    json_decref(truth);
    if (explanation == NULL || !json_is_array(named) || !same)
        return SAE_OK;
    json_array_foreach(named, i, number)
    {
        const json_int_t n = json_integer_value(number);
        if (n < 1 || n > AUTOINTERP_SCORE)
            return SAE_OK;
        said[n - 1] = true;
    }
    SAE_TRY(sae_mem_strdup(&o->explanation, explanation, err));
    SAE_TRY(sae_mem_strdup(&o->log, sae_json_str(kept, "logs", ""), err));
    memcpy(o->said, said, sizeof said);
    o->mark = autointerp_mark_of(said, pick);
    o->done = true;
    return SAE_OK;
}

enum sae_status autointerp_part_load(size_t *ret_n_taken, const char *path,
                                     struct autointerp_job *job, struct sae_err *err)
{
    *ret_n_taken = 0;
    if (!sae_fs_is_file(path))
        return SAE_OK;
    json_t *file = NULL, *config = config_json(job);
    struct sae_err ignored;
    enum sae_status st = SAE_OK;
    /* a damaged file costs the work in it and nothing else */
    if (sae_json_load(&file, path, &ignored) != SAE_OK || config == NULL ||
        !json_equal(config, json_object_get(file, "eval_config")))
        goto done;
    const char *const id =
        sae_json_str(file, "checkpoint", sae_json_str(file, "saekit.checkpoint.id", ""));
    if (strcmp(id, job->ckpt->id) != 0)
        goto done;
    const json_t *const latents = json_object_get(file, "eval_result_unstructured");
    for (size_t i = 0; i < job->n; i++) {
        char key[16];
        snprintf(key, sizeof key, "%u", job->picks[i].latent);
        if (job->outcomes[i].done || json_object_get(latents, key) == NULL)
            continue;
        SAE_GO(st,
               take_latent(&job->outcomes[i], &job->picks[i], json_object_get(latents, key), err));
        *ret_n_taken += job->outcomes[i].done;
    }
done:
    json_decref(file);
    json_decref(config);
    return st;
}

/* --- 3. the result --------------------------------------------------------------------------- */

/* Over the latents that were scored. */
static struct sae_score_mean mean_of(const struct autointerp_job *job, double *room,
                                     size_t offset_in_mark)
{
    for (size_t i = 0; i < job->n; i++) {
        room[i] = NAN;
        if (job->outcomes[i].done)
            memcpy(&room[i], (const char *)&job->outcomes[i].mark + offset_in_mark, sizeof *room);
    }
    return sae_score_mean_of(room, job->n, 1);
}

#define MEAN(member) mean_of(job, room, offsetof(struct autointerp_mark, member))

static json_t *metrics_json(const struct autointerp_job *job, double *room)
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
        const struct autointerp_outcome *const o = &job->outcomes[i];
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

enum sae_status autointerp_result_make(json_t **ret, const struct autointerp_job *job,
                                       json_t *record, struct sae_err *err)
{
    double *room = NULL;
    struct sae_result_parts parts = {.eval_type_id = "autointerp"};
    enum sae_status st;
    if (count_done(job) == 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': none of %zu latents could be scored; the first failed with: %s",
                           job->ckpt->path, job->n, job->outcomes[0].why);
    SAE_GO(st, sae_mem_alloc(&room, job->n, sizeof *room, err));
    parts.config = config_json(job);
    parts.metrics = metrics_json(job, room);
    parts.details = details_json(job);
    parts.unstructured = latents_json(job);
    parts.record = json_incref(record);
    parts.versions = versions_json();
    if (!parts.config || !parts.metrics || !parts.details || !parts.unstructured ||
        !parts.versions) {
        st = no_memory(err);
        goto done;
    }
    SAE_GO(st, sae_output_config(&parts.sae_cfg, job->ckpt, err));
    SAE_GO(st, sae_output_checkpoint(&parts.checkpoint, job->ckpt, err));
    SAE_GO(st, sae_result_make(ret, &parts, err));
done:
    free(room);
    sae_result_parts_clear(&parts);
    return st;
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
    shorten(text, job->outcomes[i].explanation);
    sae_table_count(table, job->picks[i].latent);
    sae_table_count(table, (double)job->picks[i].n_active);
    sae_table_real(table, job->outcomes[i].mark.score, 3);
    sae_table_real(table, job->outcomes[i].mark.checked, 3);
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
        if (job->outcomes[i].done)
            ranked[n++] = (struct ranked){job->outcomes[i].mark.score, i};
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
    double *room = NULL;
    const struct sae_model *const model = &job->ckpt->model;
    SAE_TRY(sae_mem_alloc(&room, job->n, sizeof *room, err));
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
    free(room);
    return st;
}
