/* SPDX-License-Identifier: MIT */
/* results : runs that are known by their results alone. */
#ifndef SAE_REPORT_RESULTS_H
#define SAE_REPORT_RESULTS_H

#include "report/report.h"

/* Adds one result to the run `name` of a folder of results. What does not fit becomes a problem. */
SAE_MUST_CHECK enum sae_status report_result_add(struct report *report, const char *folder,
                                                 const char *name, enum sae_source source,
                                                 json_t *json, const char *path,
                                                 struct sae_err *err);
/* "topk SAE, m 16384, k 32, gemma-2-2b; results only, no checkpoint here" in new memory. */
SAE_MUST_CHECK enum sae_status report_result_describe(char **ret, const struct report_run *run,
                                                      struct sae_err *err);

#endif /* SAE_REPORT_RESULTS_H */
