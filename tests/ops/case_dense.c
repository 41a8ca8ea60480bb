/* SPDX-License-Identifier: MIT */
/* case_dense : matrix product, and row-wise and element-wise operations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkops.h"

/* gemm: C = 2 A B' - C in each of the four transpositions; the rows of C are two floats apart */
enum { GAP = 2 };

static void sizes_gemm(const struct fix *f, size_t bytes[OUTS])
{
    for (int i = 0; i < 4; i++)
        bytes[i] = f->s.n * (f->s.m + GAP) * sizeof(float);
}

static void fill_c(const struct sae_ops *o, const struct fix *f, float *to)
{
    const size_t n = f->s.n, m = f->s.m;
    float *const pre = fetch(o, f->pre, n * m * sizeof *pre);
    float *const C = grab(n * (m + GAP), sizeof *C);
    for (size_t t = 0; t < n; t++) {
        memcpy(C + t * (m + GAP), pre + t * m, m * sizeof *C);
        for (size_t i = 0; i < GAP; i++)
            C[t * (m + GAP) + m + i] = 77;
    }
    o->put(to, C, n * (m + GAP) * sizeof *C);
    free(C);
    free(pre);
}

/* W and x serve as they lie, or as matrices of the transposed shape made from the same floats. */
static void run_gemm(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t n = f->s.n, m = f->s.m, d = f->s.d;
    for (int i = 0; i < 4; i++) {
        const bool ta = i & 1, tb = i & 2;
        fill_c(o, f, a[i]);
        o->gemm(ta, tb, n, m, d, 2, f->x, ta ? n : d, f->W, tb ? d : m, -1, a[i], m + GAP);
        }
}

static void check_gemm(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = f->s.n, m = f->s.m, d = f->s.d, ld = m + GAP;
    double *const bound = grab(n * ld, sizeof *bound);
    for (int k = 0; k < 4; k++) {
        const bool ta = k & 1, tb = k & 2;
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < m; j++) {
                double sum = fabs((double)f->pre[i * m + j]);
                for (size_t l = 0; l < d; l++)
                    sum += 2 * fabs((double)(ta ? f->x[l * n + i] : f->x[i * d + l]) *
                                    (tb ? f->W[j * d + l] : f->W[l * m + j]));
                bound[i * ld + j] = (double)(d + 4) * EPS * sum;
            }
        }
        check_near("C", f, n * ld, ref[k], got[k], bound);
    }
    free(bound);
}

/* beta = 0 overwrites whatever C held */
static void sizes_pre(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = f->s.n * f->s.m * sizeof(float);
}

static void run_gemm_over_nan(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    fill_with(o, a[0], f->s.n * f->s.m, NAN);
    o->gemm(false, true, f->s.n, f->s.m, f->s.d, 1, f->x, f->s.d, f->W, f->s.d, 0, a[0], f->s.m);
}

static void check_gemm_over_nan(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = f->s.n, m = f->s.m, d = f->s.d;
    double *const bound = grab(n * m, sizeof *bound);
    for (size_t i = 0; i < n * m; i++) {
        for (size_t l = 0; l < d; l++)
            bound[i] += fabs((double)f->x[i / m * d + l] * f->W[i % m * d + l]);
        bound[i] *= (double)(d + 2) * EPS;
    }
    check_near("C", f, n * m, ref[0], got[0], bound);
    free(bound);
}

/* center: one rounding, so equal; NaN may differ in its payload, so not by bits */
static void sizes_center(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = f->s.n * f->s.d * sizeof(float);
    bytes[1] = f->s.d * sizeof(float);
    bytes[2] = sizeof(double);
}

/* outputs: center, col_sum, sum_sq */
static void run_sums(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    o->center(f->s.n, f->s.d, f->x, f->b_dec, a[0]);
    o->col_sum(f->s.n, f->s.d, f->x, a[1]);
    const double sq = o->sum_sq(f->s.n * f->s.d, f->x);
    o->put(a[2], &sq, sizeof sq);
}

static void check_sums(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = f->s.n, d = f->s.d;
    double *const bound = grab(n * d, sizeof *bound);
    check_near("center", f, n * d, ref[0], got[0], bound);
    for (size_t i = 0; i < n * d; i++) /* rounding to float, and the order of a sum in double */
        bound[i % d] += (EPS + (double)n * 0x1p-53) * fabs((double)f->x[i]);
    check_near("col_sum", f, d, ref[1], got[1], bound);
    const double *const a = ref[2], *const b = got[2];
    float rel[2] = {1, (float)(*a == *b ? 1 : *b / *a)};
    if (isnan(*a) && isnan(*b))
        rel[1] = 1;
    bound[0] = EPS; /* the quotient is tested in float; the sums agree to 1e-12 */
    check_near("sum_sq", f, 1, &rel[0], &rel[1], bound);
    free(bound);
}

static void sizes_unit(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = f->s.m * f->s.d * sizeof(float);
}

static void run_unit(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    copy(o, a[0], f->W, f->s.m * f->s.d * sizeof(float));
    o->unit_rows(f->s.m, f->s.d, 1e-6f, a[0]);
}

static void check_unit(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = f->s.m * f->s.d;
    const float *const unit = ref[0];
    double *const bound = grab(n, sizeof *bound);
    for (size_t i = 0; i < n; i++)
        bound[i] = 2 * EPS * fabs((double)unit[i]);
    check_near("unit_rows", f, n, unit, got[0], bound);
    free(bound);
}

/* outputs: W, M, V */
static const struct sae_adam adam = {
    .lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .step = 3, .scale = 0.5f};

static void sizes_adam(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = bytes[2] = f->s.m * f->s.d * sizeof(float);
}

static void run_adam(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t n = f->s.m * f->s.d;
    copy(o, a[0], f->W, n * sizeof(float));
    copy(o, a[1], f->M, n * sizeof(float));
    copy(o, a[2], f->V, n * sizeof(float));
    o->adam(n, &adam, a[0], f->G, a[1], a[2]);
}

static void check_adam(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = f->s.m * f->s.d;
    double *const b_W = grab(n, sizeof *b_W), *const b_M = grab(n, sizeof *b_M),
                  *const b_V = grab(n, sizeof *b_V);
    const double b1 = adam.beta1, b2 = adam.beta2;
    for (size_t i = 0; i < n; i++) {
        const double g = (double)adam.scale * f->G[i];
        const double mom = b1 * fabs((double)f->M[i]) + (1 - b1) * fabs(g);
        const double var = b2 * f->V[i] + (1 - b2) * g * g;
        b_M[i] = 4 * EPS * mom;
        b_V[i] = 5 * EPS * var;
        /* mom / c1 and sqrt(var) may be denormal: their rounding then is absolute */
        b_W[i] = 2 * EPS * fabs((double)f->W[i]) + adam.lr * (12 * EPS * mom + 4 * 0x1p-149) /
                                                       (1 - pow(b1, 3)) /
                                                       (sqrt(var / (1 - pow(b2, 3))) + adam.eps);
    }
    check_near("M", f, n, ref[1], got[1], b_M);
    check_near("V", f, n, ref[2], got[2], b_V);
    check_near("W", f, n, ref[0], got[0], b_W);
    free(b_W);
    free(b_M);
    free(b_V);
}

/* loss: both kinds. outputs: gradient and sum of each */
static void sizes_loss(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = f->s.n * f->s.d * sizeof(float);
    bytes[2] = 2 * sizeof(double);
}

static void run_loss(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    double *const sum = a[2];
    for (int norm = 0; norm < 2; norm++)
        o->loss_sum(norm, f->s.n, f->s.d, f->x, f->g, a[norm], sum + norm);
}

static void check_loss(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t nd = f->s.n * f->s.d;
    double *const bound = grab(nd, sizeof *bound);
    for (int norm = 0; norm < 2; norm++) {
        const float *const g = ref[norm];
        const double *const a = ref[2], *const b = got[2];
        for (size_t i = 0; i < nd; i++)
            bound[i] = 4 * EPS * fabs((double)g[i]);
        check_near(norm ? "gradient of the norm" : "gradient of the square", f, nd, g, got[norm],
                   bound);
        const float rel[2] = {1, (float)(a[norm] == b[norm] || (isnan(a[norm]) && isnan(b[norm]))
                                             ? 1
                                             : b[norm] / a[norm])};
        bound[0] = EPS; /* tested in float; the sums agree to 1e-12 */
        check_near("loss", f, 1, &rel[0], &rel[1], bound);
    }
    free(bound);
}

/* The two passes over a decoder. outputs: proj, W, M, V, sum of squares */
static void sizes_update(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = f->s.m * sizeof(float);
    bytes[1] = bytes[2] = bytes[3] = f->s.m * f->s.d * sizeof(float);
    bytes[4] = sizeof(double);
}

static void run_update(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t n = f->s.m * f->s.d;
    copy(o, a[1], f->W, n * sizeof(float));
    copy(o, a[2], f->M, n * sizeof(float));
    copy(o, a[3], f->V, n * sizeof(float));
    o->project_sum(f->s.m, f->s.d, f->W, 1e-6f, f->G, a[0], a[4]);
    o->adam_rows(f->s.m, f->s.d, &adam, a[0], 1e-7f, a[1], f->G, a[2], a[3]);
}

/* That the two passes are a projection, adam and unit_rows is for "update in single passes". */
static void check_update(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t m = f->s.m, d = f->s.d;
    const float *const W = ref[1], *const M = ref[2], *const proj = ref[0];
    double *const b_a = grab(m, sizeof *b_a), *const b_W = grab(m * d, sizeof *b_W),
                  *const b_M = grab(m * d, sizeof *b_M), *const b_V = grab(m * d, sizeof *b_V);
    double terms = 0;
    for (size_t j = 0; j < m; j++) {
        double dot = 0, ww = 0, lost = 0, len = 0;
        for (size_t i = j * d; i < (j + 1) * d; i++) {
            dot += fabs((double)f->G[i] * f->W[i]);
            ww += (double)f->W[i] * f->W[i];
            terms += (double)f->G[i] * f->G[i];
        }
        b_a[j] = EPS * fabs((double)proj[j]) + (ww > 0 ? 1e-12 * dot / ww : 0);
        for (size_t i = j * d; i < (j + 1) * d; i++) {
            const double slip = b_a[j] * fabs((double)f->W[i]) +
                                2 * EPS * (fabs((double)f->G[i]) + fabs((double)proj[j] * f->W[i]));
            const double g = adam.scale * (fabs((double)f->G[i]) + fabs((double)proj[j] * f->W[i]));
            const double mom = adam.beta1 * fabs((double)f->M[i]) + (1 - adam.beta1) * g;
            const double var = adam.beta2 * f->V[i] + (1 - adam.beta2) * g * g;
            const double move = adam.lr * (12 * EPS * mom + slip + 4 * 0x1p-149);
            const double root = sqrt(f->V[i] * adam.beta2 / (1 - pow(adam.beta2, 3))) + adam.eps;
            b_M[i] = 4 * EPS * mom + slip;
            b_V[i] = 6 * EPS * var + 2 * (1 - adam.beta2) * g * slip;
            /* an error of the variance moves the quotient in proportion */
            b_W[i] = 2 * EPS * fabs((double)f->W[i]) +
                     20 * (move + adam.lr * fabs((double)M[i]) * (b_V[i] / (root * root))) / root;
            lost += b_W[i] * b_W[i];
            len += (double)f->W[i] * f->W[i];
        }
        /* a row is divided by its norm (+ 1e-7), which is not far from what it was if that is large */
        const double shrink = sqrt(len) > 0.1 ? 2 / sqrt(len) : 1e7;
        for (size_t i = j * d; i < (j + 1) * d; i++)
            b_W[i] = 4 * (b_W[i] * shrink + fabs((double)W[i]) * (sqrt(lost) * shrink + EPS));
    }
    check_near("proj", f, m, proj, got[0], b_a);
    check_near("M", f, m * d, M, got[2], b_M);
    check_near("V", f, m * d, ref[3], got[3], b_V);
    check_near("W", f, m * d, W, got[1], b_W);
    const double *const a = ref[4], *const b = got[4];
    const bool same = *a == *b || (isnan(*a) && isnan(*b));
    const float rel[2] = {1, (float)(same ? 1 : 1 + (*b - *a) / terms)};
    b_a[0] = 4 * EPS; /* of the squares before anything is taken out */
    check_near("sum of squares", f, 1, &rel[0], &rel[1], b_a);
    free(b_a);
    free(b_W);
    free(b_M);
    free(b_V);
}

/* g -= (g.u) u, u = w / (|w| + 1e-6) */
static void project_row(size_t d, const float *w, float *g)
{
    double dot = 0, sq = 0;
    for (size_t i = 0; i < d; i++) {
        dot += (double)g[i] * w[i];
        sq += (double)w[i] * w[i];
    }
    const double norm = sqrt(sq) + (double)1e-6f;
    for (size_t i = 0; i < d; i++)
        g[i] = (float)(g[i] - dot / norm * (w[i] / norm));
}

/* outputs: W, M, V */
static void run_passes(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t m = f->s.m, d = f->s.d, n = m * d;
    copy(o, a[0], f->W, n * sizeof(float));
    copy(o, a[1], f->M, n * sizeof(float));
    copy(o, a[2], f->V, n * sizeof(float));
    if (o == &sae_ops_ref) {
        float *const G = grab(n, sizeof *G);
        memcpy(G, f->G, n * sizeof *G);
        for (size_t j = 0; j < m; j++)
            project_row(d, f->W + j * d, G + j * d);
        o->adam(n, &adam, a[0], G, a[1], a[2]);
        o->unit_rows(m, d, 1e-7f, a[0]);
        free(G);
    } else {
        float *const proj = take(o, m, sizeof *proj);
        double *const sum = take(o, 1, sizeof *sum);
        o->project_sum(m, d, f->W, 1e-6f, f->G, proj, sum);
        o->adam_rows(m, d, &adam, proj, 1e-7f, a[0], f->G, a[1], a[2]);
        o->free(proj);
        o->free(sum);
    }
}

static void check_passes(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t m = f->s.m, d = f->s.d;
    double *const bound = grab(m * d, sizeof *bound);
    for (size_t j = 0; j < m; j++) {
        double dot = 0, ww = 0;
        for (size_t i = j * d; i < (j + 1) * d; i++) {
            dot += fabs((double)f->G[i] * f->W[i]);
            ww += (double)f->W[i] * f->W[i];
        }
        for (size_t i = j * d; i < (j + 1) * d; i++)
            bound[i] = 4 * EPS * (fabs((double)f->M[i]) + fabs((double)f->G[i]) +
                                  (ww > 0 ? dot / ww * fabs((double)f->W[i]) : 0));
    }
    check_near("M of single passes", f, m * d, ref[1], got[1], bound);
    free(bound);
}

const struct op_case cases_dense[] = {
    {"gemm",                    sizes_gemm,   run_gemm,          check_gemm,          2000},
    {"gemm with beta 0",        sizes_pre,    run_gemm_over_nan, check_gemm_over_nan, 2000},
    {"center, col_sum, sum_sq", sizes_center, run_sums,          check_sums,          0   },
    {"unit_rows",               sizes_unit,   run_unit,          check_unit,          0   },
    {"adam",                    sizes_adam,   run_adam,          check_adam,          0   },
    {"loss_sum",                sizes_loss,   run_loss,          check_loss,          0   },
    {"project_sum, adam_rows",  sizes_update, run_update,        check_update,        0   },
    {"update in single passes", sizes_adam,   run_passes,        check_passes,        0   },
    {NULL,                      NULL,         NULL,              NULL,                0   }
};
