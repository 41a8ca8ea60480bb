/* SPDX-License-Identifier: MIT */
/* family_qwen : Qwen2 and 2.5 (biases of q, k and v) and Qwen3 (norms of the heads of q and k).
 * Later layers slide, where windows are used at all. */
#include "lm/family.h"

static const struct sae_lm_names names2 = {SAE_LM_LLAMA_NAMES};
static const struct sae_lm_names names3 = {
    SAE_LM_LLAMA_NAMES,
    .head_norms = {"self_attn.q_norm", "self_attn.k_norm"},
};

static enum sae_status read_windows(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    size_t first;
    bool used;
    SAE_TRY(sae_lm_key_flag(keys, &used, "use_sliding_window", false));
    c->window = c->max_context;
    if (!used) {
        (void)sae_lm_key(keys, "sliding_window"); /* there, and not used */
    } else {
        SAE_TRY(sae_lm_key_size(keys, &c->window, "sliding_window", 1, 1 << 24));
        SAE_TRY(sae_lm_key_size(keys, &first, "max_window_layers", 0, 1 << 20));
        for (size_t i = first; i < c->L; i++)
            c->sliding[i] = true;
    }
    return sae_lm_read_layer_types(c, keys);
}

static enum sae_status read_body(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    static const struct sae_lm_rope_rules rope = {
        .scalings = 1U << SAE_LM_LINEAR | 1U << SAE_LM_YARN,
        .theta = 1e4,
        .theta_key = "rope_theta",
    };
    SAE_TRY(sae_lm_read_llama(c, keys, &rope));
    SAE_TRY(sae_lm_read_tokens(c, keys));
    return read_windows(c, keys);
}

static enum sae_status read_qwen2(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    SAE_TRY(sae_lm_read_shape(c, keys, true));
    c->qkv_bias = true;
    return read_body(c, keys);
}

static enum sae_status read_qwen3(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    SAE_TRY(sae_lm_read_shape(c, keys, false));
    SAE_TRY(sae_lm_key_must(keys, "attention_bias", false, "biases are not computed"));
    c->head_norms = true;
    return read_body(c, keys);
}

static const struct sae_lm_names gguf_names2 = {
    SAE_LM_GGUF_LLAMA,
};
static const struct sae_lm_names gguf_names3 = {
    SAE_LM_GGUF_LLAMA,
    .head_norms = {"attn_q_norm", "attn_k_norm"},
};

static const struct sae_lm_gguf_key gguf_keys2[] = {
    SAE_LM_GGUF_SHAPE,
    SAE_LM_GGUF_RMS,
    SAE_LM_GGUF_LAX,
    {0}
};
static const struct sae_lm_gguf_key gguf_keys3[] = {
    SAE_LM_GGUF_SHAPE,
    SAE_LM_GGUF_RMS,
    {"attention.head_count_kv", "num_key_value_heads", false},
    {"attention.key_length",    "head_dim",            false},
    {"rope.freq_base",          "rope_theta",          true },
    {0}
};

static const struct sae_lm_gguf gguf2 = {
    .arch = "qwen2",
    .fixed = "{\"hidden_act\": \"silu\"}",
    .keys = gguf_keys2,
    .names = &gguf_names2,
};
static const struct sae_lm_gguf gguf3 = {
    .arch = "qwen3",
    .fixed = "{\"hidden_act\": \"silu\"}",
    .keys = gguf_keys3,
    .names = &gguf_names3,
};

const struct sae_lm_family sae_lm_qwen2 = {
    .model_type = "qwen2",
    .title = "Qwen2",
    .read = read_qwen2,
    .names = &names2,
    .gguf = &gguf2,
};

const struct sae_lm_family sae_lm_qwen3 = {
    .model_type = "qwen3",
    .title = "Qwen3",
    .read = read_qwen3,
    .names = &names3,
    .gguf = &gguf3,
};
