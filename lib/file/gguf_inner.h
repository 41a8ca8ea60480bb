/* SPDX-License-Identifier: MIT */
/* gguf_inner : one GGUF file, which may be one of several. */
#ifndef SAE_LIB_FILE_GGUF_INNER_H
#define SAE_LIB_FILE_GGUF_INNER_H

#include "lib/file/gguf.h"
#include "lib/file/st_inner.h"

/* Metadata and tensors; the latter sae_st_part_free. Fails: as sae_gguf_open */
SAE_MUST_CHECK enum sae_status sae_gguf_read(json_t **meta, struct sae_st_part *part,
                                             const char *path, struct sae_err *err);

#endif /* SAE_LIB_FILE_GGUF_INNER_H */
