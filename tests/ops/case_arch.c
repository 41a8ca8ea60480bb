/* SPDX-License-Identifier: MIT */
/* case_arch : operations of gated, JumpReLU and matryoshka autoencoders, of annealed sparsity and of
 * OrtSAE. Sums over tokens are in double on both sides; where an f32 product or an elementary
 * function enters, the bound is that of its few roundings. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkops.h"

static void near(const char *what, const struct fix *f, double ref, double got, double bound)
{
    if (!(fabs(ref - got) <= bound || ref == got || (isnan(ref) && isnan(got))))
        fail_msg("%s, n %zu m %zu, fill %s: %.17g, expected %.17g within %.3g", what, f->s.n, f->s.m,
                 fill_names[f->fill], got, ref, bound);
}

/* Some other value of pre for each: d1, d2, and so on. */
static float other(const struct fix *f, size_t i, size_t step)
{
    return f->pre[(i * step + 1) % (f->s.n * f->s.m)];
}

/* A host array of n floats becomes one of the backend. */
static float *send(const struct sae_ops *o, size_t n, float *host)
{
    float *const there = take(o, n, sizeof *there);
    o->put(there, host, n * sizeof *host);
    free(host);
    return there;
}

/* Values of pre in another order, in memory of the backend; negative ones 0 where `cut`. */
static float *others(const struct sae_ops *o, const struct fix *f, size_t step, bool cut)
{
    const size_t nm = f->s.n * f->s.m;
    float *const pre = fetch(o, f->pre, nm * sizeof *pre), *const v = grab(nm, sizeof *v);
    for (size_t i = 0; i < nm; i++) {
        v[i] = step ? pre[(i * step + 1) % nm] : pre[i];
        v[i] = cut && !(v[i] > 0) ? 0 : v[i];
    }
    free(pre);
    return send(o, nm, v);
}

/* --- annealed sparsity: sums, powers by row, dz by either form ------------------------------ */

static void sizes_lp(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = 2 * sizeof(double);
    bytes[2] = f->s.n * sizeof(double);
    bytes[3] = bytes[4] = f->s.n * f->s.m * sizeof(float);
    bytes[5] = f->s.n * sizeof(double);
}

static void run_lp(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t n = f->s.n, m = f->s.m;
    float *const v = others(o, f, 0, true), *const dz = others(o, f, 5, false);
    copy(o, a[3], dz, n * m * sizeof *dz);
    copy(o, a[4], dz, n * m * sizeof *dz);
    o->lp_sum(false, n, m, f->csr.start, f->csr.val, 0.7, 0, a[5], a[0]);
    o->lp_sum(false, n, m, NULL, v, 0.7, 0, a[5], a[0]); /* added */
    o->lp_grad(false, n, m, NULL, v, 0.7, 0.25, a[5], a[3]);
    o->lp_sum(true, n, m, NULL, v, 0.6, 0.5, a[2], a[1]);
    o->lp_grad(true, n, m, NULL, v, 0.6, 0.25, a[2], a[4]);
    o->lp_grad(true, n, m, f->csr.start, f->csr.val, 0.6, 0.25, a[2], a[4]);
    o->lp_sum(false, n, m, NULL, v, 1, 0, a[5], a[0]);
    o->free(v);
    o->free(dz);
}

static void check_lp(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t nm = f->s.n * f->s.m;
    double *const bound = grab(nm, sizeof *bound);
    for (int form = 0; form < 2; form++) {
        const float *const v = ref[3 + form];
        for (size_t i = 0; i < nm; i++)
            bound[i] = 4 * EPS * (fabs((double)v[i]) + fabs((double)other(f, i, 5)));
        for (size_t t = 0; form && t < f->s.n; t++) /* of the second pass: entries lie elsewhere */
            for (size_t e = f->csr.start[t]; e < f->csr.start[t + 1]; e++)
                bound[e] += 8 * EPS * fabs((double)v[e]);
        check_near(form ? "dz by lp" : "dz by lp^p", f, nm, v, got[3 + form], bound);
        for (size_t i = 0; i < 2; i++) {
            const double want = ((const double *)ref[form])[i];
            near("sum of powers", f, want, ((const double *)got[form])[i], 1e-10 * fabs(want));
        }
        for (size_t t = 0; t < f->s.n; t++) {
            const double want = ((const double *)ref[form ? 2 : 5])[t];
            near("powers of a row", f, want, ((const double *)got[form ? 2 : 5])[t],
                 1e-11 * fabs(want));
        }
    }
    free(bound);
}

/* --- gated: f, gate, sums, d2, four gradients ----------------------------------------------- */

static void sizes_gate(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = bytes[3] = f->s.n * f->s.m * sizeof(float);
    bytes[2] = 2 * sizeof(double);
    bytes[4] = 4 * f->s.m * sizeof(float);
}

static void run_gate(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t n = f->s.n, m = f->s.m;
    float *const v = others(o, f, 3, true), *const gate = others(o, f, 0, true),
                *const d1 = others(o, f, 7, false), *const d2 = others(o, f, 5, false),
                *const g = a[4];
    o->gate(n, m, f->pre, f->b_enc, f->theta, f->b_enc, a[0], a[1], a[2]);
    /* masks that rounding cannot turn */
    copy(o, a[3], d2, n * m * sizeof *d2);
    o->gate_grad(n, m, f->pre, f->theta, v, gate, 0.25f, d1, a[3], g, g + m, g + 2 * m, g + 3 * m);
    o->free(v);
    o->free(gate);
    o->free(d1);
    o->free(d2);
}

static void check_gate(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = f->s.n, m = f->s.m;
    double *const bound = grab(n * m, sizeof *bound), *const sums = grab(4 * m, sizeof *sums);
    const double *const want = ref[2], *const have = got[2];
    for (size_t i = 0; i < n * m; i++) {
        const size_t j = i % m;
        const double scale = exp((double)f->theta[j]), u = (double)f->pre[i];
        const double df = scale * fabs((double)other(f, i, 7));
        bound[i] = 6 * EPS * (scale * fabs(u) + fabs((double)f->b_enc[j]));
        sums[j] += 1e-12 * (fabs((double)other(f, i, 5)) + 1);
        sums[m + j] += 1e-12 * fabs((double)other(f, i, 7));
        sums[2 * m + j] += 4 * EPS * fabs(df * u);
        sums[3 * m + j] += 4 * EPS * (fabs((double)other(f, i, 5)) + 1 + df);
    }
    check_near("f", f, n * m, ref[0], got[0], bound);
    check_bits("gate", f, n * m * sizeof(float), ref[1], got[1]);
    near("sum of gate", f, want[0], have[0], 1e-10 * fabs(want[0]));
    near("active", f, want[1], have[1], 2); /* whose sign may turn with f's rounding */
    for (size_t i = 0; i < n * m; i++) {
        const double scale = exp((double)f->theta[i % m]);
        bound[i] = 4 * EPS * (fabs((double)other(f, i, 5)) + 1 + scale * fabs((double)other(f, i, 7)));
    }
    check_near("du", f, n * m, ref[3], got[3], bound);
    const float *const g = ref[4];
    for (size_t i = 0; i < 4 * m; i++)
        sums[i] += 2 * EPS * fabs((double)g[i]);
    check_near("sums", f, 4 * m, g, got[4], sums);
    free(bound);
    free(sums);
}

/* --- JumpReLU: z, f, active, sums, df, g_theta ---------------------------------------------- */

/* Width of the products of jump_grad, which at large shapes would take ref long. */
static size_t jump_width(const struct fix *f)
{
    return f->s.m > 2000 && f->s.d > 16 ? 16 : f->s.d;
}

static void sizes_jump(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = bytes[4] = f->s.n * f->s.m * sizeof(float);
    bytes[2] = 2 * f->s.m * sizeof(uint32_t);
    bytes[3] = 4 * sizeof(double);
    bytes[5] = 2 * f->s.m * sizeof(float);
}

static void run_jump(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t n = f->s.n, m = f->s.m;
    float *const df = others(o, f, 7, false), *const g = a[5];
    uint32_t *const active = a[2];
    double *const sum = a[3];
    for (size_t by_z = 0; by_z < 2; by_z++) {
        const struct sae_jump h = {0.5, 3, 2, by_z != 0};
        copy(o, a[0], f->pre, n * m * sizeof *f->pre);
        copy(o, a[4], df, n * m * sizeof *df);
        o->jump(n, m, f->b_enc, f->theta, by_z != 0, a[0], active + by_z * m, sum + 2 * by_z);
        o->jump_fill(n, m, a[0], f->theta, a[1]);
        o->jump_grad(n, m, jump_width(f), &h, a[0], f->theta, active + by_z * m, sum + 2 * by_z + 1,
                     f->g, f->W, g + by_z * m);
    }
    o->mask_grad(n * m, a[1], 0, a[4]);
    o->free(df);
}

static void check_jump(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = f->s.n, m = f->s.m;
    double *const bound = grab(2 * m, sizeof *bound), *const none = grab(n * m, sizeof *none);
    check_near("z", f, n * m, ref[0], got[0], none);
    check_near("f", f, n * m, ref[1], got[1], none);
    check_bits("active", f, 2 * m * sizeof(uint32_t), ref[2], got[2]);
    check_bits("sums", f, 4 * sizeof(double), ref[3], got[3]);
    check_near("df", f, n * m, ref[4], got[4], none);
    const size_t d = jump_width(f);
    for (size_t j = 0; j < m; j++) {
        double most = 1;
        for (size_t t = 0; t < n; t++)
            for (size_t i = 0; i < d; i++)
                most += fabs((double)f->g[t * d + i] * (double)f->W[j * d + i]);
        bound[j] = 1e-10 * (fabs((double)f->theta[j]) * most + (double)n);
    }
    for (size_t j = 0; j < m; j++) {
        const float *const g = ref[5];
        bound[m + j] = bound[j] + 2 * EPS * fabs((double)g[m + j]);
        bound[j] += 2 * EPS * fabs((double)g[j]);
    }
    check_near("g_theta", f, 2 * m, ref[5], got[5], bound);
    free(bound);
    free(none);
}

/* --- matryoshka: xhat, dz, dW_dec, H and its loss ------------------------------------------- */

static void sizes_group(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[3] = f->s.n * f->s.d * sizeof(float);
    bytes[1] = (fix_nnz(f) + 1) * sizeof(float);
    bytes[2] = f->s.m * f->s.d * sizeof(float);
    bytes[4] = 2 * sizeof(double);
    bytes[5] = f->s.n * f->s.d * sizeof(float);
}

static void group_of(const struct fix *f, size_t *first, size_t *end)
{
    *first = f->s.m / 4;
    *end = f->s.m - f->s.m / 3;
}

static void run_group(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t n = f->s.n, m = f->s.m, d = f->s.d;
    size_t first, end;
    double *const sum = a[4];
    group_of(f, &first, &end);
    fill_with(o, a[1], fix_nnz(f) + 1, 0);
    fill_with(o, a[2], m * d, 0);
    o->decode_group(d, &f->csr, first, end, f->W, f->x, a[0]);
    o->grad_dec_group(d, first, end, &f->csr, &f->csc, f->g, f->W, a[1], a[2]);
    copy(o, a[3], f->g, n * d * sizeof(float));
    o->prefix_loss(n, d, 0.5, f->x, a[3], NULL, a[3], sum);
    copy(o, sum + 1, sum, sizeof *sum);
    o->prefix_loss(n, d, 0.25, f->g, f->x, a[3], a[5], sum + 1);
}

static void check_group(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = f->s.n, m = f->s.m, d = f->s.d, nnz = fix_nnz(f);
    size_t first, end;
    group_of(f, &first, &end);
    double *const xhat = grab(n * d, sizeof *xhat), *const dz = grab(nnz + 1, sizeof *dz),
                 *const dW = grab(m * d, sizeof *dW), *const H = grab(n * d, sizeof *H);
    for (size_t t = 0; t < n; t++) {
        const size_t e0 = f->csr.start[t], e1 = f->csr.start[t + 1];
        const double roundings = (double)(e1 - e0 + 2) * EPS;
        for (size_t i = 0; i < d; i++)
            xhat[t * d + i] = roundings * fabs((double)f->x[t * d + i]);
        for (size_t e = e0; e < e1; e++) {
            const size_t j = f->csr.idx[e];
            if (j < first || j >= end)
                continue;
            for (size_t i = 0; i < d; i++) {
                const double w = fabs((double)f->W[j * d + i]), g = fabs((double)f->g[t * d + i]);
                xhat[t * d + i] += roundings * (double)f->csr.val[e] * w;
                dz[e] += (double)(d + 2) * EPS * w * g;
                dW[j * d + i] += (double)(n + 2) * EPS * (double)f->csr.val[e] * g;
            }
        }
        for (size_t i = t * d; i < (t + 1) * d; i++)
            H[i] = 8 * EPS * (fabs((double)f->x[i]) + fabs((double)f->g[i]));
    }
    check_near("xhat", f, n * d, ref[0], got[0], xhat);
    check_near("dz", f, nnz, ref[1], got[1], dz);
    check_near("dW_dec", f, m * d, ref[2], got[2], dW);
    check_near("H", f, n * d, ref[3], got[3], H);
    check_near("H with later ones", f, n * d, ref[5], got[5], H);
    for (size_t i = 0; i < 2; i++) {
        const double want = ((const double *)ref[4])[i];
        near("loss", f, want, ((const double *)got[4])[i], 1e-10 * fabs(want));
    }
    free(xhat);
    free(dz);
    free(dW);
    free(H);
}

/* --- OrtSAE: G, Gout, losses with gradient and without -------------------------------------- */

static void sizes_ortsae(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = f->s.m * f->s.d * sizeof(float);
    bytes[2] = 2 * sizeof(double);
}

static void run_ortsae(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t m = f->s.m, chunks = m < 8 ? 1 : 3;
    uint32_t *const order = grab(m, sizeof *order), *const there = take(o, m, sizeof *there);
    double *const sum = a[2];
    for (size_t i = 0; i < m; i++) /* 11 divides no width but 517's, which takes 7 */
        order[i] = (uint32_t)(i * (m % 11 ? 11 : 7) % m);
    o->put(there, order, m * sizeof *order);
    copy(o, a[0], f->G, m * f->s.d * sizeof(float));
    o->ortsae(m, f->s.d, f->W, chunks, there, 2, a[0], a[1], sum);
    o->ortsae(m, f->s.d, f->W, chunks, there, 2, NULL, NULL, sum + 1);
    o->free(there);
    free(order);
}

static void check_ortsae(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = f->s.m * f->s.d;
    const double *const want = ref[2], *const have = got[2];
    const float *const term = ref[1];
    if (f->fill == FILL_NAN) /* weights are finite */
        return;
    near("loss", f, want[0], have[0], 1e-5 * fabs(want[0]) + 1e-12);
    near("loss without gradient", f, have[0], have[1], 0);
    if (f->fill == FILL_TIES) /* of partners equally near rounding may choose either */
        return;
    double *const bound = grab(n, sizeof *bound), most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)term[i]));
    for (size_t i = 0; i < n; i++)
        bound[i] = 1e-5 * most;
    check_near("Gout", f, n, ref[1], got[1], bound);
    for (size_t i = 0; i < n; i++)
        bound[i] += 4 * EPS * (fabs((double)f->G[i]) + most);
    check_near("G", f, n, ref[0], got[0], bound);
    free(bound);
}

const struct op_case cases_arch[] = {
    {"lp_sum, lp_grad",                           sizes_lp,     run_lp,     check_lp,     2000},
    {"gate, gate_grad",                           sizes_gate,   run_gate,   check_gate,   0   },
    {"jump, jump_grad",                           sizes_jump,   run_jump,   check_jump,   0   },
    {"decode_group, grad_dec_group, prefix_loss", sizes_group,  run_group,  check_group,  0   },
    {"ortsae",                                    sizes_ortsae, run_ortsae, check_ortsae, 600 },
    {NULL,                                        NULL,         NULL,       NULL,         0   }
};
