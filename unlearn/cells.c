/* SPDX-License-Identifier: MIT */
/* cells : one SAE through the grid of settings. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "unlearn/group.h"

/* Which selected latents fire where, under every threshold. */
struct fired {
    size_t n_thresholds, n_prompts;
    struct unlearn_fired **v; /* [n_thresholds * n_prompts] */
    size_t *n, *cap;
};

static void fired_clear(struct fired *f)
{
    for (size_t i = 0; f->v != NULL && i < f->n_thresholds * f->n_prompts; i++)
        free(f->v[i]);
    free(f->v);
    free(f->n);
    free(f->cap);
}

/* Position 0, BOS, is never touched. */
static enum sae_status note_fired(struct fired *f, size_t prompt, const struct sae_csr *codes,
                                  const struct unlearn_grid *grid, uint32_t *const *rank,
                                  size_t n_tokens, struct sae_err *err)
{
    for (size_t t = 0; t < f->n_thresholds; t++) {
        const size_t at = t * f->n_prompts + prompt;
        for (size_t row = 0; row < n_tokens; row++)
            for (size_t e = codes->start[row]; e < codes->start[row + 1]; e++) {
                const uint32_t r = rank[t][codes->idx[e]];
                if (r >= grid->n_selected[t])
                    continue;
                SAE_TRY(sae_mem_grow(&f->v[at], &f->cap[at], f->n[at] + 1, sizeof **f->v, err));
                f->v[at][f->n[at]++] = (struct unlearn_fired){(uint32_t)row + 1, r, codes->val[e]};
            }
    }
    return SAE_OK;
}

static enum sae_status find_fired(struct fired *f, struct unlearn_group *g,
                                  const struct sae_model *model, const struct unlearn_grid *grid,
                                  struct sae_err *err)
{
    const size_t d = model->d, n_all = grid->n_thresholds * g->prompts.n;
    struct sae_coder *coder = NULL;
    uint32_t **rank = NULL;
    float *x = NULL;
    size_t longest = 1;
    struct sae_progress bar;
    enum sae_status st;
    *f = (struct fired){.n_thresholds = grid->n_thresholds, .n_prompts = g->prompts.n};
    for (size_t i = 0; i < g->prompts.n; i++)
        longest = g->prompts.v[i].n > longest ? g->prompts.v[i].n : longest;
    SAE_GO(st, sae_mem_alloc(&f->v, n_all, sizeof *f->v, err));
    SAE_GO(st, sae_mem_alloc(&f->n, n_all, sizeof *f->n, err));
    SAE_GO(st, sae_mem_alloc(&f->cap, n_all, sizeof *f->cap, err));
    SAE_GO(st, sae_mem_alloc(&x, longest, d * sizeof *x, err));
    SAE_GO(st, sae_mem_alloc(&rank, grid->n_thresholds, sizeof(uint32_t *), err));
    for (size_t t = 0; t < grid->n_thresholds; t++) {
        SAE_GO(st, sae_mem_alloc(&rank[t], model->m, sizeof(uint32_t), err));
        memset(rank[t], 0xFF, model->m * sizeof(uint32_t));
        for (size_t r = 0; r < grid->n_selected[t]; r++)
            rank[t][grid->selected[t][r]] = (uint32_t)r;
    }
    SAE_GO(st, sae_coder_open(&coder, model, g->ops, longest, err));
    sae_progress_begin(&bar, "where latents fire", "prompts", 0, g->prompts.n);
    for (size_t i = 0; i < g->prompts.n; i++) {
        const struct sae_csr *codes = NULL;
        const struct unlearn_prompt *p = &g->prompts.v[i];
        if (sae_stop_asked()) {
            st = sae_err_set(err, SAE_EINTR, "stopped");
            goto done;
        }
        SAE_GO(st, unlearn_model_stream(g->model, p, x, err));
        SAE_GO(st, sae_coder_encode(coder, x + d, p->n - 1, &codes, err));
        SAE_GO(st, note_fired(f, i, codes, grid, rank, p->n - 1, err));
        sae_progress_step(&bar, i + 1, NULL);
    }
    sae_progress_end(&bar);
done:
    for (size_t t = 0; rank != NULL && t < grid->n_thresholds; t++)
        free(rank[t]);
    free(rank);
    free(x);
    sae_coder_close(coder);
    return st;
}

/* Counts right answers from the prompts' scores, edited where there are such. */
static void count_right(struct unlearn_cell *cell, const struct unlearn_group *g,
                        double *const *score)
{
    const bool cloze = g->speech.form == UNLEARN_CLOZE;
    memset(cell->right, 0, g->task.n_sets * sizeof *cell->right);
    for (size_t i = 0; i < g->prompts.n;) {
        const struct unlearn_prompt *p = &g->prompts.v[i];
        const struct unlearn_question *q = &g->task.sets[p->set].v[p->question];
        double s[UNLEARN_MAX_CHOICES];
        for (size_t k = 0; k < q->n_choices; k++)
            s[k] = cloze ? score[i + k][0] : score[i][k];
        cell->right[p->set] += unlearn_best(s, q->n_choices) == q->answer;
        i += cloze ? q->n_choices : 1;
    }
}

static enum sae_status run_cell(struct unlearn_cell *cell, size_t threshold,
                                struct unlearn_group *g, const struct sae_model *model,
                                const struct unlearn_grid *grid, const struct fired *fired,
                                double *const *score, struct sae_err *err)
{
    const size_t from = threshold * fired->n_prompts;
    const struct unlearn_edit edit = {.W_dec = model->W_dec,
                                      .latents = grid->selected[threshold],
                                      .n_latents = cell->n_used,
                                      .multiplier = cell->multiplier,
                                      .fired = (const struct unlearn_fired *const *)fired->v + from,
                                      .n_fired = fired->n + from,
                                      .d = model->d};
    for (size_t i = 0; i < g->prompts.n; i++)
        memcpy(score[i], g->prompts.v[i].score, g->prompts.v[i].n_scores * sizeof **score);
    SAE_TRY(unlearn_model_edited(g->model, &g->prompts, &edit, score, err));
    count_right(cell, g, score);
    cell->done = true;
    return SAE_OK;
}

enum sae_status unlearn_group_cells(struct unlearn_grid *grid, struct unlearn_partial *partial,
                                    struct unlearn_group *g, const struct sae_model *model,
                                    struct sae_err *err)
{
    const size_t n_sets = g->task.n_sets, a_threshold = grid->n / grid->n_thresholds;
    struct fired fired = {0};
    double **score = NULL;
    size_t n_done = 0;
    struct sae_progress bar;
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < grid->n; i++) {
        unlearn_partial_take_cell(partial, &grid->cells[i], n_sets);
        n_done += grid->cells[i].done;
    }
    if (n_done > 0)
        sae_log_info("%zu of %zu settings were finished before, in '%s'", n_done, grid->n,
                     partial->path);
    if (n_done == grid->n)
        return SAE_OK;
    SAE_GO(st, find_fired(&fired, g, model, grid, err));
    SAE_GO(st, sae_mem_alloc(&score, g->prompts.n, sizeof *score, err));
    for (size_t i = 0; i < g->prompts.n; i++)
        SAE_GO(st, sae_mem_alloc(&score[i], g->prompts.v[i].n_scores, sizeof **score, err));
    sae_progress_begin(&bar, "grid", "settings", n_done, grid->n);
    for (size_t i = 0; i < grid->n; i++) {
        struct unlearn_cell *cell = &grid->cells[i];
        unlearn_partial_take_cell(partial, cell, n_sets); /* an equal one may be there now */
        if (!cell->done) {
            SAE_GO(st, run_cell(cell, i / a_threshold, g, model, grid, &fired, score, err));
            SAE_GO(st, unlearn_partial_add_cell(partial, cell, n_sets, err));
        }
        sae_progress_step(&bar, i + 1 > n_done ? i + 1 : n_done, NULL);
    }
    sae_progress_end(&bar);
done:
    for (size_t i = 0; score != NULL && i < g->prompts.n; i++)
        free(score[i]);
    free(score);
    fired_clear(&fired);
    return st;
}
