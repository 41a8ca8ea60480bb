/* SPDX-License-Identifier: MIT */
/* import : arrays [rows][d] that another program made, into an activation store (acts.h).
 *
 * Values are rounded to bf16, as all stores hold them. An import that was interrupted leaves whole
 * shards; the same import run again continues after them. */
#ifndef SAE_HARVEST_IMPORT_H
#define SAE_HARVEST_IMPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/lock.h"
#include "lib/text/files.h"

struct harvest_import_settings {
    const char *dir;
    /* names of arrays; NULL: the only matrix of floats, and no such column */
    const char *array, *token, *document, *position;
    const char *model, *hook; /* NULL: unknown */
    uint64_t layer;           /* UINT64_MAX: unknown */
    size_t shard_rows;        /* 0: as the width suggests */
    bool force;
    const struct sae_lock *lock;
};

/* What the files hold, which is found before they are hashed. */
struct harvest_import_plan {
    size_t n_rows, d, shard_rows;
    struct harvest_import_part {
        size_t rows;
        char *array; /* NULL of .npy */
        const char *kind, *type;
    } *parts; /* one a file */
    size_t n_parts;
};
/* Fails: SAE_EFORMAT a file is not as expected, or of another width than the first; SAE_EIO */
SAE_MUST_CHECK enum sae_status harvest_import_plan(struct harvest_import_plan *ret,
                                                   const struct sae_files *files,
                                                   const struct harvest_import_settings *settings,
                                                   struct sae_err *err);
void harvest_import_plan_clear(struct harvest_import_plan *plan); /* accepts zeroed */

/* Record: of `invocation` what describes an import, the site as far as it is known (else null), and
 * the hashed files as inputs of the role "import" with kind, array, type and shape. New reference. */
SAE_MUST_CHECK enum sae_status harvest_import_record(json_t **ret, const json_t *invocation,
                                                     const struct harvest_import_plan *plan,
                                                     const struct sae_files *files,
                                                     const struct harvest_import_settings *settings,
                                                     struct sae_err *err);

struct harvest_import_totals {
    size_t n_rows, n_shards;
    double mean_norm, mean_square, max_norm;
    bool found; /* it was complete already */
};
/* Fails: SAE_EARG the folder holds another store, or sets; SAE_EFORMAT a value is not finite or beyond
 * the range of bf16 (the message names file, row, column); SAE_EIO, also too little free disk space;
 * SAE_EINTR whole shards are kept */
SAE_MUST_CHECK enum sae_status harvest_import_write(const struct harvest_import_plan *plan,
                                                    const struct sae_files *files,
                                                    const struct harvest_import_settings *settings,
                                                    const json_t *record,
                                                    struct harvest_import_totals *ret,
                                                    struct sae_err *err);

#endif /* SAE_HARVEST_IMPORT_H */
