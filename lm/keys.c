/* SPDX-License-Identifier: MIT */
/* keys : see the header.
 *
 * Contents:  1. values   2. unread keys */
#include "lm/keys.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_LEN = 80 };

enum sae_status sae_lm_keys_open(struct sae_lm_keys *keys, const json_t *root, const char *path,
                                 struct sae_err *err)
{
    if (!json_is_object(root))
        return sae_err_set(err, SAE_EFORMAT, "%.60s is no JSON object", *path ? path : "this file");
    *keys = (struct sae_lm_keys){
        .root = root, .unread = json_copy((json_t *)(uintptr_t)root), .path = path, .err = err};
    return keys->unread ? SAE_OK : sae_err_set(err, SAE_ENOMEM, "a copy of config.json");
}

void sae_lm_keys_close(struct sae_lm_keys *keys)
{
    json_decref(keys->unread);
    keys->unread = NULL;
}

/* --- 1. values ------------------------------------------------------------------------------ */

const json_t *sae_lm_key(struct sae_lm_keys *keys, const char *name)
{
    const json_t *value = json_object_get(keys->root, name);
    (void)json_object_del(keys->unread, name);
    return json_is_null(value) ? NULL : value;
}

/* A value as JSON text for a message. */
static const char *show(char text[TEXT_LEN], const json_t *value)
{
    if (!value)
        return "nothing";
    char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    (void)snprintf(text, TEXT_LEN, "%s", dump ? dump : "?");
    free(dump);
    return text;
}

enum sae_status sae_lm_key_wrong(const struct sae_lm_keys *keys, const char *name,
                                 const json_t *value, const char *expected)
{
    char text[TEXT_LEN];
    if (!value)
        value = json_object_get(keys->root, name); /* null is shown as such */
    return sae_err_set(keys->err, SAE_EFORMAT, "'%s%s' is %s, expected %s", keys->path, name,
                       show(text, value), expected);
}

enum sae_status sae_lm_key_size(struct sae_lm_keys *keys, size_t *ret, const char *name, size_t min,
                                size_t max)
{
    const json_t *value = sae_lm_key(keys, name);
    const json_int_t v = json_integer_value(value);
    if (!json_is_integer(value) || v < (json_int_t)min || v > (json_int_t)max) {
        char expected[TEXT_LEN];
        (void)snprintf(expected, sizeof expected, "a whole number in %zu ... %zu", min, max);
        return sae_lm_key_wrong(keys, name, value, expected);
    }
    *ret = (size_t)v;
    return SAE_OK;
}

enum sae_status sae_lm_key_size_or(struct sae_lm_keys *keys, size_t *ret, const char *name,
                                   size_t min, size_t max, size_t absent)
{
    *ret = absent;
    return sae_lm_key(keys, name) ? sae_lm_key_size(keys, ret, name, min, max) : SAE_OK;
}

enum sae_status sae_lm_key_positive(struct sae_lm_keys *keys, double *ret, const char *name,
                                    double max)
{
    const json_t *value = sae_lm_key(keys, name);
    const double v = json_number_value(value);
    if (!json_is_number(value) || !(v > 0 && v <= max)) {
        char expected[TEXT_LEN];
        (void)snprintf(expected, sizeof expected, "a number above 0, at most %g", max);
        return sae_lm_key_wrong(keys, name, value, expected);
    }
    *ret = v;
    return SAE_OK;
}

enum sae_status sae_lm_key_positive_or(struct sae_lm_keys *keys, double *ret, const char *name,
                                       double max, double absent)
{
    *ret = absent;
    return sae_lm_key(keys, name) ? sae_lm_key_positive(keys, ret, name, max) : SAE_OK;
}

enum sae_status sae_lm_key_flag(struct sae_lm_keys *keys, bool *ret, const char *name, bool absent)
{
    const json_t *value = sae_lm_key(keys, name);
    if (value && !json_is_boolean(value))
        return sae_lm_key_wrong(keys, name, value, "true, false or no such key");
    *ret = value ? json_is_true(value) : absent;
    return SAE_OK;
}

enum sae_status sae_lm_key_must(struct sae_lm_keys *keys, const char *name, bool wanted,
                                const char *why)
{
    const json_t *value = sae_lm_key(keys, name);
    char expected[2 * TEXT_LEN];
    if (!value || (json_is_boolean(value) && json_is_true(value) == wanted))
        return SAE_OK;
    (void)snprintf(expected, sizeof expected, "%s, %s", wanted ? "true" : "false", why);
    return sae_lm_key_wrong(keys, name, value, expected);
}

enum sae_status sae_lm_key_token(struct sae_lm_keys *keys, uint32_t *ret, const char *name,
                                 size_t V, const uint32_t *absent)
{
    const json_t *value = sae_lm_key(keys, name);
    const json_int_t v = value || !absent ? json_integer_value(value) : (json_int_t)*absent;
    if ((value ? !json_is_integer(value) : !absent) || v < 0 || (size_t)v >= V) {
        char expected[TEXT_LEN];
        (void)snprintf(expected, sizeof expected, "a token id below vocab_size %zu", V);
        return sae_lm_key_wrong(keys, name, value, expected);
    }
    *ret = (uint32_t)v;
    return SAE_OK;
}

/* --- 2. unread keys ------------------------------------------------------------------------- */

/* What transformers and those who fine-tune write into config.json and what does not change the
 * numbers of a pass over text: names, initialisation, training, generation, memory. */
static const char *const harmless[] = {
    "_attn_implementation",        "_attn_implementation_autoset",
    "add_cross_attention",         "attention_dropout",
    "attn_implementation",         "attn_pdrop",
    "cross_attention_hidden_size", "embd_pdrop",
    "initializer_range",           "max_window_layers", /* of Qwen, where no window is used */
    "output_attentions",           "pruned_heads",
    "reorder_and_upcast_attn", /* of half precision alone */
    "sliding_window_size",     /* of google's first files; sliding_window is what is read */
    "summary_activation",
};

/* A key with one of these in its name may change the numbers. */
static const char *const telling[] = {
    "act_",     "_act",  "activation", "adapter", "attention", "attn", "bias",     "cap",
    "causal",   "embed", "expert",     "head",    "layer",     "lora", "multipli", "norm",
    "position", "quant", "residual",   "rope",    "rotary",    "scal", "softmax",  "window",
};

static bool is_harmless(const char *name, const json_t *value)
{
    if (json_is_null(value) || json_is_false(value) ||
        (json_is_object(value) && json_object_size(value) == 0))
        return true;
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (strcmp(harmless[i], name) == 0)
            return true;
    return false;
}

enum sae_status sae_lm_keys_end(const struct sae_lm_keys *keys, const char *title)
{
    const char *key;
    json_t *value;
    char expected[3 * TEXT_LEN];
    (void)snprintf(expected, sizeof expected,
                   "no such key: it may change the numbers, and %s is computed without it; take it "
                   "out if it does not",
                   title);
    json_object_foreach(keys->unread, key, value)
    {
        for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++)
            if (!is_harmless(key, value) && strstr(key, telling[i]))
                return sae_lm_key_wrong(keys, key, value, expected);
    }
    return SAE_OK;
}
