/* SPDX-License-Identifier: MIT */
/* chart : gnuplot scripts in one style, readable in print, drawn to SVG.
 * Each chart leaves charts/name.gp (self-contained: its data are inside) and charts/name.svg.
 * Where gnuplot is missing the .gp stays, a warning says so, and the program goes on.
 *
 * Titles, labels and names come from folders and from files of other people. Each goes through
 * sae_chart_text or sae_chart_tic, which make one string constant of it: nothing else may put text
 * that is not a literal of the source into a script. Data blocks hold numbers only. */
#ifndef SAE_LIB_CLI_CHART_H
#define SAE_LIB_CLI_CHART_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct sae_chart_head {
    const char *title, *subtitle; /* NULL: none; the subtitle is set small below the title */
    const char *xlabel, *ylabel;  /* NULL: none */
    size_t width, height;         /* pixels; 0: 860 and 520 */
};

/* Starts a script: file and terminal, fonts, line styles (eight, 1..8, colour-blind safe, distinct
 * in grey too), grid, title, axis labels. */
SAE_MUST_CHECK enum sae_status
sae_chart_begin(struct sae_str *gp, const struct sae_chart_head *head, struct sae_err *err);
/* The caller appends `$data << EOD ... EOD` blocks and `plot` lines with sae_str_printf, then
 * ends it: writes dir/name.gp, runs gnuplot, renames dir/name.svg into place. Clears gp.
 * dir is made where missing. */
SAE_MUST_CHECK enum sae_status sae_chart_end(struct sae_str *gp, const char *dir, const char *name,
                                             struct sae_err *err);

/* Text as a gnuplot string constant, its single quotes included: gnuplot expands nothing in it (no
 * `command`, no @macro, no escape), enhanced-text marks print as themselves, an apostrophe becomes
 * U+2019, and what a terminal or XML does not bear stands as \x1b (sae_utf8_shown). New memory. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_chart_text(char **ret, const char *text, struct sae_err *err);
/* The same for a label in a list of `set xtics (...)`, which gnuplot takes for a format. */
SAE_MUST_CHECK enum sae_status sae_chart_tic(char **ret, const char *text, struct sae_err *err);
/* Appends `command 'title'` with the subtitle (NULL: none) small below it, and a newline:
 * "set title", or "set multiplot ... title". */
SAE_MUST_CHECK enum sae_status sae_chart_title(struct sae_str *gp, const char *command,
                                               const char *title, const char *subtitle,
                                               struct sae_err *err);

#endif /* SAE_LIB_CLI_CHART_H */
