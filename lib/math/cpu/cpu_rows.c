/* SPDX-License-Identifier: MIT */
/* cpu_rows : element-wise and row-wise passes over dense arrays; bound by memory. */
#include <math.h>

#include "lib/math/cpu/cpu.h"

/* Fewer elements than SMALL take less time than waking a thread does. */
enum { CHUNK = 16384, COLUMNS = 64, PARTS = 256, SMALL = 1 << 18 };

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

SAE_CLONES static void center_row(size_t d, const float *x, const float *b, float *xc)
{
    for (size_t i = 0; i < d; i++)
        xc[i] = x[i] - b[i];
}

void sae_cpu_center(size_t n, size_t d, const float *x, const float *b, float *xc)
{
#pragma omp parallel for schedule(dynamic, 64) if (n * d > SMALL)
    for (size_t t = 0; t < n; t++)
        center_row(d, x + t * d, b, xc + t * d);
}

/* A row of the loss; g receives its gradient. */
SAE_CLONES static double loss_row(bool norm, size_t n, size_t d, const float *restrict x,
                                  const float *restrict xhat, float *restrict g)
{
    double sq = 0;
#pragma omp simd reduction(+ : sq)
    for (size_t i = 0; i < d; i++) {
        const float e = xhat[i] - x[i];
        g[i] = e;
        sq += (double)e * e;
    }
    const double scale = norm ? (sq > 0 ? 1 / sqrt(sq) : 0) : 2;
    const double s = scale / (double)n; /* may be too large for a float where e is denormal */
    for (size_t i = 0; i < d; i++)
        g[i] = (float)(s * g[i]);
    return norm ? sqrt(sq) : sq;
}

void sae_cpu_loss_sum(bool norm, size_t n, size_t d, const float *x, const float *xhat, float *grad,
                      double *sum)
{
    double part[PARTS];
#pragma omp parallel for schedule(dynamic, 1) if (n * d > SMALL)
    for (size_t p = 0; p < PARTS; p++) {
        part[p] = 0;
        for (size_t t = p * n / PARTS; t < (p + 1) * n / PARTS; t++)
            part[p] += loss_row(norm, n, d, x + t * d, xhat + t * d, grad + t * d);
    }
    *sum = 0;
    for (size_t p = 0; p < PARTS; p++)
        *sum += part[p];
}

/* Columns [i0, i0 + w), w <= COLUMNS */
SAE_CLONES static void sum_columns(size_t n, size_t d, size_t i0, size_t w, const float *A,
                                   float *out)
{
    double sum[COLUMNS] = {0};
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < w; i++)
            sum[i] += A[t * d + i0 + i];
    for (size_t i = 0; i < w; i++)
        out[i0 + i] = (float)sum[i];
}

void sae_cpu_col_sum(size_t n, size_t d, const float *A, float *out)
{
#pragma omp parallel for schedule(dynamic, 1) if (n * d > SMALL)
    for (size_t i0 = 0; i0 < d; i0 += COLUMNS)
        sum_columns(n, d, i0, min_size(COLUMNS, d - i0), A, out);
}

/* Rows of B in turn, as they lie: pieces of rows have sums of their own. */
enum { VEC_PIECES = 64, VEC_COLUMNS = 2048 };

SAE_CLONES static void add_rows(size_t n, size_t w, const float *a, const float *B, size_t ldb,
                                float *restrict sum)
{
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < w; i++)
            sum[i] += a[r] * B[r * ldb + i];
}

void sae_cpu_vecmat(size_t N, size_t K, float alpha, const float *A, const float *B, size_t ldb,
                    float beta, float *C)
{
    float part[VEC_PIECES][VEC_COLUMNS];
    for (size_t i0 = 0; i0 < N; i0 += VEC_COLUMNS) {
        const size_t w = min_size(VEC_COLUMNS, N - i0);
#pragma omp parallel for schedule(dynamic, 1) if (N * K > SMALL)
        for (size_t p = 0; p < VEC_PIECES; p++) {
            const size_t a = p * K / VEC_PIECES, b = (p + 1) * K / VEC_PIECES;
            for (size_t i = 0; i < w; i++)
                part[p][i] = 0;
            add_rows(b - a, w, A + a, B + a * ldb + i0, ldb, part[p]);
        }
        for (size_t i = 0; i < w; i++) {
            double sum = 0;
            for (size_t p = 0; p < VEC_PIECES; p++)
                sum += part[p][i];
            C[i0 + i] = (float)(alpha * sum + (beta == 0 ? 0 : (double)beta * C[i0 + i]));
        }
    }
}

SAE_CLONES static double sum_sq_part(size_t n, const float *a)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * a[i];
    return sum;
}

double sae_cpu_sum_sq(size_t n, const float *a)
{
    double part[PARTS];
    const size_t chunk = (n + PARTS - 1) / PARTS;
#pragma omp parallel for schedule(dynamic, 1) if (n > SMALL)
    for (size_t p = 0; p < PARTS; p++) {
        const size_t i = min_size(p * chunk, n);
        part[p] = sum_sq_part(min_size(chunk, n - i), a + i);
    }
    double sum = 0;
    for (size_t p = 0; p < PARTS; p++)
        sum += part[p];
    return sum;
}

SAE_CLONES static void unit_row(size_t d, float eps, float *w)
{
    const double norm = sqrt(sum_sq_part(d, w)) + eps;
    if (norm == 0)
        return;
    for (size_t i = 0; i < d; i++)
        w[i] = (float)(w[i] / norm);
}

void sae_cpu_unit_rows(size_t m, size_t d, float eps, float *W)
{
#pragma omp parallel for schedule(dynamic, 16) if (m * d > SMALL)
    for (size_t j = 0; j < m; j++)
        unit_row(d, eps, W + j * d);
}

/* Adam's numbers of one step, in the form the loop wants them. */
struct adam_step {
    float b1, a1, b2, a2, scale, rate, root, eps; /* a = 1 - b; root = 1 / sqrt(1 - b2^t) */
};

SAE_CLONES static void adam_part(size_t n, const struct adam_step *s, float *restrict W,
                                 const float *restrict G, float *restrict M, float *restrict V)
{
    const struct adam_step h = *s;
    for (size_t i = 0; i < n; i++) {
        const float g = h.scale * G[i];
        const float mom = h.b1 * M[i] + h.a1 * g;
        const float var = h.b2 * V[i] + h.a2 * (g * g);
        M[i] = mom;
        V[i] = var;
        W[i] -= h.rate * (mom / (sqrtf(var) * h.root + h.eps));
    }
}

static struct adam_step step_of(const struct sae_adam *h)
{
    const double b1 = h->beta1, b2 = h->beta2;
    const double c1 = 1 - pow(b1, (double)h->step), c2 = 1 - pow(b2, (double)h->step);
    return (struct adam_step){.b1 = h->beta1,
                              .a1 = (float)(1 - b1),
                              .b2 = h->beta2,
                              .a2 = (float)(1 - b2),
                              .scale = h->scale,
                              .rate = (float)(h->lr / c1),
                              .root = (float)(1 / sqrt(c2)),
                              .eps = h->eps};
}

void sae_cpu_adam(size_t n, const struct sae_adam *h, float *W, const float *G, float *M, float *V)
{
    struct sae_adam now;
    if (!sae_adam_resolve(h, &now))
        return;
    const struct adam_step s = step_of(&now);
#pragma omp parallel for schedule(dynamic, 1) if (n > SMALL)
    for (size_t i = 0; i < n; i += CHUNK)
        adam_part(min_size(CHUNK, n - i), &s, W + i, G + i, M + i, V + i);
}

/* What of a gradient lies along its row, and the square of the rest:
 * |G - proj W|^2 = |G|^2 - 2 proj G.W + proj^2 |W|^2. */
SAE_CLONES static double project_sq_row(size_t d, const float *w, float eps, const float *g,
                                        float *proj)
{
    double dot = 0, ww = 0, gg = 0;
#pragma omp simd reduction(+ : dot, ww, gg)
    for (size_t i = 0; i < d; i++) {
        dot += (double)g[i] * w[i];
        ww += (double)w[i] * w[i];
        gg += (double)g[i] * g[i];
    }
    const double norm = sqrt(ww) + eps, a = norm == 0 ? 0 : dot / norm / norm;
    *proj = (float)a;
    const double left = gg - *proj * (2 * dot - *proj * ww);
    return left < 0 ? 0 : left; /* NaN stays */
}

void sae_cpu_project_sum(size_t m, size_t d, const float *W, float eps, const float *G, float *proj,
                         double *sum)
{
    double part[PARTS];
#pragma omp parallel for schedule(dynamic, 1) if (m * d > SMALL)
    for (size_t p = 0; p < PARTS; p++) {
        part[p] = 0;
        for (size_t j = p * m / PARTS; j < (p + 1) * m / PARTS; j++)
            part[p] += project_sq_row(d, W + j * d, eps, G + j * d, proj + j);
    }
    *sum = 0;
    for (size_t p = 0; p < PARTS; p++)
        *sum += part[p];
}

SAE_CLONES static void adam_row(size_t d, const struct adam_step *s, float proj, float eps,
                                float *restrict W, const float *restrict G, float *restrict M,
                                float *restrict V)
{
    const struct adam_step h = *s;
    double sq = 0;
#pragma omp simd reduction(+ : sq)
    for (size_t i = 0; i < d; i++) {
        const float g = h.scale * (G[i] - proj * W[i]);
        const float mom = h.b1 * M[i] + h.a1 * g;
        const float var = h.b2 * V[i] + h.a2 * (g * g);
        const float w = W[i] - h.rate * (mom / (sqrtf(var) * h.root + h.eps));
        M[i] = mom;
        V[i] = var;
        W[i] = w;
        sq += (double)w * w;
    }
    const double norm = sqrt(sq) + eps;
    if (norm == 0)
        return;
    for (size_t i = 0; i < d; i++)
        W[i] = (float)(W[i] / norm);
}

void sae_cpu_adam_rows(size_t m, size_t d, const struct sae_adam *h, const float *proj, float eps,
                       float *W, const float *G, float *M, float *V)
{
    struct sae_adam now;
    if (!sae_adam_resolve(h, &now))
        return;
    const struct adam_step s = step_of(&now);
#pragma omp parallel for schedule(dynamic, 4) if (m * d > SMALL)
    for (size_t j = 0; j < m; j++)
        adam_row(d, &s, proj[j], eps, W + j * d, G + j * d, M + j * d, V + j * d);
}

/* On a unit row the part across has the square 1 - c^2 but for rounding, which near the start is all
 * there is: it is summed itself. */
SAE_CLONES static void cap_row(size_t d, double least, const float *restrict start,
                               float *restrict w)
{
    double c = 0, sq = 0;
#pragma omp simd reduction(+ : c)
    for (size_t i = 0; i < d; i++)
        c += (double)w[i] * (double)start[i];
    if (!(c < least - SAE_CAP_SLACK))
        return;
#pragma omp simd reduction(+ : sq)
    for (size_t i = 0; i < d; i++) {
        const double u = (double)w[i] - c * (double)start[i];
        sq += u * u;
    }
    const double across = sqrt(sq);
    const bool opposite = !(across > SAE_CAP_SLACK);
    const double b = opposite ? 0 : sqrt(1 - least * least) / across, a = opposite ? 1 : least - b * c;
    for (size_t i = 0; i < d; i++)
        w[i] = (float)(a * (double)start[i] + b * (double)w[i]);
}

void sae_cpu_cap_rows(size_t m, size_t d, double least, const float *start, float *W)
{
#pragma omp parallel for schedule(dynamic, 4) if (m * d > SMALL)
    for (size_t j = 0; j < m; j++)
        cap_row(d, least, start + j * d, W + j * d);
}

struct parts {
    double aa, bb, ab;
};

/* Parts of a row of A and one of B across the unit row w. */
SAE_CLONES static struct parts across(size_t d, const float *w, const float *a, const float *b)
{
    double aa = 0, bb = 0, ab = 0, aw = 0, bw = 0;
#pragma omp simd reduction(+ : aa, bb, ab, aw, bw)
    for (size_t i = 0; i < d; i++) {
        const double ai = (double)a[i], bi = (double)b[i], wi = (double)w[i];
        aa += ai * ai;
        bb += bi * bi;
        ab += ai * bi;
        aw += ai * wi;
        bw += bi * wi;
    }
    return (struct parts){fmax(aa - aw * aw, 0), fmax(bb - bw * bw, 0), ab - aw * bw};
}

void sae_cpu_compare_rows(size_t m, size_t d, const float *W, const float *A, const float *B,
                          double *sum)
{
    double part[PARTS][4] = {{0}};
#pragma omp parallel for schedule(dynamic, 1) if (m * d > SMALL)
    for (size_t p = 0; p < PARTS; p++)
        for (size_t j = p * m / PARTS; j < (p + 1) * m / PARTS; j++) {
            const struct parts s = across(d, W + j * d, A + j * d, B + j * d);
            part[p][0] += s.aa;
            part[p][1] += s.bb;
            part[p][2] += s.ab;
            part[p][3] += s.bb > s.aa;
        }
    for (size_t i = 0; i < 4; i++) {
        sum[i] = 0;
        for (size_t p = 0; p < PARTS; p++)
            sum[i] += part[p][i];
    }
}
