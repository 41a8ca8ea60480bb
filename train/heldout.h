/* SPDX-License-Identifier: MIT */
/* heldout : the last rows of the store, never trained on. */
#ifndef SAE_TRAIN_HELDOUT_H
#define SAE_TRAIN_HELDOUT_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/sae/ckpt.h"
#include "train/trainer.h"

enum {
    HELDOUT_MASK_ROWS = 2048, /* tokens whose masks a checkpoint keeps */
    HELDOUT_QUICK_ROWS = 512  /* rows looked at for a point of the series */
};

struct heldout {
    size_t n, d;
    const float *x; /* [n][d] in training units: raw / norm; borrowed */
    double norm;
    double *mean;   /* [d] scratch */
    uint8_t *alive; /* [m] scratch */
};

/* Sums in training units over `tokens` rows. */
struct heldout_sums {
    size_t tokens;
    double sq_error, norm_error, l0, l1, cossim, l2_ratio;
    double explained_variance, fraction_variance_explained, alive_share;
};

/* x [n][d] stays the caller's, and must stay. */
SAE_MUST_CHECK enum sae_status heldout_open(struct heldout *ret, size_t n, size_t d, const float *x,
                                            double norm, size_t m, struct sae_err *err);
void heldout_close(struct heldout *held);

/* Evaluates the first `rows` rows with the present weights. */
SAE_MUST_CHECK enum sae_status heldout_sums(struct heldout *held, struct trainer *t, size_t rows,
                                            struct heldout_sums *ret, struct sae_err *err);

/* Everything a checkpoint holds about the held-out rows: metrics (an object named by
 * sae_ckpt_metric_names, raw units) and masks (raw units; caller frees start, idx, val). */
SAE_MUST_CHECK enum sae_status heldout_checkpoint(struct heldout *held, struct trainer *t,
                                                  json_t **ret_metrics, struct sae_masks *ret_masks,
                                                  struct sae_err *err);

#endif /* SAE_TRAIN_HELDOUT_H */
