/* SPDX-License-Identifier: MIT */
/* case_orth : the orthogonality term and the histogram of cosines. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkops.h"

enum { BINS = 40 };
static const double weight = 0.25;

/* outputs: G, Gout, stats, stats without gradients */
static void sizes_orth(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = f->s.m * f->s.d * sizeof(float);
    bytes[2] = bytes[3] = sizeof(struct sae_orth_stats);
}

/* Row i of the coefficients, as orth_rows asks for it. */
static void fill_row(const void *user, size_t i, float *c)
{
    const struct sae_pairs *const pairs = user;
    for (size_t j = i + 1; j < pairs->m; j++)
        c[j] = 0;
    for (size_t e = pairs->start[i]; e < pairs->start[i + 1]; e++)
        if (pairs->idx[e] > i)
            c[pairs->idx[e]] = pairs->c[e];
}

/* The same by rows, where a backend has that; by the lists where it has not, or says that it
 * cannot: then it has written nothing. */
static void run_rows(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t m = f->s.m, d = f->s.d;
    struct sae_orth_stats stats;
    copy(o, a[0], f->G, m * d * sizeof(float));
    if (!o->orth_rows ||
        !o->orth_rows(m, d, f->W, fill_row, &f->pairs, weight, a[0], a[1], &stats)) {
        assert_true(!o->orth_rows || f->fill == FILL_NAN);
        o->orth(m, d, f->W, &f->pairs, weight, a[0], a[1], &stats);
    }
    o->put(a[2], &stats, sizeof stats);
    if (!o->orth_rows || !o->orth_rows(m, d, f->W, fill_row, &f->pairs, weight, NULL, NULL, &stats))
        o->orth(m, d, f->W, &f->pairs, weight, NULL, NULL, &stats);
    o->put(a[3], &stats, sizeof stats);
}

static void run_orth(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    struct sae_orth_stats stats;
    copy(o, a[0], f->G, f->s.m * f->s.d * sizeof(float));
    o->orth(f->s.m, f->s.d, f->W, &f->pairs, weight, a[0], a[1], &stats);
    o->put(a[2], &stats, sizeof stats);
    o->orth(f->s.m, f->s.d, f->W, &f->pairs, weight, NULL, NULL, &stats);
    o->put(a[3], &stats, sizeof stats);
}

static void near(const char *what, const struct fix *f, double ref, double got, double bound)
{
    if (!(fabs(ref - got) <= bound || (isnan(ref) && isnan(got))))
        fail_msg("%s, m %zu d %zu, fill %s: %.17g, expected %.17g within %.3g", what, f->s.m,
                 f->s.d, fill_names[f->fill], got, ref, bound);
}

static void check_stats(const struct fix *f, const struct sae_orth_stats *ref,
                        const struct sae_orth_stats *got, double all)
{
    assert_int_equal(ref->n_pairs, got->n_pairs);
    if (f->fill == FILL_NAN) /* where one cosine is NaN so are the sums */
        return;
    near("loss", f, ref->loss, got->loss, all);
    near("mean_abs_cos", f, ref->mean_abs_cos, got->mean_abs_cos, all);
    near("max_abs_cos", f, ref->max_abs_cos, got->max_abs_cos, all);
}

static void check_orth(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t m = f->s.m, d = f->s.d;
    double *const b_out = grab(m * d, sizeof *b_out), *const b_G = grab(m * d, sizeof *b_G);
    double all = 1e-40;
    for (size_t i = 0; i < m; i++) {
        const size_t e0 = f->pairs.start[i], e1 = f->pairs.start[i + 1];
        for (size_t e = e0; e < e1; e++) {
            const size_t j = f->pairs.idx[e];
            double dot = 0, size = 0;
            for (size_t l = 0; l < d; l++) {
                dot += (double)f->W[i * d + l] * f->W[j * d + l];
                size += fabs((double)f->W[i * d + l] * f->W[j * d + l]);
            }
            if (isnan(dot)) /* no sign, no term */
                continue;
            const double slack = (double)(d + 2) * EPS * size;
            all += slack;
            for (size_t l = 0; l < d; l++) {
                const double one = weight * f->pairs.c[e] * fabs((double)f->W[j * d + l]);
                /* where rounding may turn the sign, the term may turn too */
                b_out[i * d + l] += one * ((double)(e1 - e0 + 3) * EPS +
                                           (dot != 0 && fabs(dot) <= slack + 1e-44 ? 2 : 0));
            }
        }
        for (size_t l = 0; l < d; l++)
            b_G[i * d + l] =
                2 * b_out[i * d + l] + (double)(e1 - e0 + 2) * EPS * fabs((double)f->G[i * d + l]);
    }
    check_near("Gout", f, m * d, ref[1], got[1], b_out);
    check_near("G", f, m * d, ref[0], got[0], b_G);
    check_stats(f, ref[2], got[2], all);
    check_bits("stats without gradients", f, sizeof(struct sae_orth_stats), got[2], got[3]);
    free(b_out);
    free(b_G);
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
    {"orth",      sizes_orth, run_orth, check_orth, 0   },
    {"orth_rows", sizes_orth, run_rows, check_orth, 0   },
    {"cos_hist",  sizes_hist, run_hist, check_hist, 2000},
    {NULL,        NULL,       NULL,     NULL,       0   }
};
