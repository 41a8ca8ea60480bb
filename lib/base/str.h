/* SPDX-License-Identifier: MIT */
/* str : a growing string, strict conversions of text to numbers, and words for a shell. */
#ifndef SAE_LIB_BASE_STR_H
#define SAE_LIB_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* Born as {0}; `s` is NULL until the first append, then always NUL-terminated. */
struct sae_str {
    char *s;
    size_t len;
    size_t cap;
};

SAE_MUST_CHECK enum sae_status sae_str_append(struct sae_str *str, const char *text, size_t len,
                                              struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_str_printf(struct sae_str *str, struct sae_err *err,
                                              const char *fmt, ...) SAE_PRINTF(3, 4);
SAE_MUST_CHECK enum sae_status sae_str_vprintf(struct sae_str *str, struct sae_err *err,
                                               const char *fmt, va_list args) SAE_PRINTF(3, 0);
void sae_str_clear(struct sae_str *str); /* frees and zeroes */

/* Whole-string conversions: empty text, trailing text, sign errors and overflow are refused
 * (they return false and leave *ret). Counts take one suffix K, M or G (powers of 1000) and a
 * decimal point before it, or a power of ten: 5M, 1.5K, 1e6. */
bool sae_str_u64(const char *s, uint64_t *ret);
bool sae_str_count(const char *s, uint64_t *ret);
bool sae_str_real(const char *s, double *ret);

bool sae_str_ends(const char *s, const char *suffix);

/* Appends a space and the word as a shell reads it back: as it is, or in single quotes if it holds a
 * space or the like. */
SAE_MUST_CHECK enum sae_status sae_str_word(struct sae_str *str, const char *word,
                                            struct sae_err *err);
/* Likewise a path, for the commands that messages suggest; "" without memory. Use it inside the call
 * that prints: sae_str_shell(path).s */
struct sae_shell {
    char s[8192];
};
struct sae_shell sae_str_shell(const char *path);

#endif /* SAE_LIB_BASE_STR_H */
