/* SPDX-License-Identifier: MIT */
/* resident : the step on a device that has memory of its own. Weights, moments, activations, masks
 * and counters stay there; the host starts operations and reads the numbers of a step one step
 * late.
 *
 * The arrays of struct trainer are the host's copy: true after trainer_fetch, which whoever reads
 * them calls first, and taken over by the first step after they were filled. */
#ifndef SAE_TRAIN_RESIDENT_H
#define SAE_TRAIN_RESIDENT_H

#include "train/trainer.h"

SAE_MUST_CHECK enum sae_status resident_open(struct resident **ret, const struct trainer *t,
                                             const struct sae_ops *device, struct sae_err *err);
void resident_close(struct resident *resident);
/* Bytes of the device that a run takes after it was opened, near enough to plan with: what operations
 * need for themselves, and lists that grow. */
double resident_later(const struct settings *set, const struct sae_ops *ops, size_t d);

/* As trainer_step and trainer_forward, but that ret has the numbers of the step before, where it
 * does not measure (of the first step: 0), and that a loss that is not finite is seen a step late;
 * that step and later ones until then changed nothing. there: x is in the memory of the device. */
SAE_MUST_CHECK enum sae_status resident_step(struct trainer *t, const float *x, bool there,
                                             bool measure, const struct step_stats *scheduled,
                                             struct step_stats *ret, struct sae_err *err);
SAE_MUST_CHECK enum sae_status resident_forward(struct trainer *t, const float *x, size_t rows,
                                                uint64_t k, struct sae_csr *csr,
                                                struct sae_err *err);
/* As trainer_look, after a fetch. */
SAE_MUST_CHECK enum sae_status resident_look(struct trainer *t, const float *x, bool there,
                                             struct sae_err *err);
SAE_MUST_CHECK enum sae_status resident_fetch(struct trainer *t, bool all, struct sae_err *err);
/* For tests: dense products of the kept entries, or sparse ones; by their share otherwise. */
SAE_MUST_CHECK enum sae_status resident_dense(struct trainer *t, bool dense, struct sae_err *err);

#endif /* SAE_TRAIN_RESIDENT_H */
