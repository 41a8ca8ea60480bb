/* SPDX-License-Identifier: MIT */
/* jumprelu : the row of the architecture. */
#include "train/arch/arch.h"
#include "train/trainer.h"

static const struct train_array arrays[] = {
    TRAIN_ARRAYS_OF_ALL("b_enc"),
    {"threshold", TRAIN_SHAPE_M, offsetof(struct params, theta)},
    {0}};

const struct train_arch train_arch_jumprelu = {
    .summary = "a learnt threshold a latent, led to a target L0",
    .model = "jumprelu",
    .arrays = arrays,
    .penalty = TRAIN_PENALTY_L0,
    .sparsity_warmup = true,
    .lr = 7e-5,
    .clips = true,
    .beta1 = 0,
    .project_eps = 1e-6F,
    .unit_eps = 1.1920929e-7F,
};
