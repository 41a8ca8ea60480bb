/* SPDX-License-Identifier: MIT */
/* tok_bpe : tokenizer.json of Hugging Face's `tokenizers`, model BPE: byte-level as of GPT-2, Llama
 * 3 and Qwen, or with byte fallback as of Llama 2. Ids are those of encode(text) without special
 * tokens added: added tokens are found in the text first, as there. What is not known is refused by
 * name.
 *
 * A word's symbols are merged pair by pair, the pair of the lowest rank first, the leftmost of
 * equal ones; pairs wait in a heap, so that a text without word limits takes n log n. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lm/gguf.h"
#include "lm/tok.h"
#include "lm/tok_steps.h"

#define FILE_MAX ((size_t)256 << 20) /* bytes of tokenizer.json */
#define NONE UINT32_MAX
enum { VOCABULARY_MAX = 1 << 24 };

/* Open addressing; a power of two, at most half full. */
struct table {
    uint32_t *at; /* index of an entry, NONE: free */
    size_t mask;
};

struct merge {
    uint32_t left, right, result, rank;
};

struct added {
    uint32_t id;
    char *text;
    size_t len;
    bool normalised, special;
    size_t next; /* of the same first byte; SIZE_MAX: none */
};

struct bpe {
    json_t *root;
    struct sae_tok_steps *steps;
    size_t n; /* ids */
    char **piece;
    size_t *len;
    bool *control;
    struct table pieces, pairs;
    struct merge *merges;
    size_t n_merges;
    struct added *added;
    size_t n_added, first[2][256]; /* raw and normalised, by first byte */
    uint32_t byte[256], unk;
    bool bytes, fallback, fuse_unk, whole_first;
};

/* --- 1. tables ------------------------------------------------------------------------------ */

static size_t hash_bytes(const char *s, size_t n)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3U;
    return (size_t)(h ^ h >> 29);
}

static size_t hash_pair(uint32_t left, uint32_t right)
{
    const uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15U;
    return (size_t)(h ^ h >> 32);
}

static enum sae_status open_table(struct table *t, size_t n, struct sae_err *err)
{
    size_t size = 16;
    while (size < 2 * n)
        size *= 2;
    SAE_TRY(sae_mem_alloc(&t->at, size, sizeof *t->at, err));
    memset(t->at, 0xff, size * sizeof *t->at);
    t->mask = size - 1;
    return SAE_OK;
}

/* The slot of a piece, or the free one where it would be. */
static size_t piece_slot(const struct bpe *b, const char *s, size_t n)
{
    size_t i = hash_bytes(s, n) & b->pieces.mask;
    for (; b->pieces.at[i] != NONE; i = (i + 1) & b->pieces.mask) {
        const uint32_t id = b->pieces.at[i];
        if (b->len[id] == n && memcmp(b->piece[id], s, n) == 0)
            break;
    }
    return i;
}

static uint32_t find_piece(const struct bpe *b, const char *s, size_t n)
{
    return b->pieces.at[piece_slot(b, s, n)];
}

static size_t pair_slot(const struct bpe *b, uint32_t left, uint32_t right)
{
    size_t i = hash_pair(left, right) & b->pairs.mask;
    for (; b->pairs.at[i] != NONE; i = (i + 1) & b->pairs.mask) {
        const struct merge *const m = &b->merges[b->pairs.at[i]];
        if (m->left == left && m->right == right)
            break;
    }
    return i;
}

/* --- 2. the file ---------------------------------------------------------------------------- */

/* The letter that stands for each byte: itself where it prints, else 256, 257 ... in order. */
static void byte_letters(uint32_t letter[256])
{
    uint32_t next = 256;
    for (uint32_t i = 0; i < 256; i++) {
        const bool prints = (i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
        letter[i] = prints ? i : next++;
    }
}

/* A piece of a byte-level vocabulary, written in letters for bytes, as bytes, in place. False where
 * a letter stands for none, an added token, which is left as it is. */
static bool letters_to_bytes(char *s, size_t *len)
{
    uint32_t letter[256];
    short byte_of[512];
    char out[4096];
    size_t n = 0;
    byte_letters(letter);
    memset(byte_of, -1, sizeof byte_of);
    for (size_t i = 0; i < 256; i++)
        byte_of[letter[i]] = (short)i;
    for (size_t i = 0; i < *len && n < sizeof out; n++) {
        const unsigned char c = (unsigned char)s[i];
        const size_t more = c < 0x80 ? 1 : 2;
        const uint32_t code = more == 1 ? c : (c & 0x1fU) << 6 | ((unsigned char)s[i + 1] & 0x3fU);
        if (c >= 0xe0 || i + more > *len || code >= 512 || byte_of[code] < 0)
            return false;
        out[n] = (char)byte_of[code];
        i += more;
    }
    if (n == sizeof out)
        return false;
    memcpy(s, out, n);
    *len = n;
    return true;
}

static enum sae_status set_piece(struct bpe *b, json_int_t id, const char *text,
                                 struct sae_err *err)
{
    if (id < 0 || id >= (json_int_t)b->n || (b->piece[id] && strcmp(b->piece[id], text) != 0))
        return sae_err_set(err, SAE_EFORMAT, "id %lld of '%.60s' is out of range or given twice",
                           (long long)id, text);
    if (b->piece[id])
        return SAE_OK;
    b->len[id] = strlen(text);
    return sae_mem_strdup(&b->piece[id], text, err);
}

/* Ids go to the largest one; some in between may be of no piece. */
static size_t count_ids(const json_t *vocabulary, const json_t *added)
{
    json_int_t most = -1;
    const char *key;
    json_t *value;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)vocabulary, key, value)
    {
        most = json_integer_value(value) > most ? json_integer_value(value) : most;
    }
    json_array_foreach(added, i, value)
    {
        const json_int_t id = json_integer_value(json_object_get(value, "id"));
        most = id > most ? id : most;
    }
    return most >= VOCABULARY_MAX ? VOCABULARY_MAX : (size_t)(most + 1);
}

static enum sae_status read_vocabulary(struct bpe *b, const json_t *vocabulary, const json_t *added,
                                       struct sae_err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(vocabulary) || json_object_size(vocabulary) == 0)
        return sae_err_set(err, SAE_EFORMAT, "no 'model.vocab'");
    b->n = count_ids(vocabulary, added);
    SAE_TRY(sae_mem_alloc(&b->piece, b->n, sizeof *b->piece, err));
    SAE_TRY(sae_mem_alloc(&b->len, b->n, sizeof *b->len, err));
    SAE_TRY(sae_mem_alloc(&b->control, b->n, sizeof *b->control, err));
    SAE_TRY(open_table(&b->pieces, b->n, err));
    json_object_foreach((json_t *)(uintptr_t)vocabulary, key, value)
    {
        SAE_TRY(set_piece(b, json_is_integer(value) ? json_integer_value(value) : -1, key, err));
    }
    for (size_t id = 0; id < b->n; id++) {
        if (!b->piece[id])
            continue;
        const bool spelt = !b->bytes || letters_to_bytes(b->piece[id], &b->len[id]);
        const size_t slot = piece_slot(b, b->piece[id], b->len[id]);
        if (spelt || b->pieces.at[slot] == NONE) /* no text is spelt like an added token */
            b->pieces.at[slot] = (uint32_t)id;
    }
    return SAE_OK;
}

/* "left right" or ["left", "right"], as they are written. */
static bool split_merge(const json_t *value, char **left, char **right, struct sae_str *scratch)
{
    const char *a = json_string_value(json_array_get(value, 0)),
               *b = json_string_value(json_array_get(value, 1));
    const char *const both = json_string_value(value), *const space =
                                                           both ? strchr(both, ' ') : NULL;
    scratch->len = 0;
    if (space && !strchr(space + 1, ' ')) {
        if (sae_str_append(scratch, both, strlen(both) + 1, NULL) != SAE_OK)
            return false;
        *left = scratch->s;
        *right = scratch->s + (space - both) + 1;
        scratch->s[space - both] = '\0';
        return true;
    }
    if (!a || !b || sae_str_append(scratch, a, strlen(a) + 1, NULL) != SAE_OK ||
        sae_str_append(scratch, b, strlen(b) + 1, NULL) != SAE_OK)
        return false;
    *left = scratch->s;
    *right = scratch->s + strlen(a) + 1;
    return true;
}

static enum sae_status read_merge(struct bpe *b, size_t rank, const json_t *value,
                                  struct sae_str *scratch, struct sae_err *err)
{
    struct merge *const m = &b->merges[rank];
    char *part[2], both[4096];
    size_t n[2] = {0, 0};
    if (!split_merge(value, &part[0], &part[1], scratch))
        return sae_err_set(err, SAE_EFORMAT, "'model.merges' %zu is no pair", rank);
    for (size_t i = 0; i < 2; i++) {
        n[i] = strlen(part[i]);
        if (b->bytes)
            (void)letters_to_bytes(part[i], &n[i]);
    }
    if (n[0] + n[1] > sizeof both)
        return sae_err_set(err, SAE_EFORMAT, "'model.merges' %zu has %zu bytes", rank, n[0] + n[1]);
    memcpy(both, part[0], n[0]);
    memcpy(both + n[0], part[1], n[1]);
    const json_t *const own = json_array_get(value, 2); /* gguf.h */
    *m = (struct merge){find_piece(b, part[0], n[0]), find_piece(b, part[1], n[1]),
                        find_piece(b, both, n[0] + n[1]),
                        (uint32_t)(own ? json_integer_value(own) : (json_int_t)rank)};
    if (m->left == NONE || m->right == NONE || m->result == NONE)
        return sae_err_set(err, SAE_EFORMAT, "'model.merges' %zu is of pieces not in 'model.vocab'",
                           rank);
    const size_t slot = pair_slot(b, m->left, m->right);
    b->pairs.at[slot] = (uint32_t)rank; /* the last of equal ones, as there */
    return SAE_OK;
}

static enum sae_status read_merges(struct bpe *b, const json_t *merges, struct sae_err *err)
{
    struct sae_str scratch = {0};
    enum sae_status st = SAE_OK;
    size_t i;
    json_t *value;
    if (!json_is_array(merges))
        return sae_err_set(err, SAE_EFORMAT, "no 'model.merges'");
    b->n_merges = json_array_size(merges);
    SAE_TRY(sae_mem_alloc(&b->merges, b->n_merges, sizeof *b->merges, err));
    SAE_TRY(open_table(&b->pairs, b->n_merges, err));
    json_array_foreach(merges, i, value)
    {
        SAE_GO(st, read_merge(b, i, value, &scratch, err));
    }
done:
    sae_str_clear(&scratch);
    return st;
}

/* Content and id of one, and its piece. */
static enum sae_status name_added(struct bpe *b, struct added *a, const json_t *value,
                                  const char *text, struct sae_err *err)
{
    static const char *const off[] = {"single_word", "lstrip", "rstrip"};
    const json_t *const number = json_object_get(value, "id");
    const json_int_t id = json_is_integer(number) ? json_integer_value(number) : -1;
    if (!text || !*text)
        return sae_err_set(err, SAE_EFORMAT, "added token %td has no content", a - b->added);
    for (size_t k = 0; k < sizeof off / sizeof *off; k++)
        if (json_is_true(json_object_get(value, off[k])))
            return sae_err_set(err, SAE_EFORMAT,
                               "added token '%.60s' with '%s' is not computed here", text, off[k]);
    if (id < 0 || id >= (json_int_t)b->n)
        return sae_err_set(err, SAE_EFORMAT,
                           "'id' of added token '%.60s' is missing or out of range", text);
    a->id = (uint32_t)id;
    a->special = json_is_true(json_object_get(value, "special"));
    a->normalised = json_is_true(json_object_get(value, "normalized"));
    if (find_piece(b, text, strlen(text)) != a->id)
        SAE_TRY(set_piece(b, id, text, err));
    b->control[id] = a->special;
    return SAE_OK;
}

static enum sae_status read_added(struct bpe *b, const json_t *list, struct sae_err *err)
{
    size_t i;
    json_t *value;
    memset(b->first, 0xff, sizeof b->first);
    SAE_TRY(sae_mem_alloc(&b->added, json_array_size(list), sizeof *b->added, err));
    json_array_foreach(list, i, value)
    {
        struct added *const a = &b->added[i];
        const char *const text = json_string_value(json_object_get(value, "content"));
        struct sae_str form = {0};
        SAE_TRY(name_added(b, a, value, text, err));
        SAE_TRY(sae_str_append(&form, text, strlen(text), err));
        b->n_added++;
        a->text = form.s; /* freed as such from here on */
        if (a->normalised) {
            const enum sae_status st = sae_tok_steps_normalise(b->steps, &form, err);
            a->text = form.s;
            SAE_TRY(st);
        }
        a->len = form.len;
        if (a->len == 0)
            return sae_err_set(err, SAE_EFORMAT, "added token '%.60s' is normalised to nothing",
                               text);
        size_t *const first = &b->first[a->normalised][(unsigned char)a->text[0]];
        a->next = *first;
        *first = i;
    }
    return SAE_OK;
}

static enum sae_status read_bytes(struct bpe *b, struct sae_err *err)
{
    char name[8];
    for (unsigned i = 0; i < 256; i++) {
        const char raw = (char)i;
        (void)snprintf(name, sizeof name, "<0x%02X>", i);
        b->byte[i] = b->bytes      ? find_piece(b, &raw, 1)
                     : b->fallback ? find_piece(b, name, strlen(name))
                                   : NONE;
        if (b->byte[i] == NONE && (b->bytes ? b->unk != NONE : b->fallback))
            return sae_err_set(err, SAE_EFORMAT, "byte %u has no piece", i);
    }
    return SAE_OK;
}

static enum sae_status read_model(struct bpe *b, const json_t *model, struct sae_err *err)
{
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
    const char *const type = json_string_value(json_object_get(model, "type")),
                      *const unk = json_string_value(json_object_get(model, "unk_token"));
    if (type ? strcmp(type, "BPE") != 0 : !json_object_get(model, "merges"))
        return sae_err_set(err, SAE_EFORMAT, "'model.type' is %.40s, expected BPE",
                           type ? type : "nothing");
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        const json_t *const value = json_object_get(model, off[i]);
        const bool none = !value || json_is_null(value) ||
                          (json_is_string(value) && json_string_length(value) == 0) ||
                          (json_is_number(value) && json_number_value(value) == 0);
        if (!none)
            return sae_err_set(err, SAE_EFORMAT, "'model.%s' is not computed here", off[i]);
    }
    b->bytes = sae_tok_steps_bytes(b->steps);
    b->fallback = json_is_true(json_object_get(model, "byte_fallback"));
    b->fuse_unk = json_is_true(json_object_get(model, "fuse_unk"));
    b->whole_first = json_is_true(json_object_get(model, "ignore_merges"));
    SAE_TRY(read_vocabulary(b, json_object_get(model, "vocab"),
                            json_object_get(b->root, "added_tokens"), err));
    b->unk = unk ? find_piece(b, unk, strlen(unk)) : NONE;
    if (!b->bytes && b->unk == NONE && !b->fallback)
        return sae_err_set(err, SAE_EFORMAT, "no piece for what the vocabulary has not");
    SAE_TRY(read_merges(b, json_object_get(model, "merges"), err));
    return read_bytes(b, err);
}

static void close_bpe(void *tok)
{
    struct bpe *const b = tok;
    if (!b)
        return;
    for (size_t i = 0; i < b->n && b->piece; i++)
        free(b->piece[i]);
    for (size_t i = 0; i < b->n_added; i++)
        free(b->added[i].text);
    free(b->piece);
    free(b->len);
    free(b->control);
    free(b->pieces.at);
    free(b->pairs.at);
    free(b->merges);
    free(b->added);
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
    if (json_is_object(json_object_get(b->root, "truncation"))) {
        st = sae_err_set(err, SAE_EFORMAT, "'truncation' is set, texts would be cut");
        goto done;
    }
    SAE_GO(st, sae_tok_steps_open(&b->steps, b->root, err));
    SAE_GO(st, read_model(b, json_object_get(b->root, "model"), err));
    SAE_GO(st, read_added(b, json_object_get(b->root, "added_tokens"), err));
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

/* --- 3. one word ---------------------------------------------------------------------------- */

struct symbol {
    uint32_t id;
    size_t before, after; /* neighbours, SIZE_MAX: none */
};

struct waiting {
    uint32_t rank, merge, left, right;
    size_t at;
};

/* Scratch of one call of encode. */
struct work {
    const struct bpe *b;
    struct symbol *symbols;
    size_t n, cap;
    struct waiting *heap;
    size_t n_heap, cap_heap;
    struct sae_tok_words words;
    struct sae_str text;
};

static bool comes_first(const struct waiting *a, const struct waiting *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static enum sae_status push(struct work *w, size_t at, struct sae_err *err)
{
    const size_t after = w->symbols[at].after;
    if (after == SIZE_MAX || w->symbols[at].id == NONE || w->symbols[after].id == NONE)
        return SAE_OK;
    struct waiting it = {.left = w->symbols[at].id, .right = w->symbols[after].id, .at = at};
    it.merge = w->b->pairs.at[pair_slot(w->b, it.left, it.right)];
    if (it.merge == NONE)
        return SAE_OK;
    it.rank = w->b->merges[it.merge].rank;
    SAE_TRY(sae_mem_grow(&w->heap, &w->cap_heap, w->n_heap + 1, sizeof *w->heap, err));
    size_t i = w->n_heap++;
    w->heap[i] = it;
    for (; i > 0 && comes_first(&w->heap[i], &w->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        const struct waiting swap = w->heap[i];
        w->heap[i] = w->heap[(i - 1) / 2];
        w->heap[(i - 1) / 2] = swap;
    }
    return SAE_OK;
}

static struct waiting pop(struct work *w)
{
    const struct waiting top = w->heap[0];
    w->heap[0] = w->heap[--w->n_heap];
    for (size_t i = 0, k; (k = 2 * i + 1) < w->n_heap; i = k) {
        if (k + 1 < w->n_heap && comes_first(&w->heap[k + 1], &w->heap[k]))
            k++;
        if (!comes_first(&w->heap[k], &w->heap[i]))
            break;
        const struct waiting swap = w->heap[i];
        w->heap[i] = w->heap[k];
        w->heap[k] = swap;
    }
    return top;
}

static enum sae_status merge_all(struct work *w, struct sae_err *err)
{
    for (size_t i = 0; i < w->n; i++)
        SAE_TRY(push(w, i, err));
    while (w->n_heap > 0) {
        const struct waiting it = pop(w);
        struct symbol *const left = &w->symbols[it.at];
        if (left->id != it.left || left->after == SIZE_MAX ||
            w->symbols[left->after].id != it.right)
            continue; /* one of them has been merged meanwhile */
        struct symbol *const right = &w->symbols[left->after];
        left->id = w->b->merges[it.merge].result;
        right->id = NONE;
        left->after = right->after;
        if (right->after != SIZE_MAX)
            w->symbols[right->after].before = it.at;
        SAE_TRY(push(w, it.at, err));
        if (left->before != SIZE_MAX)
            SAE_TRY(push(w, left->before, err));
    }
    return SAE_OK;
}

static enum sae_status add_symbol(struct work *w, uint32_t id, struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&w->symbols, &w->cap, w->n + 1, sizeof *w->symbols, err));
    w->symbols[w->n] = (struct symbol){id, w->n > 0 ? w->n - 1 : SIZE_MAX, SIZE_MAX};
    if (w->n > 0)
        w->symbols[w->n - 1].after = w->n;
    w->n++;
    return SAE_OK;
}

static size_t letter_len(const char *s, size_t n)
{
    size_t len = 1;
    while (len < n && ((unsigned char)s[len] & 0xc0U) == 0x80)
        len++;
    return len;
}

/* A letter, its bytes, or the unknown piece, of which neighbours may become one. */
static enum sae_status add_letter(struct work *w, const char *s, size_t n, bool *was_unk,
                                  struct sae_err *err)
{
    const struct bpe *const b = w->b;
    const uint32_t id = find_piece(b, s, n);
    if (id != NONE) {
        *was_unk = false;
        return add_symbol(w, id, err);
    }
    if (b->fallback) {
        *was_unk = false;
        for (size_t i = 0; i < n; i++)
            SAE_TRY(add_symbol(w, b->byte[(unsigned char)s[i]], err));
        return SAE_OK;
    }
    if (*was_unk && b->fuse_unk)
        return SAE_OK;
    *was_unk = true;
    return add_symbol(w, b->unk, err);
}

static enum sae_status encode_word(struct work *w, const char *word, size_t n,
                                   struct sae_tok_ids *ids, struct sae_err *err)
{
    const struct bpe *const b = w->b;
    const uint32_t whole = b->whole_first ? find_piece(b, word, n) : NONE;
    bool was_unk = false;
    w->n = w->n_heap = 0;
    if (whole != NONE)
        SAE_TRY(add_symbol(w, whole, err));
    for (size_t i = 0, len; i < n && whole == NONE; i += len) {
        len = b->bytes ? 1 : letter_len(word + i, n - i);
        if (b->bytes && b->byte[(unsigned char)word[i]] == NONE)
            continue; /* left out, as there: SmolLM2 has no piece for some control characters */
        SAE_TRY(b->bytes ? add_symbol(w, b->byte[(unsigned char)word[i]], err)
                         : add_letter(w, word + i, len, &was_unk, err));
    }
    SAE_TRY(merge_all(w, err));
    SAE_TRY(sae_mem_grow(&ids->v, &ids->cap, ids->n + w->n, sizeof *ids->v, err));
    for (size_t i = 0; i < w->n; i = w->symbols[i].after)
        ids->v[ids->n++] = w->symbols[i].id;
    return SAE_OK;
}

/* --- 4. texts ------------------------------------------------------------------------------- */

/* The longest added token that begins at s. */
static const struct added *added_at(const struct bpe *b, bool normalised, const char *s, size_t n)
{
    const struct added *best = NULL;
    for (size_t i = b->first[normalised][(unsigned char)*s]; i != SIZE_MAX; i = b->added[i].next) {
        const struct added *const a = &b->added[i];
        if (a->len <= n && (!best || a->len > best->len) && memcmp(a->text, s, a->len) == 0)
            best = a;
    }
    return best;
}

static enum sae_status add_id(struct sae_tok_ids *ids, uint32_t id, struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&ids->v, &ids->cap, ids->n + 1, sizeof *ids->v, err));
    ids->v[ids->n++] = id;
    return SAE_OK;
}

/* Normalised text without added tokens. */
static enum sae_status encode_plain(struct work *w, const char *s, size_t n, bool is_first,
                                    struct sae_tok_ids *ids, struct sae_err *err)
{
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    if (n == 0)
        return SAE_OK;
    SAE_GO(st, sae_str_append(&text, s, n, err));
    SAE_GO(st, sae_tok_steps_cut(w->b->steps, &text, is_first, &w->words, err));
    for (size_t i = 0, from = 0; i < w->words.n; from = w->words.ends[i++])
        SAE_GO(st, encode_word(w, text.s + from, w->words.ends[i] - from, ids, err));
done:
    sae_str_clear(&text);
    return st;
}

/* Between two added tokens of the raw text: normalised, then cut at those of normalised text. */
static enum sae_status encode_between(struct work *w, const char *s, size_t n, bool is_first,
                                      struct sae_tok_ids *ids, struct sae_err *err)
{
    size_t from = 0, at = 0;
    w->text.len = 0;
    if (n == 0)
        return SAE_OK;
    SAE_TRY(sae_str_append(&w->text, s, n, err));
    SAE_TRY(sae_tok_steps_normalise(w->b->steps, &w->text, err));
    while (at < w->text.len) {
        const struct added *const a = added_at(w->b, true, w->text.s + at, w->text.len - at);
        if (!a) {
            at++;
            continue;
        }
        SAE_TRY(encode_plain(w, w->text.s + from, at - from, is_first && from == 0, ids, err));
        SAE_TRY(add_id(ids, a->id, err));
        from = at += a->len;
    }
    return encode_plain(w, w->text.s + from, at - from, is_first && from == 0, ids, err);
}

static enum sae_status encode(const void *tok, const char *text, size_t len,
                              struct sae_tok_ids *ids, struct sae_err *err)
{
    struct work w = {.b = tok};
    enum sae_status st = SAE_OK;
    size_t from = 0, at = 0;
    while (at < len) {
        const struct added *const a = added_at(w.b, false, text + at, len - at);
        if (!a) {
            at++;
            continue;
        }
        SAE_GO(st, encode_between(&w, text + from, at - from, from == 0, ids, err));
        SAE_GO(st, add_id(ids, a->id, err));
        from = at += a->len;
    }
    st = encode_between(&w, text + from, at - from, from == 0, ids, err);
done:
    free(w.symbols);
    free(w.heap);
    free(w.words.ends);
    sae_str_clear(&w.text);
    return st;
}

/* --- 5. pieces ------------------------------------------------------------------------------ */

static size_t size(const void *tok)
{
    return ((const struct bpe *)tok)->n;
}

static long special(const void *tok, enum sae_tok_special which)
{
    const struct bpe *const b = tok;
    return which == SAE_TOK_UNK && b->unk != NONE ? (long)b->unk : -1;
}

static bool is_control(const void *tok, uint32_t id)
{
    return ((const struct bpe *)tok)->control[id];
}

static enum sae_status piece(const void *tok, uint32_t id, struct sae_str *text,
                             struct sae_err *err)
{
    static const char mark[] = "\xe2\x96\x81"; /* U+2581 stands for a space */
    const struct bpe *const b = tok;
    const char *const s = b->piece[id];
    const size_t n = b->len[id];
    if (!s)
        return SAE_OK;
    for (unsigned i = 0; i < 256 && b->fallback; i++)
        if (b->byte[i] == id) {
            const char byte = (char)i;
            return sae_str_append(text, &byte, 1, err);
        }
    for (size_t i = 0; i < n;) {
        const bool space =
            !b->bytes && !b->control[id] && n - i >= 3 && memcmp(s + i, mark, 3) == 0;
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
