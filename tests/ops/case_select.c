/* SPDX-License-Identifier: MIT */
/* case_select : selections and the transpose; equal to ref bit for bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkops.h"

/* outputs: start, idx, val, number needed */
static void sizes_csr(const struct fix *f, size_t bytes[OUTS])
{
    const size_t cap = f->s.n * f->s.k;
    bytes[0] = (f->s.n + 1) * sizeof(size_t);
    bytes[1] = cap * sizeof(uint32_t);
    bytes[2] = cap * sizeof(float);
}

static void sizes_threshold(const struct fix *f, size_t bytes[OUTS])
{
    sizes_csr(f, bytes);
    bytes[1] = f->s.n * f->s.m * sizeof(uint32_t);
    bytes[2] = f->s.n * f->s.m * sizeof(float);
    bytes[3] = sizeof(size_t);
}

static struct sae_csr csr_over(void *const a[OUTS], size_t cap)
{
    return (struct sae_csr){.cap = cap, .start = a[0], .idx = a[1], .val = a[2]};
}

static void run_topk(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    struct sae_csr csr = csr_over(a, f->s.n * f->s.k);
    o->topk(f->s.n, f->s.m, f->s.k, f->pre, f->b_enc, &csr);
}

static void run_batchtopk(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    struct sae_csr csr = csr_over(a, f->s.n * f->s.k);
    o->batchtopk(f->s.n, f->s.m, f->s.k, f->pre, f->b_enc, &csr);
}

static void threshold(const struct sae_ops *o, const struct fix *f, void *const a[OUTS], size_t cap,
                      const float *theta)
{
    struct sae_csr csr = csr_over(a, cap);
    size_t nnz = 0;
    o->threshold(f->s.n, f->s.m, f->pre, f->b_enc, theta, &csr, &nnz);
    o->put(a[3], &nnz, sizeof nnz);
}

static void run_threshold(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    threshold(o, f, a, f->s.n * f->s.m, f->theta);
}

static void run_above(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    struct sae_csr csr = csr_over(a, f->s.n * f->s.m);
    size_t nnz = 0;
    o->above(f->s.n, f->s.m, f->pre, f->b_enc, f->theta, &csr, &nnz);
    o->put(a[3], &nnz, sizeof nnz);
}

static void run_positive(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    threshold(o, f, a, f->s.n * f->s.m, NULL);
}

/* Too small a csr keeps nothing and tells the number. */
static void run_threshold_full(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    threshold(o, f, a, 0, NULL);
}

static void check_csr(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t *const start = ref[0];
    const size_t nnz = start[f->s.n];
    check_bits("start", f, (f->s.n + 1) * sizeof *start, ref[0], got[0]);
    check_bits("idx", f, nnz * sizeof(uint32_t), ref[1], got[1]);
    check_bits("val", f, nnz * sizeof(float), ref[2], got[2]);
}

static void check_counted(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    check_csr(f, ref, got);
    check_bits("ret_nnz", f, sizeof(size_t), ref[3], got[3]);
}

/* outputs: start, row, pos */
static void sizes_csc(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = (f->s.m + 1) * sizeof(size_t);
    bytes[1] = bytes[2] = fix_nnz(f) * sizeof(uint32_t);
}

static void run_transpose(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    struct sae_csc csc = {.cap = fix_nnz(f), .start = a[0], .row = a[1], .pos = a[2]};
    o->transpose(f->s.m, &f->csr, &csc);
}

static void check_csc(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    check_bits("start", f, (f->s.m + 1) * sizeof(size_t), ref[0], got[0]);
    check_bits("row", f, fix_nnz(f) * sizeof(uint32_t), ref[1], got[1]);
    check_bits("pos", f, fix_nnz(f) * sizeof(uint32_t), ref[2], got[2]);
}

/* The k largest of the batch's own products. Its scratch is filled with NaN before. */
static void run_encode(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const struct shape *const s = &f->s;
    struct sae_csr csr = csr_over(a, s->n * s->k);
    const size_t n_scratch = o->encode_scratch(s->n, s->m, s->d, s->k);
    float *const scratch = take(o, n_scratch, sizeof *scratch);
    fill_with(o, scratch, n_scratch, NAN);
    (void)o->encode_topk(s->n, s->m, s->d, s->k, f->x, f->W, f->b_enc, scratch, &csr);
    o->free(scratch);
}

/* Values within the bound of gemm; nothing left out that is surely larger than something kept. Where
 * sums are exact, ref bit for bit. */
static void check_encode(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    if (f->fill == FILL_TIES || f->fill == FILL_ZEROS || f->fill == FILL_ONEHOT)
        check_csr(f, ref, got);
    const struct sae_csr csr = csr_over(got, f->s.n * f->s.k);
    check_encoded(f, f->x, f->W, f->b_enc, &csr);
}

const struct op_case cases_select[] = {
    {"topk",                   sizes_csr,       run_topk,           check_csr,     0   },
    {"batchtopk",              sizes_csr,       run_batchtopk,      check_csr,     0   },
    {"threshold",              sizes_threshold, run_threshold,      check_counted, 0   },
    {"above",                  sizes_threshold, run_above,          check_counted, 0   },
    {"threshold of zero",      sizes_threshold, run_positive,       check_counted, 0   },
    {"threshold without room", sizes_threshold, run_threshold_full, check_counted, 0   },
    {"encode_topk",            sizes_csr,       run_encode,         check_encode,  2000},
    {"transpose",              sizes_csc,       run_transpose,      check_csc,     0   },
    {NULL,                     NULL,            NULL,               NULL,          0   }
};
