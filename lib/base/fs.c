/* SPDX-License-Identifier: MIT */
/* fs : folders, paths, whole-or-absent files.
 * Contents: 1. questions   2. paths   3. listing   4. reading   5. writing */
#include "lib/base/fs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"

/* --- 1. questions ------------------------------------------------------------------------- */

bool sae_fs_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool sae_fs_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* --- 2. paths ----------------------------------------------------------------------------- */

enum sae_status sae_fs_join(char **ret, const char *dir, const char *name, struct sae_err *err)
{
    if (dir == NULL || *dir == '\0' || *name == '/')
        return sae_mem_strdup(ret, name, err);
    const size_t n = strlen(dir);
    struct sae_str s = {0};
    const enum sae_status st =
        sae_str_printf(&s, err, "%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
    if (st != SAE_OK)
        sae_str_clear(&s);
    else
        *ret = s.s;
    return st;
}

const char *sae_fs_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

enum sae_status sae_fs_dir(char **ret, const char *path, struct sae_err *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return sae_mem_strdup(ret, ".", err);
    char *dir = NULL;
    SAE_TRY(sae_mem_strdup(&dir, path, err));
    dir[slash == path ? 1 : slash - path] = '\0';
    *ret = dir;
    return SAE_OK;
}

static enum sae_status real_path(char real[PATH_MAX], const char *path, struct sae_err *err)
{
    if (realpath(path, real) == NULL)
        return sae_err_set(err, SAE_EIO, "cannot find '%s': %s", path, strerror(errno));
    return SAE_OK;
}

enum sae_status sae_fs_relative(char **ret, const char *from, const char *to, struct sae_err *err)
{
    char a[PATH_MAX], b[PATH_MAX];
    SAE_TRY(real_path(a, from, err));
    SAE_TRY(real_path(b, to, err));
    /* Common leading parts, cut at a '/'. */
    size_t i = 0, cut = 0;
    while (a[i] != '\0' && a[i] == b[i]) {
        if (a[i] == '/')
            cut = i + 1;
        i++;
    }
    if ((a[i] == '\0' || a[i] == '/') && (b[i] == '\0' || b[i] == '/'))
        cut = i; /* one path ends inside the other */
    const char *up = a + cut;
    const char *down = b + cut;
    while (*down == '/')
        down++;
    while (*up == '/')
        up++;
    struct sae_str s = {0};
    enum sae_status st = SAE_OK;
    for (const char *p = up; st == SAE_OK && *p != '\0';) {
        st = sae_str_printf(&s, err, "../");
        p += strcspn(p, "/");
        p += *p == '/';
    }
    if (st == SAE_OK)
        st = sae_str_printf(&s, err, "%s", *down == '\0' && s.len == 0 ? "." : down);
    if (st != SAE_OK) {
        sae_str_clear(&s);
        return st;
    }
    if (s.len > 1 && s.s[s.len - 1] == '/')
        s.s[--s.len] = '\0';
    *ret = s.s;
    return SAE_OK;
}

enum sae_status sae_fs_make_dirs(const char *path, struct sae_err *err)
{
    char *copy = NULL;
    SAE_TRY(sae_mem_strdup(&copy, path, err));
    enum sae_status st = SAE_OK;
    for (char *p = copy + 1; st == SAE_OK; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        const char end = *p;
        *p = '\0';
        const int why = *copy == '\0' || mkdir(copy, 0777) == 0 ? 0 : errno;
        if (why != 0 && !sae_fs_is_dir(copy))
            st = sae_err_set(err, SAE_EIO, "cannot make folder '%s': %s", copy,
                             why == EEXIST ? "a file of that name is there" : strerror(why));
        *p = end;
        if (end == '\0')
            break;
    }
    free(copy);
    return st;
}

/* --- 3. listing --------------------------------------------------------------------------- */

int sae_fs_natural_cmp(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0') {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            while (*a == '0' && isdigit((unsigned char)a[1]))
                a++;
            while (*b == '0' && isdigit((unsigned char)b[1]))
                b++;
            const size_t na = strspn(a, "0123456789"), nb = strspn(b, "0123456789");
            if (na != nb)
                return na < nb ? -1 : 1;
            const int c = strncmp(a, b, na);
            if (c != 0)
                return c;
            a += na;
            b += nb;
        } else if (*a != *b) {
            break;
        } else {
            a++;
            b++;
        }
    }
    return (unsigned char)*a - (unsigned char)*b;
}

static int compare_names(const void *a, const void *b)
{
    const char *const x = *(char *const *)a, *const y = *(char *const *)b;
    const int order = sae_fs_natural_cmp(x, y);
    return order != 0 ? order : strcmp(x, y); /* "1" and "01": in one order everywhere */
}

enum sae_status sae_fs_list(char ***ret_names, size_t *ret_n, const char *dir, const char *prefix,
                            const char *suffix, struct sae_err *err)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return sae_err_set(err, SAE_EIO, "cannot list '%s': %s", dir, strerror(errno));
    char **names = NULL;
    size_t n = 0, cap = 0;
    enum sae_status st;
    SAE_GO(st, sae_mem_grow(&names, &cap, 1, sizeof *names, err));
    const struct dirent *entry;
    while ((entry = readdir(d)) != NULL) {
        const char *name = entry->d_name;
        if (strncmp(name, prefix, strlen(prefix)) != 0 || !sae_str_ends(name, suffix) ||
            strlen(name) < strlen(prefix) + strlen(suffix) || strcmp(name, ".") == 0 ||
            strcmp(name, "..") == 0)
            continue;
        SAE_GO(st, sae_mem_grow(&names, &cap, n + 1, sizeof *names, err));
        SAE_GO(st, sae_mem_strdup(&names[n], name, err));
        n++;
    }
    qsort(names, n, sizeof *names, compare_names);
    *ret_names = names;
    *ret_n = n;
    names = NULL;
done:
    closedir(d);
    if (names != NULL)
        sae_fs_list_free(names, n);
    return st;
}

void sae_fs_list_free(char **names, size_t n)
{
    for (size_t i = 0; names != NULL && i < n; i++)
        free(names[i]);
    free(names);
}

/* --- 4. reading --------------------------------------------------------------------------- */

enum sae_status sae_fs_read(char **ret, size_t *ret_len, const char *path, size_t max_bytes,
                            struct sae_err *err)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return sae_err_set(err, SAE_EIO, "cannot open '%s': %s", path, strerror(errno));
    struct sae_str s = {0};
    enum sae_status st = sae_str_append(&s, "", 0, err);
    char buf[16384];
    size_t n;
    while (st == SAE_OK && (n = fread(buf, 1, sizeof buf, file)) > 0) {
        st = sae_str_append(&s, buf, n, err);
        if (st == SAE_OK && s.len > max_bytes)
            st = sae_err_set(err, SAE_ERANGE, "'%s' is larger than %zu bytes", path, max_bytes);
    }
    if (st == SAE_OK && ferror(file))
        st = sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
    fclose(file);
    if (st != SAE_OK) {
        sae_str_clear(&s);
        return st;
    }
    *ret = s.s;
    *ret_len = s.len;
    return SAE_OK;
}

/* --- 5. writing --------------------------------------------------------------------------- */

static void sync_folder_of(const char *path)
{
    char *dir = NULL;
    if (sae_fs_dir(&dir, path, NULL) != SAE_OK)
        return;
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* best effort: some file systems refuse to sync a folder */
        close(fd);
    }
    free(dir);
}

enum sae_status sae_fs_publish(const char *part, const char *path, struct sae_err *err)
{
    const int fd = open(part, O_RDONLY | O_CLOEXEC);
    const int failed = fd < 0 || fsync(fd) != 0;
    const int why = errno;
    if (fd >= 0)
        close(fd);
    if (failed || rename(part, path) != 0) {
        const int reason = failed ? why : errno;
        unlink(part);
        return sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path, strerror(reason));
    }
    sync_folder_of(path);
    return SAE_OK;
}

enum sae_status sae_fs_write(const char *path, const char *data, size_t len, struct sae_err *err)
{
    struct sae_str part = {0};
    SAE_TRY(sae_str_printf(&part, err, "%s.part", path));
    enum sae_status st = SAE_OK;
    FILE *file = fopen(part.s, "wb");
    if (file == NULL) {
        st = sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path, strerror(errno));
    } else {
        const bool short_write = fwrite(data, 1, len, file) != len;
        const int why = errno;
        if ((fclose(file) != 0) || short_write) {
            st = sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path,
                             strerror(short_write ? why : errno));
            unlink(part.s);
        } else {
            st = sae_fs_publish(part.s, path, err);
        }
    }
    sae_str_clear(&part);
    return st;
}
