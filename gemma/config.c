/* SPDX-License-Identifier: MIT */
/* config : keys of config.json that change the arithmetic are required or refused by name;
 * all others are ignored. */
#include "gemma/config.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/name.h"

#define CONFIG_MAX ((size_t)16 << 20) /* bytes */
enum { LAYERS_MAX = 256, TEXT_LEN = 80 };

/* --- values --------------------------------------------------------------------------------- */

/* A value as JSON text for a message. */
static const char *show(char text[TEXT_LEN], const json_t *value)
{
    if (value == NULL)
        return "nothing";
    char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    (void)snprintf(text, TEXT_LEN, "%s", dump == NULL ? "?" : dump);
    free(dump);
    return text;
}

static enum sae_status wrong(const char *key, const json_t *value, const char *expected,
                             struct sae_err *err)
{
    char text[TEXT_LEN];
    return sae_err_set(err, SAE_EFORMAT, "'%s' is %s, expected %s", key, show(text, value),
                       expected);
}

static enum sae_status read_size(size_t *ret, const json_t *root, const char *key, size_t min,
                                 size_t max, struct sae_err *err)
{
    const json_t *value = json_object_get(root, key);
    const json_int_t v = json_integer_value(value);
    if (!json_is_integer(value) || v < (json_int_t)min || v > (json_int_t)max) {
        char expected[TEXT_LEN];
        (void)snprintf(expected, sizeof expected, "a whole number in %zu ... %zu", min, max);
        return wrong(key, value, expected, err);
    }
    *ret = (size_t)v;
    return SAE_OK;
}

static enum sae_status read_positive(double *ret, const json_t *root, const char *key, double max,
                                     struct sae_err *err)
{
    const json_t *value = json_object_get(root, key);
    const double v = json_number_value(value);
    if (!json_is_number(value) || !(v > 0 && v <= max)) {
        char expected[TEXT_LEN];
        (void)snprintf(expected, sizeof expected, "a number above 0, at most %g", max);
        return wrong(key, value, expected, err);
    }
    *ret = v;
    return SAE_OK;
}

/* A soft cap: null = none, but the key must be there. */
static enum sae_status read_cap(double *ret, const json_t *root, const char *key,
                                struct sae_err *err)
{
    *ret = 0;
    if (json_is_null(json_object_get(root, key)))
        return SAE_OK;
    return read_positive(ret, root, key, 1e6, err);
}

/* Absent or null: the family's own id. A list (newer eos): its first id. */
static enum sae_status read_id(uint32_t *ret, const json_t *root, const char *key, uint32_t def,
                               size_t V, struct sae_err *err)
{
    const json_t *value = json_object_get(root, key);
    if (json_is_array(value) && json_array_size(value) > 0)
        value = json_array_get(value, 0);
    *ret = def;
    const json_int_t v = value == NULL || json_is_null(value) ? def : json_integer_value(value);
    if ((value != NULL && !json_is_null(value) && !json_is_integer(value)) || v < 0 ||
        (size_t)v >= V) {
        char expected[TEXT_LEN];
        (void)snprintf(expected, sizeof expected, "a token id below vocab_size %zu", V);
        return wrong(key, value, expected, err);
    }
    *ret = (uint32_t)v;
    return SAE_OK;
}

/* --- parts ---------------------------------------------------------------------------------- */

static enum sae_status check_family(const json_t *root, struct sae_err *err)
{
    const json_t *type = json_object_get(root, "model_type");
    if (!json_is_string(type) || strcmp(json_string_value(type), "gemma2") != 0)
        return wrong("model_type", type, "\"gemma2\", the one family this program computes", err);
    const char *act_key = "hidden_activation";
    const json_t *act = json_object_get(root, act_key);
    if (act == NULL || json_is_null(act)) {
        act_key = "hidden_act";
        act = json_object_get(root, act_key);
    }
    if (act == NULL)
        return wrong("hidden_activation", act, "\"gelu_pytorch_tanh\"", err);
    if (!json_is_string(act) || strcmp(json_string_value(act), "gelu_pytorch_tanh") != 0)
        return wrong(act_key, act, "\"gelu_pytorch_tanh\"", err);
    static const char *const off[] = {"attention_bias", "use_bidirectional_attention"};
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        const json_t *value = json_object_get(root, off[i]);
        if (value != NULL && !json_is_null(value) && !json_is_false(value))
            return wrong(off[i], value, "false, biases and bidirectional masks are not supported",
                         err);
    }
    const json_t *tied = json_object_get(root, "tie_word_embeddings");
    if (tied != NULL && !json_is_true(tied))
        return wrong("tie_word_embeddings", tied, "true or no such key", err);
    const json_t *scaling = json_object_get(root, "rope_scaling");
    if (scaling != NULL && !json_is_null(scaling))
        return wrong("rope_scaling", scaling, "null, scaled rotary positions are not supported",
                     err);
    return SAE_OK;
}

static enum sae_status read_shape(struct gemma_config *c, const json_t *root, struct sae_err *err)
{
    SAE_TRY(read_size(&c->V, root, "vocab_size", 1, (size_t)1 << 24, err));
    SAE_TRY(read_size(&c->D, root, "hidden_size", 1, 65536, err));
    SAE_TRY(read_size(&c->F, root, "intermediate_size", 1, 1 << 20, err));
    SAE_TRY(read_size(&c->L, root, "num_hidden_layers", 1, LAYERS_MAX, err));
    SAE_TRY(read_size(&c->H, root, "num_attention_heads", 1, 1024, err));
    SAE_TRY(read_size(&c->K, root, "num_key_value_heads", 1, 1024, err));
    SAE_TRY(read_size(&c->head_dim, root, "head_dim", 2, 4096, err));
    if (c->H % c->K != 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "'num_key_value_heads' is %zu, expected a divisor of "
                           "'num_attention_heads' %zu",
                           c->K, c->H);
    if (c->head_dim % 2 != 0)
        return sae_err_set(err, SAE_EFORMAT, "'head_dim' is %zu, expected an even number",
                           c->head_dim);
    return read_size(&c->max_context, root, "max_position_embeddings", 1, 1 << 24, err);
}

/* rope_theta stands at the top, or in rope_parameters in newer files. */
static enum sae_status read_rope(struct gemma_config *c, const json_t *root, struct sae_err *err)
{
    const json_t *nested = json_object_get(root, "rope_parameters");
    if (nested == NULL || json_is_null(nested))
        return read_positive(&c->rope_theta, root, "rope_theta", 1e12, err);
    if (!json_is_object(nested))
        return wrong("rope_parameters", nested, "an object", err);
    const json_t *type = json_object_get(nested, "rope_type");
    if (type != NULL && (!json_is_string(type) || strcmp(json_string_value(type), "default") != 0))
        return wrong("rope_type", type, "\"default\"", err);
    if (json_object_get(nested, "rope_theta") == NULL)
        return read_positive(&c->rope_theta, root, "rope_theta", 1e12, err);
    return read_positive(&c->rope_theta, nested, "rope_theta", 1e12, err);
}

static enum sae_status read_numbers(struct gemma_config *c, const json_t *root, struct sae_err *err)
{
    double scalar = 0;
    SAE_TRY(read_positive(&scalar, root, "query_pre_attn_scalar", 1e6, err));
    c->score_scale = 1 / sqrt(scalar);
    SAE_TRY(read_cap(&c->attn_cap, root, "attn_logit_softcapping", err));
    SAE_TRY(read_cap(&c->final_cap, root, "final_logit_softcapping", err));
    SAE_TRY(read_positive(&c->rms_eps, root, "rms_norm_eps", 1, err));
    SAE_TRY(read_rope(c, root, err));
    SAE_TRY(read_id(&c->bos, root, "bos_token_id", 2, c->V, err));
    SAE_TRY(read_id(&c->eos, root, "eos_token_id", 1, c->V, err));
    return read_id(&c->pad, root, "pad_token_id", 0, c->V, err);
}

/* Without layer_types, even layers slide. A null window makes every layer full. */
static enum sae_status read_layers(struct gemma_config *c, const json_t *root, struct sae_err *err)
{
    const json_t *types = json_object_get(root, "layer_types");
    const json_t *window = json_object_get(root, "sliding_window");
    if (json_is_null(window))
        c->window = c->max_context;
    else
        SAE_TRY(read_size(&c->window, root, "sliding_window", 1, 1 << 24, err));
    if (types == NULL || json_is_null(types)) {
        for (size_t i = 0; i < c->L; i++)
            c->sliding[i] = i % 2 == 0;
        return SAE_OK;
    }
    if (!json_is_array(types) || json_array_size(types) != c->L) {
        char expected[TEXT_LEN];
        (void)snprintf(expected, sizeof expected, "a list of num_hidden_layers %zu words", c->L);
        return wrong("layer_types", types, expected, err);
    }
    for (size_t i = 0; i < c->L; i++) {
        const json_t *type = json_array_get(types, i);
        const char *s = json_is_string(type) ? json_string_value(type) : "";
        c->sliding[i] = strcmp(s, "sliding_attention") == 0;
        if (!c->sliding[i] && strcmp(s, "full_attention") != 0)
            return wrong("layer_types", type, "\"sliding_attention\" or \"full_attention\"", err);
    }
    return SAE_OK;
}

/* --- the file ------------------------------------------------------------------------------- */

static enum sae_status name_folder(char name[256], const char *folder, struct sae_err *err)
{
    char *full = NULL;
    SAE_TRY(sae_name_folder(&full, folder, 0, err));
    (void)snprintf(name, 256, "%s", full);
    free(full);
    return SAE_OK;
}

static enum sae_status read_root(struct gemma_config *config, const json_t *root,
                                 struct sae_err *err)
{
    if (!json_is_object(root))
        return sae_err_set(err, SAE_EFORMAT, "not a JSON object");
    SAE_TRY(check_family(root, err));
    SAE_TRY(read_shape(config, root, err));
    SAE_TRY(read_numbers(config, root, err));
    return read_layers(config, root, err);
}

enum sae_status gemma_config_read(struct gemma_config *config, const char *folder,
                                  struct sae_err *err)
{
    char *path = NULL, *text = NULL;
    json_t *root = NULL;
    size_t len = 0;
    enum sae_status st;
    if (!sae_fs_is_dir(folder))
        return sae_err_set(err, SAE_EIO, "no model folder '%s'", folder);
    SAE_GO(st, sae_fs_join(&path, folder, "config.json", err));
    SAE_GO(st, sae_fs_read(&text, &len, path, CONFIG_MAX, err));
    json_error_t why;
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is not valid JSON: line %d: %s", path, why.line,
                         why.text);
        goto done;
    }
    struct gemma_config found = {0};
    st = read_root(&found, root, err);
    if (st != SAE_OK) {
        (void)sae_err_prefix(err, "'%s'", path);
        goto done;
    }
    SAE_GO(st, name_folder(found.name, folder, err));
    *config = found;
done:
    json_decref(root);
    free(text);
    free(path);
    return st;
}
