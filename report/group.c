/* SPDX-License-Identifier: MIT */
/* group : runs that differ in their seed only, and what scatter that seed makes. */
#include <math.h>
#include <string.h>

#include "lib/file/json.h"
#include "lib/file/record.h"
#include "report/report.h"
#include "report/sample.h"

static enum sae_status options_but_seed(json_t **ret, const struct report_run *run,
                                        struct sae_err *err)
{
    json_t *copy = json_deep_copy(sae_json_at(run->record, "options"));
    if (copy == NULL)
        copy = json_object();
    if (copy == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(copy, next, key, value)
    {
        if (strcmp(key, "seed") == 0 || !report_option_counts(key))
            json_object_del(copy, key);
    }
    *ret = copy;
    return SAE_OK;
}

/* Runs without a record are never taken for repeats of another. */
static bool same_but_seed(const struct report_run *a, const struct report_run *b, const json_t *x,
                          const json_t *y)
{
    if (a->record == NULL || b->record == NULL)
        return false;
    const char *s = sae_json_str(sae_record_find_input(a->record, "acts"), "id", "");
    const char *t = sae_json_str(sae_record_find_input(b->record, "acts"), "id", "");
    return a->seed != b->seed && a->arch == b->arch && a->d == b->d && a->m == b->m &&
           a->k == b->k && a->total_steps == b->total_steps && strcmp(s, t) == 0 &&
           json_equal(x, y);
}

/* A seed stands once in a group: two runs of one seed are the same run twice. */
static bool has_seed(const struct report *report, size_t n, size_t group, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        if (report->runs[i].group == group && report->runs[i].seed == seed)
            return true;
    return false;
}

enum sae_status report_group(struct report *report, struct sae_err *err)
{
    report->n_groups = 0;
    for (size_t i = 0; i < report->n_runs; i++) {
        json_t *mine = NULL;
        SAE_TRY(options_but_seed(&mine, &report->runs[i], err));
        report->runs[i].group = SIZE_MAX;
        for (size_t j = 0; j < i && report->runs[i].group == SIZE_MAX; j++) {
            json_t *other = NULL;
            const enum sae_status st = options_but_seed(&other, &report->runs[j], err);
            if (st != SAE_OK) {
                json_decref(mine);
                return st;
            }
            if (same_but_seed(&report->runs[i], &report->runs[j], mine, other) &&
                !has_seed(report, i, report->runs[j].group, report->runs[i].seed))
                report->runs[i].group = report->runs[j].group;
            json_decref(other);
        }
        if (report->runs[i].group == SIZE_MAX)
            report->runs[i].group = report->n_groups++;
        json_decref(mine);
    }
    return SAE_OK;
}

size_t report_group_stats(const struct report *report, size_t group, int percent,
                          const struct sae_metric *metric, double *mean, double *se)
{
    struct stats_sample sample;
    double sum = 0, sq = 0;
    const size_t n_runs = report_sample(&sample, report, group, percent, metric), n = sample.n;
    *mean = *se = NAN;
    if (n == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        sum += sample.x[i];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        sq += (sample.x[i] - *mean) * (sample.x[i] - *mean);
    if (n > 1)
        *se = sqrt(sq / (double)(n - 1) / (double)n);
    return n_runs;
}
