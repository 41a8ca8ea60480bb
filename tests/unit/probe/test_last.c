/* SPDX-License-Identifier: MIT */
/* last : sae-probes' protocol by hand. The package's own numbers: tests/golden/test_probes.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/eval/codes.h"
#include "lib/eval/score.h"
#include "probe/last.h"

static struct sae_err err;
#define ok(call) assert_int_equal((call), SAE_OK)

/* Means where they fire: 3, 10, 80, -, 5. Divided by them: A (2/3, 4/3 | 0, 0) differs by 1, B (1, 0 |
 * 0, 1) by 0, C (1.25, 1.25 | .75, .75) by .5, although its plain difference is the largest; D is dead
 * and E constant. */
static void test_rank(void **state)
{
    (void)state;
    static const float x[4][5] = {
        {2, 10, 100, 0, 5},
        {4, 0,  100, 0, 5},
        {0, 0,  60,  0, 5},
        {0, 10, 60,  0, 5}
    };
    static const uint8_t label[] = {1, 1, 0, 0};
    static const uint32_t want[] = {0, 2, 1, 3, 4}; /* equal scores by index */
    uint32_t found[5];
    struct sae_csr codes;
    ok(sae_codes_from_dense(&codes, &x[0][0], 4, 5, &err));
    ok(probe_last_rank(found, 5, &codes, 5, label, 4, &err));
    assert_memory_equal(found, want, sizeof want);
    sae_codes_clear(&codes);
}

/* Three positives, two of them found; one negative, which is missed: F1 of the positives 4/6, of the
 * negatives 0, weighted 3 to 1: .5. */
static void test_f1(void **state)
{
    (void)state;
    const double value[] = {1, 2, -1, 3};
    const uint8_t label[] = {1, 1, 1, 0};
    const struct sae_score s = sae_score_decide(value, label, 4);
    assert_true(fabs(sae_score_f1_weighted(&s) - 0.5) < 1e-12);
    const struct sae_score all = {.tp = 2, .tn = 3}, none = {.fp = 2, .fn = 3};
    assert_true(sae_score_f1_weighted(&all) == 1.0 && sae_score_f1_weighted(&none) == 0.0);
}

/* Of four pairs (.35, .4) is in the wrong order: .75. Equal scores are half a pair. */
static void test_auc(void **state)
{
    (void)state;
    const double score[] = {.1, .4, .35, .8}, same[] = {.5, .5, .5, .5};
    const uint8_t label[] = {0, 0, 1, 1}, ones[] = {1, 1, 1, 1};
    double auc;
    ok(probe_last_auc(&auc, score, label, 4, &err));
    assert_true(auc == 0.75);
    ok(probe_last_auc(&auc, same, label, 4, &err));
    assert_true(auc == 0.5);
    ok(probe_last_auc(&auc, score, ones, 4, &err)); /* a class is absent */
    assert_true(isnan(auc));
    /* many texts, ties among them: the plain sum over pairs */
    enum { N = 400 };
    static double v[N];
    static uint8_t y[N];
    double plain;
    for (size_t i = 0; i < N; i++) {
        v[i] = (double)(i * 37 % 101);
        y[i] = i * 11 % 7 < 3;
    }
    ok(probe_last_auc(&auc, v, y, N, &err));
    ok(sae_score_auc(&plain, v, y, N, &err));
    assert_true(fabs(auc - plain) < 1e-12 && auc > 0.4 && auc < 0.6);
}

static void fill_labels(uint8_t *label, size_t n, size_t n_positive)
{
    for (size_t i = 0; i < n; i++)
        label[i] = i < n_positive;
}

/* The smallest set: 228 texts give 128 to train on, of which 25 are the tail, and 99 to test on. */
static void test_draw(void **state)
{
    (void)state;
    uint8_t label[6000], seen[6000] = {0};
    struct probe_last_draw draw;
    fill_labels(label, 228, 114);
    ok(probe_last_draw(&draw, label, 228, 42, "small", &err));
    assert_true(draw.n_train == 128 && draw.n_test == 99 && draw.n_tail == 25);
    size_t n_positive[2] = {0, 0};
    for (size_t i = 0; i < 227; i++) {
        assert_int_equal(draw.label[i], label[draw.rows[i]]);
        assert_int_equal(seen[draw.rows[i]]++, 0); /* no text twice */
        n_positive[i >= 128] += draw.label[i];
    }
    assert_true(n_positive[0] == 64 && n_positive[1] == 50);
    probe_last_draw_clear(&draw);
    /* of a large one the first 5000 */
    for (size_t i = 0; i < 6000; i++)
        label[i] = i % 2;
    ok(probe_last_draw(&draw, label, 6000, 42, "large", &err));
    assert_true(draw.n_train == 1024 && draw.n_test == 3975 && draw.n_tail == 100);
    for (size_t i = 0; i < 4999; i++)
        assert_true(draw.rows[i] < 5000);
    probe_last_draw_clear(&draw);
}

static void test_draw_refusals(void **state)
{
    (void)state;
    uint8_t label[400];
    struct probe_last_draw draw;
    fill_labels(label, 227, 113);
    assert_int_equal(probe_last_draw(&draw, label, 227, 42, "tiny", &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "'tiny' has 227 texts"));
    fill_labels(label, 400, 100);
    assert_int_equal(probe_last_draw(&draw, label, 400, 42, "odd", &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "second class"));
    fill_labels(label, 400, 400);
    assert_int_equal(probe_last_draw(&draw, label, 400, 42, "one", &err), SAE_EFORMAT);
}

enum { N = 227, K = 300 };
static float x[N * K];

static void draw_small(struct probe_last_draw *draw)
{
    uint8_t label[N + 1];
    fill_labels(label, N + 1, 114);
    ok(probe_last_draw(draw, label, N + 1, 42, "small", &err));
}

/* Columns that say nothing: no weights, every text alike. */
static void test_dead_and_constant(void **state)
{
    (void)state;
    struct probe_last_draw draw;
    struct probe_last_score score[2];
    const uint64_t k[] = {1, 2};
    draw_small(&draw);
    for (size_t i = 0; i < N; i++) {
        x[2 * i] = 0.0F;
        x[2 * i + 1] = 3.0F;
    }
    ok(probe_last_sparse(score, x, &draw, k, 2, 42, &err));
    for (size_t p = 0; p < 2; p++) {
        assert_true(score[p].v[PROBE_AUC] == 0.5 && score[p].tail_auc == 0.5);
        assert_true(score[p].C == 1e5); /* all are equal: the first */
        assert_true(score[p].v[PROBE_ACCURACY] > 0.49 && score[p].v[PROBE_ACCURACY] < 0.51);
    }
    ok(probe_last_dense(&score[0], x, 2, &draw, &err));
    assert_true(score[0].v[PROBE_AUC] == 0.5);
    probe_last_draw_clear(&draw);
}

/* More columns than rows, and one of them tells the classes apart. */
static void test_more_columns_than_rows(void **state)
{
    (void)state;
    struct probe_last_draw draw;
    struct probe_last_score score[2];
    const uint64_t k[] = {1, K};
    draw_small(&draw);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < K; j++)
            x[i * K + j] = j == 0 ? (float)draw.label[i] * 2.0F
                                  : (float)((i * 31 + j * j * 17 + i * j) % 13) / 8.0F;
    ok(probe_last_sparse(score, x, &draw, k, 2, 42, &err));
    assert_true(score[0].v[PROBE_AUC] == 1.0 && score[0].v[PROBE_ACCURACY] == 1.0);
    assert_true(score[0].v[PROBE_F1] == 1.0);
    assert_true(score[1].v[PROBE_AUC] > 0.9);
    ok(probe_last_dense(&score[0], x, K, &draw, &err));
    assert_true(score[0].v[PROBE_AUC] > 0.9);
    x[5] = NAN;
    assert_int_equal(probe_last_sparse(score, x, &draw, k, 2, 42, &err), SAE_ERANGE);
    x[5] = 0.0F;
    memset(draw.label + draw.n_train - draw.n_tail, 1, draw.n_tail); /* a tail of one class */
    assert_int_equal(probe_last_sparse(score, x, &draw, k, 2, 42, &err), SAE_EFORMAT);
    assert_int_equal(probe_last_dense(score, x, K, &draw, &err), SAE_EFORMAT);
    probe_last_draw_clear(&draw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rank),
        cmocka_unit_test(test_f1),
        cmocka_unit_test(test_auc),
        cmocka_unit_test(test_draw),
        cmocka_unit_test(test_draw_refusals),
        cmocka_unit_test(test_dead_and_constant),
        cmocka_unit_test(test_more_columns_than_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
