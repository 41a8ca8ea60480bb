/* SPDX-License-Identifier: MIT */
/* table : aligned text tables for people. Numbers flush right, text flush left; a rule under the
 * head. Cells are strings; an empty cell prints as "-". */
#ifndef SAE_LIB_CLI_TABLE_H
#define SAE_LIB_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "lib/base/err.h"

struct sae_table; /* collects cells row by row */
SAE_MUST_CHECK enum sae_status sae_table_make(struct sae_table **ret, size_t n_columns,
                                              const char *const *heads, struct sae_err *err);
/* Appends the next cell; rows fill left to right. Allocation failure is reported by print. */
void sae_table_text(struct sae_table *table, const char *fmt, ...) SAE_PRINTF(2, 3);
/* "%.*f" or "%.*g" as fits; "-" where not finite. digits: after the point. */
void sae_table_real(struct sae_table *table, double x, int digits);
void sae_table_count(struct sae_table *table, double x); /* whole numbers; "-" where not finite */
/* Prints to `to` with `indent` spaces before each line. */
SAE_MUST_CHECK enum sae_status sae_table_print(const struct sae_table *table, FILE *to, int indent,
                                               struct sae_err *err);
void sae_table_free(struct sae_table *table);

#endif /* SAE_LIB_CLI_TABLE_H */
