/* SPDX-License-Identifier: MIT */
/* config : config.json of a model folder, read and checked. */
#ifndef SAE_LM_CONFIG_H
#define SAE_LM_CONFIG_H

#include "lm/lm.h"

/* Reads folder/config.json. Fails: SAE_EIO; SAE_EFORMAT, naming key, found and expected */
SAE_MUST_CHECK enum sae_status sae_lm_config_read(struct sae_lm_config *config, const char *folder,
                                                  struct sae_err *err);

#endif /* SAE_LM_CONFIG_H */
