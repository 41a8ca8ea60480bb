/* SPDX-License-Identifier: MIT */
/* opt : one table of options per program. From its rows come parsing, --help, --help=all, the man
 * page (--help=man), shell completion (--help=bash), --print-config, --config FILE, and the
 * options recorded in every file the program writes. */
#ifndef SAE_LIB_CLI_OPT_H
#define SAE_LIB_CLI_OPT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum sae_opt_kind {
    SAE_OPT_FLAG,     /* bool *          --json, --no-json */
    SAE_OPT_U64,      /* uint64_t *      a plain integer */
    SAE_OPT_COUNT,    /* uint64_t *      with K, M, G: 5M */
    SAE_OPT_REAL,     /* double * */
    SAE_OPT_STR,      /* const char ** */
    SAE_OPT_PATH,     /* const char ** */
    SAE_OPT_ENUM,     /* int *           index into choices */
    SAE_OPT_U64S,     /* struct sae_u64s *   comma-separated */
    SAE_OPT_REALS,    /* struct sae_reals *  comma-separated */
    /* struct sae_strs *, may be given several times. Commas separate too, except "\," and those in
     * the name of an existing file or folder. */
    SAE_OPT_STRS
};

struct sae_u64s {
    size_t n;
    uint64_t *v;
};
/* Sorts the numbers and leaves each once; returns how many. */
size_t sae_u64s_distinct(struct sae_u64s *list);
struct sae_reals {
    size_t n;
    double *v;
};
struct sae_strs {
    size_t n;
    char **v;
};

enum {
    SAE_OPT_MAIN = 1,       /* shown by plain --help */
    SAE_OPT_UNRECORDED = 2, /* says where or how loudly, not what: output path, --force, --json */
    SAE_OPT_SWEEP = 4, /* a number or an enum that may be a list, "0.1,0.5": one run each; grid.h */
    /* of a program that records what its rules make of the options */
    SAE_OPT_RESOLVED = 16, /* a rule may change what was given: the result is recorded */
    SAE_OPT_STAYS = 32,    /* recorded as given even if it has no meaning */
    SAE_OPT_OVERRIDE = 8 /* recorded, but --resume may override it for the current process */
};

/* When an option has a meaning: where `by`, another option, has one, and a value for which this holds.
 * Help says so; refusing is the program's. */
struct sae_opt_when {
    const char *by;            /* an enum, or a number, which then is not 0 */
    bool (*holds)(int choice); /* of the enum */
    /* How a refusal goes on after "--X has no meaning": */
    const char *lacks;   /* "with --by CHOICE, which has no ..."; */
    const char *without; /* else "without ..."; NULL: "except with --by" and the choices that hold */
    bool in_sweeps;      /* never refused; only a run of a sweep leaves it out */
};

/* A row. The table ends with a row whose name is NULL. */
struct sae_opt {
    const char *name; /* without dashes */
    char letter;      /* 0 for none */
    enum sae_opt_kind kind;
    void *to;             /* where the value goes; type by kind */
    const char *value;    /* default, as a user would type it; NULL = unset (NULL / 0 / empty) */
    const char *const *choices; /* SAE_OPT_ENUM: NULL-terminated */
    double min, max;      /* numbers; both 0 = no bound */
    const char *arg;      /* name of the value in help: "DIR" */
    const char *group;    /* heading in --help=all */
    const char *help;     /* one line; for enums the choices are added by themselves */
    unsigned flags;
    const struct sae_opt_when *when; /* NULL: always */
};

/* A program as data; main is `return sae_program_main(&program, argc, argv);`. */
struct sae_cli;
struct sae_program {
    const char *name;    /* "sae-train" */
    const char *summary; /* "train one sparse autoencoder on an activation store" */
    const char *usage;   /* "sae-train --acts DIR [options] -o RUN" */
    const char *examples; /* lines, each a pasteable command with a comment above it */
    const char *about;   /* paragraphs for the man page: what it does, files, caveats */
    const char *operands; /* "CHECKPOINT|RUN ..." or NULL where none are taken */
    const struct sae_opt *opts; /* own rows; the common ones are added */
    enum sae_status (*run)(const struct sae_cli *cli, struct sae_err *err);
};

/* What run() sees. The common options are: --backend, --threads, --force, --json (result as JSON
 * on stdout instead of the table), -v, -q, --config, --print-config, --help, --version. */
struct sae_cli {
    const struct sae_program *program;
    size_t n_args;      /* operands */
    char **args;
    bool force, json, quiet, verbose;
    const char *backend; /* "auto" */
    uint64_t threads;    /* 0 = all */
    const struct sae_opt_set *set; /* what the parser knows; see lib/cli/parse.h */
};

/* Parses, talks, runs, closes stdout and returns the exit code: 0 done, 1 failed, 2 bad command
 * line (SAE_EARG), 130/143 stopped by a signal. */
int sae_program_main(const struct sae_program *program, int argc, char **argv);

/* Writes a value to the row's destination, which holds one already or zeros.
 * Fails: SAE_EARG it is none, or out of range */
SAE_MUST_CHECK enum sae_status sae_opt_read(const struct sae_opt *row, const char *text,
                                            struct sae_err *err);

/* Whether the user gave this option (on the command line or in --config). */
bool sae_opt_given(const struct sae_cli *cli, const char *name);

/* Whether two texts are one value of this option: "5M" and "5000000"; NULL: unset. Options of
 * SAE_OPT_OVERRIDE and SAE_OPT_UNRECORDED, and unknown ones, never differ. */
bool sae_opt_same(const struct sae_cli *cli, const char *name, const char *a, const char *b);

/* The record of this invocation (record.h): program, version, command, options, libraries. */
SAE_MUST_CHECK enum sae_status sae_opt_record(json_t **ret, const struct sae_cli *cli,
                                              struct sae_err *err);
/* Forgets what was given or applied for this option, as if it had never been named. */
SAE_MUST_CHECK enum sae_status sae_opt_drop(const struct sae_cli *cli, const char *name,
                                            struct sae_err *err);
/* Back to what the command line and --config gave, after an earlier sae_opt_apply. */
SAE_MUST_CHECK enum sae_status sae_opt_rewind(const struct sae_cli *cli, struct sae_err *err);
/* Writes the values of all scalar options to their destinations once more; a destination whose
 * option is unset is left alone. */
SAE_MUST_CHECK enum sae_status sae_opt_refresh(const struct sae_cli *cli, struct sae_err *err);
/* Applies recorded options (of --resume) to the table's destinations, as if typed; options given on
 * the command line that differ in value from the record are refused by name, except those of
 * SAE_OPT_OVERRIDE, which stay as given. */
SAE_MUST_CHECK enum sae_status sae_opt_apply(const struct sae_cli *cli, const json_t *options,
                                             struct sae_err *err);

#endif /* SAE_LIB_CLI_OPT_H */
