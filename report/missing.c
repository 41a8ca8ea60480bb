/* SPDX-License-Identifier: MIT */
/* missing : which results are not there, and the command that makes each. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/folder.h"
#include "report/report.h"

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
    SAE_GO(st, sae_str_word(&command, run->path, err));
    SAE_GO(st, report_lines_add(
                   &report->missing_why, err, "%s: %s step %llu of %llu", run->name,
                   last == report_phase_last(run) ? "stopped at" : "nothing can be read after",
                   (unsigned long long)last->step, (unsigned long long)last->total_steps));
    SAE_GO(st, report_lines_add(&report->missing_command, err, "%s", command.s));
done:
    sae_str_clear(&command);
    return st;
}

/* What a run lacks of one evaluation: its phases as text, "25 %, 50 %", and their checkpoints as a
 * command takes them; or the whole run, where all of it lacks it and nothing is damaged: a tool that is
 * given what it cannot read does not end with status 0. */
struct gap {
    struct sae_str phases, paths;
    bool whole;
};

static void gap_clear(struct gap *gap)
{
    sae_str_clear(&gap->phases);
    sae_str_clear(&gap->paths);
}

static enum sae_status gap_find(struct gap *ret, const struct report_run *run,
                                enum sae_source source, struct sae_err *err)
{
    struct gap gap = {0};
    size_t n = 0;
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < run->n_phases; i++) {
        const struct report_phase *phase = &run->phases[i];
        if (!phase->readable || phase->result[source] != NULL)
            continue;
        SAE_GO(st, sae_str_word(&gap.paths, phase->path, err));
        SAE_GO(st, sae_str_printf(&gap.phases, err, "%s%d %%", n > 0 ? ", " : "", phase->percent));
        n++;
    }
    gap.whole = n == run->n_phases && n > 1 && run->whole;
    if (gap.whole) {
        sae_str_clear(&gap.paths);
        SAE_GO(st, sae_str_word(&gap.paths, run->path, err));
    }
    *ret = gap;
    return SAE_OK;
done:
    gap_clear(&gap);
    return st;
}

static bool same_gap(const struct gap *a, const struct gap *b)
{
    return a->whole == b->whole && a->phases.s != NULL && b->phases.s != NULL &&
           strcmp(a->phases.s, b->phases.s) == 0;
}

/* Where the n runs that lack all of it are all the runs of one folder, the folder names them. */
static enum sae_status put_folder(struct sae_str *to, const struct report *report,
                                  const struct gap *gaps, size_t first, size_t n,
                                  struct sae_err *err)
{
    char *dir = NULL, *other = NULL, **runs = NULL;
    size_t n_runs = 0;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_fs_dir(&dir, report->runs[first].path, err));
    bool one = n > 1 && gaps[first].whole && strcmp(dir, ".") != 0;
    for (size_t i = first; i < report->n_runs && one; i++) {
        if (!same_gap(&gaps[i], &gaps[first]))
            continue;
        SAE_GO(st, sae_fs_dir(&other, report->runs[i].path, err));
        one = strcmp(dir, other) == 0;
        free(other);
        other = NULL;
    }
    if (one)
        SAE_GO(st, sae_folder_runs(&runs, &n_runs, dir, err));
    if (one && n_runs == n) {
        sae_str_clear(to);
        st = sae_str_word(to, dir, err);
    }
done:
    sae_fs_list_free(runs, n_runs);
    free(other);
    free(dir);
    return st;
}

/* "run_1, run_2 at 25 %: Sparse probing", and one command for all runs that lack the same as run
 * `first`. */
static enum sae_status tell_gap(struct report *report, const struct gap *gaps, size_t first,
                                enum sae_source source, struct sae_err *err)
{
    enum { NAMED = 4 }; /* more runs are counted */
    struct sae_str names = {0}, paths = {0};
    size_t n = 0;
    enum sae_status st = SAE_OK;
    for (size_t i = first; i < report->n_runs; i++) {
        if (!same_gap(&gaps[i], &gaps[first]))
            continue;
        SAE_GO(st, sae_str_printf(&names, err, "%s%s", n++ > 0 ? ", " : "", report->runs[i].name));
        SAE_GO(st, sae_str_printf(&paths, err, "%s", gaps[i].paths.s));
    }
    SAE_GO(st, put_folder(&paths, report, gaps, first, n, err));
    if (n > NAMED) {
        sae_str_clear(&names);
        SAE_GO(st, sae_str_printf(&names, err, "%zu runs", n));
    }
    SAE_GO(st, report_lines_add(&report->missing_why, err, "%s at %s: %s", names.s,
                                gaps[first].whole ? "every phase" : gaps[first].phases.s,
                                report_sources[source].title));
    st = report_lines_add(&report->missing_command, err, "%s%s%s", report_sources[source].command,
                          gaps[first].whole ? " --all" : "", paths.s);
done:
    sae_str_clear(&names);
    sae_str_clear(&paths);
    return st;
}

static enum sae_status missing_of(struct report *report, enum sae_source source,
                                  struct sae_err *err)
{
    struct gap *gaps = NULL;
    enum sae_status st = SAE_OK;
    SAE_TRY(sae_mem_alloc(&gaps, report->n_runs, sizeof *gaps, err));
    for (size_t i = 0; i < report->n_runs; i++)
        SAE_GO(st, gap_find(&gaps[i], &report->runs[i], source, err));
    for (size_t i = 0; i < report->n_runs; i++) {
        bool said = gaps[i].phases.s == NULL;
        for (size_t j = 0; j < i && !said; j++)
            said = same_gap(&gaps[i], &gaps[j]);
        if (!said)
            SAE_GO(st, tell_gap(report, gaps, i, source, err));
    }
done:
    for (size_t i = 0; i < report->n_runs; i++)
        gap_clear(&gaps[i]);
    free(gaps);
    return st;
}

enum sae_status report_find_missing(struct report *report, struct sae_err *err)
{
    for (size_t i = 0; i < report->n_runs; i++)
        SAE_TRY(unfinished(report, &report->runs[i], err));
    for (enum sae_source s = 0; s < SAE_SOURCE_N; s++)
        if (report_sources[s].expected)
            SAE_TRY(missing_of(report, s, err));
    return SAE_OK;
}
