/* SPDX-License-Identifier: MIT */
/* subject : the SAE that an evaluation looks at - a checkpoint of ours or any other that
 * lib/sae/import reads - with the store its data come from. */
#ifndef SAE_LIB_EVAL_SUBJECT_H
#define SAE_LIB_EVAL_SUBJECT_H

#include "lib/base/err.h"
#include "lib/sae/ckpt.h"

/* Loads an SAE, decoder norms folded. With acts, that store takes the place of the one recorded:
 * it is added to the record as the first input of role "acts", and the record's site becomes the
 * store's, so that everything that follows the record finds the sets, model and text there.
 * Fails: as sae_import_load, sae_acts_open; SAE_EARG the store is of another width, layer or hook
 * than the SAE says it is for. Another model's name is a warning: names differ between packages. */
SAE_MUST_CHECK enum sae_status sae_subject_load(struct sae_ckpt *ret, const char *path,
                                                const char *acts, struct sae_err *err);

#endif /* SAE_LIB_EVAL_SUBJECT_H */
