/* SPDX-License-Identifier: MIT */
/* charts : a chart an evaluation, by phase; both aims in one picture; and the list of all charts in
 * the order in which the notes name them. */
#include "report/charts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/stop.h"
#include "report/notes.h"

/* --- both aims in one picture ---------------------------------------------------------------- */

struct point {
    double x, y;
};

/* Means of a setting over its seeds. At 0 % nothing is learned: the point would only flatten the
 * rest. */
static bool aims_at(const struct report *report, size_t group, int percent, struct point *ret)
{
    double se;
    (void)report_group_stats(report, group, percent, sae_metric_by("heldout_ev"), &ret->x, &se);
    (void)report_group_stats(report, group, percent, sae_metric_by("mean_max_cos"), &ret->y, &se);
    return percent > 0 && isfinite(ret->x) && isfinite(ret->y);
}

enum { PERCENTS = 64 };

/* The range of all points and a margin round it. */
static enum sae_status aims_range(struct chart *chart, const int *percents, size_t n,
                                  struct sae_err *err)
{
    const struct report *const report = chart->of->report;
    struct point low = {INFINITY, INFINITY}, high = {-INFINITY, -INFINITY}, at;
    for (size_t g = 0; g < report->n_groups; g++)
        for (size_t p = 0; p < n; p++)
            if (aims_at(report, g, percents[p], &at)) {
                low = (struct point){fmin(low.x, at.x), fmin(low.y, at.y)};
                high = (struct point){fmax(high.x, at.x), fmax(high.y, at.y)};
            }
    if (!(high.x >= low.x))
        return SAE_OK;
    const double dx = 0.08 * (high.x - low.x) + 1e-4, dy = 0.08 * (high.y - low.y) + 1e-4;
    return sae_str_printf(chart_now(chart), err, "set xrange [%.6g:%.6g]\nset yrange [%.6g:%.6g]\n",
                          low.x - dx, high.x + dx, low.y - dy, high.y + dy);
}

static enum sae_status aims_curve(struct chart *chart, size_t group, const int *percents, size_t n,
                                  size_t *block, struct sae_err *err)
{
    char label[CHART_LABEL], looks[CHART_STYLE], with[CHART_STYLE + 64];
    struct point at, last = {NAN, NAN};
    size_t end, first;
    SAE_TRY(chart_open(chart, block, err));
    for (size_t p = 0; p < n; p++)
        if (aims_at(chart->of->report, group, percents[p], &at)) {
            SAE_TRY(sae_str_printf(&chart->data, err, "%.9g %.9g\n", at.x, at.y));
            last = at;
            chart->averaged |= report_group_size(chart->of->report, group, &first) > 1;
        }
    SAE_TRY(chart_close(chart, err));
    if (!isfinite(last.x))
        return SAE_OK;
    SAE_TRY(chart_open(chart, &end, err));
    SAE_TRY(sae_str_printf(&chart->data, err, "%.9g %.9g\n", last.x, last.y));
    SAE_TRY(chart_close(chart, err));
    snprintf(with, sizeof with, "using 1:2 with linespoints %s",
             chart_style(chart->of, group, looks));
    SAE_TRY(chart_curve(chart, *block, with, chart_label(chart->of, group, label), err));
    snprintf(with, sizeof with, "using 1:2 with points lc rgb '%.7s' lw 1.5 pt 6 ps 2",
             chart_colour(chart->of, group, looks));
    return chart_curve(chart, end, with, NULL, err);
}

static enum sae_status trade_off(struct charts *charts, struct sae_err *err)
{
    struct chart chart = {.of = charts};
    int percents[PERCENTS];
    const size_t n = notes_percents(charts->report, percents, PERCENTS);
    size_t block = 0;
    enum sae_status st = SAE_OK;
    SAE_GO(st, chart_panel(&chart, "", "explained variance, held out (right is better)",
                           "cosine to the nearest (down is better)", err));
    SAE_GO(st, aims_range(&chart, percents, n, err));
    SAE_GO(st, sae_str_printf(chart_now(&chart), err, "set xtics autofreq\n"));
    for (size_t g = 0; g < charts->report->n_groups; g++)
        SAE_GO(st, aims_curve(&chart, g, percents, n, &block, err));
    SAE_GO(st, chart_axes_key(&chart, block, err));
    chart_end_panel(&chart);
    chart.bare = true;
    return chart_finish(&chart, "trade_off", "Reconstruction against separation",
                        "one point a phase after 0 %, joined in order of training; a ring marks "
                        "the last",
                        "both aims in one picture: a run further right reconstructs better, "
                        "further down separates better",
                        err);
done:
    chart_clear(&chart);
    return st;
}

/* --- evaluations ---------------------------------------------------------------------------- */

/* What does not depend on the run, as the raw neurons' accuracy: the last value found is drawn. */
static double level_of(const struct report *report, const char *id)
{
    double x = NAN;
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++) {
            const double y = report_value(&report->runs[i].phases[p], sae_metric_by(id));
            x = isfinite(y) ? y : x;
        }
    return x;
}

static enum sae_status panel_of(struct chart *chart, const struct sae_metric *metric,
                                struct sae_err *err)
{
    const size_t before = chart->n_panels;
    SAE_TRY(chart_phases(chart, metric, err));
    const double level = metric->level != NULL ? level_of(chart->of->report, metric->level) : NAN;
    if (chart->n_panels == before || !isfinite(level))
        return SAE_OK;
    return sae_str_printf(chart_now(chart), err,
                          ", %.9g with lines lw 1.8 dt 2 lc rgb '#000000' title 'raw neurons'",
                          level);
}

/* The panels of its metrics' rows. */
static enum sae_status chart_source(struct charts *charts, enum sae_source source,
                                    struct sae_err *err)
{
    const struct report_source_row *const row = &report_sources[source];
    struct chart chart = {.of = charts};
    enum sae_status st = SAE_OK;
    SAE_EACH_METRIC(metric)
    {
        if (metric->source == source && metric->panel != NULL)
            SAE_GO(st, panel_of(&chart, metric, err));
    }
    return chart_finish(&chart, row->chart.file, row->chart.title, row->chart.subtitle,
                        row->chart.caption, err);
done:
    chart_clear(&chart);
    return st;
}

/* --- all of them ---------------------------------------------------------------------------- */

/* Takes what a chart came to: one that fails leaves the others to be drawn. */
static enum sae_status take(struct charts *charts, enum sae_status st, const struct sae_err *why,
                            struct sae_err *err)
{
    if (sae_stop_asked())
        return sae_err_set(err, SAE_EINTR, "stopped before all charts were drawn");
    if (st == SAE_OK)
        return SAE_OK;
    sae_log_warn("a chart is left out: %s", why->msg);
    return report_lines_add(&charts->report->problems, err, "A chart is left out: %s", why->msg);
}

static enum sae_status draw_all(struct charts *charts, struct sae_err *err)
{
    static enum sae_status (*const others[])(struct charts *, struct sae_err *) = {
        charts_grid,      trade_off,        charts_cos_hist, charts_losses,
        charts_schedules, charts_gradients, charts_monitors, charts_pairs,
    };
    struct sae_err why = {0};
    for (enum sae_source s = 0; s < SAE_SOURCE_N; s++)
        SAE_TRY(take(charts, chart_source(charts, s, &why), &why, err));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        SAE_TRY(take(charts, others[i](charts, &why), &why, err));
    return charts_list(charts, err);
}

enum sae_status report_draw(struct report *report, const struct report_settings *settings,
                            struct sae_chart_options *how, const char *title, struct sae_err *err)
{
    struct charts charts = {.report = report,
                            .how = how,
                            .dir = settings->charts,
                            .title = title,
                            .labelled = settings->n_labels > 0};
    enum sae_status st;
    SAE_GO(st, sae_fs_make_dirs(charts.dir, err));
    SAE_GO(st, charts_style(&charts, err));
    SAE_GO(st, draw_all(&charts, err));
done:
    report_lines_clear(&charts.names);
    return st;
}
