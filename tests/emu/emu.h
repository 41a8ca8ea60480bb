/* SPDX-License-Identifier: MIT */
/* emu : the part of CUDA that our kernels use, in plain C++ on the host.
 *
 * The blocks of a launch run one after another; the threads of a block are fibers, switched where
 * a thread meets a barrier or an exchange within its warp. emu_reverse turns both orders round, so
 * that a result that depends on them differs. Device memory is out of the host's reach but for
 * kernels and copies: a stray read or write of the host, or one past an array, ends the program, and
 * so does a kernel that is handed memory of the host. */
#ifndef SAE_TESTS_EMU_EMU_H
#define SAE_TESTS_EMU_EMU_H

#include "tests/emu/emu_c.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

void emu_launch(const char *name, dim3 grid, unsigned threads, size_t shared,
                const std::function<void()> &kernel);
unsigned char *emu_shared(void);
void emu_block_barrier(void);
void emu_warp_barrier(void);
void *emu_slot(unsigned lane); /* 16 bytes for the exchange of a lane of this warp */

/* A device reads no memory of the host: an argument of a kernel that points there ends the program.
 * Pointers inside structs are not looked at: what lies beside them may look like one by chance. */
void emu_check_address(const char *kernel, const void *address);

template <class T> void emu_check_argument(const char *kernel, const T &v)
{
    if constexpr (std::is_pointer<T>::value)
        emu_check_address(kernel, v);
    else
        (void)kernel, (void)v;
}

template <class... T> void emu_check_arguments(const char *kernel, const T &...v)
{
    (emu_check_argument(kernel, v), ...);
}

#define SAE_LAUNCH(kernel, grid, threads, shared, ...)                                             \
    (emu_check_arguments(#kernel, __VA_ARGS__),                                                    \
     emu_launch(#kernel, grid, threads, shared, [&] { kernel(__VA_ARGS__); }))
#define SAE_SHARED_DYNAMIC(type, name) type *const name = reinterpret_cast<type *>(emu_shared())

static inline void __syncthreads(void)
{
    emu_block_barrier();
}

static inline void __syncwarp(unsigned mask = ~0U)
{
    (void)mask;
    emu_warp_barrier();
}

template <class T> T emu_exchange(T v, unsigned from)
{
    static_assert(sizeof v <= 16, "one exchange moves up to 16 bytes");
    std::memcpy(emu_slot(threadIdx.x % 32), &v, sizeof v);
    emu_warp_barrier();
    T other;
    std::memcpy(&other, emu_slot(from), sizeof other);
    emu_warp_barrier();
    return other;
}

template <class T> T __shfl_sync(unsigned, T v, unsigned lane)
{
    return emu_exchange(v, lane % 32);
}

template <class T> T __shfl_xor_sync(unsigned, T v, unsigned mask)
{
    return emu_exchange(v, (threadIdx.x % 32) ^ mask);
}

template <class T> T __shfl_up_sync(unsigned, T v, unsigned apart)
{
    const unsigned lane = threadIdx.x % 32;
    return emu_exchange(v, lane >= apart ? lane - apart : lane);
}

template <class T> T __shfl_down_sync(unsigned, T v, unsigned apart)
{
    const unsigned lane = threadIdx.x % 32;
    return emu_exchange(v, lane + apart < 32 ? lane + apart : lane);
}

static inline unsigned __ballot_sync(unsigned, int predicate)
{
    const uint32_t mine = predicate != 0;
    std::memcpy(emu_slot(threadIdx.x % 32), &mine, sizeof mine);
    emu_warp_barrier();
    unsigned all = 0;
    for (unsigned lane = 0; lane < 32; lane++) {
        uint32_t bit;
        std::memcpy(&bit, emu_slot(lane), sizeof bit);
        all |= bit << lane;
    }
    emu_warp_barrier();
    return all;
}

template <class T, class U> T atomicAdd(T *to, U v)
{
    static_assert(!std::is_floating_point<T>::value, "sums of floats by atomics have no order");
    const T before = *to;
    *to = (T)(before + (T)v);
    return before;
}

static inline int __popc(unsigned v)
{
    return __builtin_popcount(v);
}

static inline unsigned __float_as_uint(float v)
{
    unsigned u;
    std::memcpy(&u, &v, sizeof u);
    return u;
}

static inline float __uint_as_float(unsigned u)
{
    float v;
    std::memcpy(&v, &u, sizeof v);
    return v;
}

/* Within tests/emu: device memory is open between these. */
void emu_enter(void);
void emu_leave(void);
void *emu_alloc(size_t bytes);
void emu_free(void *p);
size_t emu_room(void);
/* The array of device memory that an address lies in, or just behind; NULL: none. */
void *emu_array_of(uintptr_t at, size_t *ret_bytes);

#endif /* SAE_TESTS_EMU_EMU_H */
