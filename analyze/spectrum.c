/* SPDX-License-Identifier: MIT */
/* spectrum : eigenvalues of the Gram matrix, through OpenBLAS and LAPACKE. */
#include "analyze/spectrum.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/math/ops.h"

enum { BLOCK = 256 }; /* rows widened to double at a time */

/* Upper triangle of G = U^T U, in double: the smallest eigenvalues decide the effective rank,
 * and in f32 they would be rounding. */
static enum sae_status gram(size_t m, size_t d, const float *U, double *G, struct sae_err *err)
{
    double *wide;
    SAE_TRY(sae_mem_alloc(&wide, (size_t)BLOCK * d, sizeof *wide, err));
    for (size_t first = 0; first < m; first += BLOCK) {
        const size_t n = m - first < BLOCK ? m - first : BLOCK;
        for (size_t e = 0; e < n * d; e++)
            wide[e] = (double)U[first * d + e];
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (blasint)d, (blasint)n, 1.0, wide,
                    (blasint)d, 1.0, G, (blasint)d);
    }
    free(wide);
    return SAE_OK;
}

enum sae_status analyze_spectrum_eigenvalues(size_t m, size_t d, const float *U, double *eig,
                                             struct sae_err *err)
{
    double *G;
    SAE_TRY(sae_mem_alloc(&G, d * d, sizeof *G, err));
    sae_ops_threads(1);
    enum sae_status status = gram(m, d, U, G, err);
    if (status == SAE_OK) {
        const lapack_int info =
            LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'N', 'U', (lapack_int)d, G, (lapack_int)d, eig);
        if (info != 0)
            status =
                sae_err_set(err, SAE_EBACKEND,
                            "cannot find the Gram eigenvalues: LAPACK's dsyevd said %d", (int)info);
    }
    free(G);
    if (status != SAE_OK)
        return status;
    for (size_t i = 0; i < d / 2; i++) { /* LAPACK gives them ascending */
        const double swap = eig[i];
        eig[i] = eig[d - 1 - i];
        eig[d - 1 - i] = swap;
    }
    for (size_t i = 0; i < d; i++)
        if (eig[i] < eig[0] * 1e-13)
            eig[i] = 0;
    return SAE_OK;
}

void analyze_spectrum_ranks(struct analyze_ranks *ret, const double *eig, size_t d, size_t m)
{
    double sum = 0, sum_sq = 0, sum_root = 0, entropy = 0;
    for (size_t i = 0; i < d; i++) {
        sum += eig[i];
        sum_sq += eig[i] * eig[i];
        sum_root += sqrt(eig[i]);
    }
    for (size_t i = 0; i < d; i++) {
        const double p = sum_root > 0 ? sqrt(eig[i]) / sum_root : 0;
        if (p > 0)
            entropy -= p * log(p);
    }
    *ret = (struct analyze_ranks){
        .frame_potential = sum_sq,
        .effective = sum > 0 ? exp(entropy) : 0,
        .participation = sum_sq > 0 ? sum * sum / sum_sq : 0,
        .stable = eig[0] > 0 ? sum / eig[0] : 0,
        .largest = eig[0],
        .smallest = eig[d - 1],
        .off_diagonal = sqrt(fmax(0, sum_sq - (double)m)),
    };
}
