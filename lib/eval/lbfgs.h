/* SPDX-License-Identifier: MIT */
/* lbfgs : minimisation by L-BFGS with the line search of Moré and Thuente, step for step as
 * scipy.optimize.minimize(method="L-BFGS-B") goes where there are no bounds: ten pairs, first step
 * 1 / |g|, then 1. Where a problem is nearly flat, what its default stop leaves depends on the path,
 * so a program that is to give scikit-learn's numbers has to take that path.
 *
 * Reverse communication: the caller evaluates. Vectors are [n] and may be kept in a basis that is not
 * orthonormal: each vector then carries its image M v behind it, and u.v is u^T M v.
 *
 *   sae_lbfgs_open(&l, ...);                        at x = 0
 *   do evaluate l->f, l->g at l->x; while (sae_lbfgs_step(l));
 *
 * Zhu, Byrd, Lu, Nocedal 1997 (algorithm 778); Moré and Thuente 1994. */
#ifndef SAE_LIB_EVAL_LBFGS_H
#define SAE_LIB_EVAL_LBFGS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

enum { SAE_LBFGS_PAIRS = 10 };

/* Shape of a vector: [n] numbers, [n] of its image (where has_image), and one more, the intercept. */
struct sae_lbfgs_shape {
    size_t n;
    bool has_image;
};
size_t sae_lbfgs_length(struct sae_lbfgs_shape shape); /* of a vector, in doubles */
/* u.v, the intercepts' product included. */
double sae_lbfgs_dot(struct sae_lbfgs_shape shape, const double *u, const double *v);

struct sae_lbfgs_settings {
    double gtol;       /* stop: largest |gradient| of a coordinate */
    double ftol;       /* stop: (f_old - f) / max(|f_old|, |f|, 1) */
    size_t max_steps;  /* maxiter */
    size_t max_search; /* maxls: evaluations of one line search */
    /* Whether no coordinate of the gradient at g is above gtol. */
    bool (*is_flat)(const void *data, const double *g, double gtol);
    const void *data;
};

struct sae_lbfgs_search { /* of Moré and Thuente; their names */
    double stp, f0, g0, stx, fx, gx, sty, fy, gy, stmin, stmax, width, width1;
    bool brackt, is_first_stage;
};

struct sae_lbfgs {
    struct sae_lbfgs_shape shape;
    struct sae_lbfgs_settings settings;
    double *x, *g, f; /* where to evaluate; the caller's answer */
    double *x0, *g0, *d, f_old;
    double *s[SAE_LBFGS_PAIRS], *y[SAE_LBFGS_PAIRS], rho[SAE_LBFGS_PAIRS], theta;
    size_t n_pairs, oldest, n_steps, n_evaluated;
    bool is_searching, has_failed;
    struct sae_lbfgs_search search;
    double *memory;
};

SAE_MUST_CHECK enum sae_status sae_lbfgs_open(struct sae_lbfgs *ret, struct sae_lbfgs_shape shape,
                                              const struct sae_lbfgs_settings *settings,
                                              struct sae_err *err);
/* Takes f and g at x. True: x has moved, evaluate again. False: x is the answer. */
bool sae_lbfgs_step(struct sae_lbfgs *l);
void sae_lbfgs_close(struct sae_lbfgs *l); /* accepts zeroed */

#endif /* SAE_LIB_EVAL_LBFGS_H */
