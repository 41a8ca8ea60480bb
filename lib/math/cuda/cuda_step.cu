/* SPDX-License-Identifier: MIT */
/* cuda_step : operations of a step whose numbers stay on the device; ref_step.c has them plainly.
 * Contents: 1. sums   2. dense activations   3. counters   4. AuxK   5. rows of a store */
#include <math.h>

#include "lib/math/cuda/cuda.h"

/* --- 1. sums -------------------------------------------------------------------------------- */

/* As col_sum, in double: the mean of each column of x - minus. */
static __global__ void mean_kernel(size_t n, size_t d, const float *x, const float *minus,
                                   double *mean)
{
    __shared__ double part[SAE_BLOCK];
    const size_t i = (size_t)blockIdx.x * SAE_WARP + sae_lane();
    double sum = 0;
    for (size_t t = sae_warp(); i < d && t < n; t += sae_warps())
        sum += (double)x[t * d + i] - (minus ? (double)minus[t * d + i] : 0);
    part[threadIdx.x] = sum;
    __syncthreads();
    if (sae_warp() > 0 || i >= d)
        return;
    for (unsigned w = 1; w < sae_warps(); w++)
        sum += part[w * SAE_WARP + sae_lane()];
    mean[i] = sum / (double)n;
}

/* One block a row. */
static __global__ void spread_kernel(size_t d, const float *x, const float *minus,
                                     const double *mean, double *part)
{
    const size_t at = blockIdx.x * d;
    double sum = 0;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x) {
        const double v =
            (double)x[at + i] - (minus ? (double)minus[at + i] : 0) - mean[i];
        sum += v * v;
    }
    sum = sae_block_sum(sum);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum;
}

void sae_cuda_spread_sum(size_t n, size_t d, const float *x, const float *minus, double *sum)
{
    double *const mean = (double *)sae_gpu_scratch(SAE_GPU_A, (d + n) * sizeof(double));
    if (!mean || n == 0 || d == 0)
        return;
    SAE_LAUNCH(mean_kernel, (unsigned)((d + SAE_WARP - 1) / SAE_WARP), SAE_BLOCK, 0, n, d, x, minus,
               mean);
    SAE_LAUNCH(spread_kernel, (unsigned)n, SAE_BLOCK, 0, d, x, minus, mean, mean + d);
    sae_cuda_sum_parts(n, mean + d, false, sum);
}

/* One block a row; part [4][m]. */
static __global__ void compare_kernel(size_t m, size_t d, const float *W, const float *A,
                                      const float *B, double *part)
{
    const size_t at = blockIdx.x * d;
    double aa = 0, bb = 0, ab = 0, aw = 0, bw = 0;
    for (size_t i = at + threadIdx.x; i < at + d; i += blockDim.x) {
        const double a = (double)A[i], b = (double)B[i], w = (double)W[i];
        aa += a * a;
        bb += b * b;
        ab += a * b;
        aw += a * w;
        bw += b * w;
    }
    aa = sae_block_sum(aa);
    bb = sae_block_sum(bb);
    ab = sae_block_sum(ab);
    aw = sae_block_sum(aw);
    bw = sae_block_sum(bw);
    if (threadIdx.x != 0)
        return;
    aa = fmax(aa - aw * aw, 0.0);
    bb = fmax(bb - bw * bw, 0.0);
    part[blockIdx.x] = aa;
    part[m + blockIdx.x] = bb;
    part[2 * m + blockIdx.x] = ab - aw * bw;
    part[3 * m + blockIdx.x] = bb > aa;
}

void sae_cuda_compare_rows(size_t m, size_t d, const float *W, const float *A, const float *B,
                           double *sum)
{
    double *const part = (double *)sae_gpu_scratch(SAE_GPU_A, (4 * m + 1) * sizeof(double));
    if (!part || m == 0)
        return;
    SAE_LAUNCH(compare_kernel, (unsigned)m, SAE_BLOCK, 0, m, d, W, A, B, part);
    for (size_t i = 0; i < 4; i++)
        sae_cuda_sum_parts(m, part + i * m, false, sum + i);
}

/* --- 2. dense activations ------------------------------------------------------------------- */

/* One block a row; part [2][n]. */
static __global__ void relu_kernel(size_t n, size_t m, const float *b_enc, float *pre, double *part)
{
    float *const row = pre + blockIdx.x * m;
    double sum = 0, active = 0;
    for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
        const float v = row[j] + b_enc[j];
        row[j] = v > 0 ? v : 0;
        sum += (double)row[j];
        active += row[j] > 0;
    }
    sum = sae_block_sum(sum);
    active = sae_block_sum(active);
    if (threadIdx.x == 0) {
        part[blockIdx.x] = sum;
        part[n + blockIdx.x] = active;
    }
}

void sae_cuda_relu_sum(size_t n, size_t m, const float *b_enc, float *pre, double *sum)
{
    double *const part = (double *)sae_gpu_scratch(SAE_GPU_A, (2 * n + 1) * sizeof(double));
    if (!part || n == 0)
        return;
    SAE_LAUNCH(relu_kernel, (unsigned)n, SAE_BLOCK, 0, n, m, b_enc, pre, part);
    sae_cuda_sum_parts(n, part, false, sum);
    sae_cuda_sum_parts(n, part + n, false, sum + 1);
}

static __global__ void mask_kernel(size_t n, const float *f, float l1, float *dz)
{
    const size_t i = sae_item();
    if (i < n)
        dz[i] = fabsf(f[i]) > 0 ? dz[i] + l1 : 0;
}

void sae_cuda_mask_grad(size_t n, const float *f, float l1, float *dz)
{
    if (n > 0)
        SAE_LAUNCH(mask_kernel, sae_blocks(n), SAE_BLOCK, 0, n, f, l1, dz);
}

static __global__ void scatter_kernel(size_t m, const size_t *start, const uint32_t *idx,
                                      const float *val, float *f)
{
    const size_t end = start[blockIdx.x + 1];
    for (size_t e = start[blockIdx.x] + threadIdx.x; e < end; e += blockDim.x)
        f[blockIdx.x * m + idx[e]] = val[e];
}

void sae_cuda_scatter(size_t m, const struct sae_csr *csr, float *f)
{
    sae_gpu_zero(f, csr->n * m * sizeof *f);
    if (csr->n > 0)
        SAE_LAUNCH(scatter_kernel, (unsigned)csr->n, SAE_BLOCK, 0, m, csr->start, csr->idx,
                   csr->val, f);
}

/* --- 3. counters ---------------------------------------------------------------------------- */

/* A block looks at 32 latents, its warps at rows in turn. */
static __global__ void active_kernel(size_t n, size_t m, const float *f, bool add,
                                     uint32_t *active)
{
    __shared__ unsigned part[SAE_BLOCK];
    const size_t j = (size_t)blockIdx.x * SAE_WARP + sae_lane();
    unsigned count = 0;
    for (size_t t = sae_warp(); j < m && t < n; t += sae_warps())
        count += f[t * m + j] > 0;
    part[threadIdx.x] = count;
    __syncthreads();
    if (sae_warp() > 0 || j >= m)
        return;
    for (unsigned w = 1; w < sae_warps(); w++)
        count += part[w * SAE_WARP + sae_lane()];
    active[j] = add ? active[j] + count : count;
}

void sae_cuda_count_active(size_t n, size_t m, const float *f, bool add, uint32_t *active)
{
    if (m > 0)
        SAE_LAUNCH(active_kernel, (unsigned)((m + SAE_WARP - 1) / SAE_WARP), SAE_BLOCK, 0, n, m, f,
                   add, active);
}

/* One block. */
static __global__ void age_kernel(size_t n, size_t m, const size_t *start, const uint32_t *active,
                                  uint64_t dead_after, uint64_t *idle, double *sum)
{
    double dead = 0;
    for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
        const bool used = start ? start[j + 1] > start[j] : active[j] != 0;
        const uint64_t now = used ? 0 : idle[j] + n;
        idle[j] = now;
        dead += now >= dead_after;
    }
    dead = sae_block_sum(dead);
    if (threadIdx.x != 0)
        return;
    sum[0] = dead;
    if (start)
        sum[1] = (double)start[m];
}

void sae_cuda_age(size_t n, size_t m, const size_t *start, const uint32_t *active,
                  uint64_t dead_after, uint64_t *idle, double *sum)
{
    if (m > 0)
        SAE_LAUNCH(age_kernel, 1, m > 4096 ? 1024 : SAE_BLOCK, 0, n, m, start, active, dead_after,
                   idle, sum);
}

static __global__ void least_kernel(size_t n, const size_t *start, const float *val, double keep,
                                    double *cut)
{
    __shared__ float part[1024];
    const size_t nnz = start[n];
    float least = INFINITY;
    for (size_t e = threadIdx.x; e < nnz; e += blockDim.x)
        least = val[e] < least ? val[e] : least;
    part[threadIdx.x] = least;
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    for (unsigned t = 1; t < blockDim.x; t++)
        least = part[t] < least ? part[t] : least;
    const double v = nnz > 0 ? (double)least : 0;
    *cut = *cut < 0 ? v : keep * *cut + (1 - keep) * v;
}

void sae_cuda_cut_move(const struct sae_csr *csr, double keep, double *cut)
{
    SAE_LAUNCH(least_kernel, 1, csr->cap > 4096 ? 1024 : SAE_BLOCK, 0, csr->n, csr->start, csr->val,
               keep, cut);
}

/* --- 4. AuxK -------------------------------------------------------------------------------- */

/* One block a row. */
static __global__ void aux_kernel(size_t n, size_t d, double alpha, const float *x,
                                  const float *xhat, const double *spread, const double *dead,
                                  float *r, double *part)
{
    const size_t at = blockIdx.x * d;
    const bool counts = *spread > 0 && *dead > 0;
    const double denominator = counts ? *spread / (double)n : 1;
    const float scale = (float)(2 * alpha / ((double)n * denominator));
    double sum = 0;
    for (size_t i = at + threadIdx.x; i < at + d; i += blockDim.x) {
        const float miss = r[i] - (x[i] - xhat[i]);
        sum += (double)miss * (double)miss;
        r[i] = counts ? scale * miss : 0;
    }
    sum = sae_block_sum(sum);
    if (threadIdx.x == 0)
        part[blockIdx.x] = counts ? sum / (double)n / denominator : 0;
}

void sae_cuda_aux_loss(size_t n, size_t d, double alpha, const float *x, const float *xhat,
                       const double *spread, const double *dead, float *r, double *loss)
{
    double *const part = (double *)sae_gpu_scratch(SAE_GPU_A, (n + 1) * sizeof(double));
    if (!part || n == 0)
        return;
    SAE_LAUNCH(aux_kernel, (unsigned)n, SAE_BLOCK, 0, n, d, alpha, x, xhat, spread, dead, r, part);
    sae_cuda_sum_parts(n, part, false, loss);
}

void sae_cuda_grad_add(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                       const float *g, const float *xc, const float *W_dec, float *dz,
                       float *dW_enc, float *dW_dec, float *db_enc)
{
    sae_cuda_dots(d, csr, g, W_dec, dz);
    sae_cuda_sum_rows(m, d, csc->start, csc->row, csc->pos, csr->val, true, g, nullptr, dW_dec);
    sae_cuda_sum_rows(m, d, csc->start, csc->row, csc->pos, dz, true, xc, nullptr, dW_enc);
    sae_cuda_sum_entries(m, csc, dz, true, db_enc);
}

/* --- 5. rows of a store --------------------------------------------------------------------- */

static __global__ void widen_kernel(size_t d, const uint16_t *rows, const uint32_t *row,
                                    double norm, float *x)
{
    const uint16_t *const from = rows + row[blockIdx.x] * d;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x) {
        const float v = sae_bf16_to(from[i]);
        x[blockIdx.x * d + i] = norm == 1 ? v : (float)((double)v / norm);
    }
}

void sae_cuda_widen_rows(size_t n, size_t d, const uint16_t *rows, const uint32_t *row, double norm,
                         float *x)
{
    if (n > 0)
        SAE_LAUNCH(widen_kernel, (unsigned)n, SAE_BLOCK, 0, d, rows, row, norm, x);
}
