/* SPDX-License-Identifier: MIT */
/* bench_lm : the speed of the language model, as cuda.sh runs it.
 *
 *   bench_lm BACKEND FOLDER|L [B T]      BACKEND cuda, cpu or emulated; B sequences of T tokens, 16 of
 *                                        128 unless given
 *
 * L: a model of so many layers at the widths of gemma-2-2b (narrow ones on the emulated device), random
 * bf16 weights, written to a folder under $TMPDIR that is removed at the end: 5.2 GB for 26 layers.
 *
 * Prints lines "lm NAME <tab> tokens a second ...", a value a repeat: harvesting (layers 0 to 12, or to
 * the last of fewer, and the stream back on the host), and a whole pass with the cross-entropy of every
 * token, as sae-splice has of the untouched model. Factors are bf16 on a device, f32 on the host. The
 * first passes, in which weights are read and sent, are not in the numbers; stderr has the first. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/math/lm.h"
#include "lm/lm.h"
#include "splice/recover.h"
#include "tests/bench/bench.h"
#include "tests/bench/made_lm.h"
#include "tests/emu/emu_c.h"

enum { REPEATS = 5, LAYER = 12 };
#define DEVICE_LOGIT_BYTES ((size_t)2 << 30) /* as sae-splice's */
#define HOST_LOGIT_BYTES ((size_t)128 << 20)

struct bench {
    const struct sae_ops *ops;
    struct sae_lm *model;
    struct sae_lm_run *run;
    size_t B, T, D, V, layer, chunk, passes; /* chunk: contexts whose logits are kept at a time */
    uint32_t *ids, *target;                  /* [B*T] */
    float *x;                                /* [B*T][D] */
    float *logits, *p;                       /* [chunk*T][V], on the host alone */
    double *ce;                              /* [B*T] */
};

/* --- passes ------------------------------------------------------------------------------- */

/* A BOS and words, each word the target of the one before it. */
static void make_text(struct bench *b)
{
    struct sae_rng rng = sae_rng_make(8, SAE_RNG_TEST);
    const uint32_t bos = sae_lm_config(b->model)->bos;
    const size_t n = b->B * b->T;
    for (size_t i = 0; i < n; i++)
        b->ids[i] = i % b->T == 0 ? bos : (uint32_t)sae_rng_below(&rng, b->V);
    for (size_t i = 0; i < n; i++)
        b->target[i] = i % b->T == b->T - 1 ? SAE_LM_NO_TARGET : b->ids[i + 1];
}

static void open_bench(struct bench *b, const char *folder)
{
    struct sae_err err = {0};
    need(sae_lm_open(&b->model, folder, &err), &err);
    const struct sae_lm_config *c = sae_lm_config(b->model);
    const size_t n = b->B * b->T;
    b->D = c->D;
    b->V = c->V;
    b->layer = c->L > LAYER ? LAYER : c->L - 1;
    need(sae_lm_place(b->model, b->ops, SAE_BF16, c->L, &err), &err);
    need(sae_lm_run_open(&b->run, b->model, n, b->T, &err), &err);
    const size_t fit =
        (b->ops->host ? HOST_LOGIT_BYTES : DEVICE_LOGIT_BYTES) / (b->T * b->V * sizeof(float));
    b->chunk = fit < 1 ? 1 : fit < b->B ? fit : b->B;
    const size_t rows = b->ops->host ? b->chunk * b->T : 1;
    need(sae_mem_alloc(&b->ids, n, sizeof *b->ids, &err), &err);
    need(sae_mem_alloc(&b->target, n, sizeof *b->target, &err), &err);
    need(sae_mem_alloc(&b->x, n, b->D * sizeof *b->x, &err), &err);
    need(sae_mem_alloc(&b->logits, rows, b->V * sizeof *b->logits, &err), &err);
    need(sae_mem_alloc(&b->p, rows, b->V * sizeof *b->p, &err), &err);
    need(sae_mem_alloc(&b->ce, n, sizeof *b->ce, &err), &err);
    make_text(b);
}

static void close_bench(struct bench *b)
{
    sae_lm_run_close(b->run);
    sae_lm_close(b->model);
    free(b->ids);
    free(b->target);
    free(b->x);
    free(b->logits);
    free(b->p);
    free(b->ce);
}

static void harvest(struct bench *b)
{
    struct sae_err err = {0};
    need(sae_lm_tap(b->run, b->ids, b->B, b->T, sae_resid_post(b->layer), b->x, &err), &err);
}

/* Cross-entropies of the rows run last, row `first` of the text the first of them. */
static void cross_entropy(struct bench *b, size_t first, size_t n)
{
    struct sae_err err = {0};
    if (!b->ops->host) {
        need(sae_lm_set_reference(b->run, n, b->target + first, b->ce + first, &err), &err);
        return;
    }
    need(sae_lm_logits(b->run, 0, n, b->logits, &err), &err);
    splice_recover_reference(n, b->V, b->logits, b->p, b->target + first, b->ce + first);
}

static void whole_pass(struct bench *b)
{
    struct sae_err err = {0};
    harvest(b);
    for (size_t c = 0; c < b->B; c += b->chunk) {
        const size_t m = b->chunk < b->B - c ? b->chunk : b->B - c, at = c * b->T;
        need(sae_lm_resume(b->run, b->x + at * b->D, NULL, m, b->T, sae_resid_post(b->layer), &err), &err);
        cross_entropy(b, at, m * b->T);
    }
}

static void measure(struct bench *b, const char *name, void (*pass)(struct bench *))
{
    const double begun = now();
    pass(b);
    fprintf(stderr, "bench_lm: %s: the first pass took %.1f s\n", name, now() - begun);
    pass(b);
    printf("lm %s\t", name);
    for (int r = 0; r < REPEATS; r++) {
        const double since = now();
        for (size_t i = 0; i < b->passes; i++)
            pass(b);
        printf("%s%.6g", r > 0 ? " " : "", (double)(b->passes * b->B * b->T) / (now() - since));
    }
    printf("\n");
    fflush(stdout);
}

/* What was computed is a cross-entropy, or its speed means nothing. */
static void check(const struct bench *b)
{
    double sum = 0;
    for (size_t i = 0; i < b->B * b->T; i++)
        sum += b->ce[i];
    sum /= (double)(b->B * (b->T - 1));
    fprintf(stderr, "bench_lm: %.3f nats a token\n", sum);
    if (isfinite(sum) && sum > 0)
        return;
    fprintf(stderr, "bench_lm: that is no cross-entropy\n");
    exit(1);
}

int main(int argc, char **argv)
{
    struct bench b = {.B = 16, .T = 128};
    struct sae_err err = {0};
    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: bench_lm cuda|cpu|emulated FOLDER|LAYERS [B T]\n");
        return 2;
    }
    if (argc == 5) {
        b.B = strtoul(argv[3], NULL, 10);
        b.T = strtoul(argv[4], NULL, 10);
    }
    if (b.B < 1 || b.T < 2) {
        fprintf(stderr, "bench_lm: at least one sequence of two tokens\n");
        return 2;
    }
    const bool emulated = strcmp(argv[1], "emulated") == 0;
    need(emulated ? sae_cuda_open(&b.ops, &err)
                  : sae_ops_open_device(&b.ops, argv[1], 0, NULL, &err),
         &err);
    if (!b.ops->host) /* figures of a device that computes something else mean nothing */
        need(sae_lm_agree(b.ops, SAE_BF16, &err), &err);
    b.passes = emulated || b.ops->host ? 1 : 20;
    const bool make = argv[2][strspn(argv[2], "0123456789")] == '\0';
    const size_t L = make ? strtoul(argv[2], NULL, 10) : 0;
    if (make && L == 0) {
        fprintf(stderr, "bench_lm: at least one layer\n");
        return 2;
    }
    open_bench(&b, make ? made_lm(emulated ? &made_lm_narrow : &made_lm_gemma_2_2b, L) : argv[2]);
    measure(&b, "harvesting", harvest);
    measure(&b, "whole pass with CE", whole_pass);
    check(&b);
    close_bench(&b);
    return 0;
}
