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
    const size_t page = n * sizeof(float) >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
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
    const size_t w = d - i0 < SLICE ? d - i0 : SLICE;
    for (size_t t = 0; t < n; t++) {
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

/* 3. slices: a slice is four vectors of 16; where the machine has shorter registers, gcc cuts them.
 * Rows of the caller's arrays are not aligned, and a last slice may be narrower. */

typedef float vec __attribute__((vector_size(64)));
typedef float loose __attribute__((vector_size(64), aligned(4)));

typedef float vec8 __attribute__((vector_size(32)));
typedef float vec4 __attribute__((vector_size(16)));

struct slice {
    vec v[4];
};

#define INLINE static inline __attribute__((always_inline))

INLINE void load_packed(struct slice *s, const float *from)
{
    for (int i = 0; i < 4; i++)
        s->v[i] = *(const vec *)(from + 16 * i);
}

INLINE void load_row(struct slice *s, size_t w, const float *from)
{
    if (w == SLICE) {
        for (int i = 0; i < 4; i++)
            s->v[i] = *(const loose *)(from + 16 * i);
    } else {
        memset(s, 0, sizeof *s);
        memcpy(s, from, w * sizeof *from);
    }
}

INLINE void store_row(const struct slice *s, size_t w, float *to)
{
    if (w == SLICE)
        for (int i = 0; i < 4; i++)
            *(loose *)(to + 16 * i) = s->v[i];
    else
        memcpy(to, s, w * sizeof *to);
}

INLINE void add_scaled(struct slice *acc, float a, const struct slice *s)
{
    for (int i = 0; i < 4; i++)
        acc->v[i] += a * s->v[i];
}

INLINE float dot_of(const struct slice *a, const struct slice *b)
{
    const vec sum =
        (a->v[0] * b->v[0] + a->v[1] * b->v[1]) + (a->v[2] * b->v[2] + a->v[3] * b->v[3]);
    const vec8 a8 = __builtin_shufflevector(sum, sum, 0, 1, 2, 3, 4, 5, 6, 7) +
                    __builtin_shufflevector(sum, sum, 8, 9, 10, 11, 12, 13, 14, 15);
    const vec4 a4 =
        __builtin_shufflevector(a8, a8, 0, 1, 2, 3) + __builtin_shufflevector(a8, a8, 4, 5, 6, 7);
    return (a4[0] + a4[2]) + (a4[1] + a4[3]);
}

SAE_CLONES void sae_cpu_add_slices(size_t n, const uint32_t *idx, const float *val, uint32_t j0,
                                   const float *tile, size_t w, float *out)
{
    struct slice acc, s;
    load_row(&acc, w, out);
    for (size_t e = 0; e < n; e++) {
        if (val[e] == 0) /* no term: 0 times NaN is not 0 */
            continue;
        load_packed(&s, tile + (size_t)(idx[e] - j0) * SLICE);
        add_scaled(&acc, val[e], &s);
    }
    store_row(&acc, w, out);
}

SAE_CLONES void sae_cpu_sum_slices(size_t n, const uint32_t *row, const float *weight,
                                   const float *rows, size_t w, float *out)
{
    struct slice acc = {0}, s;
    for (size_t p = 0; p < n; p++) {
        load_packed(&s, rows + (size_t)row[p] * SLICE);
        add_scaled(&acc, weight[p], &s);
    }
    store_row(&acc, w, out);
}

SAE_CLONES void sae_cpu_dot_slices(size_t n, const uint32_t *row, const float *weight,
                                   const float *rows, size_t w, const float *other, float *dot,
                                   float *out)
{
    struct slice acc = {0}, s, o;
    load_row(&o, w, other);
    for (size_t p = 0; p < n; p++) {
        load_packed(&s, rows + (size_t)row[p] * SLICE);
        add_scaled(&acc, weight[p], &s);
        dot[p] += dot_of(&s, &o);
    }
    store_row(&acc, w, out);
}

SAE_CLONES void sae_cpu_pair_slices(size_t n, const uint32_t *idx, uint32_t j0, const float *tile,
                                    size_t w, const float *other, float *dot)
{
    struct slice s, o;
    load_row(&o, w, other);
    for (size_t e = 0; e < n; e++) {
        load_packed(&s, tile + (size_t)(idx[e] - j0) * SLICE);
        dot[e] += dot_of(&s, &o);
    }
}
