/* SPDX-License-Identifier: MIT */
/* describe : what a language model is, from its config alone: no weight is read. */
#ifndef SAE_HARVEST_DESCRIBE_H
#define SAE_HARVEST_DESCRIBE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lm/config.h"

/* The layer after which half of the layers, or one more than that, have run: 12 of 26. */
static inline size_t harvest_middle_layer(const struct sae_lm_config *config)
{
    return (config->L - 1) / 2;
}

/* Prints the model of a folder or GGUF file to stdout, as lines or as JSON. Fails: as
 * sae_lm_config_read */
SAE_MUST_CHECK enum sae_status harvest_describe(const char *folder, bool as_json,
                                                struct sae_err *err);

#endif /* SAE_HARVEST_DESCRIBE_H */
