/* SPDX-License-Identifier: MIT */
/* notes : parts of the notes, one function a section; each prints nothing where it has nothing. */
#ifndef SAE_REPORT_NOTES_H
#define SAE_REPORT_NOTES_H

#include <stdio.h>

#include "lib/base/err.h"
#include "report/report.h"

void notes_heading(FILE *to, const char *title);
/* Distinct percents of all phases, ascending; n <= cap. Returns n. */
size_t notes_percents(const struct report *report, int *percents, size_t cap);
/* "topk SAE, m 64, k 32; orthogonality progressive, lambda2 max 0.1" in new memory. */
SAE_MUST_CHECK enum sae_status notes_describe(char **ret, const struct report_run *run,
                                              struct sae_err *err);

/* full: the numbers of every comparison, however many there are. */
SAE_MUST_CHECK enum sae_status notes_summary(const struct report *report, bool full, FILE *to,
                                             struct sae_err *err);
/* A line for each group of seeds that has a control. */
SAE_MUST_CHECK enum sae_status notes_controls(const struct report *report, FILE *to,
                                              struct sae_err *err);
/* The main figures, a column a group of seeds. */
SAE_MUST_CHECK enum sae_status notes_side_by_side(const struct report *report, FILE *to,
                                                  struct sae_err *err);
SAE_MUST_CHECK enum sae_status notes_what(const struct report *report, FILE *to,
                                          struct sae_err *err);
SAE_MUST_CHECK enum sae_status notes_settings(const struct report *report, FILE *to,
                                              struct sae_err *err);
SAE_MUST_CHECK enum sae_status notes_family(const struct report *report, enum sae_source source,
                                            FILE *to, struct sae_err *err);
bool notes_any_target(const struct report_baseline *baseline); /* whether it has a value of one */
SAE_MUST_CHECK enum sae_status notes_targets(const struct report *report, FILE *to,
                                             struct sae_err *err);
SAE_MUST_CHECK enum sae_status notes_differences(const struct report *report, FILE *to,
                                                 struct sae_err *err);
SAE_MUST_CHECK enum sae_status notes_seeds(const struct report *report, FILE *to,
                                           struct sae_err *err);
SAE_MUST_CHECK enum sae_status notes_grid(const struct report *report, FILE *to,
                                          struct sae_err *err);
/* `full`: of published rows the brief notes show few, and warn of those alone. */
SAE_MUST_CHECK enum sae_status notes_cautions(const struct report *report, bool full, FILE *to,
                                              struct sae_err *err);

/* "met", "missed" or "not measured" of a target at a value. */
const char *notes_verdict(const struct report_target *target, double value);
/* Metrics that the short summary, the differences and the grid show. */
#define NOTES_EACH_HEADLINE(m) \
    SAE_EACH_METRIC(m)         \
    if ((m)->column != NULL)
/* A metric's name that needs no table around it: "cosine to the nearest feature". */
const char *notes_full_name(const struct sae_metric *metric);

#endif /* SAE_REPORT_NOTES_H */
