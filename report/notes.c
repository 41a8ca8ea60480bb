/* SPDX-License-Identifier: MIT */
/* notes : the report as plain text, for a person who was not there.
 *
 * Contents:  1. helpers   2. what was run   3. cautions   4. the whole */
#include "report/notes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/cli/table.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "report/compare.h"
#include "report/grid.h"

/* --- 1. helpers ----------------------------------------------------------------------------- */

/* L0 of a phase: held out, else on the splice text. */
static double l0_of(const struct report_phase *phase)
{
    const double x = report_value(phase, sae_metric_by("heldout_l0"));
    return isfinite(x) ? x : report_value(phase, sae_metric_by("core_l0"));
}

/* --- 2. what was run ------------------------------------------------------------------------ */

static void print_store(const struct report_run *run, FILE *to)
{
    const json_t *acts = sae_record_find_input(run->record, "acts");
    const char *path = sae_json_str(acts, "path", NULL);
    const char *id = sae_json_str(acts, "id", "");
    if (path == NULL)
        return;
    report_wrap(to, "    store      ", 15, "%s (id %.12s)", path, id);
    const json_t *record = sae_json_at(acts, "record");
    const char *command = sae_json_str(record, "command", NULL);
    if (command != NULL)
        report_wrap(to, "    made by    ", 15, "%s", command);
}

/* Options are recorded as they were typed or defaulted: text. */
static double option_number(const struct report_run *run, const char *name)
{
    const json_t *value = json_object_get(sae_json_at(run->record, "options"), name);
    double x = NAN;
    if (json_is_number(value))
        return json_number_value(value);
    return json_is_string(value) && sae_str_real(json_string_value(value), &x) ? x : NAN;
}

static void print_tokens(const struct report_run *run, FILE *to)
{
    const double batch = option_number(run, "batch");
    const struct report_phase *last = report_phase_readable(run);
    char tokens[64] = "";
    if (last == NULL || run->total_steps == 0)
        return;
    if (isfinite(batch))
        snprintf(tokens, sizeof tokens, " of %.0f tokens: %.0f tokens seen", batch,
                 batch * (double)last->step);
    report_wrap(to, "    training   ", 15, "%llu of %llu steps%s; seed %llu",
                (unsigned long long)last->step, (unsigned long long)last->total_steps, tokens,
                (unsigned long long)run->seed);
}

enum sae_status notes_what(const struct report *report, FILE *to, struct sae_err *err)
{
    notes_heading(to, "What was run");
    const char *shown = "";
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        fprintf(to, "  %s\n", run->name);
        if (run->elsewhere) {
            char *what = NULL;
            SAE_TRY(notes_describe(&what, run, err));
            report_wrap(to, "    SAE        ", 15, "%s", what);
            free(what);
            continue;
        }
        if (run->record == NULL) {
            fputs("    no checkpoint of it could be read; only its results are shown\n", to);
            continue;
        }
        const json_t *site = report_site(run);
        if (site != NULL)
            report_wrap(to, "    model      ", 15, "%s, layer %lld (%s), width d %zu",
                        sae_json_str(site, "model", "unknown"),
                        (long long)sae_json_u64(site, "layer", 0),
                        sae_json_str(site, "hook", "hook unknown"), run->d);
        char sae[SAE_ARCH_DESCRIBED];
        sae_arch_describe(sae, run->arch, run->d, run->m, run->k);
        report_wrap(to, "    SAE        ", 15, "%s", sae);
        print_tokens(run, to);
        const char *id = sae_json_str(sae_record_find_input(run->record, "acts"), "id", "unknown");
        if (strcmp(shown, id) != 0)
            print_store(run, to);
        else
            fputs("    store      the same as above\n", to);
        shown = id;
    }
    return SAE_OK;
}

/* --- 3. cautions ---------------------------------------------------------------------------- */

/* Runs that end at equal L0 may have been far apart on the way there: ReLU runs start dense. */
static enum sae_status caution_l0_on_the_way(const struct report *report, FILE *to,
                                             struct sae_err *err)
{
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    int percents[64];
    const size_t n = notes_percents(report, percents, sizeof percents / sizeof *percents);
    for (size_t p = 0; p < n; p++) {
        double low = INFINITY, high = -INFINITY;
        for (size_t i = 0; i < report->n_runs; i++) {
            const struct report_phase *phase = report_phase_at(&report->runs[i], percents[p]);
            const double x = phase != NULL ? l0_of(phase) : NAN;
            low = fmin(low, x);
            high = fmax(high, x);
        }
        if (!report_l0_equal(low, high))
            SAE_GO(st, sae_str_printf(&text, err, "%s%d %% (%.1f to %.1f)",
                                      text.s != NULL ? ", " : "", percents[p], low, high));
    }
    if (text.s != NULL)
        report_wrap(to, "  * ", 4,
                    "NOT AT EQUAL L0 on the way: at %s active latents a token. Differences between "
                    "runs at these phases are not due to the method alone.",
                    text.s);
done:
    sae_str_clear(&text);
    return st;
}

static enum sae_status caution_l0(const struct report *report, FILE *to, struct sae_err *err)
{
    double low = INFINITY, high = -INFINITY;
    size_t at_low = 0, at_high = 0;
    for (size_t i = 0; i < report->n_runs; i++) {
        const double x = l0_of(report_phase_last(&report->runs[i]));
        if (isfinite(x) && x < low) {
            low = x;
            at_low = i;
        }
        if (isfinite(x) && x > high) {
            high = x;
            at_high = i;
        }
    }
    if (report_l0_equal(low, high))
        return caution_l0_on_the_way(report, to, err);
    report_wrap(to, "  * ", 4,
                "NOT AT EQUAL L0: %s has %.1f active latents a token, %s has %.1f. More active "
                "latents reconstruct better by themselves; differences between these runs in "
                "reconstruction, probing or absorption are not due to the method alone.",
                report->runs[at_low].name, low, report->runs[at_high].name, high);
    return SAE_OK;
}

static bool any_other_site(const struct report *report)
{
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t j = 0; j < report->n_baselines; j++)
            if (!report_same_site(&report->runs[i], &report->baselines[j]))
                return true;
    return false;
}

/* The brief notes show published rows beside the targets, and those that were asked for. */
static bool is_shown(const struct report_baseline *baseline, bool full)
{
    return full || baseline->full != NULL || notes_any_target(baseline);
}

static void caution_baselines(const struct report *report, bool full, FILE *to)
{
    if (report->n_baselines == 0)
        return;
    char site[128];
    if (any_other_site(report))
        report_wrap(to, "  * ", 4,
                    "Rows in [brackets] are published: %s; not comparable in absolute "
                    "terms to this model. Other model, other layer, other texts: read them as "
                    "orders of magnitude.",
                    report_baselines_site(site, report));
    const struct sae_metric *l0 = sae_metric_by("core_l0");
    struct sae_str text = {0};
    char label[REPORT_LABEL];
    double low = INFINITY, high = 0;
    for (size_t j = 0; j < report->n_baselines; j++) {
        const double x = report_baseline_value(&report->baselines[j], l0);
        if (!isfinite(x) || !is_shown(&report->baselines[j], full))
            continue;
        low = fmin(low, x);
        high = fmax(high, x);
        if (sae_str_printf(&text, NULL, "%s%s %.0f", text.s != NULL ? ", " : "",
                           report_baseline_label(label, &report->baselines[j]), x) != SAE_OK)
            break;
    }
    if (!report_l0_equal(low, high) && text.s != NULL)
        report_wrap(to, "  * ", 4,
                    "Published rows differ in active latents a token (%s): one of many against "
                    "one of few is not a fair comparison and says nothing about the orthogonality "
                    "term.",
                    text.s);
    sae_str_clear(&text);
    report_wrap(to, "  * ", 4,
                "Published absorption is version A, explained variance the legacy formula, and CE "
                "and KL come from bf16 models.");
}

static void caution_different_sites(const struct report *report, FILE *to)
{
    const char *first = NULL;
    for (size_t i = 0; i < report->n_runs; i++) {
        const char *id =
            sae_json_str(sae_record_find_input(report->runs[i].record, "acts"), "id", NULL);
        if (id == NULL)
            continue;
        if (first != NULL && strcmp(first, id) != 0) {
            report_wrap(to, "  * ", 4,
                        "The runs were not trained on one activation store: differences may come "
                        "from the data.");
            return;
        }
        first = id;
    }
}

/* An SAE that is known by results alone may be of another model or layer than the runs. */
static enum sae_status caution_elsewhere(const struct report *report, FILE *to, struct sae_err *err)
{
    const json_t *const site = report->n_trained > 0 ? report_site(&report->runs[0]) : NULL;
    const char *const model = sae_json_str(site, "model", NULL);
    struct sae_str odd = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = report->n_trained; model != NULL && i < report->n_runs; i++) {
        const struct report_run *const run = &report->runs[i];
        const char *const other = sae_json_str(run->config, "model_name", model);
        const uint64_t layer = sae_json_u64(site, "layer", 0);
        if (strcmp(sae_fs_base(other), sae_fs_base(model)) != 0 ||
            sae_json_u64(run->config, "hook_layer", layer) != layer)
            SAE_GO(st, sae_str_printf(&odd, err, "%s%s", odd.s != NULL ? ", " : "", run->name));
    }
    if (odd.s != NULL)
        report_wrap(to, "  * ", 4,
                    "OTHER MODEL OR LAYER: %s. Its numbers do not compare with those of the runs "
                    "(%s layer %llu).",
                    odd.s, model, (unsigned long long)sae_json_u64(site, "layer", 0));
done:
    sae_str_clear(&odd);
    return st;
}

/* Results that were measured with other settings than the first of their kind: the odd ones out
 * are named, for their numbers cannot be set beside the others. */
static enum sae_status caution_configs(const struct report *report, enum sae_source source,
                                       FILE *to, struct sae_err *err)
{
    const json_t *first = NULL;
    struct sae_str odd = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++) {
            const struct report_phase *phase = &report->runs[i].phases[p];
            const json_t *config = json_object_get(phase->result[source], "eval_config");
            if (config == NULL)
                continue;
            if (first == NULL)
                first = config;
            if (!json_equal(first, config))
                SAE_GO(st, sae_str_printf(&odd, err, "%s%s at %d %%", odd.s != NULL ? ", " : "",
                                          report->runs[i].name, phase->percent));
        }
    if (odd.s != NULL)
        report_wrap(to, "  * ", 4,
                    "NOT MEASURED ALIKE: %s was measured with other settings (text, sets or sizes) "
                    "at %s than elsewhere; measure again with equal options before comparing.",
                    report_sources[source].title, odd.s);
done:
    sae_str_clear(&odd);
    return st;
}

/* The embedded model answers a task of its own: its score is no score of WMDP. */
static void caution_unlearning(const struct report *report, FILE *to)
{
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++) {
            const json_t *result = report->runs[i].phases[p].result[SAE_SOURCE_UNLEARN];
            if (strcmp(sae_json_str(result, "eval_config.question_form", ""), "cloze") != 0)
                continue;
            report_wrap(to, "  * ", 4,
                        "Unlearning was measured on the task '%s' with questions put as "
                        "continuations to a model that cannot chat, not on WMDP-bio: it does not "
                        "compare with published rows, and the target was set for WMDP-bio.",
                        sae_json_str(result, "eval_config.task_name", "?"));
            return;
        }
}

static bool is_measured(const struct report *report, enum sae_source source)
{
    bool is_published = false;
    for (size_t b = 0; b < report->n_baselines; b++)
        is_published |= report->baselines[b].part[source] != NULL;
    return is_published || report_has(report, source);
}

/* What is to be known of an evaluation before its numbers are used; two may share it. */
static void caution_sources(const struct report *report, FILE *to)
{
    for (enum sae_source s = 0; s < SAE_SOURCE_N; s++) {
        const char *const caution = report_sources[s].caution;
        bool said = caution == NULL || !is_measured(report, s);
        for (enum sae_source before = 0; before < s && !said; before++)
            said = is_measured(report, before) && report_sources[before].caution == caution;
        if (!said)
            report_wrap(to, "  * ", 4, "%s%s", caution,
                        report_shows(report, s) ? "" : " They are left out here: --doubtful shows "
                                                       "them.");
    }
}

enum sae_status notes_cautions(const struct report *report, bool full, FILE *to,
                               struct sae_err *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *part = open_memstream(&text, &len);
    if (part == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    enum sae_status st = caution_l0(report, part, err);
    caution_different_sites(report, part);
    if (st == SAE_OK)
        st = caution_elsewhere(report, part, err);
    caution_unlearning(report, part);
    caution_sources(report, part);
    for (enum sae_source s = 0; s < SAE_SOURCE_N && st == SAE_OK; s++)
        st = caution_configs(report, s, part, err);
    caution_baselines(report, full, part);
    fclose(part);
    if (st == SAE_OK && len > 0) {
        notes_heading(to, "Cautions");
        fputs(text, to);
    }
    free(text);
    return st;
}

/* --- 4. the whole --------------------------------------------------------------------------- */

static void print_title(const struct report *report, FILE *to)
{
    int column = fprintf(to, "%s", "Sparse autoencoder runs: ");
    for (size_t i = 0; i < report->n_runs; i++) {
        const char *name = report->runs[i].name;
        if (i > 0 && column + (int)strlen(name) + 2 > REPORT_WIDTH)
            column = fprintf(to, ",\n    ") - 2;
        else if (i > 0)
            column += fprintf(to, ", ");
        column += fprintf(to, "%s", name);
    }
    fputs("\n==================================================\n", to);
}

/* For a reader who knows neither the runs nor the words. */
static void print_introduction(FILE *to)
{
    fputc('\n', to);
    report_wrap(to, "", 0,
                "Each run trained a sparse autoencoder (SAE): m directions, called features or "
                "latents, in the activations of one layer of a language model. Few of them are "
                "active on each token, and the activation is rebuilt from those. The questions are "
                "whether features become better separated (one meaning each, little shared "
                "direction), and what that costs in reconstruction. Percentages (0 %% ... 100 %%) "
                "are how much of the training was done.");
}

/* Of many commands the brief form shows the first, and none that fills the screen. */
static void print_missing(const struct report *report, bool full, FILE *to)
{
    enum { BRIEF = 4, LONG = 400 };
    const size_t n = report->missing_why.n;
    const size_t shown = full || n <= BRIEF ? n : BRIEF;
    if (n > 0) {
        notes_heading(to, "Not measured yet, and the command that measures it");
        for (size_t i = 0; i < shown; i++) {
            report_wrap(to, "  ", 4, "%s", report->missing_why.v[i]);
            const char *const command = report->missing_command.v[i];
            fprintf(to, "      %s\n",
                    full || strlen(command) < LONG ? command : "(a long command: see --full)");
        }
        if (shown < n)
            fprintf(to, "  and %zu more: see --full\n", n - shown);
    }
    if (report->problems.n > 0) {
        notes_heading(to, "Missing or unreadable");
        for (size_t i = 0; i < report->problems.n; i++)
            report_wrap(to, "  * ", 4, "%s", report->problems.v[i]);
    }
}

static void print_charts(const struct report *report, FILE *to)
{
    if (report->charts.n == 0)
        return;
    notes_heading(to, "Charts");
    for (size_t i = 0; i < report->charts.n; i++) {
        const char *line = report->charts.v[i];
        const char *tab = strchr(line, '\t');
        fprintf(to, "  %.*s\n", (int)(tab - line), line);
        report_wrap(to, "      ", 6, "%s", tab + 1);
    }
}

/* The charts by name alone. */
static enum sae_status print_charts_briefly(const struct report *report, FILE *to,
                                            struct sae_err *err)
{
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    if (report->charts.n == 0)
        return SAE_OK;
    notes_heading(to, "Charts");
    for (size_t i = 0; i < report->charts.n; i++) {
        const char *const line = report->charts.v[i];
        SAE_GO(st, sae_str_printf(&text, err, "%s%.*s", i > 0 ? ", " : "",
                                  (int)(strchr(line, '\t') - line), line));
    }
    report_wrap(to, "  ", 2, "%s", text.s);
done:
    sae_str_clear(&text);
    return st;
}

static enum sae_status print_details(const struct report *report, FILE *to, struct sae_err *err)
{
    SAE_TRY(notes_what(report, to, err));
    SAE_TRY(notes_settings(report, to, err));
    SAE_TRY(notes_cautions(report, true, to, err));
    for (enum sae_source s = 0; s < SAE_SOURCE_N; s++)
        SAE_TRY(notes_family(report, s, to, err));
    SAE_TRY(notes_targets(report, to, err));
    SAE_TRY(notes_differences(report, to, err));
    return notes_seeds(report, to, err);
}

static enum sae_status print_notes(const struct report *report, bool full, FILE *to,
                                   struct sae_err *err)
{
    struct report_grid grid;
    print_title(report, to);
    print_introduction(to);
    SAE_TRY(notes_summary(report, full, to, err));
    SAE_TRY(notes_controls(report, to, err));
    SAE_TRY(report_grid_find(&grid, report, err));
    if (full || grid.n_axes == 0) /* a grid holds the same figures */
        SAE_TRY(notes_side_by_side(report, to, err));
    if (full) {
        SAE_TRY(print_details(report, to, err));
    } else {
        SAE_TRY(notes_cautions(report, false, to, err));
        SAE_TRY(notes_targets(report, to, err));
    }
    SAE_TRY(notes_grid(report, to, err));
    print_missing(report, full, to);
    if (full)
        print_charts(report, to);
    else
        SAE_TRY(print_charts_briefly(report, to, err));
    if (!full)
        fputs("\nEvery metric with its meaning, at every phase of training: sae-report --full. As "
              "numbers: --csv, --json.\n",
              to);
    return SAE_OK;
}

/* Names and records of others' files stand in the notes: what a terminal would act on is shown as
 * \x1b and the like. */
enum sae_status report_notes(const struct report *report, bool full, FILE *to, struct sae_err *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *const whole = open_memstream(&text, &len);
    if (whole == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    enum sae_status st = print_notes(report, full, whole, err);
    if (fclose(whole) != 0 && st == SAE_OK)
        st = sae_err_set(err, SAE_ENOMEM, "out of memory");
    if (st == SAE_OK)
        sae_utf8_put(to, text, len);
    free(text);
    if (st == SAE_OK && ferror(to))
        st = sae_err_set(err, SAE_EIO, "cannot write the notes");
    return st;
}
