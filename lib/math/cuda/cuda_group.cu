/* SPDX-License-Identifier: MIT */
/* cuda_group : entries of a range of latents, for nested dictionaries. Latents ascend within a row,
 * so those of a range are a run of it; by latent they are a run of the whole. */
#include "lib/math/cuda/cuda.h"

/* The first entry in [e, end) with a latent of at least `latent`. */
static __device__ inline size_t entry_from(const uint32_t *idx, size_t e, size_t end, size_t latent)
{
    while (e < end) {
        const size_t middle = e + (end - e) / 2;
        if (idx[middle] < latent)
            e = middle + 1;
        else
            end = middle;
    }
    return e;
}

/* As decode: a block takes columns of one token. */
static __global__ void decode_group_kernel(size_t d, const size_t *start, const uint32_t *idx,
                                           const float *val, size_t first, size_t end,
                                           const float *W, const float *base, float *xhat)
{
    const size_t t = blockIdx.x, i = (size_t)blockIdx.y * blockDim.x + threadIdx.x;
    if (i >= d)
        return;
    const size_t e0 = entry_from(idx, start[t], start[t + 1], first);
    const size_t e1 = entry_from(idx, e0, start[t + 1], end);
    xhat[t * d + i] = sae_add_rows(base[t * d + i], e0, e1, idx, val, W, d, i);
}

void sae_cuda_decode_group(size_t d, const struct sae_csr *csr, size_t first, size_t end,
                           const float *W_dec, const float *base, float *xhat)
{
    if (csr->n > 0 && d > 0)
        SAE_LAUNCH(decode_group_kernel, dim3((unsigned)csr->n, sae_blocks(d)), SAE_BLOCK, 0, d,
                   csr->start, csr->idx, csr->val, first, end, W_dec, base, xhat);
}

/* A warp forms the dot product of an entry; a block has the run of one token. */
static __global__ void dots_group_kernel(size_t d, const size_t *start, const uint32_t *idx,
                                         size_t first, size_t last, const float *g, const float *W,
                                         float *dz)
{
    const float *const row = g + blockIdx.x * d;
    const size_t e0 = entry_from(idx, start[blockIdx.x], start[blockIdx.x + 1], first);
    const size_t end = entry_from(idx, e0, start[blockIdx.x + 1], last);
    for (size_t e = e0 + sae_warp(); e < end; e += sae_warps()) {
        const float dot = sae_warp_dot(d, row, W + idx[e] * d);
        if (sae_lane() == 0)
            dz[e] = dot;
    }
}

void sae_cuda_grad_dec_group(size_t d, size_t first, size_t end, const struct sae_csr *csr,
                             const struct sae_csc *csc, const float *g, const float *W_dec,
                             float *dz, float *dW_dec)
{
    if (csr->n > 0)
        SAE_LAUNCH(dots_group_kernel, (unsigned)csr->n, SAE_BLOCK, 0, d, csr->start, csr->idx,
                   first, end, g, W_dec, dz);
    sae_cuda_sum_rows(end - first, d, csc->start + first, csc->row, csc->pos, csr->val, true, g,
                      dW_dec + first * d, nullptr);
}

/* One block a token. */
static __global__ void prefix_kernel(size_t n, size_t d, double weight, const float *x,
                                     const float *xhat, const float *later, float *H, double *part)
{
    const size_t at = blockIdx.x * d;
    const double scale = weight * 2 / (double)n;
    double sq = 0;
    for (size_t i = at + threadIdx.x; i < at + d; i += blockDim.x) {
        const double miss = (double)(xhat[i] - x[i]);
        sq += miss * miss;
        H[i] = (float)(scale * miss) + (later ? later[i] : 0);
    }
    sq = sae_block_sum(sq);
    if (threadIdx.x == 0)
        part[blockIdx.x] = weight * sq;
}

void sae_cuda_prefix_loss(size_t n, size_t d, double weight, const float *x, const float *xhat,
                          const float *later, float *H, double *sum)
{
    double *const part = (double *)sae_gpu_scratch(SAE_GPU_A, (n + 1) * sizeof(double));
    if (!part || n == 0)
        return;
    SAE_LAUNCH(prefix_kernel, (unsigned)n, SAE_BLOCK, 0, n, d, weight, x, xhat, later, H, part);
    sae_cuda_sum_parts(n, part, later != nullptr, sum);
}
