/* SPDX-License-Identifier: MIT */
/* cpu_slice : kernels over rows and packed slices. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/math/cpu/cpu_slice.h"

/* 1. rows */

SAE_CLONES void sae_cpu_axpy(size_t d, float a, const float *restrict x, float *restrict y)
{
    for (size_t i = 0; i < d; i++)
        y[i] += a * x[i];
}

/* Symmetric in x and y to the last bit: both ends of a pair see one cosine. */
SAE_CLONES float sae_cpu_dot(size_t d, const float *restrict x, const float *restrict y)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < d; i++)
        sum += x[i] * y[i];
    return sum;
}

void sae_cpu_fill(size_t d, const float *from, float *y)
{
    if (from)
        memcpy(y, from, d * sizeof *y);
    else
        memset(y, 0, d * sizeof *y);
}

struct slice_level {
    void (*add)(size_t n, const uint32_t *idx, const float *val, uint32_t j0, const float *tile,
                size_t w, float *out);
    void (*sum)(size_t n, const uint32_t *row, const float *weight, const float *rows, size_t w,
                float *out);
    void (*dot)(size_t n, const uint32_t *row, const float *weight, const float *rows, size_t w,
                const float *other, float *dot, float *out);
    void (*pair)(size_t n, const uint32_t *idx, uint32_t j0, const float *tile, size_t w,
                 const float *other, float *dot);
};

/* 2. packing */

#define HUGE_PAGE ((size_t)2 << 20)

size_t sae_cpu_slices(size_t d)
{
    return (d + SLICE - 1) / SLICE;
}

size_t sae_cpu_tiles(size_t rows)
{
    return (rows + TILE_ROWS - 1) / TILE_ROWS;
}

float *sae_cpu_scratch(size_t n)
{
    const size_t page = n * sizeof(float) >= HUGE_PAGE / 8 ? HUGE_PAGE : 64;
    if (n > SIZE_MAX / 2 / sizeof(float))
        return NULL;
    const size_t bytes = (n * sizeof(float) + page) / page * page;
    void *const p = aligned_alloc(page, bytes);
    if (p && page == HUGE_PAGE) /* advice only: slices lie far apart, small pages miss the TLB */
        (void)madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

void sae_cpu_pack(size_t n, size_t d, size_t i0, const float *rows, float *packed)
{
    enum { AHEAD = 16, LINE = 16 };
    const size_t w = d - i0 < SLICE ? d - i0 : SLICE;
    for (size_t t = 0; t < n; t++) {
        /* rows are pages apart: the machine does not foresee the next */
        for (size_t i = 0; i < w && t + AHEAD < n; i += LINE)
            __builtin_prefetch(rows + (t + AHEAD) * d + i0 + i);
        memcpy(packed + t * SLICE, rows + t * d + i0, w * sizeof *packed);
        if (w < SLICE)
            memset(packed + t * SLICE + w, 0, (SLICE - w) * sizeof *packed);
    }
}

float *sae_cpu_pack_all(size_t n, size_t d, const float *rows)
{
    enum { CHUNK = 64 };
    const size_t n_slices = sae_cpu_slices(d);
    float *const packed = sae_cpu_scratch(n_slices * n * SLICE);
    if (!packed)
        return NULL;
        /* by chunks of rows, so that each row is read as a whole */
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t t = 0; t < n; t += CHUNK) {
        const size_t w = n - t < CHUNK ? n - t : CHUNK;
        for (size_t s = 0; s < n_slices; s++)
            sae_cpu_pack(w, d, s * SLICE, rows + t * d, packed + (s * n + t) * SLICE);
    }
    return packed;
}

uint32_t *sae_cpu_bounds(size_t n, size_t m, const size_t *start, const uint32_t *idx)
{
    const size_t n_tiles = sae_cpu_tiles(m);
    uint32_t *const bound = malloc((n * (n_tiles + 1) + 1) * sizeof *bound);
    if (!bound)
        return NULL;
#pragma omp parallel for schedule(dynamic, 64)
    for (size_t t = 0; t < n; t++) {
        const uint32_t *const row = idx + start[t];
        const size_t count = start[t + 1] - start[t];
        uint32_t *const b = bound + t * (n_tiles + 1);
        size_t e = 0;
        for (size_t tile = 0; tile < n_tiles; tile++) {
            b[tile] = (uint32_t)e;
            while (e < count && row[e] < (tile + 1) * TILE_ROWS)
                e++;
        }
        b[n_tiles] = (uint32_t)count;
    }
    return bound;
}

/* 3. slices, at three levels: the file below once for each width of register. Vectors wider than a
 * register would be kept in memory. */

#define NAME(x) x##_any
#define WIDTH 4
#define TARGET
#include "lib/math/cpu/cpu_slice_level.h"

#if defined(__x86_64__)
#define NAME(x) x##_v3
#define WIDTH 8
#define TARGET __attribute__((target("arch=x86-64-v3")))
#include "lib/math/cpu/cpu_slice_level.h"

#define NAME(x) x##_v4
#define WIDTH 16
#define TARGET __attribute__((target("arch=x86-64-v4")))
#include "lib/math/cpu/cpu_slice_level.h"
#endif

static const struct slice_level *chosen = &level_any;

__attribute__((constructor)) static void choose(void)
{
#if defined(__x86_64__)
    const char *const want = getenv("SAE_CPU_LEVEL");
    __builtin_cpu_init();
    if (want && strcmp(want, "portable") == 0)
        return;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        !(want && strcmp(want, "avx2") == 0))
        chosen = &level_v4;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        chosen = &level_v3;
#endif
}

void sae_cpu_add_slices(size_t n, const uint32_t *idx, const float *val, uint32_t j0,
                        const float *tile, size_t w, float *out)
{
    chosen->add(n, idx, val, j0, tile, w, out);
}

void sae_cpu_sum_slices(size_t n, const uint32_t *row, const float *weight, const float *rows,
                        size_t w, float *out)
{
    chosen->sum(n, row, weight, rows, w, out);
}

void sae_cpu_dot_slices(size_t n, const uint32_t *row, const float *weight, const float *rows,
                        size_t w, const float *other, float *dot, float *out)
{
    chosen->dot(n, row, weight, rows, w, other, dot, out);
}

void sae_cpu_pair_slices(size_t n, const uint32_t *idx, uint32_t j0, const float *tile, size_t w,
                         const float *other, float *dot)
{
    chosen->pair(n, idx, j0, tile, w, other, dot);
}
