/* SPDX-License-Identifier: MIT */
/* eval : logistic regression against optima worked out by hand, scores, sparse codes, sites. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/eval/codes.h"
#include "lib/eval/logit.h"
#include "lib/eval/score.h"
#include "lib/eval/store.h"

static const struct sae_logit_settings plain = {.C = 1.0, .eps = SAE_LOGIT_EPS_EXACT};

/* Two points at +-1: d/dw [w^2/2 + 2 log(1 + exp(-w))] = 0 says w (1 + e^w) = 2; b = 0. Moved by
 * 10, w stays and b = -10 w: the intercept costs nothing. */
static void test_logit_two_points(void **state)
{
    (void)state;
    struct sae_err err;
    const uint8_t label[] = {1, 0};
    const float near[] = {1, -1}, far[] = {11, 9};
    double w, b;
    assert_int_equal(sae_logit_dense(&w, &b, near, 1, 2, 1, label, &plain, &err), SAE_OK);
    assert_true(fabs(w * (1.0 + exp(w)) - 2.0) < 1e-5);
    assert_true(fabs(b) < 1e-5);
    const double w_near = w;
    assert_int_equal(sae_logit_dense(&w, &b, far, 1, 2, 1, label, &plain, &err), SAE_OK);
    assert_true(fabs(w - w_near) < 1e-6);
    assert_true(fabs(b + 10.0 * w) < 1e-4);
}

/* A feature that says nothing: b = log(n_1 / n_0) = log 3; with balanced classes 0. */
static void test_logit_intercept(void **state)
{
    (void)state;
    struct sae_err err;
    const uint8_t label[] = {0, 1, 1, 1}; /* the first label met is the negative one */
    const float x[] = {5, 5, 5, 5};
    double w, b;
    assert_int_equal(sae_logit_dense(&w, &b, x, 1, 4, 1, label, &plain, &err), SAE_OK);
    assert_true(fabs(w) < 1e-6);
    assert_true(fabs(b - log(3.0)) < 1e-4);
    const struct sae_logit_settings balanced = {1.0, SAE_LOGIT_EPS_EXACT, true};
    assert_int_equal(sae_logit_dense(&w, &b, x, 1, 4, 1, label, &balanced, &err), SAE_OK);
    assert_true(fabs(b) < 1e-6);
}

static void test_logit_sparse_is_dense(void **state)
{
    (void)state;
    struct sae_err err;
    const float x[] = {1, 0, 0, 2, 3, 1, 0, 1, 2, 0};
    const uint8_t label[] = {1, 0, 1, 0, 0};
    size_t start[] = {0, 1, 2, 4, 5, 6};
    uint32_t idx[] = {0, 1, 0, 1, 1, 0};
    float val[] = {1, 2, 3, 1, 1, 2};
    const struct sae_csr csr = {.n = 5, .cap = 6, .start = start, .idx = idx, .val = val};
    const uint32_t rows[] = {0, 1, 2, 3, 4};
    double w[2], b, v[2], c;
    assert_int_equal(sae_logit_dense(w, &b, x, 2, 5, 2, label, &plain, &err), SAE_OK);
    assert_int_equal(sae_logit_sparse(v, &c, &csr, rows, 5, 2, label, &plain, &err), SAE_OK);
    assert_true(fabs(w[0] - v[0]) < 1e-4 && fabs(w[1] - v[1]) < 1e-4 && fabs(b - c) < 1e-4);
    assert_true(w[0] > 0.05 && w[1] < -0.05);
}

static void test_logit_refuses(void **state)
{
    (void)state;
    struct sae_err err;
    const float x[] = {1, 2}, bad[] = {1, NAN};
    const uint8_t same[] = {1, 1}, both[] = {0, 1};
    double w, b;
    assert_int_equal(sae_logit_dense(&w, &b, x, 1, 2, 1, same, &plain, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "same label"));
    assert_int_equal(sae_logit_dense(&w, &b, x, 1, 2, 0, both, &plain, &err), SAE_EARG);
    assert_int_equal(sae_logit_dense(&w, &b, bad, 1, 2, 1, both, &plain, &err), SAE_ERANGE);
}

static void test_scores(void **state)
{
    (void)state;
    struct sae_err err;
    const double score[] = {2, 1, -1, 3, -2, 0}; /* 0 is not > 0 */
    const uint8_t label[] = {1, 1, 1, 0, 0, 0};
    const struct sae_score s = sae_score_decide(score, label, 6);
    assert_int_equal(s.tp, 2);
    assert_int_equal(s.fp, 1);
    assert_int_equal(s.fn, 1);
    assert_true(fabs(s.accuracy - 4.0 / 6.0) < 1e-15);
    assert_true(fabs(s.f1 - 4.0 / 6.0) < 1e-15);
    double auc;
    /* of the four (positive, negative) pairs, (0.35, 0.4) alone is in the wrong order */
    const double four[] = {0.1, 0.4, 0.35, 0.8};
    const uint8_t is[] = {0, 0, 1, 1};
    assert_int_equal(sae_score_auc(&auc, four, is, 4, &err), SAE_OK);
    assert_true(auc == 0.75);
    const double tied[] = {1, 1, 1, 0}; /* ties 1/2 each: (1/2 + 1 + 1/2 + 1) / 4 */
    assert_int_equal(sae_score_auc(&auc, tied, (const uint8_t[]){1, 0, 1, 0}, 4, &err), SAE_OK);
    assert_true(auc == 0.75);
    assert_int_equal(sae_score_auc(&auc, tied, (const uint8_t[]){1, 1, 1, 1}, 4, &err), SAE_OK);
    assert_true(isnan(auc));
}

static void test_means(void **state)
{
    (void)state;
    const double x[] = {1, -9, 2, -9, NAN, -9, 6, -9};
    const struct sae_score_mean m = sae_score_mean_of(x, 4, 2);
    assert_int_equal(m.n, 3);
    assert_true(m.mean == 3.0);
    assert_true(fabs(m.sd - sqrt((4.0 + 1.0 + 9.0) / 2.0)) < 1e-15);
    assert_true(isnan(sae_score_mean_of(x, 1, 1).sd));
    assert_true(isnan(sae_score_mean_of(x, 0, 1).mean));
}

static void test_codes(void **state)
{
    (void)state;
    struct sae_err err;
    struct sae_csr codes = {0};
    assert_int_equal(sae_codes_init(&codes, 3, &err), SAE_OK);
    assert_int_equal(
        sae_codes_append(&codes, (const uint32_t[]){1, 4}, (const float[]){5, 6}, 2, &err), SAE_OK);
    assert_int_equal(sae_codes_append(&codes, NULL, NULL, 0, &err), SAE_OK);
    assert_int_equal(sae_codes_append(&codes, (const uint32_t[]){0}, (const float[]){7}, 1, &err),
                     SAE_OK);
    float out[6];
    assert_int_equal(sae_codes_columns(&codes, 5, (const uint32_t[]){2, 0, 1}, 3,
                                       (const uint32_t[]){4, 0}, 2, out, &err),
                     SAE_OK);
    const float want[] = {0, 7, 6, 0, 0, 0};
    assert_memory_equal(out, want, sizeof want);
    sae_codes_clear(&codes);
}

static json_t *site(const char *id, int layer)
{
    return json_pack("{s:{s:s, s:s, s:i}}", "site", "model", "m", "model_id", id, "layer", layer);
}

static void test_site(void **state)
{
    (void)state;
    struct sae_err err;
    struct sae_ckpt ckpt = {.path = (char *)"run_1/ckpt_0.h5", .record = site("aaa", 3)};
    ckpt.model.d = 8;
    json_t *const same = site("aaa", 3), *const model = site("bbb", 3),
                  *const layer = site("aaa", 4);
    assert_int_equal(sae_store_check(&ckpt, "s.h5", 8, same, &err), SAE_OK);
    assert_int_equal(sae_store_check(&ckpt, "s.h5", 8, model, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "'s.h5'"));
    assert_non_null(strstr(err.msg, "'run_1/ckpt_0.h5'"));
    assert_non_null(strstr(err.msg, "bbb"));
    assert_int_equal(sae_store_check(&ckpt, "s.h5", 8, layer, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "layer 4"));
    assert_non_null(strstr(err.msg, "layer 3"));
    assert_int_equal(sae_store_check(&ckpt, "s.h5", 9, same, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "width 9"));
    char *folder;
    assert_int_equal(sae_store_find(&folder, &ckpt, "--labels", &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "--labels FILE"));
    json_decref(same);
    json_decref(model);
    json_decref(layer);
    json_decref(ckpt.record);
}

/* Sides that name hooks: of one place by two names, of two points of a layer, of an unknown point. */
static void test_hook_site(void **state)
{
    (void)state;
    static const struct {
        const char *want, *got;
        enum sae_status st;
        const char *says;
    } cases[] = {
        {"{\"layer\": 4, \"hook\": \"blocks.4.hook_resid_pre\"}", "{\"layer\": 3}", SAE_OK, ""},
        {"{\"layer\": 3, \"hook\": \"mlp_out\"}",
         "{\"layer\": 3, \"hook\": \"blocks.3.hook_mlp_out\"}", SAE_OK, ""},
        {"{\"layer\": 3, \"hook\": \"blocks.3.hook_mlp_out\"}", "{\"layer\": 3}", SAE_EARG,
         "it holds 'blocks.3.hook_resid_post', but 'c.h5' was trained on 'blocks.3.hook_mlp_out'"},
        {"{\"layer\": 3, \"hook\": \"blocks.3.hook_mlp_out\"}",
         "{\"layer\": 4, \"hook\": \"blocks.4.hook_mlp_out\"}", SAE_EARG, "layer 4"},
        {"{\"hook\": \"blocks.3.attn.hook_q\"}", "{\"layer\": 3}", SAE_EARG, "attn.hook_q"},
        {"{\"hook\": \"blocks.3.attn.hook_q\"}", "{\"hook\": \"blocks.3.attn.hook_q\"}", SAE_OK, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sae_err err = {0};
        struct sae_ckpt ckpt = {.path = (char *)"c.h5"};
        json_t *const got = json_pack("{s:o}", "site", json_loads(cases[i].got, 0, NULL));
        ckpt.model.d = 8;
        ckpt.record = json_pack("{s:o}", "site", json_loads(cases[i].want, 0, NULL));
        assert_int_equal(sae_store_check(&ckpt, "s.h5", 8, got, &err), cases[i].st);
        assert_non_null(strstr(err.msg, cases[i].says));
        json_decref(got);
        json_decref(ckpt.record);
    }
}

/* Options and the record together say which hook. */
static void test_choose_hook(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_hook hook;
    struct sae_ckpt ckpt = {.path = (char *)"c.h5"}, none = ckpt;
    none.record = json_pack("{s:{s:s}}", "site", "model", "m");
    ckpt.record = json_pack("{s:{s:i, s:s}}", "site", "layer", 3, "hook", "blocks.3.hook_mlp_out");
    assert_int_equal(sae_store_hook(&hook, &ckpt, UINT64_MAX, NULL, &err), SAE_OK);
    assert_true(hook.point == SAE_MLP_OUT && hook.layer == 3);
    assert_int_equal(sae_store_hook(&hook, &ckpt, 1, NULL, &err), SAE_OK);
    assert_true(hook.point == SAE_MLP_OUT && hook.layer == 1);
    assert_int_equal(sae_store_hook(&hook, &ckpt, UINT64_MAX, "attn_z", &err), SAE_OK);
    assert_true(hook.point == SAE_ATTN_Z && hook.layer == 3);
    assert_int_equal(sae_store_hook(&hook, &none, UINT64_MAX, "blocks.2.hook_attn_out", &err), SAE_OK);
    assert_true(hook.point == SAE_ATTN_OUT && hook.layer == 2);
    assert_int_equal(sae_store_hook(&hook, &none, UINT64_MAX, "mlp_out", &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "--layer"));
    assert_int_equal(sae_store_hook(&hook, &none, 1, "blocks.2.hook_attn_out", &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "is of layer 2, --layer says 1"));
    json_object_set_new(json_object_get(ckpt.record, "site"), "hook", json_string("blocks.3.attn.hook_q"));
    assert_int_equal(sae_store_hook(&hook, &ckpt, UINT64_MAX, NULL, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "attn.hook_q"));
    json_decref(ckpt.record);
    json_decref(none.record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logit_two_points),
        cmocka_unit_test(test_logit_intercept),
        cmocka_unit_test(test_logit_sparse_is_dense),
        cmocka_unit_test(test_logit_refuses),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_site),
        cmocka_unit_test(test_hook_site),
        cmocka_unit_test(test_choose_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
