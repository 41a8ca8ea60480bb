/* SPDX-License-Identifier: MIT */
/* bench_paths : the ways of a step on a device, as cuda.sh runs it beside bench_cuda.
 *
 *   bench_paths BACKEND N D M STEPS      as bench_cuda
 *
 * Prints lines "path NAME <tab> milliseconds ...", a value a repeat: a step of every architecture and of
 * ortsae; of topk with the orthogonality term at two thresholds, as it chooses, by lists of pairs, by
 * products; and of topk with batches from the host in f32, passing through the device in bf16, and
 * staying there. f32 products; k of 40, or a 64th of D. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/bf16.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "tests/bench/bench.h"
#include "tests/emu/emu_c.h"
#include "train/feed.h"
#include "train/options.h"
#include "train/trainer.h"

enum { BATCHES = 4, REPEATS = 3 };

struct bench {
    const struct sae_ops *ops;
    size_t n, d, m, steps, warm;
    float *x; /* [BATCHES][n][d] */
};

enum source { HOST, PASSING, STAYING };
enum way { CHOSEN, LISTS, PRODUCTS };

static void make_settings(const struct bench *b, struct settings *set)
{
    static double last = 100;
    options_default(set);
    set->k = b->d / 64 < 40 ? b->d / 64 : 40;
    set->m = b->m;
    set->batch = b->n;
    set->steps = 10 * (REPEATS * b->steps + b->warm);
    set->heldout_rows = b->n;
    set->checkpoints = (struct sae_reals){1, &last};
}

/* How many partners the runs of latents are said to have: that decides how the term is computed. */
static void say_partners(struct trainer *t, enum way way)
{
    for (size_t i = 0; way != CHOSEN && t->partners && i < 2 * t->n_tiles; i++)
        t->partners[i] = way == LISTS ? 0 : -1;
}

static void take_steps(const struct bench *b, struct trainer *t, enum way way, struct feed *feed,
                       size_t n)
{
    struct sae_err err = {0};
    for (size_t i = 0; i < n; i++) {
        say_partners(t, way);
        if (feed)
            need(feed_batch(feed, t->step, &err), &err);
        const float *const x =
            feed && feed->rows ? feed->x
                               : trainer_batch(t, feed ? feed->x : b->x + i % BATCHES * b->n * b->d, t->n);
        need(trainer_step(t, x, false, NULL, &err), &err);
    }
    need(b->ops->check(&err), &err);
}

/* feed NULL: the same batches from the host. */
static void measure(const struct bench *b, const char *name, const struct settings *from,
                    enum way way, struct feed *feed)
{
    struct settings set = *from;
    struct sae_err err = {0};
    struct trainer *t = NULL;
    need(settings_resolve(&set, b->n * (set.steps + 2), b->d, &err), &err);
    need(trainer_open(&t, &set, b->ops, b->d, &err), &err);
    trainer_init(t, b->x);
    take_steps(b, t, way, feed, b->warm);
    printf("path %s\t", name);
    for (int r = 0; r < REPEATS; r++) {
        const double since = now();
        take_steps(b, t, way, feed, b->steps);
        printf("%s%.6g", r > 0 ? " " : "", 1e3 * (now() - since) / (double)b->steps);
    }
    printf("\n");
    fflush(stdout);
    trainer_close(t);
}

static void measure_architectures(const struct bench *b)
{
    struct settings set;
    for (int arch = 0; train_arch_names[arch]; arch++) {
        make_settings(b, &set);
        set.arch = arch;
        measure(b, train_arch_names[arch], &set, CHOSEN, NULL);
    }
    make_settings(b, &set);
    set.orth = ORTH_ORTSAE;
    set.ortsae_every = 1;
    measure(b, "topk with ortsae in every step", &set, CHOSEN, NULL);
}

static void measure_term(const struct bench *b)
{
    static const char *const ways[] = {"as chosen", "by lists", "by products"};
    struct settings set;
    make_settings(b, &set);
    set.orth = ORTH_PROGRESSIVE;
    for (int high = 0; high < 2; high++)
        for (int way = CHOSEN; way <= PRODUCTS; way++) {
            char name[64];
            set.base_threshold = high ? 0.5 : 0.1;
            snprintf(name, sizeof name, "topk, term at %.1f %s", set.base_threshold, ways[way]);
            measure(b, name, &set, (enum way)way, NULL);
        }
}

/* The batches as a store, in a folder that is new and empty; the last one is held out. */
static void write_store(const struct bench *b, const char *dir)
{
    const size_t n = BATCHES * b->n;
    struct sae_err err = {0};
    uint16_t *rows = NULL, *position = NULL;
    uint32_t *token = NULL;
    json_t *const record = json_pack("{s:s}", "program", "bench_paths");
    need(sae_mem_alloc(&rows, n * b->d, sizeof *rows, &err), &err);
    need(sae_mem_alloc(&position, n, sizeof *position, &err), &err);
    need(sae_mem_alloc(&token, n, sizeof *token, &err), &err);
    sae_bf16_narrow(rows, b->x, n * b->d);
    const struct sae_acts_shard shard = {n, b->d, rows, token, token, position};
    need(sae_acts_shard_write(dir, 0, &shard, record, true, &err), &err);
    need(sae_acts_finish(dir, 1, record, &err), &err);
    json_decref(record);
    free(rows);
    free(position);
    free(token);
}

static void measure_store(const struct bench *b)
{
    static const char *const names[] = {"topk, batches from the host in f32",
                                        "topk, batches passing through in bf16",
                                        "topk, batches staying on the device"};
    char dir[] = "/tmp/bench_paths_XXXXXX", path[64];
    struct settings set;
    struct sae_err err = {0};
    if (!mkdtemp(dir))
        return;
    write_store(b, dir);
    make_settings(b, &set);
    for (int source = HOST; source <= STAYING; source++) {
        struct sae_acts *acts = NULL;
        struct feed feed = {0};
        need(sae_acts_open(&acts, dir, &err), &err);
        need(feed_open(&feed, acts, &set, &err), &err);
        feed.reserve_bytes = source == PASSING ? 1e30 : 0;
        need(feed_begin(&feed, &set, source == HOST ? &sae_ops_cpu : b->ops, 0, &err), &err);
        measure(b, names[source], &set, CHOSEN, &feed);
        feed_close(&feed);
        sae_acts_close(acts);
    }
    snprintf(path, sizeof path, "%s/acts_00000.h5", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/acts.json", dir);
    unlink(path);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct sae_err err = {0};
    if (argc != 6) {
        fprintf(stderr, "usage: bench_paths cuda|emulated N D M STEPS\n");
        return 2;
    }
    const bool emulated = strcmp(argv[1], "emulated") == 0;
    need(emulated ? sae_cuda_open(&b.ops, &err)
                  : sae_ops_open_device(&b.ops, argv[1], 0, NULL, &err),
         &err);
    b.n = strtoul(argv[2], NULL, 10);
    b.d = strtoul(argv[3], NULL, 10);
    b.m = strtoul(argv[4], NULL, 10);
    b.steps = strtoul(argv[5], NULL, 10);
    b.warm = emulated ? 1 : 10;
    if (b.n == 0 || b.d < 64 || b.m < b.d || b.steps == 0) {
        fprintf(stderr, "bench_paths: at least one token and step, D 64 or more, M no less than D\n");
        return 2;
    }
    b.x = grouped_rows(BATCHES * b.n, b.d);
    measure_architectures(&b);
    measure_term(&b);
    measure_store(&b);
    free(b.x);
    return 0;
}
