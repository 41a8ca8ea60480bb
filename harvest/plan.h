/* SPDX-License-Identifier: MIT */
/* plan : what the parts of a harvest will take; each adds its stage. measured: by sae_lm_cost_measure, or
 * NaN where no time is asked for. */
#ifndef SAE_HARVEST_PLAN_H
#define SAE_HARVEST_PLAN_H

#include "harvest/labels.h"
#include "harvest/store.h"
#include "harvest/tap.h"
#include "harvest/words.h"
#include "lib/cli/plan.h"
#include "lm/cost.h"

SAE_MUST_CHECK enum sae_status harvest_plan_measure(struct sae_lm_cost *ret,
                                                    const struct harvest_tap *tap, size_t batch,
                                                    size_t context, bool logits,
                                                    struct sae_err *err);
void harvest_plan_store(struct sae_plan *plan, const struct sae_lm_cost *cost,
                        const struct harvest_store *stores, size_t n,
                        const struct harvest_store_settings *settings);
SAE_MUST_CHECK enum sae_status harvest_plan_labels(struct sae_plan *plan,
                                                   const struct sae_lm_cost *cost,
                                                   struct harvest_tap *const *taps, size_t n,
                                                   const char *source,
                                                   const struct harvest_labels_settings *settings,
                                                   struct sae_err *err);
SAE_MUST_CHECK enum sae_status harvest_plan_words(struct sae_plan *plan,
                                                  const struct sae_lm_cost *cost,
                                                  struct harvest_tap *const *taps, size_t n,
                                                  const struct harvest_words_settings *settings,
                                                  struct sae_err *err);

#endif /* SAE_HARVEST_PLAN_H */
