/* SPDX-License-Identifier: MIT */
/* cooc : how latents share tokens, and how that goes together with their cosines, from the
 * held-out masks. Only pairs that fired together are visited; pairs that never did are counted
 * by difference. Formulas: docs/MATH.md, "Separation metrics". */
#ifndef SAE_ANALYZE_COOC_H
#define SAE_ANALYZE_COOC_H

#include <stddef.h>
#include <stdint.h>

#include "analyze/geom.h"
#include "analyze/hist.h"
#include "analyze/rule.h"
#include "analyze/usage.h"
#include "lib/base/err.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"
#include "lib/math/compete.h"

/* One normalisation, over the pairs that fired together. */
struct analyze_overlap {
    bool log10_bins; /* lift and batch: hist is over log10 of the value */
    struct analyze_hist hist;
    double mean, median, p95; /* over pairs that met */
    double mean_all;          /* over all pairs, 0 for those that never met */
    double expected;          /* of mean_all, if latents fired independently; NaN: no formula */
};

/* Cosine x overlap (n_ij / min) of the pairs that met, and cosines of those that never did. */
struct analyze_joint {
    size_t n_cos, n_overlap;
    uint64_t *met;    /* [n_overlap][n_cos] */
    double *never;    /* [n_cos] */
    double *mean_abs; /* [n_overlap] mean |cos| at that overlap, NaN where no pair is */
};

struct analyze_competition {
    struct analyze_rule rule;
    uint64_t n_pairs;            /* with c_ij > 0 */
    double mean_c, loss;         /* loss = sum c_ij |cos_ij|, before normaliser, weight */
    double normalised, weighted; /* by the rule's normaliser; times lambda2 */
    double mean_abs_cos, max_abs_cos;
};

struct analyze_cooc {
    uint64_t floor;
    size_t n_latents;                   /* that fire at least floor times */
    double n_pairs;                     /* of those */
    uint64_t n_met;                     /* pairs that fired together at least once */
    double share_never, expected_never; /* share of pairs that never met; if independent */
    struct analyze_overlap of[SAE_OVERLAP_N];
    double mean_phi, phi_p95, phi_over; /* over pairs that met; share of them with phi > 0.2 */
    double mean_pmi, pmi_p05, pmi_p95;  /* natural log of lift, over pairs that met */
    double corr_cos, corr_abs;          /* Pearson: overlap with cos, with |cos| (met pairs) */
    double abs_cos_met, abs_cos_never;  /* mean |cos|; the second by analyze_cooc_never */
    double sum_abs_met;                 /* sum of |cos| over pairs that met */
    struct analyze_joint joint;
    struct analyze_competition run, reference;
};

struct analyze_cooc_settings {
    uint64_t floor;
    struct analyze_rule run, reference;
};

/* U: host, unit decoder rows [m][d]. Fails: SAE_ENOMEM, SAE_EBACKEND */
SAE_MUST_CHECK enum sae_status
analyze_cooc_make(struct analyze_cooc *ret, const struct sae_ops *ops, size_t m, size_t d,
                  const float *U, const struct sae_masks *masks, const struct analyze_usage *usage,
                  const struct analyze_cooc_settings *settings, struct sae_err *err);
void analyze_cooc_clear(struct analyze_cooc *cooc);
/* Fills abs_cos_never. sum_abs: of |cos| over all pairs of latents that fire at least floor times. */
void analyze_cooc_never(struct analyze_cooc *cooc, double sum_abs);

/* phi = (N n_ij - n_i n_j) / sqrt(n_i n_j (N - n_i)(N - n_j)); 0 where a latent always fires. */
double analyze_phi(double N, double n_i, double n_j, double n_ij);

#endif /* SAE_ANALYZE_COOC_H */
