/* SPDX-License-Identifier: MIT */
/* What a pass is said to take, beside what is allocated, and operations counted by hand. */
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lm/cost.h"
#include "lm/model.h"
#include "tests/unit/fixtures/lm_fixture.h"
#include "tests/unit/leave_out.h"

static double allocated(void)
{
    const struct mallinfo2 info = mallinfo2();
    return (double)info.uordblks + (double)info.hblkhd;
}

static void check_bytes(size_t copy_max)
{
    struct sae_err err;
    struct sae_lm *model;
    struct sae_lm_run *run;
    const struct fix_form form = {.dtype = SAE_ST_BF16, .n_shards = 1};
    char *const folder = fix_folder();
    fix_write(folder, &form);
    assert_int_equal(sae_lm_open_with(&model, folder, copy_max, &err), SAE_OK);
    for (size_t T = 4; T <= 64; T *= 4) {
        const double before = allocated(), said = sae_lm_run_bytes(model, 4096, T);
        assert_int_equal(sae_lm_run_open(&run, model, 4096, T, &err), SAE_OK);
        const double took = allocated() - before;
        if (fabs(said - took) > 0.01 * took + 131072)
            fail_msg("T %zu: said %.0f bytes, took %.0f", T, said, took);
        sae_lm_run_close(run);
    }
    sae_lm_close(model);
    fix_remove(folder);
}

static void bytes_of_a_small_model(void **state)
{
    (void)state;
    if (allocated() == 0)
        leave_out("the sanitizers' allocator counts no bytes");
    check_bytes(SIZE_MAX);
}

static void bytes_of_a_large_model(void **state)
{
    (void)state;
    if (allocated() == 0)
        leave_out("the sanitizers' allocator counts no bytes");
    check_bytes(0);
}

/* D 32, F 48, 4 heads and 2 of keys of 16: q 64 x 32, k and v 32 x 32, o 32 x 64, gate and up 48 x 32, down
 * 32 x 48 are 10752 weights. 10 tokens in fives: 2 x 10 x 10752, and for each token 5 positions (half of
 * them, twice: scores and sums) of 4 heads of 16: 10 x 5 x 64 x 2. */
static void operations_by_hand(void **state)
{
    struct sae_err err;
    struct sae_lm *model;
    const struct fix_form form = {.dtype = SAE_ST_F32, .n_shards = 1};
    char *const folder = fix_folder();
    (void)state;
    fix_write(folder, &form);
    assert_int_equal(sae_lm_open(&model, folder, &err), SAE_OK);
    assert_true(sae_lm_layer_flops(model, 10, 5) == 2 * 10 * 10752 + 10 * 5 * 64 * 2);
    assert_true(sae_lm_head_flops(model, 3) == 2 * 3 * 67 * 32);
    sae_lm_close(model);
    fix_remove(folder);
}

static void seconds_are_measured(void **state)
{
    struct sae_err err;
    struct sae_lm *model;
    struct sae_lm_cost cost;
    const struct fix_form form = {.dtype = SAE_ST_BF16, .n_shards = 1};
    char *const folder = fix_folder();
    (void)state;
    fix_write(folder, &form);
    assert_int_equal(sae_lm_open(&model, folder, &err), SAE_OK);
    assert_int_equal(sae_lm_cost_measure(&cost, model, 130, 12, 7, &err), SAE_OK);
    assert_int_equal(cost.n, 120);
    assert_true(cost.layer > 0 && cost.head > 0);
    assert_true(fabs(sae_lm_cost_layers(&cost, 4, 240) - 8 * cost.layer) < 1e-9);
    assert_true(fabs(sae_lm_cost_head(&cost, 14) - 2 * cost.head) < 1e-9);
    sae_lm_close(model);
    fix_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_a_small_model),
        cmocka_unit_test(bytes_of_a_large_model),
        cmocka_unit_test(operations_by_hand),
        cmocka_unit_test(seconds_are_measured),
    };
    return cmocka_run_group_tests_name("lm_cost", tests, NULL, NULL);
}
