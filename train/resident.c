/* SPDX-License-Identifier: MIT */
/* resident : the step on a device. Equations: step.c, auxk.c, orth.c, whose order this keeps.
 *
 * Contents: 1. arrays   2. to and from the device   3. forward   4. backward   5. orthogonality
 *           6. numbers   7. the step */
#include "train/resident.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* Numbers of a step on the device. Where one of the first GUARDS is not finite, nothing changes. */
enum {
    RECON,
    AUX,
    ORTH, /* loss, pairs, sum and maximum of |cos| */
    ORTH_PAIRS,
    ORTH_ABS,
    ORTH_MAX,
    DEAD,
    ENTRIES, /* DEAD, ENTRIES: of age */
    L1,
    ACTIVE, /* L1, ACTIVE: of relu_sum */
    SPREAD,
    GRAD_SQ,
    CUT,
    VARIANCE,
    MISS,
    COMPARED, /* 4 */
    NUMBERS = COMPARED + 4,
    GUARDS = ORTH + 1
};

/* Kept entries above one in this many are multiplied densely: tensor cores read memory once, sparse
 * products gather rows through the cache. */
enum { DENSE_SHARE = 100 };

static const double MEETINGS_MAX = 5e8; /* as orth.c: pairs that are only looked at */

struct resident {
    const struct sae_ops *ops;
    size_t ring_len;
    bool loaded; /* the device has what the host's arrays held */
    bool dense;
    struct params w, g, m1, m2;
    float *x, *xc, *xhat, *grad, *r; /* [n][d] */
    float *pre, *f, *dzf;            /* [n][m]; f, dzf where products are dense */
    float *along, *theta;            /* [m] */
    float *orth_grad;                /* [m][d] once measured */
    uint64_t *idle;
    double *number;
    struct masks *ring;
    struct sae_csr none; /* no entries: decode of it is b_dec */
    struct masks aux;
    float *dz, *aux_dz;
    size_t dz_cap;
    const struct sae_csr **csr_list;
    const struct sae_csc **csc_list;
    struct {
        struct sae_late *late;
        struct step_stats stats; /* as scheduled */
        bool posted;
    } slot[2];
    struct step_stats last; /* the latest that are known */
};

/* --- 1. arrays ------------------------------------------------------------------------------ */

enum sae_status resident_takes(const struct settings *set, struct sae_err *err)
{
    if ((set->arch != TRAIN_TOPK && set->arch != TRAIN_BATCHTOPK && !settings_is_standard(set)) ||
        (set->orth != ORTH_NONE && !settings_competes(set)))
        return sae_err_set(err, SAE_EARG,
                           "--backend cuda trains topk, batchtopk, standard and standard-2024, with "
                           "--orth none, static or progressive; --arch %s --orth %s needs "
                           "--backend cpu",
                           train_arch_names[set->arch], train_orth_names[set->orth]);
    if (settings_has_lp(set) || set->resample_every)
        return sae_err_set(err, SAE_EARG,
                           "--backend cuda has no %s; use --backend cpu",
                           set->resample_every ? "--resample-every" : "annealed --sparsity");
    return SAE_OK;
}

static enum sae_status open_params(struct params *p, const struct trainer *t,
                                   const struct sae_ops *ops, struct sae_err *err)
{
    p->n = t->w.n;
    SAE_TRY(ops->alloc(&p->all, p->n, sizeof *p->all, err));
    p->W_enc = p->all;
    p->W_dec = p->W_enc + t->m * t->d;
    p->b_enc = p->W_dec + t->m * t->d;
    p->b_dec = p->b_enc + t->m;
    return SAE_OK;
}

static enum sae_status open_masks(struct masks *masks, const struct trainer *t, size_t cap,
                                  const struct sae_ops *ops, struct sae_err *err)
{
    SAE_TRY(sae_csr_alloc(&masks->csr, ops, t->n, cap, err));
    return sae_csc_alloc(&masks->csc, ops, t->m, cap, err);
}

static enum sae_status open_all(struct resident *a, const struct trainer *t, struct sae_err *err)
{
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m, d = t->d;
    const bool has_k = settings_has_k(&t->set);
    struct params *const params[] = {&a->w, &a->g, &a->m1, &a->m2};
    for (size_t i = 0; i < sizeof params / sizeof *params; i++)
        SAE_TRY(open_params(params[i], t, ops, err));
    float **const by_token[] = {&a->x, &a->xc, &a->xhat, &a->grad, &a->r};
    for (size_t i = 0; i < sizeof by_token / sizeof *by_token; i++)
        SAE_TRY(ops->alloc(by_token[i], n * d, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->pre, n * m, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->along, m, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->theta, m, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->idle, m, sizeof *a->idle, err));
    SAE_TRY(ops->alloc(&a->number, NUMBERS, sizeof *a->number, err));
    SAE_TRY(ops->alloc(&a->none.start, n + 1, sizeof *a->none.start, err));
    a->none.n = n;
    SAE_TRY(sae_mem_alloc(&a->ring, t->ring_len, sizeof *a->ring, err));
    SAE_TRY(sae_mem_alloc(&a->csr_list, t->ring_len, sizeof *a->csr_list, err));
    SAE_TRY(sae_mem_alloc(&a->csc_list, t->ring_len, sizeof *a->csc_list, err));
    for (size_t i = 0; i < t->ring_len; i++)
        SAE_TRY(open_masks(&a->ring[i], t, n * (has_k ? t->k_max : 16), ops, err));
    if (has_k && t->set.auxk_alpha > 0) {
        const size_t cap = n * (d / 2 < m ? d / 2 : m);
        SAE_TRY(open_masks(&a->aux, t, cap, ops, err));
        SAE_TRY(ops->alloc(&a->aux_dz, cap, sizeof(float), err));
    }
    for (size_t i = 0; i < 2; i++)
        SAE_TRY(ops->late_open(&a->slot[i].late, NUMBERS * sizeof(double), err));
    return SAE_OK;
}

enum sae_status resident_open(struct resident **ret, const struct trainer *t,
                              const struct sae_ops *device, struct sae_err *err)
{
    struct resident *a = NULL;
    SAE_TRY(resident_takes(&t->set, err));
    SAE_TRY(sae_mem_alloc(&a, 1, sizeof *a, err));
    a->ops = device;
    a->ring_len = t->ring_len;
    a->dense = !settings_has_k(&t->set) || t->k_max * DENSE_SHARE > t->m;
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

void resident_dense(struct resident *a, bool dense)
{
    a->dense = dense;
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
    float *const arrays[] = {a->w.all, a->g.all, a->m1.all, a->m2.all, a->x,  a->xc,
                             a->xhat,  a->grad,  a->r,      a->pre,    a->f,  a->dzf,
                             a->along, a->theta, a->dz,     a->aux_dz, a->orth_grad};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        ops->free(arrays[i]);
    ops->free(a->idle);
    ops->free(a->number);
    ops->free(a->none.start);
    for (size_t i = 0; a->ring && i < a->ring_len; i++)
        close_masks(&a->ring[i], ops);
    close_masks(&a->aux, ops);
    for (size_t i = 0; i < 2; i++)
        ops->late_close(a->slot[i].late);
    free(a->ring);
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

static enum sae_status load(struct trainer *t, struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    if (a->loaded)
        return SAE_OK;
    double number[NUMBERS] = {0};
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

/* Entries of a matrix on the device, into one of the host. */
static enum sae_status get_csr(struct trainer *t, const struct sae_csr *from, struct sae_csr *to,
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
        SAE_TRY(get_csr(t, &a->ring[i].csr, &t->ring[i].csr, err));
        SAE_TRY(trainer_masks_index(t, &t->ring[i], err));
    }
    if (all) {
        double number[NUMBERS];
        ops->get(t->w.all, a->w.all, t->w.n * sizeof(float));
        ops->get(t->m1.all, a->m1.all, t->w.n * sizeof(float));
        ops->get(t->m2.all, a->m2.all, t->w.n * sizeof(float));
        ops->get(t->idle, a->idle, t->m * sizeof *t->idle);
        ops->get(number, a->number, sizeof number);
        t->cut = number[CUT];
    }
    return ops->check(err);
}

/* --- 3. forward ----------------------------------------------------------------------------- */

static void pre_activations(struct trainer *t, size_t rows)
{
    struct resident *const a = t->resident;
    a->ops->center(rows, t->d, a->x, a->w.b_dec, a->xc);
    a->ops->gemm(false, true, rows, t->m, t->d, 1, a->xc, t->d, a->w.W_enc, t->d, 0, a->pre, t->m);
}

/* All activations, whatever their number: waits for the device to know it. */
static enum sae_status active_all(struct trainer *t, size_t rows, const float *theta,
                                  struct sae_csr *csr, struct sae_csc *csc, struct sae_err *err)
{
    struct resident *const a = t->resident;
    size_t nnz = 0;
    a->ops->threshold(rows, t->m, a->pre, a->w.b_enc, theta, csr, &nnz);
    if (nnz <= csr->cap)
        return SAE_OK;
    SAE_TRY(a->ops->check(err));
    SAE_TRY(room(a, csr, csc, t->m, t->n, nnz, err));
    a->ops->threshold(rows, t->m, a->pre, a->w.b_enc, theta, csr, &nnz);
    return SAE_OK;
}

enum sae_status resident_forward(struct trainer *t, const float *x, size_t rows, uint64_t k,
                                 struct sae_csr *csr, struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    struct sae_csr mine = {0};
    enum sae_status st;
    SAE_GO(st, load(t, err));
    SAE_GO(st, sae_csr_alloc(&mine, ops, t->n, rows * (k ? (size_t)k : 16), err));
    mine.n = rows;
    ops->put(a->x, x, rows * t->d * sizeof *x);
    pre_activations(t, rows);
    if (t->set.arch == TRAIN_TOPK) {
        ops->topk(rows, t->m, (size_t)k, a->pre, a->w.b_enc, &mine);
    } else {
        const bool has_cut = settings_has_cut(&t->set);
        if (has_cut) {
            double cut = 0;
            ops->get(&cut, a->number + CUT, sizeof cut);
            for (size_t j = 0; j < t->m; j++)
                t->theta[j] = (float)cut;
            ops->put(a->theta, t->theta, t->m * sizeof *t->theta);
        }
        SAE_GO(st, active_all(t, rows, has_cut ? a->theta : NULL, &mine, NULL, err));
        mine.n = rows;
    }
    ops->decode(t->d, &mine, a->w.W_dec, a->w.b_dec, a->xhat);
    ops->get(t->xhat, a->xhat, rows * t->d * sizeof *t->xhat);
    SAE_GO(st, get_csr(t, &mine, csr, err));
done:
    sae_csr_free(&mine, ops);
    return st;
}

static enum sae_status dense_room(struct trainer *t, struct sae_err *err)
{
    struct resident *const a = t->resident;
    if (!a->dense || a->dzf)
        return SAE_OK;
    if (settings_has_k(&t->set))
        SAE_TRY(a->ops->alloc(&a->f, t->n * t->m, sizeof(float), err));
    return a->ops->alloc(&a->dzf, t->n * t->m, sizeof(float), err);
}

/* Dense activations: a copy beside pre, which AuxK reads, or pre itself. */
static float *dense_of(const struct resident *a)
{
    return a->f ? a->f : a->pre;
}

static enum sae_status forward(struct trainer *t, struct masks *masks, struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m, d = t->d;
    const bool has_k = settings_has_k(&t->set);
    pre_activations(t, n);
    masks->valid = has_k || settings_competes(&t->set);
    if (t->set.arch == TRAIN_TOPK)
        ops->topk(n, m, (size_t)trainer_k(t), a->pre, a->w.b_enc, &masks->csr);
    else if (has_k)
        ops->batchtopk(n, m, (size_t)trainer_k(t), a->pre, a->w.b_enc, &masks->csr);
    else if (masks->valid)
        SAE_TRY(active_all(t, n, NULL, &masks->csr, &masks->csc, err));
    if (masks->valid)
        ops->transpose(m, &masks->csr, &masks->csc);
    if (!has_k)
        ops->relu_sum(n, m, a->w.b_enc, a->pre, a->number + L1);
    if (!a->dense) {
        ops->decode(d, &masks->csr, a->w.W_dec, a->w.b_dec, a->xhat);
        return SAE_OK;
    }
    if (has_k)
        ops->scatter(m, &masks->csr, a->f);
    ops->decode(d, &a->none, a->w.W_dec, a->w.b_dec, a->xhat);
    ops->gemm(false, false, n, d, m, 1, dense_of(a), m, a->w.W_dec, d, 1, a->xhat, d);
    return SAE_OK;
}

/* --- 4. backward ---------------------------------------------------------------------------- */

static enum sae_status backward_sparse(struct trainer *t, const struct masks *masks,
                                       struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    if (masks->csr.cap > a->dz_cap) {
        ops->free(a->dz);
        a->dz = NULL;
        a->dz_cap = 0;
        SAE_TRY(ops->alloc(&a->dz, masks->csr.cap, sizeof *a->dz, err));
        a->dz_cap = masks->csr.cap;
    }
    ops->grad_dec(t->m, t->d, &masks->csr, &masks->csc, a->grad, a->w.W_dec, a->dz, a->g.W_dec);
    ops->grad_enc(t->m, t->d, &masks->csr, &masks->csc, a->dz, a->xc, a->g.W_enc, a->g.b_enc);
    return SAE_OK;
}

static void backward_dense(struct trainer *t, float l1)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m, d = t->d;
    ops->gemm(true, false, m, d, n, 1, dense_of(a), m, a->grad, d, 0, a->g.W_dec, d);
    ops->gemm(false, true, n, m, d, 1, a->grad, d, a->w.W_dec, d, 0, a->dzf, m);
    ops->mask_grad(n * m, dense_of(a), l1, a->dzf);
    ops->gemm(true, false, m, d, n, 1, a->dzf, m, a->xc, d, 0, a->g.W_enc, d);
    ops->col_sum(n, m, a->dzf, a->g.b_enc);
}

/* All dead latents compete; where there is none no entry is found, and nothing is added. */
static void auxk(struct trainer *t)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const size_t n = t->n, m = t->m, d = t->d, k = d / 2 < m ? d / 2 : m;
    ops->topk_idle(n, m, k, a->pre, a->w.b_enc, a->idle, t->set.dead_after, &a->aux.csr);
    ops->transpose(m, &a->aux.csr, &a->aux.csc);
    ops->decode(d, &a->aux.csr, a->w.W_dec, NULL, a->r);
    ops->spread_sum(n, d, a->x, a->xhat, a->number + SPREAD);
    ops->aux_loss(n, d, t->set.auxk_alpha, a->x, a->xhat, a->number + SPREAD, a->number + DEAD,
                  a->r, a->number + AUX);
    ops->grad_add(m, d, &a->aux.csr, &a->aux.csc, a->r, a->xc, a->w.W_dec, a->aux_dz, a->g.W_enc,
                  a->g.W_dec, a->g.b_enc);
}

static enum sae_status backward(struct trainer *t, const struct masks *masks, float l1,
                                struct sae_err *err)
{
    struct resident *const a = t->resident;
    if (a->dense)
        backward_dense(t, l1);
    else
        SAE_TRY(backward_sparse(t, masks, err));
    if (a->aux_dz)
        auxk(t);
    a->ops->col_sum(t->n, t->d, a->grad, a->g.b_dec);
    a->ops->gemm(false, false, 1, t->d, t->m, -1, a->g.b_enc, t->m, a->w.W_enc, t->d, 1, a->g.b_dec,
                 t->d);
    return SAE_OK;
}

/* --- 5. orthogonality ----------------------------------------------------------------------- */

/* As trainer_masks, of the masks on the device. */
static void recent_masks(struct trainer *t, struct sae_overlap_masks *ret)
{
    struct resident *const a = t->resident;
    const double keep = 1 - 1 / (double)t->set.overlap_window;
    double weight = 1;
    size_t n = 0;
    for (size_t age = 0; age < t->ring_len && age <= t->step; age++) {
        const struct masks *const masks = &a->ring[(t->step - age) % t->ring_len];
        if (masks->valid) {
            a->csr_list[n] = &masks->csr;
            a->csc_list[n] = &masks->csc;
            t->weight_list[n++] = weight;
        }
        weight *= keep;
    }
    *ret = (struct sae_overlap_masks){
        .n_batches = n, .csr = a->csr_list, .csc = a->csc_list, .weight = t->weight_list};
}

static enum sae_status orthogonality(struct trainer *t, bool measure, struct step_stats *s,
                                     bool *ret_known, struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const bool active = settings_competes(&t->set);
    const double k = (double)trainer_k(t);
    struct sae_overlap_masks masks;
    struct sae_compete_rule rule;
    *ret_known = false;
    s->orth_weight = active ? s->lambda2 : 0;
    if (!active && (!measure || (double)t->n * k * k > MEETINGS_MAX))
        return SAE_OK;
    recent_masks(t, &masks);
    if (!active && masks.n_batches == 0)
        return SAE_OK;
    trainer_rule(t, s->tau, &rule);
    const bool per_pair = t->set.orth_normalizer == NORMALIZER_MEAN;
    const double weight =
        s->lambda2 * (t->set.orth_normalizer == NORMALIZER_LATENT ? 1 / (double)t->m : 1);
    if (measure && active) { /* apart from the update, so that measuring changes no bit of it */
        if (!a->orth_grad)
            SAE_TRY(ops->alloc(&a->orth_grad, t->m * t->d, sizeof *a->orth_grad, err));
        ops->orth_masks(t->m, t->d, a->w.W_dec, &masks, &rule, weight, per_pair, NULL, a->orth_grad,
                        a->number + ORTH);
        ops->compare_rows(t->m, t->d, a->w.W_dec, a->g.W_dec, a->orth_grad, a->number + COMPARED);
    }
    ops->orth_masks(t->m, t->d, a->w.W_dec, &masks, &rule, weight, per_pair,
                    active ? a->g.W_dec : NULL, NULL, a->number + ORTH);
    *ret_known = true;
    return SAE_OK;
}

/* --- 6. numbers ----------------------------------------------------------------------------- */

static void read_orth(const struct trainer *t, const double *number, bool compared,
                      struct step_stats *s)
{
    const double n = number[ORTH_PAIRS];
    double norm = 1;
    if (t->set.orth_normalizer == NORMALIZER_MEAN)
        norm = n > 0 ? 1 / n : 0;
    else if (t->set.orth_normalizer == NORMALIZER_LATENT)
        norm = 1 / (double)t->m;
    s->orth = number[ORTH] * norm;
    s->n_pairs = n;
    s->mean_abs_cos = n > 0 ? number[ORTH_ABS] / n : 0;
    s->max_abs_cos = number[ORTH_MAX];
    if (!compared)
        return;
    const double *const c = number + COMPARED;
    s->grad_recon = sqrt(c[0]);
    s->grad_orth = sqrt(c[1]);
    s->grad_cos = c[0] > 0 && c[1] > 0 ? c[2] / sqrt(c[0] * c[1]) : NAN;
    s->oversuppressed = c[3] / (double)t->m;
}

/* s: as scheduled. */
static void read_numbers(const struct trainer *t, const double *number, bool measured,
                         bool orth_known, struct step_stats *s)
{
    const double n = (double)t->n, sparse_weight = s->sparse_weight;
    const bool has_k = settings_has_k(&t->set);
    s->recon = number[RECON] / n;
    s->dead = number[DEAD];
    s->l0 = number[has_k ? ENTRIES : ACTIVE] / n;
    s->sparse = has_k ? 0 : number[L1] / n;
    s->aux = number[AUX];
    s->grad_norm = sqrt(number[GRAD_SQ]);
    if (orth_known)
        read_orth(t, number, measured && settings_competes(&t->set), s);
    if (measured)
        s->explained_variance =
            number[VARIANCE] > 0 ? 1 - number[MISS] / number[VARIANCE] : NAN;
    s->loss = s->recon + sparse_weight * s->sparse + t->set.auxk_alpha * s->aux +
              (s->orth_weight > 0 ? s->orth_weight * s->orth : 0);
}

static enum sae_status check_loss(struct trainer *t, uint64_t step, const struct step_stats *s,
                                  struct sae_err *err)
{
    if (isfinite(s->loss))
        return SAE_OK;
    t->step = step;
    const char *const part = !isfinite(s->recon)    ? "the reconstruction part of the loss"
                             : !isfinite(s->sparse) ? "the sparsity part of the loss"
                             : !isfinite(s->aux)    ? "the loss that revives dead latents"
                                                    : "the orthogonality part of the loss";
    return sae_err_set(err, SAE_ERANGE, "%s is not finite at step %" PRIu64, part, step);
}

/* --- 7. the step ---------------------------------------------------------------------------- */

static void update(struct trainer *t, double lr)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const bool clips = settings_has_k(&t->set);
    const size_t md = t->m * t->d, rest = (size_t)(a->w.b_enc - a->w.all), n_rest = t->w.n - rest;
    ops->project_sum(t->m, t->d, a->w.W_dec, clips ? 1e-6F : 0, a->g.W_dec, a->along,
                     a->number + GRAD_SQ);
    ops->sq_sum(md, a->g.W_enc, a->number + GRAD_SQ);
    ops->sq_sum(n_rest, a->g.all + rest, a->number + GRAD_SQ);
    const struct sae_adam adam = {.lr = (float)lr,
                                  .beta1 = 0.9F,
                                  .beta2 = 0.999F,
                                  .eps = 1e-8F,
                                  .step = t->step + 1,
                                  .scale = 1,
                                  .norm_sq = clips ? a->number + GRAD_SQ : NULL,
                                  .guard = a->number,
                                  .n_guard = GUARDS};
    ops->adam(md, &adam, a->w.W_enc, a->g.W_enc, a->m1.W_enc, a->m2.W_enc);
    ops->adam_rows(t->m, t->d, &adam, a->along, clips ? 1.1920929e-7F : 0, a->w.W_dec, a->g.W_dec,
                   a->m1.W_dec, a->m2.W_dec);
    ops->adam(n_rest, &adam, a->w.all + rest, a->g.all + rest, a->m1.all + rest, a->m2.all + rest);
}

/* Only when asked to measure; r is free until AuxK. */
static void measure_variance(struct trainer *t)
{
    struct resident *const a = t->resident;
    a->ops->spread_sum(t->n, t->d, a->x, NULL, a->number + VARIANCE);
    a->ops->loss_sum(false, t->n, t->d, a->x, a->xhat, a->r, a->number + MISS);
}

enum sae_status resident_step(struct trainer *t, const float *x, bool measure,
                              const struct step_stats *scheduled, struct step_stats *ret,
                              struct sae_err *err)
{
    struct resident *const a = t->resident;
    const struct sae_ops *const ops = a->ops;
    const size_t now = t->step % 2, before = 1 - now;
    struct masks *const masks = &a->ring[t->step % t->ring_len];
    struct step_stats s = *scheduled;
    double number[NUMBERS];
    bool orth_known;
    SAE_TRY(load(t, err));
    SAE_TRY(dense_room(t, err));
    if (settings_has_l1(&t->set))
        s.sparse_weight = t->set.l1 * sae_sched_sparsity(t->step, t->set.sparsity_warmup);
    ops->put(a->x, x, t->n * t->d * sizeof *x);
    SAE_TRY(forward(t, masks, err));
    ops->loss_sum(t->set.arch == TRAIN_STANDARD_2024, t->n, t->d, a->x, a->xhat, a->grad,
                  a->number + RECON);
    ops->age(t->n, t->m, settings_has_k(&t->set) ? masks->csc.start : NULL, a->pre,
             t->set.dead_after, a->idle, a->number + DEAD);
    if (measure)
        measure_variance(t);
    SAE_TRY(backward(t, masks, (float)(s.sparse_weight / (double)t->n), err));
    SAE_TRY(orthogonality(t, measure, &s, &orth_known, err));
    update(t, s.lr);
    if (settings_has_cut(&t->set) && t->step > t->set.cut_start)
        ops->cut_move(&masks->csr, t->set.cut_momentum, a->number + CUT);
    t->tau = s.tau;
    t->step++;
    if (measure) {
        ops->get(number, a->number, sizeof number);
        SAE_TRY(ops->check(err));
        a->slot[0].posted = a->slot[1].posted = false;
        read_numbers(t, number, true, orth_known, &s);
        SAE_TRY(check_loss(t, t->step - 1, &s, err));
    } else {
        ops->late_post(a->slot[now].late, a->number);
        a->slot[now].stats = s;
        a->slot[now].posted = true;
        if (a->slot[before].posted) {
            ops->late_wait(a->slot[before].late, number);
            a->slot[before].posted = false;
            a->last = a->slot[before].stats;
            read_numbers(t, number, false, settings_competes(&t->set), &a->last);
            SAE_TRY(check_loss(t, t->step - 2, &a->last, err));
        }
        s = a->last;
    }
    a->last = s;
    if (ret)
        *ret = s;
    return SAE_OK;
}
