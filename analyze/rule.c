/* SPDX-License-Identifier: MIT */
/* rule : which competition rule held in a run, from the options its record keeps as text. */
#include "analyze/rule.h"

#include <string.h>

#include "lib/base/str.h"
#include "lib/file/json.h"

static const char *const normaliser_names[] = {"sum", "mean", "latent", NULL};

struct analyze_rule analyze_rule_reference(void)
{
    return (struct analyze_rule){
        .compete = {.overlap = SAE_OVERLAP_OVERLAP,
                    .form = SAE_COMPETE_LINEAR,
                    .sharpness = 4,
                    .tau = 0.1,
                    .min_count = 2},
        .tau0 = 0.1,
        .schedule = SAE_TAU_CONST,
        .normaliser = ANALYZE_SUM,
    };
}

static double option_real(const json_t *options, const char *name, double otherwise)
{
    const json_t *at = json_object_get(options, name);
    double value;
    if (json_is_number(at))
        return json_number_value(at);
    return json_is_string(at) && sae_str_real(json_string_value(at), &value) ? value : otherwise;
}

static int option_choice(const json_t *options, const char *name, const char *const *choices,
                         int otherwise)
{
    const char *text = json_string_value(json_object_get(options, name));
    for (int i = 0; text != NULL && choices[i] != NULL; i++)
        if (strcmp(text, choices[i]) == 0)
            return i;
    return otherwise;
}

/* The threshold with momentum is a running mean over the steps, so it is read, not computed. */
static double logged_tau(const struct sae_ckpt *ckpt, double otherwise)
{
    const double *tau = sae_ckpt_series(ckpt, "tau");
    const size_t n = ckpt->series.n_points;
    return tau != NULL && n > 0 && tau[n - 1] > 0 ? tau[n - 1] : otherwise;
}

struct analyze_rule analyze_rule_of(const struct sae_ckpt *ckpt)
{
    struct analyze_rule rule = analyze_rule_reference();
    const json_t *options = json_object_get(ckpt->record, "options");
    const char *orth = json_string_value(json_object_get(options, "orth"));
    if (orth == NULL || strcmp(orth, "none") == 0 || strcmp(orth, "ortsae") == 0)
        return rule;
    const double gamma = strcmp(orth, "static") == 0 ? 0 : option_real(options, "gamma", 2);
    const double floor = option_real(options, "threshold-floor", 1e-3);
    const double p = ckpt->progress;
    rule.recorded = true;
    rule.tau0 = option_real(options, "base-threshold", 0.1);
    rule.schedule = (enum sae_tau_schedule)option_choice(options, "threshold-schedule",
                                                         sae_tau_names, SAE_TAU_DOWN);
    rule.compete.tau = sae_sched_tau(rule.schedule, rule.tau0, p, floor);
    if (option_real(options, "threshold-momentum", 0) > 0)
        rule.compete.tau = logged_tau(ckpt, rule.compete.tau);
    rule.compete.overlap =
        (enum sae_overlap)option_choice(options, "overlap", sae_overlap_names, SAE_OVERLAP_OVERLAP);
    rule.compete.form = (enum sae_compete)option_choice(options, "competition", sae_compete_names,
                                                        SAE_COMPETE_LINEAR);
    rule.compete.sharpness = option_real(options, "sharpness", 4);
    rule.compete.min_count = option_real(options, "min-count", 2);
    rule.normaliser = (enum analyze_normaliser)option_choice(options, "orth-normalizer",
                                                             normaliser_names, ANALYZE_SUM);
    rule.lambda2 = sae_sched_lambda2(option_real(options, "lambda2-max", 0.1), gamma, p);
    return rule;
}
