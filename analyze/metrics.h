/* SPDX-License-Identifier: MIT */
/* metrics : the values of a report's metrics, by the rows of lib/file/metric_separation.h. A metric
 * that is more than a field of the report is a function named in its row, and is declared here by
 * it. */
#ifndef SAE_ANALYZE_METRICS_H
#define SAE_ANALYZE_METRICS_H

#include <jansson.h>

#include "analyze/analyze.h"
#include "lib/file/metric.h"

#define FIELD(at, ...)
#define MEASURE(of, ...) double of(const struct analyze_report *report);
#include "lib/file/metric_separation.h"

/* One metric of a report. */
struct analyze_metric {
    const struct sae_metric *is;
    double value; /* NaN: not measured */
};
enum { ANALYZE_METRICS_MOST = 128 };
/* All of them, in the order of their rows; ret has ANALYZE_METRICS_MOST. Those of masks are NaN
 * where there are none. Returns how many. */
size_t analyze_metrics(const struct analyze_report *report, struct analyze_metric *ret);
/* The part of the result a metric stands in, "separation", and its key there; both static.
 * Returns whether it is in that part. */
bool analyze_metric_in(const struct sae_metric *metric, const char *part, const char **key);
/* {key: value} of one part. New reference; NULL without memory. */
json_t *analyze_metrics_json(const struct analyze_report *report, const char *part);
/* What a metric would be without learning: by its row, among the n of the same report; NaN:
 * unknown. */
double analyze_metric_beside(const struct sae_metric *metric, const struct analyze_metric *all,
                             size_t n);

#endif /* SAE_ANALYZE_METRICS_H */
