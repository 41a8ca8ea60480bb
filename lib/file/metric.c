/* SPDX-License-Identifier: MIT */
/* metric : the rows. */
#include "lib/file/metric.h"

#include <string.h>

#define REC "eval_result_metrics.reconstruction_quality."
#define MEAN "eval_result_metrics.mean."
#define INTERP "eval_result_metrics.autointerp."
#define VERSION "eval_result_metrics.version_"

/* clang-format off */
static const struct sae_metric all[] = {
    /* held-out reconstruction, measured by training itself on rows it never trains on */
    {.id = "heldout_loss", .source = SAE_SOURCE_HELDOUT, .path = {"recon", "loss", "mse"}, .head = "loss",
     .digits = 3, .better = -1, .panel = "squared error (lower is better)", .axis = "|x - xhat|^2 per token",
     .log_axis = true,
     .meaning = "squared reconstruction error per held-out token, |x - xhat|^2 summed over the width"},
    {.id = "heldout_ev", .source = SAE_SOURCE_HELDOUT, .path = {"explained_variance"}, .head = "expl.var.",
     .column = "expl.var.", .name = "held-out explained variance", .digits = 4, .better = +1,
     .panel = "explained variance (higher is better)", .axis = "share of variance",
     .meaning = "share of the held-out activations' variance that the reconstruction explains; 1 is perfect",
     .version = "pooled: 1 - sum |x-xhat|^2 / sum |x-mean|^2"},
    {.id = "heldout_l0", .source = SAE_SOURCE_HELDOUT, .path = {"l0"}, .head = "L0",
     .name = "active latents a token (L0)", .digits = 1,
     .meaning = "active latents per held-out token; compare other numbers only at equal L0"},
    {.id = "heldout_cosine", .source = SAE_SOURCE_HELDOUT, .path = {"cossim"}, .head = "cosine", .digits = 4,
     .better = +1, .meaning = "mean cosine between activation and reconstruction"},
    {.id = "heldout_alive", .source = SAE_SOURCE_HELDOUT, .path = {"alive_share"}, .head = "alive",
     .digits = 4, .better = +1, .meaning = "share of latents that fire at least once on the held-out batch"},
    {.id = "heldout_dead", .source = SAE_SOURCE_HELDOUT, .path = {"dead"}, .head = "dead",
     .name = "dead latents", .better = -1,
     .meaning = "latents that have not fired for a long time (the training run's own dead-latent rule)"},

    /* separation */
#define FIELD(at, ...) {.source = SAE_SOURCE_ANALYZE, __VA_ARGS__},
#define MEASURE(of, ...) {.source = SAE_SOURCE_ANALYZE, __VA_ARGS__},
#include "lib/file/metric_separation.h"

    /* probing */
    {.id = "top_1", .source = SAE_SOURCE_PROBE, .path = {"eval_result_metrics.sae.sae_top_1_test_accuracy"},
     .head = "top 1", .column = "probe top 1", .name = "probing by the best latent", .digits = 4,
     .better = +1, .panel = "single best latent (k = 1)", .axis = "test accuracy", .level = "llm_top_1",
     .meaning = "test accuracy of telling a labelled concept from the rest by the single best latent, mean over data sets",
     .version = "SAEBench k-sparse probing"},
    {.id = "top_2", .source = SAE_SOURCE_PROBE, .path = {"eval_result_metrics.sae.sae_top_2_test_accuracy"},
     .head = "top 2", .digits = 4, .better = +1, .meaning = "by the best two latents"},
    {.id = "top_5", .source = SAE_SOURCE_PROBE, .path = {"eval_result_metrics.sae.sae_top_5_test_accuracy"},
     .head = "top 5", .digits = 4, .better = +1,
     .panel = "best five latents (k = 5)", .axis = "test accuracy", .level = "llm_top_5",
     .meaning = "by the best five latents"},
    {.id = "sae_full", .source = SAE_SOURCE_PROBE, .path = {"eval_result_metrics.sae.sae_test_accuracy"},
     .head = "all latents", .digits = 4, .better = +1, .extra = true, .meaning = "by all latents",
     .version = "logistic regression; published rows: the best test epoch of AdamW"},
    {.id = "llm_top_1", .source = SAE_SOURCE_PROBE,
     .path = {"eval_result_metrics.llm.llm_top_1_test_accuracy"}, .head = "neuron top 1",
     .name = "probing by the best raw neuron", .digits = 4,
     .meaning = "the same by the single best raw coordinate of the activation: the bar that a latent has to clear"},
    {.id = "llm_top_2", .source = SAE_SOURCE_PROBE,
     .path = {"eval_result_metrics.llm.llm_top_2_test_accuracy"}, .head = "neuron top 2", .digits = 4,
     .extra = true, .meaning = "by two raw coordinates"},
    {.id = "llm_top_5", .source = SAE_SOURCE_PROBE,
     .path = {"eval_result_metrics.llm.llm_top_5_test_accuracy"}, .head = "neuron top 5", .digits = 4,
     .meaning = "by five raw coordinates"},
    {.id = "llm_full", .source = SAE_SOURCE_PROBE, .path = {"eval_result_metrics.llm.llm_test_accuracy"},
     .head = "full probe", .digits = 4, .meaning = "by a probe on the whole raw activation: the ceiling",
     .version = "logistic regression; published rows: the best test epoch of AdamW"},

    /* probing as the package sae-probes has it */
    {.id = "last_top_1_auc", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.sae.sae_top_1_test_auc"}, .head = "top 1 AUC", .column = "sae-probes top 1",
     .name = "sae-probes by one latent (AUC)", .digits = 4, .better = +1, .panel = "one latent (k = 1)",
     .axis = "test AUC",
     .meaning = "area under the ROC curve of an L1 probe on the best latent at the last token, mean over data sets",
     .version = "sae-probes 0.4, normal"},
    {.id = "last_top_2_auc", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.sae.sae_top_2_test_auc"}, .head = "top 2 AUC", .digits = 4, .better = +1,
     .meaning = "by the best two latents"},
    {.id = "last_top_5_auc", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.sae.sae_top_5_test_auc"}, .head = "top 5 AUC", .digits = 4, .better = +1,
     .panel = "five latents (k = 5)", .axis = "test AUC", .level = "last_llm_auc",
     .meaning = "by the best five latents"},
    {.id = "last_llm_auc", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.llm.llm_test_auc"}, .head = "activation AUC", .digits = 4,
     .meaning = "by an L2 probe on the whole activation: the ceiling"},
    {.id = "last_top_1", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.sae.sae_top_1_test_accuracy"}, .head = "top 1", .digits = 4, .better = +1,
     .meaning = "accuracy of the same probes"},
    {.id = "last_top_2", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.sae.sae_top_2_test_accuracy"}, .head = "top 2", .digits = 4, .better = +1,
     .extra = true, .meaning = "by two latents"},
    {.id = "last_top_5", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.sae.sae_top_5_test_accuracy"}, .head = "top 5", .digits = 4, .better = +1,
     .meaning = "by five latents"},
    {.id = "last_llm", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.llm.llm_test_accuracy"}, .head = "activation", .digits = 4,
     .meaning = "by the whole activation"},
    {.id = "last_top_1_f1", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.sae.sae_top_1_test_f1"}, .head = "top 1 F1", .digits = 4, .better = +1,
     .extra = true, .meaning = "F1 of both classes, weighted by their texts"},
    {.id = "last_top_5_f1", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.sae.sae_top_5_test_f1"}, .head = "top 5 F1", .digits = 4, .better = +1,
     .extra = true, .meaning = "by five latents"},
    {.id = "last_llm_f1", .source = SAE_SOURCE_SAE_PROBES,
     .path = {"eval_result_metrics.llm.llm_test_f1"}, .head = "activation F1", .digits = 4, .extra = true,
     .meaning = "by the whole activation"},

    /* absorption */
    {.id = "absorption_a", .source = SAE_SOURCE_ABSORB, .path = {MEAN "mean_absorption_score"},
     .head = "score (A)", .column = "absorb.(A)", .name = "absorption (A)", .digits = 4, .better = -1,
     .panel = "absorption (version A; target below 0.01)", .axis = "share of words",
     .meaning = "share of words whose first letter the model knows while the letter's own latents stay silent and another latent carries it",
     .version = "A (to 2025-01-12); the version of the published baselines and of the target"},
    {.id = "absorption_full", .source = SAE_SOURCE_ABSORB,
     .path = {VERSION "c.mean_full_absorption_score", MEAN "mean_full_absorption_score"}, .head = "full",
     .column = "absorb.full", .name = "full absorption (C)", .digits = 4, .better = -1,
     .meaning = "the same over all words tested and all letters", .version = "B and C"},
    {.id = "absorption_fraction", .source = SAE_SOURCE_ABSORB,
     .path = {VERSION "c.mean_absorption_fraction_score", MEAN "mean_absorption_fraction_score"},
     .head = "fraction (C)", .digits = 4, .better = -1,
     .panel = "absorption fraction (version C)", .axis = "share of the letter direction",
     .meaning = "mean share of the letter direction carried by other latents", .version = "C (2025-03-27 on)"},
    {.id = "absorption_fraction_b", .source = SAE_SOURCE_ABSORB,
     .path = {VERSION "b.mean_absorption_fraction_score"}, .head = "fraction (B)", .digits = 4, .better = -1,
     .meaning = "the older fraction, over all latents and without thresholds; not comparable with (C)",
     .version = "B (2025-01-13 to 2025-03-26)"},
    {.id = "split_features", .source = SAE_SOURCE_ABSORB,
     .path = {VERSION "c.mean_num_split_features", MEAN "mean_num_split_features"}, .head = "split latents",
     .digits = 3, .better = -1, .meaning = "latents into which one letter is split; 1 is one latent a letter"},

    /* core */
    {.id = "ce_score", .source = SAE_SOURCE_CORE,
     .path = {"eval_result_metrics.model_performance_preservation.ce_loss_score"}, .head = "CE score",
     .column = "CE score", .name = "CE score of the language model", .digits = 4, .better = +1,
     .panel = "cross-entropy recovered", .axis = "score",
     .meaning = "share of the language model's prediction that survives when the reconstruction replaces the stream: 1 all, 0 as bad as zeros",
     .version = "SAEBench core"},
    {.id = "ce_sae", .source = SAE_SOURCE_CORE,
     .path = {"eval_result_metrics.model_performance_preservation.ce_loss_with_sae"}, .head = "CE spliced",
     .digits = 4, .better = -1, .meaning = "cross-entropy, nats per token, with the reconstruction in place"},
    {.id = "ce_clean", .source = SAE_SOURCE_CORE,
     .path = {"eval_result_metrics.model_performance_preservation.ce_loss_without_sae"}, .head = "CE clean",
     .digits = 4, .meaning = "of the untouched model"},
    {.id = "ce_ablated", .source = SAE_SOURCE_CORE,
     .path = {"eval_result_metrics.model_performance_preservation.ce_loss_with_ablation"},
     .head = "CE ablated", .digits = 4, .extra = true, .meaning = "with zeros in place"},
    {.id = "kl_score", .source = SAE_SOURCE_CORE,
     .path = {"eval_result_metrics.model_behavior_preservation.kl_div_score"}, .head = "KL score",
     .digits = 4, .better = +1, .panel = "predicted distribution recovered (KL)", .axis = "score",
     .meaning = "the same for the whole predicted distribution",
     .version = "KL by log-softmax in f32; published rows take the logarithm of a softmax in bf16"},
    {.id = "kl_sae", .source = SAE_SOURCE_CORE,
     .path = {"eval_result_metrics.model_behavior_preservation.kl_div_with_sae"}, .head = "KL spliced",
     .digits = 4, .better = -1, .extra = true, .meaning = "KL divergence, nats per token, clean to spliced"},
    {.id = "core_ev_legacy", .source = SAE_SOURCE_CORE, .path = {REC "explained_variance_legacy"},
     .head = "EV legacy", .digits = 4, .better = +1,
     .published = "reconstruction_quality.explained_variance",
     .meaning = "explained variance on the splice text",
     .version = "legacy: per-token ratio to a batch mean; the version of the published baselines"},
    {.id = "core_ev", .source = SAE_SOURCE_CORE, .path = {REC "explained_variance"}, .head = "EV SAEBench",
     .digits = 4, .better = +1, .published = "", .extra = true, .meaning = "the same",
     .version = "SAEBench 0.6, flawed upstream; copied for comparison only"},
    {.id = "core_ev_pooled", .source = SAE_SOURCE_CORE, .path = {REC "explained_variance_pooled"},
     .head = "EV pooled", .digits = 4, .better = +1,
     .panel = "explained variance", .axis = "share of variance", .meaning = "the same",
     .version = "pooled: 1 - sum |r|^2 / sum |x - mean|^2; the one to trust"},
    {.id = "core_mse", .source = SAE_SOURCE_CORE, .path = {REC "mse"}, .head = "mse", .digits = 5,
     .better = -1, .extra = true,
     .meaning = "squared error as upstream divides it, again by the tokens of a batch of 16 x 128"},
    {.id = "core_cossim", .source = SAE_SOURCE_CORE, .path = {REC "cossim"}, .head = "cosine", .digits = 4,
     .better = +1, .extra = true,
     .meaning = "mean cosine between activation and reconstruction on the splice text"},
    {.id = "core_l2_ratio", .source = SAE_SOURCE_CORE, .path = {"eval_result_metrics.shrinkage.l2_ratio"},
     .head = "L2 ratio", .digits = 4,
     .meaning = "length of the reconstruction over length of the activation; below 1 is shrinkage"},
    {.id = "core_bias", .source = SAE_SOURCE_CORE,
     .path = {"eval_result_metrics.shrinkage.relative_reconstruction_bias"}, .head = "rec. bias",
     .digits = 4, .extra = true, .meaning = "relative reconstruction bias; 1 is unbiased"},
    {.id = "core_l0", .source = SAE_SOURCE_CORE, .path = {"eval_result_metrics.sparsity.l0"}, .head = "L0",
     .name = "L0 on the splice text", .digits = 1, .meaning = "active latents per token on the splice text"},
    {.id = "core_alive", .source = SAE_SOURCE_CORE, .path = {"eval_result_metrics.misc_metrics.frac_alive"},
     .head = "alive", .digits = 4, .better = +1, .extra = true,
     .meaning = "share of latents that fire on the splice text (a short text leaves rare ones silent)"},

    /* unlearning */
    {.id = "unlearning", .source = SAE_SOURCE_UNLEARN,
     .path = {"eval_result_metrics.unlearning.unlearning_score"}, .head = "score", .name = "unlearning",
     .digits = 4, .better = +1,
     .meaning = "share of known questions on the knowledge to forget that are no longer answered "
                "when chosen latents are clamped, at the best setting that keeps 0.99 of the "
                "others",
     .version = "SAEBench 0.6; task and form of the questions: see the cautions"},
    {.id = "unlearning_kept", .source = SAE_SOURCE_UNLEARN,
     .path = {"eval_result_metrics.unlearning.best_side_effect_accuracy"}, .head = "kept", .digits = 4,
     .meaning = "share of the other known questions still answered there"},
    {.id = "unlearning_latents", .source = SAE_SOURCE_UNLEARN,
     .path = {"eval_result_metrics.unlearning.best_n_features"}, .head = "latents",
     .meaning = "latents clamped there"},
    {.id = "unlearning_multiplier", .source = SAE_SOURCE_UNLEARN,
     .path = {"eval_result_metrics.unlearning.best_multiplier"}, .head = "clamped to -",
     .meaning = "value a latent is set to where it fires, with its sign turned"},

    /* automated interpretability */
    {.id = "autointerp", .source = SAE_SOURCE_AUTOINTERP, .path = {INTERP "autointerp_score"},
     .head = "score", .column = "autointerp", .name = "automated interpretability", .digits = 4,
     .better = +1, .se = INTERP "autointerp_se",
     .meaning = "share of excerpts for which a language model that sees only its explanation of a "
                "latent judges correctly whether the latent fires there; naming none gives 0.714",
     .version = "SAEBench: excerpts drawn anywhere count as silent"},
    {.id = "autointerp_checked", .source = SAE_SOURCE_AUTOINTERP,
     .path = {INTERP "autointerp_score_checked"}, .head = "checked", .digits = 4, .better = +1,
     .meaning = "the same with those excerpts looked up"},
    {.id = "autointerp_se", .source = SAE_SOURCE_AUTOINTERP, .path = {INTERP "autointerp_se"},
     .head = "s.e.", .digits = 4, .meaning = "standard error of the score over the latents asked about"},
    {.id = "autointerp_hits", .source = SAE_SOURCE_AUTOINTERP, .path = {INTERP "hit_rate"},
     .head = "hit rate", .digits = 4, .better = +1,
     .meaning = "share of the excerpts with activity that were named"},
    {.id = "autointerp_passes", .source = SAE_SOURCE_AUTOINTERP, .path = {INTERP "pass_rate"},
     .head = "pass rate", .digits = 4, .better = +1, .extra = true,
     .meaning = "share of the excerpts drawn anywhere that were not named"},
    {.id = "autointerp_latents", .source = SAE_SOURCE_AUTOINTERP, .path = {INTERP "latents_scored"},
     .head = "latents", .meaning = "latents scored"},
    {.id = "autointerp_failed", .source = SAE_SOURCE_AUTOINTERP, .path = {INTERP "latents_failed"},
     .head = "failed", .better = -1,
     .meaning = "latents that the endpoint gave no usable answer for; they are not in the scores"},

    /* SCR and TPP, by ten and twenty latents as published plots have them */
    {.id = "scr_10", .source = SAE_SOURCE_SCR,
     .path = {"eval_result_metrics.scr_metrics.scr_metric_threshold_10"}, .head = "10 latents",
     .name = "SCR by 10 latents", .digits = 4, .better = +1,
     .meaning = "share of the accuracy lost to a spurious correlation that comes back when the latents of it are set to zero; mean over pairs of classes",
     .version = "SAEBench 0.6"},
    {.id = "scr_10_se", .source = SAE_SOURCE_SCR,
     .path = {"eval_result_metrics.scr_metrics.scr_metric_threshold_10_se"}, .head = "s.e.", .digits = 4,
     .meaning = "standard error of that over seeds of the probes"},
    {.id = "scr_20", .source = SAE_SOURCE_SCR,
     .path = {"eval_result_metrics.scr_metrics.scr_metric_threshold_20"}, .head = "20 latents", .digits = 4,
     .better = +1, .meaning = "the same with twenty latents"},
    {.id = "tpp_10", .source = SAE_SOURCE_TPP,
     .path = {"eval_result_metrics.tpp_metrics.tpp_threshold_10_total_metric"}, .head = "10 latents",
     .name = "TPP by 10 latents", .digits = 4, .better = +1,
     .meaning = "accuracy that a class's probe loses when its latents are set to zero, less what the other classes' probes lose",
     .version = "SAEBench 0.6"},
    {.id = "tpp_10_se", .source = SAE_SOURCE_TPP,
     .path = {"eval_result_metrics.tpp_metrics.tpp_threshold_10_total_metric_se"}, .head = "s.e.",
     .digits = 4, .meaning = "standard error of that over seeds of probes and examples"},
    {.id = "tpp_20", .source = SAE_SOURCE_TPP,
     .path = {"eval_result_metrics.tpp_metrics.tpp_threshold_20_total_metric"}, .head = "20 latents",
     .digits = 4, .better = +1, .meaning = "the same with twenty latents"},
};
/* clang-format on */

const struct sae_metric *sae_metric_next(const struct sae_metric *metric)
{
    const struct sae_metric *const end = all + sizeof all / sizeof *all;
    metric = metric != NULL ? metric + 1 : all;
    while (metric < end && metric->id == NULL)
        metric++;
    return metric < end ? metric : NULL;
}

const struct sae_metric *sae_metric_by(const char *id)
{
    SAE_EACH_METRIC(m)
    {
        if (strcmp(m->id, id) == 0)
            return m;
    }
    return NULL;
}
