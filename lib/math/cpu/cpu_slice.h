/* SPDX-License-Identifier: MIT */
/* cpu_slice : rows, and packed slices of rows, 64 floats each, that fit four vector registers.
 * Internal to lib/math/cpu. */
#ifndef SAE_LIB_MATH_CPU_CPU_SLICE_H
#define SAE_LIB_MATH_CPU_CPU_SLICE_H

#include "lib/math/cpu/cpu.h"

enum {
    SLICE = 64,            /* columns */
    LINE = 16,             /* floats in a line of the cache */
    PREFETCH = 12,            /* entries whose rows are asked for before they are used */
    CACHE_FLOATS = 1 << 18 /* 1 MB: arrays below this need no packing */
};

/* Whole rows. */
void sae_cpu_axpy(size_t d, float a, const float *x, float *y); /* y += a x */
float sae_cpu_dot(size_t d, const float *x, const float *y);
void sae_cpu_fill(size_t d, const float *from, float *y); /* y = from, 0 where NULL */

size_t sae_cpu_slices(size_t d); /* in a row of d */
/* The first position in [lo, hi) of ascending idx that holds `least` or more; hi where none does. */
size_t sae_cpu_first_from(const uint32_t *idx, size_t lo, size_t hi, size_t least);
/* Uninitialised, 64-byte aligned, released by free(); NULL where there is no memory: callers then
 * take the plain way, slower and different in the last bits. */
float *sae_cpu_scratch(size_t n);

/* All slices of n rows: [slices][n][SLICE], columns past d filled up with 0. NULL as above. */
float *sae_cpu_pack_all(size_t n, size_t d, const float *rows);

/* One slice of all rows after another: work(user, s, slice, i0, i1) is called for runs of `run` of
 * n items, by all threads, with columns [64 s, 64 s + 64) of the m rows in slice [m][SLICE]. That
 * many rows lie in the cache that processors share; the kernels below ask for them ahead. For one
 * item the slices come in order. False where there is no memory: then work was not called. */
bool sae_cpu_by_slices(size_t m, size_t d, const float *rows, size_t n, size_t run,
                       void (*work)(const void *user, size_t s, const float *slice, size_t i0,
                                    size_t i1),
                       const void *user);

/* Kernels over slices of rows. idx may be read up to `reach` entries, which are asked for ahead;
 * reach >= n, and what lies behind n is any row. */
/* out[w] += sum over n entries of val_e rows[idx_e] */
void sae_cpu_add_slices(size_t n, size_t reach, const uint32_t *idx, const float *val,
                        const float *rows, size_t w, float *out);
/* out[w] = sum over n entries of weight_p rows[row_p] */
void sae_cpu_sum_slices(size_t n, size_t reach, const uint32_t *row, const float *weight,
                        const float *rows, size_t w, float *out);
/* The same, and dot_p += rows[row_p] . other[w] */
void sae_cpu_dot_slices(size_t n, size_t reach, const uint32_t *row, const float *weight,
                        const float *rows, size_t w, const float *other, float *dot, float *out);
/* dot_e += rows[idx_e] . other[w] */
void sae_cpu_pair_slices(size_t n, size_t reach, const uint32_t *idx, const float *rows, size_t w,
                         const float *other, float *dot);

#endif /* SAE_LIB_MATH_CPU_CPU_SLICE_H */
