/* SPDX-License-Identifier: MIT */
/* plan : what one checkpoint will take. */
#ifndef SAE_ABSORB_PLAN_H
#define SAE_ABSORB_PLAN_H

#include "absorb/absorb.h"
#include "lib/cli/plan.h"

/* Fails: as absorb_truth_make and absorb_run, which are run on some words where the plan is asked for */
SAE_MUST_CHECK enum sae_status absorb_plan(struct sae_plan *plan, const struct sae_ckpt *ckpt,
                                           const struct sae_words *words,
                                           const struct absorb_settings *settings,
                                           const struct sae_ops *ops, struct sae_err *err);

#endif /* SAE_ABSORB_PLAN_H */
