/* SPDX-License-Identifier: MIT */
/* match : the best one-to-one matching of the rows of two matrices by cosine, exact over all pairs, of
 * which few are ever listed.
 *
 * Each row lists its nearest columns, and each column its nearest rows, from one blocked product. The
 * assignment over the listed pairs (lib/math/assign.h) has profits p_i and prices q_c. A row whose
 * unlisted similarities are all at most b_i is proven where b_i <= p_i + min q. Rows that are not are
 * multiplied out again; pairs above p_i + q_c are listed and the assignment goes on. At the end
 * s(i, c) <= p_i + q_c + SAE_MATCH_SLACK holds for every pair, listed or not: by weak duality no
 * matching has a mean similarity above mean + gap. */
#ifndef SAE_LIB_MATH_MATCH_H
#define SAE_LIB_MATH_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"

#define SAE_MATCH_SLACK 1e-6 /* above rounding of products in f32 */
#define SAE_MATCH_NONE UINT32_MAX

struct sae_matching {
    size_t n, m;       /* rows of A and of B */
    uint32_t *partner; /* [n] row of B; SAE_MATCH_NONE: none, where n > m */
    float *similarity; /* [n] to it; 0 without one */
    double mean;       /* over the min(n, m) pairs */
    double gap;        /* proven: the best mean is at most so much above */
    size_t n_solved, n_listed, n_multiplied; /* how it went: assignments, pairs, rows of products */
};

/* A [n][d], B [m][d]: unit rows on the host; a row of length 0 is as near to any as 0. Similarity is
 * |cos|, or with is_signed cos. Equal inputs give equal results.
 * Fails: SAE_EARG n or m is 0; SAE_EINTR; SAE_ENOMEM; as ops->check */
SAE_MUST_CHECK enum sae_status sae_match_rows(struct sae_matching *ret, const struct sae_ops *ops,
                                              size_t n, size_t m, size_t d, const float *A,
                                              const float *B, bool is_signed, struct sae_err *err);
/* Likewise where similarities are given by entries: those of row i are [start[i], start[i+1]), each
 * column once; all others are 0, and none is below. Rows whose best is 0 have no partner. */
SAE_MUST_CHECK enum sae_status sae_match_sparse(struct sae_matching *ret, size_t n, size_t m,
                                                const size_t *start, const uint32_t *column,
                                                const float *similarity, struct sae_err *err);
void sae_matching_clear(struct sae_matching *matching); /* accepts zeroed */

#endif /* SAE_LIB_MATH_MATCH_H */
