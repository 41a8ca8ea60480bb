/* SPDX-License-Identifier: MIT */
/* grid : the options in which the runs differ, as axes - found from the records, for a sweep or any
 * runs that make one. Runs that differ in their seed only are one cell. */
#ifndef SAE_REPORT_GRID_H
#define SAE_REPORT_GRID_H

#include "report/report.h"

enum { GRID_VALUES = 32 };

struct grid_axis {
    const char *option; /* "lambda2-max"; borrowed from the record */
    size_t n;
    const char *value[GRID_VALUES]; /* ascending where they are numbers; "-": has none */
};

struct report_grid {
    size_t n_axes; /* 0: no grid. 1: rows alone. 2: rows and columns */
    struct grid_axis row, col;
    size_t n_other; /* options that vary besides: a table for each of their combinations */
    const char *other[GRID_VALUES];
};

/* No grid where the settings make none, or any run has no record. */
SAE_MUST_CHECK enum sae_status report_grid_find(struct report_grid *ret,
                                                const struct report *report, struct sae_err *err);
/* An option of a run's record as text; "-" where it has none. */
const char *report_option(const struct report_run *run, const char *name);
/* The group in a cell of the table that `slice`, a run, belongs to; SIZE_MAX: nothing was run. */
size_t report_grid_cell(const struct report_grid *grid, const struct report *report, size_t slice,
                        size_t row, size_t col);
/* Whether run i is the first of its combination of other options, that is, begins a table. */
bool report_grid_begins(const struct report_grid *grid, const struct report *report, size_t i);
/* The last percent of training that a run has. */
int report_last_percent(const struct report *report);

#endif /* SAE_REPORT_GRID_H */
