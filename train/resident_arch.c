/* SPDX-License-Identifier: MIT */
/* resident_arch : what differs by architecture in a step on a device. Equations: step.c, gated.c,
 * jumprelu.c, matryoshka.c, lp.c, resample.c.
 * Contents: 1. arrays   2. activations   3. matryoshka   4. backward   5. resampling */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "train/resident_inner.h"

/* --- 1. arrays ------------------------------------------------------------------------------ */

static enum sae_status open_prefixes(struct resident *a, const struct trainer *t,
                                     struct sae_err *err)
{
    const size_t n = t->set.groups.n;
    size_t first = 0;
    SAE_TRY(sae_mem_alloc(&a->prefix, n, sizeof *a->prefix, err));
    a->n_prefixes = n;
    for (size_t i = 0; i < n; i++) {
        struct prefix *const p = &a->prefix[i];
        p->first = first;
        p->end = first += settings_group_size(&t->set, i);
        p->weight = matry_weight(&t->set);
        SAE_TRY(a->ops->alloc(&p->slab, t->n * t->d, sizeof *p->slab, err));
    }
    return SAE_OK;
}

enum sae_status resident_open_arch(struct resident *a, const struct trainer *t, struct sae_err *err)
{
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m;
    if (t->set.arch == TRAIN_GATED) {
        SAE_TRY(ops->alloc(&a->gate, n * m, sizeof *a->gate, err));
        SAE_TRY(ops->alloc(&a->d2, n * m, sizeof *a->d2, err));
        SAE_TRY(ops->alloc(&a->grad2, n * t->d, sizeof *a->grad2, err));
        SAE_TRY(ops->alloc(&a->du, m, sizeof *a->du, err));
    }
    if (!settings_has_k(&t->set))
        SAE_TRY(ops->alloc(&a->active, m, sizeof *a->active, err));
    if (settings_has_lp(&t->set))
        SAE_TRY(ops->alloc(&a->lp_row, n, sizeof *a->lp_row, err));
    if (t->set.orth == ORTH_ORTSAE)
        SAE_TRY(ops->alloc(&a->order, m, sizeof *a->order, err));
    SAE_TRY(ops->alloc(&a->zero, m, sizeof *a->zero, err));
    return t->set.arch == TRAIN_MATRYOSHKA ? open_prefixes(a, t, err) : SAE_OK;
}

void resident_close_arch(struct resident *a)
{
    void *const arrays[] = {a->gate,   a->d2,     a->grad2, a->du,
                            a->active, a->lp_row, a->order, a->zero};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        a->ops->free(arrays[i]);
    for (size_t i = 0; a->prefix && i < a->n_prefixes; i++)
        a->ops->free(a->prefix[i].slab);
    free(a->prefix);
}

/* --- 2. activations ------------------------------------------------------------------------- */

enum sae_status resident_activate(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m;
    if (settings_arch(&t->set)->penalty == TRAIN_PENALTY_L1) {
        if (masks->valid)
            SAE_TRY(resident_active(t, n, a->pre, a->w.b_enc, NULL, &masks->csr, &masks->csc, err));
        ops->relu_sum(n, m, a->w.b_enc, a->pre, a->number + L1);
        return SAE_OK;
    }
    if (t->set.arch == TRAIN_GATED) {
        ops->copy(a->number + L1, a->none.start, 2 * sizeof *a->number); /* zeros */
        ops->gate(n, m, a->pre, a->w.b_enc, a->w.r_mag, a->w.b_mag, a->f, a->gate, a->number + L1);
    } else {
        ops->jump(n, m, a->w.b_enc, a->w.theta, t->set.l0_step == L0_STEP_Z, a->pre, a->active,
                  a->number + ENTRIES);
        ops->jump_fill(n, m, a->pre, a->w.theta, a->f);
    }
    return masks->valid ? resident_active(t, n, a->f, a->zero, NULL, &masks->csr, &masks->csc, err)
                        : SAE_OK;
}

/* What the sparsity term looks at. */
static const float *sparse_f(const struct trainer *t)
{
    const struct resident *const a = t->resident;
    return a->gate ? a->gate : a->pre;
}

void resident_lp(struct trainer *t)
{
    struct resident *const a = t->resident;
    a->ops->copy(a->number + LP, a->none.start, 2 * sizeof *a->number); /* zeros */
    a->ops->lp_sum(t->set.sparsity == SPARSITY_LP, t->n, t->m, NULL, sparse_f(t), t->lp.p, t->lp.p_next,
                   a->lp_row, a->number + LP);
}

void resident_gated_loss(struct trainer *t)
{
    struct resident *const a = t->resident;
    const size_t n = t->n, m = t->m, d = t->d;
    a->ops->decode(d, &a->none, a->w.W_dec, a->w.b_dec, a->r); /* r: free without AuxK */
    a->ops->gemm(false, false, n, d, m, 1, a->gate, m, a->w.W_dec, d, 1, a->r, d);
    a->ops->loss_sum(false, n, d, a->x, a->r, a->grad2, a->number + AUX);
}

/* --- 3. matryoshka -------------------------------------------------------------------------- */

/* Each prefix from the one before; the last is xhat. */
void resident_prefixes(struct trainer *t, const struct masks *masks)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m, d = t->d;
    for (size_t i = 0; i < a->n_prefixes; i++) {
        const struct prefix *const p = &a->prefix[i];
        float *const to = i + 1 < a->n_prefixes ? p->slab : a->xhat;
        const float *base = to;
        if (i == 0)
            ops->decode(d, &a->none, a->w.W_dec, a->w.b_dec, to);
        else if (a->dense)
            ops->copy(to, a->prefix[i - 1].slab, n * d * sizeof *to);
        else
            base = a->prefix[i - 1].slab;
        if (a->dense)
            ops->gemm(false, false, n, d, p->end - p->first, 1, a->f + p->first, m,
                      a->w.W_dec + p->first * d, d, 1, to, d);
        else
            ops->decode_group(d, &masks->csr, p->first, p->end, a->w.W_dec, base, to);
    }
}

/* A latent is in the reconstructions of its own and of all later prefixes. */
void resident_prefix_loss(struct trainer *t)
{
    struct resident *const a = t->resident;
    const float *xhat = a->xhat, *later = NULL;
    for (size_t i = a->n_prefixes; i-- > 0;) {
        const struct prefix *const p = &a->prefix[i];
        a->ops->prefix_loss(t->n, t->d, p->weight, a->x, later ? p->slab : xhat, later, p->slab,
                            a->number + RECON);
        later = p->slab;
    }
    a->ops->copy(a->grad, later, t->n * t->d * sizeof *a->grad);
}

void resident_prefix_grad(struct trainer *t, const struct masks *masks)
{
    struct resident *const a = t->resident;
    for (size_t i = 0; i < a->n_prefixes; i++)
        a->ops->grad_dec_group(t->d, a->prefix[i].first, a->prefix[i].end, &masks->csr, &masks->csc,
                               a->prefix[i].slab, a->w.W_dec, a->dz, a->g.W_dec);
}

/* --- 4. backward ---------------------------------------------------------------------------- */

/* g.W_dec and dzf = dL/df from the gradient at the reconstruction, latents [first, end). */
static void decoder_grad(struct trainer *t, const float *grad, size_t first, size_t end)
{
    struct resident *const a = t->resident;
    const size_t n = t->n, m = t->m, d = t->d, some = end - first;
    a->ops->gemm(true, false, some, d, n, 1, resident_dense_f(a) + first, m, grad, d, 0,
                 a->g.W_dec + first * d, d);
    a->ops->gemm(false, true, n, some, d, 1, grad, d, a->w.W_dec + first * d, d, 0, a->dzf + first,
                 m);
}

/* Leaves the gradient of u in d2. */
static void gated_grad(struct trainer *t, float l1)
{
    struct resident *const a = t->resident;
    const size_t n = t->n, m = t->m;
    a->ops->gemm(false, true, n, m, t->d, 1, a->grad2, t->d, a->w.W_dec, t->d, 0, a->d2, m);
    if (a->lp_row)
        a->ops->lp_grad(t->set.sparsity == SPARSITY_LP, n, m, NULL, a->gate, t->lp.p, (double)l1,
                        a->lp_row, a->d2);
    a->ops->gate_grad(n, m, a->pre, a->w.r_mag, a->f, a->gate, a->lp_row ? 0 : l1, a->dzf, a->d2,
                      a->g.b_enc, a->g.b_mag, a->g.r_mag, a->du);
}

void resident_backward(struct trainer *t, const struct step_stats *s)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m, d = t->d;
    const float l1 = (float)(s->sparse_weight / (double)n);
    float *dz = a->dzf;
    for (size_t i = 0; i < a->n_prefixes; i++)
        decoder_grad(t, a->prefix[i].slab, a->prefix[i].first, a->prefix[i].end);
    if (!a->prefix)
        decoder_grad(t, a->grad, 0, m);
    if (t->set.arch == TRAIN_GATED) {
        gated_grad(t, l1);
        dz = a->d2;
    } else if (t->set.arch == TRAIN_JUMPRELU) {
        const struct sae_jump jump = {t->set.bandwidth, t->set.target_l0, s->sparse_weight,
                                      t->set.l0_step == L0_STEP_Z};
        ops->jump_grad(n, m, d, &jump, a->pre, a->w.theta, a->active, a->number + SEEN, a->grad,
                       a->w.W_dec, a->g.theta);
        ops->mask_grad(n * m, a->f, 0, dz);
    } else if (a->lp_row) {
        ops->lp_grad(t->set.sparsity == SPARSITY_LP, n, m, NULL, a->pre, t->lp.p, (double)l1, a->lp_row,
                     dz);
    } else {
        ops->mask_grad(n * m, resident_dense_f(a), settings_has_k(&t->set) ? 0 : l1, dz);
    }
    ops->gemm(true, false, m, d, n, 1, dz, m, a->xc, d, 0, a->g.W_enc, d);
    if (t->set.arch != TRAIN_GATED) /* whose biases have theirs */
        ops->col_sum(n, m, dz, a->g.b_enc);
}

/* --- 5. resampling -------------------------------------------------------------------------- */

enum sae_status resident_resample(struct trainer *t, struct step_stats *s, struct sae_err *err)
{
    struct resident *const a = t->resident;
    float *x = NULL;
    size_t done = 0;
    enum sae_status st;
    SAE_GO(st, resident_fetch(t, true, err));
    SAE_GO(st, sae_mem_alloc(&x, t->n * t->d, sizeof *x, err));
    a->ops->get(x, a->x, t->n * t->d * sizeof *x);
    SAE_GO(st, resample_step(t, x, &t->scratch, &done, err));
    s->resampled = (double)done;
    a->loaded = a->loaded && done == 0;
done:
    free(x);
    return st;
}
