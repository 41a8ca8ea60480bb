/* SPDX-License-Identifier: MIT */
/* topk : the k largest activations of each token (Gao et al. 2024, arXiv 2406.04093). */
#include "train/arch/arch.h"
#include "train/arch/kept.h"

/* The scratch of the selection: where its size allows the gradients, which are made after it. */
static float *scratch_of(struct work *a)
{
    return a->pre ? a->pre : a->g.all;
}

static const float *select_rows(struct trainer *t, size_t rows, uint64_t k, struct sae_csr *csr)
{
    struct work *const a = t->work;
    products_center(t, rows);
    return a->ops->encode_topk(rows, t->m, t->d, (size_t)k, a->xc, a->w.W_enc, a->w.b_enc,
                               scratch_of(a), csr);
}

static enum sae_status forward(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    struct work *const a = t->work;
    const float *const made = select_rows(t, t->n, trainer_k(t), &masks->csr);
    a->made = a->pre ? made : NULL;
    SAE_TRY(masks_index(masks, a->ops, t->m, err));
    return kept_decode(t, masks, err);
}

static enum sae_status infer(struct trainer *t, size_t rows, uint64_t k, struct sae_csr *csr,
                             struct sae_err *err)
{
    (void)err;
    (void)select_rows(t, rows, k, csr);
    return SAE_OK;
}

static const struct train_array arrays[] = {TRAIN_ARRAYS_OF_ALL("b_enc"), {0}};

const struct train_arch train_arch_topk = {
    .summary = "the k largest activations of each token",
    .model = "topk",
    .arrays = arrays,
    .keeps = TRAIN_KEEPS_TOKEN,
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
    .infer = infer,
};
