/* SPDX-License-Identifier: MIT */
/* Tests of train: settings that rules complete or refuse, the geometric median, the window of
 * masks, the threshold's momentum, OrtSAE's chunks, divergence, and where most pairs compete. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/rng.h"
#include "train/heldout.h"
#include "train/inner.h"
#include "train/options.h"

static double all_percent[1] = {100};

static void start(struct settings *set)
{
    options_default(set);
    set->checkpoints = (struct sae_reals){1, all_percent};
}

static void test_rules(void **state)
{
    (void)state;
    struct settings set;
    struct sae_err err = {0};
    start(&set);
    assert_int_equal(settings_resolve(&set, 300000, 128, &err), SAE_OK);
    assert_int_equal(set.m, 2048);
    assert_int_equal(set.heldout_rows, 8192);
    assert_int_equal(set.steps, (300000 - 8192) / 2048);
    assert_int_equal(set.tokens, set.steps * 2048);
    assert_int_equal(set.warmup, 14);
    assert_true(fabs(set.lr - 2e-4 * sqrt(8)) < 1e-12);
    assert_int_equal(set.dead_after, set.tokens / 10);
    start(&set);
    set.arch = TRAIN_STANDARD;
    set.steps = 5000;
    assert_int_equal(settings_resolve(&set, 300000, 128, &err), SAE_OK);
    assert_int_equal(set.warmup, 1000);
    assert_int_equal(set.sparsity_warmup, 2000);
    assert_true(fabs(set.lr - 3e-4) < 1e-15);
    assert_int_equal(set.k, 0);
    start(&set);
    set.orth = ORTH_PROGRESSIVE;
    assert_int_equal(settings_resolve(&set, 300000, 128, &err), SAE_OK);
    assert_true(fabs(set.gamma - 2) < 1e-15);
    start(&set);
    set.arch = TRAIN_BATCHTOPK;
    set.steps = 1000;
    assert_int_equal(settings_resolve(&set, 300000, 128, &err), SAE_OK);
    assert_int_equal(set.cut_start, 100);
    assert_true(fabs(set.cut_momentum - 0.98) < 1e-15);
    start(&set);
    set.arch = TRAIN_JUMPRELU;
    assert_int_equal(settings_resolve(&set, 300000, 128, &err), SAE_OK);
    assert_true(fabs(set.lr - 7e-5) < 1e-15 && fabs(set.target_l0 - 20) < 1e-15);
    start(&set);
    set.arch = TRAIN_GATED;
    set.steps = 1000;
    assert_int_equal(settings_resolve(&set, 300000, 128, &err), SAE_OK);
    assert_int_equal(set.sparsity_warmup, 200);
    assert_true(fabs(set.lr - 5e-5) < 1e-15 && fabs(set.l1 - 0.1) < 1e-15);
    start(&set);
    set.orth = ORTH_STATIC;
    assert_int_equal(settings_resolve(&set, 300000, 128, &err), SAE_OK);
    assert_true(fabs(set.gamma) < 1e-15);
}

static void refused(const struct settings *from, size_t n_rows, const char *words)
{
    struct settings set = *from;
    struct sae_err err = {0};
    assert_int_equal(settings_resolve(&set, n_rows, 16, &err), SAE_EARG);
    if (!strstr(err.msg, words))
        fail_msg("'%s' does not say '%s'", err.msg, words);
}

static void test_refusals(void **state)
{
    (void)state;
    struct settings set;
    start(&set);
    set.k = 300; /* m is 256 */
    refused(&set, 100000, "--k 300");
    start(&set);
    refused(&set, 2100, "at least one batch");
    start(&set);
    set.heldout_rows = 99000;
    refused(&set, 100000, "at least one batch");
    start(&set);
    set.orth = ORTH_STATIC;
    set.gamma = 1;
    refused(&set, 100000, "--orth static");
    start(&set);
    set.warmup = 1000;
    refused(&set, 100000, "--warmup 1000");
    start(&set);
    set.warmup = 20;
    set.decay_start = 20;
    refused(&set, 100000, "--decay-start 20");
    start(&set);
    set.tokens = 100;
    refused(&set, 100000, "--tokens 100");
    start(&set);
    double not_last[2] = {0, 50};
    set.checkpoints = (struct sae_reals){2, not_last};
    refused(&set, 100000, "must end with 100");
    start(&set);
    set.base_threshold = 0;
    refused(&set, 100000, "--base-threshold");
    start(&set);
    set.threshold_momentum = 1;
    refused(&set, 100000, "--threshold-momentum");
}

/* Three points on a line: the middle one is the median, and the iteration lands on it, where the
 * textbook weight 1 / distance has no value. Four corners: their centre. */
static void test_median(void **state)
{
    (void)state;
    const float line[6] = {0, 0, 1, 0, 10, 0};
    const float corners[8] = {0, 0, 2, 0, 0, 2, 2, 2};
    const float same[6] = {3, -4, 3, -4, 3, -4};
    float got[2];
    trainer_median(3, 2, line, got);
    assert_true(fabsf(got[0] - 1) < 1e-3F && fabsf(got[1]) < 1e-6F);
    trainer_median(4, 2, corners, got);
    assert_true(fabsf(got[0] - 1) < 1e-5F && fabsf(got[1] - 1) < 1e-5F);
    trainer_median(3, 2, same, got);
    assert_true(fabsf(got[0] - 3) < 1e-6F && fabsf(got[1] + 4) < 1e-6F);
}

static struct trainer *open_with(struct settings *set, size_t k)
{
    struct trainer *t = NULL;
    struct sae_err err = {0};
    set->m = 12;
    set->k = k;
    set->batch = 8;
    set->steps = 40;
    set->heldout_rows = 8;
    set->lr = 0.01;
    if (settings_resolve(set, 1000, 4, &err) != SAE_OK ||
        trainer_open(&t, set, &sae_ops_cpu, 4, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    return t;
}

static struct trainer *open_small(struct settings *set)
{
    return open_with(set, 2);
}

static void make_batch(uint64_t step, float *x)
{
    for (size_t i = 0; i < 32; i++)
        x[i] = sinf((float)(i * i + 7 * step));
}

static void test_window(void **state)
{
    (void)state;
    struct settings set;
    struct sae_err err = {0};
    float x[32];
    start(&set);
    set.orth = ORTH_PROGRESSIVE;
    set.overlap_window = 2; /* ring of 6, weights 1, 1/2, 1/4, ... */
    struct trainer *const t = open_small(&set);
    make_batch(0, x);
    trainer_init(t, x);
    for (uint64_t s = 0; s < 10; s++) {
        make_batch(s, x);
        assert_int_equal(trainer_step(t, x, false, NULL, &err), SAE_OK);
        struct sae_overlap_masks masks;
        t->step--;
        masks_list(t, &masks);
        t->step++;
        assert_int_equal(masks.n_batches, s < 6 ? s + 1 : 6);
        for (size_t b = 0; b < masks.n_batches; b++) {
            assert_true(fabs(masks.weight[b] - pow(0.5, (double)b)) < 1e-15);
            assert_ptr_equal(masks.csr[b], &t->ring[(s - b) % 6].csr);
        }
    }
    trainer_close(t);
    /* window 1: the batch alone */
    start(&set);
    struct trainer *const one = open_small(&set);
    trainer_init(one, x);
    for (uint64_t s = 0; s < 3; s++)
        assert_int_equal(trainer_step(one, x, false, NULL, &err), SAE_OK);
    struct sae_overlap_masks masks;
    masks_list(one, &masks);
    assert_int_equal(masks.n_batches, 1);
    trainer_close(one);
}

/* Worked example of MATH.md, section 3: f = relu(x - 1), xhat = f; x = (3, 4), (0, 5). */
static void test_heldout_by_hand(void **state)
{
    (void)state;
    struct settings set;
    struct sae_err err = {0};
    struct trainer *t = NULL;
    static const float x[] = {3, 4, 0, 5};
    start(&set);
    set.arch = TRAIN_STANDARD;
    set.m = 3;
    set.k = 1;
    set.heldout_rows = 8;
    set.batch = 2;
    if (settings_resolve(&set, 1000, 2, &err) != SAE_OK ||
        trainer_open(&t, &set, &sae_ops_cpu, 2, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < 3; i++) {
        t->w.b_enc[i] = -1;
        t->w.W_enc[2 * i] = t->w.W_dec[2 * i] = i == 0;
        t->w.W_enc[2 * i + 1] = t->w.W_dec[2 * i + 1] = i == 1;
    }
    struct heldout held;
    struct heldout_sums s;
    assert_int_equal(heldout_open(&held, 2, 2, x, 1, 3, &err), SAE_OK);
    assert_int_equal(heldout_sums(&held, t, 2, &s, &err), SAE_OK);
    assert_true(fabs(s.sq_error - 1.5) < 1e-6);
    assert_true(fabs(s.explained_variance - 0.4) < 1e-6);
    assert_true(fabs(s.cossim - (18 / (5 * sqrt(13)) + 1) / 2) < 1e-6);
    assert_true(fabs(s.l2_ratio - (sqrt(13) / 5 + 0.8) / 2) < 1e-6);
    assert_true(fabs(s.l0 - 1.5) < 1e-12);
    assert_true(fabs(s.alive_share - 2.0 / 3) < 1e-12);
    heldout_close(&held);
    trainer_close(t);
}

/* tau0 0.1, down, mu 0.5, 40 steps: 0.1; then 0.5 * 0.1 + 0.5 * 0.0975 = 0.09875; ... */
static void test_momentum(void **state)
{
    (void)state;
    struct settings set;
    struct sae_err err = {0};
    struct step_stats stats;
    float x[32];
    start(&set);
    set.threshold_momentum = 0.5;
    struct trainer *const t = open_small(&set);
    make_batch(0, x);
    trainer_init(t, x);
    const double want[3] = {0.1, 0.09875, 0.5 * 0.09875 + 0.5 * 0.095};
    for (size_t s = 0; s < 3; s++) {
        assert_int_equal(trainer_step(t, x, false, &stats, &err), SAE_OK);
        assert_true(fabs(stats.tau - want[s]) < 1e-12);
    }
    trainer_close(t);
}

/* The worked example of docs/MATH.md: one chunk of three latents. */
static void test_ortsae(void **state)
{
    (void)state;
    struct settings set;
    struct sae_err err = {0};
    struct trainer *t = NULL;
    struct note note = {.stats = {.lambda2 = 1}};
    const float W[6] = {1, 0, 0.6F, 0.8F, -0.8F, 0.6F};
    const double want[6] = {0, 0.64, 0.512, -0.384, 0, 0};
    start(&set);
    set.orth = ORTH_ORTSAE;
    set.ortsae_every = 1;
    set.m = 3;
    set.k = 1;
    set.batch = 2;
    if (settings_resolve(&set, 1000, 2, &err) != SAE_OK ||
        trainer_open(&t, &set, &sae_ops_cpu, 2, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_true(fabs(t->set.lambda2_max - 0.25) < 1e-15 && fabs(t->set.gamma) < 1e-15);
    memcpy(t->w.W_dec, W, sizeof W);
    assert_int_equal(orth_step(t, true, &note, &err), SAE_OK);
    assert_true(fabs(t->work->number[ORTSAE] - 0.24) < 1e-6);
    for (size_t i = 0; i < 6; i++)
        assert_true(fabs((double)t->work->g.W_dec[i] - want[i]) < 1e-6);
    trainer_close(t);
}

/* Loss of the chunks that (seed, step) name, in double. */
static double chunk_loss(const struct trainer *t, size_t n_chunks)
{
    uint32_t order[12];
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_CHUNKS);
    rng.counter = t->step << 32;
    for (uint32_t j = 0; j < 12; j++)
        order[j] = j;
    sae_rng_shuffle_u32(&rng, order, 12);
    double loss = 0;
    for (size_t i = 0; i < 12; i++) {
        double top = -2;
        const size_t n = 12 / n_chunks;
        for (size_t j = i / n * n; j < i / n * n + n; j++) {
            double dot = 0, a = 0, b = 0;
            for (size_t e = 0; e < t->d; e++) {
                const double x = (double)t->w.W_dec[order[i] * t->d + e];
                const double y = (double)t->w.W_dec[order[j] * t->d + e];
                dot += x * y;
                a += x * x;
                b += y * y;
            }
            if (j != i)
                top = fmax(top, dot / sqrt(a * b));
        }
        loss += top * top / (double)(n_chunks * n);
    }
    return loss;
}

static void test_chunks(void **state)
{
    (void)state;
    struct settings set;
    struct sae_err err = {0};
    struct step_stats stats;
    float x[32];
    double first = 0;
    start(&set);
    set.orth = ORTH_ORTSAE;
    set.ortsae_chunk = 5; /* 3 chunks of 4 */
    set.ortsae_every = 2;
    struct trainer *const t = open_small(&set);
    make_batch(0, x);
    trainer_init(t, x);
    for (uint64_t s = 0; s < 6; s++) {
        const double want = chunk_loss(t, 3);
        first = s == 0 ? want : first;
        assert_int_equal(trainer_step(t, x, true, &stats, &err), SAE_OK);
        assert_true(fabs(stats.orth - want) < 1e-6);
        assert_true(fabs(stats.orth_weight - (s % 2 ? 0 : 0.5)) < 1e-12);
        assert_true(s == 0 || fabs(want - first) > 1e-6); /* drawn anew */
    }
    trainer_close(t);
}

static void test_divergence(void **state)
{
    (void)state;
    struct settings set;
    struct sae_err err = {0};
    float x[32];
    start(&set);
    struct trainer *const t = open_small(&set);
    make_batch(0, x);
    trainer_init(t, x);
    assert_int_equal(trainer_step(t, x, false, NULL, &err), SAE_OK);
    const float before = t->w.W_enc[0];
    x[5] = INFINITY;
    assert_int_equal(trainer_step(t, x, false, NULL, &err), SAE_ERANGE);
    assert_non_null(strstr(err.msg, "step 1"));
    assert_true(t->w.W_enc[0] >= before && t->w.W_enc[0] <= before);
    assert_int_equal(t->step, 1);
    trainer_close(t);
}

/* Measuring looks on: the weights after it are those without, bit for bit. */
static void test_measuring_changes_nothing(void **state)
{
    (void)state;
    static double halves[2] = {0.5, 0.5};
    struct sae_err err = {0};
    float x[32];
    for (int arch = 0; train_arch_names[arch]; arch++)
        for (int orth = 0; train_orth_names[orth]; orth++) {
            struct settings sets[2];
            struct trainer *t[2];
            for (int i = 0; i < 2; i++) {
                start(&sets[i]);
                sets[i].arch = arch;
                sets[i].orth = orth;
                sets[i].dead_after = 16;
                sets[i].target_l0 = 3;
                sets[i].groups = (struct sae_reals){2, halves};
                t[i] = open_small(&sets[i]);
                make_batch(0, x);
                trainer_init(t[i], x);
            }
            for (uint64_t s = 0; s < 12; s++) {
                make_batch(s, x);
                for (int i = 0; i < 2; i++)
                    assert_int_equal(trainer_step(t[i], x, i == 1 && s % 3 == 0, NULL, &err),
                                     SAE_OK);
            }
            assert_memory_equal(t[0]->w.all, t[1]->w.all, t[0]->w.n * sizeof *t[0]->w.all);
            trainer_close(t[0]);
            trainer_close(t[1]);
        }
}

/* Where most pairs compete the cpu takes products of rows: the same step as by the plain operation. */
static void test_crowded(void **state)
{
    (void)state;
    struct sae_ops plain = sae_ops_cpu;
    struct sae_err err = {0};
    struct step_stats stats[2];
    struct trainer *t[2];
    float x[32];
    plain.orth_masks = sae_ops_ref.orth_masks;
    plain.compare_rows = sae_ops_ref.compare_rows;
    for (int mean = 0; mean < 2; mean++) {
        for (int i = 0; i < 2; i++) {
            struct settings set;
            start(&set);
            set.orth = ORTH_STATIC;
            set.base_threshold = 0.01;
            set.min_count = 1;
            set.orth_normalizer = mean ? NORMALIZER_MEAN : NORMALIZER_SUM;
            t[i] = open_with(&set, 6);
            t[i]->work->ops = i ? &plain : &sae_ops_cpu;
            make_batch(0, x);
            trainer_init(t[i], x);
        }
        for (uint64_t s = 0; s < 4; s++) {
            make_batch(s, x);
            for (int i = 0; i < 2; i++)
                assert_int_equal(trainer_step(t[i], x, true, &stats[i], &err), SAE_OK);
            assert_true(stats[0].n_pairs > (double)(t[0]->m * t[0]->m / 8));
            assert_true(fabs(stats[0].n_pairs - stats[1].n_pairs) < 0.5);
            assert_true(fabs(stats[0].orth - stats[1].orth) < 1e-5 * stats[1].orth);
            assert_true(fabs(stats[0].grad_orth - stats[1].grad_orth) <
                        1e-5 * stats[1].grad_orth);
            assert_true(fabs(stats[0].max_abs_cos - stats[1].max_abs_cos) < 1e-6);
            for (size_t w = 0; w < t[0]->w.n; w++)
                assert_true(fabsf(t[0]->w.all[w] - t[1]->w.all[w]) < 1e-5F);
        }
        t[0]->w.W_dec[5] = NAN;
        assert_int_equal(trainer_step(t[0], x, false, NULL, &err), SAE_ERANGE);
        trainer_close(t[0]);
        trainer_close(t[1]);
    }
}

/* k moves during a run, up or down: the memory that the encoder was given at the start must serve
 * every k on the way, whether that one is screened or not. */
static void test_moving_k(void **state)
{
    (void)state;
    static const struct {
        uint64_t m, k_start, k;
    } cases[] = {{1024, 80, 320}, {1024, 128, 16}, {1024, 1, 1024}, {1030, 700, 2}, {2048, 170, 172}};
    enum { D = 64, N = 128 };
    float *const x = test_malloc(N * D * sizeof *x);
    for (size_t i = 0; i < N * D; i++)
        x[i] = sinf((float)(i * i % 1009));
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct settings set;
        struct trainer *t = NULL;
        struct sae_err err = {0};
        start(&set);
        set.m = cases[c].m;
        set.k = cases[c].k;
        set.k_start = cases[c].k_start;
        set.batch = N;
        set.steps = 12;
        set.heldout_rows = N;
        if (settings_resolve(&set, 1000, D, &err) != SAE_OK ||
            trainer_open(&t, &set, &sae_ops_cpu, D, &err) != SAE_OK)
            fail_msg("%s", err.msg);
        const size_t has = t->work->pre ? t->ops->encode_scratch(N, t->m, D, t->k_max) : t->work->g.n;
        trainer_init(t, x);
        for (uint64_t s = 0; s < set.steps; s++) {
            for (size_t n = 32; n <= N; n *= 2)
                assert_true(t->ops->encode_scratch(n, t->m, D, (size_t)trainer_k(t)) <= has);
            assert_int_equal(trainer_step(t, x, false, NULL, &err), SAE_OK);
        }
        trainer_close(t);
    }
    test_free(x);
}

/* Numbers near the largest of their type: refused, or without harm. */
static void test_large_numbers(void **state)
{
    (void)state;
    struct settings set;
    struct trainer *t = NULL;
    struct sae_err err = {0};
    float x[32];
    start(&set);
    set.orth = ORTH_ORTSAE;
    set.ortsae_chunk = UINT64_MAX - 25;
    t = open_small(&set);
    make_batch(0, x);
    trainer_init(t, x);
    assert_int_equal(trainer_step(t, x, true, NULL, &err), SAE_OK);
    trainer_close(t);
    /* squares of these overflow single precision, and with them Adam's second moment */
    start(&set);
    set.arch = TRAIN_STANDARD;
    t = open_small(&set);
    for (size_t i = 0; i < 32; i++)
        x[i] *= 1e19F;
    trainer_init(t, x);
    assert_int_equal(trainer_step(t, x, false, NULL, &err), SAE_ERANGE);
    assert_non_null(strstr(err.msg, "gradient has norm"));
    assert_true(isfinite(t->ops->sum_sq(t->w.n, t->m2.all)));
    assert_int_equal(t->step, 0);
    trainer_close(t);
    start(&set);
    set.lr = 0;
    refused(&set, 100000, "--lr 0: must be more than 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_median),   cmocka_unit_test(test_window),
        cmocka_unit_test(test_momentum), cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_ortsae),   cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_crowded), cmocka_unit_test(test_moving_k), cmocka_unit_test(test_large_numbers),
        cmocka_unit_test(test_measuring_changes_nothing),                                       cmocka_unit_test(test_heldout_by_hand)};
    return cmocka_run_group_tests_name("train", tests, NULL, NULL);
}
