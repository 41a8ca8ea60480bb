/* SPDX-License-Identifier: MIT */
/* numbers : the numbers of a step, made in backend memory. A host backend answers at once; one that
 * would have to be waited for is read one step late.
 * Contents: 1. memory   2. what they mean   3. on their way */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "train/inner.h"

/* --- 1. memory ------------------------------------------------------------------------------ */

enum sae_status numbers_open(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    const struct sae_ops *const ops = a->ops;
    a->tiles = ops->orth_tiles(t->m);
    const size_t n = PARTNERS + a->tiles;
    SAE_TRY(ops->alloc(&a->number, n, sizeof *a->number, err));
    SAE_TRY(ops->alloc(&a->blank, PARTNERS, sizeof *a->blank, err));
    SAE_TRY(sae_mem_alloc(&a->got, n, sizeof *a->got, err));
    for (size_t i = 0; i < 2; i++)
        SAE_TRY(ops->readback_open(&a->slot[i].readback, n * sizeof *a->number, err));
    if (!settings_competes(&t->set))
        return SAE_OK;
    t->n_tiles = a->tiles;
    SAE_TRY(sae_mem_alloc(&t->partners, 2 * t->n_tiles, sizeof *t->partners, err));
    for (size_t i = 0; i < 2 * t->n_tiles; i++)
        t->partners[i] = -1;
    return SAE_OK;
}

void numbers_close(struct trainer *t)
{
    struct work *const a = t->work;
    a->ops->free(a->number);
    a->ops->free(a->blank);
    free(a->got);
    for (size_t i = 0; i < 2; i++)
        a->ops->readback_close(a->slot[i].readback);
    free(t->partners);
    t->partners = NULL;
}

void numbers_begin(struct trainer *t)
{
    struct work *const a = t->work;
    a->ops->copy(a->number + CUT + 1, a->blank, (PARTNERS - CUT - 1) * sizeof *a->number);
}

bool numbers_known(const struct trainer *t, size_t which, double *ret)
{
    const struct work *const a = t->work;
    if (!a->ops->numbers_delayed)
        a->ops->get(ret, a->number + which, sizeof *ret);
    return !a->ops->numbers_delayed;
}

/* --- 2. what they mean ---------------------------------------------------------------------- */

static void read_pairs(const struct trainer *t, const double *number, struct step_stats *s)
{
    const double n = number[ORTH_PAIRS];
    double norm = 1;
    if (t->set.orth_normalizer == NORMALIZER_MEAN)
        norm = n > 0 ? 1 / n : 0;
    else if (t->set.orth_normalizer == NORMALIZER_LATENT)
        norm = 1 / (double)t->m;
    if (t->set.orth != ORTH_ORTSAE)
        s->orth = number[ORTH] * norm;
    s->n_pairs = n;
    s->mean_abs_cos = n > 0 ? number[ORTH_ABS] / n : 0;
    s->max_abs_cos = number[ORTH_MAX];
}

static void read_comparison(const struct trainer *t, const double *c, struct step_stats *s)
{
    s->grad_recon = sqrt(c[0]);
    s->grad_orth = sqrt(c[1]);
    s->grad_cos = c[0] > 0 && c[1] > 0 ? c[2] / sqrt(c[0] * c[1]) : NAN;
    s->oversuppressed = c[3] / (double)t->m;
}

static void read_sparsity(const struct trainer *t, const double *number, bool masked,
                          struct step_stats *s)
{
    const double n = (double)t->n;
    s->l0 = number[masked ? KEPT : ACTIVE] / n;
    if (t->arch->penalty == TRAIN_PENALTY_L0) {
        const double miss = number[SEEN] / n / t->set.target_l0 - 1;
        s->l0 = number[ENTRIES] / n;
        s->sparse = miss * miss;
    } else if (t->arch->penalty != TRAIN_PENALTY_NONE) {
        s->sparse = number[step_has_lp(t) ? LP : L1] / n;
    }
}

/* Completes what was scheduled. */
static void read_numbers(const struct trainer *t, const double *number, struct note *note)
{
    struct step_stats *const s = &note->stats;
    const bool gate = t->arch->penalty == TRAIN_PENALTY_GATE;
    s->recon = number[RECON] / (double)t->n;
    s->dead = number[DEAD];
    s->aux = gate ? number[AUX] / (double)t->n : number[AUX];
    s->grad_norm = sqrt(number[GRAD_SQ]);
    read_sparsity(t, number, note->masked, s);
    if (note->pairs)
        read_pairs(t, number, s);
    if (note->ortsae)
        s->orth = number[ORTSAE];
    if (note->compared)
        read_comparison(t, number + COMPARED, s);
    if (note->measured)
        s->explained_variance = number[VARIANCE] > 0 ? 1 - number[MISS] / number[VARIANCE] : NAN;
    s->loss = s->recon + s->sparse_weight * s->sparse + (gate ? 1 : t->set.auxk_alpha) * s->aux +
              (s->orth_weight > 0 ? s->orth_weight * s->orth : 0);
}

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
static enum sae_status diverged(struct trainer *t, uint64_t step, const struct step_stats *s,
                                struct sae_err *err)
{
    struct work *const a = t->work;
    const bool gate = t->arch->penalty == TRAIN_PENALTY_GATE;
    const struct {
        const char *name;
        double v;
    } parts[] = {
        {"the reconstruction part of the loss", s->recon },
        {"the sparsity part of the loss",       s->sparse},
        {gate ? "the loss of the gate" : "the loss that revives dead latents", s->aux},
        {"the orthogonality part of the loss",  s->orth_weight > 0 ? s->orth : 0},
        {"the loss",                            s->loss  },
    };
    char fed[64] = "";
    size_t i = 0;
    while (i + 1 < sizeof parts / sizeof *parts && isfinite(parts[i].v))
        i++;
    if (!a->ops->host)
        a->ops->get(t->w.all, a->w.all, t->w.n * sizeof(float));
    SAE_TRY(a->ops->check(err)); /* what a device with a fault answers is no number either */
    if (a->ops->host) /* else the batch is that of the step after */
        snprintf(fed, sizeof fed, " and activations up to %.3g", largest(t->n * t->d, a->x));
    return sae_err_set(err, SAE_ERANGE, "%s is %s at step %" PRIu64 ", with weights up to %.3g%s",
                       parts[i].name, isnan(parts[i].v) ? "not a number" : "infinite", step,
                       largest(t->w.n, t->w.all), fed);
}

enum sae_status numbers_check_grad(const struct trainer *t, uint64_t step, double norm,
                                   struct sae_err *err)
{
    static const double MOST = 1e19; /* its square is the most that Adam's moments hold in f32 */
    if (t->arch->clips ? isfinite(norm) : norm < MOST)
        return SAE_OK;
    return sae_err_set(err, SAE_ERANGE,
                       "the gradient has norm %.3g at step %" PRIu64 ", more than the optimiser can "
                       "hold in single precision",
                       norm, step);
}

/* --- 3. on their way ------------------------------------------------------------------------ */

/* Reads the numbers of a slot, where some were sent. */
static enum sae_status take(struct trainer *t, size_t at, struct sae_err *err)
{
    struct work *const a = t->work;
    double *const number = a->got;
    const struct note *const note = &a->slot[at].note;
    if (!a->slot[at].posted)
        return SAE_OK;
    a->ops->readback_wait(a->slot[at].readback, number);
    a->slot[at].posted = false;
    read_numbers(t, number, &a->slot[at].note);
    a->last = note->stats;
    if (t->n_tiles > 0)
        memcpy(t->partners + note->step % 2 * t->n_tiles, number + PARTNERS,
               t->n_tiles * sizeof *number);
    if (step_has_lp(t))
        lp_remember(t, number[LP], number[LP_NEXT]);
    const enum sae_status st = isfinite(a->last.loss)
                                   ? numbers_check_grad(t, note->step, a->last.grad_norm, err)
                                   : diverged(t, note->step, &a->last, err);
    if (st != SAE_OK) {
        t->step = note->step;
        a->slot[0].posted = a->slot[1].posted = false;
    }
    return st;
}

enum sae_status numbers_collect_stats(struct trainer *t, struct sae_err *err)
{
    const size_t older = t->step % 2; /* the step before the last went there */
    SAE_TRY(take(t, older, err));
    return take(t, 1 - older, err);
}

enum sae_status numbers_post_stats(struct trainer *t, const struct note *note,
                                   struct step_stats *ret, struct sae_err *err)
{
    struct work *const a = t->work;
    const size_t now = note->step % 2;
    const bool moves = lp_moves(t, note->step);
    a->ops->readback_post(a->slot[now].readback, a->number);
    a->slot[now].note = *note;
    a->slot[now].posted = true;
    SAE_TRY(take(t, 1 - now, err));
    if (note->measured || moves || !a->ops->numbers_delayed)
        SAE_TRY(take(t, now, err));
    if (note->measured || !a->ops->numbers_delayed)
        SAE_TRY(a->ops->check(err));
    if (moves)
        lp_move(t);
    *ret = a->last;
    return SAE_OK;
}
