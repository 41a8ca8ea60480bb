/* SPDX-License-Identifier: MIT */
/* csv : the report's numbers as tables. An empty cell is a value that is not there.
 *
 * Contents:  1. cells   2. metrics   3. runs   4. groups and comparisons   5. series   6. files */
#include "report/csv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/file/json.h"
#include "report/compare.h"
#include "report/notes.h"

/* --- 1. cells ----------------------------------------------------------------------------- */

static bool is_formula(const char *text)
{
    double x;
    return text[0] != '\0' && strchr("=+-@", text[0]) != NULL && !sae_str_real(text, &x);
}

/* Other people's names stand in the cells: what is no UTF-8 or would move a terminal's cursor is
 * written as \x1b and the like. */
void csv_text(FILE *to, const char *text)
{
    const bool quoted = strpbrk(text, ",\"\r\n") != NULL;
    fputs(quoted ? "\"" : "", to);
    fputs(is_formula(text) ? "'" : "", to);
    for (const char *p = text; *p != '\0';) {
        const size_t n = strcspn(p, "\"");
        sae_utf8_put(to, p, n);
        p += n;
        if (*p == '"') {
            fputs("\"\"", to);
            p++;
        }
    }
    fputs(quoted ? "\"" : "", to);
}

void csv_number(FILE *to, double x)
{
    char buf[32];
    if (!isfinite(x))
        return;
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, x);
        if (strtod(buf, NULL) == x)
            break;
    }
    fputs(buf, to);
}

static void next_text(FILE *to, const char *text)
{
    fputc(',', to);
    csv_text(to, text);
}

static void next_number(FILE *to, double x)
{
    fputc(',', to);
    csv_number(to, x);
}

/* 0 stands for what is not known. */
static void next_count(FILE *to, uint64_t n)
{
    fputc(',', to);
    if (n > 0)
        fprintf(to, "%llu", (unsigned long long)n);
}

static void next_seed(FILE *to, const struct report_run *run)
{
    fputc(',', to);
    if (!run->elsewhere)
        fprintf(to, "%llu", (unsigned long long)run->seed);
}

static const char *arch_of(const struct report_run *run)
{
    if (run->elsewhere)
        return sae_json_str(run->config, "architecture", "");
    return run->record != NULL ? sae_arch_name(run->arch) : "";
}

static const char *better_of(const struct sae_metric *metric)
{
    return metric->better > 0 ? "higher" : metric->better < 0 ? "lower" : "";
}

/* --- 2. metrics --------------------------------------------------------------------------- */

/* Options that differ between runs and have no column of their own. New reference. */
static json_t *varied_options(const struct report *report)
{
    static const char *const own[] = {"arch", "m", "k", "seed"};
    json_t *const names = json_object();
    for (size_t i = 0; i < report->n_trained; i++) {
        const char *key;
        json_t *value;
        json_object_foreach(sae_json_at(report->runs[i].record, "options"), key, value)
        {
            bool has_own = !report_option_counts(key);
            for (size_t o = 0; o < sizeof own / sizeof *own; o++)
                has_own |= strcmp(own[o], key) == 0;
            if (!has_own && report_option_differs(report, key))
                json_object_set_new(names, key, json_true());
        }
    }
    return names;
}

/* Column heads as pandas takes them for attributes: lambda2_max. */
static void put_option_heads(FILE *to, json_t *names)
{
    const char *key;
    json_t *value;
    json_object_foreach(names, key, value)
    {
        fputc(',', to);
        for (const char *p = key; *p != '\0'; p++)
            fputc(*p == '-' ? '_' : *p, to);
    }
}

static void put_options(FILE *to, json_t *names, const struct report_run *run)
{
    const char *key;
    json_t *value;
    char buf[REPORT_OPTION];
    json_object_foreach(names, key, value)
    {
        next_text(to, run != NULL ? report_option_text(run, key, buf) : "");
    }
}

static void put_phase(const struct report *report, const struct report_run *run, size_t p,
                      json_t *names, FILE *to)
{
    const struct report_phase *const phase = &run->phases[p];
    char label[REPORT_LABEL];
    SAE_EACH_METRIC(metric)
    {
        const double x = report_value(phase, metric);
        if (!isfinite(x))
            continue;
        csv_text(to, run->elsewhere ? "elsewhere" : "run");
        next_text(to, run->name);
        next_text(to, report_group_name(label, report, run->group));
        next_seed(to, run);
        fprintf(to, ",%d,", phase->percent);
        if (phase->readable || phase->step > 0)
            fprintf(to, "%llu", (unsigned long long)phase->step);
        next_text(to, report_sources[metric->source].id);
        next_text(to, metric->id);
        next_number(to, x);
        next_number(to, report_value_se(phase, metric));
        next_text(to, better_of(metric));
        next_text(to, arch_of(run));
        next_count(to, run->d);
        next_count(to, run->m);
        next_count(to, run->k);
        put_options(to, names, run);
        fputc('\n', to);
    }
}

static void put_published(const struct report_baseline *one, json_t *names, FILE *to)
{
    SAE_EACH_METRIC(metric)
    {
        const double x = report_baseline_value(one, metric);
        if (!isfinite(x))
            continue;
        csv_text(to, "published");
        next_text(to, one->full != NULL ? one->full : one->name);
        fputs(",,,,", to); /* group, seed, percent, step */
        next_text(to, report_sources[metric->source].id);
        next_text(to, metric->id);
        next_number(to, x);
        fputc(',', to); /* se */
        next_text(to, better_of(metric));
        fputs(",,,,", to); /* arch, d, m, k */
        put_options(to, names, NULL);
        fputc('\n', to);
    }
}

enum sae_status report_csv_metrics(const struct report *report, FILE *to, struct sae_err *err)
{
    json_t *const names = varied_options(report);
    if (names == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    fputs("kind,run,group,seed,percent,step,source,metric,value,se,better,arch,d,m,k", to);
    put_option_heads(to, names);
    fputc('\n', to);
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++)
            put_phase(report, &report->runs[i], p, names, to);
    for (size_t b = 0; b < report->n_baselines; b++)
        put_published(&report->baselines[b], names, to);
    json_decref(names);
    return SAE_OK;
}

/* --- 3. runs ------------------------------------------------------------------------------ */

/* Each option of each run, a row each: options differ between architectures. */
static enum sae_status put_runs(const struct report *report, FILE *to, struct sae_err *err)
{
    char label[REPORT_LABEL], buf[REPORT_OPTION];
    (void)err;
    fputs("run,path,group,seed,arch,d,m,k,total_steps,option,value\n", to);
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_run *const run = &report->runs[i];
        const char *key;
        json_t *value;
        json_object_foreach(sae_json_at(run->record, "options"), key, value)
        {
            csv_text(to, run->name);
            next_text(to, run->path);
            next_text(to, report_group_name(label, report, run->group));
            next_seed(to, run);
            next_text(to, arch_of(run));
            next_count(to, run->d);
            next_count(to, run->m);
            next_count(to, run->k);
            next_count(to, run->total_steps);
            next_text(to, key);
            next_text(to, report_option_text(run, key, buf));
            fputc('\n', to);
        }
    }
    return SAE_OK;
}

/* --- 4. groups and comparisons ------------------------------------------------------------ */

enum { MAX_PERCENTS = 64 };

static enum sae_status put_groups(const struct report *report, FILE *to, struct sae_err *err)
{
    char label[REPORT_LABEL];
    int percents[MAX_PERCENTS];
    const size_t n = notes_percents(report, percents, MAX_PERCENTS);
    (void)err;
    fputs("group,percent,metric,better,n,mean,se\n", to);
    for (size_t g = 0; g < report->n_groups; g++)
        for (size_t p = 0; p < n; p++)
            SAE_EACH_METRIC(metric)
            {
                double mean, se;
                const size_t with = report_group_stats(report, g, percents[p], metric, &mean, &se);
                if (with == 0)
                    continue;
                csv_text(to, report_group_name(label, report, g));
                fprintf(to, ",%d", percents[p]);
                next_text(to, metric->id);
                next_text(to, better_of(metric));
                next_count(to, with);
                next_number(to, mean);
                next_number(to, se);
                fputc('\n', to);
            }
    return SAE_OK;
}

static void put_comparison(const struct report *report, size_t group, size_t ref, int percent,
                           const struct sae_metric *metric, FILE *to)
{
    char label[REPORT_LABEL];
    const struct report_comparison c = report_compare(report, group, ref, percent, metric);
    if (c.verdict == REPORT_NOT_MEASURED)
        return;
    csv_text(to, report_group_name(label, report, group));
    next_text(to, report_group_name(label, report, ref));
    fprintf(to, ",%d", percent);
    next_text(to, metric->id);
    next_text(to, better_of(metric));
    fprintf(to, ",%zu,%zu,%zu", c.by.n, c.by.n_ref, c.by.n_pairs);
    const double values[] = {c.by.mean, c.by.ref, c.by.diff, c.by.se, c.by.df, c.by.half, c.by.p};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        next_number(to, values[i]);
    next_text(to, report_verdict_names[c.verdict]);
    next_number(to, report_group_l0(report, group, percent));
    next_number(to, report_group_l0(report, ref, percent));
    fputc('\n', to);
}

static enum sae_status put_comparisons(const struct report *report, FILE *to, struct sae_err *err)
{
    const size_t ref = report->runs[report->against].group;
    int percents[MAX_PERCENTS];
    const size_t n = notes_percents(report, percents, MAX_PERCENTS);
    (void)err;
    fputs("group,against,percent,metric,better,n,n_against,pairs,mean,mean_against,difference,se,df,"
          "half_95,p,verdict,l0,l0_against\n",
          to);
    for (size_t g = 0; g < report->n_groups; g++)
        for (size_t p = 0; g != ref && p < n; p++)
            SAE_EACH_METRIC(metric)
            put_comparison(report, g, ref, percents[p], metric, to);
    return SAE_OK;
}

/* --- 5. series ---------------------------------------------------------------------------- */

static enum sae_status put_series(const struct report *report, FILE *to, struct sae_err *err)
{
    char label[REPORT_LABEL];
    (void)err;
    fputs("run,group,seed,step,name,value\n", to);
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_run *const run = &report->runs[i];
        const struct sae_series *const series = &run->last.series;
        const double *step = NULL;
        for (size_t c = 0; c < series->n_columns; c++)
            if (strcmp(series->names[c], "step") == 0)
                step = series->values[c];
        report_group_name(label, report, run->group);
        for (size_t c = 0; step != NULL && c < series->n_columns; c++)
            for (size_t t = 0; series->values[c] != step && t < series->n_points; t++) {
                if (!isfinite(series->values[c][t]))
                    continue;
                csv_text(to, run->name);
                next_text(to, label);
                next_seed(to, run);
                next_number(to, step[t]);
                next_text(to, series->names[c]);
                next_number(to, series->values[c][t]);
                fputc('\n', to);
            }
    }
    return SAE_OK;
}

/* --- 6. files ----------------------------------------------------------------------------- */

typedef enum sae_status put_fn(const struct report *report, FILE *to, struct sae_err *err);

static enum sae_status write_table(const struct report *report, const char *path, put_fn *put,
                                   struct sae_err *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *const to = open_memstream(&text, &len);
    if (to == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    enum sae_status st = put(report, to, err);
    if (fclose(to) != 0 && st == SAE_OK)
        st = sae_err_set(err, SAE_ENOMEM, "out of memory");
    if (st == SAE_OK)
        st = sae_fs_write(path, text, len, err);
    free(text);
    return st;
}

enum sae_status report_csv(const struct report *report, const char *path, struct sae_err *err)
{
    static const struct {
        const char *name;
        put_fn *put;
    } tables[] = {
        {"metrics.csv", report_csv_metrics}, {"runs.csv", put_runs},
        {"groups.csv", put_groups},          {"comparisons.csv", put_comparisons},
        {"series.csv", put_series},
    };
    if (sae_str_ends(path, ".csv") && !sae_fs_is_dir(path))
        return write_table(report, path, report_csv_metrics, err);
    SAE_TRY(sae_fs_make_dirs(path, err));
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char *file = NULL;
        SAE_TRY(sae_fs_join(&file, path, tables[i].name, err));
        const enum sae_status st = write_table(report, file, tables[i].put, err);
        free(file);
        SAE_TRY(st);
    }
    return SAE_OK;
}
