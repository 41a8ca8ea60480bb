/* SPDX-License-Identifier: MIT */
/* masks : active latents of batches, by token and by latent.
 * Contents: 1. memory   2. selection   3. recent batches */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "train/inner.h"

/* --- 1. memory ------------------------------------------------------------------------------ */

enum sae_status masks_open(struct masks *masks, const struct sae_ops *ops, size_t n, size_t m,
                           size_t cap, struct sae_err *err)
{
    SAE_TRY(sae_csr_alloc(&masks->csr, ops, n, cap, err));
    return sae_csc_alloc(&masks->csc, ops, m, cap, err);
}

void masks_close(struct masks *masks, const struct sae_ops *ops)
{
    sae_csr_free(&masks->csr, ops);
    sae_csc_free(&masks->csc, ops);
}

enum sae_status masks_grow(struct sae_csr *csr, const struct sae_ops *ops, size_t n, size_t cap,
                           struct sae_err *err)
{
    if (cap <= csr->cap && csr->start)
        return SAE_OK;
    const size_t wider = cap < csr->cap * 2 ? csr->cap * 2 : cap;
    struct sae_csr fresh = {0};
    SAE_TRY(sae_csr_alloc(&fresh, ops, n, wider, err));
    sae_csr_free(csr, ops);
    *csr = fresh;
    return SAE_OK;
}

enum sae_status masks_index(struct masks *masks, const struct sae_ops *ops, size_t m,
                            struct sae_err *err)
{
    if (masks->csr.cap > masks->csc.cap || !masks->csc.start) {
        struct sae_csc fresh = {0};
        SAE_TRY(sae_csc_alloc(&fresh, ops, m, masks->csr.cap, err));
        sae_csc_free(&masks->csc, ops);
        masks->csc = fresh;
    }
    ops->transpose(m, &masks->csr, &masks->csc);
    masks->valid = true;
    return SAE_OK;
}

enum sae_status trainer_csr_grow(struct trainer *t, struct sae_csr *csr, size_t cap,
                                 struct sae_err *err)
{
    return masks_grow(csr, t->ops, t->n, cap, err);
}

enum sae_status trainer_masks_index(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    return masks_index(masks, t->ops, t->m, err);
}

/* --- 2. selection --------------------------------------------------------------------------- */

enum sae_status masks_select(struct trainer *t, size_t rows, const float *pre, const float *b,
                             const float *theta, bool below, struct sae_csr *csr,
                             struct sae_err *err)
{
    const struct sae_ops *const ops = t->work->ops;
    size_t nnz = 0;
    for (int tries = 0; tries < 2; tries++) {
        if (below)
            ops->above(rows, t->m, pre, b, theta, csr, &nnz);
        else
            ops->threshold(rows, t->m, pre, b, theta, csr, &nnz);
        if (nnz <= csr->cap)
            break;
        SAE_TRY(ops->check(err)); /* or the number means nothing */
        SAE_TRY(masks_grow(csr, ops, t->n, nnz, err));
    }
    t->work->nnz = nnz;
    return SAE_OK;
}

enum sae_status masks_append(struct trainer *t, const struct sae_csr *more, size_t nnz_more,
                             struct sae_csr *csr, struct sae_err *err)
{
    const struct sae_ops *const ops = t->work->ops;
    size_t *start = NULL, nnz = 0;
    struct sae_csr wider = {0};
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&start, more->n + 1, sizeof *start, err));
    ops->get(&nnz, csr->start + csr->n, sizeof nnz);
    if (nnz + nnz_more > csr->cap) {
        SAE_GO(st, sae_csr_alloc(&wider, ops, t->n, nnz + nnz_more + (nnz + nnz_more) / 8, err));
        ops->copy(wider.start, csr->start, (csr->n + 1) * sizeof *start);
        ops->copy(wider.idx, csr->idx, nnz * sizeof *csr->idx);
        ops->copy(wider.val, csr->val, nnz * sizeof *csr->val);
        wider.n = csr->n;
        sae_csr_free(csr, ops);
        *csr = wider;
    }
    ops->get(start, more->start, (more->n + 1) * sizeof *start);
    for (size_t r = 0; r <= more->n; r++)
        start[r] += nnz;
    ops->put(csr->start + csr->n, start, (more->n + 1) * sizeof *start);
    ops->copy(csr->idx + nnz, more->idx, nnz_more * sizeof *csr->idx);
    ops->copy(csr->val + nnz, more->val, nnz_more * sizeof *csr->val);
    csr->n += more->n;
    st = SAE_OK;
done:
    free(start);
    return st;
}

/* --- 3. recent batches ---------------------------------------------------------------------- */

/* Weight (1 - 1/N)^age, cut where the ring ends (age 3N: 5 % of the mass). last: the batch of age 0;
 * newest: its masks, where they are not those of the ring. */
static void list_masks(const struct trainer *t, const struct masks *ring, uint64_t last,
                       const struct masks *newest, struct sae_overlap_masks *ret)
{
    struct work *const a = t->work;
    const double keep = 1 - 1 / (double)t->set.overlap_window;
    size_t n = 0;
    double weight = 1;
    for (size_t age = 0; age < t->ring_len && age <= last; age++) {
        const struct masks *const masks =
            age == 0 && newest ? newest : &ring[(last - age) % t->ring_len];
        if (masks->valid) {
            a->csr_list[n] = &masks->csr;
            a->csc_list[n] = &masks->csc;
            a->weight_list[n++] = weight;
        }
        weight *= keep;
    }
    *ret = (struct sae_overlap_masks){
        .n_batches = n, .csr = a->csr_list, .csc = a->csc_list, .weight = a->weight_list};
}

void masks_list(const struct trainer *t, struct sae_overlap_masks *ret)
{
    list_masks(t, t->work->ring, t->step, NULL, ret);
}

void trainer_masks_now(struct trainer *t, struct sae_overlap_masks *ret)
{
    static const struct masks too_many;
    list_masks(t, t->ring, t->step > 0 ? t->step - 1 : 0, t->now ? t->now : &too_many, ret);
}

double trainer_coactivations(const struct sae_overlap_masks *masks)
{
    double sum = 0;
    for (size_t b = 0; b < masks->n_batches; b++)
        for (size_t r = 0; r < masks->csr[b]->n; r++) {
            const double l0 = (double)(masks->csr[b]->start[r + 1] - masks->csr[b]->start[r]);
            sum += l0 * l0;
        }
    return sum;
}
