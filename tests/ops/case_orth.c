/* SPDX-License-Identifier: MIT */
/* case_orth : the orthogonality term and the histogram of cosines. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkops.h"

enum { BINS = 40, VARIANTS = SAE_OVERLAP_N };
static const double weight = 0.25, batch_weight[] = {1, 0.5};

/* A rule, the masks that it is put to, and what is divided by. */
struct variant {
    struct sae_compete_rule rule;
    size_t n_batches;
    bool per_pair;
};

/* Wide shapes take the reference long: one variant, another with each fill. */
static int variants(const struct fix *f)
{
    return f->s.m > 1000 ? 1 : VARIANTS;
}

static struct variant variant_of(const struct fix *f, int v)
{
    static const double tau[VARIANTS] = {0.3, 0.2, 0.3, 1.2, 0.01};
    if (variants(f) == 1)
        v = (int)f->fill % VARIANTS;
    struct variant ret = {.n_batches = 1 + (f->s.m + (size_t)v / 2) % 2, .per_pair = v % 2};
    ret.rule = (struct sae_compete_rule){.overlap = (enum sae_overlap)v,
                                         .form = (enum sae_compete)((f->s.m + (size_t)v) % 2),
                                         .sharpness = 4,
                                         .tau = tau[v],
                                         .min_count = 2};
    return ret;
}

/* outputs: G and sums of every variant; Gout, and the sums then; sums without gradients */
static void sizes_masks(const struct fix *f, size_t bytes[OUTS])
{
    const size_t md = f->s.m * f->s.d;
    bytes[0] = VARIANTS * md * sizeof(float);
    bytes[1] = VARIANTS * (4 + f->s.m) * sizeof(double);
    bytes[2] = md * sizeof(float);
    bytes[3] = bytes[4] = (4 + f->s.m) * sizeof(double);
}

static void run_masks(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t m = f->s.m, d = f->s.d;
    const struct sae_csr *csr[2] = {&f->csr, &f->csr};
    const struct sae_csc *csc[2] = {&f->csc, &f->csc};
    double *const expected = grab(m + 4, sizeof *expected), *const sums = a[1];
    for (int i = 0; i < VARIANTS; i++)
        o->put(sums + (size_t)i * (4 + m), expected, (4 + m) * sizeof *expected);
    o->put(a[3], expected, (4 + m) * sizeof *expected);
    o->put(a[4], expected, (4 + m) * sizeof *expected);
    for (size_t i = 1; i < m; i += 2) /* every other run by lists, where a backend asks */
        expected[i] = 1e18;
    for (int i = 0; i < variants(f); i++) {
        const struct variant v = variant_of(f, i);
        const struct sae_overlap_masks masks = {v.n_batches, csr, csc, batch_weight};
        float *const G = (float *)a[0] + (size_t)i * m * d;
        copy(o, G, f->G, m * d * sizeof *G);
        o->orth_masks(m, d, f->W, &masks, &v.rule, weight, v.per_pair, i == 2 ? expected : NULL, G,
                      NULL, sums + (size_t)i * (4 + m));
        if (i > 0)
            continue;
        o->orth_masks(m, d, f->W, &masks, &v.rule, weight, v.per_pair, NULL, NULL, a[2], a[3]);
        o->orth_masks(m, d, f->W, &masks, &v.rule, weight, v.per_pair, NULL, NULL, NULL, a[4]);
    }
    free(expected);
}

static void near(const char *what, const struct fix *f, double ref, double got, double bound)
{
    if (!(fabs(ref - got) <= bound || (isnan(ref) && isnan(got))))
        fail_msg("%s, m %zu d %zu, fill %s: %.17g, expected %.17g within %.3g", what, f->s.m,
                 f->s.d, fill_names[f->fill], got, ref, bound);
}

/* Bounds of the term [m][d] before its weight; returns those of the loss and of the cosines. */
static void bound_term(const struct fix *f, const float *c, double *term, double *loss,
                       double *cosines)
{
    const size_t m = f->s.m, d = f->s.d;
    *loss = *cosines = 1e-40;
    for (size_t i = 0; i < m; i++) {
        size_t n = 0;
        for (size_t j = 0; j < m; j++)
            n += c[i * m + j] > 0;
        for (size_t j = 0; j < m; j++) {
            double dot = 0, size = 0;
            if (!(c[i * m + j] > 0))
                continue;
            for (size_t l = 0; l < d; l++) {
                dot += (double)f->W[i * d + l] * (double)f->W[j * d + l];
                size += fabs((double)f->W[i * d + l] * (double)f->W[j * d + l]);
            }
            const double slack = (double)(d + 2) * EPS * size, cij = (double)c[i * m + j];
            *loss += cij * (slack + 8 * EPS * fabs(dot));
            *cosines += slack + 8 * EPS * fabs(dot);
            for (size_t l = 0; l < d; l++) /* where rounding may turn the sign, the term may turn */
                term[i * d + l] += cij * fabs((double)f->W[j * d + l]) *
                                   ((double)(n + 4) * EPS +
                                    (dot != 0 && fabs(dot) <= slack + 1e-44 ? 2 : 0));
        }
    }
}

/* All widths and fills take the way that their number of pairs asks for; these two were made for
 * one each. */
static void check_way(const struct fix *f, double n)
{
    const double m = (double)f->s.m;
    if (f->fill == FILL_NORMAL && f->s.m == SHAPE_CROWDED)
        assert_true(n > m * m / 8); /* dense products */
    if (f->fill == FILL_NORMAL && f->s.m == SHAPE_LARGE)
        assert_true(n > 4 * m && n < m * m / 8); /* packed slices */
}

static void check_masks(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t m = f->s.m, d = f->s.d;
    const double *const want = ref[1], *const have = got[1];
    /* the weights must be finite; where a product of two is 0 in f32, so is its sign */
    if (f->fill == FILL_NAN || f->fill == FILL_DENORMAL)
        return;
    for (int i = 0; i < variants(f); i++) {
        const struct variant v = variant_of(f, i);
        const double *const r = want + (size_t)i * (4 + m), *const g = have + (size_t)i * (4 + m);
        const double share = v.per_pair ? (r[1] > 0 ? weight / r[1] : 0) : weight;
        const size_t at = (size_t)i * m * d;
        double *const bound = grab(m * d, sizeof *bound), loss, cosines, partners = 0;
        float *const c = fix_coefficients(f, &v.rule, v.n_batches, batch_weight);
        bound_term(f, c, bound, &loss, &cosines);
        for (size_t l = 0; l < m * d; l++)
            bound[l] = 2 * share * bound[l] + 4 * EPS * fabs((double)f->G[l]);
        check_near(sae_overlap_names[i], f, m * d, (const float *)ref[0] + at,
                   (const float *)got[0] + at, bound);
        if (i == 0)
            check_near("Gout", f, m * d, ref[2], got[2], bound);
        near("loss", f, r[0], g[0], loss);
        near("pairs", f, r[1], g[1], 0);
        near("sum of cosines", f, r[2], g[2], cosines);
        near("largest cosine", f, r[3], g[3], cosines);
        for (size_t p = 0; p < m; p++) /* of all runs: each pair has two */
            partners += g[4 + p];
        near("partners", f, 2 * g[1], partners, 0);
        if (i == 0)
            check_way(f, g[1]);
        free(bound);
        free(c);
    }
    check_bits("sums without gradients", f, (4 + m) * sizeof(double), got[3], got[4]);
}

/* outputs: sums, unit rows */
static void sizes_compare(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = 4 * sizeof(double);
    bytes[1] = f->s.m * f->s.d * sizeof(float);
}

static void run_compare(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t m = f->s.m, d = f->s.d;
    o->put(a[0], (const double[4]){0}, 4 * sizeof(double));
    copy(o, a[1], f->W, m * d * sizeof(float));
    o->unit_rows(m, d, 0, a[1]);
    o->compare_rows(m, d, a[1], f->G, f->M, a[0]);
}

static double dot_of(size_t d, const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void check_compare(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const double *const r = ref[0], *const g = got[0];
    const float *const U = ref[1];
    double size = 1e-300, even = 0; /* rows whose parts are equally long but for rounding */
    if (f->fill == FILL_NAN)
        return;
    for (size_t j = 0; j < f->s.m; j++) {
        const size_t at = j * f->s.d, d = f->s.d;
        const double aa = dot_of(d, f->G + at, f->G + at), bb = dot_of(d, f->M + at, f->M + at),
                     aw = dot_of(d, f->G + at, U + at), bw = dot_of(d, f->M + at, U + at);
        size += aa + bb;
        even += fabs(aa - aw * aw - bb + bw * bw) <= 1e-6 * (aa + bb);
    }
    for (size_t i = 0; i < 3; i++)
        near("comparison", f, r[i], g[i], 1e-6 * size);
    near("rows", f, r[3], g[3], even);
}

/* outputs: hist, row_max, row_argmax, row_min */
static void sizes_hist(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = BINS * sizeof(uint64_t);
    for (int i = 1; i < 4; i++)
        bytes[i] = f->s.m * sizeof(float);
}

static float *unit_rows(const struct fix *f)
{
    float *const U = grab(f->s.m * f->s.d, sizeof *U);
    memcpy(U, f->W, f->s.m * f->s.d * sizeof *U);
    sae_ops_ref.unit_rows(f->s.m, f->s.d, 0, U);
    return U;
}

static void run_hist(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t bytes = f->s.m * f->s.d * sizeof(float);
    float *const unit = fetch(o, f->W, bytes), *const U = take(o, bytes, 1);
    sae_ops_ref.unit_rows(f->s.m, f->s.d, 0, unit);
    o->put(U, unit, bytes);
    assert_int_equal(o->cos_hist(f->s.m, f->s.d, U, BINS, a[0], a[1], a[2], a[3], NULL), SAE_OK);
    o->free(U);
    free(unit);
}

/* Counts up to a bin edge may differ by as many cosines as lie within the bound of that edge. */
static void check_counts(const struct fix *f, const float *U, double slack, const uint64_t *ref,
                         const uint64_t *got)
{
    const size_t m = f->s.m, d = f->s.d;
    uint64_t *const close = grab(BINS + 1, sizeof *close);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = i + 1; j < m; j++) {
            double c = 0;
            for (size_t l = 0; l < d; l++)
                c += (double)U[i * d + l] * U[j * d + l];
            const double at = (c + 1) / 2 * BINS, edge = nearbyint(at);
            if (fabs(at - edge) <= slack * BINS && edge >= 0 && edge <= BINS)
                close[(size_t)edge]++;
        }
    }
    int64_t ahead = 0;
    for (size_t b = 0; b < BINS; b++) {
        ahead += (int64_t)(ref[b] - got[b]);
        if ((uint64_t)llabs(ahead) > close[b + 1])
            fail_msg("hist, m %zu d %zu, fill %s: %lld pairs on the wrong side of edge %zu, at "
                     "most %llu are near it",
                     m, d, fill_names[f->fill], (long long)ahead, b + 1,
                     (unsigned long long)close[b + 1]);
    }
    assert_int_equal(ahead, 0);
    free(close);
}

static void check_hist(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t m = f->s.m, d = f->s.d;
    const double slack = (double)(d + 4) * EPS;
    double *const bound = grab(m, sizeof *bound);
    float *const U = unit_rows(f);
    for (size_t i = 0; i < m; i++)
        bound[i] = slack;
    check_near("row_max", f, m, ref[1], got[1], bound);
    check_near("row_min", f, m, ref[3], got[3], bound);
    check_counts(f, U, slack, ref[0], got[0]);
    const uint32_t *const at = got[2];
    const float *const largest = ref[1];
    for (size_t i = 0; i < m; i++) {
        if (!(largest[i] > -2)) /* no partner */
            continue;
        double c = 0;
        for (size_t l = 0; l < d; l++)
            c += (double)U[i * d + l] * U[at[i] * d + l];
        near("cosine at row_argmax", f, largest[i], c, slack);
    }
    if (f->fill == FILL_ZEROS || f->fill == FILL_ONEHOT) /* exact ties: the lower partner */
        check_bits("row_argmax", f, m * sizeof(uint32_t), ref[2], got[2]);
    free(U);
    free(bound);
}

const struct op_case cases_orth[] = {
    {"orth_masks",   sizes_masks,   run_masks,   check_masks,   5000},
    {"compare_rows", sizes_compare, run_compare, check_compare, 0   },
    {"cos_hist",     sizes_hist,    run_hist,    check_hist,    2000},
    {NULL,           NULL,          NULL,        NULL,          0   }
};
