/* SPDX-License-Identifier: MIT */
/* overlap : how often latents fire together, and which pairs compete (method: docs/MATH.md).
 *   n_i  = number of tokens on which latent i is active;  n_ij = tokens on which both are
 * Never an m x m matrix: partners of one latent at a time, from sparse masks. */
#ifndef SAE_LIB_SAE_OVERLAP_H
#define SAE_LIB_SAE_OVERLAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/compete.h"
#include "lib/math/ops.h"

extern const char *const sae_overlap_names[SAE_OVERLAP_N + 1]; /* NULL-terminated, for options */
double sae_overlap_value(enum sae_overlap kind, double B, double n_i, double n_j, double n_ij);

extern const char *const sae_compete_names[SAE_COMPETE_N + 1];
/* linear: clip((nhat - tau)/tau, 0, 1); sigmoid: 1/(1 + exp(-s (nhat - tau)/tau)). */
double sae_compete_value(enum sae_compete form, double s, double nhat, double tau);

/* Symmetric partner lists with c_ij > 0, on the host; grows `pairs` (host memory, free with
 * sae_pairs_free(pairs, &sae_ops_cpu)). Threads over latents; the result is in fixed order. */
SAE_MUST_CHECK enum sae_status sae_overlap_pairs(size_t m, const struct sae_overlap_masks *masks,
                                                 const struct sae_compete_rule *rule,
                                                 struct sae_pairs *pairs, struct sae_err *err);

/* The same, but where there are more than `most` pairs i < j they are counted and `pairs` is left
 * as it was. *ret_n: how many there are. */
SAE_MUST_CHECK enum sae_status sae_overlap_pairs_up_to(size_t m,
                                                       const struct sae_overlap_masks *masks,
                                                       const struct sae_compete_rule *rule,
                                                       size_t most, struct sae_pairs *pairs,
                                                       size_t *ret_n, struct sae_err *err);

/* Coefficients a row at a time, without lists: fill with user = rows is what ops->orth_rows takes.
 * Any thread of OpenMP may fill. masks must outlive it; the number of threads must not grow. */
struct sae_overlap_rows;
SAE_MUST_CHECK enum sae_status sae_overlap_rows_open(struct sae_overlap_rows **ret, size_t m,
                                                     const struct sae_overlap_masks *masks,
                                                     const struct sae_compete_rule *rule,
                                                     struct sae_err *err);
void sae_overlap_rows_fill(const void *rows, size_t i, float *c);
void sae_overlap_rows_close(struct sae_overlap_rows *rows); /* accepts NULL */

/* Calls visit(user, i, j, n_i, n_j, n_ij) for every pair i < j with n_ij > 0, in order of i, j.
 * One thread. */
SAE_MUST_CHECK enum sae_status sae_overlap_visit(size_t m, const struct sae_overlap_masks *masks,
                                                 void (*visit)(void *user, uint32_t i, uint32_t j,
                                                               double n_i, double n_j, double n_ij),
                                                 void *user, struct sae_err *err);
#endif /* SAE_LIB_SAE_OVERLAP_H */
