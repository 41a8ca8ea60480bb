/* SPDX-License-Identifier: MIT */
/* mem : zeroed, aligned allocation; see the header. */
#include "lib/base/mem.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

enum { ALIGNMENT = 64 }; /* one cache line, one AVX-512 register */

/* The one switch for tests of out-of-memory paths; 0 = off. */
static atomic_size_t fail_after;

void sae_mem_fail_after(size_t n)
{
    atomic_store(&fail_after, n);
}

static int must_fail(void)
{
    size_t left = atomic_load(&fail_after);
    while (left > 0)
        if (atomic_compare_exchange_weak(&fail_after, &left, left - 1))
            return left == 1;
    return 0;
}

enum sae_status sae_mem_alloc(void *ret, size_t n, size_t size, struct sae_err *err)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - ALIGNMENT)
        return sae_err_set(err, SAE_ENOMEM, "out of memory: %zu elements of %zu bytes", n, size);
    const size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *p = must_fail() ? NULL : aligned_alloc(ALIGNMENT, rounded == 0 ? ALIGNMENT : rounded);
    if (p == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory: %zu bytes", bytes);
    memset(p, 0, rounded == 0 ? ALIGNMENT : rounded);
    memcpy(ret, &p, sizeof p);
    return SAE_OK;
}

enum sae_status sae_mem_grow(void *ptr, size_t *cap, size_t n, size_t size, struct sae_err *err)
{
    if (n <= *cap)
        return SAE_OK;
    size_t wider = *cap < 16 ? 16 : *cap;
    while (wider < n)
        wider = wider > SIZE_MAX / 2 ? n : wider * 2;
    void *old;
    void *fresh = NULL;
    memcpy(&old, ptr, sizeof old);
    SAE_TRY(sae_mem_alloc(&fresh, wider, size, err));
    if (old != NULL)
        memcpy(fresh, old, *cap * size);
    free(old);
    memcpy(ptr, &fresh, sizeof fresh);
    *cap = wider;
    return SAE_OK;
}

enum sae_status sae_mem_strdup(char **ret, const char *s, struct sae_err *err)
{
    const size_t n = strlen(s) + 1;
    char *copy = NULL;
    SAE_TRY(sae_mem_alloc(&copy, n, 1, err));
    memcpy(copy, s, n);
    *ret = copy;
    return SAE_OK;
}
