/* SPDX-License-Identifier: MIT */
/* ortsae : the chunked penalty of OrtSAE (Korznikov et al. 2025, arXiv 2509.22033).
 *
 *   cos_ij = f_i . f_j / (|f_i| |f_j|)        K = ceil(m / chunk) random chunks of equal size
 *   L = 1/K sum over chunks C of 1/|C| sum over i in C of c_i^2,   c_i = max over j in C, j != i, of cos_ij
 *
 *   with a the partner that reaches the maximum, and w = 2 c_i / (K |C|):
 *   dL/df_i += w (u_a - c_i u_i) / |f_i|      dL/df_a += w (u_i - c_i u_a) / |f_a|      u = f / |f|
 *
 * Chunks are drawn anew from (seed, step), so that a resumed run draws the same. With --ortsae-every n
 * the term acts on every n-th step, n times as strongly. */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "train/trainer.h"

struct ortsae {
    size_t n_chunks;
    uint32_t *order; /* [m] latents, chunk after chunk */
};

enum sae_status ortsae_open(struct ortsae **ret, const struct trainer *t, struct sae_err *err)
{
    const size_t m = t->m, chunk = (size_t)t->set.ortsae_chunk;
    struct ortsae *a = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&a, 1, sizeof *a, err));
    a->n_chunks = m / chunk + (m % chunk > 0);
    SAE_GO(st, sae_mem_alloc(&a->order, m, sizeof *a->order, err));
    *ret = a;
    a = NULL;
done:
    ortsae_close(a);
    return st;
}

void ortsae_close(struct ortsae *a)
{
    if (!a)
        return;
    free(a->order);
    free(a);
}

const uint32_t *ortsae_order(const struct trainer *t, size_t *ret_chunks)
{
    struct ortsae *const a = t->ortsae;
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_CHUNKS);
    rng.counter = t->step << 32; /* a shuffle draws about m numbers, m < 2^31 */
    for (size_t j = 0; j < t->m; j++)
        a->order[j] = (uint32_t)j;
    sae_rng_shuffle_u32(&rng, a->order, t->m);
    *ret_chunks = a->n_chunks;
    return a->order;
}

enum sae_status ortsae_step(struct trainer *t, bool measure, struct step_stats *s,
                            struct sae_err *err)
{
    const uint64_t every = t->set.ortsae_every;
    const bool acts = t->step % every == 0;
    size_t chunks;
    if (!acts && !measure)
        return SAE_OK;
    const uint32_t *const order = ortsae_order(t, &chunks);
    s->orth_weight = acts ? s->lambda2 * (double)every : 0;
    if (measure) {
        SAE_TRY(trainer_orth_room(t, err));
        t->ops->ortsae(t->m, t->d, t->w.W_dec, chunks, order, s->lambda2, NULL, t->orth_grad,
                       &s->orth);
        SAE_TRY(t->ops->check(err));
        trainer_compare(t, t->orth_grad, s);
    }
    if (acts)
        t->ops->ortsae(t->m, t->d, t->w.W_dec, chunks, order, s->orth_weight, t->g.W_dec, NULL,
                       &s->orth);
    return t->ops->check(err);
}
