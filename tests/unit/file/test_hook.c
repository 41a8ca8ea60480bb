/* SPDX-License-Identifier: MIT */
/* Names of hooks: each point by its own name and TransformerLens's, there and back; those of other
 * packages; what is no hook; sites of records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/file/hook.h"

static struct sae_err err;

static void is(const char *name, enum sae_point point, size_t layer)
{
    struct sae_hook hook;
    if (!sae_hook_parse(&hook, name))
        fail_msg("'%s' is no hook", name);
    assert_int_equal(hook.point, point);
    assert_int_equal(hook.layer, layer);
}

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAE_N_POINTS; i++) {
        const struct sae_hook hook = {(enum sae_point)i, 17};
        char name[SAE_HOOK_NAME];
        enum sae_point point = SAE_N_POINTS;
        is(sae_hook_name(name, hook), hook.point, 17);
        assert_true(sae_point_parse(&point, sae_points[i].name) && point == hook.point);
        assert_true(sae_point_parse(&point, sae_points[i].lens) && point == hook.point);
        assert_non_null(strstr(SAE_HOOK_HELP, sae_points[i].name));
    }
    is("blocks.12.hook_resid_post", SAE_RESID_POST, 12);
    is("blocks.0.attn.hook_z", SAE_ATTN_Z, 0);
    is("blocks.5.hook_mlp_in", SAE_MLP_IN, 5);
    is("model.layers.5", SAE_RESID_POST, 5);
    is("model.layers.5.output", SAE_RESID_POST, 5);
    is("gpt_neox.layers.3", SAE_RESID_POST, 3);
    is("model.layers.5.self_attn.o_proj.input", SAE_ATTN_Z, 5);
    is("model.layers.5.post_feedforward_layernorm.output", SAE_MLP_OUT, 5);
}

static void test_no_names(void **state)
{
    (void)state;
    static const char *const none[] = {"",
                                       "blocks.",
                                       "blocks.3",
                                       "blocks.3.",
                                       "blocks.x.hook_mlp_out",
                                       "blocks.-1.hook_mlp_out",
                                       "blocks.3.hook_mlp_outs",
                                       "blocks.3.ln2.hook_normalized",
                                       "blocks.3.attn.hook_q",
                                       "blocks.99999999999.hook_resid_post",
                                       "model.layers.3.mlp.output", /* of Gemma it is no mlp_out */
                                       "mlp_out"};
    struct sae_hook hook;
    enum sae_point point;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(sae_hook_parse(&hook, none[i]));
    assert_false(sae_point_parse(&point, "resid"));
    assert_false(sae_point_parse(&point, ""));
}

static void test_option(void **state)
{
    (void)state;
    struct sae_hook hook;
    bool has_layer = true;
    assert_int_equal(sae_hook_option(&hook, &has_layer, "mlp_out", &err), SAE_OK);
    assert_true(hook.point == SAE_MLP_OUT && !has_layer);
    assert_int_equal(sae_hook_option(&hook, &has_layer, "blocks.4.hook_attn_out", &err), SAE_OK);
    assert_true(hook.point == SAE_ATTN_OUT && hook.layer == 4 && has_layer);
    assert_int_equal(sae_hook_option(&hook, &has_layer, "residual", &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "--hook residual: no hook has that name; expected resid_pre"));
    assert_int_equal(sae_hook_option(&hook, &has_layer, "blocks.4.ln2.hook_normalized", &err),
                     SAE_EARG);
    assert_non_null(strstr(err.msg, "mlp_in"));
}

static void test_same(void **state)
{
    (void)state;
    const struct sae_hook pre = {SAE_RESID_PRE, 4}, first = {SAE_RESID_PRE, 0};
    assert_true(sae_hook_same(pre, sae_resid_post(3)));
    assert_false(sae_hook_same(pre, sae_resid_post(4)));
    assert_true(sae_hook_same(first, first));
    assert_false(sae_hook_same(first, sae_resid_post(0)));
}

static void site(const char *json, bool known, enum sae_point point, size_t layer)
{
    json_t *const value = json_loads(json, 0, NULL);
    struct sae_hook hook = {SAE_N_POINTS, 0};
    assert_non_null(value);
    assert_int_equal(sae_hook_of_site(&hook, value), known);
    if (known)
        assert_true(hook.point == point && hook.layer == layer);
    json_decref(value);
}

static void test_site(void **state)
{
    (void)state;
    site("{\"layer\": 3}", true, SAE_RESID_POST, 3);
    site("{\"layer\": 3, \"hook\": null}", true, SAE_RESID_POST, 3);
    site("{\"layer\": 3, \"hook\": \"mlp_out\"}", true, SAE_MLP_OUT, 3);
    /* older files have the layer whose output it is */
    site("{\"layer\": 3, \"hook\": \"blocks.4.hook_resid_pre\"}", true, SAE_RESID_PRE, 4);
    site("{\"hook\": \"blocks.4.attn.hook_z\"}", true, SAE_ATTN_Z, 4);
    site("{\"hook\": \"mlp_out\"}", false, 0, 0);
    site("{\"layer\": 3, \"hook\": \"blocks.3.attn.hook_q\"}", false, 0, 0);
    site("{\"layer\": -3}", false, 0, 0);
    site("{\"layer\": \"3\"}", false, 0, 0);
    site("{}", false, 0, 0);
    site("[]", false, 0, 0);
    assert_false(sae_hook_of_site(&(struct sae_hook){0}, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_no_names), cmocka_unit_test(test_option),
        cmocka_unit_test(test_same),  cmocka_unit_test(test_site),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
