/* SPDX-License-Identifier: MIT */
/* plan : what one labelled set under one SAE will take; adds its stages. */
#ifndef SAE_ABLATE_PLAN_H
#define SAE_ABLATE_PLAN_H

#include "ablate/ablate.h"
#include "lib/cli/plan.h"

/* scr, tpp: which evaluations are asked for; SCR needs a set with attributes. labels: open.
 * Fails: as sae_task_plan_make, ablate_probe_train */
SAE_MUST_CHECK enum sae_status ablate_plan_set(struct sae_plan *plan, struct sae_labels *labels,
                                               const struct sae_model *model,
                                               const struct sae_ops *ops,
                                               const struct ablate_settings *settings, bool scr,
                                               bool tpp, struct sae_err *err);

#endif /* SAE_ABLATE_PLAN_H */
