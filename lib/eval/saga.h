/* SPDX-License-Identifier: MIT */
/* saga : sparse logistic regression as scikit-learn's LogisticRegression(penalty="l1", solver="saga")
 * fits it, with its random order and its stop.
 *
 *   minimise  |w|_1 + C sum_i log(1 + exp(-s_i (w.x_i + b))),   s_i = -1 or +1, b not penalised
 *
 * SAGA (Defazio, Bach, Lacoste-Julien 2014) with the step 1 / (2 L), L = (max_i |x_i|^2 + 1) / 4, rows
 * drawn with replacement, all in f32. It ends after an epoch of n draws in which no weight moved by
 * more than tol of the largest one. That is not yet the optimum where features differ in scale, so a
 * program that is to give scikit-learn's numbers has to walk its path: same draws, same stop.
 * Problems that share their rows share their draws, and run side by side. */
#ifndef SAE_LIB_EVAL_SAGA_H
#define SAE_LIB_EVAL_SAGA_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* One problem on the first `width` columns of the rows. */
struct sae_saga_fit {
    size_t width;
    double C;
    float *w; /* [width], caller's */
    float b;
    size_t n_epochs; /* run until it stopped */
};

struct sae_saga_rows {
    const float *x; /* host f32 [n][stride] */
    size_t stride, n;
    const uint8_t *label; /* [n], 0 or 1 */
};

struct sae_saga_settings {
    double tol;          /* 1e-4 in scikit-learn */
    size_t max_epochs;   /* max_iter */
    uint32_t random_state;
};

/* Fills w, b and n_epochs of each fit.
 * Fails: SAE_EARG   one class only, width 0 or above stride
 *        SAE_ERANGE a feature is NaN or infinite, or a weight became so
 *        SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_saga_fit(struct sae_saga_fit *fits, size_t n_fits,
                                            const struct sae_saga_rows *rows,
                                            const struct sae_saga_settings *settings,
                                            struct sae_err *err);

#endif /* SAE_LIB_EVAL_SAGA_H */
