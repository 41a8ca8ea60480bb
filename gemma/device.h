/* SPDX-License-Identifier: MIT */
/* device : the forward pass on a device, behind gemma_run of a model that was placed there. The
 * model owns the weights on the device; a run owns the stream and all other arrays of a batch.
 * forward.c has checked ids, layers and rows. */
#ifndef SAE_GEMMA_DEVICE_H
#define SAE_GEMMA_DEVICE_H

#include "gemma/model.h"
#include "lib/math/lm.h"

struct gemma_device;
void gemma_device_close(struct gemma_device *device); /* accepts NULL */

/* One run's arrays. cosines, sines: host [T_max][head_dim / 2]. Fails: SAE_ENOMEM, with sizes */
struct gemma_pass;
SAE_MUST_CHECK enum sae_status gemma_pass_open(struct gemma_pass **ret, struct gemma_device *device,
                                               size_t n_max, size_t T_max, const float *cosines,
                                               const float *sines, struct sae_err *err);
void gemma_pass_close(struct gemma_pass *pass); /* accepts NULL */
void gemma_pass_may_stop(struct gemma_pass *pass); /* as gemma_run_may_stop, between layers */

/* As gemma_run_*; all may fail as the device does (SAE_EBACKEND, SAE_ENOMEM). */
SAE_MUST_CHECK enum sae_status gemma_pass_tap(struct gemma_pass *pass, const uint32_t *ids,
                                              size_t B, size_t T, size_t layer, float *x,
                                              struct sae_err *err);
SAE_MUST_CHECK enum sae_status gemma_pass_resume(struct gemma_pass *pass, const float *x, size_t B,
                                                 size_t T, size_t layer, struct sae_err *err);
SAE_MUST_CHECK enum sae_status gemma_pass_final(const struct gemma_pass *pass, size_t first,
                                                size_t n, float *y, struct sae_err *err);
void gemma_pass_put_final(struct gemma_pass *pass, const float *y, size_t n);
/* rows NULL: first, first + 1 ... */
SAE_MUST_CHECK enum sae_status gemma_pass_logits(struct gemma_pass *pass, const size_t *rows,
                                                 size_t first, size_t n, float *logits,
                                                 struct sae_err *err);
SAE_MUST_CHECK enum sae_status gemma_pass_set_reference(struct gemma_pass *pass, size_t n,
                                                        const uint32_t *target, double *ce,
                                                        struct sae_err *err);
SAE_MUST_CHECK enum sae_status gemma_pass_compare(struct gemma_pass *pass, size_t n,
                                                  const uint32_t *target, double *ce, double *kl,
                                                  struct sae_err *err);

#endif /* SAE_GEMMA_DEVICE_H */
