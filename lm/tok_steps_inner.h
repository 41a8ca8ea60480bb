/* SPDX-License-Identifier: MIT */
/* tok_steps_inner : the steps as tok_steps.c reads them; tok_normal.c and tok_cut.c carry them out.
 */
#ifndef SAE_LM_TOK_STEPS_INNER_H
#define SAE_LM_TOK_STEPS_INNER_H

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>
#include <utf8proc.h>

#include "lm/tok_steps.h"

enum sae_tok_step_kind {
    SAE_TOK_FORM,    /* form */
    SAE_TOK_REPLACE, /* from or pattern, to */
    SAE_TOK_PREPEND, /* to */
    SAE_TOK_LOWER,
    SAE_TOK_NO_MARKS, /* combining marks are left out */
    SAE_TOK_STRIP,    /* left, right */
    SAE_TOK_CUT,      /* pattern, behaviour, inverted */
    SAE_TOK_SPACE,    /* a space before a word that begins with none */
    SAE_TOK_METASPACE /* to, first_only, never; cut before each */
};

enum sae_tok_behaviour {
    SAE_TOK_ISOLATED,
    SAE_TOK_REMOVED,
    SAE_TOK_CONTIGUOUS,
    SAE_TOK_WITH_PREVIOUS,
    SAE_TOK_WITH_NEXT
};

struct sae_tok_step {
    enum sae_tok_step_kind kind;
    utf8proc_option_t form;
    const char *from, *to; /* borrowed from the object, which is kept */
    pcre2_code *pattern;
    enum sae_tok_behaviour behaviour;
    bool inverted, first_only, never, cuts, left, right;
};

enum { SAE_TOK_STEPS_MAX = 32 };
#define SAE_TOK_TEXT_MAX ((size_t)256 << 20) /* bytes of text after a replacement */

struct sae_tok_steps {
    json_t *root;
    struct sae_tok_step v[SAE_TOK_STEPS_MAX];
    size_t n, n_normal; /* the first n_normal are the normaliser's */
    bool bytes, in_parts;
};

/* One or more replacements of `from`. Fails: SAE_EFORMAT more than SAE_TOK_TEXT_MAX; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_tok_replace(struct sae_str *text, const char *from,
                                               const char *to, struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_tok_put_first(struct sae_str *text, const char *what,
                                                 struct sae_err *err);
/* pcre2_match with its errors as ours. *found: PCRE2_ERROR_NOMATCH, PCRE2_ERROR_PARTIAL, or above
 * 0. A match of nothing is refused. */
SAE_MUST_CHECK enum sae_status sae_tok_match(const pcre2_code *pattern, const char *s, size_t n,
                                             size_t at, bool goes_on, pcre2_match_data *match,
                                             int *found, struct sae_err *err);

#endif /* SAE_LM_TOK_STEPS_INNER_H */
