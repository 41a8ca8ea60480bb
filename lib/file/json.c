/* SPDX-License-Identifier: MIT */
/* json : jansson with messages that name file, line and key. */
#include "lib/file/json.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"

enum { MAX_JSON_BYTES = 1 << 30 };

enum sae_status sae_json_parse(json_t **ret, const char *text, const char *name,
                               struct sae_err *err)
{
    json_error_t why;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (value == NULL)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is not valid JSON: line %d: %s", name, why.line,
                           why.text);
    *ret = value;
    return SAE_OK;
}

enum sae_status sae_json_load(json_t **ret, const char *path, struct sae_err *err)
{
    char *text = NULL;
    size_t len;
    SAE_TRY(sae_fs_read(&text, &len, path, MAX_JSON_BYTES, err));
    enum sae_status st = SAE_OK;
    if (strlen(text) != len)
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is not valid JSON: it holds a NUL byte", path);
    else
        st = sae_json_parse(ret, text, path, err);
    free(text);
    return st;
}

enum sae_status sae_json_save(const char *path, const json_t *value, struct sae_err *err)
{
    /* 17 digits read back equal. */
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    if (text == NULL)
        return sae_err_set(err, SAE_ENOMEM, "cannot write '%s': JSON could not be made", path);
    const size_t len = strlen(text);
    char *with_newline = NULL;
    enum sae_status st = sae_mem_alloc(&with_newline, len + 2, 1, err);
    if (st == SAE_OK) {
        memcpy(with_newline, text, len);
        with_newline[len] = '\n';
        st = sae_fs_write(path, with_newline, len + 1, err);
    }
    free(with_newline);
    free(text);
    return st;
}

enum sae_status sae_json_print(FILE *to, const json_t *value, struct sae_err *err)
{
    const size_t form = JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17);
    if (json_dumpf(value, to, form) != 0 || fputc('\n', to) == EOF)
        return sae_err_set(err, SAE_EIO, "cannot write the answer");
    return SAE_OK;
}

enum sae_status sae_json_print_answers(FILE *to, const json_t *answers, struct sae_err *err)
{
    const bool alone = json_array_size(answers) == 1;
    return sae_json_print(to, alone ? json_array_get(answers, 0) : answers, err);
}

json_t *sae_json_at(const json_t *value, const char *path)
{
    char key[256];
    while (value != NULL && *path != '\0') {
        const size_t n = strcspn(path, ".");
        if (n >= sizeof key)
            return NULL;
        memcpy(key, path, n);
        key[n] = '\0';
        value = json_object_get(value, key);
        path += n + (path[n] == '.');
    }
    return (json_t *)value;
}

double sae_json_real(const json_t *value, const char *path, double otherwise)
{
    const json_t *at = sae_json_at(value, path);
    return json_is_number(at) ? json_number_value(at) : otherwise;
}

uint64_t sae_json_u64(const json_t *value, const char *path, uint64_t otherwise)
{
    const json_t *at = sae_json_at(value, path);
    return json_is_integer(at) && json_integer_value(at) >= 0 ? (uint64_t)json_integer_value(at)
                                                              : otherwise;
}

const char *sae_json_str(const json_t *value, const char *path, const char *otherwise)
{
    const json_t *at = sae_json_at(value, path);
    return json_is_string(at) ? json_string_value(at) : otherwise;
}

json_t *sae_json_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}
