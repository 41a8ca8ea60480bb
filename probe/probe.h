/* SPDX-License-Identifier: MIT */
/* probe : k-sparse probing of labelled concepts, latents against raw neurons (SAEBench's sparse
 * probing). Formulas and versions: docs/math-probing.md. */
#ifndef SAE_PROBE_PROBE_H
#define SAE_PROBE_PROBE_H

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

struct probe_settings {
    const uint64_t *k; /* ascending, distinct */
    size_t n_k;
    const uint64_t *seeds;
    size_t n_seeds;
    size_t train_size, test_size; /* of a binary task, half positive: 4000 and 1000 */
    size_t batch;                 /* tokens encoded at a time */
    bool full; /* also a probe on every latent and every neuron, under the first seed: wide
                * probes cost a hundred times a sparse one and hardly move with the draw */
};

enum probe_metric { PROBE_ACCURACY, PROBE_F1, PROBE_AUC, PROBE_N_METRICS };
extern const char *const probe_metric_names[PROBE_N_METRICS]; /* "accuracy", ... */

/* --- scores -------------------------------------------------------------------------------- */

/* The n features of largest |mean over positives - mean over negatives| on the task's training
 * texts, best first; equal scores: lower index first. ret: caller's [n], n <= width. */
SAE_MUST_CHECK enum sae_status probe_select(uint32_t *ret, size_t n,
                                            const struct sae_pool *features,
                                            const struct sae_task *task, struct sae_err *err);

/* v[((probe * n_classes + class) * n_seeds + seed) * PROBE_N_METRICS + metric]; probe runs over
 * k, then the full probe; NaN where
 * not run: the full probe of a seed after the first. */
struct probe_scores {
    size_t n_probes, n_classes, n_seeds;
    double *v;
};
double *probe_scores_at(const struct probe_scores *scores, size_t probe, size_t class, size_t seed);
SAE_MUST_CHECK enum sae_status probe_scores_alloc(struct probe_scores *ret, size_t n_probes,
                                                  size_t n_classes, size_t n_seeds,
                                                  struct sae_err *err);
void probe_scores_clear(struct probe_scores *scores);

/* Runs every task of a plan. what: for the progress bar. Fails: SAE_EINTR, SAE_EBACKEND, ... */
SAE_MUST_CHECK enum sae_status probe_scores_run(struct probe_scores *ret,
                                                const struct sae_pool *features,
                                                const struct sae_task_plan *plan,
                                                const struct probe_settings *settings,
                                                const char *what, struct sae_err *err);

struct probe_mean {
    double mean;
    double se; /* of the draw of negatives: sd over seeds / sqrt(seeds); NaN with one seed, 0 if
                  nothing is drawn */
};
/* Mean over classes per seed, then over seeds. */
struct probe_mean probe_scores_mean(const struct probe_scores *scores, size_t probe,
                                    enum probe_metric metric);
double probe_scores_class(const struct probe_scores *scores, size_t probe, size_t class,
                          enum probe_metric metric); /* over seeds */

/* --- a checkpoint --------------------------------------------------------------------------- */

/* What is known of one labelled set; neurons are probed once for all checkpoints. */
struct probe_set {
    char *path, *name;
    char id[65];
    json_t *record;
    size_t n_texts, n_rows, d;
    size_t n_classes, n_left_out; /* probed; without texts in train or test */
    char **classes;               /* [n_classes] */
    size_t *n_train, *n_test;     /* [n_classes], texts of the tasks */
    struct probe_scores latents, neurons;
    bool has_latents, has_neurons;
};
/* Opens the set to see what it holds: name, id, classes, sizes of its tasks. */
SAE_MUST_CHECK enum sae_status probe_set_open(struct probe_set *ret, const char *path,
                                              const struct probe_settings *settings,
                                              struct sae_err *err);
void probe_set_clear(struct probe_set *set);
void probe_set_drop_latents(struct probe_set *set); /* before the next checkpoint */

/* Evaluates one set under a checkpoint: fills what it lacks. */
SAE_MUST_CHECK enum sae_status probe_set_run(struct probe_set *set, const struct sae_ckpt *ckpt,
                                             const struct sae_ops *ops,
                                             const struct probe_settings *settings,
                                             struct sae_err *err);

/* partial.c: finished sets of an interrupted checkpoint, in ckpt_50.probe.part.json. load takes over
 * what fits (same checkpoint, sets and settings) and ignores the rest. */
SAE_MUST_CHECK enum sae_status probe_partial_save(const char *path, const struct sae_ckpt *ckpt,
                                               const struct probe_set *sets, size_t n_sets,
                                               const struct probe_settings *settings,
                                               struct sae_err *err);
SAE_MUST_CHECK enum sae_status probe_partial_load(size_t *ret_n_taken, const char *path,
                                               const struct sae_ckpt *ckpt, struct probe_set *sets,
                                               size_t n_sets, const struct probe_settings *settings,
                                               struct sae_err *err);

/* --- results -------------------------------------------------------------------------------- */

/* Over sets: per seed the mean over sets, then over seeds. */
struct probe_mean probe_sets_mean(const struct probe_set *sets, size_t n_sets, bool latents,
                                  size_t probe, enum probe_metric metric);
/* Standard error of that mean's accuracy for want of more test texts: each text counts once, since a
 * text that one class's probe gets wrong is mostly wrong for another's too. */
double probe_sets_texts_se(const struct probe_set *sets, size_t n_sets, bool latents, size_t probe);
/* result.c: what the result is made of. */
struct sae_result_parts probe_result_parts(const struct sae_ckpt *ckpt,
                                           const struct probe_set *sets, size_t n_sets,
                                           const struct probe_settings *settings);
/* The table for people. */
SAE_MUST_CHECK enum sae_status probe_table_print(const struct sae_ckpt *ckpt,
                                                 const struct probe_set *sets, size_t n_sets,
                                                 const struct probe_settings *settings, FILE *to,
                                                 struct sae_err *err);

#endif /* SAE_PROBE_PROBE_H */
