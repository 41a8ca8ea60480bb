/* SPDX-License-Identifier: MIT */
/* family_gpt2 : GPT-2. Learned positions, layer norms and biases everywhere; matrices lie
 * transposed (Conv1D), q, k and v in one. */
#include <math.h>

#include "lm/family.h"

static const struct sae_lm_names names = {
    .prefixes = {"transformer.", ""    },
    .embed = "wte",
    .positions = "wpe",
    .norm = "ln_f",
    .heads = {"lm_head"     },
    .layer = "h.%zu.",
    .norms = {"ln_1",          NULL,       "ln_2", NULL},
    .qkv = {"attn.c_attn"             },
    .out = "attn.c_proj",
    .up = "mlp.c_fc",
    .down = "mlp.c_proj",
    .layout = SAE_LM_TRANSPOSED,
    .qkv_layout = SAE_LM_TRANSPOSED,
    .ignored_ends = {".attn.bias",   ".attn.masked_bias"}, /* tables of the causal mask */
};

static enum sae_status read_shape(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    SAE_TRY(sae_lm_key_size(keys, &c->V, "vocab_size", 1, (size_t)1 << 24));
    SAE_TRY(sae_lm_key_size(keys, &c->D, "n_embd", 1, 65536));
    SAE_TRY(sae_lm_key_size_or(keys, &c->F, "n_inner", 1, 1 << 20, 4 * c->D));
    SAE_TRY(sae_lm_key_size(keys, &c->L, "n_layer", 1, SAE_LM_LAYERS_MAX));
    SAE_TRY(sae_lm_key_size(keys, &c->H, "n_head", 1, 1024));
    SAE_TRY(sae_lm_key_size(keys, &c->max_context, "n_positions", 1, 1 << 24));
    if (c->D % c->H != 0)
        return sae_err_set(keys->err, SAE_EFORMAT,
                           "'n_head' is %zu, expected a divisor of 'n_embd' %zu", c->H, c->D);
    c->K = c->H;
    c->head_dim = c->D / c->H;
    c->window = c->max_context;
    return SAE_OK;
}

static enum sae_status read(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    SAE_TRY(sae_lm_read_act(keys, "activation_function", "gelu_new"));
    SAE_TRY(sae_lm_read_tied(c, keys, true));
    SAE_TRY(read_shape(c, keys));
    SAE_TRY(sae_lm_key_positive(keys, &c->norm_eps, "layer_norm_epsilon", 1));
    SAE_TRY(sae_lm_key_must(keys, "scale_attn_weights", true, "scores are scaled"));
    SAE_TRY(sae_lm_key_must(keys, "scale_attn_by_inverse_layer_idx", false,
                            "scores are scaled alike in all layers"));
    SAE_TRY(sae_lm_key_must(keys, "add_cross_attention", false, "there is no encoder"));
    c->score_scale = 1 / sqrt((double)c->head_dim);
    c->embed_scale = 1;
    c->norm = SAE_LM_LAYER;
    c->act = SAE_LM_GELU_TANH;
    c->learned_positions = true;
    c->qkv_bias = c->out_bias = c->mlp_bias = true;
    return sae_lm_read_tokens(c, keys);
}

/* Rows as in other families: llama.cpp's converter turns the matrices. */
static const struct sae_lm_names gguf_names = {
    SAE_LM_GGUF_NAMES,
    .positions = "position_embd",
    .norms = {"attn_norm", NULL, "ffn_norm", NULL},
    .qkv = {"attn_qkv"},
};

static const struct sae_lm_gguf_key gguf_keys[] = {
    {"context_length",               "n_positions",        false},
    {"embedding_length",             "n_embd",             false},
    {"feed_forward_length",          "n_inner",            false},
    {"block_count",                  "n_layer",            false},
    {"attention.head_count",         "n_head",             false},
    {"attention.layer_norm_epsilon", "layer_norm_epsilon", false},
    {0}
};

static const struct sae_lm_gguf gguf = {
    .arch = "gpt2",
    .fixed = "{\"activation_function\": \"gelu_new\"}",
    .keys = gguf_keys,
    .names = &gguf_names,
};

const struct sae_lm_family sae_lm_gpt2 = {
    .model_type = "gpt2",
    .title = "GPT-2",
    .read = read,
    .names = &names,
    .gguf = &gguf,
};
