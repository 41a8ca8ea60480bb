/* SPDX-License-Identifier: MIT */
/* kind : what a file holds, recognised by its content after decompression. The name decides only
 * between kinds that the content cannot separate: .csv and .tsv. Texts, labels and questions are
 * all recognised here. */
#ifndef SAE_LIB_TEXT_KIND_H
#define SAE_LIB_TEXT_KIND_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/text/bytes.h"

enum sae_kind {
    SAE_KIND_PLAIN = 0,
    SAE_KIND_MARKUP,     /* HTML, XML, SVG: plain text, but seldom meant as a corpus */
    SAE_KIND_JSON_LINES, /* an object a line */
    SAE_KIND_JSON_ARRAY, /* one array of objects */
    SAE_KIND_CSV,
    SAE_KIND_TSV, /* CSV separated by tabs */
    SAE_KIND_PARQUET,
    SAE_KIND_OTHER /* no text, or text in a form that is not read */
};

struct sae_kind_found {
    enum sae_kind kind;
    const char *name; /* "plain text", "JSON lines", "PDF", "UTF-16": one of a few, static */
    bool usable;      /* as texts of the field asked for */
    char why[300];    /* not usable: what is wrong, and what to do */
};

/* Looks at the first 64 KiB of a file, of Parquet at its footer; nothing is taken from `bytes`.
 *
 *   path    for the suffix, and of Parquet to open the file
 *   field   the field of JSON objects or the column of a table that holds the texts; without it
 *           tables and objects are not usable as texts. NULL: any will do
 *
 * Fails: as sae_bytes_peek and, of a file that begins as Parquet, sae_parquet_open; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_kind_find(struct sae_kind_found *ret, struct sae_bytes *bytes,
                                             const char *path, const char *field,
                                             struct sae_err *err);

/* Whether the name, without .gz or .zst, ends so; case does not matter. suffix: ".csv" */
bool sae_kind_named(const char *path, const char *suffix);
/* Rows with fields: JSON lines, an array of objects, a table, Parquet. */
bool sae_kind_has_rows(enum sae_kind kind);

#endif /* SAE_LIB_TEXT_KIND_H */
