/* SPDX-License-Identifier: MIT */
/* rows : the arithmetic of single rows, one thread each; the forward pass spreads them. */
#ifndef SAE_LM_ROWS_H
#define SAE_LM_ROWS_H

#include <stddef.h>

/* h = RMS(x; w) = x / sqrt(mean(x^2) + eps) * (1 + w), all [D]. */
void sae_lm_row_rms(float *h, const float *x, const float *w, size_t D, double eps);

/* x += RMS(a; w). */
void sae_lm_row_add_rms(float *x, const float *a, const float *w, size_t D, double eps);

/* gate = gelu_tanh(gate) * up, [n]. */
void sae_lm_row_gelu_mul(float *gate, const float *up, size_t n);

/* z = cap * tanh(z / cap), [n]. */
void sae_lm_row_cap(float *z, size_t n, float cap);

/* Rotates n_heads vectors [2 * half] in place by the angles of one position; element k pairs
 * with k + half. */
void sae_lm_row_rope(float *heads, size_t n_heads, const float *cosines, const float *sines,
                     size_t half);

/* Attention of one query head over one sequence of T tokens, head width d. Query t sees keys
 * max(0, t - window + 1) ... t. Row t of q, k, v starts at q + t * ld; of the output at
 * o + t * ld_o. cap 0 = none. */
struct sae_lm_head {
    const float *q, *k, *v;
    size_t ld;
    float *o;
    size_t ld_o, T, d, window;
    float scale, cap;
};

/* `scratch` holds sae_lm_head_scratch(T, d) floats. */
size_t sae_lm_head_scratch(size_t T, size_t d);
void sae_lm_head_attend(const struct sae_lm_head *head, float *scratch);

#endif /* SAE_LM_ROWS_H */
