/* SPDX-License-Identifier: MIT */
/* ops : choosing a backend, and the sparse containers over any backend's memory. */
#include <math.h>
#include <stddef.h>
#include <string.h>
#ifdef SAE_HAVE_CUDA
#include <dlfcn.h>
#include <unistd.h>
#endif

#include "lib/base/mem.h"
#include "lib/math/cpu/cpu.h"
#include "lib/math/ops.h"

const char *const sae_precision_names[SAE_PRECISIONS + 1] = {"f32", "tf32", "bf16", NULL};

#define OP(name) {#name, offsetof(struct sae_ops, name)}
static const struct {
    const char *name;
    size_t at;
} table[] = {OP(alloc),         OP(free),           OP(put),           OP(get),
             OP(copy),          OP(free_bytes),     OP(step_bytes),    OP(gemm),
             OP(center),        OP(topk),           OP(batchtopk),     OP(threshold),
             OP(above),         OP(encode_scratch), OP(encode_topk),   OP(transpose),
             OP(decode),        OP(grad_dec),       OP(grad_enc),      OP(col_sum),
             OP(sum_sq),        OP(unit_rows),      OP(adam),          OP(adam_rows),
             OP(cap_rows),
             OP(sq_sum),        OP(loss_sum),       OP(project_sum),   OP(spread_sum),
             OP(relu_sum),      OP(mask_grad),      OP(scatter),       OP(count_active),
             OP(age),           OP(cut_move),       OP(topk_idle),     OP(aux_loss),
             OP(grad_add),      OP(orth_tiles),     OP(orth_masks),    OP(compare_rows),
             OP(widen_rows),    OP(lp_sum),         OP(lp_grad),       OP(gate),
             OP(gate_grad),     OP(jump),           OP(jump_fill),     OP(jump_grad),
             OP(decode_group),  OP(grad_dec_group), OP(prefix_loss),   OP(ortsae),
             OP(readback_open), OP(readback_close), OP(readback_post), OP(readback_wait),
             OP(precision),     OP(check),          OP(cos_hist),      OP(gram),
             OP(eigenvalues),   OP(pair_dots)};
enum { N_OPS = sizeof table / sizeof *table };
_Static_assert(sizeof(struct sae_ops) == offsetof(struct sae_ops, alloc) + N_OPS * sizeof(void *),
               "an operation is not in the list of names");

const char *sae_ops_missing(const struct sae_ops *ops)
{
    for (size_t i = 0; i < N_OPS; i++) {
        void *op;
        memcpy(&op, (const char *)ops + table[i].at, sizeof op);
        if (!op)
            return table[i].name;
    }
    return NULL;
}

bool sae_ops_driver(void)
{
#ifdef SAE_HAVE_CUDA
    return access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dxg", F_OK) == 0;
#else
    return false;
#endif
}

#ifdef SAE_HAVE_CUDA
/* The module is found beside the program in a build folder, in lib/saekit when installed: both are
 * in the program's run path. It stays loaded. */
static enum sae_status open_cuda(const struct sae_ops **ret, struct sae_err *err)
{
    typedef enum sae_status open_fn(const struct sae_ops **ret, struct sae_err *err);
    /* the libraries are large: not loaded where there is nothing for them */
    if (!sae_ops_driver())
        return sae_err_set(err, SAE_EBACKEND, "backend 'cuda': no NVIDIA driver on this machine");
    void *const module = dlopen("saecuda.so", RTLD_NOW | RTLD_LOCAL);
    if (!module)
        return sae_err_set(err, SAE_EBACKEND, "backend 'cuda' cannot be loaded: %s", dlerror());
    void *const symbol = dlsym(module, "sae_cuda_open");
    open_fn *open = NULL;
    memcpy(&open, &symbol, sizeof open);
    if (!open)
        return sae_err_set(err, SAE_EBACKEND, "backend 'cuda' cannot be loaded: %s", dlerror());
    const enum sae_status st = open(ret, err);
    if (st != SAE_OK)
        return sae_err_prefix(err, "backend 'cuda'");
    const char *const missing = sae_ops_missing(*ret);
    if (missing)
        return sae_err_set(err, SAE_EBACKEND, "backend 'cuda' has no operation '%s'", missing);
    return sae_ops_agree(*ret, err);
}
#else
static enum sae_status open_cuda(const struct sae_ops **ret, struct sae_err *err)
{
    (void)ret;
    return sae_err_set(err, SAE_EBACKEND,
                       "backend 'cuda' is not part of this build; use --backend cpu");
}
#endif

enum sae_status sae_ops_open(const struct sae_ops **ret, const char *name, size_t n_threads,
                             struct sae_err *err)
{
    if (strcmp(name, "cuda") == 0)
        return sae_err_set(err, SAE_EBACKEND,
                           "this program computes on the host alone; use --backend cpu");
    if (strcmp(name, "ref") == 0)
        *ret = &sae_ops_ref;
    else if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0)
        *ret = &sae_ops_cpu;
    else
        return sae_err_set(err, SAE_EARG, "unknown backend '%s'; expected auto, cpu, cuda or ref",
                           name);
    SAE_TRY(sae_cpu_ask_space(n_threads, err));
    sae_ops_threads(n_threads);
    return SAE_OK;
}

enum sae_status sae_ops_open_device(const struct sae_ops **ret, const char *name, size_t n_threads,
                                    struct sae_err *fallback_reason, struct sae_err *err)
{
    struct sae_err why = {0};
    const bool is_auto = strcmp(name, "auto") == 0;
    if (fallback_reason)
        *fallback_reason = (struct sae_err){0};
    if (!is_auto && strcmp(name, "cuda") != 0)
        return sae_ops_open(ret, name, n_threads, err);
    SAE_TRY(sae_cpu_ask_space(n_threads, err));
    sae_ops_threads(n_threads);
    const enum sae_status st = open_cuda(ret, is_auto ? &why : err);
    if (st == SAE_OK || !is_auto)
        return st;
#ifdef SAE_HAVE_CUDA
    if (fallback_reason)
        *fallback_reason = why;
#endif
    *ret = &sae_ops_cpu;
    return SAE_OK;
}

bool sae_adam_resolve(const struct sae_adam *h, struct sae_adam *ret)
{
    *ret = *h;
    for (size_t i = 0; h->guard && i < h->n_guard; i++)
        if (!isfinite(h->guard[i]))
            return false;
    if (h->norm_sq)
        ret->scale *= (float)fmin(1, 1 / (sqrt(*h->norm_sq) + 1e-6));
    return true;
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
