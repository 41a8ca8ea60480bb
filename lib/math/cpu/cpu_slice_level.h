/* SPDX-License-Identifier: MIT */
/* cpu_slice_level : the slice kernels at one width of register. Included by cpu_slice.c several
 * times, with NAME, WIDTH (floats in a register) and TARGET defined, which it undefines.
 *
 * A slice is as many registers as it takes; rows of the caller's arrays are not aligned, and a last
 * slice may be narrower: it is then copied. */

typedef float NAME(vec) __attribute__((vector_size(4 * WIDTH)));
typedef float NAME(loose) __attribute__((vector_size(4 * WIDTH), aligned(4)));

#define VEC NAME(vec)
#define LOOSE NAME(loose)
#define N_VEC (SLICE / WIDTH)
#define EACH(i) _Pragma("GCC unroll 16") for (int i = 0; i < N_VEC; i++)
#define AT(rows, r, i) (*(const VEC *)((rows) + (size_t)(r) * SLICE + (i) * WIDTH))

/* Where a full slice can be read: the row itself, or a copy filled up with 0. */
TARGET static inline const float *NAME(whole)(size_t w, const float *row, float *copy)
{
    if (w == SLICE)
        return row;
    memset(copy, 0, SLICE * sizeof *copy);
    memcpy(copy, row, w * sizeof *copy);
    return copy;
}

TARGET static inline float NAME(total)(VEC v)
{
    float sum[WIDTH];
    memcpy(sum, &v, sizeof v);
#pragma GCC unroll 16
    for (int half = WIDTH / 2; half > 0; half /= 2)
#pragma GCC unroll 16
        for (int i = 0; i < half; i++)
            sum[i] += sum[i + half];
    return sum[0];
}

TARGET static void NAME(add)(size_t n, const uint32_t *idx, const float *val, uint32_t j0,
                             const float *tile, size_t w, float *out)
{
    _Alignas(64) float copy[SLICE];
    const float *const from = NAME(whole)(w, out, copy);
    float *const to = w == SLICE ? out : copy;
    VEC acc[N_VEC];
    EACH(i) acc[i] = *(const LOOSE *)(from + i * WIDTH);
    for (size_t e = 0; e < n; e++) {
        const float a = val[e];
        if (a == 0) /* no term: 0 times NaN is not 0 */
            continue;
        EACH(i) acc[i] += a * AT(tile, idx[e] - j0, i);
    }
    EACH(i) *(LOOSE *)(to + i * WIDTH) = acc[i];
    if (w < SLICE)
        memcpy(out, copy, w * sizeof *out);
}

TARGET static void NAME(sum)(size_t n, const uint32_t *row, const float *weight, const float *rows,
                             size_t w, float *out)
{
    _Alignas(64) float copy[SLICE];
    float *const to = w == SLICE ? out : copy;
    VEC acc[N_VEC] = {0};
    for (size_t p = 0; p < n; p++) {
        const float a = weight[p];
        EACH(i) acc[i] += a * AT(rows, row[p], i);
    }
    EACH(i) *(LOOSE *)(to + i * WIDTH) = acc[i];
    if (w < SLICE)
        memcpy(out, copy, w * sizeof *out);
}

TARGET static void NAME(dot)(size_t n, const uint32_t *row, const float *weight, const float *rows,
                             size_t w, const float *other, float *dot, float *out)
{
    _Alignas(64) float copy[SLICE], copied[SLICE];
    const float *const o = NAME(whole)(w, other, copied);
    float *const to = w == SLICE ? out : copy;
    VEC acc[N_VEC] = {0};
    for (size_t p = 0; p < n; p++) {
        const float a = weight[p];
        VEC d[2] = {{0}, {0}};
        EACH(i)
        {
            const VEC s = AT(rows, row[p], i);
            acc[i] += a * s;
            d[i % 2] += s * *(const LOOSE *)(o + i * WIDTH);
        }
        dot[p] += NAME(total)(d[0] + d[1]);
    }
    EACH(i) *(LOOSE *)(to + i * WIDTH) = acc[i];
    if (w < SLICE)
        memcpy(out, copy, w * sizeof *out);
}

TARGET static void NAME(pair)(size_t n, const uint32_t *idx, uint32_t j0, const float *tile,
                              size_t w, const float *other, float *dot)
{
    _Alignas(64) float copied[SLICE];
    const float *const from = NAME(whole)(w, other, copied);
    VEC o[N_VEC];
    EACH(i) o[i] = *(const LOOSE *)(from + i * WIDTH);
    for (size_t e = 0; e < n; e++) {
        VEC d[2] = {{0}, {0}};
        EACH(i) d[i % 2] += AT(tile, idx[e] - j0, i) * o[i];
        dot[e] += NAME(total)(d[0] + d[1]);
    }
}

static const struct slice_level NAME(level) = {NAME(add), NAME(sum), NAME(dot), NAME(pair)};

#undef VEC
#undef LOOSE
#undef N_VEC
#undef EACH
#undef AT
#undef NAME
#undef WIDTH
#undef TARGET
