/* SPDX-License-Identifier: MIT */
/* charts : the report's charts. A chart is data blocks and one panel or several; panels that find
 * no data are left out, and a chart without panels is not drawn. */
#ifndef SAE_REPORT_CHARTS_H
#define SAE_REPORT_CHARTS_H

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "report/report.h"

#define CHART_PANELS 12

struct chart {
    const char *dir;
    struct sae_str data;                 /* $blocks */
    struct sae_str panels[CHART_PANELS]; /* settings and a plot command each */
    size_t curves[CHART_PANELS];         /* with a label, in each panel */
    size_t longest;                      /* label, in characters */
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
/* Marks of a panel's axis of steps that leave room for their numbers. */
SAE_MUST_CHECK enum sae_status chart_steps(struct chart *chart, double from, double to,
                                           struct sae_err *err);
/* Runs that differ in their seed only share a style and one key entry, "run_a_s1 (3 seeds)", which
 * the first of them has; NULL for the others. buf of CHART_LABEL. */
enum { CHART_LABEL = 128 };
size_t chart_style(const struct report *report, size_t run);
const char *chart_label(const struct report *report, size_t run, char *buf);
/* Draws and lists the chart; nothing where it has no panel. Clears it. */
SAE_MUST_CHECK enum sae_status chart_finish(struct chart *chart, struct report *report,
                                            const char *name, const char *title,
                                            const char *subtitle, const char *caption,
                                            struct sae_err *err);
void chart_clear(struct chart *chart);

/* One panel: a metric by phase, a line a run. Returns with the panel dropped where no run has it.
 */
SAE_MUST_CHECK enum sae_status chart_phases(struct chart *chart, const struct report *report,
                                            const char *metric, const char *title,
                                            const char *ylabel, bool log_y, struct sae_err *err);
/* One panel: a column of the time series by step, a line a run. */
SAE_MUST_CHECK enum sae_status chart_series(struct chart *chart, const struct report *report,
                                            const char *name, const char *title, const char *ylabel,
                                            bool log_y, struct sae_err *err);

/* The charts of charts_runs.c: what the checkpoints themselves hold. */
SAE_MUST_CHECK enum sae_status charts_training(struct report *report, const char *dir,
                                               struct sae_err *err);
SAE_MUST_CHECK enum sae_status charts_pairs(struct report *report, const char *dir,
                                            struct sae_err *err);
SAE_MUST_CHECK enum sae_status charts_cos_hist(struct report *report, const char *dir,
                                               struct sae_err *err);
/* The chart of notes_grid.c: figures over the swept options. */
SAE_MUST_CHECK enum sae_status charts_grid(struct report *report, const char *dir,
                                           struct sae_err *err);

#endif /* SAE_REPORT_CHARTS_H */
