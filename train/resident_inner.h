/* SPDX-License-Identifier: MIT */
/* resident_inner : what the files of the step on a device share.
 *
 *   resident.c          arrays, to and from the device, the forward pass of inference
 *   resident_step.c     forward, backward and update of a step
 *   resident_orth.c     the orthogonality terms
 *   resident_number.c   numbers of a step on the device, and what they mean */
#ifndef SAE_TRAIN_RESIDENT_INNER_H
#define SAE_TRAIN_RESIDENT_INNER_H

#include "train/resident.h"

/* Numbers of a step on the device. Where one of the first GUARDS is not finite, nothing changes. */
enum {
    RECON,
    AUX,
    ORTH, /* loss, pairs, sum and maximum of |cos| */
    ORTH_PAIRS,
    ORTH_ABS,
    ORTH_MAX,
    DEAD,
    ENTRIES, /* DEAD, ENTRIES: of age */
    L1,
    ACTIVE, /* L1, ACTIVE: of relu_sum */
    SPREAD,
    GRAD_SQ,
    CUT,
    VARIANCE,
    MISS,
    COMPARED, /* 4 */
    NUMBERS = COMPARED + 4,
    GUARDS = ORTH + 1
};

struct resident {
    const struct sae_ops *ops;
    size_t ring_len;
    bool loaded; /* the device has what the host's arrays held */
    bool dense;
    struct params w, g, m1, m2;
    const float *x;                        /* [n][d] the batch */
    float *own_x, *xc, *xhat, *grad, *r; /* [n][d]; own_x: where the host puts one */
    float *pre, *f, *dzf;            /* [n][m]; f, dzf where products are dense */
    float *along, *theta;            /* [m] */
    float *orth_grad;                /* [m][d] once measured */
    uint64_t *idle;
    double *number;
    struct masks *ring;
    struct sae_csr none; /* no entries: decode of it is b_dec */
    struct masks aux;
    float *dz, *aux_dz;
    size_t dz_cap;
    const struct sae_csr **csr_list;
    const struct sae_csc **csc_list;
    struct {
        struct sae_late *late;
        struct step_stats stats; /* as scheduled */
        bool posted;
    } slot[2];
    struct step_stats last; /* the latest that are known */
};

/* --- resident.c --------------------------------------------------------------------------- */

/* The host's arrays become those of the device, where that has not been done. */
SAE_MUST_CHECK enum sae_status resident_load(struct trainer *t, struct sae_err *err);
void resident_pre(struct trainer *t, size_t rows); /* xc and pre, from x */
/* All activations, whatever their number: waits for the device to know it. csc may be NULL. */
SAE_MUST_CHECK enum sae_status resident_active(struct trainer *t, size_t rows, const float *theta,
                                               struct sae_csr *csr, struct sae_csc *csc,
                                               struct sae_err *err);

/* --- resident_orth.c ---------------------------------------------------------------------- */

/* Adds the gradient of the term to g.W_dec. *ret_known: its numbers are those of this step. */
SAE_MUST_CHECK enum sae_status resident_orth(struct trainer *t, bool measure, struct step_stats *s,
                                             bool *ret_known, struct sae_err *err);

/* --- resident_number.c -------------------------------------------------------------------- */

/* Sends the numbers of the step just started on their way; *s: as scheduled. It becomes what is
 * known by now: this step where it measures, the one before otherwise.
 * Fails: SAE_ERANGE a loss is not finite; t->step is then that step */
SAE_MUST_CHECK enum sae_status resident_tell(struct trainer *t, bool measure, bool orth_known,
                                             struct step_stats *s, struct sae_err *err);

#endif /* SAE_TRAIN_RESIDENT_INNER_H */
