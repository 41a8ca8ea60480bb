/* SPDX-License-Identifier: MIT */
/* Families: what a config.json asks for and is not computed is refused in one line that names it.
 * The folders are those of tests/golden/lm, whose numbers tests/golden checks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "lm/family.h"
#include "tests/unit/fixtures/lm_fixture.h"

static struct sae_err g_err;

static json_t *load(const char *model)
{
    const char *root = getenv("SAE_SOURCE_ROOT");
    char path[4096];
    json_error_t why;
    (void)snprintf(path, sizeof path, "%s/tests/golden/lm/%s/config.json", root ? root : ".",
                   model);
    json_t *const config = json_load_file(path, 0, &why);
    if (!config)
        fail_msg("%s: %s", path, why.text);
    return config;
}

/* `part` of the config, or the whole where it is NULL, with the key set to a JSON text; NULL: taken
 * out. */
static enum sae_status read_with(const char *model, const char *part, const char *key,
                                 const char *value, struct sae_lm_config *c)
{
    json_t *const config = load(model), *const in = part ? json_object_get(config, part) : config;
    char *folder = fix_folder();
    assert_non_null(in);
    if (key && value)
        assert_int_equal(json_object_set_new(in, key, json_loads(value, JSON_DECODE_ANY, NULL)), 0);
    else if (key)
        assert_int_equal(json_object_del(in, key), 0);
    char *const text = json_dumps(config, 0);
    fix_write_text(folder, "config.json", text);
    g_err.msg[0] = '\0';
    const enum sae_status st = sae_lm_config_read(c, folder, &g_err);
    fix_remove(folder);
    free(text);
    json_decref(config);
    return st;
}

static const struct {
    const char *model, *part, *key, *value, *words[2];
} refused[] = {
    {"llama_2",     NULL,              "hidden_act",                       "\"gelu\"",                              {"'hidden_act' is \"gelu\"", "\"silu\""}                                             },
    {"llama_2",     NULL,              "hidden_act",                       NULL,                                    {"'hidden_act' is nothing", "\"silu\""}                                              },
    {"llama_2",     NULL,              "num_attention_heads",              "5",                                     {"'num_attention_heads' is 5", "divisor"}                                            },
    {"llama_2",     NULL,              "num_key_value_heads",              "3",                                     {"'num_key_value_heads' is 3", "divisor"}                                            },
    {"llama_2",     NULL,              "head_dim",                         "7",                                     {"'head_dim' is 7", "even"}                                                          },
    {"llama_2",     NULL,              "attention_bias",                   "1",                                     {"'attention_bias' is 1", "true, false"}                                             },
    {"llama_2",     NULL,              "sliding_window",                   "4",                                     {"'sliding_window' is 4", "Llama"}                                                   },
    {"llama_2",     NULL,              "partial_rotary_factor",            "0.5",                                   {"'partial_rotary_factor' is 0.5", "Llama"}                                          },
    {"llama_2",     NULL,              "residual_multiplier",              "0.5",                                   {"residual_multiplier", "no such key"}                                               },
    {"llama_2",     NULL,              "quantization_config",              "{\"bits\":4}",                          {"quantization_config", "BF16"}                                                      },
    {"llama_2",     NULL,              "bos_token_id",                     NULL,                                    {"'bos_token_id' is nothing", "below vocab_size 61"}                                 },
    {"llama_2",     NULL,              "eos_token_id",                     "[61]",                                  {"'eos_token_id' is 61", "below vocab_size"}                                         },
    {"llama_2",     NULL,              "rms_norm_eps",                     "0",                                     {"'rms_norm_eps' is 0", "above 0"}                                                   },
    {"llama_2",
     NULL,                             "rope_scaling",
     "{\"type\":\"dynamic\",\"factor\":2}",                                                                         {"'rope_scaling.type' is \"dynamic\"", "\"llama3\": positions scaled in another way"}},
    {"llama_2",     NULL,              "rope_scaling",                     "{\"rope_type\":\"longrope\"}",          {"longrope", "llama3"}                                                               },
    {"llama_2",     NULL,              "rope_scaling",                     "{\"rope_type\":\"yarn\",\"factor\":2}", {"yarn", "llama3"}                                                                   },
    {"llama_2",
     NULL,                             "rope_scaling",
     "{\"rope_type\":\"linear\"}",                                                                                  {"rope_scaling.factor", "above"}                                                     },
    {"llama_2",     NULL,              "rope_scaling",                     "8",                                     {"'rope_scaling' is 8", "an object"}                                                 },
    {"llama_3",     "rope_scaling",    "low_freq_factor",                  NULL,                                    {"rope_scaling.low_freq_factor", "above"}                                            },
    {"llama_3",     "rope_scaling",    "high_freq_factor",                 "1",                                     {"high_freq_factor", "more than low"}                                                },
    {"llama_3",
     "rope_scaling",                   "original_max_position_embeddings",
     NULL,                                                                                                          {"rope_scaling.original_max_position_embeddings' is nothing", "above 0"}             },
    {"llama_3",     "rope_scaling",    "beta_fast",                        "32",                                    {"rope_scaling.beta_fast", "no such key"}                                            },
    {"llama_bias",  "rope_parameters", "partial_rotary_factor",            "0.5",                                   {"is 0.5", "expected 1"}                                                             },
    {"mistral",     NULL,              "sliding_window",                   "0",                                     {"'sliding_window' is 0", "1 ..."}                                                   },
    {"mistral",     NULL,              "attention_bias",                   "true",                                  {"'attention_bias' is true", "Mistral"}                                              },
    {"qwen2",       NULL,              "sliding_window",                   "null",                                  {"'sliding_window' is null", "whole number"}                                         },
    {"qwen2",       NULL,              "max_window_layers",                NULL,                                    {"'max_window_layers' is nothing", "whole number"}                                   },
    {"qwen2",       NULL,              "mlp_bias",                         "true",                                  {"'mlp_bias' is true", "Qwen2"}                                                      },
    {"qwen2",       NULL,              "layer_types",                      "[\"full_attention\"]",                  {"'layer_types'", "3 words"}                                                         },
    {"qwen2_yarn",  "rope_scaling",    "mscale",                           "1",                                     {"rope_scaling.mscale", "no such key"}                                               },
    {"qwen2_yarn",  "rope_scaling",    "truncate",                         "false",                                 {"rope_scaling.truncate", "true"}                                                    },
    {"qwen3",       NULL,              "head_dim",                         NULL,                                    {"'head_dim' is nothing", "whole number"}                                            },
    {"qwen3",       NULL,              "attention_bias",                   "true",                                  {"'attention_bias' is true", "expected false"}                                       },
    {"gemma3_text", NULL,              "final_logit_softcapping",          "30.0",                                  {"final_logit_softcapping", "null"}                                                  },
    {"gemma3_text", NULL,              "sliding_window",                   "null",                                  {"'sliding_window' is null", "whole number"}                                         },
    {"gemma3_text", NULL,              "use_bidirectional_attention",      "true",                                  {"bidirectional", "false"}                                                           },
    {"gemma3_text", NULL,              "rope_parameters",                  "{}",                                    {"rope_scaling", "beside rope_parameters"}                                           },
    {"gemma3_text",
     "rope_scaling",                   "rope_type",
     "\"yarn\"",                                                                                                    {"rope_scaling.rope_type", "\"linear\""}                                             },
    {"gemma3",      NULL,              "text_config",                      "null",                                  {"'text_config' is null", "an object"}                                               },
    {"gemma3",      NULL,              "tie_word_embeddings",              "false",                                 {"tie_word_embeddings", "every Gemma-3"}                                             },
    {"gemma3",      "text_config",     "num_key_value_heads",              "3",                                     {"3 of keys", "divide"}                                                              },
    {"gemma3",
     "text_config",                    "attention_bias",
     "true",                                                                                                        {"'text_config.attention_bias' is true", "false"}                                    },
    {"gemma3",
     "text_config",                    "residual_scale",
     "2",                                                                                                           {"'text_config.residual_scale' is 2", "Gemma-3"}                                     },
    {"gpt_neox",    NULL,              "attention_bias",                   "false",                                 {"'attention_bias' is false", "true"}                                                },
    {"gpt_neox",    NULL,              "hidden_act",                       "\"gelu_new\"",                          {"'hidden_act' is \"gelu_new\"", "\"gelu\""}                                         },
    {"gpt_neox",    NULL,              "rotary_pct",                       "0.4",                                   {"3 of the 8 elements", "even"}                                                      },
    {"gpt_neox",    NULL,              "rotary_pct",                       "1.5",                                   {"'rotary_pct' is 1.5", "at most 1"}                                                 },
    {"gpt_neox",    NULL,              "num_key_value_heads",              "2",                                     {"'num_key_value_heads' is 2", "no such key"}                                        },
    {"gpt2",        NULL,              "activation_function",              "\"relu\"",                              {"'activation_function'", "\"gelu_new\""}                                            },
    {"gpt2",        NULL,              "scale_attn_weights",               "false",                                 {"'scale_attn_weights' is false", "true"}                                            },
    {"gpt2",        NULL,              "scale_attn_by_inverse_layer_idx",  "true",                                  {"inverse_layer_idx", "false"}                                                       },
    {"gpt2",        NULL,              "add_cross_attention",              "true",                                  {"'add_cross_attention' is true", "false"}                                           },
    {"gpt2",        NULL,              "n_head",                           "5",                                     {"'n_head' is 5", "divisor"}                                                         },
    {"gpt2",        NULL,              "rope_theta",                       "1e4",                                   {"'rope_theta'", "GPT-2"}                                                            },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct sae_lm_config c;
        const enum sae_status st =
            read_with(refused[i].model, refused[i].part, refused[i].key, refused[i].value, &c);
        if (st != SAE_EFORMAT)
            fail_msg("%s: '%s' %s: status %d", refused[i].model, refused[i].key,
                     refused[i].value ? refused[i].value : "taken out", (int)st);
        for (size_t k = 0; k < 2; k++)
            if (!strstr(g_err.msg, refused[i].words[k]))
                fail_msg("'%s' does not say '%s'", g_err.msg, refused[i].words[k]);
        assert_null(strchr(g_err.msg, '\n'));
    }
}

static struct sae_lm_config accept(const char *model, const char *part, const char *key,
                                   const char *value)
{
    struct sae_lm_config c;
    if (read_with(model, part, key, value, &c) != SAE_OK)
        fail_msg("%s", g_err.msg);
    return c;
}

/* What old files leave out, and what does not change the numbers. */
static void test_accepted(void **state)
{
    (void)state;
    struct sae_lm_config c = accept("llama_2", NULL, NULL, NULL);
    assert_true(c.H == 4 && c.K == 4 && c.head_dim == 8 && c.rotary == 8 && c.own_head);
    assert_true(c.rope[0].theta == 1e4 && c.embed_scale == 1 && c.bos == 2 && c.eos == 1);
    assert_true(c.pad == c.eos && c.norm == SAE_LM_RMS && c.act == SAE_LM_SILU);
    assert_true(accept("llama_2", NULL, "eos_token_id", "null").eos == 2);
    assert_true(accept("llama_2", NULL, "pad_token_id", "5").pad == 5);
    assert_true(accept("llama_2", NULL, "rope_interleaved", "false").rotary == 8);
    assert_true(accept("llama_3", NULL, NULL, NULL).rope[1].scaling == SAE_LM_LLAMA3);
    c = accept("mistral", NULL, "sliding_window", "null");
    assert_true(c.sliding[0] && c.window == c.max_context);
    c = accept("qwen2", NULL, "use_sliding_window", "false");
    assert_true(!c.sliding[2] && c.qkv_bias && !c.out_bias);
    c = accept("qwen2", NULL, NULL, NULL);
    assert_true(!c.sliding[0] && c.sliding[1] && c.sliding[2] && c.window == 4);
    c = accept("qwen2_yarn", "rope_scaling", "attention_factor", "1.5");
    assert_true(c.rope[0].gain == 1.5 && c.rope[0].low == 1 && c.rope[0].high == 32);
    c = accept("gemma3_text", NULL, NULL, NULL);
    assert_true(c.rope[0].theta == 1e6 && c.rope[0].factor == 8 && c.rope[1].theta == 1e4);
    assert_true(c.sliding[0] && c.sliding[1] && !c.sliding[2] && c.head_norms && c.attn_cap == 0);
    c = accept("gemma3", "text_config", "head_dim", NULL);
    assert_true(c.head_dim == 256); /* the format's own */
    c = accept("gpt_neox", NULL, "rotary_pct", NULL);
    assert_true(c.rotary == 2 && c.parallel && c.qkv_bias && c.out_bias && c.mlp_bias);
    c = accept("gpt2", NULL, "n_inner", "100");
    assert_true(c.F == 100 && c.rotary == 0 && c.learned_positions && !c.own_head);
}

static void test_table(void **state)
{
    (void)state;
    char list[400];
    assert_null(sae_lm_family_find("bert"));
    sae_lm_family_list(list, sizeof list);
    assert_non_null(strstr(list, "gemma2, gemma3, gemma3_text, llama, mistral, qwen2, qwen3"));
    for (const char *at = list; *at; at += strcspn(at, ", "), at += strspn(at, ", ")) {
        char type[40];
        (void)snprintf(type, sizeof type, "%.*s", (int)strcspn(at, ", "), at);
        const struct sae_lm_family *f = sae_lm_family_find(type);
        assert_true(f && f->read && f->names && f->title[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests_name("lm_family", tests, NULL, NULL);
}
