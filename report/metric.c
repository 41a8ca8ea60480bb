/* SPDX-License-Identifier: MIT */
/* metric : values of the metrics, of a phase or a published row, and the targets for some of them.
 */
#include <math.h>
#include <string.h>

#include "lib/file/json.h"
#include "report/report.h"

const struct report_target report_targets[] = {
    {"absorption_a", "absorption",    "mean_absorption_score, version A", 0.01, -1},
    {"unlearning",   "unlearning",    "unlearning_score",                 0.1,  +1},
    {"top_1",        "probing top 1", "sae_top_1_test_accuracy",          0.74, +1},
};
const size_t report_n_targets = sizeof report_targets / sizeof *report_targets;

static double first_number(const json_t *json, const struct sae_metric *metric)
{
    for (size_t i = 0; i < 3 && metric->path[i] != NULL; i++) {
        const double x = sae_json_real(json, metric->path[i], NAN);
        if (isfinite(x))
            return x;
    }
    return NAN;
}

double report_value(const struct report_phase *phase, const struct sae_metric *metric)
{
    if (phase == NULL || metric == NULL || phase->result[metric->source] == NULL)
        return NAN;
    return first_number(phase->result[metric->source], metric);
}

double report_value_se(const struct report_phase *phase, const struct sae_metric *metric)
{
    static const char *const endings[] = {"_se_total", "_se"}; /* some evaluations give both */
    const json_t *const json = phase != NULL ? phase->result[metric->source] : NULL;
    char path[160];
    if (metric->se != NULL)
        return sae_json_real(json, metric->se, NAN);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        snprintf(path, sizeof path, "%s%s", metric->path[0], endings[i]);
        const double se = sae_json_real(json, path, NAN);
        if (isfinite(se))
            return se;
    }
    return NAN;
}

/* The published files keep each evaluation under a sentence, and some of them the metrics under a
 * key of it, without what stands before the first dot here. */
double report_baseline_value(const struct report_baseline *baseline,
                             const struct sae_metric *metric)
{
    if (metric == NULL)
        return NAN;
    const struct report_source_row *const source = &report_sources[metric->source];
    if (baseline->full != NULL)
        return first_number(baseline->part[metric->source], metric);
    const json_t *part =
        source->published != NULL ? json_object_get(baseline->json, source->published) : NULL;
    if (source->published_in == NULL)
        return first_number(part, metric);
    const char *const path =
        metric->published != NULL ? metric->published : strchr(metric->path[0], '.') + 1;
    return sae_json_real(json_object_get(part, source->published_in), path, NAN);
}
