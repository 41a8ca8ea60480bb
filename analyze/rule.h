/* SPDX-License-Identifier: MIT */
/* rule : which competition rule held in a run at a checkpoint's progress, from its record. */
#ifndef SAE_ANALYZE_RULE_H
#define SAE_ANALYZE_RULE_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/sae/ckpt.h"
#include "lib/math/compete.h"
#include "lib/sae/sched.h"

enum analyze_normaliser { ANALYZE_SUM, ANALYZE_MEAN, ANALYZE_LATENT };

struct analyze_rule {
    struct sae_compete_rule compete; /* tau is the threshold at this progress */
    double tau0;
    enum sae_tau_schedule schedule;
    double lambda2; /* weight at this progress; 0 without orthogonality */
    enum analyze_normaliser normaliser;
    bool recorded; /* false: the run had no orthogonality, these are the defaults */
};

/* The defaults used to compare any two checkpoints: overlap, linear, tau0 0.1 constant,
 * min_count 2, sum. */
struct analyze_rule analyze_rule_reference(void);

/* From the recorded options of sae-train: orth, lambda2-max, gamma, base-threshold,
 * threshold-schedule, threshold-floor, overlap, competition, sharpness, min-count,
 * orth-normalizer; with a threshold momentum, tau is the last one logged. Where orth is absent or
 * "none": the reference, recorded false. */
struct analyze_rule analyze_rule_of(const struct sae_ckpt *ckpt);

#endif /* SAE_ANALYZE_RULE_H */
