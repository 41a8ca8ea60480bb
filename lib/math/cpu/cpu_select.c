/* SPDX-License-Identifier: MIT */
/* cpu_select : which latents stay. Exact; equal to ref bit for bit.
 *
 * A row's k-th largest value is found in three steps: the maxima of groups of latents; the k-th
 * largest of those, a lower bound that few values reach; the exact cut among those few. Positive
 * floats order as their bit patterns do, so a cut is found by bisecting bits, counting each
 * time. The float sum pre + b_enc is formed again wherever it is needed: cheaper than a copy.
 *
 * Contents: 1. one row   2. the whole batch   3. a threshold */
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "lib/math/cpu/cpu.h"

enum { GROUPS_MAX = 2048, FEW_MAX = 4096, SEGMENT = 1024, CAPACITY = FEW_MAX + SEGMENT + 16 };

/* --- 1. one row --------------------------------------------------------------------------- */

static uint32_t bits_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

/* Bits of v where it is > 0, else 0 (NaN too). */
static inline uint32_t key_of(float v)
{
    return v > 0 ? bits_of(v) : 0;
}

SAE_CLONES static size_t count_reaching(size_t n, const uint32_t *key, uint32_t cut)
{
    uint32_t reached = 0;
    for (size_t i = 0; i < n; i++)
        reached += key[i] >= cut;
    return reached;
}

/* A cut that at least k of the keys reach (exactly k where no tie forbids it), the largest such
 * up to that; 0 where fewer than k keys are > 0. */
uint32_t sae_cpu_cut(size_t n, const uint32_t *key, size_t k)
{
    uint32_t cut = 0;
    for (int bit = 30; bit >= 0; bit--) {
        const uint32_t trial = cut | (uint32_t)1 << bit;
        const size_t reached = count_reaching(n, key, trial);
        if (reached >= k)
            cut = trial;
        if (reached == k)
            break;
    }
    return cut;
}

SAE_CLONES static void group_maxima(size_t m, size_t n_groups, const float *pre, const float *b,
                                    float *restrict top)
{
    memset(top, 0, n_groups * sizeof *top);
    for (size_t j0 = 0; j0 < m; j0 += n_groups) {
        const size_t w = m - j0 < n_groups ? m - j0 : n_groups;
        const float *const p = pre + j0, *const q = b + j0;
        for (size_t i = 0; i < w; i++) {
            const float v = p[i] + q[i];
            top[i] = v > top[i] ? v : top[i];
        }
    }
}

/* Appends the index (from j0 on) and key of those of w <= SEGMENT latents that reach low > 0 and,
 * where theta is given, exceed it. The arrays have room for 16 more. Returns their number. */
SAE_CLONES static size_t gather_any(size_t w, size_t j0, float low, const float *pre,
                                    const float *b, const float *theta, uint32_t *restrict idx,
                                    uint32_t *restrict key)
{
    size_t n = 0;
    for (size_t i0 = 0; i0 < w; i0 += 16) {
        const size_t i1 = w - i0 < 16 ? w : i0 + 16;
        int any = 0;
        for (size_t i = i0; i < i1; i++)
            any |= (pre[i] + b[i] >= low) & (theta ? pre[i] + b[i] > theta[i] : 1);
        for (size_t i = i0; any && i < i1; i++) {
            const float v = pre[i] + b[i];
            idx[n] = (uint32_t)(j0 + i);
            key[n] = bits_of(v);
            n += (v >= low) & (theta ? v > theta[i] : 1);
        }
    }
    return n;
}

#if defined(__x86_64__)
/* No branch on what is found: with one latent in fifty kept, such a branch is a coin toss. */
__attribute__((target("avx512f,popcnt"))) static size_t
gather_512(size_t w, size_t j0, float low, const float *pre, const float *b, const float *theta,
           uint32_t *restrict idx, uint32_t *restrict key)
{
    const __m512 lows = _mm512_set1_ps(low);
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    size_t n = 0;
    for (size_t i = 0; i < w; i += 16) {
        const __mmask16 in = w - i < 16 ? (__mmask16)((1u << (w - i)) - 1) : (__mmask16)0xFFFF;
        const __m512 v =
            _mm512_add_ps(_mm512_maskz_loadu_ps(in, pre + i), _mm512_maskz_loadu_ps(in, b + i));
        __mmask16 stay = _mm512_mask_cmp_ps_mask(in, v, lows, _CMP_GE_OQ);
        if (theta)
            stay =
                _mm512_mask_cmp_ps_mask(stay, v, _mm512_maskz_loadu_ps(in, theta + i), _CMP_GT_OQ);
        const __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32((int)(j0 + i)));
        _mm512_storeu_si512(idx + n, _mm512_maskz_compress_epi32(stay, at));
        _mm512_storeu_si512(key + n, _mm512_maskz_compress_epi32(stay, _mm512_castps_si512(v)));
        n += (size_t)_mm_popcnt_u32(stay);
    }
    return n;
}
#endif

static size_t gather(size_t w, size_t j0, float low, const float *pre, const float *b,
                     const float *theta, uint32_t *idx, uint32_t *key)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("popcnt"))
        return gather_512(w, j0, low, pre, b, theta, idx, key);
#endif
    return gather_any(w, j0, low, pre, b, theta, idx, key);
}

static float float_of(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* What of a row reaches cut > 0; more than FEW_MAX: too many, the arrays are not complete. */
static size_t collect(size_t m, uint32_t cut, const float *pre, const float *b, uint32_t *idx,
                      uint32_t *key)
{
    size_t n = 0;
    for (size_t j = 0; j < m && n <= FEW_MAX; j += SEGMENT) {
        const size_t w = m - j < SEGMENT ? m - j : SEGMENT;
        n += gather(w, j, float_of(cut), pre + j, b + j, NULL, idx + n, key + n);
    }
    return n;
}

SAE_CLONES static size_t count_row(size_t m, const float *pre, const float *b, uint32_t cut)
{
    uint32_t reached = 0;
    for (size_t j = 0; j < m; j++)
        reached += key_of(pre[j] + b[j]) >= cut;
    return reached;
}

/* Writes the keys above cut, and of those equal to it the first `ties`. */
static size_t emit(size_t n, const uint32_t *idx, const uint32_t *key, uint32_t cut, size_t ties,
                   uint32_t *ret_idx, float *ret_val)
{
    size_t e = 0;
    for (size_t i = 0; i < n; i++) {
        if (key[i] == 0 || key[i] < cut)
            continue;
        if (key[i] == cut) {
            if (ties == 0)
                continue;
            ties--;
        }
        ret_idx[e] = idx[i];
        memcpy(&ret_val[e++], &key[i], sizeof *ret_val);
    }
    return e;
}

static size_t emit_largest(size_t n, const uint32_t *idx, const uint32_t *key, size_t k,
                           uint32_t *ret_idx, float *ret_val)
{
    if (n <= k)
        return emit(n, idx, key, 1, n, ret_idx, ret_val);
    const uint32_t cut = sae_cpu_cut(n, key, k);
    const size_t above = count_reaching(n, key, cut + 1);
    return emit(n, idx, key, cut, k - (above < k ? above : k), ret_idx, ret_val);
}

static size_t emit_row(size_t m, const float *pre, const float *b, uint32_t cut, size_t ties,
                       uint32_t *ret_idx, float *ret_val)
{
    size_t e = 0;
    for (size_t j = 0; j < m; j++) {
        const uint32_t key = key_of(pre[j] + b[j]);
        const uint32_t j32 = (uint32_t)j;
        if (key >= cut && key > 0) {
            const size_t one = emit(1, &j32, &key, cut, ties, ret_idx + e, ret_val + e);
            ties -= one && key == cut;
            e += one;
        }
    }
    return e;
}

/* The way without scratch, for rows with very many candidates. */
static size_t select_wide(size_t m, size_t k, const float *pre, const float *b, uint32_t *idx,
                          float *val)
{
    uint32_t cut = 0;
    for (int bit = 30; bit >= 0; bit--) {
        const uint32_t trial = cut | (uint32_t)1 << bit;
        if (count_row(m, pre, b, trial) >= k)
            cut = trial;
    }
    const size_t above = count_row(m, pre, b, cut + 1);
    return emit_row(m, pre, b, cut, k - (above < k ? above : k), idx, val);
}

static size_t select_row(size_t m, size_t k, const float *pre, const float *b, uint32_t *idx,
                         float *val)
{
    _Alignas(64) uint32_t few_idx[CAPACITY], few_key[CAPACITY];
    _Alignas(64) float top[GROUPS_MAX];
    uint32_t low = 0;
    size_t n_groups = 64;
    while (n_groups < 3 * k && n_groups < GROUPS_MAX)
        n_groups *= 2;
    if (k <= n_groups && 2 * n_groups <= m) {
        group_maxima(m, n_groups, pre, b, top);
        memcpy(few_key, top, n_groups * sizeof *top);
        low = sae_cpu_cut(n_groups, few_key, k);
    }
    const size_t n = collect(m, low > 0 ? low : 1, pre, b, few_idx, few_key);
    if (n > FEW_MAX)
        return select_wide(m, k, pre, b, idx, val);
    return emit_largest(n, few_idx, few_key, k, idx, val);
}

size_t sae_cpu_select_few(size_t n, const uint32_t *idx, const float *val, const float *b_enc,
                          size_t k, uint32_t *ret_idx, float *ret_val)
{
    uint32_t key[FEW_MAX];
    for (size_t i = 0; i < n; i++)
        key[i] = key_of(val[i] + b_enc[idx[i]]);
    return emit_largest(n, idx, key, k, ret_idx, ret_val);
}

/* Rows were written at t * k, with their counts in start[t + 1]: closes the gaps. */
void sae_cpu_close_gaps(size_t n, size_t k, struct sae_csr *csr)
{
    size_t e = 0;
    csr->start[0] = 0;
    for (size_t t = 0; t < n; t++) {
        const size_t count = csr->start[t + 1];
        if (e != t * k && count > 0) {
            memmove(csr->idx + e, csr->idx + t * k, count * sizeof *csr->idx);
            memmove(csr->val + e, csr->val + t * k, count * sizeof *csr->val);
        }
        e += count;
        csr->start[t + 1] = e;
    }
}

void sae_cpu_topk_row(size_t m, size_t k, const float *pre, const float *b_enc, size_t t,
                      struct sae_csr *csr)
{
    csr->start[t + 1] = select_row(m, k, pre, b_enc, csr->idx + t * k, csr->val + t * k);
}

void sae_cpu_topk_rows(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                       size_t t0, struct sae_csr *csr)
{
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = t0; t < t0 + n; t++)
        sae_cpu_topk_row(m, k, pre + (t - t0) * m, b_enc, t, csr);
}

void sae_cpu_topk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                  struct sae_csr *csr)
{
    csr->n = n;
    sae_cpu_topk_rows(n, m, k, pre, b_enc, 0, csr);
    sae_cpu_close_gaps(n, k, csr);
}

/* --- 2. the whole batch ------------------------------------------------------------------- */

/* The cut by three counts of digits of the keys, from the top. A first count,
 * of the maxima of groups only, gives a bound below the cut: whatever lies under it, nearly
 * everything, is skipped without being counted. */

enum { DIGIT_BITS = 11, BINS = 1 << DIGIT_BITS, BATCH_GROUPS = 1024 };
static const int digit_shift[3] = {20, 10, 0}, digit_bits[3] = {11, 10, 10};

/* Counts the digits of those keys >= low > 0 whose bits above the digit are `prefix`. */
static void count_digits(size_t m, const float *pre, const float *b, float low, int level,
                         uint32_t prefix, uint32_t *bins)
{
    uint32_t idx[SEGMENT + 16], key[SEGMENT + 16];
    const int shift = digit_shift[level], bits = digit_bits[level];
    const uint32_t mask = ((uint32_t)1 << bits) - 1;
    for (size_t j = 0; j < m; j += SEGMENT) {
        const size_t w = m - j < SEGMENT ? m - j : SEGMENT;
        const size_t n = gather(w, j, low, pre + j, b + j, NULL, idx, key);
        for (size_t i = 0; i < n; i++)
            if (key[i] >> shift >> bits == prefix)
                bins[key[i] >> shift & mask]++;
    }
}

static size_t batch_groups(size_t m)
{
    return m / 4 < BATCH_GROUPS ? m / 4 : BATCH_GROUPS;
}

static void count_maxima(size_t m, const float *pre, const float *b, uint32_t *bins)
{
    _Alignas(64) float top[BATCH_GROUPS];
    const size_t n_groups = batch_groups(m);
    group_maxima(m, n_groups, pre, b, top);
    for (size_t g = 0; g < n_groups; g++)
        if (top[g] > 0)
            bins[bits_of(top[g]) >> digit_shift[0]]++;
}

/* level -1: of the maxima, the top digit */
static void count_batch(size_t n, size_t m, const float *pre, const float *b, float low, int level,
                        uint32_t prefix, size_t *total)
{
    memset(total, 0, BINS * sizeof *total);
#pragma omp parallel
    {
        uint32_t bins[BINS] = {0};
#pragma omp for schedule(dynamic, 8)
        for (size_t t = 0; t < n; t++) {
            if (level < 0)
                count_maxima(m, pre + t * m, b, bins);
            else
                count_digits(m, pre + t * m, b, low, level, prefix, bins);
        }
#pragma omp critical(sae_count_batch)
        for (size_t i = 0; i < BINS; i++)
            total[i] += bins[i];
    }
}

/* The digit at which counts from the top reach *keep, which is left as what that digit must
 * supply; BINS where they never do. */
static size_t digit_of(const size_t *total, size_t *keep)
{
    for (size_t digit = BINS; digit-- > 0; *keep -= total[digit])
        if (total[digit] >= *keep)
            return digit;
    return BINS;
}

/* A value > 0 that at least `keep` of the batch reach, if that many are > 0. */
static float low_of_batch(size_t n, size_t m, size_t keep, const float *pre, const float *b)
{
    size_t total[BINS];
    if (keep > n * batch_groups(m) / 2)
        return float_of(1);
    count_batch(n, m, pre, b, 0, -1, 0, total);
    const size_t digit = digit_of(total, &keep);
    return float_of(digit < BINS && digit > 0 ? (uint32_t)digit << digit_shift[0] : 1);
}

/* The cut of the batch, and how many of the keys equal to it are kept. */
static uint32_t cut_of_batch(size_t n, size_t m, size_t keep, const float *pre, const float *b,
                             size_t *ret_ties)
{
    size_t total[BINS];
    uint32_t prefix = 0;
    const float low = low_of_batch(n, m, keep, pre, b);
    for (int level = 0; level < 3; level++) {
        count_batch(n, m, pre, b, low, level, prefix, total);
        const size_t digit = digit_of(total, &keep);
        if (digit == BINS) { /* first level only: all that are > 0 fit */
            *ret_ties = SIZE_MAX;
            return 1;
        }
        prefix = prefix << digit_bits[level] | (uint32_t)digit;
    }
    *ret_ties = keep;
    return prefix;
}

SAE_CLONES static size_t count_equal(size_t m, const float *pre, const float *b, uint32_t cut)
{
    uint32_t equal = 0;
    for (size_t j = 0; j < m; j++)
        equal += key_of(pre[j] + b[j]) == cut;
    return equal;
}

/* Writes what of a row reaches low > 0 and, where theta is given, exceeds it. */
static void fill_row(size_t m, const float *pre, const float *b, float low, const float *theta,
                     uint32_t *ret_idx, float *ret_val)
{
    uint32_t idx[SEGMENT + 16], key[SEGMENT + 16];
    size_t e = 0;
    for (size_t j = 0; j < m; j += SEGMENT) {
        const size_t w = m - j < SEGMENT ? m - j : SEGMENT;
        const size_t n = gather(w, j, low, pre + j, b + j, theta ? theta + j : NULL, idx, key);
        memcpy(ret_idx + e, idx, n * sizeof *idx);
        memcpy(ret_val + e, key, n * sizeof *key);
        e += n;
    }
}

void sae_cpu_batchtopk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                       struct sae_csr *csr)
{
    size_t ties = 0;
    csr->n = n;
    memset(csr->start, 0, (n + 1) * sizeof *csr->start);
    if (n * k == 0)
        return;
    const uint32_t cut = cut_of_batch(n, m, n * k, pre, b_enc, &ties);
    /* start[t + 1] holds the number of ties of row t, then its number of entries, then its end */
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = 0; t < n; t++)
        csr->start[t + 1] =
            count_row(m, pre + t * m, b_enc, cut) | count_equal(m, pre + t * m, b_enc, cut) << 32;
    for (size_t t = 0; t < n; t++) {
        const size_t equal = csr->start[t + 1] >> 32, reached = csr->start[t + 1] & UINT32_MAX;
        const size_t kept = equal < ties ? equal : ties;
        ties -= kept;
        csr->start[t + 1] = csr->start[t] + reached - equal + kept;
    }
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = 0; t < n; t++) {
        const size_t e = csr->start[t], count = csr->start[t + 1] - e;
        const float *const p = pre + t * m;
        if (count == 0)
            continue;
        const size_t reached = count_row(m, p, b_enc, cut);
        if (reached == count)
            fill_row(m, p, b_enc, float_of(cut), NULL, csr->idx + e, csr->val + e);
        else
            emit_row(m, p, b_enc, cut, count - count_row(m, p, b_enc, cut + 1), csr->idx + e,
                     csr->val + e);
    }
}

/* --- 3. a threshold: count, place, fill --------------------------------------------------- */

SAE_CLONES static size_t count_above(size_t m, const float *pre, const float *b, const float *theta)
{
    uint32_t above = 0;
    if (theta)
        for (size_t j = 0; j < m; j++) {
            const float v = pre[j] + b[j];
            above += (v > 0) & (v > theta[j]);
        }
    else
        for (size_t j = 0; j < m; j++)
            above += pre[j] + b[j] > 0;
    return above;
}

bool sae_cpu_place_rows(struct sae_csr *csr, size_t *ret_nnz)
{
    csr->start[0] = 0;
    for (size_t t = 0; t < csr->n; t++)
        csr->start[t + 1] += csr->start[t];
    *ret_nnz = csr->start[csr->n];
    if (*ret_nnz <= csr->cap)
        return true;
    memset(csr->start, 0, (csr->n + 1) * sizeof *csr->start);
    return false;
}

void sae_cpu_threshold(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                       struct sae_csr *csr, size_t *ret_nnz)
{
    csr->n = n;
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = 0; t < n; t++)
        csr->start[t + 1] = count_above(m, pre + t * m, b_enc, theta);
    if (!sae_cpu_place_rows(csr, ret_nnz))
        return;
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = 0; t < n; t++) {
        fill_row(m, pre + t * m, b_enc, float_of(1), theta, csr->idx + csr->start[t],
                 csr->val + csr->start[t]);
    }
}
