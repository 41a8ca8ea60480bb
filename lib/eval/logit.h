/* SPDX-License-Identifier: MIT */
/* logit : binary logistic regression with scikit-learn's objective, solved by liblinear.
 *
 *   minimise  1/2 |w|^2 + C sum_i u_i log(1 + exp(-s_i (w.x_i + b))),   s_i = -1 or +1
 *
 * The intercept b is not penalised and features are not scaled: the problem that scikit-learn's
 * LogisticRegression(penalty="l2", C=C, solver="lbfgs") states. The objective is convex with one
 * optimum, so any exact solver gives the same probe. docs/math-probing.md says how liblinear,
 * which penalises its bias, is brought to it. */
#ifndef SAE_LIB_EVAL_LOGIT_H
#define SAE_LIB_EVAL_LOGIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"

struct sae_logit_settings {
    double C;      /* weight of the data against the penalty, 1 in scikit-learn */
    double eps;    /* liblinear's stop: gradient norm against its first value */
    bool balanced; /* u_i = n / (2 n of i's class); else u_i = 1 */
};

#define SAE_LOGIT_EPS_EXACT 1e-9 /* w and b within 1e-5 of the optimum on probing problems */
#define SAE_LOGIT_EPS_FAST 1e-3  /* accuracy within a text or two: wide probes */

/* Fits on dense rows.
 *
 *   w      [width], caller's; undefined on failure
 *   b      the intercept
 *   x      host f32 [n][stride]; the first `width` columns of each row are used
 *   label  [n], 0 or 1; both must occur
 *
 * Fails: SAE_EARG    one class only, or width 0
 *        SAE_ERANGE  a feature is NaN or infinite
 *        SAE_EBACKEND liblinear refuses; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_logit_dense(double *w, double *b, const float *x, size_t stride,
                                               size_t n, size_t width, const uint8_t *label,
                                               const struct sae_logit_settings *settings,
                                               struct sae_err *err);

/* Fits on rows[0..n) of sparse x, host memory, of `width` columns. Otherwise as above. */
SAE_MUST_CHECK enum sae_status sae_logit_sparse(double *w, double *b, const struct sae_csr *x,
                                                const uint32_t *rows, size_t n, size_t width,
                                                const uint8_t *label,
                                                const struct sae_logit_settings *settings,
                                                struct sae_err *err);

#endif /* SAE_LIB_EVAL_LOGIT_H */
