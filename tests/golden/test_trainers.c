/* SPDX-License-Identifier: MIT */
/* test_trainers : a hundred steps from equal weights agree with PyTorch's dictionary_learning, and
 * the orthogonality term with a dense computation. Vectors and their recipe: trainers.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/math/ops.h"
#include "tests/emu/test_device.h"
#include "train/inner.h"
#include "train/options.h"

enum { D = 16, M = 48, N = 64, K = 4, STEPS = 100, TOTAL = 120 };

/* --- the numbers both sides make ----------------------------------------------------------- */

static void draws(uint64_t seed, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t z = (seed << 32) + i + 1;
        z *= UINT64_C(0x9E3779B97F4A7C15);
        z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
        z ^= z >> 31;
        to[i] = (float)((double)(z >> 40) * 0x1p-23 - 1);
    }
}

static void unit_rows(size_t m, size_t d, float *W)
{
    for (size_t j = 0; j < m; j++) {
        double sq = 0;
        for (size_t i = 0; i < d; i++)
            sq += (double)W[j * d + i] * (double)W[j * d + i];
        for (size_t i = 0; i < d; i++)
            W[j * d + i] = (float)((double)W[j * d + i] / sqrt(sq));
    }
}

static void batch(uint64_t step, float *x)
{
    draws(100 + step, N * D, x);
    for (size_t i = 0; i < N * D; i++)
        x[i] = 2 * x[i] + 0.5F;
}

/* --- the file ------------------------------------------------------------------------------ */

/* Calls for each line that begins with the words of `prefix`; `rest` is what follows. */
static FILE *vectors(void)
{
    const char *const root = getenv("SAE_SOURCE_ROOT");
    char path[4096];
    assert_non_null(root);
    snprintf(path, sizeof path, "%s/tests/golden/trainers.txt", root);
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    return file;
}

/* The line that begins with prefix, after it. Fails the test where there is none. */
static void find_line(const char *prefix, char *rest, size_t size)
{
    FILE *const file = vectors();
    char line[1024];
    bool found = false;
    while (!found && fgets(line, sizeof line, file))
        found = strncmp(line, prefix, strlen(prefix)) == 0;
    fclose(file);
    if (!found)
        fail_msg("no line '%s'", prefix);
    snprintf(rest, size, "%s", line + strlen(prefix));
}

static void assert_close(double got, double want, double relative, const char *what)
{
    if (!(fabs(got - want) <= relative * fmax(fabs(want), 1e-3)))
        fail_msg("%s: got %.9g, expected %.9g", what, got, want);
}

/* --- trainers ------------------------------------------------------------------------------ */

/* The architecture whose name is the longest beginning of `name`: "topk-auxk" is a topk. */
static int arch_of(const char *name)
{
    int best = -1;
    for (int a = 0; train_arch_names[a]; a++)
        if (strncmp(name, train_arch_names[a], strlen(train_arch_names[a])) == 0 &&
            (best < 0 || strlen(train_arch_names[a]) > strlen(train_arch_names[best])))
            best = a;
    assert_true(best >= 0);
    return best;
}

static bool has_auxk(const char *name)
{
    return strstr(name, "-auxk") != NULL;
}

/* "topk-freeze-soft" */
static void set_freeze(const char *name, struct settings *set)
{
    const char *const part = strstr(name, "-freeze-");
    set->freeze_cos = 0.97;
    for (int i = 0; part && train_freeze_names[i]; i++)
        if (strcmp(part + strlen("-freeze-"), train_freeze_names[i]) == 0)
            set->freeze = i;
}

static struct trainer *open_trainer(const char *name, const struct sae_ops *ops)
{
    struct settings set;
    struct sae_err err = {0};
    static double last = 100, fractions[] = {0.125, 0.25, 0.625};
    options_default(&set);
    set.arch = arch_of(name);
    set.k = K;
    set.m = M;
    set.batch = N;
    set.steps = TOTAL;
    set.heldout_rows = N;
    set.lr = 0.01;
    set.warmup = 5;
    set.l1 = 0.05;
    set.sparsity_warmup = 8;
    set.target_l0 = 6;
    set.bandwidth = 0.1;
    set.cut_start = 5;
    set.cut_momentum = 0.9;
    set.groups = (struct sae_reals){3, fractions};
    if (strcmp(name, "matryoshka-published") == 0)
        set.prefix_loss = PREFIX_PUBLISHED;
    set.dead_after = has_auxk(name) ? N : 1000000000;
    if (strcmp(name, "topk-decay") == 0)
        set.decay_start = 50;
    if (strcmp(name, "topk-orth") == 0) {
        set.orth = ORTH_PROGRESSIVE;
        set.lambda2_max = 0.5;
    }
    set.l0_step = strstr(name, "jumprelu-z") ? L0_STEP_Z : L0_STEP_F;
    set_freeze(name, &set);
    if (strcmp(name, "standard-resample") == 0) {
        set.l1 = 0.4;
        set.resample_every = 20;
    }
    if (strstr(name, "-lp")) {
        set.sparsity = strstr(name, "-lpp") ? SPARSITY_LPP : SPARSITY_LP;
        set.p_end = 0.5;
        set.p_updates = 6;
        set.anneal_start = 12;
        set.anneal_end = 90;
    }
    if (strstr(name, "-ortsae")) {
        set.orth = ORTH_ORTSAE;
        set.lambda2_max = 0.5;
    }
    set.checkpoints = (struct sae_reals){1, &last};
    struct trainer *t = NULL;
    if (settings_resolve(&set, 100 * N, D, &err) != SAE_OK ||
        trainer_open(&t, &set, ops, D, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    draws(1, M * D, t->w.W_dec);
    unit_rows(M, D, t->w.W_dec);
    if (t->start)
        memcpy(t->start, t->w.W_dec, M * D * sizeof *t->start);
    draws(2, M * D, t->w.W_enc);
    draws(3, M, t->w.b_enc);
    for (size_t i = 0; i < M * D; i++)
        t->w.W_enc[i] *= 0.5F;
    for (size_t j = 0; j < M; j++) {
        t->w.b_enc[j] *= 0.1F;
        if (j >= 32 && has_auxk(name))
            t->w.b_enc[j] -= 1.5F;
        if (j >= 32 && strstr(name, "-resample"))
            t->w.b_enc[j] -= 6;
    }
    if (t->set.arch == TRAIN_GATED) {
        draws(4, M, t->w.b_mag);
        draws(5, M, t->w.r_mag);
        for (size_t j = 0; j < M; j++) {
            t->w.b_mag[j] *= 0.1F;
            t->w.r_mag[j] *= 0.2F;
        }
    }
    if (t->w.theta) {
        const bool low = strstr(name, "-low") != NULL;
        draws(4, M, t->w.theta);
        for (size_t j = 0; j < M; j++)
            t->w.theta[j] = low ? t->w.theta[j] * 0.2F : 0.2F + t->w.theta[j] * 0.1F;
    }
    return t;
}

/* Norm, weighted sum and 24 elements of an array after the last step. Returns the greatest
 * difference of an element. */
static double check_end(const char *name, const char *array, const float *v, size_t n)
{
    char prefix[100], rest[1000], *at;
    float *const weight = malloc(n * sizeof *weight);
    assert_non_null(weight);
    draws(9, n, weight);
    double sq = 0, sum = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        sq += (double)v[i] * (double)v[i];
        sum += (double)v[i] * (double)weight[i];
    }
    free(weight);
    snprintf(prefix, sizeof prefix, "end %s %s ", name, array);
    find_line(prefix, rest, sizeof rest);
    assert_close(sqrt(sq), strtod(rest, &at), 1e-4, prefix);
    assert_close(sum, strtod(at, &at), 1e-3, prefix);
    const size_t shown = n > 24 ? 24 : n;
    for (size_t i = 0; i < shown; i++) {
        const double want = strtod(at, &at), got = (double)v[n > 24 ? i * n / 24 : i];
        if (!(fabs(got - want) <= 1e-3))
            fail_msg("%s: element %zu is %.9g, expected %.9g", prefix, i, got, want);
        worst = fmax(worst, fabs(got - want));
    }
    return worst;
}

/* 1: products are sparse; else dense ones where they can be, on a device always. */
static void set_share(struct trainer *t, size_t dense_share)
{
    t->work->dense_share = t->work->ops->numbers_delayed && dense_share > 1 ? M : dense_share;
}

/* The first `steps` of them. */
static void agree_for(const char *name, const struct sae_ops *ops, size_t dense_share,
                      uint64_t steps)
{
    struct trainer *const t = open_trainer(name, ops);
    struct sae_err err = {0};
    float *const x = malloc(N * D * sizeof *x);
    char prefix[100], rest[200];
    double aux = 0, worst = 0, weights = 0;
    assert_non_null(x);
    set_share(t, dense_share);
    for (uint64_t s = 0; s < steps; s++) {
        struct step_stats stats;
        batch(s + (strcmp(name, "matryoshka-auxk") == 0 ? 100 : 0), x);
        if (s == 0 && settings_has_k(&t->set))
            trainer_median(N, D, x, t->w.b_dec);
        /* measuring on some steps must change nothing */
        if (trainer_step(t, trainer_batch(t, x, t->n), s % 3 == 1, &stats, &err) != SAE_OK)
            fail_msg("%s", err.msg);
        aux += stats.aux;
        if ((s >= 10 && s % 5 != 4) || (t->work->ops->numbers_delayed && s % 3 != 1)) /* of the step before */
            continue;
        snprintf(prefix, sizeof prefix, "loss %s %d ", name, (int)s);
        find_line(prefix, rest, sizeof rest);
        assert_close(stats.loss, strtod(rest, NULL), 1e-4, prefix);
        worst = fmax(worst, fabs(stats.loss / strtod(rest, NULL) - 1));
    }
    if (steps < STEPS)
        goto done;
    assert_int_equal(aux > 0, has_auxk(name) || t->set.arch == TRAIN_GATED);
    struct param_array all[PARAM_ARRAYS];
    assert_int_equal(trainer_fetch(t, true, &err), SAE_OK);
    const size_t n_arrays = trainer_params(t, &t->w, all);
    for (size_t i = 0; i < n_arrays; i++)
        weights = fmax(weights, check_end(name, all[i].name, all[i].data,
                                          all[i].rows * (all[i].cols ? all[i].cols : 1)));
    if (settings_has_cut(&t->set)) {
        const float cut = (float)t->cut;
        weights = fmax(weights, check_end(name, "threshold", &cut, 1));
    }
    print_message("# | %s | %s%s | %d | %.1e | %.1e |\n", name, ops->name,
                  dense_share == 1 ? ", sparse" : "", STEPS, worst, weights);
done:
    free(x);
    trainer_close(t);
}

static bool ran[TRAIN_ARCH_N]; /* to the end */

static void agree(const char *name, const struct sae_ops *ops, size_t dense_share)
{
    agree_for(name, ops, dense_share, STEPS);
    ran[arch_of(name)] = true;
}

static void test_trainers_cpu(void **state)
{
    (void)state;
    static const char *const names[] = {
        "topk",      "topk-auxk",      "topk-decay", "topk-orth", "standard",    "standard-2024",
        "batchtopk", "batchtopk-auxk", "gated",      "jumprelu",  "jumprelu-low",
        "matryoshka", "matryoshka-auxk", "matryoshka-published", "topk-ortsae", "standard-ortsae",
        "standard-resample", "standard-lpp", "standard-lp", "gated-lpp", "jumprelu-z", "jumprelu-z-low",
        "topk-freeze-decoder", "topk-freeze-encoder", "topk-freeze-soft", "standard-freeze-decoder",
        "standard-freeze-encoder", "standard-freeze-soft"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        agree(names[i], &sae_ops_cpu, 16);
    /* the same by sparse products alone */
    agree("standard", &sae_ops_cpu, 1);
    agree("standard-ortsae", &sae_ops_cpu, 1);
    agree("standard-2024", &sae_ops_cpu, 1);
    agree("standard-lpp", &sae_ops_cpu, 1);
    agree("standard-lp", &sae_ops_cpu, 1);
    agree("jumprelu", &sae_ops_cpu, 1);
    agree("jumprelu-low", &sae_ops_cpu, 1);
}

/* An architecture without vectors is not tested. */
static void test_all_ran(void **state)
{
    (void)state;
    for (int a = 0; a < TRAIN_ARCH_N; a++)
        if (!ran[a])
            fail_msg("no golden run of '%s'", train_arch_names[a]);
}

/* On the emulated device, whose memory the host cannot reach; and a step there waits for nothing. */
static void test_trainers_cuda(void **state)
{
    (void)state;
    const struct sae_ops *const ops = test_device();
    static const char *const names[] = {"topk-orth",   "batchtopk-auxk",    "gated-lpp",
                                        "jumprelu-low", "standard-resample", "standard-lp",
                                        "topk-freeze-encoder", "standard-freeze-soft"};
    static const char *const early[] = {"standard-2024", "gated",       "jumprelu",
                                        "jumprelu-z",    "topk-ortsae", "matryoshka-published",
                                        "standard-lpp",  "matryoshka-auxk"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        agree(names[i], ops, 16);
    for (size_t i = 0; i < sizeof early / sizeof *early; i++)
        agree_for(early[i], ops, 16, 30);
    agree_for("topk-auxk", ops, 1, 30); /* by sparse products */
    agree("matryoshka-auxk", ops, 1);
}

static void no_waiting(const char *name, size_t dense_share, const struct sae_ops *ops)
{
    struct trainer *const t = open_trainer(name, ops);
    struct sae_err err = {0};
    float *const x = malloc(N * D * sizeof *x);
    size_t before = 0;
    assert_non_null(x);
    set_share(t, dense_share);
    for (uint64_t s = 0; s < 4; s++) {
        batch(s, x);
        if (s == 1)
            before = emu_waits();
        assert_int_equal(trainer_step(t, trainer_batch(t, x, t->n), false, NULL, &err), SAE_OK);
    }
    assert_int_equal(emu_waits(), before);
    /* a loss that is not finite is told one step late, and changed nothing */
    assert_int_equal(trainer_fetch(t, true, &err), SAE_OK);
    const float weight = t->w.W_enc[0];
    x[3] = INFINITY;
    assert_int_equal(trainer_step(t, trainer_batch(t, x, t->n), false, NULL, &err), SAE_OK);
    assert_int_equal(trainer_step(t, trainer_batch(t, x, t->n), false, NULL, &err), SAE_ERANGE);
    assert_non_null(strstr(err.msg, "step 4"));
    assert_int_equal(t->step, 4);
    assert_int_equal(trainer_fetch(t, true, &err), SAE_OK);
    assert_true(t->w.W_enc[0] <= weight && t->w.W_enc[0] >= weight);
    free(x);
    trainer_close(t);
}

static void test_no_waiting(void **state)
{
    (void)state;
    const struct sae_ops *const ops = test_device();
    no_waiting("topk-orth", 1, ops);
    no_waiting("batchtopk-auxk", 16, ops);
    no_waiting("standard", 16, ops);
    no_waiting("gated", 16, ops);
    no_waiting("jumprelu", 16, ops);
    no_waiting("matryoshka-auxk", 1, ops);
    no_waiting("matryoshka", 16, ops);
    no_waiting("topk-ortsae", 1, ops);
    no_waiting("gated-lpp", 16, ops);
}

static void test_trainers_ref(void **state)
{
    (void)state;
    agree("topk", &sae_ops_ref, 16);
    agree("topk-orth", &sae_ops_ref, 16);
    agree("batchtopk-auxk", &sae_ops_ref, 16);
    agree("standard", &sae_ops_ref, 16);
    agree("gated", &sae_ops_ref, 16);
    agree("matryoshka-auxk", &sae_ops_ref, 16);
    agree("jumprelu", &sae_ops_ref, 16);
}

/* --- the orthogonality term ---------------------------------------------------------------- */

enum { OM = 24, OD = 8, ON = 40 };

/* Latent j is active where a draw is below -0.95 ... -0.2, evenly by latent. */
static void make_masks(uint64_t kind, struct sae_csr *csr, struct sae_csc *csc)
{
    float u[ON * OM];
    size_t nnz = 0;
    draws(50 + kind, ON * OM, u);
    csr->n = ON;
    for (size_t t = 0; t < ON; t++) {
        csr->start[t] = nnz;
        for (uint32_t j = 0; j < OM; j++) {
            const float rate = (float)(-0.95 + 0.75 * j / (OM - 1));
            if (u[t * OM + j] < rate) {
                csr->idx[nnz] = j;
                csr->val[nnz++] = 1;
            }
        }
    }
    csr->start[ON] = nnz;
    sae_ops_ref.transpose(OM, csr, csc);
}

static void check_orth(uint64_t kind, int form, const struct sae_ops *ops)
{
    char prefix[100], rest[1000], *at;
    struct sae_err err = {0};
    struct sae_csr csr;
    struct sae_csc csc;
    float W[OM * OD], G[OM * OD] = {0};
    double sum[5];
    assert_int_equal(sae_csr_alloc(&csr, ops, ON, ON * OM, &err), SAE_OK);
    assert_int_equal(sae_csc_alloc(&csc, ops, OM, ON * OM, &err), SAE_OK);
    make_masks(kind, &csr, &csc);
    draws(60 + kind, OM * OD, W);
    unit_rows(OM, OD, W);
    snprintf(prefix, sizeof prefix, "orth %s %s ", sae_overlap_names[kind],
             sae_compete_names[form]);
    find_line(prefix, rest, sizeof rest);
    const struct sae_compete_rule rule = {.overlap = (enum sae_overlap)kind,
                                          .form = (enum sae_compete)form,
                                          .sharpness = 4,
                                          .tau = strtod(rest, &at),
                                          .min_count = 2};
    const struct sae_csr *const csrs = &csr;
    const struct sae_csc *const cscs = &csc;
    const double one = 1;
    const struct sae_overlap_masks masks = {1, &csrs, &cscs, &one};
    ops->orth_masks(OM, OD, W, &masks, &rule, 1, false, NULL, G, NULL, sum);
    assert_close(sum[0], strtod(at, &at), 1e-5, prefix);
    assert_int_equal(sum[1], strtol(at, NULL, 10));
    for (size_t i = 0; i < OM; i++) {
        snprintf(prefix, sizeof prefix, "grad %s %s %zu ", sae_overlap_names[kind],
                 sae_compete_names[form], i);
        find_line(prefix, rest, sizeof rest);
        at = rest;
        for (size_t c = 0; c < OD; c++) {
            const double want = strtod(at, &at), got = (double)G[i * OD + c];
            if (!(fabs(got - want) <= 1e-5))
                fail_msg("%s: component %zu is %.9g", prefix, c, got);
        }
    }
    sae_csr_free(&csr, ops);
    sae_csc_free(&csc, ops);
}

static void test_orthogonality(void **state)
{
    (void)state;
    for (uint64_t kind = 0; kind < SAE_OVERLAP_N; kind++)
        for (int form = 0; form < SAE_COMPETE_N; form++) {
            check_orth(kind, form, &sae_ops_cpu);
            check_orth(kind, form, &sae_ops_ref);
        }
}

/* "cuda": those on the emulated device */
int main(int argc, char **argv)
{
    const struct CMUnitTest cuda[] = {cmocka_unit_test(test_trainers_cuda),
                                      cmocka_unit_test(test_no_waiting)};
    const int end = test_device_open(argc, argv);
    if (end != 0)
        return end;
    if (argc > 1 && strcmp(argv[1], "cuda") == 0)
        return cmocka_run_group_tests_name("trainers on cuda", cuda, NULL, NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trainers_cpu),
                                       cmocka_unit_test(test_all_ran),
                                       cmocka_unit_test(test_trainers_ref),
                                       cmocka_unit_test(test_orthogonality)};
    return cmocka_run_group_tests_name("trainers", tests, NULL, NULL);
}
