/* SPDX-License-Identifier: MIT */
/* Tests of a step with --freeze: on every architecture, on the host and on a device, a frozen matrix keeps its bytes
 * and its moments stay 0 while the rest moves; rows of a soft one stay in their caps; what would move
 * frozen rows is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/rng.h"
#include "tests/emu/test_device.h"
#include "train/inner.h"
#include "train/options.h"

enum { N = 16, D = 8, M = 24, STEPS = 20 };
static const double LEAST = 0.95;

static void make_settings(struct settings *set, int arch, int freeze)
{
    static double last[1] = {100}, halves[2] = {0.5, 0.5};
    options_default(set);
    set->arch = arch;
    set->freeze = freeze;
    set->freeze_cos = LEAST;
    set->k = 3;
    set->m = M;
    set->batch = N;
    set->steps = STEPS;
    set->lr = 0.02;
    set->warmup = 2;
    set->l1 = 0.01;
    set->target_l0 = 4;
    set->bandwidth = 0.1;
    set->dead_after = 2 * N;
    set->groups = (struct sae_reals){2, halves};
    set->checkpoints = (struct sae_reals){1, last};
}

static void make_batch(uint64_t step, float x[N * D])
{
    struct sae_rng rng = sae_rng_make(step, SAE_RNG_TEST);
    for (size_t i = 0; i < N * D; i++)
        x[i] = (float)(2 * sae_rng_normal(&rng) + cos((double)(i % D)));
}

static struct trainer *open_at_start(const struct settings *from, const struct sae_ops *ops)
{
    struct settings set = *from;
    struct sae_err err = {0};
    struct trainer *t = NULL;
    float x[N * D];
    if (settings_resolve(&set, 100 * N, D, &err) != SAE_OK ||
        trainer_open(&t, &set, ops, D, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    make_batch(0, x);
    trainer_init(t, x);
    return t;
}

static bool is_zero(const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] < 0 || v[i] > 0)
            return false;
    return true;
}

static double row_cos(const float *a, const float *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < D; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* Each row within its cap, to rounding. Returns how many are at the edge. */
static size_t check_caps(const float *W, const float *first, const char *name)
{
    size_t edge = 0;
    for (size_t j = 0; j < M; j++) {
        const double c = row_cos(W + j * D, first + j * D);
        if (!(c >= LEAST - 2e-6))
            fail_msg("%s: row %zu is at cosine %.9f to its start", name, j, c);
        edge += c < LEAST + 1e-5;
    }
    return edge;
}

static void check_part(bool frozen, const float *now, const float *first, const float *m1,
                       const float *m2, const char *name)
{
    const size_t n = (size_t)M * D;
    const bool same = memcmp(now, first, n * sizeof *now) == 0;
    if (same != frozen)
        fail_msg("%s: %s", name, frozen ? "moved" : "did not move");
    if ((is_zero(m1, n) && is_zero(m2, n)) != frozen)
        fail_msg("%s: moments %s", name, frozen ? "are not 0" : "are 0");
}

static void freezes(int arch, int freeze, const struct sae_ops *ops)
{
    static float W_enc[M * D], W_dec[M * D], x[N * D];
    struct settings set;
    struct sae_err err = {0};
    size_t edge = 0;
    make_settings(&set, arch, freeze);
    struct trainer *const t = open_at_start(&set, ops);
    memcpy(W_enc, t->w.W_enc, sizeof W_enc);
    memcpy(W_dec, t->w.W_dec, sizeof W_dec);
    for (uint64_t s = 0; s < STEPS; s++) {
        make_batch(s, x);
        if (trainer_step(t, trainer_batch(t, x, N), s % 3 == 0, NULL, &err) != SAE_OK)
            fail_msg("%s: %s", train_arch_names[arch], err.msg);
        assert_int_equal(trainer_fetch(t, true, &err), SAE_OK);
        if (freeze == FREEZE_SOFT)
            edge = check_caps(t->w.W_dec, W_dec, train_arch_names[arch]);
    }
    check_part(freeze == FREEZE_ENCODER, t->w.W_enc, W_enc, t->m1.W_enc, t->m2.W_enc,
               train_arch_names[arch]);
    check_part(freeze == FREEZE_DECODER, t->w.W_dec, W_dec, t->m1.W_dec, t->m2.W_dec,
               train_arch_names[arch]);
    assert_false(is_zero(t->m2.b_enc, M)); /* biases are trained */
    assert_int_equal(edge > 0, freeze == FREEZE_SOFT);
    trainer_close(t);
}

static void test_every_arch(void **state)
{
    (void)state;
    for (int arch = 0; arch < TRAIN_ARCH_N; arch++)
        for (int freeze = FREEZE_NONE; train_freeze_names[freeze]; freeze++) {
            freezes(arch, freeze, &sae_ops_cpu);
            freezes(arch, freeze, test_device());
        }
    freezes(TRAIN_TOPK, FREEZE_SOFT, &sae_ops_ref);
}

/* A row 60 degrees from its start, in the plane of both, comes to the edge of the cap:
 * start (1, 0), w (0.5, 0.866), least 0.8: (0.8, 0.6). One inside stays, an opposite one starts again. */
static void test_by_hand(void **state)
{
    (void)state;
    const struct sae_ops *const all[] = {&sae_ops_ref, &sae_ops_cpu};
    const float start[6] = {1, 0, 1, 0, 1, 0};
    for (size_t o = 0; o < 2; o++) {
        float w[6] = {0.5F, 0.8660254F, 0.96F, 0.28F, -1, 0};
        const float want[6] = {0.8F, 0.6F, 0.96F, 0.28F, 1, 0};
        all[o]->cap_rows(3, 2, 0.8, start, w);
        for (size_t i = 0; i < 6; i++)
            assert_true(fabsf(w[i] - want[i]) < 1e-7F);
    }
}

static void refused(struct settings *set, const char *words)
{
    struct sae_err err = {0};
    assert_int_equal(settings_resolve(set, 100 * N, D, &err), SAE_EARG);
    if (!strstr(err.msg, words))
        fail_msg("'%s' does not say '%s'", err.msg, words);
}

static void test_refusals(void **state)
{
    (void)state;
    struct settings set;
    struct sae_err err = {0};
    make_settings(&set, TRAIN_TOPK, FREEZE_DECODER);
    set.orth = ORTH_PROGRESSIVE;
    refused(&set, "--freeze decoder and --orth progressive exclude each other");
    make_settings(&set, TRAIN_STANDARD, FREEZE_ENCODER);
    set.resample_every = 5;
    refused(&set, "--freeze encoder and --resample-every exclude each other");
    make_settings(&set, TRAIN_TOPK, FREEZE_SOFT);
    set.freeze_cos = 1;
    refused(&set, "--freeze-cos 1: must be more than 0 and less than 1");
    set.freeze_cos = 0;
    refused(&set, "--freeze-cos 0: must be");
    make_settings(&set, TRAIN_TOPK, FREEZE_SOFT);
    set.orth = ORTH_PROGRESSIVE; /* moves them within the cap */
    assert_int_equal(settings_resolve(&set, 100 * N, D, &err), SAE_OK);
}

int main(int argc, char **argv)
{
    const int end_now = test_device_open(argc, argv);
    if (end_now != 0)
        return end_now;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_arch), cmocka_unit_test(test_by_hand),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests_name("step", tests, NULL, NULL);
}
