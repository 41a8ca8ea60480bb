/* SPDX-License-Identifier: MIT */
/* synth : activations made from a known dictionary.   x = sum over active i of a_i f_i + noise
 *
 *   ortho       d orthonormal features, exactly `active` on each row, chosen evenly; a in [1, 2)
 *   correlated  `features` random unit directions in more than d numbers; feature i fires by a
 *               Gaussian copula of rank 4 at Zipf rates (exponent 0.5, mean `active` on a row);
 *               a = 4.5 + 0.5 normal (after SynthSAEBench, reduced)
 *   hierarchy   as correlated, but features come in eights: the second to the fourth are children of
 *               the first, fire only where it does (on a quarter of its rows each, were there no
 *               others), and only one of them at a time; the other four are free */
#ifndef SAE_TESTS_SYNTH_H
#define SAE_TESTS_SYNTH_H

#include <stddef.h>
#include <stdint.h>

enum synth_kind { SYNTH_ORTHO, SYNTH_CORRELATED, SYNTH_HIERARCHY };

struct synth {
    enum synth_kind kind;
    size_t d, features;
    double active, noise;
    uint64_t seed;
    float *F;    /* [features][d] unit rows */
    float *A;    /* [features][4] copula loadings */
    double *cut; /* [features] firing threshold of the copula */
};

/* Ends the program where memory is short: a test tool. features is d for SYNTH_ORTHO. */
void synth_open(struct synth *s, enum synth_kind kind, size_t d, size_t features, double active,
                double noise, uint64_t seed);
void synth_row(const struct synth *s, uint64_t row, float *x); /* a pure function of the row */
/* The same; fires [features] (may be NULL) says which features are in it. */
void synth_row_fires(const struct synth *s, uint64_t row, float *x, unsigned char *fires);
void synth_close(struct synth *s);

/* Greedy one-to-one matching of directions W [m][d] to features by |cos|, largest first.
 * Returns the mean |cos| over features; best [features] (may be NULL) gets each one's. */
double synth_match(const struct synth *s, const float *W, size_t m, float *best);

#endif /* SAE_TESTS_SYNTH_H */
