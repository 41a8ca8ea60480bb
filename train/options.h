/* SPDX-License-Identifier: MIT */
/* options : the command line of sae-train, and what it leads to. */
#ifndef SAE_TRAIN_OPTIONS_H
#define SAE_TRAIN_OPTIONS_H

#include "lib/cli/opt.h"
#include "train/settings.h"

/* Refuses options that were given but mean nothing, or the opposite, beside others.
 * Fails: SAE_EARG (the message names both) */
SAE_MUST_CHECK enum sae_status options_check(const struct sae_cli *cli, const struct settings *set,
                                             struct sae_err *err);

/* For a run of a sweep over what decides the meaning of others (--arch topk,gated --k 32): forgets
 * what means nothing beside this run's choices. set: the destinations of the table. */
SAE_MUST_CHECK enum sae_status options_drop(const struct sae_cli *cli, struct settings *set,
                                            struct sae_err *err);

/* Writes what the rules chose over the unset options of a record, as text that parses back to
 * the same value; options without meaning for this run stay null. */
SAE_MUST_CHECK enum sae_status options_record(json_t *record, const struct settings *set,
                                              struct sae_err *err);

/* Values that the parser leaves alone when an option is recorded as null. */
void options_unset(struct settings *set);

#endif /* SAE_TRAIN_OPTIONS_H */
