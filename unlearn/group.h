/* SPDX-License-Identifier: MIT */
/* group : SAEs of one language model and layer, evaluated together. What does not depend on the SAE -
 * which questions are known, the streams of their prompts - is done once (shared.c), and both texts
 * are read once for all; then one SAE after another goes through its grid (cells.c). */
#ifndef SAE_UNLEARN_GROUP_H
#define SAE_UNLEARN_GROUP_H

#include "lib/base/digest.h"
#include "unlearn/unlearn.h"

struct unlearn_group {
    const struct unlearn_settings *settings;
    const struct sae_ops *ops;
    struct sae_subjects *saes;
    struct unlearn_part *parts; /* [saes->n] */
    struct unlearn_task *task;
    const char *folder;
    size_t layer, n, *member; /* indices into saes and parts */
    struct gemma_model *gemma;
    const struct gemma_config *config;
    struct gemma_tok *tok;
    char model_id[SAE_DIGEST_HEX];
    struct unlearn_speech speech;
    struct unlearn_model *model;
    struct unlearn_text forget, retain;
    struct unlearn_prompts prompts;
};

/* --- shared.c ----------------------------------------------------------------------------- */

/* From a part file, from --known, or by asking. Fails: SAE_EARG the model knows none */
SAE_MUST_CHECK enum sae_status unlearn_group_known(struct unlearn_group *g, struct sae_err *err);
/* Of the members that lack them, in one pass over each text. */
SAE_MUST_CHECK enum sae_status unlearn_group_densities(struct unlearn_group *g,
                                                       struct sae_err *err);
/* Known questions in the order they stand in, their untouched scores and streams. */
SAE_MUST_CHECK enum sae_status unlearn_group_ask(struct unlearn_group *g, struct sae_err *err);

/* --- cells.c ------------------------------------------------------------------------------ */

/* Settings in order; those of the part file, and those equal to one before, are not run again. */
SAE_MUST_CHECK enum sae_status unlearn_group_cells(struct unlearn_grid *grid,
                                                   struct unlearn_part *part,
                                                   struct unlearn_group *g,
                                                   const struct sae_model *model,
                                                   struct sae_err *err);

#endif /* SAE_UNLEARN_GROUP_H */
