/* SPDX-License-Identifier: MIT */
/* resident_number : the numbers of a step on a device, read one step late. */
#include <inttypes.h>
#include <math.h>

#include "train/resident_inner.h"

static void read_orth(const struct trainer *t, const double *number, bool compared,
                      struct step_stats *s)
{
    const double n = number[ORTH_PAIRS];
    double norm = 1;
    if (t->set.orth_normalizer == NORMALIZER_MEAN)
        norm = n > 0 ? 1 / n : 0;
    else if (t->set.orth_normalizer == NORMALIZER_LATENT)
        norm = 1 / (double)t->m;
    s->orth = number[ORTH] * norm;
    s->n_pairs = n;
    s->mean_abs_cos = n > 0 ? number[ORTH_ABS] / n : 0;
    s->max_abs_cos = number[ORTH_MAX];
    if (!compared)
        return;
    const double *const c = number + COMPARED;
    s->grad_recon = sqrt(c[0]);
    s->grad_orth = sqrt(c[1]);
    s->grad_cos = c[0] > 0 && c[1] > 0 ? c[2] / sqrt(c[0] * c[1]) : NAN;
    s->oversuppressed = c[3] / (double)t->m;
}

/* s: as scheduled. */
static void read_numbers(const struct trainer *t, const double *number, bool measured,
                         bool orth_known, struct step_stats *s)
{
    const double n = (double)t->n, sparse_weight = s->sparse_weight;
    const bool has_k = settings_has_k(&t->set);
    s->recon = number[RECON] / n;
    s->dead = number[DEAD];
    s->l0 = number[has_k ? ENTRIES : ACTIVE] / n;
    s->sparse = has_k ? 0 : number[L1] / n;
    s->aux = number[AUX];
    s->grad_norm = sqrt(number[GRAD_SQ]);
    if (orth_known)
        read_orth(t, number, measured && settings_competes(&t->set), s);
    if (measured)
        s->explained_variance =
            number[VARIANCE] > 0 ? 1 - number[MISS] / number[VARIANCE] : NAN;
    s->loss = s->recon + sparse_weight * s->sparse + t->set.auxk_alpha * s->aux +
              (s->orth_weight > 0 ? s->orth_weight * s->orth : 0);
}

static enum sae_status check_loss(struct trainer *t, uint64_t step, const struct step_stats *s,
                                  struct sae_err *err)
{
    if (isfinite(s->loss))
        return SAE_OK;
    t->step = step;
    const char *const part = !isfinite(s->recon)    ? "the reconstruction part of the loss"
                             : !isfinite(s->sparse) ? "the sparsity part of the loss"
                             : !isfinite(s->aux)    ? "the loss that revives dead latents"
                                                    : "the orthogonality part of the loss";
    return sae_err_set(err, SAE_ERANGE, "%s is not finite at step %" PRIu64, part, step);
}

enum sae_status resident_tell(struct trainer *t, bool measure, bool orth_known,
                              struct step_stats *s, struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const size_t now = (t->step - 1) % 2, before = 1 - now;
    double number[NUMBERS];
    if (measure) {
        ops->get(number, a->number, sizeof number);
        SAE_TRY(ops->check(err));
        a->slot[0].posted = a->slot[1].posted = false;
        read_numbers(t, number, true, orth_known, s);
        SAE_TRY(check_loss(t, t->step - 1, s, err));
    } else {
        ops->late_post(a->slot[now].late, a->number);
        a->slot[now].stats = *s;
        a->slot[now].posted = true;
        if (a->slot[before].posted) {
            ops->late_wait(a->slot[before].late, number);
            a->slot[before].posted = false;
            a->last = a->slot[before].stats;
            read_numbers(t, number, false, settings_competes(&t->set), &a->last);
            SAE_TRY(check_loss(t, t->step - 2, &a->last, err));
        }
        *s = a->last;
    }
    a->last = *s;
    return SAE_OK;
}
