/* SPDX-License-Identifier: MIT */
/* stats : Student's t, and the difference of two small samples that may share their seeds. The
 * formulas and a worked example stand in docs/math-report.md. */
#ifndef SAE_REPORT_STATS_H
#define SAE_REPORT_STATS_H

#include <stddef.h>
#include <stdint.h>

#define STATS_LEVEL 0.95 /* of every interval of the report */
enum { STATS_MOST = 256 };  /* values of a sample; further ones are left out */

/* P(|T| > |t|) of Student's t with df > 0 degrees of freedom, which need not be whole. */
double stats_t_tail(double t, double df);
/* The t with P(|T| <= t) = level, 0 < level < 1. */
double stats_t_quantile(double level, double df);

/* One value a seed; the seeds of a sample are distinct. */
struct stats_sample {
    size_t n;
    double x[STATS_MOST];
    uint64_t seed[STATS_MOST];
};

struct stats_difference {
    size_t n, n_ref;  /* values that the means are of */
    size_t n_pairs;   /* > 0: paired by that many common seeds, and n = n_ref = n_pairs */
    double mean, ref; /* mean of the sample and of the reference */
    double diff;      /* mean - ref */
    /* NaN where a side has one value: */
    double se;   /* standard error of diff */
    double df;   /* n_pairs - 1, or Welch-Satterthwaite */
    double half; /* half of the interval at STATS_LEVEL: t quantile times se */
    double p;    /* two-sided p of "no difference"; NaN too where seeds differ by one same amount:
                    a scatter of 0 says nothing */
};
/* Paired over the seeds that both samples have, if there are two at least; else Welch's. */
struct stats_difference stats_difference(const struct stats_sample *sample,
                                         const struct stats_sample *ref);

#endif /* SAE_REPORT_STATS_H */
