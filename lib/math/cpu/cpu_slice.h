/* SPDX-License-Identifier: MIT */
/* cpu_slice : rows, and packed slices of rows, 64 floats each, that fit four vector registers.
 * Internal to lib/math/cpu. */
#ifndef SAE_LIB_MATH_CPU_CPU_SLICE_H
#define SAE_LIB_MATH_CPU_CPU_SLICE_H

#include "lib/math/cpu/cpu.h"

enum {
    SLICE = 64,            /* columns */
    TILE_ROWS = 2048,      /* packed slices of a tile: 512 KB, half of a usual L2 cache */
    CACHE_FLOATS = 1 << 18 /* 1 MB: arrays below this need no packing */
};

/* Whole rows. */
void sae_cpu_axpy(size_t d, float a, const float *x, float *y); /* y += a x */
float sae_cpu_dot(size_t d, const float *x, const float *y);
void sae_cpu_fill(size_t d, const float *from, float *y); /* y = from, 0 where NULL */

size_t sae_cpu_slices(size_t d);   /* in a row of d */
size_t sae_cpu_tiles(size_t rows); /* in so many rows */
/* Uninitialised, 64-byte aligned, released by free(); NULL where there is no memory: callers then
 * take the plain way, slower and different in the last bits. */
float *sae_cpu_scratch(size_t n);

/* Columns [i0, i0 + SLICE) of n rows of d, behind each other; columns past d become 0. */
void sae_cpu_pack(size_t n, size_t d, size_t i0, const float *rows, float *packed);
/* All slices of n rows: [slices][n][SLICE]. NULL as above. */
float *sae_cpu_pack_all(size_t n, size_t d, const float *rows);
/* Where the tiles of latents begin in each sparse row, relative to its start: [n][tiles + 1]. */
uint32_t *sae_cpu_bounds(size_t n, size_t m, const size_t *start, const uint32_t *idx);

/* out[w] += sum over n entries of val_e tile[idx_e - j0] */
void sae_cpu_add_slices(size_t n, const uint32_t *idx, const float *val, uint32_t j0,
                        const float *tile, size_t w, float *out);
/* out[w] = sum over n entries of weight_p rows[row_p] */
void sae_cpu_sum_slices(size_t n, const uint32_t *row, const float *weight, const float *rows,
                        size_t w, float *out);
/* The same, and dot_p += rows[row_p] . other[w] */
void sae_cpu_dot_slices(size_t n, const uint32_t *row, const float *weight, const float *rows,
                        size_t w, const float *other, float *dot, float *out);
/* dot_e += tile[idx_e - j0] . other[w] */
void sae_cpu_pair_slices(size_t n, const uint32_t *idx, uint32_t j0, const float *tile, size_t w,
                         const float *other, float *dot);

#endif /* SAE_LIB_MATH_CPU_CPU_SLICE_H */
