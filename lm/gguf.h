/* SPDX-License-Identifier: MIT */
/* gguf : a language model in one GGUF file in place of a folder. Its metadata become what a folder
 * would hold: the object of a config.json, read by the family like any other, and that of a
 * tokenizer.json. A key that is not known is refused by name. */
#ifndef SAE_LM_GGUF_H
#define SAE_LM_GGUF_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/file/st.h"
#include "lm/config.h"

/* Whether the model's path names a file, which must then be GGUF. */
bool sae_lm_is_gguf(const char *path);
/* The config, and the tensors unless ret is NULL: the file is parsed once for both. Fails: SAE_EIO,
 * SAE_EFORMAT, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_lm_gguf_config(struct sae_lm_config *config, struct sae_st **ret,
                                                  const char *path, struct sae_err *err);
/* The object of a tokenizer.json for tok_bpe, new reference. A third element of a merge is its
 * rank. Fails: likewise */
SAE_MUST_CHECK enum sae_status sae_lm_gguf_tokenizer(json_t **ret, const char *path,
                                                     struct sae_err *err);

#endif /* SAE_LM_GGUF_H */
