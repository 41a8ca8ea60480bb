/* SPDX-License-Identifier: MIT */
/* tok_spm : SentencePiece's tokenizer.model, as Gemma has it. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lm/spm.h"
#include "lm/tok.h"

#define MODEL_MAX ((size_t)256 << 20) /* bytes of tokenizer.model */
enum { MESSAGE_LEN = 400 };

static enum sae_status open_model(void **ret, const char *path, struct sae_err *err)
{
    char *bytes = NULL, why[MESSAGE_LEN] = "";
    size_t n = 0;
    SAE_TRY(sae_fs_read(&bytes, &n, path, MODEL_MAX, err));
    struct sae_spm *const spm = sae_spm_load(bytes, n, why, sizeof why);
    free(bytes);
    if (spm == NULL)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is not a SentencePiece model: %s", path, why);
    *ret = spm;
    return SAE_OK;
}

static void close_model(void *tok)
{
    sae_spm_close(tok);
}

static size_t size(const void *tok)
{
    return (size_t)sae_spm_size(tok);
}

static long special(const void *tok, enum sae_tok_special which)
{
    switch (which) {
    case SAE_TOK_BOS:
        return sae_spm_bos(tok);
    case SAE_TOK_EOS:
        return sae_spm_eos(tok);
    case SAE_TOK_PAD:
        return sae_spm_pad(tok);
    case SAE_TOK_UNK:
        break;
    }
    return sae_spm_unk(tok);
}

static enum sae_status encode(const void *tok, const char *text, size_t len,
                              struct sae_tok_place *place, struct sae_tok_ids *ids, size_t *used,
                              struct sae_err *err)
{
    int *found = NULL;
    size_t n = 0, cap = 0;
    enum sae_status st = SAE_OK;
    (void)place; /* a model that is read puts nothing in front of a text (tok.c) */
    *used = len;
    if (!sae_spm_encode(tok, text, len, &found, &n, &cap))
        st = sae_err_set(err, SAE_EBACKEND, "SentencePiece cannot encode %zu bytes of text", len);
    if (st == SAE_OK)
        st = sae_mem_grow(&ids->v, &ids->cap, ids->n + n, sizeof *ids->v, err);
    for (size_t i = 0; i < n && st == SAE_OK; i++) {
        if (found[i] < 0 || (size_t)found[i] >= size(tok))
            st = sae_err_set(err, SAE_EFORMAT,
                             "the tokenizer gives id %d, but has %zu pieces; its model is damaged",
                             found[i], size(tok));
        else
            ids->v[ids->n++] = (uint32_t)found[i];
    }
    free(found);
    return st;
}

/* "<0x0A>" */
static char byte_of(const char *piece, size_t len)
{
    char digits[3] = {0};
    if (len == 6)
        memcpy(digits, piece + 3, 2);
    return (char)strtoul(digits, NULL, 16);
}

static bool is_control(const void *tok, uint32_t id)
{
    return sae_spm_is_control(tok, (int)id);
}

/* U+2581, E2 96 81, stands for a space. */
static enum sae_status piece(const void *tok, uint32_t id, struct sae_str *text,
                             struct sae_err *err)
{
    size_t len = 0;
    const char *s = sae_spm_piece(tok, (int)id, &len);
    if (sae_spm_is_byte(tok, (int)id)) {
        const char byte = byte_of(s, len);
        return sae_str_append(text, &byte, 1, err);
    }
    for (size_t i = 0; i < len;) {
        const bool space =
            len - i >= 3 && memcmp(s + i, "\xe2\x96\x81", 3) == 0 && !is_control(tok, id);
        SAE_TRY(sae_str_append(text, space ? " " : s + i, 1, err));
        i += space ? 3 : 1;
    }
    return SAE_OK;
}

const struct sae_tok_kind sae_tok_spm = {
    .file = "tokenizer.model",
    .open = open_model,
    .close = close_model,
    .size = size,
    .special = special,
    .encode = encode,
    .piece = piece,
    .is_control = is_control,
    .is_plain = true,
};
