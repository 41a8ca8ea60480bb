/* SPDX-License-Identifier: MIT */
/* convert : an SAE in the files of another package. Weights are copied, not computed, except that
 * what a format cannot hold is folded into what it can; that is reported. */
#ifndef SAE_CONVERT_CONVERT_H
#define SAE_CONVERT_CONVERT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"

enum convert_to { CONVERT_AUTO, CONVERT_SAEKIT, CONVERT_SAELENS, CONVERT_DICTIONARY, CONVERT_NPZ };
extern const char *const convert_to_names[]; /* "auto", "saekit", ..., NULL */

/* By the name of the output: *.h5 a checkpoint, *.npz arrays, else a folder of SAELens. */
enum convert_to convert_guess(const char *out);

/* Each writes `out` from a model it may change (folding); sentences on that go to `folded`.
 *   saelens      out/cfg.json, out/sae_weights.safetensors (SAELens 6)
 *   dictionary   out/ae.pt, out/config.json (dictionary_learning)
 *   npz          out, Gemma Scope's five arrays
 * Fails: SAE_EARG the format cannot hold this SAE, or something is there and force is not;
 *        SAE_EIO; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status convert_saelens(const char *out, struct sae_ckpt *ckpt, bool force,
                                               struct sae_err *err);
SAE_MUST_CHECK enum sae_status convert_dictionary(const char *out, struct sae_ckpt *ckpt,
                                                  bool force, json_t *folded, struct sae_err *err);
SAE_MUST_CHECK enum sae_status convert_npz(const char *out, struct sae_ckpt *ckpt, bool force,
                                           json_t *folded, struct sae_err *err);

/* --- what they share (write.c) ------------------------------------------------------------ */

/* Makes encode subtract b_dec, or not, with the same latents: b_enc += or -= W_enc b_dec. */
SAE_MUST_CHECK enum sae_status convert_bias(struct sae_model *model, bool subtract, json_t *folded,
                                            struct sae_err *err);
/* [rows][cols] -> new memory [cols][rows]. */
SAE_MUST_CHECK enum sae_status convert_transpose(float **ret, const float *from, size_t rows,
                                                 size_t cols, struct sae_err *err);
/* Refuses to overwrite. */
SAE_MUST_CHECK enum sae_status convert_check_free(const char *path, bool force,
                                                  struct sae_err *err);
/* What the record's site says; NULL or UINT64_MAX if absent. Borrowed. */
struct convert_site {
    const char *model, *hook;
    uint64_t layer, context;
};
struct convert_site convert_site_of(const struct sae_ckpt *ckpt);

/* --- what the exports of rows share (file.c) ------------------------------------------------ */

/* SAE_EIO, with errno's reason. */
enum sae_status convert_cannot_write(const char *path, struct sae_err *err);
SAE_MUST_CHECK enum sae_status convert_put(FILE *to, const char *path, const void *data, size_t n,
                                           struct sae_err *err);
/* Refuses a file of `need` bytes that will not fit beside what is there; hint: how it would, or "". */
SAE_MUST_CHECK enum sae_status convert_check_disk(const char *path, double need, const char *hint,
                                                  struct sae_err *err);
/* Closes the part file and, where st is SAE_OK, gives it its name; else removes it. Returns st or
 * what failed. */
SAE_MUST_CHECK enum sae_status convert_finish(FILE *f, const char *part, const char *path, bool force,
                                              enum sae_status st, struct sae_err *err);

/* The rows of a store as f32 (.npy) or as bf16 beside token, document and position, as far as the store
 * has them (.safetensors); whole or not at all. Fails: SAE_EARG out is named otherwise, or there and
 * not `force`; SAE_EIO, also too little free disk space; SAE_EFORMAT; SAE_EINTR */
SAE_MUST_CHECK enum sae_status convert_acts(const char *out, const char *store, bool force,
                                            size_t *ret_rows, size_t *ret_d, struct sae_err *err);

struct convert_latents {
    size_t n_rows, n_latents;
    uint64_t n_entries; /* active latents, of all rows */
};

/* The latents that the SAE finds in the rows of a store: every one as f32 [rows][latents] (.npy), or the
 * active ones (.safetensors), of which row i has entries [start[i], start[i + 1]) of `latent` (u32) and
 * `value` (f32). Whole or not at all; 32 MiB of latents are in memory. Fails: SAE_EARG out is named
 * otherwise, or there and not `force`; another width or layer; SAE_EIO, also too little free disk space;
 * SAE_EFORMAT; SAE_EINTR */
SAE_MUST_CHECK enum sae_status convert_latents(const char *out, const char *store,
                                               const struct sae_ckpt *ckpt, const struct sae_ops *ops,
                                               bool force, struct convert_latents *ret,
                                               struct sae_err *err);

#endif /* SAE_CONVERT_CONVERT_H */
