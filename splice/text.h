/* SPDX-License-Identifier: MIT */
/* text : evaluation text as contexts of token ids, read and packed by the rules of the store that
 * the checkpoint was trained on (docs/math-core.md, "Token stream"). */
#ifndef SAE_SPLICE_TEXT_H
#define SAE_SPLICE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/text/pack.h"
#include "lm/lm.h"

struct splice_text_settings {
    char *const *files; /* text, .jsonl or .ndjson, plain, .gz or .zst */
    size_t n_files;
    const char *field; /* of rows: JSON lines, tables, Parquet */
    const char *split; /* of plain text: "none", "blank", "line" */
    uint64_t skip;     /* documents passed over: those the store was made from */
    bool skip_asked;   /* then a text that ends before is refused, its tail not taken instead */
    size_t n_contexts, context;
    size_t n_vocab; /* of the model: texts may be given as token ids below it */
};

struct splice_text {
    uint32_t *ids; /* [n][context] */
    size_t n, context;
    uint64_t first_document, last_document; /* from 0, of the whole text */
    bool is_tail; /* nothing was left after skip: the last contexts of the text, perhaps trained on
                   */
};

/* Fails: SAE_EIO, SAE_EFORMAT (file and line are named); SAE_EARG less text than one context */
SAE_MUST_CHECK enum sae_status splice_text_load(struct splice_text *ret,
                                                const struct splice_text_settings *settings,
                                                const struct sae_tok *tok, uint32_t bos,
                                                struct sae_err *err);
void splice_text_clear(struct splice_text *text);

/* --- within splice/, and for tests ---------------------------------------------------------- */

/* Packs documents into contexts, keeping the last `cap` of them. */
struct splice_pack {
    struct sae_pack open;   /* the context being filled */
    size_t cap, n_total;    /* contexts kept at most; contexts closed */
    uint32_t *ring;         /* [cap][context] */
    uint32_t *first, *last; /* [cap] documents a context begins and ends with */
};
SAE_MUST_CHECK enum sae_status splice_pack_init(struct splice_pack *ret, size_t context, size_t cap,
                                                uint32_t bos, struct sae_err *err);
/* A document's ids; stops adding once stop_at contexts are closed (SIZE_MAX: never). */
void splice_pack_add(struct splice_pack *pack, const uint32_t *ids, size_t n, bool begins, uint32_t document,
                     size_t stop_at);
void splice_pack_clear(struct splice_pack *pack);

#endif /* SAE_SPLICE_TEXT_H */
