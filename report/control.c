/* SPDX-License-Identifier: MIT */
/* control : see the header. A control has the options of the run that it is held against, but for
 * --freeze; one with a frozen decoder may lack the orthogonality term, which would move nothing. */
#include "report/control.h"

#include <math.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "report/notes.h"

const char *const report_control_verdict_names[REPORT_CONTROL_VERDICTS] = {
    [REPORT_BEATS] = "beats",
    [REPORT_BEATS_IN_PART] = "beats in part",
    [REPORT_DOES_NOT_BEAT] = "does not beat",
    [REPORT_NOT_JUDGED] = "not judged",
};

/* --- 1. which group is whose control -------------------------------------------------------- */

bool report_option_of_term(const char *name)
{
    static const char *const names[] = {
        "orth",           "lambda2-max",        "gamma",           "ortsae-chunk",
        "ortsae-every",   "base-threshold",     "threshold-schedule", "threshold-momentum",
        "threshold-floor", "overlap",           "overlap-window",  "competition",
        "sharpness",      "min-count",          "orth-normalizer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The part that a run was trained without; NULL where all of it was trained. */
static const char *frozen_part(const struct report_run *run)
{
    const char *const part =
        sae_json_str(sae_json_at(run->record, "options"), "freeze", "none");
    return strcmp(part, "none") == 0 ? NULL : part;
}

static bool counts(const char *name, bool without_term)
{
    return report_option_counts(name) && strcmp(name, "seed") != 0 &&
           strcmp(name, "freeze") != 0 && strcmp(name, "freeze-cos") != 0 &&
           !(without_term && report_option_of_term(name));
}

/* Every option of one that counts, as the other has it; unset and null are the same. */
static bool has_options_of(const json_t *one, const json_t *other, bool without_term)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)one, key, value)
    {
        const json_t *const found = json_object_get(other, key);
        const bool unset = json_is_null(value) && (found == NULL || json_is_null(found));
        if (counts(key, without_term) && !unset && (found == NULL || !json_equal(value, found)))
            return false;
    }
    return true;
}

static bool is_control(const struct report_run *run, const struct report_run *control)
{
    const char *const part = frozen_part(control);
    if (run->record == NULL || control->record == NULL || part == NULL || frozen_part(run) != NULL)
        return false;
    const json_t *const a = sae_json_at(run->record, "options"),
                 *const b = sae_json_at(control->record, "options");
    const char *const s = sae_json_str(sae_record_find_input(run->record, "acts"), "id", "");
    const char *const t = sae_json_str(sae_record_find_input(control->record, "acts"), "id", "");
    const bool without_term =
        strcmp(part, "decoder") == 0 && strcmp(sae_json_str(b, "orth", "none"), "none") == 0;
    return run->arch == control->arch && run->d == control->d && run->m == control->m &&
           run->total_steps == control->total_steps && strcmp(s, t) == 0 &&
           has_options_of(a, b, without_term) && has_options_of(b, a, without_term);
}

/* --- 2. the verdict ------------------------------------------------------------------------- */

static void compare_all(const struct report *report, struct report_control *c)
{
    double p[REPORT_CONTROL_METRICS];
    size_t n_better = 0, n_worse = 0;
    NOTES_EACH_HEADLINE(metric)
    {
        if (metric->better == 0 || c->n == REPORT_CONTROL_METRICS)
            continue;
        c->of[c->n] = report_compare(report, c->group, c->control, c->percent, metric);
        if (c->of[c->n].verdict <= REPORT_WITHIN_NOISE)
            p[c->n_judged++] = c->of[c->n].by.p;
        c->n += c->of[c->n].verdict != REPORT_NOT_MEASURED;
    }
    const double holm = report_holm(p, c->n_judged, 1 - STATS_LEVEL);
    for (size_t i = 0; i < c->n; i++) {
        const enum report_verdict v = c->of[i].verdict;
        c->counts[i] = (v == REPORT_BETTER || v == REPORT_WORSE) && c->of[i].by.p <= holm;
        n_better += c->counts[i] && v == REPORT_BETTER;
        n_worse += c->counts[i] && v == REPORT_WORSE;
    }
    if (c->n_judged == 0)
        c->verdict = REPORT_NOT_JUDGED;
    else if (n_better == 0)
        c->verdict = REPORT_DOES_NOT_BEAT;
    else
        c->verdict = n_worse > 0 ? REPORT_BEATS_IN_PART : REPORT_BEATS;
}

bool report_control_next(const struct report *report, size_t *at, struct report_control *ret)
{
    for (; *at < report->n_groups * report->n_groups; (*at)++) {
        const size_t g = *at / report->n_groups, c = *at % report->n_groups;
        size_t mine = 0, other = 0;
        if (report_group_size(report, g, &mine) == 0 || report_group_size(report, c, &other) == 0 ||
            !is_control(&report->runs[mine], &report->runs[other]))
            continue;
        *ret = (struct report_control){.group = g,
                                       .control = c,
                                       .part = frozen_part(&report->runs[other]),
                                       .percent = report_last_shared(report, g, c),
                                       .verdict = REPORT_NOT_JUDGED};
        if (ret->percent >= 0)
            compare_all(report, ret);
        (*at)++;
        return true;
    }
    return false;
}

/* --- 3. a line in the notes ----------------------------------------------------------------- */

/* "; better in a, b": the figures of a verdict that count, or with `all` that were not judged so. */
static enum sae_status add_figures(struct sae_str *text, const struct report_control *c,
                                   enum report_verdict verdict, const char *says,
                                   struct sae_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        const bool decided = c->counts[i] || c->of[i].verdict > REPORT_WITHIN_NOISE;
        if ((decided ? c->of[i].verdict : REPORT_WITHIN_NOISE) != verdict)
            continue;
        const int digits = c->of[i].metric->digits;
        SAE_TRY(sae_str_printf(text, err, "%s%s", n++ == 0 ? says : ", ",
                               notes_full_name(c->of[i].metric)));
        if (c->counts[i])
            SAE_TRY(sae_str_printf(text, err, " (%.*f against %.*f)", digits, c->of[i].by.mean,
                                   digits, c->of[i].by.ref));
    }
    return SAE_OK;
}

static enum sae_status print_control(const struct report *report, const struct report_control *c,
                                     FILE *to, struct sae_err *err)
{
    static const char *const says[REPORT_CONTROL_VERDICTS] = {
        "beats its control", "beats its control in part", "does not beat its control",
        "cannot be judged against its control"};
    char a[REPORT_LABEL], b[REPORT_LABEL], name[16];
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    snprintf(name, sizeof name, "%s", strcmp(c->part, "soft") == 0 ? "soft decoder" : c->part);
    SAE_GO(st, sae_str_printf(&text, err, "%s %s %s (frozen: %s)",
                              report_group_label(a, report, c->group), says[c->verdict],
                              report_group_label(b, report, c->control), name));
    if (c->percent < 0)
        SAE_GO(st, sae_str_printf(&text, err, "; no phase of training is there of both"));
    else
        SAE_GO(st, sae_str_printf(&text, err, " at %d %% of training", c->percent));
    SAE_GO(st, add_figures(&text, c, REPORT_BETTER, "; better in ", err));
    SAE_GO(st, add_figures(&text, c, REPORT_WORSE, "; worse in ", err));
    SAE_GO(st, add_figures(&text, c, REPORT_WITHIN_NOISE, "; within noise: ", err));
    SAE_GO(st, add_figures(&text, c, REPORT_CANNOT_TELL, "; one seed on a side cannot tell: ", err));
    SAE_GO(st, add_figures(&text, c, REPORT_UNEQUAL_L0, "; at unequal L0, not judged: ", err));
    SAE_GO(st, add_figures(&text, c, REPORT_UNLIKE, "; measured with other options: ", err));
    report_wrap(to, "  * ", 4, "%s.", text.s);
done:
    sae_str_clear(&text);
    return st;
}

enum sae_status notes_controls(const struct report *report, FILE *to, struct sae_err *err)
{
    static const char *const why =
        "A control was trained like the run but kept random directions (sae-train --freeze). A figure "
        "counts as better or worse where the seeds tell, paired where they are equal, and it stands "
        "after Holm's correction for the figures of the line; all else is within noise.";
    struct report_control c;
    size_t n = 0;
    for (size_t at = 0; report_control_next(report, &at, &c);) {
        if (n++ == 0)
            notes_heading(to, "Against controls with random directions");
        SAE_TRY(print_control(report, &c, to, err));
    }
    if (n > 0)
        report_wrap(to, "  ", 2, "%s", why);
    return SAE_OK;
}
