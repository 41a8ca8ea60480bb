/* SPDX-License-Identifier: MIT */
/* json : jansson with messages that name file, line and key. */
#include "lib/file/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { MAX_JSON_BYTES = 1 << 30 };

/* jansson 2.14 leaves text out where an allocation fails inside a dump, and reports success; and a
 * check behind each of its calls would be a check that one call lacks. So memory for JSON is there
 * or the program ends, the one place in the libraries where it does. Files appear whole or not at
 * all, so nothing half is left. */
static void *allocate_or_end(size_t n)
{
    void *p = malloc(n);
    if (p == NULL) {
        sae_log_error("out of memory: %zu bytes for JSON", n);
        exit(1);
    }
    return p;
}

__attribute__((constructor)) static void set_allocator(void)
{
    json_set_alloc_funcs(allocate_or_end, free);
}

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

static enum sae_status read_text(char **ret, const char *path, struct sae_err *err)
{
    char *text = NULL;
    size_t len;
    SAE_TRY(sae_fs_read(&text, &len, path, MAX_JSON_BYTES, err));
    if (strlen(text) == len) {
        *ret = text;
        return SAE_OK;
    }
    free(text);
    return sae_err_set(err, SAE_EFORMAT, "'%s' is not valid JSON: it holds a NUL byte", path);
}

enum sae_status sae_json_load(json_t **ret, const char *path, struct sae_err *err)
{
    char *text = NULL;
    SAE_TRY(read_text(&text, path, err));
    const enum sae_status st = sae_json_parse(ret, text, path, err);
    free(text);
    return st;
}

/* Length of a string literal that begins at a quote, with both quotes. */
static size_t literal_len(const char *at)
{
    size_t n = 1;
    while (at[n] != '\0' && at[n] != '"')
        n += at[n] == '\\' && at[n + 1] != '\0' ? 2 : 1;
    return n + (at[n] == '"');
}

/* A word of Python's that JSON lacks; 0 if there is none here. */
static size_t word_len(const char *at)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(at, words[i], strlen(words[i])) == 0)
            return strlen(words[i]);
    return 0;
}

/* A number token: its length, and whether it is written as a whole number. */
static size_t number_len(const char *at, bool *ret_whole)
{
    const size_t n = strspn(at, "+-.0123456789eE");
    *ret_whole = strcspn(at, ".eE") >= n;
    return n;
}

/* Writes a number; a whole one beyond 64 bits gets an exponent, one beyond a real's range is null. */
static enum sae_status put_number(struct sae_str *to, const char *at, size_t n, bool whole,
                                  struct sae_err *err)
{
    char *end;
    if (!isfinite(strtod(at, &end)))
        return sae_str_append(to, "null", strlen("null"), err);
    errno = 0;
    (void)strtoll(at, &end, 10);
    const bool wide = whole && errno == ERANGE;
    SAE_TRY(sae_str_append(to, at, n, err));
    return wide ? sae_str_append(to, "e0", strlen("e0"), err) : SAE_OK;
}

enum sae_status sae_json_from_python(char **ret, const char *text, struct sae_err *err)
{
    struct sae_str to = {0};
    enum sae_status st = sae_str_append(&to, "", 0, err);
    for (size_t n; st == SAE_OK && *text != '\0'; text += n) {
        bool whole = false;
        if (*text == '"') {
            n = literal_len(text);
            st = sae_str_append(&to, text, n, err);
        } else if ((n = word_len(text)) > 0) {
            st = sae_str_append(&to, "null", strlen("null"), err);
        } else if (*text == '-' || (*text >= '0' && *text <= '9')) {
            n = number_len(text, &whole);
            st = put_number(&to, text, n, whole, err);
        } else {
            n = 1 + strcspn(text + 1, "\"-0123456789NI");
            st = sae_str_append(&to, text, n, err);
        }
    }
    if (st != SAE_OK)
        sae_str_clear(&to);
    else
        *ret = to.s;
    return st;
}

enum sae_status sae_json_load_python(json_t **ret, const char *path, struct sae_err *err)
{
    char *text = NULL, *strict = NULL;
    SAE_TRY(read_text(&text, path, err));
    enum sae_status st = sae_json_from_python(&strict, text, err);
    free(text);
    if (st == SAE_OK)
        st = sae_json_parse(ret, strict, path, err);
    free(strict);
    return st;
}

/* What is published reads back as what was meant. */
static enum sae_status check_text(const char *text, const json_t *value, const char *path,
                                  struct sae_err *err)
{
    json_t *again = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    const bool good = again != NULL && json_equal(again, value);
    json_decref(again);
    return good ? SAE_OK
                : sae_err_set(err, SAE_EFORMAT,
                              "cannot write '%s': its JSON does not read back as it was", path);
}

enum sae_status sae_json_save(const char *path, const json_t *value, struct sae_err *err)
{
    /* 17 digits read back equal. */
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    if (text == NULL)
        return sae_err_set(err, SAE_EFORMAT, "cannot write '%s': JSON could not be made", path);
    const size_t len = strlen(text);
    char *with_newline = NULL;
    enum sae_status st = check_text(text, value, path, err);
    if (st == SAE_OK)
        st = sae_mem_alloc(&with_newline, len + 2, 1, err);
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

json_t *sae_json_whole(uint64_t x)
{
    return x <= INT64_MAX ? json_integer((json_int_t)x) : json_sprintf("%" PRIu64, x);
}
