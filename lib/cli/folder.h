/* SPDX-License-Identifier: MIT */
/* folder : what a folder holds. The one table of the kinds of folder that programs are given. */
#ifndef SAE_LIB_CLI_FOLDER_H
#define SAE_LIB_CLI_FOLDER_H

#include <stddef.h>

#include "lib/base/err.h"

/* In the order in which they are tried: the first that fits is the kind. */
enum sae_folder {
    SAE_FOLDER_RUN,     /* a run of sae-train: ckpt_*.h5 */
    SAE_FOLDER_SAE,     /* one SAE of another package, by the names in target.h */
    SAE_FOLDER_STORE,   /* an activation store: acts.json, or the shards of one being written */
    SAE_FOLDER_MODEL,   /* a language model: config.json beside *.safetensors */
    SAE_FOLDER_RESULTS, /* what -o DIR made: *_eval_results.json, in it or one folder below */
    SAE_FOLDER_RUNS,    /* runs in folders below: a sweep, or several sweeps */
    SAE_FOLDER_EMPTY,
    SAE_FOLDER_OTHER,
    SAE_FOLDER_NONE /* no folder at all */
};

/* The kind of a folder. Fails: SAE_EIO it cannot be read */
SAE_MUST_CHECK enum sae_status sae_folder_kind(enum sae_folder *ret, const char *path,
                                               struct sae_err *err);
/* "is an activation store, not a run": to follow the folder's name in a message. */
const char *sae_folder_says(enum sae_folder kind);

/* The run folders below a folder, at most two levels down, in natural order; hidden folders are
 * left out. *ret: paths that begin with `path`, free with sae_fs_list_free; *ret_n may be 0.
 * Fails: SAE_EIO a folder cannot be read */
SAE_MUST_CHECK enum sae_status sae_folder_runs(char ***ret, size_t *ret_n, const char *path,
                                               struct sae_err *err);

#endif /* SAE_LIB_CLI_FOLDER_H */
