/* SPDX-License-Identifier: MIT */
/* result : everything that the notes say, as JSON. */
#include <math.h>
#include <string.h>

#include "lib/file/json.h"
#include "report/control.h"
#include "report/notes.h"

static json_t *metrics_of(const struct report_phase *phase, const struct report_baseline *baseline)
{
    json_t *values = json_object();
    SAE_EACH_METRIC(metric)
    {
        const double x = phase != NULL ? report_value(phase, metric)
                                       : report_baseline_value(baseline, metric);
        if (isfinite(x))
            json_object_set_new(values, metric->id, json_real(x));
    }
    return values;
}

/* The standard errors that evaluations give of their own, under the metric's id. */
static json_t *errors_of(const struct report_phase *phase)
{
    json_t *values = json_object();
    SAE_EACH_METRIC(metric)
    {
        const double x = report_value_se(phase, metric);
        if (isfinite(x))
            json_object_set_new(values, metric->id, json_real(x));
    }
    return values;
}

static json_t *comparison_json(const struct report *report, size_t group, size_t ref, int percent,
                               const struct sae_metric *metric)
{
    const struct report_comparison c = report_compare(report, group, ref, percent, metric);
    if (c.verdict == REPORT_NOT_MEASURED)
        return NULL;
    return json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "metric",
                     metric->id, "n", (json_int_t)c.by.n, "n_against", (json_int_t)c.by.n_ref,
                     "pairs", (json_int_t)c.by.n_pairs, "mean", sae_json_number(c.by.mean),
                     "mean_against", sae_json_number(c.by.ref), "difference",
                     sae_json_number(c.by.diff), "standard_error", sae_json_number(c.by.se), "df",
                     sae_json_number(c.by.df), "half_95", sae_json_number(c.by.half), "p",
                     sae_json_number(c.by.p), "verdict", report_verdict_names[c.verdict]);
}

/* Each group against the reference's, at each percent. */
static json_t *comparisons_json(const struct report *report)
{
    const size_t ref = report->runs[report->against].group;
    json_t *const list = json_array();
    int percents[64];
    const size_t n = notes_percents(report, percents, 64);
    for (size_t g = 0; g < report->n_groups; g++)
        for (size_t p = 0; g != ref && p < n; p++) {
            json_t *const metrics = json_array();
            SAE_EACH_METRIC(metric)
            {
                json_t *const one =
                    comparison_json(report, g, ref, percents[p], metric);
                if (one != NULL)
                    json_array_append_new(metrics, one);
            }
            json_array_append_new(
                list, json_pack("{s:I, s:I, s:i, s:o, s:o, s:o}", "group", (json_int_t)g, "against",
                                (json_int_t)ref, "percent", percents[p], "l0",
                                sae_json_number(report_group_l0(report, g, percents[p])),
                                "l0_against",
                                sae_json_number(report_group_l0(report, ref, percents[p])),
                                "metrics", metrics));
        }
    return list;
}

/* What the notes say of each group and its control. */
static json_t *controls_json(const struct report *report)
{
    json_t *const list = json_array();
    struct report_control c;
    for (size_t at = 0; report_control_next(report, &at, &c);) {
        json_t *const better = json_array(), *const worse = json_array();
        for (size_t i = 0; i < c.n; i++)
            if (c.counts[i])
                json_array_append_new(c.of[i].verdict == REPORT_BETTER ? better : worse,
                                      json_string(c.of[i].metric->id));
        json_array_append_new(
            list, json_pack("{s:I, s:I, s:s, s:i, s:s, s:I, s:o, s:o}", "group",
                            (json_int_t)c.group, "control", (json_int_t)c.control, "frozen", c.part,
                            "percent", c.percent, "verdict",
                            report_control_verdict_names[c.verdict], "n_judged",
                            (json_int_t)c.n_judged, "better", better, "worse", worse));
    }
    return list;
}

static json_t *targets_of(const struct report_phase *phase, const struct report_baseline *baseline)
{
    json_t *list = json_array();
    for (size_t t = 0; t < report_n_targets; t++) {
        const struct report_target *target = &report_targets[t];
        const struct sae_metric *metric = sae_metric_by(target->metric);
        const double x =
            phase != NULL ? report_value(phase, metric) : report_baseline_value(baseline, metric);
        json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:o, s:s}", "metric", target->metric,
                                              "better", target->better < 0 ? "below" : "above",
                                              "bound", target->bound, "value", sae_json_number(x),
                                              "verdict", notes_verdict(target, x)));
    }
    return list;
}

static const char *arch_of(const struct report_run *run)
{
    if (run->elsewhere)
        return sae_json_str(run->config, "architecture", "unknown");
    return run->record != NULL ? sae_arch_name(run->arch) : "unknown";
}

static json_t *run_json(const struct report_run *run)
{
    json_t *phases = json_array();
    for (size_t p = 0; p < run->n_phases; p++) {
        const struct report_phase *phase = &run->phases[p];
        json_array_append_new(phases,
                              json_pack("{s:s, s:s, s:i, s:I, s:b, s:o, s:o}", "path", phase->path, "id",
                                        phase->id, "percent", phase->percent, "step",
                                        (json_int_t)phase->step, "readable", (int)phase->readable,
                                        "metrics", metrics_of(phase, NULL), "standard_errors",
                                        errors_of(phase)));
    }
    json_t *options = sae_json_at(run->record, "options");
    json_t *site = (json_t *)report_site(run);
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:I, s:I, s:O?, s:O?, s:o, s:o}", "name",
                     run->name, "path", run->path, "arch",
                     arch_of(run), "d",
                     (json_int_t)run->d, "m", (json_int_t)run->m, "k", (json_int_t)run->k, "seed",
                     sae_json_whole(run->seed), "total_steps", (json_int_t)run->total_steps, "group",
                     (json_int_t)run->group, "site", site, "options", options, "phases", phases,
                     "targets", targets_of(report_phase_last(run), NULL));
}

static json_t *groups_json(const struct report *report)
{
    json_t *groups = json_array();
    int percents[64];
    const size_t n = notes_percents(report, percents, 64);
    for (size_t g = 0; g < report->n_groups; g++) {
        json_t *names = json_array(), *phases = json_array();
        for (size_t i = 0; i < report->n_runs; i++)
            if (report->runs[i].group == g)
                json_array_append_new(names, json_string(report->runs[i].name));
        for (size_t p = 0; p < n; p++) {
            json_t *values = json_object();
            SAE_EACH_METRIC(metric)
            {
                double mean, se;
                const size_t with =
                    report_group_stats(report, g, percents[p], metric, &mean, &se);
                if (with > 0)
                    json_object_set_new(values, metric->id,
                                        json_pack("{s:I, s:o, s:o}", "n", (json_int_t)with, "mean",
                                                  sae_json_number(mean), "standard_error",
                                                  sae_json_number(se)));
            }
            json_array_append_new(
                phases, json_pack("{s:i, s:o}", "percent", percents[p], "metrics", values));
        }
        char label[REPORT_LABEL];
        json_array_append_new(groups, json_pack("{s:s, s:o, s:o}", "name",
                                                report_group_name(label, report, g), "runs", names,
                                                "phases", phases));
    }
    return groups;
}

static json_t *metric_list(void)
{
    json_t *list = json_object();
    SAE_EACH_METRIC(metric)
    {
        json_object_set_new(list, metric->id,
                            json_pack("{s:s, s:s, s:i, s:s?, s:s?}", "from",
                                      report_sources[metric->source].suffix, "meaning",
                                      metric->meaning, "better", metric->better, "version",
                                      metric->version, "key", metric->path[0]));
    }
    return list;
}

static json_t *lines_json(const struct report_lines *lines)
{
    json_t *list = json_array();
    for (size_t i = 0; i < lines->n; i++)
        json_array_append_new(list, json_string(lines->v[i]));
    return list;
}

static json_t *charts_json(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->charts.n; i++) {
        const char *line = report->charts.v[i], *tab = strchr(line, '\t');
        json_array_append_new(
            list, json_pack("{s:s%, s:s}", "file", line, (size_t)(tab - line), "shows", tab + 1));
    }
    return list;
}

enum sae_status report_json(json_t **ret, const struct report *report, struct sae_err *err)
{
    json_t *runs = json_array(), *baselines = json_array();
    for (size_t i = 0; i < report->n_runs; i++)
        json_array_append_new(runs, run_json(&report->runs[i]));
    for (size_t b = 0; b < report->n_baselines; b++) {
        const struct report_baseline *one = &report->baselines[b];
        json_array_append_new(baselines,
                              json_pack("{s:s, s:s*, s:s, s:s, s:I, s:o, s:o}", "name", one->name,
                                        "sae", one->full,
                                        "title", one->title, "model", one->model, "layer",
                                        (json_int_t)one->layer, "metrics", metrics_of(NULL, one),
                                        "targets", targets_of(NULL, one)));
    }
    json_t *all = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "against",
        report->runs[report->against].name, "runs", runs, "published", baselines, "seed_groups",
        groups_json(report), "comparisons", comparisons_json(report), "controls", controls_json(report),
        "missing_commands", lines_json(&report->missing_command), "problems",
        lines_json(&report->problems), "charts", charts_json(report), "metrics", metric_list());
    if (all == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    *ret = all;
    return SAE_OK;
}
