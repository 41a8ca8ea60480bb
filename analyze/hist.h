/* SPDX-License-Identifier: MIT */
/* hist : counts over equal bins, and the quantiles that can be read from them. */
#ifndef SAE_ANALYZE_HIST_H
#define SAE_ANALYZE_HIST_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* n equal bins over [lo, hi]; values outside go to the end bins. Owned memory. */
struct analyze_hist {
    double lo, hi;
    size_t n;
    uint64_t *count; /* [n] */
    uint64_t total;
};

/* Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status analyze_hist_init(struct analyze_hist *ret, double lo, double hi,
                                                 size_t n, struct sae_err *err);
void analyze_hist_clear(struct analyze_hist *hist); /* accepts zeroed */

/* Bin of x: floor((x - lo) / (hi - lo) * n), clamped; NaN goes to bin 0. */
size_t analyze_hist_bin(const struct analyze_hist *hist, double x);
void analyze_hist_add(struct analyze_hist *hist, double x);

/* Left edge of bin i (i = n: hi), and its middle. */
double analyze_hist_edge(const struct analyze_hist *hist, size_t i);
double analyze_hist_middle(const struct analyze_hist *hist, size_t i);

/* Value below which a share q of the counts lies, straight within a bin; NaN when empty. */
double analyze_hist_quantile(const struct analyze_hist *hist, double q);

/* Adds up groups of from->n / to->n neighbouring bins; to->n must divide from->n. */
void analyze_hist_fold(struct analyze_hist *to, const struct analyze_hist *from);

/* Quantile of n values in ascending order: linear between order statistics
 * (position q (n - 1)); NaN when n is 0. */
double analyze_sorted_quantile(const double *sorted, size_t n, double q);
/* Sorts in ascending order. */
void analyze_sort(double *values, size_t n);

#endif /* SAE_ANALYZE_HIST_H */
