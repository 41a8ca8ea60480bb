/* SPDX-License-Identifier: MIT */
/* charts : the charts by phase - separation, reconstruction, probing, absorption, core - and the
 * list of all charts in the order in which the notes name them. */
#include "report/charts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cli/chart.h"

static enum sae_status separation(struct report *report, const char *dir, struct sae_err *err)
{
    struct chart chart = {.dir = dir};
    enum sae_status st = SAE_OK;
    SAE_GO(st, chart_phases(&chart, report, "mean_max_cos", "cosine to the nearest feature",
                            "mean over features", false, err));
    SAE_GO(st, chart_phases(&chart, report, "n_pairs", "competing pairs", "pairs", true, err));
    SAE_GO(st, chart_phases(&chart, report, "pairs_mean_abs_cos", "|cosine| of competing pairs",
                            "mean over pairs", false, err));
    return chart_finish(&chart, report, "separation", "Separation of features through training",
                        "lower is better in every panel",
                        "how near features are to their nearest neighbour and how many pairs "
                        "compete, by phase and run; lower is better",
                        err);
done:
    chart_clear(&chart);
    return st;
}

static enum sae_status reconstruction(struct report *report, const char *dir, struct sae_err *err)
{
    struct chart chart = {.dir = dir};
    enum sae_status st = SAE_OK;
    SAE_GO(st, chart_phases(&chart, report, "heldout_ev", "explained variance (higher is better)",
                            "share of variance", false, err));
    SAE_GO(st, chart_phases(&chart, report, "heldout_loss", "squared error (lower is better)",
                            "|x - xhat|^2 per token", true, err));
    return chart_finish(&chart, report, "reconstruction", "Held-out reconstruction",
                        "rows that training never sees",
                        "what the orthogonality term costs: explained variance and error on "
                        "held-out rows, by phase and run",
                        err);
done:
    chart_clear(&chart);
    return st;
}

/* --- both aims in one picture ---------------------------------------------------------------- */

struct point {
    double x, y;
};

/* At 0 % nothing is learned: the point would only flatten the rest. */
static bool aims_at(const struct report_phase *phase, struct point *ret)
{
    ret->x = report_value(phase, report_metric_by("heldout_ev"));
    ret->y = report_value(phase, report_metric_by("mean_max_cos"));
    return phase->percent > 0 && isfinite(ret->x) && isfinite(ret->y);
}

/* The range of all points and a margin round it. */
static enum sae_status aims_range(struct chart *chart, const struct report *report,
                                  struct sae_err *err)
{
    struct point low = {INFINITY, INFINITY}, high = {-INFINITY, -INFINITY}, at;
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++)
            if (aims_at(&report->runs[i].phases[p], &at)) {
                low = (struct point){fmin(low.x, at.x), fmin(low.y, at.y)};
                high = (struct point){fmax(high.x, at.x), fmax(high.y, at.y)};
            }
    if (!(high.x >= low.x))
        return SAE_OK;
    const double dx = 0.08 * (high.x - low.x) + 1e-4, dy = 0.08 * (high.y - low.y) + 1e-4;
    return sae_str_printf(chart_now(chart), err, "set xrange [%.6g:%.6g]\nset yrange [%.6g:%.6g]\n",
                          low.x - dx, high.x + dx, low.y - dy, high.y + dy);
}

static enum sae_status aims_curve(struct chart *chart, const struct report *report, size_t i,
                                  struct sae_err *err)
{
    const struct report_run *const run = &report->runs[i];
    const size_t style = chart_style(report, i);
    char label[CHART_LABEL];
    size_t path, end;
    struct point at, last = {NAN, NAN};
    char with[96];
    SAE_TRY(chart_open(chart, &path, err));
    for (size_t p = 0; p < run->n_phases; p++)
        if (aims_at(&run->phases[p], &at)) {
            SAE_TRY(sae_str_printf(&chart->data, err, "%.9g %.9g\n", at.x, at.y));
            last = at;
        }
    SAE_TRY(chart_close(chart, err));
    if (!isfinite(last.x))
        return SAE_OK;
    SAE_TRY(chart_open(chart, &end, err));
    SAE_TRY(sae_str_printf(&chart->data, err, "%.9g %.9g\n", last.x, last.y));
    SAE_TRY(chart_close(chart, err));
    snprintf(with, sizeof with, "using 1:2 with linespoints ls %zu", style);
    SAE_TRY(chart_curve(chart, path, with, chart_label(report, i, label), err));
    snprintf(with, sizeof with, "using 1:2 with points ls %zu pt 6 ps 2.4", style);
    return chart_curve(chart, end, with, NULL, err);
}

static enum sae_status trade_off(struct report *report, const char *dir, struct sae_err *err)
{
    struct chart chart = {.dir = dir};
    enum sae_status st = SAE_OK;
    SAE_GO(st, chart_panel(&chart, "", "explained variance, held out (right is better)",
                           "mean cosine to the nearest feature (down is better)", err));
    SAE_GO(st, aims_range(&chart, report, err));
    SAE_GO(st, sae_str_printf(chart_now(&chart), err, "set xtics autofreq\n"));
    for (size_t i = 0; i < report->n_runs; i++)
        SAE_GO(st, aims_curve(&chart, report, i, err));
    chart_end_panel(&chart);
    return chart_finish(&chart, report, "trade_off", "Reconstruction against separation",
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

static enum sae_status probing_panel(struct chart *chart, const struct report *report,
                                     const char *sae, const char *llm, const char *title,
                                     struct sae_err *err)
{
    const size_t before = chart->n_panels;
    SAE_TRY(chart_phases(chart, report, sae, title, "test accuracy", false, err));
    const double level = neurons(report, llm);
    if (chart->n_panels == before || !isfinite(level))
        return SAE_OK;
    return sae_str_printf(chart_now(chart), err,
                          ", %.9g with lines lw 1.8 dt 2 lc rgb '#000000' title \"raw neurons\"",
                          level);
}

static enum sae_status probing(struct report *report, const char *dir, struct sae_err *err)
{
    struct chart chart = {.dir = dir};
    enum sae_status st = SAE_OK;
    SAE_GO(st,
           probing_panel(&chart, report, "top_1", "llm_top_1", "single best latent (k = 1)", err));
    SAE_GO(st,
           probing_panel(&chart, report, "top_5", "llm_top_5", "best five latents (k = 5)", err));
    return chart_finish(&chart, report, "probing", "k-sparse probing of labelled concepts",
                        "higher is better; 0.5 is chance; dashed: the best raw neurons",
                        "accuracy of the best latent (k = 1) and the best five, by phase and run, "
                        "against raw neurons; higher is better",
                        err);
done:
    chart_clear(&chart);
    return st;
}

static enum sae_status absorption(struct report *report, const char *dir, struct sae_err *err)
{
    struct chart chart = {.dir = dir};
    enum sae_status st = SAE_OK;
    SAE_GO(st, chart_phases(&chart, report, "absorption_full", "full absorption", "share of words",
                            false, err));
    SAE_GO(st,
           chart_phases(&chart, report, "absorption_fraction", "absorption fraction (version C)",
                        "share of the letter direction", false, err));
    return chart_finish(&chart, report, "absorption", "First-letter absorption", "lower is better",
                        "words whose letter latent stays silent while another carries the letter, "
                        "by phase and run; lower is better",
                        err);
done:
    chart_clear(&chart);
    return st;
}

static enum sae_status core(struct report *report, const char *dir, struct sae_err *err)
{
    struct chart chart = {.dir = dir};
    enum sae_status st = SAE_OK;
    SAE_GO(st, chart_phases(&chart, report, "ce_score", "cross-entropy recovered", "score", false,
                            err));
    SAE_GO(st, chart_phases(&chart, report, "kl_score", "predicted distribution recovered (KL)",
                            "score", false, err));
    SAE_GO(st, chart_phases(&chart, report, "core_ev_pooled", "explained variance",
                            "share of variance", false, err));
    return chart_finish(&chart, report, "core",
                        "What the language model keeps when the reconstruction replaces its stream",
                        "1 is all of it, 0 is as bad as zeros; higher is better",
                        "cross-entropy and KL recovered by the spliced model, by phase and run; "
                        "higher is better",
                        err);
done:
    chart_clear(&chart);
    return st;
}

enum sae_status report_draw(struct report *report, const char *dir, struct sae_err *err)
{
    SAE_TRY(charts_grid(report, dir, err));
    SAE_TRY(separation(report, dir, err));
    SAE_TRY(reconstruction(report, dir, err));
    SAE_TRY(trade_off(report, dir, err));
    SAE_TRY(charts_cos_hist(report, dir, err));
    SAE_TRY(charts_training(report, dir, err));
    SAE_TRY(charts_pairs(report, dir, err));
    SAE_TRY(probing(report, dir, err));
    SAE_TRY(absorption(report, dir, err));
    return core(report, dir, err);
}
