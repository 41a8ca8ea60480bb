/* SPDX-License-Identifier: MIT */
/* standard_2024 : the row of the architecture. */
#include "train/arch/arch.h"
#include "train/trainer.h"

static const struct train_array arrays[] = {TRAIN_ARRAYS_OF_ALL("b_enc"), {0}};

const struct train_arch train_arch_standard_2024 = {
    .summary = "the 2024 form of standard: norm of the error unsquared, no sparsity warm-up",
    .model = "standard",
    .arrays = arrays,
    .penalty = TRAIN_PENALTY_L1,
    .l1 = 0.04,
    .lr = 3e-4,
    .subtracts_b_dec = true,
    .root_loss = true,
    .resamples = true,
    .beta1 = 0.9F,
};
