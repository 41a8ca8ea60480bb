/* SPDX-License-Identifier: MIT */
/* cpu_dot16 : products of rows of 16-bit integers, exact in 32 bits.
 *
 * A panel is 6 tokens or 16 latents; within it the two integers of a pair of columns lie side by
 * side, pair after pair, as the instructions that multiply and add pairs want them:
 *   tokens  [pair][6][2]      latents  [pair][16][2]
 * Every level gives equal bits, as no sum can overflow (the caller sees to that). */
#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "lib/math/cpu/cpu_screen.h"

static enum sae_cpu_level highest(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw"))
        return SAE_CPU_VNNI;
    /* wide registers multiply floats as fast as AVX2 does 16-bit integers */
    if (__builtin_cpu_supports("avx2") && !__builtin_cpu_supports("avx512f"))
        return SAE_CPU_AVX2;
#endif
    return SAE_CPU_PORTABLE;
}

enum sae_cpu_level sae_cpu_level(void)
{
    static const char *const names[] = {"portable", "avx2", "vnni"};
    const char *const want = getenv("SAE_CPU_LEVEL");
    const enum sae_cpu_level most = highest();
    for (int level = 0; want && level < (int)most; level++)
        if (strcmp(want, names[level]) == 0)
            return (enum sae_cpu_level)level;
    return most;
}

static void dot16_any(size_t n_pairs, const int16_t *x, const int16_t *w, bool more, int32_t *sum)
{
    if (!more)
        memset(sum, 0, DOT_TOKENS * DOT_LATENTS * sizeof *sum);
    for (size_t p = 0; p < n_pairs; p++) {
        const int16_t *const a = x + p * 2 * DOT_TOKENS, *const b = w + p * 2 * DOT_LATENTS;
        for (size_t t = 0; t < DOT_TOKENS; t++)
            for (size_t j = 0; j < DOT_LATENTS; j++)
                sum[t * DOT_LATENTS + j] += a[2 * t] * b[2 * j] + a[2 * t + 1] * b[2 * j + 1];
    }
}

#if defined(__x86_64__)
/* The pair of token t in every lane. */
__attribute__((target("avx2"))) static inline __m256i pair_256(const int16_t *a, size_t t)
{
    int32_t both;
    memcpy(&both, a + 2 * t, sizeof both);
    return _mm256_set1_epi32(both);
}

__attribute__((target("avx2"))) static void dot16_avx2(size_t n_pairs, const int16_t *x,
                                                       const int16_t *w, bool more, int32_t *sum)
{
    __m256i *const out = (__m256i *)sum;
    __m256i lo[DOT_TOKENS], hi[DOT_TOKENS];
#pragma GCC unroll 6
    for (size_t t = 0; t < DOT_TOKENS; t++) {
        lo[t] = more ? _mm256_load_si256(out + 2 * t) : _mm256_setzero_si256();
        hi[t] = more ? _mm256_load_si256(out + 2 * t + 1) : _mm256_setzero_si256();
    }
    for (size_t p = 0; p < n_pairs; p++) {
        const __m256i b0 = _mm256_load_si256((const __m256i *)(w + p * 2 * DOT_LATENTS));
        const __m256i b1 = _mm256_load_si256((const __m256i *)(w + p * 2 * DOT_LATENTS + 16));
#pragma GCC unroll 6
        for (size_t t = 0; t < DOT_TOKENS; t++) {
            const __m256i a = pair_256(x + p * 2 * DOT_TOKENS, t);
            lo[t] = _mm256_add_epi32(lo[t], _mm256_madd_epi16(a, b0));
            hi[t] = _mm256_add_epi32(hi[t], _mm256_madd_epi16(a, b1));
        }
    }
#pragma GCC unroll 6
    for (size_t t = 0; t < DOT_TOKENS; t++) {
        _mm256_store_si256(out + 2 * t, lo[t]);
        _mm256_store_si256(out + 2 * t + 1, hi[t]);
    }
}

/* Twelve sums at a time hide the latency. */
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void
dot16_vnni(size_t n_pairs, const int16_t *x, const int16_t *w, bool more, int32_t *sum)
{
    __m512i even[DOT_TOKENS], odd[DOT_TOKENS];
#pragma GCC unroll 6
    for (size_t t = 0; t < DOT_TOKENS; t++) {
        even[t] = more ? _mm512_load_si512(sum + t * DOT_LATENTS) : _mm512_setzero_si512();
        odd[t] = _mm512_setzero_si512();
    }
    size_t p = 0;
    for (; p + 2 <= n_pairs; p += 2) {
        const __m512i b0 = _mm512_load_si512(w + p * 2 * DOT_LATENTS);
        const __m512i b1 = _mm512_load_si512(w + (p + 1) * 2 * DOT_LATENTS);
#pragma GCC unroll 6
        for (size_t t = 0; t < DOT_TOKENS; t++) {
            int32_t both[2];
            memcpy(&both[0], x + 2 * (p * DOT_TOKENS + t), sizeof both[0]);
            memcpy(&both[1], x + 2 * ((p + 1) * DOT_TOKENS + t), sizeof both[1]);
            even[t] = _mm512_dpwssd_epi32(even[t], _mm512_set1_epi32(both[0]), b0);
            odd[t] = _mm512_dpwssd_epi32(odd[t], _mm512_set1_epi32(both[1]), b1);
        }
    }
    for (size_t t = 0; t < DOT_TOKENS; t++) {
        if (p < n_pairs) {
            int32_t both;
            memcpy(&both, x + 2 * (p * DOT_TOKENS + t), sizeof both);
            even[t] = _mm512_dpwssd_epi32(even[t], _mm512_set1_epi32(both),
                                          _mm512_load_si512(w + p * 2 * DOT_LATENTS));
        }
        _mm512_store_si512(sum + t * DOT_LATENTS, _mm512_add_epi32(even[t], odd[t]));
    }
}
#endif

sae_cpu_dot16_fn *sae_cpu_dot16(enum sae_cpu_level level)
{
#if defined(__x86_64__)
    if (level == SAE_CPU_VNNI)
        return dot16_vnni;
    if (level == SAE_CPU_AVX2)
        return dot16_avx2;
#endif
    (void)level;
    return dot16_any;
}
