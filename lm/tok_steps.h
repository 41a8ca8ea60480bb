/* SPDX-License-Identifier: MIT */
/* tok_steps : what a tokenizer.json does to text before anything is merged: its normaliser, then
 * its pre-tokeniser, which cuts the text into words. Steps that are not known here are refused by
 * name. */
#ifndef SAE_LM_TOK_STEPS_H
#define SAE_LM_TOK_STEPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct sae_tok_steps;

/* Reads "normalizer" and "pre_tokenizer" of the file's object. Fails: SAE_EFORMAT, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_tok_steps_open(struct sae_tok_steps **ret, const json_t *root,
                                                  struct sae_err *err);
void sae_tok_steps_close(struct sae_tok_steps *steps); /* accepts NULL */

/* Words are bytes, each byte has a piece (ByteLevel). */
bool sae_tok_steps_bytes(const struct sae_tok_steps *steps);

/* Words of a text, in order; word i is [ends[i - 1], ends[i]) of it. */
struct sae_tok_words {
    size_t *ends;
    size_t n, cap;
};

/* Normalises valid UTF-8 in place. */
SAE_MUST_CHECK enum sae_status sae_tok_steps_normalise(const struct sae_tok_steps *steps,
                                                       struct sae_str *text, struct sae_err *err);
/* Cuts normalised text, which may get spaces in front, into words. is_first: the text begins the
 * document. words is emptied before; the caller frees words->ends. */
SAE_MUST_CHECK enum sae_status sae_tok_steps_cut(const struct sae_tok_steps *steps,
                                                 struct sae_str *text, bool is_first,
                                                 struct sae_tok_words *words, struct sae_err *err);

#endif /* SAE_LM_TOK_STEPS_H */
