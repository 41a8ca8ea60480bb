/* SPDX-License-Identifier: MIT */
/* target : which checkpoints a tool works on. */
#include "lib/cli/target.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/name.h"
#include "lib/base/str.h"
#include "lib/cli/folder.h"

struct paths {
    char **v;
    size_t n, cap;
};

static enum sae_status add(struct paths *paths, const char *dir, const char *name,
                           struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&paths->v, &paths->cap, paths->n + 1, sizeof *paths->v, err));
    SAE_TRY(sae_fs_join(&paths->v[paths->n], dir, name, err));
    paths->n++;
    return SAE_OK;
}

/* Adds the last checkpoint of a run folder, or all; *ret_found tells how many it has. */
static enum sae_status add_run(struct paths *paths, const char *dir, bool all, size_t *ret_found,
                               struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0;
    SAE_TRY(sae_fs_list(&names, &n, dir, "ckpt_", ".h5", err));
    enum sae_status st = SAE_OK;
    const char *shown = strcmp(dir, ".") == 0 ? NULL : dir; /* "ckpt_50.h5", not "./ckpt_50.h5" */
    for (size_t i = all || n == 0 ? 0 : n - 1; st == SAE_OK && i < n; i++)
        st = add(paths, shown, names[i], err);
    sae_fs_list_free(names, n);
    *ret_found = n;
    return st;
}

/* Weights as other packages name them; one SAE a folder. */
static const char *const only_names[] = {"sae_weights.safetensors", "sae.safetensors", "ae.pt",
                                         "params.npz", "params.safetensors"};
enum { N_ONLY = sizeof only_names / sizeof *only_names };

bool sae_target_is_only(const char *name)
{
    for (size_t i = 0; i < N_ONLY; i++)
        if (strcmp(name, only_names[i]) == 0)
            return true;
    return false;
}

/* Adds the SAE of another package that a folder holds. */
static enum sae_status add_only(struct paths *paths, const char *dir, bool *ret_found,
                                struct sae_err *err)
{
    *ret_found = false;
    for (size_t i = 0; i < N_ONLY && !*ret_found; i++) {
        char *path = NULL;
        SAE_TRY(sae_fs_join(&path, dir, only_names[i], err));
        *ret_found = sae_fs_is_file(path);
        free(path);
        if (*ret_found)
            SAE_TRY(add(paths, dir, only_names[i], err));
    }
    return SAE_OK;
}

/* Adds the runs of a sweep. */
static enum sae_status add_runs(struct paths *paths, const char *dir, bool all, struct sae_err *err)
{
    char **runs = NULL;
    size_t n = 0, found;
    SAE_TRY(sae_folder_runs(&runs, &n, dir, err));
    enum sae_status st = SAE_OK;
    for (size_t i = 0; st == SAE_OK && i < n; i++)
        st = add_run(paths, runs[i], all, &found, err);
    sae_fs_list_free(runs, n);
    return st;
}

/* Of a checkpoint that is not there: which ones its run has. */
static enum sae_status refuse_missing(const char *arg, struct sae_err *err)
{
    char *dir = NULL, **names = NULL;
    size_t n = 0;
    struct sae_str list = {0};
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_fs_dir(&dir, arg, err));
    if (sae_fs_is_dir(dir))
        SAE_GO(st, sae_fs_list(&names, &n, dir, "ckpt_", ".h5", err));
    for (size_t i = 0; i < n; i++)
        SAE_GO(st, sae_str_printf(&list, err, "%s%s", i > 0 ? ", " : "", names[i]));
    if (n > 0 && sae_str_ends(arg, ".h5"))
        st = sae_err_set(err, SAE_EIO, "cannot find '%s': no such file; '%s' holds %s", arg, dir,
                         list.s);
    else
        st = sae_err_set(err, SAE_EIO, "cannot find '%s': no such file or folder", arg);
done:
    sae_fs_list_free(names, n);
    sae_str_clear(&list);
    free(dir);
    return st;
}

static enum sae_status add_operand(struct paths *paths, const char *arg, bool all,
                                   struct sae_err *err)
{
    if (!sae_fs_is_dir(arg)) {
        if (!sae_fs_is_file(arg))
            return refuse_missing(arg, err);
        return add(paths, NULL, arg, err);
    }
    enum sae_folder kind;
    size_t found;
    bool only;
    SAE_TRY(sae_folder_kind(&kind, arg, err));
    switch (kind) {
    case SAE_FOLDER_RUN:
        return add_run(paths, arg, all, &found, err);
    case SAE_FOLDER_SAE:
        return add_only(paths, arg, &only, err);
    case SAE_FOLDER_RUNS:
        return add_runs(paths, arg, all, err);
    default:
        return sae_err_set(err, SAE_EARG,
                           "'%s' %s; name a run folder of sae-train, a folder of runs, a "
                           "checkpoint, or the folder of an SAE of another package "
                           "(sae_weights.safetensors, sae.safetensors, ae.pt, params.npz, "
                           "params.safetensors)",
                           arg, sae_folder_says(kind));
    }
}

static enum sae_status add_from_here(struct paths *paths, bool all, struct sae_err *err)
{
    size_t found;
    SAE_TRY(add_run(paths, ".", all, &found, err));
    if (found > 0)
        return SAE_OK;
    char **runs = NULL;
    size_t n = 0;
    SAE_TRY(sae_fs_list(&runs, &n, ".", "run_", "", err));
    enum sae_status st = SAE_OK;
    for (size_t i = 0; st == SAE_OK && i < n; i++)
        if (sae_fs_is_dir(runs[i]))
            st = add_run(paths, runs[i], all, &found, err);
    sae_fs_list_free(runs, n);
    if (st == SAE_OK && paths->n == 0)
        st = sae_err_set(err, SAE_EARG, "no checkpoint given, and none found: the current folder "
                         "holds neither ckpt_*.h5 nor run_*/ckpt_*.h5");
    return st;
}

enum sae_status sae_target_find(char ***ret, size_t *ret_n, char *const *args, size_t n_args,
                                bool all, struct sae_err *err)
{
    struct paths paths = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; st == SAE_OK && i < n_args; i++)
        st = add_operand(&paths, args[i], all, err);
    if (st == SAE_OK && n_args == 0)
        st = add_from_here(&paths, all, err);
    if (st != SAE_OK) {
        sae_fs_list_free(paths.v, paths.n);
        return st;
    }
    *ret = paths.v;
    *ret_n = paths.n;
    return SAE_OK;
}

enum sae_status sae_target_run(char **ret, const char *ckpt_path, struct sae_err *err)
{
    return sae_fs_dir(ret, ckpt_path, err);
}

enum sae_status sae_target_run_name(char **ret, const char *ckpt_path, size_t more,
                                    struct sae_err *err)
{
    char *dir = NULL;
    char real[PATH_MAX];
    enum sae_status st;
    SAE_TRY(sae_fs_dir(&dir, ckpt_path, err));
    if (more == 0 && sae_str_ends(ckpt_path, ".h5"))
        st = sae_mem_strdup(ret, sae_fs_base(realpath(dir, real) != NULL ? real : dir), err);
    else
        st = sae_name_folder(ret, dir, more, err);
    free(dir);
    return st;
}
