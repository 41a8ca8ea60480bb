/* SPDX-License-Identifier: MIT */
/* ref_spectrum : the Gram matrix and its eigenvalues, plainly, and dot products of listed pairs. */
#include <math.h>
#include <stdlib.h>

#include "lib/math/ref/ref.h"

enum sae_status sae_ref_gram(size_t m, size_t d, const float *U, double *G, struct sae_err *err)
{
    (void)err;
    for (size_t a = 0; a < d; a++) {
        for (size_t b = 0; b <= a; b++) {
            double sum = 0;
            for (size_t i = 0; i < m; i++)
                sum += (double)U[i * d + a] * (double)U[i * d + b];
            G[a * d + b] = G[b * d + a] = sum;
        }
    }
    return SAE_OK;
}

/* Turns rows and columns p and q so that G[p][q] becomes 0 (Jacobi 1846). */
static void turn(size_t d, double *G, size_t p, size_t q)
{
    const double off = G[p * d + q];
    if (off == 0)
        return;
    const double theta = (G[q * d + q] - G[p * d + p]) / (2 * off);
    const double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
    const double c = 1 / sqrt(t * t + 1), s = t * c;
    for (size_t i = 0; i < d; i++) {
        const double a = G[i * d + p], b = G[i * d + q];
        G[i * d + p] = c * a - s * b;
        G[i * d + q] = s * a + c * b;
    }
    for (size_t i = 0; i < d; i++) {
        const double a = G[p * d + i], b = G[q * d + i];
        G[p * d + i] = c * a - s * b;
        G[q * d + i] = s * a + c * b;
    }
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum sae_status sae_ref_eigenvalues(size_t d, double *G, double *eig, struct sae_err *err)
{
    enum { SWEEPS = 60 };
    double size = 0;
    for (size_t e = 0; e < d * d; e++)
        size += G[e] * G[e];
    double off = size;
    for (int sweep = 0; sweep < SWEEPS && off > 0x1p-120 * size; sweep++) {
        off = 0;
        for (size_t p = 0; p < d; p++) {
            for (size_t q = p + 1; q < d; q++) {
                off += G[p * d + q] * G[p * d + q];
                turn(d, G, p, q);
            }
        }
    }
    if (!(off <= 0x1p-100 * size) && size > 0)
        return sae_err_set(err, SAE_EBACKEND, "cannot find the eigenvalues: no end of turning");
    for (size_t i = 0; i < d; i++)
        eig[i] = G[i * d + i];
    qsort(eig, d, sizeof *eig, compare_doubles);
    return SAE_OK;
}

void sae_ref_pair_dots(size_t n, size_t d, const float *A, const uint32_t *i, const uint32_t *j,
                       float *dot)
{
    for (size_t p = 0; p < n; p++) {
        double sum = 0;
        for (size_t l = 0; l < d; l++)
            sum += (double)A[i[p] * d + l] * (double)A[j[p] * d + l];
        dot[p] = (float)sum;
    }
}
