/* SPDX-License-Identifier: MIT */
/* trainer : one sparse autoencoder under training. Knows no file; equations: docs/MATH.md.
 *
 * Order of a step (that of the 2025 dictionary_learning trainers):
 *   loss, gradients, orthogonality gradient, projection of the decoder gradient, clipping
 *   (where the architecture has it), Adam, unit decoder rows.
 * Every array here is host memory; a device has arrays of its own (resident.h). */
#ifndef SAE_TRAIN_TRAINER_H
#define SAE_TRAIN_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"
#include "lib/math/compete.h"
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
    double sum, sum_next; /* over the tokens of this batch */
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

struct trainer {
    struct settings set; /* resolved; `checkpoints` is not used */
    const struct sae_ops *ops;
    size_t n, d, m, k_max; /* n: tokens in a batch */
    struct params w, g, m1, m2;
    uint64_t step;      /* updates done */
    double cut;         /* batchtopk, matryoshka: averaged threshold of inference; < 0 before there is one */
    float *theta;       /* [m] the same for each latent */
    uint64_t *idle;     /* [m] tokens since each latent was active */
    double tau;         /* of the last step, for the momentum; < 0 before the first */
    struct masks *ring; /* [ring_len] batch of step s is at s % ring_len */
    size_t ring_len;
    struct masks now;   /* of trainer_look */
    struct lp lp;           /* where settings_has_lp */
    struct sae_csr scratch; /* of resampling */

    float *xc, *xhat, *grad; /* [n][d] centered input, reconstruction, dL/dxhat */
    float *pre;              /* [n][m]; NULL for topk */
    float *room;             /* of encode_topk; NULL: it fits into g.all */
    float *proj;             /* [m] of the projection of the decoder's gradient */
    double *mean;            /* [d] scratch */
    float *dz;               /* [dz_cap] per entry */
    size_t dz_cap;
    float *block;     /* [BLOCK][m] dense gradients, where an architecture needs them */
    float *largest;   /* [m] scratch: largest activation of each latent in a dense batch */
    float *orth_grad; /* [m][d] for the monitors; NULL until first measured */
    struct auxk *auxk;
    struct gated *gated;             /* gated only */
    struct jump *jump;               /* jumprelu only */
    struct matry *matry;             /* matryoshka only */
    struct ortsae *ortsae;           /* --orth ortsae only */
    struct resident *resident;       /* where the backend is a device */
    double *partners; /* there, with the term: competing partners of each of n_tiles runs of latents, */
    size_t n_tiles;   /* [2][n_tiles], of the last two steps by parity; < 0: not known */
    size_t dense_share;              /* dense products above n m / this active entries; 1: never */
    bool dense;                      /* the last batch was too dense for sparse products */
    const struct sae_csr **csr_list; /* [ring_len], for sae_overlap_masks */
    const struct sae_csc **csc_list;
    double *weight_list;
};

/* set: resolved. Weights are zero; see trainer_init. ops of a device: steps and forward passes run
 * there, t->ops is the cpu's. Fails: SAE_EARG the device does not take these settings; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status trainer_open(struct trainer **ret, const struct settings *set,
                                            const struct sae_ops *ops, size_t d,
                                            struct sae_err *err);
void trainer_close(struct trainer *t);

/* Memory of a backend, freed as p->all, and the views of it that the architecture has. p: zeroed. */
SAE_MUST_CHECK enum sae_status trainer_params_open(struct params *p, const struct trainer *t,
                                                   const struct sae_ops *ops, struct sae_err *err);
size_t trainer_params(const struct trainer *t, const struct params *p,
                      struct param_array ret[PARAM_ARRAYS]);

/* Random weights; x [n][d] is the first batch (with k: b_dec starts at its geometric
 * median). */
void trainer_init(struct trainer *t, const float *x);
/* Geometric median of n rows (Weiszfeld, at most 100 rounds). */
void trainer_median(size_t n, size_t d, const float *x, float *ret);

/* One update on x [n][d]. ret may be NULL. measure: fill the expensive statistics too; it never
 * changes the update.
 * Fails: SAE_ERANGE the loss is not finite (nothing was updated); SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status trainer_step(struct trainer *t, const float *x, bool measure,
                                            struct step_stats *ret, struct sae_err *err);

/* The same of a trainer on a device (trainer_open), x in its memory. */
SAE_MUST_CHECK enum sae_status trainer_step_there(struct trainer *t, const float *x, bool measure,
                                                  struct step_stats *ret, struct sae_err *err);

/* Forward pass of inference alone over rows <= n (batchtopk: by threshold): fills t->pre, t->xhat
 * and `csr` (grown as needed). Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status trainer_forward(struct trainer *t, const float *x, size_t rows,
                                               uint64_t k, struct sae_csr *csr,
                                               struct sae_err *err);
uint64_t trainer_k(const struct trainer *t); /* k at the present step */
/* Between two updates: makes t->now the masks that an update on x [n][d] would count with the present
 * weights, and the host's decoder the present one. there: x is in the device's memory. t->now.valid
 * is false where so many latents are active that masks are not made. Changes nothing of a run.
 * Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status trainer_look(struct trainer *t, const float *x, bool there,
                                            struct sae_err *err);
/* Before weights, moments, counters or masks are read: makes the host's copy that of the device.
 * all false: the decoder and the masks alone. Nothing to do without one. */
SAE_MUST_CHECK enum sae_status trainer_fetch(struct trainer *t, bool all, struct sae_err *err);

/* Sum over n rows of |v - mean v|^2, v = x - minus (minus may be NULL). mean [d] is filled. */
double trainer_spread(size_t n, size_t d, const float *x, const float *minus, double *mean);

/* Without the term pairs are only looked at; masks that meet more often (sum of l0^2) are then not worth
 * it. */
#define TRAINER_MEETINGS_MAX 5e8

/* --- within train/ ------------------------------------------------------------------------ */

/* The batches that count now, newest first; borrowed until the next step. n_batches may be 0. */
void trainer_masks(struct trainer *t, struct sae_overlap_masks *ret);
/* Likewise after trainer_look, with t->now in place of the masks of the last update. */
void trainer_masks_now(struct trainer *t, struct sae_overlap_masks *ret);
/* Likewise from another ring and lists of ring_len. */
void trainer_masks_of(const struct trainer *t, const struct masks *ring,
                      const struct sae_csr **csr_list, const struct sae_csc **csc_list,
                      struct sae_overlap_masks *ret);
/* Sum over tokens of l0^2: the pairs that overlap counting walks through. */
double trainer_meetings(const struct sae_overlap_masks *masks);
void trainer_rule(const struct trainer *t, double tau, struct sae_compete_rule *ret);
SAE_MUST_CHECK enum sae_status trainer_csr_grow(struct trainer *t, struct sae_csr *csr, size_t cap,
                                                struct sae_err *err);
/* Completes a mask slot: its csc from its csr. */
SAE_MUST_CHECK enum sae_status trainer_masks_index(struct trainer *t, struct masks *masks,
                                                   struct sae_err *err);
double trainer_tau(const struct trainer *t, double p); /* with momentum; leaves t->tau */

/* Adds the orthogonality gradient to g.W_dec and fills its part of the statistics. */
SAE_MUST_CHECK enum sae_status trainer_orth(struct trainer *t, bool measure,
                                            struct step_stats *stats, struct sae_err *err);

/* Makes t->orth_grad. */
SAE_MUST_CHECK enum sae_status trainer_orth_room(struct trainer *t, struct sae_err *err);
/* Holds the gradient of the term [m][d] against g.W_dec without it, for the monitors. */
void trainer_compare(const struct trainer *t, const float *orth_grad, struct step_stats *stats);

/* OrtSAE, after trainer_orth: adds its gradient to g.W_dec and fills its part of the statistics. */
SAE_MUST_CHECK enum sae_status ortsae_open(struct ortsae **ret, const struct trainer *t,
                                           struct sae_err *err);
void ortsae_close(struct ortsae *ortsae);
SAE_MUST_CHECK enum sae_status ortsae_step(struct trainer *t, bool measure,
                                           struct step_stats *stats, struct sae_err *err);

/* The chunks of this step: [m] latents, chunk after chunk, in *ret_chunks even pieces; borrowed. */
const uint32_t *ortsae_order(const struct trainer *t, size_t *ret_chunks);

/* AuxK: revives dead latents on the residual. Adds its gradients to g. *ret: the loss. */
SAE_MUST_CHECK enum sae_status auxk_open(struct auxk **ret, struct sae_err *err);
void auxk_close(struct auxk *auxk, const struct sae_ops *ops);
SAE_MUST_CHECK enum sae_status auxk_step(struct trainer *t, const float *x, double *ret,
                                         struct sae_err *err);

/* Fails: SAE_ERANGE an update with a gradient of this norm would overflow the moments */
SAE_MUST_CHECK enum sae_status trainer_check_grad(const struct trainer *t, uint64_t step,
                                                  double norm, struct sae_err *err);

/* Loss of a reconstruction, mean over tokens; grad [n][d] receives its gradient. */
double trainer_loss(const struct trainer *t, const float *x, const float *xhat, float *grad);

/* Sparsity with an exponent. dz: plus weight times the slope where f > 0, else 0. */
void lp_slopes(const struct trainer *t, size_t n, const float *f, double weight, float *dz);
void lp_begin(struct trainer *t);                         /* of a batch */
void lp_add(struct trainer *t, size_t n, const float *f); /* the activations of one token */
/* After the batch, in this order; lp_move where the exponent moves after this step. */
void lp_remember(struct trainer *t);
bool lp_moves(const struct trainer *t, uint64_t step);
void lp_move(struct trainer *t);
void lp_resume(struct trainer *t); /* exponents at t->step; weight and means are the caller's */

/* Dead latents start anew on rows of x. Uses t->pre and t->xhat. *ret: how many. */
SAE_MUST_CHECK enum sae_status resample_step(struct trainer *t, const float *x,
                                             struct sae_csr *scratch, size_t *ret,
                                             struct sae_err *err);

/* Gated: t->pre holds u throughout. */
SAE_MUST_CHECK enum sae_status gated_open(struct gated **ret, const struct trainer *t,
                                          struct sae_err *err);
void gated_close(struct gated *gated, const struct sae_ops *ops);
/* Activations of the first rows (csr is grown as needed). */
SAE_MUST_CHECK enum sae_status gated_select(struct trainer *t, size_t rows, struct sae_csr *csr,
                                            struct sae_err *err);
/* Fills t->xhat and t->largest. Returns the active entries; *ret_gate: mean sum of f_gate (or S_p). */
size_t gated_forward(struct trainer *t, double *ret_gate);
double gated_loss(struct trainer *t, const float *x); /* of the gate; keeps its gradient */
/* l1: weight of the sparsity term over n. All gradients but that of b_dec. Returns the sum of du over tokens, [m]. */
const float *gated_backward(struct trainer *t, float l1);

double matry_weight(const struct settings *set); /* of the loss of each prefix */
/* Matryoshka: call in this order. */
SAE_MUST_CHECK enum sae_status matry_open(struct matry **ret, const struct trainer *t,
                                          struct sae_err *err);
void matry_close(struct matry *matry, const struct sae_ops *ops);
/* Reconstructions of all prefixes from the kept entries; t->xhat is that of the whole. */
SAE_MUST_CHECK enum sae_status matry_forward(struct trainer *t, const struct sae_csr *all,
                                             struct sae_err *err);
/* Weighted loss of all prefixes. t->grad receives the gradient of b_dec by token. */
double matry_loss(struct trainer *t, const float *x);
SAE_MUST_CHECK enum sae_status matry_grad_dec(struct trainer *t, struct sae_err *err); /* t->dz */

/* JumpReLU: t->pre holds W_enc x; call in this order, before t->pre is overwritten. */
SAE_MUST_CHECK enum sae_status jump_open(struct jump **ret, const struct trainer *t,
                                         struct sae_err *err);
void jump_close(struct jump *jump, const struct sae_ops *ops);
size_t jump_count(struct trainer *t); /* entries above their threshold */
/* Those entries; csr->cap must hold them. A threshold below 0 lets negative values through. */
void jump_fill(const struct trainer *t, struct sae_csr *csr);
/* Keeps the entries near their threshold for jump_backward. */
SAE_MUST_CHECK enum sae_status jump_window(struct trainer *t, struct sae_err *err);
double jump_l0(const struct trainer *t); /* as the penalty sees it */
/* g.theta, from t->grad. weight: of the penalty. */
void jump_backward(struct trainer *t, double weight);

#endif /* SAE_TRAIN_TRAINER_H */
