/* SPDX-License-Identifier: MIT */
/* subject : the SAE that an evaluation looks at - a checkpoint of ours or any other that
 * lib/sae/import reads - with the store its data come from, and where its result goes. */
#ifndef SAE_LIB_EVAL_SUBJECT_H
#define SAE_LIB_EVAL_SUBJECT_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/cli/opt.h"
#include "lib/sae/ckpt.h"

/* Options of every evaluating program; rows for its table. */
struct sae_subject_options {
    const char *acts, *out;
    /* of this invocation, once known (sae_subjects_find fills them) */
    size_t n;           /* results: those of one SAE are more than one only in sae-ablate */
    char *const *paths; /* [n_paths] of all SAEs, borrowed: they must get different names */
    size_t n_paths;
    bool force;
};
#define SAE_SUBJECT_ROWS(given)                                                                    \
    {"acts", 0, SAE_OPT_PATH, &(given).acts, NULL, .arg = "DIR", .group = "Input",                 \
     .help = "activation store to evaluate on; default: the one trained on. An SAE from elsewhere " \
             "has none of its own",                                                                \
     .flags = SAE_OPT_MAIN},                                                                       \
    {                                                                                              \
        "out", 'o', SAE_OPT_PATH, &(given).out, NULL, .arg = "DIR|FILE.json", .group = "Output",   \
        .help = "where results go, in DIR by SAEBench's names; default: beside the SAE",           \
        .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED                                                 \
    }

/* Loads an SAE, decoder norms folded. With acts, that store takes the place of the one recorded:
 * it is added to the record as the first input of role "acts", and the record's site becomes the
 * store's, so that everything that follows the record finds the sets, model and text there.
 * Fails: as sae_import_load, sae_acts_open; SAE_EARG the store is of another width, layer or hook
 * than the SAE says it is for. Another model's name is a warning: names differ between packages. */
SAE_MUST_CHECK enum sae_status sae_subject_load(struct sae_ckpt *ret, const char *path,
                                                const char *acts, struct sae_err *err);

/* Path of a result, new memory, its folder made:
 *   out NULL          beside the SAE: run_2/ckpt_50.<suffix>
 *   out ends .json    that file; SAE_EARG for more SAEs than one
 *   else              out/<kind>/<release>_custom_sae_eval_results.json, as SAEBench's own programs
 *                     lay results out; kind: "core", "sparse_probing", "absorption", ...
 * Fails: SAE_EARG in a folder the name is taken by the result of another SAE (by the id in it), and
 * --force is not given; SAE_EIO it cannot be written. Ask before the work */
SAE_MUST_CHECK enum sae_status sae_subject_out(char **ret, const struct sae_subject_options *o,
                                               const char *kind, const struct sae_ckpt *ckpt,
                                               const char *suffix, struct sae_err *err);

/* The same once the work is done, when what cannot be written is told by sae_subjects_write. */
SAE_MUST_CHECK enum sae_status sae_subject_path(char **ret, const struct sae_subject_options *o,
                                                const char *kind, const struct sae_ckpt *ckpt,
                                                const char *suffix, struct sae_err *err);

/* Where a result that is not finished is kept: "a.probe.json" -> "a.probe.part" + suffix (".json",
 * ".hdf5": not ".h5", which is a checkpoint's). New memory. */
SAE_MUST_CHECK enum sae_status sae_subject_part(char **ret, const char *out, const char *suffix,
                                                struct sae_err *err);

/* Name of an SAE in such files: "run_2_ckpt_50", or its folder's if the folder holds one SAE
 * ("my_saes_blocks.3.hook_resid_post"); with the names of more folders in front if another SAE of
 * this invocation would have the same. New memory. */
SAE_MUST_CHECK enum sae_status sae_subject_release(char **ret, const struct sae_subject_options *o,
                                                   const char *ckpt_path, struct sae_err *err);

#endif /* SAE_LIB_EVAL_SUBJECT_H */
