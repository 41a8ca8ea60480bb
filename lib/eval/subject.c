/* SPDX-License-Identifier: MIT */
/* subject : loading what is evaluated, and naming what comes out.
 * Contents: 1. the store   2. loading   3. results */
#include "lib/eval/subject.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/part.h"
#include "lib/base/str.h"
#include "lib/cli/target.h"
#include "lib/eval/store.h"
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
    SAE_GO(st, sae_store_check(ckpt, sae_acts_dir(acts), sae_acts_d(acts), sae_acts_record(acts),
                              err));
    SAE_GO(st, sae_target_run(&folder, ckpt->path, err));
    SAE_GO(st, sae_fs_relative(&seen, folder, sae_acts_dir(acts), err));
    SAE_GO(st, put_first(ckpt->record, seen, acts, err));
    const json_t *const site = sae_store_site(sae_acts_record(acts));
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

/* The name with `more` names of folders above in front. */
static enum sae_status release_with(char **ret, const char *ckpt_path, size_t more,
                                    struct sae_err *err)
{
    char *run = NULL;
    struct sae_str name = {0};
    const char *const base = sae_fs_base(ckpt_path);
    enum sae_status st;
    SAE_TRY(sae_target_run_name(&run, ckpt_path, more, err));
    if (sae_target_is_only(base))
        SAE_GO(st, sae_str_printf(&name, err, "%s", run));
    else
        SAE_GO(st, sae_str_printf(&name, err, "%s_%.*s", run, (int)sae_result_stem(base), base));
    *ret = name.s;
    name = (struct sae_str){0};
done:
    sae_str_clear(&name);
    free(run);
    return st;
}

/* Whether another SAE of this invocation has the same name. */
static enum sae_status is_taken(bool *ret, const struct sae_subject_options *o, const char *name,
                                const char *ckpt_path, size_t more, struct sae_err *err)
{
    *ret = false;
    for (size_t i = 0; i < o->n_paths && !*ret; i++) {
        char *other = NULL;
        if (sae_fs_same(o->paths[i], ckpt_path))
            continue;
        SAE_TRY(release_with(&other, o->paths[i], more, err));
        *ret = strcmp(other, name) == 0;
        free(other);
    }
    return SAE_OK;
}

enum sae_status sae_subject_release(char **ret, const struct sae_subject_options *o,
                                    const char *ckpt_path, struct sae_err *err)
{
    enum { MORE_MAX = 6 };
    for (size_t more = 0;; more++) {
        char *name = NULL;
        bool taken = false;
        SAE_TRY(release_with(&name, ckpt_path, more, err));
        const enum sae_status st = is_taken(&taken, o, name, ckpt_path, more, err);
        if (st == SAE_OK && (!taken || more == MORE_MAX)) {
            *ret = name;
            return SAE_OK;
        }
        free(name);
        SAE_TRY(st);
    }
}

/* Results of two SAEs may have one name; that of another is not replaced unasked. */
static enum sae_status check_free(const char *path, const struct sae_ckpt *ckpt,
                                  struct sae_err *err)
{
    struct sae_err why;
    json_t *found = NULL;
    if (!sae_fs_is_file(path))
        return SAE_OK;
    (void)!sae_json_load(&found, path, &why);
    const char *const id = sae_json_str(found, "saekit.checkpoint.id", NULL);
    enum sae_status st = SAE_OK;
    if (id == NULL)
        st = sae_err_set(err, SAE_EARG,
                         "'%s' is there already and does not say which SAE it is of; name another "
                         "folder with -o, or give --force to replace it",
                         path);
    else if (strcmp(id, ckpt->id) != 0)
        st = sae_err_set(err, SAE_EARG,
                         "'%s' is the result of another SAE (%s, id %.12s) than '%s' (id %.12s); "
                         "name another folder with -o, or give --force to replace it",
                         path, sae_json_str(found, "saekit.checkpoint.path", "?"), id, ckpt->path,
                         ckpt->id);
    json_decref(found);
    return st;
}

static enum sae_status in_folder(char **ret, const struct sae_subject_options *o, const char *kind,
                                 const struct sae_ckpt *ckpt, struct sae_err *err)
{
    char *folder = NULL, *release = NULL, *path = NULL;
    struct sae_str name = {0};
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&folder, o->out, kind, err));
    SAE_GO(st, sae_fs_make_dirs(folder, err));
    SAE_GO(st, sae_subject_release(&release, o, ckpt->path, err));
    SAE_GO(st, sae_str_printf(&name, err, "%s_custom_sae_eval_results.json", release));
    SAE_GO(st, sae_fs_join(&path, folder, name.s, err));
    if (!o->force)
        SAE_GO(st, check_free(path, ckpt, err));
    *ret = path;
    path = NULL;
done:
    free(folder);
    free(release);
    free(path);
    sae_str_clear(&name);
    return st;
}

enum sae_status sae_subject_path(char **ret, const struct sae_subject_options *o, const char *kind,
                                 const struct sae_ckpt *ckpt, const char *suffix,
                                 struct sae_err *err)
{
    const char *const out = o->out;
    if (out == NULL)
        return sae_result_path(ret, ckpt->path, suffix, err);
    if (!sae_str_ends(out, ".json"))
        return in_folder(ret, o, kind, ckpt, err);
    if (o->n > 1)
        return sae_err_set(err, SAE_EARG,
                           "%zu SAEs and one file '%s' for their results; name a folder with -o",
                           o->n, out);
    return sae_mem_strdup(ret, out, err);
}

enum sae_status sae_subject_out(char **ret, const struct sae_subject_options *o, const char *kind,
                                const struct sae_ckpt *ckpt, const char *suffix,
                                struct sae_err *err)
{
    char *path = NULL;
    struct sae_err why;
    SAE_TRY(sae_subject_path(&path, o, kind, ckpt, suffix, err));
    const enum sae_status st = sae_part_try(path, &why);
    if (st != SAE_OK) {
        free(path);
        return sae_err_set(err, st, "%s; results can be put elsewhere with -o FOLDER", why.msg);
    }
    *ret = path;
    return SAE_OK;
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
