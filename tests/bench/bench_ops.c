/* SPDX-License-Identifier: MIT */
/* bench_ops : time of each operation of the cpu backend at the shapes that training meets, beside
 * the rate of a matrix product measured in the same minute, and the peak memory. Other load on
 * the machine moves every figure: compare the last column, or the processor time of all threads
 * (min cpu), not milliseconds. Passes that memory bounds say how many bytes a second they move, at
 * least: copy beside them is what this machine can.
 *
 *   bench_ops                    the three shapes
 *   bench_ops 2304 16384 2048 40              one shape: d m n k
 *   bench_ops 2304 16384 2048 40 1 orth       ... on one thread (0: all), one operation */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/base/str.h"
#include "lib/math/ops.h"

enum { MAX_RUNS = 25 };
#define SECONDS 1.0 /* an operation is repeated for this long, at least 3 times */

struct bench {
    const struct sae_ops *o;
    uint64_t d, m, n, k;
    float *x, *xc, *g, *W_enc, *W_dec, *G, *M, *V, *pre, *b_enc, *b_dec, *dz, *db;
    struct sae_csr csr, many;
    struct sae_csc csc;
    double sum[5], tau; /* of the term; tau: overlap above which two latents compete */
    bool with_gradient;
    double *row;         /* [n] */
    float *f, *gate;     /* [n][m] */
    uint32_t *active;    /* [m] */
    uint64_t *idle;      /* [m] */
    double sgemm;        /* GFLOP/s */
    const char *only;
};

static void *grab(size_t n, size_t size)
{
    void *p = NULL;
    if (sae_ops_cpu.alloc(&p, n, size, NULL) != SAE_OK) {
        fprintf(stderr, "bench_ops: out of memory\n");
        exit(1);
    }
    return p;
}

static void need(enum sae_status st)
{
    if (st != SAE_OK) {
        fprintf(stderr, "bench_ops: status %d\n", (int)st);
        exit(1);
    }
}

static float *normal(uint64_t seed, size_t n, float scale)
{
    struct sae_rng rng = sae_rng_make(seed, SAE_RNG_TEST);
    float *const a = grab(n, sizeof *a);
    for (size_t i = 0; i < n; i++)
        a[i] = scale * (float)sae_rng_normal(&rng);
    return a;
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Prints one line; returns the least time. */
static double measure(struct bench *b, const char *name, double flop, double bytes,
                      void (*run)(struct bench *))
{
    double ms[MAX_RUNS], cpu[MAX_RUNS];
    size_t n = 0;
    if (b->only && strncmp(name, b->only, strlen(b->only)) != 0 && strcmp(name, "gemm") != 0)
        return 0;
    for (double spent = 0; n < MAX_RUNS && (n < 3 || spent < SECONDS); n++) {
        const double t = now(CLOCK_MONOTONIC), c = now(CLOCK_PROCESS_CPUTIME_ID);
        run(b);
        ms[n] = 1e3 * (now(CLOCK_MONOTONIC) - t);
        cpu[n] = 1e3 * (now(CLOCK_PROCESS_CPUTIME_ID) - c);
        spent += ms[n] / 1e3;
    }
    qsort(ms, n, sizeof *ms, compare);
    qsort(cpu, n, sizeof *cpu, compare);
    printf("%-12s %9.2f %9.2f %9.2f", name, ms[0], ms[n / 2], cpu[0]);
    if (flop > 0) {
        const double rate = flop / ms[0] / 1e6;
        printf(" %8.1f", rate);
        if (b->sgemm > 0)
            printf(" %8.2f", rate / b->sgemm);
    }
    if (bytes > 0)
        printf(" %8.1f GB/s", bytes / ms[0] / 1e6);
    printf("\n");
    fflush(stdout);
    return ms[0];
}

static void run_encode(struct bench *b)
{
    b->o->gemm(false, true, b->n, b->m, b->d, 1, b->xc, b->d, b->W_enc, b->d, 0, b->pre, b->m);
}

static void run_topk(struct bench *b)
{
    b->o->topk(b->n, b->m, b->k, b->pre, b->b_enc, &b->csr);
}

static void run_batchtopk(struct bench *b)
{
    b->o->batchtopk(b->n, b->m, b->k, b->pre, b->b_enc, &b->many);
}

static void run_threshold(struct bench *b)
{
    size_t nnz;
    b->o->threshold(b->n, b->m, b->pre, b->b_enc, b->b_enc, &b->many, &nnz);
}

static void run_transpose(struct bench *b)
{
    b->o->transpose(b->m, &b->csr, &b->csc);
}

static void run_decode(struct bench *b)
{
    b->o->decode(b->d, &b->csr, b->W_dec, b->b_dec, b->g);
}

static void run_grad_dec(struct bench *b)
{
    b->o->grad_dec(b->m, b->d, &b->csr, &b->csc, b->x, b->W_dec, b->dz, b->G);
}

static void run_grad_enc(struct bench *b)
{
    b->o->grad_enc(b->m, b->d, &b->csr, &b->csc, b->dz, b->xc, b->G, b->db);
}

static void run_center(struct bench *b)
{
    b->o->center(b->n, b->d, b->x, b->b_dec, b->xc);
}

static void run_col_sum(struct bench *b)
{
    b->o->col_sum(b->n, b->d, b->x, b->db);
}

static void run_sum_sq(struct bench *b)
{
    volatile double sink = b->o->sum_sq(b->m * b->d, b->G);
    (void)sink;
}

static void run_adam(struct bench *b)
{
    const struct sae_adam h = {1e-6f, 0.9f, 0.999f, 1e-8f, 5, 1};
    b->o->adam(b->m * b->d, &h, b->W_enc, b->G, b->M, b->V);
}

static void run_unit(struct bench *b)
{
    b->o->unit_rows(b->m, b->d, 0, b->W_dec);
}

static void run_orth(struct bench *b)
{
    const struct sae_csr *const csr = &b->csr;
    const struct sae_csc *const csc = &b->csc;
    const double one = 1;
    const struct sae_overlap_masks masks = {1, &csr, &csc, &one};
    const struct sae_compete_rule rule = {SAE_OVERLAP_OVERLAP, SAE_COMPETE_LINEAR, 4, b->tau, 2};
    b->o->orth_masks(b->m, b->d, b->W_dec, &masks, &rule, 0.1, false, NULL,
                     b->with_gradient ? b->G : NULL, NULL, b->sum);
}

/* The term of masks made anew, at three thresholds, with its gradient and without. */
static void bench_orth(struct bench *b)
{
    static const double tau[] = {0.5, 0.2, 0.05};
    run_topk(b);
    run_transpose(b);
    for (size_t i = 0; i < 6; i++) {
        char name[32];
        b->tau = tau[i / 2];
        b->with_gradient = i % 2 == 0;
        snprintf(name, sizeof name, "%s %.2f", i % 2 ? "sums" : "orth", b->tau);
        if (measure(b, name, 0, 0, run_orth) > 0)
            printf("%-12s %.0f competing pairs\n", "", b->sum[1]);
    }
}

static void run_hist(struct bench *b)
{
    enum { BINS = 200 };
    uint64_t hist[BINS];
    float *const largest = grab(2 * b->m, sizeof *largest);
    uint32_t *const at = grab(b->m, sizeof *at);
    need(b->o->cos_hist(b->m, b->d, b->W_dec, BINS, hist, largest, at, largest + b->m, NULL));
    free(largest);
    free(at);
}

/* --- passes of a step over [n][m], [n][d] and the kept entries ------------------------------- */

static void run_relu_sum(struct bench *b)
{
    b->o->relu_sum(b->n, b->m, b->b_enc, b->pre, b->sum);
}

static void run_mask_grad(struct bench *b)
{
    b->o->mask_grad(b->n * b->m, b->pre, 1e-3f, b->f);
}

static void run_scatter(struct bench *b)
{
    b->o->scatter(b->m, &b->csr, b->f);
}

static void run_count_active(struct bench *b)
{
    b->o->count_active(b->n, b->m, b->pre, false, b->active);
}

static void run_age(struct bench *b)
{
    b->o->age(b->n, b->m, NULL, b->active, 1000000, b->idle, b->sum);
}

static void run_gate(struct bench *b)
{
    b->o->gate(b->n, b->m, b->pre, b->b_enc, b->V, b->b_enc, b->f, b->gate, b->sum);
}

static void run_gate_grad(struct bench *b)
{
    float *const g = b->db; /* four sums by latent, all here */
    b->o->gate_grad(b->n, b->m, b->pre, b->b_enc, b->f, b->gate, 1e-3f, b->f, b->gate, g, g, g, g);
}

static void run_jump(struct bench *b)
{
    b->o->jump(b->n, b->m, b->db, b->b_enc, false, b->pre, b->active, b->sum);
}

static void run_jump_fill(struct bench *b)
{
    b->o->jump_fill(b->n, b->m, b->pre, b->b_enc, b->f);
}

static void run_jump_grad(struct bench *b)
{
    const struct sae_jump h = {0.001, (double)b->k, 1, false};
    b->o->jump_grad(b->n, b->m, b->d, &h, b->pre, b->b_enc, b->active, b->sum, b->x, b->W_dec,
                    b->db);
}

static void run_lp_sum(struct bench *b)
{
    b->o->lp_sum(false, b->n, b->m, b->csr.start, b->csr.val, 0.7, 0.6, b->row, b->sum);
}

static void run_lp_grad(struct bench *b)
{
    b->o->lp_grad(false, b->n, b->m, b->csr.start, b->csr.val, 0.7, 1e-6, b->row, b->dz);
}

static void run_loss_sum(struct bench *b)
{
    b->o->loss_sum(false, b->n, b->d, b->x, b->xc, b->g, b->sum);
}

static void run_project_sum(struct bench *b)
{
    b->o->project_sum(b->m, b->d, b->W_dec, 1e-6f, b->G, b->db, b->sum);
}

static void run_spread_sum(struct bench *b)
{
    b->o->spread_sum(b->n, b->d, b->x, b->xc, b->sum);
}

static void run_aux_loss(struct bench *b)
{
    static const double one = 1;
    b->o->aux_loss(b->n, b->d, 1e-6, b->x, b->xc, &one, &one, b->g, b->sum);
}

static void run_prefix_loss(struct bench *b)
{
    b->o->prefix_loss(b->n, b->d, 1, b->x, b->xc, NULL, b->g, b->sum);
}

static void run_cut_move(struct bench *b)
{
    b->o->cut_move(&b->csr, 0.999, b->sum);
}

static void run_copy(struct bench *b)
{
    b->o->copy(b->g, b->x, b->n * b->d * sizeof *b->x);
}

/* The last third of the latents, as a nested dictionary's last group. */
static void run_decode_group(struct bench *b)
{
    b->o->decode_group(b->d, &b->csr, b->m - b->m / 3, b->m, b->W_dec, b->x, b->g);
}

static void run_grad_dec_group(struct bench *b)
{
    b->o->grad_dec_group(b->d, b->m - b->m / 3, b->m, &b->csr, &b->csc, b->x, b->W_dec, b->dz,
                         b->G);
}

static void run_grad_add(struct bench *b)
{
    b->o->grad_add(b->m, b->d, &b->csr, &b->csc, b->x, b->xc, b->W_dec, b->dz, b->G, b->M, b->db);
}

/* One latent in sixteen is dead. */
static void run_topk_idle(struct bench *b)
{
    for (size_t j = 0; j < b->m; j++)
        b->idle[j] = j % 16 == 0;
    b->o->topk_idle(b->n, b->m, b->d, b->k, b->xc, b->W_enc, b->b_enc, NULL, b->idle, 1, &b->many);
}

/* Bytes are what must pass through memory at least. */
static void bench_passes(struct bench *b)
{
    const double nm = 4 * (double)(b->n * b->m), nd = 4 * (double)(b->n * b->d);
    const double m = (double)b->m, nnz = (double)(b->n * b->k) * 2 * (double)b->d;
    measure(b, "relu_sum", 0, 2 * nm, run_relu_sum);
    measure(b, "mask_grad", 0, 3 * nm, run_mask_grad);
    measure(b, "scatter", 0, nm, run_scatter);
    measure(b, "count_active", 0, nm, run_count_active);
    measure(b, "age", 0, 20 * m, run_age);
    run_encode(b);
    measure(b, "jump", 0, 2 * nm, run_jump);
    measure(b, "jump_fill", 0, 2 * nm, run_jump_fill);
    measure(b, "jump_grad", 0, nm, run_jump_grad);
    run_encode(b);
    measure(b, "gate", 0, 3 * nm, run_gate);
    measure(b, "gate_grad", 0, 5 * nm, run_gate_grad);
    run_topk(b);
    run_transpose(b);
    measure(b, "lp_sum", 0, 0, run_lp_sum);
    measure(b, "lp_grad", 0, 0, run_lp_grad);
    measure(b, "loss_sum", 0, 3 * nd, run_loss_sum);
    measure(b, "project_sum", 0, 8 * m * (double)b->d, run_project_sum);
    measure(b, "spread_sum", 0, 4 * nd, run_spread_sum);
    measure(b, "aux_loss", 0, 4 * nd, run_aux_loss);
    measure(b, "prefix_loss", 0, 3 * nd, run_prefix_loss);
    measure(b, "cut_move", 0, 0, run_cut_move);
    measure(b, "copy", 0, 2 * nd, run_copy);
    measure(b, "decode_group", nnz / 3, 0, run_decode_group);
    measure(b, "grad_group", 2 * nnz / 3, 0, run_grad_dec_group);
    measure(b, "grad_add", 3 * nnz, 0, run_grad_add);
    measure(b, "topk_idle", 2 * (double)(b->n * b->d) * m / 16, 0, run_topk_idle);
}

static void bench_make(struct bench *b)
{
    const size_t nd = b->n * b->d, md = b->m * b->d;
    b->x = normal(1, nd, 1);
    b->xc = normal(2, nd, 1);
    b->g = grab(nd, sizeof(float));
    b->W_enc = normal(3, md, 1 / sqrtf((float)b->d));
    b->W_dec = normal(4, md, 1);
    b->G = normal(5, md, 1);
    b->M = normal(6, md, 1);
    b->V = grab(md, sizeof(float));
    b->pre = grab(b->n * b->m, sizeof(float));
    b->b_enc = normal(7, b->m, 0.7f); /* some latents fire much more often than others */
    b->b_dec = normal(8, b->d, 1);
    b->dz = grab(b->n * b->k, sizeof(float));
    b->db = grab(b->m > b->d ? b->m : b->d, sizeof(float));
    b->f = grab(b->n * b->m, sizeof(float));
    b->gate = grab(b->n * b->m, sizeof(float));
    b->row = grab(b->n, sizeof(double));
    b->active = grab(b->m, sizeof(uint32_t));
    b->idle = grab(b->m, sizeof(uint64_t));
    need(sae_csr_alloc(&b->csr, b->o, b->n, b->n * b->k, NULL));
    need(sae_csr_alloc(&b->many, b->o, b->n, b->n * b->m / 2, NULL));
    need(sae_csc_alloc(&b->csc, b->o, b->m, b->n * b->k, NULL));
}

static void bench_clear(struct bench *b)
{
    float *const arrays[] = {b->x,   b->xc,    b->g,     b->W_enc, b->W_dec, b->G, b->M,   b->V,
                             b->pre, b->b_enc, b->b_dec, b->dz,    b->db,    b->f, b->gate};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    free(b->row);
    free(b->active);
    free(b->idle);
    sae_csr_free(&b->csr, b->o);
    sae_csr_free(&b->many, b->o);
    sae_csc_free(&b->csc, b->o);
}

static void bench_shape(uint64_t d, uint64_t m, uint64_t n, uint64_t k, const char *only)
{
    struct bench b = {.o = &sae_ops_cpu, .d = d, .m = m, .n = n, .k = k, .only = only};
    bench_make(&b);
    const double gemm = 2.0 * (double)(n * m) * (double)d, nnz = (double)(n * k) * 2 * (double)d;
    printf("\nd %zu  m %zu  n %zu  k %zu\n", (size_t)d, (size_t)m, (size_t)n, (size_t)k);
    printf("%-12s %9s %9s %9s %8s %8s\n", "operation", "min ms", "median", "min cpu", "GFLOP/s",
           "/ gemm");
    b.sgemm = gemm / measure(&b, "gemm", gemm, 0, run_encode) / 1e6;
    measure(&b, "topk", 0, 0, run_topk);
    measure(&b, "batchtopk", 0, 0, run_batchtopk);
    measure(&b, "threshold", 0, 0, run_threshold);
    run_topk(&b);
    run_transpose(&b);
    measure(&b, "transpose", 0, 0, run_transpose);
    measure(&b, "decode", nnz, 0, run_decode);
    measure(&b, "grad_dec", 2 * nnz, 0, run_grad_dec);
    measure(&b, "grad_enc", nnz, 0, run_grad_enc);
    measure(&b, "center", 0, 0, run_center);
    measure(&b, "col_sum", 0, 0, run_col_sum);
    measure(&b, "sum_sq", 0, 0, run_sum_sq);
    measure(&b, "adam", 0, 0, run_adam);
    measure(&b, "unit_rows", 0, 0, run_unit);
    bench_orth(&b);
    measure(&b, "cos_hist", (double)m * (double)m * (double)d, 0, run_hist);
    measure(&b, "gemm", gemm, 0, run_encode);
    bench_passes(&b);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("peak memory %.0f MB\n", (double)use.ru_maxrss / 1024);
    bench_clear(&b);
}

int main(int argc, char **argv)
{
    uint64_t v[5] = {0};
    sae_ops_set_environment(argv);
    for (int i = 1; i < argc && i <= 5; i++) {
        if (!sae_str_u64(argv[i], &v[i - 1])) {
            fprintf(stderr, "bench_ops: '%s' is not a number\n", argv[i]);
            return 2;
        }
    }
    sae_ops_threads(v[4]);
    printf("%s\n", sae_ops_blas());
    if (argc > 4) {
        bench_shape(v[0], v[1], v[2], v[3], argc > 6 ? argv[6] : NULL);
        return 0;
    }
    bench_shape(128, 2048, 2048, 32, NULL);
    bench_shape(2304, 16384, 2048, 40, NULL);
    bench_shape(2304, 16384, 2048, 320, NULL);
    return 0;
}
