/* SPDX-License-Identifier: MIT */
/* assign : the best one-to-one assignment of rows to columns, exact, over the pairs that are listed.
 *
 * Primal: maximise sum_i g(i, c(i)), each row at a column of its own (n <= m rows; some columns stay
 * free) or alone, at the gain `alone`. Dual: profits p_i and prices q_c
 * with
 *
 *   p_i + q_c >= g(i, c) for each listed pair,   = where i has c,   q_c >= 0,   = 0 where c is free
 *
 * by shortest augmenting paths (Jonker and Volgenant 1987) after a round of row reductions. A pair that is
 * not listed changes nothing while p_i + q_c >= g: whoever knows the full matrix proves by the dual that
 * the answer holds for it (lib/math/match.h), or lists what is missing and solves on. */
#ifndef SAE_LIB_MATH_ASSIGN_H
#define SAE_LIB_MATH_ASSIGN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define SAE_ASSIGN_NONE UINT32_MAX
/* Below what any gain within -1 ... 1 could make up for: no row stays alone that need not. */
#define SAE_ASSIGN_ALONE (-8.0)

struct sae_assign_row {
    size_t n, cap;
    uint32_t *column; /* [n] listed pairs, each once */
    double *gain;     /* [n] */
};

struct sae_assign {
    size_t n, m;
    double alone; /* SAE_ASSIGN_ALONE, unless the caller sets another before it solves */
    struct sae_assign_row *row; /* [n] */
    double *profit, *price;     /* [n], [m] */
    uint32_t *column_of;        /* [n] SAE_ASSIGN_NONE: alone */
    uint32_t *row_of;           /* [m] SAE_ASSIGN_NONE: free */
    struct sae_assign_work *work;
};

/* Fails: SAE_EARG n > m; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_assign_open(struct sae_assign *ret, size_t n, size_t m,
                                               struct sae_err *err);
void sae_assign_close(struct sae_assign *a); /* accepts zeroed */
/* Lists a pair, which the caller has not listed before. */
SAE_MUST_CHECK enum sae_status sae_assign_add(struct sae_assign *a, size_t row, uint32_t column,
                                              double gain, struct sae_err *err);
/* Solves over what is listed, going on from the last solution where n = m. The same pairs in the same
 * order give the same answer; of several best ones it is one. Fails: SAE_EINTR, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_assign_solve(struct sae_assign *a, struct sae_err *err);

#endif /* SAE_LIB_MATH_ASSIGN_H */
