/* SPDX-License-Identifier: MIT */
/* cuda_orth : the orthogonality term over given partner lists. */
#include <math.h>

#include "lib/math/cuda/cuda.h"

/* Sums of the pairs of one latent with partners above it. */
struct latent_sums {
    double loss, abs_cos, largest;
    unsigned long long n;
};

/* One block a latent; a warp forms the cosine of an entry. along = weight c sign(cosine). */
static __global__ void cosines_kernel(size_t d, const float *W, const size_t *start,
                                      const uint32_t *idx, const float *c, double weight,
                                      float *along, float *abs_cos, latent_sums *sums)
{
    const size_t i = blockIdx.x, end = start[i + 1];
    const float *const w = W + i * d;
    for (size_t e = start[i] + sae_warp(); e < end; e += sae_warps()) {
        const float *const partner = W + idx[e] * d;
        float dot = 0;
        for (size_t l = sae_lane(); l < d; l += SAE_WARP)
            dot += w[l] * partner[l];
        dot = sae_warp_sum(dot);
        if (sae_lane() == 0) {
            along[e] = (float)(weight * (double)c[e] * (double)((dot > 0) - (dot < 0)));
            abs_cos[e] = fabsf(dot);
        }
    }
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    latent_sums s = {0, 0, 0, 0};
    for (size_t e = start[i]; e < end; e++) { /* in order */
        const double v = (double)abs_cos[e];
        if (idx[e] < i)
            continue;
        s.loss += (double)c[e] * v;
        s.abs_cos += v;
        s.largest = v > s.largest ? v : s.largest;
        s.n++;
    }
    sums[i] = s;
}

static __global__ void orth_stats_kernel(size_t m, const latent_sums *sums, latent_sums *out)
{
    latent_sums s = {0, 0, 0, 0};
    for (size_t i = threadIdx.x; i < m; i += blockDim.x) {
        s.loss += sums[i].loss;
        s.abs_cos += sums[i].abs_cos;
        s.largest = sums[i].largest > s.largest ? sums[i].largest : s.largest;
        s.n += sums[i].n;
    }
    s.loss = sae_block_sum(s.loss);
    s.abs_cos = sae_block_sum(s.abs_cos);
    s.n = sae_block_sum(s.n);
    s.largest = sae_block_largest(s.largest);
    if (threadIdx.x != 0)
        return;
    *out = s;
}

void sae_cuda_orth(size_t m, size_t d, const float *W, const struct sae_pairs *pairs, double weight,
                   float *G, float *Gout, struct sae_orth_stats *stats)
{
    size_t n = 0;
    *stats = sae_orth_stats{0, 0, 0, 0};
    sae_gpu_get(&n, pairs->start + m, sizeof n);
    float *const along = (float *)sae_gpu_scratch(SAE_GPU_A, (n + 1) * sizeof(float));
    float *const abs_cos = (float *)sae_gpu_scratch(SAE_GPU_B, (n + 1) * sizeof(float));
    latent_sums *const sums =
        (latent_sums *)sae_gpu_scratch(SAE_GPU_C, (m + 1) * sizeof(latent_sums));
    if (m == 0 || !along || !abs_cos || !sums)
        return;
    SAE_LAUNCH(cosines_kernel, (unsigned)m, SAE_BLOCK, 0, d, W, pairs->start, pairs->idx, pairs->c,
               weight, along, abs_cos, sums);
    if (G || Gout)
        sae_cuda_sum_rows(m, d, pairs->start, pairs->idx, nullptr, along, false, W, Gout, G);
    SAE_LAUNCH(orth_stats_kernel, 1, SAE_BLOCK, 0, m, sums, sums + m);
    latent_sums all;
    sae_gpu_get(&all, sums + m, sizeof all);
    *stats = sae_orth_stats{all.loss, (size_t)all.n, all.n ? all.abs_cos / (double)all.n : 0,
                            all.largest};
}
