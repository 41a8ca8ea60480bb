/* SPDX-License-Identifier: MIT */
/* gated : the row of the architecture. */
#include "train/arch/arch.h"
#include "train/trainer.h"

static const struct train_array arrays[] = {
    TRAIN_ARRAYS_OF_ALL("b_gate"),
    {"b_mag", TRAIN_SHAPE_M, offsetof(struct params, b_mag)},
    {"r_mag", TRAIN_SHAPE_M, offsetof(struct params, r_mag)},
    {0}};

const struct train_arch train_arch_gated = {
    .summary = "a gate, with an L1 term and a loss of its own, decides which latents are active",
    .model = "gated",
    .arrays = arrays,
    .penalty = TRAIN_PENALTY_GATE,
    .l1 = 0.1,
    .sparsity_warmup = true,
    .lr = 5e-5,
    .subtracts_b_dec = true,
    .beta1 = 0,
};
