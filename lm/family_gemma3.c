/* SPDX-License-Identifier: MIT */
/* family_gemma3 : Gemma-3 (arXiv 2503.19786), and the text part of its models that see. As Gemma-2,
 * but heads of q and k are normed, nothing is capped, five of six layers slide, and those have
 * rotary positions of their own. */
#include <math.h>
#include <string.h>

#include "lm/family.h"

static const struct sae_lm_names names = {
    /* the text model alone, saved by transformers 5 and by 4 with a vision tower, the bare one */
    .prefixes = {"model.", "model.language_model.", "language_model.model.", ""},
    .embed = "embed_tokens",
    .norm = "norm",
    .heads = {"lm_head", "language_model.lm_head"},
    .layer = "layers.%zu.",
    .norms = {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
              "post_feedforward_layernorm"},
    .head_norms = {"self_attn.q_norm", "self_attn.k_norm"},
    .qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
    .out = "self_attn.o_proj",
    .gate = "mlp.gate_proj",
    .up = "mlp.up_proj",
    .down = "mlp.down_proj",
    .ignored_ends = {".rotary_emb.inv_freq"},
    .ignored_starts = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                       "model.multi_modal_projector."},
};

/* Files of this family leave out what is as in Gemma3TextConfig of transformers: those values are
 * the format's. What does not fit the tensors is found there. */
static enum sae_status read_shape(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    SAE_TRY(sae_lm_key_size_or(keys, &c->V, "vocab_size", 1, (size_t)1 << 24, 262208));
    SAE_TRY(sae_lm_key_size_or(keys, &c->D, "hidden_size", 1, 65536, 2304));
    SAE_TRY(sae_lm_key_size_or(keys, &c->F, "intermediate_size", 1, 1 << 20, 9216));
    SAE_TRY(sae_lm_key_size_or(keys, &c->L, "num_hidden_layers", 1, SAE_LM_LAYERS_MAX, 26));
    SAE_TRY(sae_lm_key_size_or(keys, &c->H, "num_attention_heads", 1, 1024, 8));
    SAE_TRY(sae_lm_key_size_or(keys, &c->K, "num_key_value_heads", 1, 1024, 4));
    SAE_TRY(sae_lm_key_size_or(keys, &c->head_dim, "head_dim", 2, 4096, 256));
    if (c->H % c->K != 0 || c->head_dim % 2 != 0)
        return sae_err_set(keys->err, SAE_EFORMAT,
                           "%zu heads of queries, %zu of keys and 'head_dim' %zu, expected the "
                           "second to divide the first and an even width",
                           c->H, c->K, c->head_dim);
    c->rotary = c->head_dim;
    return sae_lm_key_size_or(keys, &c->max_context, "max_position_embeddings", 1, 1 << 24,
                              131072);
}

/* One kind of layer in rope_parameters of newer files. */
static enum sae_status read_kind(struct sae_lm_rope *rope, const json_t *object, const char *kind,
                                 const char *name, unsigned scalings, struct sae_err *err)
{
    const json_t *const part = json_object_get(object, kind);
    double share = 1;
    if (!part || json_is_null(part))
        return SAE_OK;
    if (!json_is_object(part))
        return sae_err_set(err, SAE_EFORMAT, "'%s' is no object", name);
    SAE_TRY(sae_lm_rope_parse(rope, &share, part, name, scalings, err));
    if (share != 1)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s.partial_rotary_factor' is %g, expected 1, partly rotated heads "
                           "are not computed in this family",
                           name, share);
    return SAE_OK;
}

static enum sae_status read_kinds(struct sae_lm_config *c, struct sae_lm_keys *keys,
                                  const json_t *object)
{
    const char *key;
    json_t *value;
    SAE_TRY(read_kind(&c->rope[0], object, "full_attention", "rope_parameters.full_attention",
                      1U << SAE_LM_LINEAR, keys->err));
    SAE_TRY(read_kind(&c->rope[1], object, "sliding_attention",
                      "rope_parameters.sliding_attention", 0, keys->err));
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (strcmp(key, "full_attention") != 0 && strcmp(key, "sliding_attention") != 0)
            return sae_lm_key_wrong(keys, "rope_parameters", object,
                                    "full_attention and sliding_attention, no other keys");
    }
    return SAE_OK;
}

static enum sae_status read_rope(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    const json_t *const scaling = sae_lm_key(keys, "rope_scaling");
    const json_t *const kinds = sae_lm_key(keys, "rope_parameters");
    double share = 1;
    c->rope[0] = c->rope[1] = (struct sae_lm_rope){.gain = 1};
    SAE_TRY(sae_lm_key_positive_or(keys, &c->rope[0].theta, "rope_theta", 1e12, 1e6));
    SAE_TRY(sae_lm_key_positive_or(keys, &c->rope[1].theta, "rope_local_base_freq", 1e12, 1e4));
    if (scaling && !json_is_object(scaling))
        return sae_lm_key_wrong(keys, "rope_scaling", scaling, "an object");
    if (scaling && kinds)
        return sae_lm_key_wrong(keys, "rope_scaling", scaling,
                                "no such key beside rope_parameters");
    if (scaling)
        SAE_TRY(sae_lm_rope_parse(&c->rope[0], &share, scaling, "rope_scaling",
                                  1U << SAE_LM_LINEAR, keys->err));
    if (share != 1)
        return sae_lm_key_wrong(keys, "rope_scaling", scaling, "wholly rotated heads");
    if (kinds && !json_is_object(kinds))
        return sae_lm_key_wrong(keys, "rope_parameters", kinds, "an object");
    return kinds ? read_kinds(c, keys, kinds) : SAE_OK;
}

/* Every sixth layer, or as sliding_window_pattern says, is full. */
static enum sae_status read_windows(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    size_t pattern, other;
    SAE_TRY(sae_lm_key_size_or(keys, &other, "_sliding_window_pattern", 1, 256, 6));
    SAE_TRY(sae_lm_key_size_or(keys, &pattern, "sliding_window_pattern", 1, 256, other));
    if (json_is_null(json_object_get(keys->root, "sliding_window")))
        return sae_lm_key_wrong(keys, "sliding_window", NULL, "a whole number");
    SAE_TRY(sae_lm_key_size_or(keys, &c->window, "sliding_window", 1, 1 << 24, 4096));
    for (size_t i = 0; i < c->L; i++)
        c->sliding[i] = (i + 1) % pattern != 0;
    return sae_lm_read_layer_types(c, keys);
}

static enum sae_status read_caps(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    static const char *const caps[] = {"attn_logit_softcapping", "final_logit_softcapping"};
    c->attn_cap = c->final_cap = 0;
    for (size_t i = 0; i < 2; i++) {
        const json_t *const cap = sae_lm_key(keys, caps[i]);
        if (cap)
            return sae_lm_key_wrong(keys, caps[i], cap, "null, as in every Gemma-3");
    }
    return SAE_OK;
}

static enum sae_status read_text(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    const uint32_t bos = 2;
    double scalar = 0;
    if (sae_lm_key(keys, "hidden_activation"))
        SAE_TRY(sae_lm_read_act(keys, "hidden_activation", "gelu_pytorch_tanh"));
    if (sae_lm_key(keys, "hidden_act"))
        SAE_TRY(sae_lm_read_act(keys, "hidden_act", "gelu_pytorch_tanh"));
    SAE_TRY(sae_lm_key_must(keys, "attention_bias", false, "biases are not computed"));
    SAE_TRY(sae_lm_key_must(keys, "use_bidirectional_attention", false,
                            "bidirectional masks are not computed"));
    SAE_TRY(sae_lm_read_tied(c, keys, true));
    SAE_TRY(read_shape(c, keys));
    SAE_TRY(sae_lm_key_positive_or(keys, &scalar, "query_pre_attn_scalar", 1e6, 256));
    SAE_TRY(sae_lm_key_positive_or(keys, &c->norm_eps, "rms_norm_eps", 1, 1e-6));
    SAE_TRY(read_caps(c, keys));
    SAE_TRY(read_rope(c, keys));
    c->score_scale = 1 / sqrt(scalar);
    c->embed_scale = sqrt((double)c->D);
    c->norm = SAE_LM_RMS1P;
    c->act = SAE_LM_GELU_TANH;
    c->gated = c->post_norms = c->head_norms = true;
    c->eos = 1;
    c->pad = 0;
    SAE_TRY(sae_lm_key_token(keys, &c->bos, "bos_token_id", c->V, &bos));
    return read_windows(c, keys);
}

/* The text part of a model that sees: pictures are not computed. */
static enum sae_status read_part(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    const json_t *const text = sae_lm_key(keys, "text_config");
    struct sae_lm_keys part = {0};
    enum sae_status st;
    SAE_TRY(sae_lm_key_must(keys, "tie_word_embeddings", true, "as in every Gemma-3"));
    if (!text)
        return sae_lm_key_wrong(keys, "text_config", text, "an object");
    SAE_TRY(sae_lm_keys_open(&part, text, "text_config.", keys->err));
    SAE_GO(st, read_text(c, &part));
    st = sae_lm_keys_end(&part, "Gemma-3");
done:
    sae_lm_keys_close(&part);
    return st;
}

static const struct sae_lm_names gguf_names = {
    SAE_LM_GGUF_GATED,
    .norms = {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"},
    .head_norms = {"attn_q_norm", "attn_k_norm"},
};

static const struct sae_lm_gguf_key gguf_keys[] = {
    SAE_LM_GGUF_SHAPE,
    SAE_LM_GGUF_RMS,
    {"attention.head_count_kv",          "num_key_value_heads",     false},
    {"attention.key_length",             "head_dim",                false},
    {"attention.sliding_window",         "sliding_window",          false},
    {"attention.sliding_window_pattern", "sliding_window_pattern",  true },
    {"attn_logit_softcapping",           "attn_logit_softcapping",  true },
    {"final_logit_softcapping",          "final_logit_softcapping", true },
    {"rope.freq_base",                   "rope_theta",              true },
    {"rope.freq_base_swa",               "rope_local_base_freq",    true },
    {0}
};

static const struct sae_lm_gguf gguf = {
    .arch = "gemma3",
    .fixed = "{\"hidden_activation\": \"gelu_pytorch_tanh\", \"rope_theta\": 10000}",
    .keys = gguf_keys,
    .names = &gguf_names,
    .largest = 62,
};

const struct sae_lm_family sae_lm_gemma3_text = {
    .model_type = "gemma3_text",
    .title = "Gemma-3",
    .read = read_text,
    .names = &names,
    .gguf = &gguf,
    .turn = &sae_lm_gemma_turn,
    .is_sentencepiece = true,
};

const struct sae_lm_family sae_lm_gemma3 = {
    .model_type = "gemma3",
    .title = "Gemma-3",
    .read = read_part,
    .names = &names,
    .turn = &sae_lm_gemma_turn,
    .is_sentencepiece = true,
};
