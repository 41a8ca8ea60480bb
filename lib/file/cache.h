/* SPDX-License-Identifier: MIT */
/* cache : files that save time later (caches, notes of progress) and decide nothing. */
#ifndef SAE_LIB_FILE_CACHE_H
#define SAE_LIB_FILE_CACHE_H

#include <jansson.h>

#include "lib/base/err.h"

/* Call it with the status of writing such a file. If the system refused (a read-only folder, a full
 * disk, another process that wrote it first), the work goes on without the file: one warning per
 * process, and SAE_OK. Other failures are passed on.
 *   why  what the writing filled in */
SAE_MUST_CHECK enum sae_status sae_cache_wrote(enum sae_status st, const struct sae_err *why,
                                               struct sae_err *err);
/* Writes such a file of JSON. NULL: it could not be made. Fails: SAE_ENOMEM; as sae_cache_wrote */
SAE_MUST_CHECK enum sae_status sae_cache_save(const char *path, const json_t *value,
                                              struct sae_err *err);

#endif /* SAE_LIB_FILE_CACHE_H */
