/* SPDX-License-Identifier: MIT */
/* family : the table, and what several families read.
 *
 * Contents:  1. the table   2. parts of config.json */
#include "lm/family.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- 1. the table --------------------------------------------------------------------------- */

static const struct sae_lm_family *const families[] = {
    &sae_lm_gemma2, &sae_lm_gemma3, &sae_lm_gemma3_text, &sae_lm_llama, &sae_lm_mistral,
    &sae_lm_qwen2,  &sae_lm_qwen3,  &sae_lm_gpt_neox,    &sae_lm_gpt2,
};
enum { N_FAMILIES = sizeof families / sizeof *families };

const struct sae_lm_family *sae_lm_family_find(const char *model_type)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (strcmp(families[i]->model_type, model_type) == 0)
            return families[i];
    return NULL;
}

void sae_lm_family_list(char *text, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < N_FAMILIES && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", i == 0 ? "" : ", ",
                               families[i]->model_type);
}

const struct sae_lm_family *sae_lm_family_of_gguf(const char *arch)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (families[i]->gguf && strcmp(families[i]->gguf->arch, arch) == 0)
            return families[i];
    return NULL;
}

void sae_lm_family_list_gguf(char *text, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < N_FAMILIES && at < size; i++)
        if (families[i]->gguf)
            at += (size_t)snprintf(text + at, size - at, "%s%s", at == 0 ? "" : ", ",
                                   families[i]->gguf->arch);
}

/* --- 2. parts of config.json ---------------------------------------------------------------- */

static enum sae_status read_heads(struct sae_lm_config *c, struct sae_lm_keys *keys, bool lax)
{
    SAE_TRY(sae_lm_key_size(keys, &c->H, "num_attention_heads", 1, 1024));
    if (!lax) {
        SAE_TRY(sae_lm_key_size(keys, &c->K, "num_key_value_heads", 1, 1024));
        SAE_TRY(sae_lm_key_size(keys, &c->head_dim, "head_dim", 2, 4096));
    } else {
        SAE_TRY(sae_lm_key_size_or(keys, &c->K, "num_key_value_heads", 1, 1024, c->H));
        SAE_TRY(sae_lm_key_size_or(keys, &c->head_dim, "head_dim", 2, 4096, 0));
        if (c->head_dim == 0 && c->D % c->H != 0)
            return sae_lm_key_wrong(keys, "num_attention_heads",
                                    json_object_get(keys->root, "num_attention_heads"),
                                    "a divisor of the width, as no 'head_dim' is given");
        c->head_dim = c->head_dim ? c->head_dim : c->D / c->H;
    }
    if (c->H % c->K != 0)
        return sae_err_set(keys->err, SAE_EFORMAT,
                           "'num_key_value_heads' is %zu, expected a divisor of "
                           "'num_attention_heads' %zu",
                           c->K, c->H);
    if (c->head_dim % 2 != 0)
        return sae_err_set(keys->err, SAE_EFORMAT, "'head_dim' is %zu, expected an even number",
                           c->head_dim);
    return SAE_OK;
}

enum sae_status sae_lm_read_shape(struct sae_lm_config *c, struct sae_lm_keys *keys, bool lax)
{
    SAE_TRY(sae_lm_key_size(keys, &c->V, "vocab_size", 1, (size_t)1 << 24));
    SAE_TRY(sae_lm_key_size(keys, &c->D, "hidden_size", 1, 65536));
    SAE_TRY(sae_lm_key_size(keys, &c->F, "intermediate_size", 1, 1 << 20));
    SAE_TRY(sae_lm_key_size(keys, &c->L, "num_hidden_layers", 1, SAE_LM_LAYERS_MAX));
    SAE_TRY(read_heads(c, keys, lax));
    return sae_lm_key_size(keys, &c->max_context, "max_position_embeddings", 1, 1 << 24);
}

enum sae_status sae_lm_read_act(struct sae_lm_keys *keys, const char *key, const char *wanted)
{
    const json_t *act = sae_lm_key(keys, key);
    char expected[80];
    if (json_is_string(act) && strcmp(json_string_value(act), wanted) == 0)
        return SAE_OK;
    (void)snprintf(expected, sizeof expected, "\"%s\"", wanted);
    return sae_lm_key_wrong(keys, key, act, expected);
}

enum sae_status sae_lm_read_tokens(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    const json_t *eos = sae_lm_key(keys, "eos_token_id");
    SAE_TRY(sae_lm_key_token(keys, &c->bos, "bos_token_id", c->V, NULL));
    c->eos = c->bos;
    if (json_is_array(eos))
        eos = json_array_get(eos, 0);
    if (json_is_integer(eos) && json_integer_value(eos) >= 0 &&
        json_integer_value(eos) < (json_int_t)c->V)
        c->eos = (uint32_t)json_integer_value(eos);
    else if (eos)
        return sae_lm_key_wrong(keys, "eos_token_id", eos, "a token id below vocab_size");
    return sae_lm_key_token(keys, &c->pad, "pad_token_id", c->V, &c->eos);
}

enum sae_status sae_lm_read_layer_types(struct sae_lm_config *c, struct sae_lm_keys *keys)
{
    const json_t *types = sae_lm_key(keys, "layer_types");
    if (!types)
        return SAE_OK;
    if (!json_is_array(types) || json_array_size(types) != c->L) {
        char expected[80];
        (void)snprintf(expected, sizeof expected, "a list of num_hidden_layers %zu words", c->L);
        return sae_lm_key_wrong(keys, "layer_types", types, expected);
    }
    for (size_t i = 0; i < c->L; i++) {
        const json_t *type = json_array_get(types, i);
        const char *s = json_is_string(type) ? json_string_value(type) : "";
        c->sliding[i] = strcmp(s, "sliding_attention") == 0;
        if (!c->sliding[i] && strcmp(s, "full_attention") != 0)
            return sae_lm_key_wrong(keys, "layer_types", type,
                                    "\"sliding_attention\" or \"full_attention\"");
    }
    return SAE_OK;
}

enum sae_status sae_lm_read_tied(struct sae_lm_config *c, struct sae_lm_keys *keys, bool absent)
{
    bool tied;
    SAE_TRY(sae_lm_key_flag(keys, &tied, "tie_word_embeddings", absent));
    c->own_head = !tied;
    return SAE_OK;
}

enum sae_status sae_lm_read_llama(struct sae_lm_config *c, struct sae_lm_keys *keys,
                                  const struct sae_lm_rope_rules *rope)
{
    SAE_TRY(sae_lm_read_act(keys, "hidden_act", "silu"));
    SAE_TRY(sae_lm_read_tied(c, keys, false));
    SAE_TRY(sae_lm_key_positive(keys, &c->norm_eps, "rms_norm_eps", 1));
    SAE_TRY(sae_lm_rope_read(c, keys, rope));
    c->score_scale = 1 / sqrt((double)c->head_dim);
    c->embed_scale = 1;
    c->norm = SAE_LM_RMS;
    c->act = SAE_LM_SILU;
    c->gated = true;
    return SAE_OK;
}
