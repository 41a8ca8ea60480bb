/* SPDX-License-Identifier: MIT */
/* cpu_encode : the kept latents of a batch straight from the centred input. */
#include "lib/math/cpu/cpu.h"

enum { BLOCK = 1024 }; /* tokens whose pre-activations are held at a time */

size_t sae_cpu_encode_room(size_t n, size_t m, size_t d, size_t k)
{
    (void)d;
    (void)k;
    return (n < BLOCK ? n : BLOCK) * m;
}

void sae_cpu_encode_topk(size_t n, size_t m, size_t d, size_t k, const float *xc,
                         const float *W_enc, const float *b_enc, float *room, struct sae_csr *csr)
{
    csr->n = n;
    for (size_t t = 0; t < n; t += BLOCK) {
        const size_t rows = n - t < BLOCK ? n - t : BLOCK;
        sae_cpu_gemm(false, true, rows, m, d, 1, xc + t * d, d, W_enc, d, 0, room, m);
        sae_cpu_topk_rows(rows, m, k, room, b_enc, t, csr);
    }
    sae_cpu_close_gaps(n, k, csr);
}
