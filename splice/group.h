/* SPDX-License-Identifier: MIT */
/* group : checkpoints that share model, layer and text, measured in one pass; the callbacks of
 * lib/eval/evaluate.h, whose data is a struct splice_group. */
#ifndef SAE_SPLICE_GROUP_H
#define SAE_SPLICE_GROUP_H

#include "lib/eval/evaluate.h"
#include "splice/splice.h"

struct splice_group {
    struct splice_settings settings;
    /* of the group in work; arrays by its SAEs */
    const struct splice_source *source; /* of its first SAE */
    struct sae_lm *lm;
    struct sae_tok *tok;
    char model_id[SAE_DIGEST_HEX];
    char cache_id[SAE_DIGEST_HEX + 48]; /* weights, and the device's arithmetic */
    struct splice_text text;
    struct splice_reference reference;
    struct splice_sums *sums;
    struct splice_partial *partials;
    const struct sae_model **models;
    char *cache; /* folder, or NULL */
    size_t n;
};

/* Finds model and text of an SAE, into its `own`. Fails: as splice_source_find */
SAE_MUST_CHECK enum sae_status splice_group_check(struct sae_evaluation *run,
                                                  struct sae_eval_subject *subject,
                                                  struct sae_err *err);
bool splice_group_same(const struct sae_eval_subject *a, const struct sae_eval_subject *b);
/* Opens what the group shares. Fails: as sae_lm_open, splice_text_load; SAE_EARG the model found is not
 * the one recorded */
SAE_MUST_CHECK enum sae_status splice_group_begin(struct sae_evaluation *run, struct sae_err *err);
/* plan.c */
SAE_MUST_CHECK enum sae_status splice_group_plan(struct sae_evaluation *run, struct sae_plan *plan,
                                                 struct sae_err *err);
/* Runs the pass. Fails: as splice_pass */
SAE_MUST_CHECK enum sae_status splice_group_share(struct sae_evaluation *run, struct sae_err *err);
double splice_group_cache_bytes(const struct splice_group *group); /* of the whole text */
struct splice_job splice_group_job(const struct splice_group *group); /* borrows from the group */
SAE_MUST_CHECK enum sae_status splice_group_one(struct sae_evaluation *run,
                                                struct sae_eval_subject *subject,
                                                struct sae_result_parts parts[], json_t *record,
                                                struct sae_err *err);
void splice_group_end(struct sae_evaluation *run);
void splice_group_drop(void *source);

#endif /* SAE_SPLICE_GROUP_H */
