/* SPDX-License-Identifier: MIT */
/* csv : comma-separated records as RFC 4180 has them: quoted fields may hold commas, newlines and
 * doubled quotes; a line may end in CRLF or LF. Likewise separated by tabs. */
#ifndef SAE_LIB_TEXT_CSV_H
#define SAE_LIB_TEXT_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/text/bytes.h"

struct sae_csv {
    struct sae_bytes *bytes; /* borrowed */
    const char *path;        /* for messages; borrowed */
    char separator;          /* ',' or '\t' */
    uint64_t line;           /* line on which the current record began */
    uint64_t lines_read;
    size_t n_fields, cap;
    struct sae_str *field; /* [n_fields] of the current record */
};

void sae_csv_init(struct sae_csv *csv, struct sae_bytes *bytes, const char *path, char separator);
void sae_csv_clear(struct sae_csv *csv);

/* The next record; lines without any character are passed over. *ret_more is false at the end.
 * Fails: SAE_EFORMAT a quote that is not closed, or text after a closing quote (with the line);
 * SAE_ERANGE a field of more than 64 MiB */
SAE_MUST_CHECK enum sae_status sae_csv_next(struct sae_csv *csv, bool *ret_more,
                                                struct sae_err *err);

/* Column with this name in the current record (the header); n_fields where absent. */
size_t sae_csv_column(const struct sae_csv *csv, const char *name);
/* The fields of the current record, "title, url", for messages; cut where it gets long. */
void sae_csv_names(char *to, size_t size, const struct sae_csv *csv);

#endif /* SAE_LIB_TEXT_CSV_H */
