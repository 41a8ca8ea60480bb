/* SPDX-License-Identifier: MIT */
/* sample : what a group of seeds has of a metric, a value a seed, such that the values scatter as
 * independent ones do.
 *
 * A metric of pairs p_ij of S seeds has for seed i only m_i = mean over j of p_ij. The m_i share pairs, so
 * their scatter is far too small for the error of the mean over pairs. The jackknife's values are right:
 *
 *   v_i = S t - (S - 1) t_-i = 2 P / (S - 1) - 2 (P - P_i) / (S - 2)      P_i = (S - 1) m_i    P = sum P_i / 2
 *
 * t the mean over all pairs, t_-i over those without seed i. Their mean is t. */
#include "report/sample.h"

#include <math.h>

#include "lib/file/json.h"

/* Whether each run was matched with just the others of the sample. */
static bool is_whole(const struct report *report, size_t group, int percent,
                     const struct sae_metric *metric, size_t n)
{
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_run *const run = &report->runs[i];
        const struct report_phase *const phase = report_phase_at(run, percent);
        if (run->group != group || !isfinite(report_value(phase, metric)))
            continue;
        if (sae_json_real(phase->result[metric->source], "eval_result_metrics.match.others", NAN) !=
            (double)(n - 1))
            return false;
    }
    return true;
}

/* Fewer than three seeds, or others than these: a mean and no scatter. */
static void spread_pairs(struct stats_sample *sample, bool whole)
{
    const double s = (double)sample->n;
    double p = 0;
    for (size_t i = 0; i < sample->n; i++)
        p += (s - 1) * sample->x[i] / 2;
    if (sample->n > 2 && whole) {
        for (size_t i = 0; i < sample->n; i++)
            sample->x[i] = 2 * p / (s - 1) - 2 * (p - (s - 1) * sample->x[i]) / (s - 2);
        return;
    }
    for (size_t i = 1; i < sample->n; i++)
        sample->x[0] += sample->x[i];
    sample->x[0] /= s;
    sample->n = 1;
}

size_t report_sample(struct stats_sample *ret, const struct report *report, size_t group,
                     int percent, const struct sae_metric *metric)
{
    *ret = (struct stats_sample){0};
    for (size_t i = 0; metric != NULL && i < report->n_runs && ret->n < STATS_MOST; i++) {
        const struct report_run *const run = &report->runs[i];
        const double x = report_value(report_phase_at(run, percent), metric);
        if (run->group != group || !isfinite(x))
            continue;
        ret->seed[ret->n] = run->seed;
        ret->x[ret->n++] = x;
    }
    const size_t n = ret->n;
    if (n > 1 && metric->pairwise)
        spread_pairs(ret, is_whole(report, group, percent, metric, n));
    return n;
}
