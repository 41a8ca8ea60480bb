/* SPDX-License-Identifier: MIT */
/* cost : what an SAE at work takes, for the plans of evaluations. */
#ifndef SAE_LIB_EVAL_COST_H
#define SAE_LIB_EVAL_COST_H

#include "lib/eval/pool.h"
#include "lib/file/sets.h"
#include "lib/math/ops.h"
#include "lib/sae/model.h"

/* Operations of encoding and of decoding n tokens; of the cosines of all pairs of rows. */
double sae_cost_encode_flops(const struct sae_model *model, double n);
double sae_cost_decode_flops(const struct sae_model *model, double n);
double sae_cost_pairs_flops(const struct sae_model *model);

/* Seconds a token to encode and decode, from a batch of noise on this machine. Where its scratch does not
 * fit the memory that is free, nothing is run, and they are NaN. Fails: as sae_coder_open */
SAE_MUST_CHECK enum sae_status sae_cost_code(double *ret_encode, double *ret_decode,
                                             const struct sae_model *model,
                                             const struct sae_ops *ops, size_t n_max,
                                             struct sae_err *err);
/* Seconds for the cosines of all pairs of rows, from a part of them. */
SAE_MUST_CHECK enum sae_status sae_cost_pairs(double *ret, const struct sae_model *model,
                                              const struct sae_ops *ops, struct sae_err *err);

/* Latents of a labelled set as sae_pool_latents makes them, of its first texts; the others repeat those, so
 * that what is done with them can be tried. ret_seconds: what encoding all would take. */
SAE_MUST_CHECK enum sae_status sae_cost_pool(struct sae_pool *ret, double *ret_seconds,
                                             const struct sae_labels *labels,
                                             const struct sae_model *model,
                                             const struct sae_ops *ops, size_t batch,
                                             struct sae_err *err);
/* Bytes that sae_pool_latents takes for a set whose texts have n_entries latents; that stay. */
double sae_cost_pool_bytes(const struct sae_model *model, const struct sae_labels *labels,
                           size_t batch, double n_entries);
double sae_cost_codes_bytes(double n_rows, double n_entries);

#endif /* SAE_LIB_EVAL_COST_H */
