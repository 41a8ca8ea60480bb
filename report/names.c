/* SPDX-License-Identifier: MIT */
/* names : what runs are called. A run's folder names it; of two with one name, the shortest ends of
 * their paths that differ; --label NAME=RUN has the last word. */
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "report/report.h"

/* --- shortest ends of paths --------------------------------------------------------------- */

/* The last n parts of a path: "/a/b/run_1", 2 -> "b/run_1". */
static const char *last_parts(const char *path, size_t n)
{
    const char *at = path + strlen(path);
    while (at > path) {
        if (at[-1] == '/' && --n == 0)
            break;
        at--;
    }
    return at;
}

/* Whether another run is called by the same end. */
static bool is_shared(const struct report *report, char *const *paths, size_t run, size_t parts)
{
    const char *const mine = last_parts(paths[run], parts);
    for (size_t i = 0; i < report->n_runs; i++)
        if (i != run && strcmp(last_parts(paths[i], parts), mine) == 0)
            return true;
    return false;
}

/* A name stands in tables, in CSV and in charts, so that it has one line: a newline shows as \n. */
static enum sae_status set_name(struct report_run *run, const char *name, size_t n,
                                struct sae_err *err)
{
    struct sae_str shown = {0};
    const enum sae_status st = sae_utf8_shown(&shown, name, n, err);
    if (st != SAE_OK) {
        sae_str_clear(&shown);
        return st;
    }
    free(run->name);
    run->name = shown.s;
    return SAE_OK;
}

static enum sae_status name_by_path(struct report *report, char *const *paths, size_t run,
                                    struct sae_err *err)
{
    enum { DEEPEST = 32 };
    size_t parts = 1;
    while (parts < DEEPEST && is_shared(report, paths, run, parts))
        parts++;
    const char *const name = last_parts(paths[run], parts);
    return set_name(&report->runs[run], name, strlen(name), err);
}

/* --- labels ------------------------------------------------------------------------------- */

static bool same_folder(const char *a, const char *b)
{
    char *const x = realpath(a, NULL), *const y = realpath(b, NULL);
    const bool same = x != NULL && y != NULL && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

/* "a/b/run_1" ends in "b/run_1", not in "n_1". */
static bool ends_in(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return m > 0 && n >= m && strcmp(path + n - m, end) == 0 && (n == m || path[n - m - 1] == '/');
}

size_t report_find_run(const struct report *report, const char *what)
{
    size_t found = SIZE_MAX, n = 0;
    for (size_t i = 0; i < report->n_runs; i++)
        if (strcmp(report->runs[i].name, what) == 0 || same_folder(report->runs[i].path, what))
            return i;
    for (size_t i = 0; i < report->n_runs; i++)
        if (ends_in(report->runs[i].path, what)) {
            found = i;
            n++;
        }
    return n == 1 ? found : SIZE_MAX;
}

static enum sae_status check_labels(const struct report *report, struct sae_err *err)
{
    for (size_t i = 0; i < report->n_runs; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(report->runs[i].name, report->runs[j].name) == 0)
                return sae_err_set(err, SAE_EARG,
                                   "two runs would be called '%s': '%s' and '%s'; give one of them "
                                   "another name with --label NAME=RUN",
                                   report->runs[i].name, report->runs[j].path, report->runs[i].path);
    return SAE_OK;
}

static enum sae_status find_labelled(size_t *ret, const struct report *report, const char *label,
                                     struct sae_err *err)
{
    const char *const equals = strchr(label, '=');
    if (equals == NULL || equals == label || equals[1] == '\0')
        return sae_err_set(err, SAE_EARG, "--label '%s': expected NAME=RUN, such as plain=run_1",
                           label);
    *ret = report_find_run(report, equals + 1);
    if (*ret == SIZE_MAX)
        return sae_err_set(err, SAE_EARG, "--label '%s': '%s' is not one run among those reported "
                           "(first is '%s')", label, equals + 1, report->runs[0].name);
    return SAE_OK;
}

enum sae_status report_name_runs(struct report *report, char *const *labels, size_t n_labels,
                                 struct sae_err *err)
{
    char **paths = NULL;
    size_t *labelled = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&paths, report->n_runs, sizeof *paths, err));
    for (size_t i = 0; i < report->n_runs; i++) {
        char *const real = realpath(report->runs[i].path, NULL);
        paths[i] = real;
        if (real == NULL) /* gone since it was read */
            SAE_GO(st, sae_mem_strdup(&paths[i], report->runs[i].path, err));
    }
    for (size_t i = 0; i < report->n_runs; i++)
        SAE_GO(st, name_by_path(report, paths, i, err));
    SAE_GO(st, sae_mem_alloc(&labelled, n_labels, sizeof *labelled, err));
    for (size_t l = 0; l < n_labels; l++)
        SAE_GO(st, find_labelled(&labelled[l], report, labels[l], err));
    for (size_t l = 0; l < n_labels; l++)
        SAE_GO(st, set_name(&report->runs[labelled[l]], labels[l], strcspn(labels[l], "="), err));
    st = check_labels(report, err);
done:
    for (size_t i = 0; paths != NULL && i < report->n_runs; i++)
        free(paths[i]);
    free(paths);
    free(labelled);
    return st;
}

/* --- files -------------------------------------------------------------------------------- */

static char plain(char c)
{
    const bool stays = isalnum((unsigned char)c) || strchr("._-+=,", c) != NULL;
    return stays || (unsigned char)c >= 0x80 ? c : '_';
}

static bool same_file(const char *a, const char *b)
{
    while (*a != '\0' && plain(*a) == plain(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

enum sae_status report_file_name(char **ret, const struct report *report,
                                 const struct report_run *run, struct sae_err *err)
{
    struct sae_str name = {0};
    size_t before = 0;
    for (const struct report_run *other = report->runs; other < run; other++)
        before += same_file(other->name, run->name);
    SAE_TRY(sae_str_printf(&name, err, "%s", run->name));
    for (char *p = name.s; *p != '\0'; p++)
        *p = plain(*p);
    const enum sae_status st =
        before > 0 ? sae_str_printf(&name, err, "_%zu", before + 1) : SAE_OK;
    if (st != SAE_OK)
        sae_str_clear(&name);
    else
        *ret = name.s;
    return st;
}
