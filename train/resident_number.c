/* SPDX-License-Identifier: MIT */
/* resident_number : the numbers of a step on a device, read one step late.
 * Contents: 1. what they mean   2. on their way */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "train/resident_inner.h"

/* --- 1. what they mean ---------------------------------------------------------------------- */

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

static void read_sparsity(const struct trainer *t, const double *number, struct step_stats *s)
{
    const double n = (double)t->n;
    if (t->set.arch == TRAIN_JUMPRELU) {
        const double miss = number[SEEN] / n / t->set.target_l0 - 1;
        s->l0 = number[ENTRIES] / n;
        s->sparse = miss * miss;
        return;
    }
    s->l0 = number[settings_has_k(&t->set) ? KEPT : ACTIVE] / n;
    s->sparse = settings_has_lp(&t->set)   ? number[LP] / n
                : settings_has_l1(&t->set) ? number[L1] / n
                                           : 0;
}

/* Completes what was scheduled. */
static void read_numbers(const struct trainer *t, const double *number, struct told *told)
{
    struct step_stats *const s = &told->stats;
    const bool gated = t->set.arch == TRAIN_GATED;
    s->recon = number[RECON] / (double)t->n;
    s->dead = number[DEAD];
    s->aux = gated ? number[AUX] / (double)t->n : number[AUX];
    s->grad_norm = sqrt(number[GRAD_SQ]);
    read_sparsity(t, number, s);
    if (told->pairs)
        read_pairs(t, number, s);
    if (told->ortsae)
        s->orth = number[ORTSAE];
    if (told->compared)
        read_comparison(t, number + COMPARED, s);
    if (told->measured)
        s->explained_variance = number[VARIANCE] > 0 ? 1 - number[MISS] / number[VARIANCE] : NAN;
    s->loss = s->recon + s->sparse_weight * s->sparse +
              (gated ? 1 : t->set.auxk_alpha) * s->aux +
              (s->orth_weight > 0 ? s->orth_weight * s->orth : 0);
}

static enum sae_status check_loss(struct trainer *t, uint64_t step, const struct step_stats *s,
                                  struct sae_err *err)
{
    if (isfinite(s->loss)) {
        const enum sae_status st = trainer_check_grad(t, step, s->grad_norm, err);
        if (st != SAE_OK)
            t->step = step;
        return st;
    }
    t->step = step;
    /* What a device with a fault answers is no number either: its error is the one to tell. */
    SAE_TRY(t->resident->ops->check(err));
    const char *const revives = t->set.arch == TRAIN_GATED ? "the loss of the gate"
                                                           : "the loss that revives dead latents";
    const char *const part = !isfinite(s->recon)    ? "the reconstruction part of the loss"
                             : !isfinite(s->sparse) ? "the sparsity part of the loss"
                             : !isfinite(s->aux)    ? revives
                                                    : "the orthogonality part of the loss";
    return sae_err_set(err, SAE_ERANGE, "%s is not finite at step %" PRIu64, part, step);
}

/* --- 2. on their way ------------------------------------------------------------------------ */

/* Reads the numbers of a slot, where some were sent. */
static enum sae_status take(struct trainer *t, size_t at, struct sae_err *err)
{
    struct resident *const a = t->resident;
    double *const number = a->got;
    const size_t tiles = t->n_tiles;
    if (!a->slot[at].posted)
        return SAE_OK;
    a->ops->readback_wait(a->slot[at].late, number);
    a->slot[at].posted = false;
    read_numbers(t, number, &a->slot[at].told);
    a->last = a->slot[at].told.stats;
    if (tiles > 0)
        memcpy(t->partners + a->slot[at].told.step % 2 * tiles, number + PARTNERS,
               tiles * sizeof *number);
    if (settings_has_lp(&t->set)) {
        t->lp.sum = number[LP];
        t->lp.sum_next = number[LP_NEXT];
        lp_remember(t);
    }
    const enum sae_status st = check_loss(t, a->slot[at].told.step, &a->last, err);
    if (st != SAE_OK)
        a->slot[0].posted = a->slot[1].posted = false;
    return st;
}

enum sae_status resident_told(struct trainer *t, struct sae_err *err)
{
    const size_t older = t->step % 2; /* the step before the last went there */
    SAE_TRY(take(t, older, err));
    return take(t, 1 - older, err);
}

enum sae_status resident_tell(struct trainer *t, const struct told *told, struct step_stats *ret,
                              struct sae_err *err)
{
    struct resident *const a = t->resident;
    const size_t now = told->step % 2;
    const bool moves = lp_moves(t, told->step);
    a->ops->readback_post(a->slot[now].late, a->number);
    a->slot[now].told = *told;
    a->slot[now].posted = true;
    SAE_TRY(take(t, 1 - now, err));
    if (told->measured || moves || !a->ops->numbers_late)
        SAE_TRY(take(t, now, err));
    if (told->measured || !a->ops->numbers_late)
        SAE_TRY(a->ops->check(err));
    if (moves)
        lp_move(t);
    *ret = a->last;
    return SAE_OK;
}
