/* SPDX-License-Identifier: MIT */
/* blocks : quantised tensors of GGUF files. A row is cut into blocks of 32 or 256 elements, each
 * with scales of its own. Formulas: dequantize_row_* of ggml-quants.c (llama.cpp), in f32. */
#ifndef SAE_LIB_FILE_BLOCKS_H
#define SAE_LIB_FILE_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/file/st.h"

struct sae_blocks {
    enum sae_st_dtype dtype;
    const char *name;
    uint32_t id;                                    /* enum ggml_type */
    size_t n_elements, n_bytes;                     /* of one block; plain types: 1 and the width */
    void (*widen)(float *to, const uint8_t *block); /* NULL: a plain type */
};
enum { SAE_BLOCK_MAX = 256 }; /* elements */

/* By ggml's number of the type, by dtype. NULL: it is not read. */
const struct sae_blocks *sae_blocks_by_id(uint32_t id);
const struct sae_blocks *sae_blocks_of(enum sae_st_dtype dtype);
/* ggml's name of a type that is not read; NULL: none is known. */
const char *sae_blocks_other(uint32_t id);

/* Elements [first, first + n) of quantised data. */
void sae_blocks_widen(const struct sae_blocks *kind, float *to, const uint8_t *data, size_t first,
                      size_t n);

#endif /* SAE_LIB_FILE_BLOCKS_H */
