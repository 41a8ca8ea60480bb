/* SPDX-License-Identifier: MIT */
/* checklm : every operation of a language model on the emulated device against ref, over shapes and
 * both kinds of factors: within the stated bound, equal bits in a second run with the order of
 * blocks and threads turned round. Arrays lie in guarded memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/bf16.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/math/lm.h"
#include "tests/emu/test_device.h"

#define EPS 0x1p-24      /* half a unit in the last place of 1 */
#define BF16_STEP 0x1p-7 /* one unit in the last place of a bf16 number, relative at most */

struct shape {
    size_t B, T, H, K, d, window, D, F, V;
    float cap;
};
static const struct shape shapes[] = {
    {1, 1,  1, 1, 4,   1,  8,   8,  7,   50}, /* a product that the library refuses */
    {2, 12, 4, 2, 16,  5,  32,  48, 67,  2 }, /* the golden model's */
    {2, 41, 2, 1, 40,  19, 64,  72, 88,  5 }, /* tiles of keys that a query does not see */
    {1, 70, 4, 2, 48,  64, 128, 96, 130, 50}, /* the shipped model's */
    {1, 33, 2, 2, 256, 33, 24,  16, 9,   0 }, /* the widest head, no cap */
    {3, 9,  3, 1, 131, 4,  17,  5,  300, 50}, /* nothing divides by four */
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static const struct sae_ops *device;

static void *grab(size_t n, size_t size)
{
    void *p = NULL;
    assert_int_equal(sae_mem_alloc(&p, n, size, NULL), SAE_OK);
    return p;
}

/* n normal numbers, of a stream of their own each time. */
static float *draw(size_t n, float scale)
{
    static uint64_t stream;
    struct sae_rng rng = sae_rng_make(11, SAE_RNG_TEST + stream++);
    float *const a = grab(n, sizeof *a);
    for (size_t i = 0; i < n; i++)
        a[i] = scale * (float)sae_rng_normal(&rng);
    return a;
}

/* A copy on the device. */
static void *there(const void *host, size_t bytes)
{
    void *p = NULL;
    struct sae_err err = {0};
    if (device->alloc(&p, bytes, 1, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    device->put(p, host, bytes);
    return p;
}

/* Takes an array of factors back as floats. */
static float *here(enum sae_precision how, const void *from, size_t n)
{
    float *const to = grab(n, sizeof *to);
    if (how != SAE_BF16) {
        device->get(to, from, n * sizeof *to);
        return to;
    }
    uint16_t *const bits = grab(n, sizeof *bits);
    device->get(bits, from, n * sizeof *bits);
    sae_bf16_widen(to, bits, n);
    free(bits);
    return to;
}

static void near(const char *what, size_t n, const float *want, const float *have,
                 const double *bound)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)want[i] - (double)have[i]) <= bound[i] + 1e-44))
            fail_msg("%s [%zu]: %.9g, expected %.9g within %g", what, i, (double)have[i],
                     (double)want[i], bound[i]);
}

/* A bound on factors from one on their exact values: bf16 adds a step. */
static void of_factors(enum sae_precision how, size_t n, const float *want, double *bound)
{
    for (size_t i = 0; how == SAE_BF16 && i < n; i++)
        bound[i] += BF16_STEP * fabs((double)want[i]);
}

static const enum sae_precision hows[] = {SAE_F32, SAE_BF16};

/* Two runs on the device, compared by bits; `have` is the first, n factors at `out` as floats. */
#define TWICE(have, n, how, out, call)                                                             \
    float *have;                                                                                   \
    do {                                                                                           \
        emu_reverse(false);                                                                        \
        call;                                                                                      \
        have = here(how, out, n);                                                                  \
        emu_reverse(true);                                                                         \
        call;                                                                                      \
        emu_reverse(false);                                                                        \
        float *const again_ = here(how, out, n);                                                   \
        assert_memory_equal(have, again_, (n) * sizeof(float));                                    \
        free(again_);                                                                              \
    } while (0)

/* --- operations ----------------------------------------------------------------------------- */

static size_t rows_of(const struct shape *s)
{
    return s->B * s->T;
}

static void check_factors(const struct shape *s, enum sae_precision how)
{
    const size_t n = rows_of(s) * s->D;
    float *const x = draw(n, 3);
    x[0] = NAN;
    void *const x_there = there(x, n * sizeof *x), *const to = there(x, n * sizeof *x);
    TWICE(have, n, how, to, device->lm->factors(how, n, x_there, to));
    for (size_t i = 0; i < n; i++) {
        const float want = how == SAE_BF16 ? sae_bf16_to_f32(sae_bf16_from_f32(x[i])) : x[i];
        assert_true(have[i] == want || (isnan(have[i]) && isnan(want)));
    }
    free(x), free(have);
    device->free(x_there), device->free(to);
}

/* Exact products, f32 sums: (n_in + 1) roundings of sums no larger than that of magnitudes. */
static void check_product(const struct shape *s, enum sae_precision how)
{
    const size_t n = rows_of(s), n_in = s->D, n_out = s->V;
    float *const x = draw(n * n_in, 1), *const W = draw(n_out * n_in, 1);
    float *const want = grab(n * n_out, sizeof *want);
    double *const bound = grab(n * n_out, sizeof *bound);
    void *const xf = grab(n * n_in, sizeof *x), *const Wf = grab(n_out * n_in, sizeof *W);
    sae_lm_ref.factors(how, n * n_in, x, xf);
    sae_lm_ref.factors(how, n_out * n_in, W, Wf);
    sae_lm_ref.product(how, n, n_out, n_in, xf, Wf, want);
    for (size_t i = 0; i < n * n_out; i++) {
        for (size_t l = 0; l < n_in; l++)
            bound[i] += fabs((double)x[i / n_out * n_in + l] * (double)W[i % n_out * n_in + l]);
        bound[i] *= (double)(n_in + 1) * EPS * 1.02; /* the factors, rounded up */
    }
    const size_t size = sae_lm_factor(how);
    void *const x_there = there(xf, n * n_in * size),
                *const W_there = there(Wf, n_out * n_in * size),
                *const y = there(want, n * n_out * sizeof *want);
    TWICE(have, n * n_out, SAE_F32, y,
          device->lm->product(how, n, n_out, n_in, x_there, W_there, y));
    near("product", n * n_out, want, have, bound);
    free(x), free(W), free(want), free(bound), free(xf), free(Wf), free(have);
    device->free(x_there), device->free(W_there), device->free(y);
}

static void check_embed(const struct shape *s, enum sae_precision how)
{
    const size_t n = rows_of(s), D = s->D, V = s->V;
    float *const E = draw(V * D, 1), *const want = grab(n * D, sizeof *want);
    uint32_t *const ids = grab(n, sizeof *ids);
    void *const Ef = grab(V * D, sizeof *E);
    for (size_t i = 0; i < n; i++)
        ids[i] = (uint32_t)(i % 2 ? V - 1 - i % V : i % V);
    sae_lm_ref.factors(how, V * D, E, Ef);
    sae_lm_ref.embed(how, n, D, 5.65F, ids, Ef, want);
    void *const E_there = there(Ef, V * D * sae_lm_factor(how)),
                *const ids_there = there(ids, n * sizeof *ids),
                *const x = there(want, n * D * sizeof *want);
    TWICE(have, n * D, SAE_F32, x, device->lm->embed(how, n, D, 5.65F, ids_there, E_there, x));
    assert_memory_equal(have, want, n * D * sizeof *want); /* one rounding, the same */
    free(E), free(want), free(ids), free(Ef), free(have);
    device->free(E_there), device->free(ids_there), device->free(x);
}

static void check_add(const struct shape *s, enum sae_precision how)
{
    const size_t n = rows_of(s), D = s->D;
    if (how != SAE_F32)
        return;
    float *const x = draw(n * D, 3), *const p = draw(s->T * D, 1),
                 *const want = grab(n * D, sizeof *x);
    float *const x_there = there(x, n * D * sizeof *x), *const p_there =
                                                            there(p, s->T * D * sizeof *p);
    for (size_t period = 1; period <= s->T; period += s->T > 1 ? s->T - 1 : 1) {
        memcpy(want, x, n * D * sizeof *want);
        sae_lm_ref.add(n, period, D, p, want);
        TWICE(have, n * D, SAE_F32, x_there,
              (device->put(x_there, x, n * D * sizeof *x),
               device->lm->add(n, period, D, p_there, x_there)));
        assert_memory_equal(have, want, n * D * sizeof *want); /* one rounding, the same */
        free(have);
    }
    free(x), free(p), free(want);
    device->free(x_there), device->free(p_there);
}

/* sum |x| / sqrt(D) at most sqrt of the sum of squares: what a mean may be off by */
static double largest_of(const float *x, size_t D)
{
    double most = 0;
    for (size_t i = 0; i < D; i++)
        most = fmax(most, fabs((double)x[i]));
    return most;
}

/* 1 / sqrt of the mean square, of a layer norm of the variance, + eps */
static double scale_of(enum sae_lm_norm kind, const float *x, size_t D)
{
    double sum = 0, mean = 0;
    for (size_t i = 0; i < D && kind == SAE_LM_LAYER; i++)
        mean += (double)x[i] / (double)D;
    for (size_t i = 0; i < D; i++)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return 1 / sqrt(sum / (double)D + 1e-6);
}

/* What a weight multiplies by at most. */
static double weight_of(enum sae_lm_norm kind, const float *w, size_t i)
{
    return kind == SAE_LM_RMS1P ? fabs(1 + (double)w[i]) : fabs((double)w[i]);
}

/* The mean is in double; its root, the weight, two products and a sum are rounded; the mean of a
 * layer norm too, which is taken from each element. */
static double norm_bound(enum sae_lm_norm kind, const float *x, const float *w, size_t D, size_t i,
                         double want)
{
    double bound = 5 * EPS * fabs(want);
    if (kind == SAE_LM_LAYER)
        bound += EPS * (6 * largest_of(x, D) * scale_of(kind, x, D) * fabs((double)w[i]) +
                        fabs((double)w[D + i]));
    return bound;
}

static void check_norm_of(const struct shape *s, enum sae_precision how, enum sae_lm_norm kind)
{
    const size_t n = rows_of(s), D = s->D;
    float *const x = draw(n * D, 3), *const w = draw(2 * D, 0.5F);
    void *const h = grab(n * D, sizeof *x);
    double *const bound = grab(n * D, sizeof *bound);
    memset(x, 0, D * sizeof *x); /* eps holds the first row up */
    sae_lm_ref.norm(how, kind, n, D, 1e-6, x, w, h);
    void *const x_there = there(x, n * D * sizeof *x), *const w_there = there(w, 2 * D * sizeof *w),
                *const h_there = there(x, n * D * sizeof *x);
    TWICE(have, n * D, how, h_there,
          device->lm->norm(how, kind, n, D, 1e-6, x_there, w_there, h_there));
    float *const want = grab(n * D, sizeof *want);
    if (how == SAE_BF16)
        sae_bf16_widen(want, h, n * D);
    else
        memcpy(want, h, n * D * sizeof *want);
    for (size_t i = 0; i < n * D; i++)
        bound[i] = norm_bound(kind, x + i / D * D, w, D, i % D, (double)want[i]);
    of_factors(how, n * D, want, bound);
    near("norm", n * D, want, have, bound);
    free(x), free(w), free(h), free(bound), free(have), free(want);
    device->free(x_there), device->free(w_there), device->free(h_there);
}

static void check_norm(const struct shape *s, enum sae_precision how)
{
    for (int kind = SAE_LM_RMS; kind <= SAE_LM_LAYER; kind++)
        check_norm_of(s, how, (enum sae_lm_norm)kind);
}

/* x: a norm's roundings and one of the sum. h: that of the new x, whose error may have cancelled.
 * own: whether the branch has a norm. */
static void check_join_of(const struct shape *s, enum sae_precision how, enum sae_lm_norm kind,
                          bool own)
{
    const size_t n = rows_of(s), D = s->D;
    float *const x = draw(n * D, 3), *const a = draw(n * D, 2), *const w = draw(4 * D, 0.5F),
                 *const want_x = grab(n * D, sizeof *x), *const next = w + 2 * D;
    void *const h = grab(n * D, sizeof *x);
    double *const bound = grab(n * D, sizeof *bound);
    memcpy(want_x, x, n * D * sizeof *x);
    sae_lm_ref.join(how, kind, n, D, 1e-6, a, own ? w : NULL, want_x, next, h);
    void *const h_there = there(x, n * D * sizeof *x);
    float *const a_there = there(a, n * D * sizeof *a),
                 *const w_there = there(w, 4 * D * sizeof *w),
                 *const x_there = there(x, n * D * sizeof *x), *const mine = own ? w_there : NULL;
    TWICE(have_h, n * D, how, h_there,
          (device->put(x_there, x, n * D * sizeof *x),
           device->lm->join(how, kind, n, D, 1e-6, a_there, mine, x_there, w_there + 2 * D,
                            h_there)));
    float *const have_x = here(SAE_F32, x_there, n * D), *const want_h =
                                                             grab(n * D, sizeof *want_h);
    if (how == SAE_BF16)
        sae_bf16_widen(want_h, h, n * D);
    else
        memcpy(want_h, h, n * D * sizeof *want_h);
    for (size_t i = 0; i < n * D; i++) {
        const double added = fabs((double)want_x[i] - (double)x[i]);
        bound[i] = 8 * EPS * (fabs((double)x[i]) + added) +
                   norm_bound(kind, a + i / D * D, w, D, i % D, added);
    }
    near("join: x", n * D, want_x, have_x, bound);
    for (size_t i = 0; i < n * D; i++) { /* the row's mean and scale are off by as much */
        const float *const row = want_x + i / D * D;
        bound[i] = (bound[i] + 16 * EPS * largest_of(row, D)) * scale_of(kind, row, D) *
                       weight_of(kind, next, i % D) +
                   24 * EPS * fabs((double)want_h[i]) +
                   norm_bound(kind, row, next, D, i % D, (double)want_h[i]);
    }
    of_factors(how, n * D, want_h, bound);
    near("join: h", n * D, want_h, have_h, bound);
    device->put(x_there, x, n * D * sizeof *x); /* without a next norm h is left alone */
    device->lm->join(how, kind, n, D, 1e-6, a_there, mine, x_there, NULL, NULL);
    float *const alone = here(SAE_F32, x_there, n * D);
    assert_memory_equal(alone, have_x, n * D * sizeof *alone);
    free(x), free(a), free(w), free(want_x), free(h), free(bound), free(have_h), free(have_x);
    free(want_h), free(alone);
    device->free(x_there), device->free(h_there), device->free(a_there), device->free(w_there);
}

static void check_join(const struct shape *s, enum sae_precision how)
{
    for (int kind = SAE_LM_RMS; kind <= SAE_LM_LAYER; kind++) {
        check_join_of(s, how, (enum sae_lm_norm)kind, true);
        check_join_of(s, how, (enum sae_lm_norm)kind, false);
    }
}

static void check_head_norm(const struct shape *s, enum sae_precision how)
{
    const size_t n = rows_of(s), d = s->d, ld = (s->H + 2 * s->K) * d;
    if (how != SAE_F32)
        return;
    float *const qkv = draw(n * ld, 2), *const w = draw(2 * d, 0.5F),
                 *const want = grab(n * ld, sizeof *want);
    double *const bound = grab(n * ld, sizeof *bound);
    float *const there_qkv = there(qkv, n * ld * sizeof *qkv), *const w_there =
                                                                   there(w, 2 * d * sizeof *w);
    for (int kind = SAE_LM_RMS; kind <= SAE_LM_RMS1P; kind++) {
        memcpy(want, qkv, n * ld * sizeof *want);
        sae_lm_ref.head_norm((enum sae_lm_norm)kind, n, s->H, s->K, d, ld, 1e-6, w, want);
        TWICE(have, n * ld, SAE_F32, there_qkv,
              (device->put(there_qkv, qkv, n * ld * sizeof *qkv),
               device->lm->head_norm((enum sae_lm_norm)kind, n, s->H, s->K, d, ld, 1e-6, w_there,
                                     there_qkv)));
        for (size_t i = 0; i < n * ld; i++)
            bound[i] = i % ld < (s->H + s->K) * d ? 6 * EPS * fabs((double)want[i]) : 0;
        near("head_norm", n * ld, want, have, bound);
        free(have);
    }
    free(qkv), free(w), free(want), free(bound);
    device->free(there_qkv), device->free(w_there);
}

/* Two products and a sum; what is beyond 2 half is left alone. */
static void check_rope_of(const struct shape *s, size_t half)
{
    const size_t n = rows_of(s), d = s->d, ld = (s->H + 2 * s->K) * d;
    float *const qkv = draw(n * ld, 2), *const want = grab(n * ld, sizeof *want),
                 *const angles = grab(2 * s->T * half, sizeof *angles);
    double *const bound = grab(n * ld, sizeof *bound);
    for (size_t i = 0; i < s->T * half; i++) {
        angles[i] = (float)cos((double)i);
        angles[s->T * half + i] = (float)sin((double)i);
    }
    memcpy(want, qkv, n * ld * sizeof *want);
    sae_lm_ref.rope(n, s->T, s->H + s->K, d, half, ld, angles, angles + s->T * half, want);
    for (size_t i = 0; i < n * ld; i++) {
        const size_t c = i % d;
        if (i % ld < (s->H + s->K) * d && c < 2 * half)
            bound[i] = 3 * EPS *
                       (fabs((double)qkv[i]) + fabs((double)qkv[c < half ? i + half : i - half]));
    }
    float *const there_qkv = there(qkv, n * ld * sizeof *qkv), *const c = there(angles,
                                                                                2 * s->T * half *
                                                                                    sizeof *angles);
    TWICE(have, n * ld, SAE_F32, there_qkv,
          (device->put(there_qkv, qkv, n * ld * sizeof *qkv),
           device->lm->rope(n, s->T, s->H + s->K, d, half, ld, c, c + s->T * half, there_qkv)));
    near("rope", n * ld, want, have, bound);
    free(qkv), free(want), free(angles), free(bound), free(have);
    device->free(there_qkv), device->free(c);
}

static void check_rope(const struct shape *s, enum sae_precision how)
{
    if (how != SAE_F32)
        return;
    check_rope_of(s, s->d / 2);
    check_rope_of(s, (s->d + 7) / 8);
}

/* Scores are off by dz = d EPS scale max|q| max|k| (norms), the cap by 4 EPS cap; weights by twice
 * that relative, their sums by a rounding a key, and what is mixed is no larger than max|v|. */
static void check_attend(const struct shape *s, enum sae_precision how)
{
    const size_t n = rows_of(s), ld = (s->H + 2 * s->K) * s->d, n_o = n * s->H * s->d;
    const struct sae_lm_heads heads = {
        s->B, s->T, s->H, s->K, s->d, s->window, 1 / sqrtf((float)s->d), s->cap};
    float *const qkv = draw(n * ld, 2);
    void *const o = grab(n_o, sizeof(float));
    double *const bound = grab(n_o, sizeof *bound), norm = 0, most = 0;
    for (size_t i = 0; i < n * ld / s->d; i++) {
        double sq = 0;
        for (size_t c = 0; c < s->d; c++)
            sq += (double)qkv[i * s->d + c] * (double)qkv[i * s->d + c];
        norm = fmax(norm, sq);
    }
    for (size_t i = 0; i < n * ld; i++)
        most = fmax(most, fabs((double)qkv[i]));
    const double dz =
        (double)(s->d + 4) * EPS * (double)heads.scale * norm + 4 * EPS * (double)s->cap;
    sae_lm_ref.attend(how, &heads, qkv, o);
    void *const there_qkv = there(qkv, n * ld * sizeof *qkv), *const there_o = there(
                                                                  o, n_o * sae_lm_factor(how));
    TWICE(have, n_o, how, there_o, device->lm->attend(how, &heads, there_qkv, there_o));
    float *const want = grab(n_o, sizeof *want);
    if (how == SAE_BF16)
        sae_bf16_widen(want, o, n_o);
    else
        memcpy(want, o, n_o * sizeof *want);
    for (size_t i = 0; i < n_o; i++)
        bound[i] = (4 * dz + (double)(2 * s->T + 32) * EPS) * most;
    of_factors(how, n_o, want, bound);
    near("attend", n_o, want, have, bound);
    free(qkv), free(o), free(bound), free(have), free(want);
    device->free(there_qkv), device->free(there_o);
}

/* e^u with u off by 4 EPS |u|; for u < -18 the reference's 1 + tanh is off by 2^-53. erfc of u is
 * off by what its derivative makes of a rounded u. */
static double act_bound(enum sae_lm_act act, double g, double want)
{
    const double u = act == SAE_LM_GELU ? g * g : 1.6 * fabs(g + 0.044715 * g * g * g);
    return (4 * (act == SAE_LM_SILU ? fabs(g) : u) + 16) * EPS * fabs(want);
}

static void check_gate_of(const struct shape *s, enum sae_precision how, enum sae_lm_act act,
                          bool gated)
{
    const size_t n = rows_of(s), F = s->F, ld = gated ? 2 * F : F;
    float *const gu = draw(n * ld, 3);
    void *const to = grab(n * F, sizeof(float));
    double *const bound = grab(n * F, sizeof *bound);
    gu[0] = -40;
    gu[1] = 40;
    sae_lm_ref.gate(how, act, gated, n, F, gu, to);
    void *const there_gu = there(gu, n * ld * sizeof *gu), *const there_to = there(
                                                               to, n * F * sae_lm_factor(how));
    TWICE(have, n * F, how, there_to, device->lm->gate(how, act, gated, n, F, there_gu, there_to));
    float *const want = grab(n * F, sizeof *want);
    if (how == SAE_BF16)
        sae_bf16_widen(want, to, n * F);
    else
        memcpy(want, to, n * F * sizeof *want);
    for (size_t i = 0; i < n * F; i++) {
        const double g = (double)gu[i / F * ld + i % F],
                     up = gated ? (double)gu[i / F * ld + F + i % F] : 1;
        bound[i] = act_bound(act, g, (double)want[i]) + 0x1p-51 * fabs(g * up);
    }
    of_factors(how, n * F, want, bound);
    near("gate", n * F, want, have, bound);
    free(gu), free(to), free(bound), free(have), free(want);
    device->free(there_gu), device->free(there_to);
}

static void check_gate(const struct shape *s, enum sae_precision how)
{
    for (int act = SAE_LM_GELU_TANH; act <= SAE_LM_SILU; act++) {
        check_gate_of(s, how, (enum sae_lm_act)act, true);
        check_gate_of(s, how, (enum sae_lm_act)act, false);
    }
}

static void check_cap(const struct shape *s, enum sae_precision how)
{
    const size_t n = rows_of(s) * s->V;
    if (how != SAE_F32)
        return;
    float *const z = draw(n, 40), *const want = grab(n, sizeof *want);
    double *const bound = grab(n, sizeof *bound);
    memcpy(want, z, n * sizeof *want);
    sae_lm_ref.cap(n, 30, want);
    for (size_t i = 0; i < n; i++)
        bound[i] = 8 * EPS * fabs((double)want[i]);
    void *const there_z = there(z, n * sizeof *z);
    TWICE(have, n, SAE_F32, there_z,
          (device->put(there_z, z, n * sizeof *z), device->lm->cap(n, 30, there_z)));
    near("cap", n, want, have, bound);
    free(z), free(want), free(bound), free(have);
    device->free(there_z);
}

static double *doubles(const void *from, size_t n)
{
    double *const to = grab(n, sizeof *to);
    device->get(to, from, n * sizeof *to);
    return to;
}

static void near_double(const char *what, size_t n, const double *want, const double *have,
                        double bound)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(want[i] - have[i]) <= bound))
            fail_msg("%s [%zu]: %.12g, expected %.12g within %g", what, i, have[i], want[i], bound);
}

/* Each e^z is off by 4 EPS and the rounding of z - max; the sums are in double. KL: weights so,
 * times what they weigh. A model beside itself has none at all. */
static void check_read(const struct shape *s, enum sae_precision how)
{
    const size_t n = rows_of(s), V = s->V;
    if (how != SAE_F32)
        return;
    float *const p = draw(n * V, 8), *const z = draw(n * V, 8);
    uint32_t *const target = grab(n, sizeof *target);
    double *const want = grab(4 * n, sizeof *want), range = 0;
    for (size_t i = 0; i < n; i++)
        target[i] = i % 3 == 2 ? SAE_LM_NO_TARGET : (uint32_t)(i * 5 % V);
    for (size_t i = 0; i < n * V; i++)
        range = fmax(range, 2 * fmax(fabs((double)p[i]), fabs((double)z[i])));
    sae_lm_ref.read(n, V, p, target, want, want + n);
    sae_lm_ref.compare(n, V, p, want, z, target, want + 2 * n, want + 3 * n);
    void *const p_there = there(p, n * V * sizeof *p), *const z_there = there(z, n * V * sizeof *z),
                *const ids = there(target, n * sizeof *target);
    double *const out = there(want, 4 * n * sizeof *want), *first = NULL;
    for (int turned = 0; turned < 2; turned++) {
        emu_reverse(turned);
        device->lm->read(n, V, p_there, ids, out, out + n);
        device->lm->compare(n, V, p_there, out, z_there, ids, out + 2 * n, out + 3 * n);
        double *const have = doubles(out, 4 * n);
        near_double("lse and CE", 3 * n, want, have, (range + 8) * EPS);
        near_double("KL", n, want + 3 * n, have + 3 * n, 2 * (range + 8) * EPS * (1 + range));
        if (turned)
            assert_memory_equal(have, first, 4 * n * sizeof *have);
        free(first);
        first = have;
    }
    emu_reverse(false);
    device->lm->compare(n, V, p_there, out, p_there, ids, out + 2 * n, out + 3 * n);
    double *const self = doubles(out, 4 * n);
    for (size_t i = 0; i < n; i++)
        assert_true(self[3 * n + i] == 0 && self[2 * n + i] == self[n + i]);
    free(p), free(z), free(target), free(want), free(first), free(self);
    device->free(p_there), device->free(z_there), device->free(ids), device->free(out);
}

/* --- all of them ---------------------------------------------------------------------------- */

typedef void check_fn(const struct shape *s, enum sae_precision how);
static const struct {
    const char *name;
    check_fn *f;
} checks[] = {
    {"factors",       check_factors  },
    {"product",       check_product  },
    {"embed",         check_embed    },
    {"add",           check_add      },
    {"head_norm",     check_head_norm},
    {"norm",          check_norm     },
    {"join",          check_join     },
    {"rope",          check_rope     },
    {"attend",        check_attend   },
    {"gate",          check_gate     },
    {"cap",           check_cap      },
    {"read, compare", check_read     }
};
enum { N_CHECKS = sizeof checks / sizeof *checks };

static void run_check(void **state)
{
    check_fn *const f = checks[*(const size_t *)*state].f;
    struct sae_err err = {0};
    for (size_t i = 0; i < N_SHAPES; i++)
        for (size_t h = 0; h < sizeof hows / sizeof *hows; h++)
            f(&shapes[i], hows[h]);
    if (device->check(&err) != SAE_OK)
        fail_msg("%s", err.msg);
}

/* A key that is no number is not passed over. */
static void test_nan(void **state)
{
    (void)state;
    enum { T = 40, D = 8 };
    const struct sae_lm_heads heads = {1, T, 1, 1, D, T, 1, 50};
    float *const qkv = draw((size_t)T * 3 * D, 1);
    qkv[20 * 3 * D + D] = NAN; /* key 20 */
    void *const there_qkv = there(qkv, (size_t)T * 3 * D * sizeof *qkv), *const o = there(
                                                                             qkv, (size_t)T * D *
                                                                                      sizeof *qkv);
    device->lm->attend(SAE_F32, &heads, there_qkv, o);
    float *const have = here(SAE_F32, o, (size_t)T * D);
    for (size_t i = 0; i < (size_t)T * D; i++)
        assert_int_equal(isnan(have[i]) != 0, i / D >= 20);
    free(qkv), free(have);
    device->free(there_qkv), device->free(o);
}

static void forget_gate(enum sae_precision how, enum sae_lm_act act, bool gated, size_t n, size_t F,
                        const float *x, void *to)
{
    (void)how, (void)act, (void)gated, (void)n, (void)F, (void)x, (void)to;
}

/* What a device is asked as it is opened. */
static void test_agree(void **state)
{
    (void)state;
    struct sae_err err = {0};
    for (int how = 0; how < SAE_PRECISIONS; how++)
        if (sae_lm_agree(device, (enum sae_precision)how, &err) != SAE_OK)
            fail_msg("%s", err.msg);
    struct sae_lm_ops lm = *device->lm;
    struct sae_ops broken = *device;
    broken.lm = &lm;
    lm.gate = forget_gate;
    assert_int_equal(sae_lm_agree(&broken, SAE_BF16, &err), SAE_EBACKEND);
    assert_non_null(strstr(err.msg, "(gate of a language model gives"));
    lm.gate = NULL;
    assert_int_equal(sae_lm_agree(&broken, SAE_BF16, &err), SAE_EBACKEND);
    assert_non_null(strstr(err.msg, "no operation 'gate' of a language model"));
    broken.lm = NULL;
    assert_int_equal(sae_lm_agree(&broken, SAE_BF16, &err), SAE_EBACKEND);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[N_CHECKS + 2];
    static size_t which[N_CHECKS];
    const int end = test_device_open(argc, argv);
    if (end != 0)
        return end;
    device = test_device();
    for (size_t i = 0; i < N_CHECKS; i++) {
        which[i] = i;
        tests[i] = (struct CMUnitTest){
            .name = checks[i].name, .test_func = run_check, .initial_state = &which[i]};
    }
    tests[N_CHECKS] = (struct CMUnitTest)cmocka_unit_test(test_nan);
    tests[N_CHECKS + 1] = (struct CMUnitTest)cmocka_unit_test(test_agree);
    return cmocka_run_group_tests_name("lm", tests, NULL, NULL);
}
