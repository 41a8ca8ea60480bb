/* SPDX-License-Identifier: MIT */
/* mt : Mersenne Twister 19937. */
#include "lib/base/mt.h"

enum { N = SAE_MT_WORDS, M = 397 };

struct sae_mt sae_mt_make(uint32_t seed)
{
    struct sae_mt mt = {.at = N};
    mt.key[0] = seed;
    for (uint32_t i = 1; i < N; i++)
        mt.key[i] = UINT32_C(1812433253) * (mt.key[i - 1] ^ (mt.key[i - 1] >> 30)) + i;
    return mt;
}

static void renew(struct sae_mt *mt)
{
    uint32_t *const k = mt->key;
    for (size_t i = 0; i < N; i++) {
        const uint32_t y = (k[i] & UINT32_C(0x80000000)) | (k[(i + 1) % N] & UINT32_C(0x7fffffff));
        k[i] = k[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? UINT32_C(0x9908b0df) : 0);
    }
    mt->at = 0;
}

uint32_t sae_mt_u32(struct sae_mt *mt)
{
    if (mt->at == N)
        renew(mt);
    uint32_t y = mt->key[mt->at++];
    y ^= y >> 11;
    y ^= (y << 7) & UINT32_C(0x9d2c5680);
    y ^= (y << 15) & UINT32_C(0xefc60000);
    return y ^ (y >> 18);
}

uint32_t sae_mt_upto(struct sae_mt *mt, uint32_t max)
{
    uint32_t mask = max, v;
    if (max == 0)
        return 0;
    for (unsigned shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    do
        v = sae_mt_u32(mt) & mask;
    while (v > max);
    return v;
}

void sae_mt_shuffle_u32(struct sae_mt *mt, uint32_t *a, size_t n)
{
    for (size_t i = n; i-- > 1;) {
        const uint32_t j = sae_mt_upto(mt, (uint32_t)i), held = a[i];
        a[i] = a[j];
        a[j] = held;
    }
}
