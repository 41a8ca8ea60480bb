/* SPDX-License-Identifier: MIT */
/* ops : choosing a backend, and the sparse containers over any backend's memory. */
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/ops.h"

enum sae_status sae_ops_open(const struct sae_ops **ret, const char *name, size_t n_threads,
                             struct sae_err *err)
{
    if (strcmp(name, "cuda") == 0)
        return sae_err_set(err, SAE_EBACKEND,
                           "backend 'cuda' is not part of this build; use --backend cpu");
    if (strcmp(name, "ref") == 0)
        *ret = &sae_ops_ref;
    else if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0)
        *ret = &sae_ops_cpu;
    else
        return sae_err_set(err, SAE_EARG, "unknown backend '%s'; expected auto, cpu, cuda or ref",
                           name);
    sae_ops_threads(n_threads);
    return SAE_OK;
}

enum sae_status sae_csr_alloc(struct sae_csr *ret, const struct sae_ops *ops, size_t n, size_t cap,
                              struct sae_err *err)
{
    struct sae_csr csr = {.n = n, .cap = cap};
    enum sae_status st;
    SAE_GO(st, ops->alloc(&csr.start, n + 1, sizeof *csr.start, err));
    SAE_GO(st, ops->alloc(&csr.idx, cap, sizeof *csr.idx, err));
    SAE_GO(st, ops->alloc(&csr.val, cap, sizeof *csr.val, err));
    *ret = csr;
done:
    if (st != SAE_OK)
        sae_csr_free(&csr, ops);
    return st;
}

void sae_csr_free(struct sae_csr *csr, const struct sae_ops *ops)
{
    if (!csr)
        return;
    ops->free(csr->start);
    ops->free(csr->idx);
    ops->free(csr->val);
    *csr = (struct sae_csr){0};
}

enum sae_status sae_csc_alloc(struct sae_csc *ret, const struct sae_ops *ops, size_t m, size_t cap,
                              struct sae_err *err)
{
    struct sae_csc csc = {.m = m, .cap = cap};
    enum sae_status st;
    SAE_GO(st, ops->alloc(&csc.start, m + 1, sizeof *csc.start, err));
    SAE_GO(st, ops->alloc(&csc.row, cap, sizeof *csc.row, err));
    SAE_GO(st, ops->alloc(&csc.pos, cap, sizeof *csc.pos, err));
    *ret = csc;
done:
    if (st != SAE_OK)
        sae_csc_free(&csc, ops);
    return st;
}

void sae_csc_free(struct sae_csc *csc, const struct sae_ops *ops)
{
    if (!csc)
        return;
    ops->free(csc->start);
    ops->free(csc->row);
    ops->free(csc->pos);
    *csc = (struct sae_csc){0};
}

void sae_pairs_free(struct sae_pairs *pairs, const struct sae_ops *ops)
{
    if (!pairs)
        return;
    ops->free(pairs->start);
    ops->free(pairs->idx);
    ops->free(pairs->c);
    *pairs = (struct sae_pairs){0};
}
