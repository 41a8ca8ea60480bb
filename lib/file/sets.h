/* SPDX-License-Identifier: MIT */
/* sets : labelled sets and first-letter word sets, activations of evaluation texts.
 * They lie in the folder of the activation store made by the same model at the same layer. */
#ifndef SAE_LIB_FILE_SETS_H
#define SAE_LIB_FILE_SETS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* labels_<name>.h5, kind "labels". k-sparse probing needs each text's *tokens*, because latents
 * are encoded per token and then mean-pooled (SAEBench); so rows of every kept token are stored.
 *   /rows      bf16 [n_rows][d]   resid_post at tokens that are not BOS, EOS or PAD
 *   /pooled    f32  [n_texts][d]  mean of a text's rows: the raw-neuron vector of SAEBench
 *   /start     u64  [n_texts+1]   rows of text t are [start[t], start[t+1]), at least one
 *   /label     u32  [n_texts]     index into /classes
 *   /split     u8   [n_texts]     0 train, 1 test
 *   /classes   strings [n_classes]
 *   /attribute u32  [n_texts]     index into /attributes: a second label of each text, where the
 *   /attributes strings [...]     data has one; both absent otherwise */
struct sae_h5;
struct sae_labels {
    char *name;
    size_t n_texts, n_rows, d, n_classes;
    float *pooled; /* [n_texts][d] */
    uint64_t *start;
    uint32_t *label;
    uint8_t *split;
    char **classes;
    size_t n_attributes; /* 0: texts have no second label */
    uint32_t *attribute;
    char **attributes;
    char id[65];
    json_t *record;
    struct sae_h5 *file; /* open, for sae_labels_rows */
};
/* Everything but the rows. Fails: SAE_EIO, SAE_EFORMAT (also a text without rows, a label
 * outside /classes, NaN in /pooled) */
SAE_MUST_CHECK enum sae_status sae_labels_open(struct sae_labels *ret, const char *path,
                                               struct sae_err *err);
/* Rows [first, first + n) as host f32 [n][d]. */
SAE_MUST_CHECK enum sae_status sae_labels_rows(struct sae_labels *labels, size_t first, size_t n,
                                               float *x, struct sae_err *err);
void sae_labels_close(struct sae_labels *labels);
/* bf16 rows [n_rows][d]; the other fields from `labels` (its id, record and file are ignored;
 * pooled is computed here from rows). */
SAE_MUST_CHECK enum sae_status sae_labels_save(const char *path, const struct sae_labels *labels,
                                               const uint16_t *rows, const json_t *record,
                                               bool force, struct sae_err *err);

/* words.h5, kind "words". One prompt a word; the activation is at the word's own token.
 *   /words     strings [n]     with their leading space where they have one (" cat")
 *   /token     u32  [n]        vocabulary id
 *   /letter    u8   [n]        0..25, of the lower-cased first letter
 *   /split     u8   [n]        0 train, 1 test
 *   /correct   u8   [n]        1 where the model's next token after the prompt is the letter
 *   /probe     f32  [n][d]     prompt whose ten examples come from the word's own split
 *   /eval      f32  [n][d]     fresh prompt whose ten examples come from the whole vocabulary, of
 *                              test words; training words repeat /probe (nothing reads them) */
struct sae_words {
    size_t n, d;
    char **words;
    uint32_t *token;
    uint8_t *letter, *split, *correct;
    float *probe, *eval;
    char id[65];
    json_t *record;
};
SAE_MUST_CHECK enum sae_status sae_words_load(struct sae_words *ret, const char *path,
                                              struct sae_err *err);
void sae_words_clear(struct sae_words *words);
SAE_MUST_CHECK enum sae_status sae_words_save(const char *path, const struct sae_words *words,
                                              const json_t *record, bool force,
                                              struct sae_err *err);

#endif /* SAE_LIB_FILE_SETS_H */
