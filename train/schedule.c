/* SPDX-License-Identifier: MIT */
/* schedule : what changes on the way through a run. */
#include "train/trainer.h"

uint64_t trainer_k(const struct trainer *t)
{
    const double p = (double)t->step / (double)t->set.k_anneal;
    return sae_sched_k(t->set.k_start, t->set.k, p < 1 ? p : 1);
}

double trainer_tau(const struct trainer *t, double p)
{
    const double now = sae_sched_tau((enum sae_tau_schedule)t->set.threshold_schedule,
                                     t->set.base_threshold, p, t->set.threshold_floor);
    const double mu = t->set.threshold_momentum;
    return t->tau < 0 ? now : mu * t->tau + (1 - mu) * now;
}

void trainer_rule(const struct trainer *t, double tau, struct sae_compete_rule *ret)
{
    *ret = (struct sae_compete_rule){.overlap = (enum sae_overlap)t->set.overlap,
                                     .form = (enum sae_compete)t->set.competition,
                                     .sharpness = t->set.sharpness,
                                     .tau = tau,
                                     .min_count = t->set.min_count};
}
