/* SPDX-License-Identifier: MIT */
/* chart : gnuplot scripts in one style, readable in print, drawn to SVG, PDF or PNG.
 * Each chart leaves dir/name.gp (self-contained: its data are inside) and a picture a format. The
 * script draws itself again: gnuplot -c name.gp other.pdf. Where gnuplot is missing the script
 * stays and a warning says so.
 *
 * Titles, labels and names come from folders and from files of other people. Each goes through
 * sae_chart_text or sae_chart_tic, which make one string constant of it: nothing else may put text
 * that is not a literal of the source into a script. Data blocks hold numbers only. */
#ifndef SAE_LIB_CLI_CHART_H
#define SAE_LIB_CLI_CHART_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/cli/opt.h"

enum sae_chart_width { SAE_CHART_PAGE, SAE_CHART_COLUMN };

/* Options of every program that draws; rows for its table. */
struct sae_chart_options {
    struct sae_strs formats;
    int width;         /* enum sae_chart_width */
    bool warned;       /* the warning about gnuplot is given once */
};
extern const char *const sae_chart_widths[];
#define SAE_CHART_ROWS(given)                                                                      \
    {"format",                                                                                     \
     0,                                                                                            \
     SAE_OPT_STRS,                                                                                 \
     &(given).formats,                                                                             \
     "svg",                                                                                        \
     .arg = "svg,pdf,png",                                                                         \
     .group = "Output",                                                                            \
     .help = "formats of the charts: one or several of svg, pdf, png",                             \
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},                                                  \
    {                                                                                              \
        "chart-width", 0, SAE_OPT_ENUM, &(given).width, "page",                                    \
            .choices = sae_chart_widths, .arg = "WIDTH", .group = "Output",                        \
            .help =                                                                                \
                "charts as wide as a printed page (16.5 cm) or a column of two (8.4 cm), with "    \
                "letters of 7 to 8 points in both",                                                \
            .flags = SAE_OPT_UNRECORDED                                                            \
    }
/* To be called before the work. Fails: SAE_EARG a format that is none */
SAE_MUST_CHECK enum sae_status sae_chart_check(const struct sae_chart_options *how,
                                               struct sae_err *err);

struct sae_chart_head {
    const char *title, *subtitle; /* NULL: none; the subtitle is set small below the title */
    const char *xlabel, *ylabel;  /* NULL: none */
    size_t width, height;         /* pixels, 132 an inch of print; 0: those of --chart-width */
};
size_t sae_chart_pixels(const struct sae_chart_options *how); /* width of --chart-width */

/* Starts a script: file and terminal, fonts, line styles (eight, 1..8, colour-blind safe, distinct
 * in grey too), grid, title, axis labels. */
SAE_MUST_CHECK enum sae_status sae_chart_begin(struct sae_str *gp,
                                               const struct sae_chart_options *how,
                                               const struct sae_chart_head *head,
                                               struct sae_err *err);
/* The caller appends `$data << EOD ... EOD` blocks and `plot` lines with sae_str_printf, then
 * ends it: writes dir/name.gp, runs gnuplot, renames each dir/name.svg, .pdf, .png into place once
 * it is whole. Clears gp. dir is made where missing. Fails: SAE_EIO what gnuplot or the disk
 * refuses; no picture changed then */
SAE_MUST_CHECK enum sae_status sae_chart_end(struct sae_str *gp, struct sae_chart_options *how,
                                             const char *dir, const char *name,
                                             struct sae_err *err);

/* Text as a gnuplot string constant, its single quotes included: gnuplot expands nothing in it (no
 * `command`, no @macro, no escape), enhanced-text marks print as themselves, an apostrophe becomes
 * U+2019, and what a terminal or XML does not bear stands as \x1b (sae_utf8_shown). New memory. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_chart_text(char **ret, const char *text, struct sae_err *err);
/* The same for a label in a list of `set xtics (...)`, which gnuplot takes for a format. */
SAE_MUST_CHECK enum sae_status sae_chart_tic(char **ret, const char *text, struct sae_err *err);
/* Appends a command, "set title" or "set multiplot ... title", with the title in bold and the
 * subtitle (NULL: none) small below it, each broken into lines of about `columns` letters. */
SAE_MUST_CHECK enum sae_status sae_chart_title(struct sae_str *gp, const char *command,
                                               const char *title, const char *subtitle,
                                               size_t columns, struct sae_err *err);
/* Lines that a text makes at this width; letters of a bold line in so many pixels (0: the whole
 * chart). */
size_t sae_chart_lines(const char *text, size_t columns);
size_t sae_chart_columns(const struct sae_chart_options *how, size_t width);

#endif /* SAE_LIB_CLI_CHART_H */
