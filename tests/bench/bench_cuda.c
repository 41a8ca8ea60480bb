/* SPDX-License-Identifier: MIT */
/* bench_cuda : what cuda.sh measures of our side on a device.
 *
 *   bench_cuda BACKEND N D M STEPS      tokens in a batch, width, latents, steps of a repeat
 *
 * BACKEND cuda, or emulated: the same way on the emulated device of the tests, at small shapes, whose
 * times mean nothing. Prints lines "key <tab> value value ...", a value a repeat:
 *   peak PRECISION        TFLOP/s of a square product of random factors;  peak copy: GB/s, read and
 *                         written bytes together
 *   step k=K PRECISION, orth k=K PRECISION, hist, spectrum      milliseconds
 *   floor k=K PRECISION   milliseconds that no step can go below at these peaks: its products, and
 *                         the bytes of weights, moments and pre-activations; sparse gathers are left
 *                         out, so that the floor is low rather than high
 *   bits k=K              equal where two runs end in equal weights
 * for k of 320 and 40 (an eighth and a 64th of D at most). Activations lie on the device. Correlated
 * groups make masks that meet.
 * Contents: 1. help   2. peaks   3. steps   4. analyses   5. main */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/digest.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/math/cuda/gpu.h"
#include "tests/bench/bench.h"
#include "tests/emu/emu_c.h"
#include "train/options.h"
#include "train/trainer.h"

/* --- 1. help -------------------------------------------------------------------------------- */

enum { WARM = 10, BATCHES = 4, REPEATS = 5, BINS = 2000 };

struct bench {
    const struct sae_ops *ops;
    bool emulated;
    size_t n, d, m, steps;
    float *x, *x_there; /* [BATCHES][n][d] */
    double peak[SAE_PRECISIONS], copy; /* 1/s: operations, bytes */
};

static void *take(const struct sae_ops *ops, size_t n, size_t size)
{
    void *p = NULL;
    struct sae_err err = {0};
    need(ops->alloc(&p, n, size, &err), &err);
    return p;
}

static void settle(const struct bench *b)
{
    struct sae_err err = {0};
    need(b->ops->check(&err), &err);
}

static void print_values(const char *key, const double *value, size_t n)
{
    printf("%s\t", key);
    for (size_t i = 0; i < n; i++)
        printf("%s%.6g", i > 0 ? " " : "", value[i]);
    printf("\n");
    fflush(stdout);
}

static double median(const double *value, size_t n)
{
    double sorted[REPEATS];
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > value[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = value[i];
    }
    return sorted[n / 2];
}

static void make_batches(struct bench *b)
{
    const size_t all = BATCHES * b->n * b->d;
    b->x = grouped_rows(BATCHES * b->n, b->d);
    b->x_there = take(b->ops, all, sizeof *b->x);
    b->ops->put(b->x_there, b->x, all * sizeof *b->x);
}

/* --- 2. peaks: the device's own, through the thin layer -------------------------------------- */

typedef bool gemm_fn(enum sae_gpu_type type, bool ta, bool tb, size_t M, size_t N, size_t K,
                     float alpha, const void *A, size_t lda, const void *B, size_t ldb, float beta,
                     float *C, size_t ldc);
typedef void copy_fn(void *to, const void *from, size_t bytes);

static void find_layer(const struct bench *b, gemm_fn **gemm, copy_fn **copy)
{
    *gemm = sae_gpu_gemm; /* of the emulation */
    *copy = sae_gpu_copy;
    if (b->emulated)
        return;
    void *const module = dlopen("saecuda.so", RTLD_NOW | RTLD_LOCAL);
    void *const g = module ? dlsym(module, "sae_gpu_gemm") : NULL;
    void *const c = module ? dlsym(module, "sae_gpu_copy") : NULL;
    if (!g || !c) {
        fprintf(stderr, "bench_cuda: saecuda.so lacks a function: %s\n", dlerror());
        exit(1);
    }
    memcpy(gemm, &g, sizeof *gemm);
    memcpy(copy, &c, sizeof *copy);
}

static void measure_copy(struct bench *b, copy_fn *copy)
{
    const size_t bytes = b->emulated ? 1 << 16 : (size_t)2 << 30, times = 10;
    unsigned char *const from = take(b->ops, bytes, 1), *const to = take(b->ops, bytes, 1);
    double rate[REPEATS];
    for (int r = -1; r < REPEATS; r++) {
        settle(b);
        const double since = now();
        for (size_t i = 0; i < times; i++)
            copy(to, from, bytes);
        settle(b);
        if (r >= 0)
            rate[r] = 2e-9 * (double)bytes * (double)times / (now() - since);
    }
    print_values("peak copy", rate, REPEATS);
    b->copy = 1e9 * median(rate, REPEATS);
    b->ops->free(from);
    b->ops->free(to);
}

/* Two random arrays serve as f32 and as pairs of bf16: both halves of a normal float are finite. */
static void measure_products(struct bench *b, gemm_fn *gemm)
{
    static const enum sae_gpu_type types[SAE_PRECISIONS] = {SAE_GPU_F32, SAE_GPU_TF32, SAE_GPU_BF16};
    const size_t side = b->emulated ? 64 : 8192, n = side * side;
    struct sae_rng rng = sae_rng_make(3, SAE_RNG_TEST);
    struct sae_err err = {0};
    float *host = NULL;
    uint16_t *half = NULL;
    need(sae_mem_alloc(&host, n, sizeof *host, &err), &err);
    need(sae_mem_alloc(&half, n, sizeof *half, &err), &err);
    void *const A = take(b->ops, n, sizeof *host), *const B = take(b->ops, n, sizeof *host);
    float *const C = take(b->ops, n, sizeof *C);
    for (int p = 0; p < SAE_PRECISIONS; p++) {
        const int times = p == SAE_BF16 ? 20 : 4;
        double rate[REPEATS];
        char key[32];
        for (int which = 0; which < 2 && p != SAE_TF32; which++) {
            for (size_t i = 0; i < n; i++) {
                uint32_t bits;
                host[i] = (float)sae_rng_normal(&rng);
                memcpy(&bits, &host[i], sizeof bits);
                half[i] = (uint16_t)(bits >> 16);
            }
            b->ops->put(which ? B : A, p == SAE_BF16 ? (const void *)half : host,
                        n * (p == SAE_BF16 ? sizeof *half : sizeof *host));
        }
        for (int r = -1; r < REPEATS; r++) {
            settle(b);
            const double since = now();
            for (int i = 0; i < times; i++)
                if (!gemm(types[p], false, true, side, side, side, 1, A, side, B, side, 0, C, side))
                    fprintf(stderr, "bench_cuda: no product in %s\n", sae_precision_names[p]);
            settle(b);
            if (r >= 0)
                rate[r] = 2e-12 * (double)n * (double)side * times / (now() - since);
        }
        snprintf(key, sizeof key, "peak %s", sae_precision_names[p]);
        print_values(key, rate, REPEATS);
        b->peak[p] = 1e12 * median(rate, REPEATS);
    }
    b->ops->free(A);
    b->ops->free(B);
    b->ops->free(C);
    free(host);
    free(half);
}

/* --- 3. steps ------------------------------------------------------------------------------- */

static struct trainer *open_trainer(const struct bench *b, size_t k, bool orth)
{
    struct settings set;
    struct sae_err err = {0};
    struct trainer *t = NULL;
    double last = 100;
    options_default(&set);
    set.k = k;
    set.m = b->m;
    set.batch = b->n;
    set.steps = 10 * (b->steps * REPEATS + WARM);
    set.heldout_rows = b->n;
    set.orth = orth ? ORTH_PROGRESSIVE : ORTH_NONE;
    set.checkpoints = (struct sae_reals){1, &last};
    need(settings_resolve(&set, b->n * (set.steps + 2), b->d, &err), &err);
    need(trainer_open(&t, &set, b->ops, b->d, &err), &err);
    trainer_init(t, b->x);
    return t;
}

static void take_steps(const struct bench *b, struct trainer *t, size_t n)
{
    struct sae_err err = {0};
    for (size_t i = 0; i < n; i++)
        need(trainer_step(t, b->x_there + i % BATCHES * b->n * b->d, false, NULL, &err), &err);
    settle(b);
}

static void weights_hex(struct trainer *t, char hex[65])
{
    struct sae_digest digest;
    struct sae_err err = {0};
    need(trainer_fetch(t, true, &err), &err);
    sae_digest_init(&digest);
    sae_digest_update(&digest, t->w.all, t->w.n * sizeof *t->w.all);
    sae_digest_hex(&digest, hex);
}

static void time_steps(const struct bench *b, size_t k, bool orth, const char *precision)
{
    struct trainer *const t = open_trainer(b, k, orth);
    double ms[REPEATS];
    char key[64];
    take_steps(b, t, b->emulated ? 1 : WARM);
    for (int r = 0; r < REPEATS; r++) {
        const double since = now();
        take_steps(b, t, b->steps);
        ms[r] = 1e3 * (now() - since) / (double)b->steps;
    }
    snprintf(key, sizeof key, "%s k=%zu %s", orth ? "orth" : "step", k, precision);
    print_values(key, ms, REPEATS);
    trainer_close(t);
}

/* Products at this precision's peak; Adam reads and writes weights and two moments and reads the
 * gradient, which was written: 32 bytes a parameter; pre-activations are written and read. */
static void print_floor(const struct bench *b, size_t k, int precision)
{
    const double n = (double)b->n, m = (double)b->m, d = (double)b->d;
    const bool dense = (double)k * 100 > m;
    const double ms = 1e3 * (2 * n * m * d * (dense ? 5 : 1) / b->peak[precision] +
                             (32 * 2 * m * d + 8 * n * m) / b->copy);
    char key[64];
    snprintf(key, sizeof key, "floor k=%zu %s", k, sae_precision_names[precision]);
    print_values(key, &ms, 1);
}

static void compare_bits(const struct bench *b, size_t k)
{
    char hex[2][65];
    for (int r = 0; r < 2; r++) {
        struct trainer *const t = open_trainer(b, k, true);
        take_steps(b, t, b->emulated ? 3 : WARM);
        weights_hex(t, hex[r]);
        trainer_close(t);
    }
    printf("bits k=%zu\t%s\n", k, strcmp(hex[0], hex[1]) == 0 ? "equal" : "DIFFER");
    fflush(stdout);
}

/* --- 4. analyses ---------------------------------------------------------------------------- */

static float *unit_rows(const struct bench *b)
{
    struct sae_rng rng = sae_rng_make(11, SAE_RNG_TEST);
    struct sae_err err = {0};
    float *host = NULL;
    need(sae_mem_alloc(&host, b->m * b->d, sizeof *host, &err), &err);
    for (size_t i = 0; i < b->m * b->d; i++)
        host[i] = (float)sae_rng_normal(&rng);
    float *const U = take(b->ops, b->m * b->d, sizeof *U);
    b->ops->put(U, host, b->m * b->d * sizeof *U);
    b->ops->unit_rows(b->m, b->d, 0, U);
    free(host);
    return U;
}

static void time_hist(const struct bench *b, const float *U)
{
    struct sae_err err = {0};
    uint64_t *const hist = take(b->ops, BINS, sizeof *hist);
    float *const most = take(b->ops, b->m, sizeof *most), *const least = take(b->ops, b->m, 4);
    uint32_t *const at = take(b->ops, b->m, sizeof *at);
    double ms[REPEATS];
    for (int r = -1; r < REPEATS; r++) {
        settle(b);
        const double since = now();
        need(b->ops->cos_hist(b->m, b->d, U, BINS, hist, most, at, least, &err), &err);
        if (r >= 0)
            ms[r] = 1e3 * (now() - since);
    }
    print_values("hist", ms, REPEATS);
    b->ops->free(hist);
    b->ops->free(most);
    b->ops->free(least);
    b->ops->free(at);
}

static void time_spectrum(const struct bench *b, const float *U)
{
    struct sae_err err = {0};
    double *const G = take(b->ops, b->d * b->d, sizeof *G), *const eig = take(b->ops, b->d, 8);
    double ms[REPEATS];
    for (int r = -1; r < REPEATS; r++) { /* the first one loads cuSOLVER */
        settle(b);
        const double since = now();
        need(b->ops->gram(b->m, b->d, U, G, &err), &err);
        if (b->ops->eigenvalues(b->d, G, eig, &err) != SAE_OK) {
            fprintf(stderr, "bench_cuda: %s\n", err.msg);
            break;
        }
        if (r >= 0)
            ms[r] = 1e3 * (now() - since);
        if (r == REPEATS - 1)
            print_values("spectrum", ms, REPEATS);
    }
    b->ops->free(G);
    b->ops->free(eig);
}

/* --- 5. main -------------------------------------------------------------------------------- */

static void open_backend(struct bench *b, const char *name)
{
    struct sae_err err = {0};
    b->emulated = strcmp(name, "emulated") == 0;
    need(b->emulated ? sae_cuda_open(&b->ops, &err)
                     : sae_ops_open_device(&b->ops, name, 0, NULL, &err),
         &err);
    if (!b->ops->host)
        return;
    fprintf(stderr, "bench_cuda: '%s' is no device\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct sae_err err = {0};
    gemm_fn *gemm = NULL;
    copy_fn *copy = NULL;
    if (argc != 6) {
        fprintf(stderr, "usage: bench_cuda cuda|emulated N D M STEPS\n");
        return 2;
    }
    open_backend(&b, argv[1]);
    b.n = strtoul(argv[2], NULL, 10);
    b.d = strtoul(argv[3], NULL, 10);
    b.m = strtoul(argv[4], NULL, 10);
    b.steps = strtoul(argv[5], NULL, 10);
    if (b.n == 0 || b.d < 64 || b.m < b.d || b.steps == 0) {
        fprintf(stderr, "bench_cuda: at least one token and step, D 64 or more, M no less than D\n");
        return 2;
    }
    find_layer(&b, &gemm, &copy);
    measure_copy(&b, copy);
    measure_products(&b, gemm);
    make_batches(&b);
    float *const U = unit_rows(&b);
    time_hist(&b, U);
    time_spectrum(&b, U);
    b.ops->free(U);
    const size_t k[2] = {b.d / 8 < 320 ? b.d / 8 : 320, b.d / 64 < 40 ? b.d / 64 : 40};
    for (int p = SAE_PRECISIONS - 1; p >= 0; p--) {
        need(b.ops->precision((enum sae_precision)p, &err), &err);
        for (int i = 0; i < 2; i++) {
            print_floor(&b, k[i], p);
            time_steps(&b, k[i], false, sae_precision_names[p]);
            time_steps(&b, k[i], true, sae_precision_names[p]);
        }
    }
    for (int i = 0; i < 2; i++)
        compare_bits(&b, k[i]);
    b.ops->free(b.x_there);
    free(b.x);
    return 0;
}
