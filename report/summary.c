/* SPDX-License-Identifier: MIT */
/* summary : what the notes begin with - the runs, how the groups of seeds compare, plain facts, and
 * the main figures side by side.
 *
 * Contents:  1. the runs   2. comparisons   3. plain facts   4. side by side */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/table.h"
#include "report/compare.h"
#include "report/notes.h"

/* --- 1. the runs -------------------------------------------------------------------------- */

static enum sae_status seeds_of(struct sae_str *text, const struct report *report, size_t group,
                                struct sae_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < report->n_runs; i++)
        if (report->runs[i].group == group)
            SAE_TRY(sae_str_printf(text, err, "%s%llu", n++ > 0 ? ", " : "",
                                   (unsigned long long)report->runs[i].seed));
    return SAE_OK;
}

static int longest_label(const struct report *report)
{
    enum { LEAST = 12, MOST = 40 };
    int longest = LEAST;
    char label[REPORT_LABEL];
    for (size_t g = 0; g < report->n_groups; g++) {
        const int len = (int)strlen(report_group_label(label, report, g));
        longest = len > longest ? len : longest;
    }
    return longest < MOST ? longest : MOST;
}

static enum sae_status describe_group(const struct report *report, size_t group, int width, FILE *to,
                                      struct sae_err *err)
{
    size_t first = 0;
    char label[REPORT_LABEL], lead[REPORT_LABEL + 8], *what = NULL;
    struct sae_str seeds = {0};
    const size_t n = report_group_size(report, group, &first);
    enum sae_status st;
    SAE_GO(st, seeds_of(&seeds, report, group, err));
    SAE_GO(st, notes_describe(&what, &report->runs[first], err));
    snprintf(lead, sizeof lead, "  %-*s  ", width, report_group_label(label, report, group));
    if (report->runs[first].record == NULL)
        report_wrap(to, lead, width + 4, "%s", what);
    else
        report_wrap(to, lead, width + 4, "%s; seed%s %s", what, n > 1 ? "s" : "", seeds.s);
done:
    free(what);
    sae_str_clear(&seeds);
    return st;
}

/* --- 2. comparisons ----------------------------------------------------------------------- */

/* What the sentences after the comparisons have to explain. */
struct said {
    size_t n_judged, n_kept;
    double holm; /* the largest p that stands after Holm's correction; -1 if none does */
    bool one_seed, unequal, unlike;
};

/* p of all comparisons that the summary makes; *ret new memory. */
static enum sae_status all_p(double **ret, size_t *ret_n, const struct report *report, size_t ref,
                             struct sae_err *err)
{
    double *p = NULL;
    size_t n = 0;
    NOTES_EACH_HEADLINE(metric)
    {
        n++;
    }
    SAE_TRY(sae_mem_alloc(&p, report->n_groups * n, sizeof *p, err));
    n = 0;
    for (size_t g = 0; g < report->n_groups; g++) {
        const int percent = report_last_shared(report, g, ref);
        if (g == ref || percent < 0)
            continue;
        NOTES_EACH_HEADLINE(metric)
        {
            const struct report_comparison c = report_compare(report, g, ref, percent, metric);
            if (c.verdict <= REPORT_WITHIN_NOISE)
                p[n++] = c.by.p;
        }
    }
    *ret = p;
    *ret_n = n;
    return SAE_OK;
}

/* As many as show an interval that is not 0: "+- 0.0000" would read as certain. */
static int digits_of(const struct report_comparison *c)
{
    enum { MOST = 9 };
    int digits = c->metric->digits;
    while (digits < MOST && c->by.half > 0 && c->by.half * pow(10, digits) < 0.5)
        digits++;
    return digits;
}

/* "cosine to the nearest feature 0.4000 -> 0.3900 (-0.0100 +- 0.0020) *" */
static void print_value(const struct report_comparison *c, const char *name, double holm, FILE *to)
{
    const int digits = c->metric->digits;
    fprintf(to, "%s %.*f -> %.*f", name, digits, c->by.ref, digits, c->by.mean);
    if (c->verdict <= REPORT_WITHIN_NOISE)
        fprintf(to, " (%+.*f +- %.*f)%s", digits_of(c), c->by.diff, digits_of(c), c->by.half,
                c->verdict < REPORT_CHANGED && c->by.p <= holm ? " *" : "");
    fputc('\n', to);
}

/* A line each for what was measured on both sides and has this verdict. */
static void print_verdict(const struct report *report, size_t group, size_t ref, int percent,
                          enum report_verdict verdict, struct said *said, FILE *to)
{
    bool first = true;
    NOTES_EACH_HEADLINE(metric)
    {
        const struct report_comparison c = report_compare(report, group, ref, percent, metric);
        if (c.verdict != verdict)
            continue;
        fprintf(to, "      %-13s ", first ? report_verdict_names[verdict] : "");
        print_value(&c, notes_full_name(metric), said->holm, to);
        said->one_seed |= verdict == REPORT_CANNOT_TELL;
        said->unequal |= verdict == REPORT_UNEQUAL_L0;
        said->unlike |= verdict == REPORT_UNLIKE;
        first = false;
    }
}

/* How the differences of two groups were taken, read off the metric that most runs have. */
static void print_how(const struct report *report, size_t group, size_t ref, int percent, FILE *to)
{
    char a[REPORT_LABEL], b[REPORT_LABEL], how[128] = "";
    const double l0 = report_group_l0(report, group, percent);
    const double l0_ref = report_group_l0(report, ref, percent);
    const struct report_comparison c =
        report_compare(report, group, ref, percent, sae_metric_by("heldout_ev"));
    if (!report_l0_equal(l0, l0_ref))
        snprintf(how, sizeof how, "; NOT AT EQUAL L0 (%.1f against %.1f)", l0, l0_ref);
    else if (c.by.n_pairs > 0)
        snprintf(how, sizeof how, "; paired by %zu seeds", c.by.n_pairs);
    else if (c.by.n > 1 && c.by.n_ref > 1)
        snprintf(how, sizeof how, "; other seeds on each side: Welch's interval");
    else
        snprintf(how, sizeof how, "; one seed");
    report_wrap(to, "  ", 6, "%s against %s at %d %% of training%s:",
                report_group_label(a, report, group), report_group_label(b, report, ref), percent,
                how);
}

static void compare_group(const struct report *report, size_t group, size_t ref, struct said *said,
                          FILE *to)
{
    const int percent = report_last_shared(report, group, ref);
    if (percent < 0) {
        char a[REPORT_LABEL], b[REPORT_LABEL];
        report_wrap(to, "  ", 6, "%s against %s: no phase of training is there of both.",
                    report_group_label(a, report, group), report_group_label(b, report, ref));
        return;
    }
    print_how(report, group, ref, percent, to);
    for (enum report_verdict v = REPORT_BETTER; v < REPORT_NOT_MEASURED; v++)
        print_verdict(report, group, ref, percent, v, said, to);
}

/* Many groups get a line or two each: which figures, without numbers. */
static enum sae_status compare_briefly(const struct report *report, size_t group, size_t ref,
                                       struct said *said, FILE *to, struct sae_err *err)
{
    const int percent = report_last_shared(report, group, ref);
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    char label[REPORT_LABEL];
    for (enum report_verdict v = REPORT_BETTER; percent >= 0 && v < REPORT_NOT_MEASURED; v++) {
        size_t n = 0;
        NOTES_EACH_HEADLINE(metric)
        {
            const struct report_comparison c = report_compare(report, group, ref, percent, metric);
            if (c.verdict != v)
                continue;
            if (v < REPORT_CHANGED)
                SAE_GO(st, sae_str_printf(&text, err, "%s%s%s", n == 0 ? report_verdict_names[v] : "",
                                          n == 0 ? ": " : ", ", notes_full_name(metric)));
            if (v < REPORT_CHANGED && c.by.p <= said->holm)
                SAE_GO(st, sae_str_printf(&text, err, " *"));
            n++;
        }
        said->one_seed |= v == REPORT_CANNOT_TELL && n > 0;
        said->unequal |= v == REPORT_UNEQUAL_L0 && n > 0;
        said->unlike |= v == REPORT_UNLIKE && n > 0;
        if (v >= REPORT_CHANGED && n > 0)
            SAE_GO(st, sae_str_printf(&text, err, "%s: %zu", report_verdict_names[v], n));
        if (n > 0)
            SAE_GO(st, sae_str_printf(&text, err, "; "));
    }
    if (text.len > 2)
        report_wrap(to, "  ", 6, "%s: %.*s.", report_group_label(label, report, group),
                    (int)text.len - 2, text.s);
done:
    sae_str_clear(&text);
    return st;
}

static void explain(const struct said *said, FILE *to)
{
    fputc('\n', to);
    if (said->n_judged > 0)
        report_wrap(to, "  ", 2,
                    "+- is half of the 95 %% confidence interval of the difference, by Student's t "
                    "over seeds; within noise means that the interval holds 0. %zu comparison%s made: "
                    "by chance alone about %.1f of them would be called better or worse. A star "
                    "marks those that stand after Holm's correction for all of them%s.",
                    said->n_judged, said->n_judged == 1 ? " was" : "s were",
                    (1 - STATS_LEVEL) * (double)said->n_judged, said->holm < 0 ? " (none does)" : "");
    if (said->one_seed)
        report_wrap(to, "  ", 2,
                    "Cannot tell: with one seed on a side, another seed alone might move a number as "
                    "far. Train each setting with several seeds (sae-train --seed 1,2,3); the report "
                    "groups them by itself.");
    if (said->unequal)
        report_wrap(to, "  ", 2,
                    "Unequal L0: active latents a token differ by more than 5 %%, so no better or "
                    "worse is said (see the cautions).");
    if (said->unlike)
        report_wrap(to, "  ", 2,
                    "Unlike: the evaluation ran with other options on one side, so its numbers do "
                    "not compare (see the cautions).");
}

static enum sae_status print_comparisons(const struct report *report, bool brief, FILE *to,
                                         struct sae_err *err)
{
    const size_t ref = report->runs[report->against].group;
    char label[REPORT_LABEL];
    struct said said = {0};
    double *p = NULL;
    SAE_TRY(all_p(&p, &said.n_judged, report, ref, err));
    said.holm = report_holm(p, said.n_judged, 1 - STATS_LEVEL);
    free(p);
    fputc('\n', to);
    if (brief)
        report_wrap(to, "  ", 2, "Against %s, each at the last phase that both have:",
                    report_group_label(label, report, ref));
    for (size_t g = 0; g < report->n_groups; g++) {
        if (g == ref)
            continue;
        if (brief)
            SAE_TRY(compare_briefly(report, g, ref, &said, to, err));
        else
            compare_group(report, g, ref, &said, to);
    }
    explain(&said, to);
    return SAE_OK;
}

/* --- 3. plain facts ----------------------------------------------------------------------- */

/* A fact that holds where a metric is not on the right side of a bound, which is another metric of
 * the same phase, the same metric of the untrained SAE, or a number. */
struct fact {
    const char *says, *metric, *bound;
    enum { OF_METRIC, OF_UNTRAINED, OF_NUMBER } against;
    double number;
};
static const struct fact facts[] = {
    {"The best latent tells concepts apart no better than the best raw neuron", "top_1",
     "llm_top_1", OF_METRIC, 0},
    {"The best latent tells concepts apart no better than one of the untrained SAE (0 %)", "top_1",
     "at 0 %", OF_UNTRAINED, 0},
    {"The reconstruction is no better than the untrained SAE's (explained variance)", "heldout_ev",
     "at 0 %", OF_UNTRAINED, 0},
    {"The reconstruction is worse than the mean activation (explained variance)", "heldout_ev", "",
     OF_NUMBER, 0},
    {"The language model does no better with the reconstruction than with zeros (CE score)",
     "ce_score", "", OF_NUMBER, 0},
};
#define DEAD_SHARE 0.05 /* of latents; fewer are not worth a line */

static double last_mean(const struct report *report, size_t group, const char *metric)
{
    double mean, se;
    report_group_stats(report, group, report_last_shared(report, group, group),
                       sae_metric_by(metric), &mean, &se);
    return mean;
}

static double bound_of(const struct report *report, size_t group, const struct fact *fact)
{
    double mean = fact->number, se;
    if (fact->against == OF_METRIC)
        return last_mean(report, group, fact->bound);
    if (fact->against == OF_UNTRAINED)
        report_group_stats(report, group, 0, sae_metric_by(fact->metric), &mean, &se);
    return mean;
}

static enum sae_status print_fact(const struct report *report, const struct fact *fact, FILE *to,
                                  struct sae_err *err)
{
    const struct sae_metric *const metric = sae_metric_by(fact->metric);
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    for (size_t g = 0; g < report->n_groups; g++) {
        char label[REPORT_LABEL];
        const double x = last_mean(report, g, fact->metric), bound = bound_of(report, g, fact);
        const bool untrained = report_last_shared(report, g, g) == 0;
        if (!(x * metric->better <= bound * metric->better) ||
            (untrained && fact->against == OF_UNTRAINED))
            continue;
        SAE_GO(st, sae_str_printf(&text, err, "%s%s %.*f against %.*f", text.s != NULL ? ", " : "",
                                  report_group_label(label, report, g), metric->digits, x,
                                  metric->digits, bound));
    }
    if (text.s != NULL)
        report_wrap(to, "  * ", 4, "%s: %s.", fact->says, text.s);
done:
    sae_str_clear(&text);
    return st;
}

static enum sae_status print_dead(const struct report *report, FILE *to, struct sae_err *err)
{
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    for (size_t g = 0; g < report->n_groups; g++) {
        char label[REPORT_LABEL];
        size_t first = 0;
        report_group_size(report, g, &first);
        const double m = (double)report->runs[first].m;
        const double share = last_mean(report, g, "heldout_dead") / m;
        if (m > 0 && share >= DEAD_SHARE)
            SAE_GO(st, sae_str_printf(&text, err, "%s%s %.0f %%", text.s != NULL ? ", " : "",
                                      report_group_label(label, report, g), 100 * share));
    }
    if (text.s != NULL)
        report_wrap(to, "  * ", 4,
                    "Latents that are dead at the end (no token of the last stretch of training "
                    "made them fire): %s.",
                    text.s);
done:
    sae_str_clear(&text);
    return st;
}

static enum sae_status print_facts(const struct report *report, FILE *to, struct sae_err *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *part = open_memstream(&text, &len);
    if (part == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < sizeof facts / sizeof *facts && st == SAE_OK; i++)
        st = print_fact(report, &facts[i], part, err);
    if (st == SAE_OK)
        st = print_dead(report, part, err);
    fclose(part);
    if (st == SAE_OK && len > 0)
        fprintf(to, "\n%s", text);
    free(text);
    return st;
}

enum sae_status notes_summary(const struct report *report, bool full, FILE *to, struct sae_err *err)
{
    enum { MANY = 6 };
    const int width = longest_label(report);
    notes_heading(to, "In short");
    for (size_t g = 0; g < report->n_groups; g++)
        SAE_TRY(describe_group(report, g, width, to, err));
    if (report->n_groups > 1)
        SAE_TRY(print_comparisons(report, !full && report->n_groups > MANY, to, err));
    return print_facts(report, to, err);
}

/* --- 4. side by side ---------------------------------------------------------------------- */

enum { MOST_COLUMNS = 12 };

/* A column of the table: a group of runs, or a published row that was asked for. */
struct column {
    size_t group, baseline; /* SIZE_MAX: the other */
    int percent;            /* of the group */
    size_t n_seeds;
    char head[REPORT_LABEL];
};

static struct column group_column(const struct report *report, size_t group)
{
    struct column c = {.group = group, .baseline = SIZE_MAX};
    size_t first = 0;
    c.n_seeds = report_group_size(report, group, &first);
    c.percent = report_last_shared(report, group, group);
    report_group_name(c.head, report, group);
    return c;
}

static size_t value_of(const struct report *report, const struct column *c,
                       const struct sae_metric *metric, double *mean, double *se)
{
    *se = NAN;
    if (c->group != SIZE_MAX)
        return report_group_stats(report, c->group, c->percent, metric, mean, se);
    *mean = report_baseline_value(&report->baselines[c->baseline], metric);
    return isfinite(*mean) ? 1 : 0;
}

static size_t cell_text(char buf[64], const struct report *report, const struct column *c,
                        const struct sae_metric *metric)
{
    double mean, se;
    const size_t n = value_of(report, c, metric, &mean, &se);
    buf[0] = '\0';
    if (n == 0)
        return 0;
    if (n == 1)
        return (size_t)snprintf(buf, 64, "%.*f", metric->digits, mean);
    return (size_t)snprintf(buf, 64, "%.*f +- %.*f", metric->digits, mean, metric->digits, se);
}

static size_t column_width(const struct report *report, const struct column *c)
{
    char buf[64];
    size_t width = strlen(c->head);
    SAE_EACH_METRIC(metric)
    {
        const size_t len = metric->name != NULL ? cell_text(buf, report, c, metric) : 0;
        width = len > width ? len : width;
    }
    return width + 2;
}

/* Columns [from, to_column). A row that none of all the columns has is left out. */
static enum sae_status print_main(const struct report *report, const struct column *all,
                                  size_t n_all, size_t from, size_t to_column, FILE *to,
                                  struct sae_err *err)
{
    const char *heads[MOST_COLUMNS + 2] = {"figure", "better"};
    static const char *const directions[] = {"lower", "", "higher"};
    struct sae_table *table = NULL;
    for (size_t c = from; c < to_column; c++)
        heads[2 + c - from] = all[c].head;
    SAE_TRY(sae_table_make(&table, 2 + to_column - from, heads, err));
    sae_table_text(table, "at");
    sae_table_text(table, "  ");
    for (size_t c = from; c < to_column; c++) {
        if (all[c].group == SIZE_MAX)
            sae_table_text(table, "publ.");
        else if (all[c].n_seeds > 1)
            sae_table_text(table, "%d %%, %zu seeds", all[c].percent, all[c].n_seeds);
        else
            sae_table_text(table, "%d %%", all[c].percent);
    }
    SAE_EACH_METRIC(metric)
    {
        char buf[64];
        bool any = false;
        const bool is_row = metric->name != NULL && report_shows(report, metric->source);
        for (size_t c = 0; is_row && c < n_all; c++)
            any |= cell_text(buf, report, &all[c], metric) > 0;
        if (!any)
            continue;
        sae_table_text(table, "%s", metric->name);
        sae_table_text(table, "%s", metric->better == 0 ? "  " : directions[metric->better + 1]);
        for (size_t c = from; c < to_column; c++) {
            cell_text(buf, report, &all[c], metric);
            sae_table_text(table, "%s", buf);
        }
    }
    const enum sae_status st = sae_table_print(table, to, 2, err);
    sae_table_free(table);
    return st;
}

enum sae_status notes_side_by_side(const struct report *report, FILE *to, struct sae_err *err)
{
    struct column *columns = NULL;
    size_t n = 0;
    enum sae_status st = SAE_OK;
    SAE_TRY(sae_mem_alloc(&columns, report->n_groups + report->n_baselines, sizeof *columns, err));
    for (size_t g = 0; g < report->n_groups; g++)
        columns[n++] = group_column(report, g);
    for (size_t b = 0; b < report->n_baselines; b++)
        if (report->baselines[b].full != NULL) {
            columns[n] = (struct column){.group = SIZE_MAX, .baseline = b};
            report_baseline_label(columns[n++].head, &report->baselines[b]);
        }
    notes_heading(to, "Side by side, at the end of training");
    if (report->n_groups < report->n_runs)
        fputs("  Mean over seeds +- its standard error.\n\n", to);
    const size_t width = REPORT_WIDTH - 2 - 34 - 8; /* beside the name and the direction */
    for (size_t from = 0; from < n;) {
        size_t end = from, used = 0;
        while (end < n && end - from < MOST_COLUMNS &&
               (end == from || used + column_width(report, &columns[end]) <= width))
            used += column_width(report, &columns[end++]);
        if (from > 0)
            fputc('\n', to);
        SAE_GO(st, print_main(report, columns, n, from, end, to, err));
        from = end;
    }
done:
    free(columns);
    return st;
}
