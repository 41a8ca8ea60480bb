/* SPDX-License-Identifier: MIT */
/* config : config.json of a model folder, read and checked. */
#ifndef SAE_GEMMA_CONFIG_H
#define SAE_GEMMA_CONFIG_H

#include "gemma/gemma.h"

/* Reads folder/config.json. Fails: SAE_EIO; SAE_EFORMAT, naming key, found and expected */
SAE_MUST_CHECK enum sae_status gemma_config_read(struct gemma_config *config, const char *folder,
                                                 struct sae_err *err);

#endif /* SAE_GEMMA_CONFIG_H */
