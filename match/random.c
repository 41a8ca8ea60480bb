/* SPDX-License-Identifier: MIT */
/* random : dictionaries that share a spectrum with a given one and nothing else.
 *
 *   C = W^T W / m = L L^T (Cholesky)      z = L g, g normal      rows z / |z|
 *
 * A direction that W has no part in gives a pivot of 0, and z none there. */
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "match/match.h"

/* Below this share of the largest, a pivot is rounding. */
static const double RANK = 1e-12;

/* L below and on the diagonal of C; above it is left. */
static void factor(size_t d, double *C)
{
    double largest = 0;
    for (size_t j = 0; j < d; j++)
        largest = fmax(largest, C[j * d + j]);
    for (size_t j = 0; j < d; j++) {
        double *const row = C + j * d;
        for (size_t k = 0; k < j; k++)
            row[j] -= row[k] * row[k];
        const double pivot = row[j] > RANK * largest ? sqrt(row[j]) : 0;
        row[j] = pivot;
#pragma omp parallel for schedule(static) if (d > 256)
        for (size_t i = j + 1; i < d; i++) {
            double *const other = C + i * d, dot = 0;
#pragma omp simd reduction(+ : dot)
            for (size_t k = 0; k < j; k++)
                dot += row[k] * other[k];
            other[j] = pivot > 0 ? (other[j] - dot) / pivot : 0;
        }
    }
}

/* Z = G L^T, on the backend. */
static enum sae_status multiply(float *Z, size_t m, size_t d, const float *G, const float *L,
                                const struct sae_ops *ops, struct sae_err *err)
{
    float *g = NULL, *l = NULL, *z = NULL;
    enum sae_status st;
    SAE_GO(st, ops->alloc(&g, m * d, sizeof *g, err));
    SAE_GO(st, ops->alloc(&l, d * d, sizeof *l, err));
    SAE_GO(st, ops->alloc(&z, m * d, sizeof *z, err));
    ops->put(g, G, m * d * sizeof *g);
    ops->put(l, L, d * d * sizeof *l);
    ops->gemm(false, true, m, d, d, 1, g, d, l, d, 0, z, d);
    ops->get(Z, z, m * d * sizeof *z);
    st = ops->check(err);
done:
    ops->free(g);
    ops->free(l);
    ops->free(z);
    return st;
}

enum sae_status match_random_rows(float *ret, size_t m, size_t d, const float *W, uint64_t seed,
                                  uint64_t stream, const struct sae_ops *ops, struct sae_err *err)
{
    double *C = NULL;
    float *L = NULL, *G = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&C, d * d, sizeof *C, err));
    SAE_GO(st, sae_mem_alloc(&L, d * d, sizeof *L, err));
    SAE_GO(st, sae_mem_alloc(&G, m * d, sizeof *G, err));
    SAE_GO(st, sae_ops_cpu.gram(m, d, W, C, err));
    factor(d, C);
    for (size_t i = 0; i < d; i++)
        for (size_t k = 0; k <= i; k++)
            L[i * d + k] = (float)C[i * d + k];
#pragma omp parallel for schedule(static)
    for (size_t j = 0; j < m; j++) {
        struct sae_rng rng = sae_rng_make(seed, SAE_RNG_MATCH);
        rng.counter = (stream << 44) + 2 * (uint64_t)j * d; /* two draws a number */
        for (size_t i = 0; i < d; i++)
            G[j * d + i] = (float)sae_rng_normal(&rng);
    }
    SAE_GO(st, multiply(ret, m, d, G, L, ops, err));
    match_unit_rows(ret, m, d, ret);
done:
    free(C);
    free(L);
    free(G);
    return st;
}
