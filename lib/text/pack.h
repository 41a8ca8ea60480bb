/* SPDX-License-Identifier: MIT */
/* pack : documents into contexts of T tokens, as SAELens packs them ([BOS] doc [BOS] doc ...):
 *
 *   - a new context starts with BOS, unless the next token is BOS already;
 *   - a document that begins inside a part-filled context gets the separator (by SAELens' rule
 *     BOS) before it, unless it begins with that already;
 *   - a document that overflows continues in the next context, after that context's BOS;
 *   - a context counts only when full. */
#ifndef SAE_LIB_TEXT_PACK_H
#define SAE_LIB_TEXT_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct sae_pack {
    size_t T, n; /* context length, tokens in it so far */
    uint32_t bos;
    bool separated;
    uint32_t separator;
    uint32_t *token;    /* [T] */
    uint32_t *document; /* [T] the document each token belongs to */
};

/* T >= 2. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_pack_init(struct sae_pack *pack, size_t T, uint32_t bos,
                                             bool separated, uint32_t separator,
                                             struct sae_err *err);
void sae_pack_clear(struct sae_pack *pack);

/* Puts tokens ids[from ...) of a document into the context until either ends; returns the new
 * `from`. The context must not be full. begins: ids[0] is the first token of the document, not of a
 * later piece of it. */
size_t sae_pack_add(struct sae_pack *pack, const uint32_t *ids, size_t n, size_t from, bool begins,
                    uint32_t document);
static inline bool sae_pack_is_full(const struct sae_pack *pack)
{
    return pack->n == pack->T;
}
static inline void sae_pack_next(struct sae_pack *pack)
{
    pack->n = 0;
}

#endif /* SAE_LIB_TEXT_PACK_H */
