/* SPDX-License-Identifier: MIT */
/* last : k-sparse probing as the package sae-probes 0.4 does it (SAEBench's
 * sparse_probing_sae_probes, setting "normal"): one activation a text, its own draw, its own ranking,
 * L1 probes whose C is chosen on a held-out tail. Formulas: docs/math-probing.md, section 8. */
#ifndef SAE_PROBE_LAST_H
#define SAE_PROBE_LAST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/eval/evaluate.h"
#include "lib/file/lasts.h"
#include "lib/file/result.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"
#include "probe/probe.h"

enum {
    PROBE_LAST_TEXTS = 5000, /* of a set, at most: its first ones */
    PROBE_LAST_TRAIN = 1024, /* of them to train on, at most */
    PROBE_LAST_LEAST = 228,  /* below, the package chooses C by folds, which is not done here */
    PROBE_LAST_N_C = 10
};

struct probe_last_settings {
    const uint64_t *k; /* ascending, distinct */
    size_t n_k;
    uint32_t seed;
    size_t batch; /* texts encoded at a time */
    bool full;    /* also a probe on the whole raw activation */
};

/* --- draw ---------------------------------------------------------------------------------- */

/* rows: texts of the set, those to train on first, each part in the package's order. */
struct probe_last_draw {
    size_t n_train, n_test, n_tail; /* n_tail: of the training texts the last ones, for choosing C */
    uint32_t *rows;                 /* [n_train + n_test] */
    uint8_t *label;                 /* likewise */
};
/* Fails: SAE_EFORMAT too few texts, of all or of one class (the message says how many it takes) */
SAE_MUST_CHECK enum sae_status probe_last_draw(struct probe_last_draw *ret, const uint8_t *label,
                                               size_t n, uint32_t seed, const char *name,
                                               struct sae_err *err);
void probe_last_draw_clear(struct probe_last_draw *draw);

/* --- ranking ------------------------------------------------------------------------------- */

/* The n latents of largest |mean over positives v_i - mean over negatives v_i| over the first n_rows
 * rows of x, best first, v_i a latent divided by its mean over the rows where it fires. Equal scores:
 * lower index first. A latent that never fires scores 0. ret: caller's [n], n <= width.
 * Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status probe_last_rank(uint32_t *ret, size_t n, const struct sae_csr *x,
                                               size_t width, const uint8_t *label, size_t n_rows,
                                               struct sae_err *err);

/* --- probes -------------------------------------------------------------------------------- */

struct probe_last_score {
    double v[PROBE_N_METRICS]; /* on the test texts; AUC is NaN where they are of one class */
    double C, tail_auc;        /* what was chosen, and how good it was on the tail */
};
extern const double probe_last_C[PROBE_LAST_N_C]; /* 1e5 ... 1e-5 */

/* Area under the ROC curve, NaN where a class is missing. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status probe_last_auc(double *ret, const double *score,
                                              const uint8_t *label, size_t n, struct sae_err *err);

/* x: host f32 [n_train + n_test][width], rows as drawn.
 * L1 probes on the first k columns, for each k (ascending); ret: caller's [n_k].
 * Fails: SAE_ERANGE, SAE_ENOMEM; SAE_EFORMAT the tail is of one class */
SAE_MUST_CHECK enum sae_status probe_last_sparse(struct probe_last_score *ret, const float *x,
                                                 const struct probe_last_draw *draw,
                                                 const uint64_t *k, size_t n_k, uint32_t seed,
                                                 struct sae_err *err);
/* One L2 probe on all columns. */
SAE_MUST_CHECK enum sae_status probe_last_dense(struct probe_last_score *ret, const float *x,
                                                size_t width, const struct probe_last_draw *draw,
                                                struct sae_err *err);

/* --- a checkpoint -------------------------------------------------------------------------- */

/* One set, and what was found on it. */
struct probe_last_set {
    char *path, *name;
    char id[65];
    json_t *record;
    size_t n_texts, n_train, n_test, d;
    struct probe_last_score *latents; /* [n_k] */
    uint32_t *selected;               /* [k max] */
    struct probe_last_score neurons;
    bool is_unfit; /* not opened, since its texts are too few for the protocol */
    bool has_latents, has_neurons;
};
SAE_MUST_CHECK enum sae_status probe_last_set_open(struct probe_last_set *ret, const char *path,
                                                   const struct probe_last_settings *settings,
                                                   struct sae_err *err);
void probe_last_set_clear(struct probe_last_set *set);
/* Fills what the set lacks. Fails: SAE_EINTR, ... */
SAE_MUST_CHECK enum sae_status probe_last_set_run(struct probe_last_set *set,
                                                  const struct sae_ckpt *ckpt,
                                                  const struct sae_ops *ops,
                                                  const struct probe_last_settings *settings,
                                                  struct sae_err *err);

/* last_partial.c: finished sets of a checkpoint that was interrupted; what does not fit is ignored. */
SAE_MUST_CHECK enum sae_status probe_last_partial_save(const char *path, const struct sae_ckpt *ckpt,
                                                       const struct probe_last_set *sets,
                                                       size_t n_sets,
                                                       const struct probe_last_settings *settings,
                                                       struct sae_err *err);
void probe_last_partial_load(size_t *ret_n_taken, const char *path, const struct sae_ckpt *ckpt,
                             struct probe_last_set *sets, size_t n_sets,
                             const struct probe_last_settings *settings);

/* last_result.c */
struct sae_result_parts probe_last_parts(const struct sae_ckpt *ckpt,
                                         const struct probe_last_set *sets, size_t n_sets,
                                         const struct probe_last_settings *settings);
SAE_MUST_CHECK enum sae_status probe_last_print(const struct sae_ckpt *ckpt,
                                                const struct probe_last_set *sets, size_t n_sets,
                                                const struct probe_last_settings *settings, FILE *to,
                                                struct sae_err *err);

/* last_eval.c: the evaluation, for sae_evaluate. */
struct probe_last_work {
    struct probe_last_settings settings;
    char *const *labels; /* files that were named; NULL: those beside the store */
    size_t n_labels;
    struct probe_last_set *sets;  /* of the checkpoint at hand */
    size_t n_sets;
    struct probe_last_set *known; /* of the checkpoint before: their neurons are not probed again */
    size_t n_known;
};
struct sae_eval probe_last_eval(struct probe_last_work *work, struct sae_eval_options *options);

#endif /* SAE_PROBE_LAST_H */
