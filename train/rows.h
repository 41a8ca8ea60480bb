/* SPDX-License-Identifier: MIT */
/* rows : rows of the activation store in the memory of a device, as the store has them (bf16).
 *
 * If all rows that a run will meet fit, each is sent there once, when it is first met, and stays;
 * later batches are gathered there, and the store is not read again. Otherwise, or if no row is met
 * twice, they pass through a buffer of one batch. Either way the device widens and scales them to
 * the same bits as the host. */
#ifndef SAE_TRAIN_ROWS_H
#define SAE_TRAIN_ROWS_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/file/acts.h"
#include "lib/math/ops.h"

struct rows;

/* For batches of n rows of width d out of the first n_train, n_met rows in all (repeats counted).
 * reserve_bytes: device memory that others will need. Logs what was chosen. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status rows_open(struct rows **ret, const struct sae_ops *ops, size_t n,
                                         size_t d, size_t n_train, uint64_t n_met,
                                         double reserve_bytes, struct sae_err *err);
void rows_close(struct rows *rows); /* accepts NULL */
/* *ret: the batch divided by norm, [n][d] in device memory, valid until the next call. `prefetch`
 * was opened raw. Fails: as sae_acts_prefetch_next_raw */
SAE_MUST_CHECK enum sae_status rows_batch(struct rows *rows, struct sae_acts_prefetch *prefetch,
                                          uint64_t batch, double norm, const float **ret,
                                          struct sae_err *err);
void rows_get(const struct rows *rows, float *x); /* that batch, for the host */
bool rows_stay(const struct rows *rows);          /* which way was chosen */

#endif /* SAE_TRAIN_ROWS_H */
