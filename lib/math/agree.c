/* SPDX-License-Identifier: MIT */
/* agree : does a device compute what the reference does? Asked once, as it is opened: a small step
 * of a TopK autoencoder on both, so that a driver or a device that goes wrong is met with an error,
 * not with a training run of wrong numbers. tests/ops is the thorough check. */
#include <math.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/math/ops.h"

enum { N = 24, D = 48, M = 160, K = 5 };

/* What is compared, all on the host. */
struct agree_step {
    float pre[N * M], val[N * K], xhat[N * D], dW_enc[M * D], W_dec[M * D];
};

static const struct {
    const char *op;
    size_t at, n;
} parts[] = {{"gemm", offsetof(struct agree_step, pre), N * M},
             {"topk", offsetof(struct agree_step, val), N * K},
             {"decode", offsetof(struct agree_step, xhat), N * D},
             {"grad_enc", offsetof(struct agree_step, dW_enc), M * D},
             {"adam", offsetof(struct agree_step, W_dec), M * D}};
enum { N_PARTS = sizeof parts / sizeof *parts };

/* Arrays in the backend's memory. */
struct agree_work {
    float *x, *W, *b_enc, *b_dec, *pre, *xhat, *dz, *G, *db, *m1, *m2;
    struct sae_csr csr;
    struct sae_csc csc;
};

static enum sae_status open_work(struct agree_work *w, const struct sae_ops *ops,
                                 struct sae_err *err)
{
    float *host = NULL;
    enum sae_status st;
    SAE_GO(st, ops->alloc(&w->x, N * D, sizeof(float), err));
    SAE_GO(st, ops->alloc(&w->W, M * D, sizeof(float), err));
    SAE_GO(st, ops->alloc(&w->b_enc, M, sizeof(float), err));
    SAE_GO(st, ops->alloc(&w->b_dec, D, sizeof(float), err));
    SAE_GO(st, ops->alloc(&w->pre, N * M, sizeof(float), err));
    SAE_GO(st, ops->alloc(&w->xhat, N * D, sizeof(float), err));
    SAE_GO(st, ops->alloc(&w->dz, N * K, sizeof(float), err));
    SAE_GO(st, ops->alloc(&w->G, M * D, sizeof(float), err));
    SAE_GO(st, ops->alloc(&w->db, M, sizeof(float), err));
    SAE_GO(st, ops->alloc(&w->m1, M * D, sizeof(float), err));
    SAE_GO(st, ops->alloc(&w->m2, M * D, sizeof(float), err));
    SAE_GO(st, sae_csr_alloc(&w->csr, ops, N, N * K, err));
    SAE_GO(st, sae_csc_alloc(&w->csc, ops, M, N * K, err));
    SAE_GO(st, sae_mem_alloc(&host, M * D, sizeof *host, err));
    struct sae_rng rng = sae_rng_make(1, SAE_RNG_TEST);
    for (size_t i = 0; i < N * D; i++)
        host[i] = (float)sae_rng_normal(&rng);
    ops->put(w->x, host, N * D * sizeof *host);
    for (size_t i = 0; i < M * D; i++)
        host[i] = (float)sae_rng_normal(&rng);
    ops->put(w->W, host, M * D * sizeof *host);
done:
    free(host);
    return st;
}

static void close_work(struct agree_work *w, const struct sae_ops *ops)
{
    float *const all[] = {w->x,  w->W, w->b_enc, w->b_dec, w->pre, w->xhat,
                          w->dz, w->G, w->db,    w->m1,    w->m2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            ops->free(all[i]);
    sae_csr_free(&w->csr, ops);
    sae_csc_free(&w->csc, ops);
}

static enum sae_status step(struct agree_step *ret, const struct sae_ops *ops, struct sae_err *err)
{
    const struct sae_adam adam = {
        .lr = 0.1F, .beta1 = 0.9F, .beta2 = 0.999F, .eps = 1e-8F, .step = 1, .scale = 1};
    struct agree_work w = {0};
    enum sae_status st;
    SAE_GO(st, open_work(&w, ops, err));
    ops->gemm(false, true, N, M, D, 1, w.x, D, w.W, D, 0, w.pre, M);
    ops->get(ret->pre, w.pre, sizeof ret->pre);
    ops->topk(N, M, K, w.pre, w.b_enc, &w.csr);
    ops->get(ret->val, w.csr.val, sizeof ret->val);
    ops->decode(D, &w.csr, w.W, w.b_dec, w.xhat);
    ops->get(ret->xhat, w.xhat, sizeof ret->xhat);
    ops->transpose(M, &w.csr, &w.csc);
    ops->grad_dec(M, D, &w.csr, &w.csc, w.xhat, w.W, w.dz, w.G);
    ops->grad_enc(M, D, &w.csr, &w.csc, w.dz, w.x, w.G, w.db);
    ops->get(ret->dW_enc, w.G, sizeof ret->dW_enc);
    ops->adam(M * D, &adam, w.W, w.G, w.m1, w.m2);
    ops->get(ret->W_dec, w.W, sizeof ret->W_dec);
    st = ops->check(err);
done:
    close_work(&w, ops);
    return st;
}

enum sae_status sae_ops_agree(const struct sae_ops *ops, struct sae_err *err)
{
    struct agree_step *both = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&both, 2, sizeof *both, err));
    SAE_GO(st, step(&both[0], &sae_ops_ref, err));
    SAE_GO(st, step(&both[1], ops, err));
    for (size_t p = 0; p < N_PARTS; p++) {
        const float *const want = (const float *)(const void *)((const char *)&both[0] + parts[p].at),
                    *const have = (const float *)(const void *)((const char *)&both[1] + parts[p].at);
        float largest = 0;
        for (size_t i = 0; i < parts[p].n; i++)
            largest = fmaxf(largest, fabsf(want[i]));
        for (size_t i = 0; i < parts[p].n; i++)
            if (!(fabsf(have[i] - want[i]) <= 1e-3F * largest)) {
                st = sae_err_set(err, SAE_EBACKEND,
                                 "'%s' computes something else than the reference (%s gives %g "
                                 "instead of %g); use --backend cpu",
                                 ops->name, parts[p].op, (double)have[i], (double)want[i]);
                goto done;
            }
    }
done:
    free(both);
    return st;
}
