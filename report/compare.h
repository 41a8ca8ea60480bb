/* SPDX-License-Identifier: MIT */
/* compare : one group of seeds against another - what differs, by how much, and whether the seeds
 * can tell. A group is the runs that differ in their seed only. */
#ifndef SAE_REPORT_COMPARE_H
#define SAE_REPORT_COMPARE_H

#include "report/report.h"
#include "report/stats.h"

/* Groups whose active latents a token differ by more than this are not judged: more active latents
 * reconstruct better by themselves. */
#define REPORT_EQUAL_L0 1.05

enum report_verdict {
    REPORT_BETTER,
    REPORT_WORSE,
    REPORT_CHANGED,      /* beyond noise; the metric has no better direction */
    REPORT_WITHIN_NOISE, /* the interval of the difference holds 0 */
    REPORT_CANNOT_TELL,  /* one seed on a side, or no scatter */
    REPORT_UNEQUAL_L0,
    REPORT_UNLIKE,       /* the evaluation ran with other options on one side */
    REPORT_NOT_MEASURED, /* on one side or both */
    REPORT_VERDICT_N
};
extern const char *const report_verdict_names[REPORT_VERDICT_N];

struct report_comparison {
    const struct sae_metric *metric;
    struct stats_difference by;
    enum report_verdict verdict;
};
/* The difference of a metric at a percent, group - reference. */
struct report_comparison report_compare(const struct report *report, size_t group, size_t against,
                                        int percent, const struct sae_metric *metric);

/* Active latents a token, mean over a group's runs at a percent; NaN where unknown. */
double report_group_l0(const struct report *report, size_t group, int percent);
/* Whether two L0 count as equal; unknown ones do. */
bool report_l0_equal(double a, double b);
/* The last percent at which both groups have a phase; -1 if none. Of a group and itself: its last. */
int report_last_shared(const struct report *report, size_t group, size_t other);
/* The largest p that Holm's correction lets stand at a level of error, -1 if none; sorts p. */
double report_holm(double *p, size_t n, double error);
/* Runs of a group, and the first of them. */
size_t report_group_size(const struct report *report, size_t group, size_t *first);
/* "run_a" where the runs are run_a_s1, run_a_s2, ..., else the name of the first; no two groups have
 * one. buf of REPORT_LABEL. */
const char *report_group_name(char buf[REPORT_LABEL], const struct report *report, size_t group);
/* The same with the number of seeds: "run_a (3 seeds)"; the run's name where it is alone. */
const char *report_group_label(char buf[REPORT_LABEL], const struct report *report, size_t group);

#endif /* SAE_REPORT_COMPARE_H */
