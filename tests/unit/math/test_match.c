/* SPDX-License-Identifier: MIT */
/* Tests of the assignment and of matchings: by hand, against every way there is, ties, rows that are
 * double, empty or too many, a device, and pairs that were not listed at first. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/math/match.h"
#include "tests/emu/test_device.h"
#include "tests/unit/fixtures/assign_dense.h"

/* --- assignments ------------------------------------------------------------------------------ */

/* The best of all ways to give rows [row, n) columns not in `used`. */
static double best_sum(size_t n, size_t m, const double *gain, size_t row, unsigned used)
{
    double best = row == n ? 0 : -1e9;
    for (size_t c = 0; row < n && c < m; c++)
        if (!(used >> c & 1)) {
            const double sum = gain[row * m + c] + best_sum(n, m, gain, row + 1, used | 1U << c);
            best = sum > best ? sum : best;
        }
    return best;
}

/* Against all ways there are; the first needs a longer path: greedy takes 9 + 1. */
static void test_every_way(void **state)
{
    (void)state;
    const double swap[4] = {9, 8, 7, 1};
    uint32_t column[6];
    assert_int_equal(assign_dense(2, 2, swap, column, NULL), SAE_OK);
    assert_int_equal(column[0], 1);
    assert_int_equal(column[1], 0);
    struct sae_rng rng = sae_rng_make(9, SAE_RNG_TEST);
    for (int round = 0; round < 300; round++) {
        double gain[6 * 7], sum = 0;
        const size_t n = 1 + (size_t)sae_rng_below(&rng, 6), m = n + (size_t)sae_rng_below(&rng, 2);
        unsigned used = 0;
        for (size_t i = 0; i < n * m; i++)
            gain[i] = (double)sae_rng_below(&rng, 10) - 2;
        assert_int_equal(assign_dense(n, m, gain, column, NULL), SAE_OK);
        for (size_t r = 0; r < n; r++) {
            assert_true(column[r] < m && !(used >> column[r] & 1));
            used |= 1U << column[r];
            sum += gain[r * m + column[r]];
        }
        const double want = best_sum(n, m, gain, 0, 0);
        assert_true(sum > want - 1e-9 && sum < want + 1e-9);
    }
    struct sae_err err = {0};
    assert_int_equal(assign_dense(3, 2, swap, column, &err), SAE_EARG);
}

/* --- matchings of rows ------------------------------------------------------------------------ */

static struct sae_matching match(size_t n, size_t m, size_t d, const float *A, const float *B,
                                 bool is_signed)
{
    struct sae_matching ret = {0};
    struct sae_err err = {0};
    if (sae_match_rows(&ret, &sae_ops_cpu, n, m, d, A, B, is_signed, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_true(ret.gap < 2e-6);
    return ret;
}

static void is_near(double got, double want)
{
    if (!(fabs(got - want) < 2e-6))
        fail_msg("got %.9g, expected %.9g", got, want);
}

/* The example of docs/math-matching.md. A: (1, 0), (0.8, 0.6), (0, 1). B: (0.6, 0.8), (1, 0), (0, -1).
 *   |cos|   0.6  1    0       signed: the last column is 0, -0.6, -1
 *           0.96 0.8  0.6     |cos|: 1 + 0.96 + 1, mean 2.96 / 3
 *           0.8  0    1       signed: the best is 0 + 0.8 + 0.8 */
static void test_by_hand(void **state)
{
    (void)state;
    const float A[6] = {1, 0, 0.8F, 0.6F, 0, 1}, B[6] = {0.6F, 0.8F, 1, 0, 0, -1};
    struct sae_matching got = match(3, 3, 2, A, B, false);
    const uint32_t any[3] = {1, 0, 2}, with_sign[3] = {2, 1, 0};
    assert_memory_equal(got.partner, any, sizeof any);
    is_near(got.mean, 2.96 / 3);
    is_near((double)got.similarity[1], 0.96);
    sae_matching_clear(&got);
    got = match(3, 3, 2, A, B, true);
    assert_memory_equal(got.partner, with_sign, sizeof with_sign);
    is_near(got.mean, 1.6 / 3);
    sae_matching_clear(&got);
}

/* Two rows of A and one of B, and the other way round: the nearer has it, the other has none. */
static void test_unequal(void **state)
{
    (void)state;
    const float A[4] = {0.8F, 0.6F, 0.6F, 0.8F}, B[2] = {1, 0};
    struct sae_matching got = match(2, 1, 2, A, B, false);
    assert_int_equal(got.partner[0], 0);
    assert_int_equal(got.partner[1], SAE_MATCH_NONE);
    assert_true(got.similarity[1] <= 0 && got.similarity[1] >= 0);
    is_near(got.mean, 0.8);
    sae_matching_clear(&got);
    got = match(1, 2, 2, B, A, false);
    assert_int_equal(got.partner[0], 0);
    is_near(got.mean, 0.8);
    sae_matching_clear(&got);
    struct sae_err err = {0};
    assert_int_equal(sae_match_rows(&got, &sae_ops_cpu, 0, 1, 2, A, B, false, &err), SAE_EARG);
}

/* Rows that are double have a partner each, a row of length 0 takes what is left, at 0; all equal rows
 * are a tie whose every answer has the same sum, and the same one comes twice. */
static void test_double_rows(void **state)
{
    (void)state;
    enum { N = 200 };
    const float A[6] = {1, 0, 1, 0, 0, 0}, B[6] = {0, 1, 1, 0, 1, 0};
    static float ones[2 * N];
    struct sae_matching got = match(3, 3, 2, A, B, false), again;
    assert_int_equal(got.partner[2], 0);
    is_near(got.mean, 2.0 / 3);
    sae_matching_clear(&got);
    for (size_t i = 0; i < N; i++)
        ones[2 * i] = 1;
    got = match(N, N, 2, ones, ones, false);
    again = match(N, N, 2, ones, ones, false);
    is_near(got.mean, 1);
    assert_memory_equal(got.partner, again.partner, N * sizeof *got.partner);
    sae_matching_clear(&got);
    sae_matching_clear(&again);
}

static void random_rows(uint64_t seed, size_t m, size_t d, float *to)
{
    struct sae_rng rng = sae_rng_make(seed, SAE_RNG_TEST);
    for (size_t i = 0; i < m * d; i++)
        to[i] = (float)sae_rng_normal(&rng);
    sae_ops_cpu.unit_rows(m, d, 0, to);
}

/* By all pairs. */
static double dense_mean(size_t n, size_t m, size_t d, const float *A, const float *B)
{
    double *const gain = malloc(n * m * sizeof *gain), sum = 0;
    uint32_t *const column = malloc(n * sizeof *column);
    assert_non_null(gain);
    assert_non_null(column);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < m; c++) {
            double dot = 0;
            for (size_t k = 0; k < d; k++)
                dot += (double)A[i * d + k] * (double)B[c * d + k];
            gain[i * m + c] = fabs(dot);
        }
    assert_int_equal(assign_dense(n, m, gain, column, NULL), SAE_OK);
    for (size_t i = 0; i < n; i++)
        sum += gain[i * m + column[i]];
    free(gain);
    free(column);
    return sum / (double)n;
}

/* Far more columns than a row lists. `hub`: half of the rows point nearly one way, so that their nearest
 * columns are the same few and most pairs of the answer have to be found by the proof. */
static void check_large(size_t n, size_t m, bool hub, const struct sae_ops *ops)
{
    enum { D = 12 };
    float *const A = calloc(n * D, sizeof *A), *const B = calloc(m * D, sizeof *B);
    struct sae_matching got = {0};
    struct sae_err err = {0};
    assert_non_null(A);
    assert_non_null(B);
    random_rows(1, n, D, A);
    random_rows(2, m, D, B);
    for (size_t i = 0; hub && i < n / 2; i++) {
        for (size_t k = 0; k < D; k++)
            A[i * D + k] = (k == 0) + 1e-2F * A[i * D + k];
    }
    if (hub)
        sae_ops_cpu.unit_rows(n / 2, D, 0, A);
    if (sae_match_rows(&got, ops, n, m, D, A, B, false, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_true(got.gap < 2e-6);
    is_near(got.mean, dense_mean(n, m, D, A, B));
    assert_true(got.n_listed < n * m / 2);
    assert_int_equal(got.n_solved > 1, hub);
    sae_matching_clear(&got);
    free(A);
    free(B);
}

static void test_unlisted(void **state)
{
    (void)state;
    check_large(700, 700, false, &sae_ops_cpu);
    check_large(700, 900, false, &sae_ops_cpu);
    check_large(700, 700, true, &sae_ops_cpu);
    check_large(700, 1400, true, &sae_ops_cpu);
    check_large(300, 300, true, test_device());
}

/* --- given entries ---------------------------------------------------------------------------- */

/* Similarities 0.5 at (0, 0), 0.9 at (1, 0), 0.3 at (1, 1): 0.5 + 0.3 is less than 0.9 alone. Row 2 has
 * none. As many as 2 of 3 rows can have a partner; the mean is over the two columns. */
static void test_entries(void **state)
{
    (void)state;
    const size_t start[4] = {0, 1, 3, 3};
    const uint32_t column[3] = {0, 0, 1};
    const float similarity[3] = {0.5F, 0.9F, 0.3F};
    struct sae_matching got = {0};
    assert_int_equal(sae_match_sparse(&got, 3, 2, start, column, similarity, NULL), SAE_OK);
    assert_int_equal(got.partner[0], SAE_MATCH_NONE);
    assert_int_equal(got.partner[1], 0);
    assert_int_equal(got.partner[2], SAE_MATCH_NONE);
    is_near(got.mean, 0.45);
    assert_true(got.gap < 1e-9);
    sae_matching_clear(&got);
}

/* Memory that ends at any time is told, and nothing is kept. */
static void test_memory(void **state)
{
    (void)state;
    static float A[60 * 4], B[60 * 4];
    random_rows(3, 60, 4, A);
    random_rows(4, 60, 4, B);
    for (size_t n = 1; n < 60; n++) {
        struct sae_matching got = {0};
        struct sae_err err = {0};
        sae_mem_fail_after(n);
        const enum sae_status st =
            sae_match_rows(&got, &sae_ops_cpu, 60, 60, 4, A, B, false, &err);
        sae_mem_fail_after(0);
        assert_true(st == SAE_OK || st == SAE_ENOMEM);
        assert_true(st == SAE_OK || got.partner == NULL);
        sae_matching_clear(&got);
    }
}

int main(int argc, char **argv)
{
    const int end_now = test_device_open(argc, argv);
    if (end_now != 0)
        return end_now;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_way), cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_unequal),   cmocka_unit_test(test_double_rows),
        cmocka_unit_test(test_unlisted),  cmocka_unit_test(test_entries),
        cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests_name("match", tests, NULL, NULL);
}
