/* SPDX-License-Identifier: MIT */
/* score : how well decision values tell two classes apart, and means with their spread. */
#ifndef SAE_LIB_EVAL_SCORE_H
#define SAE_LIB_EVAL_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* Decisions "score > 0" against labels. */
struct sae_score {
    size_t tp, fp, tn, fn;
    double accuracy;
    double f1; /* of the positive class: 2 tp / (2 tp + fp + fn); 0 where nothing is positive */
};
struct sae_score sae_score_decide(const double *score, const uint8_t *label, size_t n);
/* Mean of the F1 of both classes, each weighted by the number of its examples. */
double sae_score_f1_weighted(const struct sae_score *score);

/* Area under the ROC curve: the share of (positive, negative) pairs in the right order, a tie
 * counting one half. NaN where a class is missing. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_score_auc(double *ret, const double *score, const uint8_t *label,
                                             size_t n, struct sae_err *err);

/* Over the finite values of x[0], x[stride], ...: how many, their mean (NaN for none) and their
 * sample standard deviation (divisor n - 1; NaN below two). */
struct sae_score_mean {
    size_t n;
    double mean, sd;
};
struct sae_score_mean sae_score_mean_of(const double *x, size_t n, size_t stride);

#endif /* SAE_LIB_EVAL_SCORE_H */
