/* SPDX-License-Identifier: MIT */
/* cuda_compete : the orthogonality term straight from masks, a tile of latents against all at a
 * time. For each tile of rows: counts of meetings (integers, in shared memory), from them c_ij. Then
 * either the cosines by a product, c_ij sign(cosine) in their place, and the sum of partners by
 * another product; or, where few compete, lists of the partners of each latent, their cosines one by
 * one, and the sums of the rows listed. Tiles hold ROWS x m floats twice, whatever m is: lists have
 * room for all.
 * Contents: 1. counts   2. by products   3. by lists   4. tiles */
#include <math.h>
#include <stdlib.h>

#include "lib/math/cuda/cuda.h"

#ifdef __CUDACC__
static const size_t ROWS_OF_TILE = 1024;
#else
static const size_t ROWS_OF_TILE = 16; /* so that small widths have several */
#endif

/* --- 1. counts ------------------------------------------------------------------------------ */

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

/* What a block knows of its latent once it has counted. */
struct counted {
    size_t i;
    const unsigned *now; /* [m] meetings in the only batch */
    const double *sum;   /* [m] weighted, of several; or NULL */
    double weight, B;
    const double *n;
    /* c_ij, 0 where they do not compete */
    __device__ float c(const sae_compete_rule &rule, size_t j) const
    {
        const double n_ij = sum ? sum[j] : weight * (double)now[j];
        const bool counts = j != i && n_ij > 0 && n[i] >= rule.min_count && n[j] >= rule.min_count;
        return counts ? (float)compete_value(rule, overlap_value(rule, B, n[i], n[j], n_ij)) : 0;
    }
};

/* Everything a tile needs. */
struct tiles {
    size_t m, rows, n_batches;
    const batch *all;
    sae_compete_rule rule;
    double B;
    double *n, *part; /* [m], [5][m] */
    float *C, *cosine;
    unsigned *counters; /* [rows][m] where shared memory has no room */
    double *sums;       /* [rows][m] where there are several batches */
    uint32_t *count;    /* [rows] of the lists: c or its product in C, latents in the place of cosine */
};

/* Meetings of latent i0 + blockIdx.x; one block. A warp takes a token on which it is active. */
static __device__ inline counted count_coactivations(const tiles &t, size_t i0, unsigned *mine)
{
    const size_t m = t.m, i = i0 + blockIdx.x;
    unsigned *const now = t.counters ? t.counters + blockIdx.x * m : mine;
    double *const sum = t.sums ? t.sums + blockIdx.x * m : nullptr;
    for (size_t b = 0; b < t.n_batches; b++) {
        const batch &masks = t.all[b];
        for (size_t j = threadIdx.x; j < m; j += blockDim.x)
            now[j] = 0;
        __syncthreads();
        const size_t end = masks.latent_start[i + 1];
        for (size_t p = masks.latent_start[i] + sae_warp(); p < end; p += sae_warps()) {
            const size_t row = masks.row[p];
            for (size_t e = masks.row_start[row] + sae_lane(); e < masks.row_start[row + 1];
                 e += SAE_WARP)
                atomicAdd(&now[masks.idx[e]], 1U);
        }
        __syncthreads();
        for (size_t j = threadIdx.x; sum && j < m; j += blockDim.x)
            sum[j] = (b > 0 ? sum[j] : 0) + masks.weight * (double)now[j];
        __syncthreads();
    }
    return counted{i, now, sum, t.all[0].weight, t.B, t.n};
}

/* --- 2. by products ------------------------------------------------------------------------- */

/* One block a latent: row blockIdx.x of C becomes c_ij. */
static __global__ void coefficients_kernel(tiles t, size_t i0)
{
    SAE_SHARED_DYNAMIC(unsigned, mine);
    const counted known = count_coactivations(t, i0, mine);
    for (size_t j = threadIdx.x; j < t.m; j += blockDim.x)
        t.C[blockIdx.x * t.m + j] = known.c(t.rule, j);
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

/* Sums of a latent, into part [5][m]: loss, pairs and |cos| over partners above, their largest |cos|,
 * all partners. */
struct latent_part {
    double loss, pairs, abs_cos, largest, partners;
};

static __device__ inline void update_max(latent_part *s, size_t i, size_t j, float c, float dot)
{
    const double v = fabs((double)dot);
    s->partners += 1;
    if (j < i)
        return;
    s->loss += (double)c * v;
    s->pairs += 1;
    s->abs_cos += v;
    s->largest = v > s->largest ? v : s->largest;
}

/* The sums of a block's threads, in an order that follows from their places. */
static __device__ inline void put_part(latent_part s, size_t m, size_t i, double *part)
{
    s.loss = sae_block_sum(s.loss);
    s.pairs = sae_block_sum(s.pairs);
    s.abs_cos = sae_block_sum(s.abs_cos);
    s.partners = sae_block_sum(s.partners);
    s.largest = sae_block_largest(s.largest);
    if (threadIdx.x != 0)
        return;
    part[i] = s.loss;
    part[m + i] = s.pairs;
    part[2 * m + i] = s.abs_cos;
    part[3 * m + i] = s.largest;
    part[4 * m + i] = s.partners;
}

/* C = c_ij sign(cosine), over the pairs where that is asked for. */
static __global__ void signs_kernel(size_t m, size_t i0, const float *cosine,
                                    const double *n_pairs, float *C, double *part)
{
    const size_t i = i0 + blockIdx.x;
    latent_part s = {0, 0, 0, 0, 0};
    for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
        const float dot = cosine[blockIdx.x * m + j], c = C[blockIdx.x * m + j];
        if (!(c > 0))
            continue;
        update_max(&s, i, j, c, dot);
        const double coefficient = (double)c * (double)((dot > 0) - (dot < 0));
        C[blockIdx.x * m + j] = (float)(n_pairs ? coefficient / *n_pairs : coefficient);
    }
    put_part(s, m, i, part);
}

static __global__ void largest_kernel(size_t n, const double *part, double *out)
{
    double v = 0;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        v = part[i] > v ? part[i] : v;
    v = sae_block_largest(v);
    if (threadIdx.x == 0)
        *out = v;
}

static __global__ void add_kernel(size_t n, const float *from, float *to)
{
    const size_t i = sae_item();
    if (i < n)
        to[i] += from[i];
}

/* --- 3. by lists ---------------------------------------------------------------------------- */

/* One block a latent: its partners in order and their c. Warps own consecutive pieces of all latents. */
static __global__ void list_kernel(tiles t, size_t i0)
{
    SAE_SHARED_DYNAMIC(unsigned, mine);
    __shared__ unsigned found[SAE_WARP];
    const counted known = count_coactivations(t, i0, mine);
    const size_t m = t.m, piece = (m + blockDim.x - 1) / blockDim.x * SAE_WARP;
    const size_t j0 = sae_warp() * piece, j1 = j0 + piece < m ? j0 + piece : m;
    uint32_t *const idx = (uint32_t *)t.cosine + blockIdx.x * m;
    unsigned n = 0;
    for (size_t j = j0 + sae_lane(); j < j1; j += SAE_WARP)
        n += known.c(t.rule, j) > 0;
    n = sae_warp_sum(n);
    if (sae_lane() == 0)
        found[sae_warp()] = n;
    __syncthreads();
    size_t at = 0;
    for (unsigned w = 0; w < sae_warp(); w++)
        at += found[w];
    for (size_t j = j0; j < j1; j += SAE_WARP) { /* the same turns for all lanes */
        const size_t own = j + sae_lane();
        const float c = own < j1 ? known.c(t.rule, own) : 0;
        const unsigned kept = __ballot_sync(SAE_ALL_LANES, c > 0);
        if (c > 0) {
            const size_t e = at + (size_t)__popc(kept & sae_lanes_below());
            idx[e] = (uint32_t)own;
            t.C[blockIdx.x * m + e] = c;
        }
        at += (size_t)__popc(kept);
    }
    if (threadIdx.x == blockDim.x - 1)
        t.count[blockIdx.x] = (uint32_t)at;
}

/* One block a latent; a warp forms the cosine with a partner. c becomes its signed share. */
static __global__ void listed_cosines_kernel(tiles t, size_t i0, size_t d, const float *W,
                                             double weight, const double *n_pairs)
{
    const size_t i = i0 + blockIdx.x, at = blockIdx.x * t.m, n = t.count[blockIdx.x];
    const uint32_t *const idx = (const uint32_t *)t.cosine + at;
    const double share = n_pairs ? weight / *n_pairs : weight;
    latent_part s = {0, 0, 0, 0, 0};
    for (size_t e = sae_warp(); e < n; e += sae_warps()) {
        const float *const partner = W + idx[e] * d;
        float dot = 0;
        for (size_t l = sae_lane(); l < d; l += SAE_WARP)
            dot += W[i * d + l] * partner[l];
        dot = sae_warp_sum(dot);
        if (sae_lane() != 0)
            continue;
        const float c = t.C[at + e];
        update_max(&s, i, idx[e], c, dot);
        t.C[at + e] = (float)(share * (double)c * (double)((dot > 0) - (dot < 0)));
    }
    put_part(s, t.m, i, t.part);
}

/* A block takes columns of one latent; four rows are on their way at a time. */
static __global__ void listed_sum_kernel(tiles t, size_t i0, size_t d, const float *W, float *G,
                                         float *Gout)
{
    const size_t i = i0 + blockIdx.x, l = (size_t)blockIdx.y * blockDim.x + threadIdx.x;
    const uint32_t *const idx = (const uint32_t *)t.cosine + blockIdx.x * t.m;
    const float *const share = t.C + blockIdx.x * t.m;
    const size_t n = t.count[blockIdx.x];
    if (l >= d)
        return;
    const float sum = sae_add_rows(0, 0, n, idx, share, W, d, l);
    if (Gout)
        Gout[i * d + l] = sum;
    if (G && n > 0)
        G[i * d + l] += sum;
}

/* --- 4. tiles ------------------------------------------------------------------------------- */

static size_t shared_of(const tiles &t)
{
    return t.counters ? 0 : t.m * sizeof(unsigned);
}

/* Where it goes in the term's gradient. */
struct target {
    const float *W;
    size_t d;
    double weight;
    const double *n_pairs; /* or NULL */
    float *G, *Gout;
};

static void by_products(const tiles &t, size_t i0, size_t rows, const target &to)
{
    const size_t m = t.m, d = to.d;
    float *const G = to.G ? to.G + i0 * d : nullptr, *const Gout = to.Gout ? to.Gout + i0 * d : nullptr;
    SAE_LAUNCH(coefficients_kernel, (unsigned)rows, SAE_BLOCK, shared_of(t), t, i0);
    sae_cuda_gemm(false, true, rows, m, d, 1, to.W + i0 * d, d, to.W, d, 0, t.cosine, m);
    SAE_LAUNCH(signs_kernel, (unsigned)rows, SAE_BLOCK, 0, m, i0, t.cosine, to.n_pairs, t.C, t.part);
    if (Gout)
        sae_cuda_gemm(false, false, rows, d, m, (float)to.weight, t.C, m, to.W, d, 0, Gout, d);
    if (Gout && G)
        SAE_LAUNCH(add_kernel, sae_blocks(rows * d), SAE_BLOCK, 0, rows * d, Gout, G);
    else if (G)
        sae_cuda_gemm(false, false, rows, d, m, (float)to.weight, t.C, m, to.W, d, 1, G, d);
}

static void by_lists(const tiles &t, size_t i0, size_t rows, const target &to)
{
    SAE_LAUNCH(list_kernel, (unsigned)rows, SAE_BLOCK, shared_of(t), t, i0);
    SAE_LAUNCH(listed_cosines_kernel, (unsigned)rows, SAE_BLOCK, 0, t, i0, to.d, to.W, to.weight,
               to.n_pairs);
    if (to.G || to.Gout)
        SAE_LAUNCH(listed_sum_kernel, dim3((unsigned)rows, sae_blocks(to.d)), SAE_BLOCK, 0, t, i0,
                   to.d, to.W, to.G, to.Gout);
}

/* Both products of a tile against both readings of each partner's row. */
static bool few(const tiles &t, size_t rows, double partners)
{
    return partners >= 0 && 8 * partners * sae_cuda_product_rate() < 4 * (double)rows * (double)t.m;
}

/* Room for everything, in two scratch arrays; false where there is none. */
static bool tiles_make(tiles *t, const struct sae_overlap_masks *masks)
{
    const size_t m = t->m, nb = masks->n_batches;
    const bool shared = m * sizeof(unsigned) <= sae_gpu_shared_most();
    const size_t own = t->rows * m;
    /* doubles and batches first: their alignment */
    const size_t doubles = 6 * m + (nb > 1 ? own : 0);
    unsigned char *const first = (unsigned char *)sae_gpu_scratch(
        SAE_GPU_D, doubles * sizeof(double) + nb * sizeof(batch) + t->rows * sizeof(uint32_t));
    float *const second = (float *)sae_gpu_scratch(
        SAE_GPU_E, 2 * own * sizeof(float) + (shared ? 0 : own * sizeof(unsigned)));
    struct batch *const host = (struct batch *)calloc(nb, sizeof *host);
    if (!first || !second || !host) {
        free(host);
        return false;
    }
    t->n = (double *)first;
    t->part = t->n + m;
    t->sums = nb > 1 ? t->part + 5 * m : nullptr;
    batch *const on_device = (batch *)(first + doubles * sizeof(double));
    t->all = on_device;
    t->count = (uint32_t *)(on_device + nb);
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

size_t sae_cuda_orth_tiles(size_t m)
{
    return (m + ROWS_OF_TILE - 1) / ROWS_OF_TILE;
}

/* How many pairs compete, before any is weighed. */
static void count_pairs(const tiles &t, double *n_pairs)
{
    for (size_t i = 0; i < t.m; i += t.rows) {
        const size_t rows = t.m - i < t.rows ? t.m - i : t.rows;
        SAE_LAUNCH(coefficients_kernel, (unsigned)rows, SAE_BLOCK, shared_of(t), t, i);
        SAE_LAUNCH(pair_count_kernel, (unsigned)rows, SAE_BLOCK, 0, t.m, i, t.C, t.part);
    }
    sae_cuda_sum_parts(t.m, t.part, false, n_pairs);
}

void sae_cuda_orth_masks(size_t m, size_t d, const float *W, const struct sae_overlap_masks *masks,
                         const struct sae_compete_rule *rule, double weight, bool per_pair,
                         const double *expected_partners, float *G, float *Gout, double *sum)
{
    tiles t = {};
    t.m = m;
    t.rows = m < ROWS_OF_TILE ? m : ROWS_OF_TILE;
    t.n_batches = masks->n_batches;
    t.rule = *rule;
    sae_gpu_zero(sum, (4 + sae_cuda_orth_tiles(m)) * sizeof *sum);
    if (m == 0 || masks->n_batches == 0 || !tiles_make(&t, masks))
        return;
    const target to = {W, d, weight, per_pair ? sum + 1 : nullptr, G, Gout};
    SAE_LAUNCH(singles_kernel, sae_blocks(m), SAE_BLOCK, 0, m, t.n_batches, t.all, t.n);
    if (per_pair)
        count_pairs(t, sum + 1);
    for (size_t i = 0, tile = 0; i < m; i += t.rows, tile++) {
        const size_t rows = m - i < t.rows ? m - i : t.rows;
        if (expected_partners && few(t, rows, expected_partners[tile]))
            by_lists(t, i, rows, to);
        else
            by_products(t, i, rows, to);
        sae_cuda_sum_parts(rows, t.part + 4 * m + i, false, sum + 4 + tile);
    }
    for (size_t i = 0; i < 3; i++)
        sae_cuda_sum_parts(m, t.part + i * m, false, sum + i);
    SAE_LAUNCH(largest_kernel, 1, SAE_BLOCK, 0, m, t.part + 3 * m, sum + 3);
}
