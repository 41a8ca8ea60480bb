/* SPDX-License-Identifier: MIT */
/* words : the first-letter word set, words.h5 (sets.h): each vocabulary word in two prompts. */
#ifndef SAE_HARVEST_WORDS_H
#define SAE_HARVEST_WORDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harvest/tap.h"
#include "lib/base/err.h"

struct harvest_words_settings {
    uint64_t seed;
    size_t max_words; /* 0 = all */
    bool spaced_only;
    size_t n_batch; /* tokens in one pass through the model */
    bool force;
};

struct harvest_words_totals {
    size_t n, n_train, n_test, n_candidates, n_skipped, n_correct;
    bool found; /* it was there already */
};

/* One set for each of n taps of a model, which runs once for those that are not there.
 *   ret [n]
 * Fails: SAE_EARG a folder has another word set, too few words; SAE_EINTR nothing is kept */
SAE_MUST_CHECK enum sae_status harvest_words_write(const struct harvest_target *targets, size_t n,
                                                   const struct harvest_words_settings *settings,
                                                   struct harvest_words_totals *ret,
                                                   struct sae_err *err);

/* How much work that is: prompts are made, and no model is run. */
struct harvest_words_size {
    size_t n_words, n_prompts, n_tokens, longest; /* of all prompts; tokens of the longest */
    size_t chunk;                                 /* rows of logits at a time */
};
SAE_MUST_CHECK enum sae_status harvest_words_measure(struct harvest_tap *tap,
                                                     const struct harvest_words_settings *settings,
                                                     struct harvest_words_size *ret,
                                                     struct sae_err *err);

#endif /* SAE_HARVEST_WORDS_H */
