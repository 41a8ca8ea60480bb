/* SPDX-License-Identifier: MIT */
/* saga : sparse probes by hand. scikit-learn's own numbers: tests/golden/test_probes.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/eval/saga.h"

static struct sae_err err;
static const struct sae_saga_settings exact = {1e-7, 20000, 42};

/* Points at +1 and -1: |w| + 2 C log(1 + exp(-w)) has its minimum where exp(w) = 2 C - 1. */
static void test_two_points(void **state)
{
    (void)state;
    const float x[] = {1, -1};
    const uint8_t y[] = {1, 0};
    const struct sae_saga_rows rows = {x, 1, 2, y};
    float w[3];
    struct sae_saga_fit fits[] = {
        {1, 1.5, &w[0], 0, 0},
        {1, 4.0, &w[1], 0, 0},
        {1, 0.9, &w[2], 0, 0}
    };
    assert_int_equal(sae_saga_fit(fits, 3, &rows, &exact, &err), SAE_OK);
    assert_true(fabsf(w[0] - logf(2.0F)) < 1e-4F && fabsf(fits[0].b) < 1e-4F);
    assert_true(fabsf(w[1] - logf(7.0F)) < 1e-4F);
    assert_true(w[2] == 0.0F); /* below C = 1 the penalty wins */
}

/* The intercept is not penalised: with w = 0 it is the log of the odds, here 3 to 1. */
static void test_intercept(void **state)
{
    (void)state;
    const float x[] = {1, 1, -1, -1, 1, 1, -1, -1};
    const uint8_t y[] = {1, 0, 1, 0, 1, 1, 1, 1};
    const struct sae_saga_rows rows = {x, 1, 8, y};
    float w;
    struct sae_saga_fit fit = {1, 1e-3, &w, 0, 0};
    assert_int_equal(sae_saga_fit(&fit, 1, &rows, &exact, &err), SAE_OK);
    assert_true(w == 0.0F);
    assert_int_equal(fit.n_epochs, 1); /* nothing moved: the stop looks at weights alone */
}

/* More problems than lanes, of every width: each is what it is alone. */
static void test_lanes(void **state)
{
    (void)state;
    enum { N = 60, K = 7, FITS = 70 };
    float x[N * K], w[FITS][K], alone[K];
    uint8_t y[N];
    struct sae_saga_fit fits[FITS];
    const struct sae_saga_settings how = {1e-4, 50, 7};
    for (size_t i = 0; i < N; i++) {
        y[i] = i % 3 == 0;
        for (size_t j = 0; j < K; j++)
            x[i * K + j] = (float)((i * 7 + j * j * 5 + i * j) % 11) - 3.0F + (float)(y[i] * j);
    }
    const struct sae_saga_rows rows = {x, K, N, y};
    for (size_t f = 0; f < FITS; f++)
        fits[f] = (struct sae_saga_fit){1 + f % K, pow(10.0, (double)(f % 9) - 4.0), w[f], 0, 0};
    assert_int_equal(sae_saga_fit(fits, FITS, &rows, &how, &err), SAE_OK);
    for (size_t f = 0; f < FITS; f++) {
        struct sae_saga_fit one = {fits[f].width, fits[f].C, alone, 0, 0};
        assert_int_equal(sae_saga_fit(&one, 1, &rows, &how, &err), SAE_OK);
        assert_int_equal(one.n_epochs, fits[f].n_epochs);
        assert_true(one.b == fits[f].b);
        for (size_t j = 0; j < one.width; j++)
            assert_true(alone[j] == w[f][j]);
    }
}

static void test_dead_column(void **state)
{
    (void)state;
    const float x[] = {0, 1, 0, -1};
    const uint8_t y[] = {1, 0};
    const struct sae_saga_rows rows = {x, 2, 2, y};
    float w[2];
    struct sae_saga_fit fit = {2, 1e5, w, 0, 0};
    assert_int_equal(sae_saga_fit(&fit, 1, &rows, &exact, &err), SAE_OK);
    assert_true(w[0] == 0.0F && w[1] > 0.0F);
}

static void test_refusals(void **state)
{
    (void)state;
    const float x[] = {1, NAN}, fine[] = {1, 2};
    const uint8_t y[] = {1, 0}, same[] = {1, 1};
    float w[1];
    struct sae_saga_fit fit = {1, 1.0, w, 0, 0}, wide = {2, 1.0, w, 0, 0};
    assert_int_equal(
        sae_saga_fit(&fit, 1, &(struct sae_saga_rows){x, 1, 2, y}, &exact, &err), SAE_ERANGE);
    assert_int_equal(
        sae_saga_fit(&fit, 1, &(struct sae_saga_rows){fine, 1, 2, same}, &exact, &err), SAE_EARG);
    assert_int_equal(
        sae_saga_fit(&wide, 1, &(struct sae_saga_rows){fine, 1, 2, y}, &exact, &err), SAE_EARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_points), cmocka_unit_test(test_intercept),
        cmocka_unit_test(test_lanes),      cmocka_unit_test(test_dead_column),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
