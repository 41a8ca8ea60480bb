/* SPDX-License-Identifier: MIT */
/* acts_inner : what acts.c shows to acts_stream.c, and to nobody else. */
#ifndef SAE_LIB_FILE_ACTS_INNER_H
#define SAE_LIB_FILE_ACTS_INNER_H

#include "lib/file/acts.h"

/* Rows [first, first + n) as stored, bf16 [n][d]. Fails: as sae_acts_read */
SAE_MUST_CHECK enum sae_status sae_acts_read_bf16(struct sae_acts *acts, size_t first, size_t n,
                                                  uint16_t *rows, struct sae_err *err);

/* Of rows as stored, which begin at row `first` of the store. Fails: SAE_EFORMAT a value is NaN or
 * infinite (the message names shard and row) */
SAE_MUST_CHECK enum sae_status sae_acts_check_finite(const struct sae_acts *acts, size_t first,
                                                     size_t n, const uint16_t *rows,
                                                     struct sae_err *err);

#endif /* SAE_LIB_FILE_ACTS_INNER_H */
