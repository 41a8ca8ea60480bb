/* SPDX-License-Identifier: MIT */
/* folder : what a folder holds. */
#include "lib/cli/folder.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/target.h"

enum { DEPTH = 2 }; /* of a folder of sweeps: sweeps/sweep_1/run_1 */

static const char *const says[] = {
    [SAE_FOLDER_RUN] = "is a run",
    [SAE_FOLDER_SAE] = "holds an SAE of another package, not a run",
    [SAE_FOLDER_STORE] = "is an activation store, not a run",
    [SAE_FOLDER_MODEL] = "is a language model, not a run",
    [SAE_FOLDER_RESULTS] = "holds results that were measured with -o, not a run",
    [SAE_FOLDER_RUNS] = "is a folder of runs",
    [SAE_FOLDER_EMPTY] = "is empty: no ckpt_*.h5",
    [SAE_FOLDER_OTHER] = "holds no ckpt_*.h5",
    [SAE_FOLDER_NONE] = "is not a folder",
};

const char *sae_folder_says(enum sae_folder kind)
{
    return says[kind];
}

/* --- the kinds, by the names in a folder -------------------------------------------------- */

struct names {
    size_t n;
    char **v;
};

static bool any_named(const struct names *names, const char *prefix, const char *suffix)
{
    for (size_t i = 0; i < names->n; i++)
        if (strncmp(names->v[i], prefix, strlen(prefix)) == 0 && sae_str_ends(names->v[i], suffix))
            return true;
    return false;
}

static bool any_sae(const struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        if (sae_target_is_only(names->v[i]))
            return true;
    return false;
}

/* Of the kinds that a folder's own files tell; SAE_FOLDER_OTHER for the rest. */
static enum sae_folder kind_of_names(const struct names *names)
{
    if (any_named(names, "ckpt_", ".h5"))
        return SAE_FOLDER_RUN;
    if (any_sae(names))
        return SAE_FOLDER_SAE;
    if (any_named(names, "acts.json", "acts.json") || any_named(names, "acts_", ".h5"))
        return SAE_FOLDER_STORE;
    if (any_named(names, "config.json", "config.json") && any_named(names, "", ".safetensors"))
        return SAE_FOLDER_MODEL;
    if (any_named(names, "", "_eval_results.json"))
        return SAE_FOLDER_RESULTS;
    return names->n == 0 ? SAE_FOLDER_EMPTY : SAE_FOLDER_OTHER;
}

static enum sae_status own_kind(enum sae_folder *ret, struct names *names, const char *path,
                                struct sae_err *err)
{
    *names = (struct names){0};
    if (!sae_fs_is_dir(path)) {
        *ret = SAE_FOLDER_NONE;
        return SAE_OK;
    }
    SAE_TRY(sae_fs_list(&names->v, &names->n, path, "", "", err));
    *ret = kind_of_names(names);
    return SAE_OK;
}

/* --- runs below --------------------------------------------------------------------------- */

struct found {
    size_t n, cap;
    char **runs;
    bool results; /* a folder of results was met directly below the first */
};

static enum sae_status add_run(struct found *found, const char *path, struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&found->runs, &found->cap, found->n + 1, sizeof *found->runs, err));
    SAE_TRY(sae_mem_strdup(&found->runs[found->n], path, err));
    found->n++;
    return SAE_OK;
}

/* The folders in `names` of `path`, which are of no kind by themselves. */
static enum sae_status find_below(struct found *found, const char *path, const struct names *names,
                                  int depth, struct sae_err *err)
{
    for (size_t i = 0; i < names->n; i++) {
        struct names below;
        enum sae_folder kind;
        char *folder = NULL;
        if (names->v[i][0] == '.')
            continue;
        SAE_TRY(sae_fs_join(&folder, path, names->v[i], err));
        enum sae_status st = own_kind(&kind, &below, folder, err);
        if (st == SAE_OK && kind == SAE_FOLDER_RUN)
            st = add_run(found, folder, err);
        else if (st == SAE_OK && kind == SAE_FOLDER_OTHER && depth < DEPTH)
            st = find_below(found, folder, &below, depth + 1, err);
        found->results |= st == SAE_OK && kind == SAE_FOLDER_RESULTS && depth == 1;
        sae_fs_list_free(below.v, below.n);
        free(folder);
        SAE_TRY(st);
    }
    return SAE_OK;
}

static enum sae_status find(struct found *ret, enum sae_folder *ret_kind, const char *path,
                            struct sae_err *err)
{
    struct names names;
    *ret = (struct found){0};
    SAE_TRY(own_kind(ret_kind, &names, path, err));
    enum sae_status st = SAE_OK;
    if (*ret_kind == SAE_FOLDER_OTHER)
        st = find_below(ret, path, &names, 1, err);
    sae_fs_list_free(names.v, names.n);
    if (st != SAE_OK)
        sae_fs_list_free(ret->runs, ret->n);
    return st;
}

enum sae_status sae_folder_kind(enum sae_folder *ret, const char *path, struct sae_err *err)
{
    struct found found;
    enum sae_folder kind;
    SAE_TRY(find(&found, &kind, path, err));
    if (kind == SAE_FOLDER_OTHER && found.n > 0)
        kind = SAE_FOLDER_RUNS;
    else if (kind == SAE_FOLDER_OTHER && found.results)
        kind = SAE_FOLDER_RESULTS;
    sae_fs_list_free(found.runs, found.n);
    *ret = kind;
    return SAE_OK;
}

enum sae_status sae_folder_runs(char ***ret, size_t *ret_n, const char *path, struct sae_err *err)
{
    struct found found;
    enum sae_folder kind;
    SAE_TRY(find(&found, &kind, path, err));
    *ret = found.runs;
    *ret_n = found.n;
    return SAE_OK;
}
