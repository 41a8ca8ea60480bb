/* SPDX-License-Identifier: MIT */
/* step : one update, over the table of operations.
 *
 *   f    = TopK, BatchTopK or ReLU of W_enc (x - b_dec) + b_enc   xhat = W_dec^T f + b_dec
 *   g    = dL/dxhat = 2 (xhat - x) / n                        (standard-2024: unit vector / n)
 *   dW_dec = f^T g     dz = g W_dec^T on active entries + l1  dW_enc = dz^T (x - b_dec)
 *   db_dec = sum g - W_enc^T sum dz
 *
 * What an architecture does otherwise is in its file of arch/.
 * Contents: 1. schedules   2. gradients   3. update   4. the step */
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "train/inner.h"

/* --- 1. schedules --------------------------------------------------------------------------- */

static const struct step_stats blank = {.explained_variance = NAN,
                                        .lp = NAN,
                                        .n_pairs = NAN,
                                        .mean_abs_cos = NAN,
                                        .max_abs_cos = NAN,
                                        .orth = NAN,
                                        .grad_recon = NAN,
                                        .grad_orth = NAN,
                                        .grad_cos = NAN,
                                        .oversuppressed = NAN};

static double penalty_weight(const struct trainer *t)
{
    if (t->arch->penalty == TRAIN_PENALTY_NONE)
        return 0;
    if (t->arch->penalty == TRAIN_PENALTY_L0)
        return t->set.l0_penalty;
    return step_has_lp(t) ? t->lp.weight : t->set.l1;
}

static void schedule(const struct trainer *t, struct step_stats *s)
{
    const struct settings *const set = &t->set;
    s->p = (double)t->step / (double)set->steps;
    const uint64_t since = set->resample_every ? t->step % set->resample_every : t->step;
    s->lr = set->lr * sae_sched_lr(since, set->warmup, set->decay_start, set->steps);
    s->lambda2 = set->orth == ORTH_NONE ? 0 : sae_sched_lambda2(set->lambda2_max, set->gamma, s->p);
    s->tau = trainer_tau(t, s->p);
    s->k = trainer_k(t);
    s->sparse_weight = penalty_weight(t) * sae_sched_sparsity(t->step, set->sparsity_warmup);
    if (step_has_lp(t))
        s->lp = t->lp.p;
}

/* --- 2. gradients --------------------------------------------------------------------------- */

static enum sae_status measure_variance(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    a->ops->spread_sum(t->n, t->d, a->x, NULL, a->number + VARIANCE);
    if (!t->arch->root_loss && !t->arch->prefixes) {
        a->ops->copy(a->number + MISS, a->number + RECON, sizeof *a->number);
        return SAE_OK;
    }
    SAE_TRY(state_reserve(t, &a->r, t->n * t->d, err));
    a->ops->loss_sum(false, t->n, t->d, a->x, a->xhat, a->r, a->number + MISS);
    return SAE_OK;
}

/* b_dec is added at the end and subtracted at the start. The second part is a product of a vector:
 * summing dz over tokens first saves an [n][d] gradient. */
static void backward_b_dec(struct trainer *t)
{
    struct work *const a = t->work;
    a->ops->col_sum(t->n, t->d, a->grad, a->g.b_dec);
    if (t->arch->subtracts_b_dec)
        a->ops->gemm(false, false, 1, t->d, t->m, -1, a->dz_sum, t->m, a->w.W_enc, t->d, 1,
                     a->g.b_dec, t->d);
}

/* --- 3. update ------------------------------------------------------------------------------ */

/* The square of the whole gradient, of what is trained alone. */
static void sum_gradient(struct trainer *t, size_t rest, size_t n_rest)
{
    struct work *const a = t->work;
    const size_t md = t->m * t->d;
    if (t->set.freeze != FREEZE_DECODER) /* the first: it overwrites */
        a->ops->project_sum(t->m, t->d, a->w.W_dec, t->arch->project_eps, a->g.W_dec, a->proj,
                            a->number + GRAD_SQ);
    if (t->set.freeze != FREEZE_ENCODER)
        a->ops->sq_sum(md, a->g.W_enc, a->number + GRAD_SQ);
    a->ops->sq_sum(n_rest, a->g.all + rest, a->number + GRAD_SQ);
}

/* Projects, clips, steps, renormalises. A frozen matrix and its moments are not touched.
 * Fails: SAE_ERANGE as numbers_check_grad, before that */
static enum sae_status update(struct trainer *t, double lr, struct sae_err *err)
{
    struct work *const a = t->work;
    const struct sae_ops *const ops = a->ops;
    const struct train_arch *const arch = t->arch;
    const size_t md = t->m * t->d, rest = (size_t)(a->w.b_enc - a->w.all), n_rest = a->w.n - rest;
    sum_gradient(t, rest, n_rest);
    double sq = 0;
    if (numbers_known(t, GRAD_SQ, &sq) && isfinite(sq))
        SAE_TRY(numbers_check_grad(t, t->step, sqrt(sq), err));
    const struct sae_adam adam = {.lr = (float)lr,
                                  .beta1 = arch->beta1,
                                  .beta2 = 0.999F,
                                  .eps = 1e-8F,
                                  .step = t->step + 1,
                                  .scale = 1,
                                  .norm_sq = arch->clips ? a->number + GRAD_SQ : NULL,
                                  .guard = a->number + RECON,
                                  .n_guard = GUARDS};
    if (t->set.freeze != FREEZE_ENCODER)
        ops->adam(md, &adam, a->w.W_enc, a->g.W_enc, a->m1.W_enc, a->m2.W_enc);
    if (t->set.freeze != FREEZE_DECODER)
        ops->adam_rows(t->m, t->d, &adam, a->proj, arch->unit_eps, a->w.W_dec, a->g.W_dec,
                       a->m1.W_dec, a->m2.W_dec);
    if (a->start)
        ops->cap_rows(t->m, t->d, t->set.freeze_cos, a->start, a->w.W_dec);
    ops->adam(n_rest, &adam, a->w.all + rest, a->g.all + rest, a->m1.all + rest, a->m2.all + rest);
    return SAE_OK;
}

/* The resampling that falls on this step; by way of the host. */
static enum sae_status resample(struct trainer *t, struct step_stats *s, struct sae_err *err)
{
    struct work *const a = t->work;
    const size_t n = t->n * t->d;
    float *copy = NULL;
    size_t done = 0;
    enum sae_status st;
    SAE_TRY(state_fetch(t, true, err));
    if (resample_dead(t) == 0)
        return SAE_OK;
    const float *x = a->x;
    if (!a->ops->host) {
        SAE_TRY(sae_mem_alloc(&copy, n, sizeof *copy, err));
        a->ops->get(copy, a->x, n * sizeof *copy);
        x = copy;
    }
    struct forward_view view;
    SAE_GO(st, trainer_forward(t, x, t->n, 0, &view, err)); /* with the new weights */
    SAE_GO(st, resample_rows(t, x, view.xhat, &done, err));
    s->resampled = (double)done;
    a->loaded = a->loaded && done == 0;
done:
    free(copy);
    return st;
}

/* --- 4. the step ---------------------------------------------------------------------------- */

static enum sae_status gradients(struct trainer *t, bool measure, struct note *note,
                                 struct sae_err *err)
{
    struct work *const a = t->work;
    struct masks *const masks = &a->ring[t->step % t->ring_len];
    masks->valid = step_has_k(t) || settings_competes(&t->set);
    a->nnz = SIZE_MAX;
    a->dz_sum = a->g.b_enc;
    numbers_begin(t);
    SAE_TRY(t->arch->forward(t, masks, err));
    SAE_TRY(t->arch->loss(t, err));
    note->masked = masks->valid;
    a->ops->age(t->n, t->m, masks->valid ? masks->csc.start : NULL, a->active, t->set.dead_after,
                a->idle, a->number + DEAD);
    if (measure)
        SAE_TRY(measure_variance(t, err));
    SAE_TRY(t->arch->backward(t, masks, note->stats.sparse_weight, err));
    if (t->set.auxk_alpha > 0)
        SAE_TRY(auxk_step(t, err));
    backward_b_dec(t);
    return orth_step(t, measure, note, err);
}

enum sae_status trainer_step(struct trainer *t, const float *x, bool measure,
                             struct step_stats *ret, struct sae_err *err)
{
    struct work *const a = t->work;
    struct note note = {.stats = blank, .step = t->step, .measured = measure};
    struct step_stats *const s = &note.stats, latest;
    SAE_TRY(state_load(t, err));
    schedule(t, s);
    a->x = x;
    SAE_TRY(gradients(t, measure, &note, err));
    SAE_TRY(update(t, s->lr, err));
    if (step_has_cut(t) && t->step > t->set.cut_start)
        a->ops->cut_move(&a->ring[t->step % t->ring_len].csr, t->set.cut_momentum, a->number + CUT);
    if (t->set.resample_every && t->step % t->set.resample_every == 0)
        SAE_TRY(resample(t, s, err));
    t->tau = s->tau;
    t->step++;
    SAE_TRY(numbers_post_stats(t, &note, &latest, err));
    if (ret)
        *ret = latest;
    return SAE_OK;
}
