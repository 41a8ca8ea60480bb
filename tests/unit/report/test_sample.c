/* SPDX-License-Identifier: MIT */
/* Tests of report/sample: the error of a mean over pairs of seeds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "report/compare.h"
#include "report/sample.h"
#include "tests/unit/fixtures/report_runs.h"

static char dir[] = "/tmp/test_sample_XXXXXX", none[300];

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(none, sizeof none, "%s/none", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 ? 0 : -1;
}

/* A group of n seeds with these values, each of which was matched with so many others. */
static void load(struct report *report, const char *name, size_t n, const double *values,
                 size_t others)
{
    static char paths[8][600], runs[8][64];
    char *operands[8];
    struct sae_err err = {0};
    for (size_t i = 0; i < n; i++) {
        snprintf(runs[i], sizeof runs[i], "%s_s%zu", name, i + 1);
        const struct fake_run run = {.name = runs[i],
                                     .orth = "none",
                                     .seed = i + 1,
                                     .k = 8,
                                     .percents = {100, -1},
                                     .pw_mcc = values[i],
                                     .others = others};
        assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
        snprintf(paths[i], sizeof paths[i], "%s/%s", dir, runs[i]);
        operands[i] = paths[i];
    }
    const struct report_settings settings = {
        .operands = operands, .n_operands = n, .baselines = none};
    *report = (struct report){0};
    if (report_load(report, &settings, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(report->n_groups, 1);
}

static void is_near(double got, double want)
{
    if (!(fabs(got - want) < 1e-9))
        fail_msg("got %.12g, expected %.12g", got, want);
}

/* The example of docs/math-matching.md: p_12 0.5, p_13 0.7, p_23 0.6, so m 0.6, 0.55, 0.65; P = 1.8;
 * v = 0.6, 0.4, 0.8: mean 0.6, standard error 0.2 / sqrt 3. */
static void test_by_hand(void **state)
{
    (void)state;
    const double m[3] = {0.6, 0.55, 0.65}, v[3] = {0.6, 0.4, 0.8};
    const struct sae_metric *const metric = sae_metric_by("pw_mcc");
    struct report report;
    struct stats_sample sample;
    double mean, se;
    load(&report, "three", 3, m, 2);
    assert_int_equal(report_sample(&sample, &report, 0, 100, metric), 3);
    assert_int_equal(sample.n, 3);
    for (size_t i = 0; i < 3; i++)
        is_near(sample.x[i], v[i]);
    assert_int_equal(report_group_stats(&report, 0, 100, metric, &mean, &se), 3);
    is_near(mean, 0.6);
    is_near(se, 0.2 / sqrt(3));
    report_clear(&report);
}

/* Two seeds are one pair; seeds that were matched with others than those here are no whole. Both have a
 * mean, and no error. */
static void test_no_scatter(void **state)
{
    (void)state;
    const double two[2] = {0.6, 0.6}, three[3] = {0.6, 0.5, 0.7};
    const struct sae_metric *const metric = sae_metric_by("pw_mcc");
    struct report report;
    double mean, se;
    load(&report, "two", 2, two, 1);
    assert_int_equal(report_group_stats(&report, 0, 100, metric, &mean, &se), 2);
    is_near(mean, 0.6);
    assert_true(isnan(se));
    report_clear(&report);
    load(&report, "some", 3, three, 4);
    assert_int_equal(report_group_stats(&report, 0, 100, metric, &mean, &se), 3);
    is_near(mean, 0.6);
    assert_true(isnan(se));
    report_clear(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_hand), cmocka_unit_test(test_no_scatter)};
    return cmocka_run_group_tests_name("sample", tests, begin, end);
}
