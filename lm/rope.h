/* SPDX-License-Identifier: MIT */
/* rope : rotary positions: what config.json says of them, and tables of angles. */
#ifndef SAE_LM_ROPE_H
#define SAE_LM_ROPE_H

#include "lm/config.h"
#include "lm/keys.h"

/* What a family has: kinds of scaling it was checked with, a bit each (1 << SAE_LM_LINEAR ...), and
 * the value of what config.json may leave out; 0: it must be there. */
struct sae_lm_rope_rules {
    unsigned scalings;
    double theta, share; /* share of a head that is rotated, 0: all of it and no such key */
    const char *theta_key, *share_key; /* of files that have them at the top */
};

/* Reads rope_parameters, or rope_theta and rope_scaling of older files, as one kind for all layers:
 * c->rope and c->rotary. c->head_dim is known. */
SAE_MUST_CHECK enum sae_status sae_lm_rope_read(struct sae_lm_config *c, struct sae_lm_keys *keys,
                                                const struct sae_lm_rope_rules *rules);

/* Reads one object of rotary parameters, `rope`; `name` for messages. rope->theta may be set
 * before: it stays where the object has none. */
SAE_MUST_CHECK enum sae_status sae_lm_rope_parse(struct sae_lm_rope *rope, double *share,
                                                 const json_t *object, const char *name,
                                                 unsigned scalings, struct sae_err *err);

/* Angles of positions 0 ... T - 1: cosines and sines [T][rotary / 2]. */
void sae_lm_rope_fill(const struct sae_lm_rope *rope, size_t rotary, size_t T, float *cosines,
                      float *sines);

#endif /* SAE_LM_ROPE_H */
