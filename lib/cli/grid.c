/* SPDX-License-Identifier: MIT */
/* grid : lists in the option table, taken apart once and put back a combination at a time. */
#include "lib/cli/grid.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/cli/parse.h"

enum { COMBINATIONS_MAX = 10000 };

/* One row of the table as it was typed. */
struct column {
    char *whole; /* NULL: unset */
    bool given, used;
    char *copy; /* of whole, commas cut to ends; lists only */
    size_t n;   /* 1 where it is no list */
    char **part;
};

struct sae_grid {
    struct sae_opt_set *set; /* borrowed */
    size_t n;
    struct column column[SAE_OPT_MAX];
};

/* "0.1,0.10" names one value twice; words are compared as they stand. */
static bool same_value(const struct sae_opt *row, const char *a, const char *b)
{
    if (row->kind == SAE_OPT_REAL)
        return !(strtod(a, NULL) < strtod(b, NULL)) && !(strtod(a, NULL) > strtod(b, NULL));
    return strcmp(a, b) == 0;
}

static enum sae_status split(struct column *column, const struct sae_opt *row, struct sae_err *err)
{
    SAE_TRY(sae_mem_strdup(&column->copy, column->whole, err));
    column->n = 1;
    for (const char *p = column->whole; *p != '\0'; p++)
        column->n += *p == ',';
    SAE_TRY(sae_mem_alloc(&column->part, column->n, sizeof *column->part, err));
    char *at = column->copy;
    for (size_t i = 0; i < column->n; i++) {
        column->part[i] = at;
        at += strcspn(at, ",");
        *at++ = '\0';
        for (size_t j = 0; j < i; j++)
            if (same_value(row, column->part[i], column->part[j]))
                return sae_err_set(err, SAE_EARG, "--%s %s: %s is named twice", row->name,
                                   column->whole, column->part[i]);
    }
    return SAE_OK;
}

enum sae_status sae_grid_open(struct sae_grid **ret, const struct sae_cli *cli, struct sae_err *err)
{
    struct sae_grid *grid = NULL;
    enum sae_status st = SAE_OK;
    SAE_TRY(sae_mem_alloc(&grid, 1, sizeof *grid, err));
    grid->set = (struct sae_opt_set *)cli->set;
    grid->n = 1;
    for (size_t i = 0; i < grid->set->n; i++) {
        struct column *const column = &grid->column[i];
        const struct sae_opt *const row = &grid->set->rows[i];
        column->n = 1;
        column->given = grid->set->given[i];
        if (grid->set->text[i] == NULL)
            continue;
        SAE_GO(st, sae_mem_strdup(&column->whole, grid->set->text[i], err));
        if ((row->flags & SAE_OPT_SWEEP) != 0 && strchr(column->whole, ',') != NULL)
            SAE_GO(st, split(column, row, err));
        grid->n *= column->n;
        if (grid->n > COMBINATIONS_MAX) {
            st = sae_err_set(err, SAE_EARG, "the lists make more than %d runs; give fewer values",
                             COMBINATIONS_MAX);
            goto done;
        }
    }
    *ret = grid;
    grid = NULL;
done:
    sae_grid_close(grid);
    return st;
}

void sae_grid_close(struct sae_grid *grid)
{
    for (size_t i = 0; grid != NULL && i < SAE_OPT_MAX; i++) {
        free(grid->column[i].whole);
        free(grid->column[i].copy);
        free(grid->column[i].part);
    }
    free(grid);
}

size_t sae_grid_n(const struct sae_grid *grid)
{
    return grid->n;
}

bool sae_grid_is_list(const struct sae_grid *grid, const char *option)
{
    for (size_t i = 0; i < grid->set->n; i++)
        if (strcmp(grid->set->rows[i].name, option) == 0)
            return grid->column[i].n > 1;
    return false;
}

enum sae_status sae_grid_set(struct sae_grid *grid, size_t i, struct sae_err *err)
{
    size_t left = grid->n;
    for (size_t c = 0; c < grid->set->n; c++) {
        const struct column *const column = &grid->column[c];
        left /= column->n;
        const size_t at = i / left % column->n;
        const char *const text = column->n > 1 ? column->part[at] : column->whole;
        const char *const now = grid->set->text[c];
        if (text != NULL && (now == NULL || strcmp(now, text) != 0))
            SAE_TRY(sae_opt_set_assign(grid->set, c, text, column->given, err));
        grid->set->given[c] = column->given;
    }
    return SAE_OK;
}

void sae_grid_keep(struct sae_grid *grid)
{
    for (size_t c = 0; c < grid->set->n; c++)
        grid->column[c].used = grid->column[c].used || grid->set->given[c];
}

const char *sae_grid_unused(const struct sae_grid *grid)
{
    for (size_t c = 0; c < grid->set->n; c++)
        if (grid->column[c].given && !grid->column[c].used)
            return grid->set->rows[c].name;
    return NULL;
}

enum sae_status sae_grid_each(const struct sae_grid *grid,
                              enum sae_status (*call)(void *user, const char *option,
                                                      const char *value, struct sae_err *err),
                              void *user, struct sae_err *err)
{
    for (size_t c = 0; c < grid->set->n; c++)
        if (grid->column[c].n > 1 && grid->set->given[c])
            SAE_TRY(call(user, grid->set->rows[c].name, grid->set->text[c], err));
    return SAE_OK;
}
