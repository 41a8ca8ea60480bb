/* SPDX-License-Identifier: MIT */
/* cuda_lm : the operations of a language model (lib/math/lm.h).
 *
 * Rows have a block each, attention a block for a few queries of one head; products go to cuBLASLt.
 * Contents: 1. factors and products   2. rows   3. attention   4. what logits say   5. the table */
#include <math.h>

#include "lib/math/cuda/cuda.h"
#include "lib/math/cuda/cuda_lm.h"

/* --- 1. factors and products ---------------------------------------------------------------- */

static __device__ inline float widen(float v)
{
    return v;
}

static __device__ inline float widen(uint16_t v)
{
    return sae_bf16_to(v);
}

static __device__ inline void put(float *to, float v)
{
    *to = v;
}

static __device__ inline void put(uint16_t *to, float v)
{
    *to = sae_bf16_of(v);
}

template <class T> static __global__ void factors_kernel(size_t n, const float *x, T *to)
{
    const size_t i = sae_item();
    if (i < n)
        put(to + i, x[i]);
}

static void factors(enum sae_precision how, size_t n, const float *x, void *to)
{
    if (n == 0)
        return;
    if (how == SAE_BF16)
        SAE_LAUNCH(factors_kernel<uint16_t>, sae_blocks(n), SAE_BLOCK, 0, n, x, (uint16_t *)to);
    else
        SAE_LAUNCH(factors_kernel<float>, sae_blocks(n), SAE_BLOCK, 0, n, x, (float *)to);
}

enum { TILE = 16 };

/* For shapes that the library has no way for: 16 x 16 of y a block. */
template <class T>
static __global__ void product_kernel(size_t n, size_t n_out, size_t n_in, const T *x, const T *W,
                                      float *y)
{
    __shared__ float a[TILE][TILE + 1], b[TILE][TILE + 1];
    const unsigned r = threadIdx.x / TILE, c = threadIdx.x % TILE;
    const size_t i0 = (size_t)blockIdx.x * TILE, j0 = (size_t)blockIdx.y * TILE;
    float sum = 0;
    for (size_t l0 = 0; l0 < n_in; l0 += TILE) {
        a[r][c] = i0 + r < n && l0 + c < n_in ? widen(x[(i0 + r) * n_in + l0 + c]) : 0;
        b[r][c] = j0 + r < n_out && l0 + c < n_in ? widen(W[(j0 + r) * n_in + l0 + c]) : 0;
        __syncthreads();
        for (unsigned l = 0; l < TILE; l++)
            sum += a[r][l] * b[c][l];
        __syncthreads();
    }
    if (i0 + r < n && j0 + c < n_out)
        y[(i0 + r) * n_out + j0 + c] = sum;
}

static void product(enum sae_precision how, size_t n, size_t n_out, size_t n_in, const void *x,
                    const void *W, float *y)
{
    const enum sae_gpu_type type = how == SAE_BF16   ? SAE_GPU_BF16
                                   : how == SAE_TF32 ? SAE_GPU_TF32
                                                     : SAE_GPU_F32;
    const dim3 grid((unsigned)((n + TILE - 1) / TILE), (unsigned)((n_out + TILE - 1) / TILE));
    if (n == 0 || n_out == 0)
        return;
    if (n_in > 0 &&
        sae_gpu_gemm(type, false, true, n, n_out, n_in, 1, x, n_in, W, n_in, 0, y, n_out))
        return;
    if (how == SAE_BF16)
        SAE_LAUNCH(product_kernel<uint16_t>, grid, TILE * TILE, 0, n, n_out, n_in,
                   (const uint16_t *)x, (const uint16_t *)W, y);
    else
        SAE_LAUNCH(product_kernel<float>, grid, TILE * TILE, 0, n, n_out, n_in, (const float *)x,
                   (const float *)W, y);
}

/* --- 2. rows -------------------------------------------------------------------------------- */

template <class T>
static __global__ void embed_kernel(size_t D, float scale, const uint32_t *ids, const T *E,
                                    float *x)
{
    const T *const row = E + ids[blockIdx.x] * D;
    for (size_t i = threadIdx.x; i < D; i += blockDim.x)
        x[blockIdx.x * D + i] = scale * widen(row[i]);
}

static void embed(enum sae_precision how, size_t n, size_t D, float scale, const uint32_t *ids,
                  const void *E, float *x)
{
    if (n == 0)
        return;
    if (how == SAE_BF16)
        SAE_LAUNCH(embed_kernel<uint16_t>, (unsigned)n, SAE_BLOCK, 0, D, scale, ids,
                   (const uint16_t *)E, x);
    else
        SAE_LAUNCH(embed_kernel<float>, (unsigned)n, SAE_BLOCK, 0, D, scale, ids, (const float *)E,
                   x);
}

static __global__ void add_kernel(size_t n, size_t T, size_t D, const float *p, float *x)
{
    const size_t i = sae_item();
    if (i < n * D)
        x[i] += p[i / D % T * D + i % D];
}

static void add(size_t n, size_t T, size_t D, const float *p, float *x)
{
    if (n > 0)
        SAE_LAUNCH(add_kernel, sae_blocks(n * D), SAE_BLOCK, 0, n, T, D, p, x);
}

/* What a row is shifted and scaled by before its weights; the same bits in every thread. */
struct measure {
    float shift, scale;
};

/* sum and sum_sq: of the thread's elements; the sum is of a layer norm alone. */
static __device__ inline measure measure_of(sae_lm_norm kind, size_t D, double eps, double sum,
                                            double sum_sq)
{
    double mean = 0;
    if (kind == SAE_LM_LAYER)
        mean = sae_block_sum(sum) / (double)D;
    const double var = sae_block_sum(sum_sq) / (double)D - mean * mean;
    measure m;
    m.shift = (float)-mean;
    m.scale = (float)(1 / sqrt((var > 0 ? var : 0) + eps));
    return m;
}

static __device__ inline float weigh(sae_lm_norm kind, size_t D, const float *w, size_t i,
                                     const measure &m, float x)
{
    switch (kind) {
    case SAE_LM_LAYER:
        return (x + m.shift) * m.scale * w[i] + w[D + i];
    case SAE_LM_RMS:
        return x * m.scale * w[i];
    default:
        return x * m.scale * (1 + w[i]);
    }
}

template <class T>
static __global__ void norm_kernel(sae_lm_norm kind, size_t D, double eps, const float *x,
                                   const float *w, T *h)
{
    const size_t at = blockIdx.x * D;
    double sum = 0, sq = 0;
    for (size_t i = threadIdx.x; i < D; i += blockDim.x) {
        sum += (double)x[at + i];
        sq += (double)x[at + i] * (double)x[at + i];
    }
    const measure m = measure_of(kind, D, eps, sum, sq);
    for (size_t i = threadIdx.x; i < D; i += blockDim.x)
        put(h + at + i, weigh(kind, D, w, i, m, x[at + i]));
}

static void norm(enum sae_precision how, enum sae_lm_norm kind, size_t n, size_t D, double eps,
                 const float *x, const float *w, void *h)
{
    if (n == 0)
        return;
    if (how == SAE_BF16)
        SAE_LAUNCH(norm_kernel<uint16_t>, (unsigned)n, SAE_BLOCK, 0, kind, D, eps, x, w,
                   (uint16_t *)h);
    else
        SAE_LAUNCH(norm_kernel<float>, (unsigned)n, SAE_BLOCK, 0, kind, D, eps, x, w, (float *)h);
}

/* A thread reads back in the third pass what it wrote in the second. */
template <class T>
static __global__ void join_kernel(sae_lm_norm kind, size_t D, double eps, const float *a,
                                   const float *w, float *x, const float *next, T *h)
{
    const size_t at = blockIdx.x * D;
    measure m = {0, 1};
    double sum = 0, sq = 0;
    if (w) {
        for (size_t i = threadIdx.x; i < D; i += blockDim.x) {
            sum += (double)a[at + i];
            sq += (double)a[at + i] * (double)a[at + i];
        }
        m = measure_of(kind, D, eps, sum, sq);
    }
    sum = sq = 0;
    for (size_t i = threadIdx.x; i < D; i += blockDim.x) {
        const float v = x[at + i] + (w ? weigh(kind, D, w, i, m, a[at + i]) : a[at + i]);
        x[at + i] = v;
        sum += (double)v;
        sq += (double)v * (double)v;
    }
    if (!next)
        return;
    m = measure_of(kind, D, eps, sum, sq);
    for (size_t i = threadIdx.x; i < D; i += blockDim.x)
        put(h + at + i, weigh(kind, D, next, i, m, x[at + i]));
}

static void join(enum sae_precision how, enum sae_lm_norm kind, size_t n, size_t D, double eps,
                 const float *a, const float *w, float *x, const float *next, void *h)
{
    if (n == 0)
        return;
    if (how == SAE_BF16)
        SAE_LAUNCH(join_kernel<uint16_t>, (unsigned)n, SAE_BLOCK, 0, kind, D, eps, a, w, x, next,
                   (uint16_t *)h);
    else
        SAE_LAUNCH(join_kernel<float>, (unsigned)n, SAE_BLOCK, 0, kind, D, eps, a, w, x, next,
                   (float *)h);
}

/* One block a row, one warp a head. */
static __global__ void head_norm_kernel(sae_lm_norm kind, size_t n_q, size_t n_k, size_t d,
                                        size_t ld, double eps, const float *w, float *qkv)
{
    for (unsigned head = sae_warp(); head < n_q + n_k; head += sae_warps()) {
        float *const row = qkv + blockIdx.x * ld + head * d;
        const float *const mine = head < n_q ? w : w + d;
        double sq = 0;
        for (size_t i = sae_lane(); i < d; i += SAE_WARP)
            sq += (double)row[i] * (double)row[i];
        measure m = {0, 1};
        m.scale = (float)(1 / sqrt(sae_warp_sum(sq) / (double)d + eps));
        for (size_t i = sae_lane(); i < d; i += SAE_WARP)
            row[i] = weigh(kind, d, mine, i, m, row[i]);
    }
}

static void head_norm(enum sae_lm_norm kind, size_t n, size_t n_q, size_t n_k, size_t d, size_t ld,
                      double eps, const float *w, float *qkv)
{
    if (n > 0)
        SAE_LAUNCH(head_norm_kernel, (unsigned)n, SAE_BLOCK, 0, kind, n_q, n_k, d, ld, eps, w, qkv);
}

static __global__ void rope_kernel(size_t T, size_t n_heads, size_t d, size_t half, size_t ld,
                                   const float *cosines, const float *sines, float *qkv)
{
    const float *const c = cosines + blockIdx.x % T * half, *const s = sines + blockIdx.x % T * half;
    float *const row = qkv + blockIdx.x * ld;
    for (unsigned head = sae_warp(); head < n_heads; head += sae_warps())
        for (size_t k = sae_lane(); k < half; k += SAE_WARP) {
            float *const a = row + head * d + k, *const b = a + half;
            const float p = *a, q = *b;
            *a = p * c[k] - q * s[k];
            *b = q * c[k] + p * s[k];
        }
}

static void rope(size_t n, size_t T, size_t n_heads, size_t d, size_t half, size_t ld,
                 const float *cosines, const float *sines, float *qkv)
{
    if (n > 0)
        SAE_LAUNCH(rope_kernel, (unsigned)n, SAE_BLOCK, 0, T, n_heads, d, half, ld, cosines, sines,
                   qkv);
}

/* 0.5 g (1 + tanh u) = g / (1 + e^-2u), u = sqrt(2/pi) (g + 0.044715 g^3): exact, no cancelling;
 * 1 + erf likewise by what it lacks. */
static __device__ inline float act_of(sae_lm_act act, float g)
{
    if (act == SAE_LM_GELU)
        return 0.5F * g * erfcf(-g * 0.70710678118654752F);
    const float u2 =
        act == SAE_LM_SILU ? -g : -1.5957691216057308F * (g + 0.044715F * (g * g * g));
    return g / (1 + expf(u2 > 80 ? 80 : u2));
}

template <class T>
static __global__ void gate_kernel(sae_lm_act act, bool gated, size_t F, const float *x, T *to)
{
    const float *const gate = x + blockIdx.x * (gated ? 2 * F : F), *const up = gate + F;
    for (size_t i = threadIdx.x; i < F; i += blockDim.x) {
        const float v = act_of(act, gate[i]);
        put(to + blockIdx.x * F + i, gated ? v * up[i] : v);
    }
}

static void gate(enum sae_precision how, enum sae_lm_act act, bool gated, size_t n, size_t F,
                 const float *x, void *to)
{
    if (n == 0)
        return;
    if (how == SAE_BF16)
        SAE_LAUNCH(gate_kernel<uint16_t>, (unsigned)n, SAE_BLOCK, 0, act, gated, F, x,
                   (uint16_t *)to);
    else
        SAE_LAUNCH(gate_kernel<float>, (unsigned)n, SAE_BLOCK, 0, act, gated, F, x, (float *)to);
}

static __global__ void cap_kernel(size_t n, float cap, float *z)
{
    const size_t i = sae_item();
    if (i < n)
        z[i] = cap * tanhf(z[i] / cap);
}

static void cap(size_t n, float most, float *z)
{
    if (n > 0)
        SAE_LAUNCH(cap_kernel, sae_blocks(n), SAE_BLOCK, 0, n, most, z);
}

/* --- 3. attention --------------------------------------------------------------------------- */

/* A warp has four queries, a lane one key of a tile of 32 and every 32nd group of four columns of
 * the output. The softmax goes along: sums are scaled down when a larger score comes, so that no
 * row of scores is ever whole. Keys and values take the same shared memory in turn. */
enum { QUERIES = 4, KEYS = SAE_WARP };

struct alignas(16) four {
    float v[4];
};

static __device__ inline four four_at(const float *p)
{
    return *reinterpret_cast<const four *>(p);
}

/* Columns in shared memory: whole groups of four; a row, so that lanes meet different banks. */
static __host__ __device__ inline size_t columns(size_t d)
{
    return (d + 3) / 4 * 4;
}

static __host__ __device__ inline size_t pitch(size_t d)
{
    return columns(d) + (columns(d) % 8 == 0 ? 4 : 8);
}

static __device__ inline float warp_max(float v)
{
    for (int apart = SAE_WARP / 2; apart > 0; apart /= 2)
        v = fmaxf(v, __shfl_xor_sync(SAE_ALL_LANES, v, apart));
    return v;
}

/* Rows [t, t + rows) of a head, 0 beyond T and d; a warp has every n-th row. */
static __device__ inline void load_rows(const sae_lm_heads &s, const float *from, size_t ld,
                                        size_t t, unsigned rows, float *to)
{
    for (unsigned r = sae_warp(); r < rows; r += sae_warps())
        for (size_t c = sae_lane(); c < columns(s.d); c += SAE_WARP)
            to[r * pitch(s.d) + c] = c < s.d && t + r < s.T ? from[(t + r) * ld + c] : 0;
}

/* One query's scores of a tile: the lane's own, capped; returns its exponential against the
 * largest so far, 0 where the query does not see the key. *keep: what earlier sums are worth now. */
static __device__ inline float soften(const sae_lm_heads &s, float score, bool seen, float *top,
                                      float *keep)
{
    float z = score * s.scale;
    if (s.cap > 0)
        z = s.cap * tanhf(z / s.cap);
    const float highest = fmaxf(*top, warp_max(seen ? z : -INFINITY));
    *keep = highest == -INFINITY ? 1 : expf(*top - highest);
    *top = highest;
    return seen ? expf(z - highest) : 0;
}

template <class T, int GROUPS> struct attention {
    /* The sums of one warp's queries. */
    float sum[QUERIES], top[QUERIES], o[QUERIES][GROUPS][4];

    __device__ inline void begin()
    {
        SAE_UNROLL
        for (int r = 0; r < QUERIES; r++) {
            sum[r] = 0;
            top[r] = -INFINITY;
            SAE_UNROLL
            for (int g = 0; g < GROUPS; g++)
                SAE_UNROLL
                for (int i = 0; i < 4; i++)
                    o[r][g][i] = 0;
        }
    }

    /* Queries t ... t + 3 in q, keys j ... j + 31 in k: exponentials to p [KEYS][QUERIES]. */
    __device__ inline void attend(const sae_lm_heads &s, size_t t, size_t j, const float *q,
                                const float *k, float *p)
    {
        const size_t ld = pitch(s.d), key = j + sae_lane();
        float score[QUERIES] = {0, 0, 0, 0};
        for (size_t c = 0; c < columns(s.d); c += 4) {
            const four b = four_at(k + sae_lane() * ld + c);
            SAE_UNROLL
            for (int r = 0; r < QUERIES; r++) {
                const four a = four_at(q + r * ld + c);
                score[r] += a.v[0] * b.v[0] + a.v[1] * b.v[1] + a.v[2] * b.v[2] + a.v[3] * b.v[3];
            }
        }
        SAE_UNROLL
        for (int r = 0; r < QUERIES; r++) {
            float keep;
            const size_t at = t + (size_t)r;
            const bool seen = at < s.T && key <= at && key + s.window > at;
            const float e = soften(s, score[r], seen, &top[r], &keep);
            sum[r] = sum[r] * keep + e;
            p[sae_lane() * QUERIES + r] = e;
            SAE_UNROLL
            for (int g = 0; g < GROUPS; g++)
                SAE_UNROLL
                for (int i = 0; i < 4; i++)
                    o[r][g][i] *= keep;
        }
    }

    __device__ inline void mix(const sae_lm_heads &s, const float *p, const float *v)
    {
        for (unsigned key = 0; key < KEYS; key++) {
            const four e = four_at(p + key * QUERIES);
            SAE_UNROLL
            for (int g = 0; g < GROUPS; g++) {
                const size_t c = (sae_lane() + SAE_WARP * g) * 4;
                if (c >= columns(s.d))
                    continue;
                const four x = four_at(v + key * pitch(s.d) + c);
                SAE_UNROLL
                for (int r = 0; r < QUERIES; r++)
                    SAE_UNROLL
                    for (int i = 0; i < 4; i++)
                        o[r][g][i] += e.v[r] * x.v[i];
            }
        }
    }

    /* Rows t ... t + 3 of the head's columns, rows ld apart. */
    __device__ inline void end(const sae_lm_heads &s, size_t t, T *to, size_t ld)
    {
        SAE_UNROLL
        for (int r = 0; r < QUERIES; r++) {
            const float weight = 1 / sae_warp_sum(sum[r]);
            SAE_UNROLL
            for (int g = 0; g < GROUPS; g++)
                SAE_UNROLL
                for (int i = 0; i < 4; i++) {
                    const size_t c = (sae_lane() + SAE_WARP * g) * 4 + i;
                    if (t + r < s.T && c < s.d)
                        put(to + (t + r) * ld + c, o[r][g][i] * weight);
                }
        }
    }
};

/* Floats of shared memory: queries, keys or values, exponentials. */
static __host__ __device__ inline size_t attend_shared(size_t d, unsigned warps)
{
    return (warps * QUERIES + KEYS) * pitch(d) + warps * KEYS * QUERIES;
}

template <class T, int GROUPS>
static __global__ void attend_kernel(sae_lm_heads s, const float *qkv, T *to)
{
    SAE_SHARED_DYNAMIC(float, shared);
    const unsigned rows = sae_warps() * QUERIES;
    const size_t tiles = (s.T + rows - 1) / rows, ld = (s.H + 2 * s.K) * s.d;
    /* the longest first */
    const size_t t0 = (tiles - 1 - blockIdx.x % tiles) * rows, t = t0 + sae_warp() * QUERIES;
    const size_t head = blockIdx.x / tiles % s.H, first = blockIdx.x / tiles / s.H * s.T;
    const float *const q = qkv + first * ld + head * s.d,
                *const k = qkv + first * ld + (s.H + head / (s.H / s.K)) * s.d;
    float *const queries = shared, *const kv = queries + rows * pitch(s.d),
                 *const p = kv + KEYS * pitch(s.d) + sae_warp() * KEYS * QUERIES;
    const size_t end = t0 + rows < s.T ? t0 + rows : s.T;
    attention<T, GROUPS> a;
    a.begin();
    load_rows(s, q, ld, t0, rows, queries);
    for (size_t j = t0 + 1 > s.window ? (t0 + 1 - s.window) / KEYS * KEYS : 0; j < end; j += KEYS) {
        load_rows(s, k, ld, j, KEYS, kv);
        __syncthreads();
        a.attend(s, t, j, queries + sae_warp() * QUERIES * pitch(s.d), kv, p);
        __syncthreads();
        load_rows(s, k + s.K * s.d, ld, j, KEYS, kv);
        __syncthreads();
        a.mix(s, p, kv);
        __syncthreads();
    }
    a.end(s, t, to + first * s.H * s.d + head * s.d, s.H * s.d);
}

template <class T>
static void attend_as(const struct sae_lm_heads *s, const float *qkv, T *o)
{
    enum { WARPS = SAE_BLOCK / SAE_WARP, ROWS = WARPS * QUERIES };
    const unsigned blocks = (unsigned)((s->T + ROWS - 1) / ROWS * s->H * s->B);
    const size_t bytes = attend_shared(s->d, WARPS) * sizeof(float);
    if (blocks == 0)
        return;
    if (s->d <= 128)
        SAE_LAUNCH((attend_kernel<T, 1>), blocks, SAE_BLOCK, bytes, *s, qkv, o);
    else
        SAE_LAUNCH((attend_kernel<T, 2>), blocks, SAE_BLOCK, bytes, *s, qkv, o);
}

static void attend(enum sae_precision how, const struct sae_lm_heads *s, const float *qkv, void *o)
{
    if (s->d > SAE_LM_HEAD_MAX)
        sae_gpu_fail("attention", "heads wider than it was built for");
    else if (how == SAE_BF16)
        attend_as(s, qkv, (uint16_t *)o);
    else
        attend_as(s, qkv, (float *)o);
}

/* --- 4. what logits say --------------------------------------------------------------------- */

/* The largest of a block, the same in every thread. */
static __device__ inline float block_max(float v)
{
    __shared__ float part[SAE_WARP];
    v = warp_max(v);
    if (sae_lane() == 0)
        part[sae_warp()] = v;
    __syncthreads();
    float most = -INFINITY;
    for (unsigned w = 0; w < sae_warps(); w++)
        most = fmaxf(most, part[w]);
    __syncthreads();
    return most;
}

/* log sum exp from what each thread has of it. */
static __device__ inline double block_log_sum(float top, double sum)
{
    const float most = block_max(top);
    return (double)most + log(sae_block_sum(top == -INFINITY ? sum : sum * (double)expf(top - most)));
}

/* One block a row, which is read once: the sum follows the largest so far. */
static __device__ inline void add_exp(float z, float *top, double *sum)
{
    if (z > *top) {
        *sum *= (double)expf(*top - z);
        *top = z;
    }
    *sum += (double)expf(z - *top);
}

static __global__ void read_kernel(size_t V, const float *logits, const uint32_t *target,
                                   double *lse, double *ce)
{
    const float *const z = logits + blockIdx.x * V;
    const uint32_t want = target[blockIdx.x];
    float top = -INFINITY;
    double sum = 0;
    for (size_t v = threadIdx.x; v < V; v += blockDim.x)
        add_exp(z[v], &top, &sum);
    const double all = block_log_sum(top, sum);
    if (threadIdx.x == 0) {
        lse[blockIdx.x] = all;
        ce[blockIdx.x] = want == SAE_LM_NO_TARGET ? 0 : all - (double)z[want];
    }
}

static void read_rows(size_t n, size_t V, const float *z, const uint32_t *target, double *lse,
                      double *ce)
{
    if (n > 0)
        SAE_LAUNCH(read_kernel, (unsigned)n, SAE_BLOCK, 0, V, z, target, lse, ce);
}

/* KL = sum p (z_p - z_q) - lse_p + lse_q */
static __global__ void compare_kernel(size_t V, const float *of, const double *lse_of,
                                      const float *logits, const uint32_t *target, double *ce,
                                      double *kl)
{
    const float *const z = logits + blockIdx.x * V, *const p = of + blockIdx.x * V;
    const uint32_t want = target[blockIdx.x];
    const float shift = (float)lse_of[blockIdx.x];
    float top = -INFINITY;
    double sum = 0, apart = 0, whole = 0;
    for (size_t v = threadIdx.x; v < V; v += blockDim.x) {
        const double weight = (double)expf(p[v] - shift);
        add_exp(z[v], &top, &sum);
        apart += weight * ((double)p[v] - (double)z[v]);
        whole += weight;
    }
    const double all = block_log_sum(top, sum);
    apart = sae_block_sum(apart);
    whole = sae_block_sum(whole); /* 1 but for rounding, which the difference below must share */
    if (threadIdx.x == 0) {
        ce[blockIdx.x] = want == SAE_LM_NO_TARGET ? 0 : all - (double)z[want];
        kl[blockIdx.x] = apart / whole + all - lse_of[blockIdx.x];
    }
}

static void compare(size_t n, size_t V, const float *of, const double *lse, const float *z,
                    const uint32_t *target, double *ce, double *kl)
{
    if (n > 0)
        SAE_LAUNCH(compare_kernel, (unsigned)n, SAE_BLOCK, 0, V, of, lse, z, target, ce, kl);
}

/* --- 5. the table --------------------------------------------------------------------------- */

extern "C" {
const struct sae_lm_ops sae_lm_cuda = {
    .free_bytes = sae_gpu_free_bytes,
    .factors = factors,
    .product = product,
    .embed = embed,
    .add = add,
    .norm = norm,
    .join = join,
    .head_norm = head_norm,
    .rope = rope,
    .attend = attend,
    .gate = gate,
    .cap = cap,
    .read = read_rows,
    .compare = compare,
};
}
