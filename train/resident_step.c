/* SPDX-License-Identifier: MIT */
/* resident_step : a step on a device. Equations: step.c and auxk.c, whose order this keeps.
 * Contents: 1. forward   2. backward   3. the step */
#include "train/resident_inner.h"

/* --- 1. forward ----------------------------------------------------------------------------- */

/* The reconstruction from dense activations. */
static void decode_dense(struct trainer *t)
{
    struct resident *const a = t->resident;
    a->ops->decode(t->d, &a->none, a->w.W_dec, a->w.b_dec, a->xhat);
    a->ops->gemm(false, false, t->n, t->d, t->m, 1, resident_dense_f(a), t->m, a->w.W_dec, t->d, 1,
                 a->xhat, t->d);
}

static enum sae_status forward(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m;
    const bool has_k = settings_has_k(&t->set);
    resident_pre(t, n);
    masks->valid = has_k || settings_competes(&t->set);
    a->made = a->pre;
    if (settings_arch(&t->set)->keeps == TRAIN_KEEPS_TOKEN)
        a->made = ops->encode_topk(n, m, t->d, (size_t)trainer_k(t), a->xc, a->w.W_enc, a->w.b_enc,
                                   a->pre, &masks->csr);
    else if (has_k)
        ops->batchtopk(n, m, (size_t)trainer_k(t), a->pre, a->w.b_enc, &masks->csr);
    else
        SAE_TRY(resident_activate(t, masks, err));
    if (masks->valid)
        ops->transpose(m, &masks->csr, &masks->csc);
    if (settings_has_lp(&t->set))
        resident_lp(t);
    if (has_k && a->dense)
        ops->scatter(m, &masks->csr, a->f);
    if (a->prefix)
        resident_prefixes(t, masks);
    else if (a->dense)
        decode_dense(t);
    else
        ops->decode(t->d, &masks->csr, a->w.W_dec, a->w.b_dec, a->xhat);
    return SAE_OK;
}

enum sae_status resident_look(struct trainer *t, const float *x, bool there, struct sae_err *err)
{
    struct resident *const a = t->resident;
    SAE_TRY(resident_load(t, err));
    a->x = there ? x : a->own_x;
    if (!there)
        a->ops->put(a->own_x, x, t->n * t->d * sizeof *x);
    a->now.csr.n = t->n;
    SAE_TRY(forward(t, &a->now, err));
    if (!a->now.valid)
        return a->ops->check(err);
    SAE_TRY(resident_get_csr(t, &a->now.csr, &t->now.csr, err));
    return trainer_masks_index(t, &t->now, err);
}

static void loss(struct trainer *t)
{
    struct resident *const a = t->resident;
    if (a->prefix)
        resident_prefix_loss(t);
    else
        a->ops->loss_sum(settings_arch(&t->set)->root_loss, t->n, t->d, a->x, a->xhat, a->grad,
                         a->number + RECON);
    if (t->set.arch == TRAIN_GATED)
        resident_gated_loss(t);
}

/* --- 2. backward ---------------------------------------------------------------------------- */

static enum sae_status backward_sparse(struct trainer *t, const struct masks *masks,
                                       struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    SAE_TRY(resident_dz_room(a, &masks->csr, err));
    if (a->prefix)
        resident_prefix_grad(t, masks);
    else
        ops->grad_dec(t->m, t->d, &masks->csr, &masks->csc, a->grad, a->w.W_dec, a->dz,
                      a->g.W_dec);
    ops->grad_enc(t->m, t->d, &masks->csr, &masks->csc, a->dz, a->xc, a->g.W_enc, a->g.b_enc);
    return SAE_OK;
}

/* All dead latents compete; where there is none no entry is found, and nothing is added. */
static void auxk(struct trainer *t)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m, d = t->d, k = d / 2 < m ? d / 2 : m;
    ops->topk_idle(n, m, d, k, a->xc, a->w.W_enc, a->w.b_enc, a->made, a->idle, t->set.dead_after,
                   &a->aux.csr);
    ops->transpose(m, &a->aux.csr, &a->aux.csc);
    ops->decode(d, &a->aux.csr, a->w.W_dec, NULL, a->r);
    ops->spread_sum(n, d, a->x, a->xhat, a->number + SPREAD);
    ops->aux_loss(n, d, t->set.auxk_alpha, a->x, a->xhat, a->number + SPREAD, a->number + DEAD,
                  a->r, a->number + AUX);
    ops->grad_add(m, d, &a->aux.csr, &a->aux.csc, a->r, a->xc, a->w.W_dec, a->aux_dz, a->g.W_enc,
                  a->g.W_dec, a->g.b_enc);
}

static enum sae_status backward(struct trainer *t, const struct masks *masks,
                                const struct step_stats *s, struct sae_err *err)
{
    struct resident *const a = t->resident;
    if (a->dense)
        resident_backward(t, s);
    else
        SAE_TRY(backward_sparse(t, masks, err));
    if (a->aux_dz)
        auxk(t);
    a->ops->col_sum(t->n, t->d, a->grad, a->g.b_dec);
    if (settings_arch(&t->set)->subtracts_b_dec)
        a->ops->gemm(false, false, 1, t->d, t->m, -1, a->du ? a->du : a->g.b_enc, t->m, a->w.W_enc,
                     t->d, 1, a->g.b_dec, t->d);
    return SAE_OK;
}

/* --- 3. the step ---------------------------------------------------------------------------- */

static void update(struct trainer *t, double lr)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const struct train_arch *const arch = settings_arch(&t->set);
    const size_t md = t->m * t->d, rest = (size_t)(a->w.b_enc - a->w.all), n_rest = t->w.n - rest;
    ops->project_sum(t->m, t->d, a->w.W_dec, arch->project_eps, a->g.W_dec, a->proj,
                     a->number + GRAD_SQ);
    ops->sq_sum(md, a->g.W_enc, a->number + GRAD_SQ);
    ops->sq_sum(n_rest, a->g.all + rest, a->number + GRAD_SQ);
    const struct sae_adam adam = {.lr = (float)lr,
                                  .beta1 = arch->beta1,
                                  .beta2 = 0.999F,
                                  .eps = 1e-8F,
                                  .step = t->step + 1,
                                  .scale = 1,
                                  .norm_sq = arch->clips ? a->number + GRAD_SQ : NULL,
                                  .guard = a->number + RECON,
                                  .n_guard = GUARDS};
    ops->adam(md, &adam, a->w.W_enc, a->g.W_enc, a->m1.W_enc, a->m2.W_enc);
    ops->adam_rows(t->m, t->d, &adam, a->proj, arch->unit_eps, a->w.W_dec, a->g.W_dec, a->m1.W_dec,
                   a->m2.W_dec);
    ops->adam(n_rest, &adam, a->w.all + rest, a->g.all + rest, a->m1.all + rest, a->m2.all + rest);
}

/* Only when asked to measure; r is free until AuxK. */
static void measure_variance(struct trainer *t)
{
    struct resident *const a = t->resident;
    a->ops->spread_sum(t->n, t->d, a->x, NULL, a->number + VARIANCE);
    a->ops->loss_sum(false, t->n, t->d, a->x, a->xhat, a->r, a->number + MISS);
}

/* Weight of the sparsity term. */
static void schedule_sparsity(const struct trainer *t, struct step_stats *s)
{
    const struct settings *const set = &t->set;
    const double part = sae_sched_sparsity(t->step, set->sparsity_warmup);
    if (settings_arch(set)->penalty == TRAIN_PENALTY_L0)
        s->sparse_weight = set->l0_penalty * part;
    else if (settings_has_lp(set))
        s->sparse_weight = t->lp.weight * part;
    else if (settings_has_l1(set))
        s->sparse_weight = set->l1 * part;
    if (settings_has_lp(set))
        s->lp = t->lp.p;
}

enum sae_status resident_step(struct trainer *t, const float *x, bool there, bool measure,
                              const struct step_stats *scheduled, struct step_stats *ret,
                              struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    struct masks *const masks = &a->ring[t->step % t->ring_len];
    struct told told = {.stats = *scheduled, .step = t->step, .measured = measure};
    struct step_stats *const s = &told.stats, latest;
    SAE_TRY(resident_load(t, err));
    schedule_sparsity(t, s);
    a->x = there ? x : a->own_x;
    if (!there)
        ops->put(a->own_x, x, t->n * t->d * sizeof *x);
    SAE_TRY(forward(t, masks, err));
    loss(t);
    if (!settings_has_k(&t->set) && t->set.arch != TRAIN_JUMPRELU)
        ops->count_active(t->n, t->m, resident_dense_f(a), false, a->active);
    ops->age(t->n, t->m, settings_has_k(&t->set) ? masks->csc.start : NULL, a->active,
             t->set.dead_after, a->idle, a->number + DEAD);
    if (measure)
        measure_variance(t);
    SAE_TRY(backward(t, masks, s, err));
    resident_orth(t, measure, &told);
    update(t, s->lr);
    if (settings_has_cut(&t->set) && t->step > t->set.cut_start)
        ops->cut_move(&masks->csr, t->set.cut_momentum, a->number + CUT);
    if (t->set.resample_every && t->step % t->set.resample_every == 0)
        SAE_TRY(resident_resample(t, s, err));
    t->tau = s->tau;
    t->step++;
    SAE_TRY(resident_tell(t, &told, &latest, err));
    if (ret)
        *ret = latest;
    return SAE_OK;
}
