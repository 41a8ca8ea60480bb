/* SPDX-License-Identifier: MIT */
/* Tests of lib/sae/ckpt: everything a checkpoint holds comes back, and what cannot be is refused.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "lib/sae/ckpt.h"

enum { D = 3, M = 5 };

static char dir[] = "/tmp/saekit-ckpt-XXXXXX";
static char path[64], other[64];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/ckpt_50.h5", dir);
    snprintf(other, sizeof other, "%s/other.h5", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

/* A checkpoint over static arrays: nothing to free but the JSON. */
struct sample {
    struct sae_ckpt ckpt;
    float W_enc[M * D], W_dec[M * D], b_enc[M], b_dec[D];
    uint64_t start[4];
    uint32_t idx[5];
    float val[5];
    char *names[2];
    double step[3], loss[3], *values[2];
    uint32_t i[2], j[2];
    uint8_t kind[2];
    float c[4], nhat[4], cosine[4];
    double pair_step[2];
};

static void fill(struct sample *s)
{
    *s = (struct sample){.start = {0, 2, 2, 5},
                         .idx = {1, 4, 0, 2, 3},
                         .val = {1, 2, 3, 4, 5},
                         .names = {(char *)"step", (char *)"loss"},
                         .step = {1, 10, 20},
                         .loss = {5, NAN, 3},
                         .i = {0, 1},
                         .j = {2, 3},
                         .kind = {0, 2},
                         .c = {1, 0, 0.5F, 0},
                         .nhat = {0.25F, 0, 0.125F, 0},
                         .cosine = {-1, 0.5F, 0, 0.25F},
                         .pair_step = {10, 20}};
    for (size_t a = 0; a < M * D; a++) {
        s->W_enc[a] = (float)a * 0.5F;
        s->W_dec[a] = -(float)a;
    }
    s->b_enc[4] = 7;
    s->b_dec[2] = 8;
    s->values[0] = s->step;
    s->values[1] = s->loss;
    s->ckpt = (struct sae_ckpt){
        .model = {.arch = SAE_ARCH_TOPK,
                  .d = D,
                  .m = M,
                  .k = 2,
                  .subtract_b_dec = true,
                  .W_enc = s->W_enc,
                  .W_dec = s->W_dec,
                  .b_enc = s->b_enc,
                  .b_dec = s->b_dec},
        .step = 20,
        .total_steps = 40,
        .seed = 42,
        .progress = 0.5,
        .record = json_pack("{s:s, s:{s:s}}", "program", "test", "options", "orth", "none"),
        .heldout_metrics = json_pack("{s:f, s:f, s:n}", "loss", 1.5, "l0", 2.0, "mse"),
        .heldout = {3, s->start, s->idx, s->val},
        .series = {2, 3, s->names, s->values},
        .pairs = {2, 2, s->i, s->j, s->kind, s->c, s->nhat, s->cosine, s->pair_step}};
}

static void drop(struct sample *s)
{
    json_decref(s->ckpt.record);
    json_decref(s->ckpt.heldout_metrics);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct sample s;
    struct sae_ckpt back;
    struct sae_err err = {0};
    fill(&s);
    if (sae_ckpt_save(path, &s.ckpt, false, &err) != SAE_OK ||
        sae_ckpt_load(&back, path, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(back.path, path);
    assert_int_equal(strlen(back.id), 64);
    assert_int_equal(back.model.arch, SAE_ARCH_TOPK);
    assert_int_equal(back.model.k, 2);
    assert_true(back.model.subtract_b_dec);
    assert_memory_equal(back.model.W_enc, s.W_enc, sizeof s.W_enc);
    assert_memory_equal(back.model.W_dec, s.W_dec, sizeof s.W_dec);
    assert_memory_equal(back.model.b_enc, s.b_enc, sizeof s.b_enc);
    assert_memory_equal(back.model.b_dec, s.b_dec, sizeof s.b_dec);
    assert_null(back.model.threshold);
    assert_int_equal(back.step, 20);
    assert_int_equal(back.total_steps, 40);
    assert_int_equal(back.seed, 42);
    assert_true(fabs(back.progress - 0.5) < 1e-15);
    assert_string_equal(sae_json_str(back.record, "options.orth", ""), "none");
    assert_true(fabs(sae_json_real(back.heldout_metrics, "loss", 0) - 1.5) < 1e-15);
    assert_null(json_object_get(back.heldout_metrics, "mse"));
    assert_int_equal(back.heldout.n_rows, 3);
    assert_memory_equal(back.heldout.start, s.start, sizeof s.start);
    assert_memory_equal(back.heldout.idx, s.idx, sizeof s.idx);
    assert_memory_equal(back.heldout.val, s.val, sizeof s.val);
    assert_int_equal(back.series.n_points, 3);
    assert_memory_equal(sae_ckpt_series(&back, "step"), s.step, sizeof s.step);
    assert_true(isnan(sae_ckpt_series(&back, "loss")[1]));
    assert_null(sae_ckpt_series(&back, "no such"));
    assert_int_equal(back.pairs.n, 2);
    assert_int_equal(back.pairs.n_logged, 2);
    assert_memory_equal(back.pairs.kind, s.kind, sizeof s.kind);
    assert_memory_equal(back.pairs.cos, s.cosine, sizeof s.cosine);
    assert_memory_equal(back.pairs.step, s.pair_step, sizeof s.pair_step);
    assert_int_equal(sae_ckpt_save(path, &s.ckpt, false, &err), SAE_EARG);
    sae_ckpt_clear(&back);
    drop(&s);
}

/* Saves a spoilt sample and expects loading to fail so, with words that name the fault. */
static void refused(struct sample *s, enum sae_status status, const char *words)
{
    struct sae_ckpt back = {0};
    struct sae_err err = {0};
    assert_int_equal(sae_ckpt_save(other, &s->ckpt, true, &err), SAE_OK);
    assert_int_equal(sae_ckpt_load(&back, other, &err), status);
    if (!strstr(err.msg, words))
        fail_msg("'%s' does not say '%s'", err.msg, words);
    assert_null(back.path);
    drop(s);
}

static void test_refusals(void **state)
{
    (void)state;
    struct sample s;
    struct sae_ckpt back = {0};
    struct sae_err err = {0};
    fill(&s);
    s.W_dec[7] = NAN;
    refused(&s, SAE_EFORMAT, "W_dec");
    fill(&s);
    s.b_enc[0] = INFINITY;
    refused(&s, SAE_EFORMAT, "b_enc");
    fill(&s);
    s.idx[3] = M;
    refused(&s, SAE_EFORMAT, "/heldout");
    fill(&s);
    s.idx[1] = 1; /* not ascending */
    refused(&s, SAE_EFORMAT, "/heldout");
    fill(&s);
    s.ckpt.model.arch = SAE_ARCH_TOPK;
    s.ckpt.model.k = 0;
    refused(&s, SAE_EFORMAT, "k = 0");
    fill(&s);
    s.j[1] = M;
    refused(&s, SAE_EFORMAT, "pair 1");
    fill(&s);
    s.ckpt.model.arch = SAE_ARCH_JUMPRELU; /* its thresholds are missing */
    refused(&s, SAE_EFORMAT, "threshold");
    snprintf(other, sizeof other, "%s/missing.h5", dir);
    assert_int_equal(sae_ckpt_load(&back, other, &err), SAE_EIO);
}

/* Without held-out rows, series and pairs a file is still a checkpoint. */
static void test_bare(void **state)
{
    (void)state;
    struct sample s;
    struct sae_ckpt back;
    struct sae_err err = {0};
    fill(&s);
    s.ckpt.heldout = (struct sae_masks){0};
    s.ckpt.series = (struct sae_series){0};
    s.ckpt.pairs.n = 0;
    snprintf(other, sizeof other, "%s/bare.h5", dir);
    assert_int_equal(sae_ckpt_save(other, &s.ckpt, true, &err), SAE_OK);
    assert_int_equal(sae_ckpt_load(&back, other, &err), SAE_OK);
    assert_int_equal(back.heldout.n_rows, 0);
    assert_int_equal(back.series.n_columns, 0);
    assert_int_equal(json_object_size(back.heldout_metrics), 0);
    sae_ckpt_clear(&back);
    drop(&s);
}

/* Sizes in the attributes that the arrays do not have. */
static void test_shapes(void **state)
{
    (void)state;
    struct sample s;
    struct sae_h5 *file = NULL;
    struct sae_ckpt back = {0};
    struct sae_err err = {0};
    fill(&s);
    snprintf(other, sizeof other, "%s/shape.h5", dir);
    assert_int_equal(sae_h5_create(&file, other, "checkpoint", true, &err), SAE_OK);
    static const char *const numbers[] = {"d", "m", "k", "step", "total_steps", "seed"};
    const uint64_t values[] = {D, M + 1, 2, 20, 40, 42};
    assert_int_equal(sae_h5_attr_put_str(file, "/", "arch", "topk", &err), SAE_OK);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(sae_h5_attr_put_u64(file, "/", numbers[i], values[i], &err), SAE_OK);
    assert_int_equal(sae_h5_attr_put_f64(file, "/", "progress", 0.5, &err), SAE_OK);
    assert_int_equal(sae_h5_put2(file, "/W_enc", SAE_H5_F32, M, D, s.W_enc, &err), SAE_OK);
    assert_int_equal(sae_h5_commit(&file, "{}", &err), SAE_OK);
    assert_int_equal(sae_ckpt_load(&back, other, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "W_enc"));
    /* another kind of file */
    assert_int_equal(sae_h5_create(&file, other, "words", true, &err), SAE_OK);
    assert_int_equal(sae_h5_commit(&file, "{}", &err), SAE_OK);
    assert_int_equal(sae_ckpt_load(&back, other, &err), SAE_EFORMAT);
    drop(&s);
}

/* Numbers that no SAE has, which would go on into the settings of other packages. */
static void test_impossible(void **state)
{
    (void)state;
    static const struct {
        uint64_t k, step;
        double progress;
        const char *says;
    } cases[] = {{M + 1, 1, 0.5, "keeps k"},
                 {UINT64_MAX, 1, 0.5, "keeps k"},
                 {2, 1, NAN, "progress"},
                 {2, 1, 1.5, "progress"},
                 {2, 1, -0.5, "progress"},
                 {2, UINT64_MAX, 0.5, "step"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample s;
        struct sae_ckpt back = {0};
        struct sae_err err = {0};
        fill(&s);
        s.ckpt.model.k = (size_t)cases[i].k;
        s.ckpt.step = cases[i].step;
        s.ckpt.progress = cases[i].progress;
        snprintf(other, sizeof other, "%s/impossible_%zu.h5", dir, i);
        assert_int_equal(sae_ckpt_save(other, &s.ckpt, true, &err), SAE_OK);
        assert_int_equal(sae_ckpt_load(&back, other, &err), SAE_EFORMAT);
        assert_non_null(strstr(err.msg, cases[i].says));
        sae_ckpt_clear(&back);
        drop(&s);
    }
}

/* Seeds of 64 bits go into results of signed integers. */
static void test_whole(void **state)
{
    (void)state;
    json_t *small = sae_json_whole(INT64_MAX), *large = sae_json_whole(UINT64_MAX);
    assert_true(json_is_integer(small) && json_integer_value(small) == INT64_MAX);
    assert_string_equal(json_string_value(large), "18446744073709551615");
    json_decref(small);
    json_decref(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_refusals), cmocka_unit_test(test_bare),
                                       cmocka_unit_test(test_shapes),
                                       cmocka_unit_test(test_impossible),
                                       cmocka_unit_test(test_whole)};
    return cmocka_run_group_tests_name("ckpt", tests, setup, teardown);
}
