/* SPDX-License-Identifier: MIT */
/* test_cpu : which kernels OpenBLAS is asked for on a processor that it does not know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cblas.h>
#include <cmocka.h>

#include "lib/math/cpu/cpu.h"

static void test_unknown_processor(void **state)
{
    (void)state;
    assert_string_equal(sae_cpu_blas_core("Prescott", true, true), "SkylakeX");
    assert_string_equal(sae_cpu_blas_core("Prescott", true, false), "Haswell");
    assert_string_equal(sae_cpu_blas_core("Nehalem", true, false), "Haswell");
    assert_null(sae_cpu_blas_core("Prescott", false, false));
}

static void test_known_processor(void **state)
{
    (void)state;
    static const char *const known[] = {"Haswell", "SkylakeX", "Zen", "Cooperlake", "SapphireRapids"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_null(sae_cpu_blas_core(known[i], true, true));
}

/* A program that starts itself again does so once. The child's environment says what it was given. */
static void test_once(void **state)
{
    (void)state;
    static char name[] = "test_cpu";
    char *argv[] = {name, NULL};
    assert_int_equal(setenv("OMP_WAIT_POLICY", "passive", 1), 0);
    assert_int_equal(setenv("OPENBLAS_CORETYPE", openblas_get_corename(), 1), 0);
    sae_ops_set_environment(argv); /* returns: nothing is left to set */
    assert_string_equal(getenv("OPENBLAS_CORETYPE"), openblas_get_corename());
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unknown_processor),
                                       cmocka_unit_test(test_known_processor),
                                       cmocka_unit_test(test_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
