/* SPDX-License-Identifier: MIT */
/* config : keys of config.json that change the arithmetic are required or refused by name. A key
 * that is not known here is ignored, but for one whose name says that it may change the arithmetic
 * ("rope", "attn", "norm", ...): that is refused, unless it is null or false.
 *
 * Contents:  1. values   2. unknown keys   3. parts   4. the file */
#include "lm/config.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/name.h"
#include "lib/base/str.h"

#define CONFIG_MAX ((size_t)16 << 20) /* bytes */
enum { LAYERS_MAX = 256, TEXT_LEN = 80 };

/* --- 1. values ------------------------------------------------------------------------------ */

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

/* Every context begins with BOS, so it matters. Absent or null: the family's own id, 2. */
static enum sae_status read_bos(uint32_t *ret, const json_t *root, size_t V, struct sae_err *err)
{
    const json_t *value = json_object_get(root, "bos_token_id");
    const json_int_t v = value == NULL || json_is_null(value) ? 2 : json_integer_value(value);
    if ((value != NULL && !json_is_null(value) && !json_is_integer(value)) || v < 0 ||
        (size_t)v >= V) {
        char expected[TEXT_LEN];
        (void)snprintf(expected, sizeof expected, "a token id below vocab_size %zu", V);
        return wrong("bos_token_id", value, expected, err);
    }
    *ret = (uint32_t)v;
    return SAE_OK;
}

/* --- 2. unknown keys ------------------------------------------------------------------------ */

/* What transformers and those who fine-tune write into Gemma-2's config.json and what does not
 * change the numbers of a pass over text: names, initialisation, training, generation, memory. */
static const char *const harmless[] = {
    "_attn_implementation",
    "_attn_implementation_autoset",
    "add_cross_attention",
    "attention_dropout",
    "attn_implementation",
    "cross_attention_hidden_size",
    "initializer_range",
    "output_attentions",
    "pruned_heads",
    "sliding_window_size", /* of google's first files; sliding_window is what is read */
};

/* Keys that are read here. */
static const char *const used[] = {
    "attention_bias",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "head_dim",
    "hidden_act",
    "hidden_activation",
    "layer_types",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "query_pre_attn_scalar",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "tie_word_embeddings",
    "use_bidirectional_attention",
};

/* A key with one of these in its name may change the numbers. */
static const char *const telling[] = {
    "act_",     "_act",  "activation", "adapter", "attention", "attn",    "bias",     "cap",
    "causal",   "embed", "expert",     "head",    "layer",     "lora",    "multipli", "norm",
    "position", "quant", "rope",       "rotary",  "scal",      "softmax", "window",
};

static bool is_among(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static enum sae_status check_unknown(const json_t *root, struct sae_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)root, key, value)
    {
        if (json_is_null(value) || json_is_false(value) ||
            (json_is_object(value) && json_object_size(value) == 0) ||
            is_among(harmless, sizeof harmless / sizeof harmless[0], key) ||
            is_among(used, sizeof used / sizeof used[0], key))
            continue;
        for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++)
            if (strstr(key, telling[i]) != NULL)
                return wrong(key, value,
                             "no such key: it may change the numbers, and Gemma-2 is computed "
                             "without it; take it out if it does not",
                             err);
    }
    return SAE_OK;
}

/* --- 3. parts ------------------------------------------------------------------------------- */

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
    return check_unknown(root, err);
}

static enum sae_status read_shape(struct sae_lm_config *c, const json_t *root, struct sae_err *err)
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

/* Of rope_parameters, or of rope_scaling, its older name: everything but the base must say that
 * positions are not scaled. */
static enum sae_status check_rope(const json_t *rope, const char *name, struct sae_err *err)
{
    const char *key;
    json_t *value;
    char path[TEXT_LEN];
    if (!json_is_object(rope))
        return wrong(name, rope, "an object", err);
    json_object_foreach((json_t *)rope, key, value)
    {
        const bool is_type = strcmp(key, "rope_type") == 0 || strcmp(key, "type") == 0;
        const bool is_share = strcmp(key, "partial_rotary_factor") == 0;
        (void)snprintf(path, sizeof path, "%.30s.%.40s", name, key);
        if (strcmp(key, "rope_theta") == 0 || json_is_null(value))
            continue;
        if (json_is_object(value))
            return wrong(path, value,
                         "one base for all layers; rotary positions of their own for each kind of "
                         "layer, as Gemma-3 has them, are not computed",
                         err);
        if (is_type && json_is_string(value) && strcmp(json_string_value(value), "default") == 0)
            continue;
        if (is_share && json_number_value(value) == 1)
            continue;
        return wrong(path, value,
                     is_type    ? "\"default\", scaled rotary positions are not computed"
                     : is_share ? "1, partly rotated heads are not computed"
                                : "no such key, scaled rotary positions are not computed",
                     err);
    }
    return SAE_OK;
}

/* rope_theta stands at the top, or in rope_parameters in newer files. */
static enum sae_status read_rope(struct sae_lm_config *c, const json_t *root, struct sae_err *err)
{
    static const char *const names[] = {"rope_scaling", "rope_parameters"};
    const json_t *nested = NULL, *const top = json_object_get(root, "rope_theta");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const json_t *rope = json_object_get(root, names[i]);
        if (rope == NULL || json_is_null(rope))
            continue;
        SAE_TRY(check_rope(rope, names[i], err));
        if (json_object_get(rope, "rope_theta") != NULL)
            nested = rope;
    }
    if (nested == NULL)
        return read_positive(&c->rope_theta, root, "rope_theta", 1e12, err);
    SAE_TRY(read_positive(&c->rope_theta, nested, "rope_theta", 1e12, err));
    if (json_is_number(top) && json_number_value(top) != c->rope_theta)
        return wrong("rope_theta", top,
                     "what rope_parameters says: versions of transformers differ in which they "
                     "follow",
                     err);
    return SAE_OK;
}

static enum sae_status read_numbers(struct sae_lm_config *c, const json_t *root,
                                    struct sae_err *err)
{
    double scalar = 0;
    SAE_TRY(read_positive(&scalar, root, "query_pre_attn_scalar", 1e6, err));
    c->score_scale = 1 / sqrt(scalar);
    SAE_TRY(read_cap(&c->attn_cap, root, "attn_logit_softcapping", err));
    SAE_TRY(read_cap(&c->final_cap, root, "final_logit_softcapping", err));
    SAE_TRY(read_positive(&c->rms_eps, root, "rms_norm_eps", 1, err));
    SAE_TRY(read_rope(c, root, err));
    c->eos = 1;
    c->pad = 0;
    return read_bos(&c->bos, root, c->V, err);
}

/* Without layer_types, even layers slide. A null window makes every layer full. */
static enum sae_status read_layers(struct sae_lm_config *c, const json_t *root, struct sae_err *err)
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

/* --- 4. the file ---------------------------------------------------------------------------- */

static enum sae_status name_folder(char name[256], const char *folder, struct sae_err *err)
{
    char *full = NULL;
    SAE_TRY(sae_name_folder(&full, folder, 0, err));
    (void)snprintf(name, 256, "%s", full);
    free(full);
    return SAE_OK;
}

static enum sae_status read_root(struct sae_lm_config *config, const json_t *root,
                                 struct sae_err *err)
{
    if (!json_is_object(root))
        return sae_err_set(err, SAE_EFORMAT, "not a JSON object");
    SAE_TRY(check_family(root, err));
    const json_t *tied = json_object_get(root, "tie_word_embeddings");
    if (tied != NULL && !json_is_boolean(tied))
        return wrong("tie_word_embeddings", tied, "true, false or no such key", err);
    config->own_head = json_is_false(tied);
    SAE_TRY(read_shape(config, root, err));
    SAE_TRY(read_numbers(config, root, err));
    return read_layers(config, root, err);
}

/* A folder that cannot be a model's: says what was named in its place. */
static enum sae_status check_folder(const char *folder, const char *config, struct sae_err *err)
{
    static const char expected[] = "a model's folder holds config.json, *.safetensors and "
                                   "tokenizer.model";
    const char *const slash = strchr(folder, '/');
    if (!sae_fs_is_dir(folder) && slash != NULL && slash != folder && *folder != '.' &&
        strchr(slash + 1, '/') == NULL)
        return sae_err_set(err, SAE_EIO,
                           "no model folder '%s'; %s. To fetch a model of that name from Hugging "
                           "Face: hf download %s --local-dir %s",
                           folder, expected, sae_str_shell(folder).s, sae_str_shell(slash + 1).s);
    if (!sae_fs_is_dir(folder))
        return sae_err_set(err, SAE_EIO, "no model folder '%s'; %s", folder, expected);
    if (sae_fs_is_file(config))
        return SAE_OK;
    char *index = NULL;
    SAE_TRY(sae_fs_join(&index, folder, "acts.json", err));
    const bool store = sae_fs_is_file(index);
    free(index);
    return sae_err_set(
        err, SAE_EFORMAT, "'%s' %s; %s", folder,
        store ? "is an activation store, not a language model" : "holds no config.json", expected);
}

enum sae_status sae_lm_config_read(struct sae_lm_config *config, const char *folder,
                                   struct sae_err *err)
{
    char *path = NULL, *text = NULL;
    json_t *root = NULL;
    size_t len = 0;
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&path, folder, "config.json", err));
    SAE_GO(st, check_folder(folder, path, err));
    SAE_GO(st, sae_fs_read(&text, &len, path, CONFIG_MAX, err));
    json_error_t why;
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is not valid JSON: line %d: %s", path, why.line,
                         why.text);
        goto done;
    }
    struct sae_lm_config found = {0};
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
