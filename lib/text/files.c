/* SPDX-License-Identifier: MIT */
/* files : text files by name or by folder, in an order that depends on names alone. */
#include "lib/text/files.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"

enum { MAX_DEPTH = 64 };

static enum sae_status add_file(struct sae_files *files, const char *path, uint64_t n_bytes,
                                struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&files->v, &files->cap, files->n + 1, sizeof *files->v, err));
    SAE_TRY(sae_mem_strdup(&files->v[files->n].path, path, err));
    files->v[files->n].n_bytes = n_bytes;
    files->n++;
    return SAE_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted by bytes, hidden ones left out. */
static enum sae_status list_names(char ***ret, size_t *ret_n, const char *dir, struct sae_err *err)
{
    SAE_TRY(sae_fs_list(ret, ret_n, dir, "", "", err));
    qsort(*ret, *ret_n, sizeof **ret, compare_names);
    return SAE_OK;
}

static enum sae_status add_folder(struct sae_files *files, const char *dir, int depth,
                                  struct sae_err *err)
{
    if (depth > MAX_DEPTH)
        return sae_err_set(err, SAE_EIO, "'%s' is nested more than %d folders deep", dir,
                           MAX_DEPTH);
    char **names = NULL, *path = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_TRY(list_names(&names, &n, dir, err));
    for (size_t i = 0; i < n; i++) {
        if (names[i][0] == '.')
            continue;
        free(path);
        path = NULL;
        SAE_GO(st, sae_fs_join(&path, dir, names[i], err));
        struct stat link, file;
        if (lstat(path, &link) != 0 || stat(path, &file) != 0) {
            st = sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
            goto done;
        }
        if (S_ISREG(file.st_mode))
            SAE_GO(st, add_file(files, path, (uint64_t)file.st_size, err));
        else if (S_ISDIR(link.st_mode))
            SAE_GO(st, add_folder(files, path, depth + 1, err));
    }
    st = SAE_OK;
done:
    free(path);
    sae_fs_list_free(names, n);
    return st;
}

enum sae_status sae_files_add(struct sae_files *files, const char *path, struct sae_err *err)
{
    struct stat file;
    if (stat(path, &file) != 0)
        return sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
    if (!S_ISDIR(file.st_mode) && !S_ISREG(file.st_mode))
        return sae_err_set(err, SAE_EIO,
                           "cannot use '%s': it is not a regular file, and texts are read twice, "
                           "first for their SHA-256; write it to a file",
                           path);
    if (!S_ISDIR(file.st_mode))
        return add_file(files, path, (uint64_t)file.st_size, err);
    const size_t before = files->n;
    SAE_TRY(add_folder(files, path, 0, err));
    if (files->n == before)
        return sae_err_set(err, SAE_EIO, "'%s' holds no files", path);
    return SAE_OK;
}

enum sae_status sae_files_hash(struct sae_files *files, struct sae_err *err)
{
    for (size_t i = 0; i < files->n; i++) {
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped before anything was written");
        SAE_TRY(sae_digest_file(files->v[i].path, files->v[i].sha256, err));
    }
    return SAE_OK;
}

void sae_files_clear(struct sae_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        free(files->v[i].path);
    free(files->v);
    *files = (struct sae_files){0};
}
