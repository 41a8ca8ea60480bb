/* SPDX-License-Identifier: MIT */
/* cuda_sparse : operations over the kept entries; rows of W and of g come through the L2 cache.
 * Contents: 1. transpose   2. decode   3. gradients */
#include "lib/math/cuda/cuda.h"

/* --- 1. transpose ------------------------------------------------------------------------- */

/* A counting sort. Rows are cut into pieces; a block takes its piece row by row,
 * and the latents of one row are all different, so that entries of a latent come in row order. */

enum { PIECES = 128 };

static __global__ void latent_count_kernel(size_t n, size_t m, size_t rows, const size_t *start,
                                           const uint32_t *idx, uint32_t *count)
{
    const size_t t0 = blockIdx.x * rows, t1 = t0 + rows < n ? t0 + rows : n;
    uint32_t *const mine = count + blockIdx.x * m;
    for (size_t j = threadIdx.x; j < m; j += blockDim.x)
        mine[j] = 0;
    __syncthreads();
    for (size_t e = start[t0] + threadIdx.x; e < start[t1]; e += blockDim.x)
        atomicAdd(&mine[idx[e]], 1U);
}

/* count[piece][j] becomes the entries of j in the pieces before; total[j] those in all. */
static __global__ void piece_before_kernel(size_t pieces, size_t m, uint32_t *count,
                                           uint32_t *total)
{
    const size_t j = sae_item();
    if (j >= m)
        return;
    uint32_t sum = 0;
    for (size_t p = 0; p < pieces; p++) {
        const uint32_t here = count[p * m + j];
        count[p * m + j] = sum;
        sum += here;
    }
    total[j] = sum;
}

static __global__ void place_kernel(size_t n, size_t m, size_t rows, const size_t *start,
                                    const uint32_t *idx, const size_t *latent_start,
                                    uint32_t *before, uint32_t *row, uint32_t *pos)
{
    const size_t t0 = blockIdx.x * rows, t1 = t0 + rows < n ? t0 + rows : n;
    uint32_t *const mine = before + blockIdx.x * m;
    for (size_t t = t0; t < t1; t++) {
        for (size_t e = start[t] + threadIdx.x; e < start[t + 1]; e += blockDim.x) {
            const size_t p = latent_start[idx[e]] + mine[idx[e]]++;
            row[p] = (uint32_t)t;
            pos[p] = (uint32_t)e;
        }
        __syncthreads();
    }
}

void sae_cuda_transpose(size_t m, const struct sae_csr *csr, struct sae_csc *csc)
{
    const size_t n = csr->n, rows = n > PIECES ? (n + PIECES - 1) / PIECES : 1;
    const size_t pieces = (n + rows - 1) / rows;
    uint32_t *const count =
        (uint32_t *)sae_gpu_scratch(SAE_GPU_A, (pieces * m + 1) * sizeof(uint32_t));
    uint32_t *const total = (uint32_t *)sae_gpu_scratch(SAE_GPU_B, (m + 1) * sizeof(uint32_t));
    csc->m = m;
    if (n == 0 || m == 0 || !count || !total) {
        sae_gpu_zero(csc->start, (m + 1) * sizeof *csc->start);
        return;
    }
    SAE_LAUNCH(latent_count_kernel, (unsigned)pieces, SAE_BLOCK, 0, n, m, rows, csr->start,
               csr->idx, count);
    SAE_LAUNCH(piece_before_kernel, sae_blocks(m), SAE_BLOCK, 0, pieces, m, count, total);
    sae_cuda_starts(m, total, csc->start);
    SAE_LAUNCH(place_kernel, (unsigned)pieces, SAE_BLOCK, 0, n, m, rows, csr->start, csr->idx,
               csc->start, count, csc->row, csc->pos);
}

/* --- 2. decode: a block takes 256 columns of one token, its entries in order ----------------- */

static __global__ void decode_kernel(size_t d, const size_t *start, const uint32_t *idx,
                                     const float *val, const float *W, const float *b, float *xhat)
{
    const size_t t = blockIdx.x, i = (size_t)blockIdx.y * blockDim.x + threadIdx.x;
    if (i >= d)
        return;
    xhat[t * d + i] =
        sae_add_rows(b ? b[i] : 0, start[t], start[t + 1], idx, val, W, d, i);
}

void sae_cuda_decode(size_t d, const struct sae_csr *csr, const float *W_dec, const float *b_dec,
                     float *xhat)
{
    if (csr->n > 0 && d > 0)
        SAE_LAUNCH(decode_kernel, dim3((unsigned)csr->n, sae_blocks(d)), SAE_BLOCK, 0, d,
                   csr->start, csr->idx, csr->val, W_dec, b_dec, xhat);
}

/* --- 3. gradients --------------------------------------------------------------------------- */

/* A warp forms the dot product of an entry; a block has the entries of one token. */
static __global__ void dots_kernel(size_t d, const size_t *start, const uint32_t *idx,
                                   const float *g, const float *W, float *dz)
{
    const float *const row = g + blockIdx.x * d;
    const size_t end = start[blockIdx.x + 1];
    for (size_t e = start[blockIdx.x] + sae_warp(); e < end; e += sae_warps()) {
        const float dot = sae_warp_dot(d, row, W + idx[e] * d);
        if (sae_lane() == 0)
            dz[e] = dot;
    }
}

/* A term of weight 0 counts where `zeros` says so: it is NaN where the row is. */
static __global__ void sum_rows_kernel(size_t d, const size_t *start, const uint32_t *row,
                                       const uint32_t *pos, const float *weight, bool zeros,
                                       const float *rows, float *out, float *add)
{
    const size_t j = blockIdx.x, i = (size_t)blockIdx.y * blockDim.x + threadIdx.x;
    const size_t end = start[j + 1];
    size_t p = start[j];
    if (i >= d || (p == end && !out))
        return;
    float sum = 0;
    for (; zeros && p + 4 <= end; p += 4) { /* four rows are on their way at a time */
        const float r0 = rows[row[p] * d + i], r1 = rows[row[p + 1] * d + i],
                    r2 = rows[row[p + 2] * d + i], r3 = rows[row[p + 3] * d + i];
        sum += weight[pos ? pos[p] : p] * r0;
        sum += weight[pos ? pos[p + 1] : p + 1] * r1;
        sum += weight[pos ? pos[p + 2] : p + 2] * r2;
        sum += weight[pos ? pos[p + 3] : p + 3] * r3;
    }
    for (; p < end; p++) {
        const float w = weight[pos ? pos[p] : p];
        if (zeros || w != 0)
            sum += w * rows[row[p] * d + i];
    }
    if (out)
        out[j * d + i] = sum;
    if (add)
        add[j * d + i] += sum;
}

void sae_cuda_sum_rows(size_t m, size_t d, const size_t *start, const uint32_t *row,
                       const uint32_t *pos, const float *weight, bool zeros, const float *rows,
                       float *out, float *add)
{
    if (m > 0 && d > 0)
        SAE_LAUNCH(sum_rows_kernel, dim3((unsigned)m, sae_blocks(d)), SAE_BLOCK, 0, d, start, row,
                   pos, weight, zeros, rows, out, add);
}

enum { WARPS = SAE_BLOCK / SAE_WARP };

/* db[j] = sum of dz over the entries of j; a warp each. */
static __global__ void sum_entries_kernel(size_t m, const size_t *start, const uint32_t *pos,
                                          const float *dz, bool add, float *db)
{
    const size_t j = (size_t)blockIdx.x * sae_warps() + sae_warp();
    if (j >= m)
        return;
    double sum = 0;
    for (size_t p = start[j] + sae_lane(); p < start[j + 1]; p += SAE_WARP)
        sum += (double)dz[pos[p]];
    sum = sae_warp_sum(sum);
    if (sae_lane() == 0)
        db[j] = add ? db[j] + (float)sum : (float)sum;
}

void sae_cuda_dots(size_t d, const struct sae_csr *csr, const float *g, const float *W, float *dz)
{
    if (csr->n > 0)
        SAE_LAUNCH(dots_kernel, (unsigned)csr->n, SAE_BLOCK, 0, d, csr->start, csr->idx, g, W, dz);
}

void sae_cuda_sum_entries(size_t m, const struct sae_csc *csc, const float *dz, bool add, float *db)
{
    if (m > 0)
        SAE_LAUNCH(sum_entries_kernel, (unsigned)((m + WARPS - 1) / WARPS), SAE_BLOCK, 0, m, csc->start,
                   csc->pos, dz, add, db);
}

void sae_cuda_grad_dec(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                       const float *g, const float *W_dec, float *dz, float *dW_dec)
{
    sae_cuda_dots(d, csr, g, W_dec, dz);
    sae_cuda_sum_rows(m, d, csc->start, csc->row, csc->pos, csr->val, true, g, dW_dec,
                      nullptr);
}

void sae_cuda_grad_enc(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                       const float *dz, const float *xc, float *dW_enc, float *db_enc)
{
    (void)csr;
    sae_cuda_sum_rows(m, d, csc->start, csc->row, csc->pos, dz, true, xc, dW_enc, nullptr);
    sae_cuda_sum_entries(m, csc, dz, false, db_enc);
}
