/* SPDX-License-Identifier: MIT */
/* ckpt : checkpoints, kind "checkpoint". Self-contained: sae-analyze run_2/ckpt_50.h5 needs no
 * other file.
 *
 *   attributes   arch (string), d, m, k, step, total_steps (u64), progress (f64, step/total),
 *                seed (u64); of SAEs from elsewhere also subtract_b_dec (u64, where it is not the
 *                architecture's rule) and norm (string, where there is one)
 *   /W_enc f32 [m][d]   /W_dec f32 [m][d] (unit rows)   /b_enc f32 [m]   /b_dec f32 [d]
 *   /threshold f32 [m]  where the architecture has one
 *   /b_gate /b_mag /r_mag f32 [m]   gated
 *   /series/<name> f64 [n]     the run's time series so far; /series/step is its axis
 *   /heldout/start u64 [B+1], /heldout/idx u32 [nnz], /heldout/val f32 [nnz]
 *                              latents active on a fixed held-out batch, CSR by token
 *   attributes of /heldout     its metrics: loss, explained_variance, l0, ... (those measured)
 *   /pairs/i, /pairs/j u32 [P], /pairs/kind u8 [P] (0 competitor, 1 co-active, 2 never together),
 *   /pairs/c, /pairs/nhat, /pairs/cos f32 [n_logged][P], /pairs/step f64 [n_logged]
 *   /optimizer/..., /state/...  what an exact resume needs (written and read by train)
 *   /record                    options of the run: options.orth, options.lambda2-max, ... */
#ifndef SAE_LIB_SAE_CKPT_H
#define SAE_LIB_SAE_CKPT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/sae/model.h"

/* Sparse rows on the host: latents active on each token. idx ascends within a row. */
struct sae_masks {
    size_t n_rows;   /* tokens */
    uint64_t *start; /* [n_rows+1] */
    uint32_t *idx;
    float *val;
};

struct sae_series {
    size_t n_columns, n_points;
    char **names;    /* without "/series/" */
    double **values; /* [n_columns][n_points] */
};

struct sae_ckpt {
    char *path;
    char id[65];
    struct sae_model model;
    uint64_t step, total_steps, seed;
    double progress;
    json_t *record;
    json_t *heldout_metrics; /* {name: number} */
    struct sae_masks heldout;
    struct sae_series series;
    struct {
        size_t n, n_logged;
        uint32_t *i, *j;
        uint8_t *kind;
        float *c, *nhat, *cos; /* [n_logged][n] */
        double *step;          /* [n_logged] */
    } pairs;
};

/* Loads all but optimiser and state. model.d etc. are checked against the arrays.
 * Fails: SAE_EIO, SAE_EFORMAT (kind, shapes, NaN weights), SAE_EVERSION, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_ckpt_load(struct sae_ckpt *ret, const char *path,
                                             struct sae_err *err);
/* Likewise from an open file (lib/file/h5.h). */
struct sae_h5;
SAE_MUST_CHECK enum sae_status sae_ckpt_get(struct sae_ckpt *ret, const struct sae_h5 *file,
                                            struct sae_err *err);
void sae_ckpt_clear(struct sae_ckpt *ckpt); /* accepts zeroed */

/* A series column by name, NULL where absent. */
const double *sae_ckpt_series(const struct sae_ckpt *ckpt, const char *name);

/* Held-out metrics a file may hold as attributes of /heldout; NULL-terminated. Those that were not
 * measured are absent. Meaning: docs/FORMATS.md. */
extern const char *const sae_ckpt_metric_names[];

/* --- writing ------------------------------------------------------------------------------ */

/* Puts everything of `ckpt` but path, id and record into a file that sae_h5_create began; the
 * caller may add groups of its own (/optimizer, /state) before it commits. */
SAE_MUST_CHECK enum sae_status sae_ckpt_put(struct sae_h5 *file, const struct sae_ckpt *ckpt,
                                            struct sae_err *err);
/* A whole checkpoint without optimiser and state: begins, puts, commits with ckpt->record. */
SAE_MUST_CHECK enum sae_status sae_ckpt_save(const char *path, const struct sae_ckpt *ckpt,
                                             bool force, struct sae_err *err);

#endif /* SAE_LIB_SAE_CKPT_H */
