/* SPDX-License-Identifier: MIT */
/* tok_steps : see the header. As Hugging Face's `tokenizers` has these steps; patterns through
 * PCRE2 with Unicode properties. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "lm/tok_steps.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "lib/base/mem.h"

enum kind {
    NORMAL_FORM, /* form */
    REPLACE,     /* from, to */
    PREPEND,     /* to */
    CUT,         /* pattern */
    SPACE_FIRST, /* a space before a word that begins with none */
    METASPACE    /* to, first_only, never; cut before each */
};

enum behaviour { ISOLATED, MERGED_WITH_PREVIOUS };

struct step {
    enum kind kind;
    utf8proc_option_t form;
    const char *from, *to; /* borrowed from the object, which is kept */
    pcre2_code *pattern;
    enum behaviour behaviour;
    bool first_only, never, cuts;
};

enum { STEPS_MAX = 16 };
#define NORMAL_MAX ((size_t)256 << 20) /* bytes of text after a replacement */

struct sae_tok_steps {
    json_t *root;
    struct step v[STEPS_MAX];
    size_t n, n_normal; /* the first n_normal are the normaliser's */
    bool bytes;
};

static const char byte_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+"
                                   "| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* --- 1. reading ----------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static enum sae_status refuse(const char *where, const char *what, struct sae_err *err)
{
    return sae_err_set(err, SAE_EFORMAT, "'%s' of tokenizer.json: %.120s is not computed here",
                       where, what ? what : "a step without a type");
}

static enum sae_status add(struct sae_tok_steps *s, struct step **ret, enum kind kind,
                           struct sae_err *err)
{
    if (s->n == STEPS_MAX)
        return sae_err_set(err, SAE_EFORMAT, "tokenizer.json has more than %d steps", STEPS_MAX);
    *ret = &s->v[s->n++];
    (*ret)->kind = kind;
    return SAE_OK;
}

static enum sae_status add_pattern(struct sae_tok_steps *s, const char *pattern, bool literal,
                                   enum behaviour behaviour, struct sae_err *err)
{
    struct step *step = NULL;
    int code;
    PCRE2_SIZE at;
    SAE_TRY(add(s, &step, CUT, err));
    step->behaviour = behaviour;
    step->pattern =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP), &code, &at, NULL);
    if (!step->pattern) {
        char why[120] = "";
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return sae_err_set(err, SAE_EFORMAT, "the pattern '%.80s' of tokenizer.json: %s", pattern,
                           why);
    }
    (void)pcre2_jit_compile(step->pattern, PCRE2_JIT_COMPLETE); /* slower without */
    return SAE_OK;
}

static enum sae_status read_replace(struct sae_tok_steps *s, const json_t *object,
                                    struct sae_err *err)
{
    struct step *step = NULL;
    const char *const from = text_of(json_object_get(object, "pattern"), "String"),
                      *const to = text_of(object, "content");
    if (!from || !*from || !to)
        return refuse("normalizer", "Replace by a pattern", err);
    SAE_TRY(add(s, &step, REPLACE, err));
    step->from = from;
    step->to = to;
    return SAE_OK;
}

static enum sae_status read_normaliser(struct sae_tok_steps *s, const json_t *object,
                                       struct sae_err *err)
{
    static const struct {
        const char *name;
        int form;
    } forms[] = {
        {"NFC",  UTF8PROC_COMPOSE                    },
        {"NFD",  UTF8PROC_DECOMPOSE                  },
        {"NFKC", UTF8PROC_COMPOSE | UTF8PROC_COMPAT  },
        {"NFKD", UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}
    };
    const char *const type = text_of(object, "type");
    struct step *step = NULL;
    for (size_t i = 0; type && i < sizeof forms / sizeof *forms; i++)
        if (strcmp(type, forms[i].name) == 0) {
            SAE_TRY(add(s, &step, NORMAL_FORM, err));
            step->form = (utf8proc_option_t)(forms[i].form | UTF8PROC_STABLE);
            return SAE_OK;
        }
    if (type && strcmp(type, "Replace") == 0)
        return read_replace(s, object, err);
    if (type && strcmp(type, "Prepend") == 0 && text_of(object, "prepend")) {
        SAE_TRY(add(s, &step, PREPEND, err));
        step->to = text_of(object, "prepend");
        return SAE_OK;
    }
    return refuse("normalizer", type, err);
}

static enum sae_status read_split(struct sae_tok_steps *s, const json_t *object,
                                  struct sae_err *err)
{
    const json_t *const pattern = json_object_get(object, "pattern");
    const char *const behaviour = text_of(object, "behavior"),
                      *const literal = text_of(pattern, "String"),
                      *const regex = text_of(pattern, "Regex");
    enum behaviour b = ISOLATED;
    if (!behaviour || (!literal && !regex) || json_is_true(json_object_get(object, "invert")))
        return refuse("pre_tokenizer", "Split that is inverted or has no pattern", err);
    if (strcmp(behaviour, "MergedWithPrevious") == 0)
        b = MERGED_WITH_PREVIOUS;
    else if (strcmp(behaviour, "Isolated") != 0)
        return refuse("pre_tokenizer", behaviour, err);
    return add_pattern(s, literal ? literal : regex, literal != NULL, b, err);
}

static enum sae_status read_bytes(struct sae_tok_steps *s, const json_t *object,
                                  struct sae_err *err)
{
    struct step *step = NULL;
    s->bytes = true;
    if (json_is_true(json_object_get(object, "add_prefix_space")))
        SAE_TRY(add(s, &step, SPACE_FIRST, err));
    if (json_is_false(json_object_get(object, "use_regex")))
        return SAE_OK;
    return add_pattern(s, byte_pattern, false, ISOLATED, err);
}

static enum sae_status read_metaspace(struct sae_tok_steps *s, const json_t *object,
                                      struct sae_err *err)
{
    const char *const scheme = text_of(object, "prepend_scheme"), *const mark = text_of(
                                                                      object, "replacement");
    struct step *step = NULL;
    if (!scheme || !mark || !*mark)
        return refuse("pre_tokenizer", "Metaspace without prepend_scheme and replacement", err);
    SAE_TRY(add(s, &step, METASPACE, err));
    step->to = mark;
    step->first_only = strcmp(scheme, "first") == 0;
    step->never = strcmp(scheme, "never") == 0;
    step->cuts = !json_is_false(json_object_get(object, "split"));
    return step->first_only || step->never || strcmp(scheme, "always") == 0
               ? SAE_OK
               : refuse("pre_tokenizer", scheme, err);
}

static enum sae_status read_cutter(struct sae_tok_steps *s, const json_t *object,
                                   struct sae_err *err)
{
    const char *const type = text_of(object, "type");
    if (s->bytes) /* what follows would see letters that stand for bytes */
        return refuse("pre_tokenizer", "a step after ByteLevel", err);
    if (type && strcmp(type, "Split") == 0)
        return read_split(s, object, err);
    if (type && strcmp(type, "ByteLevel") == 0)
        return read_bytes(s, object, err);
    if (type && strcmp(type, "Metaspace") == 0)
        return read_metaspace(s, object, err);
    if (type && strcmp(type, "Digits") == 0)
        return add_pattern(
            s, json_is_true(json_object_get(object, "individual_digits")) ? "\\p{N}" : "\\p{N}+",
            false, ISOLATED, err);
    return refuse("pre_tokenizer", type, err);
}

typedef enum sae_status reader(struct sae_tok_steps *s, const json_t *object, struct sae_err *err);

/* One step, a Sequence of them, or none. */
static enum sae_status read_all(struct sae_tok_steps *s, const char *key, const char *list,
                                reader *read, struct sae_err *err)
{
    const json_t *const object = json_object_get(s->root, key);
    const char *const type = text_of(object, "type");
    size_t i;
    json_t *part;
    if (!object || json_is_null(object))
        return SAE_OK;
    if (!type || strcmp(type, "Sequence") != 0)
        return read(s, object, err);
    if (!json_is_array(json_object_get(object, list)))
        return refuse(key, "a Sequence without a list of steps", err);
    json_array_foreach(json_object_get(object, list), i, part)
    {
        SAE_TRY(read(s, part, err));
    }
    return SAE_OK;
}

enum sae_status sae_tok_steps_open(struct sae_tok_steps **ret, const json_t *root,
                                   struct sae_err *err)
{
    struct sae_tok_steps *s = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&s, 1, sizeof *s, err));
    s->root = json_incref((json_t *)(uintptr_t)root);
    SAE_GO(st, read_all(s, "normalizer", "normalizers", read_normaliser, err));
    s->n_normal = s->n;
    SAE_GO(st, read_all(s, "pre_tokenizer", "pretokenizers", read_cutter, err));
    *ret = s;
    return SAE_OK;
done:
    sae_tok_steps_close(s);
    return st;
}

void sae_tok_steps_close(struct sae_tok_steps *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        pcre2_code_free(s->v[i].pattern);
    json_decref(s->root);
    free(s);
}

bool sae_tok_steps_bytes(const struct sae_tok_steps *s)
{
    return s->bytes;
}

/* --- 2. normalising ------------------------------------------------------------------------- */

static enum sae_status put_first(struct sae_str *text, const char *what, struct sae_err *err)
{
    const size_t n = strlen(what);
    SAE_TRY(sae_str_append(text, what, n, err)); /* room for it */
    memmove(text->s + n, text->s, text->len - n);
    memcpy(text->s, what, n);
    return SAE_OK;
}

static enum sae_status replace(struct sae_str *text, const char *from, const char *to,
                               struct sae_err *err)
{
    struct sae_str out = {0};
    const size_t n = strlen(from), n_to = strlen(to);
    enum sae_status st = SAE_OK;
    size_t at = 0;
    while (at < text->len && st == SAE_OK) {
        const char *const hit = memmem(text->s + at, text->len - at, from, n);
        const size_t end = hit ? (size_t)(hit - text->s) : text->len;
        st = sae_str_append(&out, text->s + at, end - at, err);
        if (hit && st == SAE_OK)
            st = sae_str_append(&out, to, n_to, err);
        if (out.len > NORMAL_MAX && st == SAE_OK)
            st = sae_err_set(err, SAE_EFORMAT,
                             "a replacement of tokenizer.json makes %zu bytes of text more than "
                             "%zu MiB",
                             text->len, NORMAL_MAX >> 20);
        at = hit ? end + n : end;
    }
    if (st != SAE_OK) {
        sae_str_clear(&out);
        return st;
    }
    sae_str_clear(text);
    *text = out;
    return SAE_OK;
}

static enum sae_status to_form(struct sae_str *text, utf8proc_option_t form, struct sae_err *err)
{
    utf8proc_uint8_t *out = NULL;
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

enum sae_status sae_tok_steps_normalise(const struct sae_tok_steps *s, struct sae_str *text,
                                        struct sae_err *err)
{
    for (size_t i = 0; i < s->n_normal && text->len > 0; i++) {
        const struct step *const step = &s->v[i];
        if (step->kind == NORMAL_FORM)
            SAE_TRY(to_form(text, step->form, err));
        else if (step->kind == REPLACE)
            SAE_TRY(replace(text, step->from, step->to, err));
        else
            SAE_TRY(put_first(text, step->to, err));
    }
    return SAE_OK;
}

/* --- 3. words ------------------------------------------------------------------------------- */

static enum sae_status add_end(struct sae_tok_words *words, size_t end, struct sae_err *err)
{
    if (end == (words->n > 0 ? words->ends[words->n - 1] : 0))
        return SAE_OK; /* no empty words */
    SAE_TRY(sae_mem_grow(&words->ends, &words->cap, words->n + 1, sizeof *words->ends, err));
    words->ends[words->n++] = end;
    return SAE_OK;
}

/* Cuts one word [from, to). A pattern sees the word alone, as if nothing was around it. */
static enum sae_status cut_word(const struct step *step, const char *text, size_t from, size_t to,
                                pcre2_match_data *match, struct sae_tok_words *out,
                                struct sae_err *err)
{
    const char *const word = text + from;
    const size_t len = to - from;
    size_t at = 0;
    while (at < len) {
        const int found =
            pcre2_match(step->pattern, (PCRE2_SPTR)word, len, at, PCRE2_NO_UTF_CHECK, match, NULL);
        const PCRE2_SIZE *const hit = pcre2_get_ovector_pointer(match);
        if (found == PCRE2_ERROR_NOMATCH)
            break;
        if (found < 0) {
            char why[120] = "";
            (void)pcre2_get_error_message(found, (PCRE2_UCHAR *)why, sizeof why);
            return sae_err_set(err, SAE_EFORMAT,
                               "a pattern of tokenizer.json gives up on %zu bytes of text: %s", len,
                               why);
        }
        if (hit[1] == hit[0])
            return sae_err_set(err, SAE_EFORMAT, "a pattern of tokenizer.json matches nothing");
        if (step->behaviour == ISOLATED)
            SAE_TRY(add_end(out, from + hit[0], err));
        SAE_TRY(add_end(out, from + hit[1], err));
        at = hit[1];
    }
    return add_end(out, to, err);
}

static enum sae_status cut_all(const struct step *step, const struct sae_str *text,
                               struct sae_tok_words *words, struct sae_err *err)
{
    struct sae_tok_words out = {0};
    pcre2_match_data *const match = pcre2_match_data_create_from_pattern(step->pattern, NULL);
    enum sae_status st = match ? SAE_OK : sae_err_set(err, SAE_ENOMEM, "a match of a pattern");
    for (size_t i = 0; i < words->n && st == SAE_OK; i++)
        st = cut_word(step, text->s, i > 0 ? words->ends[i - 1] : 0, words->ends[i], match, &out,
                      err);
    pcre2_match_data_free(match);
    if (st != SAE_OK) {
        free(out.ends);
        return st;
    }
    free(words->ends);
    *words = out;
    return SAE_OK;
}

/* A space before each word that begins with none. */
static enum sae_status add_spaces(struct sae_str *text, struct sae_tok_words *words,
                                  struct sae_err *err)
{
    struct sae_str out = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0, from = 0; i < words->n; i++) {
        const size_t to = words->ends[i];
        if (text->s[from] != ' ')
            SAE_GO(st, sae_str_append(&out, " ", 1, err));
        SAE_GO(st, sae_str_append(&out, text->s + from, to - from, err));
        words->ends[i] = out.len;
        from = to;
    }
    sae_str_clear(text);
    *text = out;
    return SAE_OK;
done:
    sae_str_clear(&out);
    return st;
}

/* Of one word alone: marks for spaces, one in front, and cuts before each. */
static enum sae_status mark_spaces(const struct step *step, struct sae_str *text, bool is_first,
                                   struct sae_tok_words *words, struct sae_err *err)
{
    const size_t n = strlen(step->to);
    if (words->n > 1)
        return refuse("pre_tokenizer", "Metaspace after another step", err);
    SAE_TRY(replace(text, " ", step->to, err));
    if (!step->never && (is_first || !step->first_only) &&
        (text->len < n || memcmp(text->s, step->to, n) != 0))
        SAE_TRY(put_first(text, step->to, err));
    words->n = 0;
    for (size_t at = n; step->cuts && at < text->len; at++)
        if (text->len - at >= n && memcmp(text->s + at, step->to, n) == 0)
            SAE_TRY(add_end(words, at, err));
    return add_end(words, text->len, err);
}

enum sae_status sae_tok_steps_cut(const struct sae_tok_steps *s, struct sae_str *text,
                                  bool is_first, struct sae_tok_words *words, struct sae_err *err)
{
    words->n = 0;
    if (text->len == 0)
        return SAE_OK;
    SAE_TRY(add_end(words, text->len, err));
    for (size_t i = s->n_normal; i < s->n; i++) {
        const struct step *const step = &s->v[i];
        if (step->kind == CUT)
            SAE_TRY(cut_all(step, text, words, err));
        else if (step->kind == SPACE_FIRST)
            SAE_TRY(add_spaces(text, words, err));
        else
            SAE_TRY(mark_spaces(step, text, is_first, words, err));
    }
    return SAE_OK;
}
