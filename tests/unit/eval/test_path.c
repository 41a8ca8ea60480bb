/* SPDX-License-Identifier: MIT */
/* path, lbfgs : dense probes for many C. scikit-learn's own numbers: tests/golden/test_probes.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/eval/path.h"

static struct sae_err err;
static const struct sae_path_settings exact = {1e-10, 1000};

/* Points at +1 and -1: w (1 + e^w) = 2 C. */
static void test_two_points(void **state)
{
    (void)state;
    const float x[] = {1, -1};
    const uint8_t y[] = {1, 0};
    const double C[] = {1.0, 0.01};
    double w[2], b[2];
    struct sae_path *path;
    assert_int_equal(sae_path_open(&path, x, 2, 1, &err), SAE_OK);
    assert_int_equal(sae_path_fit(w, b, NULL, path, 2, y, C, 2, &exact, &err), SAE_OK);
    for (size_t c = 0; c < 2; c++)
        assert_true(fabs(w[c] * (1.0 + exp(w[c])) - 2.0 * C[c]) < 1e-8 && fabs(b[c]) < 1e-8);
    assert_true(fabs(w[0] - 0.6748) < 1e-4);
    sae_path_close(path);
}

enum { N = 40, D = 6, WIDE = 64 };

static void make_rows(float *x, size_t d, uint8_t *y)
{
    for (size_t i = 0; i < N; i++) {
        y[i] = i % 2 == 0;
        for (size_t j = 0; j < d; j++)
            x[i * d + j] = j >= D ? 0.0F
                                  : (float)((i * 13 + j * 29 + i * i * (j + 1)) % 17) / 8.0F - 1.0F +
                                        0.25F * (float)(y[i] * j);
    }
}

/* Columns of zeros change nothing, but with more columns than rows the path is kept in sums of rows:
 * the same optimum, and the same steps on the way. */
static void test_wide_is_narrow(void **state)
{
    (void)state;
    static float narrow[N * D], wide[N * WIDE];
    uint8_t y[N];
    const double C[] = {1e3, 1.0, 1e-2};
    double w[3 * D], v[3 * WIDE], b[3], c[3];
    size_t steps[3], wide_steps[3];
    struct sae_path *path;
    make_rows(narrow, D, y);
    make_rows(wide, WIDE, y);
    const struct sae_path_settings how = {1e-4, 1000};
    assert_int_equal(sae_path_open(&path, narrow, N, D, &err), SAE_OK);
    assert_int_equal(sae_path_fit(w, b, steps, path, N - 8, y, C, 3, &how, &err), SAE_OK);
    sae_path_close(path);
    assert_int_equal(sae_path_open(&path, wide, N, WIDE, &err), SAE_OK);
    assert_int_equal(sae_path_fit(v, c, wide_steps, path, N - 8, y, C, 3, &how, &err), SAE_OK);
    sae_path_close(path);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(steps[i], wide_steps[i]);
        assert_true(steps[i] > 2 && fabs(b[i] - c[i]) < 1e-6);
        for (size_t j = 0; j < WIDE; j++)
            assert_true(fabs(v[i * WIDE + j] - (j < D ? w[i * D + j] : 0.0)) < 1e-6);
    }
}

/* At the optimum w = C sum_i (y_i - p_i) x_i, and the residuals sum to nothing. */
static void test_optimum(void **state)
{
    (void)state;
    static float x[N * D];
    uint8_t y[N];
    double w[D], b, back[D] = {0}, sum = 0.0;
    const double C = 0.5;
    struct sae_path *path;
    make_rows(x, D, y);
    assert_int_equal(sae_path_open(&path, x, N, D, &err), SAE_OK);
    assert_int_equal(sae_path_fit(w, &b, NULL, path, N, y, &C, 1, &exact, &err), SAE_OK);
    sae_path_close(path);
    for (size_t i = 0; i < N; i++) {
        double z = b;
        for (size_t j = 0; j < D; j++)
            z += w[j] * x[i * D + j];
        const double residual = y[i] - 1.0 / (1.0 + exp(-z));
        sum += residual;
        for (size_t j = 0; j < D; j++)
            back[j] += C * residual * x[i * D + j];
    }
    assert_true(fabs(sum) < 1e-7);
    for (size_t j = 0; j < D; j++)
        assert_true(fabs(w[j] - back[j]) < 1e-7);
}

/* Nothing to learn: equal rows in both classes, and columns of zeros. */
static void test_flat(void **state)
{
    (void)state;
    const float x[] = {2, 0, 2, 0, 2, 0, 2, 0};
    const uint8_t y[] = {1, 0, 1, 0}, same[] = {0, 0, 0, 0};
    const double C = 1e5;
    double w[2], b;
    size_t steps;
    struct sae_path *path;
    assert_int_equal(sae_path_open(&path, x, 4, 2, &err), SAE_OK);
    assert_int_equal(sae_path_fit(w, &b, &steps, path, 4, y, &C, 1, &exact, &err), SAE_OK);
    assert_true(steps == 0 && w[0] == 0.0 && w[1] == 0.0 && b == 0.0);
    assert_int_equal(sae_path_fit(w, &b, &steps, path, 4, same, &C, 1, &exact, &err), SAE_EARG);
    sae_path_close(path);
    const float bad[] = {1, INFINITY};
    assert_int_equal(sae_path_open(&path, bad, 2, 1, &err), SAE_ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_points), cmocka_unit_test(test_wide_is_narrow),
        cmocka_unit_test(test_optimum), cmocka_unit_test(test_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
