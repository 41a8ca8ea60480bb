/* SPDX-License-Identifier: MIT */
/* bench_train : training and its heaviest analyses beside PyTorch, taking turns within one run.
 *
 *   bench_train                              everything, under 20 minutes on two quiet cores
 *   bench_train --quick                      fewer repeats
 *   bench_train --python venv/bin/python     a Python with torch and dictionary-learning; without
 *                                            one the peer's columns stay empty
 *   bench_train --case step-40 --case orth   chosen cases; --list shows them
 *   bench_train --threads 2                  of both sides
 *
 * Both sides start from the same weights and see the same batches, and what each of them computed
 * stands in the last columns. Wall time tells the truth on a quiet machine only; processor time
 * bears other load better. sgemm is OpenBLAS's own product of square matrices of 1536, measured
 * between the runs of that row.
 *
 * Contents: 1. measuring   2. data   3. the cases   4. main */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "tests/bench/peer.h"
#include "tests/unit/fixtures/synth.h"
#include "train/inner.h"
#include "train/options.h"

enum { RUNS_MAX = 64, CASES_MAX = 16, SQUARE = 1536, BATCHES = 4, BINS = 200 };

/* What is asked for, and what all cases share. */
struct bench {
    const char *python, *script, *only[CASES_MAX];
    size_t n_only, threads;
    bool quick;
    char folder[64]; /* weights and batches for the peer */
    float *square;   /* [3][SQUARE][SQUARE] */
};

static void need(enum sae_status st, const struct sae_err *err)
{
    if (st == SAE_OK)
        return;
    fprintf(stderr, "bench_train: %s\n", err->msg);
    exit(1);
}

static void *grab(size_t n, size_t size)
{
    struct sae_err err = {0};
    void *p = NULL;
    need(sae_ops_cpu.alloc(&p, n, size, &err), &err);
    return p;
}

/* --- 1. measuring ------------------------------------------------------------------------- */

struct times {
    size_t n;
    double wall[RUNS_MAX], cpu[RUNS_MAX];
    double value;
};

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add_time(struct times *t, double wall, double cpu)
{
    if (t->n < RUNS_MAX) {
        t->wall[t->n] = wall;
        t->cpu[t->n++] = cpu;
    }
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(size_t n, const double *v)
{
    double sorted[RUNS_MAX];
    if (n == 0)
        return NAN;
    memcpy(sorted, v, n * sizeof *v);
    qsort(sorted, n, sizeof *sorted, compare);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double extreme(size_t n, const double *v, int sign)
{
    double best = n ? v[0] : NAN;
    for (size_t i = 1; i < n; i++)
        if (sign * (v[i] - best) > 0)
            best = v[i];
    return best;
}

/* The machine's own matrix product, GFLOP/s by wall time. */
static double sgemm_rate(const struct bench *b)
{
    const size_t n = SQUARE;
    float *const A = b->square, *const B = A + n * n, *const C = B + n * n;
    const double t = now(CLOCK_MONOTONIC);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)n, (int)n, 1, A, (int)n, B,
                (int)n, 0, C, (int)n);
    return 2e-9 * (double)(n * n * n) / (now(CLOCK_MONOTONIC) - t);
}

typedef double run_fn(void *user);

struct row {
    const char *name;
    double must, aim; /* times as fast as the peer; 0: no goal */
    size_t runs;
};

static void print_head(void)
{
    printf("\n%-14s %26s %8s %26s %8s %7s %7s %9s %7s  %s\n", "case", "saekit ms (least..most)",
           "cpu ms", "PyTorch ms (least..most)", "cpu ms", "wall x", "cpu x", "must/aim", "sgemm",
           "values");
    fflush(stdout);
}

static void print_side(const struct times *t)
{
    if (t->n == 0) {
        printf(" %26s %8s", "-", "-");
        return;
    }
    printf(" %9.1f (%6.0f..%7.0f) %8.0f", 1e3 * median(t->n, t->wall), 1e3 * extreme(t->n, t->wall, -1),
           1e3 * extreme(t->n, t->wall, 1), 1e3 * median(t->n, t->cpu));
}

static void print_ratio(double a, double b)
{
    if (isfinite(a / b))
        printf(" %7.2f", a / b);
    else
        printf(" %7s", "-");
}

/* Runs both sides in turns, ours first once unmeasured, and prints the row. */
static void compare_sides(const struct bench *b, const struct row *row, run_fn *run, void *user,
                          struct peer *peer)
{
    struct times ours = {0}, theirs = {0};
    double rate[RUNS_MAX], wall, cpu;
    size_t n_rate = 0;
    for (size_t i = 0; i < row->runs && i < RUNS_MAX; i++) {
        rate[n_rate++] = sgemm_rate(b);
        const double w = now(CLOCK_MONOTONIC), c = now(CLOCK_PROCESS_CPUTIME_ID);
        ours.value = run(user);
        add_time(&ours, now(CLOCK_MONOTONIC) - w, now(CLOCK_PROCESS_CPUTIME_ID) - c);
        if (peer && peer_run(peer, &wall, &cpu, &theirs.value))
            add_time(&theirs, wall, cpu);
    }
    printf("%-14s", row->name);
    print_side(&ours);
    print_side(&theirs);
    print_ratio(median(theirs.n, theirs.wall), median(ours.n, ours.wall));
    print_ratio(median(theirs.n, theirs.cpu), median(ours.n, ours.cpu));
    if (row->must > 0)
        printf(" %4.3g/%-4.3g", row->must, row->aim);
    else
        printf(" %9s", "");
    printf(" %7.0f  %.6g", median(n_rate, rate), ours.value);
    if (theirs.n > 0)
        printf(" %.6g", theirs.value);
    printf("\n");
    fflush(stdout);
}

/* --- 2. data ------------------------------------------------------------------------------ */

struct shape {
    size_t n, d, m, k;
    size_t learn; /* steps before anything is measured: masks of fresh weights mean little */
};

struct bench_work {
    struct shape s;
    float *x; /* [BATCHES][n][d] */
    struct trainer *t;
    size_t batch;
    double n_pairs; /* competing in the last step */
};

static void data_make(const struct shape *s, float *x)
{
    struct synth synth;
    synth_open(&synth, SYNTH_CORRELATED, s->d, 2 * s->d, s->d >= 1000 ? 60 : 16, 0.02, 1);
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t r = 0; r < BATCHES * s->n; r++)
        synth_row(&synth, r, x + r * s->d);
    synth_close(&synth);
    /* mean square norm 1, so that one learning rate suits every shape */
    const double sq = sae_ops_cpu.sum_sq(s->n * s->d, x) / (double)s->n;
    for (size_t i = 0; i < BATCHES * s->n * s->d; i++)
        x[i] = (float)(x[i] / sqrt(sq));
}

static double step(void *user)
{
    struct bench_work *const w = user;
    struct sae_err err = {0};
    struct step_stats stats;
    const float *const x = w->x + w->batch++ % BATCHES * w->s.n * w->s.d;
    need(trainer_step(w->t, x, false, &stats, &err), &err);
    w->n_pairs = stats.n_pairs;
    return stats.loss;
}

static void trainer_make(struct bench_work *w, const struct settings *with)
{
    static double last = 100;
    struct sae_err err = {0};
    struct settings set;
    options_default(&set);
    set.arch = TRAIN_TOPK;
    set.m = w->s.m;
    set.k = w->s.k;
    set.batch = w->s.n;
    set.tokens = 1000000 * w->s.n;
    set.lr = 1e-3;
    set.warmup = 0;
    set.checkpoints = (struct sae_reals){1, &last};
    if (with) {
        set.orth = with->orth;
        set.steps = with->steps;
        set.tokens = set.steps * w->s.n;
    }
    need(settings_resolve(&set, 1000000 * w->s.n, w->s.d, &err), &err);
    set.dead_after = 10000000;
    need(trainer_open(&w->t, &set, &sae_ops_cpu, w->s.d, &err), &err);
}

/* A trainer that has learned for a while. */
static void work_make(struct bench_work *w, const struct shape *s)
{
    *w = (struct bench_work){.s = *s};
    w->x = grab(BATCHES * s->n * s->d, sizeof *w->x);
    data_make(s, w->x);
    trainer_make(w, NULL);
    trainer_init(w->t, w->x);
    for (size_t i = 0; i < s->learn; i++)
        step(w);
}

static void work_clear(struct bench_work *w)
{
    trainer_close(w->t);
    free(w->x);
    *w = (struct bench_work){0};
}

static void write_array(const struct bench *b, const char *name, const void *data, size_t bytes)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", b->folder, name);
    FILE *const f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) {
        fprintf(stderr, "bench_train: cannot write '%s'\n", path);
        exit(1);
    }
}

static void remove_arrays(const struct bench *b)
{
    static const char *const names[] = {"W_enc", "W_dec", "b_enc", "b_dec", "x", "idx"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", b->folder, names[i]);
        unlink(path);
    }
}

/* Weights, batches, and the kept latents of the last step as [n][k], m where there are fewer. */
static void hand_over(const struct bench *b, struct bench_work *w)
{
    const size_t md = w->s.m * w->s.d;
    const struct sae_csr *const csr = &w->t->ring[0].csr;
    uint32_t *const idx = grab(w->s.n * w->s.k, sizeof *idx);
    for (size_t r = 0; r < w->s.n; r++)
        for (size_t i = 0; i < w->s.k; i++)
            idx[r * w->s.k + i] = i < csr->start[r + 1] - csr->start[r] ? csr->idx[csr->start[r] + i]
                                                                        : (uint32_t)w->s.m;
    write_array(b, "W_enc", w->t->w.W_enc, md * sizeof(float));
    write_array(b, "W_dec", w->t->w.W_dec, md * sizeof(float));
    write_array(b, "b_enc", w->t->w.b_enc, w->s.m * sizeof(float));
    write_array(b, "b_dec", w->t->w.b_dec, w->s.d * sizeof(float));
    write_array(b, "x", w->x, BATCHES * w->s.n * w->s.d * sizeof(float));
    write_array(b, "idx", idx, w->s.n * w->s.k * sizeof *idx);
    free(idx);
    /* both optimisers begin anew, so that both sides compute the same numbers */
    memset(w->t->m1.all, 0, w->t->m1.n * sizeof(float));
    memset(w->t->m2.all, 0, w->t->m2.n * sizeof(float));
    w->t->step = 0;
    w->batch = 0;
}

static struct peer *peer_start(const struct bench *b, struct peer *peer, const char *kind,
                               const char *const *numbers)
{
    char threads[16];
    const char *args[12] = {kind, b->folder, threads};
    snprintf(threads, sizeof threads, "%zu", b->threads);
    for (size_t i = 0; i + 4 < 12 && numbers[i]; i++)
        args[i + 3] = numbers[i];
    return b->python && peer_open(peer, b->python, b->script, args) ? peer : NULL;
}

/* --- 3. the cases ------------------------------------------------------------------------- */

static const struct shape small = {2048, 256, 4096, 32, 60};
static const struct shape wide_40 = {2048, 2304, 16384, 40, 15};
static const struct shape wide_320 = {2048, 2304, 16384, 320, 9};

static struct shape learned(const struct bench *b, const struct shape *s)
{
    struct shape r = *s;
    if (b->quick)
        r.learn /= 3;
    return r;
}

static void case_step(const struct bench *b, const char *name, const struct shape *shape,
                      double must, double aim, size_t runs)
{
    const struct shape s = learned(b, shape);
    struct bench_work w;
    struct peer peer = {0};
    char v[6][24];
    const char *numbers[7] = {0};
    work_make(&w, &s);
    hand_over(b, &w);
    const size_t of[6] = {s.n, s.d, s.m, s.k, 1000000, s.learn};
    for (size_t i = 0; i < 6; i++) {
        snprintf(v[i], sizeof v[i], "%zu", of[i]);
        numbers[i] = v[i];
    }
    const struct row row = {name, must, aim, b->quick ? 3 : runs};
    compare_sides(b, &row, step, &w, peer_start(b, &peer, "topk", numbers));
    peer_close(&peer);
    if (!b->quick) { /* the best simple PyTorch, for the record */
        char bag[32];
        snprintf(bag, sizeof bag, "%s bag", name);
        hand_over(b, &w);
        const struct row second = {bag, 0, 0, (runs + 1) / 2};
        compare_sides(b, &second, step, &w, peer_start(b, &peer, "bag", numbers));
        peer_close(&peer);
    }
    work_clear(&w);
    remove_arrays(b);
}

static void case_small(const struct bench *b)
{
    case_step(b, "step-small", &small, 8, 12, 30);
}

static void case_40(const struct bench *b)
{
    case_step(b, "step-40", &wide_40, 8, 20, 8);
}

static void case_320(const struct bench *b)
{
    case_step(b, "step-320", &wide_320, 8, 13, 8);
}

struct orth_work {
    struct bench_work *w;
    float *G;
    double sum[5], tau;
};

static double run_orth(void *user)
{
    struct orth_work *const o = user;
    struct trainer *const t = o->w->t;
    struct sae_overlap_masks masks;
    struct sae_compete_rule rule;
    masks_list(t, &masks);
    trainer_rule(t, o->tau, &rule);
    t->ops->orth_masks(t->m, t->d, t->w.W_dec, &masks, &rule, 1, false, NULL, o->G, NULL, o->sum);
    return o->sum[0];
}

static void case_orth(const struct bench *b)
{
    const struct shape s = learned(b, &wide_40);
    struct bench_work w;
    struct peer peer = {0};
    work_make(&w, &s);
    hand_over(b, &w);
    struct orth_work o = {.w = &w, .G = grab(s.m * s.d, sizeof(float)), .tau = 0.1};
    const char *const numbers[] = {"2048", "2304", "16384", "40", "0.1", NULL};
    const struct row row = {"orth-40 t.1", 25, 50, b->quick ? 1 : 3};
    run_orth(&o);
    compare_sides(b, &row, run_orth, &o, peer_start(b, &peer, "orth", numbers));
    printf("%-14s %.0f competing pairs\n", "", o.sum[1]);
    peer_close(&peer);
    free(o.G);
    work_clear(&w);
    remove_arrays(b);
}

static double run_spectrum(void *user)
{
    const struct bench_work *const w = user;
    struct sae_err err = {0};
    uint64_t hist[BINS];
    float *const largest = grab(2 * w->s.m, sizeof *largest);
    uint32_t *const at = grab(w->s.m, sizeof *at);
    need(sae_ops_cpu.cos_hist(w->s.m, w->s.d, w->t->w.W_dec, BINS, hist, largest, at,
                              largest + w->s.m, &err),
         &err);
    double sum = 0;
    for (size_t i = 0; i < BINS; i++)
        sum += (double)hist[i] * (double)i;
    free(largest);
    free(at);
    return sum;
}

/* The multiplications of run_spectrum and nothing else. */
static double run_triangle(void *user)
{
    enum { TILE = 1024 };
    const struct bench_work *const w = user;
    const size_t m = w->s.m, d = w->s.d;
    float *const tile = grab((size_t)TILE * TILE, sizeof *tile), *const U = w->t->w.W_dec;
    for (size_t i = 0; i < m; i += TILE)
        for (size_t j = i; j < m; j += TILE)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, TILE, TILE, (int)d, 1, U + i * d,
                        (int)d, U + j * d, (int)d, 0, tile, TILE);
    free(tile);
    return 0;
}

static void case_spectrum(const struct bench *b)
{
    struct shape s = wide_40;
    struct bench_work w;
    struct peer peer = {0};
    s.learn = 1;
    work_make(&w, &s);
    hand_over(b, &w);
    const char *const numbers[] = {"2304", "16384", "200", NULL};
    const struct row row = {"spectrum", 3, 0, b->quick ? 1 : 3};
    compare_sides(b, &row, run_spectrum, &w, peer_start(b, &peer, "spectrum", numbers));
    peer_close(&peer);
    /* our own product in the peer's place: a ratio of 0.77 is 1.3 times its time */
    struct times all = {0}, product = {0};
    for (size_t i = 0; i < row.runs; i++) {
        for (int side = 0; side < 2; side++) {
            const double t = now(CLOCK_MONOTONIC), c = now(CLOCK_PROCESS_CPUTIME_ID);
            (side ? run_triangle : run_spectrum)(&w);
            add_time(side ? &product : &all, now(CLOCK_MONOTONIC) - t,
                     now(CLOCK_PROCESS_CPUTIME_ID) - c);
        }
    }
    printf("%-14s over its own matrix product: %.2f times by wall, %.2f by cpu (must 1.3, aim "
           "1.1)\n",
           "", median(all.n, all.wall) / median(product.n, product.wall),
           median(all.n, all.cpu) / median(product.n, product.cpu));
    work_clear(&w);
    remove_arrays(b);
}

/* A progressive run against a plain one: steps of both in turns at five points of a run, each after
 * the weights have learned. Phases weigh the same. */
static void run_phases(const struct bench *b, const char *name, const struct shape *shape)
{
    static const double phase[] = {0.05, 0.25, 0.5, 0.75, 0.95};
    enum { PHASES = sizeof phase / sizeof *phase };
    const struct shape s = learned(b, shape);
    struct bench_work plain, prog;
    struct settings with = {.orth = ORTH_PROGRESSIVE, .steps = 1000};
    work_make(&plain, &s);
    prog = plain;
    trainer_make(&prog, &with);
    for (size_t i = 0; i < plain.t->w.n; i++)
        prog.t->w.all[i] = plain.t->w.all[i];
    double sum[2][2] = {{0}};
    printf("%-14s", name);
    for (size_t p = 0; p < PHASES; p++) {
        double cost[2][2] = {{0}};
        for (int side = 0; side < 2; side++) {
            struct bench_work *const w = side ? &prog : &plain;
            if (side)
                w->t->step = (uint64_t)(phase[p] * 1000);
            step(w);
            const double t = now(CLOCK_MONOTONIC), c = now(CLOCK_PROCESS_CPUTIME_ID);
            step(w);
            cost[side][0] = now(CLOCK_MONOTONIC) - t;
            cost[side][1] = now(CLOCK_PROCESS_CPUTIME_ID) - c;
            sum[side][0] += cost[side][0];
            sum[side][1] += cost[side][1];
        }
        printf("  p %.2f: %.2f (%.1f M pairs)", phase[p], cost[1][1] / cost[0][1],
               prog.n_pairs / 1e6);
        fflush(stdout);
    }
    printf("\n%-14s progressive over plain, all phases: %.2f times by wall, %.2f by cpu (must 2.0, "
           "aim 1.25)\n",
           "", sum[1][0] / sum[0][0], sum[1][1] / sum[0][1]);
    fflush(stdout);
    trainer_close(prog.t);
    work_clear(&plain);
}

static void case_run_40(const struct bench *b)
{
    run_phases(b, "run-40", &wide_40);
}

static void case_run_320(const struct bench *b)
{
    run_phases(b, "run-320", &wide_320);
}

/* In a process of its own, whose peak is that of the trainer. */
static void case_memory(const struct bench *b)
{
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        char self[] = "bench_train", flag[] = "--memory", k[] = "40", threads[16];
        char *argv[] = {self, flag, k, threads, NULL};
        snprintf(threads, sizeof threads, "%zu", b->threads);
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

static void print_memory(size_t k)
{
    struct shape s = wide_40;
    struct bench_work w;
    struct rusage use;
    s.k = k;
    s.learn = 2;
    work_make(&w, &s);
    getrusage(RUSAGE_SELF, &use);
    const double md = (double)(s.m * s.d), batches = (double)(BATCHES * s.n * s.d) * 4;
    const double floor = 4 * (6 * md + (double)(s.n * s.m));
    printf("%-14s k %zu: peak %.0f MB, less %.0f MB of batches; weights, Adam's moments and one "
           "batch of pre-activations are %.0f MB: %.2f times (must 1.3, aim 1.1)\n",
           "memory", k, (double)use.ru_maxrss / 1024, batches / 1048576, floor / 1048576,
           ((double)use.ru_maxrss * 1024 - batches) / floor);
    fflush(stdout);
    work_clear(&w);
}

struct bench_case {
    const char *name;
    void (*run)(const struct bench *b);
};

static const struct bench_case cases[] = {
    {"step-small", case_small}, {"step-40", case_40},       {"step-320", case_320},
    {"orth", case_orth},        {"spectrum", case_spectrum}, {"run-40", case_run_40},
    {"run-320", case_run_320},  {"memory", case_memory},
};
enum { N_CASES = sizeof cases / sizeof *cases };

/* --- 4. main ------------------------------------------------------------------------------ */

static void print_cases(void)
{
    for (size_t i = 0; i < N_CASES; i++)
        printf("%s\n", cases[i].name);
}

static bool wanted(const struct bench *b, const char *name)
{
    for (size_t i = 0; i < b->n_only; i++)
        if (strcmp(b->only[i], name) == 0)
            return true;
    return b->n_only == 0;
}

static void parse(struct bench *b, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;
        if (strcmp(argv[i], "--quick") == 0) {
            b->quick = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            print_cases();
            exit(0);
        } else if (strcmp(argv[i], "--python") == 0 && more) {
            b->python = argv[++i];
        } else if (strcmp(argv[i], "--no-peer") == 0) {
            b->python = NULL;
        } else if (strcmp(argv[i], "--threads") == 0 && more) {
            b->threads = strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--case") == 0 && more && b->n_only < CASES_MAX) {
            b->only[b->n_only++] = argv[++i];
        } else {
            fprintf(stderr, "bench_train: '%s' is not understood; [--quick] [--python PATH | "
                            "--no-peer] [--threads N] [--case NAME]... [--list]\n",
                    argv[i]);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    sae_ops_set_environment(argv);
    if (argc == 4 && strcmp(argv[1], "--memory") == 0) {
        sae_ops_threads(strtoul(argv[3], NULL, 10));
        print_memory(strtoul(argv[2], NULL, 10));
        return 0;
    }
    struct bench b = {.python = "python3", .script = PEER_SCRIPT, .threads = 2};
    parse(&b, argc, argv);
    sae_ops_threads(b.threads);
    snprintf(b.folder, sizeof b.folder, "/tmp/bench_train.XXXXXX");
    if (!mkdtemp(b.folder)) {
        fprintf(stderr, "bench_train: cannot make '%s'\n", b.folder);
        return 1;
    }
    b.square = grab(3 * (size_t)SQUARE * SQUARE, sizeof *b.square);
    for (size_t i = 0; i < 2 * (size_t)SQUARE * SQUARE; i++)
        b.square[i] = (float)(i % 17) - 8;
    double load = 0;
    (void)getloadavg(&load, 1);
    printf("%s\n%zu threads, load %.1f at the start\n", sae_ops_blas(), b.threads, load);
    print_head();
    for (size_t i = 0; i < N_CASES; i++)
        if (wanted(&b, cases[i].name))
            cases[i].run(&b);
    remove_arrays(&b);
    rmdir(b.folder);
    free(b.square);
    return 0;
}
