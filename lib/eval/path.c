/* SPDX-License-Identifier: MIT */
/* path : the problems of all C go side by side, so that what they share, the rows or their products
 * K = X X^T, is read once for all of them.
 *
 *   few columns     a vector is w;  z = X w + b,  gradient X^T r + w / (C n)
 *   many columns    w = X^T a;  a vector is (a, K a);  z = K a + b,  gradient r + a / (C n)
 *
 * with r_i = (1 / (1 + exp(-z_i)) - y_i) / n.
 *
 * Contents:  1. the rows   2. one problem   3. evaluating   4. all problems */
#include "lib/eval/path.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/eval/lbfgs.h"
#include "lib/math/clones.h"

/* --- 1. the rows -------------------------------------------------------------------------- */

struct sae_path {
    size_t n, d;
    double *x; /* [n][d] */
    double *k; /* [n][n], NULL with few columns */
};

enum sae_status sae_path_open(struct sae_path **ret, const float *x, size_t n, size_t d,
                              struct sae_err *err)
{
    struct sae_path *path = NULL;
    enum sae_status st;
    if (n == 0 || d == 0 || n > INT32_MAX || d > INT32_MAX)
        return sae_err_set(err, SAE_EARG, "cannot fit a probe of %zu examples and %zu features", n,
                           d);
    SAE_TRY(sae_mem_alloc(&path, 1, sizeof *path, err));
    path->n = n;
    path->d = d;
    SAE_GO(st, sae_mem_alloc(&path->x, n * d, sizeof *path->x, err));
    for (size_t i = 0; i < n * d; i++) {
        if (!isfinite(x[i])) {
            st = sae_err_set(err, SAE_ERANGE, "feature %zu of a probe holds NaN or infinity",
                             i % d);
            goto done;
        }
        path->x[i] = x[i];
    }
    if (d > n) {
        const int N = (int)n, D = (int)d;
        SAE_GO(st, sae_mem_alloc(&path->k, n * n, sizeof *path->k, err));
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, N, D, 1.0, path->x, D, 0.0, path->k,
                    N);
        for (size_t i = 0; i < n; i++)
            for (size_t j = i + 1; j < n; j++)
                path->k[i * n + j] = path->k[j * n + i];
    }
    *ret = path;
    return SAE_OK;
done:
    sae_path_close(path);
    return st;
}

void sae_path_close(struct sae_path *path)
{
    if (path) {
        free(path->x);
        free(path->k);
    }
    free(path);
}

/* --- 2. one problem ----------------------------------------------------------------------- */

struct fits {
    const struct sae_path *path;
    size_t n, r; /* rows; numbers of a vector */
    const uint8_t *label;
    struct sae_lbfgs_shape shape;
    struct sae_lbfgs *of_C;
    bool *is_done;
    size_t *active, n_active;
    double *at, *z, *grad; /* [n_C][r], [n_C][n], [n_C][r] */
};

/* Coordinates are those of w: of (a, K a) they are looked at once the whole length allows it. */
static bool is_flat(const void *data, const double *g, double gtol)
{
    const struct fits *const f = data;
    const size_t d = f->path->d, last = sae_lbfgs_length(f->shape) - 1;
    double largest = fabs(g[last]);
    if (!f->path->k) {
        for (size_t j = 0; j < d; j++)
            largest = fmax(largest, fabs(g[j]));
        return largest <= gtol;
    }
    if (largest > gtol || sae_lbfgs_dot(f->shape, g, g) > (double)(d + 1) * gtol * gtol)
        return false;
    double *const w = f->at; /* free between evaluations: at least [r] = [n], used in pieces */
    for (size_t first = 0; first < d; first += f->n) {
        const size_t m = d - first < f->n ? d - first : f->n;
        cblas_dgemv(CblasRowMajor, CblasTrans, (int)f->n, (int)m, 1.0, f->path->x + first, (int)d,
                    g, 1, 0.0, w, 1);
        for (size_t j = 0; j < m; j++)
            largest = fmax(largest, fabs(w[j]));
    }
    return largest <= gtol;
}

/* log(1 + exp(z)) - y z and its derivative by z. */
static double loss_of(double z, double y, double *slope)
{
    const double e = exp(-fabs(z));
    *slope = (z >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e)) - y;
    return fmax(z, 0.0) + log1p(e) - y * z;
}

/* --- 3. evaluating ------------------------------------------------------------------------ */

/* out [n_active][rows]: the products of each row of m [rows][..ld] with each of in [n_active][cols].
 * A matrix product by BLAS packs m anew each time, which costs more than these few columns. Sums of 32
 * parts: in lanes, and the same on every machine. */
SAE_CLONES
static void rows_times(double *restrict out, const double *restrict m, size_t ld, size_t rows,
                       size_t cols, const double *restrict in, size_t n_active)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t a = 0; a < n_active; a++) {
            const double *restrict const u = m + i * ld, *restrict const v = in + a * cols;
            double part[32] = {0.0}, sum = 0.0;
            size_t j = 0;
            for (; j + 32 <= cols; j += 32)
                for (size_t l = 0; l < 32; l++)
                    part[l] += u[j + l] * v[j + l];
            for (; j < cols; j++)
                part[0] += u[j] * v[j];
            for (size_t l = 0; l < 32; l++)
                sum += part[l];
            out[a * rows + i] = sum;
        }
}

/* out [n_active][cols]: sums of the rows of m, weighted by in [n_active][rows]; four rows a time. */
SAE_CLONES
static void sum_rows(double *restrict out, const double *restrict m, size_t ld, size_t rows,
                     size_t cols, const double *restrict in, size_t n_active)
{
    memset(out, 0, n_active * cols * sizeof *out);
    size_t i = 0;
    for (; i + 4 <= rows; i += 4)
        for (size_t a = 0; a < n_active; a++) {
            const double *restrict const u = m + i * ld, *restrict const c = in + a * rows + i;
            double *restrict const to = out + a * cols;
            for (size_t j = 0; j < cols; j++)
                to[j] += (c[0] * u[j] + c[1] * u[ld + j]) +
                         (c[2] * u[2 * ld + j] + c[3] * u[3 * ld + j]);
        }
    for (; i < rows; i++)
        for (size_t a = 0; a < n_active; a++)
            for (size_t j = 0; j < cols; j++)
                out[a * cols + j] += in[a * rows + i] * m[i * ld + j];
}

/* Loss of problem c at z (without b, in place of which r is left) and its gradient by b. */
static double losses(const struct fits *f, double *z, double b, double *by_b)
{
    double sum = 0.0;
    *by_b = 0.0;
    for (size_t i = 0; i < f->n; i++) {
        double slope;
        sum += loss_of(z[i] + b, f->label[i] ? 1.0 : 0.0, &slope);
        z[i] = slope / (double)f->n;
        *by_b += z[i];
    }
    return sum / (double)f->n;
}

/* f and g of every problem that is still on its way. */
static void evaluate(struct fits *f, const double *C)
{
    const struct sae_path *const path = f->path;
    const size_t n = f->n, r = f->r, last = sae_lbfgs_length(f->shape) - 1;
    for (size_t a = 0; a < f->n_active; a++) {
        const double *const x = f->of_C[f->active[a]].x;
        memcpy(path->k ? f->z + a * n : f->at + a * r, path->k ? x + r : x, r * sizeof *x);
    }
    if (!path->k)
        rows_times(f->z, path->x, path->d, n, path->d, f->at, f->n_active);
    for (size_t a = 0; a < f->n_active; a++) {
        struct sae_lbfgs *const l = &f->of_C[f->active[a]];
        l->f = losses(f, f->z + a * n, l->x[last], &l->g[last]);
    }
    if (path->k)
        rows_times(f->grad, path->k, path->n, n, n, f->z, f->n_active);
    else
        sum_rows(f->grad, path->x, path->d, n, path->d, f->z, f->n_active);
    for (size_t a = 0; a < f->n_active; a++) {
        struct sae_lbfgs *const l = &f->of_C[f->active[a]];
        const double share = 1.0 / (C[f->active[a]] * (double)n);
        double square = 0.0;
        for (size_t j = 0; j < r; j++) {
            square += l->x[j] * (path->k ? l->x[r + j] : l->x[j]);
            l->g[j] = (path->k ? f->z[a * n + j] : f->grad[a * r + j]) + share * l->x[j];
            if (path->k)
                l->g[r + j] = f->grad[a * r + j] + share * l->x[r + j];
        }
        l->f += 0.5 * share * square;
    }
}

/* --- 4. all problems ---------------------------------------------------------------------- */

static void fits_clear(struct fits *f, size_t n_C)
{
    for (size_t c = 0; f->of_C && c < n_C; c++)
        sae_lbfgs_close(&f->of_C[c]);
    free(f->of_C);
    free(f->is_done);
    free(f->active);
    free(f->at);
    free(f->z);
    free(f->grad);
}

static enum sae_status fits_init(struct fits *f, size_t n_C,
                                 const struct sae_path_settings *settings, struct sae_err *err)
{
    const struct sae_lbfgs_settings how = {.gtol = settings->tol,
                                           .ftol = 64.0 * DBL_EPSILON,
                                           .max_steps = settings->max_steps,
                                           .max_search = 50,
                                           .is_flat = is_flat,
                                           .data = f};
    SAE_TRY(sae_mem_alloc(&f->of_C, n_C, sizeof *f->of_C, err));
    SAE_TRY(sae_mem_alloc(&f->is_done, n_C, sizeof *f->is_done, err));
    SAE_TRY(sae_mem_alloc(&f->active, n_C, sizeof *f->active, err));
    SAE_TRY(sae_mem_alloc(&f->at, n_C * f->r, sizeof *f->at, err));
    SAE_TRY(sae_mem_alloc(&f->z, n_C * f->n, sizeof *f->z, err));
    SAE_TRY(sae_mem_alloc(&f->grad, n_C * f->r, sizeof *f->grad, err));
    for (size_t c = 0; c < n_C; c++)
        SAE_TRY(sae_lbfgs_open(&f->of_C[c], f->shape, &how, err));
    return SAE_OK;
}

static void run(struct fits *f, const double *C, size_t n_C)
{
    for (;;) {
        f->n_active = 0;
        for (size_t c = 0; c < n_C; c++)
            if (!f->is_done[c])
                f->active[f->n_active++] = c;
        if (f->n_active == 0)
            return;
        evaluate(f, C);
        for (size_t a = 0; a < f->n_active; a++)
            f->is_done[f->active[a]] = !sae_lbfgs_step(&f->of_C[f->active[a]]);
    }
}

enum sae_status sae_path_fit(double *w, double *b, size_t *steps, const struct sae_path *path,
                             size_t n, const uint8_t *label, const double *C, size_t n_C,
                             const struct sae_path_settings *settings, struct sae_err *err)
{
    const size_t r = path->k ? n : path->d, d = path->d;
    struct fits f = {.path = path, .n = n, .r = r, .label = label, .shape = {r, path->k != NULL}};
    size_t n_positive = 0;
    for (size_t i = 0; i < n; i++)
        n_positive += label[i] != 0;
    if (n > path->n || n_positive == 0 || n_positive == n)
        return sae_err_set(err, SAE_EARG,
                           "cannot fit a probe: all %zu examples have the same label; both are "
                           "needed",
                           n);
    enum sae_status st;
    SAE_GO(st, fits_init(&f, n_C, settings, err));
    run(&f, C, n_C);
    for (size_t c = 0; c < n_C; c++) {
        const struct sae_lbfgs *const l = &f.of_C[c];
        if (path->k)
            cblas_dgemv(CblasRowMajor, CblasTrans, (int)n, (int)d, 1.0, path->x, (int)d, l->x, 1,
                        0.0, w + c * d, 1);
        else
            memcpy(w + c * d, l->x, d * sizeof *w);
        b[c] = l->x[sae_lbfgs_length(f.shape) - 1];
        if (steps)
            steps[c] = l->n_steps;
    }
    st = SAE_OK;
done:
    fits_clear(&f, n_C);
    return st;
}
