/* SPDX-License-Identifier: MIT */
/* run : one training run on disk - store in, checkpoints out, resumable at any step. */
#ifndef SAE_TRAIN_RUN_H
#define SAE_TRAIN_RUN_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/file/acts.h"
#include "lib/math/ops.h"
#include "train/heldout.h"
#include "train/series.h"
#include "train/settings.h"
#include "train/trainer.h"

/* Filled by main. */
struct run_plan {
    struct settings set;   /* resolved */
    const char *dir;       /* run folder */
    const char *from;      /* state to continue from (a path), NULL for a new run */
    json_t *record;        /* borrowed; goes into every file */
    struct sae_acts *acts; /* borrowed */
    const struct sae_ops *ops;
};

struct run {
    const struct run_plan *plan;
    struct trainer *t;
    struct sae_acts_stream *stream;
    struct heldout held;
    struct series series;
    struct pair_log pairs;
    double norm;     /* activations are divided by this before training */
    float *x;        /* [n][d] batch */
    char *last_ckpt; /* newest checkpoint of this run, for messages; may be NULL */
};

/* Trains to the end. Prints nothing on stdout; progress goes to stderr.
 * Fails: SAE_EINTR stopped by a signal, state.h5 was saved; SAE_ERANGE the loss diverged;
 *        as the files it reads and writes */
SAE_MUST_CHECK enum sae_status run_train(const struct run_plan *plan, struct sae_err *err);

/* Steps after which the i-th checkpoint is written. */
uint64_t run_checkpoint_step(const struct settings *set, size_t i);
/* "run/ckpt_50.h5" for the i-th checkpoint. New memory. */
SAE_MUST_CHECK enum sae_status run_checkpoint_path(char **ret, const char *dir,
                                                   const struct settings *set, size_t i,
                                                   struct sae_err *err);

/* --- save.c ------------------------------------------------------------------------------- */

/* Writes weights, held-out results, series, pairs, optimiser and state. */
SAE_MUST_CHECK enum sae_status run_save(struct run *run, const char *path, struct sae_err *err);
/* Reads them all back into an opened run. Fails: SAE_EFORMAT it does not fit the settings */
SAE_MUST_CHECK enum sae_status run_restore(struct run *run, const char *path, struct sae_err *err);

#endif /* SAE_TRAIN_RUN_H */
