/* SPDX-License-Identifier: MIT */
/* kept : what sae-absorb need not do twice. The ground-truth probe of a word set is kept beside it
 * (kind "truth"); how far a checkpoint came, in ckpt_50.absorb.part.json until it is finished. */
#ifndef SAE_ABSORB_KEPT_H
#define SAE_ABSORB_KEPT_H

#include <stdbool.h>

#include "absorb/absorb.h"
#include "lib/base/digest.h"

/* words.truth_<8 digits>.h5 beside words.h5; the digits stand for word set, seed and training.
 *   /w f32 [26][d]   /b f32 [26] */
SAE_MUST_CHECK enum sae_status absorb_kept_path(char **ret, const char *words_path,
                                                const struct sae_words *words,
                                                const struct absorb_settings *settings,
                                                struct sae_err *err);
/* *ret_found is false where there is none; one that is damaged counts as none, with a warning.
 * Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status absorb_kept_load(struct absorb_probe *ret, bool *ret_found,
                                                const char *path, const struct sae_words *words,
                                                struct sae_err *err);
SAE_MUST_CHECK enum sae_status absorb_kept_save(const char *path, const struct absorb_probe *probe,
                                                struct sae_err *err);

/* A checkpoint on its way. */
struct absorb_part {
    const char *path; /* NULL: nothing is written */
    char key[SAE_DIGEST_HEX];
    size_t max_k;                                  /* columns of ranking in use */
    bool ranked;                                   /* the L1 probe is done */
    uint32_t ranking[ABSORB_LETTERS][ABSORB_MAX_K]; /* its latents, best first */
    bool done[ABSORB_LETTERS];
    struct absorb_split split[ABSORB_LETTERS];
    double saved; /* when it was written last */
};
/* What a part belongs to: checkpoint, word set, settings, version. */
void absorb_part_key(char key[SAE_DIGEST_HEX], const struct sae_ckpt *ckpt,
                     const struct sae_words *words, const struct absorb_settings *settings);
/* Takes over what lies at part->path and fits; *ret_n: letters. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status absorb_part_load(struct absorb_part *part, size_t *ret_n,
                                                struct sae_err *err);
SAE_MUST_CHECK enum sae_status absorb_part_save(struct absorb_part *part, struct sae_err *err);

#endif /* SAE_ABSORB_KEPT_H */
