/* SPDX-License-Identifier: MIT */
/* resident : arrays of a trainer on a device, and the forward pass of inference there.
 * Contents: 1. arrays   2. to and from the device   3. forward */
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "train/resident_inner.h"

/* --- 1. arrays ------------------------------------------------------------------------------ */

static enum sae_status open_masks(struct masks *masks, const struct trainer *t, size_t cap,
                                  const struct sae_ops *ops, struct sae_err *err)
{
    SAE_TRY(sae_csr_alloc(&masks->csr, ops, t->n, cap, err));
    return sae_csc_alloc(&masks->csc, ops, t->m, cap, err);
}

static enum sae_status dense_room(struct resident *a, const struct trainer *t, struct sae_err *err)
{
    if (!a->dense || a->dzf)
        return SAE_OK;
    if (settings_arch(&t->set)->penalty != TRAIN_PENALTY_L1) /* whose activations take the place of pre */
        SAE_TRY(a->ops->alloc(&a->f, t->n * t->m, sizeof(float), err));
    return a->ops->alloc(&a->dzf, t->n * t->m, sizeof(float), err);
}

static enum sae_status open_all(struct resident *a, const struct trainer *t, struct sae_err *err)
{
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m, d = t->d;
    const bool has_k = settings_has_k(&t->set);
    struct params *const params[] = {&a->w, &a->g, &a->m1, &a->m2};
    for (size_t i = 0; i < sizeof params / sizeof *params; i++)
        SAE_TRY(trainer_params_open(params[i], t, ops, err));
    float **const by_token[] = {&a->own_x, &a->xc, &a->xhat, &a->grad, &a->r};
    for (size_t i = 0; i < sizeof by_token / sizeof *by_token; i++)
        SAE_TRY(ops->alloc(by_token[i], n * d, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->pre,
                       settings_arch(&t->set)->keeps == TRAIN_KEEPS_TOKEN
                           ? ops->encode_scratch(n, m, d, t->k_max)
                           : n * m,
                       sizeof(float), err));
    SAE_TRY(ops->alloc(&a->proj, m, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->theta, m, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->idle, m, sizeof *a->idle, err));
    a->tiles = ops->orth_tiles(m);
    SAE_TRY(ops->alloc(&a->number, PARTNERS + a->tiles, sizeof *a->number, err));
    SAE_TRY(sae_mem_alloc(&a->got, PARTNERS + a->tiles, sizeof *a->got, err));
    SAE_TRY(ops->alloc(&a->none.start, n + 1, sizeof *a->none.start, err));
    a->none.n = n;
    SAE_TRY(sae_mem_alloc(&a->ring, t->ring_len, sizeof *a->ring, err));
    SAE_TRY(sae_mem_alloc(&a->csr_list, t->ring_len, sizeof *a->csr_list, err));
    SAE_TRY(sae_mem_alloc(&a->csc_list, t->ring_len, sizeof *a->csc_list, err));
    for (size_t i = 0; i < t->ring_len; i++)
        SAE_TRY(open_masks(&a->ring[i], t, n * (has_k ? t->k_max : 16), ops, err));
    SAE_TRY(open_masks(&a->now, t, n * (has_k ? t->k_max : 16), ops, err));
    if (has_k && t->set.auxk_alpha > 0) {
        const size_t cap = n * (d / 2 < m ? d / 2 : m);
        SAE_TRY(open_masks(&a->aux, t, cap, ops, err));
        SAE_TRY(ops->alloc(&a->aux_dz, cap, sizeof(float), err));
    }
    SAE_TRY(dense_room(a, t, err));
    SAE_TRY(resident_open_arch(a, t, err));
    if (t->set.orth != ORTH_NONE)
        SAE_TRY(ops->alloc(&a->orth_grad, m * d, sizeof *a->orth_grad, err));
    for (size_t i = 0; i < 2; i++)
        SAE_TRY(ops->readback_open(&a->slot[i].late, (PARTNERS + a->tiles) * sizeof(double), err));
    return SAE_OK;
}

enum sae_status resident_open(struct resident **ret, const struct trainer *t,
                              const struct sae_ops *device, struct sae_err *err)
{
    struct resident *a = NULL;
    SAE_TRY(sae_mem_alloc(&a, 1, sizeof *a, err));
    a->ops = device;
    a->ring_len = t->ring_len;
    a->dense = !settings_has_k(&t->set) || t->k_max * device->dense_share > t->m;
    const enum sae_status st = open_all(a, t, err);
    if (st != SAE_OK) {
        resident_close(a);
        return st;
    }
    for (size_t i = 0; i < t->ring_len; i++)
        a->ring[i].valid = false;
    *ret = a;
    return SAE_OK;
}

/* What operations take; the selections; lists of masks where nothing bounds them. */
double resident_later(const struct settings *set, const struct sae_ops *ops, size_t d)
{
    const double m = (double)set->m, n = (double)set->batch, w = (double)d;
    const double k = (double)(set->k > set->k_start ? set->k : set->k_start);
    double bytes = ops->step_bytes((size_t)set->batch, (size_t)set->m, d, set->orth != ORTH_NONE,
                                   set->overlap_window > 1);
    if (settings_has_k(set))
        bytes += 8 * n * (k + (set->auxk_alpha > 0 ? fmin(w / 2, m) : 0));
    else if (settings_competes(set))
        bytes += 16 * n * m / 2; /* an untrained dictionary is half active */
    return bytes;
}

enum sae_status resident_dz_room(struct resident *a, const struct sae_csr *csr, struct sae_err *err)
{
    if (csr->cap <= a->dz_cap)
        return SAE_OK;
    a->ops->free(a->dz);
    a->dz = NULL;
    a->dz_cap = 0;
    SAE_TRY(a->ops->alloc(&a->dz, csr->cap, sizeof *a->dz, err));
    a->dz_cap = csr->cap;
    return SAE_OK;
}

float *resident_dense_f(const struct resident *a)
{
    return a->f ? a->f : a->pre;
}

enum sae_status resident_dense(struct trainer *t, bool dense, struct sae_err *err)
{
    t->resident->dense = dense;
    return dense_room(t->resident, t, err);
}

static void close_masks(struct masks *masks, const struct sae_ops *ops)
{
    sae_csr_free(&masks->csr, ops);
    sae_csc_free(&masks->csc, ops);
}

void resident_close(struct resident *a)
{
    if (!a)
        return;
    const struct sae_ops *const ops = a->ops;
    float *const arrays[] = {a->w.all, a->g.all, a->m1.all, a->m2.all, a->own_x,    a->xc,
                             a->xhat,  a->grad,  a->r,      a->pre,    a->f,        a->dzf,
                             a->proj,  a->theta, a->dz,     a->aux_dz, a->orth_grad};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        ops->free(arrays[i]);
    ops->free(a->idle);
    ops->free(a->number);
    ops->free(a->none.start);
    for (size_t i = 0; a->ring && i < a->ring_len; i++)
        close_masks(&a->ring[i], ops);
    close_masks(&a->now, ops);
    close_masks(&a->aux, ops);
    resident_close_arch(a);
    for (size_t i = 0; i < 2; i++)
        ops->readback_close(a->slot[i].late);
    free(a->ring);
    free(a->got);
    free(a->csr_list);
    free(a->csc_list);
    free(a);
}

/* --- 2. to and from the device -------------------------------------------------------------- */

static enum sae_status room(struct resident *a, struct sae_csr *csr, struct sae_csc *csc, size_t m,
                            size_t n, size_t cap, struct sae_err *err)
{
    if (cap > csr->cap) {
        struct sae_csr fresh = {0};
        SAE_TRY(sae_csr_alloc(&fresh, a->ops, n, cap, err));
        sae_csr_free(csr, a->ops);
        *csr = fresh;
    }
    if (csc && csr->cap > csc->cap) {
        struct sae_csc fresh = {0};
        SAE_TRY(sae_csc_alloc(&fresh, a->ops, m, csr->cap, err));
        sae_csc_free(csc, a->ops);
        *csc = fresh;
    }
    return SAE_OK;
}

enum sae_status resident_load(struct trainer *t, struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    if (a->loaded)
        return SAE_OK;
    double number[PARTNERS] = {0};
    number[CUT] = t->cut;
    ops->put(a->w.all, t->w.all, t->w.n * sizeof(float));
    ops->put(a->m1.all, t->m1.all, t->w.n * sizeof(float));
    ops->put(a->m2.all, t->m2.all, t->w.n * sizeof(float));
    ops->put(a->idle, t->idle, t->m * sizeof *t->idle);
    ops->put(a->number, number, sizeof number);
    for (size_t i = 0; i < t->ring_len; i++) {
        const struct sae_csr *const from = &t->ring[i].csr;
        a->ring[i].valid = t->ring[i].valid;
        if (!from->start || !t->ring[i].valid)
            continue;
        const size_t nnz = from->start[from->n];
        SAE_TRY(room(a, &a->ring[i].csr, &a->ring[i].csc, t->m, t->n, nnz, err));
        a->ring[i].csr.n = from->n;
        ops->put(a->ring[i].csr.start, from->start, (from->n + 1) * sizeof *from->start);
        ops->put(a->ring[i].csr.idx, from->idx, nnz * sizeof *from->idx);
        ops->transpose(t->m, &a->ring[i].csr, &a->ring[i].csc);
    }
    a->loaded = true;
    return SAE_OK;
}

enum sae_status resident_get_csr(struct trainer *t, const struct sae_csr *from, struct sae_csr *to,
                                 struct sae_err *err)
{
    const struct sae_ops *const ops = t->resident->ops;
    size_t nnz = 0;
    ops->get(&nnz, from->start + from->n, sizeof nnz);
    SAE_TRY(ops->check(err)); /* or the number means nothing */
    SAE_TRY(trainer_csr_grow(t, to, nnz, err));
    to->n = from->n;
    ops->get(to->start, from->start, (from->n + 1) * sizeof *to->start);
    ops->get(to->idx, from->idx, nnz * sizeof *to->idx);
    ops->get(to->val, from->val, nnz * sizeof *to->val);
    return SAE_OK;
}

enum sae_status resident_fetch(struct trainer *t, bool all, struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    if (!a->loaded)
        return SAE_OK;
    const size_t md = t->m * t->d;
    ops->get(t->w.W_dec, a->w.W_dec, md * sizeof(float));
    for (size_t i = 0; i < t->ring_len; i++) {
        t->ring[i].valid = a->ring[i].valid;
        if (!a->ring[i].valid)
            continue;
        SAE_TRY(resident_get_csr(t, &a->ring[i].csr, &t->ring[i].csr, err));
        SAE_TRY(trainer_masks_index(t, &t->ring[i], err));
    }
    if (all) {
        /* what later steps depend on, up to this one */
        SAE_TRY(resident_told(t, err));
        ops->get(t->w.all, a->w.all, t->w.n * sizeof(float));
        ops->get(t->m1.all, a->m1.all, t->w.n * sizeof(float));
        ops->get(t->m2.all, a->m2.all, t->w.n * sizeof(float));
        ops->get(t->idle, a->idle, t->m * sizeof *t->idle);
        ops->get(&t->cut, a->number + CUT, sizeof t->cut);
    }
    return ops->check(err);
}

/* --- 3. forward ----------------------------------------------------------------------------- */

void resident_pre(struct trainer *t, size_t rows)
{
    struct resident *const a = t->resident;
    if (!settings_arch(&t->set)->subtracts_b_dec)
        a->ops->copy(a->xc, a->x, rows * t->d * sizeof *a->xc);
    else
        a->ops->center(rows, t->d, a->x, a->w.b_dec, a->xc);
    if (settings_arch(&t->set)->keeps == TRAIN_KEEPS_TOKEN) /* encode_topk forms the product */
        return;
    a->ops->gemm(false, true, rows, t->m, t->d, 1, a->xc, t->d, a->w.W_enc, t->d, 0, a->pre, t->m);
}

enum sae_status resident_active(struct trainer *t, size_t rows, const float *pre, const float *b,
                                const float *theta, struct sae_csr *csr, struct sae_csc *csc,
                                struct sae_err *err)
{
    struct resident *const a = t->resident;
    size_t nnz = 0;
    a->ops->threshold(rows, t->m, pre, b, theta, csr, &nnz);
    if (nnz <= csr->cap)
        return SAE_OK;
    SAE_TRY(a->ops->check(err));
    SAE_TRY(room(a, csr, csc, t->m, t->n, nnz, err));
    a->ops->threshold(rows, t->m, pre, b, theta, csr, &nnz);
    return SAE_OK;
}

/* The averaged threshold of a batch top-k, the same for each latent. */
static void put_cut(struct trainer *t)
{
    struct resident *const a = t->resident;
    double cut = 0;
    a->ops->get(&cut, a->number + CUT, sizeof cut);
    for (size_t j = 0; j < t->m; j++)
        t->theta[j] = (float)cut;
    a->ops->put(a->theta, t->theta, t->m * sizeof *t->theta);
}

static enum sae_status select_rows(struct trainer *t, size_t rows, uint64_t k, struct sae_csr *csr,
                                   struct sae_err *err)
{
    struct resident *const a = t->resident;
    const float *theta = a->w.theta;
    csr->n = rows;
    if (settings_arch(&t->set)->keeps == TRAIN_KEEPS_TOKEN) {
        (void)a->ops->encode_topk(rows, t->m, t->d, (size_t)k, a->xc, a->w.W_enc, a->w.b_enc,
                                  a->pre, csr);
        return SAE_OK;
    }
    if (t->set.arch == TRAIN_GATED) {
        a->ops->gate(rows, t->m, a->pre, a->w.b_enc, a->w.r_mag, a->w.b_mag, a->f, a->gate,
                     a->number + L1);
        return resident_active(t, rows, a->f, a->zero, NULL, csr, NULL, err);
    }
    if (settings_has_cut(&t->set)) {
        put_cut(t);
        theta = a->theta;
    }
    return resident_active(t, rows, a->pre, a->w.b_enc, theta, csr, NULL, err);
}

enum sae_status resident_forward(struct trainer *t, const float *x, size_t rows, uint64_t k,
                                 struct sae_csr *csr, struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    struct sae_csr mine = {0};
    enum sae_status st;
    SAE_GO(st, resident_load(t, err));
    SAE_GO(st, sae_csr_alloc(&mine, ops, t->n, rows * (k ? (size_t)k : 16), err));
    a->x = a->own_x;
    ops->put(a->own_x, x, rows * t->d * sizeof *x);
    resident_pre(t, rows);
    SAE_GO(st, select_rows(t, rows, k, &mine, err));
    mine.n = rows;
    ops->decode(t->d, &mine, a->w.W_dec, a->w.b_dec, a->xhat);
    ops->get(t->xhat, a->xhat, rows * t->d * sizeof *t->xhat);
    SAE_GO(st, resident_get_csr(t, &mine, csr, err));
done:
    sae_csr_free(&mine, ops);
    return st;
}
