/* SPDX-License-Identifier: MIT */
/* test_settings : every architecture's row is whole, and the settings that the rules complete are
 * those of its row. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/options.h"
#include "train/trainer.h"

enum { D = 16, ROWS = 300000, M = 16384 };

/* The order in memory that clipping, Adam and a device suppose: matrices, b_enc, b_dec, others. */
static void check_arrays(const char *name, const struct train_array *arrays)
{
    static const size_t first[] = {offsetof(struct params, W_enc), offsetof(struct params, W_dec),
                                   offsetof(struct params, b_enc), offsetof(struct params, b_dec)};
    size_t n = 0;
    assert_non_null(arrays);
    for (const struct train_array *a = arrays; a->name; a++, n++) {
        /* a checkpoint has a place for it */
        const struct sae_weight *const w = sae_weight_find(a->name);
        if (!w)
            fail_msg("%s: a checkpoint has no array '%s'", name, a->name);
        assert_int_equal(w->by_latent, a->shape != TRAIN_SHAPE_D);
        assert_int_equal(w->by_dim, a->shape != TRAIN_SHAPE_M);
        if (n < 4)
            assert_int_equal(a->view, first[n]);
        for (const struct train_array *b = arrays; b < a; b++)
            assert_true(strcmp(a->name, b->name) != 0 && a->view != b->view);
    }
    assert_in_range(n, 4, TRAIN_ARRAYS);
}

static void test_rows(void **state)
{
    (void)state;
    assert_null(train_arch_names[TRAIN_ARCH_N]);
    for (int a = 0; a < TRAIN_ARCH_N; a++) {
        const struct train_arch *const arch = train_archs[a];
        const char *const name = train_arch_names[a];
        const bool l1 = arch->penalty == TRAIN_PENALTY_L1 || arch->penalty == TRAIN_PENALTY_GATE;
        enum sae_arch model;
        assert_non_null(name);
        assert_non_null(arch->summary);
        if (!sae_arch_parse(arch->model, &model))
            fail_msg("%s: no architecture '%s' of checkpoints", name, arch->model);
        check_arrays(name, arch->arrays);
        assert_int_equal(settings_model_arch(&(struct settings){.arch = a}), model);
        assert_int_equal(sae_arch_desc(model)->subtracts, arch->subtracts_b_dec);
        assert_int_equal(sae_arch_desc(model)->has_k, arch->keeps != TRAIN_KEEPS_ALL);
        assert_int_equal(sae_arch_desc(model)->by_k, arch->keeps == TRAIN_KEEPS_TOKEN);
        assert_int_equal(sae_arch_desc(model)->one_threshold, arch->keeps == TRAIN_KEEPS_BATCH);
        /* sparse by k, or by a penalty */
        assert_int_equal(arch->keeps == TRAIN_KEEPS_ALL, arch->penalty != TRAIN_PENALTY_NONE);
        assert_int_equal(l1, arch->l1 > 0);
        assert_true(arch->lr > 0);
        assert_true(arch->beta1 >= 0 && arch->beta1 < 1);
        assert_true(!arch->prefixes || arch->keeps == TRAIN_KEEPS_BATCH);
        for (int b = 0; b < a; b++)
            assert_string_not_equal(name, train_arch_names[b]);
    }
}

/* Rates and weights of the row, and nothing left unset. */
static void test_defaults(void **state)
{
    (void)state;
    for (int a = 0; a < TRAIN_ARCH_N; a++) {
        const struct train_arch *const arch = train_archs[a];
        struct settings set;
        struct sae_err err = {0};
        options_default(&set);
        set.arch = a;
        set.m = 4 * M;
        set.steps = 10000;
        if (settings_resolve(&set, ROWS, D, &err) != SAE_OK)
            fail_msg("%s: %s", train_arch_names[a], err.msg);
        assert_float_equal(set.lr, arch->lr / (arch->lr_by_width ? 2 : 1), 1e-15);
        assert_float_equal(set.l1, arch->l1, 0);
        assert_int_equal(set.sparsity_warmup, arch->sparsity_warmup ? 2000 : 0);
        assert_int_equal(set.k, arch->keeps == TRAIN_KEEPS_ALL ? 0 : 32);
        assert_int_equal(set.auxk_alpha > 0, arch->keeps != TRAIN_KEEPS_ALL);
        assert_int_equal(settings_has_cut(&set), arch->keeps == TRAIN_KEEPS_BATCH);
        for (const struct sae_opt *row = options_rows; row->name; row++) {
            const uintptr_t at = (uintptr_t)row->to - (uintptr_t)&options_given.set;
            uint64_t whole;
            double real;
            if (at >= sizeof set || row->value)
                continue;
            memcpy(&whole, (char *)&set + at, sizeof whole);
            memcpy(&real, (char *)&set + at, sizeof real);
            if (row->kind == SAE_OPT_REAL ? isnan(real) : whole == SETTINGS_UNSET)
                fail_msg("%s: no rule chooses --%s", train_arch_names[a], row->name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_defaults)};
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
