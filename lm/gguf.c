/* SPDX-License-Identifier: MIT */
/* gguf : metadata as config.json. What the format leaves out follows llama.cpp.
 *
 * Contents:  1. keys   2. rotary positions   3. the config */
#include "lm/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/str.h"
#include "lib/file/gguf.h"
#include "lm/family.h"

enum { KEY_LEN = 200 };

bool sae_lm_is_gguf(const char *path)
{
    return sae_fs_is_file(path);
}

/* What one file is read from and into. */
struct source {
    const json_t *meta;
    const struct sae_st *st;
    const struct sae_lm_family *family;
    const struct sae_lm_gguf *rules;
    json_t *root; /* the config.json */
    struct sae_err *err;
};

/* --- 1. keys -------------------------------------------------------------------------------- */

/* "ARCH.key" */
static const json_t *value_of(const struct source *s, const char *key)
{
    char name[KEY_LEN];
    (void)snprintf(name, sizeof name, "%s.%s", s->rules->arch, key);
    return json_object_get(s->meta, name);
}

static enum sae_status put(const struct source *s, const char *name, json_t *value)
{
    if (json_object_set_new(s->root, name, value) == 0)
        return SAE_OK;
    return sae_err_set(s->err, SAE_ENOMEM, "'%s' of a config", name);
}

static enum sae_status refuse(const struct source *s, const char *name, const json_t *value,
                              const char *expected)
{
    char *const text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    const enum sae_status st = sae_err_set(s->err, SAE_EFORMAT, "'%s' is %.80s, expected %s", name,
                                           text ? text : "?", expected);
    free(text);
    return st;
}

static enum sae_status refuse_key(const struct source *s, const char *key, const char *expected)
{
    char name[KEY_LEN];
    (void)snprintf(name, sizeof name, "%s.%s", s->rules->arch, key);
    return refuse(s, name, value_of(s, key), expected);
}

/* Keys of every family that are read below, or change nothing. */
static bool is_common(const char *key)
{
    static const char *const common[] = {
        "attention.causal",  "attention.value_length", "rope.dimension_count",
        "rope.scaling.type", "rope.scaling.factor",    "rope.scaling.original_context_length",
        "vocab_size",        "rope.scaling.finetuned", "tensor_data_layout",
        "rope.scale_linear",
    };
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (strcmp(common[i], key) == 0)
            return true;
    return false;
}

static const struct sae_lm_gguf_key *find_key(const struct sae_lm_gguf *rules, const char *key)
{
    for (const struct sae_lm_gguf_key *k = rules->keys; k->key; k++)
        if (strcmp(k->key, key) == 0)
            return k;
    return NULL;
}

/* A key of the architecture that no row has would change the numbers; 0 stands for none. */
static enum sae_status check_known(const struct source *s)
{
    const size_t n = strlen(s->rules->arch);
    char expected[KEY_LEN];
    const char *name;
    json_t *value;
    (void)snprintf(expected, sizeof expected,
                   "no such key: it may change the numbers, and %s is computed without it",
                   s->family->title);
    json_object_foreach((json_t *)(uintptr_t)s->meta, name, value)
    {
        if (strncmp(name, s->rules->arch, n) != 0 || name[n] != '.' || is_common(name + n + 1) ||
            find_key(s->rules, name + n + 1) ||
            (json_is_number(value) && json_number_value(value) == 0))
            continue;
        return refuse(s, name, value, expected);
    }
    return SAE_OK;
}

static enum sae_status put_keys(const struct source *s)
{
    for (const struct sae_lm_gguf_key *k = s->rules->keys; k->key; k++) {
        const json_t *const value = value_of(s, k->key);
        if (value)
            SAE_TRY(put(s, k->name, json_incref((json_t *)(uintptr_t)value)));
        else if (!k->optional)
            return sae_err_set(s->err, SAE_EFORMAT, "no key '%s.%s'", s->rules->arch, k->key);
    }
    return SAE_OK;
}

/* --- 2. rotary positions -------------------------------------------------------------------- */

static enum sae_status put_scaling(const struct source *s)
{
    static const char *const known[] = {"linear", "yarn"};
    const json_t *const type = value_of(s, "rope.scaling.type"),
                        *factor = value_of(s, "rope.scaling.factor"),
                        *const original = value_of(s, "rope.scaling.original_context_length"),
                        *const old = value_of(s, "rope.scale_linear");
    const char *name = json_string_value(type);
    if (!factor)
        factor = old;
    if (!type && factor)
        name = json_number_value(factor) == 1 ? NULL : "linear";
    if ((type && !name) ||
        (name && strcmp(name, "none") == 0 && factor && json_number_value(factor) != 1))
        return refuse_key(s, "rope.scaling.type",
                          "\"none\" without a factor, \"linear\", \"yarn\"");
    if (!name || strcmp(name, "none") == 0)
        return SAE_OK;
    if (strcmp(name, known[0]) != 0 && strcmp(name, known[1]) != 0)
        return refuse_key(s, "rope.scaling.type", "\"none\", \"linear\" or \"yarn\"");
    json_t *const object = json_pack("{s:s, s:O*}", "rope_type", name, "factor", factor);
    if (object && original && strcmp(name, "yarn") == 0)
        (void)json_object_set(object, "original_max_position_embeddings",
                              (json_t *)(uintptr_t)original);
    return put(s, "rope_scaling", object);
}

/* Elements of a head that are rotated: all, or the share that the family reads. */
static enum sae_status put_rotary(const struct source *s)
{
    const json_t *const count = value_of(s, "rope.dimension_count");
    const json_int_t D = json_integer_value(value_of(s, "embedding_length")),
                     H = json_integer_value(value_of(s, "attention.head_count"));
    const json_t *const key = value_of(s, "attention.key_length"), *const width = value_of(
                                                                       s, "attention.value_length");
    const json_int_t d = key ? json_integer_value(key) : H > 0 ? D / H : 0;
    if (width && json_integer_value(width) != d)
        return refuse_key(s, "attention.value_length", "the width of keys");
    if (!count || json_integer_value(count) == d || s->rules->share == NULL) {
        if (count && json_integer_value(count) != d)
            return refuse_key(s, "rope.dimension_count", "the width of a head");
        return count && s->rules->share ? put(s, s->rules->share, json_real(1)) : SAE_OK;
    }
    const json_int_t rotary = json_integer_value(count);
    if (rotary < 2 || rotary > d)
        return refuse_key(s, "rope.dimension_count", "a part of a head");
    double share = (double)rotary / (double)d;
    if ((json_int_t)(share * (double)d) != rotary) /* rounded down there */
        share = ((double)rotary + 0.25) / (double)d;
    return put(s, s->rules->share, json_real(share));
}

/* Llama 3.1: what each frequency is divided by. */
static enum sae_status read_divisors(const struct source *s, struct sae_lm_config *c)
{
    const struct sae_st_tensor *const t = sae_st_find(s->st, "rope_freqs.weight");
    if (!t || !s->rules->divisors)
        return SAE_OK; /* of others refused with the tensors */
    if (t->n != c->rotary / 2 || t->n > SAE_LM_DIVISORS_MAX)
        return sae_err_set(s->err, SAE_EFORMAT,
                           "tensor 'rope_freqs.weight' has %zu elements, expected %zu, at most %d",
                           t->n, c->rotary / 2, SAE_LM_DIVISORS_MAX);
    if (c->rope[0].scaling != SAE_LM_UNSCALED)
        return sae_err_set(s->err, SAE_EFORMAT,
                           "both 'rope_freqs.weight' and 'rope.scaling.type' scale positions");
    sae_st_widen(c->rope[0].divisors, t, 0, t->n);
    for (size_t i = 0; i < t->n; i++)
        if (!(c->rope[0].divisors[i] > 0 && c->rope[0].divisors[i] < 1e9F))
            return sae_err_set(s->err, SAE_EFORMAT,
                               "tensor 'rope_freqs.weight': element %zu is %g, expected above 0", i,
                               (double)c->rope[0].divisors[i]);
    c->rope[0].scaling = SAE_LM_DIVIDED;
    c->rope[1] = c->rope[0];
    return SAE_OK;
}

/* --- 3. the config -------------------------------------------------------------------------- */

/* What tensors tell: the vocabulary, a head of logits of its own, biases. */
static enum sae_status put_found(const struct source *s)
{
    const struct sae_st_tensor *const embed = sae_st_find(s->st, "token_embd.weight");
    if (!embed || embed->rank != 2)
        return sae_err_set(s->err, SAE_EFORMAT, "no tensor 'token_embd.weight' of two dimensions");
    SAE_TRY(put(s, "vocab_size", json_integer((json_int_t)embed->shape[0])));
    SAE_TRY(
        put(s, "tie_word_embeddings", json_boolean(sae_st_find(s->st, "output.weight") == NULL)));
    if (!s->rules->may_bias)
        return SAE_OK;
    SAE_TRY(
        put(s, "attention_bias", json_boolean(sae_st_find(s->st, "blk.0.attn_q.bias") != NULL)));
    return put(s, "mlp_bias", json_boolean(sae_st_find(s->st, "blk.0.ffn_up.bias") != NULL));
}

static enum sae_status put_tokens(const struct source *s)
{
    static const char *const keys[][2] = {
        {"tokenizer.ggml.bos_token_id",     "bos_token_id"},
        {"tokenizer.ggml.eos_token_id",     "eos_token_id"},
        {"tokenizer.ggml.padding_token_id", "pad_token_id"},
    };
    for (size_t i = 0; i < 3; i++) {
        const json_t *const value = json_object_get(s->meta, keys[i][0]);
        if (value)
            SAE_TRY(put(s, keys[i][1], json_incref((json_t *)(uintptr_t)value)));
    }
    return SAE_OK;
}

/* Gemma scales scores by the width of a head, its largest model by width / heads. */
static enum sae_status put_scale(const struct source *s)
{
    const json_int_t L = json_integer_value(value_of(s, "block_count")),
                     D = json_integer_value(value_of(s, "embedding_length")),
                     H = json_integer_value(value_of(s, "attention.head_count"));
    if (s->rules->largest == 0)
        return SAE_OK;
    return put(s, "query_pre_attn_scalar",
               L == s->rules->largest && H > 0
                   ? json_integer(D / H)
                   : json_incref((json_t *)(uintptr_t)value_of(s, "attention.key_length")));
}

static enum sae_status find_family(struct source *s)
{
    const json_t *const arch = json_object_get(s->meta, "general.architecture"),
                        *const type = json_object_get(s->meta, "general.type");
    char expected[300] = "one of ";
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), "model") != 0))
        return refuse(s, "general.type", type, "\"model\"");
    s->family = json_is_string(arch) ? sae_lm_family_of_gguf(json_string_value(arch)) : NULL;
    if (s->family) {
        s->rules = s->family->gguf;
        return SAE_OK;
    }
    sae_lm_family_list_gguf(expected + strlen(expected), sizeof expected - strlen(expected));
    return refuse(s, "general.architecture", arch, expected);
}

static enum sae_status make_root(struct source *s)
{
    const json_t *causal;
    SAE_TRY(find_family(s));
    s->root = json_loads(s->rules->fixed, 0, NULL);
    if (!s->root)
        return sae_err_set(s->err, SAE_ENOMEM, "a config");
    causal = value_of(s, "attention.causal");
    if (causal && !json_is_true(causal))
        return refuse_key(s, "attention.causal", "true");
    SAE_TRY(put(s, "model_type", json_string(s->family->model_type)));
    SAE_TRY(check_known(s));
    SAE_TRY(put_keys(s));
    SAE_TRY(put_scaling(s));
    SAE_TRY(put_rotary(s));
    SAE_TRY(put_found(s));
    SAE_TRY(put_scale(s));
    return put_tokens(s);
}

/* The file's name without its ending. */
static void name_file(char name[256], const char *path)
{
    (void)snprintf(name, 256, "%s", sae_fs_base(path));
    if (sae_str_ends(name, ".gguf"))
        name[strlen(name) - strlen(".gguf")] = '\0';
}

enum sae_status sae_lm_gguf_config(struct sae_lm_config *config, struct sae_st **ret,
                                   const char *path, struct sae_err *err)
{
    json_t *meta = NULL;
    struct sae_st *tensors = NULL;
    struct sae_lm_config found = {0};
    struct source s = {.err = err};
    enum sae_status st;
    SAE_TRY(sae_gguf_open(&meta, &tensors, path, err));
    s.meta = meta;
    s.st = tensors;
    SAE_GO(st, make_root(&s));
    SAE_GO(st, sae_lm_config_parse(&found, s.root, err));
    SAE_GO(st, read_divisors(&s, &found));
    found.names = s.rules->names;
    if (found.norm == SAE_LM_RMS1P) /* llama.cpp's converter stores 1 + w */
        found.norm = SAE_LM_RMS;
    name_file(found.name, path);
    *config = found;
    if (ret) {
        *ret = tensors;
        tensors = NULL;
    }
done:
    if (st != SAE_OK)
        (void)sae_err_prefix(err, "'%s'", path);
    json_decref(s.root);
    json_decref(meta);
    sae_st_close(tensors);
    return st;
}
