/* SPDX-License-Identifier: MIT */
/* query : what is asked of a run that was read: its phases, its site; and lists of lines. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "report/report.h"

void report_lines_clear(struct report_lines *lines)
{
    for (size_t i = 0; i < lines->n; i++)
        free(lines->v[i]);
    free(lines->v);
    *lines = (struct report_lines){0};
}

enum sae_status report_lines_add(struct report_lines *lines, struct sae_err *err, const char *fmt,
                                 ...)
{
    struct sae_str text = {0};
    va_list args;
    va_start(args, fmt);
    enum sae_status st = sae_str_vprintf(&text, err, fmt, args);
    va_end(args);
    if (st == SAE_OK)
        st = sae_mem_grow(&lines->v, &lines->cap, lines->n + 1, sizeof *lines->v, err);
    if (st != SAE_OK)
        sae_str_clear(&text);
    else
        lines->v[lines->n++] = text.s;
    return st;
}

const struct report_phase *report_phase_at(const struct report_run *run, int percent)
{
    for (size_t i = 0; i < run->n_phases; i++)
        if (run->phases[i].percent == percent)
            return &run->phases[i];
    return NULL;
}

const struct report_phase *report_phase_last(const struct report_run *run)
{
    return run->n_phases > 0 ? &run->phases[run->n_phases - 1] : NULL;
}

const struct report_phase *report_phase_readable(const struct report_run *run)
{
    for (size_t i = run->n_phases; i > 0; i--)
        if (run->phases[i - 1].readable)
            return &run->phases[i - 1];
    return NULL;
}

bool report_has(const struct report *report, enum sae_source source)
{
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t p = 0; p < report->runs[i].n_phases; p++)
            if (report->runs[i].phases[p].result[source] != NULL)
                return true;
    return false;
}

bool report_shows(const struct report *report, enum sae_source source)
{
    return report->doubtful || report_sources[source].caution == NULL;
}

const json_t *report_site(const struct report_run *run)
{
    const json_t *site = sae_json_at(run->record, "site");
    if (site == NULL && run->record != NULL) {
        const json_t *acts = sae_record_find_input(run->record, "acts");
        site = sae_json_at(acts, "record.site");
    }
    return site;
}
