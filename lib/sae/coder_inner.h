/* SPDX-License-Identifier: MIT */
/* coder_inner : between model.c, which encodes, and the activations of each architecture, arch.c. */
#ifndef SAE_LIB_SAE_CODER_INNER_H
#define SAE_LIB_SAE_CODER_INNER_H

#include "lib/sae/model.h"

struct sae_coder {
    const struct sae_model *model; /* borrowed */
    const struct sae_arch_desc *arch; /* of it */
    const struct sae_ops *ops;
    size_t n_max, chunk; /* tokens of a batch; tokens whose pre-activations fit */
    /* backend memory */
    struct sae_model w;  /* the arrays; the model's own where the backend is the host */
    float *pre, *xc;     /* [chunk][m], [chunk][d] */
    float *dense;        /* [arch->n_dense][chunk][m]; where there are any, also */
    float *zero;         /* [m], and */
    double *sums;        /* [2] of the gate, which nobody reads */
    float *x, *xhat;     /* [chunk][d], on a device only */
    struct sae_csr part; /* of one chunk */
    /* host memory */
    size_t *start;               /* [chunk+1] rows on their way to a device */
    float *xn;                   /* [chunk][d], where the model has a norm; likewise: */
    double *row_size, *row_mean; /* [n_max] of the last encode */
    struct sae_csr host;         /* what encode returns */
};

/* c->part from z = pre + b [n][m]: relu(z), where z is above theta [m] unless that is NULL; grown as
 * needed. */
SAE_MUST_CHECK enum sae_status sae_coder_keep(struct sae_coder *c, size_t n, const float *pre,
                                              const float *b, const float *theta,
                                              struct sae_err *err);

#endif /* SAE_LIB_SAE_CODER_INNER_H */
