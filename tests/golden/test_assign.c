/* SPDX-License-Identifier: MIT */
/* test_assign : assignments and matchings reach the sums of scipy.optimize.linear_sum_assignment, with a
 * proof that none is larger. Vectors and their recipe: assign.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/math/match.h"
#include "tests/unit/fixtures/assign_dense.h"

enum { D = 8, MOST = 300 };

static void draws(uint64_t seed, size_t n, double *to)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t z = (seed << 32) + i + 1;
        z *= UINT64_C(0x9E3779B97F4A7C15);
        z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
        z ^= z >> 31;
        to[i] = (double)(z >> 40) * 0x1p-23 - 1;
    }
}

static void unit_row(double *x)
{
    double sq = 0;
    for (size_t i = 0; i < D; i++)
        sq += x[i] * x[i];
    for (size_t i = 0; i < D; i++)
        x[i] /= sqrt(sq);
}

static double A[MOST * D], B[MOST * D], gain[MOST * MOST];

static void make_rows(const char *kind, size_t n, size_t m, uint64_t seed)
{
    draws(2 * seed, n * D, A);
    draws(2 * seed + 1, m * D, B);
    for (size_t i = 0; i < n; i++)
        unit_row(A + i * D);
    for (size_t j = 0; j < m; j++) {
        unit_row(B + j * D);
        if (strcmp(kind, "near") != 0 || j >= (n < m ? n : m) * 3 / 4)
            continue;
        for (size_t i = 0; i < D; i++)
            B[j * D + i] = A[7 * j % n * D + i] + 0.3 * B[j * D + i];
        unit_row(B + j * D);
    }
}

static void make_gains(const char *kind, size_t n, size_t m, uint64_t seed)
{
    draws(seed, n * m, gain);
    for (size_t e = 0; strcmp(kind, "tied") == 0 && e < n * m; e++)
        gain[e] = floor(2 * gain[e]) / 2;
}

/* Of a whole matrix; the longer side is the columns. */
static double sum_of_dense(size_t n, size_t m)
{
    static double turned[MOST * MOST];
    static uint32_t column[MOST];
    static bool taken[MOST];
    const bool turn = n > m;
    const size_t rows = turn ? m : n, columns = turn ? n : m;
    double sum = 0;
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < columns; c++)
            turned[i * columns + c] = turn ? gain[c * m + i] : gain[i * m + c];
    assert_int_equal(assign_dense(rows, columns, turned, column, NULL), SAE_OK);
    memset(taken, 0, sizeof taken);
    for (size_t i = 0; i < rows; i++) {
        assert_true(column[i] < columns && !taken[column[i]]);
        taken[column[i]] = true;
        sum += turned[i * columns + column[i]];
    }
    return sum;
}

static double sum_of_rows(size_t n, size_t m)
{
    static float a[MOST * D], b[MOST * D];
    struct sae_matching match = {0};
    for (size_t i = 0; i < n * D; i++)
        a[i] = (float)A[i];
    for (size_t i = 0; i < m * D; i++)
        b[i] = (float)B[i];
    assert_int_equal(sae_match_rows(&match, &sae_ops_cpu, n, m, D, a, b, false, NULL), SAE_OK);
    assert_true(match.gap < 2e-6);
    const double sum = match.mean * (double)(n < m ? n : m);
    sae_matching_clear(&match);
    return sum;
}

static void test_sums(void **state)
{
    (void)state;
    char path[4096], kind[16];
    size_t n, m, lines = 0;
    unsigned long long seed;
    double want;
    snprintf(path, sizeof path, "%s/tests/golden/assign.txt", getenv("SAE_SOURCE_ROOT"));
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    for (; fscanf(file, "%15s %zu %zu %llu %lf", kind, &n, &m, &seed, &want) == 5; lines++) {
        const bool rows = strcmp(kind, "cos") == 0 || strcmp(kind, "near") == 0;
        if (rows)
            make_rows(kind, n, m, seed);
        else
            make_gains(kind, n, m, seed);
        const double got = rows ? sum_of_rows(n, m) : sum_of_dense(n, m);
        /* similarities are products in f32, and the proof leaves SAE_MATCH_SLACK a pair */
        const double bound = rows ? 2e-6 * (double)(n < m ? n : m) : 1e-9;
        if (!(fabs(got - want) <= bound))
            fail_msg("%s %zu %zu %llu: %.12g, scipy %.12g", kind, n, m, seed, got, want);
    }
    fclose(file);
    assert_int_equal(lines, 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums)};
    return cmocka_run_group_tests_name("golden_assign", tests, NULL, NULL);
}
