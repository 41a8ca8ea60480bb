/* SPDX-License-Identifier: MIT */
/* cuda_spectrum : the Gram matrix in double, its eigenvalues through cuSOLVER (gpu_solver.cu), and
 * dot products of listed pairs. */
#include "lib/math/cuda/cuda.h"

static const size_t WIDE_ROWS = 4096; /* widened to double at a time */
enum { GRAM = 16, PAIR_WARPS = SAE_BLOCK / SAE_WARP };

static __global__ void wide_kernel(size_t n, const float *from, double *to)
{
    const size_t i = sae_item();
    if (i < n)
        to[i] = (double)from[i];
}

/* For shapes that the library has no way for: 16 x 16 of G a block. */
static __global__ void gram_kernel(size_t rows, size_t d, const double *A, bool add, double *G)
{
    __shared__ double a[GRAM][GRAM + 1], b[GRAM][GRAM + 1];
    const unsigned r = threadIdx.x / GRAM, c = threadIdx.x % GRAM;
    const size_t i = (size_t)blockIdx.y * GRAM, j = (size_t)blockIdx.x * GRAM;
    double sum = 0;
    for (size_t l = 0; l < rows; l += GRAM) {
        a[r][c] = l + r < rows && i + c < d ? A[(l + r) * d + i + c] : 0;
        b[r][c] = l + r < rows && j + c < d ? A[(l + r) * d + j + c] : 0;
        __syncthreads();
        for (unsigned k = 0; k < GRAM; k++)
            sum += a[k][r] * b[k][c];
        __syncthreads();
    }
    if (i + r < d && j + c < d)
        G[(i + r) * d + j + c] = sum + (add ? G[(i + r) * d + j + c] : 0);
}

enum sae_status sae_cuda_gram(size_t m, size_t d, const float *U, double *G, struct sae_err *err)
{
    const size_t rows = m < WIDE_ROWS ? m : WIDE_ROWS;
    sae_gpu_zero(G, d * d * sizeof *G);
    if (m == 0 || d == 0)
        return SAE_OK;
    double *const wide = (double *)sae_gpu_scratch(SAE_GPU_A, rows * d * sizeof *wide);
    if (!wide)
        return sae_err_set(err, SAE_ENOMEM, "out of device memory: %zu bytes for rows in double",
                           rows * d * sizeof *wide);
    const unsigned tiles = (unsigned)((d + GRAM - 1) / GRAM);
    for (size_t i = 0; i < m; i += rows) {
        const size_t n = m - i < rows ? m - i : rows;
        SAE_LAUNCH(wide_kernel, sae_blocks(n * d), SAE_BLOCK, 0, n * d, U + i * d, wide);
        if (!sae_gpu_gram(n, d, wide, i > 0, G))
            SAE_LAUNCH(gram_kernel, dim3(tiles, tiles), GRAM * GRAM, 0, n, d, wide, i > 0, G);
    }
    return sae_gpu_status(err);
}

enum sae_status sae_cuda_eigenvalues(size_t d, double *G, double *eig, struct sae_err *err)
{
    if (d == 0)
        return SAE_OK;
    SAE_TRY(sae_gpu_eigenvalues(d, G, eig, err));
    return sae_gpu_status(err);
}

/* A warp forms the product of a pair. */
static __global__ void pair_dots_kernel(size_t n, size_t d, const float *A, const uint32_t *i,
                                        const uint32_t *j, float *dot)
{
    const size_t p = (size_t)blockIdx.x * sae_warps() + sae_warp();
    if (p >= n)
        return;
    const float sum = sae_warp_dot(d, A + i[p] * d, A + j[p] * d);
    if (sae_lane() == 0)
        dot[p] = sum;
}

void sae_cuda_pair_dots(size_t n, size_t d, const float *A, const uint32_t *i, const uint32_t *j,
                        float *dot)
{
    if (n > 0)
        SAE_LAUNCH(pair_dots_kernel, (unsigned)((n + PAIR_WARPS - 1) / PAIR_WARPS), SAE_BLOCK, 0, n, d, A, i,
                   j, dot);
}
