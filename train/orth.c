/* SPDX-License-Identifier: MIT */
/* orth : the orthogonality terms in a step, and their monitors.
 *
 *   L_orth = sum over i < j of c_ij |f_i . f_j|;  dL_orth/df_i = sum_j c_ij sign(f_i . f_j) f_j
 *   c_ij from the masks of this batch (or of a window of batches), threshold tau(p).
 *
 * or the chunked penalty of OrtSAE (Korznikov et al. 2025, arXiv 2509.22033):
 *
 *   cos_ij = f_i . f_j / (|f_i| |f_j|)        K = ceil(m / chunk) random chunks of equal size
 *   L = 1/K sum over chunks C of 1/|C| sum over i in C of c_i^2,   c_i = max over j in C, j != i, of cos_ij
 *
 *   with a the partner that reaches the maximum, and w = 2 c_i / (K |C|):
 *   dL/df_i += w (u_a - c_i u_i) / |f_i|      dL/df_a += w (u_i - c_i u_a) / |f_a|      u = f / |f|
 *
 * Chunks are drawn anew from (seed, step), so that a resumed run draws the same. With --ortsae-every n
 * the term acts on every n-th step, n times as strongly. Measuring is apart from the update, so that
 * it changes no bit of it. */
#include <math.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "train/inner.h"

enum sae_status orth_open(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    const size_t chunk = (size_t)t->set.ortsae_chunk;
    if (t->set.orth != ORTH_ORTSAE)
        return SAE_OK;
    a->n_chunks = t->m / chunk + (t->m % chunk > 0);
    SAE_TRY(sae_mem_alloc(&a->chunk, t->m, sizeof *a->chunk, err));
    return a->ops->alloc(&a->order, t->m, sizeof *a->order, err);
}

/* Holds the gradient of the term, in orth_grad, against that of W_dec without it: what moves the
 * features is the part of each across them. */
static void compare(struct trainer *t, struct note *note)
{
    struct work *const a = t->work;
    a->ops->compare_rows(t->m, t->d, a->w.W_dec, a->g.W_dec, a->orth_grad, a->number + COMPARED);
    note->compared = true;
}

/* Without the term pairs are only looked at: not where they meet too often. */
static bool worth_counting(struct trainer *t, const struct sae_overlap_masks *masks)
{
    const double k = (double)trainer_k(t);
    if (masks->n_batches == 0)
        return false;
    return t->work->ops->host ? trainer_coactivations(masks) <= TRAINER_COACTIVATIONS_MAX
                              : (double)t->n * k * k <= TRAINER_COACTIVATIONS_MAX;
}

static enum sae_status competition(struct trainer *t, bool measure, struct note *note,
                                   struct sae_err *err)
{
    struct work *const a = t->work;
    const struct sae_ops *const ops = a->ops;
    const bool active = settings_competes(&t->set);
    struct step_stats *const s = &note->stats;
    struct sae_overlap_masks masks;
    struct sae_compete_rule rule;
    s->orth_weight = active ? s->lambda2 : 0;
    if (!active && !measure)
        return SAE_OK;
    masks_list(t, &masks);
    if (!active && !worth_counting(t, &masks))
        return SAE_OK;
    trainer_rule(t, s->tau, &rule);
    const bool per_pair = t->set.orth_normalizer == NORMALIZER_MEAN;
    const double weight =
        s->lambda2 * (t->set.orth_normalizer == NORMALIZER_LATENT ? 1 / (double)t->m : 1);
    /* what was counted two steps ago is known by now, however the run came here (save.c) */
    const double *const expected = t->partners ? t->partners + t->step % 2 * t->n_tiles : NULL;
    if (measure && active) {
        SAE_TRY(state_reserve(t, &a->orth_grad, t->m * t->d, err));
        ops->orth_masks(t->m, t->d, a->w.W_dec, &masks, &rule, weight, per_pair, expected, NULL,
                        a->orth_grad, a->number + ORTH);
        compare(t, note);
    }
    ops->orth_masks(t->m, t->d, a->w.W_dec, &masks, &rule, weight, per_pair, expected,
                    active ? a->g.W_dec : NULL, NULL, a->number + ORTH);
    note->pairs = true;
    return SAE_OK;
}

static void draw_chunks(struct trainer *t)
{
    struct work *const a = t->work;
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_CHUNKS);
    rng.counter = t->step << 32; /* a shuffle draws about m numbers, m < 2^31 */
    for (size_t j = 0; j < t->m; j++)
        a->chunk[j] = (uint32_t)j;
    sae_rng_shuffle_u32(&rng, a->chunk, t->m);
    a->ops->put(a->order, a->chunk, t->m * sizeof *a->order);
}

static enum sae_status ortsae(struct trainer *t, bool measure, struct note *note,
                              struct sae_err *err)
{
    struct work *const a = t->work;
    const uint64_t every = t->set.ortsae_every;
    const bool acts = t->step % every == 0;
    struct step_stats *const s = &note->stats;
    if (!acts && !measure)
        return SAE_OK;
    draw_chunks(t);
    s->orth_weight = acts ? s->lambda2 * (double)every : 0;
    if (measure) {
        SAE_TRY(state_reserve(t, &a->orth_grad, t->m * t->d, err));
        a->ops->ortsae(t->m, t->d, a->w.W_dec, a->n_chunks, a->order, s->lambda2, NULL,
                       a->orth_grad, a->number + ORTSAE);
        compare(t, note);
    }
    if (acts)
        a->ops->ortsae(t->m, t->d, a->w.W_dec, a->n_chunks, a->order, s->orth_weight, a->g.W_dec,
                       NULL, a->number + ORTSAE);
    note->ortsae = true;
    return SAE_OK;
}

enum sae_status orth_step(struct trainer *t, bool measure, struct note *note, struct sae_err *err)
{
    SAE_TRY(competition(t, measure, note, err));
    return t->set.orth == ORTH_ORTSAE ? ortsae(t, measure, note, err) : SAE_OK;
}
