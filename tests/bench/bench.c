/* SPDX-License-Identifier: MIT */
/* bench : see the header. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"

enum { GROUPS = 64 };

void need(enum sae_status st, const struct sae_err *err)
{
    if (st == SAE_OK)
        return;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, err->msg);
    exit(1);
}

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

float *grouped_rows(size_t n, size_t d)
{
    struct sae_rng rng = sae_rng_make(7, SAE_RNG_TEST);
    struct sae_err err = {0};
    float *x = NULL, *shared = NULL;
    need(sae_mem_alloc(&x, n * d, sizeof *x, &err), &err);
    need(sae_mem_alloc(&shared, GROUPS * d, sizeof *shared, &err), &err);
    for (size_t i = 0; i < GROUPS * d; i++)
        shared[i] = (float)sae_rng_normal(&rng);
    for (size_t t = 0; t < n; t++) {
        const float *const group = shared + sae_rng_below(&rng, GROUPS) * d;
        for (size_t i = 0; i < d; i++)
            x[t * d + i] = group[i] + (float)sae_rng_normal(&rng);
    }
    free(shared);
    return x;
}
