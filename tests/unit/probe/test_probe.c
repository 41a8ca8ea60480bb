/* SPDX-License-Identifier: MIT */
/* probe : tasks, pooling, selection and scores with answers known beforehand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/eval/codes.h"
#include "lib/eval/output.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "probe/probe.h"
#include "tests/unit/fixtures/eval_fab.h"

static struct sae_err err;
#define ok(call) assert_int_equal((call), SAE_OK)

static const uint64_t ks[] = {1, 2, 5}, seeds[] = {42, 43, 44};
static const struct probe_settings usual = {.k = ks,
                                            .n_k = 3,
                                            .seeds = seeds,
                                            .n_seeds = 3,
                                            .train_size = 4000,
                                            .test_size = 1000,
                                            .batch = 64,
                                            .full = true};

/* A set of given class sizes; text t of a class is numbered through. Only labels matter. */
static struct sae_labels sized(const size_t (*sizes)[2], size_t n_classes)
{
    struct sae_labels l = {.name = (char *)"sized", .n_classes = n_classes};
    for (size_t c = 0; c < n_classes; c++)
        l.n_texts += sizes[c][0] + sizes[c][1];
    l.label = calloc(l.n_texts, sizeof *l.label);
    l.split = calloc(l.n_texts, 1);
    for (size_t c = 0, t = 0; c < n_classes; c++)
        for (size_t s = 0; s < 2; s++)
            for (size_t i = 0; i < sizes[c][s]; i++, t++) {
                l.label[t] = (uint32_t)c;
                l.split[t] = (uint8_t)s;
            }
    return l;
}

static void sized_clear(struct sae_labels *l)
{
    free(l->label);
    free(l->split);
}

static size_t of_class(const struct sae_task *task, const struct sae_labels *l, size_t from,
                       size_t n, uint32_t class)
{
    size_t count = 0;
    for (size_t i = from; i < from + n; i++)
        count += l->label[task->rows[i]] == class;
    return count;
}

/* 20 positives against 3 others of 100, 100 and 2 texts: each owes ceil(20/3) = 7; the small one
 * gives 2, and the missing 4 (20 - 16) come as ceil(4/2) = 2 from each of the large: 9 + 9 + 2. */
static void test_negatives_are_even(void **state)
{
    (void)state;
    const size_t sizes[][2] = {
        {20,  4 },
        {100, 10},
        {100, 10},
        {2,   10}
    };
    struct sae_labels l = sized(sizes, 4);
    struct sae_task_plan plan;
    struct sae_task task, again, other;
    ok(sae_task_plan_make(&plan, &l, usual.train_size, usual.test_size, &err));
    ok(sae_task_make(&task, &plan, 0, 42, &err));
    assert_int_equal(task.n_train, 40);
    assert_int_equal(task.n_test, 8);
    assert_int_equal(of_class(&task, &l, 0, 20, 0), 20);
    assert_int_equal(of_class(&task, &l, 20, 20, 1), 9);
    assert_int_equal(of_class(&task, &l, 20, 20, 2), 9);
    assert_int_equal(of_class(&task, &l, 20, 20, 3), 2);
    for (size_t i = 0; i < 48; i++) {
        assert_int_equal(l.split[task.rows[i]], i >= 40); /* no test text in training */
        assert_int_equal(task.label[i], l.label[task.rows[i]] == 0);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(task.rows[i], task.rows[j]);
    }
    ok(sae_task_make(&again, &plan, 0, 42, &err));
    ok(sae_task_make(&other, &plan, 0, 43, &err));
    assert_memory_equal(task.rows, again.rows, 48 * sizeof *task.rows);
    assert_memory_not_equal(task.rows, other.rows, 48 * sizeof *task.rows);
    assert_memory_equal(task.rows, other.rows, 20 * sizeof *task.rows); /* positives stay */
    sae_task_clear(&task);
    sae_task_clear(&again);
    sae_task_clear(&other);
    sae_task_plan_clear(&plan);
    sized_clear(&l);
}

/* 300 positives asked down to 50; and a class larger than all others together is cut to them. */
static void test_sizes(void **state)
{
    (void)state;
    const size_t sizes[][2] = {
        {300, 60},
        {30,  6 }
    };
    struct sae_labels l = sized(sizes, 2);
    struct probe_settings s = usual;
    s.train_size = 100;
    struct sae_task_plan plan;
    ok(sae_task_plan_make(&plan, &l, s.train_size, s.test_size, &err));
    assert_int_equal(plan.classes[0].n_side[0], 30);
    assert_int_equal(plan.classes[0].n_side[1], 6);
    assert_int_equal(plan.classes[1].n_side[0], 30);
    sae_task_plan_clear(&plan);
    s.train_size = 40;
    ok(sae_task_plan_make(&plan, &l, s.train_size, s.test_size, &err));
    assert_int_equal(plan.classes[0].n_side[0], 20);
    sae_task_plan_clear(&plan);
    sized_clear(&l);
}

static void test_left_out_and_refused(void **state)
{
    (void)state;
    const size_t some[][2] =
        {
            {10, 2},
            {10, 0},
            {10, 2}
    },
                 one[][2] = {{10, 2}, {0, 5}};
    struct sae_labels l = sized(some, 3);
    struct sae_task_plan plan;
    ok(sae_task_plan_make(&plan, &l, usual.train_size, usual.test_size, &err));
    assert_int_equal(plan.n_classes, 2);
    assert_int_equal(plan.n_left_out, 1);
    assert_int_equal(plan.classes[1].index, 2);
    sae_task_plan_clear(&plan);
    sized_clear(&l);
    l = sized(one, 2);
    assert_int_equal(sae_task_plan_make(&plan, &l, usual.train_size, usual.test_size, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "'sized'"));
    assert_non_null(strstr(err.msg, "at least two"));
    sized_clear(&l);
}

/* Means over positives (2, 3, 0) and negatives (1, 5, 0): differences 1, 2, 0; then a tie. */
static void test_select(void **state)
{
    (void)state;
    float x[] = {1, 3, 0, /**/ 3, 3, 0, /**/ 1, 4, 0, /**/ 1, 6, 0};
    uint32_t rows[] = {0, 1, 2, 3}, best[3];
    uint8_t label[] = {1, 1, 0, 0};
    const struct sae_task task = {.n_train = 4, .rows = rows, .label = label};
    struct sae_pool f = {.width = 3, .dense = true};
    ok(sae_codes_from_dense(&f.x, x, 4, 3, &err));
    ok(probe_select(best, 3, &f, &task, &err));
    assert_int_equal(best[0], 1);
    assert_int_equal(best[1], 0);
    assert_int_equal(best[2], 2);
    f.x.val[1] = f.x.val[4] = 4.0F; /* positives 4 against 5: now as far apart as feature 0 */
    ok(probe_select(best, 2, &f, &task, &err));
    assert_int_equal(best[0], 0);
    assert_int_equal(best[1], 1);
    sae_pool_clear(&f);
}

static char *temp_file(const char *name)
{
    static char path[256];
    char dir[] = "/tmp/saekit_probe_XXXXXX";
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void remove_temp(char *path)
{
    unlink(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
}

/* f = relu(x). Text 0 has tokens 2 and -4: mean of f is 1, though f of the mean is 0. */
static void test_pool(void **state)
{
    (void)state;
    const float x[] = {2, -4, /**/ 3, /**/ -1, -1, -1};
    uint16_t rows[6];
    sae_bf16_narrow(rows, x, 6);
    uint64_t start[] = {0, 2, 3, 6};
    uint32_t label[] = {0, 1, 0};
    uint8_t split[] = {0, 0, 0};
    char *classes[] = {(char *)"a", (char *)"b"};
    const struct sae_labels made = {.n_texts = 3,
                                    .n_rows = 6,
                                    .d = 1,
                                    .n_classes = 2,
                                    .start = start,
                                    .label = label,
                                    .split = split,
                                    .classes = classes};
    json_t *record = fab_record("t", "x", 0, 1);
    char *path = temp_file("labels_t.h5");
    ok(sae_labels_save(path, &made, rows, record, true, &err));
    struct sae_labels l;
    ok(sae_labels_open(&l, path, &err));
    struct sae_model model;
    ok(sae_model_alloc(&model, SAE_ARCH_STANDARD, 1, 1, 0, &err));
    model.W_enc[0] = model.W_dec[0] = 1.0F;
    for (size_t batch = 1; batch <= 6; batch++) { /* texts may lie across batches */
        struct sae_pool f = {0};
        ok(sae_pool_latents(&f, &l, &model, &sae_ops_ref, batch, &err));
        assert_int_equal(f.x.n, 3);
        assert_int_equal(f.x.start[3], 2);
        assert_true(f.x.val[0] == 1.0F && f.x.val[1] == 3.0F);
        assert_int_equal(f.x.start[2], 2); /* text 2 lights nothing */
        sae_pool_clear(&f);
    }
    sae_labels_close(&l);
    sae_model_clear(&model);
    json_decref(record);
    remove_temp(path);
}

/* Rows made elsewhere may hold NaN, which pooled vectors need not show: named, not averaged. */
static void test_pool_refuses_nan(void **state)
{
    (void)state;
    const float rows[] = {1, 2, NAN}, pooled[] = {1.5F, 0};
    const uint64_t start[] = {0, 2, 3};
    const uint32_t label[] = {0, 1};
    const uint8_t split[] = {0, 1};
    char *const classes[] = {(char *)"a", (char *)"b"};
    char *path = temp_file("labels_nan.h5");
    struct sae_h5 *h5 = NULL;
    ok(sae_h5_create(&h5, path, "labels", true, &err));
    ok(sae_h5_put2(h5, "/rows", SAE_H5_F32, 3, 1, rows, &err));
    ok(sae_h5_put2(h5, "/pooled", SAE_H5_F32, 2, 1, pooled, &err));
    ok(sae_h5_put1(h5, "/start", SAE_H5_U64, 3, start, &err));
    ok(sae_h5_put1(h5, "/label", SAE_H5_U32, 2, label, &err));
    ok(sae_h5_put1(h5, "/split", SAE_H5_U8, 2, split, &err));
    ok(sae_h5_put_strings(h5, "/classes", 2, classes, &err));
    ok(sae_h5_commit(&h5, "{}", &err));
    struct sae_labels l;
    ok(sae_labels_open(&l, path, &err));
    struct sae_model model;
    ok(sae_model_alloc(&model, SAE_ARCH_STANDARD, 1, 1, 0, &err));
    struct sae_pool none = {0};
    assert_int_equal(sae_pool_latents(&none, &l, &model, &sae_ops_ref, 2, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "row 2 of"));
    sae_labels_close(&l);
    sae_model_clear(&model);
    remove_temp(path);
}

/* Runs a fabricated labelled set through both sides. */
static void run_fab(struct probe_set *set, size_t n_classes, size_t n_per, size_t flipped,
                    const struct probe_settings *s)
{
    struct sae_labels l;
    uint16_t *rows;
    struct sae_ckpt ckpt;
    json_t *record = fab_record("t", "feedbeef", 3, FAB_D);
    char *path = temp_file("labels_fab.h5");
    ok(fab_labels(&l, &rows, n_classes, n_per, flipped, &err));
    ok(sae_labels_save(path, &l, rows, record, true, &err));
    ok(fab_ckpt(&ckpt, false, "../acts", &err));
    ok(probe_set_open(set, path, s, &err));
    ok(probe_set_run(set, &ckpt, &sae_ops_cpu, s, &err));
    sae_ckpt_clear(&ckpt);
    fab_labels_clear(&l, rows);
    json_decref(record);
    remove_temp(path);
}

/* Latent c is the label itself: accuracy, F1 and AUC are 1 with one latent. */
static void test_latent_is_label(void **state)
{
    (void)state;
    struct probe_set set;
    run_fab(&set, 4, 50, 0, &usual);
    assert_string_equal(set.name, "fab");
    assert_int_equal(set.n_train[0], 80);
    assert_int_equal(set.n_test[0], 20);
    for (size_t p = 0; p < 4; p++)
        for (int m = 0; m < PROBE_N_METRICS; m++) {
            const struct probe_mean got = probe_scores_mean(&set.latents, p, (enum probe_metric)m);
            assert_true(got.mean == 1.0);
            assert_true(p < 3 ? got.se == 0.0 : isnan(got.se)); /* full: the first seed only */
            assert_true(probe_scores_class(&set.latents, p, 2, (enum probe_metric)m) == 1.0);
        }
    probe_set_clear(&set);
}

/* Two of ten texts stand in the other class's dimension: one latent is right about 8 of 10. */
static void test_latent_is_mostly_label(void **state)
{
    (void)state;
    struct probe_set set;
    run_fab(&set, 2, 100, 2, &usual);
    assert_true(fabs(probe_scores_mean(&set.latents, 0, PROBE_ACCURACY).mean - 0.8) < 1e-12);
    assert_true(fabs(probe_scores_mean(&set.latents, 0, PROBE_F1).mean - 0.8) < 1e-12);
    assert_true(fabs(probe_scores_mean(&set.neurons, 0, PROBE_ACCURACY).mean - 0.8) < 1e-12);
    probe_set_clear(&set);
}

static void test_k_too_large(void **state)
{
    (void)state;
    const size_t sizes[][2] = {
        {4, 2},
        {4, 2}
    };
    struct sae_labels l = sized(sizes, 2);
    struct sae_task_plan plan;
    ok(sae_task_plan_make(&plan, &l, usual.train_size, usual.test_size, &err));
    const struct sae_pool f = {.width = 3};
    struct probe_scores scores;
    assert_int_equal(probe_scores_run(&scores, &f, &plan, &usual, "neurons", &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "k = 5"));
    assert_non_null(strstr(err.msg, "3 features"));
    sae_task_plan_clear(&plan);
    sized_clear(&l);
}

/* Scores of two classes under two seeds: class means per seed 0.7 and 0.9, so the mean is 0.8 and
 * its standard error |0.9 - 0.7| / 2 = 0.1. Over two sets, 0.8 and 0.6: per seed .65, .75. */
static void test_means(void **state)
{
    (void)state;
    struct probe_set sets[2] = {{0}};
    for (size_t i = 0; i < 2; i++)
        ok(probe_scores_alloc(&sets[i].latents, 1, 2, 2, &err));
    const double v[2][2][2] = {
        {{0.6, 0.8}, {0.8, 1.0}},
        {{0.6, 0.6}, {0.6, 0.6}}
    };
    for (size_t i = 0; i < 2; i++)
        for (size_t c = 0; c < 2; c++)
            for (size_t s = 0; s < 2; s++)
                probe_scores_at(&sets[i].latents, 0, c, s)[PROBE_ACCURACY] = v[i][c][s];
    struct probe_mean m = probe_scores_mean(&sets[0].latents, 0, PROBE_ACCURACY);
    assert_true(fabs(m.mean - 0.8) < 1e-12 && fabs(m.se - 0.1) < 1e-12);
    m = probe_sets_mean(sets, 2, true, 0, PROBE_ACCURACY);
    assert_true(fabs(m.mean - 0.7) < 1e-12 && fabs(m.se - 0.05) < 1e-12);
    assert_true(isnan(probe_scores_mean(&sets[0].latents, 0, PROBE_F1).mean));
    /* tasks of 40 and 24 test texts are 20 + 12 distinct ones: .8 .2 / 32 = .005; .6 .4 / 24 = .01 */
    size_t n_test[2][2] = {{40, 24}, {24, 24}};
    for (size_t i = 0; i < 2; i++) {
        sets[i].n_classes = 2;
        sets[i].n_test = n_test[i];
    }
    assert_true(fabs(probe_sets_texts_se(sets, 1, true, 0) - sqrt(0.005)) < 1e-12);
    assert_true(fabs(probe_sets_texts_se(sets, 2, true, 0) - sqrt(0.015) / 2) < 1e-12);
    probe_scores_clear(&sets[0].latents);
    probe_scores_clear(&sets[1].latents);
}

/* What an interrupted run kept is taken over, bit for bit, and only under the same settings. */
static void test_part(void **state)
{
    (void)state;
    struct probe_set set, fresh;
    run_fab(&set, 2, 100, 2, &usual);
    fresh = set;
    fresh.has_latents = fresh.has_neurons = false;
    fresh.latents = fresh.neurons = (struct probe_scores){0};
    struct sae_ckpt ckpt = {.path = (char *)"x", .id = "abc"};
    char *path = temp_file("part.json");
    size_t n = 9;
    ok(probe_partial_load(&n, path, &ckpt, &fresh, 1, &usual, &err)); /* none there */
    assert_int_equal(n, 0);
    ok(probe_partial_save(path, &ckpt, &set, 1, &usual, &err));
    struct probe_settings other = usual;
    other.train_size = 100;
    ok(probe_partial_load(&n, path, &ckpt, &fresh, 1, &other, &err));
    assert_int_equal(n, 0);
    ok(probe_partial_load(&n, path, &ckpt, &fresh, 1, &usual, &err));
    assert_int_equal(n, 1);
    const size_t bytes = 4 * 2 * 3 * PROBE_N_METRICS * sizeof(double);
    assert_memory_equal(set.latents.v, fresh.latents.v, bytes);
    assert_memory_equal(set.neurons.v, fresh.neurons.v, bytes);
    probe_scores_clear(&fresh.latents);
    probe_scores_clear(&fresh.neurons);
    probe_set_clear(&set);
    remove_temp(path);
}

/* SAEBench's keys are there, null for a k that was not run; equal runs give equal text. */
static void test_result(void **state)
{
    (void)state;
    struct probe_set set;
    run_fab(&set, 4, 50, 0, &usual);
    struct sae_ckpt ckpt;
    ok(fab_ckpt(&ckpt, false, "../acts", &err));
    ckpt.path = strdup("run_1/ckpt_50.h5");
    json_t *record = json_object(), *result = NULL, *again = NULL;
    for (int i = 0; i < 2; i++) {
        struct sae_result_parts parts = probe_result_parts(&ckpt, &set, 1, &usual);
        parts.eval_type_id = "sparse_probing";
        ok(sae_output_make(i == 0 ? &result : &again, &parts, &ckpt, record, &err));
        sae_result_parts_clear(&parts);
    }
    assert_true(sae_json_real(result, "eval_result_metrics.sae.sae_top_1_test_accuracy", 0) == 1);
    assert_true(sae_json_real(result, "eval_result_metrics.sae.sae_test_accuracy", 0) == 1);
    assert_true(
        json_is_null(sae_json_at(result, "eval_result_metrics.sae.sae_top_100_test_accuracy")));
    assert_true(sae_json_real(result, "eval_result_metrics.llm.llm_top_5_test_auc", 0) == 1);
    assert_true(sae_json_real(result, "eval_result_metrics.llm.llm_top_5_test_accuracy_se", 9) ==
                0);
    const json_t *row = json_array_get(json_object_get(result, "eval_result_details"), 0);
    assert_string_equal(sae_json_str(row, "dataset_name", ""), "fab_results");
    assert_int_equal(sae_json_u64(row, "n_train_texts_min", 0), 80);
    assert_true(sae_json_real(result,
                              "eval_result_unstructured.fab_results.sae_top_1_test_accuracy."
                              "class_c",
                              0) == 1);
    assert_true(json_equal(result, again));
    json_decref(result);
    json_decref(again);
    json_decref(record);
    sae_ckpt_clear(&ckpt);
    probe_set_clear(&set);
}

/* One thread and two give the same bits. */
static void test_threads(void **state)
{
    (void)state;
    struct probe_set one, two;
    sae_ops_threads(1);
    run_fab(&one, 2, 100, 2, &usual);
    sae_ops_threads(2);
    run_fab(&two, 2, 100, 2, &usual);
    assert_memory_equal(one.latents.v, two.latents.v, 4 * 2 * 3 * PROBE_N_METRICS * sizeof(double));
    probe_set_clear(&one);
    probe_set_clear(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_negatives_are_even),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_left_out_and_refused),
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_refuses_nan),
        cmocka_unit_test(test_latent_is_label),
        cmocka_unit_test(test_latent_is_mostly_label),
        cmocka_unit_test(test_k_too_large),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_part),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
