/* SPDX-License-Identifier: MIT */
/* device : what a kernel is written in. Under nvcc that is CUDA; elsewhere the same source becomes
 * plain C++ over an emulation (tests/emu) that runs the threads of a block as fibers, so that every
 * kernel is checked on machines without a GPU. Internal to lib/math/cuda.
 *
 * Rules that keep results equal from run to run: no atomics on floating point, every output element
 * has one writer, sums go in an order that follows from the shapes. A block is a multiple of 32
 * threads and all of them reach every barrier and every exchange within a warp. */
#ifndef SAE_LIB_MATH_CUDA_DEVICE_H
#define SAE_LIB_MATH_CUDA_DEVICE_H

#include <cstddef>
#include <cstdint>

#include "lib/math/cuda/gpu.h"

#ifdef __CUDACC__
#include <cuda_runtime.h>
/* Starts a kernel on the backend's stream; a failure is kept for sae_gpu_status. */
#define SAE_LAUNCH(kernel, grid, threads, shared, ...)                                             \
    do {                                                                                           \
        if (sae_gpu_allow_shared((const void *)(kernel), shared)) {                                \
            kernel<<<grid, threads, shared, (cudaStream_t)sae_gpu_stream()>>>(__VA_ARGS__);        \
            sae_gpu_launched(#kernel);                                                             \
        }                                                                                          \
    } while (0)
#define SAE_SHARED_DYNAMIC(type, name)                                                             \
    extern __shared__ __align__(16) unsigned char sae_shared_bytes[];                              \
    type *const name = reinterpret_cast<type *>(sae_shared_bytes)
#else
#include SAE_EMULATION /* a header, named by the build of the tests */
#endif

/* Threads of a block; the emulation takes fewer, as each of them costs. */
#ifdef __CUDACC__
enum { SAE_WARP = 32, SAE_BLOCK = 256 };
#else
enum { SAE_WARP = 32, SAE_BLOCK = 64 };
#endif
#define SAE_ALL_LANES 0xFFFFFFFFU

/* Before a loop whose arrays have to be registers. */
#ifdef __CUDACC__
#define SAE_UNROLL _Pragma("unroll")
#else
#define SAE_UNROLL
#endif

/* Blocks of SAE_BLOCK threads, one thread an item. */
static inline unsigned sae_blocks(size_t n)
{
    return (unsigned)((n + SAE_BLOCK - 1) / SAE_BLOCK);
}

static __device__ inline size_t sae_item()
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static __device__ inline unsigned sae_lane()
{
    return threadIdx.x % SAE_WARP;
}

static __device__ inline unsigned sae_warp()
{
    return threadIdx.x / SAE_WARP;
}

static __device__ inline unsigned sae_warps()
{
    return blockDim.x / SAE_WARP;
}

static __device__ inline unsigned sae_lanes_below()
{
    return (1U << sae_lane()) - 1;
}

/* The sum over a warp, the same bits in every lane. */
template <class T> static __device__ inline T sae_warp_sum(T v)
{
    for (int apart = SAE_WARP / 2; apart > 0; apart /= 2)
        v += __shfl_xor_sync(SAE_ALL_LANES, v, apart);
    return v;
}

/* The sum over a block, the same bits in every thread. */
template <class T> static __device__ inline T sae_block_sum(T v)
{
    __shared__ T part[SAE_WARP];
    v = sae_warp_sum(v);
    if (sae_lane() == 0)
        part[sae_warp()] = v;
    __syncthreads();
    T sum = 0;
    for (unsigned w = 0; w < sae_warps(); w++)
        sum += part[w];
    __syncthreads();
    return sum;
}

/* The largest over a block, none below 0; told to its first thread alone. */
static __device__ inline double sae_block_largest(double v)
{
    __shared__ double most[SAE_BLOCK];
    most[threadIdx.x] = v;
    __syncthreads();
    for (unsigned t = 0; threadIdx.x == 0 && t < blockDim.x; t++)
        v = most[t] > v ? most[t] : v;
    return v;
}

/* a . b by a warp, the same bits in every lane. */
static __device__ inline float sae_warp_dot(size_t d, const float *a, const float *b)
{
    float dot = 0;
    for (size_t i = sae_lane(); i < d; i += SAE_WARP)
        dot += a[i] * b[i];
    return sae_warp_sum(dot);
}

/* sum + column i of weight[e] W[idx[e]] over entries [e, end), in order; four rows are on their way at a
 * time. */
static __device__ inline float sae_add_rows(float sum, size_t e, size_t end, const uint32_t *idx,
                                            const float *weight, const float *W, size_t d, size_t i)
{
    for (; e + 4 <= end; e += 4) {
        const float w0 = W[idx[e] * d + i], w1 = W[idx[e + 1] * d + i],
                    w2 = W[idx[e + 2] * d + i], w3 = W[idx[e + 3] * d + i];
        sum += weight[e] * w0;
        sum += weight[e + 1] * w1;
        sum += weight[e + 2] * w2;
        sum += weight[e + 3] * w3;
    }
    for (; e < end; e++)
        sum += weight[e] * W[idx[e] * d + i];
    return sum;
}

/* The sum over the threads before this one. */
template <class T> static __device__ inline T sae_block_before(T v)
{
    __shared__ T part[SAE_WARP];
    T upto = v;
    for (unsigned apart = 1; apart < SAE_WARP; apart *= 2) {
        const T left = __shfl_up_sync(SAE_ALL_LANES, upto, apart);
        if (sae_lane() >= apart)
            upto += left;
    }
    if (sae_lane() == SAE_WARP - 1)
        part[sae_warp()] = upto;
    __syncthreads();
    T before = upto - v;
    for (unsigned w = 0; w < sae_warp(); w++)
        before += part[w];
    __syncthreads();
    return before;
}

/* bf16 is the upper half of a float; rounding is to nearest, ties to even, and NaN stays NaN. */
static __device__ inline uint16_t sae_bf16_of(float v)
{
    const unsigned u = __float_as_uint(v);
    if (v != v)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

static __device__ inline float sae_bf16_to(uint16_t v)
{
    return __uint_as_float((unsigned)v << 16);
}

#endif /* SAE_LIB_MATH_CUDA_DEVICE_H */
