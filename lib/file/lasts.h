/* SPDX-License-Identifier: MIT */
/* lasts : last_<name>.h5, kind "last": a labelled set of two classes as the package sae-probes has
 * them, one activation a text, the one at its last token. They lie in the folder of the activation
 * store made by the same model at the same layer.
 *   /x       f32 [n][d]    activation at the text's last token, not rounded
 *   /label   u8  [n]       index into /classes
 *   /classes strings [2]   in the order of their names; the second is the positive one
 * Texts stand in the order of their file, of which draws are a function. */
#ifndef SAE_LIB_FILE_LASTS_H
#define SAE_LIB_FILE_LASTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define SAE_LASTS_PREFIX "last_" /* of the file's name */

struct sae_lasts {
    char *name; /* "5_hist_fig_ismale" of last_5_hist_fig_ismale.h5 */
    size_t n, d, n_classes; /* n_classes is 2 */
    float *x;
    uint8_t *label;
    char **classes;
    char id[65];
    json_t *record;
};

/* Fails: SAE_EIO; SAE_EFORMAT (also NaN, a label that is no class, classes other than two) */
SAE_MUST_CHECK enum sae_status sae_lasts_load(struct sae_lasts *ret, const char *path,
                                              struct sae_err *err);
void sae_lasts_clear(struct sae_lasts *lasts); /* accepts zeroed */
/* name, id and record of `lasts` are ignored. */
SAE_MUST_CHECK enum sae_status sae_lasts_save(const char *path, const struct sae_lasts *lasts,
                                              const json_t *record, bool force,
                                              struct sae_err *err);

#endif /* SAE_LIB_FILE_LASTS_H */
