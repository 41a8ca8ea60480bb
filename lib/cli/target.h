/* SPDX-License-Identifier: MIT */
/* target : which checkpoints a tool works on.
 *   a file            that checkpoint, or that SAE from elsewhere
 *   a run folder      its last checkpoint; with all, each of them in order
 *   a folder of runs  of each run below it (a sweep) its last checkpoint; with all, each of them
 *   another folder    the SAE of another package in it: sae_weights.safetensors, sae.safetensors,
 *                     ae.pt, params.npz, params.safetensors
 *   nothing           the newest checkpoint of the run one stands in (the current folder holds
 *                     ckpt_*.h5), else of every run_* folder here
 * The newest of a run is the one with the highest number: ckpt_50 before ckpt_100. */
#ifndef SAE_LIB_CLI_TARGET_H
#define SAE_LIB_CLI_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

/* *ret: paths, free with sae_fs_list_free. Fails: SAE_EIO no such file; SAE_EARG nothing found
 * (the message says where it looked) */
SAE_MUST_CHECK enum sae_status sae_target_find(char ***ret, size_t *ret_n, char *const *args,
                                               size_t n_args, bool all, struct sae_err *err);
/* Whether a file of this name is the one SAE of its folder, so that the folder names it. */
bool sae_target_is_only(const char *name);
/* Run folder of a checkpoint path: "run_2/ckpt_50.h5" -> "run_2" ("." where it has none). */
SAE_MUST_CHECK enum sae_status sae_target_run(char **ret, const char *ckpt_path,
                                              struct sae_err *err);
/* "run_2" for "a/b/run_2/ckpt_50.h5", real name also for "ckpt_50.h5" typed inside the run. The
 * folder of an SAE of another package is named by sae_name_folder. more: how many names of folders
 * above go in front, to tell runs of one name apart: 1 gives "b_run_2". */
SAE_MUST_CHECK enum sae_status sae_target_run_name(char **ret, const char *ckpt_path, size_t more,
                                                   struct sae_err *err);

#endif /* SAE_LIB_CLI_TARGET_H */
