/* SPDX-License-Identifier: MIT */
/* pack : documents into contexts of T tokens, as SAELens packs them ([BOS] doc [BOS] doc ...):
 *
 *   - a new context starts with BOS, unless the next token is BOS already;
 *   - a document that begins inside a part-filled context gets the separator (BOS) before it,
 *     unless it begins with that already;
 *   - a document that overflows continues in the next context, after that context's BOS;
 *   - a context counts only when full. */
#ifndef SAE_HARVEST_PACK_H
#define SAE_HARVEST_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum harvest_separator { HARVEST_SEPARATE_BOS = 0, HARVEST_SEPARATE_EOS, HARVEST_SEPARATE_NONE };

struct harvest_pack {
    size_t T, n; /* context length, tokens in it so far */
    uint32_t bos;
    bool separated;
    uint32_t separator;
    uint32_t *token;    /* [T] */
    uint32_t *document; /* [T] the document each token belongs to */
};

/* T >= 2. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status harvest_pack_init(struct harvest_pack *pack, size_t T, uint32_t bos,
                                                 bool separated, uint32_t separator,
                                                 struct sae_err *err);
void harvest_pack_clear(struct harvest_pack *pack);

/* Puts tokens ids[from ...) of a document into the context until either ends; returns the new
 * `from`. The context must not be full. */
size_t harvest_pack_add(struct harvest_pack *pack, const uint32_t *ids, size_t n, size_t from,
                        uint32_t document);
static inline bool harvest_pack_is_full(const struct harvest_pack *pack)
{
    return pack->n == pack->T;
}
static inline void harvest_pack_next(struct harvest_pack *pack)
{
    pack->n = 0;
}

#endif /* SAE_HARVEST_PACK_H */
