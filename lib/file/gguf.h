/* SPDX-License-Identifier: MIT */
/* gguf : a strict reader of GGUF files (llama.cpp), version 2 and 3, little endian: metadata as
 * JSON, tensors as st.h has them, dimensions in the order of an array [rows][columns]. Nothing of
 * the file is believed before it is checked, and no count asks for memory that the file's size does
 * not bear out. A file in parts is opened by its first, NAME-00001-of-00003.gguf. Format:
 * docs/gguf.md of ggml. */
#ifndef SAE_LIB_FILE_GGUF_H
#define SAE_LIB_FILE_GGUF_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/file/st.h"

/* Real numbers of 32 bits become the shortest decimal that is that number again: 1e-5, not
 * 9.99999975e-06. *meta: an object, json_decref; *st: sae_st_close.
 * Fails: SAE_EIO; SAE_EFORMAT, naming the key or tensor and the rule; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_gguf_open(json_t **meta, struct sae_st **st, const char *path,
                                             struct sae_err *err);

#endif /* SAE_LIB_FILE_GGUF_H */
