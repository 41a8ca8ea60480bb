/* SPDX-License-Identifier: MIT */
/* evaluate : the frame of every evaluation. A program says in one struct sae_eval what it measures;
 * everything that evaluations share is done here, in this order:
 *
 *   open                 the program checks its options
 *   the backend, the SAEs that the operands name; unreadable ones are left out and counted
 *   for each group of SAEs (of one, unless the evaluation has `same`):
 *     load, check        each SAE, with the store of --acts, and the sets that belong to it
 *     paths              of its results (-o, --force) and of unfinished work, before the work
 *     begin              the inputs that the group shares are opened
 *     plan               what the group will take: with --plan it is printed, and that is all;
 *                        else there is a warning where memory or disk do not suffice
 *     share              what is measured of all SAEs of the group together
 *     one                each SAE is measured; its results are written, the unfinished work is
 *                        removed, the table printed
 *     end
 *   print_all            of all SAEs together; or, with --json, all results
 *   close
 *
 * Interrupted, it says where the unfinished work is kept; the same command goes on from there. */
#ifndef SAE_LIB_EVAL_EVALUATE_H
#define SAE_LIB_EVAL_EVALUATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/cli/opt.h"
#include "lib/cli/plan.h"
#include "lib/file/result.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"

enum { SAE_EVAL_RESULTS = 2 }; /* of one SAE, at most */

/* Options of every evaluation; rows for its table. */
struct sae_eval_options {
    const char *acts, *out;
    bool all, plan;
    bool brief; /* of several SAEs no table of each; set by open */
};
/* The option --plan, of evaluations that can tell. */
#define SAE_EVAL_PLAN(given) SAE_PLAN_ROW(&(given).plan, SAE_OPT_MAIN)
/* The option --all; more: flags besides SAE_OPT_MAIN. */
#define SAE_EVAL_ALL(given, heading, more)                                                         \
    {                                                                                              \
        "all", 0, SAE_OPT_FLAG, &(given).all, "false", .group = heading,                           \
        .help = "take every checkpoint of a run, not only its last",                               \
        .flags = SAE_OPT_MAIN | (more)                                                             \
    }
#define SAE_EVAL_ROWS(given)                                                                       \
    {"acts", 0, SAE_OPT_PATH, &(given).acts, NULL, .arg = "DIR", .group = "Input",                 \
     .help = "activation store to evaluate on; default: the one the SAE was trained on. "          \
             "Required for SAEs from other packages",                                              \
     .flags = SAE_OPT_MAIN},                                                                       \
    {                                                                                              \
        "out", 'o', SAE_OPT_PATH, &(given).out, NULL, .arg = "DIR|FILE.json", .group = "Output",   \
        .help = "file or folder of the results (in DIR, named as by SAEBench); default: "          \
                "beside the SAE",                                                                  \
        .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED                                                 \
    }

/* One SAE of an invocation. */
struct sae_eval_subject {
    const char *path;
    struct sae_ckpt ckpt;             /* from check to end of its group */
    char *out[SAE_EVAL_RESULTS];      /* paths of its results, from begin on; NULL: not wanted */
    char *partial;                    /* path of unfinished work; NULL: there is never any */
    char *name;                       /* among others: "run_2_ckpt_50"; NULL without -o */
    json_t *result[SAE_EVAL_RESULTS]; /* once measured */
    void *own;                        /* what check left, freed by drop */
    bool is_loaded, is_done;
};

/* One invocation. */
struct sae_evaluation {
    const struct sae_eval *eval;
    const struct sae_cli *cli;
    const struct sae_ops *ops;
    bool unwanted[SAE_EVAL_RESULTS]; /* results that the options leave out; set by open */
    size_t n;
    struct sae_eval_subject *subjects; /* [n] in the order they were named */
    size_t n_group;
    struct sae_eval_subject **group; /* [n_group] of those in work */
    char **paths;                    /* [n] */
    size_t n_unreadable, n_unwritten, n_printed;
};

/* An evaluation. Callbacks may be NULL, but for one. */
struct sae_eval {
    /* eval_type_id; folder of SAEBench's programs for it; end of its name beside a checkpoint */
    struct {
        const char *type, *folder, *suffix;
    } results[SAE_EVAL_RESULTS];
    const char *partial; /* end of the name of unfinished work: ".part.json"; NULL: there is none */
    struct sae_eval_options *options;
    int *matmul; /* of --matmul where a language model runs (lib/cli/backend.h), else NULL */
    void *data;        /* the program's own */

    enum sae_status (*open)(struct sae_evaluation *run, struct sae_err *err);
    enum sae_status (*check)(struct sae_evaluation *run, struct sae_eval_subject *subject,
                             struct sae_err *err);
    /* Whether two SAEs, both checked, are measured together. All are loaded first then. */
    bool (*same)(const struct sae_eval_subject *a, const struct sae_eval_subject *b);
    bool all_needed; /* a result depends on all SAEs named: one that cannot be read ends the command */
    enum sae_status (*begin)(struct sae_evaluation *run, struct sae_err *err);
    /* Lists what the group takes, seconds where plan->is_asked. It must write nothing: with --plan no
     * paths have been made. */
    enum sae_status (*plan)(struct sae_evaluation *run, struct sae_plan *plan, struct sae_err *err);
    enum sae_status (*share)(struct sae_evaluation *run, struct sae_err *err);
    /* Measures an SAE and fills parts[r] for each of eval->results that it has: config, metrics,
     * details, versions and what else differs from sae_output_make. The record is of this
     * invocation and SAE; further inputs are added to it. */
    enum sae_status (*one)(struct sae_evaluation *run, struct sae_eval_subject *subject,
                           struct sae_result_parts parts[], json_t *record, struct sae_err *err);
    enum sae_status (*print)(struct sae_evaluation *run, const struct sae_eval_subject *subject,
                             struct sae_err *err);
    void (*end)(struct sae_evaluation *run); /* also after a failure */
    enum sae_status (*print_all)(struct sae_evaluation *run, struct sae_err *err);
    void (*drop)(void *own);
    void (*close)(struct sae_evaluation *run); /* also after a failure */
};

/* Fails: as the callbacks, sae_cli_backend, sae_target_find, sae_subject_load, sae_output_path;
 *   SAE_EFORMAT some SAEs could not be read (of one alone, or of all: as the first of them);
 *   SAE_EIO     some results could not be written: they are printed all the same */
SAE_MUST_CHECK enum sae_status sae_evaluate(const struct sae_eval *eval, const struct sae_cli *cli,
                                            struct sae_err *err);

#endif /* SAE_LIB_EVAL_EVALUATE_H */
