/* SPDX-License-Identifier: MIT */
/* job : what one invocation trains - one run, or the grid of a sweep.
 *
 * A sweep is a folder of run folders, run_<settings>, and sweep.json:
 *   { "kind": "sweep", "format_version": 1, "command", "runs": [ {"name", "record"} ] }
 * written before the first run begins, so that --resume knows the runs that had not begun. */
#ifndef SAE_TRAIN_JOB_H
#define SAE_TRAIN_JOB_H

#include "lib/cli/opt.h"
#include "train/run.h"

/* From the command line. */
struct asked {
    const struct sae_cli *cli;
    struct settings *set; /* destinations of the option table */
    const char *acts, *out, *resume;
    uint64_t memory; /* bytes that the runs of a group may take; 0: a rule */
    bool go_on;      /* --continue */
    bool any_space;  /* the free disk is not checked */
};

struct job {
    const struct sae_ops *ops;
    struct sae_acts *acts;
    char *dir;       /* the run folder, or the folder of the sweep */
    bool sweep;      /* several runs below dir */
    bool begun;      /* its folders are made, and what --force replaces is gone */
    bool force;      /* from the command line */
    bool any_space;  /* likewise */
    const char *moved; /* where the store is now, where it was given with --resume; else NULL */
    size_t n_locks;
    struct sae_lock **locks; /* of its folders */
    char *command;   /* of a sweep, with its lists; NULL where it was begun already */
    uint64_t memory; /* bytes that the runs of a group may take; 0: a rule */
    size_t n;
    struct run_plan *plans;
    struct run_clock clock; /* where the time of job_train went, */
    double seconds;         /* and all of it */
};

/* A new run or sweep: checks and plans. Changes nothing on disk. Fails: SAE_EARG; as sae_acts_open */
SAE_MUST_CHECK enum sae_status job_start(struct job *job, const struct asked *asked,
                                         struct sae_err *err);
/* One that was begun: plans what is missing of it, which may be nothing. Takes its folders.
 * Fails: SAE_EARG nothing to continue from, options that contradict the record, another process
 * writes */
SAE_MUST_CHECK enum sae_status job_resume(struct job *job, const struct asked *asked,
                                          struct sae_err *err);
/* Either, by what the folder of -o holds. Fails: SAE_EARG it was begun with other options */
SAE_MUST_CHECK enum sae_status job_continue(struct job *job, const struct asked *asked,
                                            struct sae_err *err);
void job_clear(struct job *job);

/* Trains all that is not finished, group after group. A run that fails alone is reported on stderr
 * and its plan keeps the status; the others continue.
 * Fails: SAE_EINTR stopped by a signal; SAE_ERANGE some run failed (already reported in a sweep) */
SAE_MUST_CHECK enum sae_status job_train(struct job *job, struct sae_err *err);

/* Bytes that the runs of a group may take. */
double job_memory(const struct job *job);
/* Numbers the groups of runs that are trained side by side, group_of [n]; SIZE_MAX: finished already.
 * Returns how many there are; *ret_most gets the size of the largest, *ret_bytes what the most demanding
 * one takes, by the formulas of memory.c. */
size_t job_groups(const struct job *job, double memory, size_t *group_of, size_t *ret_most,
                  double *ret_bytes);
/* plan.c: says what job_train would take, from some steps of the most demanding run (--plan). Changes
 * nothing on disk. Fails: as run_open, feed_begin, trainer_step */
SAE_MUST_CHECK enum sae_status job_plan_print(const struct job *job, const struct sae_cli *cli,
                                              struct sae_err *err);

/* The table of checkpoints, or of the runs of a sweep; as JSON. */
SAE_MUST_CHECK enum sae_status job_print(const struct job *job, bool as_json, struct sae_err *err);

/* --- within job --------------------------------------------------------------------------- */

/* Adds a plan for settings as resolved. dir is copied; record is taken over in any case. */
SAE_MUST_CHECK enum sae_status job_add(struct job *job, const struct settings *set, const char *dir,
                                       json_t *record, struct sae_err *err);
/* Before the first file of a new job: folders, records, sweep.json; an earlier run goes where
 * --force was given. Called once the first batch has been read: what is refused leaves no trace. */
SAE_MUST_CHECK enum sae_status job_begin(struct job *job, struct sae_err *err);
/* One writer a folder, until job_clear. *ret: borrowed. Fails: SAE_EARG another process writes there */
SAE_MUST_CHECK enum sae_status job_lock(struct job *job, const char *dir,
                                        const struct sae_lock **ret, struct sae_err *err);
/* The names of a run's files in a folder: checkpoints and state.h5. sae_fs_list_free. */
SAE_MUST_CHECK enum sae_status job_run_files(char ***ret_names, size_t *ret_n, const char *dir,
                                             struct sae_err *err);
/* Plans as the command line says, whatever the folders hold. */
SAE_MUST_CHECK enum sae_status job_plan(struct job *job, const struct asked *asked,
                                        struct sae_err *err);
/* Says what will be written. most: runs of the largest group.
 * Fails: SAE_EIO the disk has less free */
SAE_MUST_CHECK enum sae_status job_check_disk(const struct job *job, size_t most,
                                              struct sae_err *err);
SAE_MUST_CHECK enum sae_status job_sweep_path(char **ret, const char *dir, struct sae_err *err);

#endif /* SAE_TRAIN_JOB_H */
