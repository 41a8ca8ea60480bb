/* SPDX-License-Identifier: MIT */
/* machine : what translated PTX runs on: fibers of tests/emu, and checked memory. Every access must
 * be aligned to its size and lie in memory of the device or in what the block has of shared memory;
 * exchanges must name the whole warp. What is not ends the program with the kernel's name. */
#ifndef SAE_TESTS_PTX_MACHINE_H
#define SAE_TESTS_PTX_MACHINE_H

#include <limits>

#include "tests/emu/emu.h"
#include "tests/ptx/ptx.h"

[[noreturn]] void ptx_die(const char *kernel, const char *what, uint64_t at, unsigned bytes);

/* --- memory ------------------------------------------------------------------------------------ */

/* Shared memory of the running block: static part, then the dynamic one. */
extern size_t ptx_shared_bytes;
/* The last array of the device that was found: most accesses of a kernel are of few. */
extern uintptr_t ptx_known_from, ptx_known_end;
bool ptx_find_array(uintptr_t at);

static inline unsigned char *shared_at(uint32_t at, unsigned bytes, size_t static_bytes,
                                       const char *kernel)
{
    (void)static_bytes;
    if (at % bytes || at + bytes > ptx_shared_bytes)
        ptx_die(kernel, "an access of shared memory is misaligned or outside", at, bytes);
    return emu_shared() + at;
}

static inline uint64_t generic_of_shared(uint64_t at)
{
    return reinterpret_cast<uintptr_t>(emu_shared()) + at;
}

static inline unsigned char *global_at(uint64_t at, unsigned bytes, const char *kernel)
{
    if (at % bytes)
        ptx_die(kernel, "an access is misaligned", at, bytes);
    if (at - ptx_known_from >= ptx_known_end - ptx_known_from && !ptx_find_array(at) &&
        at - reinterpret_cast<uintptr_t>(emu_shared()) >= ptx_shared_bytes)
        ptx_die(kernel, "an access is outside of the device's memory", at, bytes);
    return reinterpret_cast<unsigned char *>(at);
}

/* --- numbers ------------------------------------------------------------------------------------ */

static inline float as_f32(uint32_t bits)
{
    return __uint_as_float(bits);
}

static inline uint32_t bits_f32(float v)
{
    return __float_as_uint(v);
}

static inline double as_f64(uint64_t bits)
{
    double v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}

static inline uint64_t bits_f64(double v)
{
    uint64_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* Rounded down: a product and sum of floats are exact enough in double to see which side they are. */
static inline float fma_down(float a, float b, float c)
{
    const double exact = std::fma((double)a, (double)b, (double)c);
    const float near = (float)exact;
    return (double)near > exact ? std::nextafter(near, -INFINITY) : near;
}

static inline float flush(float v)
{
    return std::fabs(v) < std::numeric_limits<float>::min() ? std::copysign(0.0F, v) : v;
}

/* The device is off by an ulp or two here; tests have bounds that allow it. */
static inline float exp2_approx(float v)
{
    return flush(std::exp2(flush(v)));
}

static inline float reciprocal_approx(float v)
{
    return flush(1 / flush(v));
}

static inline double reciprocal_approx(double v)
{
    return as_f64(bits_f64(1 / v) & ~(uint64_t)0xFFFFFFFF); /* the upper half is all it gives */
}

static inline float saturate(float v)
{
    return v > 0 ? (v < 1 ? v : 1) : 0;
}

template <class I> static inline I to_integer(double v)
{
    using limits = std::numeric_limits<I>;
    if (std::isnan(v))
        return 0;
    if (v <= (double)limits::min())
        return limits::min();
    return v >= (double)limits::max() ? limits::max() : (I)v;
}

/* --- warps -------------------------------------------------------------------------------------- */

static inline void check_mask(uint32_t mask, const char *kernel)
{
    if (mask != ~0U)
        ptx_die(kernel, "an exchange is not of the whole warp", mask, 4);
}

static inline uint32_t shuffle_bfly(uint32_t v, uint32_t by, uint32_t mask, const char *kernel)
{
    check_mask(mask, kernel);
    return __shfl_xor_sync(mask, v, by);
}

static inline uint32_t shuffle_up(uint32_t v, uint32_t by, uint32_t mask, const char *kernel)
{
    check_mask(mask, kernel);
    return __shfl_up_sync(mask, v, by);
}

static inline uint32_t ballot(bool v, uint32_t mask, const char *kernel)
{
    check_mask(mask, kernel);
    return __ballot_sync(mask, v);
}

#endif /* SAE_TESTS_PTX_MACHINE_H */
