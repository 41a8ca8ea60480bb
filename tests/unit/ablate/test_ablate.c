/* SPDX-License-Identifier: MIT */
/* SCR and TPP by hand: the examples of docs/math-ablation.md. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ablate/ablate.h"

static struct sae_err err;

/* Two texts in training, two in test, of width 1; two latents with W_dec (1) and (-1).
 *   text      0    1    2    3
 *   label     1    0    1    0
 *   x         3    1    3   -1
 *   latents  v0=2 v1=1 v0=2 -
 * Probe w = 2, b = -3: gains 2 and -2. */
static float pooled[] = {3, 1, 3, -1};
static uint64_t start[] = {0, 2, 4, 6, 8};
static struct sae_labels labels = {.n_texts = 4, .n_rows = 8, .d = 1, .pooled = pooled, .start = start};
static size_t row[] = {0, 1, 2, 3, 3};
static uint32_t idx[] = {0, 1, 0};
static float val[] = {2, 1, 2}, silent[] = {0, 0.5F}, W_dec[] = {1, -1}, w[] = {2}, gain[] = {2, -2};
static uint32_t rows[] = {0, 1, 2, 3};
static uint8_t label[] = {1, 0, 1, 0};
static const struct sae_task task = {2, 2, rows, label};
static const struct ablate_probe probe = {w, -3, gain};

static struct ablate_texts texts(size_t padding)
{
    return (struct ablate_texts){.labels = &labels,
                                 .latents = {{.n = 4, .start = row, .idx = idx, .val = val}, 2, false},
                                 .W_dec = W_dec,
                                 .m = 2,
                                 .d = 1,
                                 .silent = silent,
                                 .padding = padding};
}

/* Means over positives minus negatives: v0 2 - 0, v1 0 - 1. */
static void effects(void **state)
{
    (void)state;
    const struct ablate_texts t = texts(0);
    float e[2];
    assert_int_equal(ablate_effects(e, &t, &task, &probe, true, &err), SAE_OK);
    assert_float_equal(e[0], 4, 0);
    assert_float_equal(e[1], 2, 0);
    assert_int_equal(ablate_effects(e, &t, &task, &probe, false, &err), SAE_OK);
    assert_float_equal(e[0], 4, 0);
    assert_float_equal(e[1], 0, 0);
}

/* Text 2: 2 x 3 - 3 = 3 > 0, right; without latent 0: 3 - 2 x 2 = -1, wrong. Text 3: -5, right. */
static void ablation(void **state)
{
    (void)state;
    struct ablate_texts t = texts(0);
    const uint8_t first[] = {1, 0}, second[] = {0, 1};
    assert_float_equal(ablate_accuracy(&t, &task, &probe, NULL), 1, 0);
    assert_float_equal(ablate_accuracy(&t, &task, &probe, first), 0.5, 0);
    assert_float_equal(ablate_accuracy(&t, &task, &probe, second), 1, 0);
    /* padded from 2 tokens to 14, latent 1 counts (14 - 2) / 2 x 0.5 = 3 times at padded positions:
     * taking it out adds 3 x 2 = 6, and text 3 at -5 turns to 1, wrong */
    t.padding = 14;
    assert_float_equal(ablate_accuracy(&t, &task, &probe, second), 0.5, 0);
    t.padding = 2;
    assert_float_equal(ablate_accuracy(&t, &task, &probe, second), 1, 0);
}

static void selection(void **state)
{
    (void)state;
    const float e[] = {0, 3, -1, 0, 3, 2};
    uint8_t mask[6];
    assert_int_equal(ablate_select(mask, e, 6, 1), 1);
    assert_int_equal(mask[1], 1); /* of equal ones the lower index */
    assert_int_equal(ablate_select(mask, e, 6, 4), 4);
    assert_memory_equal(mask, ((uint8_t[]){1, 1, 0, 0, 1, 1}), 6); /* 0 comes before -1 */
    assert_int_equal(ablate_select(mask, e, 6, 99), 4);            /* no more than are not 0 */
}

static void scores(void **state)
{
    (void)state;
    assert_float_equal(ablate_scr_score(0.9, 0.6, 0.75), 0.5, 1e-12);
    assert_float_equal(ablate_scr_score(0.9, 0.6, 0.5), -1.0 / 3, 1e-12);
    assert_float_equal(ablate_scr_score(0.6, 0.6, 0.9), 0, 0);
    /* two entries of one set and one of another, two seeds */
    const uint64_t n[] = {2}, seeds[] = {1, 2};
    const struct ablate_settings s = {.n = n, .n_n = 1, .seeds = seeds, .n_seeds = 2};
    struct ablate_scores all = {0};
    const double v[3][2] = {
        {0.2, 0.4},
        {0.4, 0.6},
        {0.9, NAN}
    };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ablate_scores_add(&all, i < 2 ? "x" : "y", "pair", &s, &err), SAE_OK);
        for (size_t seed = 0; seed < 2; seed++)
            all.v[i].v[seed * ABLATE_VALUES] = v[i][seed];
    }
    double mean, se;
    ablate_scores_mean(&all, &s, NULL, false, 0, 0, &mean, &se); /* 0.5 and 0.5 */
    assert_float_equal(mean, 0.5, 1e-12);
    assert_float_equal(se, 0, 1e-9);
    ablate_scores_mean(&all, &s, NULL, true, 0, 0, &mean, &se); /* (0.3 + 0.9)/2 and 0.5 */
    assert_float_equal(mean, 0.55, 1e-12);
    assert_float_equal(se, 0.05, 1e-12);
    ablate_scores_mean(&all, &s, "x", true, 0, 0, &mean, &se); /* 0.3 and 0.5 */
    assert_float_equal(mean, 0.4, 1e-12);
    ablate_scores_clear(&all);
}

/* Its own probe loses .3, the others .1 and -.02. */
static void tpp_by_hand(void **state)
{
    (void)state;
    double v[ABLATE_VALUES];
    ablate_tpp_score(v, (const double[]){0.1, 0.3, -0.02}, 3, 1);
    assert_float_equal(v[0], 0.26, 1e-12);
    assert_float_equal(v[1], 0.3, 1e-12);
    assert_float_equal(v[2], 0.04, 1e-12);
}

/* Quadrants in file order; the biased ones give twice as many texts. */
static void tasks(void **state)
{
    (void)state;
    enum { N = 24 };
    uint32_t class[N], attribute[N];
    uint8_t split[N];
    for (size_t t = 0; t < N; t++) {
        class[t] = t % 4 == 0 || t % 4 == 1; /* 1 1 0 0 ... */
        attribute[t] = t % 2;
        split[t] = t >= 16;
    }
    const struct sae_labels l = {.n_texts = N, .n_classes = 2, .n_attributes = 2, .label = class,
                                 .attribute = attribute, .split = split};
    const struct ablate_settings s = {.train_size = 4000, .test_size = 1000};
    struct sae_task made[ABLATE_TASKS] = {{0}};
    size_t n[2];
    assert_int_equal(ablate_scr_tasks(made, n, &l, (const uint32_t[2]){0, 1}, &s, &err), SAE_OK);
    assert_int_equal(n[0], 2); /* four in each quadrant, half of a biased one */
    assert_int_equal(n[1], 1);
    for (int k = 0; k < ABLATE_TASKS; k++)
        for (size_t i = 0; i < made[k].n_train + made[k].n_test; i++) {
            const uint32_t t = made[k].rows[i];
            assert_int_equal(split[t], i >= made[k].n_train);
            if (k != ABLATE_ATTRIBUTE)
                assert_int_equal(class[t], !made[k].label[i]);
            if (k != ABLATE_CLASS)
                assert_int_equal(attribute[t], !made[k].label[i]);
        }
    assert_int_equal(made[ABLATE_CLASS].n_train, 8);
    assert_int_equal(made[ABLATE_BOTH].rows[0], 2);
    for (int k = 0; k < ABLATE_TASKS; k++)
        sae_task_clear(&made[k]);
    split[18] = split[22] = 0; /* class 0, attribute 0 has no test text any more */
    assert_int_equal(ablate_scr_tasks(made, n, &l, (const uint32_t[2]){0, 1}, &s, &err), SAE_OK);
    assert_int_equal(n[1], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(effects), cmocka_unit_test(ablation), cmocka_unit_test(selection),
        cmocka_unit_test(scores),  cmocka_unit_test(tasks),
        cmocka_unit_test(tpp_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
