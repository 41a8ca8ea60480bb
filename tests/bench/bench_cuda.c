/* SPDX-License-Identifier: MIT */
/* bench_cuda : steps of training on a device, as cuda.sh runs it.
 *
 *   bench_cuda BACKEND N D M STEPS      tokens in a batch, width, latents, steps to time
 *
 * For k of 320 and 40 (an eighth and a 64th of D at most), with and without the orthogonality term,
 * in each precision the backend has: milliseconds of a step (the host waits once, at the end), bytes
 * and products that a step cannot do without, and whether two runs end in equal weights. Random
 * activations: correlated groups make masks that meet. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/digest.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "train/trainer.h"

struct shape {
    size_t n, d, m, steps;
};

enum { WARM = 10, BATCHES = 4, GROUPS = 64 };

static void need(enum sae_status st, const struct sae_err *err)
{
    if (st == SAE_OK)
        return;
    fprintf(stderr, "bench_cuda: %s\n", err->msg);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Rows of a group share a direction. */
static float *make_batches(const struct shape *s)
{
    struct sae_rng rng = sae_rng_make(7, SAE_RNG_TEST);
    struct sae_err err = {0};
    float *x = NULL, *shared = NULL;
    need(sae_mem_alloc(&x, BATCHES * s->n * s->d, sizeof *x, &err), &err);
    need(sae_mem_alloc(&shared, GROUPS * s->d, sizeof *shared, &err), &err);
    for (size_t i = 0; i < GROUPS * s->d; i++)
        shared[i] = (float)sae_rng_normal(&rng);
    for (size_t t = 0; t < BATCHES * s->n; t++) {
        const float *const group = shared + sae_rng_below(&rng, GROUPS) * s->d;
        for (size_t i = 0; i < s->d; i++)
            x[t * s->d + i] = group[i] + (float)sae_rng_normal(&rng);
    }
    free(shared);
    return x;
}

static struct trainer *open_trainer(const struct shape *s, size_t k, bool orth,
                                    const struct sae_ops *ops)
{
    struct settings set;
    struct sae_err err = {0};
    struct trainer *t = NULL;
    double last = 100;
    settings_init(&set);
    set.k = k;
    set.m = s->m;
    set.batch = s->n;
    set.steps = 10 * (s->steps + WARM);
    set.heldout_rows = s->n;
    set.orth = orth ? ORTH_PROGRESSIVE : ORTH_NONE;
    set.checkpoints = (struct sae_reals){1, &last};
    need(settings_resolve(&set, s->n * (set.steps + 2), s->d, &err), &err);
    need(trainer_open(&t, &set, ops, s->d, &err), &err);
    return t;
}

/* Seconds a step; the weights' digest in hex. */
static double run(const struct shape *s, size_t k, bool orth, const struct sae_ops *ops,
                  const float *x, char hex[65])
{
    struct sae_err err = {0};
    struct trainer *const t = open_trainer(s, k, orth, ops);
    trainer_init(t, x);
    double since = 0;
    for (size_t i = 0; i < WARM + s->steps; i++) {
        if (i == WARM) {
            need(ops->check(&err), &err);
            since = now();
        }
        need(trainer_step(t, x + i % BATCHES * s->n * s->d, false, NULL, &err), &err);
    }
    need(ops->check(&err), &err);
    const double wall = (now() - since) / (double)s->steps;
    need(trainer_fetch(t, true, &err), &err);
    struct sae_digest digest;
    sae_digest_init(&digest);
    sae_digest_update(&digest, t->w.all, t->w.n * sizeof *t->w.all);
    sae_digest_hex(&digest, hex);
    trainer_close(t);
    return wall;
}

static void run_case(const struct shape *s, size_t k, const char *precision,
                     const struct sae_ops *ops, const float *x)
{
    char first[65], again[65];
    const double plain = run(s, k, false, ops, x, first), twice = run(s, k, false, ops, x, again);
    char unused[65];
    const double orth = run(s, k, true, ops, x, unused);
    const double best = plain < twice ? plain : twice, n = (double)s->n, m = (double)s->m,
                 d = (double)s->d;
    const bool dense = (double)k * 100 > m;
    printf("k %4zu  %-4s  step %8.3f ms  with the term %8.3f ms (%4.1f %%)  products %6.0f GF  "
           "weights and moments %5.2f GB  %s\n",
           k, precision, 1e3 * best, 1e3 * orth, 100 * (orth - best) / orth,
           1e-9 * 2 * n * m * d * (dense ? 5 : 1), 1e-9 * 28 * 2 * m * d,
           strcmp(first, again) == 0 ? "equal bits" : "BITS DIFFER");
}

int main(int argc, char **argv)
{
    static const char *const names[SAE_PRECISIONS] = {"f32", "tf32", "bf16"};
    const struct sae_ops *ops = NULL;
    struct sae_err err = {0};
    if (argc != 6) {
        fprintf(stderr, "usage: bench_cuda BACKEND N D M STEPS\n");
        return 2;
    }
    const struct shape s = {strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10),
                            strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10)};
    need(sae_ops_open_device(&ops, argv[1], 0, NULL, &err), &err);
    float *const x = make_batches(&s);
    printf("%s, n %zu, d %zu, m %zu, %zu steps\n", ops->name, s.n, s.d, s.m, s.steps);
    for (int p = 0; p < SAE_PRECISIONS; p++) {
        if (ops->precision((enum sae_precision)p, &err) != SAE_OK)
            continue;
        run_case(&s, s.d / 8 < 320 ? s.d / 8 : 320, names[p], ops, x);
        run_case(&s, s.d / 64 < 40 ? s.d / 64 : 40, names[p], ops, x);
    }
    free(x);
    return 0;
}
