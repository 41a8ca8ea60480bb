/* SPDX-License-Identifier: MIT */
/* tally : counts and sums over pairs of latents that fired together. Pairs are shared out among
 * several, so that threads need not wait for each other, and these are added in order. */
#ifndef SAE_ANALYZE_TALLY_H
#define SAE_ANALYZE_TALLY_H

#include <stdint.h>

#include "analyze/hist.h"
#include "analyze/rule.h"
#include "lib/base/err.h"
#include "lib/math/compete.h"

enum {
    ANALYZE_N_COS = 80,    /* bins of the joint map over [-1, 1] */
    ANALYZE_N_OVERLAP = 40 /* over [0, 1] */
};
/* Bins of the histograms that percentiles are read from: a percentile is within one bin of the value
 * that has its rank. */
enum {
    ANALYZE_UNIT_BINS = 10000,  /* of an interval of length 1 */
    ANALYZE_DECADE_BINS = 1000, /* of log10, for lift and batch */
    ANALYZE_KEPT = 10           /* so many are added up into one of those that are kept and drawn */
};

struct analyze_pair {
    uint32_t i, j;
    double n_i, n_j, n_ij;
};

struct analyze_competing {
    double sum_c, loss, sum_abs, max_abs;
    uint64_t n;
};

/* Counts and sums over a part of the pairs. */
struct analyze_tally {
    uint64_t n_met, n_phi_over;
    double sum[SAE_OVERLAP_N], sum_phi, sum_pmi;
    double sx, sxx, sa, saa, sy, syy, sxy, say; /* x cos, a |cos|, y overlap */
    struct analyze_hist of[SAE_OVERLAP_N], phi, joint_cos;
    uint64_t *met;          /* [ANALYZE_N_OVERLAP][ANALYZE_N_COS] */
    double *abs_at_overlap; /* [ANALYZE_N_OVERLAP] */
    struct analyze_competing run, reference;
};

/* Fails: SAE_ENOMEM; cleared by analyze_tally_clear all the same */
SAE_MUST_CHECK enum sae_status analyze_tally_init(struct analyze_tally *ret, struct sae_err *err);
void analyze_tally_clear(struct analyze_tally *tally); /* accepts zeroed */
void analyze_tally_add(struct analyze_tally *to, const struct analyze_tally *from);

/* One pair of n_tokens tokens: what competes under each rule, and where both latents fire at least
 * `floor` times all else. */
struct analyze_tally_rules {
    double n_tokens, floor;
    const struct analyze_rule *run, *reference;
};
void analyze_tally_pair(struct analyze_tally *to, const struct analyze_tally_rules *rules,
                        const struct analyze_pair *pair, double cos);

#endif /* SAE_ANALYZE_TALLY_H */
