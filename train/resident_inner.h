/* SPDX-License-Identifier: MIT */
/* resident_inner : what the files of the step on a device share.
 *
 *   resident.c          arrays, to and from the device, the forward pass of inference
 *   resident_step.c     forward, backward and update of a step
 *   resident_arch.c     what differs by architecture: gated, jumprelu, matryoshka, resampling
 *   resident_orth.c     the orthogonality terms
 *   resident_number.c   numbers of a step on the device, and what they mean */
#ifndef SAE_TRAIN_RESIDENT_INNER_H
#define SAE_TRAIN_RESIDENT_INNER_H

#include "train/resident.h"

/* Numbers of a step on the device. Where one of RECON ... ORTH is not finite, nothing changes. */
enum {
    DEAD,
    KEPT, /* DEAD, KEPT: of age */
    SPREAD,
    GRAD_SQ,
    CUT,
    VARIANCE,
    MISS,
    COMPARED, /* 4 */
    RECON = COMPARED + 4,
    AUX, /* AuxK: the loss; gated: sum of the gate's */
    L1,
    ACTIVE, /* L1, ACTIVE: of relu_sum or gate */
    LP,
    LP_NEXT,
    ENTRIES,
    SEEN, /* ENTRIES, SEEN: of jump */
    ORTSAE,
    ORTH, /* loss, pairs, sum and maximum of |cos| */
    ORTH_PAIRS,
    ORTH_ABS,
    ORTH_MAX,
    PARTNERS, /* as many as orth_tiles */
    GUARDS = ORTH - RECON + 1
};

/* A group of latents of a matryoshka, [first, end), with what its prefix's loss weighs. */
struct prefix {
    size_t first, end;
    double weight;
    float *slab; /* [n][d] its reconstruction, then the gradient that reaches it */
};

/* What the numbers of a step mean: as scheduled, and which of them are new. */
struct told {
    struct step_stats stats;
    uint64_t step;
    bool measured, pairs, ortsae, compared;
};

struct resident {
    const struct sae_ops *ops;
    size_t ring_len;
    bool loaded; /* the device has what the host's arrays held */
    bool dense;
    struct params w, g, m1, m2;
    const float *x;                        /* [n][d] the batch */
    float *own_x, *xc, *xhat, *grad, *r; /* [n][d]; own_x: where the host puts one */
    float *pre, *f, *dzf; /* [n][m]; topk: pre is scratch; f, dzf where products are dense */
    const float *made;    /* pre-activations [n][m] that AuxK may look at, or NULL */
    float *gate, *d2;     /* [n][m] gated: gate, and gradient there (dzf: at f) */
    float *grad2, *zero;  /* [n][d] gated: gradient at its reconstruction; [m] zeros */
    float *du;            /* [m] gated */
    uint32_t *active;     /* [m] without k: tokens of each latent */
    double *lp_row;       /* [n] where the sparsity has an exponent */
    uint32_t *order;      /* [m] ortsae */
    size_t n_prefixes;
    struct prefix *prefix;
    float *proj, *theta;             /* [m] */
    float *orth_grad;                /* [m][d] once measured */
    uint64_t *idle;
    double *number, *got; /* [PARTNERS + tiles]; got: for the host */
    size_t tiles;
    struct masks *ring;
    struct masks now; /* of resident_look */
    struct sae_csr none; /* no entries: decode of it is b_dec */
    struct masks aux;
    float *dz, *aux_dz;
    size_t dz_cap;
    const struct sae_csr **csr_list;
    const struct sae_csc **csc_list;
    struct {
        struct sae_readback *late;
        struct told told;
        bool posted;
    } slot[2];
    struct step_stats last; /* the latest that are known */
};

/* --- resident.c --------------------------------------------------------------------------- */

/* The host's arrays become those of the device, where that has not been done. */
SAE_MUST_CHECK enum sae_status resident_load(struct trainer *t, struct sae_err *err);
void resident_pre(struct trainer *t, size_t rows); /* xc, and pre but for topk, from x */
/* All pre + b above theta and 0, whatever their number: waits for the device to know it. theta and
 * csc may be NULL. */
SAE_MUST_CHECK enum sae_status resident_active(struct trainer *t, size_t rows, const float *pre,
                                               const float *b, const float *theta,
                                               struct sae_csr *csr, struct sae_csc *csc,
                                               struct sae_err *err);
/* Entries of a matrix on the device, into one of the host, which grows. */
SAE_MUST_CHECK enum sae_status resident_get_csr(struct trainer *t, const struct sae_csr *from,
                                                struct sae_csr *to, struct sae_err *err);
/* Gradients per entry have room for those of csr. */
SAE_MUST_CHECK enum sae_status resident_dz_room(struct resident *a, const struct sae_csr *csr,
                                                struct sae_err *err);
/* Dense activations: an array of their own, or pre, where nothing else needs it. */
float *resident_dense_f(const struct resident *a);

/* --- resident_arch.c ---------------------------------------------------------------------- */

/* Arrays that only some architectures have. */
SAE_MUST_CHECK enum sae_status resident_open_arch(struct resident *a, const struct trainer *t,
                                                  struct sae_err *err);
void resident_close_arch(struct resident *a);
/* Activations from pre, of an architecture without k. `competes`: masks too. */
SAE_MUST_CHECK enum sae_status resident_activate(struct trainer *t, struct masks *masks,
                                                 struct sae_err *err);
/* Sums of the sparsity term with an exponent, where there is one. */
void resident_lp(struct trainer *t);
/* Matryoshka: xhat of all prefixes; then grad and number[RECON]. */
void resident_prefixes(struct trainer *t, const struct masks *masks);
void resident_prefix_loss(struct trainer *t);
void resident_prefix_grad(struct trainer *t, const struct masks *masks); /* dz and g.W_dec */
/* Gradients that differ by architecture, of activations that are dense. s->sparse_weight: of the
 * sparsity term. */
void resident_gated_loss(struct trainer *t);
void resident_backward(struct trainer *t, const struct step_stats *s);
/* The resampling that falls on this step; by way of the host, which waits. */
SAE_MUST_CHECK enum sae_status resident_resample(struct trainer *t, struct step_stats *s,
                                                 struct sae_err *err);

/* --- resident_orth.c ---------------------------------------------------------------------- */

/* Adds the gradients of the terms to g.W_dec, and notes which of their numbers are new. */
void resident_orth(struct trainer *t, bool measure, struct told *told);

/* --- resident_number.c -------------------------------------------------------------------- */

/* Sends the numbers of the step just made on their way (told->step; t->step is the next) and reads
 * those of the one before; its own too where it measures, or where the next step depends on them.
 * *ret: the latest that are known.
 * Fails: SAE_ERANGE a loss is not finite; t->step is then that step */
SAE_MUST_CHECK enum sae_status resident_tell(struct trainer *t, const struct told *told,
                                             struct step_stats *ret, struct sae_err *err);
/* Reads what is on its way. Fails: likewise */
SAE_MUST_CHECK enum sae_status resident_told(struct trainer *t, struct sae_err *err);

#endif /* SAE_TRAIN_RESIDENT_INNER_H */
