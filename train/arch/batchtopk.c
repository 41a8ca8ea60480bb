/* SPDX-License-Identifier: MIT */
/* batchtopk : the n k largest activations of a batch (Bussmann et al. 2024, arXiv 2412.06410). */
#include "train/arch/arch.h"
#include "train/arch/kept.h"

static enum sae_status forward(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    SAE_TRY(kept_of_batch(t, masks, err));
    return kept_decode(t, masks, err);
}

static const struct train_array arrays[] = {TRAIN_ARRAYS_OF_ALL("b_enc"), {0}};

const struct train_arch train_arch_batchtopk = {
    .summary = "the k largest a token on average over a batch; used with the averaged threshold",
    .model = "batchtopk",
    .arrays = arrays,
    .keeps = TRAIN_KEEPS_BATCH,
    .lr = 2e-4,
    .lr_by_width = true,
    .subtracts_b_dec = true,
    .clips = true,
    .beta1 = 0.9F,
    .project_eps = 1e-6F,
    .unit_eps = 1.1920929e-7F,
    .init = kept_init,
    .forward = forward,
    .loss = kept_loss,
    .backward = kept_backward,
    .infer = kept_infer_by_cut,
};
