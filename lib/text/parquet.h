/* SPDX-License-Identifier: MIT */
/* parquet : the rows of an Apache Parquet file, the form of the Hugging Face Hub's data sets.
 *
 * Columns of texts (strings, binary), whole numbers, real numbers and truths, and lists of them.
 * Pages of v1 and v2; PLAIN, dictionaries, DELTA_*; snappy, gzip, zstd or uncompressed. Of each column
 * that is read, one page and its dictionary are in memory. Checksums are verified where there are any.
 * Not read: encrypted files, lists of lists, decimals, other codecs. */
#ifndef SAE_LIB_TEXT_PARQUET_H
#define SAE_LIB_TEXT_PARQUET_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum {
    SAE_PARQUET_LIST_MAX = 1 << 22, /* elements of a list */
    SAE_PARQUET_ROW_MAX = 1 << 30   /* bytes of the texts of a row */
};

struct sae_parquet; /* an open file */

/* Reads the footer. Fails: SAE_EIO; SAE_EFORMAT no Parquet, cut, damaged or encrypted */
SAE_MUST_CHECK enum sae_status sae_parquet_open(struct sae_parquet **ret, const char *path,
                                                struct sae_err *err);
void sae_parquet_close(struct sae_parquet *parquet); /* accepts NULL */

/* "title, url", the names of its columns, for messages; cut where it gets long. */
void sae_parquet_names(char *to, size_t size, const struct sae_parquet *parquet);

/* The column that `field` means as a source of texts or of token ids: the one of that name; for "text",
 * if there is none, the only one of strings, else input_ids. SIZE_MAX: there is none, and why says what
 * there is. */
size_t sae_parquet_find(const struct sae_parquet *parquet, const char *field, char *why, size_t n_why);

/* What rows are to hold: one column under the name `key`, or, of SIZE_MAX, every one that can be read,
 * under its own name. Of a column "a.b" that is a field of a struct, "a" is an object with "b".
 * Call it once. Fails: SAE_EFORMAT the column cannot be read; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_parquet_select(struct sae_parquet *parquet, size_t column,
                                                  const char *key, struct sae_err *err);

/* The name in the file of the first column that was selected. */
const char *sae_parquet_selected(const struct sae_parquet *parquet);

/* Goes to the next row, unread: rows that are not asked for cost little. Fails: SAE_EFORMAT */
SAE_MUST_CHECK enum sae_status sae_parquet_next(struct sae_parquet *parquet, bool *ret_more,
                                                struct sae_err *err);
/* The current row, once; the caller's. What is no UTF-8 becomes U+FFFD and is added to *n_replaced; NaN
 * and infinities are null. Fails: SAE_EFORMAT damaged; SAE_ERANGE a row beyond the limits above; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_parquet_row(struct sae_parquet *parquet, json_t **ret,
                                               uint64_t *n_replaced, struct sae_err *err);

#endif /* SAE_LIB_TEXT_PARQUET_H */
