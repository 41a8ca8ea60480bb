/* SPDX-License-Identifier: MIT */
/* autointerp_fab : a store of words and an autoencoder whose latents each follow one word, so that
 * an oracle's score is known by hand.
 *
 * 80 contexts of 64 tokens: BOS, then words of the embedded model's vocabulary, one token each.
 * Latent j fires where word j stands, with strengths that differ from place to place:
 *   0, 1, 2   in one place of every 1st, 1st and 2nd context; latent 2's places are 2 tokens wide
 *   3         10 times: too rare
 *   4         on every token of two contexts: in too few places
 *   5, 6, 7   never */
#ifndef SAE_TESTS_UNIT_AUTOINTERP_FAB_H
#define SAE_TESTS_UNIT_AUTOINTERP_FAB_H

#include <stdbool.h>

#include "autointerp/autointerp.h"

enum { AFAB_T = 64, AFAB_CONTEXTS = 80, AFAB_D = 8, AFAB_WORDS = 40 };

/* A word that stands in the text: words 0 to 4 belong to latents, the others to none. */
const char *afab_word(size_t i);

/* dir/acts (a store) and dir/run_1/ckpt_50.h5, ckpt_100.h5; model: folder of data/tiny-g2. */
SAE_MUST_CHECK enum sae_status afab_folder(const char *dir, const char *model, struct sae_err *err);

#endif /* SAE_TESTS_UNIT_AUTOINTERP_FAB_H */
