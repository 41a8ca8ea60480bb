/* SPDX-License-Identifier: MIT */
/* task : balanced one-vs-rest tasks out of a labelled set: which classes, how many texts a task
 * has, and the draw of its texts. */
#ifndef SAE_LIB_EVAL_TASK_H
#define SAE_LIB_EVAL_TASK_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/file/sets.h"

struct sae_task_class {
    uint32_t index;   /* into the set's classes */
    size_t n_side[2]; /* positives of a task = negatives of it: train, test */
};
struct sae_task_plan {
    size_t n_classes;
    struct sae_task_class *classes;
    size_t n_left_out; /* classes without texts in train or in test */
    /* texts of class c and split s: text[first[c*2+s] .. first[c*2+s+1]), of all classes */
    uint32_t *text;
    size_t *first;
};

/* train_size, test_size: texts of a binary task at most, half of them positive.
 * Fails: SAE_EFORMAT fewer than two classes have texts in both splits (the message names them) */
SAE_MUST_CHECK enum sae_status sae_task_plan_make(struct sae_task_plan *ret,
                                                  const struct sae_labels *labels,
                                                  size_t train_size, size_t test_size,
                                                  struct sae_err *err);
void sae_task_plan_clear(struct sae_task_plan *plan);

/* One balanced one-vs-rest task: rows are texts of the set, train first. */
struct sae_task {
    size_t n_train, n_test;
    uint32_t *rows; /* [n_train + n_test] */
    uint8_t *label; /* 1 for the class */
};
/* The task of plan->classes[c] under a seed: positives in file order (a seeded draw where there
 * are more than asked for), negatives drawn evenly from the other classes. A function of
 * (plan, c, seed) alone. */
SAE_MUST_CHECK enum sae_status sae_task_make(struct sae_task *ret, const struct sae_task_plan *plan,
                                             size_t c, uint64_t seed, struct sae_err *err);
void sae_task_clear(struct sae_task *task);

#endif /* SAE_LIB_EVAL_TASK_H */
