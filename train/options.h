/* SPDX-License-Identifier: MIT */
/* options : the command line of sae-train. An option is one row of the table here and, where it decides
 * what a run computes, a field of struct settings. From the rows follow defaults, ranges, what has a
 * meaning beside what, what a sweep leaves out of a run, and what the record says. */
#ifndef SAE_TRAIN_OPTIONS_H
#define SAE_TRAIN_OPTIONS_H

#include "lib/cli/opt.h"
#include "train/settings.h"

/* The destinations of the rows. */
extern struct options_given {
    struct settings set;
    const char *acts, *out, *resume;
    uint64_t memory; /* bytes that the runs of a group may take; 0: a rule */
    bool go_on;      /* --continue */
    bool any_space, verify, list_arch, plan;
    int matmul;
} options_given;
extern const struct sae_opt options_rows[]; /* ends with a name of NULL */

/* Refuses options that were given but mean nothing, or the opposite, beside others.
 * Fails: SAE_EARG (the message names both) */
SAE_MUST_CHECK enum sae_status options_check(const struct sae_cli *cli, const struct settings *set,
                                             struct sae_err *err);

/* For a run of a sweep over what decides the meaning of others (--arch topk,gated --k 32): forgets
 * what means nothing beside this run's choices. set: the destinations of the table. */
SAE_MUST_CHECK enum sae_status options_drop(const struct sae_cli *cli, struct settings *set,
                                            struct sae_err *err);

/* Writes what the rules chose over the unset options of a record, as text that parses back to
 * the same value; options without meaning for this run become null. set: resolved. */
SAE_MUST_CHECK enum sae_status options_record(json_t *record, const struct settings *set,
                                              struct sae_err *err);

/* Values that the parser leaves alone when an option is recorded as null. */
void options_unset(struct settings *set);

/* The defaults of all rows, with what settings_resolve chooses unset. Its lists are shared. */
void options_default(struct settings *set);

/* Prints the architectures, with the options that have a meaning for some of them only. */
SAE_MUST_CHECK enum sae_status options_list_arch(bool as_json, struct sae_err *err);

#endif /* SAE_TRAIN_OPTIONS_H */
