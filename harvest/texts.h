/* SPDX-License-Identifier: MIT */
/* texts : labelled texts as tokens, and through the model. BOS first, truncated to the context; run
 * sorted by length, so that a batch needs little padding. */
#ifndef SAE_HARVEST_TEXTS_H
#define SAE_HARVEST_TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harvest/dataset.h"
#include "harvest/tap.h"
#include "lib/base/err.h"

struct harvest_texts {
    /* set by the caller */
    struct harvest_tap *const *taps; /* [n_taps], of one model */
    size_t n_taps;
    const char *name, *dir; /* of the set, for messages; where it goes */
    size_t context, batch;  /* batch: contexts' worth of tokens in one pass */
    bool keep_end;          /* a text that is too long loses its beginning; else its end */
    /* from harvest_texts_read */
    size_t n, n_truncated;
    uint32_t **ids; /* [n] BOS first, truncated */
    size_t *n_ids;  /* [n] */
    uint32_t *order;
    uint32_t *tokens; /* of one pass */
};

/* Tokenizes. Fails: SAE_EFORMAT a text without tokens; SAE_EINTR */
SAE_MUST_CHECK enum sae_status harvest_texts_read(struct harvest_texts *texts,
                                                  const struct harvest_text *v, size_t n,
                                                  struct sae_err *err);
/* Runs them, once. store gets each text's activations of each tap, x [n_ids[t]][d]. Shows progress.
 * Fails: SAE_EINTR; as harvest_tap_reserve_all, harvest_tap_rows_all */
SAE_MUST_CHECK enum sae_status harvest_texts_run(struct harvest_texts *texts,
                                                 void (*store)(void *to, size_t tap, size_t t,
                                                               const float *x),
                                                 void *to, struct sae_err *err);
void harvest_texts_clear(struct harvest_texts *texts);

#endif /* SAE_HARVEST_TEXTS_H */
