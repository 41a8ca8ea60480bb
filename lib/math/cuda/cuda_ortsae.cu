/* SPDX-License-Identifier: MIT */
/* cuda_ortsae : the penalty of OrtSAE. The cosines of a chunk are products of its directions, ROWS_OF_CHUNK
 * of them at a time; every latent then has one partner. A latent's gradient is its own term and
 * those of the latents whose partner it is, which a transpose lists in their order. */
#include <math.h>

#include "lib/math/cuda/cuda.h"

static const size_t ROWS_OF_CHUNK = 1024;
#define SAE_LEAST_NORM 1e-8 /* a shorter row has no direction */

/* What is known of each latent. */
struct nearest {
    double *norm, *part; /* [m]; part: of the loss */
    float *c, *share;    /* [m] cosine with the partner; 1 / (chunks latents) */
    uint32_t *partner;   /* [m] itself where there is none */
};

/* One block a place of the chunk: its direction and its norm. */
static __global__ void direction_kernel(size_t d, const float *W, const uint32_t *chunk, float *U,
                                        double *norm)
{
    const size_t j = chunk[blockIdx.x];
    double sq = 0;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        sq += (double)W[j * d + i] * (double)W[j * d + i];
    const double length = sqrt(sae_block_sum(sq));
    const double scale = length > SAE_LEAST_NORM ? 1 / length : 0;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        U[blockIdx.x * d + i] = (float)(scale * (double)W[j * d + i]);
    if (threadIdx.x == 0)
        norm[j] = length;
}

/* One block a row of cosines: the largest but that with itself; of equal ones the first place. */
static __global__ void nearest_kernel(size_t n, size_t r0, double share, const float *cosine,
                                      const uint32_t *chunk, nearest s)
{
    __shared__ float best[SAE_BLOCK];
    __shared__ unsigned at[SAE_BLOCK];
    const size_t own = r0 + blockIdx.x;
    float most = -2;
    size_t place = own;
    for (size_t p = threadIdx.x; p < n; p += blockDim.x) {
        const float v = cosine[blockIdx.x * n + p];
        if (p != own && v > most) {
            most = v;
            place = p;
        }
    }
    best[threadIdx.x] = most;
    at[threadIdx.x] = (unsigned)place;
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    for (unsigned t = 1; t < blockDim.x; t++)
        if (best[t] > most || (best[t] == most && most > -2 && at[t] < place)) {
            most = best[t];
            place = at[t];
        }
    const size_t j = chunk[own];
    const double c = n > 1 ? (double)most : 0;
    s.c[j] = (float)c;
    s.share[j] = (float)share;
    s.partner[j] = chunk[place];
    s.part[j] = c * c * share;
}

/* The csr that has each latent's partner as its row's only entry. */
static __global__ void count_kernel(size_t n, size_t *start)
{
    const size_t i = sae_item();
    if (i < n)
        start[i] = i;
}

/* What i adds to the gradient of `own`: to i's partner or to i itself, `other` being the other end;
 * p and q are the factors of the other's row and of the own one. */
static __device__ inline void pull_of(const nearest &s, double weight, size_t i, size_t own,
                                      size_t other, float *p, float *q)
{
    const double c = (double)s.c[i], f = weight * 2 * c * (double)s.share[i] / s.norm[own];
    *p = (float)(f / s.norm[other]);
    *q = (float)(-f * c / s.norm[own]);
}

/* A block takes columns of one latent. */
static __global__ void pull_kernel(size_t d, const float *W, nearest s, double weight,
                                   const size_t *from_start, const uint32_t *from, float *G,
                                   float *Gout)
{
    const size_t i = blockIdx.x, l = (size_t)blockIdx.y * blockDim.x + threadIdx.x;
    if (l >= d)
        return;
    const float own = W[i * d + l];
    const size_t j = s.partner[i];
    float sum = 0, p, q;
    if (s.norm[i] > SAE_LEAST_NORM) {
        if (j != i && s.norm[j] > SAE_LEAST_NORM) {
            pull_of(s, weight, i, i, j, &p, &q);
            sum += p * W[j * d + l] + q * own;
        }
        for (size_t e = from_start[i]; e < from_start[i + 1]; e++) {
            const size_t o = from[e];
            if (o == i || !(s.norm[o] > SAE_LEAST_NORM))
                continue;
            pull_of(s, weight, o, i, o, &p, &q);
            sum += p * W[o * d + l] + q * own;
        }
    }
    if (Gout)
        Gout[i * d + l] = sum;
    if (G)
        G[i * d + l] += sum;
}

static void find_partners(size_t d, const float *W, const uint32_t *chunk, size_t n, double share,
                          float *U, float *cosine, const nearest &s)
{
    SAE_LAUNCH(direction_kernel, (unsigned)n, SAE_BLOCK, 0, d, W, chunk, U, s.norm);
    for (size_t r0 = 0; r0 < n; r0 += ROWS_OF_CHUNK) {
        const size_t rows = n - r0 < ROWS_OF_CHUNK ? n - r0 : ROWS_OF_CHUNK;
        sae_cuda_gemm(false, true, rows, n, d, 1, U + r0 * d, d, U, d, 0, cosine, n);
        SAE_LAUNCH(nearest_kernel, (unsigned)rows, SAE_BLOCK, 0, n, r0, share, cosine, chunk, s);
    }
}

void sae_cuda_ortsae(size_t m, size_t d, const float *W, size_t n_chunks, const uint32_t *order,
                     double weight, float *G, float *Gout, double *sum)
{
    const size_t longest = n_chunks ? (m + n_chunks - 1) / n_chunks : 0;
    const size_t rows = longest < ROWS_OF_CHUNK ? longest : ROWS_OF_CHUNK;
    /* transpose has scratch A and B */
    double *const doubles = (double *)sae_gpu_scratch(
        SAE_GPU_C, 2 * m * sizeof(double) + 2 * (m + 1) * sizeof(size_t) + 5 * m * 4);
    float *const U =
        (float *)sae_gpu_scratch(SAE_GPU_D, (longest * d + rows * longest + 1) * sizeof(float));
    if (!doubles || !U || m == 0) {
        sae_gpu_zero(sum, sizeof *sum);
        return;
    }
    size_t *const start = (size_t *)(doubles + 2 * m), *const from_start = start + m + 1;
    float *const floats = (float *)(from_start + m + 1);
    uint32_t *const words = (uint32_t *)(floats + 2 * m);
    const nearest s = {doubles, doubles + m, floats, floats + m, words};
    for (size_t k = 0; k < n_chunks; k++) {
        const size_t begin = m * k / n_chunks, n = m * (k + 1) / n_chunks - begin;
        find_partners(d, W, order + begin, n, 1 / ((double)n_chunks * (double)n), U,
                      U + longest * d, s);
    }
    sae_cuda_sum_parts(m, s.part, false, sum);
    if (!G && !Gout)
        return;
    SAE_LAUNCH(count_kernel, sae_blocks(m + 1), SAE_BLOCK, 0, m + 1, start);
    const struct sae_csr csr = {m, m, start, s.partner, nullptr};
    struct sae_csc csc = {m, from_start, words + m, words + 2 * m, m};
    sae_cuda_transpose(m, &csr, &csc);
    SAE_LAUNCH(pull_kernel, dim3((unsigned)m, sae_blocks(d)), SAE_BLOCK, 0, d, W, s, weight,
               csc.start, csc.row, G, Gout);
}
