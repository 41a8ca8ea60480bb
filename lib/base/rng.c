/* SPDX-License-Identifier: MIT */
/* rng : Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). Key = seed, counter = (index, stream); each block gives two 64-bit numbers. */
#include "lib/base/rng.h"

#include <math.h>

static void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53U * c0;
        const uint64_t p1 = (uint64_t)0xCD9E8D57U * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

uint64_t sae_rng_at(uint64_t seed, uint64_t stream, uint64_t index)
{
    const uint64_t block = index / 2;
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                                 (uint32_t)(stream >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t out[4];
    philox(counter, key, out);
    const size_t half = (index & 1) * 2;
    return (uint64_t)out[half + 1] << 32 | out[half];
}

struct sae_rng sae_rng_make(uint64_t seed, uint64_t stream)
{
    return (struct sae_rng){.seed = seed, .stream = stream, .counter = 0};
}

uint64_t sae_rng_u64(struct sae_rng *rng)
{
    return sae_rng_at(rng->seed, rng->stream, rng->counter++);
}

uint64_t sae_rng_below(struct sae_rng *rng, uint64_t n)
{
    /* Rejection: the largest multiple of n that fits, so that each remainder is equally likely. */
    const uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t v = sae_rng_u64(rng);
    while (v >= limit)
        v = sae_rng_u64(rng);
    return v % n;
}

double sae_rng_uniform(struct sae_rng *rng)
{
    return (double)(sae_rng_u64(rng) >> 11) * 0x1p-53;
}

double sae_rng_normal(struct sae_rng *rng)
{
    const double u = 1.0 - sae_rng_uniform(rng); /* (0, 1]: the logarithm is finite */
    const double v = sae_rng_uniform(rng);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

void sae_rng_shuffle_u32(struct sae_rng *rng, uint32_t *a, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        const size_t j = (size_t)sae_rng_below(rng, i);
        const uint32_t t = a[i - 1];
        a[i - 1] = a[j];
        a[j] = t;
    }
}
