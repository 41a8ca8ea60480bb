/* SPDX-License-Identifier: MIT */
/* random : what each separation metric is for m random directions in d dimensions, and the
 * bounds that no dictionary can pass. Formulas: docs/MATH.md, "Separation metrics". */
#ifndef SAE_ANALYZE_RANDOM_H
#define SAE_ANALYZE_RANDOM_H

#include <stddef.h>

/* Density at x of a cosine between random directions, N(0, 1/d). */
double analyze_random_cos_density(double x, double d);
double analyze_random_mean_abs_cos(double d); /* sqrt(2 / (pi d)) */

/* Expected largest of n independent N(0, 1/d) draws, or of their absolute values. */
double analyze_random_max_cos(double n, double d);
double analyze_random_max_abs_cos(double n, double d);
/* Density of the largest of n independent N(0, 1/d) draws. */
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
