/* SPDX-License-Identifier: MIT */
/* chart : panels and data blocks of one chart, put together at the end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cli/chart.h"
#include "report/charts.h"

enum sae_status chart_panel(struct chart *chart, const char *title, const char *xlabel,
                            const char *ylabel, struct sae_err *err)
{
    if (chart->n_panels == CHART_PANELS)
        return sae_err_set(err, SAE_ERANGE, "more than %d panels in one chart", CHART_PANELS);
    struct sae_str *gp = &chart->panels[chart->n_panels++];
    char *text[3] = {NULL};
    const char *const raw[3] = {title, xlabel, ylabel};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < 3; i++)
        SAE_GO(st, sae_chart_quote(&text[i], raw[i] != NULL ? raw[i] : "", err));
    st = sae_str_printf(gp, err,
                        "set title \"%s\"\nset xlabel \"%s\"\nset ylabel \"%s\"\nunset logscale\n"
                        "set autoscale\nset format y \"%%g\"\n",
                        text[0], text[1], text[2]);
done:
    for (size_t i = 0; i < 3; i++)
        free(text[i]);
    return st;
}

struct sae_str *chart_now(struct chart *chart)
{
    return &chart->panels[chart->n_panels - 1];
}

void chart_drop(struct chart *chart)
{
    sae_str_clear(&chart->panels[--chart->n_panels]);
}

enum sae_status chart_open(struct chart *chart, size_t *ret, struct sae_err *err)
{
    *ret = chart->n_blocks++;
    return sae_str_printf(&chart->data, err, "$b%zu << EOD\n", *ret);
}

enum sae_status chart_close(struct chart *chart, struct sae_err *err)
{
    return sae_str_printf(&chart->data, err, "EOD\n");
}

enum sae_status chart_curve(struct chart *chart, bool first, size_t block, const char *with,
                            const char *label, struct sae_err *err)
{
    char *quoted = NULL;
    enum sae_status st = SAE_OK;
    if (label != NULL)
        SAE_TRY(sae_chart_quote(&quoted, label, err));
    st = sae_str_printf(chart_now(chart), err, "%s$b%zu %s %s%s%s", first ? "plot " : ", \\\n  ",
                        block, with, quoted != NULL ? "title \"" : "notitle",
                        quoted != NULL ? quoted : "", quoted != NULL ? "\"" : "");
    free(quoted);
    return st;
}

void chart_clear(struct chart *chart)
{
    sae_str_clear(&chart->data);
    for (size_t i = 0; i < CHART_PANELS; i++)
        sae_str_clear(&chart->panels[i]);
    chart->n_panels = chart->n_blocks = 0;
}

/* One panel keeps the style's size; more are set in a grid, at most two wide (three of three). */
static enum sae_status lay_out(struct sae_str *gp, const struct chart *chart, const char *title,
                               const char *subtitle, struct sae_err *err)
{
    const size_t n = chart->n_panels;
    const size_t cols = n == 1 ? 1 : n == 3 ? 3 : 2, rows = (n + cols - 1) / cols;
    char *head = NULL, *below = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_chart_quote(&head, title, err));
    SAE_GO(st, sae_chart_quote(&below, subtitle, err));
    const size_t width = cols == 1 ? 860 : cols * 480, height = cols == 1 ? 540 : rows * 400 + 80;
    SAE_GO(st, sae_str_printf(gp, err,
                              "set terminal svg size %zu,%zu dynamic enhanced font "
                              "'Helvetica,14' background '#ffffff'\n",
                              width, height));
    SAE_GO(st, sae_str_append(gp, chart->data.s != NULL ? chart->data.s : "",
                              chart->data.len, err));
    SAE_GO(st, sae_str_printf(gp, err, "%s",
                              chart->key_below
                                  ? "set key outside bottom center horizontal maxcols 3\n"
                                  : ""));
    SAE_GO(st, sae_str_printf(gp, err,
                              "set multiplot layout %zu,%zu title \"{/:Bold=17 %s}\\n{/*0.9 %s}\" "
                              "margins %s spacing %s\n",
                              rows, cols, head, below,
                              cols == 1 ? "0.10,0.97,0.13,0.80" : "0.08,0.98,0.12,0.80",
                              rows == 1 ? "0.10,0.1" : "0.10,0.16"));
    for (size_t i = 0; i < n; i++)
        SAE_GO(st, sae_str_printf(gp, err, "%s\n", chart->panels[i].s));
    st = sae_str_printf(gp, err, "unset multiplot\n");
done:
    free(head);
    free(below);
    return st;
}

enum sae_status chart_finish(struct chart *chart, struct report *report, const char *name,
                             const char *title, const char *subtitle, const char *caption,
                             struct sae_err *err)
{
    struct sae_str gp = {0};
    enum sae_status st = SAE_OK;
    if (chart->n_panels == 0)
        goto done;
    SAE_GO(st, sae_chart_begin(&gp, "", NULL, "", "", err));
    SAE_GO(st, lay_out(&gp, chart, title, subtitle, err));
    SAE_GO(st, sae_chart_end(&gp, chart->dir, name, err));
    st = report_lines_add(&report->charts, err, "%s/%s.svg\t%s", chart->dir, name, caption);
done:
    sae_str_clear(&gp);
    chart_clear(chart);
    return st;
}

/* --- the two panels that most charts are made of --------------------------------------------- */

static enum sae_status axis(struct chart *chart, bool log_y, bool positive, struct sae_err *err)
{
    if (log_y && positive)
        return sae_str_printf(chart_now(chart), err,
                              "set logscale y\nset format y \"10^{%%L}\"\n");
    return SAE_OK;
}

enum sae_status chart_phases(struct chart *chart, const struct report *report, const char *metric,
                             const char *title, const char *ylabel, bool log_y,
                             struct sae_err *err)
{
    const struct report_metric *what = report_metric_by(metric);
    size_t n_curves = 0;
    bool positive = true;
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++)
            positive &= !(report_value(&report->runs[i].phases[p], what) <= 0);
    SAE_TRY(chart_panel(chart, title, "training done (%)", ylabel, err));
    SAE_TRY(axis(chart, log_y, positive, err));
    SAE_TRY(sae_str_printf(chart_now(chart), err, "set xrange [-3:103]\nset xtics 0,25,100\n"));
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        size_t block, n = 0;
        SAE_TRY(chart_open(chart, &block, err));
        for (size_t p = 0; p < run->n_phases; p++) {
            const double x = report_value(&run->phases[p], what);
            if (!isfinite(x))
                continue;
            SAE_TRY(sae_str_printf(&chart->data, err, "%d %.9g\n", run->phases[p].percent, x));
            n++;
        }
        SAE_TRY(chart_close(chart, err));
        if (n == 0)
            continue;
        char with[64];
        snprintf(with, sizeof with, "using 1:2 with linespoints ls %zu", i % 8 + 1);
        SAE_TRY(chart_curve(chart, n_curves++ == 0, block, with, run->name, err));
    }
    if (n_curves == 0)
        chart_drop(chart);
    return SAE_OK;
}

static const double *series_of(const struct report_run *run, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        const double *column = sae_ckpt_series(&run->last, names[i]);
        if (column != NULL)
            return column;
    }
    return NULL;
}

enum sae_status chart_series(struct chart *chart, const struct report *report,
                             const char *const *names, const char *title, const char *ylabel,
                             bool log_y, struct sae_err *err)
{
    static const char *const step_names[] = {"step", NULL};
    size_t n_curves = 0;
    bool positive = true, any = false;
    for (size_t i = 0; i < report->n_runs; i++) {
        const double *y = series_of(&report->runs[i], names);
        for (size_t t = 0; y != NULL && t < report->runs[i].last.series.n_points; t++) {
            positive &= !(y[t] <= 0);
            any |= isfinite(y[t]) && y[t] != 0;
        }
    }
    if (!any) /* a column of zeros (no such term in these runs) is no chart */
        return SAE_OK;
    SAE_TRY(chart_panel(chart, title, "step", ylabel, err));
    SAE_TRY(axis(chart, log_y, positive, err));
    SAE_TRY(sae_str_printf(chart_now(chart), err, "set xtics autofreq\n"));
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        const double *x = series_of(run, step_names), *y = series_of(run, names);
        if (x == NULL || y == NULL)
            continue;
        const size_t n = run->last.series.n_points, stride = n / 400 + 1;
        size_t block;
        SAE_TRY(chart_open(chart, &block, err));
        for (size_t t = 0; t < n; t += stride)
            if (isfinite(y[t]))
                SAE_TRY(sae_str_printf(&chart->data, err, "%.0f %.9g\n", x[t], y[t]));
        SAE_TRY(chart_close(chart, err));
        char with[64];
        snprintf(with, sizeof with, "using 1:2 with lines ls %zu", i % 8 + 1);
        SAE_TRY(chart_curve(chart, n_curves++ == 0, block, with, run->name, err));
    }
    if (n_curves == 0)
        chart_drop(chart);
    return SAE_OK;
}
