/* SPDX-License-Identifier: MIT */
/* json_rows : rows are found without being parsed; jansson parses them.
 *
 * Contents:  1. what JSON does not allow   2. finding rows   3. rows as objects */
#include "lib/text/json_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/utf8.h"

/* --- 1. what JSON does not allow ---------------------------------------------------------- */

/* jansson takes none of these, and has no switch for them. When it refuses a text, the tokens that
 * it may have refused are rewritten, and it is asked once more: what is no JSON otherwise still is
 * none. */

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '+' || c == '-' || c == '.' || c == '_';
}

static bool is_beyond_jansson(const char *token, size_t n)
{
    char text[400], *end;
    const bool whole = strspn(token, "-0123456789") >= n;
    if (n >= sizeof text)
        return true;
    memcpy(text, token, n);
    text[n] = '\0';
    errno = 0;
    if (whole)
        (void)strtoll(text, &end, 10);
    else if (isfinite(strtod(text, &end)))
        return false;
    else
        errno = ERANGE;
    return *end == '\0' && errno == ERANGE;
}

/* A number or a word outside of strings. */
static enum sae_status append_token(struct sae_str *to, const char *token, size_t n,
                                    struct sae_err *err)
{
    static const char *const none[] = {"NaN", "nan", "Infinity", "-Infinity", "inf", "-inf"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (strlen(none[i]) == n && memcmp(none[i], token, n) == 0)
            return sae_str_append(to, "null", 4, err);
    if ((token[0] == '-' || (token[0] >= '0' && token[0] <= '9')) && is_beyond_jansson(token, n))
        return sae_str_printf(to, err, "\"%.*s\"", (int)n, token);
    return sae_str_append(to, token, n, err);
}

/* The code unit of "\uXXXX" at s; -1 where there is no such escape. */
static int code_unit(const char *s, size_t n)
{
    int unit = 0;
    if (n < 6 || s[0] != '\\' || s[1] != 'u')
        return -1;
    for (size_t i = 2; i < 6; i++) {
        const char c = s[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* An escape inside of a string; *step is its length. */
static enum sae_status append_escape(struct sae_str *to, const char *s, size_t n, size_t *step,
                                     uint64_t *n_replaced, struct sae_err *err)
{
    const int unit = code_unit(s, n);
    *step = unit < 0 ? (n < 2 ? n : 2) : 6;
    if (unit >= 0xd800 && unit < 0xdc00) {
        const int next = code_unit(s + 6, n - 6);
        if (next >= 0xdc00 && next < 0xe000)
            *step = 12;
    }
    if (unit < 0xd800 || unit >= 0xe000 || *step == 12)
        return sae_str_append(to, s, *step, err);
    ++*n_replaced;
    return sae_str_append(to, "\\ufffd", 6, err);
}

static enum sae_status rewrite(struct sae_str *to, const char *s, size_t n, uint64_t *n_replaced,
                               struct sae_err *err)
{
    bool inside = false; /* of a string */
    for (size_t i = 0, step; i < n; i += step) {
        step = 1;
        if (inside && s[i] == '\\') {
            SAE_TRY(append_escape(to, s + i, n - i, &step, n_replaced, err));
            continue;
        }
        if (!inside && is_token_char(s[i])) {
            while (i + step < n && is_token_char(s[i + step]))
                step++;
            SAE_TRY(append_token(to, s + i, step, err));
            continue;
        }
        while (inside && i + step < n && s[i] != '"' && s[i + step] != '"' && s[i + step] != '\\')
            step++;
        inside = s[i] == '"' ? !inside : inside;
        SAE_TRY(sae_utf8_append(to, s + i, step, n_replaced, err));
    }
    return SAE_OK;
}

enum sae_status sae_json_tolerant(json_t **ret, const char *text, size_t n, uint64_t *n_replaced,
                                  char *why, size_t n_why, struct sae_err *err)
{
    json_error_t first, second;
    struct sae_str again = {0};
    uint64_t replaced = 0;
    *ret = json_loadb(text, n, JSON_ALLOW_NUL, &first);
    if (*ret != NULL)
        return SAE_OK;
    enum sae_status st = rewrite(&again, text, n, &replaced, err);
    if (st == SAE_OK && again.s != NULL)
        *ret = json_loadb(again.s, again.len, JSON_ALLOW_NUL, &second);
    if (*ret != NULL)
        *n_replaced += replaced;
    else
        snprintf(why, n_why, "%s (at byte %d)", first.text, first.position);
    sae_str_clear(&again);
    return st;
}

/* --- 2. finding rows ---------------------------------------------------------------------- */

void sae_json_rows_init(struct sae_json_rows *rows, struct sae_bytes *bytes, const char *path,
                        bool array, struct sae_left *left)
{
    *rows = (struct sae_json_rows){.bytes = bytes, .path = path, .left = left, .array = array};
    left->unit = NULL;
}

enum sae_status sae_json_rows_parquet(struct sae_json_rows *rows, const char *path, const char *field,
                                      struct sae_left *left, struct sae_err *err)
{
    struct sae_parquet *parquet = NULL;
    size_t column = SIZE_MAX;
    char why[300];
    SAE_TRY(sae_parquet_open(&parquet, path, err));
    if (field != NULL)
        column = sae_parquet_find(parquet, field, why, sizeof why);
    const enum sae_status st = field != NULL && column == SIZE_MAX
                                   ? sae_err_set(err, SAE_EFORMAT, "cannot use '%s': %s", path, why)
                                   : sae_parquet_select(parquet, column, field, err);
    if (st != SAE_OK) {
        sae_parquet_close(parquet);
        return st;
    }
    *rows = (struct sae_json_rows){.path = path, .left = left, .parquet = parquet};
    left->unit = "row";
    return SAE_OK;
}

void sae_json_rows_clear(struct sae_json_rows *rows)
{
    sae_parquet_close(rows->parquet);
    sae_str_clear(&rows->row);
    *rows = (struct sae_json_rows){0};
}

static enum sae_status next_line(struct sae_json_rows *rows, bool *ret_more, struct sae_err *err)
{
    struct sae_str rest = {0};
    bool whole, more;
    enum sae_status st;
    do {
        SAE_GO(st, sae_bytes_line_part(rows->bytes, &rows->row, SAE_JSON_ROW_MAX, ret_more, &whole,
                                       err));
        rows->line = ++rows->lines_read;
        rows->too_long = !whole;
        for (more = true; !whole && more;)
            SAE_GO(st, sae_bytes_line_part(rows->bytes, &rest, 1 << 16, &more, &whole, err));
    } while (*ret_more && strspn(rows->row.s, " \t") == rows->row.len);
done:
    sae_str_clear(&rest);
    return st;
}

/* The next byte, -1 at the end. */
static enum sae_status take(struct sae_json_rows *rows, int *ret, struct sae_err *err)
{
    struct sae_bytes *b = rows->bytes;
    if (b->at == b->end)
        SAE_TRY(sae_bytes_fill(b, err));
    *ret = b->at == b->end ? -1 : *b->at++;
    rows->lines_read += *ret == '\n';
    return SAE_OK;
}

/* The next byte that is no white space. */
static enum sae_status take_mark(struct sae_json_rows *rows, int *ret, struct sae_err *err)
{
    do
        SAE_TRY(take(rows, ret, err));
    while (*ret == ' ' || *ret == '\t' || *ret == '\n' || *ret == '\r');
    return SAE_OK;
}

static enum sae_status cut_array(const struct sae_json_rows *rows, struct sae_err *err)
{
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' ends inside its JSON array, in the element that begins on line "
                       "%" PRIu64 "; the file is cut, or a quote or a bracket of that element is "
                       "not closed",
                       rows->path, rows->line);
}

/* Up to the comma or the bracket that ends the element, which is read; what follows tells which. */
static enum sae_status read_element(struct sae_json_rows *rows, int c, int *ret_end,
                                    struct sae_err *err)
{
    bool inside = false, escaped = false;
    int64_t depth = 0;
    for (;;) {
        if (!inside && depth == 0 && (c == ',' || c == ']'))
            break;
        if (c < 0)
            return cut_array(rows, err);
        const char byte = (char)c;
        rows->too_long |= rows->row.len >= SAE_JSON_ROW_MAX;
        if (!rows->too_long)
            SAE_TRY(sae_str_append(&rows->row, &byte, 1, err));
        if (inside) {
            inside = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            inside = c == '"';
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        }
        SAE_TRY(take(rows, &c, err));
    }
    *ret_end = c;
    return SAE_OK;
}

static enum sae_status next_element(struct sae_json_rows *rows, bool *ret_more, struct sae_err *err)
{
    int c;
    rows->row.len = 0;
    rows->too_long = false;
    if (!rows->begun)
        SAE_TRY(take_mark(rows, &c, err)); /* '[': the file would be no array otherwise */
    SAE_TRY(take_mark(rows, &c, err));
    rows->line = rows->lines_read + 1;
    *ret_more = c != ']';
    rows->begun = true;
    if (*ret_more)
        SAE_TRY(read_element(rows, c, &c, err));
    if (c == ']')
        rows->array = false; /* no element follows */
    return SAE_OK;
}

enum sae_status sae_json_rows_next(struct sae_json_rows *rows, bool *ret_more, struct sae_err *err)
{
    if (rows->parquet != NULL) {
        rows->line++;
        return sae_parquet_next(rows->parquet, ret_more, err);
    }
    if (!rows->array && !rows->begun)
        return next_line(rows, ret_more, err);
    if (rows->array)
        return next_element(rows, ret_more, err);
    int c;
    SAE_TRY(take_mark(rows, &c, err));
    *ret_more = false;
    if (c < 0)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' line %" PRIu64 ": text follows the end of the JSON array", rows->path,
                       rows->lines_read + 1);
}

/* --- 3. rows as objects ------------------------------------------------------------------- */

enum sae_status sae_json_rows_object(struct sae_json_rows *rows, json_t **ret, struct sae_err *err)
{
    char why[200];
    uint64_t n_replaced = 0;
    json_t *value = NULL;
    *ret = NULL;
    if (rows->parquet != NULL) {
        SAE_TRY(sae_parquet_row(rows->parquet, ret, &n_replaced, err));
        sae_left_replaced(rows->left, rows->path, rows->line, n_replaced);
        return SAE_OK;
    }
    if (rows->too_long) {
        sae_left_add(rows->left, rows->path, rows->line, "longer than %d MiB",
                     SAE_JSON_ROW_MAX >> 20);
        return SAE_OK;
    }
    SAE_TRY(sae_json_tolerant(&value, rows->row.s, rows->row.len, &n_replaced, why, sizeof why,
                              err));
    if (value == NULL)
        sae_left_add(rows->left, rows->path, rows->line, "not valid JSON: %s", why);
    else if (!json_is_object(value))
        sae_left_add(rows->left, rows->path, rows->line, "not a JSON object {\"field\": ...}");
    if (!json_is_object(value)) {
        json_decref(value);
        return SAE_OK;
    }
    sae_left_replaced(rows->left, rows->path, rows->line, n_replaced);
    *ret = value;
    return SAE_OK;
}

void sae_json_keys(char *to, size_t size, const json_t *object)
{
    size_t len = 0;
    const char *key;
    json_t *value;
    to[0] = '\0';
    json_object_foreach((json_t *)object, key, value)
    {
        const size_t n = strlen(key);
        if (len + n + 8 > size) {
            memcpy(to + len, ", ...", 6);
            return;
        }
        if (len > 0) {
            memcpy(to + len, ", ", 2);
            len += 2;
        }
        memcpy(to + len, key, n + 1);
        len += n;
    }
}

const char *sae_json_rows_text(struct sae_json_rows *rows, const json_t *object, const char *field,
                               size_t *ret_len)
{
    const json_t *value = json_object_get(object, field);
    char keys[120];
    if (json_is_string(value)) {
        *ret_len = json_string_length(value);
        return json_string_value(value);
    }
    sae_json_keys(keys, sizeof keys, object);
    if (value == NULL)
        sae_left_add(rows->left, rows->path, rows->line, "no field '%s'; it has: %s", field,
                     keys[0] != '\0' ? keys : "none");
    else
        sae_left_add(rows->left, rows->path, rows->line, "field '%s' is %s, not text", field,
                     json_is_null(value) ? "null" : "of another type");
    return NULL;
}
