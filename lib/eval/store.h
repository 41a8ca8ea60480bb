/* SPDX-License-Identifier: MIT */
/* store : the activation store that a checkpoint's record names: where it is, whether sets belong to
 * the checkpoint, and where the language model and texts are that the store was made from. A recorded
 * path may be relative to where a program ran, or have moved. */
#ifndef SAE_LIB_EVAL_STORE_H
#define SAE_LIB_EVAL_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/file/acts.h"
#include "lib/file/hook.h"
#include "lib/sae/ckpt.h"

/* The "site" of a record: its own, else that of its activation store; NULL where neither. */
const json_t *sae_store_site(const json_t *record);

/* Folder of the store, new memory; NULL where none is recorded. It may have gone. */
SAE_MUST_CHECK enum sae_status sae_store_recorded(char **ret, const struct sae_ckpt *ckpt,
                                                  struct sae_err *err);
/* Whether the store was imported from arrays (sae-harvest --import): no language model, text or set is
 * known of it. */
bool sae_store_imported(const struct sae_ckpt *ckpt);
/* The same folder, which must be there.
 *   option  that names the sets looked for, to be used instead ("--labels"); NULL: the store itself
 * Fails: SAE_EFORMAT the record names no store; SAE_EIO the store has gone */
SAE_MUST_CHECK enum sae_status sae_store_find(char **ret, const struct sae_ckpt *ckpt,
                                              const char *option, struct sae_err *err);
/* Opens it. Fails: as sae_store_find, sae_acts_open, sae_store_check */
SAE_MUST_CHECK enum sae_status sae_store_open(struct sae_acts **ret, const struct sae_ckpt *ckpt,
                                              struct sae_err *err);

/* Refuses a set of another width, model or layer, naming both sides. Where one of them does not
 * say, only what is known is compared and a warning tells so.
 * Fails: SAE_EARG */
SAE_MUST_CHECK enum sae_status sae_store_check(const struct sae_ckpt *ckpt, const char *set_path,
                                               size_t set_d, const json_t *set_record,
                                               struct sae_err *err);

/* Labelled sets of every token (labels_*.h5, sets.h), or of the last one of each text (last_*.h5,
 * lasts.h). */
enum sae_store_kind { SAE_STORE_LABELS, SAE_STORE_LASTS };
/* Paths of a checkpoint's labelled sets: those given, or else all of that kind beside its store. Free
 * with sae_fs_list_free. Fails: as sae_store_find; SAE_EIO none there */
SAE_MUST_CHECK enum sae_status sae_store_sets(char ***ret, size_t *ret_n, enum sae_store_kind kind,
                                              const struct sae_ckpt *ckpt, char *const *given,
                                              size_t n_given, struct sae_err *err);

/* A recorded path as seen from here: from the store's folder, from the current one, from those
 * above the store (a path that was typed is relative to where harvest ran). *ret is NULL where it
 * is at none of them, or has another length than n_bytes (UINT64_MAX: any). store may be NULL. */
SAE_MUST_CHECK enum sae_status sae_store_locate(char **ret, const char *store, const char *path,
                                                uint64_t n_bytes, struct sae_err *err);

/* Folder of the language model: `given`, or, where that is NULL, the one recorded.
 * Fails: SAE_EARG not recorded or not there any more: names the option --model */
SAE_MUST_CHECK enum sae_status sae_store_model(char **ret, const struct sae_ckpt *ckpt,
                                               const char *given, struct sae_err *err);
/* The hook in it: as options say (layer UINT64_MAX, text NULL: not given), the rest as recorded;
 * where no hook is recorded, resid_post. Warns if it is another than the recorded one.
 * Fails: SAE_EARG the layer is not recorded, a hook without a name here, options that differ */
SAE_MUST_CHECK enum sae_status sae_store_hook(struct sae_hook *ret, const struct sae_ckpt *ckpt,
                                              uint64_t layer, const char *text,
                                              struct sae_err *err);

#endif /* SAE_LIB_EVAL_STORE_H */
