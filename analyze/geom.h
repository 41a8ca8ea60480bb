/* SPDX-License-Identifier: MIT */
/* geom : cosines between the rows of a weight matrix. Formulas: docs/MATH.md, "Separation
 * metrics". No m x m matrix is ever formed. */
#ifndef SAE_ANALYZE_GEOM_H
#define SAE_ANALYZE_GEOM_H

#include <stddef.h>
#include <stdint.h>

#include "analyze/hist.h"
#include "lib/base/err.h"
#include "lib/math/ops.h"

/* Rows scaled to length 1; rows of length 0 stay 0 and are counted. Host f32 [m][d]. */
size_t analyze_geom_unit(size_t m, size_t d, const float *W, float *U);

/* Dot product of two rows, in f32 lanes added in a fixed order. */
float analyze_geom_dot(size_t d, const float *a, const float *b);

/* cos(W_i, V_i) of each row i, 0 where either has length 0. */
void analyze_geom_paired(size_t m, size_t d, const float *W, const float *V, double *cos);

/* Cosines of all pairs i < j, and each row's nearest others. */
struct analyze_cosines {
    size_t m, d;
    struct analyze_hist hist; /* over [-1, 1] */
    float *row_max, *row_min; /* [m] largest and smallest cosine to another row */
    uint32_t *row_argmax;     /* [m] */
};

/* U: host, unit rows, m >= 2. n_bins >= 2.
 * Fails: SAE_ENOMEM, SAE_EBACKEND */
SAE_MUST_CHECK enum sae_status analyze_geom_cosines(struct analyze_cosines *ret,
                                                    const struct sae_ops *ops, size_t m, size_t d,
                                                    const float *U, size_t n_bins,
                                                    struct sae_err *err);
void analyze_geom_clear(struct analyze_cosines *cosines);

/* Moments over pairs i < j, none of them from a histogram. The mean comes from |sum of rows|^2, the
 * spread from the frame potential (sum over all i, j of cos^2), the mean of |cos| from sum_abs, its sum
 * over pairs (analyze_graph_make). */
struct analyze_moments {
    double mean, std, mean_abs;
    double max, min, coherence; /* coherence = max |cos| */
};
void analyze_geom_moments(struct analyze_moments *ret, const struct analyze_cosines *cosines,
                          const float *U, double frame_potential, double sum_abs);

/* Share of pairs with |cos| at least t (t on a bin edge of the histogram is exact). */
double analyze_geom_share_abs(const struct analyze_hist *hist, double t);

/* A handful of numbers about m per-latent values. Sorts them. */
struct analyze_summary {
    double mean, median, p95, max, min;
};
void analyze_summary_of(struct analyze_summary *ret, double *values, size_t n);

#endif /* SAE_ANALYZE_GEOM_H */
