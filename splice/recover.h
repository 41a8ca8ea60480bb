/* SPDX-License-Identifier: MIT */
/* recover : cross-entropy and KL divergence of predictions, in nats, from rows of logits.
 *
 *   CE = -log_softmax(z)[target]        KL = sum_v p_v (log p_v - log q_v)
 * p: the untouched model, q: the model at hand; both through log-softmax, so that no probability
 * underflows (upstream takes the log of a softmax and prints -1). */
#ifndef SAE_SPLICE_RECOVER_H
#define SAE_SPLICE_RECOVER_H

#include <stddef.h>
#include <stdint.h>

#define SPLICE_NO_TARGET UINT32_MAX /* a row whose CE is not asked for */

/* The untouched model's rows. logits f32 [n][V] become log p in place; p [n][V] is filled;
 * ce[row] = CE of target[row] (0 where SPLICE_NO_TARGET). */
void splice_recover_reference(size_t n, size_t V, float *logits, float *p, const uint32_t *target,
                              double *ce);
/* Another model's rows against them. */
void splice_recover_compare(size_t n, size_t V, const float *log_p, const float *p,
                            const float *logits, const uint32_t *target, double *ce, double *kl);

/* (ablated - spliced) / (ablated - clean); with clean 0 the KL score. */
double splice_recover_score(double clean, double spliced, double ablated);

#endif /* SAE_SPLICE_RECOVER_H */
