/* SPDX-License-Identifier: MIT */
/* run : one training run on disk - batches in, checkpoints out, resumable at any step. */
#ifndef SAE_TRAIN_RUN_H
#define SAE_TRAIN_RUN_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/lock.h"
#include "lib/file/acts.h"
#include "lib/math/ops.h"
#include "train/feed.h"
#include "train/heldout.h"
#include "train/series.h"
#include "train/settings.h"
#include "train/trainer.h"

struct run_plan {
    struct settings set;   /* resolved; its lists are the plan's own */
    char *dir;             /* run folder */
    size_t n_from;         /* states to continue from, furthest first; none: a new run */
    char **from;           /* paths */
    uint64_t from_step;    /* of the first */
    bool *due;             /* [set.checkpoints.n] the checkpoints to be written */
    uint64_t until;        /* step of the last of them */
    bool finished;         /* none is due */
    const struct sae_lock *lock; /* of dir; borrowed; NULL: not looked after */
    json_t *record;        /* goes into every file */
    struct sae_acts *acts; /* borrowed */
    const struct sae_ops *ops;
    enum sae_status failed; /* how the run ended, where not well */
    char *why;              /* and what was said; NULL otherwise */
};
/* Makes all checkpoints due. */
SAE_MUST_CHECK enum sae_status run_plan_all(struct run_plan *plan, struct sae_err *err);
void run_plan_clear(struct run_plan *plan);

/* Seconds of this process, by what they went into. */
struct run_clock {
    double read, step, watch, save;
};

struct run {
    struct run_plan *plan;
    struct trainer *t;
    struct heldout held;
    struct series series;
    struct pair_log pairs;
    double norm;     /* activations are divided by this before training; 0: not known yet */
    char *last_ckpt; /* newest checkpoint of this run, for messages; may be NULL */
    double saved_at; /* sae_stop_clock of the last state that was saved, or of the beginning */
    struct step_stats last;
};

/* Memory for the run, and its state where it has one: the furthest sound one; damaged ones are
 * warned of. Where none is sound the run begins again. */
SAE_MUST_CHECK enum sae_status run_open(struct run *run, struct run_plan *plan,
                                        struct sae_err *err);
void run_close(struct run *run); /* accepts zeroed, and a run that failed to open */
/* Joins the feed: a new run takes its first weights and writes the checkpoint at 0. The feed has
 * begun. Fails: SAE_EFORMAT the run was scaled by another norm */
SAE_MUST_CHECK enum sae_status run_begin(struct run *run, struct feed *feed, struct sae_err *err);
/* One update on the feed's batch, which is that of the run's step, with what falls due after it: a
 * point of the series, checkpoints, state.h5. At step `until` of the plan state.h5 goes.
 * Fails: SAE_ERANGE the loss diverged; as the files it writes */
SAE_MUST_CHECK enum sae_status run_step(struct run *run, const struct feed *feed,
                                        struct run_clock *clock, struct sae_err *err);
SAE_MUST_CHECK enum sae_status run_save_state(struct run *run, struct sae_err *err);
/* Of a finished run, which needs state.h5 no more. */
void run_remove_state(const char *dir);

/* Steps after which the i-th checkpoint is written. */
uint64_t run_checkpoint_step(const struct settings *set, size_t i);
/* "run/ckpt_50.h5" for the i-th checkpoint. New memory. */
SAE_MUST_CHECK enum sae_status run_checkpoint_path(char **ret, const char *dir,
                                                   const struct settings *set, size_t i,
                                                   struct sae_err *err);

/* --- save.c ------------------------------------------------------------------------------- */

/* Writes weights, held-out results, series and pairs; full: all that an exact resume needs too.
 * Fails: SAE_EIO, among others where another process took the folder over */
SAE_MUST_CHECK enum sae_status run_save(struct run *run, const char *path, bool full,
                                        struct sae_err *err);
/* Whether a file holds all that an exact resume needs, and its step. */
SAE_MUST_CHECK enum sae_status run_state_info(const char *path, uint64_t *ret_step, bool *ret_full,
                                        struct sae_err *err);
/* Reads them all back into an opened run. Fails: SAE_EFORMAT it does not fit the settings */
SAE_MUST_CHECK enum sae_status run_restore(struct run *run, const char *path, struct sae_err *err);

/* --- disk.c ------------------------------------------------------------------------------- */

/* Bytes of a file that run_save writes, near enough to plan with. */
double run_file_bytes(const struct settings *set, size_t d, bool full);

/* --- memory.c ----------------------------------------------------------------------------- */

/* Bytes that a run takes by itself, and that a feed takes, near enough to plan with. */
double run_memory(const struct settings *set, size_t d);
/* Bytes of a device's memory that a run takes after it was opened. */
double run_later_bytes(const struct settings *set, const struct sae_ops *ops, size_t d);
double feed_memory(const struct settings *set, size_t n_rows, size_t d);

#endif /* SAE_TRAIN_RUN_H */
