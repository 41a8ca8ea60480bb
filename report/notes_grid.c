/* SPDX-License-Identifier: MIT */
/* notes_grid : the grid of a sweep - a table a metric over two axes, or one table over one axis - and
 * its chart. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/cli/chart.h"
#include "lib/cli/table.h"
#include "report/charts.h"
#include "report/compare.h"
#include "report/grid.h"
#include "report/notes.h"

/* --- 1. tables ---------------------------------------------------------------------------- */

/* Mean of a cell; NaN where it was not run or not measured. */
static double cell_mean(const struct report_grid *grid, const struct report *report, size_t slice,
                        size_t row, size_t col, const struct sae_metric *metric, size_t *ret_n,
                        double *ret_se)
{
    const size_t group = report_grid_cell(grid, report, slice, row, col);
    double mean = NAN;
    *ret_n = group == SIZE_MAX ? 0
                               : report_group_stats(report, group, report_last_percent(report),
                                                    metric, &mean, ret_se);
    return mean;
}

static size_t columns_of(const struct report_grid *grid)
{
    return grid->n_axes == 2 ? grid->col.n : 1;
}

/* The cell with the best mean, by its group; SIZE_MAX where the metric has no better direction or no
 * cell has it. */
static size_t best_of(const struct report_grid *grid, const struct report *report, size_t slice,
                      const struct sae_metric *metric)
{
    double best = NAN;
    size_t group = SIZE_MAX;
    for (size_t r = 0; r < grid->row.n; r++)
        for (size_t c = 0; c < columns_of(grid); c++) {
            size_t n;
            double se;
            const double x = cell_mean(grid, report, slice, r, c, metric, &n, &se);
            if (isfinite(x) && metric->better != 0 &&
                !(isfinite(best) && (x - best) * metric->better <= 0)) {
                best = x;
                group = report_grid_cell(grid, report, slice, r, c);
            }
        }
    return group;
}

static enum report_verdict against_best(const struct report *report, size_t best, size_t group,
                                        const struct sae_metric *metric)
{
    return report_compare(report, best, group, report_last_percent(report), metric).verdict;
}

/* The best cell, where each other can be judged against it: by several seeds, at equal L0. Else
 * SIZE_MAX, and no cell is marked. */
static size_t marked_best(const struct report_grid *grid, const struct report *report, size_t slice,
                          const struct sae_metric *metric)
{
    const size_t best = best_of(grid, report, slice, metric);
    for (size_t r = 0; best != SIZE_MAX && r < grid->row.n; r++)
        for (size_t c = 0; c < columns_of(grid); c++) {
            const size_t group = report_grid_cell(grid, report, slice, r, c);
            if (group == SIZE_MAX || group == best)
                continue;
            const enum report_verdict v = against_best(report, best, group, metric);
            if (v == REPORT_CANNOT_TELL || v == REPORT_UNEQUAL_L0 || v == REPORT_UNLIKE)
                return SIZE_MAX;
        }
    return best;
}

/* " *" for the best, " ~" for what is within noise of it. */
static const char *mark_of(const struct report *report, size_t best, size_t group,
                           const struct sae_metric *metric)
{
    if (best == SIZE_MAX)
        return "  ";
    if (group == best)
        return " *";
    return against_best(report, best, group, metric) == REPORT_WITHIN_NOISE ? " ~" : "  ";
}

static void add_cell(struct sae_table *table, const struct report_grid *grid,
                     const struct report *report, size_t slice, size_t row, size_t col,
                     const struct sae_metric *metric, size_t best)
{
    size_t n;
    double se = NAN;
    const size_t group = report_grid_cell(grid, report, slice, row, col);
    const double mean = cell_mean(grid, report, slice, row, col, metric, &n, &se);
    const char *const mark = n > 0 ? mark_of(report, best, group, metric) : "";
    if (n == 0)
        sae_table_text(table, "%s", "");
    else if (n == 1)
        sae_table_text(table, "%.*f%s", metric->digits, mean, mark);
    else
        sae_table_text(table, "%.*f +- %.*f%s", metric->digits, mean, metric->digits, se, mark);
}

/* Whether a run has it at its end. */
static bool is_measured(const struct report *report, const struct sae_metric *metric)
{
    for (size_t r = 0; r < report->n_trained; r++)
        if (isfinite(report_value(report_phase_last(&report->runs[r]), metric)))
            return true;
    return false;
}

/* "arch topk, k 32": what this table holds fixed. */
static enum sae_status print_slice(const struct report_grid *grid, const struct report *report,
                                   size_t slice, FILE *to, struct sae_err *err)
{
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    for (size_t o = 0; o < grid->n_other; o++)
        SAE_GO(st, sae_str_printf(&text, err, "%s%s %s", o > 0 ? ", " : "", grid->other[o],
                                  report_option(&report->runs[slice], grid->other[o])));
    if (text.s != NULL)
        fprintf(to, "  With %s:\n\n", text.s);
done:
    sae_str_clear(&text);
    return st;
}

/* Rows and columns are the axes. */
static enum sae_status print_plane(const struct report_grid *grid, const struct report *report,
                                   size_t slice, const struct sae_metric *metric,
                                   FILE *to, struct sae_err *err)
{
    const char *heads[GRID_VALUES + 1];
    struct sae_str corner = {0};
    struct sae_table *table = NULL;
    enum sae_status st;
    const size_t best = marked_best(grid, report, slice, metric);
    if (best_of(grid, report, slice, metric) == SIZE_MAX && metric->better != 0)
        return SAE_OK;
    SAE_GO(st, sae_str_printf(&corner, err, "%s | %s", grid->row.option, grid->col.option));
    heads[0] = corner.s;
    for (size_t c = 0; c < grid->col.n; c++)
        heads[c + 1] = grid->col.value[c];
    fprintf(to, "  %s%s\n\n", metric->column,
            metric->better < 0   ? " (lower is better)"
            : metric->better > 0 ? " (higher is better)"
                                 : "");
    SAE_GO(st, sae_table_make(&table, grid->col.n + 1, heads, err));
    for (size_t r = 0; r < grid->row.n; r++) {
        sae_table_text(table, "%s", grid->row.value[r]);
        for (size_t c = 0; c < grid->col.n; c++)
            add_cell(table, grid, report, slice, r, c, metric, best);
    }
    SAE_GO(st, sae_table_print(table, to, 2, err));
    fputc('\n', to);
done:
    sae_table_free(table);
    sae_str_clear(&corner);
    return st;
}

enum { A_TABLE = 4 };

static enum sae_status print_columns(const struct report_grid *grid, const struct report *report,
                                     size_t slice, const struct sae_metric *const *metrics, size_t n,
                                     FILE *to, struct sae_err *err)
{
    const char *heads[A_TABLE + 1] = {grid->row.option};
    struct sae_table *table = NULL;
    if (n == 0)
        return SAE_OK;
    for (size_t m = 0; m < n; m++)
        heads[m + 1] = metrics[m]->column;
    SAE_TRY(sae_table_make(&table, n + 1, heads, err));
    for (size_t r = 0; r < grid->row.n; r++) {
        sae_table_text(table, "%s", grid->row.value[r]);
        for (size_t m = 0; m < n; m++)
            add_cell(table, grid, report, slice, r, 0, metrics[m],
                     marked_best(grid, report, slice, metrics[m]));
    }
    const enum sae_status st = sae_table_print(table, to, 2, err);
    sae_table_free(table);
    fputc('\n', to);
    return st;
}

/* One axis: metrics are the columns, a few a table. */
static enum sae_status print_line(const struct report_grid *grid, const struct report *report,
                                  size_t slice, FILE *to, struct sae_err *err)
{
    const struct sae_metric *metrics[A_TABLE];
    size_t n = 0;
    NOTES_EACH_HEADLINE(metric)
    {
        if (!is_measured(report, metric))
            continue;
        metrics[n++] = metric;
        if (n == A_TABLE) {
            SAE_TRY(print_columns(grid, report, slice, metrics, n, to, err));
            n = 0;
        }
    }
    return print_columns(grid, report, slice, metrics, n, to, err);
}

enum sae_status notes_grid(const struct report *report, FILE *to, struct sae_err *err)
{
    struct report_grid grid;
    SAE_TRY(report_grid_find(&grid, report, err));
    if (grid.n_axes == 0)
        return SAE_OK;
    notes_heading(to, "The grid");
    report_wrap(to, "  ", 2,
                "At %d %% of training%s. In a %s, * marks the best mean and ~ what is within noise "
                "of it by the 95 %% interval; nothing is marked where a setting has one seed alone, "
                "or where L0 differs by more than 5 %%. A setting that has no such option stands as "
                "-.",
                report_last_percent(report),
                report->n_groups < report->n_runs
                    ? ": mean +- standard error over runs that differ in their seed only"
                    : "",
                grid.n_axes == 2 ? "table" : "column");
    fputc('\n', to);
    for (size_t i = 0; i < report->n_trained; i++) {
        if (!report_grid_begins(&grid, report, i))
            continue;
        SAE_TRY(print_slice(&grid, report, i, to, err));
        if (grid.n_axes == 1) {
            SAE_TRY(print_line(&grid, report, i, to, err));
            continue;
        }
        NOTES_EACH_HEADLINE(metric)
        {
            if (is_measured(report, metric))
                SAE_TRY(print_plane(&grid, report, i, metric, to, err));
        }
    }
    return SAE_OK;
}

/* --- 2. chart ----------------------------------------------------------------------------- */

/* One line of the panel: a value of the column axis, over the row axis. */
static enum sae_status grid_curve(struct chart *chart, const struct report_grid *grid,
                                  const struct report *report, size_t slice, size_t col,
                                  const struct sae_metric *metric, size_t style, size_t n_styles,
                                  struct sae_err *err)
{
    struct sae_str label = {0};
    size_t block, points = 0;
    char with[CHART_STYLE + 64], looks[CHART_STYLE];
    enum sae_status st;
    SAE_GO(st, chart_open(chart, &block, err));
    for (size_t r = 0; r < grid->row.n; r++) {
        size_t n;
        double se = 0;
        const double mean = cell_mean(grid, report, slice, r, col, metric, &n, &se);
        if (!isfinite(mean))
            continue;
        SAE_GO(st, sae_str_printf(&chart->data, err, "%zu %.9g %.9g\n", r, mean,
                                  isfinite(se) ? se : 0));
        points++;
    }
    SAE_GO(st, chart_close(chart, err));
    if (points == 0)
        goto done;
    if (grid->n_axes == 2)
        SAE_GO(st, sae_str_printf(&label, err, "%s %s", grid->col.option, grid->col.value[col]));
    for (size_t o = 0; o < grid->n_other; o++)
        SAE_GO(st, sae_str_printf(&label, err, "%s%s %s", label.s != NULL ? ", " : "",
                                  grid->other[o],
                                  report_option(&report->runs[slice], grid->other[o])));
    snprintf(with, sizeof with, "using 1:2:3 with yerrorlines %s",
             chart_style_of_column(chart->of, style, n_styles, looks));
    st = chart_curve(chart, block, with, label.s, err);
done:
    sae_str_clear(&label);
    return st;
}

static enum sae_status grid_panel(struct chart *chart, const struct report_grid *grid,
                                  const struct report *report, const struct sae_metric *metric,
                                  struct sae_err *err)
{
    char title[96];
    size_t style = 0, n = 0;
    for (size_t i = 0; i < report->n_trained; i++)
        n += report_grid_begins(grid, report, i) ? columns_of(grid) : 0;
    snprintf(title, sizeof title, "%s%s", metric->column,
             metric->better < 0   ? " (lower is better)"
             : metric->better > 0 ? " (higher is better)"
                                  : "");
    SAE_TRY(chart_panel(chart, title, grid->row.option, "", err));
    SAE_TRY(sae_str_printf(chart_now(chart), err, "set xrange [-0.4:%g]\nset xtics (",
                           (double)grid->row.n - 0.6));
    for (size_t r = 0; r < grid->row.n; r++) {
        char *tic = NULL;
        SAE_TRY(sae_chart_tic(&tic, grid->row.value[r], err));
        const enum sae_status st =
            sae_str_printf(chart_now(chart), err, "%s%s %zu", r > 0 ? ", " : "", tic, r);
        free(tic);
        SAE_TRY(st);
    }
    SAE_TRY(sae_str_printf(chart_now(chart), err, ")\n"));
    for (size_t i = 0; i < report->n_trained; i++) {
        if (!report_grid_begins(grid, report, i))
            continue;
        for (size_t c = 0; c < columns_of(grid); c++)
            SAE_TRY(grid_curve(chart, grid, report, i, c, metric, style++, n, err));
    }
    chart_end_panel(chart);
    return SAE_OK;
}

enum sae_status charts_grid(struct charts *charts, struct sae_err *err)
{
    const struct report *const report = charts->report;
    enum { MOST = 6 };
    struct chart chart = {.of = charts};
    struct report_grid grid;
    enum sae_status st;
    SAE_TRY(report_grid_find(&grid, report, err));
    if (grid.n_axes == 0)
        return SAE_OK;
    NOTES_EACH_HEADLINE(metric)
    {
        if (chart.n_panels < MOST && is_measured(report, metric))
            SAE_GO(st, grid_panel(&chart, &grid, report, metric, err));
    }
    return chart_finish(&chart, "grid", "The grid of settings, at the end of training",
                        "a point a setting: mean over seeds, bars of one standard error where "
                        "there are several",
                        "the figures of each setting over the values of the swept options", err);
done:
    chart_clear(&chart);
    return st;
}
