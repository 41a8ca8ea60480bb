/* SPDX-License-Identifier: MIT */
/* eval_fab : evaluation sets and autoencoders with a known answer, for tests of sae-probe and
 * sae-absorb. Everything is written through the APIs that sae-harvest and sae-train use. */
#ifndef SAE_TESTS_UNIT_EVAL_FAB_H
#define SAE_TESTS_UNIT_EVAL_FAB_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/file/sets.h"
#include "lib/sae/ckpt.h"

/* The word set lives in 34 dimensions: 0..25 the letters, 26..29 four tags, 30..33 noise. Each
 * letter has 200 words, 160 to train and 40 to test; of every 40 consecutive words four carry a
 * tag, so that an absorber latent of a (letter, tag) takes 1 word in 40. */
enum {
    FAB_D = 34,
    FAB_TAGS = 4,
    FAB_PER_LETTER = 200,
    FAB_M = 26 + 26 * FAB_TAGS,
    FAB_ABSORBED_TEST = 4, /* of each letter's 40 test words */
    FAB_TEST = 40
};

/* A record with a site: model "fab", the given model_id and layer. New reference. */
json_t *fab_record(const char *program, const char *model_id, int layer, size_t d);

enum sae_status fab_words(struct sae_words *ret, struct sae_err *err); /* sae_words_clear */

/* Latent c < 26 reads letter c: f = 2 relu(x_c - 1). With `absorbing`, it is silent on tagged
 * words, and latent 26 + 4 c + t fires for letter c with tag t instead; else those are dead. */
enum sae_status fab_ckpt(struct sae_ckpt *ret, bool absorbing, const char *acts_path,
                         struct sae_err *err);

/* n_classes classes of n_per texts (4 of 5 to train), 3 tokens each, width FAB_D; tokens of class
 * c have 3 in dimension c, but a text's share of `flipped` per 10 texts stands in dimension
 * (c + 1) mod n_classes. */
enum sae_status fab_labels(struct sae_labels *ret, uint16_t **ret_rows, size_t n_classes,
                           size_t n_per, size_t flipped, struct sae_err *err);
void fab_labels_clear(struct sae_labels *labels, uint16_t *rows);

/* A folder with acts/words.h5, acts/labels_topic.h5, acts/labels_mood.h5 and
 * run_1/ckpt_{50,100}.h5 (without and with absorption). */
enum sae_status fab_folder(const char *dir, struct sae_err *err);

#endif /* SAE_TESTS_UNIT_EVAL_FAB_H */
