/* SPDX-License-Identifier: MIT */
/* path : dense logistic regression for many C at once, as scikit-learn's
 * LogisticRegression(penalty="l2", solver="lbfgs") fits it, with its path and its stop.
 *
 *   minimise  1/n sum_i log(1 + exp(-s_i (w.x_i + b))) + 1/(2 C n) |w|^2,   s_i = -1 or +1
 *
 * At large C two classes that can be told apart without error have no optimum to speak of, and what
 * the default stop leaves is the answer that other programs report (lbfgs.h).
 * With more columns than rows all vectors of the path are sums of rows, w = X^T a: they are kept as a
 * and X w, and each step costs n^2 instead of 2 n d. */
#ifndef SAE_LIB_EVAL_PATH_H
#define SAE_LIB_EVAL_PATH_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct sae_path;

/* x: host f32 [n][d], copied.
 * Fails: SAE_EARG nothing to fit; SAE_ERANGE NaN or infinity; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_path_open(struct sae_path **ret, const float *x, size_t n,
                                             size_t d, struct sae_err *err);
void sae_path_close(struct sae_path *path); /* accepts NULL */

struct sae_path_settings {
    double tol;       /* largest |gradient|: 1e-4 in scikit-learn */
    size_t max_steps; /* max_iter */
};

/* Fits on the first n rows.
 *   label  [n], 0 or 1; both must occur
 *   C      [n_C]
 *   w, b   caller's [n_C][d], [n_C]
 *   steps  caller's [n_C], how many were taken; may be NULL
 * Fails: SAE_EARG one class only; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_path_fit(double *w, double *b, size_t *steps,
                                            const struct sae_path *path, size_t n,
                                            const uint8_t *label, const double *C, size_t n_C,
                                            const struct sae_path_settings *settings,
                                            struct sae_err *err);

#endif /* SAE_LIB_EVAL_PATH_H */
