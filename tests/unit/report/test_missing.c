/* SPDX-License-Identifier: MIT */
/* Tests of report/missing: what is said of results that are not there, and the commands. Runs are
 * made up in memory: nothing is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report/report.h"

enum { RUNS = 6, PHASES = 3 };
static struct report_run runs[RUNS];
static struct report_phase phases[RUNS][PHASES];
static struct report report = {.runs = runs};
static char paths[RUNS][PHASES][40], names[RUNS][16], folders[RUNS][16];

/* n runs of three phases each, trained to the end, with every result. */
static void begin(size_t n)
{
    report.n_runs = report.n_trained = n;
    for (size_t r = 0; r < n; r++) {
        snprintf(names[r], sizeof names[r], "run_%zu", r);
        snprintf(folders[r], sizeof folders[r], "%zu/run_%zu", r, r); /* no two beside each other */
        runs[r] = (struct report_run){.whole = true,
                                      .name = names[r],
                                      .path = folders[r],
                                      .n_phases = PHASES,
                                      .phases = phases[r],
                                      .total_steps = 100};
        for (size_t p = 0; p < PHASES; p++) {
            snprintf(paths[r][p], sizeof paths[r][p], "%s/ckpt_%zu.h5", folders[r], 50 * p);
            phases[r][p] = (struct report_phase){.path = paths[r][p],
                                                 .percent = (int)(50 * p),
                                                 .step = 50 * p,
                                                 .total_steps = 100,
                                                 .readable = true};
            for (enum sae_source s = 0; s < SAE_SOURCE_N; s++)
                phases[r][p].result[s] = json_true(); /* never freed */
        }
    }
}

/* Finds what is missing: why and command, a pair each, n in all. */
static void expect(size_t n, const char *const *want)
{
    assert_int_equal(report_find_missing(&report, NULL), SAE_OK);
    assert_int_equal(report.missing_why.n, n);
    assert_int_equal(report.missing_command.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(report.missing_why.v[i], want[2 * i]);
        assert_string_equal(report.missing_command.v[i], want[2 * i + 1]);
    }
    report_lines_clear(&report.missing_why);
    report_lines_clear(&report.missing_command);
}

static void lose(size_t run, size_t phase, enum sae_source source)
{
    phases[run][phase].result[source] = NULL;
}

static void test_nothing(void **state)
{
    (void)state;
    begin(2);
    expect(0, NULL);
    for (size_t p = 0; p < PHASES; p++) /* not everybody wants these */
        for (enum sae_source s = 0; s < SAE_SOURCE_N; s++)
            if (!report_sources[s].expected)
                lose(0, p, s);
    expect(0, NULL);
}

static void test_phases(void **state)
{
    (void)state;
    begin(2);
    lose(0, 1, SAE_SOURCE_PROBE);
    lose(1, 0, SAE_SOURCE_CORE);
    lose(1, 2, SAE_SOURCE_CORE);
    expect(2, (const char *[]){"run_0 at 50 %: Sparse probing",
                               "sae-probe --k 1,2,5 0/run_0/ckpt_50.h5",
                               "run_1 at 0 %, 100 %: What the language model loses (core)",
                               "sae-splice 1/run_1/ckpt_0.h5 1/run_1/ckpt_100.h5"});
}

/* Runs that lack the same share a command; more than four are counted. */
static void test_many(void **state)
{
    (void)state;
    begin(2);
    for (size_t r = 0; r < 2; r++)
        for (size_t p = 0; p < PHASES; p++)
            lose(r, p, SAE_SOURCE_ABSORB);
    expect(1, (const char *[]){"run_0, run_1 at every phase: Absorption (first letters)",
                               "sae-absorb --all 0/run_0 1/run_1"});
    begin(RUNS);
    for (size_t r = 0; r < RUNS; r++)
        lose(r, 2, SAE_SOURCE_ABSORB);
    expect(1, (const char *[]){
                  "6 runs at 100 %: Absorption (first letters)",
                  "sae-absorb 0/run_0/ckpt_100.h5 1/run_1/ckpt_100.h5 2/run_2/ckpt_100.h5 "
                  "3/run_3/ckpt_100.h5 4/run_4/ckpt_100.h5 5/run_5/ckpt_100.h5"});
}

/* A damaged checkpoint is in no command, and keeps its folder out of them. */
static void test_damage(void **state)
{
    (void)state;
    begin(1);
    for (size_t p = 0; p < PHASES; p++)
        lose(0, p, SAE_SOURCE_ANALYZE);
    phases[0][2].readable = false;
    expect(2, (const char *[]){"run_0: nothing can be read after step 50 of 100",
                               "sae-train --resume 0/run_0",
                               "run_0 at 0 %, 50 %: Separation of features",
                               "sae-analyze 0/run_0/ckpt_0.h5 0/run_0/ckpt_50.h5"});
    phases[0][0].readable = phases[0][1].readable = false;
    expect(0, NULL); /* there is nothing to go on from */
}

static void test_unfinished(void **state)
{
    (void)state;
    begin(1);
    runs[0].n_phases = 2;
    expect(1, (const char *[]){"run_0: stopped at step 50 of 100", "sae-train --resume 0/run_0"});
    runs[0].whole = false; /* one checkpoint of it was named, not the run */
    expect(0, NULL);
}

static void test_names_for_a_shell(void **state)
{
    (void)state;
    begin(1);
    snprintf(paths[0][1], sizeof paths[0][1], "it's; rm -r $x");
    lose(0, 1, SAE_SOURCE_PROBE);
    expect(1, (const char *[]){"run_0 at 50 %: Sparse probing",
                               "sae-probe --k 1,2,5 'it'\\''s; rm -r $x'"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),    cmocka_unit_test(test_phases),
        cmocka_unit_test(test_many),       cmocka_unit_test(test_damage),
        cmocka_unit_test(test_unfinished), cmocka_unit_test(test_names_for_a_shell)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
