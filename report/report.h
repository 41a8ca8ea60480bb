/* SPDX-License-Identifier: MIT */
/* report : runs and published baselines side by side. Reads checkpoints and result files, learns
 * nothing, runs no model. A run is a folder of ckpt_*.h5; a phase is one of them with the results
 * that lie beside it. What cannot be read becomes a problem that the notes name; the rest is
 * reported. */
#ifndef SAE_REPORT_REPORT_H
#define SAE_REPORT_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/file/metric.h"
#include "lib/sae/ckpt.h"

#define REPORT_WIDTH 106 /* columns of the notes */

/* What is to be known of an evaluation; to add one is to add a row, and its metrics. */
struct report_source_row {
    const char *id;          /* in --csv */
    const char *suffix;      /* of a result beside its checkpoint: "probe.json" */
    const char *saebench[2]; /* eval_type_id of SAEBench's files; NULL: none */
    const char *published;   /* key in the published results that come with saekit; NULL: none */
    const char *published_in; /* key of it that holds the metrics; NULL: itself */
    const char *title, *note; /* heading of its table, and the line below */
    const char *command;     /* that makes a result */
    bool expected;           /* where it is absent, the notes say how to make it */
    const char *caution;     /* among the cautions where it was measured; NULL: none */
    struct { /* of the panels of its metrics */
        const char *file, *title, *subtitle, *caption;
    } chart;
};
extern const struct report_source_row report_sources[SAE_SOURCE_N];
/* The evaluation of an eval_type_id; SAE_SOURCE_N if none. */
enum sae_source report_source_of(const char *saebench);

/* A score that the study wants to reach. */
struct report_target {
    const char *metric, *name, *label;
    double bound;
    int better; /* -1: below the bound */
};
extern const struct report_target report_targets[];
extern const size_t report_n_targets;

struct report_phase {
    char *path; /* run_2/ckpt_50.h5 */
    char id[65];
    int percent;
    uint64_t step, total_steps;
    bool readable;
    json_t *result[SAE_SOURCE_N]; /* NULL where absent or unusable */
};

struct report_run {
    bool whole; /* its folder was named, so every checkpoint there is a phase */
    bool elsewhere; /* known by results alone, measured with -o: no checkpoint, no record */
    char *name, *path;
    json_t *record; /* of the last readable checkpoint */
    json_t *config; /* elsewhere: sae_cfg_dict of its results */
    enum sae_arch arch;
    size_t d, m, k;
    uint64_t seed, total_steps;
    size_t n_phases, cap_phases;
    struct report_phase *phases;
    struct sae_ckpt last; /* its series and pairs only; the big arrays are dropped */
    size_t group;         /* runs of one group differ in their seed only */
};

struct report_baseline {
    char *name; /* "topk" */
    char *title;
    char *model;
    long layer; /* -1: unknown */
    json_t *json;
    /* of SAEBench's own files instead of json: the SAE's whole name, and a result an evaluation */
    char *full;
    json_t *part[SAE_SOURCE_N];
};

/* A line of text in a list. */
struct report_lines {
    size_t n, cap;
    char **v;
};
SAE_MUST_CHECK enum sae_status report_lines_add(struct report_lines *lines, struct sae_err *err,
                                                const char *fmt, ...) SAE_PRINTF(3, 4);
void report_lines_clear(struct report_lines *lines);

struct report {
    size_t n_runs, cap_runs;
    size_t n_trained; /* the first of the runs: those that have checkpoints; the rest is elsewhere */
    struct report_run *runs;
    size_t n_baselines, cap_baselines;
    struct report_baseline *baselines;
    size_t against;  /* run that differences are taken from */
    size_t n_groups; /* runs[i].group < n_groups */
    struct report_lines problems;
    size_t n_lost;              /* problems that are files which could not be read */
    struct report_lines charts; /* "file<TAB>caption" */
    struct report_lines missing_why, missing_command;
    bool doubtful; /* evaluations with a caution are shown too, not only named */
};

struct report_settings {
    char *const *operands; /* runs, folders of runs, checkpoints, results; none: those found here */
    size_t n_operands;
    char *const *labels; /* "NAME=RUN" */
    size_t n_labels;
    const char *against;   /* run name, NULL = first */
    const char *baselines; /* folder, NULL = the published ones of this installation */
    char *const *saebench; /* folders of SAEBench's result files, to be shown beside the runs */
    size_t n_saebench;
    bool doubtful;         /* also show the evaluations that have a caution (source.c) */
    const char *charts;    /* folder, NULL = no charts */
    const char *program;   /* path of the running program, to find the installed data; or NULL */
};

/* Loads everything; problems are collected, not failed on.
 * Fails: SAE_EARG no run named or found, --against or --label names none of them;
 *        SAE_EFORMAT nothing of what was named can be read */
SAE_MUST_CHECK enum sae_status
report_load(struct report *ret, const struct report_settings *settings, struct sae_err *err);
void report_clear(struct report *report); /* accepts zeroed */

/* Names the runs so that no two have one name: the folder's name, the shortest ends of paths that
 * differ, and labels "NAME=RUN". Fails: SAE_EARG a label that names no run, or a name twice */
SAE_MUST_CHECK enum sae_status report_name_runs(struct report *report, char *const *labels,
                                                size_t n_labels, struct sae_err *err);
/* The run of a name, a path, or a last part of a path that only it has; SIZE_MAX if none. */
size_t report_find_run(const struct report *report, const char *what);
/* A run's name as part of a file's: "a/run_1" -> "a_run_1"; no two runs have one. New memory. */
SAE_MUST_CHECK enum sae_status report_file_name(char **ret, const struct report *report,
                                                const struct report_run *run, struct sae_err *err);
/* Adds what -o made, a folder or a file of it, as runs without checkpoints. What cannot be used
 * becomes a problem. */
SAE_MUST_CHECK enum sae_status report_results_load(struct report *report, const char *path,
                                                   struct sae_err *err);

/* The value of a metric, NaN where absent. */
double report_value(const struct report_phase *phase, const struct sae_metric *metric);
/* The standard error that the evaluation itself gives for it, NaN where it gives none. It is of this
 * one SAE, and says nothing about another seed. */
double report_value_se(const struct report_phase *phase, const struct sae_metric *metric);
/* How a published row is called in the notes, "[published run_1]": buf of REPORT_LABEL. */
enum { REPORT_LABEL = 300 };
const char *report_baseline_label(char buf[REPORT_LABEL], const struct report_baseline *baseline);
double report_baseline_value(const struct report_baseline *baseline,
                             const struct sae_metric *metric);
/* Phase of a run by percent; NULL if none. The last phase that is there. */
const struct report_phase *report_phase_at(const struct report_run *run, int percent);
const struct report_phase *report_phase_last(const struct report_run *run);
/* The last phase whose checkpoint could be read; NULL if none. */
const struct report_phase *report_phase_readable(const struct report_run *run);
bool report_has(const struct report *report, enum sae_source source);
/* Whether the notes show an evaluation: one with a caution only where that is asked for. */
bool report_shows(const struct report *report, enum sae_source source);
const json_t *report_site(const struct report_run *run); /* record's "site", NULL if unknown */
/* "gemma-2-2b layer 12" of the published rows, or that they differ. buf of 128 bytes. */
const char *report_baselines_site(char buf[128], const struct report *report);
bool report_same_site(const struct report_run *run, const struct report_baseline *baseline);
/* Reads one published result. Fails: SAE_EIO, SAE_EFORMAT */
SAE_MUST_CHECK enum sae_status report_baseline_load(struct report_baseline *ret, const char *path,
                                                    struct sae_err *err);
/* Adds the SAEs of a folder of SAEBench's result files, and those below it, to the baselines. What
 * cannot be used becomes a problem. Fails: SAE_EARG no such folder */
SAE_MUST_CHECK enum sae_status report_saebench_load(struct report *report, const char *dir,
                                                    struct sae_err *err);
void report_baseline_clear(struct report_baseline *baseline);
/* Folder of the published baselines: named, installed, beside the program, or in the source tree.
 * *ret NULL if there is none. */
SAE_MUST_CHECK enum sae_status
report_baselines_dir(char **ret, const struct report_settings *settings, struct sae_err *err);

/* Whether an option of sae-train can move a run's numbers: the others are not compared. */
bool report_option_counts(const char *name);
/* Whether it is not the same for all runs of sae-train. */
bool report_option_differs(const struct report *report, const char *name);
/* An option's value as a user would type it, "" where unset. */
enum { REPORT_OPTION = 256 };
const char *report_option_text(const struct report_run *run, const char *name,
                               char buf[REPORT_OPTION]);
/* Sorts runs into groups that differ in seed only: fills group, n_groups. */
SAE_MUST_CHECK enum sae_status report_group(struct report *report, struct sae_err *err);
/* Mean and standard error (sample, sqrt(s^2 / n)) of a metric over a group's runs at a percent;
 * se NaN for one run. Returns the number of runs that have it. */
size_t report_group_stats(const struct report *report, size_t group, int percent,
                          const struct sae_metric *metric, double *mean, double *se);

/* Fills missing_why and missing_command. */
SAE_MUST_CHECK enum sae_status report_find_missing(struct report *report, struct sae_err *err);

/* Draws the charts into settings->charts and lists them in report->charts; one that fails is a
 * warning and a problem. title: in place of each chart's own, "" for none; NULL: its own. Charts
 * there that an earlier report drew and this one did not are removed. Fails: SAE_EIO, SAE_EINTR */
struct sae_chart_options;
SAE_MUST_CHECK enum sae_status report_draw(struct report *report,
                                           const struct report_settings *settings,
                                           struct sae_chart_options *how, const char *title,
                                           struct sae_err *err);

/* Writes the notes: in short, side by side, cautions, targets; with `full` every metric at every phase
 * too. `to` may be any stream; widths stay within REPORT_WIDTH + 4 columns. */
SAE_MUST_CHECK enum sae_status report_notes(const struct report *report, bool full, FILE *to,
                                            struct sae_err *err);
/* Everything in the notes as numbers. New reference. */
SAE_MUST_CHECK enum sae_status report_json(json_t **ret, const struct report *report,
                                           struct sae_err *err);

/* Prints text wrapped to REPORT_WIDTH, first line after `first` columns of `lead`, further lines
 * indented by `indent`. */
void report_wrap(FILE *to, const char *lead, int indent, const char *fmt, ...) SAE_PRINTF(4, 5);

#endif /* SAE_REPORT_REPORT_H */
