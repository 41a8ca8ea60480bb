/* SPDX-License-Identifier: MIT */
/* plan : what measuring one checkpoint will take. */
#ifndef SAE_ANALYZE_PLAN_H
#define SAE_ANALYZE_PLAN_H

#include "analyze/analyze.h"
#include "lib/cli/plan.h"

/* Fails: SAE_ENOMEM; as analyze_spectrum_eigenvalues, which is run where the plan is asked for */
SAE_MUST_CHECK enum sae_status analyze_plan(struct sae_plan *plan, const struct sae_ckpt *ckpt,
                                            const struct sae_ops *ops,
                                            const struct analyze_settings *settings,
                                            struct sae_err *err);

#endif /* SAE_ANALYZE_PLAN_H */
