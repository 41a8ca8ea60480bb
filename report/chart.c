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
    chart->curves[chart->n_panels] = 0;
    chart->plotted = false;
    struct sae_str *gp = &chart->panels[chart->n_panels++];
    char *text[3] = {NULL};
    const char *const raw[3] = {title, xlabel, ylabel};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < 3; i++)
        SAE_GO(st, sae_chart_text(&text[i], raw[i] != NULL ? raw[i] : "", err));
    /* counts in the hundred thousands: 200k takes less room than 200000 */
    const bool count = ylabel != NULL && strcmp(ylabel, "pairs") == 0;
    st = sae_str_printf(gp, err,
                        "set title %s\nset xlabel %s\nset ylabel %s\nunset logscale\n"
                        "set autoscale\nset format y \"%s\"\n",
                        text[0], text[1], text[2], count ? "%.1s%c" : "%g");
done:
    for (size_t i = 0; i < 3; i++)
        free(text[i]);
    return st;
}

struct sae_str *chart_now(struct chart *chart)
{
    return &chart->panels[chart->n_panels - 1];
}

void chart_end_panel(struct chart *chart)
{
    if (!chart->plotted)
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

enum sae_status chart_curve(struct chart *chart, size_t block, const char *with, const char *label,
                            struct sae_err *err)
{
    char *quoted = NULL;
    enum sae_status st = SAE_OK;
    if (label != NULL)
        SAE_TRY(sae_chart_text(&quoted, label, err));
    st = sae_str_printf(chart_now(chart), err, "%s$b%zu %s %s%s",
                        chart->plotted ? ", \\\n  " : "plot ", block, with,
                        quoted != NULL ? "title " : "notitle", quoted != NULL ? quoted : "");
    chart->plotted = true;
    chart->curves[chart->n_panels - 1] += label != NULL;
    if (label != NULL && strlen(label) > chart->longest)
        chart->longest = strlen(label);
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

/* The panel whose curves the common key names. */
static size_t widest_key(const struct chart *chart)
{
    size_t best = 0;
    for (size_t i = 1; i < chart->n_panels; i++)
        if (chart->curves[i] > chart->curves[best])
            best = i;
    return best;
}

/* One panel keeps the style's size; more are set in a grid, at most two wide (three of three). */
static enum sae_status lay_out(struct sae_str *gp, const struct chart *chart, const char *title,
                               const char *subtitle, struct sae_err *err)
{
    const size_t n = chart->n_panels;
    const size_t cols = n == 1 ? 1 : n == 3 ? 3 : 2, rows = (n + cols - 1) / cols;
    const size_t width = cols == 1 ? 860 : cols == 2 ? 960 : 1260;
    const size_t key = widest_key(chart), fit = width / (9 * chart->longest + 70);
    const size_t across = fit > 0 ? fit : 1;
    const size_t full = (chart->curves[key] + across - 1) / across;
    const size_t key_rows = full > 0 ? full : 1, below_panels = 81 + 24 * key_rows;
    const size_t height = rows * 380 + 70 + below_panels;
    const double h = (double)height;
    const struct sae_chart_head head = {.width = width, .height = height};
    SAE_TRY(sae_chart_begin(gp, &head, err));
    SAE_TRY(sae_str_append(gp, chart->data.s != NULL ? chart->data.s : "", chart->data.len, err));
    char layout[160];
    snprintf(layout, sizeof layout,
             "set multiplot layout %zu,%zu margins %g,0.98,%.4f,%.4f spacing 0.10,%.4f title", rows,
             cols, cols == 3 ? 0.06 : 0.10, (double)below_panels / h, 1 - 105 / h, 120 / h);
    SAE_TRY(sae_chart_title(gp, layout, title, subtitle, err));
    for (size_t i = 0; i < n; i++) {
        /* vertical with few rows: a horizontal key is broken at the panel's width */
        if (i == key)
            SAE_TRY(sae_str_printf(gp, err,
                                   "set key at screen 0.5, screen 0.01 center bottom vertical "
                                   "maxrows %zu samplen 3 width 1\n",
                                   key_rows));
        else
            SAE_TRY(sae_str_printf(gp, err, "unset key\n"));
        SAE_TRY(sae_str_printf(gp, err, "%s\n", chart->panels[i].s));
    }
    return sae_str_printf(gp, err, "unset multiplot\n");
}

enum sae_status chart_finish(struct chart *chart, struct report *report, const char *name,
                             const char *title, const char *subtitle, const char *caption,
                             struct sae_err *err)
{
    struct sae_str gp = {0};
    enum sae_status st = SAE_OK;
    if (chart->n_panels == 0)
        goto done;
    SAE_GO(st, lay_out(&gp, chart, title, subtitle, err));
    SAE_GO(st, sae_chart_end(&gp, chart->dir, name, err));
    st = report_lines_add(&report->charts, err, "%s/%s.svg\t%s", chart->dir, name, caption);
done:
    sae_str_clear(&gp);
    chart_clear(chart);
    return st;
}

/* --- a line a run ---------------------------------------------------------------------------- */

size_t chart_style(const struct report *report, size_t run)
{
    return report->runs[run].group % 8 + 1;
}

const char *chart_label(const struct report *report, size_t run, char *buf)
{
    const size_t group = report->runs[run].group;
    size_t n = 0;
    for (size_t i = 0; i < report->n_runs; i++) {
        if (report->runs[i].group == group && i < run)
            return NULL;
        n += report->runs[i].group == group;
    }
    if (n == 1)
        snprintf(buf, CHART_LABEL, "%s", report->runs[run].name);
    else
        snprintf(buf, CHART_LABEL, "%.100s (%zu seeds)", report->runs[run].name, n);
    return buf;
}

/* --- the two panels that most charts are made of --------------------------------------------- */

/* A log axis only where the values span more than a decade and a half: less reads better plain. */
static enum sae_status axis(struct chart *chart, bool log_y, double low, double high,
                            struct sae_err *err)
{
    if (log_y && low > 0 && high > 30 * low)
        SAE_TRY(
            sae_str_printf(chart_now(chart), err, "set logscale y\nset format y \"10^{%%L}\"\n"));
    if (!(high > low)) /* one level: a range of its own, or gnuplot warns */
        return sae_str_printf(chart_now(chart), err, "set yrange [%.9g:%.9g]\n",
                              low - 0.05 * fabs(low) - 1e-3, low + 0.05 * fabs(low) + 1e-3);
    return SAE_OK;
}

/* Four or five marks: gnuplot's own choice runs six-digit steps together in a narrow panel. */
enum sae_status chart_steps(struct chart *chart, double from, double to, struct sae_err *err)
{
    if (!(to > from))
        return sae_str_printf(chart_now(chart), err, "set xtics autofreq\n");
    const double tenth = pow(10, floor(log10((to - from) / 5)));
    const double share = (to - from) / 5 / tenth; /* 1 to 10 */
    const double by = tenth * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
    return sae_str_printf(chart_now(chart), err, "set xtics autofreq %.9g\n", by);
}

enum sae_status chart_phases(struct chart *chart, const struct report *report, const char *metric,
                             const char *title, const char *ylabel, bool log_y, struct sae_err *err)
{
    const struct report_metric *what = report_metric_by(metric);
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++) {
            const double x = report_value(&report->runs[i].phases[p], what);
            low = fmin(low, x);
            high = fmax(high, x);
        }
    SAE_TRY(chart_panel(chart, title, "training done (%)", ylabel, err));
    SAE_TRY(axis(chart, log_y, low, high, err));
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
        char with[64], label[CHART_LABEL];
        snprintf(with, sizeof with, "using 1:2 with linespoints ls %zu", chart_style(report, i));
        SAE_TRY(chart_curve(chart, block, with, chart_label(report, i, label), err));
    }
    chart_end_panel(chart);
    return SAE_OK;
}

/* Points of one run's column: those measured, thinned to about 400. */
static enum sae_status series_block(struct chart *chart, const struct report_run *run,
                                    const double *y, size_t *block, size_t *ret_n,
                                    struct sae_err *err)
{
    const double *x = sae_ckpt_series(&run->last, "step");
    const size_t n = run->last.series.n_points;
    size_t n_measured = 0, seen = 0;
    for (size_t t = 0; t < n; t++)
        n_measured += isfinite(y[t]) != 0;
    const size_t stride = n_measured / 400 + 1;
    *ret_n = n_measured;
    SAE_TRY(chart_open(chart, block, err));
    for (size_t t = 0; t < n; t++)
        if (isfinite(y[t]) && seen++ % stride == 0)
            SAE_TRY(sae_str_printf(&chart->data, err, "%.0f %.9g\n", x != NULL ? x[t] : (double)t,
                                   y[t]));
    return chart_close(chart, err);
}

enum sae_status chart_series(struct chart *chart, const struct report *report, const char *name,
                             const char *title, const char *ylabel, bool log_y, struct sae_err *err)
{
    double low = INFINITY, high = -INFINITY;
    double last = 0;
    bool any = false;
    for (size_t i = 0; i < report->n_runs; i++) {
        const double *y = sae_ckpt_series(&report->runs[i].last, name);
        const double *x = sae_ckpt_series(&report->runs[i].last, "step");
        for (size_t t = 0; y != NULL && t < report->runs[i].last.series.n_points; t++) {
            last = fmax(last, x != NULL ? x[t] : (double)t);
            low = fmin(low, y[t]);
            high = fmax(high, y[t]);
            any |= isfinite(y[t]) && y[t] != 0;
        }
    }
    const bool constant_k = strcmp(name, "k") == 0 && !(high > low);
    if (!any || constant_k) /* a column of zeros (no such term in these runs) is no chart */
        return SAE_OK;
    SAE_TRY(chart_panel(chart, title, "step", ylabel, err));
    SAE_TRY(axis(chart, log_y, low, high, err));
    SAE_TRY(chart_steps(chart, 0, last, err));
    for (size_t i = 0; i < report->n_runs; i++) {
        const double *y = sae_ckpt_series(&report->runs[i].last, name);
        size_t block, n;
        char with[64], label[CHART_LABEL];
        if (y == NULL)
            continue;
        SAE_TRY(series_block(chart, &report->runs[i], y, &block, &n, err));
        if (n == 0)
            continue;
        snprintf(with, sizeof with, "using 1:2 with lines ls %zu", chart_style(report, i));
        SAE_TRY(chart_curve(chart, block, with, chart_label(report, i, label), err));
    }
    chart_end_panel(chart);
    return SAE_OK;
}
