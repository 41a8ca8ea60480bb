/* SPDX-License-Identifier: MIT */
/* config : finds config.json, asks the family of its model_type to read it, and refuses the keys
 * that nobody read and that may change the numbers. */
#include "lm/config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/name.h"
#include "lib/base/str.h"
#include "lm/family.h"
#include "lm/gguf.h"
#include "lm/keys.h"

#define CONFIG_MAX ((size_t)16 << 20) /* bytes */

static enum sae_status name_folder(char name[256], const char *folder, struct sae_err *err)
{
    char *full = NULL;
    SAE_TRY(sae_name_folder(&full, folder, 0, err));
    (void)snprintf(name, 256, "%s", full);
    free(full);
    return SAE_OK;
}

static enum sae_status read_keys(struct sae_lm_config *config, struct sae_lm_keys *keys)
{
    const json_t *type = sae_lm_key(keys, "model_type");
    char expected[300] = "one of ";
    config->family = json_is_string(type) ? sae_lm_family_find(json_string_value(type)) : NULL;
    if (config->family == NULL) {
        sae_lm_family_list(expected + strlen(expected), sizeof expected - strlen(expected));
        return sae_lm_key_wrong(keys, "model_type", type, expected);
    }
    const json_t *quantized = sae_lm_key(keys, "quantization_config");
    if (quantized != NULL)
        return sae_lm_key_wrong(keys, "quantization_config", quantized,
                                "no such key, weights are read as F32, BF16 or F16");
    config->names = config->family->names;
    SAE_TRY(config->family->read(config, keys));
    return sae_lm_keys_end(keys, config->family->title);
}

enum sae_status sae_lm_config_parse(struct sae_lm_config *config, const json_t *root,
                                    struct sae_err *err)
{
    struct sae_lm_keys keys = {0};
    if (!json_is_object(root))
        return sae_err_set(err, SAE_EFORMAT, "not a JSON object");
    SAE_TRY(sae_lm_keys_open(&keys, root, "", err));
    const enum sae_status st = read_keys(config, &keys);
    sae_lm_keys_close(&keys);
    return st;
}

/* A folder that cannot be a model's: says what was named in its place. */
static enum sae_status check_folder(const char *folder, const char *config, struct sae_err *err)
{
    static const char expected[] = "a model's folder holds config.json, *.safetensors and "
                                   "tokenizer.model or tokenizer.json";
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
    if (sae_lm_is_gguf(folder))
        return sae_lm_gguf_config(config, NULL, folder, err);
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
    st = sae_lm_config_parse(&found, root, err);
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
