/* SPDX-License-Identifier: MIT */
/* left : rows of text files that cannot be used are left out and counted, so that one bad row does
 * not end the work of days. The first is told in a warning at once. */
#ifndef SAE_LIB_TEXT_LEFT_H
#define SAE_LIB_TEXT_LEFT_H

#include <stdint.h>

#include "lib/base/err.h"

struct sae_left {
    uint64_t n;          /* rows left out */
    uint64_t n_replaced; /* sequences of bytes or escapes that were no UTF-8 and became U+FFFD */
    const char *unit;    /* what lines are: "row" of Parquet; NULL: "line" */
    char first[300];     /* "'t.jsonl' line 7: field 'text' is null", the first row left out */
};

/* Counts one row left out, and says why: "field 'text' is null". */
void sae_left_add(struct sae_left *left, const char *path, uint64_t line, const char *fmt, ...)
    SAE_PRINTF(4, 5);
/* Counts n sequences that were replaced, 0 for none. line 0: no line is known. */
void sae_left_replaced(struct sae_left *left, const char *path, uint64_t line, uint64_t n);

#endif /* SAE_LIB_TEXT_LEFT_H */
