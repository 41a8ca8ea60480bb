/* SPDX-License-Identifier: MIT */
/* codes : many rows of latents kept sparse on the host, and what evaluations take out of them.
 * The matrices are struct sae_csr of lib/math/ops.h in host memory, grown here. */
#ifndef SAE_LIB_EVAL_CODES_H
#define SAE_LIB_EVAL_CODES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/sae/model.h"

/* Makes an empty matrix that n_rows rows will be appended to. */
SAE_MUST_CHECK enum sae_status sae_codes_init(struct sae_csr *codes, size_t n_rows,
                                              struct sae_err *err);
void sae_codes_clear(struct sae_csr *codes); /* accepts zeroed */

/* Appends one row of n entries, idx ascending. At most the n_rows of init. */
SAE_MUST_CHECK enum sae_status sae_codes_append(struct sae_csr *codes, const uint32_t *idx,
                                                const float *val, size_t n, struct sae_err *err);

/* Encodes rows of x (host f32 [n][d]) in batches of `batch` and appends one row each.
 *   rows   which of them, in this order; NULL for 0..n-1
 * Fails: SAE_EINTR when a stop was asked for */
SAE_MUST_CHECK enum sae_status sae_codes_encode(struct sae_csr *codes, struct sae_coder *coder,
                                                const float *x, const uint32_t *rows, size_t n,
                                                size_t d, size_t batch, struct sae_err *err);

/* Dense rows as such a matrix (every entry, zeros too): raw neurons through the same code. */
SAE_MUST_CHECK enum sae_status sae_codes_from_dense(struct sae_csr *codes, const float *x, size_t n,
                                                    size_t d, struct sae_err *err);

/* out[i][c] = entry (rows[i], columns[c]), 0 where absent. out: caller's f32 [n][n_columns].
 * Columns are distinct and below width. */
SAE_MUST_CHECK enum sae_status sae_codes_columns(const struct sae_csr *codes, size_t width,
                                                 const uint32_t *rows, size_t n,
                                                 const uint32_t *columns, size_t n_columns,
                                                 float *out, struct sae_err *err);

#endif /* SAE_LIB_EVAL_CODES_H */
