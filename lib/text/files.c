/* SPDX-License-Identifier: MIT */
/* files : text files by name or by folder, in an order that depends on names alone.
 *
 * Contents:  1. finding files   2. what they hold   3. hashes */
#include "lib/text/files.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"

enum { MAX_DEPTH = 64 };

/* --- 1. finding files --------------------------------------------------------------------- */

static enum sae_status add_file(struct sae_files *files, const char *path, uint64_t n_bytes,
                                bool named, struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&files->v, &files->cap, files->n + 1, sizeof *files->v, err));
    SAE_TRY(sae_mem_strdup(&files->v[files->n].path, path, err));
    files->v[files->n].n_bytes = n_bytes;
    files->v[files->n].named = named;
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

/* below: the path from the folder that was named. */
static bool matches(const struct sae_files *files, const char *below)
{
    if (files->glob == NULL)
        return true;
    const char *const name = strchr(files->glob, '/') != NULL ? below : sae_fs_base(below);
    return fnmatch(files->glob, name, 0) == 0;
}

/* n_top: length of the name of the folder that was named, with its slash. */
static enum sae_status add_folder(struct sae_files *files, const char *dir, size_t n_top, int depth,
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
        if (S_ISREG(file.st_mode) && matches(files, path + n_top))
            SAE_GO(st, add_file(files, path, (uint64_t)file.st_size, files->glob != NULL, err));
        else if (S_ISDIR(link.st_mode))
            SAE_GO(st, add_folder(files, path, n_top, depth + 1, err));
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
        return add_file(files, path, (uint64_t)file.st_size, true, err);
    const size_t before = files->n, n_path = strlen(path);
    SAE_TRY(add_folder(files, path, n_path + (path[n_path - 1] != '/'), 0, err));
    if (files->n == before && files->glob != NULL)
        return sae_err_set(err, SAE_EIO, "'%s' holds no file that matches '%s'", path, files->glob);
    if (files->n == before)
        return sae_err_set(err, SAE_EIO, "'%s' holds no files", path);
    return SAE_OK;
}

/* --- 2. what they hold -------------------------------------------------------------------- */

static enum sae_status find_kind(struct sae_text_file *file, const char *field, struct sae_err *err)
{
    struct sae_bytes bytes = {0};
    SAE_TRY(sae_bytes_open(&bytes, file->path, err));
    const enum sae_status st = sae_kind_find(&file->found, &bytes, file->path, field, err);
    sae_bytes_close(&bytes);
    return st;
}

/* README, LICENSE and the like, which lie beside data sets and tell about them. */
static bool is_documentation(const char *path)
{
    static const char *const names[] = {"README",   "LICENSE", "LICENCE",   "COPYING",
                                        "CITATION", "NOTICE",  "CHANGELOG", "AUTHORS"};
    const char *const base = sae_fs_base(path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t n = strlen(names[i]);
        if (strncasecmp(base, names[i], n) == 0 && (base[n] == '\0' || base[n] == '.'))
            return true;
    }
    return false;
}

static bool are_rows_found(const struct sae_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        if (sae_kind_has_rows(files->v[i].found.kind) && files->v[i].found.usable)
            return true;
    return false;
}

/* Why a file found in a folder is left out; NULL: it is not. */
static const char *reason(const struct sae_text_file *file, bool beside_rows)
{
    if (!file->found.usable || file->found.kind == SAE_KIND_MARKUP)
        return file->found.name;
    if (beside_rows && file->found.kind == SAE_KIND_PLAIN && is_documentation(file->path))
        return "documentation";
    return NULL;
}

static void drop_file(struct sae_files *files, struct sae_text_file *file, const char *why)
{
    size_t i = 0;
    while (i < files->n_reasons && strcmp(files->left[i].name, why) != 0)
        i++;
    if (i == files->n_reasons && i < SAE_FILES_REASONS)
        files->left[files->n_reasons++].name = why;
    if (i < SAE_FILES_REASONS)
        files->left[i].n++;
    if (files->n_left++ == 0)
        snprintf(files->first_left, sizeof files->first_left, "'%.80s': %s", file->path,
                 file->found.why[0] != '\0' ? file->found.why : why);
    free(file->path);
}

enum sae_status sae_files_sort_out(struct sae_files *files, const char *field, struct sae_err *err)
{
    for (size_t i = 0; i < files->n; i++) {
        struct sae_text_file *file = &files->v[i];
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped before anything was written");
        SAE_TRY(find_kind(file, field, err));
        if (file->named && !file->found.usable)
            return sae_err_set(err, SAE_EFORMAT, "cannot use '%s': %s", file->path,
                               file->found.why);
    }
    const bool beside_rows = are_rows_found(files);
    size_t kept = 0;
    for (size_t i = 0; i < files->n; i++) {
        const char *const why = files->v[i].named ? NULL : reason(&files->v[i], beside_rows);
        if (why != NULL)
            drop_file(files, &files->v[i], why);
        else
            files->v[kept++] = files->v[i];
    }
    files->n = kept;
    if (kept > 0)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT, "none of %zu files can be used; %s%s", files->n_left,
                       files->first_left, files->n_left > 1 ? ", and others" : "");
}

enum sae_status sae_files_say(const struct sae_files *files, struct sae_str *to,
                              struct sae_err *err)
{
    size_t counted = 0;
    SAE_TRY(sae_str_printf(to, err, "%zu file%s: ", files->n + files->n_left,
                           files->n + files->n_left == 1 ? "" : "s"));
    for (size_t i = 0; i < files->n; i++) {
        const char *const name = files->v[i].found.name;
        size_t n = 0, first = 0;
        while (strcmp(files->v[first].found.name, name) != 0)
            first++;
        for (size_t j = i; first == i && j < files->n; j++)
            n += strcmp(files->v[j].found.name, name) == 0;
        if (n > 0)
            SAE_TRY(sae_str_printf(to, err, "%s%zu %s", counted++ > 0 ? ", " : "", n, name));
    }
    if (files->n_left > 0)
        SAE_TRY(sae_str_printf(to, err, "; %zu left out (", files->n_left));
    for (size_t i = 0; i < files->n_reasons; i++)
        SAE_TRY(sae_str_printf(to, err, "%s%zu %s", i > 0 ? ", " : "", files->left[i].n,
                               files->left[i].name));
    return files->n_left > 0 ? sae_str_append(to, ")", 1, err) : SAE_OK;
}

/* --- 3. hashes ---------------------------------------------------------------------------- */

uint64_t sae_files_bytes(const struct sae_files *files)
{
    uint64_t n = 0;
    for (size_t i = 0; i < files->n; i++)
        n += files->v[i].n_bytes;
    return n;
}

static enum sae_status hash_file(struct sae_text_file *file, uint64_t *done,
                                 void (*step)(void *context, uint64_t done), void *context,
                                 struct sae_err *err)
{
    enum { CHUNK = 1 << 20 };
    struct sae_digest digest;
    unsigned char *chunk = NULL;
    FILE *const from = fopen(file->path, "rb");
    if (from == NULL)
        return sae_err_set(err, SAE_EIO, "cannot open '%s': %s", file->path, strerror(errno));
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&chunk, CHUNK, 1, err));
    sae_digest_init(&digest);
    for (size_t n; (n = fread(chunk, 1, CHUNK, from)) > 0;) {
        sae_digest_update(&digest, chunk, n);
        *done += n;
        if (step != NULL)
            step(context, *done);
        if (sae_stop_asked()) {
            st = sae_err_set(err, SAE_EINTR, "stopped before anything was written");
            goto done;
        }
    }
    if (ferror(from))
        st = sae_err_set(err, SAE_EIO, "cannot read '%s': %s", file->path, strerror(errno));
    else
        sae_digest_hex(&digest, file->sha256);
done:
    free(chunk);
    fclose(from);
    return st;
}

enum sae_status sae_files_hash(struct sae_files *files,
                               void (*step)(void *context, uint64_t done), void *context,
                               struct sae_err *err)
{
    uint64_t done = 0;
    for (size_t i = 0; i < files->n; i++)
        SAE_TRY(hash_file(&files->v[i], &done, step, context, err));
    return SAE_OK;
}

void sae_files_clear(struct sae_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        free(files->v[i].path);
    free(files->v);
    *files = (struct sae_files){0};
}
