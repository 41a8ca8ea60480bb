/* SPDX-License-Identifier: MIT */
/* missing : which results are not there, and the command that makes each. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "report/report.h"

/* Appends a path as a shell takes it. */
static enum sae_status put_path(struct sae_str *to, const char *path, const char *after,
                                struct sae_err *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./+,:=@%-";
    if (path[strspn(path, plain)] == '\0')
        return sae_str_printf(to, err, " %s%s", path, after);
    SAE_TRY(sae_str_printf(to, err, " '"));
    for (const char *p = path; *p != '\0'; p++)
        SAE_TRY(*p == '\'' ? sae_str_append(to, "'\\''", 4, err) : sae_str_append(to, p, 1, err));
    return sae_str_printf(to, err, "%s'", after);
}

/* The commands of one run and one tool: each checkpoint, or --all where all of them lack it and
 * none is damaged: a tool that is given one it cannot read does not end with status 0. */
static enum sae_status missing_of(struct report *report, const struct report_run *run,
                                  enum report_source source, struct sae_err *err)
{
    struct sae_str paths = {0}, phases = {0};
    size_t n = 0;
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < run->n_phases; i++) {
        const struct report_phase *phase = &run->phases[i];
        if (!phase->readable || phase->result[source] != NULL)
            continue;
        SAE_GO(st, put_path(&paths, phase->path, "", err));
        SAE_GO(st, sae_str_printf(&phases, err, "%s%d %%", n > 0 ? ", " : "", phase->percent));
        n++;
    }
    if (n == 0)
        goto done;
    SAE_GO(st, report_lines_add(&report->missing_why, err, "%s at %s: %s", run->name, phases.s,
                                report_sources[source].title));
    if (n == run->n_phases && n > 1 && run->whole) {
        sae_str_clear(&paths);
        SAE_GO(st, put_path(&paths, run->path, "", err));
        st = report_lines_add(&report->missing_command, err, "%s --all%s",
                              report_sources[source].command, paths.s);
    } else {
        st = report_lines_add(&report->missing_command, err, "%s%s", report_sources[source].command,
                              paths.s);
    }
done:
    sae_str_clear(&paths);
    sae_str_clear(&phases);
    return st;
}

/* sae-train passes over damaged checkpoints by itself. */
static enum sae_status unfinished(struct report *report, const struct report_run *run,
                                  struct sae_err *err)
{
    const struct report_phase *last = report_phase_readable(run);
    struct sae_str command = {0};
    enum sae_status st = SAE_OK;
    if (!run->whole || last == NULL || last->step >= last->total_steps)
        return SAE_OK;
    SAE_GO(st, sae_str_printf(&command, err, "sae-train --resume"));
    SAE_GO(st, put_path(&command, run->path, "", err));
    SAE_GO(st, report_lines_add(
                   &report->missing_why, err, "%s: %s step %llu of %llu", run->name,
                   last == report_phase_last(run) ? "stopped at" : "nothing can be read after",
                   (unsigned long long)last->step, (unsigned long long)last->total_steps));
    SAE_GO(st, report_lines_add(&report->missing_command, err, "%s", command.s));
done:
    sae_str_clear(&command);
    return st;
}

/* Whether a run lacks this result at every phase, and a tool could make all of them. */
static bool lacks_all(const struct report_run *run, enum report_source source)
{
    for (size_t i = 0; i < run->n_phases; i++)
        if (!run->phases[i].readable || run->phases[i].result[source] != NULL)
            return false;
    return run->whole && run->n_phases > 1;
}

/* What many runs of a sweep lack is said once. *ret: it was. */
static enum sae_status missing_of_many(struct report *report, enum report_source source, bool *ret,
                                       struct sae_err *err)
{
    enum { MANY = 5 };
    struct sae_str paths = {0};
    size_t n = 0;
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < report->n_runs; i++)
        if (lacks_all(&report->runs[i], source)) {
            n++;
            SAE_GO(st, put_path(&paths, report->runs[i].path, "", err));
        }
    *ret = n >= MANY;
    if (!*ret)
        goto done;
    SAE_GO(st, report_lines_add(&report->missing_why, err, "%zu runs at every phase: %s", n,
                                report_sources[source].title));
    st = report_lines_add(&report->missing_command, err, "%s --all%s",
                          report_sources[source].command, paths.s);
done:
    sae_str_clear(&paths);
    return st;
}

enum sae_status report_find_missing(struct report *report, struct sae_err *err)
{
    bool said[REPORT_SOURCE_N] = {false};
    for (enum report_source s = 0; s < REPORT_SOURCE_N; s++)
        if (report_sources[s].expected)
            SAE_TRY(missing_of_many(report, s, &said[s], err));
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        SAE_TRY(unfinished(report, run, err));
        for (enum report_source s = 0; s < REPORT_SOURCE_N; s++)
            if (report_sources[s].expected && (!said[s] || !lacks_all(run, s)))
                SAE_TRY(missing_of(report, run, s, err));
    }
    return SAE_OK;
}
