/* SPDX-License-Identifier: MIT */
/* pool : one vector a text of a labelled set - its latents, or its raw neurons, averaged over the
 * text's tokens. */
#ifndef SAE_LIB_EVAL_POOL_H
#define SAE_LIB_EVAL_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/file/sets.h"
#include "lib/math/ops.h"
#include "lib/sae/model.h"

struct sae_pool {
    struct sae_csr x; /* one row a text, host */
    size_t width;
    bool dense; /* raw neurons: every entry present */
};
void sae_pool_clear(struct sae_pool *pool);

/* Latents of each text, encoded token by token and averaged over the text's tokens. Shows
 * progress. Fails: SAE_EINTR, SAE_EIO, SAE_EFORMAT, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_pool_latents(struct sae_pool *ret, struct sae_labels *labels,
                                                const struct sae_model *model,
                                                const struct sae_ops *ops, size_t batch,
                                                struct sae_err *err);
/* The set's pooled raw activations. */
SAE_MUST_CHECK enum sae_status sae_pool_neurons(struct sae_pool *ret,
                                                const struct sae_labels *labels,
                                                struct sae_err *err);

#endif /* SAE_LIB_EVAL_POOL_H */
