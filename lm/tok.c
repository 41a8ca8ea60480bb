/* SPDX-License-Identifier: MIT */
/* tok : text to token ids and ids to pieces of text.
 * SentencePiece slows down with the length of its input, so long texts go in chunks, cut where
 * the result is the same as of the whole: before a newline that follows no newline, and, in long
 * lines, before a space that follows no space, where no piece of the vocabulary reaches across. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lm/family.h"
#include "lm/gguf.h"
#include "lm/lm.h"
#include "lm/tok.h"

enum {
    CHUNK = 4096,         /* bytes after which the next safe cut is taken */
    CHUNK_LINE = 1 << 16, /* bytes of one line after which a cut at a space is taken */
    CHUNK_MAX = 1 << 20,  /* bytes of one line after which any cut is taken */
    PART = 1 << 16        /* bytes of a text that a tokenizer.json is given at once */
};

struct sae_tok {
    const struct sae_tok_kind *kind;
    void *state; /* the kind's */
    char *path;
    size_t n;
    char *text;           /* all pieces, each NUL-terminated */
    size_t *at;           /* [n] where a piece begins in text */
    bool cuts_are_safe;   /* no piece holds a newline beside other characters */
    bool spaces_are_safe; /* no piece holds a space after another character */
};

/* --- pieces --------------------------------------------------------------------------------- */

static bool mixes_newline(const char *piece, size_t len)
{
    size_t newlines = 0;
    for (size_t i = 0; i < len; i++)
        newlines += piece[i] == '\n';
    return newlines != 0 && newlines != len;
}

static bool ends_word(const char *piece, size_t len)
{
    for (size_t i = 1; i < len; i++)
        if (piece[i] == ' ' && piece[i - 1] != ' ')
            return true;
    return false;
}

static enum sae_status read_pieces(struct sae_tok *tok, struct sae_err *err)
{
    struct sae_str all = {0};
    enum sae_status st = SAE_OK;
    SAE_TRY(sae_mem_alloc(&tok->at, tok->n, sizeof *tok->at, err));
    tok->cuts_are_safe = tok->spaces_are_safe = tok->kind->is_plain;
    for (size_t i = 0; i < tok->n && st == SAE_OK; i++) {
        const size_t at = tok->at[i] = all.len;
        st = tok->kind->piece(tok->state, (uint32_t)i, &all, err);
        if (st == SAE_OK && mixes_newline(all.s + at, all.len - at))
            tok->cuts_are_safe = false;
        if (st == SAE_OK && ends_word(all.s + at, all.len - at))
            tok->spaces_are_safe = false;
        if (st == SAE_OK)
            st = sae_str_append(&all, "", 1, err);
    }
    tok->text = all.s;
    return st;
}

/* --- encoding ------------------------------------------------------------------------------- */

/* Where a line too long for one chunk is cut: at its last run of spaces, else at a code point. */
static size_t cut_line(const char *text, size_t len)
{
    for (size_t i = len - 1; i > len / 2; i--)
        if (text[i] == ' ' && text[i - 1] != ' ')
            return i;
    size_t i = len;
    while (i > 1 && ((unsigned char)text[i] & 0xc0U) == 0x80)
        i--;
    return i;
}

/* The first `mark` in text[from, to) that follows another character; `to` where there is none. A
 * U+2581 that the text itself has counts as a space, and its last byte is 0x81. */
static size_t find_cut(const char *text, size_t from, size_t to, char mark)
{
    for (size_t i = from; i < to; i++) {
        const char *at = memchr(text + i, mark, to - i);
        if (at == NULL)
            return to;
        i = (size_t)(at - text);
        if (text[i - 1] != mark && (mark != ' ' || text[i - 1] != '\x81'))
            return i;
    }
    return to;
}

/* Length of the next chunk. */
static size_t next_cut(const struct sae_tok *tok, const char *text, size_t len)
{
    if (len <= CHUNK || !tok->cuts_are_safe)
        return len;
    const size_t line = len < CHUNK_LINE ? len : CHUNK_LINE,
                 max = len < CHUNK_MAX ? len : CHUNK_MAX;
    size_t cut = find_cut(text, CHUNK, line, '\n');
    if (cut < line)
        return cut;
    cut = tok->spaces_are_safe ? find_cut(text, CHUNK, line, ' ') : line;
    if (cut < line)
        return cut;
    cut = find_cut(text, line, max, '\n');
    return cut < max || len <= CHUNK_MAX ? cut : cut_line(text, CHUNK_MAX);
}

/* The next chunk or part of text[*at, len). */
static enum sae_status encode_next(const struct sae_tok *tok, const char *text, size_t len,
                                   bool goes_on, struct sae_tok_place *place, size_t *at,
                                   size_t *part, struct sae_tok_ids *ids, struct sae_err *err)
{
    const size_t left = len - *at;
    size_t step = left, used = 0;
    if (tok->kind->is_plain)
        step = next_cut(tok, text + *at, left);
    else if (left > *part)
        step = sae_utf8_cut(text + *at, *part);
    place->goes_on = goes_on || step < left;
    SAE_TRY(tok->kind->encode(tok->state, text + *at, step, place, ids, &used, err));
    *at += used;
    *part = used > 0 ? PART : 2 * *part;
    return SAE_OK;
}

/* Chunks are encoded until there are `max` tokens; *at is where the last one ends. */
static enum sae_status encode_valid(const struct sae_tok *tok, const char *text, size_t len,
                                    bool goes_on, size_t max, struct sae_tok_place *place,
                                    struct sae_tok_ids *ids, size_t *at, struct sae_err *err)
{
    size_t part = PART;
    SAE_TRY(sae_mem_grow(&ids->v, &ids->cap, 1, sizeof *ids->v, err));
    while (*at < len && ids->n < max) {
        const size_t before = *at;
        const bool all = part >= len - *at;
        SAE_TRY(encode_next(tok, text, len, goes_on, place, at, &part, ids, err));
        if (*at == before && all)
            break; /* of all that is left nothing is sure */
    }
    return SAE_OK;
}

/* text, or a copy with U+FFFD in `repaired` where it is not valid. */
static enum sae_status repair(const char **text, size_t *len, struct sae_str *repaired,
                              struct sae_err *err)
{
    uint64_t n_replaced = 0;
    if (sae_utf8_is_valid(*text, *len))
        return SAE_OK;
    SAE_TRY(sae_utf8_append(repaired, *text, *len, &n_replaced, err));
    *text = repaired->s;
    *len = repaired->len;
    return SAE_OK;
}

enum sae_status sae_tok_encode_first(const struct sae_tok *tok, const char *text, size_t len,
                                     size_t max, uint32_t **ret, size_t *ret_n, bool *ret_all,
                                     struct sae_err *err)
{
    size_t used = 0;
    struct sae_str repaired = {0};
    struct sae_tok_place place = {.is_first = true};
    struct sae_tok_ids ids = {0};
    enum sae_status st = SAE_OK;
    SAE_GO(st, repair(&text, &len, &repaired, err));
    SAE_GO(st, encode_valid(tok, text, len, false, max, &place, &ids, &used, err));
    *ret_all = used == len && ids.n <= max;
    *ret_n = ids.n < max ? ids.n : max;
    *ret = ids.v;
    ids.v = NULL;
done:
    free(ids.v);
    sae_str_clear(&repaired);
    return st;
}

enum sae_status sae_tok_encode(const struct sae_tok *tok, const char *text, size_t len,
                               uint32_t **ret, size_t *ret_n, struct sae_err *err)
{
    bool all;
    return sae_tok_encode_first(tok, text, len, SIZE_MAX, ret, ret_n, &all, err);
}

void sae_tok_rest_clear(struct sae_tok_rest *rest)
{
    sae_str_clear(&rest->text);
    *rest = (struct sae_tok_rest){0};
}

enum sae_status sae_tok_encode_part(const struct sae_tok *tok, struct sae_tok_rest *rest,
                                    const char *text, size_t len, bool ends, uint32_t **ret,
                                    size_t *ret_n, struct sae_err *err)
{
    struct sae_str repaired = {0};
    struct sae_tok_place place = {.is_first = !rest->began, .continues = rest->continues};
    struct sae_tok_ids ids = {0};
    size_t used = 0;
    enum sae_status st = SAE_OK;
    SAE_GO(st, repair(&text, &len, &repaired, err));
    SAE_GO(st, sae_str_append(&rest->text, text, len, err));
    if (ends || rest->text.len >= rest->wait)
        SAE_GO(st, encode_valid(tok, rest->text.s, rest->text.len, !ends, SIZE_MAX, &place, &ids,
                                &used, err));
    rest->text.len -= used;
    memmove(rest->text.s, rest->text.s + used, rest->text.len);
    /* Text of which nothing is sure is looked at again when it is twice as long. */
    rest->wait = ends || used > 0 ? 0 : 2 * rest->text.len;
    rest->began = !ends && !place.is_first;
    rest->continues = !ends && place.continues;
    *ret = ids.v;
    *ret_n = ids.n;
    ids.v = NULL;
done:
    free(ids.v);
    sae_str_clear(&repaired);
    return st;
}

/* --- checks after loading ------------------------------------------------------------------- */

static enum sae_status check_ids(const struct sae_tok *tok, const struct sae_lm_config *config,
                                 struct sae_err *err)
{
    if (tok->n > config->V)
        return sae_err_set(err, SAE_EFORMAT, "%zu pieces, but 'vocab_size' of config.json is %zu",
                           tok->n, config->V);
    const long bos = tok->kind->special(tok->state, SAE_TOK_BOS);
    if (bos >= 0 && (uint32_t)bos != config->bos)
        return sae_err_set(err, SAE_EFORMAT, "bos id %ld, but config.json says %lu", bos,
                           (unsigned long)config->bos);
    if (tok->kind->is_plain && tok->kind->special(tok->state, SAE_TOK_UNK) < 0)
        return sae_err_set(err, SAE_EFORMAT, "no unknown piece");
    return SAE_OK;
}

/* Whether the pieces of `text` joined are the text again: no added prefix, no lost space. */
static enum sae_status check_round_trip(const struct sae_tok *tok, const char *text, size_t len,
                                        struct sae_err *err)
{
    uint32_t *ids = NULL;
    size_t n = 0, at = 0;
    SAE_TRY(sae_tok_encode(tok, text, len, &ids, &n, err));
    bool same = true;
    for (size_t i = 0; i < n && same; i++) {
        const char *piece = sae_tok_piece(tok, ids[i]);
        size_t m = strlen(piece);
        if (m == 0)
            m = 1; /* the byte piece of NUL */
        same = m <= len - at && memcmp(text + at, piece, m) == 0;
        at += m;
    }
    free(ids);
    if (same && at == len)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "%zu bytes of plain text do not come back from their pieces; expected a "
                       "model without prefix space, whitespace removal and normalisation",
                       len);
}

static enum sae_status check_sanity(const struct sae_tok *tok, const struct sae_lm_config *config,
                                    struct sae_err *err)
{
    static const char sentence[] = " The quick  brown fox, 1234 times\n\n\tover the lazy dog. ";
    SAE_TRY(check_ids(tok, config, err));
    for (size_t n = 0; tok->kind->is_plain && n < sizeof sentence; n += sizeof sentence - 1)
        SAE_TRY(check_round_trip(tok, sentence, n, err));
    char bytes[256]; /* every byte value; ids out of range are refused by the encoder */
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    uint32_t *ids = NULL;
    size_t n = 0;
    SAE_TRY(sae_tok_encode(tok, bytes, sizeof bytes, &ids, &n, err));
    free(ids);
    return SAE_OK;
}

/* --- opening -------------------------------------------------------------------------------- */

/* Gemma's tokenizer.model is read where it is there; of other families' folders, whose
 * SentencePiece models put a space before the text, tokenizer.json. */
static enum sae_status choose_kind(const struct sae_tok_kind **kind, char **path,
                                   const char *folder, const struct sae_lm_config *config,
                                   struct sae_err *err)
{
    if (sae_lm_is_gguf(folder)) {
        *kind = &sae_tok_gguf;
        return sae_mem_strdup(path, folder, err);
    }
    const bool plain = config->family == NULL || config->family->is_sentencepiece;
    const struct sae_tok_kind *const kinds[2] = {plain ? &sae_tok_spm : &sae_tok_bpe,
                                                 plain ? &sae_tok_bpe : &sae_tok_spm};
    for (size_t i = 0; i < 2; i++) {
        *kind = kinds[i];
        SAE_TRY(sae_fs_join(path, folder, kinds[i]->file, err));
        if (sae_fs_is_file(*path))
            return SAE_OK;
        free(*path);
        *path = NULL;
    }
    return sae_err_set(err, SAE_EIO,
                       "'%s' has neither tokenizer.model nor tokenizer.json; copy it from the "
                       "folder of the model it was made from, or, as for Gemma-2: hf download "
                       "google/gemma-2-2b tokenizer.model --local-dir %s",
                       folder, sae_str_shell(folder).s);
}

enum sae_status sae_tok_find(char **ret, const char *folder, const struct sae_lm_config *config,
                             struct sae_err *err)
{
    const struct sae_tok_kind *kind;
    char *path = NULL;
    SAE_TRY(choose_kind(&kind, &path, folder, config, err));
    *ret = path;
    return SAE_OK;
}

enum sae_status sae_tok_open(struct sae_tok **ret, const char *folder,
                             const struct sae_lm_config *config, struct sae_err *err)
{
    struct sae_tok *tok = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&tok, 1, sizeof *tok, err));
    SAE_GO(st, choose_kind(&tok->kind, &tok->path, folder, config, err));
    SAE_GO(st, tok->kind->open(&tok->state, tok->path, err));
    tok->n = tok->kind->size(tok->state);
    st = tok->n > 0 ? read_pieces(tok, err) : sae_err_set(err, SAE_EFORMAT, "it holds no pieces");
    if (st == SAE_OK)
        st = check_sanity(tok, config, err);
    if (st != SAE_OK)
        (void)sae_err_prefix(err, "'%s'", tok->path);
    else
        *ret = tok;
done:
    if (st != SAE_OK)
        sae_tok_close(tok);
    return st;
}

void sae_tok_close(struct sae_tok *tok)
{
    if (tok == NULL)
        return;
    tok->kind->close(tok->state);
    free(tok->path);
    free(tok->text);
    free(tok->at);
    free(tok);
}

void sae_tok_set_specials(const struct sae_tok *tok, struct sae_lm_config *config)
{
    const long eos = tok->kind->special(tok->state, SAE_TOK_EOS),
               pad = tok->kind->special(tok->state, SAE_TOK_PAD);
    if (eos >= 0)
        config->eos = (uint32_t)eos;
    if (pad >= 0)
        config->pad = (uint32_t)pad;
}

const char *sae_tok_path(const struct sae_tok *tok)
{
    return tok->path;
}

size_t sae_tok_size(const struct sae_tok *tok)
{
    return tok->n;
}

const char *sae_tok_piece(const struct sae_tok *tok, uint32_t id)
{
    return id < tok->n ? tok->text + tok->at[id] : NULL;
}

bool sae_tok_is_control(const struct sae_tok *tok, uint32_t id)
{
    return id < tok->n && tok->kind->is_control(tok->state, id);
}
