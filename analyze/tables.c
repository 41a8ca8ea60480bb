/* SPDX-License-Identifier: MIT */
/* tables : a report for people.
 *
 * Contents:  1. helpers   2. directions and spectrum   3. usage and overlap   4. competition
 *            5. close pairs   6. one report */
#include <math.h>

#include "analyze/analyze.h"
#include "analyze/random.h"
#include "analyze/tally.h"
#include "lib/base/utf8.h"
#include "lib/cli/table.h"
#include "lib/file/json.h"
#include "lib/sae/import.h"

/* --- 1. helpers --------------------------------------------------------------------------- */

static enum sae_status open_section(struct sae_table **ret, const char *baseline,
                                    struct sae_err *err)
{
    const char *const heads[] = {"quantity", "here", baseline, "what it says"};
    return sae_table_make(ret, 4, heads, err);
}

static void line(struct sae_table *t, const char *name, double here, double baseline, int digits,
                 const char *meaning)
{
    sae_table_text(t, "%s", name);
    sae_table_real(t, here, digits);
    sae_table_real(t, baseline, digits);
    sae_table_text(t, "%s", meaning);
}

static enum sae_status close_section(struct sae_table *t, FILE *to, struct sae_err *err)
{
    const enum sae_status status = sae_table_print(t, to, 2, err);
    sae_table_free(t);
    return status;
}

static double percent(double share)
{
    return 100 * share;
}

/* Share of pairs of random directions with |cos| of x or more, in percent. */
static double random_share(double x, size_t d)
{
    return percent(analyze_random_share_abs_cos(x, (double)d));
}

/* --- 2. directions and spectrum ----------------------------------------------------------- */

static void direction_lines(struct sae_table *t, const struct analyze_report *r, double duplicate)
{
    const size_t m = r->dec.m, d = r->dec.d;
    const struct analyze_baseline b = analyze_baseline_of(m, d);
    const struct analyze_hist *h = &r->dec.hist;
    line(t, "nearest neighbour, mean cos", r->max_dec.mean, b.max_dec, 4,
         "largest cos to another, mean of latents");
    line(t, "nearest neighbour, median", r->max_dec.median, NAN, 4,
         "half of the latents are closer");
    line(t, "nearest neighbour, 95 %", r->max_dec.p95, NAN, 4, "one latent in 20 is closer");
    line(t, "nearest neighbour, mean |cos|", r->max_abs_dec.mean, b.max_abs_dec, 4,
         "the same, opposite directions counted");
    line(t, "largest |cos|", r->moments.coherence, b.coherence, 4, "coherence of the dictionary");
    line(t, "mean cos of pairs", r->moments.mean, 0, 5, "> 0: rows share a common direction");
    line(t, "spread of cos", r->moments.std, b.std, 5, "standard deviation over pairs");
    line(t, "mean |cos| of pairs", r->moments.mean_abs, b.mean_abs, 5,
         "0 only for orthogonal rows");
    line(t, "pairs with |cos| >= 0.2, %", percent(analyze_geom_share_abs(h, 0.2)),
         random_share(0.2, d), 4, "the tail: directions that overlap");
    line(t, "pairs with |cos| >= 0.5, %", percent(analyze_geom_share_abs(h, 0.5)),
         random_share(0.5, d), 4, "60 degrees or less apart");
    sae_table_text(t, "pairs with cos > %g", duplicate);
    sae_table_count(t, (double)r->n_duplicates);
    sae_table_count(t, 0);
    sae_table_text(t, "near duplicates");
    sae_table_text(t, "pairs with cos < %g", -duplicate);
    sae_table_count(t, (double)r->n_antiparallel);
    sae_table_count(t, 0);
    sae_table_text(t, "antiparallel: one direction, two signs");
    line(t, "clustering at cos > 0.3", r->graph.clustering[1], r->graph.density[1], 4,
         "closed triples; by chance: edge density");
    line(t, "encoder neighbour, mean cos", r->max_enc.mean, b.max_dec, 4,
         "likewise between encoder rows");
    line(t, "encoder with decoder, mean cos", r->enc_dec.mean, 0, 4,
         "of one latent; 1: it writes what it reads");
}

static enum sae_status print_directions(const struct analyze_report *r,
                                        const struct analyze_settings *s, FILE *to,
                                        struct sae_err *err)
{
    struct sae_table *t;
    const double m = (double)r->dec.m;
    fprintf(to, "\nDirections: decoder rows, %.0f pairs (Welch bound of the largest |cos|: %.4f)\n",
            0.5 * m * (m - 1), analyze_baseline_of(r->dec.m, r->dec.d).welch);
    SAE_TRY(open_section(&t, "random", err));
    direction_lines(t, r, s->duplicate);
    return close_section(t, to, err);
}

static enum sae_status print_spectrum(const struct analyze_report *r, FILE *to, struct sae_err *err)
{
    struct sae_table *t;
    const struct analyze_ranks *a = &r->ranks, *b = &r->random_ranks;
    const struct analyze_baseline base = analyze_baseline_of(r->dec.m, r->dec.d);
    fprintf(to, "\nSpectrum: Gram matrix of the decoder, %zu eigenvalues\n", r->dec.d);
    SAE_TRY(open_section(&t, "random", err));
    line(t, "effective rank", a->effective, b->effective, 2,
         "exp of the entropy of singular values");
    line(t, "participation ratio", a->participation, b->participation, 2,
         "(sum l)^2 / sum l^2: directions that carry weight");
    line(t, "stable rank", a->stable, b->stable, 2, "sum l / max l");
    line(t, "largest eigenvalue", a->largest, b->largest, 3, "weight of the commonest direction");
    line(t, "smallest eigenvalue", a->smallest, b->smallest, 4, "0: a direction no latent covers");
    line(t, "frame potential / bound", a->frame_potential / base.frame_bound,
         base.frame / base.frame_bound, 4, "sum of cos^2; 1 is a tight frame");
    return close_section(t, to, err);
}

/* --- 3. usage and overlap ----------------------------------------------------------------- */

static enum sae_status print_usage(const struct analyze_report *r, FILE *to, struct sae_err *err)
{
    const struct analyze_usage *u = &r->usage;
    const char *const heads[] = {"quantity", "here", "what it says"};
    struct sae_table *t;
    fprintf(to, "\nUsage: %zu held-out tokens\n", u->n_tokens);
    SAE_TRY(sae_table_make(&t, 3, heads, err));
    const struct {
        const char *name;
        double value;
        int digits;
        const char *meaning;
    } rows[] = {
        {"active latents a token",         u->l0,                    2, "l0"                                   },
        {"silent latents",                 (double)u->n_dead,        0, "fired on none of these tokens"        },
        {"alive, %",                       percent(u->frac_alive),   2, "the others fired on none"             },
        {"median density of the alive, %", percent(u->median_alive), 4,
         "share of tokens it fires on"                                                                         },
        {"latents on > 1 % of tokens, %",  percent(u->over_1),       3, "common latents"                       },
        {"latents on > 10 % of tokens, %", percent(u->over_10),      3, "dense latents"                        },
        {"their share of activations, %",  percent(u->mass_10),      2,
         "of the dense latents, in all activations"                                                            },
        {"latents in effective use",       u->effective,             1, "exp of the entropy of the activations"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sae_table_text(t, "%s", rows[i].name);
        sae_table_real(t, rows[i].value, rows[i].digits);
        sae_table_text(t, "%s", rows[i].meaning);
    }
    return close_section(t, to, err);
}

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
    struct sae_table *t;
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
    SAE_TRY(open_section(&t, "independent", err));
    line(t, "pairs that never fired together, %", percent(c->share_never),
         percent(c->expected_never), 2, "more than by chance: latents that exclude each other");
    line(t, "mean phi", c->mean_phi, NAN, 4, "correlation of firing, pairs that met");
    line(t, "phi, 95 %", c->phi_p95, NAN, 4, "one pair in 20 is above");
    line(t, "pairs with phi > 0.2, %", percent(c->phi_over), NAN, 3, "of those that met");
    line(t, "mean PMI, nats", c->mean_pmi, NAN, 3, "log of lift, pairs that met");
    line(t, "PMI, 95 %", c->pmi_p95, NAN, 3, "one pair in 20 is above");
    line(t, "mean |cos|, met", c->abs_cos_met, NAN, 4, "pairs that fired together");
    line(t, "mean |cos|, never met", c->abs_cos_never, NAN, 4, "pairs that never did");
    line(t, "overlap with cos, r", c->corr_cos, 0, 3, "< 0: those that fire together point apart");
    line(t, "overlap with |cos|, r", c->corr_abs, 0, 3, "> 0: those that fire together share");
    return close_section(t, to, err);
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
            r->ckpt.progress);
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
    const struct sae_ckpt *c = &r->ckpt;
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

enum sae_status analyze_tables_print(const struct analyze_report *report,
                                     const struct analyze_settings *settings, FILE *to,
                                     struct sae_err *err)
{
    print_head(report, to);
    SAE_TRY(print_directions(report, settings, to, err));
    SAE_TRY(print_spectrum(report, to, err));
    if (report->has_masks) {
        SAE_TRY(print_usage(report, to, err));
        SAE_TRY(print_overlap(report, to, err));
        SAE_TRY(print_competition(report, to, err));
    }
    return print_close(report, to, err);
}
