/* SPDX-License-Identifier: MIT */
/* output : see the header.
 * Contents: 1. places   2. what all results begin with */
#include "lib/eval/output.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/part.h"
#include "lib/base/str.h"
#include "lib/cli/target.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/record.h"

/* --- 1. places ---------------------------------------------------------------------------- */

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
static enum sae_status is_taken(bool *ret, const struct sae_output *o, const char *name,
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

enum sae_status sae_output_release(char **ret, const struct sae_output *o, const char *ckpt_path,
                                   struct sae_err *err)
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

static enum sae_status in_folder(char **ret, const struct sae_output *o, const char *folder,
                                 const struct sae_ckpt *ckpt, struct sae_err *err)
{
    char *dir = NULL, *release = NULL, *path = NULL;
    struct sae_str name = {0};
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&dir, o->out, folder, err));
    SAE_GO(st, sae_fs_make_dirs(dir, err));
    SAE_GO(st, sae_output_release(&release, o, ckpt->path, err));
    SAE_GO(st, sae_str_printf(&name, err, "%s_custom_sae_eval_results.json", release));
    SAE_GO(st, sae_fs_join(&path, dir, name.s, err));
    if (!o->force)
        SAE_GO(st, check_free(path, ckpt, err));
    *ret = path;
    path = NULL;
done:
    free(dir);
    free(release);
    free(path);
    sae_str_clear(&name);
    return st;
}

static enum sae_status choose(char **ret, const struct sae_output *o, const char *folder,
                              const struct sae_ckpt *ckpt, const char *suffix, struct sae_err *err)
{
    if (!o->out)
        return sae_result_path(ret, ckpt->path, suffix, err);
    if (!sae_str_ends(o->out, ".json"))
        return in_folder(ret, o, folder, ckpt, err);
    if (o->n_results > 1)
        return sae_err_set(err, SAE_EARG, "%zu results and one file '%s'; name a folder with -o",
                           o->n_results, o->out);
    return sae_mem_strdup(ret, o->out, err);
}

enum sae_status sae_output_path(char **ret, const struct sae_output *o, const char *folder,
                                const struct sae_ckpt *ckpt, const char *suffix,
                                struct sae_err *err)
{
    char *path = NULL;
    struct sae_err why;
    SAE_TRY(choose(&path, o, folder, ckpt, suffix, err));
    const enum sae_status st = sae_part_try(path, &why);
    if (st != SAE_OK) {
        free(path);
        return sae_err_set(err, st, "%s; results can be put elsewhere with -o FOLDER", why.msg);
    }
    *ret = path;
    return SAE_OK;
}

enum sae_status sae_output_beside(char **ret, const char *result, const char *suffix,
                                  struct sae_err *err)
{
    const size_t len = strlen(result) - (sae_str_ends(result, ".json") ? strlen(".json") : 0);
    struct sae_str path = {0};
    const enum sae_status st = sae_str_printf(&path, err, "%.*s%s", (int)len, result, suffix);
    if (st != SAE_OK)
        sae_str_clear(&path);
    else
        *ret = path.s;
    return st;
}

/* --- 2. what all results begin with ------------------------------------------------------- */

/* SAEBench's sae_cfg_dict. */
static enum sae_status describe(json_t **ret, const struct sae_ckpt *ckpt, struct sae_err *err)
{
    const json_t *const site = sae_store_site(ckpt->record);
    const struct sae_model *const model = &ckpt->model;
    json_t *const layer = site ? sae_json_at(site, "layer") : NULL;
    json_t *const cfg = json_pack(
        "{s:s?, s:I, s:I, s:O?, s:s?, s:s, s:b, s:s, s:b, s:s, s:s, s:I, s:I}", "model_name",
        site ? sae_json_str(site, "model", NULL) : NULL, "d_in", (json_int_t)model->d, "d_sae",
        (json_int_t)model->m, "hook_layer", layer, "hook_name",
        site ? sae_json_str(site, "hook", NULL) : NULL, "architecture", sae_arch_name(model->arch),
        "apply_b_dec_to_input", model->subtract_b_dec, "normalize_activations",
        sae_norm_name(model->norm), "prepend_bos", 1, "dtype", "float32", "device", "cpu", "k",
        (json_int_t)model->k, "training_steps", (json_int_t)ckpt->step);
    if (!cfg)
        return sae_err_set(err, SAE_ENOMEM, "out of memory describing '%s'", ckpt->path);
    *ret = cfg;
    return SAE_OK;
}

enum sae_status sae_output_checkpoint(json_t **ret, const struct sae_ckpt *ckpt,
                                      struct sae_err *err)
{
    char *run = NULL;
    SAE_TRY(sae_target_run_name(&run, ckpt->path, 0, err));
    json_t *const path = json_sprintf("%s/%s", run, sae_fs_base(ckpt->path));
    json_t *const made = json_pack("{s:s, s:o, s:s, s:I, s:f, s:s}", "run", run, "path", path, "id",
                                   ckpt->id, "step", (json_int_t)ckpt->step, "progress",
                                   ckpt->progress, "arch", sae_arch_name(ckpt->model.arch));
    free(run);
    if (!made)
        return sae_err_set(err, SAE_ENOMEM, "out of memory describing '%s'", ckpt->path);
    *ret = made;
    return SAE_OK;
}

enum sae_status sae_output_make(json_t **ret, struct sae_result_parts *parts,
                                const struct sae_ckpt *ckpt, json_t *record, struct sae_err *err)
{
    if (!parts->config || !parts->metrics || !parts->details || !parts->versions)
        return sae_err_set(err, SAE_ENOMEM,
                           "cannot make the result of '%s': out of memory, or a "
                           "name in it is no UTF-8",
                           ckpt->path);
    if (!parts->sae_cfg)
        SAE_TRY(describe(&parts->sae_cfg, ckpt, err));
    if (!parts->checkpoint)
        SAE_TRY(sae_output_checkpoint(&parts->checkpoint, ckpt, err));
    parts->record = json_incref(record);
    return sae_result_make(ret, parts, err);
}

enum sae_status sae_output_input(json_t *record, const struct sae_ckpt *ckpt, const char *role,
                                 const char *path, const char *id, const json_t *input_record,
                                 struct sae_err *err)
{
    char *folder = NULL, *seen = NULL;
    enum sae_status st;
    SAE_GO(st, sae_target_run(&folder, ckpt->path, err));
    SAE_GO(st, sae_fs_relative(&seen, folder, path, err));
    st = sae_record_input(record, role, seen, id, input_record, err);
done:
    free(folder);
    free(seen);
    return st;
}
