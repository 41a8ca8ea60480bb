/* SPDX-License-Identifier: MIT */
/* cost : what passes through a model take, for plans made before the work. */
#ifndef SAE_LM_COST_H
#define SAE_LM_COST_H

#include "lm/lm.h"

/* Bytes that sae_lm_run_open takes for such batches on the host, and that a pass holds besides; of a
 * small model, whose weights are held already, and of a large one with the weights of a layer. */
double sae_lm_run_bytes(const struct sae_lm *model, size_t n_max, size_t T_max);

/* Layers that run on from a hook, of which a part may be left out. */
double sae_lm_layers_from(const struct sae_lm *model, struct sae_hook hook);

/* Operations of one layer over n tokens in sequences of T (two for each weight and token, and those of
 * attention); of the logits of n rows. */
double sae_lm_layer_flops(const struct sae_lm *model, double n, size_t T);
double sae_lm_head_flops(const struct sae_lm *model, double n);

/* Seconds of the model at work on this machine. */
struct sae_lm_cost {
    const struct sae_lm *model;
    size_t n, T, rows;          /* tokens of a batch, of a sequence; rows of logits at a time */
    double layer, head;         /* of one layer over a batch; of the logits of those rows */
};
/* Runs one layer of a large model, all of a small one, over a batch of ids of no meaning, and the logits
 * of `rows` rows (0: none). Where its scratch does not fit the memory that is free, nothing is run and the
 * seconds are NaN. Fails: as sae_lm_run_open, sae_lm_tap, sae_lm_logits */
SAE_MUST_CHECK enum sae_status sae_lm_cost_measure(struct sae_lm_cost *ret, const struct sae_lm *model,
                                                   size_t n, size_t T, size_t rows,
                                                   struct sae_err *err);
/* Of `layers` layers over n tokens; of n rows of logits. */
double sae_lm_cost_layers(const struct sae_lm_cost *cost, double layers, double n);
double sae_lm_cost_head(const struct sae_lm_cost *cost, double n);

#endif /* SAE_LM_COST_H */
