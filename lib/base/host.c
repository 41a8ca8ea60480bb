/* SPDX-License-Identifier: MIT */
/* host : name of the machine, its memory, processes on it. */
#include "lib/base/host.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Text of a small file of /proc, "" where it cannot be read. */
static void read_proc(char *to, size_t size, const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, to, size - 1);
    if (fd >= 0)
        close(fd);
    to[n < 0 ? 0 : n] = '\0';
}

static uint32_t hash_text(uint32_t h, const char *text)
{
    for (; *text != '\0'; text++) /* FNV-1a */
        h = (h ^ (unsigned char)*text) * 16777619U;
    return h;
}

static char token[SAE_HOST_MAX];

static void make_token(void)
{
    char name[256] = "", boot[64], space[64] = "";
    if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0')
        snprintf(name, sizeof name, "localhost");
    for (char *p = name; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
            *p = '-';
    read_proc(boot, sizeof boot, "/proc/sys/kernel/random/boot_id");
    const ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[n < 0 ? 0 : n] = '\0';
    snprintf(token, sizeof token, "%.24s-%08x", name, hash_text(hash_text(2166136261U, boot), space));
}

const char *sae_host_token(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_token);
    return token;
}

/* The fields of /proc/PID/stat after the name, which may hold spaces and brackets itself. */
static const char *after_name(const char *stat)
{
    const char *end = strrchr(stat, ')');
    return end == NULL || end[1] != ' ' ? NULL : end + 2;
}

uint64_t sae_host_started(int64_t pid)
{
    char path[64], stat[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    read_proc(stat, sizeof stat, path);
    const char *at = after_name(stat);
    if (at == NULL || *at == 'Z' || *at == 'X')
        return 0;
    unsigned long long started = 0;
    /* Field 3 is the state, 22 the start. */
    for (int field = 3; at != NULL && field < 22; field++) {
        at = strchr(at, ' ');
        at = at == NULL ? NULL : at + 1;
    }
    return at != NULL && sscanf(at, "%llu", &started) == 1 ? started : 0;
}

/* One that has ended stays a number until its parent asks; where /proc does not show it so, a
 * descriptor of it does. */
static bool has_ended(pid_t pid)
{
    const int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == ESRCH;
    struct pollfd end = {.fd = fd, .events = POLLIN};
    const bool ended = poll(&end, 1, 0) == 1;
    close(fd);
    return ended;
}

bool sae_host_alive(int64_t pid, uint64_t started)
{
    if (pid <= 0 || (pid_t)pid != pid || (kill((pid_t)pid, 0) != 0 && errno == ESRCH))
        return false;
    char path[64], stat[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    read_proc(stat, sizeof stat, path);
    const char *at = after_name(stat);
    if (at == NULL)
        return !has_ended((pid_t)pid); /* there is no /proc, or it does not show those of others */
    if (*at == 'Z' || *at == 'X')
        return false;
    return started == 0 || sae_host_started(pid) == started;
}

/* The number after `key` in a file of the kernel; negative where there is none ("max" too). */
static double number_in(const char *path, const char *key)
{
    FILE *const file = fopen(path, "r");
    char line[256];
    double ret = -1;
    while (file && ret < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0) {
            char *end;
            const double v = strtod(line + strlen(key), &end);
            if (end != line + strlen(key))
                ret = v;
        }
    if (file)
        fclose(file);
    return ret;
}

double sae_host_memory_free(void)
{
    double ret = number_in("/proc/meminfo", "MemAvailable:") * 1024;
    const double limit = number_in("/sys/fs/cgroup/memory.max", ""),
                 used = number_in("/sys/fs/cgroup/memory.current", ""),
                 cached = number_in("/sys/fs/cgroup/memory.stat", "inactive_file ");
    if (limit > 0 && used >= 0) {
        const double left = limit - used + (cached > 0 ? cached : 0);
        ret = ret < 0 || left < ret ? left : ret;
    }
    return ret > 0 ? ret : 4e9;
}

static double of_status(const char *key)
{
    const double kib = number_in("/proc/self/status", key);
    return kib > 0 ? kib * 1024 : 0;
}

double sae_host_memory_held(void)
{
    return of_status("VmRSS:");
}

double sae_host_memory_peak(void)
{
    return of_status("VmHWM:");
}

void sae_host_memory_trim(void)
{
    malloc_trim(0);
}

void sae_host_program(char *to)
{
    const ssize_t n = readlink("/proc/self/exe", to, PATH_MAX - 1);
    to[n < 0 ? 0 : n] = '\0';
    /* Without /proc, as in a bare chroot, the kernel still says how the program was started. */
    const char *const started_as = (const char *)getauxval(AT_EXECFN);
    if (n < 0 && (!started_as || !realpath(started_as, to)))
        to[0] = '\0';
}
