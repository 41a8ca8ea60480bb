/* SPDX-License-Identifier: MIT */
/* tok_added : added tokens of a tokenizer.json, which are found in the text before anything else:
 * some in the raw text, some after it was normalised. */
#ifndef SAE_LM_TOK_ADDED_H
#define SAE_LM_TOK_ADDED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lm/tok_steps.h"
#include "lm/tok_vocab.h"

struct sae_tok_added {
    struct sae_tok_added_one *v;
    size_t n, first[2][256], most[2]; /* raw and normalised, by first byte; bytes of the longest */
    bool in_parts;
};

/* Reads "added_tokens"; pieces and controls go into the vocabulary. The caller closes it, also
 * after a failure. Fails: SAE_EFORMAT, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_tok_added_read(struct sae_tok_added *added, const json_t *list,
                                                  const struct sae_tok_steps *steps,
                                                  struct sae_tok_vocab *vocab, struct sae_err *err);
void sae_tok_added_close(struct sae_tok_added *added);

/* A search through s[0, n). */
struct sae_tok_finding {
    const char *s;
    size_t n;
    bool normalised, goes_on;
    size_t at;   /* where to look next */
    size_t done; /* the last token's end, with the spaces it takes */
    size_t sure; /* at the end: no token begins before that is not found */
};
/* The next token, of those that begin at one place the longest: s[*from, done) is it with the
 * spaces that it takes. False: there are no more. */
bool sae_tok_added_next(const struct sae_tok_added *added, struct sae_tok_finding *f, size_t *from,
                        uint32_t *id);

#endif /* SAE_LM_TOK_ADDED_H */
