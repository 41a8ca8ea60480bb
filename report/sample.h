/* SPDX-License-Identifier: MIT */
/* sample : the values of a metric over a group of seeds. */
#ifndef SAE_REPORT_SAMPLE_H
#define SAE_REPORT_SAMPLE_H

#include "report/report.h"
#include "report/stats.h"

/* A value a seed at a percent, whose mean is the group's and whose scatter is its error: of a metric of
 * pairs the jackknife's values, or one value, the mean, where there is no such scatter. Returns the number
 * of runs that have the metric. */
size_t report_sample(struct stats_sample *ret, const struct report *report, size_t group,
                     int percent, const struct sae_metric *metric);

#endif /* SAE_REPORT_SAMPLE_H */
