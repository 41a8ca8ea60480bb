/* SPDX-License-Identifier: MIT */
/* pack : the packing rule; see the header. */
#include "lib/text/pack.h"

#include <assert.h>

#include "lib/base/mem.h"

enum sae_status sae_pack_init(struct sae_pack *pack, size_t T, uint32_t bos, bool separated,
                              uint32_t separator, struct sae_err *err)
{
    assert(T >= 2);
    *pack = (struct sae_pack){.T = T, .bos = bos, .separated = separated, .separator = separator};
    SAE_TRY(sae_mem_alloc(&pack->token, T, sizeof *pack->token, err));
    return sae_mem_alloc(&pack->document, T, sizeof *pack->document, err);
}

void sae_pack_clear(struct sae_pack *pack)
{
    free(pack->token);
    free(pack->document);
    *pack = (struct sae_pack){0};
}

static void push(struct sae_pack *pack, uint32_t id, uint32_t document)
{
    pack->token[pack->n] = id;
    pack->document[pack->n] = document;
    pack->n++;
}

size_t sae_pack_add(struct sae_pack *pack, const uint32_t *ids, size_t n, size_t from, bool begins,
                    uint32_t document)
{
    assert(pack->n < pack->T);
    if (from >= n)
        return from;
    if (pack->n == 0) {
        if (ids[from] != pack->bos)
            push(pack, pack->bos, document);
    } else if (begins && from == 0 && pack->separated && ids[0] != pack->separator) {
        push(pack, pack->separator, document);
    }
    while (from < n && pack->n < pack->T)
        push(pack, ids[from++], document);
    return from;
}
