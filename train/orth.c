/* SPDX-License-Identifier: MIT */
/* orth : the orthogonality term in a step, and its monitors.
 *
 *   L_orth = sum over i < j of c_ij |f_i . f_j|;  dL_orth/df_i = sum_j c_ij sign(f_i . f_j) f_j
 *   c_ij from the masks of this batch (or of a window of batches), threshold tau(p). */
#include <inttypes.h>
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

static double normalizer(const struct trainer *t, size_t n_pairs)
{
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

/* The competing pairs of a step: in t->pairs, or where they are a good part of all a row at a time.
 */
struct competing {
    struct sae_overlap_rows *rows; /* NULL: t->pairs */
    size_t n;
};

static enum sae_status find_competing(struct trainer *t, const struct sae_overlap_masks *masks,
                                      const struct sae_compete_rule *rule, struct competing *ret,
                                      struct sae_err *err)
{
    const size_t most = t->ops->orth_rows ? t->m * t->m / 2 / SAE_ORTH_DENSE : SIZE_MAX;
    ret->rows = NULL;
    SAE_TRY(sae_overlap_pairs_up_to(t->m, masks, rule, most, &t->pairs, &ret->n, err));
    if (ret->n > most)
        SAE_TRY(sae_overlap_rows_open(&ret->rows, t->m, masks, rule, err));
    return SAE_OK;
}

static enum sae_status add_term(struct trainer *t, const struct competing *of, double weight,
                                float *G, float *Gout, struct sae_orth_stats *stats,
                                struct sae_err *err)
{
    if (!of->rows)
        t->ops->orth(t->m, t->d, t->w.W_dec, &t->pairs, weight, G, Gout, stats);
    else if (!t->ops->orth_rows(t->m, t->d, t->w.W_dec, sae_overlap_rows_fill, of->rows, weight, G,
                                Gout, stats))
        return isfinite(t->ops->sum_sq(t->m * t->d, t->w.W_dec))
                   ? sae_err_set(err, SAE_ENOMEM,
                                 "out of memory for the orthogonality term of %zu pairs", of->n)
                   : sae_err_set(err, SAE_ERANGE,
                                 "a weight of the decoder is not finite at step %" PRIu64, t->step);
    return SAE_OK;
}

static enum sae_status run_term(struct trainer *t, const struct competing *of, bool active,
                                bool measure, struct step_stats *s, struct sae_err *err)
{
    const double norm = normalizer(t, of->n), weight = s->lambda2 * norm;
    struct sae_orth_stats stats = {0};
    if (measure && active) {
        /* Apart from the update, so that measuring never changes a bit of it. */
        SAE_TRY(trainer_orth_room(t, err));
        SAE_TRY(add_term(t, of, weight, NULL, t->orth_grad, &stats, err));
        trainer_compare(t, t->orth_grad, s);
    }
    SAE_TRY(add_term(t, of, weight, active ? t->g.W_dec : NULL, NULL, &stats, err));
    if (active || !t->ortsae)
        s->orth = stats.loss * norm;
    s->orth_weight = active ? s->lambda2 : 0;
    s->n_pairs = (double)stats.n_pairs;
    s->mean_abs_cos = stats.mean_abs_cos;
    s->max_abs_cos = stats.max_abs_cos;
    return SAE_OK;
}

enum sae_status trainer_orth(struct trainer *t, bool measure, struct step_stats *s,
                             struct sae_err *err)
{
    const bool active = settings_competes(&t->set);
    struct sae_overlap_masks masks;
    if (!active && !measure)
        return SAE_OK;
    trainer_masks(t, &masks);
    if (!active && (masks.n_batches == 0 || trainer_meetings(&masks) > TRAINER_MEETINGS_MAX))
        return SAE_OK;
    struct sae_compete_rule rule;
    struct competing of;
    trainer_rule(t, s->tau, &rule);
    SAE_TRY(find_competing(t, &masks, &rule, &of, err));
    const enum sae_status st = run_term(t, &of, active, measure, s, err);
    sae_overlap_rows_close(of.rows);
    return st;
}
