/* SPDX-License-Identifier: MIT */
/* standard : ReLU with an L1 term over unit decoder rows. */
#include "train/arch/arch.h"
#include "train/arch/kept.h"
#include "train/arch/relu.h"
#include "train/arch/weights.h"

/* Normal directions; decoder unit, encoder 0.1 of it; biases 0. (Upstream starts the decoder at 0.1
 * too, and its first optimiser call, of rate 0, makes it unit.) */
static void init(struct trainer *t, const float *x)
{
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_INIT);
    (void)x;
    weights_decoder(t, &rng, true);
    weights_tie(t, 0.1F);
}

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
    .init = init,
    .forward = relu_forward,
    .loss = kept_loss,
    .backward = relu_backward,
    .infer = relu_infer,
};
