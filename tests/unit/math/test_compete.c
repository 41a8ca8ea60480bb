/* SPDX-License-Identifier: MIT */
/* test_compete : co-activation counts, and which pairs compete as the term sees them.
 *
 * The example, four tokens and four latents, worked by hand:
 *   active   t0 {0, 1}   t1 {0, 1, 2}   t2 {0, 2}   t3 {1, 3}
 *   n_i      3, 3, 2, 1            n_01 = 2   n_02 = 2   n_12 = 1   n_13 = 1, others 0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/math/ops.h"

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-12)
#define NEAR_F(a, b) assert_true(fabs((double)(a) - (b)) < 1e-7)

static size_t ex_start[] = {0, 2, 5, 7, 9};
static uint32_t ex_idx[] = {0, 1, 0, 1, 2, 0, 2, 1, 3};
static float ex_val[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
static const struct sae_csr example = {4, 9, ex_start, ex_idx, ex_val};

static struct sae_csc csc_of(const struct sae_csr *csr, size_t m)
{
    struct sae_csc csc;
    assert_int_equal(sae_csc_alloc(&csc, &sae_ops_ref, m, csr->start[csr->n], NULL), SAE_OK);
    sae_ops_ref.transpose(m, csr, &csc);
    return csc;
}

static const struct sae_compete_rule rule_04 = {SAE_OVERLAP_OVERLAP, SAE_COMPETE_LINEAR,
                                                .sharpness = 4, .tau = 0.4, .min_count = 2};

static void test_values(void **state)
{
    (void)state;
    NEAR(sae_overlap_value(SAE_OVERLAP_OVERLAP, 4, 3, 2, 2), 1);
    NEAR(sae_overlap_value(SAE_OVERLAP_OVERLAP, 4, 3, 3, 2), 2.0 / 3);
    NEAR(sae_overlap_value(SAE_OVERLAP_JACCARD, 4, 3, 3, 2), 0.5);
    NEAR(sae_overlap_value(SAE_OVERLAP_COSINE, 4, 3, 2, 2), 2 / sqrt(6));
    NEAR(sae_overlap_value(SAE_OVERLAP_LIFT, 4, 3, 2, 2), 4.0 / 3);
    NEAR(sae_overlap_value(SAE_OVERLAP_BATCH, 4, 3, 2, 2), 0.5);
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) /* no 0/0 for latents that never fire */
        NEAR(sae_overlap_value((enum sae_overlap)kind, 4, 0, 0, 0), 0);
    assert_string_equal(sae_overlap_names[SAE_OVERLAP_LIFT], "lift");
    assert_null(sae_overlap_names[SAE_OVERLAP_N]);
}

static void test_compete(void **state)
{
    (void)state;
    NEAR(sae_compete_value(SAE_COMPETE_LINEAR, 4, 0.15, 0.1), 0.5);
    NEAR(sae_compete_value(SAE_COMPETE_LINEAR, 4, 0.1, 0.1), 0);
    NEAR(sae_compete_value(SAE_COMPETE_LINEAR, 4, 0.05, 0.1), 0);
    NEAR(sae_compete_value(SAE_COMPETE_LINEAR, 4, 0.9, 0.1), 1);
    NEAR(sae_compete_value(SAE_COMPETE_SIGMOID, 4, 0.1, 0.1), 0.5);
    NEAR(sae_compete_value(SAE_COMPETE_SIGMOID, 4, 0.2, 0.1), 1 / (1 + exp(-4)));
    NEAR(sae_compete_value(SAE_COMPETE_SIGMOID, 4, 0, 0.1), 0); /* never together */
    assert_string_equal(sae_compete_names[SAE_COMPETE_SIGMOID], "sigmoid");
}

/* c_ij [m][m] as orth_masks weighs them: rows of 1 at their own place and at the last, so that every
 * product of two is 1 and the gradient holds the coefficients. */
static float *coefficients(const struct sae_ops *ops, size_t m,
                           const struct sae_overlap_masks *masks,
                           const struct sae_compete_rule *rule)
{
    float *W = NULL, *G = NULL, *c = NULL;
    double sum[5], loss = 0;
    assert_int_equal(sae_mem_alloc(&W, m * (m + 1), sizeof *W, NULL), SAE_OK);
    assert_int_equal(sae_mem_alloc(&G, m * (m + 1), sizeof *G, NULL), SAE_OK);
    assert_int_equal(sae_mem_alloc(&c, m * m, sizeof *c, NULL), SAE_OK);
    for (size_t i = 0; i < m; i++)
        W[i * (m + 1) + i] = W[i * (m + 1) + m] = 1;
    ops->orth_masks(m, m + 1, W, masks, rule, 1, false, NULL, G, NULL, sum);
    size_t n = 0;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++) {
            c[i * m + j] = G[i * (m + 1) + j];
            n += i < j && c[i * m + j] > 0;
            loss += i < j ? (double)c[i * m + j] : 0;
        }
    assert_int_equal(sum[1], n);
    assert_int_equal(sum[4], 2 * n);
    assert_true(fabs(sum[0] - loss) < 1e-6 * (1 + loss));
    free(W);
    free(G);
    return c;
}

static void check_example(const struct sae_overlap_masks *masks,
                          const struct sae_compete_rule *rule, const double want[16])
{
    const struct sae_ops *const all[] = {&sae_ops_ref, &sae_ops_cpu};
    for (size_t o = 0; o < 2; o++) {
        float *const c = coefficients(all[o], 4, masks, rule);
        for (size_t e = 0; e < 16; e++)
            NEAR_F(c[e], want[e]);
        free(c);
    }
}

static void test_pairs_example(void **state)
{
    (void)state;
    struct sae_csc csc = csc_of(&example, 4);
    const struct sae_csr *const rows = &example;
    const struct sae_csc *const cols = &csc;
    const double one = 1;
    const struct sae_overlap_masks masks = {1, &rows, &cols, &one};
    struct sae_compete_rule rule = rule_04;
    /* 0-1: (2/3 - 0.4)/0.4 = 2/3; 0-2: clipped to 1; 1-2: (1/2 - 0.4)/0.4 = 1/4; 3 fires once */
    check_example(&masks, &rule,
                  (const double[]){0, 2.0 / 3, 1, 0, 2.0 / 3, 0, 0.25, 0, 1, 0.25, 0, 0, 0, 0, 0, 0});
    /* with the rare latent and a threshold of 0.6: 1-2 is out, 1-3 in */
    rule.tau = 0.6;
    rule.min_count = 1;
    const double near = (2.0 / 3 - 0.6) / 0.6, far = 2.0 / 3;
    check_example(&masks, &rule,
                  (const double[]){0, near, far, 0, near, 0, 0, far, far, 0, 0, 0, 0, far, 0, 0});
    sae_csc_free(&csc, &sae_ops_ref);
}

/* Two batches of the example, weights 1 and 1/2: counts 1.5 times as large, B = 6. */
static void test_pairs_weighted(void **state)
{
    (void)state;
    struct sae_csc csc = csc_of(&example, 4);
    const struct sae_csr *const rows[] = {&example, &example};
    const struct sae_csc *const cols[] = {&csc, &csc};
    const double weight[] = {1, 0.5};
    const struct sae_overlap_masks masks = {2, rows, cols, weight};
    struct sae_compete_rule rule = rule_04;
    rule.overlap = SAE_OVERLAP_LIFT; /* B n_ij / (n_i n_j) does not change with the scale */
    rule.tau = 0.8;
    rule.min_count = 3; /* latent 2 has 2 * 1.5 = 3, latent 3 has 1.5 */
    /* lift 0-1: 4*2/9 = 8/9, c = 1/9; 0-2: 4*2/6 = 4/3, c = 2/3; 1-2: 4/6, below */
    check_example(&masks, &rule,
                  (const double[]){0, 1.0 / 9, 2.0 / 3, 0, 1.0 / 9, 0, 0, 0, 2.0 / 3, 0, 0, 0, 0, 0,
                                   0, 0});
    sae_csc_free(&csc, &sae_ops_ref);
}

struct seen {
    size_t n;
    uint32_t i[16], j[16];
    double n_i[16], n_j[16], n_ij[16];
};

static void see(void *user, uint32_t i, uint32_t j, double n_i, double n_j, double n_ij)
{
    struct seen *const s = user;
    assert_true(s->n < 16);
    s->i[s->n] = i;
    s->j[s->n] = j;
    s->n_i[s->n] = n_i;
    s->n_j[s->n] = n_j;
    s->n_ij[s->n++] = n_ij;
}

static void test_visit(void **state)
{
    (void)state;
    struct sae_csc csc = csc_of(&example, 4);
    const struct sae_csr *const rows[] = {&example, &example};
    const struct sae_csc *const cols[] = {&csc, &csc};
    const double weight[] = {1, 0.5};
    for (size_t n_batches = 1; n_batches <= 2; n_batches++) {
        const struct sae_overlap_masks masks = {n_batches, rows, cols, weight};
        const double w = n_batches == 1 ? 1 : 1.5;
        const uint32_t i[] = {0, 0, 1, 1}, j[] = {1, 2, 2, 3};
        const double n_i[] = {3, 3, 3, 3}, n_j[] = {3, 2, 2, 1}, n_ij[] = {2, 2, 1, 1};
        struct seen s = {0};
        assert_int_equal(sae_overlap_visit(4, &masks, see, &s, NULL), SAE_OK);
        assert_int_equal(s.n, 4);
        for (size_t p = 0; p < 4; p++) {
            assert_int_equal(s.i[p], i[p]);
            assert_int_equal(s.j[p], j[p]);
            NEAR(s.n_i[p], w * n_i[p]);
            NEAR(s.n_j[p], w * n_j[p]);
            NEAR(s.n_ij[p], w * n_ij[p]);
        }
    }
    sae_csc_free(&csc, &sae_ops_ref);
}

/* Random masks of n tokens with k of m latents each, low latents more often. */
static struct sae_csr random_masks(uint64_t seed, size_t n, size_t m, size_t k)
{
    struct sae_rng rng = sae_rng_make(seed, SAE_RNG_TEST);
    float *pre = NULL, *zero = NULL;
    struct sae_csr csr;
    assert_int_equal(sae_mem_alloc(&pre, n * m, sizeof *pre, NULL), SAE_OK);
    assert_int_equal(sae_mem_alloc(&zero, m, sizeof *zero, NULL), SAE_OK);
    assert_int_equal(sae_csr_alloc(&csr, &sae_ops_ref, n, n * k, NULL), SAE_OK);
    for (size_t e = 0; e < n * m; e++)
        pre[e] = (float)(sae_rng_uniform(&rng) / (double)(1 + e % m));
    sae_ops_ref.topk(n, m, k, pre, zero, &csr);
    free(pre);
    free(zero);
    return csr;
}

static bool has(const struct sae_csr *csr, size_t t, size_t latent)
{
    for (size_t e = csr->start[t]; e < csr->start[t + 1]; e++)
        if (csr->idx[e] == latent)
            return true;
    return false;
}

/* n_ij by looking at every token, for two weighted batches. */
static double count_plain(const struct sae_csr csr[2], const double weight[2], size_t i, size_t j)
{
    double n = 0;
    for (size_t b = 0; b < 2; b++)
        for (size_t t = 0; t < csr[b].n; t++)
            n += weight[b] * (has(&csr[b], t, i) && has(&csr[b], t, j));
    return n;
}

static void test_pairs_random(void **state)
{
    (void)state;
    enum { M = 150 };
    struct sae_csr csr[2] = {random_masks(1, 60, M, 9), random_masks(2, 37, M, 5)};
    struct sae_csc csc[2] = {csc_of(&csr[0], M), csc_of(&csr[1], M)};
    const struct sae_csr *const rows[] = {&csr[0], &csr[1]};
    const struct sae_csc *const cols[] = {&csc[0], &csc[1]};
    const double weight[] = {1, 0.75};
    const struct sae_overlap_masks masks = {2, rows, cols, weight};
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        const struct sae_compete_rule rule = {(enum sae_overlap)kind, (enum sae_compete)(kind % 2),
                                              4, 0.15, 2};
        sae_ops_threads(1);
        float *const one = coefficients(&sae_ops_cpu, M, &masks, &rule);
        size_t n = 0;
        for (size_t i = 0; i < M; i++) {
            for (size_t j = 0; j < M; j++) {
                const double n_i = count_plain(csr, weight, i, i);
                const double n_j = count_plain(csr, weight, j, j);
                const double n_ij = count_plain(csr, weight, i, j);
                const bool counts = i != j && n_i >= 2 && n_j >= 2 && n_ij > 0;
                const double B = 60 + 0.75 * 37;
                const double c = sae_compete_value(
                    rule.form, 4, sae_overlap_value(rule.overlap, B, n_i, n_j, n_ij), 0.15);
                NEAR_F(one[i * M + j], counts ? c : 0);
                n += counts && c > 0;
            }
        }
        assert_true(n > 20);
        sae_ops_threads(3);
        float *const three = coefficients(&sae_ops_cpu, M, &masks, &rule);
        assert_memory_equal(one, three, M * M * sizeof *one);
        free(one);
        free(three);
    }
    for (size_t b = 0; b < 2; b++) {
        sae_csr_free(&csr[b], &sae_ops_ref);
        sae_csc_free(&csc[b], &sae_ops_ref);
    }
}

/* Every allocation in turn fails: check says so, gradients are as they were, and the next call is
 * whole. */
static void out_of_memory(const struct sae_compete_rule *rule)
{
    enum { D = 5 };
    struct sae_csc csc = csc_of(&example, 4);
    const struct sae_csr *const rows = &example;
    const struct sae_csc *const cols = &csc;
    const double one = 1;
    const struct sae_overlap_masks masks = {1, &rows, &cols, &one};
    float W[4 * D], G[4 * D], out[4 * D];
    double sum[5], whole[5];
    size_t n = 1;
    for (size_t i = 0; i < (size_t)4 * D; i++)
        W[i] = (float)(i % 7);
    sae_ops_cpu.orth_masks(4, D, W, &masks, rule, 1, true, NULL, NULL, NULL, whole);
    for (bool failed = true; failed && n < 50; n++) {
        struct sae_err err = {SAE_OK, ""};
        memset(G, 0, sizeof G);
        memset(out, 0, sizeof out);
        sae_mem_fail_after(n);
        sae_ops_cpu.orth_masks(4, D, W, &masks, rule, 1, true, NULL, G, out, sum);
        sae_mem_fail_after(0);
        const enum sae_status st = sae_ops_cpu.check(&err);
        failed = st != SAE_OK;
        for (size_t i = 0; i < 5; i++)
            assert_true(failed ? isnan(sum[i]) : fabs(sum[i] - whole[i]) <= 1e-12);
        for (size_t i = 0; i < (size_t)4 * D && failed; i++)
            assert_true(fabsf(G[i]) + fabsf(out[i]) <= 0);
        assert_true(!failed || (st == SAE_ENOMEM && strlen(err.msg) > 0));
    }
    assert_true(n > 7 && n < 50);
    sae_csc_free(&csc, &sae_ops_ref);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct sae_compete_rule rule = rule_04;
    sae_ops_threads(1);
    rule.tau = 0.9;
    out_of_memory(&rule); /* one pair: by lists */
    rule.tau = 0.01;
    rule.min_count = 1;
    out_of_memory(&rule); /* four of six: by rows */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_compete),
        cmocka_unit_test(test_pairs_example), cmocka_unit_test(test_pairs_weighted),
        cmocka_unit_test(test_visit),         cmocka_unit_test(test_pairs_random),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("compete", tests, NULL, NULL);
}
