/* SPDX-License-Identifier: MIT */
/* tok_steps : reads the steps. As Hugging Face's `tokenizers` has them; patterns through PCRE2 with
 * Unicode properties.
 *
 * Contents:  1. patterns   2. the normaliser's   3. the pre-tokeniser's   4. the file */
#include "lm/tok_steps.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lm/tok_steps_inner.h"

/* What a letter of a word is in Rust's regex, where PCRE2 10.42 has another class for \w. */
#define WORD "\\p{Alpha}\\p{M}\\p{Nd}\\p{Pc}"

static const char byte_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+"
                                   "| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
                  word_pattern[] =
                      "[" WORD "\\x{200C}\\x{200D}]+|[^" WORD "\\x{200C}\\x{200D}\\s]+";

/* --- 1. patterns ---------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static enum sae_status refuse(const char *where, const char *what, struct sae_err *err)
{
    return sae_err_set(err, SAE_EFORMAT, "'%s' of tokenizer.json: %.120s is not computed here",
                       where, what ? what : "a step without a type");
}

static enum sae_status add(struct sae_tok_steps *s, struct sae_tok_step **ret,
                           enum sae_tok_step_kind kind, struct sae_err *err)
{
    if (s->n == SAE_TOK_STEPS_MAX)
        return sae_err_set(err, SAE_EFORMAT, "tokenizer.json has more than %d steps",
                           SAE_TOK_STEPS_MAX);
    *ret = &s->v[s->n++];
    (*ret)->kind = kind;
    return SAE_OK;
}

/* Oniguruma's classes in PCRE2's words: \s is Unicode's White_Space, to which PCRE2 adds U+180E,
 * and \w has marks and connectors. */
static enum sae_status translate(struct sae_str *to, const char *pattern, struct sae_err *err)
{
    bool in_class = false;
    for (const char *p = pattern; *p; p++) {
        const char *word = NULL;
        size_t n = 1;
        if (*p == '\\' && p[1]) {
            n = 2;
            word = p[1] == 's'                ? "\\p{wspace}"
                   : p[1] == 'S'              ? "\\P{wspace}"
                   : p[1] == 'w' && in_class  ? WORD
                   : p[1] == 'w'              ? "[" WORD "]"
                   : p[1] == 'W' && !in_class ? "[^" WORD "]"
                                              : NULL;
        } else {
            in_class = in_class ? *p != ']' : *p == '[';
        }
        SAE_TRY(sae_str_append(to, word ? word : p, word ? strlen(word) : n, err));
        p += n - 1;
    }
    return SAE_OK;
}

/* A part that begins in the middle of a text cannot see what was before it. */
static bool looks_behind(const pcre2_code *code, const char *pattern)
{
    uint32_t most = 0;
    (void)pcre2_pattern_info(code, PCRE2_INFO_MAXLOOKBEHIND, &most);
    if (most > 0 || strstr(pattern, "\\G") || strstr(pattern, "\\K"))
        return true;
    for (const char *p = pattern; (p = strchr(p, '^')) != NULL; p++)
        if (p == pattern || p[-1] != '[')
            return true;
    return false;
}

static enum sae_status compile(struct sae_tok_steps *s, struct sae_tok_step *step,
                               const char *pattern, bool literal, struct sae_err *err)
{
    struct sae_str own = {0};
    int code;
    PCRE2_SIZE at;
    enum sae_status st = SAE_OK;
    if (!literal)
        SAE_GO(st, translate(&own, pattern, err));
    step->pattern =
        pcre2_compile((PCRE2_SPTR)(literal ? pattern : own.s), PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP), &code, &at, NULL);
    if (step->pattern) {
        /* slower without */
        (void)pcre2_jit_compile(step->pattern, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
        s->in_parts &= literal || !looks_behind(step->pattern, pattern);
    } else {
        char why[120] = "";
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        st = sae_err_set(err, SAE_EFORMAT, "the pattern '%.80s' of tokenizer.json: %s", pattern,
                         why);
    }
done:
    sae_str_clear(&own);
    return st;
}

static enum sae_status add_pattern(struct sae_tok_steps *s, const char *pattern, bool literal,
                                   enum sae_tok_behaviour behaviour, bool inverted,
                                   struct sae_err *err)
{
    struct sae_tok_step *step = NULL;
    SAE_TRY(add(s, &step, SAE_TOK_CUT, err));
    step->behaviour = behaviour;
    step->inverted = inverted;
    return compile(s, step, pattern, literal, err);
}

/* --- 2. the normaliser's -------------------------------------------------------------------- */

static enum sae_status read_replace(struct sae_tok_steps *s, const json_t *object,
                                    struct sae_err *err)
{
    struct sae_tok_step *step = NULL;
    const json_t *const pattern = json_object_get(object, "pattern");
    const char *const from = text_of(pattern, "String"), *const regex = text_of(pattern, "Regex"),
                      *const to = text_of(object, "content");
    if (!to || (from ? !*from : !regex))
        return refuse("normalizer", "Replace without pattern and content", err);
    if (!from && strchr(to, '$')) /* some versions put groups there */
        return refuse("normalizer", "Replace of a Regex by a content with '$'", err);
    SAE_TRY(add(s, &step, SAE_TOK_REPLACE, err));
    step->from = from;
    step->to = to;
    /* A part must not begin inside a match: of one character there is no inside. */
    s->in_parts &= from && ((unsigned char)from[0] < 0x80 ? from[1] == '\0' : strlen(from) <= 4);
    return from ? SAE_OK : compile(s, step, regex, false, err);
}

static enum sae_status read_strip(struct sae_tok_steps *s, const json_t *object,
                                  struct sae_err *err)
{
    struct sae_tok_step *step = NULL;
    SAE_TRY(add(s, &step, SAE_TOK_STRIP, err));
    step->left = is_true(object, "strip_left");
    step->right = is_true(object, "strip_right");
    s->in_parts &= !step->left && !step->right;
    return SAE_OK;
}

static enum sae_status read_prepend(struct sae_tok_steps *s, const json_t *object,
                                    struct sae_err *err)
{
    struct sae_tok_step *step = NULL;
    if (!text_of(object, "prepend"))
        return refuse("normalizer", "Prepend without a text", err);
    SAE_TRY(add(s, &step, SAE_TOK_PREPEND, err));
    step->to = text_of(object, "prepend");
    return SAE_OK;
}

static enum sae_status read_normaliser(struct sae_tok_steps *s, const json_t *object,
                                       struct sae_err *err)
{
    static const struct {
        const char *name;
        enum sae_tok_step_kind kind;
        int form;
    } simple[] = {
        {"NFC",          SAE_TOK_FORM,     UTF8PROC_COMPOSE                    },
        {"NFD",          SAE_TOK_FORM,     UTF8PROC_DECOMPOSE                  },
        {"NFKC",         SAE_TOK_FORM,     UTF8PROC_COMPOSE | UTF8PROC_COMPAT  },
        {"NFKD",         SAE_TOK_FORM,     UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT},
        {"Lowercase",    SAE_TOK_LOWER,    0                                   },
        {"StripAccents", SAE_TOK_NO_MARKS, 0                                   },
    };
    const char *const type = text_of(object, "type");
    struct sae_tok_step *step = NULL;
    for (size_t i = 0; type && i < sizeof simple / sizeof *simple; i++)
        if (strcmp(type, simple[i].name) == 0) {
            SAE_TRY(add(s, &step, simple[i].kind, err));
            step->form = (utf8proc_option_t)(simple[i].form | UTF8PROC_STABLE);
            return SAE_OK;
        }
    if (type && strcmp(type, "Replace") == 0)
        return read_replace(s, object, err);
    if (type && strcmp(type, "Strip") == 0)
        return read_strip(s, object, err);
    if (type && strcmp(type, "Prepend") == 0)
        return read_prepend(s, object, err);
    return refuse("normalizer", type, err);
}

/* --- 3. the pre-tokeniser's ----------------------------------------------------------------- */

static enum sae_status read_behaviour(enum sae_tok_behaviour *ret, const char *name,
                                      struct sae_err *err)
{
    static const char *const names[] = {
        [SAE_TOK_ISOLATED] = "Isolated",        [SAE_TOK_REMOVED] = "Removed",
        [SAE_TOK_CONTIGUOUS] = "Contiguous",    [SAE_TOK_WITH_PREVIOUS] = "MergedWithPrevious",
        [SAE_TOK_WITH_NEXT] = "MergedWithNext",
    };
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum sae_tok_behaviour)i;
            return SAE_OK;
        }
    return refuse("pre_tokenizer", name ? name : "Split without behavior", err);
}

static enum sae_status read_split(struct sae_tok_steps *s, const json_t *object,
                                  struct sae_err *err)
{
    const json_t *const pattern = json_object_get(object, "pattern");
    const char *const literal = text_of(pattern, "String"), *const regex =
                                                                text_of(pattern, "Regex");
    enum sae_tok_behaviour b = SAE_TOK_ISOLATED;
    if (literal ? !*literal : !regex)
        return refuse("pre_tokenizer", "Split without a pattern", err);
    SAE_TRY(read_behaviour(&b, text_of(object, "behavior"), err));
    return add_pattern(s, literal ? literal : regex, literal != NULL, b, is_true(object, "invert"),
                       err);
}

static enum sae_status read_punctuation(struct sae_tok_steps *s, const json_t *object,
                                        struct sae_err *err)
{
    enum sae_tok_behaviour b = SAE_TOK_ISOLATED;
    if (json_object_get(object, "behavior"))
        SAE_TRY(read_behaviour(&b, text_of(object, "behavior"), err));
    return add_pattern(s, "[\\p{P}$+<=>^`|~]", false, b, false, err);
}

/* Of words that other steps cut, only the first is that of the part before. */
static void needs_whole(struct sae_tok_steps *s)
{
    s->in_parts &= s->n == s->n_normal + 1;
}

static enum sae_status read_bytes(struct sae_tok_steps *s, const json_t *object,
                                  struct sae_err *err)
{
    struct sae_tok_step *step = NULL;
    s->bytes = true;
    if (is_true(object, "add_prefix_space")) {
        SAE_TRY(add(s, &step, SAE_TOK_SPACE, err));
        needs_whole(s);
    }
    if (json_is_false(json_object_get(object, "use_regex")))
        return SAE_OK;
    return add_pattern(s, byte_pattern, false, SAE_TOK_ISOLATED, false, err);
}

static enum sae_status read_metaspace(struct sae_tok_steps *s, const json_t *object,
                                      struct sae_err *err)
{
    const json_t *const prefix = json_object_get(object, "add_prefix_space"); /* old versions */
    const char *scheme = text_of(object, "prepend_scheme"), *const mark =
                                                                text_of(object, "replacement");
    struct sae_tok_step *step = NULL;
    if (!scheme && json_is_boolean(prefix))
        scheme = json_is_true(prefix) ? "always" : "never";
    if (!scheme || !mark || !*mark)
        return refuse("pre_tokenizer", "Metaspace without prepend_scheme and replacement", err);
    SAE_TRY(add(s, &step, SAE_TOK_METASPACE, err));
    needs_whole(s);
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
    if (type && strcmp(type, "Punctuation") == 0)
        return read_punctuation(s, object, err);
    if (type && strcmp(type, "Digits") == 0)
        return add_pattern(s, is_true(object, "individual_digits") ? "\\p{N}" : "\\p{N}+", false,
                           SAE_TOK_ISOLATED, false, err);
    if (type && strcmp(type, "Whitespace") == 0)
        return add_pattern(s, word_pattern, false, SAE_TOK_REMOVED, true, err);
    if (type && strcmp(type, "WhitespaceSplit") == 0)
        return add_pattern(s, "\\s", false, SAE_TOK_REMOVED, false, err);
    if (type && strcmp(type, "CharDelimiterSplit") == 0 && text_of(object, "delimiter") &&
        *text_of(object, "delimiter"))
        return add_pattern(s, text_of(object, "delimiter"), true, SAE_TOK_REMOVED, false, err);
    return refuse("pre_tokenizer", type, err);
}

/* --- 4. the file ---------------------------------------------------------------------------- */

typedef enum sae_status reader(struct sae_tok_steps *s, const json_t *object, struct sae_err *err);

/* One step, or a Sequence of them, of which each may be one. */
static enum sae_status read_all(struct sae_tok_steps *s, const json_t *object, const char *key,
                                const char *list, int depth, reader *read, struct sae_err *err)
{
    const char *const type = text_of(object, "type");
    size_t i;
    json_t *part;
    if (!object || json_is_null(object))
        return SAE_OK;
    if (!type || strcmp(type, "Sequence") != 0)
        return read(s, object, err);
    if (depth == 8 || !json_is_array(json_object_get(object, list)))
        return refuse(key, "a Sequence without a list of steps, or in too many others", err);
    json_array_foreach(json_object_get(object, list), i, part)
    {
        SAE_TRY(read_all(s, part, key, list, depth + 1, read, err));
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
    s->in_parts = true;
    SAE_GO(st, read_all(s, json_object_get(root, "normalizer"), "normalizer", "normalizers", 0,
                        read_normaliser, err));
    s->n_normal = s->n;
    SAE_GO(st, read_all(s, json_object_get(root, "pre_tokenizer"), "pre_tokenizer", "pretokenizers",
                        0, read_cutter, err));
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

bool sae_tok_steps_in_parts(const struct sae_tok_steps *s)
{
    return s->in_parts;
}
