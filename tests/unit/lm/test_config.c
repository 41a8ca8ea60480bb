/* SPDX-License-Identifier: MIT */
/* config.json and tensors against it: messages name key or tensor, found and expected. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lm/config.h"
#include "lm/lm.h"
#include "tests/unit/fixtures/lm_fixture.h"

static struct sae_err g_err;

/* fix_config with the text `from` replaced. */
static char *edit(const char *from, const char *to)
{
    const char *at = strstr(fix_config, from);
    if (at == NULL)
        fail_msg("no '%s' in the config", from);
    char *text = malloc(strlen(fix_config) + strlen(to) + 1);
    assert_non_null(text);
    const size_t head = (size_t)(at - fix_config);
    memcpy(text, fix_config, head);
    memcpy(text + head, to, strlen(to) + 1);
    strcat(text, at + strlen(from));
    return text;
}

/* What people name in place of a model's folder. */
static void test_folders(void **state)
{
    (void)state;
    struct sae_lm_config c;
    assert_int_equal(sae_lm_config_read(&c, "google/gemma-2-2b", &g_err), SAE_EIO);
    assert_non_null(strstr(g_err.msg, "hf download google/gemma-2-2b --local-dir gemma-2-2b"));
    assert_int_equal(sae_lm_config_read(&c, "/nowhere/at/all", &g_err), SAE_EIO);
    assert_null(strstr(g_err.msg, "hf download"));
    char *folder = fix_folder();
    assert_int_equal(sae_lm_config_read(&c, folder, &g_err), SAE_EFORMAT);
    assert_non_null(strstr(g_err.msg, "holds no config.json"));
    fix_write_text(folder, "acts.json", "{}");
    assert_int_equal(sae_lm_config_read(&c, folder, &g_err), SAE_EFORMAT);
    assert_non_null(strstr(g_err.msg, "is an activation store"));
    fix_remove(folder);
}

static enum sae_status read_text(struct sae_lm_config *c, const char *text)
{
    char *folder = fix_folder();
    fix_write_text(folder, "config.json", text);
    g_err.msg[0] = '\0';
    const enum sae_status st = sae_lm_config_read(c, folder, &g_err);
    fix_remove(folder);
    return st;
}

static void refuse(const char *from, const char *to, const char *word, const char *word2)
{
    struct sae_lm_config c;
    char *text = edit(from, to);
    if (read_text(&c, text) != SAE_EFORMAT)
        fail_msg("accepted: %s", to);
    if (strstr(g_err.msg, word) == NULL || strstr(g_err.msg, word2) == NULL)
        fail_msg("'%s' does not say '%s' and '%s'", g_err.msg, word, word2);
    free(text);
}

static struct sae_lm_config accept(const char *from, const char *to)
{
    struct sae_lm_config c;
    char *text = edit(from, to);
    if (read_text(&c, text) != SAE_OK)
        fail_msg("%s", g_err.msg);
    free(text);
    return c;
}

static void test_values(void **state)
{
    (void)state;
    const struct sae_lm_config c = accept("{", "{");
    assert_true(c.V == 67 && c.D == 32 && c.F == 48 && c.L == 4 && c.H == 4 && c.K == 2);
    assert_true(c.head_dim == 16 && c.window == 5 && c.max_context == 64);
    assert_true(c.bos == 2 && c.eos == 1 && c.pad == 0);
    assert_true(fabs(c.score_scale - 0.20412414523193154) < 1e-15);
    assert_true(c.attn_cap == 2 && c.final_cap == 3 && c.norm_eps == 1e-6);
    assert_true(c.sliding[0] && !c.sliding[1] && c.sliding[2] && !c.sliding[3]);
    assert_true(strncmp(c.name, "lm-", 3) == 0);
}

static void test_variants(void **state)
{
    (void)state;
    assert_true(
        accept("\"attn_logit_softcapping\": 2.0", "\"attn_logit_softcapping\": null").attn_cap ==
        0);
    assert_true(accept("\"sliding_window\": 5", "\"sliding_window\": null").window == 64);
    /* What ends a generation and what fills its batches is no matter of activations. */
    assert_true(accept("\"eos_token_id\": [1, 5]", "\"eos_token_id\": 7").eos == 1);
    assert_true(accept("\"pad_token_id\": 0", "\"pad_token_id\": -1").pad == 0);
    assert_true(accept("\"bos_token_id\": 2,", "").bos == 2);
    const struct sae_lm_config nested =
        accept("\"rope_theta\": 10000.0", "\"rope_parameters\": {\"rope_theta\": 500}");
    assert_true(nested.rope[0].theta == 500 && nested.rope[1].theta == 500);
    const struct sae_lm_config full =
        accept("\"rope_theta\"", "\"layer_types\": [\"full_attention\", \"full_attention\","
                                 " \"full_attention\", \"sliding_attention\"], \"rope_theta\"");
    assert_true(!full.sliding[0] && full.sliding[3]);
    (void)accept("\"hidden_activation\"", "\"hidden_act\"");
    (void)accept("{", "{\"attention_bias\": false, \"tie_word_embeddings\": true,"
                      " \"rope_scaling\": null, ");
}

/* What scales positions is refused under every spelling, and told by name. */
static void test_rope(void **state)
{
    (void)state;
    static const char *const off[][2] = {
        {"\"rope_scaling\": {\"factor\": 8.0, \"type\": \"linear\"}",        "rope_scaling.type"               },
        {"\"rope_scaling\": {\"rope_type\": \"linear\"}",                    "rope_scaling.rope_type"          },
        {"\"rope_scaling\": 8",                                              "rope_scaling"                    },
        {"\"rope_parameters\": {\"rope_theta\": 1e4, \"factor\": 2}",        "rope_parameters.factor"          },
        {"\"rope_parameters\": {\"partial_rotary_factor\": 0.5}",            "partial_rotary_factor"           },
        {"\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e6}}",
         "rope_parameters.full_attention"                                                                      },
        {"\"rope_parameters\": {\"rope_theta\": 5e4}",                       "rope_theta"                      }, /* 1e4 at the top */
        {"\"rope_local_base_freq\": 1e4",                                    "rope_local_base_freq"            },
        {"\"rotary_pct\": 0.25",                                             "rotary_pct"                      },
        {"\"partial_rotary_factor\": 0.5",                                   "partial_rotary_factor"           },
        {"\"original_max_position_embeddings\": 32",                         "original_max_position_embeddings"},
        {"\"_sliding_window_pattern\": 6",                                   "_sliding_window_pattern"         },
        {"\"use_qk_norm\": true",                                            "use_qk_norm"                     },
        {"\"attention_multiplier\": 2",                                      "attention_multiplier"            },
        {"\"residual_multiplier\": 2",                                       "residual_multiplier"             },
        {"\"quantization_config\": {\"bits\": 4}",                           "quantization_config"             },
        {"\"mlp_bias\": true",                                               "mlp_bias"                        },
    };
    char to[200];
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        (void)snprintf(to, sizeof to, "{%s, ", off[i][0]);
        refuse("{", to, off[i][1], "expected");
    }
    static const char *const fine[] = {
        "\"rope_scaling\": {\"type\": \"default\"}",
        "\"rope_parameters\": {\"rope_theta\": 10000, \"partial_rotary_factor\": 1.0}",
        "\"use_qk_norm\": false, \"mlp_bias\": null, \"pruned_heads\": {}",
        "\"tie_word_embeddings\": false",
        "\"torch_dtype\": \"bfloat16\", \"dtype\": \"float32\", \"use_cache\": true",
        "\"attention_dropout\": 0.1, \"initializer_range\": 0.02, \"unsloth_version\": \"2025\"",
        "\"sliding_window_size\": 4096, \"cache_implementation\": \"hybrid\"",
        "\"_attn_implementation_autoset\": true, \"id2label\": {\"0\": \"LABEL_0\"}",
    };
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        (void)snprintf(to, sizeof to, "{%s, ", fine[i]);
        const struct sae_lm_config c = accept("{", to);
        assert_true(c.rope[0].theta == 10000);
        assert_int_equal(c.own_head, strstr(fine[i], "tie_word") != NULL);
    }
}

static void test_missing(void **state)
{
    (void)state;
    static const char *const keys[] = {"model_type",
                                       "vocab_size",
                                       "hidden_size",
                                       "intermediate_size",
                                       "num_hidden_layers",
                                       "num_attention_heads",
                                       "num_key_value_heads",
                                       "head_dim",
                                       "query_pre_attn_scalar",
                                       "attn_logit_softcapping",
                                       "final_logit_softcapping",
                                       "sliding_window",
                                       "rope_theta",
                                       "rms_norm_eps",
                                       "max_position_embeddings",
                                       "hidden_activation"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char from[60], to[60], named[60];
        (void)snprintf(from, sizeof from, "\"%s\"", keys[i]);
        (void)snprintf(to, sizeof to, "\"x%zu\"", i);
        (void)snprintf(named, sizeof named, "'%s' is nothing", keys[i]);
        refuse(from, to, named, "expected");
    }
}

static void test_refused(void **state)
{
    (void)state;
    refuse("gemma2", "t5", "'model_type' is \"t5\"", "gemma2, gemma3, gemma3_text, llama");
    refuse("gelu_pytorch_tanh", "gelu", "'hidden_activation' is \"gelu\"", "gelu_pytorch_tanh");
    refuse("{", "{\"attention_bias\": true, ", "'attention_bias' is true", "expected false");
    refuse("{", "{\"use_bidirectional_attention\": true, ", "bidirectional", "expected false");
    refuse("{", "{\"tie_word_embeddings\": 0, ", "'tie_word_embeddings' is 0", "false");
    refuse("\"vocab_size\": 67", "\"vocab_size\": 0", "'vocab_size' is 0", "1 ...");
    refuse("\"vocab_size\": 67", "\"vocab_size\": -67", "'vocab_size' is -67", "1 ...");
    refuse("\"vocab_size\": 67", "\"vocab_size\": 1e3", "'vocab_size' is 1000.0", "whole");
    refuse("\"vocab_size\": 67", "\"vocab_size\": \"67\"", "'vocab_size' is \"67\"", "whole");
    refuse("\"hidden_size\": 32", "\"hidden_size\": 4000000000", "'hidden_size' is 4000", "65536");
    refuse("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 257", "257", "1 ... 256");
    refuse("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "is 3", "divisor");
    refuse("\"head_dim\": 16", "\"head_dim\": 15", "'head_dim' is 15", "even");
    refuse("\"query_pre_attn_scalar\": 24", "\"query_pre_attn_scalar\": 0", "is 0", "above 0");
    refuse("\"rms_norm_eps\": 1e-6", "\"rms_norm_eps\": NaN", "JSON", "line 1");
    refuse("\"rms_norm_eps\": 1e-6", "\"rms_norm_eps\": 1e999", "JSON", "line 1");
    refuse("\"rms_norm_eps\": 1e-6", "\"rms_norm_eps\": -1e-6", "'rms_norm_eps' is -", "above 0");
    refuse("softcapping\": 2.0", "softcapping\": -2.0", "'attn_logit_softcapping'", "above 0");
    refuse("\"rope_theta\": 10000.0", "\"rope_theta\": null", "'rope_theta' is null", "above 0");
    refuse("\"rope_theta\": 10000.0", "\"rope_parameters\": {\"rope_type\": \"yarn\"}",
           "'rope_parameters.rope_type' is \"yarn\"", "default");
    refuse("\"rope_theta\"", "\"layer_types\": [\"full_attention\"], \"rope_theta\"",
           "'layer_types'", "4 words");
    refuse("\"rope_theta\"", "\"layer_types\": [\"a\", \"b\", \"c\", \"d\"], \"rope_theta\"",
           "'layer_types' is \"a\"", "full_attention");
    refuse("\"bos_token_id\": 2", "\"bos_token_id\": 67", "'bos_token_id' is 67", "67");
    refuse("{", "{\"vocab_size\": 67, ", "JSON", "duplicate");
    struct sae_lm_config c;
    assert_int_equal(read_text(&c, "[1]"), SAE_EFORMAT);
    assert_int_equal(read_text(&c, ""), SAE_EFORMAT);
    assert_int_equal(sae_lm_config_read(&c, "/no/such/folder", &g_err), SAE_EIO);
}

/* --- tensors -------------------------------------------------------------------------------- */

static void refuse_model(struct sae_st_item *items, size_t n, const char *word, const char *word2)
{
    char *folder = fix_folder();
    struct sae_lm *model = NULL;
    fix_write_text(folder, "config.json", fix_config);
    assert_int_equal(sae_st_write_folder(folder, items, n, 1, &g_err), SAE_OK);
    assert_int_equal(sae_lm_open(&model, folder, &g_err), SAE_EFORMAT);
    if (strstr(g_err.msg, word) == NULL || strstr(g_err.msg, word2) == NULL)
        fail_msg("'%s' does not say '%s' and '%s'", g_err.msg, word, word2);
    assert_null(model);
    fix_remove(folder);
}

static void test_tensors(void **state)
{
    (void)state;
    const struct fix_form form = {.dtype = SAE_ST_F32};
    struct sae_st_item *items = fix_items(&form);
    struct sae_st_item *q = &items[2], *norm = &items[FIX_N - 1];
    const struct sae_st_item good = *q;
    q->shape[0] = 32; /* [32, 64] in place of [64, 32] */
    q->shape[1] = 64;
    refuse_model(items, FIX_N, "layers.0.self_attn.q_proj.weight' has shape [32, 64]",
                 "expected [64, 32]");
    q->rank = 1;
    q->shape[0] = 64 * 32;
    refuse_model(items, FIX_N, "[2048]", "expected [64, 32]");
    *q = good;
    q->name = "model.layers.0.self_attn.other.weight";
    refuse_model(items, FIX_N, "no tensor 'model.layers.0.self_attn.q_proj.weight'", "46");
    *q = good;
    refuse_model(items, FIX_N - 1, "no tensor 'model.norm.weight'", "45");
    norm->rank = 2;
    norm->shape[1] = 1;
    refuse_model(items, FIX_N, "[32, 1]", "expected [32]");
    norm->rank = 1;
    fix_items_free(items);
}

/* A tensor that is not read would be a silent change. */
static void test_unknown_tensors(void **state)
{
    (void)state;
    static const char *const names[] = {"model.layers.0.self_attn.q_norm.weight",
                                        "model.layers.1.self_attn.q_proj.bias",
                                        "model.layers.4.mlp.up_proj.weight",
                                        "score.weight",
                                        "model.norm.bias",
                                        "layers.0.mlp.up_proj.weight"};
    const struct fix_form form = {.dtype = SAE_ST_F32};
    struct sae_st_item *items = fix_items(&form), all[FIX_N + 1];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        memcpy(all, items, FIX_N * sizeof *all);
        all[FIX_N] = items[1];
        all[FIX_N].name = names[i];
        refuse_model(all, FIX_N + 1, names[i], "46 tensors are expected, 47 are there");
    }
    char *folder = fix_folder();
    struct sae_lm *model = NULL;
    all[FIX_N].name = "model.layers.0.self_attn.rotary_emb.inv_freq"; /* recomputed by everybody */
    fix_write_text(folder, "config.json", fix_config);
    assert_int_equal(sae_st_write_folder(folder, all, FIX_N + 1, 1, &g_err), SAE_OK);
    assert_int_equal(sae_lm_open(&model, folder, &g_err), SAE_OK);
    sae_lm_close(model);
    char *own = edit("{", "{\"tie_word_embeddings\": false, ");
    fix_write_text(folder, "config.json", own);
    model = NULL;
    assert_int_equal(sae_lm_open(&model, folder, &g_err), SAE_EFORMAT);
    assert_non_null(strstr(g_err.msg, "no tensor 'lm_head.weight'"));
    free(own);
    fix_remove(folder);
    fix_items_free(items);
}

/* A tensor of whole numbers is legal in the file and of no use to the model. */
static void test_wrong_type(void **state)
{
    (void)state;
    char *folder = fix_folder();
    static const char header[] = "{\"embed_tokens.weight\":{\"dtype\":\"I16\",\"shape\":[67,32],"
                                 "\"data_offsets\":[0,4288]}}";
    static char bytes[8 + sizeof header - 1 + 4288];
    bytes[0] = (char)(sizeof header - 1);
    memcpy(bytes + 8, header, sizeof header - 1);
    char path[400];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, sizeof bytes, f), sizeof bytes);
    assert_int_equal(fclose(f), 0);
    fix_write_text(folder, "config.json", fix_config);
    struct sae_lm *model = NULL;
    assert_int_equal(sae_lm_open(&model, folder, &g_err), SAE_EFORMAT);
    assert_non_null(strstr(g_err.msg, "is I16, expected F32, BF16 or F16"));
    fix_remove(folder);
}

static void test_no_memory(void **state)
{
    (void)state;
    char *folder = fix_folder();
    const struct fix_form form = {.dtype = SAE_ST_BF16, .n_shards = 2};
    fix_write(folder, &form);
    struct sae_lm *model = NULL;
    struct sae_lm_run *run = NULL;
    enum sae_status st = SAE_ENOMEM;
    for (size_t n = 1; st != SAE_OK; n++) {
        assert_true(n < 1000);
        sae_mem_fail_after(n);
        st = sae_lm_open(&model, folder, &g_err);
        if (st == SAE_OK)
            st = sae_lm_run_open(&run, model, 24, 12, &g_err);
        if (st == SAE_OK)
            break;
        assert_int_equal(st, SAE_ENOMEM);
        assert_null(run);
        sae_lm_close(model);
        model = NULL;
    }
    sae_mem_fail_after(0);
    sae_lm_run_close(run);
    sae_lm_close(model);
    sae_lm_run_close(NULL);
    sae_lm_close(NULL);
    fix_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),         cmocka_unit_test(test_values),
        cmocka_unit_test(test_variants),        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_rope),
        cmocka_unit_test(test_unknown_tensors), cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_wrong_type),      cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("sae_lm_config", tests, NULL, NULL);
}
