/* SPDX-License-Identifier: MIT */
/* bench_turns : tokens a second through layers at the widths of gemma-2-2b on the CPU, in turns
 * with transformers.
 *
 *   bench_turns [--python PATH] [--layers L] [--contexts B] [--length T] [--rounds R] [--threads N]
 *
 * Random bf16 weights and a small vocabulary, in a folder under $TMPDIR. Each operand type has one
 * round uncounted. Prints medians, by wall time and by processor time divided by threads; under
 * other load only the latter means something. The mean square of the stream shows that both
 * computed the same. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/math/lm.h"
#include "lm/lm.h"
#include "tests/bench/bench.h"
#include "tests/bench/made_lm.h"
#include "tests/bench/peer.h"

enum { ROUNDS_MAX = 64 };

struct times {
    size_t n;
    double wall[ROUNDS_MAX], cpu[ROUNDS_MAX], value;
};

struct bench {
    const char *python;
    size_t L, B, T, rounds, threads;
    uint32_t *ids;
    float *x;
};

static double processor(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void own_run(const struct bench *b, struct sae_lm_run *run, const struct sae_lm_config *c,
                    struct times *t)
{
    struct sae_err err = {0};
    const double wall = now(), cpu = processor();
    need(sae_lm_tap(run, b->ids, b->B, b->T, sae_resid_post(c->L - 1), b->x, &err), &err);
    t->cpu[t->n] = processor() - cpu;
    t->wall[t->n++] = now() - wall;
    t->value = 0;
    for (size_t i = 0; i < b->B * b->T * c->D; i++)
        t->value += (double)b->x[i] * (double)b->x[i] / (double)(b->B * b->T * c->D);
}

static void print_rates(const struct bench *b, const char *what, struct times *t, double ret[2])
{
    const double n = (double)(b->B * b->T);
    ret[0] = n / median(t->wall, t->n);
    ret[1] = n * (double)b->threads / median(t->cpu, t->n);
    printf("%-12s %8.1f %8.1f   mean square %.6g\n", what, ret[0], ret[1], t->value);
}

/* Rounds of one operand type: ours, theirs, ours ... */
static void compare(struct bench *b, const char *folder, enum sae_precision how)
{
    struct sae_err err = {0};
    struct sae_lm *model = NULL;
    struct sae_lm_run *run = NULL;
    struct times own = {0}, other = {0};
    struct peer peer = {0};
    char threads[24], contexts[24], length[24];
    const char *const name = sae_precision_names[how];
    const char *const args[] = {folder, name, threads, contexts, length, NULL};
    snprintf(threads, sizeof threads, "%zu", b->threads);
    snprintf(contexts, sizeof contexts, "%zu", b->B);
    snprintf(length, sizeof length, "%zu", b->T);
    need(sae_lm_open(&model, folder, &err), &err);
    need(sae_lm_place(model, &sae_ops_cpu, how, b->L, &err), &err);
    need(sae_lm_run_open(&run, model, b->B * b->T, b->T, &err), &err);
    const struct sae_lm_config *c = sae_lm_config(model);
    const bool has_peer = b->python && peer_open(&peer, b->python, PEER_SCRIPT, args);
    own_run(b, run, c, &own);
    own.n = 0;
    for (size_t r = 0; r < b->rounds; r++) {
        own_run(b, run, c, &own);
        if (has_peer && !peer_run(&peer, &other.wall[r], &other.cpu[r], &other.value))
            exit(1);
        other.n += has_peer;
    }
    double ours[2], theirs[2];
    print_rates(b, sae_lm_numerics(model), &own, ours);
    if (has_peer) {
        print_rates(b, "transformers", &other, theirs);
        printf("%-12s %8.2f %8.2f   %s\n", "times", ours[0] / theirs[0], ours[1] / theirs[1],
               peer.name);
    }
    fflush(stdout);
    peer_close(&peer);
    sae_lm_run_close(run);
    sae_lm_close(model);
}

static void read_options(struct bench *b, int argc, char **argv)
{
    const struct {
        const char *name;
        size_t *to;
    } counts[] = {
        {"--layers",   &b->L      },
        {"--contexts", &b->B      },
        {"--length",   &b->T      },
        {"--rounds",   &b->rounds },
        {"--threads",  &b->threads}
    };
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--python") == 0)
            b->python = argv[i + 1];
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
            if (strcmp(argv[i], counts[k].name) == 0)
                *counts[k].to = strtoul(argv[i + 1], NULL, 10);
    }
    if (argc % 2 == 0 || b->L < 1 || b->B < 1 || b->T < 1 || b->threads < 1 || b->rounds < 1 ||
        b->rounds > ROUNDS_MAX) {
        fprintf(stderr,
                "usage: bench_turns [--python PATH] [--layers L] [--contexts B] [--length T] "
                "[--rounds 1...64] [--threads N]\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct bench b = {.L = 4, .B = 16, .T = 128, .rounds = 5, .threads = 2};
    struct made_lm_widths widths = made_lm_gemma_2_2b;
    struct sae_err err = {0};
    read_options(&b, argc, argv);
    omp_set_num_threads((int)b.threads);
    widths.V = 1024;
    need(sae_mem_alloc(&b.ids, b.B * b.T, sizeof *b.ids, &err), &err);
    need(sae_mem_alloc(&b.x, b.B * b.T, widths.D * sizeof *b.x, &err), &err);
    for (size_t i = 0; i < b.B * b.T; i++)
        b.ids[i] = (uint32_t)(i * 7919 % widths.V);
    const char *const folder = made_lm(&widths, b.L);
    printf("%zu layers, %zu contexts of %zu tokens, %zu threads, median of %zu\n%-12s %8s %8s   "
           "tokens/s\n",
           b.L, b.B, b.T, b.threads, b.rounds, "", "wall", "cpu");
    compare(&b, folder, SAE_F32);
    compare(&b, folder, SAE_BF16);
    free(b.ids);
    free(b.x);
    return 0;
}
