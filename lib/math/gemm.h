/* SPDX-License-Identifier: MIT */
/* gemm : products with weights that are packed first, on the host: y [n][n_out] = x [n][n_in] W^T.
 *
 * W is packed in panels of SAE_GEMM_COLUMNS rows, each [n_in][SAE_GEMM_COLUMNS], the last filled
 * with zeros. Factors are f32 or bf16 (rounded to nearest, ties to even), sums f32. An element of y
 * is the sum of blocks of SAE_GEMM_BLOCK columns of x, in order, each summed in order: it depends
 * on its row of x and its row of W alone, so that any batch and any number of threads give the same
 * bits.
 *
 * Kernels fuse multiply and add where the processor can. With bf16 factors a product is exact in
 * f32, so kernels of one such factor after the other give equal bits everywhere; those of pairs add
 * two products at a time and are another kind of numerics, by name. */
#ifndef SAE_LIB_MATH_GEMM_H
#define SAE_LIB_MATH_GEMM_H

#include "lib/math/ops.h"

enum { SAE_GEMM_COLUMNS = 64, SAE_GEMM_BLOCK = 2304, SAE_GEMM_ALIGN = 64 };
enum { SAE_GEMM_ROWS = 6 }; /* of x in a tile: multiples of it waste nothing */

struct sae_gemm {
    const char *name; /* of the instructions: "avx512", "avx2", "portable", "avx512-bf16" */
    enum sae_precision how;
    size_t factor; /* bytes of a factor */
    /* One panel: W [n_rows][n_in], n_rows <= SAE_GEMM_COLUMNS. */
    void (*pack)(size_t n_rows, size_t n_in, const float *W, void *to);
    /* to [n][n_in] = rows of x, ld apart, as factors. NULL: x itself is. */
    void (*factors)(size_t n, size_t n_in, const float *x, size_t ld, void *to);
    /* Rows of x and of y are ld_x factors and ld_y floats apart. One thread. */
    void (*product)(size_t n, size_t n_out, size_t n_in, const void *x, size_t ld_x,
                    const void *packed, float *y, size_t ld_y);
};

/* Bytes of one packed panel, a multiple of SAE_GEMM_ALIGN, as its address must be. */
static inline size_t sae_gemm_panel_size(const struct sae_gemm *gemm, size_t n_in)
{
    return SAE_GEMM_COLUMNS * (n_in + n_in % 2) * gemm->factor;
}
static inline size_t sae_gemm_panels(size_t n_out)
{
    return (n_out + SAE_GEMM_COLUMNS - 1) / SAE_GEMM_COLUMNS;
}

/* Whether it adds the products of two neighbours at a time. */
static inline bool sae_gemm_by_pairs(const struct sae_gemm *gemm)
{
    return gemm->factor < sizeof(float);
}

/* All kernels, for tests; *n of them. */
const struct sae_gemm *sae_gemm_all(size_t *n);
bool sae_gemm_usable(const struct sae_gemm *gemm); /* on this processor */
/* The fastest usable kernel of f32 or bf16; NULL: there is none of this type (tf32). SAE_CPU_LEVEL
 * (portable, avx2) lowers the choice. Pairs of bf16 are taken where they are faster than f32:
 * Intel's processors up to Emerald Rapids take four times as long for an instruction of pairs. */
const struct sae_gemm *sae_gemm_find(enum sae_precision how);

#endif /* SAE_LIB_MATH_GEMM_H */
