/* SPDX-License-Identifier: MIT */
/* Tests of report/names: labels, how a run is found, and names of files. Runs of folders that are
 * not there: nothing is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report/report.h"

enum { N = 4 };
static struct report_run runs[N];
static struct report report = {.runs = runs, .n_runs = N, .n_trained = N};

static int setup(void **state)
{
    static char paths[N][32] = {"p/x/run", "q/x/run", "q/y/run", "alone"};
    (void)state;
    for (size_t i = 0; i < N; i++)
        runs[i].path = paths[i];
    return report_name_runs(&report, NULL, 0, NULL) == SAE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < N; i++)
        free(runs[i].name);
    memset(runs, 0, sizeof runs);
    return 0;
}

static void test_shortest_ends(void **state)
{
    (void)state;
    assert_string_equal(runs[0].name, "p/x/run");
    assert_string_equal(runs[1].name, "q/x/run");
    assert_string_equal(runs[2].name, "y/run");
    assert_string_equal(runs[3].name, "alone");
}

static void test_find(void **state)
{
    (void)state;
    assert_int_equal(report_find_run(&report, "y/run"), 2);
    assert_int_equal(report_find_run(&report, "p/x/run"), 0);
    assert_int_equal(report_find_run(&report, "alone"), 3);
    assert_int_equal(report_find_run(&report, "x/run"), SIZE_MAX); /* two end so */
    assert_int_equal(report_find_run(&report, "run"), SIZE_MAX);
    assert_int_equal(report_find_run(&report, "lone"), SIZE_MAX); /* no part of a path */
    assert_int_equal(report_find_run(&report, ""), SIZE_MAX);
}

static enum sae_status label(const char *a, const char *b, struct sae_err *err)
{
    char *labels[] = {(char *)(uintptr_t)a, (char *)(uintptr_t)b};
    return report_name_runs(&report, labels, b != NULL ? 2 : 1, err);
}

static void test_labels(void **state)
{
    struct sae_err err = {0};
    (void)state;
    assert_int_equal(label("plain=p/x/run", "with=term=y/run", &err),
                     SAE_EARG); /* the first = ends it */
    assert_int_equal(label("plain=p/x/run", "new=y/run", &err), SAE_OK);
    assert_string_equal(runs[0].name, "plain");
    assert_string_equal(runs[1].name, "q/x/run");
    assert_string_equal(runs[2].name, "new");
    /* a name of two lines would take two lines of a table */
    assert_int_equal(label("a\nb=alone", NULL, &err), SAE_OK);
    assert_string_equal(runs[3].name, "a\\nb");
}

static void test_refused_labels(void **state)
{
    static const char *const wrong[] = {"plain", "plain=",       "=alone",
                                        "",      "plain=nobody", "plain=x/run"};
    struct sae_err err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(label(wrong[i], NULL, &err), SAE_EARG);
        assert_non_null(strstr(err.msg, "--label"));
    }
    assert_int_equal(label("alone=p/x/run", NULL, &err), SAE_EARG); /* another is called so */
    assert_non_null(strstr(err.msg, "two runs would be called 'alone'"));
    assert_int_equal(label("one=p/x/run", "one=alone", &err), SAE_EARG);
}

static void expect_file(size_t run, const char *want)
{
    char *name = NULL;
    assert_int_equal(report_file_name(&name, &report, &runs[run], NULL), SAE_OK);
    assert_string_equal(name, want);
    free(name);
}

static void test_files(void **state)
{
    struct sae_err err = {0};
    (void)state;
    expect_file(0, "p_x_run");
    assert_int_equal(label("a b|c=p/x/run", "a?b/c=q/x/run", &err), SAE_OK);
    expect_file(0, "a_b_c");
    expect_file(1, "a_b_c_2"); /* no two runs have one */
    assert_int_equal(label("lam=0.1,k+1=y/run", NULL, &err), SAE_EARG);
    assert_int_equal(label("\xc3\xa4-1.5=y/run", NULL, &err), SAE_OK);
    expect_file(2, "\xc3\xa4-1.5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shortest_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
