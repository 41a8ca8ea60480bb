/* SPDX-License-Identifier: MIT */
/* blocks : see the header. Products and sums stand in the order of ggml-quants.c, so that every
 * number is that of llama.cpp.
 *
 * Contents:  1. blocks of 32   2. blocks of 256   3. the table   4. elements */
#include "lib/file/blocks.h"

#include <string.h>

#include "lib/base/f16.h"

static float half_at(const uint8_t *bytes)
{
    return sae_f16_to_f32((uint16_t)(bytes[0] | bytes[1] << 8));
}

/* --- 1. blocks of 32 ------------------------------------------------------------------------ */

/* d, int8[32]: d q */
static void widen_q8_0(float *to, const uint8_t *b)
{
    const float d = half_at(b);
    for (size_t i = 0; i < 32; i++)
        to[i] = (float)(int8_t)b[2 + i] * d;
}

/* d, 16 bytes, elements i and i + 16 in one: d (q - 8) */
static void widen_q4_0(float *to, const uint8_t *b)
{
    const float d = half_at(b);
    for (size_t i = 0; i < 16; i++) {
        to[i] = (float)((b[2 + i] & 15) - 8) * d;
        to[i + 16] = (float)((b[2 + i] >> 4) - 8) * d;
    }
}

/* d, m, 16 bytes: d q + m */
static void widen_q4_1(float *to, const uint8_t *b)
{
    const float d = half_at(b), m = half_at(b + 2);
    for (size_t i = 0; i < 16; i++) {
        to[i] = (float)(b[4 + i] & 15) * d + m;
        to[i + 16] = (float)(b[4 + i] >> 4) * d + m;
    }
}

/* The fifth bit of element i, of 32 in four bytes, in its place. */
static int fifth_bit(const uint8_t *b, size_t i)
{
    return (b[i / 8] >> (i % 8) & 1) << 4;
}

/* d, 4 bytes of fifth bits, 16 bytes: d (q - 16) */
static void widen_q5_0(float *to, const uint8_t *b)
{
    const float d = half_at(b);
    for (size_t i = 0; i < 16; i++) {
        to[i] = (float)(((b[6 + i] & 15) | fifth_bit(b + 2, i)) - 16) * d;
        to[i + 16] = (float)((b[6 + i] >> 4 | fifth_bit(b + 2, i + 16)) - 16) * d;
    }
}

/* d, m, 4 bytes of fifth bits, 16 bytes: d q + m */
static void widen_q5_1(float *to, const uint8_t *b)
{
    const float d = half_at(b), m = half_at(b + 2);
    for (size_t i = 0; i < 16; i++) {
        to[i] = (float)((b[8 + i] & 15) | fifth_bit(b + 4, i)) * d + m;
        to[i + 16] = (float)(b[8 + i] >> 4 | fifth_bit(b + 4, i + 16)) * d + m;
    }
}

/* --- 2. blocks of 256 ----------------------------------------------------------------------- */

/* Scale and minimum of part k of 8, six bits each in 12 bytes. */
static void six_bits(const uint8_t *s, size_t k, uint8_t *scale, uint8_t *min)
{
    if (k < 4) {
        *scale = s[k] & 63;
        *min = s[k + 4] & 63;
    } else {
        *scale = (uint8_t)((s[k + 4] & 15) | (s[k - 4] >> 6) << 4);
        *min = (uint8_t)(s[k + 4] >> 4 | (s[k] >> 6) << 4);
    }
}

/* d, dmin, 12 bytes of scales, then for Q5_K 32 bytes of fifth bits, then 128 bytes; parts of 32:
 * d scale q - dmin min */
static void widen_q45(float *to, const uint8_t *b, const uint8_t *fifth, const uint8_t *low)
{
    const float d = half_at(b), dmin = half_at(b + 2);
    for (size_t k = 0; k < 8; k++) {
        uint8_t scale, min;
        six_bits(b + 4, k, &scale, &min);
        const float d1 = d * (float)scale, m1 = dmin * (float)min;
        for (size_t i = 0; i < 32; i++) {
            unsigned q = low[k / 2 * 32 + i] >> (k % 2 * 4) & 15U;
            if (fifth && (fifth[i] >> k & 1U))
                q += 16;
            to[32 * k + i] = d1 * (float)q - m1;
        }
    }
}

static void widen_q4_k(float *to, const uint8_t *b)
{
    widen_q45(to, b, NULL, b + 16);
}

static void widen_q5_k(float *to, const uint8_t *b)
{
    widen_q45(to, b, b + 16, b + 48);
}

/* 128 bytes of low bits, 64 of high ones, int8 scales[16], d; parts of 16: d scale (q - 32) */
static void widen_q6_k(float *to, const uint8_t *b)
{
    const float d = half_at(b + 208);
    for (size_t i = 0; i < 256; i++) {
        const size_t half = i / 128, k = i % 128 / 32, at = i % 32;
        const unsigned low = b[64 * half + k % 2 * 32 + at] >> (k / 2 * 4) & 15U,
                       high = b[128 + 32 * half + at] >> (2 * k) & 3U;
        const float scale = d * (float)(int8_t)b[192 + i / 16];
        to[i] = scale * (float)((int)(low | high << 4) - 32);
    }
}

/* --- 3. the table --------------------------------------------------------------------------- */

static const struct sae_blocks kinds[] = {
    {SAE_ST_F32,  "F32",  0,  1,   4,   NULL      },
    {SAE_ST_F16,  "F16",  1,  1,   2,   NULL      },
    {SAE_ST_Q4_0, "Q4_0", 2,  32,  18,  widen_q4_0},
    {SAE_ST_Q4_1, "Q4_1", 3,  32,  20,  widen_q4_1},
    {SAE_ST_Q5_0, "Q5_0", 6,  32,  22,  widen_q5_0},
    {SAE_ST_Q5_1, "Q5_1", 7,  32,  24,  widen_q5_1},
    {SAE_ST_Q8_0, "Q8_0", 8,  32,  34,  widen_q8_0},
    {SAE_ST_Q4_K, "Q4_K", 12, 256, 144, widen_q4_k},
    {SAE_ST_Q5_K, "Q5_K", 13, 256, 176, widen_q5_k},
    {SAE_ST_Q6_K, "Q6_K", 14, 256, 210, widen_q6_k},
    {SAE_ST_BF16, "BF16", 30, 1,   2,   NULL      },
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

const struct sae_blocks *sae_blocks_by_id(uint32_t id)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (kinds[i].id == id)
            return &kinds[i];
    return NULL;
}

const struct sae_blocks *sae_blocks_of(enum sae_st_dtype dtype)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (kinds[i].dtype == dtype)
            return &kinds[i];
    return NULL;
}

const char *sae_blocks_other(uint32_t id)
{
    static const char *const names[] = {
        [9] = "Q8_1",    [10] = "Q2_K",    [11] = "Q3_K",
        [15] = "Q8_K",   [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S",
        [20] = "IQ4_NL", [21] = "IQ3_S",   [22] = "IQ2_S",  [23] = "IQ4_XS",  [24] = "I8",
        [25] = "I16",    [26] = "I32",     [27] = "I64",    [28] = "F64",     [29] = "IQ1_M",
        [34] = "TQ1_0",  [35] = "TQ2_0",   [39] = "MXFP4",
    };
    return id < sizeof names / sizeof *names ? names[id] : NULL;
}

/* --- 4. elements ---------------------------------------------------------------------------- */

void sae_blocks_widen(const struct sae_blocks *kind, float *to, const uint8_t *data, size_t first,
                      size_t n)
{
    float block[SAE_BLOCK_MAX];
    for (size_t done = 0, take; done < n; done += take) {
        const size_t at = first + done, off = at % kind->n_elements;
        const uint8_t *const from = data + at / kind->n_elements * kind->n_bytes;
        take = kind->n_elements - off < n - done ? kind->n_elements - off : n - done;
        if (take == kind->n_elements) {
            kind->widen(to + done, from);
            continue;
        }
        kind->widen(block, from);
        memcpy(to + done, block + off, take * sizeof *to);
    }
}
