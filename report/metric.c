/* SPDX-License-Identifier: MIT */
/* metric : every number the report knows - where it stands, what it means, which way is better. */
#include <math.h>
#include <string.h>

#include "lib/file/json.h"
#include "report/report.h"

/* clang-format off */
#define SEP "eval_result_metrics.separation."
#define SPEC "eval_result_metrics.spectrum."
#define COMP "eval_result_metrics.competition."
#define REC "eval_result_metrics.reconstruction_quality."
#define MEAN "eval_result_metrics.mean."
#define INTERP "eval_result_metrics.autointerp."
#define VERSION "eval_result_metrics.version_"

const struct report_metric report_metrics[] = {
    /* held-out reconstruction, measured by training itself on rows it never trains on */
    {"heldout_loss", REPORT_HELDOUT, {"recon", "loss", "mse"}, "loss", 3, -1,
     "squared reconstruction error per held-out token, |x - xhat|^2 summed over the width", NULL, 0},
    {"heldout_ev", REPORT_HELDOUT, {"explained_variance"}, "expl.var.", 4, +1,
     "share of the held-out activations' variance that the reconstruction explains; 1 is perfect",
     "pooled: 1 - sum |x-xhat|^2 / sum |x-mean|^2", 0},
    {"heldout_l0", REPORT_HELDOUT, {"l0"}, "L0", 1, 0,
     "active latents per held-out token; compare other numbers only at equal L0", NULL, 0},
    {"heldout_cosine", REPORT_HELDOUT, {"cossim"}, "cosine", 4, +1,
     "mean cosine between activation and reconstruction", NULL, 0},
    {"heldout_alive", REPORT_HELDOUT, {"alive_share"}, "alive", 4, +1,
     "share of latents that fire at least once on the held-out batch", NULL, 0},
    {"heldout_dead", REPORT_HELDOUT, {"dead"}, "dead", 0, -1,
     "latents that have not fired for a long time (the training run's own dead-latent rule)", NULL, 0},

    /* separation */
    {"mean_max_cos", REPORT_ANALYZE, {SEP "average_max_decoder_cosine_sim"}, "mean max cos", 4, -1,
     "each feature direction's cosine to its nearest other direction, averaged over features", NULL, 0},
    {"random_max_cos", REPORT_ANALYZE, {SEP "random_average_max_decoder_cosine_sim"}, "by chance", 4, 0,
     "what random directions of this number and width would give for it", NULL, 0},
    {"mean_max_abs_cos", REPORT_ANALYZE, {SEP "average_max_abs_decoder_cosine_sim"}, "max |cos|", 4, -1,
     "the same with opposite directions counted as near", NULL, 1},
    {"mean_abs_cos", REPORT_ANALYZE, {SEP "mean_abs_cosine"}, "mean |cos|", 4, -1,
     "|cosine| averaged over all pairs of directions", NULL, 0},
    {"coherence", REPORT_ANALYZE, {SEP "coherence"}, "coherence", 4, -1,
     "the largest |cosine| of any pair; 1 means two latents share one direction", NULL, 0},
    {"effective_rank", REPORT_ANALYZE, {SPEC "effective_rank"}, "eff. rank", 1, +1,
     "exp(entropy) of the decoder Gram spectrum: how many dimensions the directions really use, at most d", NULL, 0},
    {"n_pairs", REPORT_ANALYZE, {COMP "reference_competing_pairs"}, "comp. pairs", 0, -1,
     "pairs of features that compete, that is, fire together on more than a tenth of the rarer one's tokens (tau 0.1, one rule for all runs and phases)", NULL, 0},
    {"pairs_mean_abs_cos", REPORT_ANALYZE, {COMP "reference_mean_abs_cosine"}, "their |cos|", 4, -1,
     "mean |cosine| of those competing pairs: what the orthogonality term is to push down", NULL, 0},
    {"own_pairs", REPORT_ANALYZE, {COMP "competing_pairs"}, "own pairs", 0, 0,
     "competing pairs under the run's own rule and threshold at that phase", NULL, 1},
    {"own_mean_abs_cos", REPORT_ANALYZE, {COMP "mean_abs_cosine"}, "own |cos|", 4, 0,
     "mean |cosine| of those", NULL, 1},
    {"duplicates", REPORT_ANALYZE, {SEP "duplicate_pairs"}, "duplicates", 0, -1,
     "pairs of features that point almost the same way", NULL, 1},
    {"silent", REPORT_ANALYZE, {"eval_result_metrics.usage.dead_latents"}, "silent", 0, -1,
     "latents that never fire on the held-out batch", NULL, 1},

    /* probing */
    {"top_1", REPORT_PROBE, {"eval_result_metrics.sae.sae_top_1_test_accuracy"}, "top 1", 4, +1,
     "test accuracy of telling a labelled concept from the rest by the single best latent, mean over data sets", "SAEBench k-sparse probing", 0},
    {"top_2", REPORT_PROBE, {"eval_result_metrics.sae.sae_top_2_test_accuracy"}, "top 2", 4, +1,
     "by the best two latents", NULL, 0},
    {"top_5", REPORT_PROBE, {"eval_result_metrics.sae.sae_top_5_test_accuracy"}, "top 5", 4, +1,
     "by the best five latents", NULL, 0},
    {"sae_full", REPORT_PROBE, {"eval_result_metrics.sae.sae_test_accuracy"}, "all latents", 4, +1,
     "by all latents", "logistic regression; published rows: the best test epoch of AdamW", 1},
    {"llm_top_1", REPORT_PROBE, {"eval_result_metrics.llm.llm_top_1_test_accuracy"}, "neuron top 1", 4, 0,
     "the same by the single best raw coordinate of the activation: the bar that a latent has to clear", NULL, 0},
    {"llm_top_2", REPORT_PROBE, {"eval_result_metrics.llm.llm_top_2_test_accuracy"}, "neuron top 2", 4, 0,
     "by two raw coordinates", NULL, 1},
    {"llm_top_5", REPORT_PROBE, {"eval_result_metrics.llm.llm_top_5_test_accuracy"}, "neuron top 5", 4, 0,
     "by five raw coordinates", NULL, 0},
    {"llm_full", REPORT_PROBE, {"eval_result_metrics.llm.llm_test_accuracy"}, "full probe", 4, 0,
     "by a probe on the whole raw activation: the ceiling", "logistic regression; published rows: the best test epoch of AdamW", 0},

    /* absorption */
    {"absorption_a", REPORT_ABSORB, {MEAN "mean_absorption_score"}, "score (A)", 4, -1,
     "share of words whose first letter the model knows while the letter's own latents stay silent and another latent carries it", "A (to 2025-01-12); the version of the published baselines and of the target", 0},
    {"absorption_full", REPORT_ABSORB, {VERSION "c.mean_full_absorption_score", MEAN "mean_full_absorption_score"}, "full", 4, -1,
     "the same over all words tested and all letters", "B and C", 0},
    {"absorption_fraction", REPORT_ABSORB, {VERSION "c.mean_absorption_fraction_score", MEAN "mean_absorption_fraction_score"}, "fraction (C)", 4, -1,
     "mean share of the letter direction carried by other latents", "C (2025-03-27 on)", 0},
    {"absorption_fraction_b", REPORT_ABSORB, {VERSION "b.mean_absorption_fraction_score"}, "fraction (B)", 4, -1,
     "the older fraction, over all latents and without thresholds; not comparable with (C)", "B (2025-01-13 to 2025-03-26)", 0},
    {"split_features", REPORT_ABSORB, {VERSION "c.mean_num_split_features", MEAN "mean_num_split_features"}, "split latents", 3, -1,
     "latents into which one letter is split; 1 is one latent a letter", NULL, 0},

    /* core */
    {"ce_score", REPORT_CORE, {"eval_result_metrics.model_performance_preservation.ce_loss_score"}, "CE score", 4, +1,
     "share of the language model's prediction that survives when the reconstruction replaces the stream: 1 all, 0 as bad as zeros", "SAEBench core", 0},
    {"ce_sae", REPORT_CORE, {"eval_result_metrics.model_performance_preservation.ce_loss_with_sae"}, "CE spliced", 4, -1,
     "cross-entropy, nats per token, with the reconstruction in place", NULL, 0},
    {"ce_clean", REPORT_CORE, {"eval_result_metrics.model_performance_preservation.ce_loss_without_sae"}, "CE clean", 4, 0,
     "of the untouched model", NULL, 0},
    {"ce_ablated", REPORT_CORE, {"eval_result_metrics.model_performance_preservation.ce_loss_with_ablation"}, "CE ablated", 4, 0,
     "with zeros in place", NULL, 1},
    {"kl_score", REPORT_CORE, {"eval_result_metrics.model_behavior_preservation.kl_div_score"}, "KL score", 4, +1,
     "the same for the whole predicted distribution", "KL by log-softmax in f32; published rows take the logarithm of a softmax in bf16", 0},
    {"kl_sae", REPORT_CORE, {"eval_result_metrics.model_behavior_preservation.kl_div_with_sae"}, "KL spliced", 4, -1,
     "KL divergence, nats per token, clean to spliced", NULL, 1},
    {"core_ev_legacy", REPORT_CORE, {REC "explained_variance_legacy"}, "EV legacy", 4, +1,
     "explained variance on the splice text", "legacy: per-token ratio to a batch mean; the version of the published baselines", 0},
    {"core_ev", REPORT_CORE, {REC "explained_variance"}, "EV SAEBench", 4, +1,
     "the same", "SAEBench 0.6, flawed upstream; copied for comparison only", 1},
    {"core_ev_pooled", REPORT_CORE, {REC "explained_variance_pooled"}, "EV pooled", 4, +1,
     "the same", "pooled: 1 - sum |r|^2 / sum |x - mean|^2; the one to trust", 0},
    {"core_mse", REPORT_CORE, {REC "mse"}, "mse", 5, -1,
     "squared error as upstream divides it, again by the tokens of a batch of 16 x 128", NULL, 1},
    {"core_cossim", REPORT_CORE, {REC "cossim"}, "cosine", 4, +1,
     "mean cosine between activation and reconstruction on the splice text", NULL, 1},
    {"core_l2_ratio", REPORT_CORE, {"eval_result_metrics.shrinkage.l2_ratio"}, "L2 ratio", 4, 0,
     "length of the reconstruction over length of the activation; below 1 is shrinkage", NULL, 0},
    {"core_bias", REPORT_CORE, {"eval_result_metrics.shrinkage.relative_reconstruction_bias"}, "rec. bias", 4, 0,
     "relative reconstruction bias; 1 is unbiased", NULL, 1},
    {"core_l0", REPORT_CORE, {"eval_result_metrics.sparsity.l0"}, "L0", 1, 0,
     "active latents per token on the splice text", NULL, 0},
    {"core_alive", REPORT_CORE, {"eval_result_metrics.misc_metrics.frac_alive"}, "alive", 4, +1,
     "share of latents that fire on the splice text (a short text leaves rare ones silent)", NULL, 1},

    /* unlearning */
    {"unlearning", REPORT_UNLEARN, {"eval_result_metrics.unlearning.unlearning_score"}, "score", 4, +1,
     "share of known questions on the knowledge to be forgotten that are answered no more when chosen latents are clamped, at the best setting that keeps 0.99 of the others", "SAEBench 0.6; task and form of the questions: see the cautions", 0},
    {"unlearning_kept", REPORT_UNLEARN, {"eval_result_metrics.unlearning.best_side_effect_accuracy"}, "kept", 4, 0,
     "share of the other known questions still answered there", NULL, 0},
    {"unlearning_latents", REPORT_UNLEARN, {"eval_result_metrics.unlearning.best_n_features"}, "latents", 0, 0,
     "latents clamped there", NULL, 0},
    {"unlearning_multiplier", REPORT_UNLEARN, {"eval_result_metrics.unlearning.best_multiplier"}, "clamped to -", 0, 0,
     "value a latent is set to where it fires, with its sign turned", NULL, 0},

    /* automated interpretability */
    {"autointerp", REPORT_AUTOINTERP, {INTERP "autointerp_score"}, "score", 4, +1,
     "share of excerpts for which a language model, told only its explanation of a latent, says rightly whether the latent fires there; naming none gives 0.714", "SAEBench: excerpts drawn anywhere count as silent", 0},
    {"autointerp_checked", REPORT_AUTOINTERP, {INTERP "autointerp_score_checked"}, "checked", 4, +1,
     "the same with those excerpts looked up", NULL, 0},
    {"autointerp_se", REPORT_AUTOINTERP, {INTERP "autointerp_se"}, "s.e.", 4, 0,
     "standard error of the score over the latents asked about", NULL, 0},
    {"autointerp_hits", REPORT_AUTOINTERP, {INTERP "hit_rate"}, "hit rate", 4, +1,
     "share of the excerpts with activity that were named", NULL, 0},
    {"autointerp_passes", REPORT_AUTOINTERP, {INTERP "pass_rate"}, "pass rate", 4, +1,
     "share of the excerpts drawn anywhere that were not named", NULL, 1},
    {"autointerp_latents", REPORT_AUTOINTERP, {INTERP "latents_scored"}, "latents", 0, 0,
     "latents scored", NULL, 0},
    {"autointerp_failed", REPORT_AUTOINTERP, {INTERP "latents_failed"}, "failed", 0, -1,
     "latents that the endpoint gave no usable answer for; they are not in the scores", NULL, 0},

    /* SCR and TPP, by ten and twenty latents as published plots have them */
    {"scr_10", REPORT_SCR, {"eval_result_metrics.scr_metrics.scr_metric_threshold_10"}, "10 latents", 4, +1,
     "share of the accuracy lost to a spurious correlation that comes back when the latents of it are set to zero; mean over pairs of classes", "SAEBench 0.6", 0},
    {"scr_10_se", REPORT_SCR, {"eval_result_metrics.scr_metrics.scr_metric_threshold_10_se"}, "s.e.", 4, 0,
     "standard error of that over seeds of the probes", NULL, 0},
    {"scr_20", REPORT_SCR, {"eval_result_metrics.scr_metrics.scr_metric_threshold_20"}, "20 latents", 4, +1,
     "the same with twenty latents", NULL, 0},
    {"tpp_10", REPORT_TPP, {"eval_result_metrics.tpp_metrics.tpp_threshold_10_total_metric"}, "10 latents", 4, +1,
     "accuracy that a class's probe loses when its latents are set to zero, less what the other classes' probes lose", "SAEBench 0.6", 0},
    {"tpp_10_se", REPORT_TPP, {"eval_result_metrics.tpp_metrics.tpp_threshold_10_total_metric_se"}, "s.e.", 4, 0,
     "standard error of that over seeds of probes and examples", NULL, 0},
    {"tpp_20", REPORT_TPP, {"eval_result_metrics.tpp_metrics.tpp_threshold_20_total_metric"}, "20 latents", 4, +1,
     "the same with twenty latents", NULL, 0},
};
/* clang-format on */
const size_t report_n_metrics = sizeof report_metrics / sizeof *report_metrics;

const struct report_target report_targets[] = {
    {"absorption_a", "absorption",    "mean_absorption_score, version A", 0.01, -1},
    {"unlearning",   "unlearning",    "unlearning_score",                 0.1,  +1},
    {"top_1",        "probing top 1", "sae_top_1_test_accuracy",          0.74, +1},
};
const size_t report_n_targets = sizeof report_targets / sizeof *report_targets;

const struct report_metric *report_metric_by(const char *id)
{
    for (size_t i = 0; i < report_n_metrics; i++)
        if (strcmp(report_metrics[i].id, id) == 0)
            return &report_metrics[i];
    return NULL;
}

static double first_number(const json_t *json, const struct report_metric *metric)
{
    for (size_t i = 0; i < 3 && metric->path[i] != NULL; i++) {
        const double x = sae_json_real(json, metric->path[i], NAN);
        if (isfinite(x))
            return x;
    }
    return NAN;
}

double report_value(const struct report_phase *phase, const struct report_metric *metric)
{
    if (phase == NULL || metric == NULL || phase->result[metric->source] == NULL)
        return NAN;
    return first_number(phase->result[metric->source], metric);
}

double report_value_se(const struct report_phase *phase, const struct report_metric *metric)
{
    char path[160];
    if (phase == NULL || phase->result[metric->source] == NULL)
        return NAN;
    if (strcmp(metric->id, "autointerp") == 0)
        return report_value(phase, report_metric_by("autointerp_se"));
    snprintf(path, sizeof path, "%s_se", metric->path[0]);
    return sae_json_real(phase->result[metric->source], path, NAN);
}

/* The published files keep each evaluation under a sentence, and core's metrics under "metrics". */
double report_baseline_value(const struct report_baseline *baseline,
                             const struct report_metric *metric)
{
    if (metric == NULL)
        return NAN;
    if (baseline->full != NULL)
        return first_number(baseline->part[metric->source], metric);
    const char *const key = report_sources[metric->source].published;
    const json_t *part = key != NULL ? json_object_get(baseline->json, key) : NULL;
    if (part == NULL)
        return NAN;
    if (metric->source != REPORT_CORE)
        return first_number(part, metric);
    const char *path = metric->path[0];
    if (strcmp(metric->id, "core_ev") == 0)
        return NAN;
    if (strcmp(metric->id, "core_ev_legacy") == 0) /* its plain name then, see the README there */
        path = REC "explained_variance";
    const char *const dot = strchr(path, '.');
    return sae_json_real(json_object_get(part, "metrics"), dot + 1, NAN);
}
