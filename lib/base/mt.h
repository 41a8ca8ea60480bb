/* SPDX-License-Identifier: MIT */
/* mt : the random numbers of numpy's RandomState (Mersenne Twister 19937), for what must be drawn as
 * another program draws it. Whatever is our own to choose takes its numbers from rng.h.
 * Algorithm: Matsumoto and Nishimura 1998; seeding and bounds as numpy's legacy generator has them. */
#ifndef SAE_LIB_BASE_MT_H
#define SAE_LIB_BASE_MT_H

#include <stddef.h>
#include <stdint.h>

enum { SAE_MT_WORDS = 624 };

struct sae_mt {
    uint32_t key[SAE_MT_WORDS];
    size_t at; /* next word of key; SAE_MT_WORDS: a new block is due */
};

struct sae_mt sae_mt_make(uint32_t seed); /* RandomState(seed) */
uint32_t sae_mt_u32(struct sae_mt *mt);
/* Uniform in [0, max]: the lowest bits that can hold max, drawn again while they are above it. */
uint32_t sae_mt_upto(struct sae_mt *mt, uint32_t max);
/* RandomState.shuffle; with a = 0 .. n-1 RandomState.permutation(n), whose first entries are
 * RandomState.choice(n, size, replace=False). n < 2^32 */
void sae_mt_shuffle_u32(struct sae_mt *mt, uint32_t *a, size_t n);

#endif /* SAE_LIB_BASE_MT_H */
