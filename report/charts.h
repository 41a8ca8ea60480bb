/* SPDX-License-Identifier: MIT */
/* charts : the report's charts. A chart is data blocks and one panel or several; panels that find
 * no data are left out, and a chart without panels is not drawn.
 *
 * A line is a setting: runs that differ in their seed only make one, their mean, with a band from
 * the least to the greatest of them. */
#ifndef SAE_REPORT_CHARTS_H
#define SAE_REPORT_CHARTS_H

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/cli/chart.h"
#include "report/compare.h"
#include "report/grid.h"
#include "report/report.h"

/* What the charts of one report have in common. */
struct charts {
    struct report *report;
    struct sae_chart_options *how;
    const char *dir;
    const char *title;         /* in place of each chart's own; "": none; NULL: its own */
    bool labelled;             /* runs have names that the user gave */
    struct report_grid grid;   /* of the settings */
    bool by_axes;              /* colours and dashes stand for values of the two swept options */
    struct report_lines names; /* drawn so far */
};

#define CHART_PANELS 12

struct chart {
    struct charts *of;
    struct sae_str data;                 /* $blocks */
    struct sae_str panels[CHART_PANELS]; /* settings and a plot command each */
    size_t curves[CHART_PANELS];         /* with a label, in each panel */
    size_t longest;                      /* label, in characters */
    bool bare;                           /* its panels have no titles */
    bool banded;                         /* a line has a band */
    bool barred;                         /* a point has a bar over its seeds */
    bool averaged;                       /* a line stands for several seeds */
    bool noted;                          /* a panel's title has a second line */
    bool plotted;                        /* the panel being filled has its plot command */
    size_t n_panels, n_blocks;
};

/* Starts a panel: title, axis labels. */
SAE_MUST_CHECK enum sae_status chart_panel(struct chart *chart, const char *title,
                                           const char *xlabel, const char *ylabel,
                                           struct sae_err *err);
/* The panel being filled. */
struct sae_str *chart_now(struct chart *chart);
/* Ends the panel; one without a curve is dropped. */
void chart_end_panel(struct chart *chart);
/* Opens a data block; rows follow through chart->data; chart_close ends it. *ret is its number:
 * plot it as $b<number>. */
SAE_MUST_CHECK enum sae_status chart_open(struct chart *chart, size_t *ret, struct sae_err *err);
SAE_MUST_CHECK enum sae_status chart_close(struct chart *chart, struct sae_err *err);
/* Adds one curve to the panel: "$b3 using 1:2 with lines ls 2 title ...". label NULL: no key
 * entry. The key is drawn once for all panels, below them. */
SAE_MUST_CHECK enum sae_status chart_curve(struct chart *chart, size_t block, const char *with,
                                           const char *label, struct sae_err *err);
/* Sets marks on the axis of steps, far enough apart for their numbers. */
SAE_MUST_CHECK enum sae_status chart_steps(struct chart *chart, double from, double to,
                                           struct sae_err *err);
/* Draws and lists the chart, if it has a panel. Clears it. */
SAE_MUST_CHECK enum sae_status chart_finish(struct chart *chart, const char *name,
                                            const char *title, const char *subtitle,
                                            const char *caption, struct sae_err *err);
void chart_clear(struct chart *chart);

/* One panel: a metric that has one, by phase, a line a setting. Values at 0 % that would flatten all others lie
 * off the scale, and the title says so. Returns with the panel dropped where no run has the metric.
 */
SAE_MUST_CHECK enum sae_status chart_phases(struct chart *chart, const struct sae_metric *metric,
                                            struct sae_err *err);

/* A column of the time series. */
struct chart_column {
    const char *name;
    const char *title, *ylabel;
    bool log_y;
    bool of_term;     /* has a meaning only in runs with the orthogonality term */
    bool may_be_zero; /* else a run whose column is all zeros lacks it */
};
/* One panel: a column by step, a line a setting. Runs that lack it are left out. */
SAE_MUST_CHECK enum sae_status chart_series(struct chart *chart, const struct chart_column *column,
                                            struct sae_err *err);
/* Adds the values of the axes to the key, by empty curves over a block that is plotted. */
SAE_MUST_CHECK enum sae_status chart_axes_key(struct chart *chart, size_t block,
                                              struct sae_err *err);

/* --- chart_style.c: how a setting looks, and what it is called ---------------------------- */

/* Finds the grid of the settings, which gives many of them different styles. */
SAE_MUST_CHECK enum sae_status charts_style(struct charts *charts, struct sae_err *err);
/* "lc rgb '#0072b2' lw 2.2 dt 1 pt 7 ps 0.8" of a group; the colour alone. buf of CHART_STYLE. */
enum { CHART_STYLE = 96 };
const char *chart_style(const struct charts *charts, size_t group, char buf[CHART_STYLE]);
const char *chart_colour(const struct charts *charts, size_t group, char buf[CHART_STYLE]);
/* The same for the i-th of n phases, and for a value of the grid's column axis. */
const char *chart_style_of(size_t i, size_t n, char buf[CHART_STYLE]);
const char *chart_style_of_column(const struct charts *charts, size_t i, size_t n,
                                  char buf[CHART_STYLE]);
/* The name of a group in the key, cut to what fits; NULL where the axes stand in the key instead.
 */
enum { CHART_LABEL = 80 };
const char *chart_label(const struct charts *charts, size_t group, char buf[CHART_LABEL]);
/* Of value i of n of an axis, which has colours or dashes; whether that is the rows' axis. */
const char *chart_style_of_value(size_t i, size_t n, bool coloured, char buf[CHART_STYLE]);
bool chart_rows_have_colours(const struct report_grid *grid);

/* --- the charts --------------------------------------------------------------------------- */

/* charts_runs.c: what the checkpoints themselves hold. */
SAE_MUST_CHECK enum sae_status charts_losses(struct charts *charts, struct sae_err *err);
SAE_MUST_CHECK enum sae_status charts_schedules(struct charts *charts, struct sae_err *err);
SAE_MUST_CHECK enum sae_status charts_gradients(struct charts *charts, struct sae_err *err);
SAE_MUST_CHECK enum sae_status charts_monitors(struct charts *charts, struct sae_err *err);
SAE_MUST_CHECK enum sae_status charts_pairs(struct charts *charts, struct sae_err *err);
SAE_MUST_CHECK enum sae_status charts_cos_hist(struct charts *charts, struct sae_err *err);
/* The chart of notes_grid.c: figures over the swept options. */
SAE_MUST_CHECK enum sae_status charts_grid(struct charts *charts, struct sae_err *err);

/* chart_list.c: charts.txt names what the last report drew into a folder. Removes those that this
 * report has not drawn, and writes the list again. */
SAE_MUST_CHECK enum sae_status charts_list(const struct charts *charts, struct sae_err *err);

#endif /* SAE_REPORT_CHARTS_H */
