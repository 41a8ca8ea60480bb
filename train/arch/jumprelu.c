/* SPDX-License-Identifier: MIT */
/* jumprelu : a learnt threshold for each latent (Rajamanoharan et al. 2024, arXiv 2407.14435), in
 * dictionary_learning's form.
 *
 *   z = W_enc x + b_enc      f = z 1[z > theta]      H = 1[f > theta]     L0 = mean sum H
 *   L = mean |x - xhat|^2 + weight (L0 / target - 1)^2
 *
 * Straight through, with bandwidth e and K(u) = 1[|u| < 1/2]:
 *   dtheta_j = - theta_j / e  sum of df K((z - theta) / e)      df = dL/dxhat . W_dec[j]
 *              - 1 / e  dL/dH  sum of K((f - theta) / e)        dL/dH = 2 weight (L0/T - 1) / (T n)
 *
 * With --l0-step z, as in the paper, H = 1[z > theta] and the window of z counts on both sides.
 * Otherwise H looks at f, not z. Above its threshold an entry has f = z; below it f = 0, which lies in the
 * window, or above theta, only where theta < e / 2 or theta < 0: then for all of these at once.
 *
 * A threshold below 0 lets negative values through: they are among the entries and in the masks. */
#include "train/arch/arch.h"
#include "train/arch/kept.h"
#include "train/arch/weights.h"

static void init(struct trainer *t, const float *x)
{
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_INIT);
    (void)x;
    weights_decoder(t, &rng, false);
    weights_tie(t, 1);
    for (size_t j = 0; j < t->m; j++)
        t->w.theta[j] = 0.001F;
}

/* work->pre holds z until the backward pass. */
static enum sae_status forward(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    struct work *const a = t->work;
    const struct sae_ops *const ops = a->ops;
    double entries = 0;
    products_pre(t, t->n);
    ops->jump(t->n, t->m, a->w.b_enc, a->w.theta, t->set.l0_step == L0_STEP_Z, a->pre, a->active,
              a->number + ENTRIES);
    a->dense = !numbers_known(t, ENTRIES, &entries) || products_dense(t, (size_t)entries);
    if (masks->valid || !a->dense) {
        SAE_TRY(masks_select(t, t->n, a->pre, a->zero, a->w.theta, true, &masks->csr, err));
        SAE_TRY(masks_index(masks, ops, t->m, err));
    } else if (!ops->numbers_delayed) {
        a->nnz = (size_t)entries;
    }
    if (!a->dense) {
        ops->decode(t->d, &masks->csr, a->w.W_dec, a->w.b_dec, a->xhat);
        return SAE_OK;
    }
    SAE_TRY(products_open_dense(t, err));
    for (size_t r0 = 0; r0 < t->n; r0 += a->block) {
        const size_t rows = products_rows(t, t->n, r0);
        ops->jump_fill(rows, t->m, a->pre + r0 * t->m, a->w.theta, a->dzf);
        products_decode(t, a->dzf, r0, rows, a->xhat);
    }
    return SAE_OK;
}

static enum sae_status backward(struct trainer *t, const struct masks *masks, double sparse_weight,
                                struct sae_err *err)
{
    struct work *const a = t->work;
    const struct sae_jump jump = {t->set.bandwidth, t->set.target_l0, sparse_weight,
                                  t->set.l0_step == L0_STEP_Z};
    a->ops->jump_grad(t->n, t->m, t->d, &jump, a->pre, a->w.theta, a->active, a->number + SEEN,
                      a->grad, a->w.W_dec, a->g.theta);
    if (!a->dense)
        return products_backward_sparse(t, masks, 0, err);
    a->ops->jump_fill(t->n, t->m, a->pre, a->w.theta, a->pre);
    return products_backward_dense(t, a->pre, 0, err);
}

static enum sae_status infer(struct trainer *t, size_t rows, uint64_t k, struct sae_csr *csr,
                             struct sae_err *err)
{
    struct work *const a = t->work;
    (void)k;
    products_pre(t, rows);
    return masks_select(t, rows, a->pre, a->w.b_enc, a->w.theta, false, csr, err);
}

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
    .init = init,
    .forward = forward,
    .loss = kept_loss,
    .backward = backward,
    .infer = infer,
};
