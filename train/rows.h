/* SPDX-License-Identifier: MIT */
/* rows : rows of the activation store in the memory of a device, as the store has them (bf16).
 *
 * Where all that a run will meet fit, each is sent there once, as it is first met, and stays; later
 * batches are gathered there, and the store is read no more. Otherwise, and where no row is met
 * twice, they pass through room for one batch. Either way the device widens and scales them, to
 * the bits that the host's widening and scaling give. */
#ifndef SAE_TRAIN_ROWS_H
#define SAE_TRAIN_ROWS_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/file/acts.h"
#include "lib/math/ops.h"

struct rows;

/* For batches of n rows of width d out of the first n_train, n_met rows in all (repeats counted).
 * leave: bytes of the device that others will need. Logs what was chosen. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status rows_open(struct rows **ret, const struct sae_ops *ops, size_t n,
                                         size_t d, size_t n_train, uint64_t n_met, double leave,
                                         struct sae_err *err);
void rows_close(struct rows *rows); /* accepts NULL */
/* *ret: the batch over norm, [n][d] in the memory of the device, until the next call. `ahead` is
 * raw. Fails: as sae_acts_ahead_next_raw */
SAE_MUST_CHECK enum sae_status rows_batch(struct rows *rows, struct sae_acts_ahead *ahead,
                                          uint64_t batch, double norm, const float **ret,
                                          struct sae_err *err);
void rows_get(const struct rows *rows, float *x); /* that batch, for the host */
bool rows_stay(const struct rows *rows);          /* which way was chosen */

#endif /* SAE_TRAIN_ROWS_H */
