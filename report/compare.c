/* SPDX-License-Identifier: MIT */
/* compare : groups of seeds against each other. */
#include "report/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/sample.h"

const char *const report_verdict_names[REPORT_VERDICT_N] = {
    [REPORT_BETTER] = "better",
    [REPORT_WORSE] = "worse",
    [REPORT_CHANGED] = "changed",
    [REPORT_WITHIN_NOISE] = "within noise",
    [REPORT_CANNOT_TELL] = "cannot tell",
    [REPORT_UNEQUAL_L0] = "unequal L0",
    [REPORT_UNLIKE] = "unlike",
    [REPORT_NOT_MEASURED] = "not measured",
};

/* --- groups ------------------------------------------------------------------------------- */

size_t report_group_size(const struct report *report, size_t group, size_t *first)
{
    size_t n = 0;
    for (size_t i = 0; i < report->n_runs; i++)
        if (report->runs[i].group == group && n++ == 0)
            *first = i;
    return n;
}

/* Length of a name without the "_s3" that tells its seed; all of it where it has none. */
static size_t without_seed(const struct report_run *run)
{
    char end[32];
    const size_t len = strlen(run->name);
    snprintf(end, sizeof end, "_s%llu", (unsigned long long)run->seed);
    const size_t cut = strlen(end);
    return len > cut && strcmp(run->name + len - cut, end) == 0 ? len - cut : len;
}

/* Whether the runs of a group, and no others, are called by the first `len` characters of this name
 * and their seed. */
static bool is_stem(const struct report *report, size_t group, const char *name, size_t len)
{
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_run *const run = &report->runs[i];
        const bool so_called =
            without_seed(run) == len && strncmp(run->name, name, len) == 0;
        if (so_called != (run->group == group))
            return false;
    }
    return true;
}

const char *report_group_name(char buf[REPORT_LABEL], const struct report *report, size_t group)
{
    enum { MOST = REPORT_LABEL - 32 }; /* room for the number of seeds */
    size_t first = 0;
    const size_t n = report_group_size(report, group, &first);
    const struct report_run *const one = &report->runs[first];
    size_t len = without_seed(one);
    if (n < 2 || !is_stem(report, group, one->name, len))
        len = strlen(one->name);
    snprintf(buf, REPORT_LABEL, "%.*s", (int)(len < MOST ? len : MOST), one->name);
    return buf;
}

const char *report_group_label(char buf[REPORT_LABEL], const struct report *report, size_t group)
{
    size_t first = 0;
    const size_t n = report_group_size(report, group, &first);
    const size_t len = strlen(report_group_name(buf, report, group));
    if (n > 1)
        snprintf(buf + len, REPORT_LABEL - len, " (%zu seeds)", n);
    return buf;
}

double report_group_l0(const struct report *report, size_t group, int percent)
{
    static const char *const ids[] = {"heldout_l0", "core_l0"};
    double mean = NAN, se;
    for (size_t i = 0; i < 2 && !isfinite(mean); i++)
        report_group_stats(report, group, percent, sae_metric_by(ids[i]), &mean, &se);
    return mean;
}

bool report_l0_equal(double a, double b)
{
    return !(fmax(a, b) > REPORT_EQUAL_L0 * fmin(a, b));
}

int report_last_shared(const struct report *report, size_t group, size_t other)
{
    int last = -1;
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; report->runs[i].group == group && p < report->runs[i].n_phases; p++) {
            const int percent = report->runs[i].phases[p].percent;
            for (size_t j = 0; j < report->n_runs && percent > last; j++)
                if (report->runs[j].group == other &&
                    report_phase_at(&report->runs[j], percent) != NULL)
                    last = percent;
        }
    return last;
}

/* --- one comparison ----------------------------------------------------------------------- */

/* Whether an evaluation ran with the same options on all runs of both groups. */
static bool measured_alike(const struct report *report, size_t group, size_t against, int percent,
                           enum sae_source source)
{
    const json_t *first = NULL;
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_run *const run = &report->runs[i];
        const struct report_phase *const phase = report_phase_at(run, percent);
        if (phase == NULL || (run->group != group && run->group != against))
            continue;
        const json_t *const config = json_object_get(phase->result[source], "eval_config");
        if (first == NULL)
            first = config;
        else if (config != NULL && !json_equal(first, config))
            return false;
    }
    return true;
}

static enum report_verdict judge(const struct stats_difference *by,
                                 const struct sae_metric *metric, bool alike, bool equal_l0)
{
    if (!isfinite(by->diff))
        return REPORT_NOT_MEASURED;
    if (!alike)
        return REPORT_UNLIKE;
    if (!equal_l0)
        return REPORT_UNEQUAL_L0;
    if (!isfinite(by->p))
        return REPORT_CANNOT_TELL;
    if (by->p == 1 || fabs(by->diff) <= by->half)
        return REPORT_WITHIN_NOISE;
    if (metric->better == 0)
        return REPORT_CHANGED;
    return by->diff * metric->better > 0 ? REPORT_BETTER : REPORT_WORSE;
}

struct report_comparison report_compare(const struct report *report, size_t group, size_t against,
                                        int percent, const struct sae_metric *metric)
{
    struct stats_sample mine, ref;
    report_sample(&mine, report, group, percent, metric);
    report_sample(&ref, report, against, percent, metric);
    struct report_comparison c = {.metric = metric, .by = stats_difference(&mine, &ref)};
    c.verdict = judge(&c.by, metric,
                      measured_alike(report, group, against, percent, metric->source),
                      report_l0_equal(report_group_l0(report, group, percent),
                                      report_group_l0(report, against, percent)));
    return c;
}

/* --- many comparisons ---------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double report_holm(double *p, size_t n, double error)
{
    double last = -1;
    qsort(p, n, sizeof *p, ascending);
    for (size_t i = 0; i < n && p[i] <= error / (double)(n - i); i++)
        last = p[i];
    return last;
}
