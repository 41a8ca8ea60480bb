/* SPDX-License-Identifier: MIT */
/* st : a strict reader of safetensors files, single or in shards, and a small writer.
 * Read files are mapped; nothing of them is believed before it is checked. */
#ifndef SAE_LIB_FILE_ST_H
#define SAE_LIB_FILE_ST_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define SAE_ST_RANK_MAX 8

/* Types of the format with whole bytes and of the sub-byte kinds; order of sae_st_dtypes. */
enum sae_st_dtype {
    SAE_ST_F32 = 0,
    SAE_ST_BF16,
    SAE_ST_F16,
    SAE_ST_OTHER, /* known to the format, of no use to a reader of weights */
    SAE_ST_Q8_0,  /* from here on blocks.h: of GGUF files alone */
    SAE_ST_Q4_0,
    SAE_ST_Q4_1,
    SAE_ST_Q5_0,
    SAE_ST_Q5_1,
    SAE_ST_Q4_K,
    SAE_ST_Q5_K,
    SAE_ST_Q6_K
};

struct sae_st_tensor {
    char *name;
    enum sae_st_dtype dtype;
    const char *dtype_name; /* as the format spells it, "BF16" */
    size_t rank;            /* 0 = one element */
    size_t shape[SAE_ST_RANK_MAX];
    size_t n;            /* elements */
    size_t begin, end;   /* bytes, relative to the data buffer */
    const uint8_t *data; /* in the mapping; not aligned, read it with sae_st_widen */
};

/* One open file, or one open folder of shards. Immutable. */
struct sae_st;

/* Opens one file. Fails: SAE_EIO; SAE_EFORMAT, naming the rule that is broken; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_st_open(struct sae_st **ret, const char *path,
                                             struct sae_err *err);

/* Opens a folder: model.safetensors.index.json and the shards it names, or model.safetensors. */
SAE_MUST_CHECK enum sae_status sae_st_open_folder(struct sae_st **ret, const char *folder,
                                                    struct sae_err *err);
void sae_st_close(struct sae_st *st);

size_t sae_st_size(const struct sae_st *st);                                /* tensors */
const struct sae_st_tensor *sae_st_at(const struct sae_st *st, size_t i); /* by name order */
const struct sae_st_tensor *sae_st_find(const struct sae_st *st, const char *name);

/* Paths of the files in use (index first where there is one). */
size_t sae_st_n_files(const struct sae_st *st);
const char *sae_st_file(const struct sae_st *st, size_t i);

/* Elements [first, first + n) of a tensor as f32. Not of SAE_ST_OTHER. */
void sae_st_widen(float *to, const struct sae_st_tensor *tensor, size_t first, size_t n);

/* --- writing -------------------------------------------------------------------------------- */

/* One tensor to write; `data` is f32, stored as F32 or rounded to BF16. */
struct sae_st_item {
    const char *name;
    enum sae_st_dtype dtype; /* SAE_ST_F32 or SAE_ST_BF16 */
    size_t rank;
    size_t shape[SAE_ST_RANK_MAX];
    const float *data;
};

/* Writes one file: F32 before BF16, then by name; data 64-byte aligned; whole or not at all.
 * Fails: SAE_EARG two equal names or a type it does not write; SAE_EIO; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_st_write(const char *path, const struct sae_st_item *items,
                                              size_t n, struct sae_err *err);

/* Writes folder/model.safetensors, or n_shards > 1 files and their index, items in given order. */
SAE_MUST_CHECK enum sae_status sae_st_write_folder(const char *folder,
                                                     const struct sae_st_item *items, size_t n,
                                                     size_t n_shards, struct sae_err *err);

#endif /* SAE_LIB_FILE_ST_H */
