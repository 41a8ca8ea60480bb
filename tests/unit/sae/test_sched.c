/* SPDX-License-Identifier: MIT */
/* test_sched : schedules at values worked by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/sae/sched.h"

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-12)

static void test_tau(void **state)
{
    (void)state;
    NEAR(sae_sched_tau(SAE_TAU_DOWN, 0.2, 0, 1e-3), 0.2);
    NEAR(sae_sched_tau(SAE_TAU_DOWN, 0.2, 0.25, 1e-3), 0.15);
    NEAR(sae_sched_tau(SAE_TAU_UP, 0.2, 0.25, 1e-3), 0.25);
    NEAR(sae_sched_tau(SAE_TAU_CONST, 0.2, 0.9, 1e-3), 0.2);
    NEAR(sae_sched_tau(SAE_TAU_DOWN, 0.2, 0.999, 1e-3), 1e-3); /* 0.0002 is below the floor */
    assert_string_equal(sae_tau_names[SAE_TAU_DOWN], "down");
    assert_string_equal(sae_tau_names[SAE_TAU_CONST], "const");
    assert_null(sae_tau_names[SAE_TAU_N]);
}

static void test_lambda2(void **state)
{
    (void)state;
    NEAR(sae_sched_lambda2(0.5, 2, 0), 0.5);
    NEAR(sae_sched_lambda2(0.5, 2, 0.5), 0.125);
    NEAR(sae_sched_lambda2(0.5, 0.5, 0.75), 0.25);
    NEAR(sae_sched_lambda2(0.5, 0, 0.75), 0.5);
    NEAR(sae_sched_lambda2(0.5, 0, 1), 0.5);
    NEAR(sae_sched_lambda2(0.5, 2, 1), 0);
}

static void test_k(void **state)
{
    (void)state;
    assert_int_equal(sae_sched_k(80, 320, 0), 80);
    assert_int_equal(sae_sched_k(80, 320, 0.5), 200);
    assert_int_equal(sae_sched_k(80, 320, 1), 320);
    assert_int_equal(sae_sched_k(0, 320, 0.5), 320);
    assert_int_equal(sae_sched_k(10, 20, 0.04), 10); /* 10.4 */
    assert_int_equal(sae_sched_k(10, 20, 0.05), 11); /* 10.5 */
    assert_int_equal(sae_sched_k(320, 40, 0.25), 250);
}

static void test_lr(void **state)
{
    (void)state;
    NEAR(sae_sched_lr(0, 1000, 8000, 10000), 0);
    NEAR(sae_sched_lr(250, 1000, 8000, 10000), 0.25);
    NEAR(sae_sched_lr(1000, 1000, 8000, 10000), 1);
    NEAR(sae_sched_lr(7999, 1000, 8000, 10000), 1);
    NEAR(sae_sched_lr(8000, 1000, 8000, 10000), 1);
    NEAR(sae_sched_lr(9500, 1000, 8000, 10000), 0.25);
    NEAR(sae_sched_lr(10000, 1000, 8000, 10000), 0);
    NEAR(sae_sched_lr(9999, 1000, 10000, 10000), 1); /* no decay */
    NEAR(sae_sched_lr(0, 0, 10, 10), 1);
}

static void test_sparsity(void **state)
{
    (void)state;
    NEAR(sae_sched_sparsity(0, 2000), 0);
    NEAR(sae_sched_sparsity(500, 2000), 0.25);
    NEAR(sae_sched_sparsity(2000, 2000), 1);
    NEAR(sae_sched_sparsity(9000, 2000), 1);
    NEAR(sae_sched_sparsity(0, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tau), cmocka_unit_test(test_lambda2),  cmocka_unit_test(test_k),
        cmocka_unit_test(test_lr),  cmocka_unit_test(test_sparsity),
    };
    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
