/* SPDX-License-Identifier: MIT */
/* name : what a folder goes by. Usually its own name; if that says nothing by itself, as
 * "blocks.3.hook_resid_post", "average_l0_82" or "canonical" do, the names above it go in front:
 *   gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82
 *                              -> "gemma-scope-2b-pt-res_layer_12_width_16k_average_l0_82"
 * A snapshot in the cache of the Hugging Face Hub is named by its repository, not by its hash:
 *   models--google--gemma-2-2b/snapshots/0123...67  -> "gemma-2-2b" */
#ifndef SAE_LIB_BASE_NAME_H
#define SAE_LIB_BASE_NAME_H

#include <stddef.h>

#include "lib/base/err.h"

/* more: how many further names go in front, to tell folders of one name apart; the path's beginning
 * ends it. New memory. path need not exist. */
SAE_MUST_CHECK enum sae_status sae_name_folder(char **ret, const char *path, size_t more,
                                               struct sae_err *err);

#endif /* SAE_LIB_BASE_NAME_H */
