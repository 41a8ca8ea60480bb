/* SPDX-License-Identifier: MIT */
/* f16 : IEEE half precision, reading only; files of others hold it. Exact. */
#ifndef SAE_LIB_BASE_F16_H
#define SAE_LIB_BASE_F16_H

#include <stdint.h>
#include <string.h>

static inline float sae_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000U) << 16;
    const uint32_t exponent = (h >> 10) & 31U, fraction = h & 1023U;
    uint32_t u;
    float f;
    if (exponent == 31) {
        u = sign | 0x7f800000U | fraction << 13;
    } else if (exponent != 0) {
        u = sign | (exponent + 112U) << 23 | fraction << 13;
    } else {
        f = (float)fraction * 0x1p-24F; /* subnormal, exact */
        return sign != 0 ? -f : f;
    }
    memcpy(&f, &u, sizeof f);
    return f;
}

#endif /* SAE_LIB_BASE_F16_H */
