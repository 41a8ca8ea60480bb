/* SPDX-License-Identifier: MIT */
/* chart : panels and data blocks of one chart, put together at the end.
 *
 * Contents:  1. panels   2. layout   3. axes   4. phases   5. series */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "report/charts.h"
#include "report/notes.h"

/* --- 1. panels ------------------------------------------------------------------------------ */

static enum sae_status put_setting(struct sae_str *gp, const char *command, const char *text,
                                   struct sae_err *err)
{
    char *quoted = NULL;
    SAE_TRY(sae_chart_text(&quoted, text, err));
    const enum sae_status st = sae_str_printf(gp, err, "%s %s\n", command, quoted);
    free(quoted);
    return st;
}

enum sae_status chart_panel(struct chart *chart, const char *title, const char *xlabel,
                            const char *ylabel, struct sae_err *err)
{
    if (chart->n_panels == CHART_PANELS)
        return sae_err_set(err, SAE_ERANGE, "more than %d panels in one chart", CHART_PANELS);
    chart->curves[chart->n_panels] = 0;
    chart->plotted = false;
    struct sae_str *gp = &chart->panels[chart->n_panels++];
    SAE_TRY(put_setting(gp, "set title", title, err));
    SAE_TRY(put_setting(gp, "set xlabel", xlabel, err));
    SAE_TRY(put_setting(gp, "set ylabel", ylabel, err));
    return sae_str_printf(gp, err, "unset logscale\nset autoscale\nset format y \"%%g\"\n");
}

/* A second, smaller line of a panel's title. */
static enum sae_status note_panel(struct chart *chart, const char *title, const char *note,
                                  struct sae_err *err)
{
    char *first = NULL, *second = NULL;
    enum sae_status st;
    SAE_GO(st, sae_chart_text(&first, title, err));
    SAE_GO(st, sae_chart_text(&second, note, err));
    SAE_GO(st, sae_str_printf(chart_now(chart), err, "set title %s.\"\\n\".'{/*0.85 '.%s.'}'\n",
                              first, second));
    chart->noted = true;
done:
    free(first);
    free(second);
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
    /* gnuplot warns of a point's shape where only lines are drawn */
    const char *const points = strstr(with, "with lines ") != NULL ? strstr(with, " pt ") : NULL;
    const int n = points != NULL ? (int)(points - with) : (int)strlen(with);
    if (label != NULL)
        SAE_TRY(sae_chart_text(&quoted, label, err));
    st = sae_str_printf(chart_now(chart), err, "%s$b%zu %.*s %s%s",
                        chart->plotted ? ", \\\n  " : "plot ", block, n, with,
                        quoted != NULL ? "title " : "notitle", quoted != NULL ? quoted : "");
    chart->plotted = true;
    chart->curves[chart->n_panels - 1] += label != NULL;
    if (label != NULL && strlen(label) > chart->longest)
        chart->longest = strlen(label);
    free(quoted);
    return st;
}

static enum sae_status key_of_axis(struct chart *chart, size_t block, const struct grid_axis *axis,
                                   bool coloured, struct sae_err *err)
{
    for (size_t i = 0; i < axis->n; i++) {
        char looks[CHART_STYLE], with[CHART_STYLE + 64];
        char label[CHART_LABEL];
        snprintf(with, sizeof with, "using 1:(NaN) with %s %s", coloured ? "lines" : "linespoints",
                 chart_style_of_value(i, axis->n, coloured, looks));
        snprintf(label, sizeof label, "%.30s %.30s", axis->option, axis->value[i]);
        SAE_TRY(chart_curve(chart, block, with, label, err));
    }
    return SAE_OK;
}

enum sae_status chart_axes_key(struct chart *chart, size_t block, struct sae_err *err)
{
    const struct report_grid *const grid = &chart->of->grid;
    const bool rows = chart_rows_have_colours(grid);
    if (!chart->of->by_axes || !chart->plotted)
        return SAE_OK;
    SAE_TRY(key_of_axis(chart, block, rows ? &grid->row : &grid->col, true, err));
    return grid->n_axes == 2 ? key_of_axis(chart, block, rows ? &grid->col : &grid->row, false, err)
                             : SAE_OK;
}

void chart_clear(struct chart *chart)
{
    sae_str_clear(&chart->data);
    for (size_t i = 0; i < CHART_PANELS; i++)
        sae_str_clear(&chart->panels[i]);
    chart->n_panels = chart->n_blocks = 0;
}

enum { BANDS = 6 }; /* more of them hide each other */

/* --- 2. layout ------------------------------------------------------------------------------ */

/* The panel whose curves the common key names. */
static size_t widest_key(const struct chart *chart)
{
    size_t best = 0;
    for (size_t i = 1; i < chart->n_panels; i++)
        if (chart->curves[i] > chart->curves[best])
            best = i;
    return best;
}

enum { AXIS = 62 }; /* below a panel: the numbers and the label of its axis */

/* Sizes in pixels. */
struct layout {
    size_t cols, rows, width, height;
    size_t above, below; /* room for the title and for the key */
    size_t head;         /* of a panel: its title */
    size_t key, key_rows;
};

static struct layout measure(const struct chart *chart, const char *title, const char *subtitle)
{
    const struct sae_chart_options *const how = chart->of->how;
    const bool page = how->width == SAE_CHART_PAGE;
    const size_t n = chart->n_panels, letters = sae_chart_columns(how, 0);
    struct layout l = {.cols = n > 1 && page ? 2 : 1, .width = sae_chart_pixels(how)};
    l.rows = (n + l.cols - 1) / l.cols;
    l.key = widest_key(chart);
    const size_t fit = l.width / ((page ? 9 : 8) * chart->longest + 90);
    const size_t across = fit > 0 ? fit : 1;
    l.key_rows = (chart->curves[l.key] + across - 1) / across;
    l.above =
        14 + 22 * sae_chart_lines(title, letters) + 19 * sae_chart_lines(subtitle, letters * 6 / 5);
    l.below = l.key_rows > 0 ? 28 + 20 * l.key_rows : 0;
    l.head = chart->noted ? 68 : chart->bare ? 24 : 50;
    l.height = l.above + l.below + l.rows * (page ? l.cols == 1 ? 440 : 340 : 290);
    return l;
}

static enum sae_status put_layout(struct sae_str *gp, const struct chart *chart, const char *title,
                                  const char *subtitle, struct sae_err *err)
{
    const struct layout l = measure(chart, title, subtitle);
    const double w = (double)l.width, h = (double)l.height;
    const struct sae_chart_head head = {.width = l.width, .height = l.height};
    char layout[200];
    SAE_TRY(sae_chart_begin(gp, chart->of->how, &head, err));
    SAE_TRY(sae_str_append(gp, chart->data.s != NULL ? chart->data.s : "", chart->data.len, err));
    snprintf(layout, sizeof layout,
             "set multiplot layout %zu,%zu margins %.4f,%.4f,%.4f,%.4f spacing %.4f,%.4f title",
             l.rows, l.cols, 84 / w, 1 - 20 / w, (double)(l.below + AXIS) / h,
             1 - (double)(l.above + l.head) / h, 92 / w, (double)(AXIS + l.head) / h);
    SAE_TRY(
        sae_chart_title(gp, layout, title, subtitle, sae_chart_columns(chart->of->how, 0), err));
    for (size_t i = 0; i < chart->n_panels; i++) {
        /* vertical with few rows: a horizontal key is broken at the panel's width */
        if (i == l.key && l.key_rows > 0)
            SAE_TRY(sae_str_printf(gp, err,
                                   "set key at screen 0.5, screen %.4f center bottom vertical "
                                   "maxrows %zu samplen 3 width 1\n",
                                   8 / h, l.key_rows));
        else
            SAE_TRY(sae_str_printf(gp, err, "unset key\n"));
        SAE_TRY(sae_str_printf(gp, err, "%s\n", chart->panels[i].s));
    }
    return sae_str_printf(gp, err, "unset multiplot\n");
}

enum sae_status chart_finish(struct chart *chart, const char *name, const char *title,
                             const char *subtitle, const char *caption, struct sae_err *err)
{
    struct charts *const of = chart->of;
    struct sae_str gp = {0}, below = {0};
    enum sae_status st = SAE_OK;
    if (chart->n_panels == 0)
        goto done;
    SAE_GO(st, sae_str_printf(&below, err, "%s%s%s", subtitle,
                              chart->averaged ? "; mean over seeds" : "",
                              chart->banded   ? ", band: least to greatest"
                              : chart->barred ? ", bars: least to greatest"
                                              : ""));
    if (of->title != NULL && *of->title == '\0')
        below.s[0] = '\0';
    SAE_GO(st, put_layout(&gp, chart, of->title != NULL ? of->title : title, below.s, err));
    SAE_GO(st, sae_chart_end(&gp, of->how, of->dir, name, err));
    SAE_GO(st, report_lines_add(&of->names, err, "%s\t%s", name, caption));
    st = report_lines_add(&of->report->charts, err, "%s/%s.%s\t%s", of->dir, name,
                          of->how->formats.v[0], caption);
done:
    sae_str_clear(&gp);
    sae_str_clear(&below);
    chart_clear(chart);
    return st;
}

/* --- 3. axes -------------------------------------------------------------------------------- */

/* Numbers of the y axis: counts with K and M, and as many digits as tell its marks apart. */
static const char *y_format(double low, double high)
{
    const double step = (high - low) / 5, most = fmax(fabs(low), fabs(high));
    const double unit = pow(1000, floor(log10(fmax(most, 1)) / 3));
    if (most < 10000)
        return "%g";
    if (step >= 0.1 * unit)
        return "%.1s%c";
    return step >= 0.01 * unit ? "%.2s%c" : "%.0f";
}

/* A log axis only where the values span more than a decade and a half: less reads better plain. */
static enum sae_status y_axis(struct chart *chart, bool log_y, double low, double high,
                              struct sae_err *err)
{
    struct sae_str *const gp = chart_now(chart);
    if (log_y && low > 0 && high > 30 * low) {
        low = fmax(low, high / 1e4); /* what dies away to nothing needs no more decades */
        SAE_TRY(sae_str_printf(gp, err, "set logscale y\nset format y \"10^{%%L}\"\n"));
        return sae_str_printf(gp, err, "set yrange [%.9g:%.9g]\n", low / 1.3, high * 1.3);
    }
    SAE_TRY(sae_str_printf(gp, err, "set format y \"%s\"\n", y_format(low, high)));
    const double margin = high > low ? 0.06 * (high - low) : 0.05 * fabs(low) + 1e-3;
    if (!(low < 0) && !(high > 0)) /* nothing but zeros */
        return sae_str_printf(gp, err, "set yrange [-0.05:1]\n");
    return sae_str_printf(gp, err, "set yrange [%.9g:%.9g]\n", low - margin, high + margin);
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

/* What a line has about it. */
enum spread {
    SPREAD_NONE,
    SPREAD_BAND, /* from the least to the greatest of its seeds */
    SPREAD_BARS, /* likewise, of a single point: a band would have no width */
    SPREAD_ERROR /* of one run: bars of its own standard error */
};

static enum sae_status put_curves(struct chart *chart, size_t block, size_t group, bool named,
                                  enum spread spread, const char *with, struct sae_err *err)
{
    char colour[CHART_STYLE], looks[CHART_STYLE], text[2 * CHART_STYLE], label[CHART_LABEL];
    const struct charts *const of = chart->of;
    chart->averaged |= spread == SPREAD_BAND || spread == SPREAD_BARS;
    chart->barred |= spread == SPREAD_BARS;
    if (spread == SPREAD_BAND && of->report->n_groups <= BANDS) {
        chart->banded = true;
        snprintf(text, sizeof text,
                 "using 1:3:4 with filledcurves fc rgb '%.7s' fs transparent solid 0.15 noborder",
                 chart_colour(of, group, colour));
        SAE_TRY(chart_curve(chart, block, text, NULL, err));
    }
    if (spread == SPREAD_BARS || spread == SPREAD_ERROR) {
        snprintf(text, sizeof text, "using 1:2:3:4 with yerrorbars lc rgb '%.7s' lw 1.2 dt 1 pt -1",
                 chart_colour(of, group, colour));
        SAE_TRY(chart_curve(chart, block, text, NULL, err));
    }
    snprintf(text, sizeof text, "using 1:2 with %s %s", with, chart_style(of, group, looks));
    return chart_curve(chart, block, text, named ? chart_label(of, group, label) : NULL, err);
}

/* --- 4. phases ------------------------------------------------------------------------------ */

/* A setting at one phase: mean, least and greatest over its seeds; of one run the ends of its bar.
 */
struct span {
    size_t n;
    double mean, low, high;
    bool bar;
};

static struct span span_of(const struct report *report, size_t group, int percent,
                           const struct sae_metric *metric)
{
    struct span s = {0, 0, INFINITY, -INFINITY, false};
    double se = NAN;
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_phase *const phase =
            report->runs[i].group == group ? report_phase_at(&report->runs[i], percent) : NULL;
        const double x = phase != NULL ? report_value(phase, metric) : NAN;
        if (!isfinite(x))
            continue;
        s.n++;
        s.mean += x;
        s.low = fmin(s.low, x);
        s.high = fmax(s.high, x);
        se = report_value_se(phase, metric);
    }
    s.mean /= (double)s.n;
    if (s.n == 1 && isfinite(se)) {
        s.low -= se;
        s.high += se;
        s.bar = true;
    }
    return s;
}

/* What the y axis must hold; of 0 % apart from the rest. */
struct reach {
    double low, high, first_low, first_high;
    bool any_bar;
};

static struct reach reach_of(const struct report *report, const int *percents, size_t n,
                             const struct sae_metric *metric)
{
    struct reach r = {INFINITY, -INFINITY, INFINITY, -INFINITY, false};
    for (size_t g = 0; g < report->n_groups; g++)
        for (size_t p = 0; p < n; p++) {
            const struct span s = span_of(report, g, percents[p], metric);
            if (s.n == 0)
                continue;
            double *const low = percents[p] > 0 ? &r.low : &r.first_low;
            double *const high = percents[p] > 0 ? &r.high : &r.first_high;
            *low = fmin(*low, s.low);
            *high = fmax(*high, s.high);
            r.any_bar |= s.bar;
        }
    return r;
}

/* Nothing is learned at 0 %. Where those values would take most of the axis they lie off it, and
 * `note` tells them. */
static void place_first(struct reach *r, char *note, size_t size)
{
    const double low = fmin(r->low, r->first_low), high = fmax(r->high, r->first_high);
    note[0] = '\0';
    if (!(r->first_low <= r->first_high))
        return;
    if (!(r->high > r->low) || high - low <= 3 * (r->high - r->low)) {
        r->low = low;
        r->high = high;
    } else if (r->first_high - r->first_low < 0.01 * fabs(r->first_high)) {
        snprintf(note, size, "0 %%: %.3g, off the scale", r->first_high);
    } else {
        snprintf(note, size, "0 %%: %.3g to %.3g, off the scale", r->first_low, r->first_high);
    }
}

static enum sae_status phase_curve(struct chart *chart, size_t group,
                                   const struct sae_metric *metric, const int *percents,
                                   size_t n, size_t *block, struct sae_err *err)
{
    size_t with = 0;
    bool band = false, bars = false;
    SAE_TRY(chart_open(chart, block, err));
    for (size_t p = 0; p < n; p++) {
        const struct span s = span_of(chart->of->report, group, percents[p], metric);
        if (s.n == 0)
            continue;
        SAE_TRY(sae_str_printf(&chart->data, err, "%d %.9g %.9g %.9g\n", percents[p], s.mean, s.low,
                               s.high));
        with++;
        band |= s.n > 1;
        bars |= s.bar;
    }
    SAE_TRY(chart_close(chart, err));
    const enum spread spread = band    ? (with > 1 ? SPREAD_BAND : SPREAD_BARS)
                               : bars ? SPREAD_ERROR
                                      : SPREAD_NONE;
    return with > 0 ? put_curves(chart, *block, group, true, spread, "linespoints", err) : SAE_OK;
}

enum sae_status chart_phases(struct chart *chart, const struct sae_metric *metric,
                             struct sae_err *err)
{
    const struct report *const report = chart->of->report;
    int percents[64];
    const size_t n = notes_percents(report, percents, sizeof percents / sizeof *percents);
    struct reach reach = reach_of(report, percents, n, metric);
    char note[64];
    size_t block = 0;
    place_first(&reach, note, sizeof note);
    if (!(reach.high >= reach.low))
        return SAE_OK;
    SAE_TRY(chart_panel(chart, metric->panel, "training done (%)", metric->axis, err));
    if (note[0] != '\0')
        SAE_TRY(note_panel(chart, metric->panel, note, err));
    SAE_TRY(y_axis(chart, metric->log_axis, reach.low, reach.high, err));
    SAE_TRY(sae_str_printf(chart_now(chart), err, "set xrange [-3:103]\nset xtics 0,25,100\n"));
    for (size_t g = 0; g < report->n_groups; g++)
        SAE_TRY(phase_curve(chart, g, metric, percents, n, &block, err));
    SAE_TRY(chart_axes_key(chart, block, err));
    chart_end_panel(chart);
    return SAE_OK;
}

/* --- 5. series ------------------------------------------------------------------------------ */

/* Without the term a run's lambda2 is 0 at every step, though tau and L_orth are logged. */
static bool has_term(const struct report_run *run)
{
    const double *const y = sae_ckpt_series(&run->last, "lambda2");
    for (size_t t = 0; y != NULL && t < run->last.series.n_points; t++)
        if (isfinite(y[t]) && y[t] > 0)
            return true;
    return false;
}

/* The column of a run; NULL where it has none that means something. */
static const double *column_of(const struct report_run *run, const struct chart_column *column)
{
    const double *const y = sae_ckpt_series(&run->last, column->name);
    bool measured = false, any = false;
    for (size_t t = 0; y != NULL && t < run->last.series.n_points; t++) {
        measured |= isfinite(y[t]) != 0;
        any |= isfinite(y[t]) && y[t] != 0;
    }
    return (column->may_be_zero ? measured : any) && (!column->of_term || has_term(run)) ? y : NULL;
}

static double step_of(const struct report_run *run, size_t t)
{
    const double *const x = sae_ckpt_series(&run->last, "step");
    return x != NULL ? x[t] : (double)t;
}

/* Seeds of one setting that were logged at the same steps make one line. */
static bool same_steps(const struct report_run *a, const struct report_run *b)
{
    if (a->last.series.n_points != b->last.series.n_points)
        return false;
    for (size_t t = 0; t < a->last.series.n_points; t++)
        if (step_of(a, t) < step_of(b, t) || step_of(a, t) > step_of(b, t))
            return false;
    return true;
}

/* Whether one line stands for both runs. */
static bool joins(const struct report_run *a, const struct report_run *b,
                  const struct chart_column *column)
{
    return a->group == b->group && column_of(b, column) != NULL && same_steps(a, b);
}

/* The columns of the runs that the line of the first stands for. */
static size_t joined(const struct report *report, size_t first, const struct chart_column *column,
                     const double *ys[])
{
    size_t n = 0;
    for (size_t i = first; i < report->n_runs; i++)
        if (joins(&report->runs[first], &report->runs[i], column))
            ys[n++] = sae_ckpt_series(&report->runs[i].last, column->name);
    return n;
}

/* Rows "step mean low high", those measured by the first run, thinned to about 400. */
static enum sae_status series_rows(struct chart *chart, const struct report_run *run,
                                   const double *const ys[], size_t n_ys, struct sae_err *err)
{
    const size_t n = run->last.series.n_points;
    size_t n_measured = 0, seen = 0;
    for (size_t t = 0; t < n; t++)
        n_measured += isfinite(ys[0][t]) != 0;
    const size_t stride = n_measured / 400 + 1;
    for (size_t t = 0; t < n; t++) {
        struct span s = {0, 0, INFINITY, -INFINITY, false};
        if (!isfinite(ys[0][t]) || seen++ % stride != 0)
            continue;
        for (size_t i = 0; i < n_ys; i++)
            if (isfinite(ys[i][t])) {
                s.n++;
                s.mean += ys[i][t];
                s.low = fmin(s.low, ys[i][t]);
                s.high = fmax(s.high, ys[i][t]);
            }
        SAE_TRY(sae_str_printf(&chart->data, err, "%.0f %.9g %.9g %.9g\n", step_of(run, t),
                               s.mean / (double)s.n, s.low, s.high));
    }
    return SAE_OK;
}

/* The line of a run, and of the seeds that join it. */
static enum sae_status series_curve(struct chart *chart, size_t first, bool named,
                                    const struct chart_column *column, size_t *block,
                                    struct sae_err *err)
{
    const struct report *const report = chart->of->report;
    const double **ys = NULL;
    SAE_TRY(sae_mem_alloc(&ys, report->n_runs, sizeof *ys, err));
    const size_t n = joined(report, first, column, ys);
    enum sae_status st;
    SAE_GO(st, chart_open(chart, block, err));
    SAE_GO(st, series_rows(chart, &report->runs[first], ys, n, err));
    SAE_GO(st, chart_close(chart, err));
    SAE_GO(st,
           put_curves(chart, *block, report->runs[first].group, named,
                      n > 1 ? SPREAD_BAND : SPREAD_NONE, "lines", err));
done:
    free(ys);
    return st;
}

/* Whether an earlier run of its group has a line, and whether that line stands for run i too. */
static void find_earlier(const struct report *report, size_t i, const struct chart_column *column,
                        bool *ret_named, bool *ret_joined)
{
    *ret_named = *ret_joined = false;
    for (size_t j = 0; j < i; j++)
        if (report->runs[j].group == report->runs[i].group &&
            column_of(&report->runs[j], column) != NULL) {
            *ret_named = true;
            *ret_joined |= joins(&report->runs[j], &report->runs[i], column);
        }
}

enum sae_status chart_series(struct chart *chart, const struct chart_column *column,
                             struct sae_err *err)
{
    const struct report *const report = chart->of->report;
    double low = INFINITY, high = -INFINITY, last = 0;
    for (size_t i = 0; i < report->n_runs; i++) {
        const double *const y = column_of(&report->runs[i], column);
        for (size_t t = 0; y != NULL && t < report->runs[i].last.series.n_points; t++) {
            last = fmax(last, step_of(&report->runs[i], t));
            low = fmin(low, y[t]);
            high = fmax(high, y[t]);
        }
    }
    if (!(high >= low) || (strcmp(column->name, "k") == 0 && !(high > low)))
        return SAE_OK; /* no run has it; a k that never changes is no schedule */
    size_t block = 0;
    SAE_TRY(chart_panel(chart, column->title, "step", column->ylabel, err));
    SAE_TRY(y_axis(chart, column->log_y, low, high, err));
    SAE_TRY(chart_steps(chart, 0, last, err));
    for (size_t i = 0; i < report->n_runs; i++) {
        bool named, is_joined;
        if (column_of(&report->runs[i], column) == NULL)
            continue;
        find_earlier(report, i, column, &named, &is_joined);
        if (!is_joined)
            SAE_TRY(series_curve(chart, i, !named, column, &block, err));
    }
    SAE_TRY(chart_axes_key(chart, block, err));
    chart_end_panel(chart);
    return SAE_OK;
}
