/* SPDX-License-Identifier: MIT */
/* docs : documents, one after the other, from text files and JSON lines.
 *
 * A file whose name ends in .jsonl or .ndjson (before .gz, .zst) is JSON lines: each line an
 * object, its named field a document. Any other file is plain text: the file is a document, or,
 * split at blank lines, each of its paragraphs. */
#ifndef SAE_LIB_TEXT_DOCS_H
#define SAE_LIB_TEXT_DOCS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/text/bytes.h"
#include "lib/text/files.h"

enum sae_docs_split { SAE_DOCS_SPLIT_NONE = 0, SAE_DOCS_SPLIT_BLANK, SAE_DOCS_SPLIT_LINE };
extern const char *const sae_docs_split_names[]; /* "none", "blank", "line"; NULL ends them */

struct sae_docs {
    const struct sae_files *files; /* borrowed */
    const char *field;             /* of JSON lines; borrowed */
    enum sae_docs_split split;     /* of plain text */
    size_t file;                   /* the one being read */
    bool open, json;
    uint64_t line;   /* last line read of it */
    uint64_t n_docs; /* documents given out or passed over so far */
    uint64_t skip;   /* set it after init: documents passed over first, JSON lines unparsed */
    struct sae_bytes bytes;
    struct sae_str text; /* the current document */
    struct sae_str row;  /* scratch */
};

void sae_docs_init(struct sae_docs *docs, const struct sae_files *files, const char *field,
                   enum sae_docs_split split);
void sae_docs_clear(struct sae_docs *docs);

/* The next document in docs->text (it may be empty); *ret_more is false after the last.
 * Fails: SAE_EIO; SAE_EFORMAT malformed line (with its number), field missing or not a string,
 * plain text with NUL bytes near its start */
SAE_MUST_CHECK enum sae_status sae_docs_next(struct sae_docs *docs, bool *ret_more,
                                             struct sae_err *err);

/* The next line of a file that is not blank; *number, of lines so far, counts blank ones too. */
SAE_MUST_CHECK enum sae_status sae_docs_line(struct sae_bytes *bytes, struct sae_str *line,
                                             uint64_t *number, bool *ret_more, struct sae_err *err);
/* One line of JSON lines as an object, with a message that names file and line. */
SAE_MUST_CHECK enum sae_status sae_docs_object(json_t **ret, const struct sae_str *line,
                                               const char *path, uint64_t number,
                                               struct sae_err *err);
/* Its field as a borrowed string (with length). Fails: SAE_EFORMAT, naming the fields there are */
SAE_MUST_CHECK enum sae_status sae_docs_field(const char **ret, size_t *ret_len,
                                              const json_t *object, const char *field,
                                              const char *path, uint64_t number,
                                              struct sae_err *err);
bool sae_docs_is_json(const char *path);

#endif /* SAE_LIB_TEXT_DOCS_H */
