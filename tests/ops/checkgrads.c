/* SPDX-License-Identifier: MIT */
/* checkgrads : gradients put together from the operations, against central differences of the
 * loss in double, the active set held fixed.
 *
 *   z = W_enc (x - b_dec) + b_enc on active latents,  xhat = b_dec + sum z W_dec
 *   L = sum ||x - xhat||^2   and   L_orth = sum over i < j of c_ij |f_i . f_j| */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkops.h"

static const struct shape shape = {7, 29, 19, 4};
#define STEP 1e-4

/* The loss in double; any parameter may be a copy that was moved. */
struct params {
    double *W_enc, *W_dec, *b_enc, *b_dec;
};

static double *widen(const float *a, size_t n)
{
    double *const w = grab(n, sizeof *w);
    for (size_t i = 0; i < n; i++)
        w[i] = a[i];
    return w;
}

static double recon_loss(const struct fix *f, const struct params *p)
{
    const size_t d = f->s.d;
    double loss = 0;
    double *const xhat = grab(d, sizeof *xhat);
    for (size_t t = 0; t < f->s.n; t++) {
        memcpy(xhat, p->b_dec, d * sizeof *xhat);
        for (size_t e = f->csr.start[t]; e < f->csr.start[t + 1]; e++) {
            const size_t j = f->csr.idx[e];
            double z = p->b_enc[j];
            for (size_t i = 0; i < d; i++)
                z += p->W_enc[j * d + i] * (f->x[t * d + i] - p->b_dec[i]);
            for (size_t i = 0; i < d; i++)
                xhat[i] += z * p->W_dec[j * d + i];
        }
        for (size_t i = 0; i < d; i++)
            loss += (xhat[i] - f->x[t * d + i]) * (xhat[i] - f->x[t * d + i]);
    }
    free(xhat);
    return loss;
}

static double orth_loss(size_t m, size_t d, const float *c, const double *W)
{
    double loss = 0;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = i + 1; j < m; j++) {
            double dot = 0;
            for (size_t l = 0; l < d; l++)
                dot += W[i * d + l] * W[j * d + l];
            loss += (double)c[i * m + j] * fabs(dot);
        }
    }
    return loss;
}

static void near(const char *what, size_t i, double want, double got, double size)
{
    if (!(fabs(want - got) <= 2e-5 * (size + fabs(want))))
        fail_msg("%s[%zu]: %.9g, central difference %.9g", what, i, got, want);
}

static void check_param(const char *what, const struct fix *f, const struct params *p, double *a,
                        size_t n, const float *grad)
{
    double size = 0;
    for (size_t i = 0; i < n; i++)
        size = fmax(size, fabs((double)grad[i]));
    assert_true(size > 0);
    for (size_t i = 0; i < n; i++) {
        const double kept = a[i];
        a[i] = kept + STEP;
        const double up = recon_loss(f, p);
        a[i] = kept - STEP;
        const double down = recon_loss(f, p);
        a[i] = kept;
        near(what, i, (up - down) / (2 * STEP), grad[i], size);
    }
}

/* The chain of a training step. b_dec: sum of g, less W_enc' applied to the sum of dz. */
static void check_recon(void **state)
{
    const struct sae_ops *const o = *state;
    struct fix f;
    fix_make(&f, &shape, FILL_NORMAL);
    const size_t n = shape.n, m = shape.m, d = shape.d;
    float *const xc = grab(n * d, 4), *const pre = grab(n * m, 4), *const g = grab(n * d, 4);
    float *const dW_dec = grab(m * d, 4), *const dW_enc = grab(m * d, 4);
    float *const db_enc = grab(m, 4), *const db_dec = grab(d, 4);
    float *const W_enc = f.G, *const W_dec = f.W;
    o->center(n, d, f.x, f.b_dec, xc);
    o->gemm(false, true, n, m, d, 1, xc, d, W_enc, d, 0, pre, m);
    o->topk(n, m, shape.k, pre, f.b_enc, &f.csr);
    assert_int_equal(fix_nnz(&f), n * shape.k);
    o->transpose(m, &f.csr, &f.csc);
    o->decode(d, &f.csr, W_dec, f.b_dec, g);
    for (size_t i = 0; i < n * d; i++)
        g[i] = 2 * (g[i] - f.x[i]);
    o->grad_dec(m, d, &f.csr, &f.csc, g, W_dec, f.dz, dW_dec);
    o->grad_enc(m, d, &f.csr, &f.csc, f.dz, xc, dW_enc, db_enc);
    o->col_sum(n, d, g, db_dec);
    o->gemm(false, false, 1, d, m, -1, db_enc, m, W_enc, d, 1, db_dec, d);
    struct params p = {widen(W_enc, m * d), widen(W_dec, m * d), widen(f.b_enc, m),
                       widen(f.b_dec, d)};
    check_param("dW_dec", &f, &p, p.W_dec, m * d, dW_dec);
    check_param("dW_enc", &f, &p, p.W_enc, m * d, dW_enc);
    check_param("db_enc", &f, &p, p.b_enc, m, db_enc);
    check_param("db_dec", &f, &p, p.b_dec, d, db_dec);
    void *const all[] = {xc,     pre,     g,       dW_dec,  dW_enc, db_enc,
                         db_dec, p.W_enc, p.W_dec, p.b_enc, p.b_dec};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    fix_clear(&f, &sae_ops_ref);
}

static void check_orth(void **state)
{
    const struct sae_ops *const o = *state;
    struct fix f;
    const struct sae_compete_rule rule = {SAE_OVERLAP_JACCARD, SAE_COMPETE_LINEAR, 4, 0.1, 1};
    const double one = 1;
    double sum[5];
    fix_make(&f, &shape, FILL_NORMAL);
    const size_t m = shape.m, d = shape.d;
    float *const grad = grab(m * d, sizeof *grad);
    double *const W = widen(f.W, m * d);
    float *const c = fix_coefficients(&f, &rule, 1, &one);
    const struct sae_csr *const csr = &f.csr;
    const struct sae_csc *const csc = &f.csc;
    const struct sae_overlap_masks masks = {1, &csr, &csc, &one};
    o->orth_masks(m, d, f.W, &masks, &rule, 3, false, NULL, NULL, grad, sum);
    assert_true(sum[1] > 20 && fabs(sum[0] - orth_loss(m, d, c, W)) < 1e-5 * sum[0]);
    for (size_t i = 0; i < m * d; i++) {
        const double kept = W[i];
        W[i] = kept + STEP;
        const double up = orth_loss(m, d, c, W);
        W[i] = kept - STEP;
        const double down = orth_loss(m, d, c, W);
        W[i] = kept;
        near("dL_orth/dW_dec", i, 3 * (up - down) / (2 * STEP), grad[i], 10);
    }
    free(grad);
    free(W);
    free(c);
    fix_clear(&f, &sae_ops_ref);
}

/* project_sum takes out what lies along the row; Adam's first step is lr times the sign. */
static void check_update(void **state)
{
    const struct sae_ops *const o = *state;
    struct fix f;
    fix_make(&f, &shape, FILL_NORMAL);
    const size_t m = shape.m, d = shape.d;
    float *const proj = grab(m, sizeof *proj);
    double left = 0, sq = 0;
    o->project_sum(m, d, f.W, 0, f.G, proj, &left);
    for (size_t j = 0; j < m; j++) {
        double along = 0;
        for (size_t i = j * d; i < (j + 1) * d; i++) {
            f.G[i] -= proj[j] * f.W[i];
            along += (double)f.W[i] * f.G[i];
            sq += (double)f.G[i] * f.G[i];
        }
        assert_true(fabs(along) < 1e-5);
    }
    assert_true(fabs(left - sq) < 1e-5 * sq);
    free(proj);
    const struct sae_adam h = {0.5f, 0.9f, 0.999f, 0, 1, 1};
    float *const before = grab(m * d, sizeof *before);
    memcpy(before, f.W, m * d * sizeof *before);
    memset(f.M, 0, m * d * sizeof *f.M);
    memset(f.V, 0, m * d * sizeof *f.V);
    o->adam(m * d, &h, f.W, f.G, f.M, f.V);
    for (size_t i = 0; i < m * d; i++)
        assert_true(fabsf(before[i] - f.W[i] - (f.G[i] > 0 ? 0.5f : -0.5f)) < 1e-5f);
    o->unit_rows(m, d, 0, f.W);
    for (size_t j = 0; j < m; j++)
        assert_true(fabs(sae_ops_ref.sum_sq(d, f.W + j * d) - 1) < 1e-6);
    free(before);
    fix_clear(&f, &sae_ops_ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"reconstruction, ref", check_recon,  NULL, NULL, (void *)(uintptr_t)&sae_ops_ref},
        {"reconstruction, cpu", check_recon,  NULL, NULL, (void *)(uintptr_t)&sae_ops_cpu},
        {"orthogonality, ref",  check_orth,   NULL, NULL, (void *)(uintptr_t)&sae_ops_ref},
        {"orthogonality, cpu",  check_orth,   NULL, NULL, (void *)(uintptr_t)&sae_ops_cpu},
        {"update, ref",         check_update, NULL, NULL, (void *)(uintptr_t)&sae_ops_ref},
        {"update, cpu",         check_update, NULL, NULL, (void *)(uintptr_t)&sae_ops_cpu},
    };
    return cmocka_run_group_tests_name("grads", tests, NULL, NULL);
}
