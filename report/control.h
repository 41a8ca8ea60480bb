/* SPDX-License-Identifier: MIT */
/* control : trained runs against their controls (sae-train --freeze), whose directions are random. */
#ifndef SAE_REPORT_CONTROL_H
#define SAE_REPORT_CONTROL_H

#include "report/compare.h"

enum { REPORT_CONTROL_METRICS = 64 };

enum report_control_verdict {
    REPORT_BEATS,          /* better in one figure at least, worse in none */
    REPORT_BEATS_IN_PART,  /* better in some, worse in others */
    REPORT_DOES_NOT_BEAT,  /* better in none of those that were judged */
    REPORT_NOT_JUDGED,     /* no figure could be judged */
    REPORT_CONTROL_VERDICTS
};
extern const char *const report_control_verdict_names[REPORT_CONTROL_VERDICTS];

/* A group of seeds beside the group that is its control, at the last percent that both have. */
struct report_control {
    size_t group, control;
    const char *part; /* "decoder", "encoder", "soft" */
    int percent;      /* -1: none in common */
    enum report_control_verdict verdict;
    /* Main figures with a better direction. One counts as better or worse where its interval does not
     * hold 0 and it stands after Holm's correction for all that were judged here. */
    size_t n_judged;
    struct report_comparison of[REPORT_CONTROL_METRICS]; /* judged or not */
    bool counts[REPORT_CONTROL_METRICS];
    size_t n;
};
/* The next pair after (group, control) in *at, which begins as 0. False: there is none. */
bool report_control_next(const struct report *report, size_t *at, struct report_control *ret);

/* Whether an option says how the orthogonality term acts, which a frozen decoder cannot have. */
bool report_option_of_term(const char *name);

#endif /* SAE_REPORT_CONTROL_H */
