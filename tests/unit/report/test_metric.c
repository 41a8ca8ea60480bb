/* SPDX-License-Identifier: MIT */
/* Tests of report/metric: where a value, its standard error and a published value are found. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "report/report.h"

/* A phase whose result of one evaluation is this text. */
static struct report_phase phase_of(enum sae_source source, const char *text)
{
    struct report_phase phase = {.readable = true};
    phase.result[source] = json_loads(text, 0, NULL);
    assert_non_null(phase.result[source]);
    return phase;
}

static double value(enum sae_source source, const char *id, const char *text)
{
    struct report_phase phase = phase_of(source, text);
    const double x = report_value(&phase, sae_metric_by(id));
    json_decref(phase.result[source]);
    return x;
}

static double error(enum sae_source source, const char *id, const char *text)
{
    struct report_phase phase = phase_of(source, text);
    const double x = report_value_se(&phase, sae_metric_by(id));
    json_decref(phase.result[source]);
    return x;
}

static void test_value(void **state)
{
    (void)state;
    assert_float_equal(value(SAE_SOURCE_HELDOUT, "heldout_loss", "{\"loss\": 2, \"mse\": 3}"), 2,
                       0);
    assert_float_equal(value(SAE_SOURCE_HELDOUT, "heldout_loss", "{\"loss\": 2, \"recon\": 1}"), 1,
                       0);
    assert_true(isnan(value(SAE_SOURCE_HELDOUT, "heldout_loss", "{\"loss\": null}")));
    assert_true(isnan(value(SAE_SOURCE_HELDOUT, "heldout_loss", "{\"loss\": \"2\"}")));
    assert_true(isnan(value(SAE_SOURCE_HELDOUT, "top_1", "{}"))); /* of another evaluation */
    assert_true(isnan(report_value(NULL, sae_metric_by("top_1"))));
    assert_true(isnan(report_value_se(NULL, sae_metric_by("top_1"))));
    assert_null(sae_metric_by("no such metric"));
}

/* The error of everything counts, where an evaluation gives it beside that of one part. */
static void test_standard_error(void **state)
{
    (void)state;
#define TOP_1 "{\"eval_result_metrics\": {\"sae\": {\"sae_top_1_test_accuracy\": 0.7"
    assert_float_equal(
        error(SAE_SOURCE_PROBE, "top_1", TOP_1 ", \"sae_top_1_test_accuracy_se\": 0.01}}}"), 0.01,
        0);
    assert_float_equal(error(SAE_SOURCE_PROBE, "top_1",
                             TOP_1 ", \"sae_top_1_test_accuracy_se\": 0.01,"
                                   "\"sae_top_1_test_accuracy_se_total\": 0.03}}}"),
                       0.03, 0);
    /* one seed alone has no error of its draw; the texts' remains */
    assert_float_equal(error(SAE_SOURCE_PROBE, "top_1",
                             TOP_1 ", \"sae_top_1_test_accuracy_se\": null,"
                                   "\"sae_top_1_test_accuracy_se_total\": 0.02}}}"),
                       0.02, 0);
    assert_true(isnan(error(SAE_SOURCE_PROBE, "top_1", TOP_1 "}}}")));
    assert_float_equal(
        error(SAE_SOURCE_AUTOINTERP, "autointerp",
              "{\"eval_result_metrics\": "
              "{\"autointerp\": {\"autointerp_score\": 0.8, \"autointerp_se\": 0.05}}}"),
        0.05, 0);
}

static void test_published(void **state)
{
    struct report_baseline one = {.name = (char[]){"topk"}};
    (void)state;
    one.json =
        json_loads("{\"core evaluation results\": {\"metrics\": {\"sparsity\": {\"l0\": 40},"
                   "\"reconstruction_quality\": {\"explained_variance\": 0.8}}},"
                   "\"sparse probing evaluation results\": {\"eval_result_metrics\": {\"sae\": "
                   "{\"sae_top_1_test_accuracy\": 0.6}}}}",
                   0, NULL);
    assert_float_equal(report_baseline_value(&one, sae_metric_by("core_l0")), 40, 0);
    /* what was plainly called explained variance then is what is called legacy now */
    assert_float_equal(report_baseline_value(&one, sae_metric_by("core_ev_legacy")), 0.8, 0);
    assert_true(isnan(report_baseline_value(&one, sae_metric_by("core_ev"))));
    assert_float_equal(report_baseline_value(&one, sae_metric_by("top_1")), 0.6, 0);
    assert_true(isnan(report_baseline_value(&one, sae_metric_by("scr_10"))));
    assert_true(isnan(report_baseline_value(&one, NULL)));
    json_decref(one.json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_value),
                                       cmocka_unit_test(test_standard_error),
                                       cmocka_unit_test(test_published)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
