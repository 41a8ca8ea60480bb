/* SPDX-License-Identifier: MIT */
/* assign : the best one-to-one matching (Kuhn 1955, Munkres 1957; shortest augmenting paths). */
#ifndef SAE_TESTS_ASSIGN_H
#define SAE_TESTS_ASSIGN_H

#include <stddef.h>
#include <stdint.h>

/* Matches each of n rows to a column of its own among m >= n so that the sum of gain[r][c] is the
 * largest possible. ret [n] receives the columns. Ends the program where memory is short. */
void assign(size_t n, size_t m, const double *gain, uint32_t *ret);

#endif /* SAE_TESTS_ASSIGN_H */
