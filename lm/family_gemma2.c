/* SPDX-License-Identifier: MIT */
/* family_gemma2 : Gemma-2 (arXiv 2408.00118). Every second layer slides, four norms a layer, scores
 * and logits are capped. */
#include <math.h>

#include "lm/family.h"

static const struct sae_lm_names names = {
    .prefixes = {"model.",                     ""},
    .embed = "embed_tokens",
    .norm = "norm",
    .heads = {"lm_head"                           },
    .layer = "layers.%zu.",
    .norms = {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                 "post_feedforward_layernorm"},
    .qkv = {"self_attn.q_proj",  "self_attn.k_proj", "self_attn.v_proj"},
    .out = "self_attn.o_proj",
    .gate = "mlp.gate_proj",
    .up = "mlp.up_proj",
    .down = "mlp.down_proj",
    .ignored_ends = {".rotary_emb.inv_freq"},
};

const struct sae_lm_turn sae_lm_gemma_turn = {
    .marks = {"<start_of_turn>", "<end_of_turn>"},
    .user = "<start_of_turn>user\n",
    .model = "<end_of_turn>\n<start_of_turn>model\n",
};

/* A soft cap: null = none, but the key must be there. */
static enum sae_status read_cap(struct sae_lm_keys *keys, double *ret, const char *name)
{
    *ret = 0;
    if (json_is_null(json_object_get(keys->root, name)))
        return SAE_OK;
    return sae_lm_key_positive(keys, ret, name, 1e6);
}

static enum sae_status read_act(struct sae_lm_keys *keys)
{
    const bool old = !sae_lm_key(keys, "hidden_activation") && sae_lm_key(keys, "hidden_act");
    (void)sae_lm_key(keys, "hidden_act"); /* of newer files, in which the other is followed */
    return sae_lm_read_act(keys, old ? "hidden_act" : "hidden_activation", "gelu_pytorch_tanh");
}

/* Without layer_types, even layers slide. A null window makes every layer full. */
static enum sae_status read_windows(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    if (json_is_null(json_object_get(keys->root, "sliding_window")))
        c->window = c->max_context;
    else
        SAE_TRY(sae_lm_key_size(keys, &c->window, "sliding_window", 1, 1 << 24));
    for (size_t i = 0; i < c->L; i++)
        c->sliding[i] = i % 2 == 0;
    return sae_lm_read_layer_types(c, keys);
}

static enum sae_status read(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    static const struct sae_lm_rope_rules rope = {.theta_key = "rope_theta"};
    const uint32_t bos = 2;
    double scalar = 0;
    SAE_TRY(read_act(keys));
    SAE_TRY(sae_lm_key_must(keys, "attention_bias", false, "biases are not computed"));
    SAE_TRY(sae_lm_key_must(keys, "use_bidirectional_attention", false,
                            "bidirectional masks are not computed"));
    SAE_TRY(sae_lm_read_tied(c, keys, true));
    SAE_TRY(sae_lm_read_shape(c, keys, false));
    SAE_TRY(sae_lm_key_positive(keys, &scalar, "query_pre_attn_scalar", 1e6));
    SAE_TRY(read_cap(keys, &c->attn_cap, "attn_logit_softcapping"));
    SAE_TRY(read_cap(keys, &c->final_cap, "final_logit_softcapping"));
    SAE_TRY(sae_lm_key_positive(keys, &c->norm_eps, "rms_norm_eps", 1));
    SAE_TRY(sae_lm_rope_read(c, keys, &rope));
    c->score_scale = 1 / sqrt(scalar);
    c->embed_scale = sqrt((double)c->D);
    c->norm = SAE_LM_RMS1P;
    c->act = SAE_LM_GELU_TANH;
    c->gated = c->post_norms = true;
    c->eos = 1;
    c->pad = 0;
    SAE_TRY(sae_lm_key_token(keys, &c->bos, "bos_token_id", c->V, &bos));
    return read_windows(c, keys);
}

static const struct sae_lm_names gguf_names = {
    SAE_LM_GGUF_GATED,
    .norms = {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"},
};

static const struct sae_lm_gguf_key gguf_keys[] = {
    SAE_LM_GGUF_SHAPE,
    SAE_LM_GGUF_RMS,
    {"attention.head_count_kv",  "num_key_value_heads",     false},
    {"attention.key_length",     "head_dim",                false},
    {"attention.sliding_window", "sliding_window",          false},
    {"attn_logit_softcapping",   "attn_logit_softcapping",  false},
    {"final_logit_softcapping",  "final_logit_softcapping", false},
    {"rope.freq_base",           "rope_theta",              true },
    {0}
};

static const struct sae_lm_gguf gguf = {
    .arch = "gemma2",
    .fixed = "{\"hidden_activation\": \"gelu_pytorch_tanh\", \"rope_theta\": 10000}",
    .keys = gguf_keys,
    .names = &gguf_names,
    .largest = 46,
};

const struct sae_lm_family sae_lm_gemma2 = {
    .model_type = "gemma2",
    .title = "Gemma-2",
    .read = read,
    .names = &names,
    .turn = &sae_lm_gemma_turn,
    .is_sentencepiece = true,
    .gguf = &gguf,
};
