/* SPDX-License-Identifier: MIT */
/* shim : makes one call of a program fail, by LD_PRELOAD.
 *
 *   INJECT_WHAT   alloc   malloc, calloc, realloc, aligned_alloc, posix_memalign, strdup
 *                 hdf5    those of the HDF5 library, which alloc passes over
 *                 write   write, pwrite, writev, fwrite, fflush, fclose of what was written
 *                 read    read, pread, fread
 *                 open    open, openat, creat, fopen, mkstemp
 *                 sync    fsync, fdatasync
 *                 rename  rename, renameat, renameat2, link
 *                 mmap, truncate, unlink, mkdir
 *   INJECT_HOW    ENOMEM, ENOSPC, EIO, EINTR, EACCES: errno of the failure; "short": half of the
 * bytes are read or written, which is no failure INJECT_AT     the call of that kind that fails,
 * from 1; 0 or none: no call does INJECT_STAY   if set, all later calls fail too INJECT_COUNT  a
 * file that gets the number of calls of that kind
 *
 * Only calls of this process count, not those of the programs it starts, and only files: standard
 * output and error are left alone by "write". Memory is not refused to the libraries of C++, of
 * linear algebra and of regression: they end the process by their own rules; so does HDF5 1.10
 * while it starts. */
/* Both names of a call are defined here, so neither may stand for the other. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum what { NONE, ALLOC, HDF5, WRITE, READ, OPEN, SYNC, RENAME, MMAP, TRUNCATE, UNLINK, MKDIR };

static enum what what;
static int how;
static bool is_short, stays, traces;
static long at;
static atomic_long count;
static atomic_bool is_on;
static const char *count_file;

static const char *const names[] = {"none", "alloc",  "hdf5", "write",    "read",   "open",
                                    "sync", "rename", "mmap", "truncate", "unlink", "mkdir"};

/* glibc's own allocator, whatever stands before it. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t n);
extern void *__libc_memalign(size_t alignment, size_t n);

static void write_count(void)
{
    char text[32];
    if (count_file == NULL)
        return;
    const int n = snprintf(text, sizeof text, "%ld\n", atomic_load(&count));
    const int fd =
        (int)syscall(SYS_openat, AT_FDCWD, count_file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd >= 0 && syscall(SYS_write, fd, text, n) == n)
        syscall(SYS_close, fd);
}

static int code_of(const char *name)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {
        {"ENOMEM", ENOMEM},
        {"ENOSPC", ENOSPC},
        {"EIO",    EIO   },
        {"EINTR",  EINTR },
        {"EACCES", EACCES}
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(name, codes[i].name) == 0)
            return codes[i].code;
    return EIO;
}

/* Code of libraries that do not survive a lack of memory. */
enum { MAX_SPARED = 32 };
static struct {
    uintptr_t begin, end;
    bool is_hdf5;
} spared[MAX_SPARED];
static int n_spared;

static int spare(struct dl_phdr_info *library, size_t size, void *unused)
{
    static const char *const fragile[] = {"libhdf5",       "liblinear", "stdc++",
                                          "sentencepiece", "protobuf",  "libabsl",
                                          "blas",          "gomp",      "gfortran"};
    (void)size;
    (void)unused;
    for (size_t f = 0; f < sizeof fragile / sizeof *fragile; f++)
        for (int i = 0; strstr(library->dlpi_name, fragile[f]) && i < library->dlpi_phnum; i++)
            if (library->dlpi_phdr[i].p_type == PT_LOAD && n_spared < MAX_SPARED) {
                const uintptr_t begin = library->dlpi_addr + library->dlpi_phdr[i].p_vaddr;
                spared[n_spared].begin = begin;
                spared[n_spared].is_hdf5 = f == 0;
                spared[n_spared++].end = begin + library->dlpi_phdr[i].p_memsz;
            }
    return 0;
}

/* Which kind of call an allocation by this caller is. */
static enum what kind_of(const void *caller)
{
    for (int i = 0; i < n_spared; i++)
        if ((uintptr_t)caller >= spared[i].begin && (uintptr_t)caller < spared[i].end)
            return spared[i].is_hdf5 ? HDF5 : NONE;
    return ALLOC;
}

__attribute__((constructor)) static void begin(void)
{
    const char *const kind = getenv("INJECT_WHAT"), *const code = getenv("INJECT_HOW");
    const char *const number = getenv("INJECT_AT");
    for (int i = 0; kind != NULL && i <= MKDIR; i++)
        if (strcmp(kind, names[i]) == 0)
            what = (enum what)i;
    is_short = code != NULL && strcmp(code, "short") == 0;
    how = code_of(code != NULL ? code : "EIO");
    at = number != NULL ? atol(number) : 0;
    stays = getenv("INJECT_STAY") != NULL;
    traces = getenv("INJECT_TRACE") != NULL;
    count_file = getenv("INJECT_COUNT");
    unsetenv("LD_PRELOAD"); /* programs that are started from here run as ever */
    dl_iterate_phdr(spare, NULL);
    atexit(write_count);
    atomic_store(&is_on, true);
}

/* Whether this call is the one. */
static bool hit(enum what kind)
{
    if (kind != what || !atomic_load(&is_on))
        return false;
    const long n = atomic_fetch_add(&count, 1) + 1;
    if (at == 0 || n < at || (n > at && !stays))
        return false;
    if (traces) {
        void *places[32];
        atomic_store(&is_on, false);
        backtrace_symbols_fd(places, backtrace(places, 32), 2);
        atomic_store(&is_on, true);
    }
    errno = how;
    return true;
}

/* The next definition of a function, looked up once; typed by its use. */
#define NEXT(name)                                                                                 \
    static __typeof__(&name) next;                                                                 \
    if (next == NULL)                                                                              \
    next = (__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name)

/* --- memory -------------------------------------------------------------------------------- */

/* Whether memory is refused to this caller. */
#define REFUSED() ((what == ALLOC || what == HDF5) && hit(kind_of(__builtin_return_address(0))))

void *malloc(size_t n)
{
    return REFUSED() ? NULL : __libc_malloc(n);
}

char *strdup(const char *text)
{
    const size_t n = strlen(text) + 1;
    char *const copy = REFUSED() ? NULL : __libc_malloc(n);
    return copy != NULL ? memcpy(copy, text, n) : NULL;
}

void *calloc(size_t n, size_t size)
{
    return REFUSED() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t n)
{
    return REFUSED() ? NULL : __libc_realloc(old, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return REFUSED() ? NULL : __libc_memalign(alignment, n);
}

void *memalign(size_t alignment, size_t n);
void *memalign(size_t alignment, size_t n)
{
    return REFUSED() ? NULL : __libc_memalign(alignment, n);
}

int posix_memalign(void **to, size_t alignment, size_t n)
{
    void *const made = REFUSED() ? NULL : __libc_memalign(alignment, n);
    if (made == NULL)
        return ENOMEM;
    *to = made;
    return 0;
}

void *mmap64(void *where, size_t n, int protection, int flags, int fd, off64_t offset)
{
    if (hit(MMAP))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, where, n, protection, flags, fd, offset);
}

void *mmap(void *where, size_t n, int protection, int flags, int fd, off_t offset)
{
    return mmap64(where, n, protection, flags, fd, offset);
}

/* --- writing and reading ------------------------------------------------------------------- */

/* How many of n bytes go through; -1: the call fails. */
static ssize_t let(enum what kind, int fd, size_t n)
{
    if (fd >= 0 && fd <= 2)
        return (ssize_t)n;
    if (!hit(kind))
        return (ssize_t)n;
    return is_short ? (ssize_t)(n > 1 ? n / 2 : n) : -1;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    const ssize_t some = let(WRITE, fd, n);
    return some < 0 ? -1 : syscall(SYS_write, fd, bytes, some);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset)
{
    const ssize_t some = let(WRITE, fd, n);
    return some < 0 ? -1 : syscall(SYS_pwrite64, fd, bytes, some, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    return pwrite64(fd, bytes, n, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    return let(WRITE, fd, 1) < 0 ? -1 : syscall(SYS_writev, fd, parts, n);
}

ssize_t read(int fd, void *bytes, size_t n)
{
    const ssize_t some = let(READ, fd, n);
    return some < 0 ? -1 : syscall(SYS_read, fd, bytes, some);
}

ssize_t pread64(int fd, void *bytes, size_t n, off64_t offset)
{
    const ssize_t some = let(READ, fd, n);
    return some < 0 ? -1 : syscall(SYS_pread64, fd, bytes, some, offset);
}

ssize_t pread(int fd, void *bytes, size_t n, off_t offset)
{
    return pread64(fd, bytes, n, offset);
}

/* Of streams a short count is a failure too, and the stream remembers it. */
static bool fails(enum what kind, FILE *stream)
{
    enum { ERROR_SEEN = 0x20 }; /* glibc's _IO_ERR_SEEN, which ferror looks at */
    if (stream == stdout || stream == stderr || is_short || !hit(kind))
        return false;
    stream->_flags |= ERROR_SEEN;
    return true;
}

size_t fwrite(const void *bytes, size_t size, size_t n, FILE *stream)
{
    NEXT(fwrite);
    return fails(WRITE, stream) ? 0 : next(bytes, size, n, stream);
}

int fflush(FILE *stream)
{
    NEXT(fflush);
    return stream != NULL && fails(WRITE, stream) ? EOF : next(stream);
}

int fclose(FILE *stream)
{
    NEXT(fclose);
    const bool is_hit = __fwritable(stream) != 0 && fails(WRITE, stream);
    const int code = next(stream);
    if (!is_hit)
        return code;
    errno = how;
    return EOF;
}

size_t fread(void *bytes, size_t size, size_t n, FILE *stream)
{
    NEXT(fread);
    return fails(READ, stream) ? 0 : next(bytes, size, n, stream);
}

/* --- files --------------------------------------------------------------------------------- */

static mode_t mode_of(int flags, va_list list)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;
}

#define OPEN_CALL(folder, path, flags)                                                             \
    va_list list;                                                                                  \
    va_start(list, flags);                                                                         \
    const mode_t mode = mode_of(flags, list);                                                      \
    va_end(list);                                                                                  \
    return hit(OPEN) ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode)

int open(const char *path, int flags, ...)
{
    OPEN_CALL(AT_FDCWD, path, flags);
}

int open64(const char *path, int flags, ...)
{
    OPEN_CALL(AT_FDCWD, path, flags | O_LARGEFILE);
}

int openat(int folder, const char *path, int flags, ...)
{
    OPEN_CALL(folder, path, flags);
}

int openat64(int folder, const char *path, int flags, ...)
{
    OPEN_CALL(folder, path, flags | O_LARGEFILE);
}

FILE *fopen(const char *path, const char *mode)
{
    NEXT(fopen);
    return hit(OPEN) ? NULL : next(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    NEXT(fopen64);
    return hit(OPEN) ? NULL : next(path, mode);
}

FILE *fdopen(int fd, const char *mode)
{
    NEXT(fdopen);
    return hit(OPEN) ? NULL : next(fd, mode);
}

int mkstemp(char *form)
{
    NEXT(mkstemp);
    return hit(OPEN) ? -1 : next(form);
}

int fsync(int fd)
{
    return hit(SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return hit(SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int rename(const char *from, const char *to)
{
    return hit(RENAME) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int a, const char *from, int b, const char *to)
{
    return hit(RENAME) ? -1 : (int)syscall(SYS_renameat2, a, from, b, to, 0);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    return hit(RENAME) ? -1 : (int)syscall(SYS_renameat2, a, from, b, to, flags);
}

int link(const char *from, const char *to)
{
    return hit(RENAME) ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int ftruncate64(int fd, off64_t n)
{
    return hit(TRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int ftruncate(int fd, off_t n)
{
    return ftruncate64(fd, n);
}

int unlink(const char *path)
{
    return hit(UNLINK) ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int unlinkat(int folder, const char *path, int flags)
{
    return hit(UNLINK) ? -1 : (int)syscall(SYS_unlinkat, folder, path, flags);
}

int remove(const char *path)
{
    NEXT(remove);
    return hit(UNLINK) ? -1 : next(path);
}

int mkdir(const char *path, mode_t mode)
{
    return hit(MKDIR) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
