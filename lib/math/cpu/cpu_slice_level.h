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
#define EACH_LINE(i) _Pragma("GCC unroll 4") for (int i = 0; i < SLICE / LINE; i++)
#define EACH_OF_BATCH(b) _Pragma("GCC unroll 8") for (int b = 0; b < BATCH; b++)
#define ALWAYS_INLINE __attribute__((always_inline)) static inline
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

/* Sums over the elements of several vectors at once: each level halves what is left of every
 * vector and joins two of them. A vector alone goes the same way, so its sum has the same bits. */
#if WIDTH == 4
#define BATCH 4
#define LEVEL_1(a, b) JOIN(a, b, (0, 4, 1, 5), (2, 6, 3, 7))
#define LEVEL_2(a, b) JOIN(a, b, (0, 1, 4, 5), (2, 3, 6, 7))
#else
#define BATCH 8
#define LEVEL_1(a, b) JOIN(a, b, (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15))
#define LEVEL_2(a, b) JOIN(a, b, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
#define LEVEL_3(a, b) JOIN(a, b, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))
#endif
typedef float NAME(sums) __attribute__((vector_size(4 * BATCH)));
typedef float NAME(loose_sums) __attribute__((vector_size(4 * BATCH), aligned(4)));
#define SUMS NAME(sums)
/* a and b are names. The places are arguments of a builtin that both gcc 12 and clang have. */
#define JOIN(a, b, low, high) (PICK(a, b, BARE low) + PICK(a, b, BARE high))
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define BARE(...) __VA_ARGS__

TARGET static inline SUMS NAME(narrow)(VEC v)
{
#if WIDTH == BATCH
    return v;
#else
    SUMS half[2];
    memcpy(half, &v, sizeof v);
    return half[0] + half[1];
#endif
}

TARGET static inline SUMS NAME(join_4)(VEC a, VEC b, VEC c, VEC d)
{
    const SUMS p = NAME(narrow)(a), q = NAME(narrow)(b), r = NAME(narrow)(c), s = NAME(narrow)(d);
    const SUMS pq = LEVEL_1(p, q), rs = LEVEL_1(r, s);
    return LEVEL_2(pq, rs);
}

/* dot[0 ... n) += the totals of as many of the vectors, n <= BATCH. */
TARGET ALWAYS_INLINE void NAME(add_totals)(size_t n, const VEC *v, float *dot)
{
    SUMS sum = NAME(join_4)(v[0], v[1], v[2], v[3]);
#ifdef LEVEL_3
    const SUMS rest = NAME(join_4)(v[4], v[5], v[6], v[7]);
    sum = LEVEL_3(sum, rest);
#endif
    if (n == BATCH) {
        *(NAME(loose_sums) *)dot += sum;
        return;
    }
    float part[BATCH];
    memcpy(part, &sum, sizeof part);
    for (size_t b = 0; b < n; b++)
        dot[b] += part[b];
}

/* Asks for the row of entry e + PREFETCH; entries up to `reach` may be read. */
TARGET ALWAYS_INLINE void NAME(ask)(size_t e, size_t reach, const uint32_t *idx, const float *rows)
{
    const float *const row = rows + (size_t)idx[e + PREFETCH < reach ? e + PREFETCH : e] * SLICE;
    EACH_LINE(i) __builtin_prefetch(row + i * LINE);
}

TARGET static void NAME(add)(size_t n, size_t reach, const uint32_t *idx, const float *val,
                             const float *rows, size_t w, float *out)
{
    _Alignas(64) float copy[SLICE];
    const float *const from = NAME(whole)(w, out, copy);
    float *const to = w == SLICE ? out : copy;
    VEC acc[N_VEC];
    EACH(i) acc[i] = *(const LOOSE *)(from + i * WIDTH);
    for (size_t e = 0; e < n; e++) {
        const float a = val[e];
        NAME(ask)(e, reach, idx, rows);
        if (a == 0) /* no term: 0 times NaN is not 0 */
            continue;
        EACH(i) acc[i] += a * AT(rows, idx[e], i);
    }
    EACH(i) *(LOOSE *)(to + i * WIDTH) = acc[i];
    if (w < SLICE)
        memcpy(out, copy, w * sizeof *out);
}

TARGET static void NAME(sum)(size_t n, size_t reach, const uint32_t *row, const float *weight,
                             const float *rows, size_t w, float *out)
{
    _Alignas(64) float copy[SLICE];
    float *const to = w == SLICE ? out : copy;
    VEC acc[N_VEC] = {0};
    for (size_t p = 0; p < n; p++) {
        const float a = weight[p];
        NAME(ask)(p, reach, row, rows);
        EACH(i) acc[i] += a * AT(rows, row[p], i);
    }
    EACH(i) *(LOOSE *)(to + i * WIDTH) = acc[i];
    if (w < SLICE)
        memcpy(out, copy, w * sizeof *out);
}

/* acc += a row; returns what adds up to row . other. */
TARGET ALWAYS_INLINE VEC NAME(dot_one)(float a, const float *row, const float *other, VEC *acc)
{
    VEC d[2] = {{0}, {0}};
    EACH(i)
    {
        const VEC s = AT(row, 0, i);
        acc[i] += a * s;
        d[i % 2] += s * *(const LOOSE *)(other + i * WIDTH);
    }
    return d[0] + d[1];
}

TARGET static void NAME(dot)(size_t n, size_t reach, const uint32_t *row, const float *weight,
                             const float *rows, size_t w, const float *other, float *dot,
                             float *out)
{
    _Alignas(64) float copy[SLICE], copied[SLICE];
    const float *const o = NAME(whole)(w, other, copied);
    float *const to = w == SLICE ? out : copy;
    VEC acc[N_VEC] = {0}, d[BATCH];
    size_t p = 0;
    for (; p + BATCH <= n; p += BATCH) {
        EACH_OF_BATCH(b)
        {
            NAME(ask)(p + b, reach, row, rows);
            d[b] = NAME(dot_one)(weight[p + b], rows + (size_t)row[p + b] * SLICE, o, acc);
        }
        NAME(add_totals)(BATCH, d, dot + p);
    }
    if (p < n) {
        for (size_t b = 0; b < n - p; b++) {
            NAME(ask)(p + b, reach, row, rows);
            d[b] = NAME(dot_one)(weight[p + b], rows + (size_t)row[p + b] * SLICE, o, acc);
        }
        for (size_t b = n - p; b < BATCH; b++)
            d[b] = (VEC){0};
        NAME(add_totals)(n - p, d, dot + p);
    }
    EACH(i) *(LOOSE *)(to + i * WIDTH) = acc[i];
    if (w < SLICE)
        memcpy(out, copy, w * sizeof *out);
}

TARGET ALWAYS_INLINE VEC NAME(pair_one)(const float *row, const VEC *other)
{
    VEC d[2] = {{0}, {0}};
    EACH(i) d[i % 2] += AT(row, 0, i) * other[i];
    return d[0] + d[1];
}

TARGET static void NAME(pair)(size_t n, size_t reach, const uint32_t *idx, const float *rows,
                              size_t w, const float *other, float *dot)
{
    _Alignas(64) float copied[SLICE];
    const float *const from = NAME(whole)(w, other, copied);
    VEC o[N_VEC], d[BATCH];
    EACH(i) o[i] = *(const LOOSE *)(from + i * WIDTH);
    size_t e = 0;
    for (; e + BATCH <= n; e += BATCH) {
        EACH_OF_BATCH(b)
        {
            NAME(ask)(e + b, reach, idx, rows);
            d[b] = NAME(pair_one)(rows + (size_t)idx[e + b] * SLICE, o);
        }
        NAME(add_totals)(BATCH, d, dot + e);
    }
    if (e < n) {
        for (size_t b = 0; b < n - e; b++) {
            NAME(ask)(e + b, reach, idx, rows);
            d[b] = NAME(pair_one)(rows + (size_t)idx[e + b] * SLICE, o);
        }
        for (size_t b = n - e; b < BATCH; b++)
            d[b] = (VEC){0};
        NAME(add_totals)(n - e, d, dot + e);
    }
}

static const struct slice_level NAME(level) = {NAME(add), NAME(sum), NAME(dot), NAME(pair)};

#undef VEC
#undef LOOSE
#undef N_VEC
#undef EACH
#undef EACH_LINE
#undef AT
#undef EACH_OF_BATCH
#undef ALWAYS_INLINE
#undef BATCH
#undef LEVEL_1
#undef LEVEL_2
#undef LEVEL_3
#undef SUMS
#undef JOIN
#undef PICK
#undef BARE
#undef NAME
#undef WIDTH
#undef TARGET
