/* SPDX-License-Identifier: MIT */
/* Tests of analyze/metrics: that the rows hold together, and that their values reach result and
 * reader. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/metrics.h"
#include "lib/file/json.h"

static struct analyze_metric all[ANALYZE_METRICS_MOST];

static void test_rows(void **state)
{
    static const char *const parts[] = {"separation", "spectrum", "usage", "overlap",
                                        "competition"};
    struct analyze_report report = {0};
    size_t n_compared = 0;
    (void)state;
    const size_t n = analyze_metrics(&report, all);
    assert_true(n > 50);
    for (size_t i = 0; i < n; i++) {
        const struct sae_metric *const is = all[i].is;
        const char *key;
        size_t n_in = 0;
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
            n_in += analyze_metric_in(is, parts[p], &key);
        assert_int_equal(n_in, 1);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(all[j].is->path[0], is->path[0]);
        /* a row of a table says something; what is compared is a row of one */
        assert_true((is->row != NULL) == (is->says != NULL));
        assert_true((!is->compared && is->brief == NULL) || is->row != NULL);
        assert_true(is->id == NULL || (is->head != NULL && is->meaning != NULL));
        n_compared += is->compared;
    }
    assert_true(n_compared > 0 && n_compared <= ANALYZE_COMPARED);
}

/* What stands beside a value is a metric of the same part. */
static void test_beside(void **state)
{
    struct analyze_report report = {.has_masks = true};
    (void)state;
    report.max_dec.mean = 0.5;
    report.base.max_dec = 0.25;
    report.enc_dec.mean = 0.75;
    report.cooc.expected_never = 0.125;
    const size_t n = analyze_metrics(&report, all);
    for (size_t i = 0; i < n; i++) {
        const char *const beside = all[i].is->beside, *dot = strrchr(all[i].is->path[0], '.');
        size_t found = 0;
        for (size_t j = 0; beside != NULL && j < n; j++)
            found += strlen(all[j].is->path[0]) > strlen(beside) &&
                     strcmp(all[j].is->path[0] + strlen(all[j].is->path[0]) - strlen(beside),
                            beside) == 0;
        assert_true(dot != NULL && (beside == NULL || strcmp(beside, "0") == 0 || found > 0));
        const double x = analyze_metric_beside(all[i].is, all, n);
        if (strcmp(all[i].is->path[0],
                   "eval_result_metrics.separation.average_max_decoder_cosine_sim") == 0)
            assert_float_equal(x, 0.25, 0);
        else if (strcmp(all[i].is->path[0], "eval_result_metrics.overlap.share_never") == 0)
            assert_float_equal(x, 0.125, 0);
        else if (beside == NULL)
            assert_true(isnan(x));
    }
}

static void test_json(void **state)
{
    struct analyze_report report = {.n_duplicates = 3};
    (void)state;
    report.ranks.frame_potential = 6;
    report.base.frame_bound = 4;
    report.usage.l0 = 8;
    json_t *part = analyze_metrics_json(&report, "separation");
    assert_float_equal(sae_json_real(part, "duplicate_pairs", NAN), 3, 0);
    assert_null(json_object_get(part, "effective_rank"));
    json_decref(part);
    part = analyze_metrics_json(&report, "spectrum");
    assert_float_equal(sae_json_real(part, "frame_potential_over_bound", NAN), 1.5, 0);
    json_decref(part);
    /* without masks nothing is known of usage */
    part = analyze_metrics_json(&report, "usage");
    assert_true(json_is_null(json_object_get(part, "l0")));
    json_decref(part);
    report.has_masks = true;
    part = analyze_metrics_json(&report, "usage");
    assert_float_equal(sae_json_real(part, "l0", NAN), 8, 0);
    json_decref(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_beside),
                                       cmocka_unit_test(test_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
