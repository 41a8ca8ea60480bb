/* SPDX-License-Identifier: MIT */
/* cpu_screen : which latents of a token can be among its k largest, from products in 16 bits, and
 * their exact values. Internal to lib/math/cpu. */
#ifndef SAE_LIB_MATH_CPU_CPU_SCREEN_H
#define SAE_LIB_MATH_CPU_CPU_SCREEN_H

#include <string.h>

#include "lib/math/cpu/cpu_slice.h"

enum {
    DOT_TOKENS = 6,
    DOT_LATENTS = 16,
    SCREEN_SHARE = 12 /* screening pays where k is at most m over this */
};

enum sae_cpu_level { SAE_CPU_PORTABLE, SAE_CPU_AVX2, SAE_CPU_VNNI };
/* The highest of this processor, or what SAE_CPU_LEVEL (portable, avx2, vnni) in the environment
 * lowers it to. */
enum sae_cpu_level sae_cpu_level(void);

/* sum [DOT_TOKENS][DOT_LATENTS] = dots of the tokens and latents of two panels over n_pairs; added
 * to what is there where `more`. w and sum aligned to 64 bytes. */
typedef void sae_cpu_dot16_fn(size_t n_pairs, const int16_t *x, const int16_t *w, bool more,
                              int32_t *sum);
sae_cpu_dot16_fn *sae_cpu_dot16(enum sae_cpu_level level);

/* A matrix of n rows in 16 bits: row r is scale[r] q[r] up to an error of length err[r]. Rows lie
 * in panels of `width`: [pair of columns][width][2]. */
struct sae_cpu_q16 {
    size_t n, d, width;
    int16_t *q;
    float *scale, *norm, *err; /* [n rounded up]; norm: |row|, rounded up; NaN where not finite */
};
size_t sae_cpu_q16_scratch(size_t n, size_t d, size_t width); /* floats */
/* Takes its memory from *scratch, which moves on. */
void sae_cpu_q16_make(struct sae_cpu_q16 *q, size_t n, size_t d, size_t width, const float *rows,
                      float **scratch);

/* Whether screening is exact and pays at this shape on this processor. */
bool sae_cpu_screen_pays(size_t n, size_t m, size_t d, size_t k);
size_t sae_cpu_screen_scratch(size_t n, size_t m, size_t d, size_t k); /* grows with n and k */
/* As encode_topk, but for rows it cannot decide (not finite, too many candidates): those are listed
 * in failed [n] and their number returned; their place in csr is left empty. Entries of row t lie
 * at t * k, their count in start[t + 1]. n: nothing was done. */
size_t sae_cpu_screen_topk(size_t n, size_t m, size_t d, size_t k, const float *xc,
                           const float *W_enc, const float *b_enc, float *scratch,
                           struct sae_csr *csr, uint32_t *failed);

#endif /* SAE_LIB_MATH_CPU_CPU_SCREEN_H */
