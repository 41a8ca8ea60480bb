/* SPDX-License-Identifier: MIT */
/* record : what made a file. A JSON object kept in every saekit file and result:
 *
 *   { "program": "sae-train", "version": "0.1.0", "command": "sae-train --acts acts --k 32 ...",
 *     "options": { every resolved option by its long name, strings as typed or defaulted },
 *     "libraries": { "hdf5": "1.10.8", "blas": "..." },
 *     "inputs": [ { "role": "acts", "path": "../acts", "id": "sha256...", "record": {...} } ],
 *     "site": { "model": "tiny-g2", "model_id": "sha256", "layer": 3,
 *               "hook": "blocks.3.hook_resid_post", "d": 128, "context": 128 } }
 *
 * Inputs carry their own records, so a figure can be walked back to weights and text. No time,
 * host or output path is in it: two equal runs give equal bytes. */
#ifndef SAE_LIB_FILE_RECORD_H
#define SAE_LIB_FILE_RECORD_H

#include <jansson.h>

#include "lib/base/err.h"

/* New record from what cli/opt resolved (sae_opt_record fills program, command, options).
 * Adds "inputs": []. New reference in *ret. */
SAE_MUST_CHECK enum sae_status sae_record_input(json_t *record, const char *role, const char *path,
                                                const char *id, const json_t *input_record,
                                                struct sae_err *err);
/* Compact text in new memory. */
SAE_MUST_CHECK enum sae_status sae_record_text(char **ret, const json_t *record,
                                               struct sae_err *err);

/* First input with this role, NULL if none; looks into nested records too (depth first). */
const json_t *sae_record_find_input(const json_t *record, const char *role);

#endif /* SAE_LIB_FILE_RECORD_H */
