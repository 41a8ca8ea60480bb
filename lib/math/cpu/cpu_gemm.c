/* SPDX-License-Identifier: MIT */
/* cpu_gemm : products with packed weights; see lib/math/gemm.h.
 *
 * A tile of y is ROWS rows by one panel or a part of it, in registers through a block of columns of
 * x. The panel's block stays in the second-level cache while all rows go by; x is read where it
 * lies. OpenBLAS packs both factors anew in every call and knows no bf16 factors before 0.3.25. */
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "lib/base/bf16.h"
#include "lib/math/clones.h"
#include "lib/math/gemm.h"

enum { COLS = SAE_GEMM_COLUMNS, ROWS = SAE_GEMM_ROWS, KB = SAE_GEMM_BLOCK };
enum { WIDE = 4, NARROW = 2 }; /* bytes of a factor */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* --- factors -------------------------------------------------------------------------------- */

/* Columns [k, end) of rows [j, n_rows) of W [n_rows][n_in], and zeros to the panel's width. */
static void pack_some(size_t j, size_t n_rows, size_t k, size_t end, size_t n_in, const float *W,
                      float *to)
{
    for (size_t c = k; c < end; c++)
        for (size_t i = j; i < COLS; i++)
            to[c * COLS + i] = i < n_rows ? W[i * n_in + c] : 0;
}

static void pack_any(size_t n_rows, size_t n_in, const float *W, void *to)
{
    pack_some(0, n_rows, 0, n_in, n_in, W, to);
}

SAE_CLONES
static void round_row(size_t n, const float *from, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = sae_bf16_to_f32(sae_bf16_from_f32(from[i]));
}

static void factors_rounded(size_t n, size_t n_in, const float *x, size_t ld, void *to)
{
    for (size_t t = 0; t < n; t++)
        round_row(n_in, x + t * ld, (float *)to + t * n_in);
}

static void pack_any_rounded(size_t n_rows, size_t n_in, const float *W, void *to)
{
    pack_any(n_rows, n_in, W, to);
    round_row(COLS * n_in, to, to);
}

#if defined(__x86_64__)
/* Eight rows by eight columns are turned in registers. */
__attribute__((target("avx"))) static void turn_8(const float *W, size_t ld, float *to)
{
    __m256 a[8], b[8];
    for (size_t i = 0; i < 8; i++)
        a[i] = _mm256_loadu_ps(W + i * ld);
    for (size_t i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4) {
        a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    for (size_t i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * COLS, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * COLS, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
    }
}

/* A strip of columns of all rows at a time: what is read and written of it stays in cache. */
static void pack_avx(size_t n_rows, size_t n_in, const float *W, void *to)
{
    enum { STRIP = 32 };
    float *const out = to;
    const size_t whole = n_in / 8 * 8, rows = n_rows / 8 * 8;
    for (size_t k = 0; k < whole; k += STRIP) {
        const size_t end = min_size(k + STRIP, whole);
        for (size_t j = 0; j < rows; j += 8)
            for (size_t c = k; c < end; c += 8)
                turn_8(W + j * n_in + c, n_in, out + c * COLS + j);
        pack_some(rows, n_rows, k, end, n_in, W, out);
    }
    pack_some(0, n_rows, whole, n_in, n_in, W, out);
}

static void pack_avx_rounded(size_t n_rows, size_t n_in, const float *W, void *to)
{
    pack_avx(n_rows, n_in, W, to);
    round_row(COLS * n_in, to, to);
}
#endif

/* Pairs of columns of x lie side by side: [pair][COLS][2]. */
static void pack_pairs(size_t n_rows, size_t n_in, const float *W, void *to)
{
    uint16_t *const out = to;
    memset(out, 0, COLS * (n_in + n_in % 2) * sizeof *out);
    for (size_t j = 0; j < n_rows; j++)
        for (size_t k = 0; k < n_in; k++)
            out[(k / 2 * COLS + j) * 2 + k % 2] = sae_bf16_from_f32(W[j * n_in + k]);
}

static void factors_bf16(size_t n, size_t n_in, const float *x, size_t ld, void *to)
{
    for (size_t t = 0; t < n; t++)
        sae_bf16_narrow((uint16_t *)to + t * n_in, x + t * ld, n_in);
}

/* --- tiles ---------------------------------------------------------------------------------- */

/* Rows of x of a tile from one column on, n of them; columns of that block; packed panel from
 * there. */
struct tile {
    const void *x[ROWS];
    size_t n_in;
    const void *panel;
    float *y; /* [ROWS][COLS] */
};
typedef void tile_fn(const struct tile *tile);

/* y = or += sums, n rows of n_out columns. */
static void put(float *y, size_t ld_y, const float *sums, size_t n, size_t n_out, bool more)
{
    for (size_t r = 0; r < n; r++)
        for (size_t j = 0; j < n_out; j++)
            y[r * ld_y + j] = more ? y[r * ld_y + j] + sums[r * COLS + j] : sums[r * COLS + j];
}

/* Rows past the last repeat it and are not stored. */
static inline void run(tile_fn *f, size_t factor, size_t n, size_t n_out, size_t n_in,
                       const void *x, size_t ld_x, const void *packed, float *y, size_t ld_y)
{
    const size_t even = n_in + n_in % 2;
    float sums[ROWS * COLS] __attribute__((aligned(64)));
    for (size_t j = 0; j < n_out; j += COLS)
        for (size_t k = 0; k < n_in; k += KB)
            for (size_t t = 0; t < n; t += ROWS) {
                struct tile tile = {.n_in = min_size(KB, n_in - k), .y = sums};
                tile.panel = (const char *)packed + (j * even + k * COLS) * factor;
                for (size_t r = 0; r < ROWS; r++)
                    tile.x[r] = (const char *)x + (min_size(t + r, n - 1) * ld_x + k) * factor;
                f(&tile);
                put(y + t * ld_y + j, ld_y, sums, min_size(ROWS, n - t), min_size(COLS, n_out - j),
                    k > 0);
            }
}

#define PRODUCT(name, f, factor)                                                                   \
    static void name(size_t n, size_t n_out, size_t n_in, const void *x, size_t ld_x,              \
                     const void *packed, float *y, size_t ld_y)                                    \
    {                                                                                              \
        run(f, factor, n, n_out, n_in, x, ld_x, packed, y, ld_y);                                  \
    }

/* Not fused, as the plainest processors are. */
__attribute__((optimize("fp-contract=off"))) static void tile_any(const struct tile *tile)
{
    const float *const w = tile->panel;
    memset(tile->y, 0, ROWS * COLS * sizeof *tile->y);
    for (size_t k = 0; k < tile->n_in; k++)
        for (size_t r = 0; r < ROWS; r++) {
            const float x = ((const float *)tile->x[r])[k];
            for (size_t j = 0; j < COLS; j++)
                tile->y[r * COLS + j] += x * w[k * COLS + j];
        }
}
PRODUCT(product_any, tile_any, WIDE)

#if defined(__x86_64__)
#define EACH(i, n) _Pragma("GCC unroll 8") for (size_t i = 0; i < (n); i++)

/* A quarter of the panel at a time: twelve sums of eight. */
__attribute__((target("avx2,fma"))) static void tile_avx2(const struct tile *tile)
{
    enum { VECS = 2, PART = 8 * VECS };
    for (size_t j = 0; j < COLS; j += PART) {
        const float *w = (const float *)tile->panel + j;
        __m256 sum[ROWS][VECS];
        EACH(r, ROWS) EACH(v, VECS) sum[r][v] = _mm256_setzero_ps();
        for (size_t k = 0; k < tile->n_in; k++, w += COLS)
            EACH(r, ROWS)
            {
                const __m256 x = _mm256_broadcast_ss((const float *)tile->x[r] + k);
                EACH(v, VECS) sum[r][v] = _mm256_fmadd_ps(x, _mm256_load_ps(w + 8 * v), sum[r][v]);
            }
        EACH(r, ROWS) EACH(v, VECS) _mm256_store_ps(tile->y + r * COLS + j + 8 * v, sum[r][v]);
    }
}
PRODUCT(product_avx2, tile_avx2, WIDE)

enum { VECS = COLS / 16 };

__attribute__((target("avx512f"))) static void tile_avx512(const struct tile *tile)
{
    const float *w = tile->panel;
    __m512 sum[ROWS][VECS];
    EACH(r, ROWS) EACH(v, VECS) sum[r][v] = _mm512_setzero_ps();
    for (size_t k = 0; k < tile->n_in; k++, w += COLS) {
        __m512 b[VECS];
        EACH(v, VECS) b[v] = _mm512_load_ps(w + 16 * v);
        EACH(r, ROWS)
        {
            const __m512 x = _mm512_set1_ps(((const float *)tile->x[r])[k]);
            EACH(v, VECS) sum[r][v] = _mm512_fmadd_ps(x, b[v], sum[r][v]);
        }
    }
    EACH(r, ROWS) EACH(v, VECS) _mm512_store_ps(tile->y + r * COLS + 16 * v, sum[r][v]);
}
PRODUCT(product_avx512, tile_avx512, WIDE)

/* The pair of columns 2 p of row r in every lane; the last of an odd number has a zero beside it.
 */
__attribute__((target("avx512f,avx512bf16"))) static inline __m512bh
pair_of(const struct tile *tile, size_t r, size_t p)
{
    uint32_t both = 0;
    memcpy(&both, (const uint16_t *)tile->x[r] + 2 * p, 2 * p + 1 < tile->n_in ? 4 : 2);
    return (__m512bh)_mm512_set1_epi32((int)both);
}

__attribute__((target("avx512f,avx512bf16"))) static void tile_pairs(const struct tile *tile)
{
    const uint16_t *w = tile->panel;
    const size_t n_pairs = (tile->n_in + 1) / 2, whole = tile->n_in / 2;
    __m512 sum[ROWS][VECS];
    EACH(r, ROWS) EACH(v, VECS) sum[r][v] = _mm512_setzero_ps();
    for (size_t p = 0; p < n_pairs; p++, w += 2 * COLS) {
        __m512bh b[VECS];
        EACH(v, VECS) b[v] = (__m512bh)_mm512_load_si512(w + 32 * v);
        if (p < whole) {
            EACH(r, ROWS)
            {
                int32_t both;
                memcpy(&both, (const uint16_t *)tile->x[r] + 2 * p, sizeof both);
                const __m512bh x = (__m512bh)_mm512_set1_epi32(both);
                EACH(v, VECS) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], x, b[v]);
            }
        } else {
            EACH(r, ROWS)
            {
                const __m512bh x = pair_of(tile, r, p);
                EACH(v, VECS) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], x, b[v]);
            }
        }
    }
    EACH(r, ROWS) EACH(v, VECS) _mm512_store_ps(tile->y + r * COLS + 16 * v, sum[r][v]);
}
PRODUCT(product_pairs, tile_pairs, NARROW)
#endif

/* --- choice --------------------------------------------------------------------------------- */

/* Of each type the plainest first. */
static const struct sae_gemm kernels[] = {
    {"portable",    SAE_F32,  WIDE,   pack_any,         NULL,            product_any   },
    {"portable",    SAE_BF16, WIDE,   pack_any_rounded, factors_rounded, product_any   },
#if defined(__x86_64__)
    {"avx2",        SAE_F32,  WIDE,   pack_avx,         NULL,            product_avx2  },
    {"avx2",        SAE_BF16, WIDE,   pack_avx_rounded, factors_rounded, product_avx2  },
    {"avx512",      SAE_F32,  WIDE,   pack_avx,         NULL,            product_avx512},
    {"avx512",      SAE_BF16, WIDE,   pack_avx_rounded, factors_rounded, product_avx512},
    {"avx512-bf16", SAE_BF16, NARROW, pack_pairs,       factors_bf16,    product_pairs },
#endif
};

bool sae_gemm_usable(const struct sae_gemm *gemm)
{
#if defined(__x86_64__)
    if (strcmp(gemm->name, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(gemm->name, "avx512") == 0)
        return __builtin_cpu_supports("avx512f");
    if (strcmp(gemm->name, "avx512-bf16") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16");
#endif
    return strcmp(gemm->name, "portable") == 0;
}

const struct sae_gemm *sae_gemm_all(size_t *n)
{
    *n = sizeof kernels / sizeof *kernels;
    return kernels;
}

static bool pairs_are_fast(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_is("amd");
#else
    return false;
#endif
}

const struct sae_gemm *sae_gemm_find(enum sae_precision how)
{
    const char *const level = getenv("SAE_CPU_LEVEL");
    const struct sae_gemm *best = NULL;
    size_t n;
    const struct sae_gemm *const all = sae_gemm_all(&n);
    for (size_t i = 0; i < n; i++) {
        if (all[i].how != how || !sae_gemm_usable(&all[i]) ||
            (sae_gemm_by_pairs(&all[i]) && !pairs_are_fast()))
            continue;
        best = &all[i];
        if (level && strcmp(level, all[i].name) == 0)
            break;
    }
    return best;
}
