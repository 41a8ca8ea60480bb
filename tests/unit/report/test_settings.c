/* SPDX-License-Identifier: MIT */
/* Tests of report/settings: options of runs as text, which of them differ, and a run in a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report/notes.h"

static struct report_run runs[2];
static struct report report = {.runs = runs, .n_runs = 2, .n_trained = 2};

/* Two runs with these options. */
static void begin(const char *first, const char *second)
{
    const char *const options[] = {first, second};
    for (size_t i = 0; i < 2; i++) {
        json_decref(runs[i].record);
        json_t *const parsed = json_loads(options[i], 0, NULL);
        assert_non_null(parsed);
        runs[i] = (struct report_run){.arch = SAE_ARCH_TOPK,
                                      .m = 64,
                                      .k = 8,
                                      .name = (char[]){"run"},
                                      .record = json_pack("{s:o}", "options", parsed)};
    }
}

static void expect(const char *name, const char *want)
{
    char buf[REPORT_OPTION];
    assert_string_equal(report_option_text(&runs[0], name, buf), want);
}

static void test_text(void **state)
{
    (void)state;
    begin("{\"lr\": 0.001, \"k\": 32, \"orth\": \"none\", \"off\": null, \"list\": [1, 2], \"on\": "
          "true}",
          "{}");
    expect("lr", "0.001");
    expect("k", "32");
    expect("orth", "none");
    expect("off", "");
    expect("absent", "");
    expect("list", "[1,2]");
    expect("on", "true");
    /* the longest that fits is cut, not written beyond */
    char wide[600], buf[REPORT_OPTION];
    memset(wide, 'x', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    json_object_set_new(json_object_get(runs[0].record, "options"), "wide", json_string(wide));
    assert_int_equal(strlen(report_option_text(&runs[0], "wide", buf)), REPORT_OPTION - 1);
    struct report_run none = {0};
    assert_string_equal(report_option_text(&none, "lr", buf), "");
}

static void test_differs(void **state)
{
    (void)state;
    begin("{\"a\": 1, \"b\": 2, \"c\": null}", "{\"a\": 1, \"b\": 3, \"d\": null}");
    assert_false(report_option_differs(&report, "a"));
    assert_true(report_option_differs(&report, "b"));
    assert_true(report_option_differs(&report, "c")); /* one does not have it at all */
    assert_true(report_option_differs(&report, "d"));
    assert_false(report_option_differs(&report, "nobody's"));
    report.n_trained = 1; /* the other has results alone */
    assert_false(report_option_differs(&report, "b"));
    report.n_trained = 2;
    assert_false(report_option_counts("acts") || report_option_counts("backend"));
    assert_true(report_option_counts("lr") && report_option_counts("seed"));
}

static void describes(const char *want)
{
    char *text = NULL;
    assert_int_equal(notes_describe(&text, &runs[0], NULL), SAE_OK);
    assert_string_equal(text, want);
    free(text);
}

static void test_describe(void **state)
{
    (void)state;
    begin("{\"orth\": \"none\", \"lambda2-max\": \"0.1\"}", "{}");
    describes("topk SAE, m 64, k 8; no orthogonality term");
    begin("{}", "{}");
    describes("topk SAE, m 64, k 8; no orthogonality term");
    begin("{\"orth\": \"static\", \"lambda2-max\": \"0.1\", \"gamma\": \"2\"}", "{}");
    describes("topk SAE, m 64, k 8; orthogonality static, lambda2 max 0.1");
    begin("{\"orth\": \"progressive\", \"lambda2-max\": \"0.1\", \"gamma\": \"2\"}", "{}");
    describes("topk SAE, m 64, k 8; orthogonality progressive, lambda2 max 0.1, gamma 2");
    begin("{\"l1\": \"0.04\"}", "{}");
    runs[0].k = 0;
    describes("topk SAE, m 64, L1 0.04; no orthogonality term");
    json_decref(runs[0].record);
    runs[0].record = NULL;
    describes("(settings unknown: no readable checkpoint)");
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        json_decref(runs[i].record);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_differs),
                                       cmocka_unit_test(test_describe)};
    return cmocka_run_group_tests(tests, NULL, teardown);
}
