/* SPDX-License-Identifier: MIT */
/* cuda_hist : the histogram of cosines, a block of rows against all rows at a time. */
#include <math.h>

#include "lib/math/cuda/cuda.h"

static const size_t ROWS = 512, BINS_SHARED = 8192;

/* One block a row of the tile C [.][m]; row i0 + blockIdx.x of the whole. */
static __global__ void hist_kernel(size_t m, size_t i0, const float *C, size_t n_bins,
                                   unsigned long long *hist, float *row_max, uint32_t *row_argmax,
                                   float *row_min)
{
    SAE_SHARED_DYNAMIC(unsigned, mine);
    __shared__ float most[SAE_BLOCK], least[SAE_BLOCK];
    __shared__ uint32_t where[SAE_BLOCK];
    const bool own = n_bins <= BINS_SHARED;
    const size_t i = i0 + blockIdx.x;
    const float *const row = C + blockIdx.x * m;
    for (size_t b = threadIdx.x; own && b < n_bins; b += blockDim.x)
        mine[b] = 0;
    __syncthreads();
    float top = -INFINITY, low = INFINITY;
    uint32_t at = 0;
    for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
        const float c = row[j];
        if (j == i)
            continue;
        if (c > top) { /* the first, as j ascends */
            top = c;
            at = (uint32_t)j;
        }
        if (c < low)
            low = c;
        if (j < i || isnan(c))
            continue;
        const double bin = floor(((double)c + 1) / 2 * (double)n_bins);
        const size_t last = n_bins - 1;
        const size_t b = bin < 0 ? 0 : bin > (double)last ? last : (size_t)bin;
        if (own)
            atomicAdd(&mine[b], 1U);
        else
            atomicAdd(&hist[b], 1ULL);
    }
    most[threadIdx.x] = top;
    least[threadIdx.x] = low;
    where[threadIdx.x] = at;
    __syncthreads();
    for (size_t b = threadIdx.x; own && b < n_bins; b += blockDim.x)
        if (mine[b])
            atomicAdd(&hist[b], (unsigned long long)mine[b]);
    if (threadIdx.x != 0)
        return;
    for (unsigned t = 1; t < blockDim.x; t++) {
        if (most[t] > top || (most[t] == top && top > -INFINITY && where[t] < at)) {
            top = most[t];
            at = where[t];
        }
        low = least[t] < low ? least[t] : low;
    }
    row_max[i] = top;
    row_argmax[i] = at;
    row_min[i] = low;
}

enum sae_status sae_cuda_cos_hist(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                  float *row_max, uint32_t *row_argmax, float *row_min,
                                  struct sae_err *err)
{
    const size_t rows = m < ROWS ? m : ROWS;
    sae_gpu_zero(hist, n_bins * sizeof *hist);
    if (m == 0)
        return SAE_OK;
    float *const C = (float *)sae_gpu_scratch(SAE_GPU_A, rows * m * sizeof(float));
    if (!C)
        return sae_err_set(err, SAE_ENOMEM, "out of device memory: %zu bytes for cosines",
                           rows * m * sizeof(float));
    const size_t shared = n_bins <= BINS_SHARED ? n_bins * sizeof(unsigned) : 0;
    for (size_t i = 0; i < m; i += rows) {
        const size_t n = m - i < rows ? m - i : rows;
        sae_cuda_gemm(false, true, n, m, d, 1, U + i * d, d, U, d, 0, C, m);
        SAE_LAUNCH(hist_kernel, (unsigned)n, SAE_BLOCK, shared, m, i, C, n_bins,
                   (unsigned long long *)hist, row_max, row_argmax, row_min);
    }
    return sae_gpu_status(err);
}
