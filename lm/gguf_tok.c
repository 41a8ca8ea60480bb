/* SPDX-License-Identifier: MIT */
/* gguf_tok : metadata of a tokenizer as the object of a tokenizer.json.
 *
 * Contents:  1. words   2. pieces   3. merges by scores   4. the object */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/file/gguf.h"
#include "lm/gguf.h"

/* Of tokenizer.ggml.token_type. */
enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

enum { PIECE_MAX = 512 }; /* bytes: every cut of a piece is looked for; SentencePiece's have some 100 */

#define TOK "tokenizer.ggml."

/* --- 1. words ------------------------------------------------------------------------------- */

/* How text is cut into words before bytes are merged, by tokenizer.ggml.pre: as the tokenizer.json
 * of the model has it that llama.cpp's converter knows by that name. */
struct pre {
    const char *name;
    const char *pattern; /* NULL: GPT-2's */
    bool digits;         /* each digit alone, first */
    bool nfc, whole_first;
};

#define CUT_WORDS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define CUT_REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct pre pres[] = {
    {.name = "gpt-2"     },
    { .name = "llama-bpe",                                        .pattern = CUT_WORDS "\\p{N}{1,3}" CUT_REST, .whole_first = true},
    { .name = "smollm",                                           .digits = true},
    {      .name = "qwen2", .pattern = CUT_WORDS "\\p{N}" CUT_REST, .nfc = true},
};
enum { N_PRES = sizeof pres / sizeof *pres };

static const char *text_of(const json_t *meta, const char *key)
{
    return json_string_value(json_object_get(meta, key));
}

static enum sae_status find_pre(const struct pre **ret, const json_t *meta, struct sae_err *err)
{
    const char *const name = text_of(meta, TOK "pre");
    for (size_t i = 0; name && i < N_PRES; i++)
        if (strcmp(pres[i].name, name) == 0) {
            *ret = &pres[i];
            return SAE_OK;
        }
    return sae_err_set(err, SAE_EFORMAT,
                       "'" TOK "pre' is %.60s, expected gpt-2, llama-bpe, smollm or qwen2; put the "
                       "model's tokenizer.json and weights in a folder",
                       name ? name : "nothing");
}

static json_t *make_cutter(const struct pre *pre)
{
    json_t *const list = json_array();
    if (pre->digits)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1));
    if (pre->pattern)
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:{s:s}, s:s}", "type", "Split", "pattern",
                                              "Regex", pre->pattern, "behavior", "Isolated"));
    (void)json_array_append_new(list, json_pack("{s:s, s:b, s:b}", "type", "ByteLevel",
                                                "add_prefix_space", 0, "use_regex",
                                                pre->pattern == NULL));
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", list);
}

/* U+2581 for each space, and one in front. */
static json_t *make_marks(bool prefix)
{
    json_t *const list = json_array();
    if (prefix)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", "\xe2\x96\x81"));
    (void)json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern",
                                                "String", " ", "content", "\xe2\x96\x81"));
    return json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", list);
}

/* --- 2. pieces ------------------------------------------------------------------------------ */

struct pieces {
    const json_t *tokens, *types; /* of the metadata */
    json_t *vocabulary, *added, *merges;
    bool bytes;    /* byte-level */
    bool in_marks; /* user-defined pieces are found after spaces became marks */
};

static json_int_t type_of(const struct pieces *p, size_t id)
{
    return json_integer_value(json_array_get(p->types, id));
}

static const char *piece_of(const struct pieces *p, size_t id)
{
    return json_string_value(json_array_get(p->tokens, id));
}

/* Those that are found in the text before anything else. */
static enum sae_status add_found(struct pieces *p, size_t id, json_int_t type, struct sae_err *err)
{
    if (json_array_append_new(p->added,
                              json_pack("{s:I, s:s, s:b, s:b}", "id", (json_int_t)id, "content",
                                        piece_of(p, id), "special", type != USER_DEFINED,
                                        "normalized", type == USER_DEFINED && p->in_marks)) == 0)
        return SAE_OK;
    return sae_err_set(err, SAE_ENOMEM, "an added token");
}

static enum sae_status add_piece(struct pieces *p, size_t id, struct sae_err *err)
{
    const char *const text = piece_of(p, id);
    const json_int_t type = type_of(p, id);
    if (!text || !*text || type < NORMAL || type > BYTE)
        return sae_err_set(err, SAE_EFORMAT,
                           "token %zu is %s and of type %lld, expected a text and 1 to 6", id,
                           text && *text ? "a text" : "no text", (long long)type);
    const bool found = type == UNKNOWN || type == CONTROL || type == USER_DEFINED;
    if (found)
        SAE_TRY(add_found(p, id, type, err));
    if (type == UNUSED || (found && p->bytes))
        return SAE_OK;
    if (json_object_get(p->vocabulary, text))
        return sae_err_set(err, SAE_EFORMAT, "token '%.60s' is given twice", text);
    if (json_object_set_new(p->vocabulary, text, json_integer((json_int_t)id)) != 0)
        return sae_err_set(err, SAE_ENOMEM, "a vocabulary");
    return SAE_OK;
}

static enum sae_status read_pieces(struct pieces *p, const json_t *meta, struct sae_err *err)
{
    p->tokens = json_object_get(meta, TOK "tokens");
    p->types = json_object_get(meta, TOK "token_type");
    const size_t n = json_array_size(p->tokens);
    if (n == 0 || json_array_size(p->types) != n)
        return sae_err_set(err, SAE_EFORMAT,
                           "%zu elements in '" TOK "tokens' and %zu in '" TOK "token_type', "
                           "expected as many",
                           n, json_array_size(p->types));
    for (size_t id = 0; id < n; id++)
        SAE_TRY(add_piece(p, id, err));
    return SAE_OK;
}

/* --- 3. merges by scores -------------------------------------------------------------------- */

struct scored {
    double score;
    size_t id;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *const x = a, *const y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The id of a piece that may be merged, as its text in `tokens`; NULL: there is none. */
static json_t *part_of(const struct pieces *p, const char *s, size_t n)
{
    const json_t *const id = json_object_getn(p->vocabulary, s, n);
    return id && type_of(p, (size_t)json_integer_value(id)) == NORMAL
               ? json_array_get(p->tokens, (size_t)json_integer_value(id))
               : NULL;
}

/* Two neighbours whose text is a piece are merged, that of the highest score first, of equal ones
 * the leftmost (SentencePiece's BPE): every way to cut a piece in two has the piece's rank. */
static enum sae_status add_cuts(struct pieces *p, const char *text, json_int_t rank,
                                struct sae_err *err)
{
    const size_t n = strlen(text);
    if (n > PIECE_MAX)
        return sae_err_set(err, SAE_EFORMAT, "token '%.40s...' has %zu bytes, at most %d", text, n,
                           PIECE_MAX);
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)text[i] & 0xc0U) == 0x80)
            continue;
        json_t *const left = part_of(p, text, i), *const right = part_of(p, text + i, n - i);
        if (left && right &&
            json_array_append_new(p->merges, json_pack("[O, O, I]", left, right, rank)) != 0)
            return sae_err_set(err, SAE_ENOMEM, "a merge");
    }
    return SAE_OK;
}

static enum sae_status merges_by_score(struct pieces *p, const json_t *meta, struct sae_err *err)
{
    const json_t *const scores = json_object_get(meta, TOK "scores");
    const size_t n = json_array_size(p->tokens);
    struct scored *all = NULL;
    enum sae_status st = SAE_OK;
    json_int_t rank = 0;
    size_t n_all = 0;
    if (json_array_size(scores) != n)
        return sae_err_set(err, SAE_EFORMAT, "%zu elements in '" TOK "scores', expected %zu",
                           json_array_size(scores), n);
    SAE_TRY(sae_mem_alloc(&all, n, sizeof *all, err));
    for (size_t id = 0; id < n; id++)
        if (type_of(p, id) == NORMAL)
            all[n_all++] = (struct scored){json_number_value(json_array_get(scores, id)), id};
    qsort(all, n_all, sizeof *all, by_score);
    for (size_t i = 0; i < n_all && st == SAE_OK; i++) {
        rank += i > 0 && all[i].score != all[i - 1].score;
        st = add_cuts(p, piece_of(p, all[i].id), rank, err);
    }
    free(all);
    return st;
}

/* --- 4. the object -------------------------------------------------------------------------- */

static enum sae_status check_flag(const json_t *meta, const char *key, struct sae_err *err)
{
    if (!json_is_true(json_object_get(meta, key)))
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT, "'%s' is true, which is not computed here", key);
}

static enum sae_status pack(json_t **ret, json_t *model, json_t *normaliser, json_t *cutter,
                            const struct pieces *p, struct sae_err *err)
{
    *ret = json_pack("{s:o, s:o?, s:o?, s:O}", "model", model, "normalizer", normaliser,
                     "pre_tokenizer", cutter, "added_tokens", p->added);
    return *ret ? SAE_OK : sae_err_set(err, SAE_ENOMEM, "a tokenizer");
}

static enum sae_status make_bytes(json_t **ret, struct pieces *p, const json_t *meta,
                                  struct sae_err *err)
{
    const struct pre *pre = NULL;
    json_t *const merges = json_object_get(meta, TOK "merges");
    p->bytes = true;
    SAE_TRY(find_pre(&pre, meta, err));
    SAE_TRY(check_flag(meta, TOK "add_space_prefix", err));
    SAE_TRY(read_pieces(p, meta, err));
    if (!json_is_array(merges))
        return sae_err_set(err, SAE_EFORMAT, "no key '" TOK "merges'");
    return pack(ret,
                json_pack("{s:s, s:O, s:O, s:b}", "type", "BPE", "vocab", p->vocabulary, "merges",
                          merges, "ignore_merges", pre->whole_first),
                pre->nfc ? json_pack("{s:s}", "type", "NFC") : NULL, make_cutter(pre), p, err);
}

static enum sae_status make_scored(json_t **ret, struct pieces *p, const json_t *meta,
                                   struct sae_err *err)
{
    const json_t *const unknown = json_object_get(meta, TOK "unknown_token_id");
    const bool prefix = !json_is_false(json_object_get(meta, TOK "add_space_prefix"));
    p->in_marks = !prefix;
    SAE_TRY(check_flag(meta, TOK "remove_extra_whitespaces", err));
    SAE_TRY(read_pieces(p, meta, err));
    SAE_TRY(merges_by_score(p, meta, err));
    const char *const unk = unknown && json_integer_value(unknown) >= 0
                                ? piece_of(p, (size_t)json_integer_value(unknown))
                                : NULL;
    return pack(ret,
                json_pack("{s:s, s:O, s:O, s:b, s:b, s:s*}", "type", "BPE", "vocab", p->vocabulary,
                          "merges", p->merges, "byte_fallback", 1, "fuse_unk", 1, "unk_token", unk),
                make_marks(prefix), NULL, p, err);
}

static enum sae_status make_tokenizer(json_t **ret, const json_t *meta, struct sae_err *err)
{
    const char *const kind = text_of(meta, TOK "model");
    struct pieces p = {.vocabulary = json_object(), .added = json_array(), .merges = json_array()};
    enum sae_status st;
    if (kind && strcmp(kind, "gpt2") == 0)
        st = make_bytes(ret, &p, meta, err);
    else if (kind && strcmp(kind, "llama") == 0)
        st = make_scored(ret, &p, meta, err);
    else
        st = sae_err_set(err, SAE_EFORMAT, "'" TOK "model' is %.60s, expected gpt2 or llama",
                         kind ? kind : "nothing");
    json_decref(p.vocabulary);
    json_decref(p.added);
    json_decref(p.merges);
    return st;
}

enum sae_status sae_lm_gguf_tokenizer(json_t **ret, const char *path, struct sae_err *err)
{
    json_t *meta = NULL;
    struct sae_st *tensors = NULL;
    SAE_TRY(sae_gguf_open(&meta, &tensors, path, err));
    const enum sae_status st = make_tokenizer(ret, meta, err);
    json_decref(meta);
    sae_st_close(tensors);
    return st;
}
