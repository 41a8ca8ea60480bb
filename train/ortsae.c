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
 * the term acts on every n-th step, n times as strongly. The cosines of a chunk are made a slab of
 * rows at a time, each pair once: m chunk d products in all, and no chunk x chunk matrix.
 *
 * Contents: 1. memory   2. the largest cosines   3. gradient   4. the step */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/math/clones.h"
#include "train/trainer.h"

enum { SLAB = 128 };               /* rows of cosines at a time */
static const double LEAST = 1e-8; /* a shorter row has no direction */

struct ortsae {
    size_t n_chunks;
    uint32_t *order;   /* [m] latents, chunk after chunk */
    double *norm;      /* [m] |f_i| */
    float *U;          /* [longest chunk][d] its directions */
    float *slab;       /* [SLAB][longest chunk] */
    float *best;       /* [longest chunk] largest cosine so far, by place in the chunk */
    uint32_t *at;      /* [longest chunk] the place that reaches it */
    float *c;          /* [m] by latent: c_i */
    uint32_t *partner; /* [m] the latent that reaches it; i itself where there is none */
    float *weight;     /* [m] 1 / (K |C|) */
};

/* --- 1. memory ---------------------------------------------------------------------------- */

static size_t chunk_begin(const struct ortsae *a, size_t m, size_t k)
{
    return m * k / a->n_chunks;
}

enum sae_status ortsae_open(struct ortsae **ret, const struct trainer *t, struct sae_err *err)
{
    const size_t m = t->m, chunk = (size_t)t->set.ortsae_chunk;
    struct ortsae *a = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&a, 1, sizeof *a, err));
    a->n_chunks = m / chunk + (m % chunk > 0);
    const size_t longest = (m + a->n_chunks - 1) / a->n_chunks;
    SAE_GO(st, sae_mem_alloc(&a->order, m, sizeof *a->order, err));
    SAE_GO(st, sae_mem_alloc(&a->norm, m, sizeof *a->norm, err));
    SAE_GO(st, sae_mem_alloc(&a->c, m, sizeof *a->c, err));
    SAE_GO(st, sae_mem_alloc(&a->partner, m, sizeof *a->partner, err));
    SAE_GO(st, sae_mem_alloc(&a->weight, m, sizeof *a->weight, err));
    SAE_GO(st, sae_mem_alloc(&a->best, longest, sizeof *a->best, err));
    SAE_GO(st, sae_mem_alloc(&a->at, longest, sizeof *a->at, err));
    SAE_GO(st, t->ops->alloc(&a->U, longest * t->d, sizeof *a->U, err));
    SAE_GO(st, t->ops->alloc(&a->slab, SLAB * longest, sizeof *a->slab, err));
    *ret = a;
    a = NULL;
done:
    ortsae_close(a, t->ops);
    return st;
}

void ortsae_close(struct ortsae *a, const struct sae_ops *ops)
{
    if (!a)
        return;
    void *const arrays[] = {a->order, a->norm, a->c, a->partner, a->weight, a->best, a->at};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    if (a->U)
        ops->free(a->U);
    if (a->slab)
        ops->free(a->slab);
    free(a);
}

/* --- 2. the largest cosines --------------------------------------------------------------- */

static void draw_chunks(const struct trainer *t)
{
    struct ortsae *const a = t->ortsae;
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_CHUNKS);
    rng.counter = t->step << 32; /* a shuffle draws about m numbers, m < 2^31 */
    for (size_t j = 0; j < t->m; j++)
        a->order[j] = (uint32_t)j;
    sae_rng_shuffle_u32(&rng, a->order, t->m);
}

const uint32_t *ortsae_order(const struct trainer *t, size_t *ret_chunks)
{
    draw_chunks(t);
    *ret_chunks = t->ortsae->n_chunks;
    return t->ortsae->order;
}

static void gather(const struct trainer *t, size_t begin, size_t n)
{
    struct ortsae *const a = t->ortsae;
    for (size_t i = 0; i < n; i++) {
        const size_t j = a->order[begin + i];
        const float *const f = t->w.W_dec + j * t->d;
        a->norm[j] = sqrt(t->ops->sum_sq(t->d, f));
        const double scale = a->norm[j] > LEAST ? 1 / a->norm[j] : 0;
        for (size_t e = 0; e < t->d; e++)
            a->U[i * t->d + e] = (float)(scale * (double)f[e]);
        a->best[i] = -2;
        a->at[i] = (uint32_t)i;
    }
}

/* Cosines v of the row at place r with places r + 1 ... r + n: both ends look at them. */
SAE_CLONES static void look(size_t n, const float *restrict v, uint32_t r, float *restrict best,
                            uint32_t *restrict at)
{
    float top = -2;
#pragma omp simd reduction(max : top)
    for (size_t i = 0; i < n; i++)
        top = v[i] > top ? v[i] : top;
    if (top > best[0]) {
        size_t i = 0;
        while (v[i] < top)
            i++;
        best[0] = top;
        at[0] = r + 1 + (uint32_t)i;
    }
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        const bool more = v[i] > best[i + 1];
        best[i + 1] = more ? v[i] : best[i + 1];
        at[i + 1] = more ? r : at[i + 1];
    }
}

static void search(const struct trainer *t, size_t n)
{
    struct ortsae *const a = t->ortsae;
    for (size_t r0 = 0; r0 < n; r0 += SLAB) {
        const size_t rows = n - r0 < SLAB ? n - r0 : SLAB, cols = n - r0;
        const float *const U = a->U + r0 * t->d;
        t->ops->gemm(false, true, rows, cols, t->d, 1, U, t->d, U, t->d, 0, a->slab, cols);
        for (size_t r = 0; r < rows && r + 1 < cols; r++)
            look(cols - r - 1, a->slab + r * cols + r + 1, (uint32_t)(r0 + r), a->best + r0 + r,
                 a->at + r0 + r);
    }
}

/* Fills c, partner and weight of every latent. Returns the loss. */
static double find_partners(const struct trainer *t)
{
    struct ortsae *const a = t->ortsae;
    double loss = 0;
    draw_chunks(t);
    for (size_t k = 0; k < a->n_chunks; k++) {
        const size_t begin = chunk_begin(a, t->m, k), n = chunk_begin(a, t->m, k + 1) - begin;
        double sum = 0;
        gather(t, begin, n);
        search(t, n);
        for (size_t i = 0; i < n; i++) {
            const size_t j = a->order[begin + i];
            a->c[j] = n > 1 ? a->best[i] : 0;
            a->partner[j] = a->order[begin + a->at[i]];
            a->weight[j] = (float)(1 / ((double)a->n_chunks * (double)n));
            sum += (double)a->c[j] * (double)a->c[j];
        }
        loss += sum / ((double)a->n_chunks * (double)n);
    }
    return loss;
}

/* --- 3. gradient -------------------------------------------------------------------------- */

/* to += s (other / |other| - c own / |own|) */
static void pull(size_t d, double s, double c, const float *other, double other_norm,
                 const float *own, double own_norm, float *to)
{
    const float p = (float)(s / other_norm), q = (float)(-s * c / own_norm);
#pragma omp simd
    for (size_t e = 0; e < d; e++)
        to[e] += p * other[e] + q * own[e];
}

static void add_gradient(const struct trainer *t, double lambda, float *G)
{
    const struct ortsae *const a = t->ortsae;
    for (size_t i = 0; i < t->m; i++) {
        const size_t j = a->partner[i];
        if (j == i || !(a->norm[i] > LEAST) || !(a->norm[j] > LEAST))
            continue;
        const float *const fi = t->w.W_dec + i * t->d, *const fj = t->w.W_dec + j * t->d;
        const double c = (double)a->c[i], s = lambda * 2 * c * (double)a->weight[i];
        pull(t->d, s / a->norm[i], c, fj, a->norm[j], fi, a->norm[i], G + i * t->d);
        pull(t->d, s / a->norm[j], c, fi, a->norm[i], fj, a->norm[j], G + j * t->d);
    }
}

/* --- 4. the step -------------------------------------------------------------------------- */

enum sae_status ortsae_step(struct trainer *t, bool measure, struct step_stats *s,
                            struct sae_err *err)
{
    const uint64_t every = t->set.ortsae_every;
    const bool acts = t->step % every == 0;
    if (!acts && !measure)
        return SAE_OK;
    s->orth = find_partners(t);
    s->orth_weight = acts ? s->lambda2 * (double)every : 0;
    if (measure) {
        SAE_TRY(trainer_orth_room(t, err));
        memset(t->orth_grad, 0, t->m * t->d * sizeof *t->orth_grad);
        add_gradient(t, s->lambda2, t->orth_grad);
        trainer_compare(t, t->orth_grad, s);
    }
    if (acts)
        add_gradient(t, s->orth_weight, t->g.W_dec);
    return SAE_OK;
}
