/* SPDX-License-Identifier: MIT */
/* matryoshka : nested dictionaries (Bussmann et al. 2025, arXiv 2503.17547), with batchtopk's
 * selection. Latents are ordered groups; every prefix of groups reconstructs by itself.
 *
 *   xhat_g = b_dec + sum over latents of groups 0 ... g      g = 0 ... G-1
 *   L_recon = sum_g c_g mean |x - xhat_g|^2                  c_g = w_g (published: w_g / G), w_g = 1 / G
 *
 * A latent of group g is in xhat_g ... xhat_{G-1}, so all its gradients come from one array,
 * H_g = sum over h >= g of dL/dxhat_h. In a csr row the entries of a group are a run: groups are
 * cut out, decoded and differentiated one after another, and cost together what one dictionary
 * does, but for G arrays [n][d].
 *
 * Contents: 1. memory   2. groups   3. forward and loss   4. backward */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "train/trainer.h"

struct group {
    size_t first, m;      /* latents [first, first + m) */
    double weight;        /* c_g */
    float *slab;          /* [n][d] xhat_g, then H_g */
    size_t *from;         /* [n] where its entries begin in the whole csr */
    struct sae_csr csr;   /* its entries, latents counted from first */
    struct sae_csc csc;
};

struct matry {
    size_t n_groups;
    struct group *groups;
    float *dz; /* [dz_cap] of a group */
    size_t dz_cap;
};

/* --- 1. memory ---------------------------------------------------------------------------- */

static enum sae_status open_group(struct group *g, const struct trainer *t, struct sae_err *err)
{
    SAE_TRY(t->ops->alloc(&g->slab, t->n * t->d, sizeof *g->slab, err));
    SAE_TRY(sae_mem_alloc(&g->from, t->n, sizeof *g->from, err));
    SAE_TRY(sae_csr_alloc(&g->csr, t->ops, t->n, 1, err));
    return sae_csc_alloc(&g->csc, t->ops, g->m, 1, err);
}

double matry_weight(const struct settings *set)
{
    const double prefixes = (double)set->groups.n;
    return 1 / prefixes / (set->prefix_loss == PREFIX_PUBLISHED ? prefixes : 1);
}

/* Every group but the last takes its fraction of m, rounded down; the last takes what is left. */
enum sae_status matry_open(struct matry **ret, const struct trainer *t, struct sae_err *err)
{
    const struct settings *const set = &t->set;
    const size_t n = set->groups.n;
    struct matry *a = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&a, 1, sizeof *a, err));
    SAE_GO(st, sae_mem_alloc(&a->groups, n, sizeof *a->groups, err));
    a->n_groups = n;
    size_t first = 0;
    for (size_t i = 0; i < n; i++) {
        struct group *const g = &a->groups[i];
        g->first = first;
        g->m = settings_group_size(set, i);
        g->weight = matry_weight(set);
        first += g->m;
        SAE_GO(st, open_group(g, t, err));
    }
    *ret = a;
    a = NULL;
done:
    matry_close(a, t->ops);
    return st;
}

void matry_close(struct matry *a, const struct sae_ops *ops)
{
    if (!a)
        return;
    for (size_t i = 0; a->groups && i < a->n_groups; i++) {
        struct group *const g = &a->groups[i];
        if (g->slab)
            ops->free(g->slab);
        free(g->from);
        sae_csr_free(&g->csr, ops);
        sae_csc_free(&g->csc, ops);
    }
    if (a->dz)
        ops->free(a->dz);
    free(a->groups);
    free(a);
}

/* --- 2. groups ---------------------------------------------------------------------------- */

static enum sae_status group_room(struct trainer *t, struct group *g, size_t nnz,
                                  struct sae_err *err)
{
    if (nnz <= g->csr.cap)
        return SAE_OK;
    SAE_TRY(trainer_csr_grow(t, &g->csr, nnz + nnz / 4, err));
    struct sae_csc fresh = {0};
    SAE_TRY(sae_csc_alloc(&fresh, t->ops, g->m, g->csr.cap, err));
    sae_csc_free(&g->csc, t->ops);
    g->csc = fresh;
    return SAE_OK;
}

/* Cuts out the group's entries. seen [n]: entries of earlier groups of each row, moved on. */
static enum sae_status cut_group(struct trainer *t, struct group *g, const struct sae_csr *all,
                                 size_t *seen, struct sae_err *err)
{
    const size_t end = g->first + g->m;
    size_t nnz = 0;
    for (size_t r = 0; r < t->n; r++) {
        g->from[r] = all->start[r] + seen[r];
        size_t e = g->from[r];
        while (e < all->start[r + 1] && all->idx[e] < end)
            e++;
        nnz += e - g->from[r];
        seen[r] = e - all->start[r];
    }
    SAE_TRY(group_room(t, g, nnz, err));
    g->csr.n = t->n;
    nnz = 0;
    for (size_t r = 0; r < t->n; r++) {
        const size_t len = all->start[r] + seen[r] - g->from[r];
        g->csr.start[r] = nnz;
        for (size_t i = 0; i < len; i++)
            g->csr.idx[nnz + i] = (uint32_t)(all->idx[g->from[r] + i] - g->first);
        memcpy(g->csr.val + nnz, all->val + g->from[r], len * sizeof *all->val);
        nnz += len;
    }
    g->csr.start[t->n] = nnz;
    t->ops->transpose(g->m, &g->csr, &g->csc);
    return SAE_OK;
}

/* --- 3. forward and loss ------------------------------------------------------------------ */

enum sae_status matry_forward(struct trainer *t, const struct sae_csr *all, struct sae_err *err)
{
    struct matry *const a = t->matry;
    const size_t n = t->n * t->d;
    size_t *seen = NULL;
    enum sae_status st = SAE_OK;
    SAE_TRY(sae_mem_alloc(&seen, t->n, sizeof *seen, err));
    for (size_t i = 0; i < a->n_groups; i++) {
        struct group *const g = &a->groups[i];
        SAE_GO(st, cut_group(t, g, all, seen, err));
        t->ops->decode(t->d, &g->csr, t->w.W_dec + g->first * t->d, i ? NULL : t->w.b_dec,
                       g->slab);
        if (i > 0)
            for (size_t e = 0; e < n; e++)
                g->slab[e] += a->groups[i - 1].slab[e];
    }
    memcpy(t->xhat, a->groups[a->n_groups - 1].slab, n * sizeof *t->xhat);
done:
    free(seen);
    return st;
}

double matry_loss(struct trainer *t, const float *x)
{
    struct matry *const a = t->matry;
    const size_t n = t->n * t->d;
    double sum = 0;
    for (size_t i = a->n_groups; i-- > 0;) {
        struct group *const g = &a->groups[i];
        const float c = (float)g->weight;
        const float *const later = i + 1 < a->n_groups ? a->groups[i + 1].slab : NULL;
        sum += g->weight * trainer_loss(t, x, g->slab, t->grad);
        for (size_t e = 0; e < n; e++)
            g->slab[e] = c * t->grad[e] + (later ? later[e] : 0);
    }
    memcpy(t->grad, a->groups[0].slab, n * sizeof *t->grad);
    return sum;
}

/* --- 4. backward -------------------------------------------------------------------------- */

enum sae_status matry_grad_dec(struct trainer *t, struct sae_err *err)
{
    struct matry *const a = t->matry;
    for (size_t i = 0; i < a->n_groups; i++) {
        const struct group *const g = &a->groups[i];
        const size_t nnz = g->csr.start[t->n], at = g->first * t->d;
        if (nnz > a->dz_cap) {
            if (a->dz)
                t->ops->free(a->dz);
            a->dz = NULL;
            a->dz_cap = 0;
            SAE_TRY(t->ops->alloc(&a->dz, g->csr.cap, sizeof *a->dz, err));
            a->dz_cap = g->csr.cap;
        }
        t->ops->grad_dec(g->m, t->d, &g->csr, &g->csc, g->slab, t->w.W_dec + at, a->dz,
                         t->g.W_dec + at);
        for (size_t r = 0; r < t->n; r++)
            memcpy(t->dz + g->from[r], a->dz + g->csr.start[r],
                   (g->csr.start[r + 1] - g->csr.start[r]) * sizeof *t->dz);
    }
    return SAE_OK;
}
