/* SPDX-License-Identifier: MIT */
/* cuda_compete : the orthogonality term straight from masks, a tile of latents against all at a
 * time. For each tile of rows: counts of meetings (integers, in shared memory), from them c_ij;
 * the cosines by a product; c_ij sign(cosine) in their place; and the sum of partners by another
 * product. Tiles hold ROWS x m floats, whatever m is. */
#include <math.h>
#include <stdlib.h>

#include "lib/math/cuda/cuda.h"

static const size_t ROWS_OF_TILE = 1024;

/* One batch of masks, on the device. */
struct batch {
    const size_t *row_start, *latent_start;
    const uint32_t *idx, *row;
    double weight;
};

/* n[j] = weighted tokens on which j is active */
static __global__ void singles_kernel(size_t m, size_t n_batches, const batch *all, double *n)
{
    const size_t j = sae_item();
    if (j >= m)
        return;
    double sum = 0;
    for (size_t b = 0; b < n_batches; b++)
        sum += all[b].weight *
               (double)(all[b].latent_start[j + 1] - all[b].latent_start[j]);
    n[j] = sum;
}

static __device__ inline double overlap_value(const sae_compete_rule &rule, double B, double n_i,
                                              double n_j, double n_ij)
{
    switch (rule.overlap) {
    case SAE_OVERLAP_JACCARD:
        return n_ij / (n_i + n_j - n_ij);
    case SAE_OVERLAP_COSINE:
        return n_ij / sqrt(n_i * n_j);
    case SAE_OVERLAP_LIFT:
        return B * n_ij / (n_i * n_j);
    case SAE_OVERLAP_BATCH:
        return n_ij / B;
    default:
        return n_ij / (n_i < n_j ? n_i : n_j);
    }
}

static __device__ inline double compete_value(const sae_compete_rule &rule, double nhat)
{
    const double over = (nhat - rule.tau) / rule.tau;
    if (rule.form == SAE_COMPETE_SIGMOID)
        return 1 / (1 + exp(-rule.sharpness * over));
    return over < 0 ? 0 : over > 1 ? 1 : over;
}

/* One block a latent i = i0 + blockIdx.x: row blockIdx.x of C becomes c_ij. A warp takes a token on
 * which i is active. `counters` [rows][m] where shared memory has no room; `sums` [rows][m] where
 * there are several batches. */
static __global__ void coefficients_kernel(size_t m, size_t i0, size_t n_batches, const batch *all,
                                           sae_compete_rule rule, double B, const double *n,
                                           unsigned *counters, double *sums, float *C)
{
    SAE_SHARED_DYNAMIC(unsigned, mine);
    const size_t i = i0 + blockIdx.x;
    unsigned *const now = counters ? counters + blockIdx.x * m : mine;
    double *const sum = sums ? sums + blockIdx.x * m : nullptr;
    float *const c = C + blockIdx.x * m;
    for (size_t b = 0; b < n_batches; b++) {
        for (size_t j = threadIdx.x; j < m; j += blockDim.x)
            now[j] = 0;
        __syncthreads();
        const size_t end = all[b].latent_start[i + 1];
        for (size_t p = all[b].latent_start[i] + sae_warp(); p < end; p += sae_warps()) {
            const size_t t = all[b].row[p];
            for (size_t e = all[b].row_start[t] + sae_lane(); e < all[b].row_start[t + 1];
                 e += SAE_WARP)
                atomicAdd(&now[all[b].idx[e]], 1U);
        }
        __syncthreads();
        for (size_t j = threadIdx.x; sum && j < m; j += blockDim.x)
            sum[j] = (b > 0 ? sum[j] : 0) + all[b].weight * (double)now[j];
        __syncthreads();
    }
    for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
        const double n_ij = sum ? sum[j] : all[0].weight * (double)now[j];
        const bool counts =
            j != i && n_ij > 0 && n[i] >= rule.min_count && n[j] >= rule.min_count;
        c[j] = counts ? (float)compete_value(rule, overlap_value(rule, B, n[i], n[j], n_ij)) : 0;
    }
}

/* Pairs of each latent with partners above. */
static __global__ void pair_count_kernel(size_t m, size_t i0, const float *C, double *part)
{
    const size_t i = i0 + blockIdx.x;
    double n = 0;
    for (size_t j = i + 1 + threadIdx.x; j < m; j += blockDim.x)
        n += C[blockIdx.x * m + j] > 0;
    n = sae_block_sum(n);
    if (threadIdx.x == 0)
        part[i] = n;
}

/* C = c_ij sign(cosine), over the pairs where that is asked for; sums of a latent into part [4][m]:
 * loss, pairs, |cos|, largest. */
static __global__ void signs_kernel(size_t m, size_t i0, const float *cosine,
                                    const double *n_pairs, float *C, double *part)
{
    __shared__ double most[SAE_BLOCK];
    const size_t i = i0 + blockIdx.x;
    double loss = 0, n = 0, sum = 0, largest = 0;
    for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
        const float dot = cosine[blockIdx.x * m + j], c = C[blockIdx.x * m + j];
        if (!(c > 0))
            continue;
        if (j > i) {
            const double v = fabs((double)dot);
            loss += (double)c * v;
            n += 1;
            sum += v;
            largest = v > largest ? v : largest;
        }
        const double along = (double)c * (double)((dot > 0) - (dot < 0));
        C[blockIdx.x * m + j] = (float)(n_pairs ? along / *n_pairs : along);
    }
    loss = sae_block_sum(loss);
    n = sae_block_sum(n);
    sum = sae_block_sum(sum);
    most[threadIdx.x] = largest;
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    for (unsigned t = 1; t < blockDim.x; t++)
        largest = most[t] > largest ? most[t] : largest;
    part[i] = loss;
    part[m + i] = n;
    part[2 * m + i] = sum;
    part[3 * m + i] = largest;
}

static __global__ void largest_kernel(size_t n, const double *part, double *out)
{
    __shared__ double most[SAE_BLOCK];
    double v = 0;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        v = part[i] > v ? part[i] : v;
    most[threadIdx.x] = v;
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    for (unsigned t = 1; t < blockDim.x; t++)
        v = most[t] > v ? most[t] : v;
    *out = v;
}

static __global__ void add_kernel(size_t n, const float *from, float *to)
{
    const size_t i = sae_item();
    if (i < n)
        to[i] += from[i];
}

/* Everything a tile needs. */
struct tiles {
    size_t m, rows, n_batches;
    const batch *all;
    sae_compete_rule rule;
    double B;
    double *n, *part; /* [m], [4][m] */
    float *C, *cosine;
    unsigned *counters;
    double *sums;
};

static void coefficients(const tiles &t, size_t i0, size_t rows)
{
    SAE_LAUNCH(coefficients_kernel, (unsigned)rows, SAE_BLOCK,
               t.counters ? 0 : t.m * sizeof(unsigned), t.m, i0, t.n_batches, t.all, t.rule, t.B,
               t.n, t.counters, t.sums, t.C);
}

/* Room for everything, in two scratch arrays; false where there is none. */
static bool tiles_make(tiles *t, const struct sae_overlap_masks *masks)
{
    const size_t m = t->m, nb = masks->n_batches;
    const bool shared = m * sizeof(unsigned) <= sae_gpu_shared_most();
    const size_t own = t->rows * m;
    /* doubles and batches first: their alignment */
    const size_t doubles = 5 * m + (nb > 1 ? own : 0);
    unsigned char *const first = (unsigned char *)sae_gpu_scratch(
        SAE_GPU_D, doubles * sizeof(double) + nb * sizeof(batch));
    float *const second = (float *)sae_gpu_scratch(
        SAE_GPU_E, 2 * own * sizeof(float) + (shared ? 0 : own * sizeof(unsigned)));
    struct batch *const host = (struct batch *)calloc(nb, sizeof *host);
    if (!first || !second || !host) {
        free(host);
        return false;
    }
    t->n = (double *)first;
    t->part = t->n + m;
    t->sums = nb > 1 ? t->part + 4 * m : nullptr;
    batch *const on_device = (batch *)(first + doubles * sizeof(double));
    t->all = on_device;
    t->C = second;
    t->cosine = second + own;
    t->counters = shared ? nullptr : (unsigned *)(second + 2 * own);
    for (size_t b = 0; b < nb; b++) {
        host[b] = batch{masks->csr[b]->start, masks->csc[b]->start, masks->csr[b]->idx,
                        masks->csc[b]->row, masks->weight[b]};
        t->B += masks->weight[b] * (double)masks->csr[b]->n;
    }
    sae_gpu_put(on_device, host, nb * sizeof *host);
    free(host);
    return true;
}

void sae_cuda_orth_masks(size_t m, size_t d, const float *W, const struct sae_overlap_masks *masks,
                         const struct sae_compete_rule *rule, double weight, bool per_pair,
                         float *G, float *Gout, double *sum)
{
    tiles t = {};
    t.m = m;
    t.rows = m < ROWS_OF_TILE ? m : ROWS_OF_TILE;
    t.n_batches = masks->n_batches;
    t.rule = *rule;
    sae_gpu_zero(sum, 4 * sizeof *sum);
    if (m == 0 || masks->n_batches == 0 || !tiles_make(&t, masks))
        return;
    SAE_LAUNCH(singles_kernel, sae_blocks(m), SAE_BLOCK, 0, m, t.n_batches, t.all, t.n);
    for (size_t i = 0; per_pair && i < m; i += t.rows) { /* how many, before any is weighed */
        const size_t rows = m - i < t.rows ? m - i : t.rows;
        coefficients(t, i, rows);
        SAE_LAUNCH(pair_count_kernel, (unsigned)rows, SAE_BLOCK, 0, m, i, t.C, t.part);
    }
    if (per_pair)
        sae_cuda_sum_parts(m, t.part, false, sum + 1);
    for (size_t i = 0; i < m; i += t.rows) {
        const size_t rows = m - i < t.rows ? m - i : t.rows;
        coefficients(t, i, rows);
        sae_cuda_gemm(false, true, rows, m, d, 1, W + i * d, d, W, d, 0, t.cosine, m);
        SAE_LAUNCH(signs_kernel, (unsigned)rows, SAE_BLOCK, 0, m, i, t.cosine,
                   per_pair ? sum + 1 : nullptr, t.C, t.part);
        if (Gout)
            sae_cuda_gemm(false, false, rows, d, m, (float)weight, t.C, m, W, d, 0, Gout + i * d,
                          d);
        if (Gout && G)
            SAE_LAUNCH(add_kernel, sae_blocks(rows * d), SAE_BLOCK, 0, rows * d, Gout + i * d,
                       G + i * d);
        else if (G)
            sae_cuda_gemm(false, false, rows, d, m, (float)weight, t.C, m, W, d, 1, G + i * d, d);
    }
    for (size_t i = 0; i < 3; i++)
        sae_cuda_sum_parts(m, t.part + i * m, false, sum + i);
    SAE_LAUNCH(largest_kernel, 1, SAE_BLOCK, 0, m, t.part + 3 * m, sum + 3);
}
