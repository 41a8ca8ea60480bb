/* SPDX-License-Identifier: MIT */
/* cpu_encode : the kept latents of a batch straight from the centred input. Where it pays, most of
 * the product is screened away (cpu_screen); rows that could not be decided so, and batches that
 * are not screened, are multiplied in f32, a block of tokens at a time. */
#include <stdlib.h>

#include "lib/math/cpu/cpu_screen.h"

enum { BLOCK = 1024, FEW = 128 }; /* tokens whose pre-activations are held at a time */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t sae_cpu_encode_scratch(size_t n, size_t m, size_t d, size_t k)
{
    const size_t whole = least(n, BLOCK) * m, few = least(n, FEW) * (m + d);
    /* Screening stops paying at a large k: a smaller one may still need more memory. */
    const size_t k_screen = least(k, m / SCREEN_SHARE);
    const size_t screen =
        sae_cpu_screen_pays(n, m, d, k_screen) ? sae_cpu_screen_scratch(n, m, d, k_screen) : 0;
    const size_t plain = whole > few ? whole : few;
    return plain > screen ? plain : screen;
}

static void encode_whole(size_t n, size_t m, size_t d, size_t k, const float *xc,
                         const float *W_enc, const float *b_enc, float *scratch,
                         struct sae_csr *csr)
{
    for (size_t t = 0; t < n; t += BLOCK) {
        const size_t rows = least(n - t, BLOCK);
        sae_cpu_gemm(false, true, rows, m, d, 1, xc + t * d, d, W_enc, d, 0, scratch, m);
        sae_cpu_topk_rows(rows, m, k, scratch, b_enc, t, csr);
    }
}

/* Chosen rows, gathered. */
static void encode_rows(size_t n, const uint32_t *row, size_t m, size_t d, size_t k,
                        const float *xc, const float *W_enc, const float *b_enc, float *scratch,
                        struct sae_csr *csr)
{
    float *const x = scratch, *const pre = scratch + FEW * d;
    for (size_t r0 = 0; r0 < n; r0 += FEW) {
        const size_t rows = least(n - r0, FEW);
        for (size_t r = 0; r < rows; r++)
            memcpy(x + r * d, xc + row[r0 + r] * d, d * sizeof *x);
        sae_cpu_gemm(false, true, rows, m, d, 1, x, d, W_enc, d, 0, pre, m);
#pragma omp parallel for schedule(dynamic, 4)
        for (size_t r = 0; r < rows; r++)
            sae_cpu_topk_row(m, k, pre + r * m, b_enc, row[r0 + r], csr);
    }
}

const float *sae_cpu_encode_topk(size_t n, size_t m, size_t d, size_t k, const float *xc,
                                 const float *W_enc, const float *b_enc, float *scratch,
                                 struct sae_csr *csr)
{
    uint32_t *const failed = sae_cpu_screen_pays(n, m, d, k) ? malloc(n * sizeof *failed) : NULL;
    const size_t n_failed =
        failed ? sae_cpu_screen_topk(n, m, d, k, xc, W_enc, b_enc, scratch, csr, failed) : n;
    csr->n = n;
    if (n_failed == n)
        encode_whole(n, m, d, k, xc, W_enc, b_enc, scratch, csr);
    else
        encode_rows(n_failed, failed, m, d, k, xc, W_enc, b_enc, scratch, csr);
    free(failed);
    sae_cpu_close_gaps(n, k, csr);
    return NULL;
}
