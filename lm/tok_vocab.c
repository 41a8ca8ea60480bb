/* SPDX-License-Identifier: MIT */
/* tok_vocab : reads a vocabulary and its merges.
 *
 * Contents:  1. tables   2. pieces   3. merges   4. the model */
#include "lm/tok_vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lm/gguf.h"
#include "lm/tok_vocab_inner.h"

enum { VOCABULARY_MAX = 1 << 24 };

/* --- 1. tables ------------------------------------------------------------------------------ */

static size_t hash_bytes(const char *s, size_t n)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3U;
    return (size_t)(h ^ h >> 29);
}

/* A power of two, at least 2 n. */
static size_t table_size(size_t n)
{
    size_t size = 16;
    while (size < 2 * n)
        size *= 2;
    return size;
}

static enum sae_status open_table(struct sae_tok_table *t, size_t n, struct sae_err *err)
{
    const size_t size = table_size(n);
    SAE_TRY(sae_mem_alloc(&t->at, size, sizeof *t->at, err));
    memset(t->at, 0xff, size * sizeof *t->at);
    t->mask = size - 1;
    return SAE_OK;
}

/* The slot of a piece, or the free one where it would be. */
static size_t piece_slot(const struct sae_tok_vocab *v, const char *s, size_t n)
{
    size_t i = hash_bytes(s, n) & v->pieces.mask;
    for (; v->pieces.at[i] != SAE_TOK_NONE; i = (i + 1) & v->pieces.mask) {
        const uint32_t id = v->pieces.at[i];
        if (v->len[id] == n && memcmp(v->piece[id], s, n) == 0)
            break;
    }
    return i;
}

uint32_t sae_tok_vocab_find(const struct sae_tok_vocab *v, const char *s, size_t n)
{
    return v->pieces.at[piece_slot(v, s, n)];
}

/* --- 2. pieces ------------------------------------------------------------------------------ */

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

enum sae_status sae_tok_vocab_set(struct sae_tok_vocab *v, json_int_t id, const char *text,
                                  struct sae_err *err)
{
    if (id < 0 || id >= (json_int_t)v->n || (v->piece[id] && strcmp(v->piece[id], text) != 0))
        return sae_err_set(err, SAE_EFORMAT, "id %lld of '%.60s' is out of range or given twice",
                           (long long)id, text);
    if (v->piece[id])
        return SAE_OK;
    v->len[id] = strlen(text);
    v->most = v->len[id] > v->most ? v->len[id] : v->most;
    return sae_mem_strdup(&v->piece[id], text, err);
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

static enum sae_status read_vocabulary(struct sae_tok_vocab *v, const json_t *vocabulary,
                                       const json_t *added, struct sae_err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(vocabulary) || json_object_size(vocabulary) == 0)
        return sae_err_set(err, SAE_EFORMAT, "no 'model.vocab'");
    v->n = count_ids(vocabulary, added);
    SAE_TRY(sae_mem_alloc(&v->piece, v->n, sizeof *v->piece, err));
    SAE_TRY(sae_mem_alloc(&v->len, v->n, sizeof *v->len, err));
    SAE_TRY(sae_mem_alloc(&v->control, v->n, sizeof *v->control, err));
    SAE_TRY(open_table(&v->pieces, v->n, err));
    json_object_foreach((json_t *)(uintptr_t)vocabulary, key, value)
    {
        SAE_TRY(sae_tok_vocab_set(v, json_is_integer(value) ? json_integer_value(value) : -1, key,
                                  err));
    }
    for (size_t id = 0; id < v->n; id++) {
        if (!v->piece[id])
            continue;
        const bool spelt = !v->bytes || letters_to_bytes(v->piece[id], &v->len[id]);
        const size_t slot = piece_slot(v, v->piece[id], v->len[id]);
        if (spelt || v->pieces.at[slot] == SAE_TOK_NONE) /* no text is spelt like an added token */
            v->pieces.at[slot] = (uint32_t)id;
    }
    return SAE_OK;
}

/* --- 3. merges ------------------------------------------------------------------------------ */

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

/* Where two letters lie in v->meet. */
static void note_meeting(struct sae_tok_vocab *v, const char *left, size_t n_left,
                         const char *right, size_t n_right)
{
    size_t last = n_left - 1;
    while (!v->bytes && last > 0 && ((unsigned char)left[last] & 0xc0U) == 0x80)
        last--;
    const size_t at =
        sae_tok_meet_at(v, sae_tok_letter_at(left + last, n_left - last),
                        sae_tok_letter_at(right, sae_tok_letter_len(v, right, n_right)));
    v->meet[at / 64] |= (uint64_t)1 << (at % 64);
}

/* A symbol that is no letter: what it meets is not known from its text. */
static bool is_nameless(const struct sae_tok_vocab *v, uint32_t id)
{
    bool found = id == v->unk;
    for (size_t i = 0; i < 256 && !v->bytes; i++)
        found |= id == v->byte[i];
    return found;
}

static enum sae_status read_merge(struct sae_tok_vocab *v, size_t rank, const json_t *value,
                                  struct sae_str *scratch, struct sae_err *err)
{
    char *part[2], both[4096];
    size_t n[2] = {0, 0};
    if (!split_merge(value, &part[0], &part[1], scratch))
        return sae_err_set(err, SAE_EFORMAT, "'model.merges' %zu is no pair", rank);
    for (size_t i = 0; i < 2; i++) {
        n[i] = strlen(part[i]);
        if (v->bytes)
            (void)letters_to_bytes(part[i], &n[i]);
    }
    if (n[0] + n[1] > sizeof both || n[0] == 0 || n[1] == 0)
        return sae_err_set(err, SAE_EFORMAT, "'model.merges' %zu has %zu bytes", rank, n[0] + n[1]);
    memcpy(both, part[0], n[0]);
    memcpy(both + n[0], part[1], n[1]);
    const json_t *const own = json_array_get(value, 2); /* gguf.h */
    const struct sae_tok_pair found = {sae_tok_vocab_find(v, part[0], n[0]),
                                       sae_tok_vocab_find(v, part[1], n[1]),
                                       (uint32_t)(own ? json_integer_value(own) : (json_int_t)rank),
                                       sae_tok_vocab_find(v, both, n[0] + n[1])};
    if (found.left == SAE_TOK_NONE || found.right == SAE_TOK_NONE || found.result == SAE_TOK_NONE)
        return sae_err_set(err, SAE_EFORMAT, "'model.merges' %zu is of pieces not in 'model.vocab'",
                           rank);
    *sae_tok_pair_at(v, found.left, found.right) = found; /* the last of equal ones, as there */
    note_meeting(v, part[0], n[0], part[1], n[1]);
    v->meets_all |= is_nameless(v, found.left) || is_nameless(v, found.right);
    return SAE_OK;
}

static enum sae_status read_merges(struct sae_tok_vocab *v, const json_t *merges,
                                   struct sae_err *err)
{
    struct sae_str scratch = {0};
    enum sae_status st = SAE_OK;
    size_t i;
    json_t *value;
    if (!json_is_array(merges))
        return sae_err_set(err, SAE_EFORMAT, "no 'model.merges'");
    const size_t size = table_size(json_array_size(merges)),
                 bits = v->bytes ? (size_t)1 << 16 : 8 * size;
    SAE_TRY(sae_mem_alloc(&v->pairs, size, sizeof *v->pairs, err));
    SAE_TRY(sae_mem_alloc(&v->meet, bits / 64, sizeof *v->meet, err));
    for (size_t slot = 0; slot < size; slot++)
        v->pairs[slot].left = SAE_TOK_NONE;
    v->pairs_mask = size - 1;
    v->meet_mask = bits - 1;
    json_array_foreach(merges, i, value)
    {
        SAE_GO(st, read_merge(v, i, value, &scratch, err));
    }
done:
    sae_str_clear(&scratch);
    return st;
}

/* --- 4. the model --------------------------------------------------------------------------- */

static enum sae_status read_bytes(struct sae_tok_vocab *v, struct sae_err *err)
{
    char name[8];
    for (unsigned i = 0; i < 256; i++) {
        const char raw = (char)i;
        (void)snprintf(name, sizeof name, "<0x%02X>", i);
        v->byte[i] = v->bytes      ? sae_tok_vocab_find(v, &raw, 1)
                     : v->fallback ? sae_tok_vocab_find(v, name, strlen(name))
                                   : SAE_TOK_NONE;
        if (v->byte[i] == SAE_TOK_NONE && (v->bytes ? v->unk != SAE_TOK_NONE : v->fallback))
            return sae_err_set(err, SAE_EFORMAT, "byte %u has no piece", i);
    }
    return SAE_OK;
}

enum sae_status sae_tok_vocab_read(struct sae_tok_vocab *v, const json_t *root, bool bytes,
                                   struct sae_err *err)
{
    const json_t *const model = json_object_get(root, "model");
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
    const char *const type = json_string_value(json_object_get(model, "type")),
                      *const unk = json_string_value(json_object_get(model, "unk_token"));
    if (type ? strcmp(type, "BPE") != 0 : !json_object_get(model, "merges"))
        return sae_err_set(err, SAE_EFORMAT,
                           "'model.type' is %.40s, expected BPE",
                           type ? type : "nothing");
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        const json_t *const value = json_object_get(model, off[i]);
        const bool none = !value || json_is_null(value) ||
                          (json_is_string(value) && json_string_length(value) == 0) ||
                          (json_is_number(value) && json_number_value(value) == 0);
        if (!none)
            return sae_err_set(err, SAE_EFORMAT, "'model.%s' is not computed here", off[i]);
    }
    v->bytes = bytes;
    v->fallback = json_is_true(json_object_get(model, "byte_fallback"));
    v->fuse_unk = json_is_true(json_object_get(model, "fuse_unk"));
    v->whole_first = json_is_true(json_object_get(model, "ignore_merges"));
    SAE_TRY(read_vocabulary(v, json_object_get(model, "vocab"),
                            json_object_get(root, "added_tokens"), err));
    v->unk = unk ? sae_tok_vocab_find(v, unk, strlen(unk)) : SAE_TOK_NONE;
    if (!v->bytes && v->unk == SAE_TOK_NONE && !v->fallback)
        return sae_err_set(err, SAE_EFORMAT, "no piece for what the vocabulary has not");
    SAE_TRY(read_bytes(v, err));
    return read_merges(v, json_object_get(model, "merges"), err);
}

void sae_tok_vocab_close(struct sae_tok_vocab *v)
{
    for (size_t i = 0; i < v->n && v->piece; i++)
        free(v->piece[i]);
    free(v->piece);
    free(v->len);
    free(v->control);
    free(v->pieces.at);
    free(v->pairs);
    free(v->meet);
}
