/* SPDX-License-Identifier: MIT */
/* command : what one sae-harvest was asked for, and what its products share. */
#ifndef SAE_HARVEST_COMMAND_H
#define SAE_HARVEST_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "harvest/dataset.h"
#include "harvest/labels.h"
#include "harvest/sites.h"
#include "harvest/store.h"
#include "harvest/words.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/cli/opt.h"
#include "lib/cli/table.h"
#include "lib/file/json.h"
#include "lib/math/ops.h"

/* Values of the options. */
extern struct harvest_wanted {
    const char *model, *like, *out, *field, *glob;
    const char *array, *token_array, *document_array, *position_array, *model_name;
    struct sae_u64s layers;
    struct sae_strs hooks;
    uint64_t context, n_tokens, shard_rows, batch, seed;
    uint64_t max_train, max_test, min_texts, max_words;
    struct sae_strs text, labels, sae_probes, import;
    struct harvest_columns columns;
    int split, separator;
    bool words, spaced_only, describe, plan;
    int matmul;
} harvest_wanted;

extern const struct sae_opt harvest_options[];
extern const char *const harvest_separators[]; /* NULL ends them */

/* All that one invocation holds. */
struct harvest {
    const struct sae_cli *cli;
    const char *dir;
    char *folder;          /* of the model */
    char *beside;          /* of the store that --like names */
    struct sae_strs texts; /* those of --text and the operands; the names are borrowed */
    const struct sae_ops *ops;
    struct harvest_sites sites; /* an import has one, without a model */
    json_t *invocation;
    json_t *answer;
    struct sae_table *labels_table;
    struct sae_str taken; /* "126 files: 120 plain text, ..." */
};

/* All that is needed was asked for, and nothing that has no meaning. Fails: SAE_EARG; SAE_EIO a text that
 * is not there */
SAE_MUST_CHECK enum sae_status harvest_check_wanted(const struct harvest *h, struct sae_err *err);

/* What is said of hashing files, with progress. */
SAE_MUST_CHECK enum sae_status harvest_hash(struct sae_files *files, const char *what,
                                            struct sae_err *err);

/* The products: each is made, and printed or put into h->answer. */
SAE_MUST_CHECK enum sae_status harvest_make_stores(struct harvest *h, struct sae_err *err);
SAE_MUST_CHECK enum sae_status harvest_make_labels(struct harvest *h, struct sae_err *err);
SAE_MUST_CHECK enum sae_status harvest_make_lasts(struct harvest *h, struct sae_err *err);
SAE_MUST_CHECK enum sae_status harvest_make_words(struct harvest *h, struct sae_err *err);
SAE_MUST_CHECK enum sae_status harvest_make_import(struct harvest *h, struct sae_err *err);
/* --plan: what all of them would take, as if nothing were there. */
SAE_MUST_CHECK enum sae_status harvest_plan_all(struct harvest *h, struct sae_err *err);

/* What a plan asks of a product too. */
SAE_MUST_CHECK enum sae_status harvest_find_text(struct harvest *h, struct sae_files *files,
                                                 bool hash, struct sae_err *err);
struct harvest_store_settings harvest_store_wanted(const struct harvest *h,
                                                   const struct sae_files *files);
struct harvest_store harvest_store_of(struct harvest_site *site);
struct harvest_labels_settings harvest_labels_wanted(const struct harvest *h);
struct harvest_words_settings harvest_words_wanted(const struct harvest *h);

#endif /* SAE_HARVEST_COMMAND_H */
