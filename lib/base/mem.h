/* SPDX-License-Identifier: MIT */
/* mem : zeroed, 64-byte aligned memory with overflow checks. Released by free(). */
#ifndef SAE_LIB_BASE_MEM_H
#define SAE_LIB_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

#include "lib/base/err.h"

/* Allocates n elements of `size` bytes, zeroed.
 *
 *   ret    address of the caller's pointer (T **); set on success only. n = 0 gives a valid pointer.
 *
 * Fails: SAE_ENOMEM (also where n * size overflows) */
SAE_MUST_CHECK enum sae_status sae_mem_alloc(void *ret, size_t n, size_t size, struct sae_err *err);

/* Grows an array to hold at least n elements, doubling; new elements are zero.
 *
 *   ptr    address of the caller's pointer (T **), may hold NULL
 *   cap    its capacity in elements, updated */
SAE_MUST_CHECK enum sae_status sae_mem_grow(void *ptr, size_t *cap, size_t n, size_t size,
                                            struct sae_err *err);

/* Copies a string. */
SAE_MUST_CHECK enum sae_status sae_mem_strdup(char **ret, const char *s, struct sae_err *err);

/* Tests only: the n-th allocation from now on (1 = next) fails once; 0 switches it off. */
void sae_mem_fail_after(size_t n);

#endif /* SAE_LIB_BASE_MEM_H */
