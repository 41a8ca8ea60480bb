/* SPDX-License-Identifier: MIT */
/* labels : a labelled dataset into labels_<name>.h5 (sets.h): each text BOS first, truncated to
 * the context, all its tokens kept. */
#ifndef SAE_HARVEST_LABELS_H
#define SAE_HARVEST_LABELS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "harvest/dataset.h"
#include "harvest/tap.h"
#include "lib/base/err.h"

struct harvest_labels_settings {
    struct harvest_columns columns;
    struct harvest_draw draw;
    size_t context, batch; /* batch: contexts' worth of tokens in one pass through the model */
    bool force;
};

struct harvest_labels_totals {
    char name[128];
    size_t n_classes, n_train, n_test, n_rows, n_truncated;
    bool found; /* it was there already */
};

/* Path of the set a dataset file becomes; new memory. */
SAE_MUST_CHECK enum sae_status harvest_labels_path(char **ret, const char *dir, const char *source,
                                                   struct sae_err *err);

/* One set for each of n taps of a model, which runs once for those that are not there. Their records
 * have the source file as an input.
 *   ret [n]
 * Fails: SAE_EARG a folder has another set of that name; as harvest_dataset_load and _draw */
SAE_MUST_CHECK enum sae_status harvest_labels_write(const struct harvest_target *targets, size_t n,
                                                    const char *source,
                                                    const struct harvest_labels_settings *settings,
                                                    struct harvest_labels_totals *ret,
                                                    struct sae_err *err);

/* How much work that is: texts are read, drawn and tokenized, and no model is run. */
struct harvest_labels_size {
    size_t n_texts, n_rows, n_tokens; /* rows: tokens but for BOS, EOS and PAD */
    double text_bytes;                /* of memory that texts and ids took here */
};
SAE_MUST_CHECK enum sae_status harvest_labels_measure(struct harvest_tap *tap, const char *source,
                                                      const struct harvest_labels_settings *settings,
                                                      struct harvest_labels_size *ret,
                                                      struct sae_err *err);

#endif /* SAE_HARVEST_LABELS_H */
