/* SPDX-License-Identifier: MIT */
/* utf8 : which bytes are a code point, by Unicode's table of well-formed sequences; and
 * text made safe to show. */
#ifndef SAE_LIB_BASE_UTF8_H
#define SAE_LIB_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* Bytes of the sequence at s (n > 0 left): of a whole code point (*ok true), or of the maximal
 * subpart that one U+FFFD stands for. Never 0. */
size_t sae_utf8_step(const char *s, size_t n, bool *ok);

bool sae_utf8_is_valid(const char *s, size_t n);

/* Length of the longest part of s[0, n) that ends with a whole code point or with a byte that can
 * begin none: where text that goes on may be cut. At least n - 3. */
size_t sae_utf8_cut(const char *s, size_t n);

/* Appends s[0, n) with U+FFFD in place of each ill-formed maximal subpart; adds to *n_replaced how
 * many there were. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_utf8_append(struct sae_str *to, const char *s, size_t n,
                                               uint64_t *n_replaced, struct sae_err *err);

/* Appends text as a person may see it on a terminal, in a table or in a chart: control characters,
 * bytes that are not UTF-8, and characters that break a line or turn the direction of writing stand
 * as \n, \x1b or \u202e. What comes out is valid UTF-8 and legal in XML. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_utf8_shown(struct sae_str *to, const char *s, size_t n,
                                              struct sae_err *err);

/* Writes text of many lines the same way; its newlines stay. What cannot be written shows in
 * ferror(to), as after fprintf. */
void sae_utf8_put(FILE *to, const char *text, size_t n);
void sae_utf8_print(FILE *to, const char *fmt, ...) SAE_PRINTF(2, 3);

#endif /* SAE_LIB_BASE_UTF8_H */
