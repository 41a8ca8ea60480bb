/* SPDX-License-Identifier: MIT */
/* fixture : inputs of the operations, and comparisons. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkops.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"

const char *const fill_names[N_FILLS] = {"normal", "zeros", "huge",   "denormal",
                                         "ties",   "nan",   "one-hot"};

void *grab(size_t n, size_t size)
{
    void *p = NULL;
    assert_int_equal(sae_mem_alloc(&p, n, size, NULL), SAE_OK);
    return p;
}

void *take(const struct sae_ops *ops, size_t n, size_t size)
{
    void *p = NULL;
    struct sae_err err = {0};
    if (ops->alloc(&p, n, size, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    return p;
}

void *fetch(const struct sae_ops *ops, const void *from, size_t bytes)
{
    void *const host = grab(bytes, 1);
    ops->get(host, from, bytes);
    return host;
}

void copy(const struct sae_ops *ops, void *to, const void *from, size_t bytes)
{
    void *const host = fetch(ops, from, bytes);
    ops->put(to, host, bytes);
    free(host);
}

void fill_with(const struct sae_ops *ops, float *to, size_t n, float value)
{
    float *const host = grab(n, sizeof *host);
    for (size_t i = 0; i < n; i++)
        host[i] = value;
    ops->put(to, host, n * sizeof *host);
    free(host);
}

void settle(const struct sae_ops *ops)
{
    struct sae_err err = {0};
    if (ops->check(&err) != SAE_OK)
        fail_msg("%s", err.msg);
}

/* Nearly normal, from one number of the generator: the sum of four uniform ones. */
static float draw_normal(struct sae_rng *rng)
{
    const uint64_t u = sae_rng_u64(rng);
    const double sum = (double)((u & 0xFFFF) + (u >> 16 & 0xFFFF) + (u >> 32 & 0xFFFF) + (u >> 48));
    return (float)((sum / 65536 - 2) * sqrt(3));
}

static float draw(enum fill fill, struct sae_rng *rng, size_t i, size_t row)
{
    const float z = draw_normal(rng);
    switch (fill) {
    case FILL_ZEROS:
        return 0;
    case FILL_HUGE: /* products and sums of squares stay finite */
        return z * 1e15f;
    case FILL_DENORMAL:
        return z * 1e-40f;
    case FILL_TIES: /* few values, sums of products exact */
        return roundf(z);
    case FILL_NAN:
        return sae_rng_below(rng, 61) == 0 ? NAN : z;
    case FILL_ONEHOT:
        return i % row == (i / row * 7 + 3) % row ? 1 : 0;
    case FILL_NORMAL:
    default:
        return z;
    }
}

static float *draw_array(enum fill fill, uint64_t stream, size_t rows, size_t cols)
{
    struct sae_rng rng = sae_rng_make(42, SAE_RNG_TEST + stream);
    float *const a = grab(rows * cols, sizeof *a);
    for (size_t i = 0; i < rows * cols; i++)
        a[i] = draw(fill, &rng, i, cols);
    return a;
}

float *fix_coefficients(const struct fix *f, const struct sae_compete_rule *rule, size_t n_batches,
                        const double *batch_weight)
{
    const size_t m = f->s.m, n = f->s.n;
    const size_t *const start = f->csr.start;
    float *const c = grab(m * m, sizeof *c);
    double w = 0;
    for (size_t b = 0; b < n_batches; b++)
        w += batch_weight[b];
    for (size_t t = 0; t < n; t++)
        for (size_t e = start[t]; e < start[t + 1]; e++)
            for (size_t g = start[t]; g < start[t + 1]; g++)
                c[f->csr.idx[e] * m + f->csr.idx[g]]++;
    double *const single = grab(m, sizeof *single);
    for (size_t i = 0; i < m; i++)
        single[i] = w * (double)c[i * m + i];
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++) {
            const double n_i = single[i], n_j = single[j], n_ij = w * (double)c[i * m + j];
            const bool counts = i != j && n_ij > 0 && n_i >= rule->min_count &&
                                n_j >= rule->min_count;
            const double nhat =
                sae_overlap_value(rule->overlap, w * (double)n, n_i, n_j, n_ij);
            c[i * m + j] = counts ? (float)sae_compete_value(rule->form, rule->sharpness, nhat,
                                                             rule->tau)
                                  : 0;
        }
    free(single);
    return c;
}

void fix_make(struct fix *f, const struct shape *s, enum fill fill)
{
    const struct sae_ops *const ref = &sae_ops_ref;
    *f = (struct fix){.s = *s, .fill = fill};
    f->x = draw_array(fill, 1, s->n, s->d);
    f->g = draw_array(fill, 2, s->n, s->d);
    f->W = draw_array(fill, 3, s->m, s->d);
    f->G = draw_array(fill, 4, s->m, s->d);
    f->M = draw_array(fill, 5, s->m, s->d);
    f->V = draw_array(fill, 6, s->m, s->d);
    for (size_t i = 0; i < s->m * s->d; i++)
        f->V[i] = fabsf(f->V[i]);
    f->pre = draw_array(fill, 7, s->n, s->m);
    f->b_enc = draw_array(fill, 8, 1, s->m);
    f->b_dec = draw_array(fill, 9, 1, s->d);
    f->theta = draw_array(fill, 10, 1, s->m);
    assert_int_equal(sae_csr_alloc(&f->csr, &sae_ops_ref, s->n, s->n * s->k, NULL), SAE_OK);
    assert_int_equal(sae_csc_alloc(&f->csc, &sae_ops_ref, s->m, s->n * s->k, NULL), SAE_OK);
    ref->topk(s->n, s->m, s->k, f->pre, f->b_enc, &f->csr);
    ref->transpose(s->m, &f->csr, &f->csc);
    f->nnz = f->csr.start[s->n];
    f->dz = draw_array(fill, 11, 1, f->nnz + 1);
}

/* Arrays of a fixture: bytes of each, in the order of fix_arrays. */
enum { FIX_ARRAYS = 17 };

static void fix_arrays(struct fix *f, void **arrays[FIX_ARRAYS], size_t bytes[FIX_ARRAYS])
{
    const size_t n = f->s.n, m = f->s.m, d = f->s.d;
    const struct {
        void *at;
        size_t bytes;
    } all[FIX_ARRAYS] = {
        {&f->x, n * d * sizeof(float)},
        {&f->g, n * d * sizeof(float)},
        {&f->W, m * d * sizeof(float)},
        {&f->G, m * d * sizeof(float)},
        {&f->M, m * d * sizeof(float)},
        {&f->V, m * d * sizeof(float)},
        {&f->pre, n * m * sizeof(float)},
        {&f->b_enc, m * sizeof(float)},
        {&f->b_dec, d * sizeof(float)},
        {&f->theta, m * sizeof(float)},
        {&f->dz, (f->nnz + 1) * sizeof(float)},
        {&f->csr.start, (n + 1) * sizeof(size_t)},
        {&f->csr.idx, f->csr.cap * sizeof(uint32_t)},
        {&f->csr.val, f->csr.cap * sizeof(float)},
        {&f->csc.start, (m + 1) * sizeof(size_t)},
        {&f->csc.row, f->csc.cap * sizeof(uint32_t)},
        {&f->csc.pos, f->csc.cap * sizeof(uint32_t)},
    };
    for (size_t i = 0; i < FIX_ARRAYS; i++) {
        arrays[i] = all[i].at;
        bytes[i] = all[i].bytes;
    }
}

void fix_place(struct fix *to, const struct fix *f, const struct sae_ops *ops)
{
    void **arrays[FIX_ARRAYS];
    size_t bytes[FIX_ARRAYS];
    *to = *f;
    fix_arrays(to, arrays, bytes);
    for (size_t i = 0; i < FIX_ARRAYS; i++) {
        void *host, *const there = take(ops, bytes[i], 1);
        memcpy(&host, arrays[i], sizeof host);
        ops->put(there, host, bytes[i]);
        memcpy(arrays[i], &there, sizeof there);
    }
}

void fix_clear(struct fix *f, const struct sae_ops *ops)
{
    void **arrays[FIX_ARRAYS];
    size_t bytes[FIX_ARRAYS];
    fix_arrays(f, arrays, bytes);
    for (size_t i = 0; i < FIX_ARRAYS; i++) {
        void *p;
        memcpy(&p, arrays[i], sizeof p);
        ops->free(p);
    }
    *f = (struct fix){0};
}

size_t fix_nnz(const struct fix *f)
{
    return f->nnz;
}

void check_near(const char *what, const struct fix *f, size_t n, const float *ref, const float *got,
                const double *bound)
{
    for (size_t i = 0; i < n; i++) {
        const double apart = fabs((double)ref[i] - got[i]);
        if (ref[i] == got[i] || (isnan(ref[i]) && isnan(got[i])))
            continue;
        /* where a NaN enters the bound too, the other side must be NaN as well */
        if (!(apart <= bound[i] + 1e-42))
            fail_msg("%s, n %zu m %zu d %zu k %zu, fill %s: [%zu] is %.9g, expected %.9g within "
                     "%.3g",
                     what, f->s.n, f->s.m, f->s.d, f->s.k, fill_names[f->fill], i, (double)got[i],
                     (double)ref[i], bound[i]);
    }
}

void check_bits(const char *what, const struct fix *f, size_t bytes, const void *ref,
                const void *got)
{
    const unsigned char *const a = ref, *const b = got;
    for (size_t i = 0; i < bytes; i++)
        if (a[i] != b[i])
            fail_msg("%s, n %zu m %zu d %zu k %zu, fill %s: byte %zu of %zu differs", what, f->s.n,
                     f->s.m, f->s.d, f->s.k, fill_names[f->fill], i, bytes);
}

/* Value and bound of one latent. */
static double encoded(size_t d, const float *x, const float *w, float b, double *bound)
{
    double sum = b, terms = fabs((double)b);
    for (size_t i = 0; i < d; i++) {
        sum += (double)x[i] * w[i];
        terms += fabs((double)x[i] * w[i]);
    }
    *bound = (double)(d + 3) * EPS * terms + 1e-42;
    return sum;
}

static void check_encoded_row(const struct fix *f, size_t t, const float *x, const float *W,
                              const float *b, size_t n, const uint32_t *idx, const float *val)
{
    double least = INFINITY, bound;
    unsigned char *const kept = grab(f->s.m, 1);
    for (size_t e = 0; e < n; e++) {
        const size_t j = idx[e];
        if (j >= f->s.m || (e > 0 && idx[e - 1] >= idx[e]))
            fail_msg("encode, m %zu, fill %s: row %zu is not in order", f->s.m,
                     fill_names[f->fill], t);
        const double z = encoded(f->s.d, x, W + j * f->s.d, b[j], &bound);
        if (!(val[e] > 0) || !(val[e] == z || fabs(val[e] - z) <= bound))
            fail_msg("encode, m %zu, fill %s: row %zu latent %zu is %.9g, expected %.9g within %.3g",
                     f->s.m, fill_names[f->fill], t, j, (double)val[e], z, bound);
        kept[j] = 1;
        least = fmin(least, z + bound);
    }
    if (n < f->s.k)
        least = 0;
    for (size_t j = 0; j < f->s.m; j++) {
        const double z = encoded(f->s.d, x, W + j * f->s.d, b[j], &bound);
        if (!kept[j] && z - bound > least)
            fail_msg("encode, m %zu, fill %s: row %zu leaves out latent %zu of %.9g, above %.9g",
                     f->s.m, fill_names[f->fill], t, j, z, least);
    }
    free(kept);
}

void check_encoded(const struct fix *f, const float *x, const float *W, const float *b,
                   const struct sae_csr *csr)
{
    for (size_t t = 0; t < f->s.n; t++) {
        const size_t e = csr->start[t], n = csr->start[t + 1] - e;
        if (n > f->s.k)
            fail_msg("encode: row %zu has %zu of %zu", t, n, f->s.k);
        check_encoded_row(f, t, x + t * f->s.d, W, b, n, csr->idx + e, csr->val + e);
    }
}
