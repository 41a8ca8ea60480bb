/* SPDX-License-Identifier: MIT */
/* made_lm : a language model of random weights, in a folder of its own. */
#ifndef SAE_TESTS_BENCH_MADE_LM_H
#define SAE_TESTS_BENCH_MADE_LM_H

#include <stddef.h>

struct made_lm_widths {
    size_t V, D, F, H, K, d, window, context;
};
extern const struct made_lm_widths made_lm_gemma_2_2b, made_lm_narrow;

/* L layers of Gemma-2 in bf16, written to a folder under $TMPDIR that is removed when the program ends.
 * Returns its path. Ends the program on failure. */
const char *made_lm(const struct made_lm_widths *w, size_t L);

#endif /* SAE_TESTS_BENCH_MADE_LM_H */
