/* SPDX-License-Identifier: MIT */
/* docs : documents, one after the other, from text files and JSON lines.
 *
 * A file whose name ends in .jsonl or .ndjson (before .gz, .zst) is JSON lines: each line an
 * object, its named field a document. Any other file is plain text: the file is a document, or,
 * split at blank lines, each of its paragraphs. */
#ifndef SAE_HARVEST_DOCS_H
#define SAE_HARVEST_DOCS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harvest/bytes.h"
#include "harvest/files.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum harvest_split { HARVEST_SPLIT_NONE = 0, HARVEST_SPLIT_BLANK, HARVEST_SPLIT_LINE };

struct harvest_docs {
    const struct harvest_files *files; /* borrowed */
    const char *field;                 /* of JSON lines; borrowed */
    enum harvest_split split;          /* of plain text */
    size_t file;                       /* the one being read */
    bool open, json;
    uint64_t line;   /* last line read of it */
    uint64_t n_docs; /* documents given out so far */
    struct harvest_bytes bytes;
    struct sae_str text; /* the current document */
    struct sae_str row;  /* scratch */
};

void harvest_docs_init(struct harvest_docs *docs, const struct harvest_files *files,
                       const char *field, enum harvest_split split);
void harvest_docs_clear(struct harvest_docs *docs);

/* The next document in docs->text (it may be empty); *ret_more is false after the last.
 * Fails: SAE_EIO; SAE_EFORMAT malformed line (with its number), field missing or not a string,
 * plain text with NUL bytes near its start */
SAE_MUST_CHECK enum sae_status harvest_docs_next(struct harvest_docs *docs, bool *ret_more,
                                                 struct sae_err *err);

/* One line of JSON lines as an object, with a message that names file and line. */
SAE_MUST_CHECK enum sae_status harvest_docs_object(json_t **ret, const struct sae_str *line,
                                                   const char *path, uint64_t number,
                                                   struct sae_err *err);
/* Its field as a borrowed string (with length). Fails: SAE_EFORMAT, naming the fields there are */
SAE_MUST_CHECK enum sae_status harvest_docs_field(const char **ret, size_t *ret_len,
                                                  const json_t *object, const char *field,
                                                  const char *path, uint64_t number,
                                                  struct sae_err *err);
bool harvest_docs_is_json(const char *path);

#endif /* SAE_HARVEST_DOCS_H */
