/* SPDX-License-Identifier: MIT */
/* kept : what the architectures with k share. */
#ifndef SAE_TRAIN_ARCH_KEPT_H
#define SAE_TRAIN_ARCH_KEPT_H

#include "train/inner.h"

/* Decoder of uniform directions, unit rows; encoder its transpose; b_enc 0; b_dec the geometric median
 * of the first batch. */
void kept_init(struct trainer *t, const float *x);
/* Whether products of kept entries are dense, which then are in work->f too. */
SAE_MUST_CHECK enum sae_status kept_spread(struct trainer *t, const struct sae_csr *csr,
                                           struct sae_err *err);
SAE_MUST_CHECK enum sae_status kept_decode(struct trainer *t, const struct masks *masks,
                                           struct sae_err *err);
SAE_MUST_CHECK enum sae_status kept_loss(struct trainer *t, struct sae_err *err);
SAE_MUST_CHECK enum sae_status kept_backward(struct trainer *t, const struct masks *masks,
                                             double sparse_weight, struct sae_err *err);
/* The n k largest of a batch; and in inference all above the averaged threshold. */
SAE_MUST_CHECK enum sae_status kept_of_batch(struct trainer *t, struct masks *masks,
                                             struct sae_err *err);
SAE_MUST_CHECK enum sae_status kept_infer_by_cut(struct trainer *t, size_t rows, uint64_t k,
                                                 struct sae_csr *csr, struct sae_err *err);

#endif /* SAE_TRAIN_ARCH_KEPT_H */
