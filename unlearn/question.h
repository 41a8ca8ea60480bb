/* SPDX-License-Identifier: MIT */
/* question : multiple-choice questions from the files that Hugging Face exports.
 *
 *   JSON lines   {"question": "...", "choices": ["...", ...], "answer": 2}   (answer: number or
 *                letter; "subject" where a file holds several)
 *   CSV          columns question, choices, answer, choices a list as Python, NumPy or JSON
 *                writes it; or question, A, B, C, D, answer; or those six without a header
 *
 * Knows no language model. */
#ifndef SAE_UNLEARN_QUESTION_H
#define SAE_UNLEARN_QUESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/digest.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum { UNLEARN_MAX_CHOICES = 5 }; /* all orders of them are tried: 120 */

enum unlearn_form {
    UNLEARN_AUTO,    /* letters where the tokenizer knows turns, else cloze */
    UNLEARN_LETTERS, /* a chat turn that lists the choices; the next token is the answer's letter */
    UNLEARN_CLOZE    /* each choice continues the question; the likeliest, per token, is taken */
};
extern const char *const unlearn_form_names[]; /* "auto", "letters", "cloze"; NULL ends them */

struct unlearn_question {
    char *text;
    char *choices[UNLEARN_MAX_CHOICES];
    size_t n_choices, answer;
    size_t row;   /* in the file, from 0: upstream's question id */
    char *subject; /* NULL = none */
};

struct unlearn_set {
    char *name;    /* "wmdp-bio", "high_school_geography" */
    char *subject; /* as a prompt says it: "biology" */
    char *path;
    char id[SAE_DIGEST_HEX];
    bool forget;
    size_t n, cap;
    struct unlearn_question *v;
    size_t n_left_out; /* rows that were no usable question */
    size_t n_long;     /* longer than the model's context */
    bool *known;       /* [n] */
    size_t n_known, n_right;
    bool is_known_done;
    const char *known_from; /* "model" or "file" */
};

/* Reads a file. Rows that are no question (no text, no right answer, other than 2 to
 * UNLEARN_MAX_CHOICES choices) are left out, counted, and the first is named in a warning.
 * Fails: SAE_EIO; SAE_EFORMAT columns missing, malformed JSON or CSV, no usable question */
SAE_MUST_CHECK enum sae_status unlearn_set_load(struct unlearn_set *ret, const char *path,
                                                struct sae_err *err);
void unlearn_set_clear(struct unlearn_set *set);

/* A list as text: ["a", "b"], ['a', "b"] or ['a' 'b']. At most UNLEARN_MAX_CHOICES + 1 are read.
 * Returns how many, 0 where it is no list. choices are in new memory (NULL on failure). */
size_t unlearn_question_list(char **choices, size_t cap, const char *text);

#endif /* SAE_UNLEARN_QUESTION_H */
