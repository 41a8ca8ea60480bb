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

/* Widths of two shapes that are large enough for other ways than the plain one. */
enum { SHAPE_CROWDED = 640, SHAPE_LARGE = 4200 };

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
    size_t nnz;
    float *dz; /* [nnz] */
};
void fix_make(struct fix *f, const struct shape *s, enum fill fill);
/* The same with its arrays in the backend's memory; fix_clear frees those of either. */
void fix_place(struct fix *ret, const struct fix *f, const struct sae_ops *ops);
void fix_clear(struct fix *f, const struct sae_ops *ops);
size_t fix_nnz(const struct fix *f);
/* c_ij [m][m] of its masks, n_batches times the same, counted pair by pair; free. */
float *fix_coefficients(const struct fix *f, const struct sae_compete_rule *rule, size_t n_batches,
                        const double *batch_weight);

/* Outputs, each between guard words. */
enum { OUTS = 6 };
struct outs {
    void *a[OUTS];
    size_t bytes[OUTS];
};

struct op_case {
    const char *name;
    void (*sizes)(const struct fix *f, size_t bytes[OUTS]);
    /* f and a in the memory of o: the host does not touch them but through o and what is below */
    void (*run)(const struct sae_ops *o, const struct fix *f, void *const a[OUTS]);
    void (*check)(const struct fix *f, void *const ref[OUTS], void *const got[OUTS]);
    size_t m_max; /* wider shapes take ref too long; 0: none */
};

extern const struct op_case cases_select[], cases_sparse[], cases_dense[], cases_orth[],
    cases_spectrum[], cases_step[], cases_arch[];

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
/* Backend memory, zeroed; o->free. A copy for the host; free. A copy within the backend; one number
 * everywhere. */
void *take(const struct sae_ops *o, size_t n, size_t size);
void *fetch(const struct sae_ops *o, const void *from, size_t bytes);
void copy(const struct sae_ops *o, void *to, const void *from, size_t bytes);
void fill_with(const struct sae_ops *o, float *to, size_t n, float value);
/* Waits for what was started; the test fails where that failed. */
void settle(const struct sae_ops *o);

#endif /* SAE_TESTS_OPS_CHECKOPS_H */
