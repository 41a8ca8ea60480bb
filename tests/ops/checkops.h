/* SPDX-License-Identifier: MIT */
/* checkops : every operation of a backend against ref. A case names an operation, makes its
 * outputs from a fixture, and states how far two outputs may be apart. */
#ifndef SAE_TESTS_OPS_CHECKOPS_H
#define SAE_TESTS_OPS_CHECKOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/math/ops.h"

#define EPS 0x1p-24 /* half a unit in the last place of 1 */

struct shape {
    size_t n, m, d, k;
};

enum fill { FILL_NORMAL, FILL_ZEROS, FILL_HUGE, FILL_DENORMAL, FILL_TIES, FILL_NAN, FILL_ONEHOT };
enum { N_FILLS = FILL_ONEHOT + 1 };
extern const char *const fill_names[N_FILLS];

/* Inputs of every operation at one shape and fill; the sparse ones come from ref. */
struct fix {
    struct shape s;
    enum fill fill;
    float *x, *g;         /* [n][d] */
    float *W, *G, *M, *V; /* [m][d]; V >= 0 */
    float *pre;           /* [n][m] */
    float *b_enc, *b_dec, *theta;
    struct sae_csr csr;
    struct sae_csc csc;
    float *dz; /* [nnz] */
    struct sae_pairs pairs;
};
void fix_make(struct fix *f, const struct shape *s, enum fill fill);
void fix_clear(struct fix *f);
size_t fix_nnz(const struct fix *f);

/* Outputs, each between guard words. */
enum { OUTS = 6 };
struct outs {
    void *a[OUTS];
    size_t bytes[OUTS];
};

struct op_case {
    const char *name;
    void (*sizes)(const struct fix *f, size_t bytes[OUTS]);
    void (*run)(const struct sae_ops *o, const struct fix *f, void *const a[OUTS]);
    void (*check)(const struct fix *f, void *const ref[OUTS], void *const got[OUTS]);
    size_t m_max; /* wider shapes take ref too long; 0: none */
};

extern const struct op_case cases_select[], cases_sparse[], cases_dense[], cases_orth[],
    cases_spectrum[], cases_step[];

/* |ref - got| <= bound[i] (+ a few denormal steps); two NaN agree, two equal infinities too. */
void check_near(const char *what, const struct fix *f, size_t n, const float *ref, const float *got,
                const double *bound);
void check_bits(const char *what, const struct fix *f, size_t bytes, const void *ref,
                const void *got);
/* csr against x [n][d], W [m][d] and b [m] of f's shape, in double: each value within gemm's bound,
 * rows ascending and full, and no latent left out that surely exceeds one kept. */
void check_encoded(const struct fix *f, const float *x, const float *W, const float *b,
                   const struct sae_csr *csr);
void *grab(size_t n, size_t size); /* zeroed, or the test fails */
void let_go(void *p);
/* Where grab's memory comes from, from now on: for a device, what both it and the host reach. */
void grab_from(void *(*alloc)(size_t bytes), void (*release)(void *p));
/* Waits for what was started: before the host touches what an operation may still use. */
void settle(const struct sae_ops *ops);

#endif /* SAE_TESTS_OPS_CHECKOPS_H */
