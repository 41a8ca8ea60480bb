/* SPDX-License-Identifier: MIT */
/* series : the time series of a run, and the trajectories of representative pairs. */
#ifndef SAE_TRAIN_SERIES_H
#define SAE_TRAIN_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/sae/ckpt.h"
#include "train/trainer.h"

/* Columns in the order they are written. */
#define SERIES_COLUMNS(X)                                                                          \
    X(step)     /* updates done */                                                                 \
    X(tokens)   /* activations seen */                                                             \
    X(progress) /* step / total steps */                                                           \
    X(lr)                                                                                          \
    X(k)                                                                                           \
    X(loss)        /* all parts, weighted */                                                       \
    X(loss_recon)  /* mean |x - xhat|^2 (standard-2024: |x - xhat|) */                             \
    X(loss_sparse) /* mean sum of activations (gated: of the gate); (L0 / target - 1)^2 */         \
    X(sparse_weight) /* of loss_sparse in this step */                                             \
    X(lp)            /* exponent of the sparsity term; NaN where it has none */                    \
    X(resampled)     /* latents that started anew in this step */                                  \
    X(loss_aux)    /* AuxK, or the loss of the gate, unweighted */                                 \
    X(loss_orth)   /* L_orth after its normaliser, unweighted */                                   \
    X(lambda2)                                                                                     \
    X(tau)                                                                                         \
    X(l0)                                                                                          \
    X(dead)               /* latents not active in the last dead-after tokens */                   \
    X(explained_variance) /* of the batch */                                                       \
    X(competing_pairs)    /* pairs i < j with c_ij > 0 */                                          \
    X(mean_abs_cos)       /* over competing pairs */                                               \
    X(max_abs_cos)                                                                                 \
    X(grad_norm)  /* all parameters, before clipping */                                            \
    X(grad_recon) /* on W_dec, across the features */                                              \
    X(grad_orth)                                                                                   \
    X(grad_cos)       /* cosine of the last two */                                                 \
    X(oversuppressed) /* share of latents with orth gradient > recon gradient */                   \
    X(heldout_recon)  /* on the first held-out rows */                                             \
    X(heldout_explained_variance)                                                                  \
    X(heldout_l0)

enum series_column {
#define X(name) SERIES_##name,
    SERIES_COLUMNS(X)
#undef X
        SERIES_N
};

struct series {
    size_t n, cap;
    double *column[SERIES_N]; /* [cap] */
};

/* Appends one point: what the step did. Held-out columns are set by the caller (NaN here). */
SAE_MUST_CHECK enum sae_status series_add(struct series *series, const struct trainer *t,
                                          const struct step_stats *stats, struct sae_err *err);
double series_last(const struct series *series, enum series_column column); /* NaN if empty */
/* View for the checkpoint writer: *names and *values are arrays of SERIES_N. */
void series_view(const struct series *series, struct sae_series *ret, char **names,
                 double **values);
/* Takes over the points of a loaded checkpoint. Fails: SAE_EFORMAT a column is missing */
SAE_MUST_CHECK enum sae_status series_restore(struct series *series, const struct sae_ckpt *ckpt,
                                              struct sae_err *err);
void series_clear(struct series *series);

/* Representative pairs: of each kind up to `per_kind`.
 *   0 competitor   the largest c_ij |f_i . f_j| (the largest terms of L_orth) under the rule
 *   1 co-active    random among pairs active together on at least one token
 *   2 never        random pairs never active together, both active min-count times or more
 * Chosen once, before the first update where masks can be made, else at a later checkpoint; a pair
 * may be both 0 and 1. */
struct pair_log {
    size_t n, n_logged, cap;
    uint32_t *i, *j;
    uint8_t *kind;
    float *c, *nhat, *cos; /* [n_logged][n] */
    double *step;
};

/* Appends c, nhat and cos of every chosen pair, all three of this moment: the present weights, the
 * masks of x [n][d] (the batch of the last update; before the first, the first) under them, and the
 * threshold of the coming update. may_choose: chooses the pairs first, where that has not been done.
 * Nothing is added twice for one step. */
SAE_MUST_CHECK enum sae_status pair_log_add(struct pair_log *log, struct trainer *t, const float *x,
                                            bool may_choose, struct sae_err *err);
SAE_MUST_CHECK enum sae_status pair_log_restore(struct pair_log *log, const struct sae_ckpt *ckpt,
                                                struct sae_err *err);
void pair_log_clear(struct pair_log *log);

#endif /* SAE_TRAIN_SERIES_H */
