/* SPDX-License-Identifier: MIT */
/* tok_cut : carries out the pre-tokeniser of a tokenizer.json: words of a text.
 *
 * A text that goes on is cut as far as its end leaves no doubt: PCRE2 says where a match would have
 * read beyond it (PCRE2_PARTIAL_HARD). The next part begins at a word's end where no step's match
 * reaches across, so that every step begins anew there as it went on before.
 *
 * Contents:  1. characters   2. one word by a pattern   3. steps that put marks   4. all steps */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lm/tok_steps_inner.h"

/* --- 1. characters -------------------------------------------------------------------------- */

static size_t decode(const char *s, size_t n, utf8proc_int32_t *c)
{
    const utf8proc_ssize_t len =
        utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, c);
    return len > 0 ? (size_t)len : 0;
}

size_t sae_tok_space(const char *s, size_t n)
{
    utf8proc_int32_t c = 0;
    const size_t len = n > 0 ? decode(s, n, &c) : 0;
    const bool space = (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
                       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
                       c == 0x205f || c == 0x3000;
    return space ? len : 0;
}

size_t sae_tok_letter(const char *s, size_t n)
{
    utf8proc_int32_t c = 0;
    const size_t len = n > 0 ? decode(s, n, &c) : 0;
    if (len == 0)
        return 0;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return len;
    default: /* joiners, and letters in circles and squares */
        return c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) ||
                       (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
                       (c >= 0x1f170 && c <= 0x1f189)
                   ? len
                   : 0;
    }
}

/* --- 2. one word by a pattern --------------------------------------------------------------- */

static enum sae_status add_word(struct sae_tok_words *words, struct sae_tok_word word,
                                struct sae_err *err)
{
    if (word.from == word.to)
        return SAE_OK; /* no empty words */
    SAE_TRY(sae_mem_grow(&words->v, &words->cap, words->n + 1, sizeof *words->v, err));
    words->v[words->n++] = word;
    return SAE_OK;
}

/* What a word is cut into: matches, and what is between them, which are joined by the step's
 * behaviour while they come in. */
struct cutter {
    const struct sae_tok_step *step;
    const struct sae_tok_word *word; /* that is cut */
    struct sae_tok_words *out;
    struct sae_tok_word held; /* the last one, which the next may join */
    bool has, held_is_match;
    struct sae_err *err;
};

static enum sae_status let_go(struct cutter *c)
{
    const bool drop = c->step->behaviour == SAE_TOK_REMOVED && c->held_is_match;
    if (c->has && !drop)
        SAE_TRY(add_word(c->out, c->held, c->err));
    c->has = false;
    return SAE_OK;
}

static bool joins(const struct cutter *c, bool is_match)
{
    switch (c->step->behaviour) {
    case SAE_TOK_CONTIGUOUS:
        return c->held_is_match == is_match;
    case SAE_TOK_WITH_PREVIOUS:
        return is_match && !c->held_is_match;
    case SAE_TOK_WITH_NEXT:
        return c->held_is_match && !is_match;
    case SAE_TOK_ISOLATED:
    case SAE_TOK_REMOVED:
        break;
    }
    return false;
}

static enum sae_status take(struct cutter *c, size_t from, size_t to, bool is_match)
{
    if (from == to)
        return SAE_OK;
    const bool splits = !is_match && c->word->splits; /* of the pattern, before it is inverted */
    is_match ^= c->step->inverted;
    if (c->has && joins(c, is_match)) {
        c->held.to = to;
        c->held.splits = false;
        c->held_is_match = is_match;
        return SAE_OK;
    }
    SAE_TRY(let_go(c));
    c->held = (struct sae_tok_word){
        from, to, splits, to < c->word->to ? c->word->splits : c->word->ends, false, false};
    c->held_is_match = is_match;
    c->has = true;
    return SAE_OK;
}

/* The rest of a word that goes on. vague: a match may begin in it and have an end that is not read
 * yet. */
static enum sae_status leave_open(struct cutter *c, size_t from, bool vague)
{
    const bool joined = c->has && (joins(c, true) || joins(c, false));
    vague |= c->step->inverted && c->step->behaviour == SAE_TOK_REMOVED;
    struct sae_tok_word rest = {from, c->word->to, c->word->splits && !vague, false, true, vague};
    if (joined) {
        rest.from = c->held.from;
        rest.splits = false;
        rest.is_vague = true;
        c->has = false;
    }
    SAE_TRY(let_go(c));
    return add_word(c->out, rest, c->err);
}

/* A pattern sees the word alone, as if nothing was around it. */
static enum sae_status cut_word(struct cutter *c, const char *text, pcre2_match_data *match)
{
    const char *const s = text + c->word->from;
    const size_t n = c->word->to - c->word->from, base = c->word->from;
    const bool open = c->word->is_open;
    size_t at = 0;
    int found = 1;
    while (at < n) {
        SAE_TRY(sae_tok_match(c->step->pattern, s, n, at, open, match, &found, c->err));
        if (found < 0)
            break;
        const PCRE2_SIZE *const hit = pcre2_get_ovector_pointer(match);
        SAE_TRY(take(c, base + at, base + hit[0], false));
        SAE_TRY(take(c, base + hit[0], base + hit[1], true));
        at = hit[1];
    }
    if (open)
        return leave_open(c, base + at, found == PCRE2_ERROR_PARTIAL);
    SAE_TRY(take(c, base + at, base + n, false));
    return let_go(c);
}

static enum sae_status cut_all(const struct sae_tok_step *step, const struct sae_str *text,
                               struct sae_tok_words *words, struct sae_err *err)
{
    struct sae_tok_words out = {0};
    pcre2_match_data *const match = pcre2_match_data_create_from_pattern(step->pattern, NULL);
    enum sae_status st = match ? SAE_OK : sae_err_set(err, SAE_ENOMEM, "a match of a pattern");
    for (size_t i = 0; i < words->n && st == SAE_OK; i++) {
        struct cutter c = {.step = step, .word = &words->v[i], .out = &out, .err = err};
        st = words->v[i].is_vague ? add_word(&out, words->v[i], err) : cut_word(&c, text->s, match);
    }
    pcre2_match_data_free(match);
    if (st != SAE_OK) {
        free(out.v);
        return st;
    }
    free(words->v);
    *words = out;
    return SAE_OK;
}

/* --- 3. steps that put marks ---------------------------------------------------------------- */

/* Appends a word to `out`; its ends become those there. */
static enum sae_status move_word(struct sae_tok_word *word, const struct sae_str *text,
                                 const char *before, struct sae_str *out, struct sae_err *err)
{
    const size_t from = out->len;
    SAE_TRY(sae_str_append(out, before, strlen(before), err));
    SAE_TRY(sae_str_append(out, text->s + word->from, word->to - word->from, err));
    word->from = from;
    word->to = out->len;
    return SAE_OK;
}

/* A space before each word that begins with none. */
static enum sae_status add_spaces(struct sae_str *text, struct sae_tok_place place,
                                  struct sae_tok_words *words, struct sae_err *err)
{
    struct sae_str out = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < words->n; i++) {
        const bool put = text->s[words->v[i].from] != ' ' && !(i == 0 && place.continues);
        SAE_GO(st, move_word(&words->v[i], text, put ? " " : "", &out, err));
    }
    sae_str_clear(text);
    *text = out;
    return SAE_OK;
done:
    sae_str_clear(&out);
    return st;
}

/* Cuts a word before each mark. */
static enum sae_status cut_marks(const struct sae_tok_word *word, const char *text,
                                 const char *mark, struct sae_tok_words *out, struct sae_err *err)
{
    const size_t n = strlen(mark);
    struct sae_tok_word part = *word;
    for (size_t at = word->from + 1; at + n <= word->to; at++) {
        const char *const hit = memmem(text + at, word->to - at, mark, n);
        if (!hit)
            break;
        at = (size_t)(hit - text);
        part.to = at;
        part.ends = word->splits;
        part.is_open = false;
        SAE_TRY(add_word(out, part, err));
        part = *word;
        part.from = at;
    }
    return add_word(out, part, err);
}

/* Marks for spaces, one in front of each word, or of the text's first, and cuts before each. */
static enum sae_status mark_spaces(const struct sae_tok_step *step, struct sae_str *text,
                                   struct sae_tok_place place, struct sae_tok_words *words,
                                   struct sae_err *err)
{
    struct sae_tok_words cut = {0};
    struct sae_str all = {0}, one = {0};
    enum sae_status st = SAE_OK;
    const size_t n = strlen(step->to);
    for (size_t i = 0; i < words->n; i++) {
        struct sae_tok_word word = words->v[i];
        const bool first = i == 0 && place.is_first && word.from == 0,
                   prefix =
                       !step->never && !(i == 0 && place.continues) && (first || !step->first_only);
        one.len = 0;
        SAE_GO(st, sae_str_append(&one, text->s + word.from, word.to - word.from, err));
        SAE_GO(st, sae_tok_replace(&one, " ", step->to, err));
        const bool put = prefix && (one.len < n || memcmp(one.s, step->to, n) != 0);
        word.from = 0;
        word.to = one.len;
        SAE_GO(st, move_word(&word, &one, put ? step->to : "", &all, err));
        SAE_GO(st, step->cuts ? cut_marks(&word, all.s, step->to, &cut, err)
                              : add_word(&cut, word, err));
    }
done:
    sae_str_clear(&one);
    if (st != SAE_OK) {
        free(cut.v);
        sae_str_clear(&all);
        return st;
    }
    free(words->v);
    *words = cut;
    sae_str_clear(text);
    *text = all;
    return SAE_OK;
}

/* --- 4. all steps --------------------------------------------------------------------------- */

enum sae_status sae_tok_steps_cut(const struct sae_tok_steps *s, struct sae_str *text,
                                  struct sae_tok_place place, struct sae_tok_words *words,
                                  struct sae_err *err)
{
    words->n = 0;
    SAE_TRY(add_word(
        words, (struct sae_tok_word){0, text->len, true, !place.goes_on, place.goes_on, false},
        err));
    for (size_t i = s->n_normal; i < s->n && words->n > 0; i++) {
        const struct sae_tok_step *const step = &s->v[i];
        if (step->kind == SAE_TOK_CUT)
            SAE_TRY(cut_all(step, text, words, err));
        else if (step->kind == SAE_TOK_SPACE)
            SAE_TRY(add_spaces(text, place, words, err));
        else
            SAE_TRY(mark_spaces(step, text, place, words, err));
    }
    return SAE_OK;
}
