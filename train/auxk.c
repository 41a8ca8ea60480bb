/* SPDX-License-Identifier: MIT */
/* auxk : dead latents explain the residual (Gao et al. 2024, arXiv 2406.04093, appendix A.2).
 *
 *   e = x - xhat (constant); z = the k_aux largest of relu(pre + b_enc) among dead latents;
 *   r = W_dec^T z (no bias);  L = mean |e - r|^2 / mean |e - mean e|^2,  k_aux = min(d/2, dead)
 *
 * Dead latents are gathered into a small problem of their own, and their gradients scattered
 * back: they were not active, so no other gradient reaches their rows. */
#include <math.h>
#include <string.h>

#include "lib/base/mem.h"
#include "train/trainer.h"

struct auxk {
    size_t cap;                     /* dead latents the arrays hold */
    size_t rows, cols;              /* n and d they were made for */
    uint32_t *latent;               /* [n_dead] */
    float *pre;                     /* [n][n_dead] */
    float *W_dec, *gW_dec, *gW_enc; /* [n_dead][d] */
    float *b_enc, *gb_enc;          /* [n_dead] */
    float *zero;                    /* [d] */
    float *r;                       /* [n][d], then dL/dr */
    float *dz;
    struct sae_csr csr;
    struct sae_csc csc;
};

enum sae_status auxk_open(struct auxk **ret, struct sae_err *err)
{
    return sae_mem_alloc(ret, 1, sizeof **ret, err);
}

static void release(struct auxk *a, const struct sae_ops *ops)
{
    float *const arrays[] = {a->pre,    a->W_dec, a->gW_dec, a->gW_enc, a->b_enc,
                             a->gb_enc, a->zero,  a->r,      a->dz};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i])
            ops->free(arrays[i]);
    free(a->latent);
    sae_csr_free(&a->csr, ops);
    sae_csc_free(&a->csc, ops);
    *a = (struct auxk){0};
}

void auxk_close(struct auxk *auxk, const struct sae_ops *ops)
{
    if (!auxk)
        return;
    release(auxk, ops);
    free(auxk);
}

static enum sae_status reserve(struct trainer *t, size_t n_dead, struct sae_err *err)
{
    struct auxk *const a = t->auxk;
    if (n_dead <= a->cap)
        return SAE_OK;
    const struct sae_ops *const ops = t->ops;
    release(a, ops);
    size_t cap = n_dead + n_dead / 2;
    if (cap > t->m)
        cap = t->m;
    const size_t n = t->n, d = t->d, nnz = n * (d / 2 < cap ? d / 2 : cap);
    SAE_TRY(sae_mem_alloc(&a->latent, cap, sizeof *a->latent, err));
    SAE_TRY(ops->alloc(&a->pre, n * cap, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->W_dec, cap * d, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->gW_dec, cap * d, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->gW_enc, cap * d, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->b_enc, cap, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->gb_enc, cap, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->zero, d, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->r, n * d, sizeof(float), err));
    SAE_TRY(ops->alloc(&a->dz, nnz, sizeof(float), err));
    SAE_TRY(sae_csr_alloc(&a->csr, ops, n, nnz, err));
    SAE_TRY(sae_csc_alloc(&a->csc, ops, cap, nnz, err));
    a->cap = cap;
    return SAE_OK;
}

/* The problem of the dead latents. Where no pre-activations were kept, theirs are formed anew. */
static void gather(struct trainer *t, size_t n_dead)
{
    struct auxk *const a = t->auxk;
    size_t c = 0;
    for (size_t j = 0; j < t->m; j++) {
        if (t->idle[j] < t->set.dead_after)
            continue;
        a->latent[c] = (uint32_t)j;
        a->b_enc[c] = t->w.b_enc[j];
        memcpy(a->W_dec + c * t->d, t->w.W_dec + j * t->d, t->d * sizeof(float));
        c++;
    }
    if (t->pre) {
        for (size_t r = 0; r < t->n; r++)
            for (size_t i = 0; i < n_dead; i++)
                a->pre[r * n_dead + i] = t->pre[r * t->m + a->latent[i]];
        return;
    }
    float *const W_enc = a->gW_enc; /* free until the backward pass */
    for (size_t i = 0; i < n_dead; i++)
        memcpy(W_enc + i * t->d, t->w.W_enc + a->latent[i] * t->d, t->d * sizeof(float));
    t->ops->gemm(false, true, t->n, n_dead, t->d, 1, t->xc, t->d, W_enc, t->d, 0, a->pre, n_dead);
}

static void scatter(struct trainer *t, size_t n_dead)
{
    struct auxk *const a = t->auxk;
    for (size_t i = 0; i < n_dead; i++) {
        const size_t j = a->latent[i];
        t->g.b_enc[j] += a->gb_enc[i];
        for (size_t c = 0; c < t->d; c++) {
            t->g.W_dec[j * t->d + c] += a->gW_dec[i * t->d + c];
            t->g.W_enc[j * t->d + c] += a->gW_enc[i * t->d + c];
        }
    }
}

enum sae_status auxk_step(struct trainer *t, const float *x, double *ret, struct sae_err *err)
{
    const struct sae_ops *const ops = t->ops;
    struct auxk *const a = t->auxk;
    size_t n_dead = 0;
    for (size_t j = 0; j < t->m; j++)
        n_dead += t->idle[j] >= t->set.dead_after;
    const size_t k = n_dead < t->d / 2 ? n_dead : t->d / 2;
    *ret = 0;
    if (k == 0)
        return SAE_OK;
    SAE_TRY(reserve(t, n_dead, err));
    gather(t, n_dead);
    a->csr.n = t->n;
    a->csc.m = n_dead;
    ops->topk(t->n, n_dead, k, a->pre, a->b_enc, &a->csr);
    ops->transpose(n_dead, &a->csr, &a->csc);
    ops->decode(t->d, &a->csr, a->W_dec, a->zero, a->r);
    const double denominator = trainer_spread(t->n, t->d, x, t->xhat, t->mean) / (double)t->n;
    if (!(denominator > 0))
        return SAE_OK;
    double sum = 0;
    const float scale = (float)(2 * t->set.auxk_alpha / ((double)t->n * denominator));
    for (size_t i = 0; i < t->n * t->d; i++) {
        const float miss = a->r[i] - (x[i] - t->xhat[i]);
        sum += (double)miss * (double)miss;
        a->r[i] = scale * miss;
    }
    ops->grad_dec(n_dead, t->d, &a->csr, &a->csc, a->r, a->W_dec, a->dz, a->gW_dec);
    ops->grad_enc(n_dead, t->d, &a->csr, &a->csc, a->dz, t->xc, a->gW_enc, a->gb_enc);
    scatter(t, n_dead);
    *ret = sum / (double)t->n / denominator;
    return SAE_OK;
}
