/* SPDX-License-Identifier: MIT */
/* metrics : values by the rows, and those that are more than a field. */
#include "analyze/metrics.h"

#include <math.h>
#include <string.h>

#include "analyze/random.h"
#include "lib/file/json.h"

/* --- 1. values ---------------------------------------------------------------------------- */

static const struct sae_metric rows[] = {
#define FIELD(at, ...) {.source = SAE_SOURCE_ANALYZE, __VA_ARGS__},
#define MEASURE(of, ...) {.source = SAE_SOURCE_ANALYZE, __VA_ARGS__},
#include "lib/file/metric_separation.h"
};
#define N_ROWS (sizeof rows / sizeof *rows)
_Static_assert(N_ROWS <= ANALYZE_METRICS_MOST, "more metrics than analyze_metrics has room for");

static const char prefix[] = "eval_result_metrics.";

bool analyze_metric_in(const struct sae_metric *metric, const char *part, const char **key)
{
    const char *const path = metric->path[0] + strlen(prefix);
    const size_t n = strlen(part);
    *key = path + n + 1;
    return strncmp(path, part, n) == 0 && path[n] == '.';
}

static bool is_of_masks(const struct sae_metric *metric)
{
    const char *key;
    return !analyze_metric_in(metric, "separation", &key) &&
           !analyze_metric_in(metric, "spectrum", &key);
}

size_t analyze_metrics(const struct analyze_report *report, struct analyze_metric *ret)
{
    const double values[] = {
#define FIELD(at, ...) (double)report->at,
#define MEASURE(of, ...) of(report),
#include "lib/file/metric_separation.h"
    };
    for (size_t i = 0; i < N_ROWS; i++) {
        const bool is_measured = report->has_masks || !is_of_masks(&rows[i]);
        ret[i] = (struct analyze_metric){&rows[i], is_measured ? values[i] : NAN};
    }
    return N_ROWS;
}

json_t *analyze_metrics_json(const struct analyze_report *report, const char *part)
{
    struct analyze_metric all[ANALYZE_METRICS_MOST];
    const size_t n = analyze_metrics(report, all);
    json_t *const object = json_object();
    for (size_t i = 0; i < n; i++) {
        const char *key;
        if (analyze_metric_in(all[i].is, part, &key) &&
            json_object_set_new(object, key, sae_json_number(all[i].value)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

double analyze_metric_beside(const struct sae_metric *metric, const struct analyze_metric *all,
                             size_t n)
{
    if (metric->beside == NULL)
        return NAN;
    const size_t part =
        (size_t)(strchr(metric->path[0] + strlen(prefix), '.') - metric->path[0]) + 1;
    for (size_t i = 0; i < n; i++)
        if (strncmp(all[i].is->path[0], metric->path[0], part) == 0 &&
            strcmp(all[i].is->path[0] + part, metric->beside) == 0)
            return all[i].value;
    return 0; /* "0" is no key */
}

/* --- 2. what is more than a field --------------------------------------------------------- */

double analyze_share_over_01(const struct analyze_report *report)
{
    return analyze_geom_share_abs(&report->dec.hist, 0.1);
}

double analyze_share_over_02(const struct analyze_report *report)
{
    return analyze_geom_share_abs(&report->dec.hist, 0.2);
}

double analyze_share_over_05(const struct analyze_report *report)
{
    return analyze_geom_share_abs(&report->dec.hist, 0.5);
}

double analyze_random_share_over_02(const struct analyze_report *report)
{
    return analyze_random_share_abs_cos(0.2, (double)report->dec.d);
}

double analyze_random_share_over_05(const struct analyze_report *report)
{
    return analyze_random_share_abs_cos(0.5, (double)report->dec.d);
}

double analyze_frame_over_bound(const struct analyze_report *report)
{
    return report->ranks.frame_potential / report->base.frame_bound;
}

double analyze_random_frame_over_bound(const struct analyze_report *report)
{
    return report->base.frame / report->base.frame_bound;
}
