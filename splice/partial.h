/* SPDX-License-Identifier: MIT */
/* partial : how far one checkpoint came in an interrupted pass, in ckpt_50.core.part.hdf5 beside it,
 * kind "core part". The same command takes it up, to the same bytes as without the interruption. */
#ifndef SAE_SPLICE_PARTIAL_H
#define SAE_SPLICE_PARTIAL_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "splice/splice.h"

/* What unfinished sums belong to, as one digest: checkpoint, model, hook, text, batch. */
void splice_partial_key(char key[SAE_DIGEST_HEX], const char *ckpt_id, const char *model_id,
                     struct sae_hook hook, const struct splice_text *text, size_t batch);

/* Fails: SAE_EIO */
SAE_MUST_CHECK enum sae_status splice_partial_save(const char *path, const char *key,
                                                const struct splice_sums *sums,
                                                struct sae_err *err);
/* Takes a file over into *sums, whose stats are initialised, where it is whole and of this
 * key; leaves *sums alone otherwise. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status splice_partial_load(struct splice_sums *sums, const char *path,
                                                const char *key, struct sae_err *err);

#endif /* SAE_SPLICE_PARTIAL_H */
