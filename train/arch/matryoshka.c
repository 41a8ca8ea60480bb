/* SPDX-License-Identifier: MIT */
/* matryoshka : the row of the architecture. */
#include "train/arch/arch.h"
#include "train/trainer.h"

static const struct train_array arrays[] = {TRAIN_ARRAYS_OF_ALL("b_enc"), {0}};

const struct train_arch train_arch_matryoshka = {
    .summary = "batchtopk over nested groups of latents, each prefix of which reconstructs",
    .model = "matryoshka",
    .arrays = arrays,
    .keeps = TRAIN_KEEPS_BATCH,
    .lr = 2e-4,
    .lr_by_width = true,
    .subtracts_b_dec = true,
    .prefixes = true,
    .clips = true,
    .beta1 = 0.9F,
    .project_eps = 1e-6F,
    .unit_eps = 1.1920929e-7F,
};
