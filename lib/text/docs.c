/* SPDX-License-Identifier: MIT */
/* docs : see the header.
 *
 * Contents:  1. pieces   2. plain text   3. rows   4. files */
#include "lib/text/docs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"

const char *const sae_docs_split_names[] = {"none", "blank", "line", NULL};

void sae_docs_init(struct sae_docs *docs, const struct sae_files *files, const char *field,
                   enum sae_docs_split split)
{
    *docs = (struct sae_docs){.files = files, .field = field, .split = split};
}

static void close_file(struct sae_docs *docs)
{
    sae_json_rows_clear(&docs->rows);
    sae_csv_clear(&docs->csv);
    sae_bytes_close(&docs->bytes);
    docs->open = docs->inside = docs->line_open = false;
}

void sae_docs_clear(struct sae_docs *docs)
{
    close_file(docs);
    sae_str_clear(&docs->text);
    sae_str_clear(&docs->row);
    sae_str_clear(&docs->rest);
    free(docs->ids);
    *docs = (struct sae_docs){0};
}

/* --- 1. pieces ---------------------------------------------------------------------------- */

/* Where a piece of a long document ends, in the second half of s[0, n): before the last newline
 * that follows none, else before the last space that follows none, else after a code point. */
static size_t cut_piece(const char *s, size_t n)
{
    static const char marks[] = {'\n', ' '};
    for (size_t m = 0; m < sizeof marks; m++)
        for (size_t i = n - 1; i > n / 2; i--)
            if (s[i] == marks[m] && s[i - 1] != marks[m])
                return i;
    return sae_utf8_cut(s, n);
}

/* docs->rest, or, where it is longer than a piece, the first piece of it, to docs->text. */
static enum sae_status give_piece(struct sae_docs *docs, struct sae_err *err)
{
    struct sae_str *const rest = &docs->rest;
    docs->inside = docs->piece > 0 && rest->len > docs->piece;
    const size_t n = docs->inside ? cut_piece(rest->s, docs->piece) : rest->len;
    docs->text.len = 0;
    uint64_t n_replaced = 0;
    SAE_TRY(sae_utf8_append(&docs->text, rest->s != NULL ? rest->s : "", n, &n_replaced, err));
    sae_left_replaced(&docs->left, docs->files->v[docs->file].path, docs->line, n_replaced);
    if (n > 0)
        memmove(rest->s, rest->s + n, rest->len - n);
    rest->len -= n;
    return SAE_OK;
}

/* Bytes that may be read before a piece is given out: one more than it, which tells whether more
 * follows. */
static size_t piece_free(const struct sae_docs *docs)
{
    if (docs->piece == 0)
        return SIZE_MAX;
    return docs->rest.len > docs->piece ? 0 : docs->piece + 1 - docs->rest.len;
}

/* --- 2. plain text ------------------------------------------------------------------------ */

/* The whole file, once. An empty file is an empty document. */
static enum sae_status next_whole(struct sae_docs *docs, bool *ret_more, struct sae_err *err)
{
    *ret_more = docs->inside || docs->line == 0;
    docs->line = 1;
    return *ret_more ? sae_bytes_rest(&docs->bytes, &docs->rest, piece_free(docs), err) : SAE_OK;
}

static bool is_blank(const struct sae_str *row)
{
    return strspn(row->s, " \t\f\v") == row->len;
}

/* The next line to docs->row, or as much of it as a piece takes. A line that begins with blanks is
 * read on up to something else: only then is it known whether it ends a paragraph. */
static enum sae_status read_line(struct sae_docs *docs, bool *ret_more, bool *ret_whole,
                                 struct sae_err *err)
{
    struct sae_str part = {0};
    enum sae_status st;
    SAE_GO(st, sae_bytes_line_part(&docs->bytes, &docs->row, piece_free(docs), ret_more, ret_whole,
                                   err));
    while (!docs->line_open && *ret_more && !*ret_whole && is_blank(&docs->row)) {
        SAE_GO(st, sae_bytes_line_part(&docs->bytes, &part, docs->piece, ret_more, ret_whole, err));
        SAE_GO(st, sae_str_append(&docs->row, part.s, part.len, err));
    }
done:
    sae_str_clear(&part);
    return st;
}

/* Lines up to the next blank one; blank lines before it are passed over. */
static enum sae_status next_paragraph(struct sae_docs *docs, bool *ret_more, struct sae_err *err)
{
    *ret_more = docs->inside;
    while (!docs->ended && piece_free(docs) > 0) {
        const bool begins = !docs->line_open;
        bool more, whole;
        SAE_TRY(read_line(docs, &more, &whole, err));
        docs->line_open = more && !whole;
        docs->line += begins && more;
        const bool blank = more && whole && begins && is_blank(&docs->row);
        docs->ended = !more || (blank && *ret_more);
        if (docs->ended || blank)
            continue;
        if (*ret_more && begins)
            SAE_TRY(sae_str_append(&docs->rest, "\n", 1, err));
        SAE_TRY(sae_str_append(&docs->rest, docs->row.s, docs->row.len, err));
        *ret_more = true;
        docs->ended = whole && docs->split == SAE_DOCS_SPLIT_LINE;
    }
    return SAE_OK;
}

/* --- 3. rows ------------------------------------------------------------------------------ */

/* A list of whole numbers. One with anything else in it is left out. */
static enum sae_status take_ids(struct sae_docs *docs, const json_t *list, struct sae_err *err)
{
    const size_t n = json_array_size(list);
    SAE_TRY(sae_mem_grow(&docs->ids, &docs->cap_ids, n + 1, sizeof *docs->ids, err));
    docs->has_ids = true;
    for (size_t i = 0; i < n; i++) {
        const json_t *const value = json_array_get(list, i);
        const json_int_t id = json_integer_value(value);
        if (!json_is_integer(value)) {
            sae_left_add(&docs->left, docs->rows.path, docs->line,
                         "field '%s' is a list with something else than token ids", docs->field);
            return SAE_OK;
        }
        if (id < 0 || (uint64_t)id >= docs->n_vocab)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' %s %" PRIu64 ": token id %" JSON_INTEGER_FORMAT
                               ", but the vocabulary has %" PRIu64 "; are they of another tokenizer?",
                               docs->rows.path, docs->rows.parquet != NULL ? "row" : "line", docs->line,
                               id, docs->n_vocab);
        docs->ids[i] = (uint32_t)id;
    }
    docs->n_ids = n;
    return SAE_OK;
}

/* The field of a row: a text, or, where the reader has a vocabulary, token ids. */
static enum sae_status take_field(struct sae_docs *docs, const json_t *object, struct sae_err *err)
{
    const json_t *const value = json_object_get(object, docs->field);
    size_t len;
    if (json_is_array(value) && docs->n_vocab > 0)
        return take_ids(docs, value, err);
    if (json_is_array(value) && docs->rows.parquet != NULL)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': field '%s' holds lists of token ids, and texts are needed here; see "
                           "--field",
                           docs->rows.path, docs->field);
    const char *const text = sae_json_rows_text(&docs->rows, object, docs->field, &len);
    return text == NULL ? SAE_OK : sae_str_append(&docs->rest, text, len, err);
}

static enum sae_status next_object(struct sae_docs *docs, bool *ret_more, struct sae_err *err)
{
    json_t *object = NULL;
    SAE_TRY(sae_json_rows_next(&docs->rows, ret_more, err));
    docs->line = docs->rows.line;
    if (!*ret_more || docs->n_docs < docs->skip)
        return SAE_OK;
    SAE_TRY(sae_json_rows_object(&docs->rows, &object, err));
    const enum sae_status st = object == NULL ? SAE_OK : take_field(docs, object, err);
    json_decref(object);
    return st;
}

static enum sae_status next_record(struct sae_docs *docs, bool *ret_more, struct sae_err *err)
{
    struct sae_csv *const csv = &docs->csv;
    SAE_TRY(sae_csv_next(csv, ret_more, err));
    docs->line = csv->line;
    if (!*ret_more)
        return SAE_OK;
    if (csv->n_fields != docs->n_columns) {
        sae_left_add(&docs->left, csv->path, csv->line, "%zu fields, but the header has %zu",
                     csv->n_fields, docs->n_columns);
        return SAE_OK;
    }
    const struct sae_str *const text = &csv->field[docs->column];
    return sae_str_append(&docs->rest, text->s, text->len, err);
}

static enum sae_status read_header(struct sae_docs *docs, const char *path, struct sae_err *err)
{
    bool more;
    sae_csv_init(&docs->csv, &docs->bytes, path, docs->kind == SAE_KIND_TSV ? '\t' : ',');
    SAE_TRY(sae_csv_next(&docs->csv, &more, err)); /* there is one: it made the file a table */
    docs->n_columns = docs->csv.n_fields;
    docs->column = sae_csv_column(&docs->csv, docs->field);
    return SAE_OK;
}

/* --- 4. files ----------------------------------------------------------------------------- */

static enum sae_status open_parquet(struct sae_docs *docs, const char *path, struct sae_err *err)
{
    sae_bytes_close(&docs->bytes);
    SAE_TRY(sae_json_rows_parquet(&docs->rows, path, docs->field, &docs->left, err));
    const char *const name = sae_parquet_selected(docs->rows.parquet);
    if (strcmp(name, docs->field) != 0 && !docs->said_column)
        sae_log_info("'%s' has no column '%s'; '%s' is read in its place", path, docs->field, name);
    docs->said_column = true;
    return SAE_OK;
}

static enum sae_status open_next(struct sae_docs *docs, struct sae_err *err)
{
    const char *const path = docs->files->v[docs->file].path;
    struct sae_kind_found found;
    SAE_TRY(sae_bytes_open(&docs->bytes, path, err));
    docs->open = true;
    docs->line = 0;
    SAE_TRY(sae_kind_find(&found, &docs->bytes, path, docs->field, err));
    if (!found.usable)
        return sae_err_set(err, SAE_EFORMAT, "cannot use '%s': %s", path, found.why);
    docs->kind = found.kind;
    if (found.kind == SAE_KIND_PARQUET)
        return open_parquet(docs, path, err);
    if (found.kind == SAE_KIND_CSV || found.kind == SAE_KIND_TSV)
        return read_header(docs, path, err);
    sae_json_rows_init(&docs->rows, &docs->bytes, path, found.kind == SAE_KIND_JSON_ARRAY,
                       &docs->left);
    return SAE_OK;
}

/* More of the open file to docs->rest: the next document, or more of the one that goes on. */
static enum sae_status read_more(struct sae_docs *docs, bool *ret_more, struct sae_err *err)
{
    if (!sae_kind_has_rows(docs->kind))
        return docs->split == SAE_DOCS_SPLIT_NONE ? next_whole(docs, ret_more, err)
                                                  : next_paragraph(docs, ret_more, err);
    *ret_more = docs->inside; /* a row is read whole */
    if (docs->inside)
        return SAE_OK;
    if (docs->kind == SAE_KIND_CSV || docs->kind == SAE_KIND_TSV)
        return next_record(docs, ret_more, err);
    return next_object(docs, ret_more, err);
}

static enum sae_status end(const struct sae_docs *docs, struct sae_err *err)
{
    if (docs->left.n == 0 || docs->left.n < docs->n_docs)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT, "no row of the text can be used; the first: %s",
                       docs->left.first);
}

enum sae_status sae_docs_next(struct sae_docs *docs, bool *ret_more, struct sae_err *err)
{
    for (;;) {
        if (!docs->open) {
            *ret_more = docs->file < docs->files->n;
            if (!*ret_more)
                return end(docs, err);
            SAE_TRY(open_next(docs, err));
        }
        docs->continues = docs->inside;
        docs->ended &= docs->inside;
        docs->has_ids = false;
        docs->n_ids = 0;
        SAE_TRY(read_more(docs, ret_more, err));
        if (!*ret_more) {
            close_file(docs);
            docs->file++;
            continue;
        }
        docs->n_docs += !docs->continues;
        SAE_TRY(give_piece(docs, err));
        if (docs->n_docs > docs->skip)
            return SAE_OK;
    }
}
