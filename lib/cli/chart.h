/* SPDX-License-Identifier: MIT */
/* chart : gnuplot scripts in one style, readable in print, drawn to SVG.
 * Each chart leaves charts/name.gp (self-contained: its data are inside) and charts/name.svg.
 * Where gnuplot is missing the .gp stays, a warning says so, and the program goes on. */
#ifndef SAE_LIB_CLI_CHART_H
#define SAE_LIB_CLI_CHART_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* Starts a script: terminal, fonts, palette (eight line styles 1..8, colour-blind safe, distinct
 * in grey too), grid, title, axis labels. A subtitle (may be NULL) is set small below. */
SAE_MUST_CHECK enum sae_status sae_chart_begin(struct sae_str *gp, const char *title,
                                               const char *subtitle, const char *xlabel,
                                               const char *ylabel, struct sae_err *err);
/* The caller appends `$data << EOD ... EOD` blocks and `plot` lines with sae_str_printf, then
 * ends it: writes dir/name.gp, runs gnuplot, renames dir/name.svg into place. Clears gp.
 * dir is made where missing. */
SAE_MUST_CHECK enum sae_status sae_chart_end(struct sae_str *gp, const char *dir, const char *name,
                                             struct sae_err *err);
/* Text safe inside a double-quoted gnuplot string (escapes quotes, backslashes, enhanced-mode
 * characters _ ^ { } @ &). New memory. */
SAE_MUST_CHECK enum sae_status sae_chart_quote(char **ret, const char *text, struct sae_err *err);

#endif /* SAE_LIB_CLI_CHART_H */
