/* SPDX-License-Identifier: MIT */
/* sched : what changes with training progress p = step / total_steps, in [0, 1). */
#ifndef SAE_LIB_SAE_SCHED_H
#define SAE_LIB_SAE_SCHED_H

#include <stdint.h>

enum sae_tau_schedule { SAE_TAU_DOWN, SAE_TAU_UP, SAE_TAU_CONST, SAE_TAU_N };
extern const char *const sae_tau_names[SAE_TAU_N + 1]; /* "down", "up", "const", NULL */

/* tau0 (1 - p), tau0 (1 + p), tau0; never below floor (> 0). */
double sae_sched_tau(enum sae_tau_schedule schedule, double tau0, double p, double floor);
/* lambda2_max (1 - p)^gamma; gamma 0 is static. */
double sae_sched_lambda2(double lambda2_max, double gamma, double p);
/* Linear from k_start to k over the run, rounded to nearest; k where k_start is 0. */
uint64_t sae_sched_k(uint64_t k_start, uint64_t k, double p);
/* Factor of lr at step s (from 0): s/warmup before warmup (0 at s = 0), 1, then linear to 0 from
 * decay_start to total (decay_start >= total: none). */
double sae_sched_lr(uint64_t s, uint64_t warmup, uint64_t decay_start, uint64_t total);
/* min(s / warmup, 1); 1 where warmup is 0. */
double sae_sched_sparsity(uint64_t s, uint64_t warmup);

#endif /* SAE_LIB_SAE_SCHED_H */
