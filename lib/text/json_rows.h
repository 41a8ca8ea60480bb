/* SPDX-License-Identifier: MIT */
/* json_rows : the objects of a file, one a line (JSON lines), the elements of one JSON array, or the rows
 * of a Parquet file.
 *
 * Exporters write more than JSON allows, mostly in fields that nobody reads. These are read too:
 * NaN and Infinity (as null), numbers beyond what a double or 63 bits hold (as text), halves of
 * surrogate pairs and bytes that are not UTF-8 (as U+FFFD, counted). */
#ifndef SAE_LIB_TEXT_JSON_ROWS_H
#define SAE_LIB_TEXT_JSON_ROWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/text/bytes.h"
#include "lib/text/left.h"
#include "lib/text/parquet.h"

enum { SAE_JSON_ROW_MAX = 64 << 20 }; /* bytes; a longer row is left out */

struct sae_json_rows {
    struct sae_bytes *bytes; /* borrowed */
    const char *path;        /* for messages; borrowed */
    struct sae_left *left;   /* borrowed */
    struct sae_parquet *parquet; /* NULL: JSON */
    bool array, begun;       /* the elements of an array; its bracket is read */
    bool too_long;           /* the current row is longer than SAE_JSON_ROW_MAX */
    uint64_t line;           /* on which the current row begins; of Parquet its number, from 1 on */
    uint64_t lines_read;
    struct sae_str row; /* the current row as it stands in the file */
};

void sae_json_rows_init(struct sae_json_rows *rows, struct sae_bytes *bytes, const char *path,
                        bool array, struct sae_left *left);
/* Likewise the rows of a Parquet file. field: the only one that objects have, from the column that
 * sae_parquet_find finds for it; NULL: every column that can be read is one. Lines are called rows in
 * `left` from now on. Fails: as sae_parquet_open and sae_parquet_select; SAE_EFORMAT no such column */
SAE_MUST_CHECK enum sae_status sae_json_rows_parquet(struct sae_json_rows *rows, const char *path,
                                                     const char *field, struct sae_left *left,
                                                     struct sae_err *err);
void sae_json_rows_clear(struct sae_json_rows *rows);

/* Goes to the next row, unparsed; blank lines are passed over. *ret_more is false after the last.
 * Fails: SAE_EIO; SAE_EFORMAT the file ends inside the array, or text follows it */
SAE_MUST_CHECK enum sae_status sae_json_rows_next(struct sae_json_rows *rows, bool *ret_more,
                                                  struct sae_err *err);

/* The current row as an object, the caller's; NULL if it is none, and then it is counted as left
 * out. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_json_rows_object(struct sae_json_rows *rows, json_t **ret,
                                                    struct sae_err *err);
/* A field of that object as text, borrowed; NULL if it is absent or no text, and then the row is
 * counted as left out. */
const char *sae_json_rows_text(struct sae_json_rows *rows, const json_t *object, const char *field,
                               size_t *ret_len);

/* "title, url" for messages; cut where it gets long. */
void sae_json_keys(char *to, size_t size, const json_t *object);

/* One JSON value from text[0, n), with the tolerance told above. *ret is the caller's, NULL where
 * the text is no JSON: then `why` says what is wrong. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_json_tolerant(json_t **ret, const char *text, size_t n,
                                                 uint64_t *n_replaced, char *why, size_t n_why,
                                                 struct sae_err *err);

#endif /* SAE_LIB_TEXT_JSON_ROWS_H */
