/* SPDX-License-Identifier: MIT */
/* settings : the runs' options side by side; those that differ first, the common ones briefly. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/table.h"
#include "lib/file/json.h"
#include "report/notes.h"
#include "report/results.h"

const char *report_option_text(const struct report_run *run, const char *name,
                               char buf[REPORT_OPTION])
{
    const json_t *value = json_object_get(sae_json_at(run->record, "options"), name);
    if (value == NULL || json_is_null(value))
        return "";
    if (json_is_string(value)) {
        snprintf(buf, REPORT_OPTION, "%s", json_string_value(value));
    } else if (json_is_real(value)) {
        snprintf(buf, REPORT_OPTION, "%g", json_real_value(value));
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        snprintf(buf, REPORT_OPTION, "%s", text != NULL ? text : "");
        free(text);
    }
    return buf;
}

/* The same, cut for a table. */
enum { VALUE_MAX = 24 };
static const char *option_text(const struct report_run *run, const char *name,
                               char buf[REPORT_OPTION])
{
    const char *const text = report_option_text(run, name, buf);
    if (strlen(text) > VALUE_MAX)
        buf[VALUE_MAX] = '\0';
    return text;
}

bool report_option_differs(const struct report *report, const char *name)
{
    const json_t *const first =
        json_object_get(sae_json_at(report->runs[0].record, "options"), name);
    for (size_t i = 1; i < report->n_trained; i++) {
        const json_t *const other =
            json_object_get(sae_json_at(report->runs[i].record, "options"), name);
        if ((first == NULL) != (other == NULL) || (first != NULL && !json_equal(first, other)))
            return true;
    }
    return false;
}

/* The store is compared by its id, not by where it lies. The rest says how a run was made, not what. */
bool report_option_counts(const char *name)
{
    static const char *const out[] = {"acts", "backend", "memory", "save-every"};
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        if (strcmp(out[i], name) == 0)
            return false;
    return true;
}

/* Names of all options of all runs, in the order in which they are first met. */
static enum sae_status option_names(const struct report *report, json_t **ret, struct sae_err *err)
{
    json_t *names = json_object();
    if (names == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    for (size_t i = 0; i < report->n_trained; i++) {
        const char *key;
        json_t *value;
        json_object_foreach(sae_json_at(report->runs[i].record, "options"), key, value)
        {
            if (report_option_counts(key))
                json_object_set_new(names, key, json_true());
        }
    }
    *ret = names;
    return SAE_OK;
}

/* Runs [from, to) in one table. */
static enum sae_status print_differing(const struct report *report, json_t *names, size_t from,
                                       size_t to_run, FILE *to, struct sae_err *err)
{
    const char *heads[9] = {"option"};
    char buf[REPORT_OPTION];
    for (size_t i = from; i < to_run; i++)
        heads[1 + i - from] = report->runs[i].name;
    struct sae_table *table = NULL;
    SAE_TRY(sae_table_make(&table, 1 + to_run - from, heads, err));
    const char *key;
    json_t *value;
    json_object_foreach(names, key, value)
    {
        if (!report_option_differs(report, key))
            continue;
        sae_table_text(table, "--%s", key);
        for (size_t i = from; i < to_run; i++)
            sae_table_text(table, "%s", option_text(&report->runs[i], key, buf));
    }
    const enum sae_status st = sae_table_print(table, to, 2, err);
    sae_table_free(table);
    return st;
}

static enum sae_status print_common(const struct report *report, json_t *names, FILE *to,
                                    struct sae_err *err)
{
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    char buf[REPORT_OPTION];
    const char *key;
    json_t *value;
    json_object_foreach(names, key, value)
    {
        const char *shown = option_text(&report->runs[0], key, buf);
        if (!report_option_differs(report, key) && shown[0] != '\0')
            SAE_GO(st,
                   sae_str_printf(&text, err, "%s%s %s", text.s != NULL ? ", " : "", key, shown));
    }
    if (text.s != NULL)
        report_wrap(to, "  ", 4, "%s: %s", report->n_trained > 1 ? "Common to all" : "Options",
                    text.s);
done:
    sae_str_clear(&text);
    return st;
}

enum sae_status notes_settings(const struct report *report, FILE *to, struct sae_err *err)
{
    json_t *names = NULL;
    SAE_TRY(option_names(report, &names, err));
    enum sae_status st = SAE_OK;
    if (json_object_size(names) == 0)
        goto done;
    notes_heading(to, "Settings");
    bool any = false;
    const char *key;
    json_t *value;
    json_object_foreach(names, key, value)
    {
        any |= report_option_differs(report, key);
    }
    const size_t a_table = 4;
    for (size_t i = 0; any && i < report->n_trained; i += a_table) {
        const size_t end = i + a_table < report->n_trained ? i + a_table : report->n_trained;
        SAE_GO(st, print_differing(report, names, i, end, to, err));
        fputc('\n', to);
    }
    if (!any && report->n_trained > 1)
        fputs("  No option differs between the runs.\n", to);
    st = print_common(report, names, to, err);
done:
    json_decref(names);
    return st;
}

/* --- one run in a line ---------------------------------------------------------------------- */

static enum sae_status add_option(struct sae_str *text, const struct report_run *run,
                                  const char *name, const char *label, struct sae_err *err)
{
    char buf[REPORT_OPTION];
    const char *shown = option_text(run, name, buf);
    if (shown[0] == '\0')
        return SAE_OK;
    return sae_str_printf(text, err, ", %s %s", label, shown);
}

enum sae_status notes_describe(char **ret, const struct report_run *run, struct sae_err *err)
{
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    char buf[REPORT_OPTION];
    if (run->elsewhere)
        return report_result_describe(ret, run, err);
    if (run->record == NULL)
        return sae_mem_strdup(ret, "(settings unknown: no readable checkpoint)", err);
    SAE_GO(st, sae_str_printf(&text, err, "%s SAE, m %zu", sae_arch_name(run->arch), run->m));
    if (run->k > 0)
        SAE_GO(st, sae_str_printf(&text, err, ", k %zu", run->k));
    else
        SAE_GO(st, add_option(&text, run, "l1", "L1", err));
    const char *orth = option_text(run, "orth", buf);
    if (orth[0] == '\0' || strcmp(orth, "none") == 0 || strcmp(orth, "off") == 0) {
        SAE_GO(st, sae_str_printf(&text, err, "; no orthogonality term"));
    } else {
        SAE_GO(st, sae_str_printf(&text, err, "; orthogonality %s", orth));
        SAE_GO(st, add_option(&text, run, "lambda2-max", "lambda2 max", err));
        if (strcmp(orth, "progressive") == 0) {
            SAE_GO(st, add_option(&text, run, "gamma", "gamma", err));
            SAE_GO(st, add_option(&text, run, "base-threshold", "threshold", err));
            SAE_GO(st, add_option(&text, run, "threshold-schedule", "schedule", err));
        }
    }
    const char *const freeze = option_text(run, "freeze", buf);
    if (strcmp(freeze, "soft") == 0) {
        SAE_GO(st, sae_str_printf(&text, err, "; control with a soft-frozen decoder"));
        SAE_GO(st, add_option(&text, run, "freeze-cos", "cosine", err));
    } else if (freeze[0] != '\0' && strcmp(freeze, "none") != 0) {
        SAE_GO(st, sae_str_printf(&text, err, "; control with a frozen %s", freeze));
    }
    *ret = text.s;
    return SAE_OK;
done:
    sae_str_clear(&text);
    return st;
}
