/* SPDX-License-Identifier: MIT */
/* case_sparse : decode and the gradients. A float sum of L products differs from the exact one by
 * at most about L EPS times the sum of their magnitudes, whatever its order. */
#include <math.h>
#include <stdlib.h>

#include "checkops.h"

static double terms(size_t n)
{
    return (double)(n + 2) * EPS;
}

static void sizes_decode(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = f->s.n * f->s.d * sizeof(float);
}

static void run_decode(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    o->decode(f->s.d, &f->csr, f->W, f->b_dec, a[0]);
    o->decode(f->s.d, &f->csr, f->W, NULL, a[1]);
}

static double *bound_decode(const struct fix *f, const float *b_dec)
{
    const size_t d = f->s.d;
    double *const bound = grab(f->s.n * d, sizeof *bound);
    for (size_t t = 0; t < f->s.n; t++) {
        const size_t e0 = f->csr.start[t], e1 = f->csr.start[t + 1];
        for (size_t i = 0; i < d; i++) {
            double sum = b_dec ? fabs((double)b_dec[i]) : 0;
            for (size_t e = e0; e < e1; e++)
                sum += fabs((double)f->csr.val[e] * f->W[f->csr.idx[e] * d + i]);
            bound[t * d + i] = terms(e1 - e0) * sum;
        }
    }
    return bound;
}

static void check_decode(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    double *const with = bound_decode(f, f->b_dec), *const without = bound_decode(f, NULL);
    check_near("xhat", f, f->s.n * f->s.d, ref[0], got[0], with);
    check_near("xhat without b_dec", f, f->s.n * f->s.d, ref[1], got[1], without);
    free(with);
    free(without);
}

/* outputs: dz, dW_dec */
static void sizes_grad_dec(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = fix_nnz(f) * sizeof(float);
    bytes[1] = f->s.m * f->s.d * sizeof(float);
}

static void run_grad_dec(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    o->grad_dec(f->s.m, f->s.d, &f->csr, &f->csc, f->g, f->W, a[0], a[1]);
}

/* Bounds of out[j] = sum over entries of latent j of w_e rows[row_e]. */
static double *bound_by_latent(const struct fix *f, const float *w, const float *rows)
{
    const size_t d = f->s.d;
    double *const bound = grab(f->s.m * d, sizeof *bound);
    for (size_t j = 0; j < f->s.m; j++) {
        const size_t p0 = f->csc.start[j], p1 = f->csc.start[j + 1];
        for (size_t i = 0; i < d; i++) {
            double sum = 0;
            for (size_t p = p0; p < p1; p++)
                sum += fabs((double)w[f->csc.pos[p]] * rows[f->csc.row[p] * d + i]);
            bound[j * d + i] = terms(p1 - p0) * sum;
        }
    }
    return bound;
}

static void check_grad_dec(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t d = f->s.d, nnz = fix_nnz(f);
    double *const bound = grab(nnz, sizeof *bound);
    for (size_t j = 0; j < f->s.m; j++) {
        for (size_t p = f->csc.start[j]; p < f->csc.start[j + 1]; p++) {
            double sum = 0;
            for (size_t i = 0; i < d; i++)
                sum += fabs((double)f->g[f->csc.row[p] * d + i] * f->W[j * d + i]);
            bound[f->csc.pos[p]] = terms(d) * sum;
        }
    }
    check_near("dz", f, nnz, ref[0], got[0], bound);
    free(bound);
    double *const bound_W = bound_by_latent(f, f->csr.val, f->g);
    check_near("dW_dec", f, f->s.m * d, ref[1], got[1], bound_W);
    free(bound_W);
}

/* outputs: dW_enc, db_enc */
static void sizes_grad_enc(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = f->s.m * f->s.d * sizeof(float);
    bytes[1] = f->s.m * sizeof(float);
}

static void run_grad_enc(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    o->grad_enc(f->s.m, f->s.d, &f->csr, &f->csc, f->dz, f->x, a[0], a[1]);
}

static void check_grad_enc(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    double *const bound_W = bound_by_latent(f, f->dz, f->x);
    check_near("dW_enc", f, f->s.m * f->s.d, ref[0], got[0], bound_W);
    free(bound_W);
    double *const bound = grab(f->s.m, sizeof *bound);
    for (size_t j = 0; j < f->s.m; j++) {
        for (size_t p = f->csc.start[j]; p < f->csc.start[j + 1]; p++)
            bound[j] += fabs((double)f->dz[f->csc.pos[p]]);
        bound[j] *= terms(f->csc.start[j + 1] - f->csc.start[j]);
    }
    check_near("db_enc", f, f->s.m, ref[1], got[1], bound);
    free(bound);
}

const struct op_case cases_sparse[] = {
    {"decode",   sizes_decode,   run_decode,   check_decode,   0},
    {"grad_dec", sizes_grad_dec, run_grad_dec, check_grad_dec, 0},
    {"grad_enc", sizes_grad_enc, run_grad_enc, check_grad_enc, 0},
    {NULL,       NULL,           NULL,         NULL,           0}
};
