/* SPDX-License-Identifier: MIT */
/* tok_bpe : tokenizer.json of Hugging Face's `tokenizers`, model BPE: byte-level as of GPT-2, Llama
 * 3 and Qwen, or with byte fallback as of Llama 2. Ids are those of encode(text) without special
 * tokens added: added tokens are found in the text first, as there. What is not known is refused by
 * name.
 *
 * Contents:  1. the file   2. texts   3. parts of texts   4. pieces */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lm/gguf.h"
#include "lm/tok.h"
#include "lm/tok_added.h"
#include "lm/tok_steps.h"
#include "lm/tok_vocab.h"

#define FILE_MAX ((size_t)256 << 20) /* bytes of tokenizer.json */

struct bpe {
    json_t *root;
    struct sae_tok_steps *steps;
    struct sae_tok_vocab vocab;
    struct sae_tok_added added;
    bool in_parts;
};

/* --- 1. the file ---------------------------------------------------------------------------- */

static void close_bpe(void *tok)
{
    struct bpe *const b = tok;
    if (!b)
        return;
    sae_tok_added_close(&b->added);
    sae_tok_vocab_close(&b->vocab);
    sae_tok_steps_close(b->steps);
    json_decref(b->root);
    free(b);
}

static enum sae_status load_json(json_t **ret, const char *path, struct sae_err *err)
{
    char *text = NULL;
    size_t len = 0;
    json_error_t why;
    SAE_TRY(sae_fs_read(&text, &len, path, FILE_MAX, err));
    *ret = json_loadb(text, len, 0, &why);
    free(text);
    if (*ret)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT, "not valid JSON: line %d: %s", why.line, why.text);
}

typedef enum sae_status loader(json_t **ret, const char *path, struct sae_err *err);

static enum sae_status open_with(void **ret, const char *path, loader *load, struct sae_err *err)
{
    struct bpe *b = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&b, 1, sizeof *b, err));
    SAE_GO(st, load(&b->root, path, err));
    if (json_is_object(json_object_get(b->root, "truncation")))
        SAE_GO(st, sae_err_set(err, SAE_EFORMAT, "'truncation' is set, texts would be cut"));
    SAE_GO(st, sae_tok_steps_open(&b->steps, b->root, err));
    SAE_GO(st, sae_tok_vocab_read(&b->vocab, b->root, sae_tok_steps_bytes(b->steps), err));
    SAE_GO(st, sae_tok_added_read(&b->added, json_object_get(b->root, "added_tokens"), b->steps,
                                  &b->vocab, err));
    b->in_parts = b->added.in_parts && sae_tok_steps_in_parts(b->steps);
    *ret = b;
done:
    if (st != SAE_OK) {
        (void)sae_err_prefix(err, "'%s'", path);
        close_bpe(b);
    }
    return st;
}

static enum sae_status open_bpe(void **ret, const char *path, struct sae_err *err)
{
    return open_with(ret, path, load_json, err);
}

static enum sae_status open_gguf(void **ret, const char *path, struct sae_err *err)
{
    return open_with(ret, path, sae_lm_gguf_tokenizer, err);
}

/* --- 2. texts ------------------------------------------------------------------------------- */

/* Scratch of one call of encode. */
struct work {
    const struct bpe *b;
    struct sae_tok_merging merging;
    struct sae_tok_words words;
    struct sae_str normal, cut;
    struct sae_tok_ids *ids;
    struct sae_err *err;
};

static void close_work(struct work *w)
{
    sae_tok_merging_clear(&w->merging);
    free(w->words.v);
    sae_str_clear(&w->normal);
    sae_str_clear(&w->cut);
}

static enum sae_status add_id(struct work *w, uint32_t id)
{
    struct sae_tok_ids *const ids = w->ids;
    SAE_TRY(sae_mem_grow(&ids->v, &ids->cap, ids->n + 1, sizeof *ids->v, w->err));
    ids->v[ids->n++] = id;
    return SAE_OK;
}

/* Cuts normalised text without added tokens into w->words of w->cut. */
static enum sae_status cut_plain(struct work *w, const char *s, size_t n,
                                 struct sae_tok_place place)
{
    w->words.n = w->cut.len = 0;
    if (n == 0)
        return SAE_OK;
    SAE_TRY(sae_str_append(&w->cut, s, n, w->err));
    return sae_tok_steps_cut(w->b->steps, &w->cut, place, &w->words, w->err);
}

/* The words up to byte `to` of w->cut. */
static enum sae_status merge_words(struct work *w, size_t to)
{
    for (size_t i = 0; i < w->words.n && w->words.v[i].from < to; i++) {
        const struct sae_tok_word *const word = &w->words.v[i];
        const size_t end = word->to < to ? word->to : to;
        SAE_TRY(sae_tok_merge(&w->b->vocab, &w->merging, w->cut.s + word->from, end - word->from,
                              w->ids, w->err));
    }
    return SAE_OK;
}

/* Normalises what lies between two added tokens of the raw text, and encodes it up to the last
 * added token of normalised text. What follows that is left in w->words. *unsure: its last bytes in
 * which a token may begin. */
static enum sae_status begin_between(struct work *w, const char *s, size_t n,
                                     struct sae_tok_place place, size_t *unsure)
{
    size_t from, last = 0;
    uint32_t id;
    const bool goes_on = place.goes_on;
    w->normal.len = w->words.n = 0;
    *unsure = 0;
    if (n == 0)
        return SAE_OK;
    SAE_TRY(sae_str_append(&w->normal, s, n, w->err));
    SAE_TRY(sae_tok_steps_normalise(w->b->steps, &w->normal, place.continues, w->err));
    struct sae_tok_finding f = {
        .s = w->normal.s, .n = w->normal.len, .normalised = true, .goes_on = goes_on};
    while (sae_tok_added_next(&w->b->added, &f, &from, &id)) {
        place.goes_on = false;
        SAE_TRY(cut_plain(w, f.s + last, from - last, place));
        SAE_TRY(merge_words(w, SIZE_MAX));
        SAE_TRY(add_id(w, id));
        last = f.done;
        place = (struct sae_tok_place){0};
    }
    place.goes_on = goes_on;
    *unsure = f.n - (f.sure > last ? f.sure : last);
    return cut_plain(w, f.s ? f.s + last : "", f.n - last, place);
}

/* --- 3. parts of texts ---------------------------------------------------------------------- */

/* Whether a part may begin at byte `at` of w->cut. */
static bool may_begin(const struct work *w, size_t at)
{
    size_t low = 0, high = w->words.n;
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (w->words.v[mid].from < at)
            low = mid;
        else
            high = mid;
    }
    if (w->words.n == 0)
        return false;
    const struct sae_tok_word *const word = &w->words.v[low];
    if (word->to == at)
        return word->ends && !word->is_open;
    return word->from < at && at < word->to && word->splits && !word->is_vague &&
           sae_tok_splits(&w->b->vocab, w->cut.s + word->from, word->to - word->from,
                          at - word->from);
}

/* Whether the character before s[at] is white space, which a token there may take. */
static bool after_space(const char *s, size_t at)
{
    size_t from = at - 1;
    while (from > 0 && ((unsigned char)s[from] & 0xc0U) == 0x80)
        from--;
    return sae_tok_space(s + from, at - from) > 0;
}

/* The last place of s[0, n), up to s[sure] and `unsure` bytes before the end of w->cut, at which
 * the next part may begin; w->words are those of s. *at: in w->cut. 0: there is none. */
static enum sae_status find_part(struct work *w, const char *s, size_t n, size_t sure,
                                 size_t unsure, size_t *ret, size_t *at)
{
    size_t end = n;
    *ret = 0;
    *at = w->cut.len;
    for (size_t i = sure < n ? sure + 1 : n; i-- > 1 && *at > 0;) {
        if (!sae_tok_steps_may_part(w->b->steps, s, n, i) || after_space(s, i))
            continue;
        size_t len = 0;
        SAE_TRY(sae_tok_steps_length(w->b->steps, s + i, end - i, &len, w->err));
        if (len >= *at)
            return SAE_OK;
        *at -= len;
        end = i;
        if (w->cut.len - *at < unsure || !may_begin(w, *at))
            continue;
        *ret = i;
        return SAE_OK;
    }
    return SAE_OK;
}

/* Between two added tokens of the raw text, or after the last. *used: bytes of s that are encoded.
 */
static enum sae_status encode_between(struct work *w, const char *s, size_t n, size_t sure,
                                      struct sae_tok_place place, size_t *used)
{
    const size_t n_ids = w->ids->n;
    size_t at = SIZE_MAX, unsure = 0;
    SAE_TRY(begin_between(w, s, n, place, &unsure));
    *used = n;
    if (place.goes_on) {
        /* Marks for spaces have up to four bytes. */
        SAE_TRY(find_part(w, s, n, sure, 4 * unsure, used, &at));
        if (*used == 0)
            w->ids->n = n_ids; /* nothing of it is sure */
    }
    return *used == 0 ? SAE_OK : merge_words(w, at);
}

static enum sae_status encode(const void *tok, const char *text, size_t len,
                              struct sae_tok_place *place, struct sae_tok_ids *ids, size_t *ret,
                              struct sae_err *err)
{
    const struct bpe *const b = tok;
    struct work w = {.b = b, .ids = ids, .err = err};
    struct sae_tok_finding f = {.s = text, .n = len, .goes_on = place->goes_on};
    enum sae_status st = SAE_OK;
    size_t from, last = 0, used = 0;
    uint32_t id;
    *ret = 0;
    if (place->goes_on && !b->in_parts)
        return SAE_OK;
    struct sae_tok_place here = {place->is_first, place->continues, false};
    while (sae_tok_added_next(&b->added, &f, &from, &id)) {
        SAE_GO(st, encode_between(&w, text + last, from - last, from - last, here, &used));
        SAE_GO(st, add_id(&w, id));
        last = f.done;
        here = (struct sae_tok_place){0};
    }
    here.goes_on = place->goes_on;
    SAE_GO(st, encode_between(&w, text + last, len - last, f.sure > last ? f.sure - last : 0, here,
                              &used));
    *ret = last + used;
    place->is_first &= *ret == 0;
    place->continues = used > 0 || (*ret == 0 && place->continues);
done:
    close_work(&w);
    return st;
}

/* --- 4. pieces ------------------------------------------------------------------------------ */

static size_t size(const void *tok)
{
    return ((const struct bpe *)tok)->vocab.n;
}

static long special(const void *tok, enum sae_tok_special which)
{
    const struct bpe *const b = tok;
    return which == SAE_TOK_UNK && b->vocab.unk != SAE_TOK_NONE ? (long)b->vocab.unk : -1;
}

static bool is_control(const void *tok, uint32_t id)
{
    return ((const struct bpe *)tok)->vocab.control[id];
}

static enum sae_status piece(const void *tok, uint32_t id, struct sae_str *text,
                             struct sae_err *err)
{
    static const char mark[] = "\xe2\x96\x81"; /* U+2581 stands for a space */
    const struct sae_tok_vocab *const v = &((const struct bpe *)tok)->vocab;
    const char *const s = v->piece[id];
    const size_t n = v->len[id];
    if (!s)
        return SAE_OK;
    for (unsigned i = 0; i < 256 && v->fallback; i++)
        if (v->byte[i] == id) {
            const char byte = (char)i;
            return sae_str_append(text, &byte, 1, err);
        }
    for (size_t i = 0; i < n;) {
        const bool space =
            !v->bytes && !v->control[id] && n - i >= 3 && memcmp(s + i, mark, 3) == 0;
        SAE_TRY(sae_str_append(text, space ? " " : s + i, 1, err));
        i += space ? 3 : 1;
    }
    return SAE_OK;
}

const struct sae_tok_kind sae_tok_gguf = {
    .open = open_gguf,
    .close = close_bpe,
    .size = size,
    .special = special,
    .encode = encode,
    .piece = piece,
    .is_control = is_control,
};

const struct sae_tok_kind sae_tok_bpe = {
    .file = "tokenizer.json",
    .open = open_bpe,
    .close = close_bpe,
    .size = size,
    .special = special,
    .encode = encode,
    .piece = piece,
    .is_control = is_control,
};
