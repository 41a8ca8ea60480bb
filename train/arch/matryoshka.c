/* SPDX-License-Identifier: MIT */
/* matryoshka : nested dictionaries (Bussmann et al. 2025, arXiv 2503.17547), with batchtopk's
 * selection. Latents are ordered groups; every prefix of groups reconstructs by itself.
 *
 *   xhat_g = b_dec + sum over latents of groups 0 ... g      g = 0 ... G-1
 *   L_recon = sum_g c_g mean |x - xhat_g|^2                  c_g = w_g (published: w_g / G), w_g = 1 / G
 *
 * A latent of group g is in xhat_g ... xhat_{G-1}, so all its gradients come from one array,
 * H_g = sum over h >= g of dL/dxhat_h. Groups are decoded and differentiated one after another, and cost
 * together what one dictionary does, but for G arrays [n][d]. */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "train/arch/arch.h"
#include "train/arch/kept.h"

/* A group of latents [first, end), and the prefix that ends with it. */
struct prefix {
    size_t first, end;
    float *slab; /* [n][d] the prefix's reconstruction, then H_g */
};

struct prefixes {
    size_t n;
    struct prefix *of;
    double weight; /* c_g */
};

static void close_prefixes(struct trainer *t)
{
    struct prefixes *const p = t->work->own;
    for (size_t i = 0; p && p->of && i < p->n; i++)
        t->work->ops->free(p->of[i].slab);
    if (p)
        free(p->of);
    free(p);
}

/* Every group but the last takes its fraction of m, rounded down; the last takes what is left. */
static enum sae_status open_prefixes(struct trainer *t, struct sae_err *err)
{
    const double n = (double)t->set.groups.n;
    struct prefixes *p = NULL;
    size_t first = 0;
    SAE_TRY(sae_mem_alloc(&p, 1, sizeof *p, err));
    t->work->own = p;
    SAE_TRY(sae_mem_alloc(&p->of, t->set.groups.n, sizeof *p->of, err));
    p->n = t->set.groups.n;
    p->weight = 1 / n / (t->set.prefix_loss == PREFIX_PUBLISHED ? n : 1);
    for (size_t i = 0; i < p->n; i++) {
        p->of[i].first = first;
        p->of[i].end = first += settings_group_size(&t->set, i);
        SAE_TRY(state_reserve(t, &p->of[i].slab, t->n * t->d, err));
    }
    return SAE_OK;
}

/* Each prefix from the one before; the last is xhat. */
static void reconstruct(struct trainer *t, const struct masks *masks)
{
    struct work *const a = t->work;
    const struct sae_ops *const ops = a->ops;
    const struct prefixes *const p = a->own;
    const size_t n = t->n, m = t->m, d = t->d;
    for (size_t i = 0; i < p->n; i++) {
        const struct prefix *const g = &p->of[i];
        float *const to = i + 1 < p->n ? g->slab : a->xhat;
        const float *base = to;
        a->none.n = n;
        if (i == 0)
            ops->decode(d, &a->none, a->w.W_dec, a->w.b_dec, to);
        else if (a->dense)
            ops->copy(to, p->of[i - 1].slab, n * d * sizeof *to);
        else
            base = p->of[i - 1].slab;
        if (a->dense)
            ops->gemm(false, false, n, d, g->end - g->first, 1, a->f + g->first, m,
                      a->w.W_dec + g->first * d, d, 1, to, d);
        else
            ops->decode_group(d, &masks->csr, g->first, g->end, a->w.W_dec, base, to);
    }
}

static enum sae_status forward(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    SAE_TRY(kept_of_batch(t, masks, err));
    SAE_TRY(kept_spread(t, &masks->csr, err));
    reconstruct(t, masks);
    return SAE_OK;
}

/* A latent is in the reconstructions of its own and of all later prefixes. */
static enum sae_status loss(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    const struct prefixes *const p = a->own;
    const float *later = NULL;
    (void)err;
    for (size_t i = p->n; i-- > 0;) {
        float *const slab = p->of[i].slab;
        a->ops->prefix_loss(t->n, t->d, p->weight, a->x, later ? slab : a->xhat, later, slab,
                            a->number + RECON);
        later = slab;
    }
    a->ops->copy(a->grad, later, t->n * t->d * sizeof *a->grad);
    return SAE_OK;
}

static enum sae_status backward_dense(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    const struct prefixes *const p = a->own;
    SAE_TRY(products_open_dense(t, err));
    for (size_t r0 = 0; r0 < t->n; r0 += a->block) {
        const size_t rows = products_rows(t, t->n, r0);
        const float *const f = a->f + r0 * t->m;
        for (size_t i = 0; i < p->n; i++)
            products_decoder(t, f, p->of[i].slab, r0, rows, p->of[i].first, p->of[i].end);
        products_encoder(t, f, 0, r0, rows);
    }
    return SAE_OK;
}

static enum sae_status backward(struct trainer *t, const struct masks *masks, double sparse_weight,
                                struct sae_err *err)
{
    struct work *const a = t->work;
    const struct prefixes *const p = a->own;
    (void)sparse_weight;
    if (a->dense)
        return backward_dense(t, err);
    SAE_TRY(products_reserve_dz(t, &masks->csr, err));
    for (size_t i = 0; i < p->n; i++)
        a->ops->grad_dec_group(t->d, p->of[i].first, p->of[i].end, &masks->csr, &masks->csc,
                               p->of[i].slab, a->w.W_dec, a->dz, a->g.W_dec);
    a->ops->grad_enc(t->m, t->d, &masks->csr, &masks->csc, a->dz, a->xc, a->g.W_enc, a->g.b_enc);
    return SAE_OK;
}

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
    .init = kept_init,
    .open = open_prefixes,
    .close = close_prefixes,
    .forward = forward,
    .loss = loss,
    .backward = backward,
    .infer = kept_infer_by_cut,
};
