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
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/part.h"
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

bool sae_fs_same(const char *a, const char *b)
{
    struct stat x, y;
    if (strcmp(a, b) == 0)
        return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
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

/* Whether the path up to `n` ends in the name of a true folder, neither ".." nor a link. */
static bool is_way_in(char *path, size_t start, size_t n)
{
    struct stat st;
    const size_t len = n - start;
    if (len == 0 || (path[start] == '.' && (len == 1 || (len == 2 && path[start + 1] == '.'))))
        return false;
    const char kept = path[n];
    path[n] = '\0';
    const bool is_true = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
    path[n] = kept;
    return is_true;
}

void sae_fs_shorten(char *path)
{
    while (strncmp(path, "./", 2) == 0 && path[2] != '\0' && path[2] != '/')
        memmove(path, path + 2, strlen(path + 2) + 1);
    for (char *up; (up = strstr(path, "/../")) != NULL;) {
        char *start = up;
        while (start > path && start[-1] != '/')
            start--;
        if (!is_way_in(path, (size_t)(start - path), (size_t)(up - path)) || up[4] == '\0')
            return;
        memmove(start, up + 4, strlen(up + 4) + 1);
    }
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

/* Compares two runs of digits as numbers, or as what stands after a decimal point, and moves past them. */
static int compare_digits(const char **at_a, const char **at_b, bool fraction)
{
    static const char digits[] = "0123456789";
    const char *a = *at_a, *b = *at_b;
    while (!fraction && *a == '0' && isdigit((unsigned char)a[1]))
        a++;
    while (!fraction && *b == '0' && isdigit((unsigned char)b[1]))
        b++;
    const size_t na = strspn(a, digits), nb = strspn(b, digits), n = na < nb ? na : nb;
    const int c = strncmp(a, b, n);
    *at_a = a + na;
    *at_b = b + nb;
    if (na != nb && (c == 0 || !fraction))
        return na < nb ? -1 : 1;
    return c;
}

int sae_fs_natural_cmp(const char *a, const char *b)
{
    bool whole = false, fraction = false; /* what was passed: a number; a number and a point */
    while (*a != '\0' && *b != '\0') {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            const int c = compare_digits(&a, &b, fraction);
            if (c != 0)
                return c;
            whole = !fraction;
            fraction = false;
        } else if (*a != *b) {
            break;
        } else {
            fraction = whole && *a == '.';
            whole = false;
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

bool sae_fs_is_lfs_pointer(const void *bytes, size_t n)
{
    static const char head[] = "version https://git-lfs.github.com/spec/";
    return n >= sizeof head - 1 && memcmp(bytes, head, sizeof head - 1) == 0;
}

enum sae_status sae_fs_refuse_lfs_pointer(const char *path, struct sae_err *err)
{
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' is a Git LFS pointer, not the file itself; run 'git lfs pull' in its "
                       "folder to get the file",
                       path);
}

/* What a process is handed by name of one of its own descriptors: a pipe is meant to be read. */
static bool is_own_descriptor(const char *path)
{
    return strcmp(path, "/dev/stdin") == 0 || strncmp(path, "/dev/fd/", 8) == 0 ||
           strncmp(path, "/proc/self/fd/", 14) == 0;
}

static enum sae_status check_kind(int fd, const char *path, struct sae_err *err)
{
    struct stat st;
    char head[64];
    if (fstat(fd, &st) != 0)
        return sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return sae_err_set(err, SAE_EFORMAT, "cannot read '%s': it is a folder, not a regular file", path);
    if (!S_ISREG(st.st_mode))
        return is_own_descriptor(path)
                   ? SAE_OK
                   : sae_err_set(err, SAE_EFORMAT,
                                 "cannot read '%s': it is a pipe, a socket or a device, not a "
                                 "regular file",
                                 path);
    const ssize_t n = pread(fd, head, sizeof head, 0);
    if (n > 0 && sae_fs_is_lfs_pointer(head, (size_t)n))
        return sae_fs_refuse_lfs_pointer(path, err);
    return SAE_OK;
}

enum sae_status sae_fs_open(int *ret_fd, const char *path, struct sae_err *err)
{
    /* O_NONBLOCK: a pipe is to be refused below, not waited for. */
    const int wait = is_own_descriptor(path) ? 0 : O_NONBLOCK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | wait);
    if (fd < 0)
        return sae_err_set(err, SAE_EIO, "cannot open '%s': %s", path, strerror(errno));
    const enum sae_status st = check_kind(fd, path, err);
    if (st != SAE_OK)
        close(fd);
    else
        *ret_fd = fd;
    return st;
}

enum sae_status sae_fs_open_stream(FILE **ret, const char *path, struct sae_err *err)
{
    int fd;
    SAE_TRY(sae_fs_open(&fd, path, err));
    FILE *file = fdopen(fd, "rb");
    if (file == NULL) {
        close(fd);
        return sae_err_set(err, SAE_ENOMEM, "out of memory (opening '%s')", path);
    }
    *ret = file;
    return SAE_OK;
}

enum sae_status sae_fs_read(char **ret, size_t *ret_len, const char *path, size_t max_bytes,
                            struct sae_err *err)
{
    FILE *file = NULL;
    SAE_TRY(sae_fs_open_stream(&file, path, err));
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

enum sae_status sae_fs_write(const char *path, const char *data, size_t len, struct sae_err *err)
{
    FILE *file = NULL;
    char *part = NULL;
    SAE_TRY(sae_part_open(&file, &part, path, err));
    const bool short_write = fwrite(data, 1, len, file) != len;
    const int why = errno;
    enum sae_status st = SAE_OK;
    if ((fclose(file) != 0) || short_write) {
        st = sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path,
                         strerror(short_write ? why : errno));
        unlink(part);
    } else {
        st = sae_part_publish(part, path, true, err);
    }
    free(part);
    return st;
}

double sae_fs_free_bytes(const char *dir)
{
    struct statvfs vfs;
    char *at = NULL;
    double ret = -1;
    if (sae_fs_join(&at, "", dir, NULL) != SAE_OK)
        return ret;
    while (statvfs(at, &vfs) != 0) {
        char *up = NULL;
        if (sae_fs_dir(&up, at, NULL) != SAE_OK || strcmp(up, at) == 0) {
            free(up);
            free(at);
            return ret;
        }
        free(at);
        at = up;
    }
    ret = (double)vfs.f_bavail * (double)vfs.f_frsize;
    free(at);
    return ret;
}
