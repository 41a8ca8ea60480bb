/* SPDX-License-Identifier: MIT */
/* prompts : the words of a vocabulary and their first-letter prompts, as SAEBench asks for them
 * (absorption since 2025-04-11: with a leading newline):
 *
 *     \n dog has the first letter: D\n ... \n cat has the first letter:
 *
 * ten examples, then the word. No language model is run here. */
#ifndef SAE_HARVEST_PROMPTS_H
#define SAE_HARVEST_PROMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/base/str.h"
#include "lm/lm.h"

enum { HARVEST_EXAMPLES = 10 };

struct harvest_word {
    const char *text; /* piece of the tokenizer, with its leading space where it has one */
    uint32_t token;
    uint8_t letter; /* 0..25 */
};

/* Shuffled: words [0, n_train) are for training, [n_train, n) for testing. */
struct harvest_vocabulary {
    size_t n, cap, n_train;
    struct harvest_word *v;
    size_t n_candidates, n_skipped; /* pieces of letters; those that text does not encode to */
};

/* One leading space at most, then ASCII letters only. */
bool harvest_prompts_is_word(const char *piece);

/* Every word of the vocabulary that encodes to its own single token in the prompt; with
 * spaced_only those with a leading space. Shuffled by rng; the first max_words (0 = all) are
 * kept, of which floor(0.8 n) are for training.
 * Fails: SAE_EARG fewer words than a test set with examples needs */
SAE_MUST_CHECK enum sae_status harvest_prompts_words(struct harvest_vocabulary *ret,
                                                     const struct sae_tok *tok, bool spaced_only,
                                                     size_t max_words, struct sae_rng *rng,
                                                     struct sae_err *err);
void harvest_prompts_clear(struct harvest_vocabulary *words);

/* Draws ten different words of [first, first + n) other than `word`.
 * Fails: SAE_EARG fewer than eleven to draw from */
SAE_MUST_CHECK enum sae_status harvest_prompts_draw(size_t examples[HARVEST_EXAMPLES], size_t word,
                                                    size_t first, size_t n, struct sae_rng *rng,
                                                    struct sae_err *err);

/* The text of a prompt, appended. */
SAE_MUST_CHECK enum sae_status harvest_prompts_text(struct sae_str *to,
                                                    const struct harvest_vocabulary *words,
                                                    const size_t examples[HARVEST_EXAMPLES],
                                                    size_t word, struct sae_err *err);

/* Place of the word's own token: the last one that " has the first letter:" follows up to the end.
 * False if absent. */
bool harvest_prompts_find(const struct sae_tok *tok, const uint32_t *ids, size_t n, uint32_t token,
                          size_t *ret_at);

#endif /* SAE_HARVEST_PROMPTS_H */
