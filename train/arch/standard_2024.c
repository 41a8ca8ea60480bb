/* SPDX-License-Identifier: MIT */
/* standard-2024 : ReLU with an L1 term, and the length of the residual as the loss. */
#include <math.h>

#include "train/arch/arch.h"
#include "train/arch/kept.h"
#include "train/arch/relu.h"
#include "train/arch/weights.h"

/* Encoder and b_enc uniform in +-1/sqrt(d), decoder of unit normal rows, untied. */
static void init(struct trainer *t, const float *x)
{
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_INIT);
    const double bound = 1 / sqrt((double)t->d);
    (void)x;
    weights_decoder(t, &rng, true);
    weights_uniform(&rng, bound, t->m * t->d, t->w.W_enc);
    weights_uniform(&rng, bound, t->m, t->w.b_enc);
}

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
    .init = init,
    .forward = relu_forward,
    .loss = kept_loss,
    .backward = relu_backward,
    .infer = relu_infer,
};
