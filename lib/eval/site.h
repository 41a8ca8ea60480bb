/* SPDX-License-Identifier: MIT */
/* site : which model and layer a checkpoint and an evaluation set belong to, and where the sets
 * of a checkpoint lie. */
#ifndef SAE_LIB_EVAL_SITE_H
#define SAE_LIB_EVAL_SITE_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/sae/ckpt.h"

/* The "site" of a record: its own, else that of its activation store; NULL where neither. */
const json_t *sae_site_of(const json_t *record);

/* Folder that holds the sets of a checkpoint: that of the store it was trained on, new memory.
 * option: what to use instead when it is not there ("--labels"). Fails: SAE_EFORMAT the record
 * names no store; SAE_EIO the store has gone */
SAE_MUST_CHECK enum sae_status sae_site_folder(char **ret, const struct sae_ckpt *ckpt,
                                               const char *option, struct sae_err *err);

/* Refuses a set of another width, model or layer, naming both sides. Where one of them does not
 * say, only what is known is compared and a warning tells so.
 * Fails: SAE_EARG */
SAE_MUST_CHECK enum sae_status sae_site_check(const struct sae_ckpt *ckpt, const char *set_path,
                                              size_t set_d, const json_t *set_record,
                                              struct sae_err *err);

/* Paths of a checkpoint's labelled sets: those given, or else labels_*.h5 beside its store. Free
 * with sae_fs_list_free. Fails: as sae_site_folder; SAE_EIO none there */
SAE_MUST_CHECK enum sae_status sae_site_sets(char ***ret, size_t *ret_n,
                                             const struct sae_ckpt *ckpt, char *const *given,
                                             size_t n_given, struct sae_err *err);

/* Parts of a result: SAEBench's sae_cfg_dict, and {path, id, step, progress, arch}. New. */
SAE_MUST_CHECK enum sae_status sae_site_config(json_t **ret, const struct sae_ckpt *ckpt,
                                               struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_site_checkpoint(json_t **ret, const struct sae_ckpt *ckpt,
                                                   struct sae_err *err);

#endif /* SAE_LIB_EVAL_SITE_H */
