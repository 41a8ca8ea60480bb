/* SPDX-License-Identifier: MIT */
/* partial : how far an interrupted checkpoint came, in ckpt_50.absorb.part.json until it is
 * finished. */
#ifndef SAE_ABSORB_PARTIAL_H
#define SAE_ABSORB_PARTIAL_H

#include <stdbool.h>

#include "absorb/absorb.h"
#include "lib/base/digest.h"

/* A checkpoint on its way. */
struct absorb_partial {
    const char *path; /* NULL: nothing is written */
    char key[SAE_DIGEST_HEX];
    size_t max_k;                                  /* columns of ranking in use */
    bool ranked;                                   /* the L1 probe is done */
    uint32_t ranking[ABSORB_LETTERS][ABSORB_MAX_K]; /* its latents, best first */
    bool done[ABSORB_LETTERS];
    struct absorb_split split[ABSORB_LETTERS];
    double saved; /* when it was written last */
};
/* What it belongs to: checkpoint, word set, settings, version. */
void absorb_partial_key(char key[SAE_DIGEST_HEX], const struct sae_ckpt *ckpt,
                     const struct sae_words *words, const struct absorb_settings *settings);
/* Takes over what lies at partial->path and fits; *ret_n: letters. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status absorb_partial_load(struct absorb_partial *partial, size_t *ret_n,
                                                struct sae_err *err);
SAE_MUST_CHECK enum sae_status absorb_partial_save(struct absorb_partial *partial, struct sae_err *err);

#endif /* SAE_ABSORB_PARTIAL_H */
