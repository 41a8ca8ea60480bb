/* SPDX-License-Identifier: MIT */
/* chart_style : how each setting looks and what the key calls it. A few runs have a colour
 * and a dash each. Of a sweep of more, the colour tells the value of one option and the dash that
 * of another, and the key lists those values instead of every setting; up to eight keep labels that
 * were given. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/utf8.h"
#include "report/charts.h"

enum { N_STYLES = 8 };

/* Okabe and Ito's palette, told apart in all common colour-vision deficiencies; dashes and points
 * differ too, so that a grey print still tells the lines apart. */
static const char *const palette[N_STYLES] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                              "#e69f00", "#56b4e9", "#000000", "#888888"};
static const char *const dashes[N_STYLES] = {"1", "2",      "4",     "5",
                                             "3", "(14,4)", "(2,4)", "(14,3,3,3,3,3)"};
static const int points[N_STYLES] = {7, 5, 9, 13, 11, 6, 4, 8};

/* Values in order have colours in order: viridis without its lightest end. */
static void colour_in_order(char buf[CHART_STYLE], size_t i, size_t n)
{
    static const unsigned char scale[][3] = {
        {68,  1,   84 },
        {65,  68,  135},
        {42,  120, 142},
        {34,  168, 132},
        {122, 209, 81 },
        {190, 180, 10 }
    };
    const size_t last = sizeof scale / sizeof *scale - 1;
    const double at = n > 1 ? (double)(i * last) / (double)(n - 1) : 0;
    const size_t low = at >= (double)last ? last - 1 : (size_t)at;
    const double share = at - (double)low;
    unsigned c[3];
    for (size_t k = 0; k < 3; k++)
        c[k] = (unsigned)lround((1 - share) * scale[low][k] + share * scale[low + 1][k]);
    snprintf(buf, CHART_STYLE, "#%02x%02x%02x", c[0], c[1], c[2]);
}

/* Place of a group in the grid. False: it is in none. */
static bool find_cell(const struct charts *charts, size_t group, size_t *ret_row, size_t *ret_col)
{
    const struct report_grid *const grid = &charts->grid;
    const size_t n_cols = grid->n_axes == 2 ? grid->col.n : 1;
    for (size_t r = 0; grid->n_axes > 0 && r < grid->row.n; r++)
        for (size_t c = 0; c < n_cols; c++)
            if (report_grid_cell(grid, charts->report, 0, r, c) == group) {
                *ret_row = r;
                *ret_col = c;
                return true;
            }
    return false;
}

enum sae_status charts_style(struct charts *charts, struct sae_err *err)
{
    SAE_TRY(report_grid_find(&charts->grid, charts->report, err));
    charts->by_axes = charts->report->n_groups > (charts->labelled ? N_STYLES : 4) &&
                      charts->grid.n_axes > 0 && charts->grid.n_other == 0;
    return SAE_OK;
}

/* The longer axis has the colours. */
bool chart_rows_have_colours(const struct report_grid *grid)
{
    return grid->n_axes < 2 || grid->row.n >= grid->col.n;
}

/* Fills a colour, and the index of dash and point. */
static void style_of(const struct charts *charts, size_t group, char colour[CHART_STYLE],
                 size_t *ret_dash)
{
    const struct report_grid *const grid = &charts->grid;
    size_t row, col;
    if (charts->by_axes && find_cell(charts, group, &row, &col)) {
        const bool rows = chart_rows_have_colours(grid);
        colour_in_order(colour, rows ? row : col, rows ? grid->row.n : grid->col.n);
        *ret_dash = rows ? col : row;
    } else {
        snprintf(colour, CHART_STYLE, "%s", palette[group % N_STYLES]);
        *ret_dash = group / N_STYLES + group % N_STYLES;
    }
}

static const char *style(char buf[CHART_STYLE], const char *colour, size_t dash)
{
    snprintf(buf, CHART_STYLE, "lc rgb '%.7s' lw 2.2 dt %s pt %d ps 0.8", colour,
             dashes[dash % N_STYLES], points[dash % N_STYLES]);
    return buf;
}

const char *chart_style(const struct charts *charts, size_t group, char buf[CHART_STYLE])
{
    char colour[CHART_STYLE];
    size_t dash;
    style_of(charts, group, colour, &dash);
    return style(buf, colour, dash);
}

const char *chart_colour(const struct charts *charts, size_t group, char buf[CHART_STYLE])
{
    size_t dash;
    style_of(charts, group, buf, &dash);
    return buf;
}

const char *chart_style_of(size_t i, size_t n, char buf[CHART_STYLE])
{
    char colour[CHART_STYLE];
    if (n <= N_STYLES)
        return style(buf, palette[i % N_STYLES], i);
    colour_in_order(colour, i, n);
    return style(buf, colour, i);
}

const char *chart_style_of_column(const struct charts *charts, size_t i, size_t n,
                                  char buf[CHART_STYLE])
{
    char colour[CHART_STYLE];
    if (!charts->by_axes || chart_rows_have_colours(&charts->grid))
        return chart_style_of(i, n, buf);
    colour_in_order(colour, i, n); /* as in the other charts */
    return style(buf, colour, i);
}

const char *chart_label(const struct charts *charts, size_t group, char buf[CHART_LABEL])
{
    enum { MOST = 52, HEAD = 30, TAIL = 20 };
    char whole[REPORT_LABEL];
    size_t row, col;
    if (charts->by_axes && find_cell(charts, group, &row, &col))
        return NULL;
    report_group_label(whole, charts->report, group);
    const size_t len = strlen(whole);
    if (len <= MOST) {
        snprintf(buf, CHART_LABEL, "%s", whole);
        return buf;
    }
    size_t tail = len - TAIL;
    while (((unsigned char)whole[tail] & 0xc0) == 0x80)
        tail++;
    snprintf(buf, CHART_LABEL, "%.*s..%s", (int)sae_utf8_cut(whole, HEAD), whole, whole + tail);
    return buf;
}

const char *chart_style_of_value(size_t i, size_t n, bool coloured, char buf[CHART_STYLE])
{
    char colour[CHART_STYLE] = "#555555";
    if (coloured)
        colour_in_order(colour, i, n);
    return style(buf, colour, coloured ? 0 : i);
}
