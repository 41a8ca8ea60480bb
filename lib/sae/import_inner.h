/* SPDX-License-Identifier: MIT */
/* import_inner : between import.c, which opens files and finishes, and one reader per format. */
#ifndef SAE_LIB_SAE_IMPORT_INNER_H
#define SAE_LIB_SAE_IMPORT_INNER_H

#include <jansson.h>

#include "lib/file/tensors.h"
#include "lib/sae/import.h"

/* What a reader is given and what it fills. */
struct sae_import {
    const char *path;           /* of the weights, for messages */
    struct sae_tensors tensors; /* of the weights */
    bool *read;                 /* [tensors.n] whether a reader took the array into account */
    json_t *cfg;                /* beside them; NULL where there is none */
    const char *prefix;         /* of every array's name; "" but for nested state dicts */
    struct sae_model model;
    const char *format;
    const char *model_name, *hook; /* borrowed from cfg; NULL where unknown */
    char folder[64];               /* what hook points to if only a folder's name tells it */
    uint64_t layer, context;       /* UINT64_MAX, 0 where unknown */
    bool no_fold;                  /* norms must stay: why, was noted */
    json_t *folded, *notes;        /* lists of texts */
};

SAE_MUST_CHECK enum sae_status sae_import_saelens(struct sae_import *in, struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_import_dictionary(struct sae_import *in, struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_import_sparsify(struct sae_import *in, struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_import_arrays(struct sae_import *in, struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_import_qwen(struct sae_import *in, struct sae_err *err);
bool sae_import_is_qwen(const struct sae_import *in); /* by its arrays */

/* --- what readers share ------------------------------------------------------------------- */

/* An array by name; NULL if there is none. Finding an array does not count as reading it: a file
 * with an array that no reader took is refused (sae_import_load). */
const struct sae_tensor *sae_import_find(const struct sae_import *in, const char *name);
/* Marks an array as one that encode and decode do not need. */
void sae_import_skip(const struct sae_import *in, const char *name);
/* Widths from the encoder, stored [d][m], or [m][d] where latent_major. */
SAE_MUST_CHECK enum sae_status sae_import_size(const struct sae_import *in, const char *name,
                                               bool latent_major, size_t *ret_d, size_t *ret_m,
                                               struct sae_err *err);
/* Reads a matrix to [rows][cols], stored so or the other way round. */
SAE_MUST_CHECK enum sae_status sae_import_matrix(const struct sae_import *in, const char *name,
                                                 bool transposed, size_t rows, size_t cols,
                                                 float *to, struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_import_vector(const struct sae_import *in, const char *name,
                                                 size_t n, float *to, struct sae_err *err);
/* One number, a tensor or bare. It may be infinite or NaN. */
SAE_MUST_CHECK enum sae_status sae_import_scalar(const struct sae_import *in, const char *name,
                                                 double *ret, struct sae_err *err);
/* A switch of the settings, by dotted path: true, false, or the numbers 1 and 0, as Python takes
 * them; `otherwise` if it is missing. Fails: SAE_EVERSION any other value */
SAE_MUST_CHECK enum sae_status sae_import_flag(bool *ret, const struct sae_import *in,
                                               const char *path, bool otherwise,
                                               struct sae_err *err);
/* A text of the settings; `otherwise` if it is missing or null. Fails: SAE_EVERSION no text */
SAE_MUST_CHECK enum sae_status sae_import_text(const char **ret, const struct sae_import *in,
                                               const char *path, const char *otherwise,
                                               struct sae_err *err);
/* Refuses a setting that this build has no formula for, unless it is missing or switched off (null,
 * false, 0, "", "none"). `why` says what it does. Fails: SAE_EVERSION */
SAE_MUST_CHECK enum sae_status sae_import_refuse(const struct sae_import *in, const char *path,
                                                 const char *why, struct sae_err *err);
/* Notes the settings at the top that are switched on and not among `known` (NULL-terminated). */
SAE_MUST_CHECK enum sae_status
sae_import_note_others(const struct sae_import *in, const char *const *known, struct sae_err *err);
/* Compares a whole number of the settings, if it is there, with n, which the arrays say; of: "d".
 * Fails: SAE_EFORMAT they differ */
SAE_MUST_CHECK enum sae_status sae_import_expect(const struct sae_import *in, const char *path,
                                                 size_t n, const char *of, struct sae_err *err);
/* Adds a sentence to folded or notes. */
SAE_MUST_CHECK enum sae_status sae_import_say(json_t *list, struct sae_err *err, const char *fmt,
                                              ...) SAE_PRINTF(3, 4);

#endif /* SAE_LIB_SAE_IMPORT_INNER_H */
