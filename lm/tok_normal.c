/* SPDX-License-Identifier: MIT */
/* tok_normal : carries out the normaliser of a tokenizer.json.
 *
 * Contents:  1. replacements   2. characters   3. all steps   4. parts of a text */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lm/tok_steps_inner.h"

/* --- 1. replacements ------------------------------------------------------------------------ */

enum sae_status sae_tok_put_first(struct sae_str *text, const char *what, struct sae_err *err)
{
    const size_t n = strlen(what);
    SAE_TRY(sae_str_append(text, what, n, err)); /* makes it long enough */
    memmove(text->s + n, text->s, text->len - n);
    memcpy(text->s, what, n);
    return SAE_OK;
}

static enum sae_status check_size(const struct sae_str *out, size_t n, struct sae_err *err)
{
    if (out->len <= SAE_TOK_TEXT_MAX)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "a replacement of tokenizer.json makes %zu bytes of text more than %zu MiB",
                       n, SAE_TOK_TEXT_MAX >> 20);
}

/* Ends a step that wrote a new text: `out` takes the place of `text`, or is freed. */
static enum sae_status put_back(struct sae_str *text, struct sae_str *out, enum sae_status st)
{
    sae_str_clear(st == SAE_OK ? text : out);
    if (st == SAE_OK)
        *text = *out;
    return st;
}

enum sae_status sae_tok_replace(struct sae_str *text, const char *from, const char *to,
                                struct sae_err *err)
{
    struct sae_str out = {0};
    const size_t n = strlen(from), n_to = strlen(to);
    enum sae_status st = SAE_OK;
    size_t at = 0;
    while (at < text->len && st == SAE_OK) {
        const char *const hit = n == 1 ? memchr(text->s + at, *from, text->len - at)
                                       : memmem(text->s + at, text->len - at, from, n);
        const size_t end = hit ? (size_t)(hit - text->s) : text->len;
        st = sae_str_append(&out, text->s + at, end - at, err);
        if (hit && st == SAE_OK)
            st = sae_str_append(&out, to, n_to, err);
        if (st == SAE_OK)
            st = check_size(&out, text->len, err);
        at = hit ? end + n : end;
    }
    return put_back(text, &out, st);
}

enum sae_status sae_tok_match(const pcre2_code *pattern, const char *s, size_t n, size_t at,
                              bool goes_on, pcre2_match_data *match, int *found,
                              struct sae_err *err)
{
    char why[120] = "";
    *found = pcre2_match(pattern, (PCRE2_SPTR)s, n, at,
                         PCRE2_NO_UTF_CHECK | (goes_on ? PCRE2_PARTIAL_HARD : 0), match, NULL);
    if (*found == PCRE2_ERROR_NOMATCH || *found == PCRE2_ERROR_PARTIAL)
        return SAE_OK;
    if (*found < 0) {
        (void)pcre2_get_error_message(*found, (PCRE2_UCHAR *)why, sizeof why);
        return sae_err_set(err, SAE_EFORMAT,
                           "a pattern of tokenizer.json gives up on %zu bytes of text: %s", n, why);
    }
    const PCRE2_SIZE *const hit = pcre2_get_ovector_pointer(match);
    if (hit[1] <= hit[0])
        return sae_err_set(err, SAE_EFORMAT, "a pattern of tokenizer.json matches nothing");
    return SAE_OK;
}

static enum sae_status replace_matches(struct sae_str *text, const struct sae_tok_step *step,
                                       struct sae_err *err)
{
    struct sae_str out = {0};
    pcre2_match_data *const match = pcre2_match_data_create_from_pattern(step->pattern, NULL);
    enum sae_status st = match ? SAE_OK : sae_err_set(err, SAE_ENOMEM, "a match of a pattern");
    size_t at = 0;
    while (st == SAE_OK && at < text->len) {
        int found = 0;
        SAE_GO(st, sae_tok_match(step->pattern, text->s, text->len, at, false, match, &found, err));
        const PCRE2_SIZE *const hit = pcre2_get_ovector_pointer(match);
        const size_t end = found > 0 ? hit[0] : text->len;
        SAE_GO(st, sae_str_append(&out, text->s + at, end - at, err));
        if (found > 0)
            SAE_GO(st, sae_str_append(&out, step->to, strlen(step->to), err));
        SAE_GO(st, check_size(&out, text->len, err));
        at = found > 0 ? hit[1] : end;
    }
done:
    pcre2_match_data_free(match);
    return put_back(text, &out, st);
}

/* --- 2. characters -------------------------------------------------------------------------- */

static enum sae_status to_form(struct sae_str *text, utf8proc_option_t form, struct sae_err *err)
{
    utf8proc_uint8_t *out = NULL;
    size_t ascii = 0;
    while (ascii < text->len && (unsigned char)text->s[ascii] < 0x80)
        ascii++;
    if (ascii == text->len) /* it is in every normal form */
        return SAE_OK;
    const utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text->s, (utf8proc_ssize_t)text->len, &out, form);
    if (n < 0)
        return sae_err_set(err, n == UTF8PROC_ERROR_NOMEM ? SAE_ENOMEM : SAE_EFORMAT,
                           "a Unicode normal form: %s", utf8proc_errmsg(n));
    text->len = 0;
    const enum sae_status st = sae_str_append(text, (const char *)out, (size_t)n, err);
    free(out);
    return st;
}

static bool is_mark(utf8proc_int32_t c)
{
    const utf8proc_category_t of = utf8proc_category(c);
    return of == UTF8PROC_CATEGORY_MN || of == UTF8PROC_CATEGORY_MC || of == UTF8PROC_CATEGORY_ME;
}

/* Each character in lower case, whatever is around it, or all but the marks. */
static enum sae_status change_letters(struct sae_str *text, bool lower, struct sae_err *err)
{
    struct sae_str out = {0};
    enum sae_status st = SAE_OK;
    for (size_t at = 0; at < text->len;) {
        utf8proc_int32_t c;
        utf8proc_uint8_t bytes[4];
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text->s + at,
                                                    (utf8proc_ssize_t)(text->len - at), &c);
        if (n <= 0)
            SAE_GO(st, sae_err_set(err, SAE_EFORMAT, "text is no UTF-8"));
        at += (size_t)n;
        if (!lower && is_mark(c))
            continue;
        const utf8proc_ssize_t size = utf8proc_encode_char(lower ? utf8proc_tolower(c) : c, bytes);
        if (lower && c == 0x130) /* the only letter that becomes two */
            SAE_GO(st, sae_str_append(&out, "i\xcc\x87", 3, err));
        else
            SAE_GO(st, sae_str_append(&out, (const char *)bytes, (size_t)size, err));
    }
    if (text->len == 0)
        return SAE_OK;
done:
    return put_back(text, &out, st);
}

/* Length of the white space that s[0, n) begins with, or ends with. */
static size_t space_len(const char *s, size_t n, bool at_end)
{
    size_t len = 0;
    while (len < n) {
        size_t from = at_end ? n - len - 1 : len;
        while (at_end && from > 0 && ((unsigned char)s[from] & 0xc0U) == 0x80)
            from--;
        const size_t step = sae_tok_space(s + from, n - from);
        if (step == 0)
            break;
        len += step;
    }
    return len;
}

static void strip(struct sae_str *text, const struct sae_tok_step *step)
{
    if (step->right)
        text->len -= space_len(text->s, text->len, true);
    if (step->left) {
        const size_t n = space_len(text->s, text->len, false);
        memmove(text->s, text->s + n, text->len - n);
        text->len -= n;
    }
}

/* --- 3. all steps --------------------------------------------------------------------------- */

enum sae_status sae_tok_steps_normalise(const struct sae_tok_steps *s, struct sae_str *text,
                                        bool continues, struct sae_err *err)
{
    for (size_t i = 0; i < s->n_normal && text->len > 0; i++) {
        const struct sae_tok_step *const step = &s->v[i];
        if (step->kind == SAE_TOK_FORM)
            SAE_TRY(to_form(text, step->form, err));
        else if (step->kind == SAE_TOK_REPLACE)
            SAE_TRY(step->from ? sae_tok_replace(text, step->from, step->to, err)
                               : replace_matches(text, step, err));
        else if (step->kind == SAE_TOK_STRIP)
            strip(text, step);
        else if (step->kind != SAE_TOK_PREPEND)
            SAE_TRY(change_letters(text, step->kind == SAE_TOK_LOWER, err));
        else if (!continues)
            SAE_TRY(sae_tok_put_first(text, step->to, err));
    }
    return SAE_OK;
}

/* --- 4. parts of a text --------------------------------------------------------------------- */

bool sae_tok_steps_may_part(const struct sae_tok_steps *s, const char *text, size_t n, size_t at)
{
    const unsigned char *const c = (const unsigned char *)text + at;
    bool forms = false;
    if ((*c & 0xc0U) == 0x80)
        return false;
    for (size_t i = 0; i < s->n_normal; i++)
        forms |= s->v[i].kind == SAE_TOK_FORM;
    /* No normal form joins ASCII, or an ideograph of U+4E00 to U+9FFF, to what is before it. */
    return !forms || *c < 0x80 || (n - at >= 3 && *c >= 0xe5 && *c <= 0xe9);
}

enum sae_status sae_tok_steps_length(const struct sae_tok_steps *s, const char *text, size_t n,
                                     size_t *ret, struct sae_err *err)
{
    struct sae_str own = {0};
    enum sae_status st = sae_str_append(&own, text, n, err);
    SAE_GO(st, st);
    SAE_GO(st, sae_tok_steps_normalise(s, &own, true, err));
    for (size_t i = s->n_normal; i < s->n; i++)
        if (s->v[i].kind == SAE_TOK_METASPACE)
            SAE_GO(st, sae_tok_replace(&own, " ", s->v[i].to, err));
    *ret = own.len;
done:
    sae_str_clear(&own);
    return st;
}
