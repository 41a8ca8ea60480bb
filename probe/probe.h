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

/* --- plan: which classes, how many texts a task has ---------------------------------------- */

struct probe_class {
    uint32_t index;   /* into the set's classes */
    size_t n_side[2]; /* positives of a task = negatives of it: train, test */
};
struct probe_plan {
    size_t n_classes;
    struct probe_class *classes;
    size_t n_left_out; /* classes without texts in train or in test */
    /* texts of class c and split s: text[first[c*2+s] .. first[c*2+s+1]), of all classes */
    uint32_t *text;
    size_t *first;
};

/* Fails: SAE_EFORMAT fewer than two classes have texts in both splits (the message names them) */
SAE_MUST_CHECK enum sae_status probe_plan_make(struct probe_plan *ret,
                                               const struct sae_labels *labels,
                                               const struct probe_settings *settings,
                                               struct sae_err *err);
void probe_plan_clear(struct probe_plan *plan);

/* One balanced one-vs-rest task: rows are texts of the set, train first. */
struct probe_task {
    size_t n_train, n_test;
    uint32_t *rows; /* [n_train + n_test] */
    uint8_t *label; /* 1 for the class */
};
/* The task of plan->classes[c] under a seed: positives in file order (a seeded draw where there
 * are more than asked for), negatives drawn evenly from the other classes. A function of
 * (plan, settings, c, seed) alone. */
SAE_MUST_CHECK enum sae_status probe_task_make(struct probe_task *ret,
                                               const struct probe_plan *plan, size_t c,
                                               uint64_t seed, struct sae_err *err);
void probe_task_clear(struct probe_task *task);

/* --- features ------------------------------------------------------------------------------ */

struct probe_features {
    struct sae_csr x; /* one row a text, host */
    size_t width;
    bool dense; /* raw neurons: every entry present */
};
void probe_features_clear(struct probe_features *features);

/* Latents of each text, encoded token by token and averaged over the text's tokens. Shows
 * progress. Fails: SAE_EINTR, SAE_EIO, SAE_EFORMAT, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status probe_pool_latents(struct probe_features *ret,
                                                  struct sae_labels *labels,
                                                  const struct sae_model *model,
                                                  const struct sae_ops *ops, size_t batch,
                                                  struct sae_err *err);
/* The set's pooled raw activations. */
SAE_MUST_CHECK enum sae_status probe_pool_neurons(struct probe_features *ret,
                                                  const struct sae_labels *labels,
                                                  struct sae_err *err);

/* The n features of largest |mean over positives - mean over negatives| on the task's training
 * texts, best first; equal scores: lower index first. ret: caller's [n], n <= width. */
SAE_MUST_CHECK enum sae_status probe_select(uint32_t *ret, size_t n,
                                            const struct probe_features *features,
                                            const struct probe_task *task, struct sae_err *err);

/* --- scores -------------------------------------------------------------------------------- */

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
                                                const struct probe_features *features,
                                                const struct probe_plan *plan,
                                                const struct probe_settings *settings,
                                                const char *what, struct sae_err *err);

struct probe_mean {
    double mean, se; /* se: over seeds, sd / sqrt(n); NaN with one seed */
};
/* Mean over classes per seed, then over seeds. */
struct probe_mean probe_scores_mean(const struct probe_scores *scores, size_t probe,
                                    enum probe_metric metric);
double probe_scores_class(const struct probe_scores *scores, size_t probe, size_t class,
                          enum probe_metric metric); /* over seeds */

/* --- a checkpoint --------------------------------------------------------------------------- */

/* What is known of one labelled set; neurons are kept from checkpoint to checkpoint. */
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
void probe_set_forget_latents(struct probe_set *set); /* before the next checkpoint */

/* Evaluates one set under a checkpoint: fills what it lacks. */
SAE_MUST_CHECK enum sae_status probe_set_run(struct probe_set *set, const struct sae_ckpt *ckpt,
                                             const struct sae_ops *ops,
                                             const struct probe_settings *settings,
                                             struct sae_err *err);

/* Finished sets of an interrupted checkpoint, in ckpt_50.probe.part.json. load takes over what
 * fits (same checkpoint, sets and settings) and ignores the rest. */
SAE_MUST_CHECK enum sae_status probe_part_save(const char *path, const struct sae_ckpt *ckpt,
                                               const struct probe_set *sets, size_t n_sets,
                                               const struct probe_settings *settings,
                                               struct sae_err *err);
SAE_MUST_CHECK enum sae_status probe_part_load(size_t *ret_n_taken, const char *path,
                                               const struct sae_ckpt *ckpt, struct probe_set *sets,
                                               size_t n_sets, const struct probe_settings *settings,
                                               struct sae_err *err);

/* --- answers -------------------------------------------------------------------------------- */

/* Over sets: per seed the mean over sets, then over seeds. */
struct probe_mean probe_sets_mean(const struct probe_set *sets, size_t n_sets, bool latents,
                                  size_t probe, enum probe_metric metric);
/* The result JSON. record: of this program, inputs already added. */
SAE_MUST_CHECK enum sae_status probe_result_make(json_t **ret, const struct sae_ckpt *ckpt,
                                                 const struct probe_set *sets, size_t n_sets,
                                                 const struct probe_settings *settings,
                                                 json_t *record, struct sae_err *err);
/* The table for people. */
SAE_MUST_CHECK enum sae_status probe_table_print(const struct sae_ckpt *ckpt,
                                                 const struct probe_set *sets, size_t n_sets,
                                                 const struct probe_settings *settings, FILE *to,
                                                 struct sae_err *err);

#endif /* SAE_PROBE_PROBE_H */
