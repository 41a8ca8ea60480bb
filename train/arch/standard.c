/* SPDX-License-Identifier: MIT */
/* standard : the row of the architecture. */
#include "train/arch/arch.h"
#include "train/trainer.h"

static const struct train_array arrays[] = {TRAIN_ARRAYS_OF_ALL("b_enc"), {0}};

const struct train_arch train_arch_standard = {
    .summary = "ReLU with an L1 term",
    .model = "standard",
    .arrays = arrays,
    .penalty = TRAIN_PENALTY_L1,
    .l1 = 0.04,
    .sparsity_warmup = true,
    .lr = 3e-4,
    .subtracts_b_dec = true,
    .resamples = true,
    .beta1 = 0.9F,
};
