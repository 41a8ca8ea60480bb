/* SPDX-License-Identifier: MIT */
/* grid : options given as lists (SAE_OPT_SWEEP), and the combinations of their values. The first
 * option of the table varies slowest. */
#ifndef SAE_LIB_CLI_GRID_H
#define SAE_LIB_CLI_GRID_H

#include "lib/cli/opt.h"

struct sae_grid;

/* Reads the lists that the command line and --config gave.
 * Fails: SAE_EARG a value named twice in one list, more than 10000 combinations */
SAE_MUST_CHECK enum sae_status sae_grid_open(struct sae_grid **ret, const struct sae_cli *cli,
                                             struct sae_err *err);
void sae_grid_close(struct sae_grid *grid); /* accepts NULL */

size_t sae_grid_n(const struct sae_grid *grid); /* combinations; 1 where no list was given */
bool sae_grid_is_list(const struct sae_grid *grid, const char *option);

/* Makes the table what it would be had this combination alone been typed: texts, what was given,
 * destinations. Undoes an earlier sae_opt_drop. */
SAE_MUST_CHECK enum sae_status sae_grid_set(struct sae_grid *grid, size_t i, struct sae_err *err);
/* Marks what is given now, after drops, as used by some run. */
void sae_grid_keep(struct sae_grid *grid);
/* An option that was given and that no run kept; NULL if none. */
const char *sae_grid_unused(const struct sae_grid *grid);
/* Calls for each option that was given as a list and is still given, in order of the table: its
 * name and its present value. */
SAE_MUST_CHECK enum sae_status sae_grid_each(const struct sae_grid *grid,
                                             enum sae_status (*call)(void *user, const char *option,
                                                                     const char *value,
                                                                     struct sae_err *err),
                                             void *user, struct sae_err *err);

#endif /* SAE_LIB_CLI_GRID_H */
