/* SPDX-License-Identifier: MIT */
/* rows : the arithmetic of single rows, one thread each; the forward pass spreads them. */
#ifndef SAE_LM_ROWS_H
#define SAE_LM_ROWS_H

#include <stddef.h>

#include "lib/math/lm.h"

/* h = N(x; w), lib/math/lm.h, all [D]; h may be x. */
void sae_lm_row_norm(enum sae_lm_norm kind, float *h, const float *x, const float *w, size_t D,
                     double eps);

/* x += N(a; w), or x += a where w is NULL. */
void sae_lm_row_join(enum sae_lm_norm kind, float *x, const float *a, const float *w, size_t D,
                     double eps);

/* gate = act(gate) * up, or act(gate) where up is NULL, [n]. */
void sae_lm_row_act(enum sae_lm_act act, float *gate, const float *up, size_t n);

/* z = cap * tanh(z / cap), [n]. */
void sae_lm_row_cap(float *z, size_t n, float cap);

/* Rotates n_heads vectors [d] in place by the angles of one position; element k pairs with
 * k + half, 2 half <= d, what is beyond stays. */
void sae_lm_row_rope(float *heads, size_t n_heads, size_t d, const float *cosines,
                     const float *sines, size_t half);

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
