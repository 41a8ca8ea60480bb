/* SPDX-License-Identifier: MIT */
/* vec : exp and tanh that the compiler vectorises.
 * Both are within 2e-7 relative of the exact value; tests hold them to it. */
#ifndef SAE_LM_VEC_H
#define SAE_LM_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define SAE_LM_INLINE static inline __attribute__((always_inline))

/* e^x, x held to [-87, 88]. x = n ln 2 + r; the polynomial for e^r is a minimax fit, degree 6. */
SAE_LM_INLINE float sae_lm_exp(float x)
{
    const float magic = 0x1.8p23F; /* adding it rounds to a whole number, kept in the low bits */
    x = x < -87.0F ? -87.0F : x;
    x = x > 88.0F ? 88.0F : x;
    const float shifted = x * 1.44269504F + magic;
    const float n = shifted - magic;
    const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F; /* ln 2 in two parts */
    float p = 1.3814539e-3F;
    p = p * r + 8.3687454e-3F;
    p = p * r + 4.1668389e-2F;
    p = p * r + 1.6666521e-1F;
    p = p * r + 4.9999994e-1F;
    p = p * (r * r) + r;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127U) << 23; /* 2^n */
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale + scale;
}

/* tanh u: an odd minimax polynomial near 0, where 1 - 2 / (e^2u + 1) would cancel. */
SAE_LM_INLINE float sae_lm_tanh(float u)
{
    const float a = fabsf(u), z = u * u;
    float p = -5.7170452e-3F;
    p = p * z + 2.0650588e-2F;
    p = p * z - 5.3743497e-2F;
    p = p * z + 1.3331491e-1F;
    p = p * z - 3.3333284e-1F;
    const float near = u + u * (z * p);
    const float far =
        copysignf(1.0F - 2.0F / (sae_lm_exp(2.0F * (a > 10.0F ? 10.0F : a)) + 1.0F), u);
    return a < 0.625F ? near : far;
}

/* erfc u, u >= 0: t e^-u^2 times a polynomial's exponential, t = 1 / (1 + u / 2) (Numerical
 * Recipes, 6.2: 1.2e-7 relative). */
SAE_LM_INLINE float sae_lm_erfc(float u)
{
    const float t = 1.0F / (1.0F + 0.5F * u);
    float p = 0.17087277F;
    p = p * t - 0.82215223F;
    p = p * t + 1.48851587F;
    p = p * t - 1.13520398F;
    p = p * t + 0.27886807F;
    p = p * t - 0.18628806F;
    p = p * t + 0.09678418F;
    p = p * t + 0.37409196F;
    p = p * t + 1.00002368F;
    p = p * t - 1.26551223F;
    return t * sae_lm_exp(p - u * u);
}

#endif /* SAE_LM_VEC_H */
