/* SPDX-License-Identifier: MIT */
/* plan : what probing one labelled set under one checkpoint will take; adds its stages. */
#ifndef SAE_PROBE_PLAN_H
#define SAE_PROBE_PLAN_H

#include "lib/cli/plan.h"
#include "probe/probe.h"

/* Fails: as sae_labels_open, sae_task_plan_make, probe_scores_run */
SAE_MUST_CHECK enum sae_status probe_plan_set(struct sae_plan *plan, const char *path,
                                              const struct sae_model *model,
                                              const struct sae_ops *ops,
                                              const struct probe_settings *settings,
                                              struct sae_err *err);

#endif /* SAE_PROBE_PLAN_H */
