/* SPDX-License-Identifier: MIT */
/* bench_read : how fast the rows of a store are read in training order, beside the bare disk.
 *
 *   bench_read STORE [BATCH 2048]
 *
 * Three readings of one epoch, each with the store's pages dropped from the system's cache first:
 * the shards' bytes in order, large blocks by read(2); the shuffled stream, bf16 as stored; the same
 * widened to f32. And the last two again with the files in the cache. A run's step takes 10 MB of
 * rows (d 2304, 2048 tokens), so the last column is what the step may take before it must wait. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file/acts.h"
#include "tests/bench/bench.h"

enum { BLOCK = 4 << 20 };

/* Calls act on every shard; the sum of what it returns. */
static double each_shard(const char *dir, double (*act)(int fd))
{
    double sum = 0;
    DIR *const list = opendir(dir);
    for (struct dirent *e = list ? readdir(list) : NULL; e; e = readdir(list)) {
        char path[4096];
        const size_t n = strlen(e->d_name);
        if (strncmp(e->d_name, "acts_", 5) != 0 || n < 3 || strcmp(e->d_name + n - 3, ".h5") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        const int fd = open(path, O_RDONLY);
        if (fd < 0) {
            perror(path);
            exit(1);
        }
        sum += act(fd);
        close(fd);
    }
    if (list)
        closedir(list);
    return sum;
}

static double drop(int fd)
{
    (void)fsync(fd);
    return posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static double swallow(int fd)
{
    static char block[BLOCK];
    double sum = 0;
    for (ssize_t n; (n = read(fd, block, sizeof block)) > 0;)
        sum += (double)n;
    return sum;
}

static void print(const char *what, double bytes, double seconds, size_t d, size_t n)
{
    const double rate = bytes / seconds;
    printf("%-34s %8.0f MB  %7.2f s  %8.0f MB/s  %8.1f ms a batch\n", what, bytes / 1e6, seconds,
           rate / 1e6, (double)(n * d * 2) / rate * 1e3);
    fflush(stdout);
}

/* One epoch in training order; bytes as stored. */
static void stream(struct sae_acts *acts, size_t n, bool raw, const char *what)
{
    struct sae_err err = {0};
    struct sae_acts_stream *s = NULL;
    const size_t d = sae_acts_d(acts), rows = sae_acts_n_rows(acts);
    float *const x = malloc(n * d * sizeof *x);
    uint32_t *const row = malloc(n * sizeof *row);
    if (!x || !row)
        exit(1);
    const double began = now();
    need(sae_acts_stream_open(&s, acts, rows, 42, &err), &err);
    size_t at = 0;
    for (; at + n <= rows; at += n)
        need(raw ? sae_acts_stream_raw(s, at, n, row, (uint16_t *)x, &err)
                 : sae_acts_stream_read(s, at, n, x, &err),
             &err);
    print(what, (double)at * (double)d * 2, now() - began, d, n);
    sae_acts_stream_close(s);
    free(row);
    free(x);
}

int main(int argc, char **argv)
{
    struct sae_err err = {0};
    struct sae_acts *acts = NULL;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_read STORE [BATCH]\n");
        return 2;
    }
    const size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 2048;
    need(sae_acts_open(&acts, argv[1], &err), &err);
    const char *const dir = sae_acts_dir(acts);
    each_shard(dir, drop);
    const double began = now();
    const double bytes = each_shard(dir, swallow);
    print("bare files, in order", bytes, now() - began, sae_acts_d(acts), n);
    each_shard(dir, drop);
    stream(acts, n, true, "training order, bf16");
    each_shard(dir, drop);
    stream(acts, n, false, "training order, f32");
    stream(acts, n, true, "training order, bf16, cached");
    stream(acts, n, false, "training order, f32, cached");
    sae_acts_close(acts);
    return 0;
}
