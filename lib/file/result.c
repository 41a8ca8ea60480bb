/* SPDX-License-Identifier: MIT */
/* result : the envelope of an evaluation's JSON. */
#include "lib/file/result.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/digest.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/json.h"

size_t sae_result_stem(const char *name)
{
    static const char *const endings[] = {".h5", ".safetensors", ".pt", ".npz"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (sae_str_ends(name, endings[i]))
            return strlen(name) - strlen(endings[i]);
    return strlen(name);
}

enum sae_status sae_result_path(char **ret, const char *ckpt_path, const char *suffix,
                                struct sae_err *err)
{
    struct sae_str s = {0};
    const size_t n = sae_result_stem(ckpt_path);
    const enum sae_status st = sae_str_printf(&s, err, "%.*s.%s", (int)n, ckpt_path, suffix);
    if (st != SAE_OK)
        sae_str_clear(&s);
    else
        *ret = s.s;
    return st;
}

/* A UUID-shaped name of (evaluation, record, checkpoint): equal inputs, equal id. */
static enum sae_status make_id(char id[37], const struct sae_result_parts *parts,
                               struct sae_err *err)
{
    struct sae_digest digest;
    sae_digest_init(&digest);
    sae_digest_update(&digest, parts->eval_type_id, strlen(parts->eval_type_id) + 1);
    json_t *const hashed[] = {parts->record, parts->checkpoint};
    for (size_t i = 0; i < 2; i++) {
        char *text = json_dumps(hashed[i], JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        if (text == NULL)
            return sae_err_set(err, SAE_ENOMEM, "out of memory (result id)");
        sae_digest_update(&digest, text, strlen(text) + 1);
        free(text);
    }
    char hex[SAE_DIGEST_HEX];
    sae_digest_hex(&digest, hex);
    size_t to = 0;
    for (size_t from = 0; from < 32; from++) {
        if (from == 8 || from == 12 || from == 16 || from == 20)
            id[to++] = '-';
        id[to++] = from == 12 ? '8' : hex[from]; /* version 8: custom (RFC 9562) */
    }
    id[36] = '\0';
    return SAE_OK;
}

static json_int_t epoch_millis(void)
{
    uint64_t seconds = 0;
    const char *fixed = getenv("SOURCE_DATE_EPOCH");
    if (fixed == NULL || !sae_str_u64(fixed, &seconds) || seconds > 9999999999U)
        return 0;
    return (json_int_t)(seconds * 1000);
}

void sae_result_parts_clear(struct sae_result_parts *parts)
{
    json_t *const all[] = {parts->config,  parts->metrics, parts->details,  parts->unstructured,
                           parts->sae_cfg, parts->record,  parts->versions, parts->checkpoint};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        json_decref(all[i]);
    *parts = (struct sae_result_parts){0};
}

enum sae_status sae_result_make(json_t **ret, const struct sae_result_parts *parts,
                                struct sae_err *err)
{
    char id[37];
    SAE_TRY(make_id(id, parts, err));
    const char *release = sae_json_str(parts->checkpoint, "run", "saekit");
    json_t *result = json_pack(
        "{s:s, s:O, s:s, s:I, s:O, s:O, s:s, s:s, s:s, s:n, s:O?, s:O?, s:{s:O, s:O, s:O?}}",
        "eval_type_id", parts->eval_type_id, "eval_config", parts->config, "eval_id", id,
        "datetime_epoch_millis", epoch_millis(), "eval_result_metrics", parts->metrics,
        "eval_result_details", parts->details, "sae_bench_commit_hash", "Unknown", "sae_lens_id",
        "custom_sae", "sae_lens_release_id", release, "sae_lens_version", "sae_cfg_dict",
        parts->sae_cfg, "eval_result_unstructured", parts->unstructured, "saekit", "record",
        parts->record, "checkpoint", parts->checkpoint, "versions", parts->versions);
    if (result == NULL)
        return sae_err_set(err, SAE_ENOMEM, "cannot make the result of '%s'", parts->eval_type_id);
    *ret = result;
    return SAE_OK;
}
