/* SPDX-License-Identifier: MIT */
/* store : text into activation stores (acts.h), shard by shard: one for each hook, in one pass.
 *
 * Every position that is not BOS, EOS or PAD is kept. A pass that was interrupted leaves whole
 * shards; the same pass run again continues after the last of them and gives the same bytes as
 * an unbroken one: batches are cut at the same contexts, so each row comes out of the same
 * arithmetic. Where the text was changed since, the shards before the change are kept: those whose
 * tokens the text now gives too. The bytes of a store do not depend on the others of its pass. */
#ifndef SAE_HARVEST_STORE_H
#define SAE_HARVEST_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harvest/tap.h"
#include "lib/base/err.h"
#include "lib/text/docs.h"
#include "lib/text/pack.h"

enum harvest_separator { HARVEST_SEPARATE_BOS = 0, HARVEST_SEPARATE_EOS, HARVEST_SEPARATE_NONE };

struct harvest_store_settings {
    const struct sae_files *files;
    const char *field;
    enum sae_docs_split split;
    enum harvest_separator separator;
    size_t context, batch; /* batch: contexts in one pass through the model */
    uint64_t n_tokens;     /* rows wanted; 0 = all the text gives */
    bool force;
};

struct harvest_store_totals {
    size_t n_rows, n_shards, n_contexts;
    uint64_t n_documents; /* read, up to the last row */
    uint64_t n_empty;     /* of all that were read, those without a token */
    uint64_t n_left;      /* rows of the text that could not be used; they are no documents */
    uint64_t n_replaced;  /* sequences that were not UTF-8 and became U+FFFD */
    double mean_norm, mean_square, max_norm;
    bool found; /* it was complete already */
};

/* One of the stores of a pass. */
struct harvest_store {
    struct harvest_tap *tap; /* of the model of the first */
    const char *dir;         /* made if need be */
    size_t shard_rows;
    const json_t *record; /* of this store (origin.h) */
    struct harvest_store_totals totals;
};
/* Writes those of n stores that are not complete, and fills the totals of all.
 * Fails: SAE_EARG a folder has another store, or the text is shorter than one context; SAE_EINTR
 * whole shards are kept; SAE_EFORMAT text or activations; SAE_EIO */
SAE_MUST_CHECK enum sae_status harvest_store_write(struct harvest_store *stores, size_t n,
                                                   const struct harvest_store_settings *settings,
                                                   struct sae_err *err);

#endif /* SAE_HARVEST_STORE_H */
