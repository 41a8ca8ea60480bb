/* SPDX-License-Identifier: MIT */
/* lm : the operations of a language model on a device, a second table beside struct
 * sae_ops, whose memory they work on: that of the backend that has the table. The host's own
 * forward pass is lm/forward.c and uses none of it; `ref` has it as the plain reference.
 *
 * Letters: n tokens, D width, V vocabulary, T tokens of a sequence, d width of a head. Matrices are
 * row-major. Factors of products are what `how` says: f32 (SAE_F32, SAE_TF32) or bf16 (SAE_BF16),
 * rounded to nearest, ties to even; sums, norms, scores and the residual stream are f32. The result
 * of a row depends on its sequence alone but for `product`, whose order of sums may follow from n.
 * Two runs give equal bits. Bounds: docs/CUDA.md. */
#ifndef SAE_LIB_MATH_LM_H
#define SAE_LIB_MATH_LM_H

#include "lib/math/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One attention layer over B sequences of T tokens. Row i of qkv is q of H heads, k of K heads, v
 * of K heads, each d wide; query head h reads heads h / (H / K) of k and v. Query t sees keys
 * max(0, t - window + 1) ... t. cap 0 = none. */
struct sae_lm_heads {
    size_t B, T, H, K, d, window;
    float scale, cap;
};
enum { SAE_LM_HEAD_MAX = 256 }; /* d at most */

#define SAE_LM_NO_TARGET UINT32_MAX

/* A norm N(x; w) of a row [D], its mean in double:
 *   RMS     x / sqrt(mean(x^2) + eps) * w
 *   RMS1P   the same times 1 + w
 *   LAYER   (x - mean(x)) / sqrt(var(x) + eps) * w + b; b follows w: [2][D] */
enum sae_lm_norm { SAE_LM_RMS, SAE_LM_RMS1P, SAE_LM_LAYER };
/* tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), gelu: 0.5 x (1 + erf(x / sqrt 2)),
 * silu: x / (1 + e^-x) */
enum sae_lm_act { SAE_LM_GELU_TANH, SAE_LM_GELU, SAE_LM_SILU };

struct sae_lm_ops {
    size_t (*free_bytes)(void); /* free bytes */

    /* to[n] = x[n] as factors */
    void (*factors)(enum sae_precision how, size_t n, const float *x, void *to);
    /* y [n][n_out] = x [n][n_in] W^T, W [n_out][n_in]: factors x and W, f32 y */
    void (*product)(enum sae_precision how, size_t n, size_t n_out, size_t n_in, const void *x,
                    const void *W, float *y);
    /* x [n][D] = scale * rows ids[n] of the factors E [V][D] */
    void (*embed)(enum sae_precision how, size_t n, size_t D, float scale, const uint32_t *ids,
                  const void *E, float *x);

    /* x [n][D] += p[row % T], p [T][D]: a bias where T is 1, learned positions */
    void (*add)(size_t n, size_t T, size_t D, const float *p, float *x);

    /* norm: h = N(x; w) as factors.   join: x += N(a; w), or x += a where w is NULL, and
     * h = N(x; next) of the new x where next is not NULL. All [n][D] but w and next. */
    void (*norm)(enum sae_precision how, enum sae_lm_norm kind, size_t n, size_t D, double eps,
                 const float *x, const float *w, void *h);
    void (*join)(enum sae_precision how, enum sae_lm_norm kind, size_t n, size_t D, double eps,
                 const float *a, const float *w, float *x, const float *next, void *h);
    /* The first n_q + n_k vectors [d] of each row of qkv, rows ld apart, become their norms, RMS or
     * RMS1P: w [2][d], the first of n_q, the second of n_k. */
    void (*head_norm)(enum sae_lm_norm kind, size_t n, size_t n_q, size_t n_k, size_t d, size_t ld,
                      double eps, const float *w, float *qkv);

    /* Rotates the first n_heads vectors [d] of each row of qkv, rows ld apart, by the angles of
     * position row % T, [T][half]; element k pairs with k + half, 2 half <= d, what is beyond
     * stays. */
    void (*rope)(size_t n, size_t T, size_t n_heads, size_t d, size_t half, size_t ld,
                 const float *cosines, const float *sines, float *qkv);
    /* o [B T][H d] as factors, from qkv [B T][(H + 2K) d]. d <= SAE_LM_HEAD_MAX */
    void (*attend)(enum sae_precision how, const struct sae_lm_heads *heads, const float *qkv,
                   void *o);
    /* to [n][F] as factors: gated act(gate) * up, rows of x are gate [F], up [F]; else act(x) */
    void (*gate)(enum sae_precision how, enum sae_lm_act act, bool gated, size_t n, size_t F,
                 const float *x, void *to);
    /* z[n] = cap * tanh(z / cap) */
    void (*cap)(size_t n, float cap, float *z);

    /* Of rows of logits z [n][V]: lse = log sum exp z, ce = lse - z[target], 0 where target is
     * SAE_LM_NO_TARGET. compare: also kl = sum_v p_v (log p_v - log q_v), p of the logits `of`
     * whose lse is given, q of z. Sums in double. */
    void (*read)(size_t n, size_t V, const float *z, const uint32_t *target, double *lse,
                 double *ce);
    void (*compare)(size_t n, size_t V, const float *of, const double *lse, const float *z,
                    const uint32_t *target, double *ce, double *kl);
};

extern const struct sae_lm_ops sae_lm_ref;

/* The first operation that a table lacks, NULL where it is complete. */
const char *sae_lm_missing(const struct sae_lm_ops *lm);
/* Bytes of one factor. */
static inline size_t sae_lm_factor(enum sae_precision how)
{
    return how == SAE_BF16 ? sizeof(uint16_t) : sizeof(float);
}

/* sae_ops_open_device for a program that runs a language model: a device must also have the whole
 * table above, and each of its operations must agree with the reference under the operand type
 * `how`. auto falls back to the CPU if that fails; *fallback_reason says why. */
SAE_MUST_CHECK enum sae_status sae_lm_open_ops(const struct sae_ops **ret, const char *name,
                                               enum sae_precision how, size_t n_threads,
                                               struct sae_err *fallback_reason,
                                               struct sae_err *err);
/* Fails: SAE_EBACKEND no table, not a whole one, or the operation that computes something else */
SAE_MUST_CHECK enum sae_status sae_lm_agree(const struct sae_ops *ops, enum sae_precision how,
                                            struct sae_err *err);

#ifdef __cplusplus
}
#endif

#endif /* SAE_LIB_MATH_LM_H */
