/* SPDX-License-Identifier: MIT */
/* lock : one writer for a folder.
 * Contents: 1. a writer's file   2. other writers   3. signs of life   4. taking and giving back */
#include "lib/base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/part.h"
#include "lib/base/str.h"

/* How long the first of two that came at once waits for the other to give up, in steps of 20 ms. */
enum { WAITS = 100, WAIT_NS = 20 * 1000 * 1000, TEXT_MAX = 1024 };

struct sae_lock {
    char *dir;
    char *path; /* of our own file */
    pid_t pid;  /* a child of fork() must not give back what its parent holds */
    struct sae_lock *next;
};

/* --- 1. a writer's file ------------------------------------------------------------------- */

/* What the file of a writer says; the texts are "" where it cannot be read. */
struct writer {
    char program[64], host[SAE_HOST_MAX], since[40];
    long long pid;
    unsigned long long started;
    time_t touched; /* by the clock of the file system */
};

/* Whole when it appears, like any other file, but not synced: it matters to living processes only,
 * and a slow disk would make those wait that come at once. */
static enum sae_status write_quickly(const char *path, const struct sae_str *text,
                                     struct sae_err *err)
{
    FILE *file = NULL;
    char *part = NULL;
    SAE_TRY(sae_part_open(&file, &part, path, err));
    const bool written = fwrite(text->s, 1, text->len, file) == text->len;
    enum sae_status st = SAE_OK;
    if (fclose(file) != 0 || !written || rename(part, path) != 0) {
        st = sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path, strerror(errno));
        unlink(part);
    }
    free(part);
    return st;
}

static enum sae_status write_own(char **ret, const char *dir, const char *program,
                                 struct sae_err *err)
{
    static atomic_uint counter;
    struct sae_str path = {0}, text = {0};
    char since[40];
    const time_t now = time(NULL);
    struct tm tm;
    strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&path, err, "%s/.writer.%s.%ld.%u.lock", dir, sae_host_token(),
                              (long)getpid(), atomic_fetch_add(&counter, 1)));
    SAE_GO(st, sae_str_printf(&text, err, "program %.60s\nhost %s\npid %ld\nstarted %llu\nsince %s\n",
                              program, sae_host_token(), (long)getpid(),
                              (unsigned long long)sae_host_started(getpid()), since));
    SAE_GO(st, write_quickly(path.s, &text, err));
    *ret = path.s;
    path = (struct sae_str){0};
done:
    sae_str_clear(&path);
    sae_str_clear(&text);
    return st;
}

/* False where the file is gone, or is none of ours (a link, a pipe, a folder). */
static bool read_writer(struct writer *ret, const char *path)
{
    char text[TEXT_MAX];
    struct stat st;
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n < 0 ? 0 : n] = '\0';
    *ret = (struct writer){.touched = st.st_mtime};
    if (sscanf(text, "program %63s host %39s pid %lld started %llu since %39s", ret->program,
               ret->host, &ret->pid, &ret->started, ret->since) != 5)
        *ret = (struct writer){.touched = st.st_mtime};
    return true;
}

static bool is_here(const struct writer *w)
{
    return strcmp(w->host, sae_host_token()) == 0;
}

/* now: the time of the file system, that of a file just touched. */
static bool is_alive(const struct writer *w, time_t now)
{
    if (is_here(w))
        return sae_host_alive(w->pid, w->started);
    return w->touched > now - SAE_LOCK_SILENCE;
}

/* --- 2. other writers --------------------------------------------------------------------- */

static void warn_dead(const char *dir, const struct writer *w)
{
    if (w->host[0] == '\0')
        sae_log_warn("'%s': the lock of a writer that cannot be read and that nobody touched for "
                     "%d minutes is removed", dir, SAE_LOCK_SILENCE / 60);
    else if (is_here(w))
        sae_log_warn("'%s' was being written by %s (process %lld, since %s), which ended without "
                     "giving it back; taking it over", dir, w->program, w->pid, w->since);
    else
        sae_log_warn("'%s' was being written by %s (process %lld on %s, since %s), which gave no "
                     "sign of life for %d minutes; taking it over",
                     dir, w->program, w->pid, w->host, w->since, SAE_LOCK_SILENCE / 60);
}

static enum sae_status refuse(const char *dir, const struct writer *w, time_t now,
                              struct sae_err *err)
{
    if (w->host[0] != '\0' && is_here(w))
        return sae_err_set(err, SAE_EARG,
                           "cannot write in '%s': %s (process %lld on this machine, since %s) is "
                           "writing there; wait for it, end it, or use another folder",
                           dir, w->program, w->pid, w->since);
    const long long quiet = (long long)(now > w->touched ? now - w->touched : 0);
    return sae_err_set(err, SAE_EARG,
                       "cannot write in '%s': %s (process %lld on %s, since %s) is writing there; "
                       "its last sign of life was %lld s ago. If it is dead, the folder is taken "
                       "over by itself %d s after that: try again then",
                       dir, w->host[0] != '\0' ? w->program : "an unknown program", w->pid,
                       w->host[0] != '\0' ? w->host : "an unknown machine",
                       w->host[0] != '\0' ? w->since : "an unknown time", quiet,
                       SAE_LOCK_SILENCE);
}

/* Living writers besides ourselves. */
struct others {
    bool any, before_us; /* before_us: one whose name sorts before ours, which therefore stays */
    struct writer who;
};

static void add_other(struct others *others, const char *dir, const char *name, const char *own,
                      time_t now)
{
    char *path = NULL;
    struct writer w;
    if (sae_fs_join(&path, dir, name, NULL) == SAE_OK && read_writer(&w, path)) {
        if (!is_alive(&w, now)) {
            /* Its name is its own: nobody else's file is removed, whenever this happens. */
            if (unlink(path) == 0)
                warn_dead(dir, &w);
        } else {
            if (!others->any)
                others->who = w;
            others->any = true;
            others->before_us = others->before_us || strcmp(name, own) < 0;
        }
    }
    free(path);
}

static enum sae_status find_others(struct others *ret, const char *dir, const char *own_path,
                                   time_t now, struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0;
    const char *own = sae_fs_base(own_path);
    struct others others = {0};
    SAE_TRY(sae_fs_list(&names, &n, dir, ".writer.", ".lock", err));
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], own) != 0)
            add_other(&others, dir, names[i], own, now);
    sae_fs_list_free(names, n);
    *ret = others;
    return SAE_OK;
}

/* Waits until nobody else is there, where ours is the first name; the others then give up. */
static enum sae_status compete(const char *dir, const char *own_path, struct sae_err *err)
{
    struct stat own;
    if (stat(own_path, &own) != 0)
        return sae_err_set(err, SAE_EIO, "cannot write in '%s': %s", dir, strerror(errno));
    for (int i = 0;; i++) {
        struct others others;
        SAE_TRY(find_others(&others, dir, own_path, own.st_mtime, err));
        if (!others.any)
            return SAE_OK;
        if (others.before_us || i == WAITS)
            return refuse(dir, &others.who, own.st_mtime, err);
        nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
    }
}

/* --- 3. signs of life --------------------------------------------------------------------- */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static struct sae_lock *held; /* by this process; behind `turn` */

static void *beat(void *unused)
{
    (void)unused;
    for (;;) {
        nanosleep(&(struct timespec){.tv_sec = SAE_LOCK_BEAT}, NULL);
        pthread_mutex_lock(&turn);
        for (const struct sae_lock *lock = held; lock != NULL; lock = lock->next)
            utimensat(AT_FDCWD, lock->path, NULL, AT_SYMLINK_NOFOLLOW);
        pthread_mutex_unlock(&turn);
    }
    return NULL;
}

static void give_back_all(void)
{
    pthread_mutex_lock(&turn);
    for (const struct sae_lock *lock = held; lock != NULL; lock = lock->next)
        if (lock->pid == getpid())
            unlink(lock->path);
    held = NULL;
    pthread_mutex_unlock(&turn);
}

/* The thread takes no signals: those are for the threads that know what to do. Without it the lock
 * still holds on this machine, and for SAE_LOCK_SILENCE seconds on others. */
static void start_beat(void)
{
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, beat, NULL) == 0)
        pthread_detach(thread);
    else
        sae_log_warn("no thread for signs of life: another machine may take over what is written");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    atexit(give_back_all);
}

/* --- 4. taking and giving back ------------------------------------------------------------ */

enum sae_status sae_lock_take(struct sae_lock **ret, const char *dir, const char *program,
                              struct sae_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sae_lock *lock = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&lock, 1, sizeof *lock, err));
    lock->pid = getpid();
    SAE_GO(st, sae_mem_strdup(&lock->dir, dir, err));
    SAE_GO(st, write_own(&lock->path, dir, program, err));
    st = compete(dir, lock->path, err);
    if (st != SAE_OK) {
        unlink(lock->path);
        goto done;
    }
    sae_part_sweep(dir);
    pthread_mutex_lock(&turn);
    lock->next = held;
    held = lock;
    pthread_mutex_unlock(&turn);
    pthread_once(&once, start_beat);
    *ret = lock;
    lock = NULL;
done:
    if (lock != NULL) {
        free(lock->dir);
        free(lock->path);
        free(lock);
    }
    return st;
}

enum sae_status sae_lock_check(const struct sae_lock *lock, struct sae_err *err)
{
    struct stat st;
    if (lstat(lock->path, &st) == 0 || errno != ENOENT)
        return SAE_OK;
    return sae_err_set(err, SAE_EIO,
                       "'%s' was taken over by another process, or its lock was removed, while this "
                       "one gave no sign of life; nothing more is written there",
                       lock->dir);
}

void sae_lock_release(struct sae_lock *lock)
{
    if (lock == NULL)
        return;
    pthread_mutex_lock(&turn);
    for (struct sae_lock **at = &held; *at != NULL; at = &(*at)->next)
        if (*at == lock) {
            *at = lock->next;
            break;
        }
    pthread_mutex_unlock(&turn);
    if (lock->pid == getpid())
        unlink(lock->path);
    free(lock->dir);
    free(lock->path);
    free(lock);
}
