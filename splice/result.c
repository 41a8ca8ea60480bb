/* SPDX-License-Identifier: MIT */
/* result : what the result of one checkpoint is made of, in SAEBench's shape (core, section 1.6):
 * corrected metrics under further keys, the formula of each named. */
#include <math.h>
#include <string.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/str.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "splice/recover.h"
#include "splice/splice.h"

/* One text, as SAEBench's field is: names with a comma between. */
static json_t *texts_of(const struct splice_source *source)
{
    struct sae_str names = {0};
    for (size_t i = 0; i < source->n_texts; i++)
        if (sae_str_printf(&names, NULL, "%s%s", i > 0 ? "," : "", sae_fs_base(source->texts[i])) !=
            SAE_OK)
            break;
    json_t *const list = json_string(names.s != NULL ? names.s : "");
    sae_str_clear(&names);
    return list;
}

static json_t *config_of(const struct splice_measured *o)
{
    const json_int_t batch = (json_int_t)o->settings->batch;
    const json_int_t batches = ((json_int_t)o->text->n + batch - 1) / batch;
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:o, s:I, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:I, "
        "s:I, s:I, s:s, s:s}",
        "model_name", o->model_name, "llm_dtype",
        strstr(o->numerics, "bf16") != NULL ? "bfloat16" : "float32", "batch_size_prompts", batch,
        "n_eval_reconstruction_batches", batches, "n_eval_sparsity_variance_batches", batches,
        "dataset", texts_of(o->source), "context_size", (json_int_t)o->text->context, "compute_kl",
        1, "compute_ce_loss", 1, "compute_l2_norms", 1, "compute_sparsity_metrics", 1,
        "compute_variance_metrics", 1, "compute_featurewise_density_statistics",
        (int)o->settings->features, "compute_featurewise_weight_based_metrics",
        (int)o->settings->features, "exclude_special_tokens_from_reconstruction", 1, "verbose", 0,
        "contexts", (json_int_t)o->text->n, "first_document", (json_int_t)o->text->first_document,
        "last_document", (json_int_t)o->text->last_document, "text_part",
        o->text->is_tail                                  ? "tail of the store's text"
        : o->source->recorded_text && o->source->skip > 0 ? "after the store's documents"
                                                          : "as named",
        "llm_numerics", o->numerics);
}

static int put(json_t *object, const char *key, double x)
{
    return json_object_set_new(object, key, sae_json_number(x));
}

static json_t *behaviour(const struct splice_measured *o)
{
    const double ablated = o->reference->kl_ablated, kl = o->sums->kl;
    json_t *part = json_object();
    put(part, "kl_div_score", splice_recover_score(0, kl, ablated));
    put(part, "kl_div_with_ablation", ablated);
    put(part, "kl_div_with_sae", kl);
    return part;
}

static json_t *performance(const struct splice_measured *o)
{
    const struct splice_reference *r = o->reference;
    json_t *part = json_object();
    put(part, "ce_loss_score", splice_recover_score(r->ce_clean, o->sums->ce, r->ce_ablated));
    put(part, "ce_loss_with_ablation", r->ce_ablated);
    put(part, "ce_loss_with_sae", o->sums->ce);
    put(part, "ce_loss_without_sae", r->ce_clean);
    return part;
}

static json_t *reconstruction(const struct splice_quality *q)
{
    json_t *part = json_object();
    put(part, "explained_variance", q->explained_variance);
    put(part, "explained_variance_legacy", q->explained_variance_legacy);
    put(part, "explained_variance_pooled", q->explained_variance_pooled);
    put(part, "mse", q->mse);
    put(part, "mse_per_token", q->mse_per_token);
    put(part, "cossim", q->cossim);
    return part;
}

static json_t *shrinkage(const struct splice_quality *q)
{
    json_t *part = json_object();
    put(part, "l2_norm_in", q->l2_norm_in);
    put(part, "l2_norm_out", q->l2_norm_out);
    put(part, "l2_ratio", q->l2_ratio);
    put(part, "relative_reconstruction_bias", q->relative_bias);
    return part;
}

static json_t *misc(const struct splice_measured *o, const struct splice_quality *q)
{
    json_t *part = json_object();
    put(part, "freq_over_1_percent", q->over_1);
    put(part, "freq_over_10_percent", q->over_10);
    put(part, "normalized_freq_over_1_percent", q->mass_1);
    put(part, "normalized_freq_over_10_percent", q->mass_10);
    put(part, "average_max_encoder_cosine_sim", o->weights->mean_max_enc);
    put(part, "average_max_decoder_cosine_sim", o->weights->mean_max_dec);
    put(part, "frac_alive", q->frac_alive);
    return part;
}

static json_t *metrics_of(const struct splice_measured *o)
{
    struct splice_quality q;
    splice_stats_finish(&o->sums->stats, &q);
    const json_int_t tokens = (json_int_t)(o->text->n * o->text->context);
    json_t *sparsity = json_object();
    put(sparsity, "l0", q.l0);
    put(sparsity, "l1", q.l1);
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:{s:I, s:I, s:I, s:I}, s:o}", "model_behavior_preservation",
        behaviour(o), "model_performance_preservation", performance(o), "reconstruction_quality",
        reconstruction(&q), "shrinkage", shrinkage(&q), "sparsity", sparsity, "token_stats",
        "total_tokens_eval_reconstruction", tokens, "total_tokens_eval_sparsity_variance", tokens,
        "tokens_averaged_kl", (json_int_t)o->reference->n_kl, "tokens_averaged_ce",
        (json_int_t)o->reference->n_ce, "misc_metrics", misc(o, &q));
}

/* As upstream: ten decimals. */
static json_t *rounded(double x)
{
    return sae_json_number(round(x * 1e10) / 1e10);
}

static json_t *details_of(const struct splice_measured *o)
{
    const struct sae_model *model = &o->ckpt->model;
    const struct splice_stats *stats = &o->sums->stats;
    const float *bias = model->b_enc != NULL ? model->b_enc : model->b_mag;
    json_t *rows = json_array();
    for (size_t i = 0; o->settings->features && i < model->m; i++) {
        const double active = (double)stats->active[i];
        json_t *row = json_object();
        json_object_set_new(row, "index", json_integer((json_int_t)i));
        json_object_set_new(row, "feature_density", rounded(active / (double)stats->n));
        json_object_set_new(row, "consistent_activation_heuristic",
                            stats->contexts[i] > 0 ? rounded(active / (double)stats->contexts[i])
                                                   : json_real(-1));
        json_object_set_new(row, "encoder_bias", rounded(bias != NULL ? (double)bias[i] : 0));
        json_object_set_new(row, "encoder_norm", rounded((double)o->weights->enc_norm[i]));
        json_object_set_new(row, "encoder_decoder_cosine_sim",
                            rounded((double)o->weights->enc_dec[i]));
        json_object_set_new(row, "max_decoder_cosine_sim", rounded((double)o->weights->max_dec[i]));
        json_object_set_new(row, "max_encoder_cosine_sim", rounded((double)o->weights->max_enc[i]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *versions_of(void)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "ce_loss_score",
        "SAEBench core: (ablated - sae) / (ablated - clean), input position not BOS, EOS, PAD",
        "kl_div_score",
        "saekit 1: (ablated - sae) / ablated, KL by log-softmax in f32; upstream's "
        "softmax-then-log "
        "value is NaN (printed -1) and not copied",
        "explained_variance", "SAEBench 0.6: 1 - R / (A - (A/d)^2); flawed, for comparison only",
        "explained_variance_legacy",
        "SAEBench before 2025-03-07: mean over tokens of 1 - |r|^2 / |x - batch mean|^2",
        "explained_variance_pooled", "saekit 1: 1 - sum |r|^2 / sum |x - mean over all tokens|^2",
        "mse", "SAEBench core: |r|^2 per token, divided by the tokens of its batch once more",
        "mse_per_token", "saekit 1: mean |r|^2", "cossim",
        "SAEBench core; a zero reconstruction counts 0 (upstream NaN, printed -1)", "text",
        "SAEBench packing; both passes on the same contexts");
}

struct sae_result_parts splice_result_parts(const struct splice_measured *measured)
{
    return (struct sae_result_parts){.config = config_of(measured),
                                     .metrics = metrics_of(measured),
                                     .details = details_of(measured),
                                     .unstructured = json_object(),
                                     .versions = versions_of()};
}

enum sae_status splice_result_inputs(json_t *record, const struct splice_measured *measured,
                                     struct sae_err *err)
{
    const struct splice_source *const source = measured->source;
    char hex[SAE_DIGEST_HEX];
    SAE_TRY(sae_record_input(record, "model", source->model, measured->model_id, NULL, err));
    for (size_t i = 0; i < source->n_texts; i++) {
        SAE_TRY(sae_digest_file(source->texts[i], hex, err));
        SAE_TRY(sae_record_input(record, "text", source->texts[i], hex, NULL, err));
    }
    return SAE_OK;
}
