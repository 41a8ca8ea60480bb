/* SPDX-License-Identifier: MIT */
/* origin : the record of what a harvest makes, and whether a folder's contents have the same. */
#ifndef SAE_HARVEST_ORIGIN_H
#define SAE_HARVEST_ORIGIN_H

#include <jansson.h>
#include <stdbool.h>

#include "harvest/tap.h"
#include "lib/base/err.h"
#include "lib/text/files.h"

/* Record of one product: of `invocation` (sae_opt_record) only the options named in `options`
 * (NULL-terminated) besides model and layer; plus the site, the tokenizer, and the model as an
 * input, its path as seen from `dir`. New reference. */
SAE_MUST_CHECK enum sae_status harvest_origin_make(json_t **ret, const json_t *invocation,
                                                   const char *const *options,
                                                   const struct harvest_tap *tap, size_t context,
                                                   const char *dir, struct sae_err *err);
/* Adds each file as an input {role, path, id = sha256, bytes}. */
SAE_MUST_CHECK enum sae_status harvest_origin_files(json_t *record, const char *role,
                                                    const struct sae_files *files,
                                                    struct sae_err *err);

/* Refuses a product in `path` whose record `old` differs from `new` in anything that could change a
 * byte of it. Names (paths, the command line) may differ.
 * Fails: SAE_EARG, naming up to three differences */
SAE_MUST_CHECK enum sae_status harvest_origin_check(const json_t *old, const json_t *new,
                                                    const char *path, struct sae_err *err);

/* Whether the two records differ in the files of the text and in nothing else. */
bool harvest_origin_other_text(const json_t *old, const json_t *new);

/* What this command is going to replace in the folder, so that it need not match. */
struct harvest_origin_renewed {
    bool store, words, lasts; /* lasts: last_*.h5 */
    size_t n_labels;
    char *const *labels; /* file names "labels_x.h5" */
};
/* Refuses a folder that holds anything of another model or hook. The folder may be missing.
 * Fails: SAE_EARG */
SAE_MUST_CHECK enum sae_status harvest_origin_folder(const char *dir, const struct harvest_tap *tap,
                                                     const struct harvest_origin_renewed *renewed,
                                                     struct sae_err *err);

/* Record of a saekit file; new reference. */
SAE_MUST_CHECK enum sae_status harvest_origin_read(json_t **ret, const char *path,
                                                   struct sae_err *err);

#endif /* SAE_HARVEST_ORIGIN_H */
