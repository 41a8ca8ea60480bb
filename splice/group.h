/* SPDX-License-Identifier: MIT */
/* group : checkpoints that share model, layer and text, measured in one pass. */
#ifndef SAE_SPLICE_GROUP_H
#define SAE_SPLICE_GROUP_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/eval/subjects.h"
#include "lib/math/ops.h"
#include "splice/splice.h"

/* Measures every SAE, writes its result beside it and puts it in its place among the answers. record:
 * of this invocation.
 * Fails: as sae_subjects_load, splice_source_find, gemma_model_open, splice_text_load, splice_pass;
 * SAE_EARG the model found is not the one recorded */
SAE_MUST_CHECK enum sae_status splice_group_run(struct sae_subjects *saes,
                                                const struct splice_settings *settings,
                                                const struct sae_ops *ops, const json_t *record,
                                                struct sae_err *err);

#endif /* SAE_SPLICE_GROUP_H */
