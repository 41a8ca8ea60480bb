/* SPDX-License-Identifier: MIT */
/* stats : how well reconstructions match activations, SAEBench core section 1.4 and 1.5, with the
 * corrected formulas beside. Formulas and versions: docs/math-core.md.
 *
 * A batch is what upstream calls one: 16 contexts. Its rows may come in several pieces, because
 * the batch mean is known before. All sums are in double and in order of rows. */
#ifndef SAE_SPLICE_STATS_H
#define SAE_SPLICE_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"

struct splice_stats {
    size_t d, m;
    /* over all tokens */
    uint64_t n;
    double l2_in, l2_out, ratio, l0, l1, cos, legacy, mse, error, square;
    double *sum; /* [d] of x */
    /* over batches */
    uint64_t n_batches;
    double bias, batch_square, batch_error;
    /* of the batch being filled */
    const double *mean; /* [d], the caller's until the batch ends */
    size_t batch_n, batch_rows;
    double part_square, part_error, part_out, part_dot;
    /* per latent */
    uint64_t *active, *contexts, *last; /* [m] tokens, contexts, last context + 1 */
};

SAE_MUST_CHECK enum sae_status splice_stats_init(struct splice_stats *ret, size_t d, size_t m,
                                                 struct sae_err *err);
void splice_stats_clear(struct splice_stats *stats); /* accepts zeroed */

/* Starts a batch of n kept tokens whose mean is `mean` [d] (kept by the caller to the end). */
void splice_stats_begin(struct splice_stats *stats, size_t n, const double *mean);
/* Some of its rows: x, xhat f32 [n][d]; f their latents; context[row] running number. */
void splice_stats_add(struct splice_stats *stats, size_t n, const float *x, const float *xhat,
                      const struct sae_csr *f, const uint64_t *context);
void splice_stats_end(struct splice_stats *stats);

/* NaN where a formula has no value (no token, zero reconstruction). */
struct splice_quality {
    double explained_variance_legacy; /* mean over tokens of 1 - |r|^2 / |x - batch mean|^2 */
    double explained_variance;        /* SAEBench 0.6: 1 - R / (A - (A/d)^2) */
    double explained_variance_pooled; /* 1 - sum |r|^2 / sum |x - mean|^2 */
    double mse;                       /* divided by the batch's tokens a second time */
    double mse_per_token, cossim, l2_norm_in, l2_norm_out, l2_ratio, relative_bias, l0, l1;
    double frac_alive, over_1, over_10, mass_1, mass_10; /* of the densities */
};
void splice_stats_finish(const struct splice_stats *stats, struct splice_quality *ret);

#endif /* SAE_SPLICE_STATS_H */
