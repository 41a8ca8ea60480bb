/* SPDX-License-Identifier: MIT */
/* test_recovery : training must find the dictionary that made its data.
 *
 *   orthonormal   d features, k = the true number on each row: mean matched |cos| above 0.99
 *   matching      the scorer of the study, study.c, against all ways to match
 *   correlated    features in superposition, with correlated firing: figures of TopK, standard
 *                 and progressive orthogonality are printed; each must beat random directions */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/rng.h"
#include "tests/unit/fixtures/synth.h"
#include "train/options.h"
#include "train/trainer.h"

enum { POOL = 1 << 16 }; /* rows, gone through again and again */

struct figures {
    double match, l0, explained, mean_cos, pairs;
};

static double all_percent[1] = {100};

static void begin(struct settings *set, size_t m, uint64_t k, uint64_t steps)
{
    options_default(set);
    set->checkpoints = (struct sae_reals){1, all_percent};
    set->m = m;
    set->k = k;
    set->batch = 256;
    set->steps = steps;
    set->heldout_rows = 256;
    set->lr = 0.003;
    set->decay_start = steps * 4 / 5;
    set->dead_after = 20000;
}

static bool tried[TRAIN_ARCH_N];

static struct figures train(const struct synth *s, struct settings *set)
{
    struct sae_err err = {0};
    struct trainer *t = NULL;
    struct step_stats stats = {0};
    if (settings_resolve(set, 1000000, s->d, &err) != SAE_OK ||
        trainer_open(&t, set, &sae_ops_cpu, s->d, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    float *const rows = calloc((size_t)POOL * t->d, sizeof *rows);
    assert_non_null(rows);
    for (size_t r = 0; r < POOL; r++)
        synth_row(s, r, rows + r * t->d);
    trainer_init(t, rows);
    tried[set->arch] = true;
    for (uint64_t step = 0; step < set->steps; step++) {
        const float *const x = rows + step * t->n % POOL * t->d;
        if (trainer_step(t, x, step + 1 == set->steps, &stats, &err) != SAE_OK)
            fail_msg("%s", err.msg);
    }
    const struct figures got = {synth_match(s, t->w.W_dec, t->m, NULL), stats.l0,
                                stats.explained_variance, stats.mean_abs_cos, stats.n_pairs};
    trainer_close(t);
    free(rows);
    return got;
}

static void show(const char *name, const struct figures *f)
{
    print_message("# %-28s matched |cos| %.4f  L0 %.2f  explained %.4f  competing %.0f, mean |cos| "
                  "%.4f\n",
                  name, f->match, f->l0, f->explained, f->pairs, f->mean_cos);
}

static void test_orthonormal(void **state)
{
    (void)state;
    struct synth s;
    struct settings set;
    synth_open(&s, SYNTH_ORTHO, 32, 32, 3, 0, 5);
    begin(&set, 32, 3, 5000);
    set.lr = 0.006;
    const struct figures topk = train(&s, &set);
    show("orthonormal topk", &topk);
    begin(&set, 32, 3, 5000);
    set.lr = 0.006;
    set.orth = ORTH_PROGRESSIVE;
    set.lambda2_max = 0.1;
    const struct figures orth = train(&s, &set);
    show("orthonormal topk progressive", &orth);
    synth_close(&s);
    assert_true(topk.match > 0.99);
    assert_true(topk.explained > 0.99);
    assert_true(orth.match > 0.99);
}

/* What matching gives for directions that know nothing of the dictionary. */
static double chance(const struct synth *s, size_t m)
{
    struct sae_rng rng = sae_rng_make(1, SAE_RNG_TEST);
    float *const W = calloc(m * s->d, sizeof *W);
    assert_non_null(W);
    for (size_t i = 0; i < m * s->d; i++)
        W[i] = (float)sae_rng_normal(&rng);
    const double match = synth_match(s, W, m, NULL);
    free(W);
    return match;
}

static void test_correlated(void **state)
{
    (void)state;
    struct synth s;
    struct settings set;
    synth_open(&s, SYNTH_CORRELATED, 48, 96, 5, 0.05, 6);
    const double random = chance(&s, 96);
    print_message("# correlated, random directions: matched |cos| %.4f\n", random);
    begin(&set, 96, 5, 2500);
    const struct figures topk = train(&s, &set);
    show("correlated topk", &topk);
    begin(&set, 96, 5, 2500);
    set.orth = ORTH_PROGRESSIVE;
    set.lambda2_max = 0.1;
    const struct figures orth = train(&s, &set);
    show("correlated topk progressive", &orth);
    begin(&set, 96, 5, 2500);
    set.arch = TRAIN_STANDARD;
    set.l1 = 3;
    const struct figures standard = train(&s, &set);
    show("correlated standard", &standard);
    synth_close(&s);
    assert_true(topk.match > random + 0.2);
    assert_true(orth.match > random + 0.2);
    assert_true(standard.match > random + 0.2);
}

/* The other architectures on the correlated dictionary, with settings of their own. */
static void test_others(void **state)
{
    (void)state;
    struct synth s;
    struct settings set;
    synth_open(&s, SYNTH_CORRELATED, 48, 96, 5, 0.05, 6);
    const double random = chance(&s, 96);
    begin(&set, 96, 5, 2500);
    set.arch = TRAIN_BATCHTOPK;
    const struct figures batchtopk = train(&s, &set);
    show("correlated batchtopk", &batchtopk);
    begin(&set, 96, 5, 2500);
    set.arch = TRAIN_MATRYOSHKA;
    const struct figures matryoshka = train(&s, &set);
    show("correlated matryoshka", &matryoshka);
    begin(&set, 96, 5, 2500);
    set.arch = TRAIN_STANDARD_2024;
    set.l1 = 0.3;
    const struct figures older = train(&s, &set);
    show("correlated standard-2024", &older);
    begin(&set, 96, 5, 2500);
    set.arch = TRAIN_GATED;
    set.l1 = 3;
    const struct figures gated = train(&s, &set);
    show("correlated gated", &gated);
    begin(&set, 96, 5, 2500);
    set.arch = TRAIN_JUMPRELU;
    set.target_l0 = 5;
    set.l0_penalty = 10;
    set.bandwidth = 0.2;
    const struct figures jumprelu = train(&s, &set);
    show("correlated jumprelu", &jumprelu);
    synth_close(&s);
    assert_true(batchtopk.match > random + 0.2);
    assert_true(matryoshka.match > random + 0.2);
    assert_true(older.match > random + 0.2);
    assert_true(gated.match > random + 0.2);
    assert_true(jumprelu.match > random + 0.2);
    assert_true(jumprelu.l0 < 8); /* 48 at the start; the penalty gives way to the residual */
}

static void test_all_tried(void **state)
{
    (void)state;
    for (int a = 0; a < TRAIN_ARCH_N; a++)
        if (!tried[a])
            fail_msg("'%s' is led to no dictionary here", train_arch_names[a]);
}

int main(void)
{
    sae_ops_threads(1); /* small products: threads would only wait for each other */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_orthonormal),
                                       cmocka_unit_test(test_correlated),
                                       cmocka_unit_test(test_others), cmocka_unit_test(test_all_tried)};
    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
