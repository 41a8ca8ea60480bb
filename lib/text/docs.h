/* SPDX-License-Identifier: MIT */
/* docs : documents, one after the other, from plain text, JSON lines, JSON arrays and tables.
 *
 * The kind of a file is recognised by its content (kind.h). In objects and tables, the named field
 * of each row is a document; of objects and of Parquet it may hold token ids. A plain text is one document, or each of its paragraphs or lines is
 * one. Documents are UTF-8; invalid bytes become U+FFFD.
 *
 * A row that cannot be used is a document without text, counted in `left`: documents are numbered
 * by the rows of a file, whether they can be used or not. */
#ifndef SAE_LIB_TEXT_DOCS_H
#define SAE_LIB_TEXT_DOCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/text/bytes.h"
#include "lib/text/csv.h"
#include "lib/text/files.h"
#include "lib/text/json_rows.h"
#include "lib/text/left.h"

enum sae_docs_split { SAE_DOCS_SPLIT_NONE = 0, SAE_DOCS_SPLIT_BLANK, SAE_DOCS_SPLIT_LINE };
extern const char *const sae_docs_split_names[]; /* "none", "blank", "line"; NULL ends them */

enum { SAE_DOCS_PIECE = 1 << 20 };

struct sae_docs {
    const struct sae_files *files; /* borrowed */
    const char *field;             /* of objects and tables; borrowed */
    enum sae_docs_split split;     /* of plain text */
    uint64_t skip;  /* set it after init: documents passed over first, rows unparsed */
    size_t piece;   /* set it after init: a document of more bytes comes in pieces; 0: whole */
    uint64_t n_vocab; /* set it after init: token ids are below; 0: documents of ids are refused */
    uint64_t n_docs; /* documents given out or passed over so far */
    bool continues;  /* docs->text is the next piece of the document before */
    struct sae_str text; /* the current document, or a piece of it */
    bool has_ids;        /* the current document is given as token ids, whole, and text is empty */
    size_t n_ids, cap_ids;
    uint32_t *ids; /* [n_ids] */
    struct sae_left left;

    /* the file being read */
    size_t file;
    bool open;
    bool inside;    /* the current document has more pieces */
    bool ended;     /* ... and all of them are read */
    bool said_column; /* which column of Parquet is read in place of `field` */
    bool line_open; /* of plain text: the current line has more parts */
    enum sae_kind kind;
    uint64_t line; /* last line read of plain text */
    struct sae_bytes bytes;
    struct sae_json_rows rows;
    struct sae_csv csv;
    size_t n_columns, column; /* of the table */
    struct sae_str row;       /* scratch */
    struct sae_str rest;      /* read, and not given out yet */
};

void sae_docs_init(struct sae_docs *docs, const struct sae_files *files, const char *field,
                   enum sae_docs_split split);
void sae_docs_clear(struct sae_docs *docs);

/* The next document, or the next piece of one, in docs->text (it may be empty); *ret_more is false
 * after the last. Pieces are cut before a newline or a space that follows another character, where
 * there is one: tokens are the same as of the whole.
 * Fails: SAE_EIO; SAE_EFORMAT a file that is no text or lacks the field, one that is damaged, a token id
 * that is not below n_vocab */
SAE_MUST_CHECK enum sae_status sae_docs_next(struct sae_docs *docs, bool *ret_more,
                                             struct sae_err *err);

#endif /* SAE_LIB_TEXT_DOCS_H */
