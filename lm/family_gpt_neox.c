/* SPDX-License-Identifier: MIT */
/* family_gpt_neox : GPT-NeoX and Pythia. Layer norms and biases everywhere, a quarter of each head
 * is rotated, both branches of a layer read the same stream, q, k and v lie head by head. */
#include <math.h>

#include "lm/family.h"

static const struct sae_lm_names names = {
    .prefixes = {"gpt_neox.",                               ""              },
    .embed = "embed_in",
    .norm = "final_layer_norm",
    .heads = {                                                           "embed_out"                                        },
    .layer = "layers.%zu.",
    .norms = {                   "input_layernorm",                                     NULL, "post_attention_layernorm", NULL},
    .qkv = {                                                                                     "attention.query_key_value"                   },
    .out = "attention.dense",
    .up = "mlp.dense_h_to_4h",
    .down = "mlp.dense_4h_to_h",
    .qkv_layout = SAE_LM_BY_HEAD,
 /* tables of frequencies and of the causal mask in older files */
    .ignored_ends = { ".rotary_emb.inv_freq", ".attention.bias",                                                     ".attention.masked_bias"},
};

static enum sae_status read(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    static const struct sae_lm_rope_rules rope = {
        .scalings = 1U << SAE_LM_LINEAR,
        .theta = 1e4,
        .share = 0.25,
        .theta_key = "rotary_emb_base",
        .share_key = "rotary_pct",
    };
    SAE_TRY(sae_lm_read_act(keys, "hidden_act", "gelu"));
    SAE_TRY(sae_lm_read_tied(c, keys, false));
    SAE_TRY(sae_lm_read_shape(c, keys, true));
    if (c->K != c->H)
        return sae_err_set(keys->err, SAE_EFORMAT,
                           "'num_key_value_heads' is %zu, expected no such key", c->K);
    SAE_TRY(sae_lm_key_positive(keys, &c->norm_eps, "layer_norm_eps", 1));
    SAE_TRY(sae_lm_rope_read(c, keys, &rope));
    SAE_TRY(sae_lm_key_must(keys, "attention_bias", true, "as in every GPT-NeoX"));
    SAE_TRY(sae_lm_key_flag(keys, &c->parallel, "use_parallel_residual", true));
    c->score_scale = 1 / sqrt((double)c->head_dim);
    c->embed_scale = 1;
    c->norm = SAE_LM_LAYER;
    c->act = SAE_LM_GELU;
    c->qkv_bias = c->out_bias = c->mlp_bias = true;
    c->window = c->max_context;
    return sae_lm_read_tokens(c, keys);
}

/* q, k and v are stacked by llama.cpp's converter. */
static const struct sae_lm_names gguf_names = {
    SAE_LM_GGUF_NAMES,
    .norms = {"attn_norm", NULL, "ffn_norm", NULL},
    .qkv = {"attn_qkv"},
};

static const struct sae_lm_gguf_key gguf_keys[] = {
    SAE_LM_GGUF_SHAPE,
    {"attention.layer_norm_epsilon", "layer_norm_eps",        false},
    {"use_parallel_residual",        "use_parallel_residual", false},
    {"rope.freq_base",               "rotary_emb_base",       true },
    {0}
};

static const struct sae_lm_gguf gguf = {
    .arch = "gptneox",
    .fixed = "{\"hidden_act\": \"gelu\", \"rotary_pct\": 1.0}",
    .keys = gguf_keys,
    .names = &gguf_names,
    .share = "rotary_pct",
};

const struct sae_lm_family sae_lm_gpt_neox = {
    .model_type = "gpt_neox",
    .title = "GPT-NeoX",
    .read = read,
    .names = &names,
    .gguf = &gguf,
};
