/* SPDX-License-Identifier: MIT */
/* orth : the orthogonality term in a step, and its monitors.
 *
 *   L_orth = sum over i < j of c_ij |f_i . f_j|;  dL_orth/df_i = sum_j c_ij sign(f_i . f_j) f_j
 *   c_ij from the masks of this batch (or of a window of batches), threshold tau(p). */
#include <math.h>

#include "train/trainer.h"

double trainer_tau(const struct trainer *t, double p)
{
    const double now = sae_sched_tau((enum sae_tau_schedule)t->set.threshold_schedule,
                                     t->set.base_threshold, p, t->set.threshold_floor);
    const double mu = t->set.threshold_momentum;
    return t->tau < 0 ? now : mu * t->tau + (1 - mu) * now;
}

double trainer_meetings(const struct sae_overlap_masks *masks)
{
    double sum = 0;
    for (size_t b = 0; b < masks->n_batches; b++)
        for (size_t r = 0; r < masks->csr[b]->n; r++) {
            const double l0 = (double)(masks->csr[b]->start[r + 1] - masks->csr[b]->start[r]);
            sum += l0 * l0;
        }
    return sum;
}

/* What moves the features is the part of a gradient across them, so both gradients are compared
 * after the part along f_i is taken out, row by row. */
void trainer_compare(const struct trainer *t, const float *orth_grad, struct step_stats *s)
{
    double sum[4];
    t->ops->compare_rows(t->m, t->d, t->w.W_dec, t->g.W_dec, orth_grad, sum);
    s->grad_recon = sqrt(sum[0]);
    s->grad_orth = sqrt(sum[1]);
    s->grad_cos = sum[0] > 0 && sum[1] > 0 ? sum[2] / sqrt(sum[0] * sum[1]) : NAN;
    s->oversuppressed = sum[3] / (double)t->m;
}

static double normalizer(const struct trainer *t, double n_pairs)
{
    if (t->set.orth_normalizer == NORMALIZER_MEAN)
        return n_pairs > 0 ? 1 / n_pairs : 0;
    return t->set.orth_normalizer == NORMALIZER_LATENT ? 1 / (double)t->m : 1;
}

enum sae_status trainer_orth_room(struct trainer *t, struct sae_err *err)
{
    if (t->orth_grad)
        return SAE_OK;
    return t->ops->alloc(&t->orth_grad, t->m * t->d, sizeof *t->orth_grad, err);
}

/* sum: as of orth_masks. */
static enum sae_status add_term(struct trainer *t, const struct sae_overlap_masks *masks, double tau,
                                double lambda2, float *G, float *Gout, double sum[5],
                                struct sae_err *err)
{
    const bool mean = t->set.orth_normalizer == NORMALIZER_MEAN;
    struct sae_compete_rule rule;
    trainer_rule(t, tau, &rule);
    t->ops->orth_masks(t->m, t->d, t->w.W_dec, masks, &rule,
                       mean ? lambda2 : lambda2 * normalizer(t, 0), mean, NULL, G, Gout, sum);
    return t->ops->check(err);
}

enum sae_status trainer_orth(struct trainer *t, bool measure, struct step_stats *s,
                             struct sae_err *err)
{
    const bool active = settings_competes(&t->set);
    struct sae_overlap_masks masks;
    double sum[5];
    if (!active && !measure)
        return SAE_OK;
    trainer_masks(t, &masks);
    if (!active && (masks.n_batches == 0 || trainer_meetings(&masks) > TRAINER_MEETINGS_MAX))
        return SAE_OK;
    if (measure && active) { /* apart from the update, so that measuring changes no bit of it */
        SAE_TRY(trainer_orth_room(t, err));
        SAE_TRY(add_term(t, &masks, s->tau, s->lambda2, NULL, t->orth_grad, sum, err));
        trainer_compare(t, t->orth_grad, s);
    }
    SAE_TRY(add_term(t, &masks, s->tau, s->lambda2, active ? t->g.W_dec : NULL, NULL, sum, err));
    if (active || !t->ortsae)
        s->orth = sum[0] * normalizer(t, sum[1]);
    s->orth_weight = active ? s->lambda2 : 0;
    s->n_pairs = sum[1];
    s->mean_abs_cos = sum[1] > 0 ? sum[2] / sum[1] : 0;
    s->max_abs_cos = sum[3];
    return SAE_OK;
}
