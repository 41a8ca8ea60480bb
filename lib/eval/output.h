/* SPDX-License-Identifier: MIT */
/* output : where the result of an SAE goes, and what all results begin with. */
#ifndef SAE_LIB_EVAL_OUTPUT_H
#define SAE_LIB_EVAL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/file/result.h"
#include "lib/sae/ckpt.h"

/* Where an invocation puts its results; borrowed. */
struct sae_output {
    const char *out;  /* of -o; NULL: beside each SAE */
    size_t n_results; /* of all SAEs together */
    char *const *paths;
    size_t n_paths; /* of all SAEs, whose results must get different names */
    bool force;     /* replace the result of another SAE */
};

/* Path of a result, new memory, its folder made:
 *   out NULL          beside the SAE: run_2/ckpt_50.<suffix>
 *   out ends .json    that file; SAE_EARG for more results than one
 *   else              out/<folder>/<release>_custom_sae_eval_results.json, as SAEBench's own programs
 *                     lay results out; folder: "core", "sparse_probing", "absorption", ...
 * Fails: SAE_EARG in a folder the name is taken by the result of another SAE (by the id in it), and
 * force is not set; SAE_EIO it cannot be written. Ask before the work */
SAE_MUST_CHECK enum sae_status sae_output_path(char **ret, const struct sae_output *o,
                                               const char *folder, const struct sae_ckpt *ckpt,
                                               const char *suffix, struct sae_err *err);

/* Path of a companion of a result: "a.probe.json" + ".part.json" -> "a.probe.part.json". Unfinished
 * work never ends in ".h5", which is a checkpoint's. New memory. */
SAE_MUST_CHECK enum sae_status sae_output_beside(char **ret, const char *result,
                                                 const char *suffix, struct sae_err *err);

/* Name of an SAE among others: "run_2_ckpt_50", or its folder's if the folder holds one SAE
 * ("my_saes_blocks.3.hook_resid_post"); with the names of more folders in front if another SAE of
 * this invocation would have the same. New memory. */
SAE_MUST_CHECK enum sae_status sae_output_release(char **ret, const struct sae_output *o,
                                                  const char *ckpt_path, struct sae_err *err);

/* The result of an SAE. What parts leave NULL of these is filled in: sae_cfg (SAEBench's
 * sae_cfg_dict), checkpoint (sae_output_checkpoint). config, metrics, details and versions are
 * required. record: of this invocation, inputs added.
 * Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_output_make(json_t **ret, struct sae_result_parts *parts,
                                               const struct sae_ckpt *ckpt, json_t *record,
                                               struct sae_err *err);
/* {run, path, id, step, progress, arch}, new. */
SAE_MUST_CHECK enum sae_status sae_output_checkpoint(json_t **ret, const struct sae_ckpt *ckpt,
                                                     struct sae_err *err);

/* Adds an input to a record, its path as seen from the SAE's folder: "../acts/words.h5". */
SAE_MUST_CHECK enum sae_status sae_output_input(json_t *record, const struct sae_ckpt *ckpt,
                                                const char *role, const char *path, const char *id,
                                                const json_t *input_record, struct sae_err *err);

#endif /* SAE_LIB_EVAL_OUTPUT_H */
