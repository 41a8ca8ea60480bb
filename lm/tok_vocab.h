/* SPDX-License-Identifier: MIT */
/* tok_vocab : the model of a tokenizer.json, a vocabulary and its merges, and the ids of one word.
 *
 * A word's symbols are merged pair by pair, the pair of the lowest rank first, the leftmost of
 * equal ones. No merge reaches across two neighbouring letters at which no merge's parts meet, so a
 * word is merged run by run between such places, and a text without word limits takes linear time.
 */
#ifndef SAE_LM_TOK_VOCAB_H
#define SAE_LM_TOK_VOCAB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lm/tok.h"

#define SAE_TOK_NONE UINT32_MAX

/* Open addressing; a power of two, at most half full. */
struct sae_tok_table {
    uint32_t *at; /* an id, SAE_TOK_NONE: free */
    size_t mask;
};

struct sae_tok_pair {
    uint32_t left, right, rank, result; /* left SAE_TOK_NONE: free */
};

struct sae_tok_vocab {
    size_t n; /* ids */
    char **piece;
    size_t *len, most; /* bytes; of the longest */
    bool *control;
    struct sae_tok_table pieces;
    struct sae_tok_pair *pairs;
    size_t pairs_mask;
    uint64_t *meet; /* bits: by the hash of two letters that a merge joins */
    size_t meet_mask;
    uint32_t byte[256], unk;
    bool bytes, fallback, fuse_unk, whole_first, meets_all;
};

/* Reads "model" and the pieces of "added_tokens". bytes: words are bytes (tok_steps.h). The caller
 * closes it, also after a failure. Fails: SAE_EFORMAT, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_tok_vocab_read(struct sae_tok_vocab *v, const json_t *root,
                                                  bool bytes, struct sae_err *err);
void sae_tok_vocab_close(struct sae_tok_vocab *v);
/* SAE_TOK_NONE: there is none. */
uint32_t sae_tok_vocab_find(const struct sae_tok_vocab *v, const char *s, size_t n);
/* Gives an id without a piece this one; of an id with it nothing changes. Fails: SAE_EFORMAT
 * another piece, or out of range; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_tok_vocab_set(struct sae_tok_vocab *v, json_int_t id,
                                                 const char *text, struct sae_err *err);

/* Scratch of the calls below; born as {0}. */
struct sae_tok_merging {
    struct sae_tok_symbol *symbols;
    size_t n, cap;
    struct sae_tok_waiting *heap;
    size_t n_heap, cap_heap;
};
void sae_tok_merging_clear(struct sae_tok_merging *m);
/* Appends the ids of one word. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_tok_merge(const struct sae_tok_vocab *v,
                                             struct sae_tok_merging *m, const char *word, size_t n,
                                             struct sae_tok_ids *ids, struct sae_err *err);
/* Whether a word's ids are those of word[0, at) and word[at, n), 0 < at < n. */
bool sae_tok_splits(const struct sae_tok_vocab *v, const char *word, size_t n, size_t at);

#endif /* SAE_LM_TOK_VOCAB_H */
