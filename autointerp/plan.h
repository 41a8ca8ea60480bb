/* SPDX-License-Identifier: MIT */
/* plan : what one checkpoint will take on this machine. How fast the other model answers is not known
 * before it is asked, so the time of the whole is not either. */
#ifndef SAE_AUTOINTERP_PLAN_H
#define SAE_AUTOINTERP_PLAN_H

#include "autointerp/autointerp.h"
#include "lib/cli/plan.h"

SAE_MUST_CHECK enum sae_status autointerp_plan(struct sae_plan *plan, const struct sae_model *model,
                                               const struct sae_ops *ops,
                                               const struct autointerp_corpus *corpus,
                                               const struct autointerp_settings *settings,
                                               struct sae_err *err);

#endif /* SAE_AUTOINTERP_PLAN_H */
