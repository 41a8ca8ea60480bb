/* SPDX-License-Identifier: MIT */
/* charts : the charts by phase - separation, reconstruction, probing, absorption, core - and the
 * list of all charts in the order in which the notes name them. */
#include "report/charts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/stop.h"
#include "report/notes.h"

static enum sae_status separation(struct charts *charts, struct sae_err *err)
{
    struct chart chart = {.of = charts};
    enum sae_status st = SAE_OK;
    SAE_GO(st, chart_phases(&chart, "mean_max_cos", "cosine to the nearest feature",
                            "mean over features", false, err));
    SAE_GO(st, chart_phases(&chart, "n_pairs", "competing pairs", "pairs", true, err));
    SAE_GO(st, chart_phases(&chart, "pairs_mean_abs_cos", "|cosine| of competing pairs",
                            "mean over pairs", false, err));
    return chart_finish(&chart, "separation", "Separation of features through training",
                        "lower is better in every panel",
                        "how near features are to their nearest neighbour and how many pairs "
                        "compete, by phase and setting; lower is better",
                        err);
done:
    chart_clear(&chart);
    return st;
}

static enum sae_status reconstruction(struct charts *charts, struct sae_err *err)
{
    struct chart chart = {.of = charts};
    enum sae_status st = SAE_OK;
    SAE_GO(st, chart_phases(&chart, "heldout_ev", "explained variance (higher is better)",
                            "share of variance", false, err));
    SAE_GO(st, chart_phases(&chart, "heldout_loss", "squared error (lower is better)",
                            "|x - xhat|^2 per token", true, err));
    return chart_finish(&chart, "reconstruction", "Held-out reconstruction",
                        "rows that training never sees",
                        "what the orthogonality term costs: explained variance and error on "
                        "held-out rows, by phase and setting",
                        err);
done:
    chart_clear(&chart);
    return st;
}

/* --- both aims in one picture ---------------------------------------------------------------- */

struct point {
    double x, y;
};

/* Means of a setting over its seeds. At 0 % nothing is learned: the point would only flatten the
 * rest. */
static bool aims_at(const struct report *report, size_t group, int percent, struct point *ret)
{
    double se;
    (void)report_group_stats(report, group, percent, report_metric_by("heldout_ev"), &ret->x, &se);
    (void)report_group_stats(report, group, percent, report_metric_by("mean_max_cos"), &ret->y,
                             &se);
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

/* The raw neurons' accuracy does not depend on the run; the last value found is drawn as a line. */
static double neurons(const struct report *report, const char *id)
{
    double x = NAN;
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++) {
            const double y = report_value(&report->runs[i].phases[p], report_metric_by(id));
            x = isfinite(y) ? y : x;
        }
    return x;
}

static enum sae_status probing_panel(struct chart *chart, const char *sae, const char *llm,
                                     const char *title, struct sae_err *err)
{
    const size_t before = chart->n_panels;
    SAE_TRY(chart_phases(chart, sae, title, "test accuracy", false, err));
    const double level = neurons(chart->of->report, llm);
    if (chart->n_panels == before || !isfinite(level))
        return SAE_OK;
    return sae_str_printf(chart_now(chart), err,
                          ", %.9g with lines lw 1.8 dt 2 lc rgb '#000000' title 'raw neurons'",
                          level);
}

static enum sae_status probing(struct charts *charts, struct sae_err *err)
{
    struct chart chart = {.of = charts};
    enum sae_status st = SAE_OK;
    SAE_GO(st, probing_panel(&chart, "top_1", "llm_top_1", "single best latent (k = 1)", err));
    SAE_GO(st, probing_panel(&chart, "top_5", "llm_top_5", "best five latents (k = 5)", err));
    return chart_finish(
        &chart, "probing", "k-sparse probing of labelled concepts",
        "higher is better; 0.5 is chance; dashed: the best raw neurons; bars: "
        "standard error of the evaluation of one run",
        "accuracy of the best latent (k = 1) and the best five, by phase and setting, "
        "against raw neurons; higher is better",
        err);
done:
    chart_clear(&chart);
    return st;
}

/* Version A is what the target judges. */
static enum sae_status absorption(struct charts *charts, struct sae_err *err)
{
    struct chart chart = {.of = charts};
    enum sae_status st = SAE_OK;
    SAE_GO(st, chart_phases(&chart, "absorption_a", "absorption (version A; target below 0.01)",
                            "share of words", false, err));
    SAE_GO(st, chart_phases(&chart, "absorption_fraction", "absorption fraction (version C)",
                            "share of the letter direction", false, err));
    return chart_finish(&chart, "absorption", "First-letter absorption", "lower is better",
                        "how often a first-letter latent stays silent because another one carries "
                        "the letter, by phase and setting; lower is better",
                        err);
done:
    chart_clear(&chart);
    return st;
}

static enum sae_status core(struct charts *charts, struct sae_err *err)
{
    struct chart chart = {.of = charts};
    enum sae_status st = SAE_OK;
    SAE_GO(st, chart_phases(&chart, "ce_score", "cross-entropy recovered", "score", false, err));
    SAE_GO(st, chart_phases(&chart, "kl_score", "predicted distribution recovered (KL)", "score",
                            false, err));
    SAE_GO(st, chart_phases(&chart, "core_ev_pooled", "explained variance", "share of variance",
                            false, err));
    return chart_finish(
        &chart, "core", "What the language model keeps when the reconstruction replaces its stream",
        "1 is all of it, 0 is as bad as zeros; higher is better",
        "cross-entropy and KL recovered by the spliced model, by phase and setting; "
        "higher is better",
        err);
done:
    chart_clear(&chart);
    return st;
}

/* One chart that fails leaves the others to be drawn. */
static enum sae_status draw_all(struct charts *charts, struct sae_err *err)
{
    static enum sae_status (*const all[])(struct charts *, struct sae_err *) = {
        charts_grid,
        separation,
        reconstruction,
        trade_off,
        charts_cos_hist,
        charts_losses,
        charts_schedules,
        charts_gradients,
        charts_monitors,
        charts_pairs,
        probing,
        absorption,
        core,
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct sae_err why = {0};
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped before all charts were drawn");
        if (all[i](charts, &why) == SAE_OK)
            continue;
        sae_log_warn("a chart is left out: %s", why.msg);
        SAE_TRY(
            report_lines_add(&charts->report->problems, err, "A chart is left out: %s", why.msg));
    }
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
