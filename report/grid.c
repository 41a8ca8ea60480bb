/* SPDX-License-Identifier: MIT */
/* grid : which options vary, and which of them say it all. */
#include "report/grid.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/str.h"
#include "lib/file/json.h"

const char *report_option(const struct report_run *run, const char *name)
{
    const json_t *const value = json_object_get(sae_json_at(run->record, "options"), name);
    return json_is_string(value) ? json_string_value(value) : "-";
}

static bool same(const struct report *report, size_t i, size_t j, const char *name)
{
    return strcmp(report_option(&report->runs[i], name), report_option(&report->runs[j], name)) ==
           0;
}

static bool varies(const struct report *report, const char *name)
{
    for (size_t i = 1; i < report->n_trained; i++)
        if (!same(report, 0, i, name))
            return true;
    return false;
}

/* Whether the value of `of` fixes that of `name`, over all runs. */
static bool follows(const struct report *report, const char *name, const char *of)
{
    for (size_t i = 0; i < report->n_trained; i++)
        for (size_t j = 0; j < i; j++)
            if (same(report, i, j, of) && !same(report, i, j, name))
                return false;
    return true;
}

/* Options that vary, but for those that another one fixes: the default learning rate follows the
 * width, and 'none' or 'progressive' can be read off lambda2. Of two that fix each other the first
 * stays. */
static size_t find_names(const struct report *report, const char *names[GRID_VALUES])
{
    const char *all[GRID_VALUES];
    size_t n_all = 0, n = 0;
    const char *key;
    json_t *value;
    json_object_foreach(sae_json_at(report->runs[0].record, "options"), key, value)
    {
        if (n_all < GRID_VALUES && strcmp(key, "seed") != 0 && report_option_counts(key) && varies(report, key))
            all[n_all++] = key;
    }
    for (size_t i = 0; i < n_all; i++) {
        bool said = false;
        for (size_t j = 0; j < n_all && !said; j++)
            said = i != j && follows(report, all[i], all[j]) &&
                   (j < i || !follows(report, all[j], all[i])) && strcmp(all[i], "arch") != 0;
        if (!said)
            names[n++] = all[i];
    }
    return n;
}

static int by_value(const void *a, const void *b)
{
    const char *const x = *(const char *const *)a, *const y = *(const char *const *)b;
    double u, v;
    if (sae_str_real(x, &u) && sae_str_real(y, &v) && (u < v || u > v))
        return u < v ? -1 : 1;
    return sae_fs_natural_cmp(x, y);
}

/* False: more values than an axis holds. */
static bool fill_axis(struct grid_axis *axis, const struct report *report, const char *name)
{
    *axis = (struct grid_axis){.option = name};
    for (size_t i = 0; i < report->n_trained; i++) {
        const char *const value = report_option(&report->runs[i], name);
        size_t v = 0;
        while (v < axis->n && strcmp(axis->value[v], value) != 0)
            v++;
        if (v == GRID_VALUES)
            return false;
        if (v == axis->n)
            axis->value[axis->n++] = value;
    }
    qsort(axis->value, axis->n, sizeof *axis->value, by_value);
    return true;
}

static bool same_slice(const struct report_grid *grid, const struct report *report, size_t i,
                       size_t j)
{
    for (size_t o = 0; o < grid->n_other; o++)
        if (!same(report, i, j, grid->other[o]))
            return false;
    return true;
}

bool report_grid_begins(const struct report_grid *grid, const struct report *report, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (same_slice(grid, report, i, j))
            return false;
    return true;
}

/* A few runs that differ here and there are compared run by run: a grid has three values in a row,
 * or two axes whose cells are at least half full. */
static bool is_grid(const struct report_grid *grid, const struct report *report)
{
    size_t tables = 0;
    for (size_t i = 0; i < report->n_trained; i++)
        tables += report_grid_begins(grid, report, i);
    if (grid->n_axes == 1)
        return grid->row.n >= 3;
    return report->n_groups >= 4 && 2 * report->n_groups >= tables * grid->row.n * grid->col.n;
}

enum sae_status report_grid_find(struct report_grid *ret, const struct report *report,
                                 struct sae_err *err)
{
    const char *names[GRID_VALUES];
    struct report_grid grid = {0};
    (void)err;
    *ret = grid;
    if (report->n_trained == 0)
        return SAE_OK;
    for (size_t i = 0; i < report->n_trained; i++)
        if (report->runs[i].record == NULL)
            return SAE_OK;
    const size_t n = find_names(report, names);
    size_t rows = SIZE_MAX, cols = SIZE_MAX, most = 0, second = 0; /* the two longest axes */
    for (size_t i = 0; i < n; i++) {
        struct grid_axis axis;
        if (!fill_axis(&axis, report, names[i]))
            return SAE_OK;
        if (axis.n > most) {
            second = most;
            cols = rows;
            most = axis.n;
            rows = i;
        } else if (axis.n > second) {
            second = axis.n;
            cols = i;
        }
    }
    if (rows == SIZE_MAX)
        return SAE_OK;
    if (cols != SIZE_MAX && second > most / 2 && cols < rows) { /* as the options are listed */
        const size_t swap = rows;
        rows = cols;
        cols = swap;
    }
    grid.n_axes = cols == SIZE_MAX ? 1 : 2;
    (void)fill_axis(&grid.row, report, names[rows]);
    if (grid.n_axes == 2)
        (void)fill_axis(&grid.col, report, names[cols]);
    for (size_t i = 0; i < n; i++)
        if (i != rows && i != cols)
            grid.other[grid.n_other++] = names[i];
    if (is_grid(&grid, report))
        *ret = grid;
    return SAE_OK;
}

size_t report_grid_cell(const struct report_grid *grid, const struct report *report, size_t slice,
                        size_t row, size_t col)
{
    for (size_t i = 0; i < report->n_trained; i++) {
        const struct report_run *const run = &report->runs[i];
        if (same_slice(grid, report, slice, i) &&
            strcmp(report_option(run, grid->row.option), grid->row.value[row]) == 0 &&
            (grid->n_axes == 1 ||
             strcmp(report_option(run, grid->col.option), grid->col.value[col]) == 0))
            return run->group;
    }
    return SIZE_MAX;
}

int report_last_percent(const struct report *report)
{
    int last = 0;
    for (size_t i = 0; i < report->n_runs; i++)
        if (report->runs[i].n_phases > 0) {
            const int percent = report_phase_last(&report->runs[i])->percent;
            last = percent > last ? percent : last;
        }
    return last;
}
