/* SPDX-License-Identifier: MIT */
/* import : any SAE as a checkpoint in memory. A path may be
 *   *.h5                                    our own checkpoint
 *   sae_weights.safetensors, cfg.json       SAELens, old and new layouts
 *   sae.safetensors, cfg.json               sparsify
 *   params.safetensors, config.json         Gemma Scope 2
 *   ae.pt, config.json                      dictionary_learning
 *   layer3.sae.pt                           Qwen Scope; k by the folder's name
 *   *.npz                                   W_enc, W_dec, b_enc, b_dec, threshold (Gemma Scope)
 * told apart by content. Every array of the file is read, and every setting that changes what the SAE
 * computes is followed: an array or a value without a formula here is refused by name.
 * Of an SAE from elsewhere, path, id, model and record are filled, heldout, series and pairs are
 * empty, step and total_steps 0, progress 1.
 *
 * Decoder rows are brought to unit norm where that leaves the reconstruction as it is: row i is
 * divided by its norm n_i, and W_enc_i, b_enc_i, threshold_i, b_gate_i, b_mag_i are multiplied by
 * it. The record says so:
 *   { "imported": { "format": "saelens", "files": [{"name", "sha256"}], "cfg": {...},
 *                   "folded": ["decoder norms 0.31 ... 2.7 into the encoder", ...],
 *                   "notes": [...] },
 *     "site": {"model", "layer", "hook", "d", "context"}, "inputs": [] }
 * each part as far as the files tell. Formulas: docs/FORMATS.md. */
#ifndef SAE_LIB_SAE_IMPORT_H
#define SAE_LIB_SAE_IMPORT_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/sae/ckpt.h"

/* Loads any of these. fold: bring decoder rows to unit norm; evaluations need it.
 * What was folded and what cannot be told is written to stderr too (info, warnings).
 * Fails: SAE_EIO; SAE_EFORMAT damaged, shapes that do not fit, of no known kind; SAE_EVERSION
 * something this build has no formula for; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_import_load(struct sae_ckpt *ret, const char *path, bool fold,
                                               struct sae_err *err);
/* The "imported" part of a record; NULL for what sae-train made. Borrowed. */
const json_t *sae_import_of(const struct sae_ckpt *ckpt);

/* Divides decoder rows of other norm than 1 (within 1e-5) by it and multiplies the encoder, as
 * above. Returns the number of rows that were changed; *ret_min, *ret_max: the span of their
 * norms. For top-k it is the caller's to know that pre-activations are to be scaled so. */
size_t sae_import_fold_norms(struct sae_model *model, double *ret_min, double *ret_max);
/* How many rows that would change. */
size_t sae_import_count_norms(const struct sae_model *model);

/* A class of dictionary_learning, by the name that its config.json gives; NULL: not known. */
struct sae_dict_class {
    const char *name;
    enum sae_arch arch;
    bool subtracts, linear; /* linear: encoder.weight, decoder.weight, else W_enc, W_dec */
    const char *b_dec;      /* its array */
    const char *marks[2];   /* arrays that no other class has together, where config.json is missing */
};
const struct sae_dict_class *sae_dict_class(const char *name);

#endif /* SAE_LIB_SAE_IMPORT_H */
