/* SPDX-License-Identifier: MIT */
/* cuda : memory, matrix product and the table of the CUDA backend. */
#include <math.h>
#include <string.h>

#include "lib/math/cuda/cuda.h"
#include "lib/math/cuda/cuda_lm.h"

static enum sae_status mem_alloc(void *ret, size_t n, size_t size, struct sae_err *err)
{
    if (size != 0 && n > SIZE_MAX / 2 / size)
        return sae_err_set(err, SAE_ENOMEM, "out of memory: %zu elements of %zu bytes", n, size);
    void *const p = sae_gpu_alloc(n * size > 0 ? n * size : 1);
    if (!p)
        return sae_err_set(err, SAE_ENOMEM, "out of device memory: %zu bytes (%s)", n * size,
                           sae_gpu_name());
    memcpy(ret, &p, sizeof p);
    return SAE_OK;
}

static void mem_free(void *p)
{
    sae_gpu_free(p);
}

static void mem_put(void *to, const void *host, size_t bytes)
{
    if (bytes > 0)
        sae_gpu_put(to, host, bytes);
}

static void mem_get(void *host, const void *from, size_t bytes)
{
    if (bytes > 0)
        sae_gpu_get(host, from, bytes);
}

static void mem_copy(void *to, const void *from, size_t bytes)
{
    if (bytes > 0)
        sae_gpu_copy(to, from, bytes);
}

/* --- products ------------------------------------------------------------------------------- */

enum { TILE = 16 };

/* For shapes that the library has no way for: 16 x 16 of C a block. */
static __global__ void gemm_kernel(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha,
                                   const float *A, size_t lda, const float *B, size_t ldb,
                                   float beta, float *C, size_t ldc)
{
    __shared__ float a[TILE][TILE + 1], b[TILE][TILE + 1];
    const unsigned r = threadIdx.x / TILE, c = threadIdx.x % TILE;
    const size_t i = (size_t)blockIdx.y * TILE + r, j = (size_t)blockIdx.x * TILE + c;
    float sum = 0;
    for (size_t l0 = 0; l0 < K; l0 += TILE) {
        a[r][c] = i < M && l0 + c < K ? A[ta ? (l0 + c) * lda + i : i * lda + l0 + c] : 0;
        b[r][c] = j < N && l0 + r < K ? B[tb ? j * ldb + l0 + r : (l0 + r) * ldb + j] : 0;
        __syncthreads();
        for (unsigned l = 0; l < TILE; l++)
            sum += a[r][l] * b[l][c];
        __syncthreads();
    }
    if (i < M && j < N)
        C[i * ldc + j] = alpha * sum + (beta == 0 ? 0 : beta * C[i * ldc + j]);
}

static enum sae_gpu_type product = SAE_GPU_F32;

static enum sae_status set_precision(enum sae_precision how, struct sae_err *err)
{
    (void)err;
    product = how == SAE_BF16 ? SAE_GPU_BF16 : how == SAE_TF32 ? SAE_GPU_TF32 : SAE_GPU_F32;
    return SAE_OK;
}

/* Arithmetic from one H200 as its maker states it, not readings: 5.5 TB/s through its cache; 50 T/s in
 * f32, 380 in TF32, 790 in bf16. */
double sae_cuda_product_rate(void)
{
    const double rate = product == SAE_GPU_BF16 ? 790 : product == SAE_GPU_TF32 ? 380 : 50;
    return rate / 5.5;
}

static __global__ void round_kernel(size_t cols, size_t ld, const float *from, uint16_t *to)
{
    const float *const row = from + blockIdx.x * ld;
    for (size_t i = threadIdx.x; i < cols; i += blockDim.x)
        to[blockIdx.x * cols + i] = sae_bf16_of(row[i]);
}

static const void *rounded(enum sae_gpu_slot slot, size_t rows, size_t cols, const float *from,
                           size_t ld)
{
    uint16_t *const to = (uint16_t *)sae_gpu_scratch(slot, rows * cols * sizeof *to);
    if (to)
        SAE_LAUNCH(round_kernel, (unsigned)rows, SAE_BLOCK, 0, cols, ld, from, to);
    return to;
}

void sae_cuda_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha, const float *A,
                   size_t lda, const float *B, size_t ldb, float beta, float *C, size_t ldc)
{
    if (M == 0 || N == 0)
        return;
    if (product == SAE_GPU_BF16 && K > 0 && K % 8 == 0 && N % 8 == 0 && M % 8 == 0) {
        const void *const a = rounded(SAE_GPU_BF16_A, ta ? K : M, ta ? M : K, A, lda);
        const void *const b = rounded(SAE_GPU_BF16_B, tb ? N : K, tb ? K : N, B, ldb);
        if (a && b && sae_gpu_gemm(SAE_GPU_BF16, ta, tb, M, N, K, alpha, a, ta ? M : K, b,
                                   tb ? K : N, beta, C, ldc))
            return;
    }
    const enum sae_gpu_type type = product == SAE_GPU_TF32 ? SAE_GPU_TF32 : SAE_GPU_F32;
    if (K > 0 && sae_gpu_gemm(type, ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc))
        return;
    SAE_LAUNCH(gemm_kernel,
               dim3((unsigned)((N + TILE - 1) / TILE), (unsigned)((M + TILE - 1) / TILE)),
               TILE * TILE, 0, ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

/* Scratch of the transpose, of products in bf16, of the tiles of the orthogonality term; the
 * library's own. */
static double step_bytes(size_t n, size_t m, size_t d, bool orth, bool window)
{
    const double N = (double)n, M = (double)m, D = (double)d;
    const double largest = fmax(N * D, fmax(N * M, M * D));
    const double tiles = orth ? 1024 * M * (2 * 4 + (window ? 8 : 0)) : 0;
    return 128 * M * 4 + 2 * 2 * largest + 64e6 + tiles;
}

/* --- the table ------------------------------------------------------------------------------ */

extern "C" {
const struct sae_ops sae_ops_cuda = {
    .name = "cuda",
    .host = false,
    .numbers_delayed = true,
    .grad_block = 0,
    .dense_share = 100, /* tensor cores read memory once, sparse products gather rows */
    .lm = &sae_lm_cuda,
    .alloc = mem_alloc,
    .free = mem_free,
    .put = mem_put,
    .get = mem_get,
    .copy = mem_copy,
    .free_bytes = sae_gpu_free_bytes,
    .step_bytes = step_bytes,
    .gemm = sae_cuda_gemm,
    .center = sae_cuda_center,
    .topk = sae_cuda_topk,
    .batchtopk = sae_cuda_batchtopk,
    .threshold = sae_cuda_threshold,
    .above = sae_cuda_above,
    .encode_scratch = sae_cuda_encode_scratch,
    .encode_topk = sae_cuda_encode_topk,
    .transpose = sae_cuda_transpose,
    .decode = sae_cuda_decode,
    .grad_dec = sae_cuda_grad_dec,
    .grad_enc = sae_cuda_grad_enc,
    .col_sum = sae_cuda_col_sum,
    .sum_sq = sae_cuda_sum_sq,
    .unit_rows = sae_cuda_unit_rows,
    .adam = sae_cuda_adam,
    .adam_rows = sae_cuda_adam_rows,
    .cap_rows = sae_cuda_cap_rows,
    .sq_sum = sae_cuda_sq_sum,
    .loss_sum = sae_cuda_loss_sum,
    .project_sum = sae_cuda_project_sum,
    .spread_sum = sae_cuda_spread_sum,
    .relu_sum = sae_cuda_relu_sum,
    .mask_grad = sae_cuda_mask_grad,
    .scatter = sae_cuda_scatter,
    .count_active = sae_cuda_count_active,
    .age = sae_cuda_age,
    .cut_move = sae_cuda_cut_move,
    .topk_idle = sae_cuda_topk_idle,
    .aux_loss = sae_cuda_aux_loss,
    .grad_add = sae_cuda_grad_add,
    .orth_tiles = sae_cuda_orth_tiles,
    .orth_masks = sae_cuda_orth_masks,
    .compare_rows = sae_cuda_compare_rows,
    .widen_rows = sae_cuda_widen_rows,
    .lp_sum = sae_cuda_lp_sum,
    .lp_grad = sae_cuda_lp_grad,
    .gate = sae_cuda_gate,
    .gate_grad = sae_cuda_gate_grad,
    .jump = sae_cuda_jump,
    .jump_fill = sae_cuda_jump_fill,
    .jump_grad = sae_cuda_jump_grad,
    .decode_group = sae_cuda_decode_group,
    .grad_dec_group = sae_cuda_grad_dec_group,
    .prefix_loss = sae_cuda_prefix_loss,
    .ortsae = sae_cuda_ortsae,
    .readback_open = sae_gpu_readback_open,
    .readback_close = sae_gpu_readback_close,
    .readback_post = sae_gpu_readback_post,
    .readback_wait = sae_gpu_readback_wait,
    .precision = set_precision,
    .check = sae_gpu_status,
    .cos_hist = sae_cuda_cos_hist,
    .gram = sae_cuda_gram,
    .eigenvalues = sae_cuda_eigenvalues,
    .pair_dots = sae_cuda_pair_dots,
};
}

/* What the rest of saekit finds in the module by name (ops.c). */
extern "C" enum sae_status sae_cuda_open(const struct sae_ops **ret, struct sae_err *err);
extern "C" enum sae_status sae_cuda_open(const struct sae_ops **ret, struct sae_err *err)
{
    SAE_TRY(sae_gpu_open(err));
    *ret = &sae_ops_cuda;
    return SAE_OK;
}
