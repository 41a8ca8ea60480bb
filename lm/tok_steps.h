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
/* A long text may be encoded in parts: no step looks behind where it begins, or at a text's ends.
 */
bool sae_tok_steps_in_parts(const struct sae_tok_steps *steps);

/* Where a part of a text lies in it. */
struct sae_tok_place {
    bool is_first;  /* it begins the text */
    bool continues; /* the part before it ended at a word's end: nothing is put in front */
    bool goes_on;   /* more text follows, which may belong to the last word */
};

struct sae_tok_word {
    size_t from, to;
    bool splits;   /* a part may begin inside it: it is no match of a pattern */
    bool ends;     /* a part may begin after it */
    bool is_open;  /* text that follows may belong to it; only of the last word */
    bool is_vague; /* ... or change where it begins */
};

/* Words of a text, in order. */
struct sae_tok_words {
    struct sae_tok_word *v;
    size_t n, cap;
};

/* Normalises valid UTF-8 in place. Fails: SAE_EFORMAT, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_tok_steps_normalise(const struct sae_tok_steps *steps,
                                                       struct sae_str *text, bool continues,
                                                       struct sae_err *err);
/* Cuts normalised text, which may get spaces in front, into words. words is emptied before; the
 * caller frees words->v. Fails: likewise */
SAE_MUST_CHECK enum sae_status sae_tok_steps_cut(const struct sae_tok_steps *steps,
                                                 struct sae_str *text, struct sae_tok_place place,
                                                 struct sae_tok_words *words, struct sae_err *err);
/* Whether a part of a text may begin at s[at], 0 < at < n: no normal form and no replacement joins
 * what is on both sides. */
bool sae_tok_steps_may_part(const struct sae_tok_steps *steps, const char *s, size_t n, size_t at);
/* Bytes that s[0, n), such a part, has after both. Fails: likewise */
SAE_MUST_CHECK enum sae_status sae_tok_steps_length(const struct sae_tok_steps *steps,
                                                    const char *s, size_t n, size_t *ret,
                                                    struct sae_err *err);

/* Bytes of the first character of s[0, n) where it is white space (Unicode's White_Space), or a
 * letter of a word as Rust's regex has them; else 0. */
size_t sae_tok_space(const char *s, size_t n);
size_t sae_tok_letter(const char *s, size_t n);

#endif /* SAE_LM_TOK_STEPS_H */
