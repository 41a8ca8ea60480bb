/* SPDX-License-Identifier: MIT */
/* group : checkpoints that share model, layer and text, measured in one pass. */
#ifndef SAE_SPLICE_GROUP_H
#define SAE_SPLICE_GROUP_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"
#include "splice/splice.h"

/* What a table shows of one checkpoint; the result is written already. */
struct splice_row {
    char *ckpt;   /* path */
    json_t *json; /* the result */
};

/* Measures every checkpoint and writes its result beside it. rows: [n], in order of paths; free
 * with splice_rows_free. record: of this invocation.
 * Fails: as sae_ckpt_load, splice_source_find, gemma_model_open, splice_text_load, splice_pass;
 * SAE_EARG the model found is not the one recorded */
SAE_MUST_CHECK enum sae_status splice_group_run(struct splice_row *rows, char *const *paths,
                                                size_t n, const struct splice_settings *settings,
                                                const struct sae_ops *ops, const json_t *record,
                                                struct sae_err *err);
void splice_rows_free(struct splice_row *rows, size_t n);

#endif /* SAE_SPLICE_GROUP_H */
