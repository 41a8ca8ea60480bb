/* SPDX-License-Identifier: MIT */
/* ablate : what linear probes lose, and gain, when chosen latents are set to zero - SAEBench's
 * spurious correlation removal (SCR) and targeted probe perturbation (TPP). Formulas, and the
 * doubts about both: docs/math-ablation.md.
 *
 * Probes read the mean of a text's activations. Zeroing latents changes that mean linearly,
 *   x' = x - sum over ablated i of (v_i + pad f0_i) W_dec[i],
 * with v the text's pooled latents, f0 the latents of a zero vector and pad its padded positions
 * a token; so every ablation is a sum over a text's sparse latents, and no text is encoded twice. */
#ifndef SAE_ABLATE_ABLATE_H
#define SAE_ABLATE_ABLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/eval/pool.h"
#include "lib/eval/task.h"
#include "lib/file/result.h"
#include "lib/file/sets.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"

struct ablate_settings {
    const uint64_t *n; /* how many latents are ablated, ascending */
    size_t n_n;
    const uint64_t *seeds;
    size_t n_seeds;
    size_t train_size, test_size; /* of a probe's task, half of them positive */
    size_t epochs, probe_batch;
    double lr, l1;
    size_t batch;      /* tokens encoded at a time */
    uint64_t padding;  /* tokens a text is padded to; 0 = not at all, UINT64_MAX = as harvested */
    char *const *pairs; /* "a:b"; none = neighbours: 0:1, 2:3, ... */
    size_t n_pairs;
};

/* --- a labelled set under one SAE ----------------------------------------------------------- */

struct ablate_texts {
    const struct sae_labels *labels; /* borrowed */
    struct sae_pool latents;
    const float *W_dec; /* [m][d], borrowed */
    size_t m, d;
    float *silent;  /* [m] latents of a zero vector */
    size_t padding; /* 0 = padding does not count */
};
SAE_MUST_CHECK enum sae_status ablate_texts_make(struct ablate_texts *ret,
                                                 struct sae_labels *labels,
                                                 const struct sae_model *model,
                                                 const struct sae_ops *ops, size_t batch,
                                                 uint64_t padding, struct sae_err *err);
void ablate_texts_clear(struct ablate_texts *texts);

/* --- probes ---------------------------------------------------------------------------------- */

struct ablate_probe {
    float *w; /* [d] */
    float b;
    float *gain; /* [m] w . W_dec[i] */
};
/* One linear output by AdamW on mean binary cross-entropy + l1 sum |w|, the epoch of best test
 * accuracy kept, as upstream trains it.
 *   draw    what init and order depend on besides the seed: a number of the task
 *   init    [d + 1] weights and bias to start from; NULL = drawn, uniform in +-1/sqrt(d)
 *   order   [epochs][n_train] places in the task; NULL = drawn */
SAE_MUST_CHECK enum sae_status ablate_probe_train(struct ablate_probe *ret,
                                                  const struct ablate_texts *texts,
                                                  const struct sae_task *task,
                                                  const struct ablate_settings *settings,
                                                  uint64_t seed, uint64_t draw, const float *init,
                                                  const uint32_t *order, struct sae_err *err);
void ablate_probe_clear(struct ablate_probe *probe);

/* Share of the task's test texts that the probe tells right, its latents in `mask` [m] ablated
 * (NULL: none). */
double ablate_accuracy(const struct ablate_texts *texts, const struct sae_task *task,
                       const struct ablate_probe *probe, const uint8_t *mask);

/* --- which latents ----------------------------------------------------------------------------- */

/* effect[i] = (mean over positives - mean over negatives of v_i, training texts) * gain[i];
 * scr: its magnitude; else the difference of means is clipped at 0 first. */
SAE_MUST_CHECK enum sae_status ablate_effects(float *effect, const struct ablate_texts *texts,
                                              const struct sae_task *task,
                                              const struct ablate_probe *probe, bool scr,
                                              struct sae_err *err);
/* mask[i] = 1 for the n largest effects, or as many as are not zero; equal ones: lower index
 * first. Returns how many. */
size_t ablate_select(uint8_t *mask, const float *effect, size_t m, size_t n);

/* --- scores ------------------------------------------------------------------------------------ */

/* (ablated - original) / (clean - original); 0 where the denominator is below 0.001. */
double ablate_scr_score(double clean, double original, double ablated);

enum { ABLATE_VALUES = 3 }; /* SCR: dir1, metric, dir2. TPP: total, intended, unintended */
/* lost[j]: what ablating class c's latents costs the probe of class j, of n > 1. */
void ablate_tpp_score(double v[ABLATE_VALUES], const double *lost, size_t n, size_t c);

/* Scores of one pair of classes (SCR) or one class (TPP). */
struct ablate_entry {
    char *set;  /* labelled set */
    char *name; /* "professor_nurse"; a class */
    double *v;  /* [n_seeds][n_n][ABLATE_VALUES]; NaN = none */
    double clean[2], original[2]; /* mean over seeds: SCR, accuracies by direction; TPP: clean[0] */
};
struct ablate_scores {
    size_t n, cap;
    struct ablate_entry *v;
    size_t n_sets; /* sets that gave entries */
};
void ablate_scores_clear(struct ablate_scores *scores);
/* Adds an entry, its values NaN. */
SAE_MUST_CHECK enum sae_status ablate_scores_add(struct ablate_scores *scores, const char *set,
                                                 const char *name,
                                                 const struct ablate_settings *settings,
                                                 struct sae_err *err);
/* Over the entries of a set (NULL: of all sets, each set first where by_set) and over seeds:
 * mean, and standard error over seeds (NaN for one). */
void ablate_scores_mean(const struct ablate_scores *scores, const struct ablate_settings *settings,
                        const char *set, bool by_set, size_t n, size_t value, double *mean,
                        double *se);

/* Every class of a set against the others. Fails: as sae_task_plan_make, SAE_EINTR */
SAE_MUST_CHECK enum sae_status ablate_tpp(struct ablate_scores *scores,
                                          const struct ablate_texts *texts,
                                          const struct ablate_settings *settings,
                                          struct sae_err *err);
/* Every pair of classes of a set whose texts have two attributes.
 * Fails: SAE_EARG a pair names no class; SAE_EFORMAT no pair has enough texts; SAE_EINTR */
SAE_MUST_CHECK enum sae_status ablate_scr(struct ablate_scores *scores,
                                          const struct ablate_texts *texts,
                                          const struct ablate_settings *settings,
                                          struct sae_err *err);

/* The three tasks of a pair of classes: attribute, class, both together. Class and attribute of
 * index 0 are the positive ones. *ret_n: texts of a quadrant in train and test, 0 where too few. */
enum { ABLATE_ATTRIBUTE, ABLATE_CLASS, ABLATE_BOTH, ABLATE_TASKS };
SAE_MUST_CHECK enum sae_status ablate_scr_tasks(struct sae_task tasks[ABLATE_TASKS],
                                                size_t ret_n[2], const struct sae_labels *labels,
                                                const uint32_t class[2],
                                                const struct ablate_settings *settings,
                                                struct sae_err *err);

/* --- results ------------------------------------------------------------------------------------ */

/* result.c: what the result of SCR or TPP is made of. */
struct sae_result_parts ablate_result_parts(const struct sae_ckpt *ckpt,
                                            const struct ablate_scores *scores, bool scr,
                                            const struct ablate_settings *settings);
/* The table for people. */
SAE_MUST_CHECK enum sae_status ablate_table_print(const struct sae_ckpt *ckpt,
                                                  const struct ablate_scores *scores, bool scr,
                                                  const struct ablate_settings *settings, FILE *to,
                                                  struct sae_err *err);

#endif /* SAE_ABLATE_ABLATE_H */
