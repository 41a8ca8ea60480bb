/* SPDX-License-Identifier: MIT */
/* inner : what the files of a training step share. Arrows run one way:
 *
 *   trainer.c, step.c               open and close; a step
 *   forward.c                       the forward passes between steps
 *   arch/                           what an architecture does in them (arch/arch.h)
 *   auxk.c, orth.c, resample.c      what several architectures have
 *   products.c                      dense and sparse products of activations
 *   state.c                         arrays in backend memory, and what the host sees of them
 *   numbers.c, lp.c, masks.c        numbers of a step; the sparsity term with an exponent; masks
 *   schedule.c, batch.c             k, tau and the rule of competition; median and spread
 *
 * tests/cli/circles.sh holds them to it. */
#ifndef SAE_TRAIN_INNER_H
#define SAE_TRAIN_INNER_H

#include "train/trainer.h"

/* Numbers of a step in backend memory. All but the first is 0 at its beginning. Where one of RECON ...
 * ORTH is not finite, nothing changes. */
enum {
    CUT, /* averaged threshold of inference */
    DEAD,
    KEPT, /* DEAD, KEPT: of age */
    SPREAD,
    GRAD_SQ,
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

/* What the numbers of a step mean: as scheduled, and which of them are new. */
struct note {
    struct step_stats stats;
    uint64_t step;
    bool measured, masked, pairs, ortsae, compared;
};

/* Arrays of a step, in memory of the backend unless they say otherwise. */
struct work {
    const struct sae_ops *ops;
    bool loaded; /* the backend has what the host's arrays held */

    /* state.c; on a host backend w, m1, m2, idle and ring are the trainer's own */
    struct params w, g, m1, m2;
    float *start;         /* [m][d] of --freeze soft */
    uint64_t *idle;
    struct masks *ring;
    float *own_x;         /* [n][d] a batch from the host, where the backend is none */
    float *host_xhat;     /* [n][d] on the host, likewise */
    struct sae_csr host_csr;
    const float *x;       /* [n][d] the batch */
    float *xc, *xhat, *grad; /* [n][d] encoder's input, reconstruction, dL/dxhat */
    float *r;             /* [n][d] once needed: of AuxK, of the gate */
    float *pre;           /* [n][m] pre-activations, then activations; topk: scratch, or NULL */
    const float *made;    /* pre-activations that AuxK may look at, or NULL */
    float *zero, *proj, *theta; /* [m] */
    uint32_t *active;     /* [m] without masks: tokens of each latent */
    struct masks now, aux, infer;
    struct masks host_now; /* where the backend is none */
    const struct sae_csr **csr_list; /* [ring_len] on the host */
    const struct sae_csc **csc_list;
    double *weight_list;

    /* products.c */
    size_t block, n_blocks; /* tokens whose dense gradients are made at a time */
    size_t dense_share;     /* dense products above n m / this entries */
    bool dense;             /* of this batch */
    size_t nnz;             /* its entries, where they are known; SIZE_MAX */
    float *f;               /* [n][m] kept entries, where products of them are dense */
    float *dzf;             /* [block][m] once needed */
    float *sums;            /* [n_blocks][m] once needed */
    float *dz;              /* [dz_cap] per entry */
    size_t dz_cap;
    const float *dz_sum;    /* [m] sum of gradients of pre-activations over tokens */
    struct sae_csr none;    /* [n] rows without entries: decode of it is b_dec */

    void *own;      /* of the architecture */
    float *aux_dz;  /* [aux_cap] */
    size_t aux_cap;
    double *lp_row; /* [n] powers of a row */
    size_t n_chunks;
    uint32_t *chunk, *order; /* [m] ortsae: latents chunk after chunk, on the host and there */
    float *orth_grad;        /* [m][d] once measured */

    /* numbers.c */
    double *number, *blank; /* [PARTNERS + tiles]; [PARTNERS] zeros */
    double *got;            /* on the host */
    size_t tiles;
    struct {
        struct sae_readback *readback;
        struct note note;
        bool posted;
    } slot[2];
    struct step_stats last; /* the latest that are known */
};

/* What the row of the architecture and the settings say. */
static inline bool step_has_k(const struct trainer *t)
{
    return t->arch->keeps != TRAIN_KEEPS_ALL;
}

/* Selects over the whole batch, and is used with an averaged threshold. */
static inline bool step_has_cut(const struct trainer *t)
{
    return t->arch->keeps == TRAIN_KEEPS_BATCH;
}

static inline bool step_has_l1(const struct trainer *t)
{
    return t->arch->penalty == TRAIN_PENALTY_L1 || t->arch->penalty == TRAIN_PENALTY_GATE;
}

/* Whether the sparsity term has an exponent that falls. */
static inline bool step_has_lp(const struct trainer *t)
{
    return step_has_l1(t) && t->set.sparsity != SPARSITY_L1;
}

/* --- state.c ------------------------------------------------------------------------------ */

SAE_MUST_CHECK enum sae_status state_open(struct trainer *t, const struct sae_ops *ops,
                                          struct sae_err *err);
void state_close(struct trainer *t);
/* The host's arrays become those of the backend, where that has not been done. */
SAE_MUST_CHECK enum sae_status state_load(struct trainer *t, struct sae_err *err);
/* The other way; all false: the decoder and the masks alone. */
SAE_MUST_CHECK enum sae_status state_fetch(struct trainer *t, bool all, struct sae_err *err);
/* An array of floats at its first use. */
SAE_MUST_CHECK enum sae_status state_reserve(struct trainer *t, float **array, size_t n,
                                             struct sae_err *err);
/* Entries as the host sees them: those of a host backend themselves, else a copy in *copy. */
SAE_MUST_CHECK enum sae_status state_view(struct trainer *t, const struct sae_csr *from,
                                          struct sae_csr *copy, const struct sae_csr **ret,
                                          struct sae_err *err);

/* --- masks.c ------------------------------------------------------------------------------ */

SAE_MUST_CHECK enum sae_status masks_open(struct masks *masks, const struct sae_ops *ops, size_t n,
                                          size_t m, size_t cap, struct sae_err *err);
void masks_close(struct masks *masks, const struct sae_ops *ops);
/* Makes room for cap entries; what was there is lost. */
SAE_MUST_CHECK enum sae_status masks_grow(struct sae_csr *csr, const struct sae_ops *ops, size_t n,
                                          size_t cap, struct sae_err *err);
/* csc from csr; valid then. */
SAE_MUST_CHECK enum sae_status masks_index(struct masks *masks, const struct sae_ops *ops, size_t m,
                                           struct sae_err *err);
/* pre + b above theta (NULL: 0) and 0, or with `below` above theta alone, whatever their number. */
SAE_MUST_CHECK enum sae_status masks_select(struct trainer *t, size_t rows, const float *pre,
                                            const float *b, const float *theta, bool below,
                                            struct sae_csr *csr, struct sae_err *err);
/* The entries of `more` behind those of csr. */
SAE_MUST_CHECK enum sae_status masks_append(struct trainer *t, const struct sae_csr *more,
                                            size_t nnz_more, struct sae_csr *csr,
                                            struct sae_err *err);
/* The batches that count in this step, newest first, in backend memory. */
void masks_list(const struct trainer *t, struct sae_overlap_masks *ret);

/* --- products.c --------------------------------------------------------------------------- */

void products_center(struct trainer *t, size_t rows); /* xc */
void products_pre(struct trainer *t, size_t rows);    /* xc and pre */
size_t products_rows(const struct trainer *t, size_t rows, size_t r0); /* of the block at r0 */
/* Whether nnz entries are many, by the batch where that is known. */
bool products_dense(const struct trainer *t, size_t nnz);
/* Rows [r0, r0 + rows) of xhat from their dense activations f. */
void products_decode(struct trainer *t, const float *f, size_t r0, size_t rows, float *xhat);
SAE_MUST_CHECK enum sae_status products_open_dense(struct trainer *t, struct sae_err *err);
/* Of a block, latents [first, end): adds to g.W_dec and writes dzf = dL/df. */
void products_decoder(struct trainer *t, const float *f, const float *grad, size_t r0, size_t rows,
                      size_t first, size_t end);
/* Of a block: dz = dzf + l1, or plus the slope of the term with an exponent, where f is not 0; adds to
 * g.W_enc and g.b_enc. */
void products_encoder(struct trainer *t, const float *f, float l1, size_t r0, size_t rows);
/* All gradients but that of b_dec from dense activations [n][m], or from masks. */
SAE_MUST_CHECK enum sae_status products_backward_dense(struct trainer *t, const float *f, float l1,
                                                       struct sae_err *err);
SAE_MUST_CHECK enum sae_status products_backward_sparse(struct trainer *t,
                                                        const struct masks *masks, float l1,
                                                        struct sae_err *err);
/* dz has room for the entries of csr. */
SAE_MUST_CHECK enum sae_status products_reserve_dz(struct trainer *t, const struct sae_csr *csr,
                                                   struct sae_err *err);

/* --- auxk.c, orth.c, resample.c ------------------------------------------------------------- */

/* AuxK: adds gradients of dead latents on the residual to g. */
SAE_MUST_CHECK enum sae_status auxk_step(struct trainer *t, struct sae_err *err);
/* Adds the gradients of the orthogonality terms to g.W_dec, and notes which of their numbers are
 * new. */
SAE_MUST_CHECK enum sae_status orth_step(struct trainer *t, bool measure, struct note *note,
                                         struct sae_err *err);
SAE_MUST_CHECK enum sae_status orth_open(struct trainer *t, struct sae_err *err);
/* Dead latents of a fetched trainer, and their new start on rows of x; both arrays [n][d] are on the
 * host. *ret: how many did. */
size_t resample_dead(const struct trainer *t);
SAE_MUST_CHECK enum sae_status resample_rows(struct trainer *t, const float *x, const float *xhat,
                                             size_t *ret, struct sae_err *err);

/* --- lp.c --------------------------------------------------------------------------------- */

/* Adds the sums of the term over rows of f, or of a csr's values, to LP and LP_NEXT. */
void lp_sum(struct trainer *t, size_t r0, size_t rows, const size_t *start, const float *f);
/* dz: plus weight times the slope where f > 0, else 0. */
void lp_grad(struct trainer *t, size_t r0, size_t rows, const size_t *start, const float *f,
             double weight, float *dz);
/* After the batch; lp_move where the exponent moves after this step. */
void lp_remember(struct trainer *t, double sum, double sum_next);
bool lp_moves(const struct trainer *t, uint64_t step);
void lp_move(struct trainer *t);

/* --- numbers.c ---------------------------------------------------------------------------- */

SAE_MUST_CHECK enum sae_status numbers_open(struct trainer *t, struct sae_err *err);
void numbers_close(struct trainer *t);
void numbers_begin(struct trainer *t); /* of a step: 0 but CUT */
/* A number of this step, where the backend answers at once. */
bool numbers_known(const struct trainer *t, size_t which, double *ret);
/* Of the step just made (note->step; t->step is the next). *ret: the latest that are known: its own,
 * where the backend answers at once, or it measures, or the next step depends on them; else those of
 * the step before (of the first: 0).
 * Fails: SAE_ERANGE a loss is not finite; t->step is then that step, which changed nothing */
SAE_MUST_CHECK enum sae_status numbers_post_stats(struct trainer *t, const struct note *note,
                                                  struct step_stats *ret, struct sae_err *err);
/* Fails: SAE_ERANGE an update with a gradient of this norm would overflow the moments */
SAE_MUST_CHECK enum sae_status numbers_check_grad(const struct trainer *t, uint64_t step,
                                                  double norm, struct sae_err *err);
/* Reads what is on its way. Fails: likewise */
SAE_MUST_CHECK enum sae_status numbers_collect_stats(struct trainer *t, struct sae_err *err);

#endif /* SAE_TRAIN_INNER_H */
