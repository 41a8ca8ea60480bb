/* SPDX-License-Identifier: MIT */
/* charts_runs : charts of what the checkpoints hold - time series, trajectories of pairs - and the
 * cosine histograms of sae-analyze. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/file/json.h"
#include "report/charts.h"

/* --- time series ---------------------------------------------------------------------------- */

static enum sae_status series_chart(struct charts *charts, const struct chart_column columns[4],
                                    const char *name, const char *title, const char *subtitle,
                                    const char *caption, struct sae_err *err)
{
    struct chart chart = {.of = charts};
    for (size_t i = 0; i < 4; i++) {
        const enum sae_status st = chart_series(&chart, &columns[i], err);
        if (st != SAE_OK) {
            chart_clear(&chart);
            return st;
        }
    }
    return chart_finish(&chart, name, title, subtitle, caption, err);
}

enum sae_status charts_losses(struct charts *charts, struct sae_err *err)
{
    static const struct chart_column columns[4] = {
        {"loss_recon", "reconstruction",                   "|x - xhat|^2 per token", .log_y = true           },
        {"loss_orth",  "orthogonality, before its weight", "L_orth",                 .log_y = true,            .of_term = true},
        {"loss_sparse",            "sparsity (L1)",                                  "sum of activations",                                .log_y = true  },
        {"loss_aux",            "auxiliary (dead latents)",                                     "AuxK loss",                        .log_y = true},
    };
    return series_chart(charts, columns, "loss_parts", "Parts of the training loss",
                        "each part on its own, per step; a part that a run lacks is not drawn",
                        "reconstruction, orthogonality and other loss parts over the steps, a "
                        "line a setting",
                        err);
}

enum sae_status charts_schedules(struct charts *charts, struct sae_err *err)
{
    static const struct chart_column columns[4] = {
        {"lambda2",        "weight lambda2", "lambda2",       .of_term = true},
        {"tau",                "competition threshold tau",                            "tau", .of_term = true},
        {"lr", "learning rate",                 "rate"                            },
        {"k",          "active latents kept (k)",          "k"},
    };
    return series_chart(charts, columns, "schedules", "Schedules",
                        "lambda2 weighs the orthogonality term; pairs compete above the overlap "
                        "tau",
                        "weight lambda2, threshold tau, learning rate and k over the steps, a "
                        "line a setting",
                        err);
}

enum sae_status charts_gradients(struct charts *charts, struct sae_err *err)
{
    static const struct chart_column columns[4] = {
        {"grad_recon", "reconstruction, on the decoder", "gradient norm", .log_y = true                               },
        {"grad_orth",  "orthogonality, on the decoder",  "gradient norm", .log_y = true,
         .of_term = true},
        {"grad_cos",            "cosine of the two",                                   "cosine",                    .of_term = true                     },
        {"grad_norm",            "all parameters, before clipping",                                  "gradient norm",     .log_y = true},
    };
    return series_chart(charts, columns, "gradients", "Gradients",
                        "on the decoder, across the features; a cosine below 0: the two terms pull "
                        "against each other",
                        "gradient norms of reconstruction and orthogonality and their cosine over "
                        "the steps, a line a setting",
                        err);
}

enum sae_status charts_monitors(struct charts *charts, struct sae_err *err)
{
    static const struct chart_column columns[4] = {
        {"competing_pairs",              "competing pairs in a batch", "pairs", .log_y = true                       },
        {                                                                                         "mean_abs_cos", "|cosine| of competing pairs",            "mean over pairs"       },
        {                                                                                                "dead",           "dead latents",                                       "latents",                               .may_be_zero = true                               },
        { "oversuppressed",            "over-suppressed latents",                                        "share of latents",                                .of_term = true,
         .may_be_zero = true},
    };
    return series_chart(charts, columns, "monitors", "What the orthogonality term meets",
                        "over-suppressed: its gradient on the latent exceeds the reconstruction's",
                        "competing pairs, their cosine, dead and over-suppressed latents over "
                        "the steps, a line a setting",
                        err);
}

/* --- trajectories of representative pairs ---------------------------------------------------- */

enum { N_KINDS = 3, THIN = 12 };
static const char *const kinds[N_KINDS] = {"strongest competitors", "random, active together",
                                           "random, never together"};

/* The mean of each kind, thick, and n_thin of its pairs, thin. */
static enum sae_status pair_panel(struct chart *chart, const struct sae_ckpt *ckpt,
                                  const float *values, size_t n_thin, const char *title,
                                  const char *ylabel, struct sae_err *err)
{
    const size_t n = ckpt->pairs.n, n_logged = ckpt->pairs.n_logged;
    size_t means[N_KINDS], with_kind[N_KINDS] = {0};
    char with[96];
    SAE_TRY(chart_panel(chart, title, "step", ylabel, err));
    SAE_TRY(n_logged > 0 ? chart_steps(chart, ckpt->pairs.step[0], ckpt->pairs.step[n_logged - 1],
                                       err)
                         : SAE_OK);
    for (unsigned kind = 0; kind < N_KINDS; kind++) {
        for (size_t p = 0; p < n; p++) {
            if (ckpt->pairs.kind[p] != kind || with_kind[kind]++ >= n_thin)
                continue;
            size_t block;
            SAE_TRY(chart_open(chart, &block, err));
            for (size_t t = 0; t < n_logged; t++)
                SAE_TRY(sae_str_printf(&chart->data, err, "%.0f %.6g\n", ckpt->pairs.step[t],
                                       (double)values[t * n + p]));
            SAE_TRY(chart_close(chart, err));
            snprintf(with, sizeof with, "using 1:2 with lines lw 0.7 lc rgb '%s'",
                     kind == 0   ? "#b3d4e8"
                     : kind == 1 ? "#f0c3a3"
                                 : "#a8dccb");
            SAE_TRY(chart_curve(chart, block, with, NULL, err));
        }
    }
    for (unsigned kind = 0; kind < N_KINDS; kind++) {
        if (with_kind[kind] == 0)
            continue;
        SAE_TRY(chart_open(chart, &means[kind], err));
        for (size_t t = 0; t < n_logged; t++) {
            double sum = 0;
            for (size_t p = 0; p < n; p++)
                if (ckpt->pairs.kind[p] == kind)
                    sum += (double)values[t * n + p];
            SAE_TRY(sae_str_printf(&chart->data, err, "%.0f %.6g\n", ckpt->pairs.step[t],
                                   sum / (double)with_kind[kind]));
        }
        SAE_TRY(chart_close(chart, err));
        snprintf(with, sizeof with, "using 1:2 with lines ls %u lw 3", kind + 1);
        SAE_TRY(chart_curve(chart, means[kind], with, kinds[kind], err));
    }
    chart_end_panel(chart);
    return SAE_OK;
}

static enum sae_status pair_chart(struct charts *charts, const struct report_run *run,
                                  struct sae_err *err)
{
    const struct sae_ckpt *ckpt = &run->last;
    struct chart chart = {.of = charts};
    struct sae_str name = {0}, title = {0}, caption = {0};
    char *file = NULL;
    enum sae_status st = SAE_OK;
    if (ckpt->pairs.n == 0 || ckpt->pairs.n_logged < 2)
        return SAE_OK;
    /* Of one pair, c and nhat jump from batch to batch: only their means can be read. */
    SAE_GO(st, pair_panel(&chart, ckpt, ckpt->pairs.c, 0, "competition c", "coefficient", err));
    SAE_GO(st, pair_panel(&chart, ckpt, ckpt->pairs.nhat, 0, "overlap nhat", "normalised overlap",
                          err));
    SAE_GO(st, pair_panel(&chart, ckpt, ckpt->pairs.cos, THIN, "cosine",
                          "cosine of the two directions", err));
    SAE_GO(st, report_file_name(&file, charts->report, run, err));
    SAE_GO(st, sae_str_printf(&name, err, "pairs_%s", file));
    SAE_GO(st, sae_str_printf(&title, err, "%s: representative pairs through training", run->name));
    SAE_GO(st, sae_str_printf(&caption, err,
                              "competition, overlap and cosine of %zu pairs of %s, chosen at the "
                              "first checkpoint and followed to the end",
                              ckpt->pairs.n, run->name));
    st = chart_finish(&chart, name.s, title.s,
                      "means of each kind, chosen at the first checkpoint; thin: some of its pairs",
                      caption.s, err);
done:
    chart_clear(&chart);
    free(file);
    sae_str_clear(&name);
    sae_str_clear(&title);
    sae_str_clear(&caption);
    return st;
}

enum sae_status charts_pairs(struct charts *charts, struct sae_err *err)
{
    for (size_t g = 0; g < charts->report->n_groups; g++) {
        size_t first = 0; /* one seed of several */
        (void)report_group_size(charts->report, g, &first);
        SAE_TRY(pair_chart(charts, &charts->report->runs[first], err));
    }
    return SAE_OK;
}

/* --- cosine histograms ----------------------------------------------------------------------- */

/* Counts over equal bins from lo to hi, as sae-analyze leaves them. */
struct cos_hist {
    const json_t *counts;
    double lo, hi, total;
};

static bool find_hist(const struct report_phase *phase, struct cos_hist *ret)
{
    const json_t *hist =
        sae_json_at(phase->result[SAE_SOURCE_ANALYZE], "eval_result_unstructured.cosine_histogram");
    const json_t *counts = json_object_get(hist, "counts");
    if (json_array_size(counts) < 2)
        return false;
    *ret = (struct cos_hist){
        .counts = counts, .lo = sae_json_real(hist, "lo", -1), .hi = sae_json_real(hist, "hi", 1)};
    for (size_t b = 0; b < json_array_size(counts); b++)
        ret->total += json_number_value(json_array_get(counts, b));
    return ret->total > 0;
}

/* Share of pairs per bin, neighbouring bins joined to about a hundred; empty ends are left out. */
static enum sae_status hist_block(struct chart *chart, const struct cos_hist *hist, size_t *block,
                                  struct sae_err *err)
{
    const size_t n = json_array_size(hist->counts), join = n / 100 > 0 ? n / 100 : 1;
    SAE_TRY(chart_open(chart, block, err));
    for (size_t b = 0; b + join <= n; b += join) {
        double sum = 0;
        for (size_t i = b; i < b + join; i++)
            sum += json_number_value(json_array_get(hist->counts, i));
        const double middle =
            hist->lo + (hist->hi - hist->lo) * ((double)b + 0.5 * (double)join) / (double)n;
        if (sum > 0)
            SAE_TRY(
                sae_str_printf(&chart->data, err, "%.6g %.6g\n", middle, 100 * sum / hist->total));
    }
    return chart_close(chart, err);
}

/* The largest |cosine| that any run has at any phase, rounded up: the axis of all panels. */
static double hist_reach(const struct report *report)
{
    double reach = 0.1;
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++) {
            struct cos_hist hist = {0};
            if (!find_hist(&report->runs[i].phases[p], &hist))
                continue;
            const size_t n = json_array_size(hist.counts);
            for (size_t b = 0; b < n; b++) {
                const double x = hist.lo + (hist.hi - hist.lo) * ((double)b + 0.5) / (double)n;
                if (json_number_value(json_array_get(hist.counts, b)) > 0 && fabs(x) > reach)
                    reach = fabs(x);
            }
        }
    return fmin(1, ceil(10 * reach) / 10);
}

static enum sae_status hist_axes(struct chart *chart, const char *title, double reach,
                                 struct sae_err *err)
{
    SAE_TRY(chart_panel(chart, title, "cosine of two features", "share of pairs (%)", err));
    return sae_str_printf(chart_now(chart), err,
                          "set logscale y\nset format y \"10^{%%L}\"\nset xrange [%g:%g]\n"
                          "set xtics autofreq\n",
                          -reach, reach);
}

/* A setting's phases, of its first seed. */
static enum sae_status hist_panel(struct chart *chart, size_t group, double reach,
                                  struct sae_err *err)
{
    char name[REPORT_LABEL];
    size_t first = 0;
    (void)report_group_size(chart->of->report, group, &first);
    const struct report_run *const run = &chart->of->report->runs[first];
    SAE_TRY(hist_axes(chart, report_group_name(name, chart->of->report, group), reach, err));
    for (size_t p = 0; p < run->n_phases; p++) {
        struct cos_hist hist = {0};
        size_t block;
        char with[CHART_STYLE + 32], looks[CHART_STYLE], label[32];
        if (!find_hist(&run->phases[p], &hist))
            continue;
        SAE_TRY(hist_block(chart, &hist, &block, err));
        snprintf(with, sizeof with, "using 1:2 with lines %s",
                 chart_style_of(p, run->n_phases, looks));
        snprintf(label, sizeof label, "%d %%", run->phases[p].percent);
        SAE_TRY(chart_curve(chart, block, with, label, err));
    }
    chart_end_panel(chart);
    return SAE_OK;
}

/* The last phase of every setting, of its first seed. */
static enum sae_status hist_of_all(struct chart *chart, double reach, struct sae_err *err)
{
    const struct report *const report = chart->of->report;
    size_t block = 0;
    SAE_TRY(hist_axes(chart, "", reach, err));
    for (size_t g = 0; g < report->n_groups; g++) {
        struct cos_hist hist = {0};
        char with[CHART_STYLE + 32], looks[CHART_STYLE], label[CHART_LABEL];
        size_t first = 0;
        (void)report_group_size(report, g, &first);
        const struct report_phase *const last = report_phase_last(&report->runs[first]);
        if (last == NULL || !find_hist(last, &hist))
            continue;
        SAE_TRY(hist_block(chart, &hist, &block, err));
        snprintf(with, sizeof with, "using 1:2 with lines %s", chart_style(chart->of, g, looks));
        SAE_TRY(chart_curve(chart, block, with, chart_label(chart->of, g, label), err));
    }
    SAE_TRY(chart_axes_key(chart, block, err));
    chart_end_panel(chart);
    return SAE_OK;
}

enum sae_status charts_cos_hist(struct charts *charts, struct sae_err *err)
{
    enum { PANELS = 4 };
    const size_t n = charts->report->n_groups;
    const double reach = hist_reach(charts->report);
    struct chart chart = {.of = charts};
    enum sae_status st = SAE_OK;
    for (size_t g = 0; g < n && n <= PANELS; g++)
        SAE_GO(st, hist_panel(&chart, g, reach, err));
    if (n > PANELS)
        SAE_GO(st, hist_of_all(&chart, reach, err));
    chart.bare = n > PANELS;
    return chart_finish(&chart, "cosines",
                        n <= PANELS ? "Cosines of all pairs of features, by phase"
                                    : "Cosines of all pairs of features, at the end of training",
                        "a narrow peak at 0 is well separated; a tail to the right is shared "
                        "direction; one seed a setting",
                        n <= PANELS ? "histogram of the cosine over all pairs of features, a "
                                      "panel a setting, a line a phase; log scale"
                                    : "histogram of the cosine over all pairs of features at the "
                                      "last phase, a line a setting; log scale",
                        err);
done:
    chart_clear(&chart);
    return st;
}
