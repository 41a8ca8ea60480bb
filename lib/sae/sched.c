/* SPDX-License-Identifier: MIT */
/* sched : schedules of thresholds, weights, k and learning rate. Equations: docs/MATH.md. */
#include <math.h>
#include <stddef.h>

#include "lib/sae/sched.h"

const char *const sae_tau_names[SAE_TAU_N + 1] = {"down", "up", "const", NULL};

double sae_sched_tau(enum sae_tau_schedule schedule, double tau0, double p, double floor)
{
    double tau = tau0;
    if (schedule == SAE_TAU_DOWN)
        tau = tau0 * (1 - p);
    else if (schedule == SAE_TAU_UP)
        tau = tau0 * (1 + p);
    return tau > floor ? tau : floor;
}

double sae_sched_lambda2(double lambda2_max, double gamma, double p)
{
    if (gamma == 0) /* static also at p = 1, where 0^0 is a matter of taste */
        return lambda2_max;
    const double left = p < 1 ? 1 - p : 0;
    return lambda2_max * pow(left, gamma);
}

uint64_t sae_sched_k(uint64_t k_start, uint64_t k, double p)
{
    if (k_start == 0)
        return k;
    const double now = (double)k_start + ((double)k - (double)k_start) * p;
    return (uint64_t)floor(now + 0.5);
}

double sae_sched_lr(uint64_t s, uint64_t warmup, uint64_t decay_start, uint64_t total)
{
    if (s < warmup)
        return (double)s / (double)warmup;
    if (decay_start >= total || s < decay_start)
        return 1;
    return s < total ? (double)(total - s) / (double)(total - decay_start) : 0;
}

double sae_sched_sparsity(uint64_t s, uint64_t warmup)
{
    return s < warmup ? (double)s / (double)warmup : 1;
}
