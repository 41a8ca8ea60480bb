/* SPDX-License-Identifier: MIT */
/* random : what each separation metric is for m random directions in d dimensions, and the
 * bounds that no dictionary can pass. Formulas: docs/MATH.md, "Separation metrics". */
#ifndef SAE_ANALYZE_RANDOM_H
#define SAE_ANALYZE_RANDOM_H

#include <stddef.h>

/* Mean |cos| between random directions, and the share of them with |cos| >= t. */
double analyze_random_mean_abs_cos(double d); /* Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)) */
double analyze_random_share_abs_cos(double t, double d);

/* Expected largest of n independent cosines to random directions, or of their absolute values. */
double analyze_random_max_cos(double n, double d);
double analyze_random_max_abs_cos(double n, double d);
/* Density at x of the largest of n of them. */
double analyze_random_max_density(double x, double n, double d);

/* Least possible max |cos| of m unit vectors: sqrt((m - d) / (d (m - 1))), 0 where m <= d. */
double analyze_welch_bound(double m, double d);
/* Least possible sum over all i, j of cos_ij^2: m^2 / d, or m where m <= d. */
double analyze_frame_bound(double m, double d);
/* Expected value of that sum for random directions: m + m (m - 1) / d. */
double analyze_random_frame(double m, double d);

/* Gram eigenvalues of random unit rows, descending, by the law of Marchenko and Pastur:
 * quantiles at (i + 1/2) / d, scaled to the sum m. Where m < d, the last d - m are 0. */
void analyze_random_eigenvalues(size_t m, size_t d, double *eig);

#endif /* SAE_ANALYZE_RANDOM_H */
