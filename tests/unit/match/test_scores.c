/* SPDX-License-Identifier: MIT */
/* Tests of match: the example of docs/math-matching.md, both sides of a pair, dead and double latents,
 * unequal sizes, firing, random dictionaries of equal spectrum, and checkpoints of one run. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/rng.h"
#include "match/match.h"
#include "tests/unit/fixtures/make_ckpt.h"

static const struct match_settings settings = {.shared = {0.7, 0.9}};

static void is_near(double got, double want)
{
    if (!(fabs(got - want) < 3e-6))
        fail_msg("got %.9g, expected %.9g", got, want);
}

/* An SAE of width 2 with these decoder and encoder rows, and masks of 4 tokens: latent j fires on those
 * of fires[j], a set of bits. */
static struct sae_ckpt make(size_t m, const float *dec, const float *enc, const unsigned *fires)
{
    static uint64_t start[2][5];
    static uint32_t idx[2][16];
    static float val[2][16];
    static int turn;
    struct sae_ckpt c = {0};
    const int at = turn++ % 2;
    size_t nnz = 0;
    assert_int_equal(sae_model_alloc(&c.model, SAE_ARCH_TOPK, 2, m, 1, NULL), SAE_OK);
    memcpy(c.model.W_dec, dec, 2 * m * sizeof *dec);
    memcpy(c.model.W_enc, enc, 2 * m * sizeof *enc);
    for (size_t t = 0; fires && t < 4; t++) {
        start[at][t] = nnz;
        for (uint32_t j = 0; j < m; j++)
            if (fires[j] >> t & 1) {
                val[at][nnz] = 1;
                idx[at][nnz++] = j;
            }
    }
    start[at][4] = nnz;
    if (fires)
        c.heldout = (struct sae_masks){4, start[at], idx[at], val[at]};
    return c;
}

static void clear(struct sae_ckpt *c)
{
    sae_model_clear(&c->model);
}

/* The example. Decoders: A (1, 0), (0.8, 0.6), (0, 1); B (0.6, 0.8), (1, 0), (0, -1).
 *   |cos|: partners 1, 0, 2 at 1, 0.96, 1: MCC 0.98667; all three at 0.7 and at 0.9
 * Encoders: A as its decoder; B (1, 0), (0.6, 0.8), (0, -1): partners 0, 1, 2: agree 1 of 3.
 * Firing on tokens 0 ... 3: A {0,1}, {2}, {}; B {2}, {0,1,3}, {}: Jaccard 2/3 and 1, the third 0:
 *   mean 5/9, one of three pairs at 0.9, none more at 0.7.
 * Latent 2 never fires: over those that do, (1 + 0.96) / 2 = 0.98. */
static void test_by_hand(void **state)
{
    (void)state;
    const float A[6] = {1, 0, 0.8F, 0.6F, 0, 1}, B[6] = {0.6F, 0.8F, 1, 0, 0, -1},
                E[6] = {1, 0, 0.6F, 0.8F, 0, -1};
    const unsigned fires_a[3] = {3, 4, 0}, fires_b[3] = {4, 11, 0};
    struct sae_ckpt a = make(3, A, A, fires_a), b = make(3, B, E, fires_b);
    struct match_pair pair, turned;
    struct match_scores s;
    assert_int_equal(match_pair_make(&pair, &a, &b, &sae_ops_cpu, &settings, NULL), SAE_OK);
    const uint32_t dec[3] = {1, 0, 2};
    assert_memory_equal(pair.of[MATCH_DECODER].partner, dec, sizeof dec);
    is_near(pair.of[MATCH_DECODER].mean, 2.96 / 3);
    is_near(pair.share[MATCH_DECODER][1], 1);
    is_near(pair.of[MATCH_ENCODER].mean, 2.96 / 3);
    is_near(pair.agree, 1.0 / 3);
    is_near(pair.of[MATCH_FIRING].mean, 5.0 / 9);
    is_near(pair.share[MATCH_FIRING][0], 1.0 / 3);
    is_near(pair.share[MATCH_FIRING][1], 1.0 / 3);
    assert_int_equal(match_pair_turn(&turned, &pair, NULL), SAE_OK);
    assert_int_equal(turned.of[MATCH_DECODER].partner[0], 1);
    is_near((double)turned.of[MATCH_DECODER].similarity[0], 0.96);
    match_scores_open(&s, 3);
    assert_int_equal(match_scores_add(&s, &pair, &a.heldout, NULL), SAE_OK);
    match_scores_finish(&s);
    is_near(s.mean[MATCH_DECODER], 2.96 / 3);
    is_near(s.alive, 0.98);
    is_near((double)s.stability[MATCH_DECODER][1], 0.96);
    assert_true(s.gap < 1e-5);
    match_scores_clear(&s);
    match_pair_clear(&pair);
    match_pair_clear(&turned);
    clear(&a);
    clear(&b);
}

/* Two others, one at 1 and one at 0 for the first latent: stability 0.5. A decoder row of length 0 is at
 * 0 to all; without masks firing and the mean of alive latents are not measured. */
static void test_dead_and_two_others(void **state)
{
    (void)state;
    const float A[4] = {1, 0, 0, 0}, B[4] = {1, 0, 0, 1}, C[4] = {0, 1, 0, -1};
    struct sae_ckpt a = make(2, A, A, NULL), b = make(2, B, B, NULL), c = make(2, C, C, NULL);
    struct match_pair with_b, with_c;
    struct match_scores s;
    assert_int_equal(match_pair_make(&with_b, &a, &b, &sae_ops_cpu, &settings, NULL), SAE_OK);
    assert_int_equal(match_pair_make(&with_c, &a, &c, &sae_ops_cpu, &settings, NULL), SAE_OK);
    match_scores_open(&s, 2);
    assert_int_equal(match_scores_add(&s, &with_b, &a.heldout, NULL), SAE_OK);
    assert_int_equal(match_scores_add(&s, &with_c, &a.heldout, NULL), SAE_OK);
    match_scores_finish(&s);
    is_near(s.mean[MATCH_DECODER], 0.25);
    is_near((double)s.stability[MATCH_DECODER][0], 0.5);
    is_near((double)s.stability[MATCH_DECODER][1], 0);
    assert_true(isnan(s.alive) && isnan(s.mean[MATCH_FIRING]) && isnan(s.share[MATCH_FIRING][0]));
    assert_null(s.stability[MATCH_FIRING]);
    match_scores_clear(&s);
    match_pair_clear(&with_b);
    match_pair_clear(&with_c);
    clear(&a);
    clear(&b);
    clear(&c);
}

/* Three latents and one: means and shares are over the one pair, two latents have no partner. Alone: NaN. */
static void test_unequal_and_alone(void **state)
{
    (void)state;
    const float A[6] = {1, 0, 0.8F, 0.6F, 0, 1}, B[2] = {0, 1};
    const unsigned fires_a[3] = {1, 2, 4}, fires_b[1] = {4};
    struct sae_ckpt a = make(3, A, A, fires_a), b = make(1, B, B, fires_b);
    struct match_pair pair;
    struct match_scores s;
    assert_int_equal(match_pair_make(&pair, &a, &b, &sae_ops_cpu, &settings, NULL), SAE_OK);
    is_near(pair.of[MATCH_DECODER].mean, 1);
    is_near(pair.share[MATCH_DECODER][1], 1);
    is_near(pair.agree, 1);
    is_near(pair.of[MATCH_FIRING].mean, 1);
    assert_int_equal(pair.of[MATCH_DECODER].partner[0], SAE_MATCH_NONE);
    match_scores_open(&s, 3);
    match_scores_finish(&s);
    assert_true(isnan(s.mean[MATCH_DECODER]) && isnan(s.agree) && isnan(s.gap) && isnan(s.alive));
    match_scores_clear(&s);
    match_pair_clear(&pair);
    clear(&a);
    clear(&b);
}

/* W_dec of now: (1, 0), (0.6, 0.8), (0, 0); at the end (0.92, 0.392), (1, 0), (0, 1): cosines 0.92, 0.6, 0:
 * mean 1.52 / 3, one of three within 0.9. */
static void test_final(void **state)
{
    (void)state;
    const float now[6] = {1, 0, 0.6F, 0.8F, 0, 0},
                last[6] = {0.92F, 0.39191836F, 1, 0, 0, 1};
    struct sae_ckpt a = make(3, now, now, NULL), b = make(3, last, last, NULL);
    struct match_scores s;
    match_scores_open(&s, 3);
    assert_true(isnan(s.final_share));
    assert_int_equal(match_scores_final(&s, &a.model, &b.model, NULL), SAE_OK);
    is_near(s.final_mean, 1.52 / 3);
    is_near(s.final_share, 1.0 / 3);
    match_scores_clear(&s);
    clear(&a);
    clear(&b);
}

/* Random rows have the spectrum of the rows that they are like, and stay in their span; lengths that are
 * made 1 move it a little. A seed gives the same bits, another stream others. */
static void test_random(void **state)
{
    (void)state;
    enum { M = 6000, D = 40, SPAN = 30 };
    static float W[M * D], X[M * D], Y[M * D];
    struct sae_rng rng = sae_rng_make(1, SAE_RNG_TEST);
    double of_w[D] = {0}, of_x[D] = {0};
    for (size_t j = 0; j < M; j++)
        for (size_t i = 0; i < SPAN; i++)
            W[j * D + i] = (float)(sae_rng_normal(&rng) * (i < 10 ? 2 : 1));
    match_unit_rows(W, M, D, W);
    assert_int_equal(match_random_rows(X, M, D, W, 7, 0, &sae_ops_cpu, NULL), SAE_OK);
    assert_int_equal(match_random_rows(Y, M, D, W, 7, 0, &sae_ops_cpu, NULL), SAE_OK);
    assert_memory_equal(X, Y, sizeof X);
    assert_int_equal(match_random_rows(Y, M, D, W, 7, 1, &sae_ops_cpu, NULL), SAE_OK);
    assert_memory_not_equal(X, Y, sizeof X);
    for (size_t j = 0; j < M; j++) {
        double sq = 0;
        for (size_t i = 0; i < D; i++) {
            of_w[i] += (double)W[j * D + i] * (double)W[j * D + i] / M;
            of_x[i] += (double)X[j * D + i] * (double)X[j * D + i] / M;
            sq += (double)X[j * D + i] * (double)X[j * D + i];
        }
        assert_true(fabs(sq - 1) < 1e-6);
    }
    for (size_t i = 0; i < D; i++)
        assert_true(fabs(of_w[i] - of_x[i]) <= 0.12 * of_w[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand), cmocka_unit_test(test_dead_and_two_others),
        cmocka_unit_test(test_unequal_and_alone), cmocka_unit_test(test_final),
        cmocka_unit_test(test_random)};
    return cmocka_run_group_tests_name("match_scores", tests, NULL, NULL);
}
