/* SPDX-License-Identifier: MIT */
/* absorb : feature absorption on the first-letter task (SAEBench's absorption evaluation, in all
 * versions of its formulas). Formulas, versions, worked examples: docs/math-absorption.md. */
#ifndef SAE_ABSORB_ABSORB_H
#define SAE_ABSORB_ABSORB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/file/result.h"
#include "lib/file/sets.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"

enum { ABSORB_LETTERS = 26, ABSORB_MAX_K = 64 };

struct absorb_settings {
    uint64_t seed;
    size_t max_k;                     /* 10 */
    double f1_jump;                   /* 0.03: what one more latent must add to count as a split */
    double min_probe_f1;              /* 0.6: letters below are not averaged in version D */
    size_t min_letters;               /* 20: version D needs this many letters */
    size_t truth_epochs, truth_batch; /* 50, 64 */
    size_t sparse_epochs, sparse_batch; /* 50, 4096 or less; see absorb_auto_batch */
    double l1_decay;                    /* 0.01 */
    size_t encode_batch;                /* rows encoded at a time */
};
/* SAEBench's batch of 4096, or fewer where an epoch would have under 20 steps: its word set is
 * some 80,000 training words, and 50 epochs of two steps would leave the probe untrained. */
size_t absorb_auto_batch(size_t n_train);

/* --- linear probes, 26 independent outputs -------------------------------------------------- */

/* z_c = w_c . x + b_c */
struct absorb_probe {
    size_t width;
    float *w; /* [26][width] ground truth; [width][26] on latents */
    float b[ABSORB_LETTERS];
};
void absorb_probe_clear(struct absorb_probe *probe);

/* Loss mean over batch x 26 of BCE-with-logits, positives weighted by pos_weight[c]; dz is its
 * gradient on z. Both [n][26]. Returns the loss. */
double absorb_bce(size_t n, const float *z, const uint8_t *letter, const float *pos_weight,
                  float *dz);
/* n_neg / n_pos of each letter over rows; 1 where a letter has none. */
void absorb_pos_weight(float pos_weight[ABSORB_LETTERS], const uint8_t *letter,
                       const uint32_t *rows, size_t n);

/* Everything known of the words that does not depend on an SAE. */
struct absorb_truth {
    size_t n_train, n_test;
    uint32_t *train, *test; /* words of the split, in file order */
    struct absorb_probe probe;
    float *test_logit;         /* [n_test][26] */
    double f1[ABSORB_LETTERS]; /* on test words; NaN where a letter has none in train or test */
    size_t n_train_of[ABSORB_LETTERS], n_test_of[ABSORB_LETTERS];
    double correct; /* share of words whose letter the model names itself */
};
/* Trains the ground-truth probe; with `cache`, a path (cache.h), takes it from there or leaves
 * it there. Fails: SAE_EFORMAT no train or no test words; SAE_EINTR */
SAE_MUST_CHECK enum sae_status absorb_truth_make(struct absorb_truth *ret,
                                                 const struct sae_words *words, const char *cache,
                                                 const struct sae_ops *ops,
                                                 const struct absorb_settings *settings,
                                                 struct sae_err *err);
void absorb_truth_clear(struct absorb_truth *truth);

/* --- k-sparse probes ------------------------------------------------------------------------ */

/* L1-penalised 26-output probe on sparse latents; row i of x is word rows[i]. w is [m][26]. */
SAE_MUST_CHECK enum sae_status absorb_sparse_train(struct absorb_probe *ret,
                                                   const struct sae_csr *x, size_t m,
                                                   const uint8_t *letter, const uint32_t *rows,
                                                   size_t n, const struct sae_ops *ops,
                                                   const struct absorb_settings *settings,
                                                   struct sae_err *err);

/* The latents that carry a letter. */
struct absorb_split {
    size_t n;                      /* split latents; 0 where the letter could not be probed */
    uint32_t latent[ABSORB_MAX_K]; /* by falling L1-probe weight */
    double w[ABSORB_MAX_K], b;     /* the k-sparse probe on them */
    size_t n_tried;                /* k = 1 ... n_tried were fitted */
    double f1[ABSORB_MAX_K];       /* of those, on test words */
};
/* How many latents the letter is split over: k grows while test F1 rises by more than f1_jump.
 * Pure: f1 of k = 1 ... n. Returns the accepted k (at least 1). */
size_t absorb_split_count(const double *f1, size_t n, double f1_jump);

/* The max_k latents of largest signed weight for each letter, best first. */
struct absorb_partial;
void absorb_rank(struct absorb_partial *partial, const struct absorb_probe *probe);
/* Splits of all letters that the partial work lacks. train_x, test_x: latents (of m) of the words of
 * truth->train, truth->test. Fails: SAE_EINTR, with the letters done written to its file; ... */
SAE_MUST_CHECK enum sae_status absorb_splits_make(struct absorb_partial *partial,
                                                  const struct sae_csr *train_x,
                                                  const struct sae_csr *test_x, size_t m,
                                                  const struct sae_words *words,
                                                  const struct absorb_truth *truth,
                                                  const struct absorb_settings *settings,
                                                  struct sae_err *err);

/* --- the test of one word ------------------------------------------------------------------- */

#define ABSORB_FULL_COS 0.025
#define ABSORB_FRACTION_COS 0.1
#define ABSORB_PROJECTION_SHARE 0.4
#define ABSORB_SILENT 1e-8
enum { ABSORB_MAX_ABSORBERS = 3 };

struct absorb_word {
    bool full;         /* full absorption, versions B to D; A on its own words */
    double fraction_b; /* SAEBench 0.3 and 0.4.0 */
    double fraction_c; /* SAEBench 0.4.1 and later */
    double main_sum;   /* sum of the split latents' activations: version A's second sieve */
    uint32_t absorber; /* the latent of largest projection; UINT32_MAX where none is positive */
};
/*   idx, val, n   the word's active latents
 *   cos           [m] cosine of each latent's decoder row with the letter's probe direction
 *   main, n_main  the letter's split latents
 *   P             a . p, the activation along the unit probe direction */
struct absorb_word absorb_word_test(const uint32_t *idx, const float *val, size_t n,
                                    const double *cos, const uint32_t *main, size_t n_main,
                                    double P);

/* --- letters and means ---------------------------------------------------------------------- */

struct absorb_letter {
    size_t n_true_positives; /* test words of the letter whose ground-truth logit is > 0 */
    size_t n_split;
    size_t n_full;
    double full_rate, fraction_b, fraction_c; /* over true positives; NaN without any */
    size_t n_candidates_a, n_absorbed_a;      /* version A's words, and those absorbed */
    double rate_a;
    bool in_a, in_d; /* whether the letter counts in the means of version A, of version D */
};
SAE_MUST_CHECK enum sae_status
absorb_letters_make(struct absorb_letter letter[ABSORB_LETTERS], const struct absorb_split *split,
                    const struct sae_csr *test_x, const struct sae_csr *eval_x,
                    const struct sae_words *words, const struct absorb_truth *truth,
                    const struct sae_model *model, const struct absorb_settings *settings,
                    struct sae_err *err);

struct absorb_mean {
    size_t n_letters;
    double rate, rate_sd;         /* A: absorption rate; B to D: full absorption rate */
    double fraction, fraction_sd; /* NaN for A */
    double n_split, n_split_sd;
};
enum absorb_version { ABSORB_A, ABSORB_B, ABSORB_C, ABSORB_D, ABSORB_VERSIONS };
/* D has n_letters but NaN elsewhere where fewer than min_letters letters count. */
struct absorb_mean absorb_mean_of(const struct absorb_letter letter[ABSORB_LETTERS],
                                  enum absorb_version version, size_t min_letters);

/* --- a checkpoint --------------------------------------------------------------------------- */

/* What was found of each letter. */
struct absorb_letters {
    struct absorb_split split[ABSORB_LETTERS];
    struct absorb_letter letter[ABSORB_LETTERS];
};
/* partial_path: where an interrupted run leaves what it has, NULL for nowhere.
 * Fails: SAE_EFORMAT decoder rows are not of unit norm (names the first), SAE_EINTR, ... */
SAE_MUST_CHECK enum sae_status
absorb_run(struct absorb_letters *ret, const struct sae_ckpt *ckpt, const struct sae_words *words,
           const struct absorb_truth *truth, const char *partial_path, const struct sae_ops *ops,
           const struct absorb_settings *settings, struct sae_err *err);

/* result.c: what the result is made of. */
struct sae_result_parts absorb_result_parts(const struct sae_ckpt *ckpt,
                                            const struct sae_words *words,
                                            const struct absorb_truth *truth,
                                            const struct absorb_letters *letters,
                                            const struct absorb_settings *settings);
/* The table for people. */
SAE_MUST_CHECK enum sae_status absorb_table_print(const struct sae_ckpt *ckpt,
                                                  const struct absorb_truth *truth,
                                                  const struct absorb_letters *letters,
                                                  const struct absorb_settings *settings, FILE *to,
                                                  struct sae_err *err);

#endif /* SAE_ABSORB_ABSORB_H */
