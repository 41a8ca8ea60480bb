/* SPDX-License-Identifier: MIT */
/* utf8 : which bytes are a code point, by Unicode's table of well-formed sequences. */
#ifndef SAE_GEMMA_UTF8_H
#define SAE_GEMMA_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

/* Bytes of the sequence at s (n > 0 left): of a whole code point (*ok true), or of the maximal
 * subpart that one U+FFFD stands for. Never 0. */
size_t gemma_utf8_step(const char *s, size_t n, bool *ok);

bool gemma_utf8_is_valid(const char *s, size_t n);

/* A copy with each ill-formed maximal subpart replaced by U+FFFD. New memory. */
SAE_MUST_CHECK enum sae_status gemma_utf8_repair(char **ret, size_t *ret_n, const char *s, size_t n,
                                                 struct sae_err *err);

#endif /* SAE_GEMMA_UTF8_H */
