/* SPDX-License-Identifier: MIT */
/* chance : what overlaps would be if latents with these counts fired independently. */
#ifndef SAE_ANALYZE_CHANCE_H
#define SAE_ANALYZE_CHANCE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/compete.h"

/* Means over all pairs i < j of latents with n_i, n_j >= floor on N tokens. */
struct analyze_chance {
    size_t n_latents;
    double n_pairs;
    double never;                  /* chance that a pair never meets: C(N-n_i, n_j) / C(N, n_j) */
    double overlap[SAE_OVERLAP_N]; /* expected values; NaN for jaccard */
};

/* counts [m]. Works on distinct counts, so the cost does not grow with m^2. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status analyze_chance_make(struct analyze_chance *ret, size_t m,
                                                   const uint64_t *counts, uint64_t n_tokens,
                                                   uint64_t floor, struct sae_err *err);

#endif /* SAE_ANALYZE_CHANCE_H */
