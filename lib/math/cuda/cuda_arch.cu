/* SPDX-License-Identifier: MIT */
/* cuda_arch : gated and JumpReLU activations, annealed sparsity; ref_arch.c has them plainly.
 * Sums over tokens are made as in col_sum: a block takes 32 latents, its warps take tokens in turn
 * and are added in their order.
 * Contents: 1. annealed sparsity   2. gated   3. JumpReLU */
#include <math.h>

#include "lib/math/cuda/cuda.h"

static unsigned column_blocks(size_t m)
{
    return (unsigned)((m + SAE_WARP - 1) / SAE_WARP);
}

/* The sum over the warps of a block, for each lane, in warp 0. All threads call. */
static __device__ inline double warps_sum(double v)
{
    __shared__ double part[SAE_BLOCK];
    part[threadIdx.x] = v;
    __syncthreads();
    for (unsigned w = 1; sae_warp() == 0 && w < sae_warps(); w++)
        v += part[w * SAE_WARP + sae_lane()];
    __syncthreads();
    return v;
}

/* --- 1. annealed sparsity: one block a token ------------------------------------------------ */

static __device__ inline double lp_value(bool root, double sum, double p)
{
    return root ? (sum > 0 ? pow(sum, 1 / p) : 0) : sum;
}

static __device__ inline size_t row_begin(const size_t *start, size_t m, size_t t)
{
    return start ? start[t] : t * m;
}

/* part [2][n] */
static __global__ void lp_kernel(bool root, size_t n, size_t m, const size_t *start, const float *f,
                                 double p, double p_next, double *row, double *part)
{
    const size_t end = row_begin(start, m, blockIdx.x + 1);
    double now = 0, next = 0;
    for (size_t i = row_begin(start, m, blockIdx.x) + threadIdx.x; i < end; i += blockDim.x) {
        if (!(f[i] > 0))
            continue;
        now += pow((double)f[i], p);
        next += p_next > 0 ? pow((double)f[i], p_next) : 0;
    }
    now = sae_block_sum(now);
    next = sae_block_sum(next);
    if (threadIdx.x != 0)
        return;
    row[blockIdx.x] = now;
    part[blockIdx.x] = lp_value(root, now, p);
    part[n + blockIdx.x] = p_next > 0 ? lp_value(root, next, p_next) : 0;
}

void sae_cuda_lp_sum(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                     double p_next, double *row, double *sum)
{
    double *const part = (double *)sae_gpu_scratch(SAE_GPU_A, (2 * n + 1) * sizeof(double));
    if (!part || n == 0)
        return;
    SAE_LAUNCH(lp_kernel, (unsigned)n, SAE_BLOCK, 0, root, n, m, start, f, p, p_next, row, part);
    sae_cuda_sum_parts(n, part, true, sum);
    sae_cuda_sum_parts(n, part + n, true, sum + 1);
}

static __global__ void lp_grad_kernel(bool root, size_t m, const size_t *start, const float *f,
                                      double p, double weight, const double *row, float *dz)
{
    const size_t end = row_begin(start, m, blockIdx.x + 1);
    const double r = root ? pow(row[blockIdx.x], 1 / p - 1) : p;
    for (size_t i = row_begin(start, m, blockIdx.x) + threadIdx.x; i < end; i += blockDim.x)
        dz[i] = f[i] > 0 ? dz[i] + (float)(weight * r * pow((double)f[i], p - 1)) : 0;
}

void sae_cuda_lp_grad(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                      double weight, const double *row, float *dz)
{
    if (n > 0)
        SAE_LAUNCH(lp_grad_kernel, (unsigned)n, SAE_BLOCK, 0, root, m, start, f, p, weight, row, dz);
}

/* --- 2. gated ------------------------------------------------------------------------------- */

/* One block a token; part [2][n]. As products, so that what is not a number shows in the loss. */
static __global__ void gate_kernel(size_t n, size_t m, const float *u, const float *b_gate,
                                   const float *r_mag, const float *b_mag, float *f, float *gate,
                                   double *part)
{
    const size_t at = blockIdx.x * m;
    double sum = 0, active = 0;
    for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
        const float v = u[at + j], g = v + b_gate[j], magnitude = expf(r_mag[j]) * v + b_mag[j];
        const float open = (float)(g > 0), kept = open * (float)(magnitude > 0) * magnitude;
        gate[at + j] = open * g;
        f[at + j] = kept;
        sum += (double)(open * g);
        active += kept > 0;
    }
    sum = sae_block_sum(sum);
    active = sae_block_sum(active);
    if (threadIdx.x != 0)
        return;
    part[blockIdx.x] = sum;
    part[n + blockIdx.x] = active;
}

void sae_cuda_gate(size_t n, size_t m, const float *u, const float *b_gate, const float *r_mag,
                   const float *b_mag, float *f, float *gate, double *sum)
{
    double *const part = (double *)sae_gpu_scratch(SAE_GPU_A, (2 * n + 1) * sizeof(double));
    if (!part || n == 0)
        return;
    SAE_LAUNCH(gate_kernel, (unsigned)n, SAE_BLOCK, 0, n, m, u, b_gate, r_mag, b_mag, f, gate,
               part);
    sae_cuda_sum_parts(n, part, true, sum);
    sae_cuda_sum_parts(n, part + n, true, sum + 1);
}

static __global__ void gate_grad_kernel(size_t n, size_t m, const float *u, const float *r_mag,
                                        const float *f, const float *gate, float l1,
                                        const float *d1, float *d2, float *g_b_gate,
                                        float *g_b_mag, float *g_r_mag, float *du)
{
    const size_t j = (size_t)blockIdx.x * SAE_WARP + sae_lane();
    const float scale = j < m ? expf(r_mag[j]) : 0;
    double sum_g = 0, sum_f = 0, sum_fu = 0;
    for (size_t t = sae_warp(); j < m && t < n; t += sae_warps()) {
        const size_t i = t * m + j;
        const float dg = (float)(gate[i] > 0) * (d2[i] + l1), df = (float)(f[i] > 0) * d1[i];
        d2[i] = dg + scale * df;
        sum_g += (double)dg;
        sum_f += (double)df;
        sum_fu += (double)df * (double)u[i];
    }
    sum_g = warps_sum(sum_g);
    sum_f = warps_sum(sum_f);
    sum_fu = warps_sum(sum_fu);
    if (sae_warp() > 0 || j >= m)
        return;
    g_b_gate[j] = (float)sum_g;
    g_b_mag[j] = (float)sum_f;
    g_r_mag[j] = (float)((double)scale * sum_fu);
    du[j] = (float)(sum_g + (double)scale * sum_f);
}

void sae_cuda_gate_grad(size_t n, size_t m, const float *u, const float *r_mag, const float *f,
                        const float *gate, float l1, const float *d1, float *d2, float *g_b_gate,
                        float *g_b_mag, float *g_r_mag, float *du)
{
    if (m > 0)
        SAE_LAUNCH(gate_grad_kernel, column_blocks(m), SAE_BLOCK, 0, n, m, u, r_mag, f, gate, l1,
                   d1, d2, g_b_gate, g_b_mag, g_r_mag, du);
}

/* --- 3. JumpReLU ---------------------------------------------------------------------------- */

static __global__ void jump_kernel(size_t n, size_t m, const float *b_enc, const float *theta,
                                   float *z, uint32_t *active)
{
    const size_t j = (size_t)blockIdx.x * SAE_WARP + sae_lane();
    double count = 0;
    for (size_t t = sae_warp(); j < m && t < n; t += sae_warps()) {
        const size_t i = t * m + j;
        const float v = z[i] + b_enc[j];
        z[i] = v;
        count += v > theta[j];
    }
    count = warps_sum(count);
    if (sae_warp() == 0 && j < m)
        active[j] = (uint32_t)count;
}

/* One block. */
static __global__ void jump_count_kernel(size_t n, size_t m, const float *theta, bool by_z,
                                         const uint32_t *active, double *sum)
{
    double entries = 0, seen = 0;
    for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
        entries += (double)active[j];
        seen += !by_z && theta[j] < 0 ? (double)n : (double)active[j];
    }
    entries = sae_block_sum(entries);
    seen = sae_block_sum(seen);
    if (threadIdx.x != 0)
        return;
    sum[0] = entries;
    sum[1] = seen;
}

void sae_cuda_jump(size_t n, size_t m, const float *b_enc, const float *theta, bool by_z, float *z,
                   uint32_t *active, double *sum)
{
    if (m == 0)
        return;
    SAE_LAUNCH(jump_kernel, column_blocks(m), SAE_BLOCK, 0, n, m, b_enc, theta, z, active);
    SAE_LAUNCH(jump_count_kernel, 1, SAE_BLOCK, 0, n, m, theta, by_z, active, sum);
}

static __global__ void jump_fill_kernel(size_t m, const float *z, const float *theta, float *f)
{
    const size_t at = blockIdx.x * m;
    for (size_t j = threadIdx.x; j < m; j += blockDim.x)
        f[at + j] = z[at + j] > theta[j] ? z[at + j] : 0;
}

void sae_cuda_jump_fill(size_t n, size_t m, const float *z, const float *theta, float *f)
{
    if (n > 0)
        SAE_LAUNCH(jump_fill_kernel, (unsigned)n, SAE_BLOCK, 0, m, z, theta, f);
}

static __device__ inline bool in_window(float v, float theta, float width)
{
    return fabsf(v - theta) < width / 2;
}

/* One block a latent; a warp looks at a run of tokens, and all its lanes form the few products. */
static __global__ void jump_grad_kernel(size_t n, size_t m, size_t d, sae_jump h, const float *z,
                                        const float *theta, const uint32_t *active,
                                        const double *l0, const float *g, const float *W_dec,
                                        float *g_theta)
{
    __shared__ double part[2][SAE_WARP];
    const size_t j = blockIdx.x;
    const float own = theta[j], width = (float)h.width;
    double sum = 0, steps = 0;
    for (size_t t0 = sae_warp() * SAE_WARP; t0 < n; t0 += blockDim.x) {
        const size_t t = t0 + sae_lane();
        const float v = t < n ? z[t * m + j] : 0;
        const bool near = t < n && in_window(v, own, width);
        steps += near && (h.by_z || v > own);
        unsigned left = __ballot_sync(SAE_ALL_LANES, near);
        for (unsigned lane = 0; left; lane++, left >>= 1)
            if (left & 1) {
                const float *const row = g + (t0 + lane) * d, *const w = W_dec + j * d;
                for (size_t i = sae_lane(); i < d; i += SAE_WARP)
                    sum += (double)row[i] * (double)w[i];
            }
    }
    sum = sae_warp_sum(sum);
    steps = sae_warp_sum(steps);
    if (sae_lane() == 0) {
        part[0][sae_warp()] = sum;
        part[1][sae_warp()] = steps;
    }
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    for (unsigned w = 1; w < sae_warps(); w++) {
        sum += part[0][w];
        steps += part[1][w];
    }
    const double dH = 2 * h.weight * (*l0 / (double)n / h.target - 1) / (h.target * (double)n);
    if (!h.by_z && in_window(0, own, width))
        steps += (double)n - (double)active[j];
    g_theta[j] = (float)(-((double)own * sum + dH * steps) / h.width);
}

void sae_cuda_jump_grad(size_t n, size_t m, size_t d, const struct sae_jump *h, const float *z,
                        const float *theta, const uint32_t *active, const double *l0,
                        const float *g, const float *W_dec, float *g_theta)
{
    if (m > 0)
        SAE_LAUNCH(jump_grad_kernel, (unsigned)m, SAE_BLOCK, 0, n, m, d, *h, z, theta, active, l0,
                   g, W_dec, g_theta);
}
