/* SPDX-License-Identifier: MIT */
/* tap : a language model opened at one hook, ready to turn tokens into activations. Several taps may
 * share a model; it then runs once for all. */
#ifndef SAE_HARVEST_TAP_H
#define SAE_HARVEST_TAP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/digest.h"
#include "lib/base/err.h"
#include "lib/base/lock.h"
#include "lm/lm.h"

struct harvest_tap {
    char *folder;
    struct sae_hook hook;
    size_t d;    /* width of the hook */
    bool shares; /* the model and all that belongs to it is another tap's */
    char model_id[SAE_DIGEST_HEX], tokenizer[SAE_DIGEST_HEX];
    struct sae_lm *model;
    struct sae_tok *tok;
    const struct sae_lm_config *config;
    struct sae_lm_run *run; /* NULL until harvest_tap_reserve_all */
    size_t n_max, T_max;
    float *x;    /* [n_max][d], result of the last harvest_tap_rows_all */
    float *last; /* of harvest_tap_pass_all: [n_max][D], the stream after the last layer */
    const struct sae_lock *lock; /* of the folder that is written to; NULL: none is held */
};

/* Fails: SAE_EARG the model has no such hook; as sae_lm_open */
SAE_MUST_CHECK enum sae_status harvest_tap_open(struct harvest_tap *ret, const char *folder,
                                                struct sae_hook hook, struct sae_err *err);
/* Another hook of the model of `first`, which must outlive it. Fails: SAE_EARG the model has no such hook */
SAE_MUST_CHECK enum sae_status harvest_tap_share(struct harvest_tap *ret,
                                                 const struct harvest_tap *first,
                                                 struct sae_hook hook, struct sae_err *err);
void harvest_tap_close(struct harvest_tap *tap); /* accepts a zeroed struct */

/* Allocates for batches of n_max tokens in sequences of up to T_max, for taps of one model that are
 * read together; the first gets the run. n >= 1
 * Fails: SAE_EARG T_max above the model's limit; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status harvest_tap_reserve_all(struct harvest_tap *const *taps, size_t n,
                                                       size_t n_max, size_t T_max,
                                                       struct sae_err *err);

/* The hooks' activations of B sequences of T tokens in each tap's x [B*T][d], by the run of one of
 * them. Fails: SAE_EFORMAT NaN or infinity (the message says at which sequence and position) */
SAE_MUST_CHECK enum sae_status harvest_tap_rows_all(struct sae_lm_run *run,
                                                    struct harvest_tap *const *taps, size_t n,
                                                    const uint32_t *ids, size_t B, size_t T,
                                                    struct sae_err *err);
/* Likewise by the run of the first, and then through the rest of the model, for its logits. */
SAE_MUST_CHECK enum sae_status harvest_tap_pass_all(struct harvest_tap *const *taps, size_t n,
                                                    const uint32_t *ids, size_t B, size_t T,
                                                    struct sae_err *err);

/* Where what is made of one tap goes: a folder, and the record of the file (origin.h). */
struct harvest_target {
    struct harvest_tap *tap;
    const char *dir;
    const json_t *record;
};

/* Call it before a file is published. Fails: SAE_EIO the folder was taken over by another process */
SAE_MUST_CHECK enum sae_status harvest_tap_check_lock(const struct harvest_tap *tap,
                                                      struct sae_err *err);

/* BOS, EOS or PAD: positions that are never stored. */
static inline bool harvest_tap_is_special(const struct harvest_tap *tap, uint32_t id)
{
    return id == tap->config->bos || id == tap->config->eos || id == tap->config->pad;
}

#endif /* SAE_HARVEST_TAP_H */
