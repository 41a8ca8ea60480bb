/* SPDX-License-Identifier: MIT */
/* family_llama : Llama 2 and 3 and what follows them (SmolLM2 ...), and Mistral, which is Llama
 * whose layers all slide. */
#include "lm/family.h"

static const struct sae_lm_names names = {
    SAE_LM_LLAMA_NAMES,
};

static enum sae_status read_body(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    static const struct sae_lm_rope_rules rope = {
        .scalings = 1U << SAE_LM_LINEAR | 1U << SAE_LM_LLAMA3,
        .theta = 1e4,
        .theta_key = "rope_theta",
    };
    SAE_TRY(sae_lm_read_shape(c, keys, true));
    SAE_TRY(sae_lm_read_llama(c, keys, &rope));
    c->window = c->max_context;
    return sae_lm_read_tokens(c, keys);
}

static enum sae_status read_llama(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    SAE_TRY(sae_lm_key_flag(keys, &c->qkv_bias, "attention_bias", false));
    SAE_TRY(sae_lm_key_flag(keys, &c->mlp_bias, "mlp_bias", false));
    c->out_bias = c->qkv_bias;
    return read_body(c, keys);
}

static enum sae_status read_mistral(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    SAE_TRY(read_body(c, keys));
    SAE_TRY(sae_lm_key_size_or(keys, &c->window, "sliding_window", 1, 1 << 24, c->max_context));
    for (size_t i = 0; i < c->L; i++)
        c->sliding[i] = true;
    return SAE_OK;
}

static const struct sae_lm_names gguf_names = {
    SAE_LM_GGUF_LLAMA,
    .qkv_layout = SAE_LM_PAIRED,
    .ignored_ends = {"rope_freqs.weight"}, /* read with the config */
};

static const struct sae_lm_gguf_key gguf_keys[] = {
    SAE_LM_GGUF_SHAPE,
    SAE_LM_GGUF_RMS,
    SAE_LM_GGUF_LAX,
    {0}
};

static const struct sae_lm_gguf gguf = {
    .arch = "llama",
    .fixed = "{\"hidden_act\": \"silu\"}",
    .keys = gguf_keys,
    .names = &gguf_names,
    .may_bias = true,
    .divisors = true,
};

const struct sae_lm_family sae_lm_llama = {
    .model_type = "llama",
    .title = "Llama",
    .read = read_llama,
    .names = &names,
    .gguf = &gguf,
};

const struct sae_lm_family sae_lm_mistral = {
    .model_type = "mistral",
    .title = "Mistral",
    .read = read_mistral,
    .names = &names,
};
