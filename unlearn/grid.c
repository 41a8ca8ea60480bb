/* SPDX-License-Identifier: MIT */
/* grid : every setting of the intervention, what came of it, and the score over all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "unlearn/unlearn.h"

static enum sae_status select_all(struct unlearn_grid *grid, const double *forget,
                                  const double *retain, size_t m, struct sae_err *err)
{
    const size_t n_max = grid->n_max < m ? grid->n_max : m;
    SAE_TRY(sae_mem_alloc(&grid->selected, grid->n_thresholds, sizeof(uint32_t *), err));
    SAE_TRY(sae_mem_alloc(&grid->n_selected, grid->n_thresholds, sizeof(size_t), err));
    for (size_t t = 0; t < grid->n_thresholds; t++) {
        SAE_TRY(sae_mem_alloc(&grid->selected[t], n_max, sizeof(uint32_t), err));
        grid->n_selected[t] =
            unlearn_select(grid->selected[t], n_max, forget, retain, m, grid->thresholds[t]);
    }
    return SAE_OK;
}

enum sae_status unlearn_grid_make(struct unlearn_grid *ret, const struct unlearn_settings *s,
                                  const double *forget, const double *retain, size_t m,
                                  size_t n_sets, struct sae_err *err)
{
    struct unlearn_grid grid = {.n_sets = n_sets, .n_thresholds = s->n_thresholds};
    enum sae_status st;
    for (size_t i = 0; i < s->n_n_latents; i++)
        if (s->n_latents[i] > grid.n_max)
            grid.n_max = (size_t)s->n_latents[i];
    SAE_GO(st, sae_mem_alloc(&grid.thresholds, grid.n_thresholds, sizeof(double), err));
    memcpy(grid.thresholds, s->thresholds, grid.n_thresholds * sizeof(double));
    SAE_GO(st, select_all(&grid, forget, retain, m, err));
    const size_t n = s->n_thresholds * s->n_n_latents * s->n_multipliers;
    SAE_GO(st, sae_mem_alloc(&grid.cells, n, sizeof *grid.cells, err));
    for (size_t i = 0; i < n; i++) {
        struct unlearn_cell *cell = &grid.cells[grid.n++];
        const size_t t = i / (s->n_n_latents * s->n_multipliers);
        cell->threshold = s->thresholds[t];
        cell->n_asked = (size_t)s->n_latents[i / s->n_multipliers % s->n_n_latents];
        cell->multiplier = s->multipliers[i % s->n_multipliers];
        cell->n_used =
            cell->n_asked < grid.n_selected[t] ? cell->n_asked : grid.n_selected[t];
        SAE_GO(st, sae_mem_alloc(&cell->right, n_sets, sizeof *cell->right, err));
    }
    *ret = grid;
    return SAE_OK;
done:
    unlearn_grid_clear(&grid);
    return st;
}

void unlearn_grid_clear(struct unlearn_grid *grid)
{
    for (size_t i = 0; i < grid->n; i++)
        free(grid->cells[i].right);
    for (size_t t = 0; grid->selected != NULL && t < grid->n_thresholds; t++)
        free(grid->selected[t]);
    free(grid->cells);
    free(grid->selected);
    free(grid->n_selected);
    free(grid->thresholds);
    *grid = (struct unlearn_grid){0};
}

void unlearn_cell_accuracy(const struct unlearn_cell *cell, const struct unlearn_set *sets,
                           size_t n_sets, double *forget, double *side_effect)
{
    size_t n[2] = {0, 0}, right[2] = {0, 0};
    for (size_t i = 0; i < n_sets; i++) {
        n[sets[i].forget] += sets[i].n_known;
        right[sets[i].forget] += cell->right[i];
    }
    *forget = n[1] > 0 ? (double)right[1] / (double)n[1] : NAN;
    *side_effect = n[0] > 0 ? (double)right[0] / (double)n[0] : NAN;
}

struct unlearn_score unlearn_grid_score(const struct unlearn_grid *grid,
                                        const struct unlearn_set *sets, size_t n_sets)
{
    struct unlearn_score ret = {0, SIZE_MAX, NAN, NAN};
    double least = 1;
    for (size_t i = 0; i < grid->n; i++) {
        double forget, side_effect;
        unlearn_cell_accuracy(&grid->cells[i], sets, n_sets, &forget, &side_effect);
        if (!(side_effect >= UNLEARN_SIDE_EFFECT_BOUND))
            continue;
        if (ret.best == SIZE_MAX || forget < ret.forget) {
            ret.best = i;
            ret.forget = forget;
            ret.side_effect = side_effect;
        }
        least = forget < least ? forget : least;
    }
    ret.score = 1 - least;
    return ret;
}
