/* SPDX-License-Identifier: MIT */
/* relu : the step of a ReLU autoencoder with an L1 term, or one with an exponent. */
#ifndef SAE_TRAIN_ARCH_RELU_H
#define SAE_TRAIN_ARCH_RELU_H

#include "train/inner.h"

SAE_MUST_CHECK enum sae_status relu_forward(struct trainer *t, struct masks *masks,
                                            struct sae_err *err);
SAE_MUST_CHECK enum sae_status relu_backward(struct trainer *t, const struct masks *masks,
                                             double sparse_weight, struct sae_err *err);
SAE_MUST_CHECK enum sae_status relu_infer(struct trainer *t, size_t rows, uint64_t k,
                                          struct sae_csr *csr, struct sae_err *err);

#endif /* SAE_TRAIN_ARCH_RELU_H */
