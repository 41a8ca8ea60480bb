/* SPDX-License-Identifier: MIT */
/* series : the table of a run, one point every log_every steps. */
#include "train/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

static const char *const column_names[SERIES_N] = {
#define X(name) #name,
    SERIES_COLUMNS(X)
#undef X
};

static enum sae_status reserve(struct series *series, size_t n, struct sae_err *err)
{
    if (n <= series->cap && series->column[0])
        return SAE_OK;
    size_t cap = 0;
    for (size_t c = 0; c < SERIES_N; c++) {
        cap = series->cap;
        SAE_TRY(sae_mem_grow(&series->column[c], &cap, n, sizeof(double), err));
    }
    series->cap = cap;
    return SAE_OK;
}

/* A term that acts on every n-th step, n times as strongly, is recorded with its mean weight: the loss
 * does not jump with the steps that fall on a point. */
static double even_loss(const struct step_stats *s)
{
    const double acted = s->orth_weight > 0 ? s->orth_weight * s->orth : 0,
                 mean = isfinite(s->orth) ? s->lambda2 * s->orth : 0;
    return s->loss - acted + mean;
}

enum sae_status series_add(struct series *series, const struct trainer *t,
                           const struct step_stats *s, struct sae_err *err)
{
    SAE_TRY(reserve(series, series->n + 1, err));
    const double point[SERIES_N] = {
        [SERIES_step] = (double)t->step,
        [SERIES_tokens] = (double)t->step * (double)t->n,
        [SERIES_progress] = (double)t->step / (double)t->set.steps,
        [SERIES_lr] = s->lr,
        [SERIES_k] = (double)s->k,
        [SERIES_loss] = t->set.orth == ORTH_ORTSAE ? even_loss(s) : s->loss,
        [SERIES_loss_recon] = s->recon,
        [SERIES_loss_sparse] = s->sparse,
        [SERIES_sparse_weight] = s->sparse_weight,
        [SERIES_lp] = s->lp,
        [SERIES_resampled] = s->resampled,
        [SERIES_loss_aux] = s->aux,
        [SERIES_loss_orth] = s->orth,
        [SERIES_lambda2] = s->lambda2,
        [SERIES_tau] = s->tau,
        [SERIES_l0] = s->l0,
        [SERIES_dead] = s->dead,
        [SERIES_explained_variance] = s->explained_variance,
        [SERIES_competing_pairs] = s->n_pairs,
        [SERIES_mean_abs_cos] = s->mean_abs_cos,
        [SERIES_max_abs_cos] = s->max_abs_cos,
        [SERIES_grad_norm] = s->grad_norm,
        [SERIES_grad_recon] = s->grad_recon,
        [SERIES_grad_orth] = s->grad_orth,
        [SERIES_grad_cos] = s->grad_cos,
        [SERIES_oversuppressed] = s->oversuppressed,
        [SERIES_heldout_recon] = NAN,
        [SERIES_heldout_explained_variance] = NAN,
        [SERIES_heldout_l0] = NAN,
    };
    for (size_t c = 0; c < SERIES_N; c++)
        series->column[c][series->n] = point[c];
    series->n++;
    return SAE_OK;
}

double series_last(const struct series *series, enum series_column column)
{
    return series->n ? series->column[column][series->n - 1] : NAN;
}

void series_view(const struct series *series, struct sae_series *ret, char **names, double **values)
{
    for (size_t c = 0; c < SERIES_N; c++) {
        names[c] = (char *)(uintptr_t)column_names[c]; /* read only by its reader */
        values[c] = series->column[c];
    }
    *ret = (struct sae_series){
        .n_columns = SERIES_N, .n_points = series->n, .names = names, .values = values};
}

enum sae_status series_restore(struct series *series, const struct sae_ckpt *ckpt,
                               struct sae_err *err)
{
    SAE_TRY(reserve(series, ckpt->series.n_points + 1, err));
    for (size_t c = 0; c < SERIES_N; c++) {
        const double *const from = sae_ckpt_series(ckpt, column_names[c]);
        if (!from)
            return sae_err_set(err, SAE_EFORMAT, "'%s' lacks /series/%s", ckpt->path,
                               column_names[c]);
        memcpy(series->column[c], from, ckpt->series.n_points * sizeof *from);
    }
    series->n = ckpt->series.n_points;
    return SAE_OK;
}

void series_clear(struct series *series)
{
    for (size_t c = 0; c < SERIES_N; c++)
        free(series->column[c]);
    *series = (struct series){0};
}
