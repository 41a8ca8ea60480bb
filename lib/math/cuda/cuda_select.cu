/* SPDX-License-Identifier: MIT */
/* cuda_select : which latents stay, exactly.
 *
 * Positive floats order as their bit patterns do. The pattern of the least value kept (the cut) is
 * found by its digits from the top, 11, 10 and 10 bits, from histograms of the values that agree so
 * far; counting is in integers, so that the order of threads does not matter. Values above the cut
 * stay, and of those equal to it the first, in order, that are still wanted. Warps own consecutive
 * pieces of a row, so entries come out in order of the latent.
 *
 * Contents: 1. digits   2. top-k   3. batch top-k and threshold */
#include "lib/math/cuda/cuda.h"

/* --- 1. digits ---------------------------------------------------------------------------- */

enum { DIGITS = 3, BINS = 2048 };

static __device__ inline int digit_shift(int digit)
{
    return digit == 0 ? 20 : digit == 1 ? 10 : 0;
}

static __device__ inline unsigned digit_bins(int digit)
{
    return digit == 0 ? 2048 : 1024;
}

/* A pre-activation as selection sees it: NaN and what is not positive count as 0. */
static __device__ inline unsigned key_of(float v)
{
    return v > 0 ? __float_as_uint(v) : 0;
}

/* Which histogram bin of this digit a key falls into, if it agrees with the digits before. */
static __device__ inline bool key_bin(unsigned key, unsigned cut, int digit, unsigned *bin)
{
    const int shift = digit_shift(digit);
    if (key == 0 || (digit > 0 && key >> digit_shift(digit - 1) != cut >> digit_shift(digit - 1)))
        return false;
    *bin = (key >> shift) & (digit_bins(digit) - 1);
    return true;
}

/* What is known of a cut. A cut of 0 keeps all that is positive. */
struct cut_state {
    unsigned cut;
    unsigned long long wanted; /* values still to be found at or above the digits so far */
    unsigned found_all;        /* fewer values than wanted: keep all */
};

/* The highest bin at which the count from the top reaches what is wanted. By one warp. */
static __device__ inline void find_digit(const unsigned *hist, int digit, cut_state *s)
{
    const unsigned per = digit_bins(digit) / SAE_WARP, top = digit_bins(digit) - sae_lane() * per;
    const unsigned long long wanted = s->wanted;
    unsigned long long sum = 0, upto;
    for (unsigned b = top; b-- > top - per;)
        sum += hist[b];
    upto = sum;
    for (unsigned apart = 1; apart < SAE_WARP; apart *= 2) {
        const unsigned long long left = __shfl_up_sync(SAE_ALL_LANES, upto, apart);
        if (sae_lane() >= apart)
            upto += left;
    }
    unsigned long long above = upto - sum;
    __syncwarp();
    if (above < wanted && wanted <= upto) {
        unsigned b = top;
        do
            above += hist[--b];
        while (above < wanted);
        s->cut |= b << digit_shift(digit);
        s->wanted = wanted - (above - hist[b]);
    } else if (sae_lane() == SAE_WARP - 1 && upto < wanted) {
        s->found_all = 1;
        s->cut = 0;
        s->wanted = 0;
    }
    __syncwarp();
}

/* --- 2. top-k: one block a row -------------------------------------------------------------- */

enum { TOPK_THREADS = SAE_BLOCK };

/* Keys of the row, formed once where shared memory holds them. */
struct row_keys {
    const float *pre, *b_enc;
    const unsigned *cached; /* or NULL */
    const uint64_t *idle;   /* or NULL: only latents idle for so long are seen */
    uint64_t dead_after;
    __device__ unsigned form(size_t j) const
    {
        return !idle || idle[j] >= dead_after ? key_of(pre[j] + b_enc[j]) : 0;
    }
    __device__ unsigned at(size_t j) const
    {
        return cached ? cached[j] : form(j);
    }
};

static __device__ inline void find_cut(size_t m, const row_keys &keys, unsigned *hist, cut_state *s)
{
    for (int digit = 0; digit < DIGITS && !s->found_all; digit++) {
        for (unsigned b = threadIdx.x; b < digit_bins(digit); b += blockDim.x)
            hist[b] = 0;
        __syncthreads();
        for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
            unsigned bin;
            if (key_bin(keys.at(j), s->cut, digit, &bin))
                atomicAdd(&hist[bin], 1U);
        }
        __syncthreads();
        if (sae_warp() == 0)
            find_digit(hist, digit, s);
        __syncthreads();
    }
}

/* Writes the row's entries to [row k, row k + count). */
static __device__ inline void write_row(size_t m, const row_keys &keys, const cut_state *s,
                                        uint32_t *idx, float *val, uint32_t *ret_count)
{
    __shared__ unsigned warp_above[SAE_WARP], warp_ties[SAE_WARP];
    const size_t piece = (m + blockDim.x - 1) / blockDim.x * SAE_WARP; /* of a warp */
    const size_t j0 = sae_warp() * piece, j1 = j0 + piece < m ? j0 + piece : m;
    const unsigned cut = s->cut, wanted = (unsigned)s->wanted;
    unsigned above = 0, ties = 0;
    for (size_t j = j0 + sae_lane(); j < j1; j += SAE_WARP) {
        const unsigned key = keys.at(j);
        above += key > cut;
        ties += key == cut && cut > 0;
    }
    above = sae_warp_sum(above);
    ties = sae_warp_sum(ties);
    if (sae_lane() == 0) {
        warp_above[sae_warp()] = above;
        warp_ties[sae_warp()] = ties;
    }
    __syncthreads();
    above = ties = 0;
    for (unsigned w = 0; w < sae_warp(); w++) {
        above += warp_above[w];
        ties += warp_ties[w];
    }
    unsigned at = above + (ties < wanted ? ties : wanted);
    for (size_t j = j0; j < j1; j += SAE_WARP) { /* the same turns for all lanes */
        const unsigned key = j + sae_lane() < j1 ? keys.at(j + sae_lane()) : 0;
        const unsigned tied = __ballot_sync(SAE_ALL_LANES, cut > 0 && key == cut);
        const bool tie_stays = cut > 0 && key == cut &&
                               ties + (unsigned)__popc(tied & sae_lanes_below()) < wanted;
        const bool stays = key > cut || tie_stays;
        const unsigned kept = __ballot_sync(SAE_ALL_LANES, stays);
        if (stays) {
            const unsigned e = at + (unsigned)__popc(kept & sae_lanes_below());
            idx[e] = (uint32_t)(j + sae_lane());
            val[e] = __uint_as_float(key);
        }
        at += (unsigned)__popc(kept);
        ties += (unsigned)__popc(tied);
    }
    if (threadIdx.x == blockDim.x - 1)
        *ret_count = at;
}

static __global__ void topk_kernel(size_t m, size_t k, bool cache, const float *pre,
                                   const float *b_enc, const uint64_t *idle, uint64_t dead_after,
                                   uint32_t *idx, float *val, uint32_t *count)
{
    SAE_SHARED_DYNAMIC(unsigned, cached);
    __shared__ unsigned hist[BINS];
    __shared__ cut_state s;
    const size_t row = blockIdx.x;
    const row_keys keys = {pre + row * m, b_enc, cache ? cached : nullptr, idle, dead_after};
    if (threadIdx.x == 0)
        s = cut_state{0, k, 0};
    for (size_t j = threadIdx.x; cache && j < m; j += blockDim.x)
        cached[j] = keys.form(j);
    __syncthreads();
    find_cut(m, keys, hist, &s);
    write_row(m, keys, &s, idx + row * k, val + row * k, count + row);
}

/* Rows of up to k entries, k apart, move together. */
static __global__ void pack_kernel(size_t k, const size_t *start, const uint32_t *from_idx,
                                   const float *from_val, uint32_t *idx, float *val)
{
    const size_t e0 = start[blockIdx.x], n = start[blockIdx.x + 1] - e0, at = blockIdx.x * k;
    for (size_t e = threadIdx.x; e < n; e += blockDim.x) {
        idx[e0 + e] = from_idx[at + e];
        val[e0 + e] = from_val[at + e];
    }
}

/* Each thread of one block adds up a run of counts. */
static __global__ void starts_kernel(size_t n, const uint32_t *count, size_t *start)
{
    const size_t run = (n + blockDim.x - 1) / blockDim.x;
    const size_t i0 = threadIdx.x * run < n ? threadIdx.x * run : n;
    const size_t i1 = i0 + run < n ? i0 + run : n;
    size_t sum = 0;
    for (size_t i = i0; i < i1; i++)
        sum += count[i];
    size_t at = sae_block_before(sum);
    for (size_t i = i0; i < i1; i++) {
        start[i] = at;
        at += count[i];
    }
    if (threadIdx.x == blockDim.x - 1)
        start[n] = at;
}

void sae_cuda_starts(size_t n, const uint32_t *count, size_t *start)
{
    SAE_LAUNCH(starts_kernel, 1, n > 4096 ? 1024 : SAE_BLOCK, 0, n, count, start);
}

static void topk_of(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                    const uint64_t *idle, uint64_t dead_after, struct sae_csr *csr)
{
    const bool cache = m * sizeof(unsigned) <= sae_gpu_shared_most();
    csr->n = n;
    uint32_t *const idx = (uint32_t *)sae_gpu_scratch(SAE_GPU_A, (n * k + 1) * sizeof(uint32_t));
    float *const val = (float *)sae_gpu_scratch(SAE_GPU_B, (n * k + 1) * sizeof(float));
    uint32_t *const count = (uint32_t *)sae_gpu_scratch(SAE_GPU_C, (n + 1) * sizeof(uint32_t));
    if (n == 0 || k == 0 || !idx || !val || !count) {
        sae_gpu_zero(csr->start, (n + 1) * sizeof *csr->start);
        return;
    }
    SAE_LAUNCH(topk_kernel, (unsigned)n, TOPK_THREADS, cache ? m * sizeof(unsigned) : 0, m, k,
               cache, pre, b_enc, idle, dead_after, idx, val, count);
    sae_cuda_starts(n, count, csr->start);
    SAE_LAUNCH(pack_kernel, (unsigned)n, TOPK_THREADS, 0, k, csr->start, idx, val, csr->idx,
               csr->val);
}

void sae_cuda_topk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                   struct sae_csr *csr)
{
    topk_of(n, m, k, pre, b_enc, nullptr, 0, csr);
}

void sae_cuda_topk_idle(size_t n, size_t m, size_t d, size_t k, const float *xc, const float *W_enc,
                        const float *b_enc, const float *pre, const uint64_t *idle,
                        uint64_t dead_after, struct sae_csr *csr)
{
    float *const made =
        pre ? nullptr : (float *)sae_gpu_scratch(SAE_GPU_D, (n * m + 1) * sizeof(float));
    if (made)
        sae_cuda_gemm(false, true, n, m, d, 1, xc, d, W_enc, d, 0, made, m);
    topk_of(n, m, pre || made ? k : 0, pre ? pre : made, b_enc, idle, dead_after, csr);
}

size_t sae_cuda_encode_scratch(size_t n, size_t m, size_t d, size_t k)
{
    (void)d;
    (void)k;
    return n * m;
}

const float *sae_cuda_encode_topk(size_t n, size_t m, size_t d, size_t k, const float *xc,
                                  const float *W_enc, const float *b_enc, float *scratch,
                                  struct sae_csr *csr)
{
    sae_cuda_gemm(false, true, n, m, d, 1, xc, d, W_enc, d, 0, scratch, m);
    sae_cuda_topk(n, m, k, scratch, b_enc, csr);
    return scratch;
}

/* --- 3. batch top-k and threshold: rows are counted, dealt their places, then written ------- */

/* Which values stay: above a threshold of each latent, or by a cut over the whole batch. */
struct keep_rule {
    const float *theta;     /* [m] or NULL */
    const cut_state *state; /* or NULL */
    bool below;             /* by theta alone, which may be below 0 */
    /* 2: stays; 1: stays if it is among the first ties; 0: goes */
    __device__ int of(size_t j, float v) const
    {
        const unsigned key = key_of(v);
        if (below)
            return v > theta[j] ? 2 : 0;
        if (key == 0)
            return 0;
        if (state)
            return key > state->cut ? 2 : key == state->cut;
        return !theta || v > theta[j] ? 2 : 0;
    }
};

static __global__ void cut_begin_kernel(unsigned long long keep, cut_state *s, unsigned *hist)
{
    if (threadIdx.x == 0)
        *s = cut_state{0, keep, 0};
    for (unsigned b = threadIdx.x; b < BINS; b += blockDim.x)
        hist[b] = 0;
}

static __global__ void cut_count_kernel(size_t n, size_t m, const float *pre, const float *b_enc,
                                        int digit, const cut_state *s, unsigned *hist)
{
    __shared__ unsigned mine[BINS];
    for (unsigned b = threadIdx.x; b < BINS; b += blockDim.x)
        mine[b] = 0;
    __syncthreads();
    for (size_t t = blockIdx.x; !s->found_all && t < n; t += gridDim.x) {
        for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
            unsigned bin;
            if (key_bin(key_of(pre[t * m + j] + b_enc[j]), s->cut, digit, &bin))
                atomicAdd(&mine[bin], 1U);
        }
    }
    __syncthreads();
    for (unsigned b = threadIdx.x; b < BINS; b += blockDim.x)
        if (mine[b])
            atomicAdd(&hist[b], mine[b]);
}

static __global__ void cut_digit_kernel(int digit, cut_state *s, unsigned *hist)
{
    if (!s->found_all)
        find_digit(hist, digit, s);
    for (unsigned b = threadIdx.x; b < BINS; b += blockDim.x)
        hist[b] = 0;
}

static __global__ void keep_count_kernel(size_t m, keep_rule rule, const float *pre,
                                         const float *b_enc, uint32_t *sure, uint32_t *ties)
{
    const float *const row = pre + blockIdx.x * m;
    unsigned n_sure = 0, n_ties = 0;
    for (size_t j = threadIdx.x; j < m; j += blockDim.x) {
        const int how = rule.of(j, row[j] + b_enc[j]);
        n_sure += how == 2;
        n_ties += how == 1;
    }
    n_sure = sae_block_sum(n_sure);
    n_ties = sae_block_sum(n_ties);
    if (threadIdx.x == 0) {
        sure[blockIdx.x] = n_sure;
        ties[blockIdx.x] = n_ties;
    }
}

/* One block: rows in order take of the ties what is left. Then count = what the row keeps. */
static __global__ void deal_ties_kernel(size_t n, const cut_state *s, uint32_t *count,
                                        uint32_t *ties)
{
    const size_t run = (n + blockDim.x - 1) / blockDim.x;
    const size_t i0 = threadIdx.x * run < n ? threadIdx.x * run : n;
    const size_t i1 = i0 + run < n ? i0 + run : n;
    unsigned long long sum = 0;
    for (size_t i = i0; i < i1; i++)
        sum += ties[i];
    unsigned long long before = sae_block_before(sum);
    const unsigned long long wanted = s ? s->wanted : 0;
    for (size_t i = i0; i < i1; i++) {
        const unsigned long long left = before < wanted ? wanted - before : 0;
        before += ties[i];
        ties[i] = (uint32_t)(ties[i] < left ? ties[i] : left);
        count[i] += ties[i];
    }
}

static __global__ void keep_write_kernel(size_t m, keep_rule rule, const float *pre,
                                         const float *b_enc, const uint32_t *ties,
                                         const size_t *start, size_t cap, uint32_t *idx, float *val)
{
    __shared__ unsigned warp_sure[SAE_WARP], warp_ties[SAE_WARP];
    const float *const row = pre + blockIdx.x * m;
    const size_t piece = (m + blockDim.x - 1) / blockDim.x * SAE_WARP;
    const size_t j0 = sae_warp() * piece, j1 = j0 + piece < m ? j0 + piece : m;
    const unsigned wanted = ties[blockIdx.x];
    unsigned n_sure = 0, n_ties = 0;
    if (start[gridDim.x] > cap)
        return;
    for (size_t j = j0 + sae_lane(); j < j1; j += SAE_WARP) {
        const int how = rule.of(j, row[j] + b_enc[j]);
        n_sure += how == 2;
        n_ties += how == 1;
    }
    n_sure = sae_warp_sum(n_sure);
    n_ties = sae_warp_sum(n_ties);
    if (sae_lane() == 0) {
        warp_sure[sae_warp()] = n_sure;
        warp_ties[sae_warp()] = n_ties;
    }
    __syncthreads();
    n_sure = n_ties = 0;
    for (unsigned w = 0; w < sae_warp(); w++) {
        n_sure += warp_sure[w];
        n_ties += warp_ties[w];
    }
    size_t at = start[blockIdx.x] + n_sure + (n_ties < wanted ? n_ties : wanted);
    for (size_t j = j0; j < j1; j += SAE_WARP) {
        const size_t mine = j + sae_lane();
        const float v = mine < j1 ? row[mine] + b_enc[mine] : 0;
        const int how = mine < j1 ? rule.of(mine, v) : 0;
        const unsigned tied = __ballot_sync(SAE_ALL_LANES, how == 1);
        const bool stays =
            how == 2 ||
            (how == 1 && n_ties + (unsigned)__popc(tied & sae_lanes_below()) < wanted);
        const unsigned kept = __ballot_sync(SAE_ALL_LANES, stays);
        if (stays) {
            const size_t e = at + (size_t)__popc(kept & sae_lanes_below());
            idx[e] = (uint32_t)mine;
            val[e] = v;
        }
        at += (size_t)__popc(kept);
        n_ties += (unsigned)__popc(tied);
    }
}

/* Counts and starts of the rows; false where there is no memory. */
static bool deal_rows(size_t n, size_t m, const keep_rule &rule, const float *pre,
                      const float *b_enc, struct sae_csr *csr, uint32_t **ret_ties)
{
    uint32_t *const count = (uint32_t *)sae_gpu_scratch(SAE_GPU_A, (2 * n + 1) * sizeof(uint32_t));
    csr->n = n;
    if (n == 0 || !count) {
        sae_gpu_zero(csr->start, (n + 1) * sizeof *csr->start);
        return false;
    }
    uint32_t *const ties = count + n;
    SAE_LAUNCH(keep_count_kernel, (unsigned)n, SAE_BLOCK, 0, m, rule, pre, b_enc, count, ties);
    SAE_LAUNCH(deal_ties_kernel, 1, SAE_BLOCK, 0, n, rule.state, count, ties);
    sae_cuda_starts(n, count, csr->start);
    *ret_ties = ties;
    return true;
}

void sae_cuda_batchtopk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                        struct sae_csr *csr)
{
    cut_state *const state = (cut_state *)sae_gpu_scratch(SAE_GPU_B, sizeof *state);
    unsigned *const hist = (unsigned *)sae_gpu_scratch(SAE_GPU_C, BINS * sizeof *hist);
    if (!state || !hist || n * k == 0) {
        csr->n = n;
        sae_gpu_zero(csr->start, (n + 1) * sizeof *csr->start);
        return;
    }
    const unsigned blocks = n < 1024 ? (unsigned)n : 1024;
    SAE_LAUNCH(cut_begin_kernel, 1, SAE_BLOCK, 0, (unsigned long long)(n * k), state, hist);
    for (int digit = 0; digit < DIGITS; digit++) {
        SAE_LAUNCH(cut_count_kernel, blocks, SAE_BLOCK, 0, n, m, pre, b_enc, digit, state,
                   hist);
        SAE_LAUNCH(cut_digit_kernel, 1, SAE_WARP, 0, digit, state, hist);
    }
    const keep_rule rule = {nullptr, state, false};
    uint32_t *ties;
    if (deal_rows(n, m, rule, pre, b_enc, csr, &ties))
        SAE_LAUNCH(keep_write_kernel, (unsigned)n, SAE_BLOCK, 0, m, rule, pre, b_enc, ties,
                   csr->start, csr->cap, csr->idx, csr->val);
}

static void keep_all(size_t n, size_t m, const keep_rule &rule, const float *pre,
                     const float *b_enc, struct sae_csr *csr, size_t *ret_nnz)
{
    uint32_t *ties;
    *ret_nnz = 0;
    if (!deal_rows(n, m, rule, pre, b_enc, csr, &ties))
        return;
    SAE_LAUNCH(keep_write_kernel, (unsigned)n, SAE_BLOCK, 0, m, rule, pre, b_enc, ties, csr->start,
               csr->cap, csr->idx, csr->val);
    sae_gpu_get(ret_nnz, csr->start + n, sizeof *ret_nnz);
    if (*ret_nnz > csr->cap)
        sae_gpu_zero(csr->start, (n + 1) * sizeof *csr->start);
}

void sae_cuda_threshold(size_t n, size_t m, const float *pre, const float *b_enc,
                        const float *theta, struct sae_csr *csr, size_t *ret_nnz)
{
    keep_all(n, m, keep_rule{theta, nullptr, false}, pre, b_enc, csr, ret_nnz);
}

void sae_cuda_above(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                    struct sae_csr *csr, size_t *ret_nnz)
{
    keep_all(n, m, keep_rule{theta, nullptr, true}, pre, b_enc, csr, ret_nnz);
}
