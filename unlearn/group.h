/* SPDX-License-Identifier: MIT */
/* group : SAEs of one language model and hook, evaluated together; the callbacks of
 * lib/eval/evaluate.h, whose data is a struct unlearn_group. What does not depend on the SAE - which
 * questions are known, the streams of their prompts - is done once (shared.c), and both texts are
 * read once for all; then one SAE after another goes through its grid (cells.c). */
#ifndef SAE_UNLEARN_GROUP_H
#define SAE_UNLEARN_GROUP_H

#include "lib/base/digest.h"
#include "lib/eval/evaluate.h"
#include "unlearn/unlearn.h"

/* Of one SAE: what its `own` points to. */
struct unlearn_member {
    char *model; /* folder of its language model */
    struct sae_hook hook;
    struct unlearn_partial partial;
};

struct unlearn_group {
    struct unlearn_settings given;
    struct unlearn_task task;
    /* of the group in work */
    struct unlearn_settings settings; /* with the context as the language model has it */
    const struct sae_ops *ops;
    const char *folder;
    struct sae_hook hook;
    size_t n;
    struct sae_eval_subject *const *subjects; /* [n] */
    struct sae_lm *lm;
    const struct sae_lm_config *config;
    struct sae_tok *tok;
    char model_id[SAE_DIGEST_HEX];
    struct unlearn_speech speech;
    struct unlearn_model *model;
    struct unlearn_text forget, retain;
    struct unlearn_prompts prompts;
};
const struct sae_model *unlearn_group_model(const struct unlearn_group *g, size_t k);
struct unlearn_partial *unlearn_group_partial(const struct unlearn_group *g, size_t k);

/* --- group.c: the callbacks --------------------------------------------------------------- */

/* Reads the task. Fails: as unlearn_task_open */
SAE_MUST_CHECK enum sae_status unlearn_group_open(struct sae_evaluation *run, struct sae_err *err);
/* Finds an SAE's language model and hook. Fails: as sae_store_model, sae_store_hook */
SAE_MUST_CHECK enum sae_status unlearn_group_check(struct sae_evaluation *run,
                                                   struct sae_eval_subject *subject,
                                                   struct sae_err *err);
bool unlearn_group_same(const struct sae_eval_subject *a, const struct sae_eval_subject *b);
/* Opens what the group shares. */
SAE_MUST_CHECK enum sae_status unlearn_group_begin(struct sae_evaluation *run, struct sae_err *err);
/* plan.c */
SAE_MUST_CHECK enum sae_status unlearn_group_plan(struct sae_evaluation *run, struct sae_plan *plan,
                                                  struct sae_err *err);
/* Everything that is done for all SAEs of the group. */
SAE_MUST_CHECK enum sae_status unlearn_group_share(struct sae_evaluation *run, struct sae_err *err);
SAE_MUST_CHECK enum sae_status unlearn_group_one(struct sae_evaluation *run,
                                                 struct sae_eval_subject *subject,
                                                 struct sae_result_parts parts[], json_t *record,
                                                 struct sae_err *err);
void unlearn_group_end(struct sae_evaluation *run);
void unlearn_group_drop(void *member);
void unlearn_group_close(struct sae_evaluation *run);

#define UNLEARN_KEEP_BYTES ((size_t)4 << 30) /* of streams held in memory; beyond, they are made anew */

/* --- shared.c ----------------------------------------------------------------------------- */

/* From unfinished work, from --known, or by asking. Fails: SAE_EARG the model knows none */
SAE_MUST_CHECK enum sae_status unlearn_group_known(struct unlearn_group *g, struct sae_err *err);
/* Of the members that lack them, in one pass over each text. */
SAE_MUST_CHECK enum sae_status unlearn_group_densities(struct unlearn_group *g,
                                                       struct sae_err *err);
/* Known questions in the order they stand in, their untouched scores and streams. */
SAE_MUST_CHECK enum sae_status unlearn_group_ask(struct unlearn_group *g, struct sae_err *err);

/* --- cells.c ------------------------------------------------------------------------------ */

/* Settings in order; those of the unfinished work, and those equal to one before, are not run
 * again. */
SAE_MUST_CHECK enum sae_status unlearn_group_cells(struct unlearn_grid *grid,
                                                   struct unlearn_partial *partial,
                                                   struct unlearn_group *g,
                                                   const struct sae_model *model,
                                                   struct sae_err *err);

#endif /* SAE_UNLEARN_GROUP_H */
