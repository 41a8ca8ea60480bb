/* SPDX-License-Identifier: MIT */
/* cpu_spectrum : the Gram matrix in double by tiles, its eigenvalues through LAPACK, and dot
 * products of listed pairs. LAPACK is the one that OpenBLAS holds: its C interface would bring
 * another build of the library into every program. */
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/math/cpu/cpu_slice.h"

/* The symmetric eigenvalue problem by divide and conquer; the last two are lengths of strings. */
void dsyevd_(const char *jobz, const char *uplo, const blasint *n, double *a, const blasint *lda,
             double *w, double *work, const blasint *lwork, blasint *iwork, const blasint *liwork,
             blasint *info, size_t jobz_len, size_t uplo_len);

enum { BLOCK = 1024, TILE = 256 }; /* rows widened to double at a time; columns of a tile of G */

/* G += the products of n wide rows, tiles on and above the diagonal; the cut follows from d alone,
 * and each tile is one thread's. */
static void add_block(size_t n, size_t d, const double *wide, double *G)
{
    const size_t tiles = (d + TILE - 1) / TILE;
#pragma omp parallel for schedule(dynamic, 1) collapse(2)
    for (size_t r = 0; r < tiles; r++) {
        for (size_t c = 0; c < tiles; c++) {
            const size_t a = r * TILE, b = c * TILE;
            if (c < r)
                continue;
            cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans,
                        (blasint)(d - a < TILE ? d - a : TILE),
                        (blasint)(d - b < TILE ? d - b : TILE), (blasint)n, 1, wide + a, (blasint)d,
                        wide + b, (blasint)d, 1, G + a * d + b, (blasint)d);
        }
    }
}

enum sae_status sae_cpu_gram(size_t m, size_t d, const float *U, double *G, struct sae_err *err)
{
    double *wide;
    SAE_TRY(sae_mem_alloc(&wide, (size_t)BLOCK * d, sizeof *wide, err));
    const int threads = sae_cpu_blas_single();
    for (size_t e = 0; e < d * d; e++)
        G[e] = 0;
    for (size_t first = 0; first < m; first += BLOCK) {
        const size_t n = m - first < BLOCK ? m - first : BLOCK;
        for (size_t e = 0; e < n * d; e++)
            wide[e] = (double)U[first * d + e];
        add_block(n, d, wide, G);
    }
    sae_cpu_blas_again(threads);
    for (size_t a = 0; a < d; a++)
        for (size_t b = 0; b < a; b++)
            G[a * d + b] = G[b * d + a];
    free(wide);
    return SAE_OK;
}

/* On one thread: equal runs give equal bits, and threads would not help at these sizes. */
enum sae_status sae_cpu_eigenvalues(size_t d, double *G, double *eig, struct sae_err *err)
{
    const blasint n = (blasint)d, ask = -1;
    blasint info = 0, int_size = 0;
    double wanted = 0, *work = NULL;
    blasint *int_work = NULL;
    if (d == 0)
        return SAE_OK;
    dsyevd_("N", "U", &n, G, &n, eig, &wanted, &ask, &int_size, &ask, &info, 1, 1);
    const blasint size = (blasint)wanted;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&work, (size_t)size, sizeof *work, err));
    SAE_GO(st, sae_mem_alloc(&int_work, (size_t)int_size, sizeof *int_work, err));
    const int threads = omp_get_max_threads();
    sae_ops_threads(1);
    dsyevd_("N", "U", &n, G, &n, eig, work, &size, int_work, &int_size, &info, 1, 1);
    sae_ops_threads((size_t)threads);
    if (info != 0)
        st = sae_err_set(err, SAE_EBACKEND,
                         "cannot find the eigenvalues: LAPACK's dsyevd said %d", (int)info);
done:
    free(work);
    free(int_work);
    return st;
}

void sae_cpu_pair_dots(size_t n, size_t d, const float *A, const uint32_t *i, const uint32_t *j,
                       float *dot)
{
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < n; p++)
        dot[p] = sae_cpu_dot(d, A + i[p] * d, A + j[p] * d);
}
