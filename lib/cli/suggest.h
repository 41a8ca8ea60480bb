/* SPDX-License-Identifier: MIT */
/* suggest : what somebody may have meant by an option that does not exist. Internal to lib/cli. */
#ifndef SAE_LIB_CLI_SUGGEST_H
#define SAE_LIB_CLI_SUGGEST_H

#include "lib/cli/parse.h"

/* Writes a clause such as ", did you mean '--batch'" into `to`, or the empty string. In this order:
 * the words of other programs for the same thing (--epochs), options that begin with the name,
 * options that the name begins with, options that have the name as one of their words, and one
 * that differs by a few letters. `name` is without dashes. */
void sae_suggest(char *to, size_t size, const struct sae_opt_set *set, const char *name,
                 size_t len);

#endif /* SAE_LIB_CLI_SUGGEST_H */
