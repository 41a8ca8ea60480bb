/* SPDX-License-Identifier: MIT */
/* subject : loading what is evaluated.
 * Contents: 1. the store   2. loading */
#include "lib/eval/subject.h"

#include <stdlib.h>

#include "lib/base/fs.h"
#include "lib/cli/target.h"
#include "lib/eval/store.h"
#include "lib/file/acts.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/sae/import.h"

/* --- 1. the store ------------------------------------------------------------------------- */

/* Puts the store first among the record's inputs, where it is found before the one trained on.
 * acts NULL: a folder of sets without a store. */
static enum sae_status put_first(json_t *record, const char *path, const struct sae_acts *acts,
                                 struct sae_err *err)
{
    json_t *const before = json_incref(json_object_get(record, "inputs"));
    json_object_del(record, "inputs");
    const enum sae_status st =
        sae_record_input(record, "acts", path, acts ? sae_acts_id(acts) : "none",
                         acts ? sae_acts_record(acts) : NULL, err);
    if (st == SAE_OK && before)
        json_array_extend(json_object_get(record, "inputs"), before);
    json_decref(before);
    return st;
}

/* A folder of labelled sets and word sets, but no store: each set is checked when it is opened. */
static enum sae_status is_only_sets(bool *ret, const char *path, struct sae_err *err)
{
    char *index = NULL;
    *ret = false;
    if (!sae_fs_is_dir(path))
        return SAE_OK;
    SAE_TRY(sae_fs_join(&index, path, "acts.json", err));
    char **names = NULL;
    size_t n = 0;
    enum sae_status st = SAE_OK;
    if (!sae_fs_is_file(index)) {
        st = sae_fs_list(&names, &n, path, "labels_", ".h5", err);
        char *words = NULL;
        if (st == SAE_OK)
            st = sae_fs_join(&words, path, "words.h5", err);
        *ret = st == SAE_OK && (n > 0 || sae_fs_is_file(words));
        free(words);
        sae_fs_list_free(names, n);
    }
    free(index);
    return st;
}

static enum sae_status attach(struct sae_ckpt *ckpt, const char *path, struct sae_err *err)
{
    struct sae_acts *acts = NULL;
    char *folder = NULL, *seen = NULL;
    bool only_sets;
    enum sae_status st;
    SAE_GO(st, is_only_sets(&only_sets, path, err));
    if (!only_sets) {
        SAE_GO(st, sae_acts_open(&acts, path, err));
        path = sae_acts_dir(acts);
        SAE_GO(st, sae_store_check(ckpt, path, sae_acts_d(acts), sae_acts_record(acts), err));
    }
    SAE_GO(st, sae_target_run(&folder, ckpt->path, err));
    SAE_GO(st, sae_fs_relative(&seen, folder, path, err));
    SAE_GO(st, put_first(ckpt->record, seen, acts, err));
    const json_t *const site = acts ? sae_store_site(sae_acts_record(acts)) : NULL;
    if (site && sae_import_of(ckpt)) {
        /* what the SAE itself says stays with what was imported */
        json_object_set((json_t *)(uintptr_t)sae_import_of(ckpt), "site",
                        json_object_get(ckpt->record, "site"));
        json_object_set_new(ckpt->record, "site", json_deep_copy(site));
    }
done:
    sae_acts_close(acts);
    free(folder);
    free(seen);
    return st;
}

/* --- 2. loading --------------------------------------------------------------------------- */

enum sae_status sae_subject_load(struct sae_ckpt *ret, const char *path, const char *acts,
                                 struct sae_err *err)
{
    struct sae_ckpt ckpt = {0};
    SAE_TRY(sae_import_load(&ckpt, path, true, err));
    const enum sae_status st = acts ? attach(&ckpt, acts, err) : SAE_OK;
    if (st != SAE_OK)
        sae_ckpt_clear(&ckpt);
    else
        *ret = ckpt;
    return st;
}
