/* SPDX-License-Identifier: MIT */
/* assign : rows are added one after another; each time the cheapest path of swaps that seats the
 * new row is followed, with potentials that keep reduced costs from becoming negative. */
#include "tests/recovery/assign.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void *get(size_t n, size_t size)
{
    void *const p = calloc(n, size);
    if (!p) {
        fprintf(stderr, "assign: out of memory\n");
        exit(1);
    }
    return p;
}

/* Rows and columns count from 1; column 0 seats the row that is being added. */
struct work {
    size_t m;
    const double *gain;
    double *u, *v, *least; /* potentials of rows and columns; reduced cost of reaching a column */
    size_t *row_of, *from; /* the row seated at a column; the column a path came from */
    unsigned char *done;
};

static double cost(const struct work *w, size_t row, size_t column)
{
    return -w->gain[(row - 1) * w->m + column - 1] - w->u[row] - w->v[column];
}

/* One round of the search: from the row seated at `at` to the cheapest column not yet done. */
static size_t advance(struct work *w, size_t at)
{
    double delta = INFINITY;
    size_t next = 0;
    w->done[at] = 1;
    for (size_t c = 1; c <= w->m; c++) {
        if (w->done[c])
            continue;
        const double here = cost(w, w->row_of[at], c);
        if (here < w->least[c]) {
            w->least[c] = here;
            w->from[c] = at;
        }
        if (w->least[c] < delta) {
            delta = w->least[c];
            next = c;
        }
    }
    for (size_t c = 0; c <= w->m; c++) {
        if (w->done[c]) {
            w->u[w->row_of[c]] += delta;
            w->v[c] -= delta;
        } else {
            w->least[c] -= delta;
        }
    }
    return next;
}

void assign(size_t n, size_t m, const double *gain, uint32_t *ret)
{
    struct work w = {.m = m,
                     .gain = gain,
                     .u = get(n + 1, sizeof *w.u),
                     .v = get(m + 1, sizeof *w.v),
                     .least = get(m + 1, sizeof *w.least),
                     .row_of = get(m + 1, sizeof *w.row_of),
                     .from = get(m + 1, sizeof *w.from),
                     .done = get(m + 1, 1)};
    for (size_t row = 1; row <= n; row++) {
        for (size_t c = 0; c <= m; c++) {
            w.least[c] = INFINITY;
            w.done[c] = 0;
        }
        w.row_of[0] = row;
        size_t at = 0;
        do
            at = advance(&w, at);
        while (w.row_of[at] != 0);
        for (; at != 0; at = w.from[at])
            w.row_of[at] = w.row_of[w.from[at]];
    }
    for (size_t c = 1; c <= m; c++)
        if (w.row_of[c] != 0)
            ret[w.row_of[c] - 1] = (uint32_t)(c - 1);
    void *const all[] = {w.u, w.v, w.least, w.row_of, w.from, w.done};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}
