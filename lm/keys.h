/* SPDX-License-Identifier: MIT */
/* keys : the keys of a config.json. Each is read by name; in the end a key that nobody read and
 * whose name says that it may change the numbers ("rope", "attn", "norm", ...) is refused, unless
 * it is null, false or empty. All messages: "'KEY' is FOUND, expected EXPECTED". */
#ifndef SAE_LM_KEYS_H
#define SAE_LM_KEYS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct sae_lm_keys {
    const json_t *root;
    json_t *unread;   /* a copy without what was read */
    const char *path; /* before each key in a message: "", "text_config." */
    struct sae_err *err;
};

/* root is borrowed. Fails: SAE_ENOMEM, SAE_EFORMAT no object */
SAE_MUST_CHECK enum sae_status sae_lm_keys_open(struct sae_lm_keys *keys, const json_t *root,
                                                const char *path, struct sae_err *err);
void sae_lm_keys_close(struct sae_lm_keys *keys);
/* `title`: the family's, for the message. */
SAE_MUST_CHECK enum sae_status sae_lm_keys_end(const struct sae_lm_keys *keys, const char *title);

/* The value, NULL where it is absent or null; read from now on. */
const json_t *sae_lm_key(struct sae_lm_keys *keys, const char *name);
/* SAE_EFORMAT with the message above. */
enum sae_status sae_lm_key_wrong(const struct sae_lm_keys *keys, const char *name,
                                 const json_t *value, const char *expected);

/* A whole number in min ... max. _or: `absent` where there is none. */
SAE_MUST_CHECK enum sae_status sae_lm_key_size(struct sae_lm_keys *keys, size_t *ret,
                                               const char *name, size_t min, size_t max);
SAE_MUST_CHECK enum sae_status sae_lm_key_size_or(struct sae_lm_keys *keys, size_t *ret,
                                                  const char *name, size_t min, size_t max,
                                                  size_t absent);
/* A number above 0, at most max. */
SAE_MUST_CHECK enum sae_status sae_lm_key_positive(struct sae_lm_keys *keys, double *ret,
                                                   const char *name, double max);
SAE_MUST_CHECK enum sae_status sae_lm_key_positive_or(struct sae_lm_keys *keys, double *ret,
                                                      const char *name, double max, double absent);
SAE_MUST_CHECK enum sae_status sae_lm_key_flag(struct sae_lm_keys *keys, bool *ret,
                                               const char *name, bool absent);
/* The flag must be `wanted` or absent; `why` ends the message. */
SAE_MUST_CHECK enum sae_status sae_lm_key_must(struct sae_lm_keys *keys, const char *name,
                                               bool wanted, const char *why);
/* A token id below V. `absent` NULL: it must be there. */
SAE_MUST_CHECK enum sae_status sae_lm_key_token(struct sae_lm_keys *keys, uint32_t *ret,
                                                const char *name, size_t V, const uint32_t *absent);

#endif /* SAE_LM_KEYS_H */
