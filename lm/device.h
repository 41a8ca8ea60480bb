/* SPDX-License-Identifier: MIT */
/* device : the forward pass on a device, behind sae_lm_run of a model that was placed there. The
 * model owns the weights on the device; a run owns the stream and all other arrays of a batch.
 * forward.c has checked ids, layers and rows. */
#ifndef SAE_LM_DEVICE_H
#define SAE_LM_DEVICE_H

#include "lib/math/lm.h"
#include "lm/model.h"
#include "lm/route.h"

struct sae_lm_device;
void sae_lm_device_close(struct sae_lm_device *device); /* accepts NULL */

/* One run's arrays. cosines, sines: host [T_max][head_dim / 2]. Fails: SAE_ENOMEM, with sizes */
struct sae_lm_pass;
SAE_MUST_CHECK enum sae_status sae_lm_pass_open(struct sae_lm_pass **ret,
                                                struct sae_lm_device *device, size_t n_max,
                                                size_t T_max, const float *cosines,
                                                const float *sines, struct sae_err *err);
void sae_lm_pass_close(struct sae_lm_pass *pass);    /* accepts NULL */
void sae_lm_pass_may_stop(struct sae_lm_pass *pass); /* as sae_lm_run_may_stop, between layers */

/* As sae_lm_tap_all ... sae_lm_compare; all may fail as the device does (SAE_EBACKEND, SAE_ENOMEM).
 * x: the stream that the pass begins with; what a branch gives is in the route. */
SAE_MUST_CHECK enum sae_status sae_lm_pass_tap(struct sae_lm_pass *pass, const uint32_t *ids,
                                               size_t B, size_t T, const struct sae_lm_route *route,
                                               struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_lm_pass_resume(struct sae_lm_pass *pass, const float *x,
                                                  size_t B, size_t T,
                                                  const struct sae_lm_route *route,
                                                  struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_lm_pass_final(const struct sae_lm_pass *pass, size_t first,
                                                 size_t n, float *y, struct sae_err *err);
void sae_lm_pass_put_final(struct sae_lm_pass *pass, const float *y, size_t n);
/* rows NULL: first, first + 1 ... */
SAE_MUST_CHECK enum sae_status sae_lm_pass_logits(struct sae_lm_pass *pass, const size_t *rows,
                                                  size_t first, size_t n, float *logits,
                                                  struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_lm_pass_set_reference(struct sae_lm_pass *pass, size_t n,
                                                         const uint32_t *target, double *ce,
                                                         struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_lm_pass_compare(struct sae_lm_pass *pass, size_t n,
                                                   const uint32_t *target, double *ce, double *kl,
                                                   struct sae_err *err);

#endif /* SAE_LM_DEVICE_H */
