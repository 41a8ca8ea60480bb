/* SPDX-License-Identifier: MIT */
/* step : one update.
 *
 *   f    = TopK, BatchTopK or ReLU of W_enc (x - b_dec) + b_enc   xhat = W_dec^T f + b_dec
 *   g    = dL/dxhat = 2 (xhat - x) / n                        (standard-2024: unit vector / n)
 *   dW_dec = f^T g     dz = g W_dec^T on active entries + l1  dW_enc = dz^T (x - b_dec)
 *   db_dec = sum g - W_enc^T sum dz
 *
 * Gated, JumpReLU and Matryoshka differ: gated.c, jumprelu.c, matryoshka.c.
 *
 * Contents: 1. forward   2. loss   3. backward   4. update   5. the step */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lib/math/clones.h"
#include "train/resident.h"

enum { BLOCK = 256 }; /* tokens of a block of dense gradients */

/* --- 1. forward --------------------------------------------------------------------------- */

static void center(struct trainer *t, const float *x, size_t rows)
{
    if (t->jump) /* b_dec is not subtracted */
        memcpy(t->xc, x, rows * t->d * sizeof *x);
    else
        t->ops->center(rows, t->d, x, t->w.b_dec, t->xc);
}

static void pre_activations(struct trainer *t, const float *x, size_t rows)
{
    center(t, x, rows);
    t->ops->gemm(false, true, rows, t->m, t->d, 1, t->xc, t->d, t->w.W_enc, t->d, 0, t->pre, t->m);
}

/* TopK never has its pre-activations in memory as a whole. Gradients are made after this and used up
 * before the next, so their memory serves as room. */
static void topk(struct trainer *t, const float *x, size_t rows, uint64_t k, struct sae_csr *csr)
{
    center(t, x, rows);
    t->ops->encode_topk(rows, t->m, t->d, (size_t)k, t->xc, t->w.W_enc, t->w.b_enc,
                        t->room ? t->room : t->g.all, csr);
}

/* Sparse activations, whatever their number. */
static enum sae_status active_all(struct trainer *t, size_t rows, struct sae_csr *csr, size_t *nnz,
                                  const float *theta, struct sae_err *err)
{
    t->ops->threshold(rows, t->m, t->pre, t->w.b_enc, theta, csr, nnz);
    if (*nnz <= csr->cap)
        return SAE_OK;
    SAE_TRY(trainer_csr_grow(t, csr, *nnz, err));
    csr->n = rows;
    t->ops->threshold(rows, t->m, t->pre, t->w.b_enc, theta, csr, nnz);
    return SAE_OK;
}

enum sae_status trainer_forward(struct trainer *t, const float *x, size_t rows, uint64_t k,
                                struct sae_csr *csr, struct sae_err *err)
{
    if (t->resident)
        return resident_forward(t, x, rows, k, csr, err);
    SAE_TRY(trainer_csr_grow(t, csr, rows * (k ? (size_t)k : 16), err));
    csr->n = rows;
    size_t nnz;
    if (settings_arch(&t->set)->keeps == TRAIN_KEEPS_TOKEN)
        topk(t, x, rows, k, csr);
    else
        pre_activations(t, x, rows);
    if (t->set.arch == TRAIN_GATED) {
        SAE_TRY(gated_select(t, rows, csr, err));
    } else if (settings_has_cut(&t->set)) {
        for (size_t j = 0; j < t->m; j++)
            t->theta[j] = (float)t->cut;
        SAE_TRY(active_all(t, rows, csr, &nnz, t->theta, err));
    } else if (settings_arch(&t->set)->keeps != TRAIN_KEEPS_TOKEN) {
        SAE_TRY(active_all(t, rows, csr, &nnz, t->w.theta, err));
    }
    t->ops->decode(t->d, csr, t->w.W_dec, t->w.b_dec, t->xhat);
    return SAE_OK;
}

SAE_CLONES static void activate_row(size_t m, const float *restrict b_enc, float *restrict row)
{
#pragma omp simd
    for (size_t j = 0; j < m; j++) {
        const float z = row[j] + b_enc[j];
        row[j] = z > 0 ? z : 0;
    }
}

SAE_CLONES static void jump_row(size_t m, const float *restrict b_enc, const float *restrict theta,
                                float *restrict row)
{
#pragma omp simd
    for (size_t j = 0; j < m; j++) {
        const float z = row[j] + b_enc[j];
        row[j] = z > theta[j] ? z : 0;
    }
}

/* Activations in place of t->pre, and the reconstruction by a dense product. */
static void forward_dense(struct trainer *t)
{
    for (size_t r = 0; r < t->n; r++) {
        if (t->jump)
            jump_row(t->m, t->w.b_enc, t->w.theta, t->pre + r * t->m);
        else
            activate_row(t->m, t->w.b_enc, t->pre + r * t->m);
        memcpy(t->xhat + r * t->d, t->w.b_dec, t->d * sizeof *t->xhat);
    }
    t->ops->gemm(false, false, t->n, t->d, t->m, 1, t->pre, t->m, t->w.W_dec, t->d, 1, t->xhat,
                 t->d);
}

/* The masks of an architecture without k, where they are wanted or few. Sets t->dense. */
static enum sae_status select_any(struct trainer *t, bool want_masks, struct sae_csr *csr,
                                  size_t *ret_nnz, struct sae_err *err)
{
    size_t nnz = 0;
    if (t->jump) {
        nnz = jump_count(t);
        SAE_TRY(jump_window(t, err));
    } else {
        t->ops->threshold(t->n, t->m, t->pre, t->w.b_enc, NULL, csr, &nnz);
    }
    t->dense = nnz > t->n * t->m / t->dense_share;
    *ret_nnz = nnz;
    if (t->dense && !want_masks)
        return SAE_OK;
    if (t->jump) {
        SAE_TRY(trainer_csr_grow(t, csr, nnz, err));
        jump_fill(t, csr);
        return SAE_OK;
    }
    return nnz > csr->cap ? active_all(t, t->n, csr, &nnz, NULL, err) : SAE_OK;
}

/* The training forward pass. Sets t->dense; the masks of this step are complete where wanted. */
static enum sae_status forward(struct trainer *t, const float *x, bool want_masks,
                               struct masks *masks, size_t *ret_nnz, struct sae_err *err)
{
    t->dense = false;
    masks->valid = false;
    masks->csr.n = t->n;
    if (settings_arch(&t->set)->keeps == TRAIN_KEEPS_TOKEN)
        topk(t, x, t->n, trainer_k(t), &masks->csr);
    else
        pre_activations(t, x, t->n);
    if (settings_has_cut(&t->set)) {
        t->ops->batchtopk(t->n, t->m, (size_t)trainer_k(t), t->pre, t->w.b_enc, &masks->csr);
    } else if (settings_arch(&t->set)->keeps != TRAIN_KEEPS_TOKEN) {
        SAE_TRY(select_any(t, want_masks, &masks->csr, ret_nnz, err));
        if (t->dense && !want_masks) {
            forward_dense(t);
            return SAE_OK;
        }
    }
    *ret_nnz = masks->csr.start[t->n];
    SAE_TRY(trainer_masks_index(t, masks, err));
    if (t->dense)
        forward_dense(t);
    else if (t->matry)
        return matry_forward(t, &masks->csr, err);
    else
        t->ops->decode(t->d, &masks->csr, t->w.W_dec, t->w.b_dec, t->xhat);
    return SAE_OK;
}

/* The training forward pass of a gated autoencoder. */
static enum sae_status forward_gated(struct trainer *t, const float *x, bool want_masks,
                                     struct masks *masks, size_t *ret_nnz, double *ret_gate,
                                     struct sae_err *err)
{
    masks->valid = false;
    pre_activations(t, x, t->n);
    *ret_nnz = gated_forward(t, ret_gate);
    t->dense = *ret_nnz > t->n * t->m / t->dense_share;
    if (t->dense && !want_masks)
        return SAE_OK;
    SAE_TRY(gated_select(t, t->n, &masks->csr, err));
    return trainer_masks_index(t, masks, err);
}

/* Masks of t->now; memory at first use. */
static enum sae_status open_now(struct trainer *t, struct sae_err *err)
{
    const size_t cap = t->n * (t->k_max ? t->k_max : 16);
    SAE_TRY(trainer_csr_grow(t, &t->now.csr, cap, err));
    return t->now.csc.start ? SAE_OK : sae_csc_alloc(&t->now.csc, t->ops, t->m, cap, err);
}

static enum sae_status look_once(struct trainer *t, const float *x, bool want_masks, size_t *nnz,
                                 struct sae_err *err)
{
    double gate;
    return t->gated ? forward_gated(t, x, want_masks, &t->now, nnz, &gate, err)
                    : forward(t, x, want_masks, &t->now, nnz, err);
}

enum sae_status trainer_look(struct trainer *t, const float *x, bool there, struct sae_err *err)
{
    size_t nnz = 0;
    SAE_TRY(open_now(t, err));
    t->now.valid = false;
    if (t->resident) {
        SAE_TRY(trainer_fetch(t, false, err));
        return resident_look(t, x, there, err);
    }
    SAE_TRY(look_once(t, x, settings_competes(&t->set), &nnz, err));
    const double meetings = (double)nnz * (double)nnz / (double)t->n;
    return t->now.valid || meetings > TRAINER_MEETINGS_MAX ? SAE_OK
                                                           : look_once(t, x, true, &nnz, err);
}

/* --- 2. loss ------------------------------------------------------------------------------ */

double trainer_loss(const struct trainer *t, const float *x, const float *xhat, float *grad)
{
    return t->ops->loss(settings_arch(&t->set)->root_loss, t->n, t->d, x, xhat, grad) /
           (double)t->n;
}

SAE_CLONES static double row_sum(size_t n, const float *restrict a)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i];
    return sum;
}

/* Mean over tokens of the sum of activations. */
static double l1_of(struct trainer *t, const struct masks *masks)
{
    double sum = 0;
    if (settings_has_lp(&t->set)) {
        const size_t *const start = masks->csr.start;
        lp_begin(t);
        for (size_t r = 0; r < t->n; r++) {
            if (t->dense)
                lp_add(t, t->m, t->pre + r * t->m);
            else
                lp_add(t, start[r + 1] - start[r], masks->csr.val + start[r]);
        }
        return t->lp.sum / (double)t->n;
    }
    if (t->dense)
        for (size_t r = 0; r < t->n; r++)
            sum += row_sum(t->m, t->pre + r * t->m);
    else
        for (size_t e = 0; e < masks->csr.start[t->n]; e++)
            sum += (double)masks->csr.val[e];
    return sum / (double)t->n;
}

double trainer_spread(size_t n, size_t d, const float *x, const float *minus, double *mean)
{
    memset(mean, 0, d * sizeof *mean);
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++)
            mean[i] += (double)x[r * d + i] - (minus ? (double)minus[r * d + i] : 0);
    for (size_t i = 0; i < d; i++)
        mean[i] /= (double)n;
    double sum = 0;
    for (size_t r = 0; r < n; r++) {
        double row = 0;
#pragma omp simd reduction(+ : row)
        for (size_t i = 0; i < d; i++) {
            const double v =
                (double)x[r * d + i] - (minus ? (double)minus[r * d + i] : 0) - mean[i];
            row += v * v;
        }
        sum += row;
    }
    return sum;
}

/* 1 - sum |x - xhat|^2 / sum |x - mean|^2 over the batch. */
static double explained_variance(const struct trainer *t, const float *x)
{
    double residual = 0;
    for (size_t i = 0; i < t->n * t->d; i++) {
        const double e = (double)(x[i] - t->xhat[i]);
        residual += e * e;
    }
    const double total = trainer_spread(t->n, t->d, x, NULL, t->mean);
    return total > 0 ? 1 - residual / total : NAN;
}

/* Ages every latent and resets those that were active; counts the dead. */
static size_t count_idle(struct trainer *t, const struct masks *masks)
{
    for (size_t j = 0; j < t->m; j++)
        t->idle[j] += t->n;
    float *const most = t->largest; /* a maximum vectorises, a branch does not */
    if (t->dense && !t->gated) {
        memset(most, 0, t->m * sizeof *most);
        for (size_t r = 0; r < t->n; r++) {
            const float *const row = t->pre + r * t->m;
#pragma omp simd
            for (size_t j = 0; j < t->m; j++)
                most[j] = row[j] > most[j] ? row[j] : most[j];
        }
    }
    if (t->dense || t->gated) {
        for (size_t j = 0; j < t->m; j++)
            if (most[j] > 0)
                t->idle[j] = 0;
    } else {
        for (size_t j = 0; j < t->m; j++)
            if (masks->csc.start[j + 1] > masks->csc.start[j])
                t->idle[j] = 0;
    }
    size_t dead = 0;
    for (size_t j = 0; j < t->m; j++)
        dead += t->idle[j] >= t->set.dead_after;
    return dead;
}

/* --- 3. backward -------------------------------------------------------------------------- */

static void lp_slopes_rows(struct trainer *t, const struct masks *masks, double weight)
{
    const size_t *const start = masks->csr.start;
    for (size_t r = 0; r < t->n; r++)
        lp_slopes(t, start[r + 1] - start[r], masks->csr.val + start[r], weight, t->dz + start[r]);
}

static enum sae_status backward_sparse(struct trainer *t, const struct masks *masks, float l1,
                                       struct sae_err *err)
{
    const struct sae_ops *const ops = t->ops;
    const size_t nnz = masks->csr.start[t->n];
    if (nnz > t->dz_cap) {
        if (t->dz)
            ops->free(t->dz);
        t->dz = NULL;
        t->dz_cap = 0;
        SAE_TRY(ops->alloc(&t->dz, masks->csr.cap, sizeof *t->dz, err));
        t->dz_cap = masks->csr.cap;
    }
    if (t->matry)
        SAE_TRY(matry_grad_dec(t, err));
    else
        ops->grad_dec(t->m, t->d, &masks->csr, &masks->csc, t->grad, t->w.W_dec, t->dz,
                      t->g.W_dec);
    if (settings_has_lp(&t->set))
        lp_slopes_rows(t, masks, l1);
    else if (l1 != 0)
        for (size_t e = 0; e < nnz; e++)
            t->dz[e] += l1;
    ops->grad_enc(t->m, t->d, &masks->csr, &masks->csc, t->dz, t->xc, t->g.W_enc, t->g.b_enc);
    return SAE_OK;
}

/* dz = dz + l1 where the latent is active, else 0; as a product, because the compiler turns a
 * choice into a branch. */
SAE_CLONES static void mask_block(size_t n, const float *restrict f, float l1, float *restrict dz)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        dz[i] = (float)(fabsf(f[i]) > 0) * (dz[i] + l1);
}

/* t->pre holds the activations. Gradients of pre-activations are made a block of tokens at a
 * time: a second [n][m] array is never needed. */
static enum sae_status backward_dense(struct trainer *t, float l1, struct sae_err *err)
{
    const struct sae_ops *const ops = t->ops;
    const size_t m = t->m, d = t->d;
    if (!t->block) /* one row more, for sums over tokens */
        SAE_TRY(ops->alloc(&t->block, (BLOCK + 1) * m, sizeof *t->block, err));
    float *const sums = t->block + BLOCK * m;
    ops->gemm(true, false, m, d, t->n, 1, t->pre, m, t->grad, d, 0, t->g.W_dec, d);
    memset(t->g.b_enc, 0, m * sizeof *t->g.b_enc);
    for (size_t r0 = 0; r0 < t->n; r0 += BLOCK) {
        const size_t rows = t->n - r0 < BLOCK ? t->n - r0 : BLOCK;
        ops->gemm(false, true, rows, m, d, 1, t->grad + r0 * d, d, t->w.W_dec, d, 0, t->block, m);
        if (settings_has_lp(&t->set))
            for (size_t r = 0; r < rows; r++)
                lp_slopes(t, m, t->pre + (r0 + r) * m, l1, t->block + r * m);
        else
            mask_block(rows * m, t->pre + r0 * m, l1, t->block);
        ops->gemm(true, false, m, d, rows, 1, t->block, m, t->xc + r0 * d, d, r0 ? 1 : 0,
                  t->g.W_enc, d);
        ops->col_sum(rows, m, t->block, sums);
        for (size_t j = 0; j < m; j++)
            t->g.b_enc[j] += sums[j];
    }
    return SAE_OK;
}

/* b_dec is added at the end and subtracted at the start. The second part is a product of a vector:
 * summing dz over tokens first saves an [n][d] gradient. */
static void backward_b_dec(struct trainer *t, const float *dz_sum)
{
    t->ops->col_sum(t->n, t->d, t->grad, t->g.b_dec);
    t->ops->gemm(false, false, 1, t->d, t->m, -1, dz_sum, t->m, t->w.W_enc, t->d, 1, t->g.b_dec,
                 t->d);
}

static enum sae_status backward(struct trainer *t, const float *x, const struct masks *masks,
                                float l1, struct step_stats *s, struct sae_err *err)
{
    if (t->gated) {
        s->aux = gated_loss(t, x);
        backward_b_dec(t, gated_backward(t, l1));
        return SAE_OK;
    }
    SAE_TRY(t->dense ? backward_dense(t, l1, err) : backward_sparse(t, masks, l1, err));
    if (t->set.auxk_alpha > 0 && s->dead > 0)
        SAE_TRY(auxk_step(t, x, &s->aux, err));
    if (t->jump)
        t->ops->col_sum(t->n, t->d, t->grad, t->g.b_dec);
    else
        backward_b_dec(t, t->g.b_enc);
    return SAE_OK;
}

/* --- 4. update ---------------------------------------------------------------------------- */

enum sae_status trainer_check_grad(const struct trainer *t, uint64_t step, double norm,
                                   struct sae_err *err)
{
    static const double MOST = 1e19; /* its square is the most that Adam's moments hold in f32 */
    if (settings_arch(&t->set)->clips ? isfinite(norm) : norm < MOST)
        return SAE_OK;
    return sae_err_set(err, SAE_ERANGE,
                       "the gradient has norm %.3g at step %" PRIu64 ", more than the optimiser can "
                       "hold in single precision",
                       norm, step);
}

/* Projects, clips (where the architecture does), steps, renormalises. *ret: the gradient norm before
 * clipping. */
static enum sae_status update(struct trainer *t, double lr, double *ret, struct sae_err *err)
{
    const struct sae_ops *const ops = t->ops;
    const struct train_arch *const arch = settings_arch(&t->set);
    const size_t md = t->m * t->d, rest = (size_t)(t->w.b_enc - t->w.all);
    const double sq =
        ops->project_sq(t->m, t->d, t->w.W_dec, arch->project_eps, t->g.W_dec, t->proj) +
        ops->sum_sq(md, t->g.W_enc) + ops->sum_sq(t->g.n - rest, t->g.all + rest);
    const double norm = sqrt(sq);
    SAE_TRY(trainer_check_grad(t, t->step, norm, err));
    const struct sae_adam adam = {.lr = (float)lr,
                                  .beta1 = arch->beta1,
                                  .beta2 = 0.999F,
                                  .eps = 1e-8F,
                                  .step = t->step + 1,
                                  .scale = arch->clips ? (float)fmin(1, 1 / (norm + 1e-6)) : 1};
    ops->adam(md, &adam, t->w.W_enc, t->g.W_enc, t->m1.W_enc, t->m2.W_enc);
    ops->adam_rows(t->m, t->d, &adam, t->proj, arch->unit_eps, t->w.W_dec, t->g.W_dec, t->m1.W_dec,
                   t->m2.W_dec);
    ops->adam(t->w.n - rest, &adam, t->w.all + rest, t->g.all + rest, t->m1.all + rest,
              t->m2.all + rest);
    *ret = norm;
    return SAE_OK;
}

/* The threshold of inference follows the least activation that a batch keeps. */
static void move_cut(struct trainer *t, const struct masks *masks)
{
    const size_t nnz = masks->csr.start[t->n];
    double least = nnz ? (double)masks->csr.val[0] : 0;
    for (size_t e = 1; e < nnz; e++)
        least = fmin(least, (double)masks->csr.val[e]);
    const double keep = t->set.cut_momentum;
    t->cut = t->cut < 0 ? least : keep * t->cut + (1 - keep) * least;
}

/* --- 5. the step -------------------------------------------------------------------------- */

static void schedule(struct trainer *t, struct step_stats *s)
{
    const struct settings *const set = &t->set;
    s->p = (double)t->step / (double)set->steps;
    const uint64_t since = set->resample_every ? t->step % set->resample_every : t->step;
    s->lr = set->lr * sae_sched_lr(since, set->warmup, set->decay_start, set->steps);
    s->lambda2 = set->orth == ORTH_NONE ? 0 : sae_sched_lambda2(set->lambda2_max, set->gamma, s->p);
    s->tau = trainer_tau(t, s->p);
    s->k = trainer_k(t);
}

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

/* Of the magnitudes; NaN where there is one. */
static double largest(size_t n, const float *a)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double v = fabs((double)a[i]);
        if (!(v <= most))
            most = v;
        if (isnan(v))
            return v;
    }
    return most;
}

/* Which part of the loss it was, and what fed it. */
static enum sae_status diverged(const struct trainer *t, const struct step_stats *s, const float *x,
                                struct sae_err *err)
{
    const struct {
        const char *name;
        double v;
    } parts[] = {
        {"the reconstruction part of the loss", s->recon },
        {"the sparsity part of the loss",       s->sparse},
        {t->gated ? "the loss of the gate" : "the loss that revives dead latents", s->aux},
        {"the orthogonality part of the loss",  s->orth_weight > 0 ? s->orth : 0},
        {"the loss",                            s->loss  },
    };
    size_t i = 0;
    while (i + 1 < sizeof parts / sizeof *parts && isfinite(parts[i].v))
        i++;
    const char *const how = isnan(parts[i].v) ? "not a number" : "infinite";
    return sae_err_set(err, SAE_ERANGE,
                       "%s is %s at step %" PRIu64 ", with weights up to %.3g and activations up "
                       "to %.3g",
                       parts[i].name, how, t->step, largest(t->w.n, t->w.all),
                       largest(t->n * t->d, x));
}

enum sae_status trainer_step_there(struct trainer *t, const float *x, bool measure,
                                   struct step_stats *ret, struct sae_err *err)
{
    struct step_stats s = blank;
    schedule(t, &s);
    return resident_step(t, x, true, measure, &s, ret, err);
}

enum sae_status trainer_step(struct trainer *t, const float *x, bool measure,
                             struct step_stats *ret, struct sae_err *err)
{
    struct step_stats s = blank;
    struct masks *const masks = &t->ring[t->step % t->ring_len];
    schedule(t, &s);
    if (t->resident)
        return resident_step(t, x, false, measure, &s, ret, err);
    size_t nnz = 0;
    const bool want_masks = settings_competes(&t->set);
    if (t->gated)
        SAE_TRY(forward_gated(t, x, want_masks, masks, &nnz, &s.sparse, err));
    else
        SAE_TRY(forward(t, x, want_masks, masks, &nnz, err));
    s.l0 = (double)nnz / (double)t->n;
    s.recon = t->matry ? matry_loss(t, x) : trainer_loss(t, x, t->xhat, t->grad);
    if (!isfinite(s.recon))
        return diverged(t, &s, x, err);
    s.dead = (double)count_idle(t, masks);
    if (measure)
        s.explained_variance = explained_variance(t, x);
    float l1 = 0;
    double sparse_weight = 0;
    if (t->jump) {
        const double miss = jump_l0(t) / t->set.target_l0 - 1;
        sparse_weight = t->set.l0_penalty * sae_sched_sparsity(t->step, t->set.sparsity_warmup);
        s.sparse = miss * miss;
        jump_backward(t, sparse_weight);
    } else if (settings_has_l1(&t->set)) {
        sparse_weight = (settings_has_lp(&t->set) ? t->lp.weight : t->set.l1) *
                        sae_sched_sparsity(t->step, t->set.sparsity_warmup);
        l1 = (float)(sparse_weight / (double)t->n);
        if (!t->gated)
            s.sparse = l1_of(t, masks);
    }
    s.sparse_weight = sparse_weight;
    SAE_TRY(backward(t, x, masks, l1, &s, err));
    SAE_TRY(trainer_orth(t, measure, &s, err));
    if (t->ortsae)
        SAE_TRY(ortsae_step(t, measure, &s, err));
    s.loss = s.recon + sparse_weight * s.sparse + (t->gated ? 1 : t->set.auxk_alpha) * s.aux +
             (s.orth_weight > 0 ? s.orth_weight * s.orth : 0);
    if (!isfinite(s.loss))
        return diverged(t, &s, x, err);
    SAE_TRY(update(t, s.lr, &s.grad_norm, err));
    if (settings_has_cut(&t->set) && t->step > t->set.cut_start)
        move_cut(t, masks);
    if (settings_has_lp(&t->set)) {
        s.lp = t->lp.p;
        lp_remember(t);
        if (lp_moves(t, t->step))
            lp_move(t);
    }
    if (t->set.resample_every && t->step % t->set.resample_every == 0) {
        size_t resampled = 0;
        SAE_TRY(resample_step(t, x, &t->scratch, &resampled, err));
        s.resampled = (double)resampled;
    }
    t->tau = s.tau;
    t->step++;
    if (ret)
        *ret = s;
    return SAE_OK;
}
