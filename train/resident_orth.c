/* SPDX-License-Identifier: MIT */
/* resident_orth : the orthogonality terms on a device. Equations: orth.c, ortsae.c. */
#include "train/resident_inner.h"

/* Of the term's gradient, in orth_grad, and the one that it will be added to. */
static void compare(struct trainer *t, struct told *told)
{
    struct resident *const a = t->resident;
    a->ops->compare_rows(t->m, t->d, a->w.W_dec, a->g.W_dec, a->orth_grad, a->number + COMPARED);
    told->compared = true;
}

static void competition(struct trainer *t, bool measure, struct told *told)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const bool active = settings_competes(&t->set);
    const double k = (double)trainer_k(t);
    struct step_stats *const s = &told->stats;
    struct sae_overlap_masks masks;
    struct sae_compete_rule rule;
    s->orth_weight = active ? s->lambda2 : 0;
    if (!active && (!measure || (double)t->n * k * k > TRAINER_MEETINGS_MAX))
        return;
    trainer_masks_of(t, a->ring, a->csr_list, a->csc_list, &masks);
    if (!active && masks.n_batches == 0)
        return;
    trainer_rule(t, s->tau, &rule);
    const bool per_pair = t->set.orth_normalizer == NORMALIZER_MEAN;
    const double weight =
        s->lambda2 * (t->set.orth_normalizer == NORMALIZER_LATENT ? 1 / (double)t->m : 1);
    /* what was counted two steps ago is known by now, however the run came here (save.c) */
    const double *const expected_partners =
        t->partners ? t->partners + t->step % 2 * t->n_tiles : NULL;
    if (measure && active) { /* apart from the update, so that measuring changes no bit of it */
        ops->orth_masks(t->m, t->d, a->w.W_dec, &masks, &rule, weight, per_pair, expected_partners,
                        NULL, a->orth_grad, a->number + ORTH);
        compare(t, told);
    }
    ops->orth_masks(t->m, t->d, a->w.W_dec, &masks, &rule, weight, per_pair, expected_partners,
                    active ? a->g.W_dec : NULL, NULL, a->number + ORTH);
    told->pairs = true;
}

static void ortsae(struct trainer *t, bool measure, struct told *told)
{
    struct resident *const a = t->resident;
    const uint64_t every = t->set.ortsae_every;
    const bool acts = t->step % every == 0;
    struct step_stats *const s = &told->stats;
    size_t chunks;
    if (!acts && !measure)
        return;
    const uint32_t *const order = ortsae_order(t, &chunks);
    a->ops->put(a->order, order, t->m * sizeof *order);
    s->orth_weight = acts ? s->lambda2 * (double)every : 0;
    if (measure) {
        a->ops->ortsae(t->m, t->d, a->w.W_dec, chunks, a->order, s->lambda2, NULL, a->orth_grad,
                       a->number + ORTSAE);
        compare(t, told);
    }
    if (acts)
        a->ops->ortsae(t->m, t->d, a->w.W_dec, chunks, a->order, s->orth_weight, a->g.W_dec, NULL,
                       a->number + ORTSAE);
    told->ortsae = true;
}

void resident_orth(struct trainer *t, bool measure, struct told *told)
{
    competition(t, measure, told);
    if (t->set.orth == ORTH_ORTSAE)
        ortsae(t, measure, told);
}
