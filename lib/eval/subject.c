/* SPDX-License-Identifier: MIT */
/* subject : loading what is evaluated, and naming what comes out.
 * Contents: 1. the store   2. loading   3. results */
#include "lib/eval/subject.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/target.h"
#include "lib/eval/site.h"
#include "lib/file/acts.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/file/result.h"
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
        sae_record_input(record, "acts", path, acts != NULL ? sae_acts_id(acts) : "none",
                         acts != NULL ? sae_acts_record(acts) : NULL, err);
    if (st == SAE_OK && before != NULL)
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

static enum sae_status attach_sets(struct sae_ckpt *ckpt, const char *path, struct sae_err *err)
{
    char *folder = NULL, *seen = NULL;
    enum sae_status st;
    SAE_GO(st, sae_target_run(&folder, ckpt->path, err));
    SAE_GO(st, sae_fs_relative(&seen, folder, path, err));
    st = put_first(ckpt->record, seen, NULL, err);
done:
    free(folder);
    free(seen);
    return st;
}

static enum sae_status attach(struct sae_ckpt *ckpt, const char *path, struct sae_err *err)
{
    struct sae_acts *acts = NULL;
    char *folder = NULL, *seen = NULL;
    bool only_sets;
    enum sae_status st;
    SAE_TRY(is_only_sets(&only_sets, path, err));
    if (only_sets)
        return attach_sets(ckpt, path, err);
    SAE_GO(st, sae_acts_open(&acts, path, err));
    SAE_GO(st, sae_site_check(ckpt, sae_acts_dir(acts), sae_acts_d(acts), sae_acts_record(acts),
                              err));
    SAE_GO(st, sae_target_run(&folder, ckpt->path, err));
    SAE_GO(st, sae_fs_relative(&seen, folder, sae_acts_dir(acts), err));
    SAE_GO(st, put_first(ckpt->record, seen, acts, err));
    const json_t *const site = sae_site_of(sae_acts_record(acts));
    if (site != NULL && sae_import_of(ckpt) != NULL) {
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
    const enum sae_status st = acts != NULL ? attach(&ckpt, acts, err) : SAE_OK;
    if (st != SAE_OK)
        sae_ckpt_clear(&ckpt);
    else
        *ret = ckpt;
    return st;
}

/* --- 3. results --------------------------------------------------------------------------- */

enum sae_status sae_subject_release(char **ret, const char *ckpt_path, struct sae_err *err)
{
    char *run = NULL;
    struct sae_str name = {0};
    const char *const base = sae_fs_base(ckpt_path);
    enum sae_status st;
    SAE_GO(st, sae_target_run_name(&run, ckpt_path, err));
    if (sae_target_is_only(base))
        SAE_GO(st, sae_str_printf(&name, err, "%s", run));
    else
        SAE_GO(st, sae_str_printf(&name, err, "%s_%.*s", run, (int)sae_result_stem(base), base));
    st = sae_mem_strdup(ret, name.s, err);
done:
    sae_str_clear(&name);
    free(run);
    return st;
}

static enum sae_status in_folder(char **ret, const char *out, const char *kind,
                                 const char *ckpt_path, struct sae_err *err)
{
    char *folder = NULL, *release = NULL;
    struct sae_str name = {0};
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&folder, out, kind, err));
    SAE_GO(st, sae_fs_make_dirs(folder, err));
    SAE_GO(st, sae_subject_release(&release, ckpt_path, err));
    SAE_GO(st, sae_str_printf(&name, err, "%s_custom_sae_eval_results.json", release));
    st = sae_fs_join(ret, folder, name.s, err);
done:
    free(folder);
    free(release);
    sae_str_clear(&name);
    return st;
}

enum sae_status sae_subject_out(char **ret, const struct sae_subject_options *o, const char *kind,
                                const char *ckpt_path, const char *suffix, struct sae_err *err)
{
    const char *const out = o->out;
    if (out == NULL)
        return sae_result_path(ret, ckpt_path, suffix, err);
    if (!sae_str_ends(out, ".json"))
        return in_folder(ret, out, kind, ckpt_path, err);
    if (o->n > 1)
        return sae_err_set(err, SAE_EARG,
                           "%zu SAEs and one file '%s' for their results; name a folder with -o",
                           o->n, out);
    return sae_mem_strdup(ret, out, err);
}

enum sae_status sae_subject_part(char **ret, const char *out, const char *suffix,
                                 struct sae_err *err)
{
    const size_t len = strlen(out) - (sae_str_ends(out, ".json") ? strlen(".json") : 0);
    struct sae_str path = {0};
    const enum sae_status st =
        sae_str_printf(&path, err, "%.*s.part%s", (int)len, out, suffix);
    if (st != SAE_OK)
        sae_str_clear(&path);
    else
        *ret = path.s;
    return st;
}
