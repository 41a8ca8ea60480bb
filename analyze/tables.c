/* SPDX-License-Identifier: MIT */
/* tables : a report for people.
 *
 * Contents:  1. helpers   2. directions, spectrum and usage   3. overlap   4. competition
 *            5. close pairs   6. one report */
#include <math.h>

#include "analyze/metrics.h"
#include "analyze/tally.h"
#include "lib/base/utf8.h"
#include "lib/cli/table.h"
#include "lib/file/json.h"
#include "lib/sae/import.h"

/* --- 1. helpers --------------------------------------------------------------------------- */

static enum sae_status close_section(struct sae_table *t, FILE *to, struct sae_err *err)
{
    const enum sae_status st = sae_table_print(t, to, 2, err);
    sae_table_free(t);
    return st;
}

/* The rows of one part. baseline: head of the column of what it is without learning; NULL: no
 * column. */
static enum sae_status print_part(const struct analyze_report *r, const char *part,
                                  const char *baseline, FILE *to, struct sae_err *err)
{
    struct analyze_metric all[ANALYZE_METRICS_MOST];
    const size_t n = analyze_metrics(r, all);
    const char *heads[4] = {"quantity", "here"}, *key;
    size_t n_heads = 2;
    struct sae_table *t;
    if (baseline != NULL)
        heads[n_heads++] = baseline;
    heads[n_heads++] = "what it says";
    SAE_TRY(sae_table_make(&t, n_heads, heads, err));
    for (size_t i = 0; i < n; i++) {
        const struct sae_metric *const metric = all[i].is;
        const double unit = metric->percent ? 100 : 1;
        if (metric->row == NULL || !analyze_metric_in(metric, part, &key))
            continue;
        sae_table_text(t, "%s", metric->row);
        sae_table_real(t, unit * all[i].value, metric->digits);
        if (baseline != NULL)
            sae_table_real(t, unit * analyze_metric_beside(metric, all, n), metric->digits);
        sae_table_text(t, "%s", metric->says);
    }
    return close_section(t, to, err);
}

/* --- 2. directions, spectrum and usage ---------------------------------------------------- */

static enum sae_status print_directions(const struct analyze_report *r, FILE *to,
                                        struct sae_err *err)
{
    const double m = (double)r->dec.m;
    fprintf(to, "\nDirections: decoder rows, %.0f pairs (Welch bound of the largest |cos|: %.4f)\n",
            0.5 * m * (m - 1), r->base.welch);
    return print_part(r, "separation", "random", to, err);
}

static enum sae_status print_spectrum(const struct analyze_report *r, FILE *to, struct sae_err *err)
{
    fprintf(to, "\nSpectrum: Gram matrix of the decoder, %zu eigenvalues\n", r->dec.d);
    return print_part(r, "spectrum", "random", to, err);
}

static enum sae_status print_usage(const struct analyze_report *r, FILE *to, struct sae_err *err)
{
    fprintf(to, "\nUsage: %zu held-out tokens\n", r->usage.n_tokens);
    return print_part(r, "usage", NULL, to, err);
}

/* --- 3. overlap --------------------------------------------------------------------------- */

static enum sae_status print_normalisations(const struct analyze_cooc *c, FILE *to,
                                            struct sae_err *err)
{
    const char *const heads[] = {"normalisation", "mean",           "median", "95 %",
                                 "over all",      "if independent", "formula"};
    static const char *const formulas[] = {"n_ij / min(n_i, n_j)", "n_ij / (n_i + n_j - n_ij)",
                                           "n_ij / sqrt(n_i n_j)", "B n_ij / (n_i n_j)",
                                           "n_ij / B"};
    struct sae_table *t;
    SAE_TRY(sae_table_make(&t, 7, heads, err));
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        const struct analyze_overlap *of = &c->of[kind];
        const double values[] = {of->mean, of->median, of->p95, of->mean_all, of->expected};
        sae_table_text(t, "%s", sae_overlap_names[kind]);
        for (size_t i = 0; i < 5; i++)
            sae_table_real(t, values[i], 4);
        sae_table_text(t, "%s", formulas[kind]);
    }
    return close_section(t, to, err);
}

static enum sae_status print_overlap(const struct analyze_report *r, FILE *to, struct sae_err *err)
{
    const struct analyze_cooc *c = &r->cooc;
    fprintf(to,
            "\nOverlap: %zu latents that fire on at least %llu tokens, %.0f pairs, of which "
            "%llu fired together\n",
            c->n_latents, (unsigned long long)c->floor, c->n_pairs, (unsigned long long)c->n_met);
    SAE_TRY(print_normalisations(c, to, err));
    fprintf(to,
            "  Medians and percentiles are read from histograms: within %.4f of the value of that "
            "rank,\n  lift, batch and PMI within %.2f %% (%.4f nats); means are exact.\n\n",
            1.0 / ANALYZE_UNIT_BINS, 100 * (pow(10, 1.0 / ANALYZE_DECADE_BINS) - 1),
            log(10) / ANALYZE_DECADE_BINS);
    return print_part(r, "overlap", "independent", to, err);
}

/* --- 4. competition ----------------------------------------------------------------------- */

static void competition_line(struct sae_table *t, const char *name,
                             const struct analyze_competition *c)
{
    const struct analyze_rule *rule = &c->rule;
    sae_table_text(t, "%s", name);
    sae_table_text(t, "%s, %s", sae_overlap_names[rule->compete.overlap],
                   sae_compete_names[rule->compete.form]);
    sae_table_text(t, "%s", sae_tau_names[rule->schedule]);
    sae_table_text(t, "%.4g", rule->compete.tau);
    sae_table_count(t, (double)c->n_pairs);
    sae_table_real(t, c->mean_c, 4);
    sae_table_real(t, c->mean_abs_cos, 4);
    sae_table_real(t, c->max_abs_cos, 4);
    sae_table_real(t, c->loss, 3);
    if (!rule->recorded) {
        sae_table_text(t, "-");
        sae_table_text(t, "-");
        return;
    }
    sae_table_text(t, "%.4g", rule->lambda2);
    sae_table_real(t, c->weighted, 3);
}

static enum sae_status print_competition(const struct analyze_report *r, FILE *to,
                                         struct sae_err *err)
{
    const char *const heads[] = {"rule",   "overlap, form", "schedule",   "tau",
                                 "pairs",  "mean c",        "mean |cos|", "max |cos|",
                                 "L_orth", "lambda2",       "in the loss"};
    static const char *const normalisers[] = {"sum", "mean", "latent"};
    const struct analyze_cooc *c = &r->cooc;
    struct sae_table *t;
    fprintf(to, "\nCompetition: pairs with c > 0 on the held-out batch, at progress %.3g\n",
            r->ckpt->progress);
    SAE_TRY(sae_table_make(&t, 11, heads, err));
    if (c->run.rule.recorded)
        competition_line(t, "this run's", &c->run);
    competition_line(t, "reference", &c->reference);
    SAE_TRY(close_section(t, to, err));
    if (!c->run.rule.recorded)
        fputs("  This run was trained without the orthogonality term; the reference rule is shown, "
              "so that it\n  compares with runs that had it.\n",
              to);
    else if (c->run.rule.normaliser != ANALYZE_SUM)
        fprintf(to, "  In the loss the sum is normalised by '%s'.\n",
                normalisers[c->run.rule.normaliser]);
    return SAE_OK;
}

/* --- 5. close pairs ----------------------------------------------------------------------- */

static enum sae_status print_close(const struct analyze_report *r, FILE *to, struct sae_err *err)
{
    const char *const heads[] = {"i", "j", "cos", "n_i", "n_j", "n_ij", "overlap"};
    struct sae_table *t;
    if (r->n_close == 0)
        return SAE_OK;
    fprintf(to, "\nClosest pairs: the %zu largest |cos|, either sign\n", r->n_close);
    SAE_TRY(sae_table_make(&t, r->has_masks ? 7 : 3, heads, err));
    for (size_t p = 0; p < r->n_close; p++) {
        const struct analyze_close *c = &r->close[p];
        const uint64_t least = c->n_i < c->n_j ? c->n_i : c->n_j;
        sae_table_count(t, c->edge.i);
        sae_table_count(t, c->edge.j);
        sae_table_real(t, (double)c->edge.cos, 4);
        if (!r->has_masks)
            continue;
        sae_table_count(t, (double)c->n_i);
        sae_table_count(t, (double)c->n_j);
        sae_table_count(t, (double)c->n_ij);
        sae_table_real(t, least > 0 ? (double)c->n_ij / (double)least : NAN, 3);
    }
    return close_section(t, to, err);
}

/* --- 6. one report ------------------------------------------------------------------------ */

static void print_head(const struct analyze_report *r, FILE *to)
{
    const struct sae_ckpt *c = r->ckpt;
    const json_t *metrics = c->heldout_metrics;
    sae_utf8_print(to, "%s: %s, d %zu, m %zu", c->path, sae_arch_name(c->model.arch), c->model.d,
                   c->model.m);
    if (c->model.k > 0)
        fprintf(to, ", k %zu", c->model.k);
    const json_t *const imported = sae_import_of(c);
    if (imported != NULL)
        sae_utf8_print(to, ", from %s\n", sae_json_str(imported, "format", "elsewhere"));
    else
        fprintf(to, ", step %llu of %llu (%.0f %%)\n", (unsigned long long)c->step,
                (unsigned long long)c->total_steps, 100 * c->progress);
    static const char *const shown[] = {"loss", "explained_variance", "l0"};
    const char *before = "  when saved, on the held-out batch: ";
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const double v = sae_json_real(metrics, shown[i], NAN);
        if (isfinite(v)) {
            fprintf(to, "%s%s %.5g", before, shown[i], v);
            before = ", ";
        }
    }
    if (before[0] == ',')
        fputc('\n', to);
    if (r->n_zero_rows > 0)
        fprintf(to, "  %zu decoder rows have length 0; their cosines count as 0\n", r->n_zero_rows);
}

enum sae_status analyze_tables_print(const struct analyze_report *report, FILE *to,
                                     struct sae_err *err)
{
    print_head(report, to);
    SAE_TRY(print_directions(report, to, err));
    SAE_TRY(print_spectrum(report, to, err));
    if (report->has_masks) {
        SAE_TRY(print_usage(report, to, err));
        SAE_TRY(print_overlap(report, to, err));
        SAE_TRY(print_competition(report, to, err));
    }
    return print_close(report, to, err);
}
