/* SPDX-License-Identifier: MIT */
/* test_model : encode and decode of every architecture at numbers worked by hand.
 *
 *   W_enc = (1 0; 0 1; 1 1)   b_dec = (1, -1)   b_enc = (0, 1/2, -1)   x = (3, 1)
 *   x - b_dec = (2, 2), so z = (2, 2.5, 3); where b_dec is not subtracted z = (3, 1.5, 3)
 *   W_dec = (1 0; 0 2; 1 1) */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/sae/model.h"
#include "tests/emu/test_device.h"

static void make(struct sae_model *model, enum sae_arch arch, size_t k)
{
    static const float W_enc[] = {1, 0, 0, 1, 1, 1}, W_dec[] = {1, 0, 0, 2, 1, 1};
    static const float b_dec[] = {1, -1}, b_enc[] = {0, 0.5f, -1};
    assert_int_equal(sae_model_alloc(model, arch, 2, 3, k, NULL), SAE_OK);
    memcpy(model->W_enc, W_enc, sizeof W_enc);
    memcpy(model->W_dec, W_dec, sizeof W_dec);
    memcpy(model->b_dec, b_dec, sizeof b_dec);
    if (model->b_enc)
        memcpy(model->b_enc, b_enc, sizeof b_enc);
}

static bool tried[64]; /* architectures that were expected something of */

/* Encodes the same x twice, as two tokens; expects `n` latents of each; then decodes. */
static void expect(const struct sae_model *model, size_t n, const uint32_t *idx, const float *val,
                   float xhat0, float xhat1)
{
    const struct sae_ops *const device = test_device(); /* its memory is closed to the host */
    const struct sae_ops *const backends[] = {&sae_ops_ref, &sae_ops_cpu, device};
    const float x[] = {3, 1, 3, 1};
    tried[model->arch] = true;
    for (size_t b = 0; b < 3; b++) {
        struct sae_coder *coder = NULL;
        const struct sae_csr *f = NULL;
        float xhat[4];
        assert_int_equal(sae_coder_open(&coder, model, backends[b], 2, NULL), SAE_OK);
        assert_int_equal(sae_coder_encode(coder, x, 2, &f, NULL), SAE_OK);
        assert_int_equal(f->n, 2);
        for (size_t t = 0; t < 2; t++) {
            assert_int_equal(f->start[t + 1] - f->start[t], n);
            for (size_t e = 0; e < n; e++) {
                assert_int_equal(f->idx[f->start[t] + e], idx[e]);
                assert_true(fabsf(f->val[f->start[t] + e] - val[e]) < 1e-6f);
            }
        }
        assert_int_equal(sae_coder_decode(coder, f, xhat, NULL), SAE_OK);
        for (size_t t = 0; t < 2; t++) {
            assert_true(fabsf(xhat[2 * t] - xhat0) < 1e-6f);
            assert_true(fabsf(xhat[2 * t + 1] - xhat1) < 1e-6f);
        }
        sae_coder_close(coder);
    }
}

static void test_topk(void **state)
{
    (void)state;
    struct sae_model model;
    make(&model, SAE_ARCH_TOPK, 2);
    /* xhat = (1, -1) + 2.5 (0, 2) + 3 (1, 1) */
    expect(&model, 2, (const uint32_t[]){1, 2}, (const float[]){2.5f, 3}, 4, 7);
    sae_model_clear(&model);
}

static void test_standard(void **state)
{
    (void)state;
    struct sae_model model;
    make(&model, SAE_ARCH_STANDARD, 0);
    expect(&model, 3, (const uint32_t[]){0, 1, 2}, (const float[]){2, 2.5f, 3}, 6, 7);
    assert_null(model.threshold);
    assert_null(model.r_mag);
    sae_model_clear(&model);
}

static void one_threshold(enum sae_arch arch)
{
    struct sae_model model;
    make(&model, arch, 1);
    /* z = threshold is not above it */
    memcpy(model.threshold, (const float[]){2, 1, 3.5f}, 3 * sizeof(float));
    expect(&model, 1, (const uint32_t[]){1}, (const float[]){2.5f}, 1, 4);
    /* a threshold not yet set, -1: all that is positive, more than k of them */
    memcpy(model.threshold, (const float[]){-1, -1, -1}, 3 * sizeof(float));
    expect(&model, 3, (const uint32_t[]){0, 1, 2}, (const float[]){2, 2.5f, 3}, 6, 7);
    sae_model_clear(&model);
}

static void test_batchtopk(void **state)
{
    (void)state;
    one_threshold(SAE_ARCH_BATCHTOPK);
    one_threshold(SAE_ARCH_MATRYOSHKA);
}

static void test_jumprelu(void **state)
{
    (void)state;
    struct sae_model model;
    make(&model, SAE_ARCH_JUMPRELU, 1);
    memcpy(model.threshold, (const float[]){2.9f, 1.5f, 0}, 3 * sizeof(float));
    assert_false(model.subtract_b_dec);
    /* xhat = (1, -1) + 3 (1, 0) + 3 (1, 1) */
    expect(&model, 2, (const uint32_t[]){0, 2}, (const float[]){3, 3}, 7, 2);
    model.subtract_b_dec = true; /* z = (2, 2.5, 3) */
    expect(&model, 2, (const uint32_t[]){1, 2}, (const float[]){2.5f, 3}, 4, 7);
    sae_model_clear(&model);
}

static void test_gated(void **state)
{
    (void)state;
    struct sae_model model;
    make(&model, SAE_ARCH_GATED, 0);
    assert_null(model.b_enc);
    /* u = (2, 2, 4); gates 0, 1, 5; magnitudes 2, 2*2 + 0.5, 4 - 5 */
    memcpy(model.b_gate, (const float[]){-2, -1, 1}, 3 * sizeof(float));
    memcpy(model.r_mag, (const float[]){0, logf(2), 0}, 3 * sizeof(float));
    memcpy(model.b_mag, (const float[]){0, 0.5f, -5}, 3 * sizeof(float));
    expect(&model, 1, (const uint32_t[]){1}, (const float[]){4.5f}, 1, 8);
    sae_model_clear(&model);
}

/* A row without numbers worked by hand above is not tested. */
static void test_all_tried(void **state)
{
    (void)state;
    for (size_t a = 0; a < sae_arch_count(); a++)
        if (!tried[a])
            fail_msg("nothing is expected of '%s' here", sae_arch_name((enum sae_arch)a));
}

static void test_refusals(void **state)
{
    (void)state;
    struct sae_model model;
    struct sae_coder *coder = NULL;
    const struct sae_csr *f = NULL;
    struct sae_err err = {SAE_OK, ""};
    const float x[4] = {0};
    make(&model, SAE_ARCH_TOPK, 2);
    assert_int_equal(sae_coder_open(&coder, &model, &sae_ops_cpu, 0, &err), SAE_EARG);
    assert_int_equal(sae_coder_open(&coder, &model, &sae_ops_cpu, 1, &err), SAE_OK);
    assert_int_equal(sae_coder_encode(coder, x, 2, &f, &err), SAE_EARG);
    assert_null(f);
    sae_coder_close(coder);
    for (size_t n = 1; n < 50; n++) { /* each allocation fails in turn, nothing leaks */
        coder = NULL;
        sae_mem_fail_after(n);
        const enum sae_status st = sae_coder_open(&coder, &model, &sae_ops_cpu, 1, &err);
        sae_mem_fail_after(0);
        sae_coder_close(coder);
        if (st == SAE_OK) {
            assert_true(n > 4);
            break;
        }
        assert_int_equal(st, SAE_ENOMEM);
        assert_null(coder);
    }
    sae_model_clear(&model);
}

/* A dictionary so wide that the batch is encoded in pieces: latent i is x . (its own phase). */
static void test_pieces(void **state)
{
    (void)state;
    enum { M = 1 << 20, N = 70, K = 3 };
    struct sae_model model;
    struct sae_coder *coder = NULL;
    const struct sae_csr *f = NULL;
    float x[N];
    assert_int_equal(sae_model_alloc(&model, SAE_ARCH_TOPK, 1, M, K, NULL), SAE_OK);
    for (size_t j = 0; j < M; j++)
        model.W_enc[j] = (float)(j * 7919 % M) - M / 2; /* each value once: 7919 is odd */
    for (size_t t = 0; t < N; t++)
        x[t] = t % 2 ? 1 : -1;
    assert_int_equal(sae_coder_open(&coder, &model, &sae_ops_cpu, N, NULL), SAE_OK);
    assert_int_equal(sae_coder_encode(coder, x, N, &f, NULL), SAE_OK);
    for (size_t t = 0; t < N; t++) {
        assert_int_equal(f->start[t], t * K);
        float sum = 0;
        for (size_t e = t * K; e < (t + 1) * K; e++)
            sum += f->val[e];
        /* the largest of -M/2 ... M/2 - 1, or of their negatives */
        assert_true(sum == (t % 2 ? 3 * (M / 2) - 6 : 3 * (M / 2) - 3));
    }
    assert_int_equal(f->start[N], N * K);
    sae_coder_close(coder);
    sae_model_clear(&model);
}

int main(int argc, char **argv)
{
    const int end = test_device_open(argc, argv);
    if (end != 0)
        return end;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topk),      cmocka_unit_test(test_standard),
        cmocka_unit_test(test_batchtopk), cmocka_unit_test(test_jumprelu),
        cmocka_unit_test(test_gated),     cmocka_unit_test(test_all_tried),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
