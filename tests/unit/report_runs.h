/* SPDX-License-Identifier: MIT */
/* report_runs : three small fabricated runs with results, for tests of sae-report. */
#ifndef SAE_TESTS_UNIT_REPORT_RUNS_H
#define SAE_TESTS_UNIT_REPORT_RUNS_H

#include <stdint.h>

#include "lib/base/err.h"

struct fake_run {
    const char *name; /* folder under dir */
    const char *orth; /* "none", "progressive" */
    uint64_t seed, k;
    double shift;     /* moves every number, so that runs differ in a known way */
    int percents[8];  /* -1 ends; of the checkpoints */
    int with_results; /* 0: checkpoints only */
};
/* Numbers of a phase (p percent): explained variance (80 + p/10) / 100 + shift; mean_max_cos
 * 0.5 - p/1000 - shift; top 1 accuracy 0.6 + p/1000 + shift; absorption A 0.05 - p/2500 - shift. */
SAE_MUST_CHECK enum sae_status fake_run_make(const char *dir, const struct fake_run *run,
                                             struct sae_err *err);

#endif /* SAE_TESTS_UNIT_REPORT_RUNS_H */
