/* SPDX-License-Identifier: MIT */
/* part : temporary files that belong to one process.
 * Contents: 1. names   2. sweeping   3. creating   4. publishing */
#include "lib/base/part.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/host.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { TRIES = 1000, DAY = 24 * 60 * 60 };

/* --- 1. names ----------------------------------------------------------------------------- */

/* Takes "NAME.HOST.PID.N.part" apart, from the right. False for any other name. */
static bool parse_name(char host[SAE_HOST_MAX], uint64_t *pid, const char *name)
{
    char copy[256];
    if (!sae_str_ends(name, ".part") || strlen(name) >= sizeof copy)
        return false;
    memcpy(copy, name, strlen(name) + 1);
    copy[strlen(copy) - strlen(".part")] = '\0';
    char *field[3]; /* N, PID, HOST */
    for (size_t i = 0; i < 3; i++) {
        char *dot = strrchr(copy, '.');
        if (dot == NULL || dot == copy)
            return false;
        *dot = '\0';
        field[i] = dot + 1;
    }
    uint64_t n;
    const size_t len = strlen(field[2]);
    if (!sae_str_u64(field[0], &n) || !sae_str_u64(field[1], pid) || len < 10 ||
        len >= SAE_HOST_MAX || field[2][len - 9] != '-')
        return false;
    memcpy(host, field[2], len + 1);
    return true;
}

/* --- 2. sweeping -------------------------------------------------------------------------- */

static bool abandoned(const char *path, const char *host, uint64_t pid)
{
    if (strcmp(host, sae_host_token()) == 0)
        return pid > INT64_MAX || !sae_host_alive((int64_t)pid, 0);
    struct stat st;
    return lstat(path, &st) == 0 && st.st_mtime < time(NULL) - DAY;
}

size_t sae_part_sweep(const char *dir)
{
    char **names = NULL;
    size_t n = 0, gone = 0;
    if (sae_fs_list(&names, &n, dir, "", ".part", NULL) != SAE_OK)
        return 0;
    for (size_t i = 0; i < n; i++) {
        char host[SAE_HOST_MAX];
        uint64_t pid;
        char *path = NULL;
        if (parse_name(host, &pid, names[i]) && sae_fs_join(&path, dir, names[i], NULL) == SAE_OK &&
            abandoned(path, host, pid))
            gone += unlink(path) == 0;
        free(path);
    }
    sae_fs_list_free(names, n);
    return gone;
}

/* Sweeps the folder of `path` unless it was the last one swept: a store of thousands of shards is
 * not listed once for each. */
static void sweep_once(const char *path)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    static dev_t device;
    static ino_t inode;
    char *dir = NULL;
    struct stat st;
    if (sae_fs_dir(&dir, path, NULL) == SAE_OK && stat(dir, &st) == 0) {
        pthread_mutex_lock(&turn);
        const bool swept = device == st.st_dev && inode == st.st_ino;
        device = st.st_dev;
        inode = st.st_ino;
        pthread_mutex_unlock(&turn);
        if (!swept)
            sae_part_sweep(dir);
    }
    free(dir);
}

/* --- 3. creating -------------------------------------------------------------------------- */

static enum sae_status next_name(char **ret, const char *path, struct sae_err *err)
{
    static atomic_uint counter;
    struct sae_str s = {0};
    const enum sae_status st =
        sae_str_printf(&s, err, "%s.%s.%ld.%u.part", path, sae_host_token(), (long)getpid(),
                       atomic_fetch_add(&counter, 1));
    if (st != SAE_OK)
        sae_str_clear(&s);
    else
        *ret = s.s;
    return st;
}

/* A rename would put a file in the place of the device, which root may do. */
static enum sae_status refuse_device(const char *path, struct sae_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)))
        return sae_err_set(err, SAE_EARG, "cannot write '%s': it is a device, not a file", path);
    return SAE_OK;
}

enum sae_status sae_part_name(char **ret, const char *path, struct sae_err *err)
{
    SAE_TRY(refuse_device(path, err));
    sweep_once(path);
    for (int i = 0; i < TRIES; i++) {
        char *name = NULL;
        struct stat st;
        SAE_TRY(next_name(&name, path, err));
        if (lstat(name, &st) != 0) {
            *ret = name;
            return SAE_OK;
        }
        free(name);
    }
    return sae_err_set(err, SAE_EIO, "cannot write '%s': no free name for a temporary file", path);
}

enum sae_status sae_part_open(FILE **ret, char **ret_name, const char *path, struct sae_err *err)
{
    SAE_TRY(refuse_device(path, err));
    sweep_once(path);
    char *name = NULL;
    int fd = -1;
    for (int i = 0; fd < 0 && i < TRIES; i++) {
        free(name);
        name = NULL;
        SAE_TRY(next_name(&name, path, err));
        fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (file == NULL) {
        const enum sae_status st =
            sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
            unlink(name);
        }
        free(name);
        return st;
    }
    *ret = file;
    *ret_name = name;
    return SAE_OK;
}

enum sae_status sae_part_try(const char *path, struct sae_err *err)
{
    FILE *file = NULL;
    char *part = NULL;
    SAE_TRY(sae_part_open(&file, &part, path, err));
    fclose(file);
    unlink(part);
    free(part);
    return SAE_OK;
}

/* --- 4. publishing ------------------------------------------------------------------------ */

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

static bool sync_file(const char *part)
{
    const int fd = open(part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool good = fsync(fd) == 0;
    const int why = errno;
    close(fd);
    errno = why;
    return good;
}

/* Renames where nothing is at `path`. Not every file system can refuse to replace; a hard link is
 * refused where a name is taken, and the last resort looks first. */
static bool rename_new(const char *part, const char *path)
{
    if (renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
        return false;
    if (link(part, path) == 0) {
        unlink(part);
        return true;
    }
    if (errno == EEXIST)
        return false;
    struct stat st;
    if (lstat(path, &st) == 0) {
        errno = EEXIST;
        return false;
    }
    return rename(part, path) == 0;
}

enum sae_status sae_part_publish(const char *part, const char *path, bool replace,
                                 struct sae_err *err)
{
    if (!sync_file(part) || !(replace ? rename(part, path) == 0 : rename_new(part, path))) {
        const int why = errno;
        unlink(part);
        if (!replace && why == EEXIST)
            return sae_err_set(err, SAE_EARG,
                               "'%s' was written by another process meanwhile; it stays as it is",
                               path);
        return sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path, strerror(why));
    }
    sync_folder_of(path);
    return SAE_OK;
}
