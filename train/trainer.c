/* SPDX-License-Identifier: MIT */
/* trainer : memory, random weights, and the masks of recent batches.
 * Contents: 1. open and close   2. initial weights   3. masks */
#include "train/resident.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"

/* --- 1. open and close -------------------------------------------------------------------- */

static size_t array_size(const struct trainer *t, const struct train_array *array)
{
    return (array->shape == TRAIN_SHAPE_D ? 1 : t->m) * (array->shape == TRAIN_SHAPE_M ? 1 : t->d);
}

static float **view_of(struct params *p, const struct train_array *array)
{
    return (float **)(void *)((char *)p + array->view);
}

enum sae_status trainer_params_open(struct params *p, const struct trainer *t,
                                    const struct sae_ops *ops, struct sae_err *err)
{
    const struct train_array *const arrays = settings_arch(&t->set)->arrays;
    size_t at = 0;
    for (const struct train_array *a = arrays; a->name; a++)
        p->n += array_size(t, a);
    SAE_TRY(ops->alloc(&p->all, p->n, sizeof *p->all, err));
    for (const struct train_array *a = arrays; a->name; a++) {
        *view_of(p, a) = p->all + at;
        at += array_size(t, a);
    }
    return SAE_OK;
}

size_t trainer_params(const struct trainer *t, const struct params *p,
                      struct param_array ret[PARAM_ARRAYS])
{
    size_t n = 0;
    for (const struct train_array *a = settings_arch(&t->set)->arrays; a->name; a++)
        ret[n++] = (struct param_array){.name = a->name,
                                        .data = *view_of((struct params *)(uintptr_t)p, a),
                                        .rows = a->shape == TRAIN_SHAPE_D ? t->d : t->m,
                                        .cols = a->shape == TRAIN_SHAPE_MD ? t->d : 0};
    return n;
}

/* What the encoder needs beside its inputs. */
static enum sae_status open_room(struct trainer *t, struct sae_err *err)
{
    if (settings_arch(&t->set)->keeps != TRAIN_KEEPS_TOKEN)
        return t->ops->alloc(&t->pre, t->n * t->m, sizeof *t->pre, err);
    const size_t room = t->ops->encode_scratch(t->n, t->m, t->d, t->k_max);
    return room > t->g.n ? t->ops->alloc(&t->room, room, sizeof *t->room, err) : SAE_OK;
}

static enum sae_status open_arrays(struct trainer *t, struct sae_err *err)
{
    const struct sae_ops *const ops = t->ops;
    struct params *const all[] = {&t->w, &t->g, &t->m1, &t->m2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        SAE_TRY(trainer_params_open(all[i], t, ops, err));
    SAE_TRY(ops->alloc(&t->xc, t->n * t->d, sizeof *t->xc, err));
    SAE_TRY(ops->alloc(&t->xhat, t->n * t->d, sizeof *t->xhat, err));
    SAE_TRY(ops->alloc(&t->grad, t->n * t->d, sizeof *t->grad, err));
    SAE_TRY(open_room(t, err));
    SAE_TRY(ops->alloc(&t->theta, t->m, sizeof *t->theta, err));
    SAE_TRY(ops->alloc(&t->proj, t->m, sizeof *t->proj, err));
    SAE_TRY(sae_mem_alloc(&t->mean, t->d, sizeof *t->mean, err));
    SAE_TRY(sae_mem_alloc(&t->largest, t->m, sizeof *t->largest, err));
    SAE_TRY(sae_mem_alloc(&t->idle, t->m, sizeof *t->idle, err));
    if (t->set.arch == TRAIN_GATED)
        SAE_TRY(gated_open(&t->gated, t, err));
    if (t->set.arch == TRAIN_JUMPRELU)
        SAE_TRY(jump_open(&t->jump, t, err));
    if (t->set.arch == TRAIN_MATRYOSHKA)
        SAE_TRY(matry_open(&t->matry, t, err));
    if (t->set.orth == ORTH_ORTSAE)
        SAE_TRY(ortsae_open(&t->ortsae, t, err));
    return auxk_open(&t->auxk, err);
}

static enum sae_status open_ring(struct trainer *t, struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&t->ring, t->ring_len, sizeof *t->ring, err));
    SAE_TRY(sae_mem_alloc(&t->csr_list, t->ring_len, sizeof *t->csr_list, err));
    SAE_TRY(sae_mem_alloc(&t->csc_list, t->ring_len, sizeof *t->csc_list, err));
    SAE_TRY(sae_mem_alloc(&t->weight_list, t->ring_len, sizeof *t->weight_list, err));
    /* TopK needs n k entries; others grow from a small start. */
    const size_t cap = t->n * (t->k_max ? t->k_max : 16);
    for (size_t i = 0; i < t->ring_len; i++) {
        SAE_TRY(sae_csr_alloc(&t->ring[i].csr, t->ops, t->n, cap, err));
        SAE_TRY(sae_csc_alloc(&t->ring[i].csc, t->ops, t->m, cap, err));
    }
    return SAE_OK;
}

static enum sae_status open_device(struct trainer *t, const struct sae_ops *ops,
                                   struct sae_err *err)
{
    SAE_TRY(resident_open(&t->resident, t, ops, err));
    if (!settings_competes(&t->set))
        return SAE_OK;
    t->n_tiles = ops->orth_tiles(t->m);
    SAE_TRY(sae_mem_alloc(&t->partners, 2 * t->n_tiles, sizeof *t->partners, err));
    for (size_t i = 0; i < 2 * t->n_tiles; i++)
        t->partners[i] = -1;
    return SAE_OK;
}

enum sae_status trainer_open(struct trainer **ret, const struct settings *set,
                             const struct sae_ops *ops, size_t d, struct sae_err *err)
{
    struct trainer *t = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&t, 1, sizeof *t, err));
    t->set = *set;
    t->set.checkpoints = (struct sae_reals){0}; /* groups: as borrowed */
    t->ops = ops->host ? ops : &sae_ops_cpu;
    t->n = (size_t)set->batch;
    t->d = d;
    t->m = (size_t)set->m;
    t->k_max = (size_t)(set->k_start > set->k ? set->k_start : set->k);
    t->tau = -1;
    t->cut = -1;
    t->dense_share = 16;
    t->lp.weight = set->l1;
    lp_resume(t);
    t->ring_len = set->overlap_window > 1 ? 3 * (size_t)set->overlap_window : 1;
    SAE_GO(st, open_arrays(t, err));
    SAE_GO(st, open_ring(t, err));
    if (!ops->host)
        SAE_GO(st, open_device(t, ops, err));
    *ret = t;
    t = NULL;
done:
    trainer_close(t);
    return st;
}

void trainer_close(struct trainer *t)
{
    if (!t)
        return;
    const struct sae_ops *const ops = t->ops;
    float *const arrays[] = {t->w.all, t->g.all, t->m1.all, t->m2.all,   t->xc,
                             t->xhat,  t->grad,  t->pre,    t->room,     t->dz,
                             t->block, t->theta, t->proj,   t->orth_grad};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i])
            ops->free(arrays[i]);
    for (size_t i = 0; t->ring && i < t->ring_len; i++) {
        sae_csr_free(&t->ring[i].csr, ops);
        sae_csc_free(&t->ring[i].csc, ops);
    }
    sae_csr_free(&t->now.csr, ops);
    sae_csc_free(&t->now.csc, ops);
    sae_csr_free(&t->scratch, ops);
    auxk_close(t->auxk, ops);
    resident_close(t->resident);
    gated_close(t->gated, ops);
    jump_close(t->jump, ops);
    matry_close(t->matry, ops);
    ortsae_close(t->ortsae);
    free(t->partners);
    free(t->ring);
    free(t->csr_list);
    free(t->csc_list);
    free(t->weight_list);
    free(t->mean);
    free(t->largest);
    free(t->idle);
    free(t);
}

enum sae_status trainer_fetch(struct trainer *t, bool all, struct sae_err *err)
{
    return t->resident ? resident_fetch(t, all, err) : SAE_OK;
}

/* --- 2. initial weights ------------------------------------------------------------------- */

/* Weiszfeld's iteration. A point that equals the guess would weigh infinitely much: its distance
 * is held at a small positive number instead. */
void trainer_median(size_t n, size_t d, const float *x, float *ret)
{
    double *guess = NULL, *next = NULL;
    if (sae_mem_alloc(&guess, d, sizeof *guess, NULL) != SAE_OK ||
        sae_mem_alloc(&next, d, sizeof *next, NULL) != SAE_OK)
        goto done; /* b_dec stays zero: a start, if a worse one */
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < d; i++)
            guess[i] += (double)x[t * d + i] / (double)n;
    for (int round = 0; round < 100; round++) {
        double weights = 0, moved = 0;
        memset(next, 0, d * sizeof *next);
        for (size_t t = 0; t < n; t++) {
            double sq = 0;
            for (size_t i = 0; i < d; i++)
                sq += ((double)x[t * d + i] - guess[i]) * ((double)x[t * d + i] - guess[i]);
            const double w = 1 / fmax(sqrt(sq), 1e-10);
            weights += w;
            for (size_t i = 0; i < d; i++)
                next[i] += w * (double)x[t * d + i];
        }
        for (size_t i = 0; i < d; i++) {
            const double v = next[i] / weights;
            moved += (v - guess[i]) * (v - guess[i]);
            guess[i] = v;
        }
        if (sqrt(moved) < 1e-5)
            break;
    }
    for (size_t i = 0; i < d; i++)
        ret[i] = (float)guess[i];
done:
    free(guess);
    free(next);
}

static void uniform(struct sae_rng *rng, double bound, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)((2 * sae_rng_uniform(rng) - 1) * bound);
}

static void normal(struct sae_rng *rng, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)sae_rng_normal(rng);
}

/* topk, batchtopk, matryoshka
 *                decoder of uniform directions, unit rows; encoder its transpose; b_enc 0;
 *                b_dec the geometric median of the first batch
 * standard       normal directions; decoder unit, encoder 0.1 of it; biases 0. (Upstream starts
 *                the decoder at 0.1 too, and its first optimiser call, of rate 0, makes it unit.)
 * jumprelu       decoder of uniform directions, unit rows; encoder the same; biases 0, thresholds
 *                0.001
 * gated          normal directions; decoder unit, encoder the same; biases and r_mag 0
 * standard-2024  encoder and b_enc uniform in +-1/sqrt(d), decoder of unit normal rows, untied */
void trainer_init(struct trainer *t, const float *x)
{
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_INIT);
    const size_t md = t->m * t->d;
    if (settings_has_k(&t->set)) {
        uniform(&rng, 1, md, t->w.W_dec);
        t->ops->unit_rows(t->m, t->d, 0, t->w.W_dec);
        memcpy(t->w.W_enc, t->w.W_dec, md * sizeof *t->w.W_enc);
        trainer_median(t->n, t->d, x, t->w.b_dec);
        return;
    }
    if (t->set.arch == TRAIN_JUMPRELU) {
        uniform(&rng, 1, md, t->w.W_dec);
        t->ops->unit_rows(t->m, t->d, 0, t->w.W_dec);
        memcpy(t->w.W_enc, t->w.W_dec, md * sizeof *t->w.W_enc);
        for (size_t j = 0; j < t->m; j++)
            t->w.theta[j] = 0.001F;
        return;
    }
    normal(&rng, md, t->w.W_dec);
    t->ops->unit_rows(t->m, t->d, 0, t->w.W_dec);
    if (t->set.arch == TRAIN_GATED) {
        memcpy(t->w.W_enc, t->w.W_dec, md * sizeof *t->w.W_enc);
    } else if (t->set.arch == TRAIN_STANDARD) {
        for (size_t i = 0; i < md; i++)
            t->w.W_enc[i] = 0.1F * t->w.W_dec[i];
    } else {
        const double bound = 1 / sqrt((double)t->d);
        uniform(&rng, bound, md, t->w.W_enc);
        uniform(&rng, bound, t->m, t->w.b_enc);
    }
}

/* --- 3. masks ----------------------------------------------------------------------------- */

enum sae_status trainer_csr_grow(struct trainer *t, struct sae_csr *csr, size_t cap,
                                 struct sae_err *err)
{
    if (cap <= csr->cap && csr->start)
        return SAE_OK;
    const size_t wider = cap < csr->cap * 2 ? csr->cap * 2 : cap;
    struct sae_csr fresh = {0};
    SAE_TRY(sae_csr_alloc(&fresh, t->ops, t->n, wider, err));
    sae_csr_free(csr, t->ops);
    *csr = fresh;
    return SAE_OK;
}

enum sae_status trainer_masks_index(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    const size_t nnz = masks->csr.start[masks->csr.n];
    if (nnz > masks->csc.cap) {
        struct sae_csc fresh = {0};
        SAE_TRY(sae_csc_alloc(&fresh, t->ops, t->m, masks->csr.cap, err));
        sae_csc_free(&masks->csc, t->ops);
        masks->csc = fresh;
    }
    t->ops->transpose(t->m, &masks->csr, &masks->csc);
    masks->valid = true;
    return SAE_OK;
}

/* Weight (1 - 1/N)^age, cut where the ring ends (age 3N: 5 % of the mass). last: the batch of age 0;
 * newest: its masks, where they are not those of the ring. */
static void list_masks(const struct trainer *t, const struct masks *ring, uint64_t last,
                       const struct masks *newest, const struct sae_csr **csr_list,
                       const struct sae_csc **csc_list, struct sae_overlap_masks *ret)
{
    const double keep = 1 - 1 / (double)t->set.overlap_window;
    size_t n = 0;
    double weight = 1;
    for (size_t age = 0; age < t->ring_len && age <= last; age++) {
        const struct masks *const masks =
            age == 0 && newest ? newest : &ring[(last - age) % t->ring_len];
        if (masks->valid) {
            csr_list[n] = &masks->csr;
            csc_list[n] = &masks->csc;
            t->weight_list[n++] = weight;
        }
        weight *= keep;
    }
    *ret = (struct sae_overlap_masks){
        .n_batches = n, .csr = csr_list, .csc = csc_list, .weight = t->weight_list};
}

void trainer_masks_of(const struct trainer *t, const struct masks *ring,
                      const struct sae_csr **csr_list, const struct sae_csc **csc_list,
                      struct sae_overlap_masks *ret)
{
    list_masks(t, ring, t->step, NULL, csr_list, csc_list, ret);
}

void trainer_masks_now(struct trainer *t, struct sae_overlap_masks *ret)
{
    list_masks(t, t->ring, t->step > 0 ? t->step - 1 : 0, &t->now, t->csr_list, t->csc_list, ret);
}

void trainer_masks(struct trainer *t, struct sae_overlap_masks *ret)
{
    trainer_masks_of(t, t->ring, t->csr_list, t->csc_list, ret);
}

void trainer_rule(const struct trainer *t, double tau, struct sae_compete_rule *ret)
{
    *ret = (struct sae_compete_rule){.overlap = (enum sae_overlap)t->set.overlap,
                                     .form = (enum sae_compete)t->set.competition,
                                     .sharpness = t->set.sharpness,
                                     .tau = tau,
                                     .min_count = t->set.min_count};
}

uint64_t trainer_k(const struct trainer *t)
{
    const double p = (double)t->step / (double)t->set.k_anneal;
    return sae_sched_k(t->set.k_start, t->set.k, p < 1 ? p : 1);
}
