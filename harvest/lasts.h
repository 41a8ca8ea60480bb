/* SPDX-License-Identifier: MIT */
/* lasts : labelled texts as the package sae-probes has them (CSV with the columns prompt and target,
 * two classes) into last_<name>.h5 (lib/file/lasts.h): the activation at the last token of each text.
 * As there, BOS comes first, a text of more than the context's tokens loses its beginning, and the
 * first 5000 texts of a file are taken, in its order. */
#ifndef SAE_HARVEST_LASTS_H
#define SAE_HARVEST_LASTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "harvest/tap.h"
#include "lib/base/err.h"
#include "lib/cli/opt.h"

enum { HARVEST_LASTS_CONTEXT = 1024, HARVEST_LASTS_TEXTS = 5000 };

struct harvest_lasts_settings {
    const char *dir;
    const struct sae_strs *sources; /* files, or folders of them */
    const json_t *invocation;
    size_t context, batch; /* batch: contexts in one pass through the model */
    bool force;
    json_t *answer; /* object that gets "sae_probes": [...]; NULL: a table goes to stdout */
};

/* Makes every set. In a folder, files of one class or of more than two are passed over and counted; a file
 * that was named must have two.
 * Fails: SAE_EARG the folder has another set of that name; SAE_EFORMAT; SAE_EIO; SAE_EINTR */
SAE_MUST_CHECK enum sae_status harvest_lasts_write(struct harvest_tap *tap,
                                                   const struct harvest_lasts_settings *settings,
                                                   struct sae_err *err);

#endif /* SAE_HARVEST_LASTS_H */
