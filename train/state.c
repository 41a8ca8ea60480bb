/* SPDX-License-Identifier: MIT */
/* state : weights, moments, counters, masks and the arrays of a step in backend memory, and what the
 * host sees of them: on a host backend the arrays themselves, on a device copies that are true after
 * a fetch and taken over by the first step after they were filled.
 * Contents: 1. parameters   2. open and close   3. to and from the backend */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "train/inner.h"

/* --- 1. parameters -------------------------------------------------------------------------- */

static size_t array_size(const struct trainer *t, enum train_shape shape)
{
    return shape == TRAIN_SHAPE_M ? t->m : shape == TRAIN_SHAPE_D ? t->d : t->m * t->d;
}

static enum sae_status params_open(struct params *p, const struct trainer *t,
                                   const struct sae_ops *ops, struct sae_err *err)
{
    const struct train_array *const arrays = t->arch->arrays;
    for (size_t i = 0; arrays[i].name; i++)
        p->n += array_size(t, arrays[i].shape);
    SAE_TRY(ops->alloc(&p->all, p->n, sizeof *p->all, err));
    float *at = p->all;
    for (size_t i = 0; arrays[i].name; i++) {
        *(float **)((char *)p + arrays[i].view) = at;
        at += array_size(t, arrays[i].shape);
    }
    return SAE_OK;
}

size_t trainer_params(const struct trainer *t, const struct params *p,
                      struct param_array ret[PARAM_ARRAYS])
{
    const struct train_array *const arrays = t->arch->arrays;
    size_t n = 0;
    for (; arrays[n].name; n++) {
        const bool matrix = arrays[n].shape == TRAIN_SHAPE_MD;
        ret[n] = (struct param_array){arrays[n].name,
                                      *(float *const *)((const char *)p + arrays[n].view),
                                      arrays[n].shape == TRAIN_SHAPE_D ? t->d : t->m,
                                      matrix ? t->d : 0};
    }
    return n;
}

/* --- 2. open and close ---------------------------------------------------------------------- */

enum sae_status state_reserve(struct trainer *t, float **array, size_t n, struct sae_err *err)
{
    return *array ? SAE_OK : t->work->ops->alloc(array, n, sizeof **array, err);
}

/* TopK needs n k entries; others grow from a small start. */
static size_t masks_cap(const struct trainer *t)
{
    return t->n * (step_has_k(t) ? t->k_max : 16);
}

static enum sae_status open_ring(struct trainer *t, struct masks **ring, const struct sae_ops *ops,
                                 struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(ring, t->ring_len, sizeof **ring, err));
    for (size_t i = 0; i < t->ring_len; i++)
        SAE_TRY(masks_open(&(*ring)[i], ops, t->n, t->m, masks_cap(t), err));
    return SAE_OK;
}

static enum sae_status open_start(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    const size_t n = t->m * t->d;
    if (t->set.freeze != FREEZE_SOFT)
        return SAE_OK;
    SAE_TRY(a->ops->alloc(&a->start, n, sizeof *a->start, err));
    t->start = a->start;
    if (a->ops->host)
        return SAE_OK;
    t->start = NULL;
    return t->ops->alloc(&t->start, n, sizeof *t->start, err);
}

/* On a host backend the arrays are the trainer's own, else it has copies. */
static enum sae_status open_kept(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    struct params *const backend[] = {&a->w, &a->m1, &a->m2}, *const host[] = {&t->w, &t->m1, &t->m2};
    for (size_t i = 0; i < 3; i++) {
        SAE_TRY(params_open(backend[i], t, a->ops, err));
        if (a->ops->host)
            *host[i] = *backend[i];
        else
            SAE_TRY(params_open(host[i], t, t->ops, err));
    }
    SAE_TRY(open_start(t, err));
    SAE_TRY(a->ops->alloc(&a->idle, t->m, sizeof *a->idle, err));
    SAE_TRY(open_ring(t, &a->ring, a->ops, err));
    t->idle = a->idle;
    t->ring = a->ring;
    if (a->ops->host)
        return SAE_OK;
    t->idle = NULL;
    t->ring = NULL;
    SAE_TRY(t->ops->alloc(&t->idle, t->m, sizeof *t->idle, err));
    SAE_TRY(open_ring(t, &t->ring, t->ops, err));
    SAE_TRY(a->ops->alloc(&a->own_x, t->n * t->d, sizeof *a->own_x, err));
    return t->ops->alloc(&a->host_xhat, t->n * t->d, sizeof *a->host_xhat, err);
}

/* TopK on a host never has its pre-activations in memory as a whole. Gradients are made after it and
 * used up before the next step, so their memory serves as its scratch; not where AuxK would look at
 * the product in between. */
static enum sae_status open_pre(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    size_t n = t->n * t->m;
    if (t->arch->keeps == TRAIN_KEEPS_TOKEN) {
        n = a->ops->encode_scratch(t->n, t->m, t->d, t->k_max);
        if (n <= a->g.n && !a->ops->numbers_delayed)
            return SAE_OK;
    }
    return a->ops->alloc(&a->pre, n, sizeof *a->pre, err);
}

static enum sae_status open_step(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    const struct sae_ops *const ops = a->ops;
    float **const by_token[] = {&a->xc, &a->xhat, &a->grad};
    float **const by_latent[] = {&a->zero, &a->proj, &a->theta};
    SAE_TRY(params_open(&a->g, t, ops, err));
    SAE_TRY(open_pre(t, err));
    for (size_t i = 0; i < 3; i++) {
        SAE_TRY(ops->alloc(by_token[i], t->n * t->d, sizeof(float), err));
        SAE_TRY(ops->alloc(by_latent[i], t->m, sizeof(float), err));
    }
    SAE_TRY(ops->alloc(&a->active, t->m, sizeof *a->active, err));
    if (step_has_l1(t))
        SAE_TRY(ops->alloc(&a->lp_row, t->n, sizeof *a->lp_row, err));
    SAE_TRY(ops->alloc(&a->none.start, t->n + 1, sizeof *a->none.start, err));
    SAE_TRY(sae_mem_alloc(&a->csr_list, t->ring_len, sizeof *a->csr_list, err));
    SAE_TRY(sae_mem_alloc(&a->csc_list, t->ring_len, sizeof *a->csc_list, err));
    return sae_mem_alloc(&a->weight_list, t->ring_len, sizeof *a->weight_list, err);
}

enum sae_status state_open(struct trainer *t, const struct sae_ops *ops, struct sae_err *err)
{
    struct work *a = NULL;
    SAE_TRY(sae_mem_alloc(&a, 1, sizeof *a, err));
    t->work = a;
    a->ops = ops;
    a->block = ops->grad_block > 0 && ops->grad_block < t->n ? ops->grad_block : t->n;
    a->n_blocks = (t->n + a->block - 1) / a->block;
    a->dense_share = ops->dense_share;
    SAE_TRY(open_kept(t, err));
    SAE_TRY(open_step(t, err));
    return numbers_open(t, err);
}

static void close_ring(struct masks *ring, size_t n, const struct sae_ops *ops)
{
    for (size_t i = 0; ring && i < n; i++)
        masks_close(&ring[i], ops);
    free(ring);
}

static void close_host(struct trainer *t)
{
    struct work *const a = t->work;
    void *const arrays[] = {t->w.all, t->m1.all, t->m2.all, t->idle, t->start, a->host_xhat};
    if (a->ops->host)
        return;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        t->ops->free(arrays[i]);
    close_ring(t->ring, t->ring_len, t->ops);
    sae_csr_free(&a->host_csr, t->ops);
}

void state_close(struct trainer *t)
{
    struct work *const a = t->work;
    if (!a)
        return;
    const struct sae_ops *const ops = a->ops;
    void *const arrays[] = {a->w.all,   a->g.all, a->m1.all, a->m2.all, a->idle,  a->own_x,
                            a->xc,      a->xhat,  a->grad,   a->r,      a->pre,   a->zero,
                            a->proj,    a->theta, a->active, a->f,      a->dzf,   a->sums,
                            a->dz,      a->aux_dz, a->lp_row, a->order, a->orth_grad,
                            a->none.start, a->start};
    close_host(t);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        ops->free(arrays[i]);
    close_ring(a->ring, t->ring_len, ops);
    masks_close(&a->now, ops);
    masks_close(&a->aux, ops);
    masks_close(&a->infer, ops);
    masks_close(&a->host_now, t->ops);
    numbers_close(t);
    free(a->csr_list);
    free(a->csc_list);
    free(a->weight_list);
    free(a->chunk);
    free(a);
    t->work = NULL;
}

/* --- 3. to and from the backend ------------------------------------------------------------- */

static enum sae_status load_masks(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    for (size_t i = 0; i < t->ring_len; i++) {
        const struct sae_csr *const from = &t->ring[i].csr;
        struct masks *const to = &a->ring[i];
        to->valid = t->ring[i].valid;
        if (!from->start || !to->valid)
            continue;
        const size_t nnz = from->start[from->n];
        SAE_TRY(masks_grow(&to->csr, a->ops, t->n, nnz, err));
        to->csr.n = from->n;
        a->ops->put(to->csr.start, from->start, (from->n + 1) * sizeof *from->start);
        a->ops->put(to->csr.idx, from->idx, nnz * sizeof *from->idx);
        SAE_TRY(masks_index(to, a->ops, t->m, err));
    }
    return SAE_OK;
}

enum sae_status state_load(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    if (a->loaded)
        return SAE_OK;
    a->ops->put(a->number + CUT, &t->cut, sizeof t->cut);
    if (!a->ops->host) {
        const size_t bytes = t->w.n * sizeof(float);
        a->ops->put(a->w.all, t->w.all, bytes);
        a->ops->put(a->m1.all, t->m1.all, bytes);
        a->ops->put(a->m2.all, t->m2.all, bytes);
        if (a->start)
            a->ops->put(a->start, t->start, t->m * t->d * sizeof *t->start);
        a->ops->put(a->idle, t->idle, t->m * sizeof *t->idle);
        SAE_TRY(load_masks(t, err));
    }
    a->loaded = true;
    return SAE_OK;
}

static enum sae_status get_csr(struct trainer *t, const struct sae_csr *from, struct sae_csr *to,
                               struct sae_err *err)
{
    const struct sae_ops *const ops = t->work->ops;
    size_t nnz = 0;
    ops->get(&nnz, from->start + from->n, sizeof nnz);
    SAE_TRY(ops->check(err)); /* or the number means nothing */
    SAE_TRY(masks_grow(to, t->ops, t->n, nnz, err));
    to->n = from->n;
    ops->get(to->start, from->start, (from->n + 1) * sizeof *to->start);
    ops->get(to->idx, from->idx, nnz * sizeof *to->idx);
    ops->get(to->val, from->val, nnz * sizeof *to->val);
    return SAE_OK;
}

enum sae_status state_view(struct trainer *t, const struct sae_csr *from, struct sae_csr *copy,
                           const struct sae_csr **ret, struct sae_err *err)
{
    *ret = t->work->ops->host ? from : copy;
    return t->work->ops->host ? SAE_OK : get_csr(t, from, copy, err);
}

static enum sae_status fetch_masks(struct trainer *t, struct sae_err *err)
{
    struct work *const a = t->work;
    for (size_t i = 0; i < t->ring_len; i++) {
        t->ring[i].valid = a->ring[i].valid;
        if (!a->ring[i].valid)
            continue;
        SAE_TRY(get_csr(t, &a->ring[i].csr, &t->ring[i].csr, err));
        SAE_TRY(masks_index(&t->ring[i], t->ops, t->m, err));
    }
    return SAE_OK;
}

enum sae_status state_fetch(struct trainer *t, bool all, struct sae_err *err)
{
    struct work *const a = t->work;
    const struct sae_ops *const ops = a->ops;
    if (!a->loaded)
        return SAE_OK;
    if (!ops->host) {
        ops->get(t->w.W_dec, a->w.W_dec, t->m * t->d * sizeof(float));
        SAE_TRY(fetch_masks(t, err));
    }
    if (all) {
        SAE_TRY(numbers_collect_stats(t, err)); /* what later steps depend on, up to this one */
        ops->get(&t->cut, a->number + CUT, sizeof t->cut);
    }
    if (all && !ops->host) {
        ops->get(t->w.all, a->w.all, t->w.n * sizeof(float));
        ops->get(t->m1.all, a->m1.all, t->w.n * sizeof(float));
        ops->get(t->m2.all, a->m2.all, t->w.n * sizeof(float));
        ops->get(t->idle, a->idle, t->m * sizeof *t->idle);
    }
    return ops->check(err);
}

enum sae_status trainer_fetch(struct trainer *t, bool all, struct sae_err *err)
{
    return state_fetch(t, all, err);
}

const float *trainer_batch(struct trainer *t, const float *x, size_t rows)
{
    struct work *const a = t->work;
    if (a->ops->host)
        return x;
    a->ops->put(a->own_x, x, rows * t->d * sizeof *x);
    return a->own_x;
}
