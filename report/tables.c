/* SPDX-License-Identifier: MIT */
/* tables : the notes' tables - each family of metrics by phase and run with the published rows
 * below, score targets, differences from the reference run, means over seeds. Rows are sorted by
 * phase, then run, so that what is to be compared stands together. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cli/table.h"
#include "report/compare.h"
#include "report/notes.h"

#define MAX_COLUMNS 24
#define MAX_PERCENTS 64
#define TABLE_WIDTH 110

struct columns {
    size_t n;
    const struct sae_metric *v[MAX_COLUMNS];
    const char *head[MAX_COLUMNS];
};

static bool metric_seen(const struct report *report, const struct sae_metric *metric)
{
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++)
            if (isfinite(report_value(&report->runs[i].phases[p], metric)))
                return true;
    /* rows that were asked for are shown where no run has the like, too */
    for (size_t b = 0; b < report->n_baselines; b++)
        if (report->baselines[b].full != NULL &&
            isfinite(report_baseline_value(&report->baselines[b], metric)))
            return true;
    return false;
}

static size_t longest_name(const struct report *report, bool published)
{
    size_t longest = strlen("run");
    char label[REPORT_LABEL];
    for (size_t i = 0; i < report->n_runs; i++)
        if (strlen(report->runs[i].name) > longest)
            longest = strlen(report->runs[i].name);
    for (size_t g = 0; !published && g < report->n_groups; g++) {
        const size_t len = strlen(report_group_label(label, report, g));
        longest = len > longest ? len : longest;
    }
    for (size_t i = 0; published && i < report->n_baselines; i++) {
        const size_t len = strlen(report_baseline_label(label, &report->baselines[i]));
        longest = len > longest ? len : longest;
    }
    return longest;
}

/* A column is as wide as its head or its numbers, two spaces between. */
static size_t width_of(const struct sae_metric *metric, const char *head, size_t extra)
{
    const size_t number = (size_t)metric->digits + 2 + (metric->digits == 0 ? 4 : 0) + extra;
    return 2 + (strlen(head) > number ? strlen(head) : number);
}

static void cell(struct sae_table *table, const struct sae_metric *metric, double x)
{
    if (metric->digits == 0)
        sae_table_count(table, x);
    else
        sae_table_real(table, x, metric->digits);
}

static void phase_cell(struct sae_table *table, bool first, int percent)
{
    if (first)
        sae_table_text(table, "%d %%", percent);
    else
        sae_table_text(table, "  ");
}

/* --- families ------------------------------------------------------------------------------- */

static void explain(const struct sae_metric *metric, FILE *to)
{
    static const char *const direction[] = {"Lower is better: ", "", "Higher is better: "};
    char lead[64];
    snprintf(lead, sizeof lead, "  %-13s ", metric->head);
    const char *dir = direction[metric->better + 1];
    if (metric->version != NULL)
        report_wrap(to, lead, 16, "%s%s. Formula: %s.", dir, metric->meaning, metric->version);
    else
        report_wrap(to, lead, 16, "%s%s.", dir, metric->meaning);
}

static bool phase_has_any(const struct report_phase *phase, const struct columns *columns)
{
    for (size_t c = 0; c < columns->n; c++)
        if (phase != NULL && isfinite(report_value(phase, columns->v[c])))
            return true;
    return false;
}

static void fill_runs(const struct report *report, const struct columns *columns,
                      struct sae_table *table)
{
    int percents[MAX_PERCENTS];
    const size_t n = notes_percents(report, percents, MAX_PERCENTS);
    for (size_t p = 0; p < n; p++) {
        bool first = true;
        for (size_t i = 0; i < report->n_runs; i++) {
            const struct report_phase *phase = report_phase_at(&report->runs[i], percents[p]);
            if (!phase_has_any(phase, columns))
                continue;
            phase_cell(table, first, percents[p]);
            sae_table_text(table, "%s", report->runs[i].name);
            for (size_t c = 0; c < columns->n; c++)
                cell(table, columns->v[c], report_value(phase, columns->v[c]));
            first = false;
        }
    }
}

static void fill_baselines(const struct report *report, const struct columns *columns,
                           struct sae_table *table)
{
    char label[REPORT_LABEL];
    bool first = true;
    for (size_t b = 0; b < report->n_baselines; b++) {
        bool any = false;
        for (size_t c = 0; c < columns->n; c++)
            any |= isfinite(report_baseline_value(&report->baselines[b], columns->v[c]));
        if (!any)
            continue;
        sae_table_text(table, "%s", first ? "publ." : "  ");
        sae_table_text(table, "%s", report_baseline_label(label, &report->baselines[b]));
        for (size_t c = 0; c < columns->n; c++)
            cell(table, columns->v[c], report_baseline_value(&report->baselines[b], columns->v[c]));
        first = false;
    }
}

static enum sae_status print_block(const struct report *report, const struct columns *columns,
                                   FILE *to, struct sae_err *err)
{
    const char *heads[MAX_COLUMNS + 2] = {"at", "run"};
    for (size_t c = 0; c < columns->n; c++)
        heads[c + 2] = columns->head[c];
    struct sae_table *table = NULL;
    SAE_TRY(sae_table_make(&table, columns->n + 2, heads, err));
    fill_runs(report, columns, table);
    fill_baselines(report, columns, table);
    const enum sae_status st = sae_table_print(table, to, 2, err);
    sae_table_free(table);
    return st;
}

typedef enum sae_status print_fn(const struct report *report, const struct columns *columns,
                                 FILE *to, struct sae_err *err);

/* Prints the columns in as many tables as the width of the notes asks for. extra: characters that a
 * cell takes beyond its number; published: there are rows of published results. */
static enum sae_status print_blocks(const struct report *report, const struct columns *all,
                                    size_t extra, bool published, print_fn *print, FILE *to,
                                    struct sae_err *err)
{
    const size_t taken = 2 + strlen("100 %  ") + longest_name(report, published);
    const size_t left = taken < TABLE_WIDTH ? TABLE_WIDTH - taken : 0;
    struct columns block = {0};
    size_t used = 0;
    for (size_t c = 0; c < all->n; c++) {
        const size_t width = width_of(all->v[c], all->head[c], extra);
        if (block.n > 0 && used + width > left) {
            SAE_TRY(print(report, &block, to, err));
            fputc('\n', to);
            block.n = 0;
            used = 0;
        }
        block.head[block.n] = all->head[c];
        block.v[block.n++] = all->v[c];
        used += width;
    }
    return block.n > 0 ? print(report, &block, to, err) : SAE_OK;
}

static bool any_published(const struct report *report, const struct columns *columns)
{
    for (size_t b = 0; b < report->n_baselines; b++)
        for (size_t c = 0; c < columns->n; c++)
            if (isfinite(report_baseline_value(&report->baselines[b], columns->v[c])))
                return true;
    return false;
}

/* Under each table with published rows: what they are. */
static void footnote(const struct report *report, const struct columns *columns, FILE *to)
{
    for (size_t b = 0; b < report->n_baselines; b++) {
        const struct report_baseline *one = &report->baselines[b];
        bool any = false, same = true;
        for (size_t c = 0; c < columns->n; c++)
            any |= isfinite(report_baseline_value(one, columns->v[c]));
        for (size_t i = 0; i < report->n_runs; i++)
            same &= report_same_site(&report->runs[i], one);
        if (!any)
            continue;
        char site[128];
        report_wrap(to, "  ", 2, "[...] published: %s%s.", report_baselines_site(site, report),
                    same ? "" : "; not comparable in absolute terms to this model");
        return;
    }
}

enum sae_status notes_family(const struct report *report, enum sae_source source, FILE *to,
                             struct sae_err *err)
{
    struct columns columns = {0};
    if (!report_shows(report, source))
        return SAE_OK;
    SAE_EACH_METRIC(metric)
    {
        if (columns.n < MAX_COLUMNS && metric->source == source && !metric->extra && metric_seen(report, metric)) {
            columns.head[columns.n] = metric->head;
            columns.v[columns.n++] = metric;
        }
    }
    if (columns.n == 0)
        return SAE_OK;
    notes_heading(to, report_sources[source].title);
    report_wrap(to, "  ", 2, "%s", report_sources[source].note);
    fputc('\n', to);
    for (size_t c = 0; c < columns.n; c++)
        explain(columns.v[c], to);
    fputc('\n', to);
    SAE_TRY(print_blocks(report, &columns, 0, any_published(report, &columns), print_block, to, err));
    footnote(report, &columns, to);
    return SAE_OK;
}

/* --- targets -------------------------------------------------------------------------------- */

const char *notes_verdict(const struct report_target *target, double value)
{
    if (!isfinite(value))
        return "not measured";
    return (value - target->bound) * target->better > 0 ? "met" : "missed";
}

/* measured: the evaluation ran; it may still give no value (absorption A without a candidate). */
static void verdict_cell(struct sae_table *table, const struct report_target *target, double x,
                         bool measured)
{
    if (isfinite(x))
        sae_table_text(table, "%.4f %s", x, notes_verdict(target, x));
    else if (measured)
        sae_table_text(table, "no value");
    else
        sae_table_text(table, "%s", notes_verdict(target, x));
}

bool notes_any_target(const struct report_baseline *baseline)
{
    for (size_t t = 0; t < report_n_targets; t++)
        if (isfinite(
                report_baseline_value(baseline, sae_metric_by(report_targets[t].metric))))
            return true;
    return false;
}

enum sae_status notes_targets(const struct report *report, FILE *to, struct sae_err *err)
{
    notes_heading(to, "Score targets");
    char titles[8][48], label[REPORT_LABEL];
    const char *heads[8] = {"run", "at"};
    for (size_t t = 0; t < report_n_targets; t++) {
        const struct report_target *target = &report_targets[t];
        snprintf(titles[t], sizeof titles[t], "%s %s %g", target->name,
                 target->better < 0 ? "<" : ">", target->bound);
        heads[t + 2] = titles[t];
        fprintf(to, "  %-21s  %s\n", titles[t], target->label);
    }
    fputs("  The targets were set for gemma-2-2b, layer 12; elsewhere they are a landmark.\n\n",
          to);
    struct sae_table *table = NULL;
    SAE_TRY(sae_table_make(&table, 2 + report_n_targets, heads, err));
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_phase *last = report_phase_last(&report->runs[i]);
        sae_table_text(table, "%s", report->runs[i].name);
        sae_table_text(table, "%d %%", last->percent);
        for (size_t t = 0; t < report_n_targets; t++) {
            const struct sae_metric *metric = sae_metric_by(report_targets[t].metric);
            verdict_cell(table, &report_targets[t], report_value(last, metric),
                         last->result[metric->source] != NULL);
        }
    }
    for (size_t b = 0; b < report->n_baselines; b++) {
        if (!notes_any_target(&report->baselines[b]))
            continue;
        sae_table_text(table, "%s", report_baseline_label(label, &report->baselines[b]));
        sae_table_text(table, "publ.");
        for (size_t t = 0; t < report_n_targets; t++)
            verdict_cell(table, &report_targets[t],
                         report_baseline_value(&report->baselines[b],
                                               sae_metric_by(report_targets[t].metric)),
                         false);
    }
    const enum sae_status st = sae_table_print(table, to, 2, err);
    sae_table_free(table);
    return st;
}

/* --- differences ---------------------------------------------------------------------------- */

static void headline_columns(const struct report *report, struct columns *columns)
{
    columns->n = 0;
    NOTES_EACH_HEADLINE(metric)
    {
        if (columns->n == MAX_COLUMNS || !metric_seen(report, metric))
            continue;
        columns->head[columns->n] = metric->column;
        columns->v[columns->n++] = metric;
    }
}

/* "-0.0312 +- 0.0040 b": the difference, half of its interval where seeds give one, the verdict. */
static void difference_cell(struct sae_table *table, const struct report_comparison *c)
{
    static const char *const marks[REPORT_VERDICT_N] = {
        [REPORT_BETTER] = " b", [REPORT_WORSE] = " w", [REPORT_WITHIN_NOISE] = " ~"};
    const char *const mark = marks[c->verdict] != NULL ? marks[c->verdict] : "";
    const int digits = c->metric->digits;
    if (c->verdict == REPORT_NOT_MEASURED)
        sae_table_text(table, "%s", "");
    else if (isfinite(c->by.p))
        sae_table_text(table, "%+.*f +- %.*f%s", digits, c->by.diff, digits, c->by.half, mark);
    else
        sae_table_text(table, "%+.*f", digits, c->by.diff);
}

static bool any_difference(const struct report *report, const struct columns *columns, size_t group,
                           size_t ref, int percent)
{
    for (size_t c = 0; c < columns->n; c++)
        if (report_compare(report, group, ref, percent, columns->v[c]).verdict !=
            REPORT_NOT_MEASURED)
            return true;
    return false;
}

static void fill_differences(const struct report *report, const struct columns *columns,
                             struct sae_table *table)
{
    const size_t ref = report->runs[report->against].group;
    int percents[MAX_PERCENTS];
    const size_t n = notes_percents(report, percents, MAX_PERCENTS);
    for (size_t p = 0; p < n; p++) {
        bool first = true;
        for (size_t g = 0; g < report->n_groups; g++) {
            char label[REPORT_LABEL];
            if (g == ref || !any_difference(report, columns, g, ref, percents[p]))
                continue;
            phase_cell(table, first, percents[p]);
            sae_table_text(table, "%s", report_group_label(label, report, g));
            for (size_t c = 0; c < columns->n; c++) {
                const struct report_comparison one =
                    report_compare(report, g, ref, percents[p], columns->v[c]);
                difference_cell(table, &one);
            }
            first = false;
        }
    }
}

static enum sae_status print_differences(const struct report *report, const struct columns *columns,
                                         FILE *to, struct sae_err *err)
{
    const char *heads[MAX_COLUMNS + 2] = {"at", "run"};
    for (size_t c = 0; c < columns->n; c++)
        heads[c + 2] = columns->head[c];
    struct sae_table *table = NULL;
    SAE_TRY(sae_table_make(&table, columns->n + 2, heads, err));
    fill_differences(report, columns, table);
    const enum sae_status st = sae_table_print(table, to, 2, err);
    sae_table_free(table);
    return st;
}

enum sae_status notes_differences(const struct report *report, FILE *to, struct sae_err *err)
{
    struct columns columns;
    char title[REPORT_LABEL + 32], label[REPORT_LABEL];
    headline_columns(report, &columns);
    if (report->n_groups < 2 || columns.n == 0)
        return SAE_OK;
    const size_t ref = report->runs[report->against].group;
    const bool seeds = report->n_groups < report->n_runs;
    snprintf(title, sizeof title, "Differences from %s", report_group_label(label, report, ref));
    notes_heading(to, title);
    if (seeds)
        report_wrap(to, "  ", 2,
                    "At the same share of training: difference of the means +- half of its 95 %% "
                    "interval over seeds. b: better, w: worse, ~: within noise. Without a mark: not "
                    "judged: one seed cannot tell, L0 differs by more than 5 %%, or the evaluation ran "
                    "with other options.");
    else
        report_wrap(to, "  ", 2,
                    "At the same share of training. Each setting was run once, so no better or worse "
                    "is said.");
    fputc('\n', to);
    return print_blocks(report, &columns, seeds ? strlen(" +- 0.0000 b") : strlen("+"), false,
                        print_differences, to, err);
}

/* --- seeds ---------------------------------------------------------------------------------- */

static void fill_seeds(const struct report *report, const struct columns *columns, size_t group,
                       const char *name, struct sae_table *table)
{
    int percents[MAX_PERCENTS];
    const size_t n = notes_percents(report, percents, MAX_PERCENTS);
    for (size_t p = 0; p < n; p++) {
        sae_table_text(table, "%d %%", percents[p]);
        sae_table_text(table, "%s", name);
        for (size_t c = 0; c < columns->n; c++) {
            double mean, se;
            const size_t with =
                report_group_stats(report, group, percents[p], columns->v[c], &mean, &se);
            const int digits = columns->v[c]->digits;
            if (with == 0)
                sae_table_text(table, "%s", "");
            else if (with == 1)
                sae_table_text(table, "%.*f", digits, mean);
            else
                sae_table_text(table, "%.*f +- %.*f", digits, mean, digits, se);
        }
    }
}

enum sae_status notes_seeds(const struct report *report, FILE *to, struct sae_err *err)
{
    struct columns columns;
    headline_columns(report, &columns);
    if (report->n_groups == report->n_runs || columns.n == 0)
        return SAE_OK;
    notes_heading(to, "Over seeds");
    report_wrap(to, "  ", 2,
                "Runs that differ in their seed only: mean +- standard error of the mean. With few "
                "seeds that error is itself uncertain: intervals take Student's t instead of 2.");
    for (size_t g = 0; g < report->n_groups; g++) {
        size_t first = 0;
        char name[REPORT_LABEL];
        if (report_group_size(report, g, &first) < 2)
            continue;
        fputs("\n  ", to);
        for (size_t i = 0; i < report->n_runs; i++)
            if (report->runs[i].group == g)
                fprintf(to, "%s%s (seed %llu)", i == first ? "" : ", ", report->runs[i].name,
                        (unsigned long long)report->runs[i].seed);
        fputs("\n\n", to);
        /* two numbers a cell: as many columns as fit */
        for (size_t c = 0; c < columns.n; c += 4) {
            if (c > 0)
                fputc('\n', to);
            struct columns part = {0};
            const char *heads[MAX_COLUMNS + 2] = {"at", "group"};
            for (size_t j = c; j < columns.n && j < c + 4; j++) {
                heads[part.n + 2] = columns.head[j];
                part.v[part.n++] = columns.v[j];
            }
            struct sae_table *table = NULL;
            SAE_TRY(sae_table_make(&table, part.n + 2, heads, err));
            fill_seeds(report, &part, g, report_group_name(name, report, g), table);
            const enum sae_status st = sae_table_print(table, to, 2, err);
            sae_table_free(table);
            SAE_TRY(st);
        }
    }
    return SAE_OK;
}
