/* SPDX-License-Identifier: MIT */
/* json : jansson values to and from files, with messages that name the file and the key. */
#ifndef SAE_LIB_FILE_JSON_H
#define SAE_LIB_FILE_JSON_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"

/* Duplicate keys and trailing text are refused. *ret is the caller's (json_decref). */
SAE_MUST_CHECK enum sae_status sae_json_load(json_t **ret, const char *path, struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_json_parse(json_t **ret, const char *text, const char *name,
                                              struct sae_err *err);

/* Like sae_json_load, for files that Python wrote: NaN, Infinity and -Infinity become null, and a
 * whole number that does not fit in 64 bits becomes a real number (null beyond the range of those),
 * so that a setting which nobody reads does not make the file unreadable. */
SAE_MUST_CHECK enum sae_status sae_json_load_python(json_t **ret, const char *path,
                                                    struct sae_err *err);
/* The same for a text: writes it so that strict readers take it. *ret is new memory. */
SAE_MUST_CHECK enum sae_status sae_json_from_python(char **ret, const char *text,
                                                    struct sae_err *err);

/* Indent 2, keys in insertion order, reals of 17 digits, which read back equal; whole or absent. */
SAE_MUST_CHECK enum sae_status sae_json_save(const char *path, const json_t *value,
                                             struct sae_err *err);

/* The same form to an open stream, with a newline: what --json prints. Fails: SAE_EIO */
SAE_MUST_CHECK enum sae_status sae_json_print(FILE *to, const json_t *value, struct sae_err *err);
/* Likewise an array of answers; a single one stands alone, without the array. */
SAE_MUST_CHECK enum sae_status sae_json_print_answers(FILE *to, const json_t *answers,
                                                      struct sae_err *err);

/* Value at a dotted path ("options.k"), NULL where absent. Borrowed. */
json_t *sae_json_at(const json_t *value, const char *path);
/* Likewise converted; the default where absent or of another type. */
double sae_json_real(const json_t *value, const char *path, double otherwise);
uint64_t sae_json_u64(const json_t *value, const char *path, uint64_t otherwise);
const char *sae_json_str(const json_t *value, const char *path, const char *otherwise);

/* A JSON real, or null where x is not finite (JSON has no NaN). New reference. */
json_t *sae_json_number(double x);
/* A JSON integer; text from 2^63 on, which jansson's signed integers do not hold. New reference. */
json_t *sae_json_whole(uint64_t x);

#endif /* SAE_LIB_FILE_JSON_H */
