/* SPDX-License-Identifier: MIT */
/* fuzz : the folder in memory, seeds, and what a finding is. See fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "lib/base/log.h"

enum { PATH_BYTES = 512, N_PATHS = 4, MAX_SOURCE = 1 << 24 };

_Noreturn void fuzz_finding(const char *what)
{
    fprintf(stderr, "finding: %s\n", what);
    abort();
}

/* Trouble of the test itself, not of what it tests. */
static _Noreturn void give_up(const char *what, const char *path)
{
    fprintf(stderr, "fuzz: %s '%s': %s\n", what, path, strerror(errno));
    _exit(99);
}

int fuzz_ok(enum sae_status status, const struct sae_err *err)
{
    if (status == SAE_OK)
        return 1;
    FUZZ_REQUIRE(err->code == status);
    FUZZ_REQUIRE(err->msg[0] != '\0');
    FUZZ_REQUIRE(memchr(err->msg, '\0', sizeof err->msg) != NULL);
    return 0;
}

/* --- the folder ---------------------------------------------------------------------------- */

static char folder[256];
static pid_t owner;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void remove_folder(void)
{
    if (owner == getpid())
        nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_folder(void)
{
    if (folder[0] != '\0')
        return folder;
    const char *above = getenv("SAE_FUZZ_DIR");
    if (above == NULL)
        above = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/saekit-fuzz-XXXXXX", above);
    if (mkdtemp(folder) == NULL)
        give_up("cannot make", folder);
    owner = getpid();
    atexit(remove_folder);
    return folder;
}

const char *fuzz_path(const char *name)
{
    static char paths[N_PATHS][PATH_BYTES];
    static unsigned turn;
    char *const path = paths[turn++ % N_PATHS];
    snprintf(path, PATH_BYTES, "%s/%s", fuzz_folder(), name);
    return path;
}

static void write_all(const char *path, const void *bytes, size_t n)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        give_up("cannot write", path);
    for (size_t done = 0; done < n;) {
        const ssize_t wrote = write(fd, (const char *)bytes + done, n - done);
        if (wrote < 0)
            give_up("cannot write", path);
        done += (size_t)wrote;
    }
    close(fd);
}

const char *fuzz_put(const char *name, const void *bytes, size_t n)
{
    const char *const path = fuzz_path(name);
    write_all(path, bytes, n);
    return path;
}

uint8_t *fuzz_read_source(const char *name, size_t *ret_n)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", FUZZ_SOURCE_ROOT, name);
    FILE *const file = fopen(path, "rb");
    uint8_t *const bytes = malloc(MAX_SOURCE);
    if (file == NULL || bytes == NULL)
        give_up("cannot read", path);
    *ret_n = fread(bytes, 1, MAX_SOURCE, file);
    fclose(file);
    return bytes;
}

/* --- seeds --------------------------------------------------------------------------------- */

static const char *seed_folder;
static unsigned n_seeds;

static void seed_to_folder(const void *bytes, size_t n)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/seed_%04u", seed_folder, n_seeds++);
    write_all(path, bytes, n);
}

void (*fuzz_take_seed)(const void *bytes, size_t n) = seed_to_folder;

void fuzz_seed(const void *bytes, size_t n)
{
    fuzz_take_seed(bytes, n);
}

static void with_mode(uint8_t mode, const void *bytes, size_t n)
{
    uint8_t *const all = malloc(n + 1);
    if (all == NULL)
        give_up("no memory", "");
    all[0] = mode;
    memcpy(all + 1, bytes, n);
    fuzz_seed(all, n + 1);
    free(all);
}

void fuzz_seed_text(uint8_t mode, const char *text)
{
    with_mode(mode, text, strlen(text));
}

void fuzz_seed_file(uint8_t mode, const char *path)
{
    size_t n;
    uint8_t *const bytes = fuzz_read_source(path, &n);
    with_mode(mode, bytes, n);
    free(bytes);
}

/* libFuzzer calls it first, the driver too. With SAE_FUZZ_SEEDS the seeds are all that is wanted.
 */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    /* Warnings of a million inputs help nobody. */
    sae_log_setup("fuzz", SAE_LOG_ERROR);
    seed_folder = getenv("SAE_FUZZ_SEEDS");
    if (seed_folder != NULL) {
        fuzz_seeds();
        exit(0);
    }
    return 0;
}

/* --- archives ------------------------------------------------------------------------------ */

static uint8_t *put_number(uint8_t *to, uint32_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        *to++ = (uint8_t)(value >> (8 * i));
    return to;
}

/* What the local and the central header have in common: from "version needed" to the sizes. */
static uint8_t *put_common(uint8_t *to, const struct fuzz_member *m)
{
    to = put_number(to, 20, 2);
    to = put_number(to, 0, 2); /* flags */
    to = put_number(to, 0, 2); /* stored */
    to = put_number(to, 0x00210000, 4);
    to = put_number(to, (uint32_t)crc32(0, m->bytes, (unsigned)m->n), 4);
    to = put_number(to, (uint32_t)m->n, 4);
    to = put_number(to, (uint32_t)m->n, 4);
    to = put_number(to, (uint32_t)strlen(m->name), 2);
    return put_number(to, 0, 2); /* extra field */
}

uint8_t *fuzz_zip(const struct fuzz_member *members, size_t n, size_t *ret_n)
{
    size_t room = 22;
    for (size_t i = 0; i < n; i++)
        room += 30 + 46 + 2 * strlen(members[i].name) + members[i].n;
    uint8_t *const zip = malloc(room), *to = zip;
    uint32_t *const at = malloc((n + 1) * sizeof *at);
    if (zip == NULL || at == NULL)
        give_up("no memory", "");
    for (size_t i = 0; i < n; i++) {
        at[i] = (uint32_t)(to - zip);
        to = put_common(put_number(to, 0x04034b50, 4), &members[i]);
        to = (uint8_t *)memcpy(to, members[i].name, strlen(members[i].name)) +
             strlen(members[i].name);
        if (members[i].n > 0)
            memcpy(to, members[i].bytes, members[i].n);
        to += members[i].n;
    }
    const uint32_t central = (uint32_t)(to - zip);
    for (size_t i = 0; i < n; i++) {
        to = put_number(put_number(to, 0x02014b50, 4), 20, 2);
        to = put_common(to, &members[i]);
        memset(to, 0, 10); /* comment, disk, attributes */
        to = put_number(to + 10, at[i], 4);
        to = (uint8_t *)memcpy(to, members[i].name, strlen(members[i].name)) +
             strlen(members[i].name);
    }
    const uint32_t n_central = (uint32_t)(to - zip) - central;
    to = put_number(put_number(to, 0x06054b50, 4), 0, 4);
    to = put_number(put_number(to, (uint32_t)n, 2), (uint32_t)n, 2);
    to = put_number(put_number(put_number(to, n_central, 4), central, 4), 0, 2);
    free(at);
    *ret_n = (size_t)(to - zip);
    return zip;
}
