/* SPDX-License-Identifier: MIT */
/* cpu_slice : kernels over rows and packed slices. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/math/cpu/cpu_slice.h"

/* --- 1. rows ------------------------------------------------------------------------------ */

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

size_t sae_cpu_first_from(const uint32_t *idx, size_t lo, size_t hi, size_t least)
{
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (idx[mid] < least)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void sae_cpu_fill(size_t d, const float *from, float *y)
{
    if (from)
        memcpy(y, from, d * sizeof *y);
    else
        memset(y, 0, d * sizeof *y);
}

struct slice_level {
    void (*add)(size_t n, size_t reach, const uint32_t *idx, const float *val, const float *rows,
                size_t w, float *out);
    void (*sum)(size_t n, size_t reach, const uint32_t *row, const float *weight, const float *rows,
                size_t w, float *out);
    void (*dot)(size_t n, size_t reach, const uint32_t *row, const float *weight, const float *rows,
                size_t w, const float *other, float *dot, float *out);
    void (*pair)(size_t n, size_t reach, const uint32_t *idx, const float *rows, size_t w,
                 const float *other, float *dot);
};

/* --- 2. packing --------------------------------------------------------------------------- */

#define HUGE_PAGE ((size_t)2 << 20)

size_t sae_cpu_slices(size_t d)
{
    return (d + SLICE - 1) / SLICE;
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

/* Columns [i0, i0 + SLICE) of n rows of d, behind each other; columns past d become 0. */
static void pack(size_t n, size_t d, size_t i0, const float *rows, float *packed)
{
    enum { PREFETCH_ROWS = 16 };
    const size_t w = d - i0 < SLICE ? d - i0 : SLICE;
    for (size_t t = 0; t < n; t++) {
        /* rows are pages apart: the machine does not foresee the next */
        for (size_t i = 0; i < w && t + PREFETCH_ROWS < n; i += LINE)
            __builtin_prefetch(rows + (t + PREFETCH_ROWS) * d + i0 + i);
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
            pack(w, d, s * SLICE, rows + t * d, packed + (s * n + t) * SLICE);
    }
    return packed;
}

bool sae_cpu_by_slices(size_t m, size_t d, const float *rows, size_t n, size_t run,
                       void (*work)(const void *user, size_t s, const float *slice, size_t i0,
                                    size_t i1),
                       const void *user)
{
    enum { CHUNK = 512 };
    float *const slice = sae_cpu_scratch(m * SLICE);
    if (!slice)
        return false;
#pragma omp parallel
    for (size_t s = 0; s < sae_cpu_slices(d); s++) {
#pragma omp for schedule(dynamic, 1)
        for (size_t j = 0; j < m; j += CHUNK)
            pack(m - j < CHUNK ? m - j : CHUNK, d, s * SLICE, rows + j * d, slice + j * SLICE);
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < n; i += run)
            work(user, s, slice, i, n - i < run ? n : i + run);
    }
    free(slice);
    return true;
}

/* --- 3. slices, at three levels ----------------------------------------------------------- */

/* The file below once for each width of register. Vectors wider than a
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

void sae_cpu_add_slices(size_t n, size_t reach, const uint32_t *idx, const float *val,
                        const float *rows, size_t w, float *out)
{
    chosen->add(n, reach, idx, val, rows, w, out);
}

void sae_cpu_sum_slices(size_t n, size_t reach, const uint32_t *row, const float *weight,
                        const float *rows, size_t w, float *out)
{
    chosen->sum(n, reach, row, weight, rows, w, out);
}

void sae_cpu_dot_slices(size_t n, size_t reach, const uint32_t *row, const float *weight,
                        const float *rows, size_t w, const float *other, float *dot, float *out)
{
    chosen->dot(n, reach, row, weight, rows, w, other, dot, out);
}

void sae_cpu_pair_slices(size_t n, size_t reach, const uint32_t *idx, const float *rows, size_t w,
                         const float *other, float *dot)
{
    chosen->pair(n, reach, idx, rows, w, other, dot);
}
