/* SPDX-License-Identifier: MIT */
/* st_inner : the header of one safetensors file, between its parser and the files' owner. */
#ifndef SAE_LIB_FILE_ST_INNER_H
#define SAE_LIB_FILE_ST_INNER_H

#include "lib/base/map.h"
#include "lib/file/st.h"

/* Parses and checks a header of n bytes at `text`, with n_data bytes of tensors after it.
 * *ret is sorted by position; `data` pointers are left NULL. Free with sae_st_tensors_free. */
SAE_MUST_CHECK enum sae_status sae_st_parse(struct sae_st_tensor **ret, size_t *ret_n,
                                              const char *text, size_t n, size_t n_data,
                                              struct sae_err *err);
void sae_st_tensors_free(struct sae_st_tensor *tensors, size_t n);

/* A file whose tensors another reader found. */
struct sae_st_part {
    char *path;
    struct sae_map map;
    struct sae_st_tensor *tensors;
    size_t n;
};
void sae_st_part_free(struct sae_st_part *part); /* and empties it */

/* n such files as an open sae_st, which takes them: they are emptied. Fails, and then they are the
 * caller's or emptied: SAE_EFORMAT two tensors of one name; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_st_adopt(struct sae_st **ret, struct sae_st_part *parts,
                                            size_t n, struct sae_err *err);

#endif /* SAE_LIB_FILE_ST_INNER_H */
