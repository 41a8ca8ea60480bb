/* SPDX-License-Identifier: MIT */
/* orth : the orthogonality term in a step, and its monitors.
 *
 *   L_orth = sum over i < j of c_ij |f_i . f_j|;  dL_orth/df_i = sum_j c_ij sign(f_i . f_j) f_j
 *   c_ij from the masks of this batch (or of a window of batches), threshold tau(p). */
#include <math.h>
#include <string.h>

#include "train/trainer.h"

double trainer_tau(const struct trainer *t, double p)
{
    const double now = sae_sched_tau((enum sae_tau_schedule)t->set.threshold_schedule,
                                     t->set.base_threshold, p, t->set.threshold_floor);
    const double mu = t->set.threshold_momentum;
    return t->tau < 0 ? now : mu * t->tau + (1 - mu) * now;
}

/* Sum over tokens of l0^2: the pairs that overlap counting walks through. */
static double meetings(const struct sae_overlap_masks *masks)
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
    double recon = 0, orth = 0, both = 0;
    size_t over = 0;
    for (size_t j = 0; j < t->m; j++) {
        const float *const u = t->w.W_dec + j * t->d, *const r = t->g.W_dec + j * t->d,
                           *const o = orth_grad + j * t->d;
        double rr = 0, oo = 0, ro = 0, ru = 0, ou = 0;
#pragma omp simd reduction(+ : rr, oo, ro, ru, ou)
        for (size_t i = 0; i < t->d; i++) {
            const double ri = (double)r[i], oi = (double)o[i], ui = (double)u[i];
            rr += ri * ri;
            oo += oi * oi;
            ro += ri * oi;
            ru += ri * ui;
            ou += oi * ui;
        }
        rr = fmax(rr - ru * ru, 0);
        oo = fmax(oo - ou * ou, 0);
        recon += rr;
        orth += oo;
        both += ro - ru * ou;
        over += oo > rr;
    }
    s->grad_recon = sqrt(recon);
    s->grad_orth = sqrt(orth);
    s->grad_cos = recon > 0 && orth > 0 ? both / sqrt(recon * orth) : NAN;
    s->oversuppressed = (double)over / (double)t->m;
}

static double normalizer(const struct trainer *t)
{
    const size_t n_pairs = t->pairs.start[t->m] / 2;
    if (t->set.orth_normalizer == NORMALIZER_MEAN)
        return n_pairs ? 1 / (double)n_pairs : 0;
    return t->set.orth_normalizer == NORMALIZER_LATENT ? 1 / (double)t->m : 1;
}

enum sae_status trainer_orth_room(struct trainer *t, struct sae_err *err)
{
    if (t->orth_grad)
        return SAE_OK;
    return t->ops->alloc(&t->orth_grad, t->m * t->d, sizeof *t->orth_grad, err);
}

enum sae_status trainer_orth(struct trainer *t, bool measure, struct step_stats *s,
                             struct sae_err *err)
{
    const bool active = settings_competes(&t->set);
    struct sae_overlap_masks masks;
    if (!active && !measure)
        return SAE_OK;
    trainer_masks(t, &masks);
    if (!active && (masks.n_batches == 0 || meetings(&masks) > TRAINER_MEETINGS_MAX))
        return SAE_OK;
    struct sae_compete_rule rule;
    trainer_rule(t, s->tau, &rule);
    SAE_TRY(sae_overlap_pairs(t->m, &masks, &rule, &t->pairs, err));
    const double norm = normalizer(t), weight = s->lambda2 * norm;
    struct sae_orth_stats stats = {0};
    if (measure && active) {
        /* Apart from the update, so that measuring never changes a bit of it. */
        SAE_TRY(trainer_orth_room(t, err));
        t->ops->orth(t->m, t->d, t->w.W_dec, &t->pairs, weight, NULL, t->orth_grad, &stats);
        trainer_compare(t, t->orth_grad, s);
    }
    t->ops->orth(t->m, t->d, t->w.W_dec, &t->pairs, weight, active ? t->g.W_dec : NULL, NULL,
                 &stats);
    if (active || !t->ortsae)
        s->orth = stats.loss * norm;
    s->orth_weight = active ? s->lambda2 : 0;
    s->n_pairs = (double)stats.n_pairs;
    s->mean_abs_cos = stats.mean_abs_cos;
    s->max_abs_cos = stats.max_abs_cos;
    return SAE_OK;
}
