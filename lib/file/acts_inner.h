/* SPDX-License-Identifier: MIT */
/* acts_inner : what acts.c shows to acts_stream.c, and to nobody else. */
#ifndef SAE_LIB_FILE_ACTS_INNER_H
#define SAE_LIB_FILE_ACTS_INNER_H

#include "lib/file/acts.h"

/* Rows [first, first + n) as stored, bf16 [n][d]. Fails: as sae_acts_read */
SAE_MUST_CHECK enum sae_status sae_acts_read_bf16(struct sae_acts *acts, size_t first, size_t n,
                                                  uint16_t *rows, struct sae_err *err);

/* The shard file (borrowed) and the row in it of a row of the store, for messages. */
void sae_acts_name_row(const struct sae_acts *acts, size_t row, const char **ret_shard,
                       size_t *ret_row);

#endif /* SAE_LIB_FILE_ACTS_INNER_H */
