/* SPDX-License-Identifier: MIT */
/* match : how far two SAEs have the same features, and when those of one run are fixed - the whole of
 * sae-match but its options. Formulas and worked examples: docs/math-matching.md. */
#ifndef SAE_MATCH_MATCH_H
#define SAE_MATCH_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/file/result.h"
#include "lib/math/match.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"

/* What is matched: rows of the decoder, of the encoder, tokens that latents fire on. */
enum match_kind { MATCH_DECODER, MATCH_ENCODER, MATCH_FIRING, MATCH_KINDS };
extern const char *const match_kind_names[MATCH_KINDS]; /* "decoder", "encoder", "firing" */

struct match_settings {
    bool is_signed;   /* cosines count with their sign */
    bool across;      /* SAEs of other settings are matched too */
    bool with_random; /* random dictionaries of equal spectrum beside them */
    uint64_t seed;    /* of those */
    double shared[2]; /* similarities from which a pair counts as shared: 0.7, 0.9 */
};

/* Two SAEs, seen from the first. Where a kind cannot be matched its mean is NaN and it has no rows. */
struct match_pair {
    struct sae_matching of[MATCH_KINDS];
    double share[MATCH_KINDS][2]; /* pairs at settings->shared or above, over the smaller number of latents */
    double agree; /* latents with the same partner by decoder and by encoder, likewise */
};

/* Matches two SAEs of equal width. Fails: as sae_match_rows, sae_match_sparse */
SAE_MUST_CHECK enum sae_status match_pair_make(struct match_pair *ret, const struct sae_ckpt *a,
                                               const struct sae_ckpt *b, const struct sae_ops *ops,
                                               const struct match_settings *settings,
                                               struct sae_err *err);
/* The same, seen from the second. */
SAE_MUST_CHECK enum sae_status match_pair_turn(struct match_pair *ret, const struct match_pair *pair,
                                               struct sae_err *err);
void match_pair_clear(struct match_pair *pair); /* accepts zeroed */

/* Tokens on which latents of both fire over those on which either does, of each pair that meets: as
 * sae_match_sparse takes them; new memory. *ret_start NULL: they cannot be compared (no masks, masks of
 * other tokens, too many active latents). */
SAE_MUST_CHECK enum sae_status match_firing(size_t **ret_start, uint32_t **ret_column,
                                            float **ret_jaccard, const struct sae_ckpt *a,
                                            const struct sae_ckpt *b, struct sae_err *err);

/* Unit rows [m][d]: the directions of draws from the normal distribution whose covariance is that of unit
 * rows W, so that they have its spectrum but for the lengths that are made 1. stream: a number for each
 * matrix of a seed. Fails: SAE_ENOMEM; as ops->gram */
SAE_MUST_CHECK enum sae_status match_random_rows(float *ret, size_t m, size_t d, const float *W,
                                                 uint64_t seed, uint64_t stream,
                                                 const struct sae_ops *ops, struct sae_err *err);
/* Rows over their lengths; those of length 0 stay. */
void match_unit_rows(float *ret, size_t m, size_t d, const float *W);

/* Of an SAE: means over its matchings with the others. NaN: not measured. */
struct match_scores {
    size_t m, n_others;
    double mean[MATCH_KINDS], share[MATCH_KINDS][2];
    double alive;  /* decoder: mean over latents that fired on the held-out tokens */
    double agree;
    double random[MATCH_KINDS]; /* mean of random dictionaries; none for firing */
    double gap;    /* the largest of all proofs, of decoder and encoder */
    float *stability[MATCH_KINDS]; /* [m] mean similarity to the partners; NULL: not measured */
    /* against the last checkpoint of its own run, latent by latent */
    double final_mean, final_share; /* mean cosine; latents at 0.9 or above, over m */
    float *final_cos;               /* [m]; NULL: not measured */
};
void match_scores_open(struct match_scores *ret, size_t m);
void match_scores_clear(struct match_scores *scores); /* accepts zeroed */
/* Adds a pair seen from this SAE; finish divides. masks may be empty. */
SAE_MUST_CHECK enum sae_status match_scores_add(struct match_scores *scores,
                                                const struct match_pair *pair,
                                                const struct sae_masks *masks, struct sae_err *err);
void match_scores_finish(struct match_scores *scores);
/* Cosine of each decoder row of `now` to the row of the same latent in `last`. Equal shapes. */
SAE_MUST_CHECK enum sae_status match_scores_final(struct match_scores *scores,
                                                  const struct sae_model *now,
                                                  const struct sae_model *last,
                                                  struct sae_err *err);

/* result.c: what the result is made of. others [n_others]: ids and names of the SAEs that it was matched
 * with, pairs seen from it. */
SAE_MUST_CHECK enum sae_status match_result_parts(struct sae_result_parts *ret,
                                                  const struct match_scores *scores,
                                                  const struct match_settings *settings,
                                                  json_t *others, struct sae_err *err);
/* {name, id, and what its matching came to} of one other. New reference; NULL without memory. */
json_t *match_result_other(const char *name, const struct sae_ckpt *other,
                           const struct match_pair *pair);

#endif /* SAE_MATCH_MATCH_H */
