/* SPDX-License-Identifier: MIT */
/* bf16 : the upper half of an IEEE float. Rounding is to nearest even; NaN stays NaN. */
#ifndef SAE_LIB_BASE_BF16_H
#define SAE_LIB_BASE_BF16_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline float sae_bf16_to_f32(uint16_t b)
{
    const uint32_t u = (uint32_t)b << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint16_t sae_bf16_from_f32(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if ((u & 0x7fffffffU) > 0x7f800000U)
        return (uint16_t)((u >> 16) | 0x40U);
    u += 0x7fffU + ((u >> 16) & 1U);
    return (uint16_t)(u >> 16);
}

static inline void sae_bf16_widen(float *to, const uint16_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = sae_bf16_to_f32(from[i]);
}

static inline void sae_bf16_narrow(uint16_t *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = sae_bf16_from_f32(from[i]);
}

#endif /* SAE_LIB_BASE_BF16_H */
