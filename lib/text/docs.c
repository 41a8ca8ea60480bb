/* SPDX-License-Identifier: MIT */
/* docs : documents from plain text and JSON lines. */
#include "lib/text/docs.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/mem.h"

const char *const sae_docs_split_names[] = {"none", "blank", "line", NULL};

enum { TEXT_PROBE = 8192 }; /* bytes looked at to tell text from other files */

void sae_docs_init(struct sae_docs *docs, const struct sae_files *files, const char *field,
                   enum sae_docs_split split)
{
    *docs = (struct sae_docs){.files = files, .field = field, .split = split};
}

void sae_docs_clear(struct sae_docs *docs)
{
    sae_bytes_close(&docs->bytes);
    sae_str_clear(&docs->text);
    sae_str_clear(&docs->row);
    *docs = (struct sae_docs){0};
}

static bool ends_before(const char *path, size_t len, const char *suffix)
{
    const size_t n = strlen(suffix);
    return len >= n && memcmp(path + len - n, suffix, n) == 0;
}

bool sae_docs_is_json(const char *path)
{
    size_t len = strlen(path);
    if (ends_before(path, len, ".gz"))
        len -= 3;
    else if (ends_before(path, len, ".zst"))
        len -= 4;
    return ends_before(path, len, ".jsonl") || ends_before(path, len, ".ndjson");
}

enum sae_status sae_docs_line(struct sae_bytes *bytes, struct sae_str *line, uint64_t *number,
                              bool *ret_more, struct sae_err *err)
{
    do {
        SAE_TRY(sae_bytes_line(bytes, line, ret_more, err));
        (*number)++;
    } while (*ret_more && strspn(line->s, " \t") == line->len);
    return SAE_OK;
}

enum sae_status sae_docs_object(json_t **ret, const struct sae_str *line, const char *path,
                                uint64_t number, struct sae_err *err)
{
    json_error_t why;
    json_t *object = json_loadb(line->s, line->len, JSON_ALLOW_NUL, &why);
    if (object == NULL)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' line %" PRIu64 " is not valid JSON: %s (at "
                           "byte %d)",
                           path, number, why.text, why.position);
    if (!json_is_object(object)) {
        json_decref(object);
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' line %" PRIu64 " is not a JSON object "
                           "{\"field\": ...}",
                           path, number);
    }
    *ret = object;
    return SAE_OK;
}

/* "title, url" for messages; cut where it gets long. */
static void list_keys(char *to, size_t size, const json_t *object)
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

enum sae_status sae_docs_field(const char **ret, size_t *ret_len, const json_t *object,
                               const char *field, const char *path, uint64_t number,
                               struct sae_err *err)
{
    const json_t *value = json_object_get(object, field);
    char keys[200];
    if (value == NULL) {
        list_keys(keys, sizeof keys, object);
        return sae_err_set(err, SAE_EFORMAT, "'%s' line %" PRIu64 " has no field '%s'; it has: %s",
                           path, number, field, keys[0] != '\0' ? keys : "none");
    }
    if (!json_is_string(value))
        return sae_err_set(err, SAE_EFORMAT, "'%s' line %" PRIu64 ": field '%s' is not a string",
                           path, number, field);
    *ret = json_string_value(value);
    *ret_len = json_string_length(value);
    return SAE_OK;
}

static enum sae_status open_next(struct sae_docs *docs, struct sae_err *err)
{
    const char *path = docs->files->v[docs->file].path;
    SAE_TRY(sae_bytes_open(&docs->bytes, path, err));
    docs->open = true;
    docs->line = 0;
    docs->json = sae_docs_is_json(path);
    const size_t n = (size_t)(docs->bytes.end - docs->bytes.at);
    const unsigned char *nul =
        docs->json || n == 0 ? NULL : memchr(docs->bytes.at, 0, n < TEXT_PROBE ? n : TEXT_PROBE);
    if (nul != NULL)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is not text: NUL at byte %zu; leave it out",
                           path, (size_t)(nul - docs->bytes.at));
    return SAE_OK;
}

static enum sae_status next_object(struct sae_docs *docs, bool *ret_more, struct sae_err *err)
{
    const char *path = docs->files->v[docs->file].path;
    SAE_TRY(sae_docs_line(&docs->bytes, &docs->row, &docs->line, ret_more, err));
    if (!*ret_more || docs->n_docs < docs->skip)
        return SAE_OK;
    json_t *object = NULL;
    const char *text;
    size_t len;
    SAE_TRY(sae_docs_object(&object, &docs->row, path, docs->line, err));
    enum sae_status st = sae_docs_field(&text, &len, object, docs->field, path, docs->line, err);
    if (st == SAE_OK) {
        docs->text.len = 0;
        st = sae_str_append(&docs->text, text, len, err);
    }
    json_decref(object);
    return st;
}

static bool is_blank(const struct sae_str *row)
{
    return strspn(row->s, " \t\f\v") == row->len;
}

/* Lines up to the next blank one; blank lines before it are passed over. */
static enum sae_status next_paragraph(struct sae_docs *docs, bool *ret_more, struct sae_err *err)
{
    docs->text.len = 0;
    *ret_more = false;
    for (bool more;;) {
        SAE_TRY(sae_bytes_line(&docs->bytes, &docs->row, &more, err));
        if (!more)
            return SAE_OK;
        if (is_blank(&docs->row)) {
            if (*ret_more)
                return SAE_OK;
            continue;
        }
        if (*ret_more)
            SAE_TRY(sae_str_append(&docs->text, "\n", 1, err));
        SAE_TRY(sae_str_append(&docs->text, docs->row.s, docs->row.len, err));
        *ret_more = true;
        if (docs->split == SAE_DOCS_SPLIT_LINE)
            return SAE_OK;
    }
}

/* The whole file, once. An empty file is an empty document. */
static enum sae_status next_whole(struct sae_docs *docs, bool *ret_more, struct sae_err *err)
{
    *ret_more = docs->line == 0;
    if (!*ret_more)
        return SAE_OK;
    docs->line = 1;
    docs->text.len = 0;
    SAE_TRY(sae_str_append(&docs->text, "", 0, err));
    return sae_bytes_rest(&docs->bytes, &docs->text, err);
}

enum sae_status sae_docs_next(struct sae_docs *docs, bool *ret_more, struct sae_err *err)
{
    for (;;) {
        if (!docs->open) {
            *ret_more = docs->file < docs->files->n;
            if (!*ret_more)
                return SAE_OK;
            SAE_TRY(open_next(docs, err));
        }
        if (docs->json)
            SAE_TRY(next_object(docs, ret_more, err));
        else if (docs->split == SAE_DOCS_SPLIT_NONE)
            SAE_TRY(next_whole(docs, ret_more, err));
        else
            SAE_TRY(next_paragraph(docs, ret_more, err));
        if (*ret_more && docs->n_docs++ >= docs->skip)
            return SAE_OK;
        if (*ret_more)
            continue;
        sae_bytes_close(&docs->bytes);
        docs->open = false;
        docs->file++;
    }
}
