/* SPDX-License-Identifier: MIT */
/* trainer : one sparse autoencoder under training. Knows no file; equations: docs/MATH.md.
 *
 * Order of a step (that of the 2025 dictionary_learning trainers):
 *   loss, gradients, orthogonality gradient, projection of the decoder gradient, clipping
 *   (where the architecture has it), Adam, unit decoder rows.
 * The files of the step share inner.h. */
#ifndef SAE_TRAIN_TRAINER_H
#define SAE_TRAIN_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"
#include "lib/math/compete.h"
#include "train/arch/arch.h"
#include "train/settings.h"

/* All parameters in one array, so that clipping and Adam see one vector. */
struct params {
    size_t n;
    float *all;
    float *W_enc, *W_dec; /* [m][d] views */
    float *b_enc, *b_dec; /* [m], [d] views; gated: b_enc is b_gate */
    float *b_mag, *r_mag; /* [m] gated only */
    float *theta;         /* [m] jumprelu only */
};

/* The arrays by name, those of every architecture first. cols 0: one dimension. */
struct param_array {
    const char *name;
    float *data;
    size_t rows, cols;
};
enum { PARAM_ARRAYS = TRAIN_ARRAYS };

/* Masks of one batch, by token and by latent. */
struct masks {
    struct sae_csr csr;
    struct sae_csc csc;
    bool valid;
};

/* The sparsity term of lp.c: exponent now, the next one (0: not known yet), weight, and the means
 * of both over the last batches, oldest first. */
enum { LP_KEPT = 10 };
struct lp {
    double p, p_next, weight;
    uint64_t updates;
    size_t n_kept;
    double kept[LP_KEPT], kept_next[LP_KEPT];
};

/* What one step did. NaN where not measured. */
struct step_stats {
    double p, lr, lambda2, tau;
    uint64_t k;
    /* aux: AuxK, or the loss of the gate; orth: L_orth after its normaliser; unweighted */
    double loss, recon, sparse, aux, orth;
    double orth_weight; /* of the term in this step; lambda2 but for ortsae */
    double l0, dead;
    double sparse_weight; /* of `sparse` in this step */
    double lp;            /* exponent of the sparsity term; NaN where it has none */
    double resampled;     /* latents that started anew */
    double grad_norm; /* of all parameters, after projection, before clipping */
    /* only when asked to measure */
    double explained_variance;
    double n_pairs, mean_abs_cos, max_abs_cos;
    double grad_recon, grad_orth, grad_cos, oversuppressed;
};

/* What a forward pass gives, on the host: borrowed until the next step or pass. */
struct forward_view {
    const float *xhat; /* [rows][d] */
    const struct sae_csr *csr;
};

struct trainer {
    struct settings set; /* resolved; `checkpoints` is not used */
    const struct train_arch *arch;
    const struct sae_ops *ops; /* for arrays on the host */
    size_t n, d, m, k_max;     /* n: tokens in a batch */
    uint64_t step;             /* updates done */
    double cut;                /* batchtopk, matryoshka: averaged threshold of inference; < 0 before there is one */
    double tau;                /* of the last step, for the momentum; < 0 before the first */
    struct lp lp;              /* where settings_has_lp */

    /* On the host: true after trainer_fetch. Where the backend is the host these are the arrays of
     * the step, else copies that the first step after they were filled takes over. */
    struct params w, m1, m2;
    float *start;              /* [m][d] --freeze soft: the decoder's first rows; else NULL */
    uint64_t *idle;          /* [m] tokens since each latent was active */
    struct masks *ring;      /* [ring_len] batch of step s is at s % ring_len */
    size_t ring_len;
    const struct masks *now; /* of trainer_masks_on; NULL: so many are active that masks are not made */
    double *partners;        /* with the term: competing partners of each of n_tiles runs of latents, */
    size_t n_tiles;          /* [2][n_tiles], of the last two steps by parity; < 0: not known */

    struct work *work; /* arrays of a step: inner.h */
};

/* set: resolved. Weights are zero; see trainer_init. Fails: SAE_EARG, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status trainer_open(struct trainer **ret, const struct settings *set,
                                            const struct sae_ops *ops, size_t d,
                                            struct sae_err *err);
void trainer_close(struct trainer *t);

/* p: w, m1 or m2 */
size_t trainer_params(const struct trainer *t, const struct params *p,
                      struct param_array ret[PARAM_ARRAYS]);

/* Random weights, and what --freeze holds them to; x [n][d] is the first batch, on the host (with k: b_dec starts at its geometric
 * median). */
void trainer_init(struct trainer *t, const float *x);
/* Geometric median of n rows (Weiszfeld, at most 100 rounds). */
void trainer_median(size_t n, size_t d, const float *x, float *ret);

/* One update on x [n][d], in memory of the backend. ret may be NULL. measure: fill the expensive
 * statistics too; it never changes the update. A backend whose numbers come late (struct sae_ops)
 * gives those of the step before, where it does not measure (of the first step: 0), and a loss that
 * is not finite is seen a step late.
 * Fails: SAE_ERANGE the loss is not finite: t->step is that step; it and later ones updated nothing.
 * SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status trainer_step(struct trainer *t, const float *x, bool measure,
                                            struct step_stats *ret, struct sae_err *err);
/* Rows of the host in memory of the backend, until the next: x itself, where that is the host's. */
const float *trainer_batch(struct trainer *t, const float *x, size_t rows);

/* Forward pass of inference alone over rows <= n of x, on the host (batchtopk: by threshold).
 * Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status trainer_forward(struct trainer *t, const float *x, size_t rows,
                                               uint64_t k, struct forward_view *ret,
                                               struct sae_err *err);
uint64_t trainer_k(const struct trainer *t); /* k at the present step */
/* Between two updates: makes t->now the masks that an update on x [n][d], in memory of the backend,
 * would count with the present weights, and the host's decoder the present one. Changes nothing of a
 * run. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status trainer_masks_on(struct trainer *t, const float *x, struct sae_err *err);
/* Before weights, moments, counters or masks are read: makes the host's copy that of the backend.
 * all false: the decoder and the masks alone. */
SAE_MUST_CHECK enum sae_status trainer_fetch(struct trainer *t, bool all, struct sae_err *err);

/* Sum over n rows of |v - mean v|^2, v = x - minus (minus may be NULL). mean [d] is filled. */
double trainer_spread(size_t n, size_t d, const float *x, const float *minus, double *mean);

/* Without the term pairs are only looked at; masks that meet more often (sum of l0^2) are then not worth
 * it. */
#define TRAINER_COACTIVATIONS_MAX 5e8

/* After trainer_masks_on: the batches that an update would count, newest first, t->now the newest; borrowed
 * until the next step. n_batches may be 0. */
void trainer_masks_now(struct trainer *t, struct sae_overlap_masks *ret);
/* Sum over tokens of l0^2: the pairs that overlap counting walks through. */
double trainer_coactivations(const struct sae_overlap_masks *masks);
void trainer_rule(const struct trainer *t, double tau, struct sae_compete_rule *ret);
double trainer_tau(const struct trainer *t, double p); /* with momentum; leaves t->tau */

/* For a resume: room for the entries of a mask slot on the host, which then is completed; exponents
 * of the sparsity term at t->step (weight and means are the caller's). */
SAE_MUST_CHECK enum sae_status trainer_csr_grow(struct trainer *t, struct sae_csr *csr, size_t cap,
                                                struct sae_err *err);
SAE_MUST_CHECK enum sae_status trainer_masks_index(struct trainer *t, struct masks *masks,
                                                   struct sae_err *err);
void lp_resume(struct trainer *t);

#endif /* SAE_TRAIN_TRAINER_H */
