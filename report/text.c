/* SPDX-License-Identifier: MIT */
/* text : headings, paragraphs of the page's width, and what the notes' tables share. */
#include <stdarg.h>
#include <string.h>

#include "lib/base/str.h"
#include "report/notes.h"

void report_wrap(FILE *to, const char *lead, int indent, const char *fmt, ...)
{
    struct sae_str text = {0};
    va_list args;
    va_start(args, fmt);
    const enum sae_status st = sae_str_vprintf(&text, NULL, fmt, args);
    va_end(args);
    if (st != SAE_OK)
        return;
    int column = fprintf(to, "%s", lead);
    bool fresh = true;
    for (const char *p = text.s; *p != '\0';) {
        size_t word = strcspn(p, " ");
        if (strncmp(p + word, " %", 2) == 0) /* a number and its sign stay on one line */
            word += 1 + strcspn(p + word + 1, " ");
        if (!fresh && column + 1 + (int)word > REPORT_WIDTH) {
            fprintf(to, "\n%*s", indent, "");
            column = indent;
            fresh = true;
        }
        column += fprintf(to, "%s%.*s", fresh ? "" : " ", (int)word, p);
        fresh = false;
        p += word;
        p += strspn(p, " ");
    }
    fputc('\n', to);
    sae_str_clear(&text);
}

void notes_heading(FILE *to, const char *title)
{
    fprintf(to, "\n%s\n", title);
    for (size_t i = 0; i < strlen(title); i++)
        fputc('-', to);
    fputs("\n\n", to);
}

size_t notes_percents(const struct report *report, int *percents, size_t cap)
{
    size_t n = 0;
    for (int p = 0; p <= 1000 && n < cap; p++)
        for (size_t i = 0; i < report->n_runs; i++)
            if (report_phase_at(&report->runs[i], p) != NULL) {
                percents[n++] = p;
                break;
            }
    return n;
}

const char *notes_full_name(const struct sae_metric *metric)
{
    return metric->name != NULL ? metric->name : metric->head;
}
