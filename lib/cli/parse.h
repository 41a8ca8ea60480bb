/* SPDX-License-Identifier: MIT */
/* parse : the resolved table of one invocation. Internal to lib/cli: opt.c fills it, help.c prints
 * it, program.c owns it. */
#ifndef SAE_LIB_CLI_PARSE_H
#define SAE_LIB_CLI_PARSE_H

#include "lib/cli/opt.h"

enum { SAE_OPT_MAX = 128 };

struct sae_opt_set {
    const struct sae_program *program;
    struct sae_opt rows[SAE_OPT_MAX]; /* the program's, then the common ones */
    size_t n;
    char *text[SAE_OPT_MAX];   /* value as text; NULL = unset */
    bool given[SAE_OPT_MAX];   /* by command line or --config */
    const char *help;          /* --help: "main", "all", "man", "bash"; NULL = not asked */
    bool version, print_config;
    const char *config;
};

/* Copies rows and assigns every default. cli's fields are the destinations of common rows. */
SAE_MUST_CHECK enum sae_status sae_opt_set_init(struct sae_opt_set *set, struct sae_cli *cli,
                                                const struct sae_program *program,
                                                struct sae_err *err);
/* Command line over --config over defaults. args gets the operands (borrowed from argv). */
SAE_MUST_CHECK enum sae_status sae_opt_set_parse(struct sae_opt_set *set, struct sae_cli *cli,
                                                 int argc, char **argv, struct sae_err *err);
void sae_opt_set_clear(struct sae_opt_set *set);

/* Sets row i from text; a list of a SAE_OPT_SWEEP row is checked part by part, and the last part
 * stays in the destination. */
SAE_MUST_CHECK enum sae_status sae_opt_set_assign(struct sae_opt_set *set, size_t i,
                                                  const char *text, bool given,
                                                  struct sae_err *err);
/* Row i becomes its default, not given; without a default its destination is left alone. */
SAE_MUST_CHECK enum sae_status sae_opt_set_reset(struct sae_opt_set *set, size_t i,
                                                 struct sae_err *err);

/* To stdout. */
void sae_help_print(const struct sae_opt_set *set, const char *which);
void sae_help_config(const struct sae_opt_set *set);
void sae_help_version(const struct sae_program *program);

#endif /* SAE_LIB_CLI_PARSE_H */
