/* SPDX-License-Identifier: MIT */
/* case_step : operations whose numbers stay in backend memory. Sums in double over floats that are
 * equal differ by their order alone; where a float sum enters, the bound is that sum's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkops.h"

/* Doubles, compared as quotients with the sum of magnitudes. */
static void check_sums(const char *what, const struct fix *f, size_t n, const double *ref,
                       const double *got, double bound)
{
    for (size_t i = 0; i < n; i++) {
        const float size = (float)(fabs(ref[i]) > 0 && isfinite(ref[i]) ? ref[i] / got[i] : 1);
        const float one = 1;
        if ((isnan(ref[i]) && isnan(got[i])) || ref[i] == got[i])
            continue;
        check_near(what, f, 1, &one, &size, &bound);
    }
}

static void run_nothing(const struct sae_ops *o, void *const a[OUTS], size_t i, const float *from,
                        size_t n)
{
    copy(o, a[i], from, n * sizeof *from);
}

/* outputs: sums, pre, dz; the sums go by way of the counts, so f32 rounding enters nowhere */
static void sizes_dense(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = 8 * sizeof(double);
    bytes[1] = bytes[2] = bytes[3] = f->s.n * f->s.m * sizeof(float);
    bytes[4] = f->s.n * f->s.d * sizeof(float);
    bytes[5] = f->s.m * sizeof(float);
}

static void run_dense(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const struct shape *const s = &f->s;
    double *const sum = a[0];
    o->put(sum, (const double[8]){0}, 8 * sizeof *sum);
    run_nothing(o, a, 1, f->pre, s->n * s->m);
    run_nothing(o, a, 2, f->pre, s->n * s->m);
    o->relu_sum(s->n, s->m, f->b_enc, a[1], sum);
    o->mask_grad(s->n * s->m, a[1], 0.25f, a[2]);
    o->scatter(s->m, &f->csr, a[3]);
    o->spread_sum(s->n, s->d, f->x, NULL, sum + 2);
    o->spread_sum(s->n, s->d, f->x, f->g, sum + 3);
    o->sq_sum(s->n * s->d, f->x, sum + 4);
    o->sq_sum(s->n * s->d, f->g, sum + 4);
    o->loss_sum(false, s->n, s->d, f->x, f->g, a[4], sum + 5);
    o->project_sum(s->m, s->d, f->W, 1e-6f, f->G, a[5], sum + 6);
    float *const least = fetch(o, f->csr.val, sizeof *least);
    const double cut = (double)*least;
    free(least);
    o->put(sum + 7, &cut, sizeof cut);
    o->cut_move(&f->csr, 0.75, sum + 7);
}

static void check_dense(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const struct shape *const s = &f->s;
    check_sums("sums", f, 6, ref[0], got[0], 1e-6);
    /* what is left of a row may cancel: held against the whole by the test of project_sum */
    check_sums("cut", f, 1, (const double *)ref[0] + 7, (const double *)got[0] + 7, 1e-6);
    double *const none = grab(s->n * s->m, sizeof *none);
    check_near("relu", f, s->n * s->m, ref[1], got[1], none);
    check_near("mask", f, s->n * s->m, ref[2], got[2], none);
    check_near("scatter", f, s->n * s->m, ref[3], got[3], none);
    free(none);
}

/* outputs: idle by masks, idle by activations, sums, tokens of each latent */
static void sizes_age(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = f->s.m * sizeof(uint64_t);
    bytes[2] = 4 * sizeof(double);
    bytes[3] = f->s.m * sizeof(uint32_t);
}

static void put_ages(const struct sae_ops *o, size_t m, uint64_t below, uint64_t *to)
{
    uint64_t *const idle = grab(m, sizeof *idle);
    for (size_t j = 0; j < m; j++)
        idle[j] = j % below;
    o->put(to, idle, m * sizeof *idle);
    free(idle);
}

static void run_age(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    double *const sum = a[2];
    o->put(sum, (const double[4]){0}, 4 * sizeof *sum);
    put_ages(o, f->s.m, 7, a[0]);
    put_ages(o, f->s.m, 7, a[1]);
    o->age(f->s.n, f->s.m, f->csc.start, NULL, f->s.n + 3, a[0], sum);
    o->count_active(f->s.n, f->s.m, f->pre, false, a[3]);
    o->count_active(f->s.n / 2, f->s.m, f->pre, true, a[3]);
    o->age(f->s.n, f->s.m, NULL, a[3], f->s.n + 3, a[1], sum + 2);
}

static void check_age(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    check_bits("idle", f, f->s.m * sizeof(uint64_t), ref[0], got[0]);
    check_bits("idle by activations", f, f->s.m * sizeof(uint64_t), ref[1], got[1]);
    check_bits("sums", f, 4 * sizeof(double), ref[2], got[2]);
    check_bits("tokens", f, f->s.m * sizeof(uint32_t), ref[3], got[3]);
}

/* outputs: start, idx, val of a top-k among every third latent */
static void sizes_idle(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = (f->s.n + 1) * sizeof(size_t);
    bytes[1] = bytes[2] = f->s.n * f->s.k * sizeof(uint32_t);
}

static void run_idle(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    struct sae_csr csr = {.cap = f->s.n * f->s.k, .start = a[0], .idx = a[1], .val = a[2]};
    uint64_t *const idle = take(o, f->s.m, sizeof *idle);
    put_ages(o, f->s.m, 3, idle);
    o->topk_idle(f->s.n, f->s.m, f->s.d, f->s.k, NULL, NULL, f->b_enc, f->pre, idle, 2, &csr);
    o->free(idle);
}

/* The same where no pre-activations were kept. */
static void run_idle_made(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    struct sae_csr csr = {.cap = f->s.n * f->s.k, .start = a[0], .idx = a[1], .val = a[2]};
    uint64_t *const idle = take(o, f->s.m, sizeof *idle);
    put_ages(o, f->s.m, 3, idle);
    o->topk_idle(f->s.n, f->s.m, f->s.d, f->s.k, f->x, f->W, f->b_enc, NULL, idle, 2, &csr);
    o->free(idle);
}

static void check_idle(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t nnz = ((const size_t *)ref[0])[f->s.n];
    check_bits("start", f, (f->s.n + 1) * sizeof(size_t), ref[0], got[0]);
    check_bits("idx", f, nnz * sizeof(uint32_t), ref[1], got[1]);
    check_bits("val", f, nnz * sizeof(float), ref[2], got[2]);
}

/* As encode_topk; a latent in use has a bias that keeps it out. */
static void check_idle_made(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    if (f->fill == FILL_TIES || f->fill == FILL_ZEROS || f->fill == FILL_ONEHOT)
        check_idle(f, ref, got);
    const struct sae_csr csr = {
        .cap = f->s.n * f->s.k, .start = got[0], .idx = got[1], .val = got[2]};
    float *const b = grab(f->s.m, sizeof *b);
    for (size_t j = 0; j < f->s.m; j++)
        b[j] = j % 3 == 2 ? f->b_enc[j] : -INFINITY;
    check_encoded(f, f->x, f->W, b, &csr);
    free(b);
}

/* outputs: r, numbers, dW_enc, dW_dec, db_enc, dz */
static void sizes_aux(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = f->s.n * f->s.d * sizeof(float);
    bytes[1] = 4 * sizeof(double);
    bytes[2] = bytes[3] = f->s.m * f->s.d * sizeof(float);
    bytes[4] = f->s.m * sizeof(float);
    bytes[5] = fix_nnz(f) * sizeof(float);
}

static void run_aux(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const struct shape *const s = &f->s;
    double *const number = a[1]; /* spread, dead, loss, loss of a batch without dead latents */
    o->put(number, (const double[]){7, 2, 0, 9}, 4 * sizeof *number);
    run_nothing(o, a, 0, f->g, s->n * s->d);
    o->aux_loss(s->n, s->d, 0.03125, f->g, f->x, number, number + 3, a[0], number + 2);
    o->put(number + 3, (const double[]){0}, sizeof *number);
    run_nothing(o, a, 0, f->g, s->n * s->d);
    o->aux_loss(s->n, s->d, 0.03125, f->x, f->g, number, number + 3, a[0], number + 2);
    copy(o, number + 3, number + 2, sizeof *number);
    run_nothing(o, a, 0, f->g, s->n * s->d);
    o->aux_loss(s->n, s->d, 0.03125, f->x, f->g, number, number + 1, a[0], number + 2);
    run_nothing(o, a, 2, f->G, s->m * s->d);
    run_nothing(o, a, 3, f->G, s->m * s->d);
    run_nothing(o, a, 4, f->b_enc, s->m);
    o->grad_add(s->m, s->d, &f->csr, &f->csc, f->g, f->x, f->W, a[5], a[2], a[3], a[4]);
}

/* What an entry's dz may be off by, in units of EPS: it is a float sum itself. */
static double *dz_terms(const struct fix *f, const float *dz)
{
    const size_t d = f->s.d;
    double *const terms = grab(fix_nnz(f) + 1, sizeof *terms);
    for (size_t t = 0; t < f->s.n; t++)
        for (size_t e = f->csr.start[t]; e < f->csr.start[t + 1]; e++) {
            const float *const w = f->W + f->csr.idx[e] * d, *const g = f->g + t * d;
            terms[e] = fabs((double)dz[e]);
            for (size_t l = 0; l < d; l++)
                terms[e] += (double)d * fabs((double)(g[l] * w[l]));
        }
    return terms;
}

/* The gradients as such are those of grad_dec and grad_enc: here, that they are added. */
static void check_aux(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t nd = f->s.n * f->s.d, m = f->s.m, d = f->s.d;
    const float *const r = ref[0];
    double *const terms = dz_terms(f, ref[5]);
    double *const bound = grab(m * d + nd, sizeof *bound);
    for (size_t i = 0; i < nd; i++)
        bound[i] = 4 * EPS * fabs((double)r[i]);
    check_near("r", f, nd, ref[0], got[0], bound);
    check_sums("numbers", f, 4, ref[1], got[1], 1e-6);
    for (int dec = 0; dec < 2 && f->fill != FILL_HUGE; dec++) { /* there floats overflow */
        memset(bound, 0, m * d * sizeof *bound);
        for (size_t j = 0; j < m; j++) {
            const size_t p0 = f->csc.start[j], p1 = f->csc.start[j + 1];
            for (size_t i = 0; i < d && p1 > p0; i++) {
                double sum = fabs((double)f->G[j * d + i]);
                for (size_t p = p0; p < p1; p++) {
                    const size_t e = f->csc.pos[p], t = f->csc.row[p];
                    double size = fabs((double)f->csr.val[e] * f->g[t * d + i]);
                    if (!dec)
                        size = terms[e] * fabs((double)f->x[t * d + i]);
                    sum += size;
                }
                bound[j * d + i] = (double)(p1 - p0 + 4) * EPS * sum;
            }
        }
        check_near(dec ? "dW_dec" : "dW_enc", f, m * d, ref[2 + dec], got[2 + dec], bound);
    }
    free(bound);
    free(terms);
}

/* outputs: x, x of a scaled store */
static void sizes_widen(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = f->s.n * f->s.d * sizeof(float);
}

static void run_widen(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t n = f->s.n, d = f->s.d;
    uint16_t *const rows = grab(n * d, sizeof *rows), *const rows_there = take(o, n * d, sizeof *rows);
    uint32_t *const row = grab(n, sizeof *row), *const row_there = take(o, n, sizeof *row);
    float *const x = fetch(o, f->x, n * d * sizeof *x);
    for (size_t i = 0; i < n * d; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        rows[i] = (uint16_t)(u >> 16);
    }
    for (size_t t = 0; t < n; t++)
        row[t] = (uint32_t)(n - 1 - t);
    o->put(rows_there, rows, n * d * sizeof *rows);
    o->put(row_there, row, n * sizeof *row);
    o->widen_rows(n, d, rows_there, row_there, 1, a[0]);
    o->widen_rows(n, d, rows_there, row_there, 2.5, a[1]);
    o->free(rows_there);
    o->free(row_there);
    free(rows);
    free(row);
    free(x);
}

static void check_widen(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    double *const none = grab(f->s.n * f->s.d, sizeof *none);
    check_near("rows", f, f->s.n * f->s.d, ref[0], got[0], none);
    check_near("scaled rows", f, f->s.n * f->s.d, ref[1], got[1], none);
    free(none);
}

/* outputs: W and moments of two updates, one clipped, one stopped by its guard */
static void sizes_clip(const struct fix *f, size_t bytes[OUTS])
{
    bytes[0] = bytes[1] = bytes[2] = f->s.m * f->s.d * sizeof(float);
    bytes[3] = 3 * sizeof(double);
}

static void run_clip(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t n = f->s.m * f->s.d;
    double *const number = a[3];
    o->put(number, (const double[]){16, 1, NAN}, 3 * sizeof *number);
    struct sae_adam h = {.lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .step = 3};
    h.scale = 1;
    h.norm_sq = number;
    h.guard = number + 1;
    h.n_guard = 1;
    copy(o, a[0], f->W, n * sizeof(float));
    copy(o, a[1], f->M, n * sizeof(float));
    copy(o, a[2], f->V, n * sizeof(float));
    o->adam(n, &h, a[0], f->G, a[1], a[2]);
    h.n_guard = 2;
    o->adam(n, &h, a[0], f->G, a[1], a[2]);
    o->adam_rows(f->s.m, f->s.d, &h, f->b_enc, 1, a[0], f->G, a[1], a[2]);
}

static void check_clip(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t n = f->s.m * f->s.d;
    double *const bound = grab(n, sizeof *bound);
    for (int k = 0; k < 3; k++) {
        const float *const v = ref[k];
        for (size_t i = 0; i < n; i++) /* moments may cancel: their parts are at most 10 times them */
            bound[i] = 8 * EPS *
                       (fabs((double)v[i]) +
                        (k == 2 ? (double)f->G[i] * (double)f->G[i]
                                : fabs((double)f->M[i]) + fabs((double)f->G[i]) + 1e-3));
        check_near(k == 0 ? "W" : k == 1 ? "M" : "V", f, n, ref[k], got[k], bound);
    }
    free(bound);
}

/* outputs: W within a cap around the unit rows of G, the same once more, a cap of nothing but G */
static void sizes_cap(const struct fix *f, size_t bytes[OUTS])
{
    for (int i = 0; i < 4; i++)
        bytes[i] = f->s.m * f->s.d * sizeof(float);
}

static const double CAP = 0.3;

static void run_cap(const struct sae_ops *o, const struct fix *f, void *const a[OUTS])
{
    const size_t m = f->s.m, d = f->s.d, bytes = m * d * sizeof(float);
    float *const start = a[3];
    copy(o, start, f->G, bytes);
    o->unit_rows(m, d, 0, start);
    copy(o, a[0], f->W, bytes);
    o->unit_rows(m, d, 0, a[0]);
    copy(o, a[2], a[0], bytes);
    o->cap_rows(m, d, CAP, start, a[0]);
    copy(o, a[1], a[0], bytes);
    o->cap_rows(m, d, CAP, start, a[1]);
    o->cap_rows(m, d, 1, start, a[2]);
}

/* Whether a row is where rounding decides on which side of the bound, or along which way, it goes. */
static bool is_edge(size_t d, const float *w, const float *start)
{
    double c = 0;
    for (size_t i = 0; i < d; i++)
        c += (double)w[i] * (double)start[i];
    return fabs(c - CAP) < 2e-6 || fabs(c) > 1 - 1e-9;
}

static void check_cap(const struct fix *f, void *const ref[OUTS], void *const got[OUTS])
{
    const size_t m = f->s.m, d = f->s.d;
    double *const bound = grab(m * d, sizeof *bound);
    const float *const start = ref[3];
    check_bits("rows done twice", f, m * d * sizeof(float), got[0], got[1]);
    for (int k = 0; k < 3; k += 2) {
        const float *const w = ref[k];
        for (size_t j = 0; j < m; j++) {
            const bool edge = k == 0 && is_edge(d, w + j * d, start + j * d);
            for (size_t i = j * d; i < (j + 1) * d; i++)
                bound[i] = (edge ? 4e-6 : 0) + 8 * EPS * (fabs((double)w[i]) + fabs((double)start[i]) + EPS);
        }
        check_near(k ? "rows at their start" : "rows in a cap", f, m * d, ref[k], got[k], bound);
    }
    free(bound);
}

const struct op_case cases_step[] = {
    {"sums and dense activations", sizes_dense, run_dense,     check_dense,     0   },
    {"count_active, age",          sizes_age,   run_age,       check_age,       2000},
    {"topk_idle",                  sizes_idle,  run_idle,      check_idle,      2000},
    {"topk_idle of products",      sizes_idle,  run_idle_made, check_idle_made, 2000},
    {"aux_loss, grad_add",         sizes_aux,   run_aux,       check_aux,       0   },
    {"widen_rows",                 sizes_widen, run_widen,     check_widen,     0   },
    {"adam with clip and guard",   sizes_clip,  run_clip,      check_clip,      2000},
    {"cap_rows",                   sizes_cap,   run_cap,       check_cap,       0   },
    {NULL,                         NULL,        NULL,          NULL,            0   }
};
