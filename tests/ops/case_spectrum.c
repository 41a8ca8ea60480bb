/* SPDX-License-Identifier: MIT */
/* case_spectrum : the Gram matrix and its eigenvalues in double, and dot products of pairs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkops.h"

#define EPS64 0x1p-53
enum { D_MAX = 140 }; /* wider ones take ref's rotations too long */

static size_t side(const struct fix *f)
{
    return f->s.d <= D_MAX ? f->s.d : 0;
}

static void check_doubles(const char *what, const struct fix *f, size_t n, const double *ref,
                          const double *got, double bound)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(ref[i] - got[i]) <= bound))
            fail_msg("%s, m %zu d %zu, fill %s: element %zu is %.17g, expected %.17g within %.3g",
                     what, f->s.m, f->s.d, fill_names[f->fill], i, got[i], ref[i], bound);
}

/* outputs: G, eigenvalues; of finite rows alone */
static void sizes_gram(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = side(f) * side(f) * sizeof(double);
    bytes[1] = side(f) * sizeof(double);
}

static void run_gram(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t d = side(f);
    struct sae_err err = {0};
    if (d == 0 || f->fill == FILL_NAN)
        return;
    double *const G = take(o, d * d, sizeof *G);
    if (o->gram(f->s.m, d, f->W, a[0], &err) != SAE_OK)
        fail_msg("gram: %s", err.msg);
    copy(o, G, a[0], d * d * sizeof *G);
    if (o->eigenvalues(d, G, a[1], &err) != SAE_OK)
        fail_msg("eigenvalues: %s", err.msg);
    o->free(G);
}

/* G is a sum of m products, each within EPS64; an eigenvalue moves by no more than the norm of the
 * error, and a backward stable method adds some units of the largest. */
static void check_gram(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t d = side(f);
    if (d == 0 || f->fill == FILL_NAN)
        return;
    double trace = 0, sum = 0;
    const double *const G = ref[0], *const eig = got[1];
    for (size_t i = 0; i < d; i++) {
        trace += G[i * d + i];
        sum += eig[i];
        if (i > 0 && eig[i] < eig[i - 1])
            fail_msg("eigenvalues, m %zu d %zu: not ascending at %zu", f->s.m, d, i);
    }
    const double slack = (double)(f->s.m + 10 * d) * EPS64 * trace;
    check_doubles("gram", f, d * d, ref[0], got[0], (double)(f->s.m + 2) * EPS64 * trace);
    check_doubles("eigenvalues", f, d, ref[1], got[1], slack);
    check_doubles("sum of eigenvalues", f, 1, &trace, &sum, (double)d * slack);
}

/* outputs: dot of pairs that lie anywhere, the latent with itself among them */
static size_t n_pairs(const struct fix *f)
{
    return 3 * f->s.m + 1;
}

static size_t partner(const struct fix *f, size_t p, int which)
{
    return which == 0 ? 7 * p % f->s.m : (13 * p + 5) % f->s.m;
}

static void sizes_pair(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = n_pairs(f) * sizeof(float);
}

static void run_pair(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t n = n_pairs(f);
    uint32_t *const i = grab(n, sizeof *i), *const j = grab(n, sizeof *j);
    for (size_t p = 0; p < n; p++) {
        i[p] = (uint32_t)partner(f, p, 0);
        j[p] = (uint32_t)partner(f, p, 1);
    }
    uint32_t *const i_there = take(o, n, sizeof *i), *const j_there = take(o, n, sizeof *j);
    o->put(i_there, i, n * sizeof *i);
    o->put(j_there, j, n * sizeof *j);
    o->pair_dots(n, f->s.d, f->W, i_there, j_there, a[0]);
    o->free(i_there);
    o->free(j_there);
    free(i);
    free(j);
}

static void check_pair(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = n_pairs(f), d = f->s.d;
    double *const bound = grab(n, sizeof *bound);
    for (size_t p = 0; p < n; p++) {
        const float *const a = f->W + partner(f, p, 0) * d, *const b = f->W + partner(f, p, 1) * d;
        for (size_t l = 0; l < d; l++)
            bound[p] += (double)(d + 2) * EPS * fabs((double)a[l] * (double)b[l]);
    }
    check_near("dot", f, n, ref[0], got[0], bound);
    free(bound);
}

const struct op_case cases_spectrum[] = {
    {"gram, eigenvalues", sizes_gram, run_gram, check_gram, 2000},
    {"pair_dots",         sizes_pair, run_pair, check_pair, 0   },
    {NULL,                NULL,       NULL,     NULL,       0   }
};
