/* SPDX-License-Identifier: MIT */
/* tok : one kind of tokenizer behind lm.h's sae_tok. A kind is one file and one row in tok.c. */
#ifndef SAE_LM_TOK_H
#define SAE_LM_TOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lm/tok_steps.h"

enum sae_tok_special { SAE_TOK_BOS, SAE_TOK_EOS, SAE_TOK_PAD, SAE_TOK_UNK };

struct sae_tok_ids {
    uint32_t *v;
    size_t n, cap;
};

struct sae_tok_kind {
    const char *file; /* of the model's folder */
    /* Fails: SAE_EIO, SAE_EFORMAT, SAE_ENOMEM */
    enum sae_status (*open)(void **ret, const char *path, struct sae_err *err);
    void (*close)(void *tok); /* accepts NULL */
    size_t (*size)(const void *tok);
    long (*special)(const void *tok, enum sae_tok_special which); /* -1: none is known */
    /* Appends the ids of valid UTF-8, thread-safe. place: where in its text it lies, and then where
     * what follows text[0, *used) lies. Of a text that goes on, those of its first *used bytes,
     * which whatever follows cannot change; 0 where that is none. */
    enum sae_status (*encode)(const void *tok, const char *text, size_t len,
                              struct sae_tok_place *place, struct sae_tok_ids *ids, size_t *used,
                              struct sae_err *err);
    /* Appends what a piece stands for: a space for a mark of one, bytes, the names of control
     * pieces. */
    enum sae_status (*piece)(const void *tok, uint32_t id, struct sae_str *text,
                             struct sae_err *err);
    bool (*is_control)(const void *tok, uint32_t id);
    bool is_plain; /* pieces of plain text joined are the text, else the file is refused; long texts
                      are encoded in parts where that gives the same */
};

/* Appends the ids of a whole text. Fails: as encode */
SAE_MUST_CHECK static inline enum sae_status sae_tok_encode_all(const struct sae_tok_kind *kind,
                                                                const void *tok, const char *text,
                                                                size_t len, struct sae_tok_ids *ids,
                                                                struct sae_err *err)
{
    struct sae_tok_place place = {.is_first = true};
    size_t used;
    return kind->encode(tok, text, len, &place, ids, &used, err);
}

/* gguf: as bpe, of a model's GGUF file; it is the path itself. */
extern const struct sae_tok_kind sae_tok_spm, sae_tok_bpe, sae_tok_gguf;

#endif /* SAE_LM_TOK_H */
