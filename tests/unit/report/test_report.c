/* SPDX-License-Identifier: MIT */
/* test_report : fabricated runs whose every number is known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/base/str.h"
#include "lib/file/json.h"
#include "report/compare.h"
#include "report/csv.h"
#include "report/grid.h"
#include "report/notes.h"
#include "tests/unit/fixtures/report_runs.h"

static char dir[] = "/tmp/test_report_XXXXXX";
static char baselines[512];

static void in_dir(char path[512], const char *name)
{
    snprintf(path, 512, "%s/%s", dir, name);
}

static int setup(void **state)
{
    (void)state;
    static const struct fake_run runs[] = {
        {"run_1", "none",        42, 4, 0,    {0, 50, 100, -1}, 1},
        {"run_2", "progressive", 42, 4, 0.01, {0, 50, 100, -1}, 1},
        {"run_3", "progressive", 43, 4, 0.03, {0, 50, 100, -1}, 1},
        {"run_k", "none",        42, 8, 0,    {0, 50, -1},      0},
    };
    struct sae_err err;
    const char *root = getenv("SAE_SOURCE_ROOT");
    if (root == NULL || mkdtemp(dir) == NULL)
        return -1;
    snprintf(baselines, sizeof baselines, "%s/data/baselines", root);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        if (fake_run_make(dir, &runs[i], &err) != SAE_OK)
            return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* Loads the named runs of the scratch folder. */
static enum sae_status load(struct report *report, const char *const *names, size_t n,
                            const char *against, struct sae_err *err)
{
    char paths[8][512], *operands[8];
    for (size_t i = 0; i < n; i++) {
        in_dir(paths[i], names[i]);
        operands[i] = paths[i];
    }
    const struct report_settings settings = {
        .operands = operands, .n_operands = n, .against = against, .baselines = baselines};
    return report_load(report, &settings, err);
}

static char *notes_of(const struct report *report)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    assert_int_equal(report_notes(report, true, to, NULL), SAE_OK);
    fclose(to);
    return text;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    while ((text = strstr(text, part)) != NULL) {
        text += strlen(part);
        n++;
    }
    return n;
}

static void test_values(void **state)
{
    (void)state;
    static const char *const names[] = {"run_1", "run_2"};
    struct report report = {0};
    assert_int_equal(load(&report, names, 2, NULL, NULL), SAE_OK);
    assert_int_equal(report.n_runs, 2);
    assert_int_equal(report.runs[1].n_phases, 3);
    const struct report_phase *half = report_phase_at(&report.runs[1], 50);
    assert_non_null(half);
    assert_int_equal(half->step, 100);
    const double ev = report_value(half, sae_metric_by("heldout_ev"));
    assert_float_equal(ev, 0.85 + 0.01, 1e-9);
    assert_float_equal(report_value(half, sae_metric_by("mean_max_cos")), 0.44, 1e-9);
    assert_float_equal(report_value(half, sae_metric_by("top_1")), 0.66, 1e-9);
    assert_true(isnan(report_value(half, sae_metric_by("unlearning"))));
    assert_int_equal(report.problems.n, 0);
    assert_int_equal(report.missing_command.n, 0);
    report_clear(&report);
}

/* Two seeds with explained variance 0.91 and 0.93: mean 0.92, s = sqrt(2)/100, se = 0.01. */
static void test_seed_group(void **state)
{
    (void)state;
    static const char *const names[] = {"run_1", "run_2", "run_3"};
    struct report report = {0};
    assert_int_equal(load(&report, names, 3, NULL, NULL), SAE_OK);
    assert_int_equal(report.n_groups, 2);
    assert_int_equal(report.runs[1].group, report.runs[2].group);
    assert_int_not_equal(report.runs[0].group, report.runs[1].group);
    double mean, se;
    assert_int_equal(
        report_group_stats(&report, 1, 100, sae_metric_by("heldout_ev"), &mean, &se), 2);
    assert_float_equal(mean, 0.92, 1e-9);
    assert_float_equal(se, 0.01, 1e-9);
    assert_int_equal(
        report_group_stats(&report, 0, 100, sae_metric_by("heldout_ev"), &mean, &se), 1);
    assert_true(isnan(se));
    char *text = notes_of(&report);
    assert_non_null(strstr(text, "0.9200 +- 0.0100"));
    free(text);
    report_clear(&report);
}

/* Three settings of two seeds each are a grid of one axis; the numbers of a cell are those of its
 * group: explained variance 0.90 and 0.92 in the first; the best is marked, and what is within noise
 * of it. */
static void test_grid(void **state)
{
    (void)state;
    static const char *const names[] = {"grid/run_a", "grid/run_b", "grid/run_c",
                                        "grid/run_d", "grid/run_e", "grid/run_f"};
    static const char *const orths[] = {"none", "progressive", "static"};
    static const double shifts[] = {0, 0.02, 0.01, 0.04, 0.02, 0.042};
    for (size_t i = 0; i < 6; i++) {
        const struct fake_run run = {.name = names[i],
                                     .orth = orths[i / 2],
                                     .seed = i % 2,
                                     .k = 8,
                                     .shift = shifts[i],
                                     .percents = {0, 100, -1}};
        assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
    }
    struct report report = {0};
    struct report_grid grid;
    assert_int_equal(load(&report, names, 6, NULL, NULL), SAE_OK);
    assert_int_equal(report.n_groups, 3);
    assert_int_equal(report_grid_find(&grid, &report, NULL), SAE_OK);
    assert_true(grid.n_axes == 1 && grid.row.n == 3 && grid.n_other == 0);
    assert_string_equal(grid.row.option, "orth");
    assert_string_equal(grid.row.value[1], "progressive");
    assert_int_equal(report_grid_cell(&grid, &report, 0, 1, 0), report.runs[2].group);
    assert_true(report_grid_begins(&grid, &report, 0) && !report_grid_begins(&grid, &report, 5));
    char *text = notes_of(&report);
    assert_non_null(strstr(text, "\nThe grid\n"));
    /* 0.91 and 0.94, 0.92 and 0.942: the difference of the two, 0.01 and 0.002, is within noise;
     * that of the first and the last, 0.02 and 0.022, is not */
    assert_non_null(strstr(text, "0.9100 +- 0.0100  "));
    assert_non_null(strstr(text, "0.9250 +- 0.0150 ~"));
    assert_non_null(strstr(text, "0.9310 +- 0.0110 *"));
    /* what all lack is one command */
    assert_non_null(strstr(text, "6 runs at every phase: Sparse probing"));
    free(text);
    report_clear(&report);
    /* one seed a setting: nothing is marked */
    static const char *const single[] = {"grid/run_a", "grid/run_c", "grid/run_e"};
    assert_int_equal(load(&report, single, 3, NULL, NULL), SAE_OK);
    text = notes_of(&report);
    assert_non_null(strstr(text, "\nThe grid\n"));
    assert_non_null(strstr(text, "0.9200  \n"));
    assert_null(strstr(text, "0.9200 *"));
    free(text);
    report_clear(&report);
    /* three runs that differ here and there are none */
    assert_int_equal(load(&report, names, 4, NULL, NULL), SAE_OK);
    assert_int_equal(report_grid_find(&grid, &report, NULL), SAE_OK);
    assert_int_equal(grid.n_axes, 0);
    report_clear(&report);
}

/* Quantiles of Student's t as tables print them, and tails of the normal distribution. */
static void test_student(void **state)
{
    (void)state;
    static const struct {
        double df, level, t;
    } table[] = {
        {1,   0.95, 12.7062}, {2,   0.95, 4.30265}, {3,    0.95, 3.18245}, {4,   0.95, 2.77645},
        {5,   0.95, 2.57058}, {10,  0.95, 2.22814}, {30,   0.95, 2.04227}, {120, 0.95, 1.97993},
        {1,   0.99, 63.6567}, {2,   0.99, 9.92484}, {9,    0.90, 1.83311}, {1e7, 0.95, 1.95996},
        {2.5, 0.95, 3.57465},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const double t = stats_t_quantile(table[i].level, table[i].df);
        assert_float_equal(t / table[i].t, 1, 1e-5);
        assert_float_equal(stats_t_tail(t, table[i].df), 1 - table[i].level, 1e-10);
    }
    /* df 1 is Cauchy's, df 2 has a closed form */
    for (double t = 0.01; t < 100; t *= 3) {
        assert_float_equal(stats_t_tail(t, 1), 1 - 2 / M_PI * atan(t), 1e-12);
        assert_float_equal(stats_t_tail(-t, 2), 1 - t / sqrt(2 + t * t), 1e-12);
    }
    assert_float_equal(stats_t_tail(0, 7), 1, 0);
    assert_float_equal(stats_t_tail(INFINITY, 7), 0, 0);
}

/* The worked examples of docs/math-report.md. */
static void test_differences_of_seeds(void **state)
{
    (void)state;
    const struct stats_sample a = {.n = 3, .x = {0.30, 0.32, 0.31}, .seed = {1, 2, 3}};
    const struct stats_sample b = {.n = 3, .x = {0.33, 0.36, 0.33}, .seed = {1, 2, 3}};
    struct stats_difference d = stats_difference(&a, &b);
    /* -0.03, -0.04, -0.02: s 0.01, s.e. 0.01 / sqrt(3), t(2) 4.3027 */
    assert_int_equal(d.n_pairs, 3);
    assert_float_equal(d.diff, -0.03, 1e-12);
    assert_float_equal(d.se, 0.0057735, 1e-7);
    assert_float_equal(d.half, 0.0248414, 1e-6);
    assert_float_equal(d.p, 0.0351, 5e-5);
    /* other seeds: Welch. s^2 1e-4 and 3e-4; s.e. sqrt(4e-4 / 3); df (4/3)^2 / (1/9/2 + 1/2) = 3.2 */
    const struct stats_sample c = {.n = 3, .x = {0.33, 0.36, 0.33}, .seed = {4, 5, 6}};
    d = stats_difference(&a, &c);
    assert_int_equal(d.n_pairs, 0);
    assert_float_equal(d.se, 0.0115470, 1e-7);
    assert_float_equal(d.df, 3.2, 1e-9);
    assert_float_equal(d.half, 0.0115470 * 3.07283, 1e-6);
    /* seeds 2 and 3 are common: paired over those, and the means are theirs */
    const struct stats_sample e = {.n = 3, .x = {0.36, 0.33, 0.5}, .seed = {2, 3, 9}};
    d = stats_difference(&a, &e);
    assert_int_equal(d.n_pairs, 2);
    assert_float_equal(d.ref, 0.345, 1e-12);
    assert_float_equal(d.half, 12.7062 * 0.01, 1e-6);
    /* one value on a side: nothing to tell from; equal values: no difference; one same amount: 0
     * scatter is no proof */
    const struct stats_sample one = {.n = 1, .x = {0.30}, .seed = {1}};
    assert_true(isnan(stats_difference(&one, &b).p) && isnan(stats_difference(&one, &b).half));
    assert_float_equal(stats_difference(&a, &a).p, 1, 0);
    const struct stats_sample up = {.n = 3, .x = {0.31, 0.33, 0.32}, .seed = {1, 2, 3}};
    assert_true(isnan(stats_difference(&up, &a).p));
}

/* Holm: 0.01 <= 0.05 / 4, 0.015 <= 0.05 / 3, 0.03 > 0.05 / 2: two stand. */
static void test_holm(void **state)
{
    (void)state;
    double p[] = {0.03, 0.015, 0.9, 0.01}, none[] = {0.02, 0.03, 0.04};
    assert_float_equal(report_holm(p, 4, 0.05), 0.015, 0);
    assert_float_equal(report_holm(none, 3, 0.05), -1, 0);
    assert_float_equal(report_holm(none, 0, 0.05), -1, 0);
}

/* Six runs, two settings of seeds 1, 2, 3. Explained variance differs by 0.02, 0.03, 0.04: better.
 * Changing the seeds' names alone never gives a verdict: one seed on a side cannot tell. */
static void test_verdicts(void **state)
{
    (void)state;
    static const char *const names[] = {"v/base_s1", "v/base_s2", "v/base_s3",
                                        "v/orth_s1", "v/orth_s2", "v/orth_s3"};
    static const double shifts[] = {0, 0.01, 0.02, 0.02, 0.04, 0.06};
    for (size_t i = 0; i < 6; i++) {
        const struct fake_run run = {.name = names[i],
                                     .orth = i < 3 ? "none" : "progressive",
                                     .seed = 1 + i % 3,
                                     .k = 8,
                                     .shift = shifts[i],
                                     .percents = {0, 100, -1},
                                     .with_results = 1};
        assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
    }
    struct report report = {0};
    char label[REPORT_LABEL];
    assert_int_equal(load(&report, names, 6, NULL, NULL), SAE_OK);
    assert_int_equal(report.n_groups, 2);
    assert_string_equal(report_group_label(label, &report, 1), "orth (3 seeds)");
    struct report_comparison c =
        report_compare(&report, 1, 0, 100, sae_metric_by("heldout_ev"));
    assert_int_equal(c.verdict, REPORT_BETTER);
    assert_float_equal(c.by.diff, 0.03, 1e-9);
    assert_float_equal(c.by.half, 4.30265 * 0.01 / sqrt(3), 1e-6);
    assert_int_equal(report_compare(&report, 1, 0, 100, sae_metric_by("unlearning")).verdict,
                     REPORT_NOT_MEASURED);
    assert_int_equal(report_compare(&report, 1, 0, 100, sae_metric_by("llm_top_1")).verdict,
                     REPORT_WITHIN_NOISE);
    char *text = notes_of(&report);
    assert_non_null(strstr(text, "orth (3 seeds) against base (3 seeds) at 100 % of training; paired"));
    assert_non_null(strstr(text, "      better        held-out explained variance 0.9100 -> 0.9400 "
                                 "(+0.0300 +- 0.0248)\n"));
    assert_non_null(strstr(text, "8 comparisons were made"));
    free(text);
    report_clear(&report);
    const char *const two[] = {names[0], names[3], names[4]};
    assert_int_equal(load(&report, two, 3, NULL, NULL), SAE_OK);
    c = report_compare(&report, 1, 0, 100, sae_metric_by("heldout_ev"));
    assert_int_equal(c.verdict, REPORT_CANNOT_TELL);
    text = notes_of(&report);
    assert_null(strstr(text, "\n      better "));
    assert_null(strstr(text, "\n      worse "));
    assert_non_null(strstr(text, "Cannot tell: with one seed on a side"));
    free(text);
    report_clear(&report);
}

/* An interval smaller than the figure's last digit is shown, and not as 0. */
static void test_small_intervals(void **state)
{
    (void)state;
    static const char *const names[] = {"w/base_s1", "w/base_s2", "w/base_s3",
                                        "w/orth_s1", "w/orth_s2", "w/orth_s3"};
    static const double shifts[] = {0, 0.01, 0.02, 0.0002, 0.010201, 0.020202};
    for (size_t i = 0; i < 6; i++) {
        const struct fake_run run = {.name = names[i],
                                     .orth = i < 3 ? "none" : "progressive",
                                     .seed = 1 + i % 3,
                                     .k = 8,
                                     .shift = shifts[i],
                                     .percents = {0, 100, -1},
                                     .with_results = 1};
        assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
    }
    struct report report = {0};
    assert_int_equal(load(&report, names, 6, NULL, NULL), SAE_OK);
    char *text = notes_of(&report);
    assert_non_null(strstr(text, "(+0.000201 +- 0.000002)"));
    free(text);
    report_clear(&report);
}

static size_t brief_lines(const struct report *report, const char *has)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    assert_int_equal(report_notes(report, false, to, NULL), SAE_OK);
    fclose(to);
    if (strstr(text, has) == NULL)
        fail_msg("the brief notes lack: %s\n%s", has, text);
    const size_t n = count(text, "\n");
    free(text);
    return n;
}

/* Eight settings of two seeds: the brief form says in a line each which figures moved. */
static void test_many_groups(void **state)
{
    (void)state;
    char paths[16][32];
    const char *names[16];
    for (size_t i = 0; i < 16; i++) {
        snprintf(paths[i], sizeof paths[i], "many/run_m%zu_s%zu", i / 2, i % 2);
        names[i] = paths[i];
        const struct fake_run run = {.name = names[i],
                                     .orth = i < 8 ? "none" : "progressive",
                                     .seed = i % 2,
                                     .k = 4 + i / 2,
                                     .shift = 0.1 * (double)(i / 2) + 0.001 * (double)(i % 2) * i,
                                     .percents = {100, -1}};
        assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
    }
    struct report report = {0};
    char path[512], *operands[] = {path};
    in_dir(path, "many");
    const struct report_settings settings = {
        .operands = operands, .n_operands = 1, .baselines = baselines};
    assert_int_equal(report_load(&report, &settings, NULL), SAE_OK);
    assert_int_equal(report.n_groups, 8);
    assert_true(brief_lines(&report, "\n  run_m3 (2 seeds): unequal L0: 1.\n") < 140);
    for (size_t i = 0; i < report.n_runs; i++)
        json_object_set_new(report.runs[i].phases[0].result[SAE_SOURCE_HELDOUT], "l0", json_real(4));
    brief_lines(&report, "\n  run_m3 (2 seeds): better: held-out explained variance");
    report_clear(&report);
}

/* A difference of seeds alone is within noise: 0.91, 0.93, 0.92 against 0.92, 0.91, 0.93. */
static void test_within_noise(void **state)
{
    (void)state;
    static const char *const names[] = {"n/a_s1", "n/a_s2", "n/a_s3", "n/b_s1", "n/b_s2", "n/b_s3"};
    static const double shifts[] = {0.01, 0.03, 0.02, 0.02, 0.01, 0.03};
    for (size_t i = 0; i < 6; i++) {
        const struct fake_run run = {.name = names[i],
                                     .orth = i < 3 ? "none" : "progressive",
                                     .seed = 1 + i % 3,
                                     .k = 8,
                                     .shift = shifts[i],
                                     .percents = {100, -1}};
        assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
    }
    struct report report = {0};
    assert_int_equal(load(&report, names, 6, NULL, NULL), SAE_OK);
    assert_int_equal(report_compare(&report, 1, 0, 100, sae_metric_by("heldout_ev")).verdict,
                     REPORT_WITHIN_NOISE);
    char *text = notes_of(&report);
    assert_non_null(strstr(text, "\n      within noise  held-out explained variance"));
    free(text);
    report_clear(&report);
}

/* A run given twice under other names is one seed twice: it makes no second member. */
static void test_one_seed_twice(void **state)
{
    (void)state;
    static const char *const names[] = {"t/a", "t/b", "t/c"};
    for (size_t i = 0; i < 3; i++) {
        const struct fake_run run = {
            .name = names[i], .orth = "none", .seed = 1 + i % 2, .k = 8, .percents = {100, -1}};
        assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
    }
    struct report report = {0};
    assert_int_equal(load(&report, names, 3, NULL, NULL), SAE_OK);
    assert_int_equal(report.n_groups, 2);
    assert_int_equal(report.runs[0].group, report.runs[1].group);
    assert_int_equal(report.runs[2].group, 1);
    report_clear(&report);
}

static void test_targets(void **state)
{
    (void)state;
    assert_string_equal(notes_verdict(&report_targets[0], 0.0099), "met");
    assert_string_equal(notes_verdict(&report_targets[0], 0.01), "missed");
    assert_string_equal(notes_verdict(&report_targets[1], 0.2), "met");
    assert_string_equal(notes_verdict(&report_targets[1], 0.1), "missed");
    assert_string_equal(notes_verdict(&report_targets[2], NAN), "not measured");
}

static void set_metric(struct report_phase *phase, enum sae_source source, const char *path,
                       const char *name, double value)
{
    json_t *const part = path != NULL ? sae_json_at(phase->result[source], path) : phase->result[source];
    assert_int_equal(json_object_set_new(part, name, json_real(value)), 0);
}

/* The plainest facts are said, each where it holds and only there. */
static void test_facts(void **state)
{
    (void)state;
    static const char *const names[] = {"run_1", "run_2"};
    static const char *const says[] = {
        "no better than the best raw neuron: run_2 0.6200 against 0.6200.",
        "no better than one of the untrained SAE (0 %)",
        "no better than the untrained SAE's",
        "worse than the mean activation",
        "no better with the reconstruction than with zeros",
    };
    struct report report = {0};
    assert_int_equal(load(&report, names, 2, NULL, NULL), SAE_OK);
    char *text = notes_of(&report);
    for (size_t i = 0; i < 5; i++)
        assert_null(strstr(text, says[i]));
    /* 2 of 16 */
    assert_non_null(strstr(text, "dead at the end"));
    assert_int_equal(count(text, "12 %"), 2);
    free(text);
    struct report_phase *const last = &report.runs[1].phases[2];
    set_metric(last, SAE_SOURCE_PROBE, "eval_result_metrics.sae", "sae_top_1_test_accuracy", 0.62);
    set_metric(last, SAE_SOURCE_HELDOUT, NULL, "dead", 0);
    set_metric(&report.runs[0].phases[2], SAE_SOURCE_HELDOUT, NULL, "dead", 0);
    text = notes_of(&report);
    assert_non_null(strstr(text, says[0]));
    assert_null(strstr(text, says[1])); /* untrained: 0.61 */
    assert_null(strstr(text, "dead at the end"));
    free(text);
    set_metric(last, SAE_SOURCE_PROBE, "eval_result_metrics.sae", "sae_top_1_test_accuracy", 0.60);
    set_metric(last, SAE_SOURCE_HELDOUT, NULL, "explained_variance", -0.1);
    set_metric(last, SAE_SOURCE_CORE, "eval_result_metrics.model_performance_preservation",
               "ce_loss_score", -0.2);
    text = notes_of(&report);
    for (size_t i = 1; i < 5; i++)
        if (strstr(text, says[i]) == NULL)
            fail_msg("not said: %s", says[i]);
    free(text);
    report_clear(&report);
}

static void test_baselines(void **state)
{
    (void)state;
    static const char *const names[] = {"run_1"};
    struct report report = {0};
    assert_int_equal(load(&report, names, 1, NULL, NULL), SAE_OK);
    assert_int_equal(report.n_baselines, 4);
    const struct report_baseline *topk = &report.baselines[3];
    assert_string_equal(topk->name, "topk");
    assert_string_equal(topk->model, "gemma-2-2b");
    assert_int_equal(topk->layer, 12);
    assert_false(report_same_site(&report.runs[0], topk));
    /* read off the published file */
    static const struct {
        const char *metric;
        double value;
    } known[] = {
        {"absorption_a",   0.02959233779334607},
        {"split_features", 1.36               },
        {"top_1",          0.7449375          },
        {"unlearning",     0.06367039680480957},
        {"ce_score",       0.9884868421052632 },
        {"core_ev_legacy", 0.74609375         },
        {"core_l0",        320                }
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_float_equal(report_baseline_value(topk, sae_metric_by(known[i].metric)),
                           known[i].value, 1e-9);
    /* the plain name is the legacy formula there, never SAEBench 0.6's */
    assert_true(isnan(report_baseline_value(topk, sae_metric_by("core_ev"))));
    char *text = notes_of(&report);
    assert_non_null(strstr(text, "published: gemma-2-2b layer 12; not comparable in absolute"));
    assert_non_null(strstr(text, "Published rows differ in active latents"));
    assert_non_null(strstr(text, "[published run_1] 40"));
    free(text);
    size_t len = 0; /* the brief notes warn of the rows that they show */
    FILE *to = open_memstream(&text, &len);
    assert_int_equal(report_notes(&report, false, to, NULL), SAE_OK);
    fclose(to);
    assert_non_null(strstr(text, "[published standard] 8896"));
    assert_null(strstr(text, "[published run_1]"));
    free(text);
    report_clear(&report);
}

static void test_equal_l0_and_missing(void **state)
{
    (void)state;
    static const char *const names[] = {"run_1", "run_k"};
    struct report report = {0};
    assert_int_equal(load(&report, names, 2, NULL, NULL), SAE_OK);
    char *text = notes_of(&report), command[600], path[512];
    assert_non_null(strstr(text, "NOT AT EQUAL L0: run_1 has 4.0"));
    in_dir(path, "run_k");
    snprintf(command, sizeof command, "sae-probe --k 1,2,5 --all %s\n", path);
    assert_non_null(strstr(text, command));
    snprintf(command, sizeof command, "sae-train --resume %s\n", path);
    assert_non_null(strstr(text, command)); /* stopped at 50 % */
    free(text);
    report_clear(&report);
}

/* Runs that end at equal L0 and were apart before: the phases are named. */
static void test_unequal_l0_on_the_way(void **state)
{
    (void)state;
    static const char *const names[] = {"run_1", "run_2"};
    struct report report = {0};
    assert_int_equal(load(&report, names, 2, NULL, NULL), SAE_OK);
    char *text = notes_of(&report);
    assert_null(strstr(text, "NOT AT EQUAL L0"));
    free(text);
    json_object_set_new(report.runs[1].phases[0].result[SAE_SOURCE_HELDOUT], "l0", json_real(40));
    text = notes_of(&report);
    assert_non_null(strstr(text, "NOT AT EQUAL L0 on the way: at 0 % (4.0 to 40.0) active"));
    free(text);
    report_clear(&report);
}

/* One result taken away: the very command that makes it again, for that checkpoint alone. */
static void test_one_missing(void **state)
{
    (void)state;
    static const char *const names[] = {"run_2"};
    char path[512], kept[512], command[600];
    struct report report = {0};
    in_dir(path, "run_2/ckpt_50.probe.json");
    in_dir(kept, "kept.json");
    assert_int_equal(rename(path, kept), 0);
    assert_int_equal(load(&report, names, 1, NULL, NULL), SAE_OK);
    assert_int_equal(report.missing_command.n, 1);
    snprintf(command, sizeof command, "sae-probe --k 1,2,5 %s/run_2/ckpt_50.h5", dir);
    assert_string_equal(report.missing_command.v[0], command);
    report_clear(&report);
    assert_int_equal(rename(kept, path), 0);
}

static void write_text(const char *path, const char *text)
{
    assert_int_equal(sae_fs_write(path, text, strlen(text), NULL), SAE_OK);
}

static void test_damage_is_named(void **state)
{
    (void)state;
    static const struct fake_run run = {
        "run_d", "none", 42, 4, 0, {0, 50, 100, -1},
             1
    };
    static const char *const names[] = {"run_1", "run_d"};
    char path[512];
    struct report report = {0};
    assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
    in_dir(path, "run_d/ckpt_50.h5");
    assert_int_equal(truncate(path, 1000), 0);
    in_dir(path, "run_d/ckpt_100.absorb.json");
    write_text(path, "{\"eval_result_metrics\": ");
    in_dir(path, "run_d/ckpt_00.core.json");
    write_text(path,
               "{\"eval_result_metrics\": {}, \"saekit\": {\"checkpoint\": {\"id\": \"x\"}}}");
    assert_int_equal(load(&report, names, 2, NULL, NULL), SAE_OK);
    assert_int_equal(report.problems.n, 3);
    assert_non_null(strstr(report.problems.v[0], "ckpt_00.core.json"));
    assert_non_null(strstr(report.problems.v[0], "earlier"));
    assert_non_null(strstr(report.problems.v[1], "ckpt_50.h5"));
    assert_non_null(strstr(report.problems.v[2], "ckpt_100.absorb.json"));
    /* the damaged checkpoint's results still count, by the percent in its name */
    const struct report_phase *half = report_phase_at(&report.runs[1], 50);
    assert_non_null(half);
    assert_false(half->readable);
    assert_float_equal(report_value(half, sae_metric_by("top_1")), 0.65, 1e-9);
    char *text = notes_of(&report);
    assert_non_null(strstr(text, "Missing or unreadable"));
    free(text);
    report_clear(&report);
}

/* A damaged checkpoint: --all would complain of it, so the others are named. A damaged last one:
 * training goes on from the one before by itself, and that one tells how far it came. Results without a
 * checkpoint are named. */
static void test_commands_around_damage(void **state)
{
    (void)state;
    static const struct fake_run run = {
        "run_e", "none", 42, 4, 0, {0, 50, 100, -1},
             0
    };
    static const char *const names[] = {"run_1", "run_e"};
    char path[512], command[2048];
    struct report report = {0};
    assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
    in_dir(path, "run_e/ckpt_100.h5");
    assert_int_equal(truncate(path, 1000), 0);
    in_dir(path, "run_e/ckpt_75.core.json");
    write_text(path, "{\"eval_result_metrics\": {}}");
    assert_int_equal(load(&report, names, 2, NULL, NULL), SAE_OK);
    in_dir(path, "run_e");
    snprintf(command, sizeof command, "sae-train --resume %s", path);
    assert_string_equal(report.missing_command.v[0], command);
    assert_string_equal(report.missing_why.v[0],
                        "run_e: nothing can be read after step 100 of 200");
    snprintf(command, sizeof command, "sae-analyze %s/ckpt_00.h5 %s/ckpt_50.h5", path, path);
    assert_string_equal(report.missing_command.v[1], command);
    assert_int_equal(report.problems.n, 2);
    assert_non_null(strstr(report.problems.v[1], "ckpt_75.core.json': its checkpoint"));
    char *text = notes_of(&report);
    assert_non_null(strstr(text, "training   100 of 200 steps of 2048 tokens: 204800 tokens seen"));
    free(text);
    report_clear(&report);
}

/* One checkpoint of an unfinished run, named twice: nothing is said of the rest of the run. A path
 * that a shell would take apart is quoted. */
static void test_commands_of_named_checkpoints(void **state)
{
    (void)state;
    static const struct fake_run run = {
        "it's a run", "none", 42, 4, 0, {0, 50, -1},
             0
    };
    static const char *const names[] = {"it's a run/ckpt_50.h5", "it's a run/./ckpt_50.h5"};
    static const char *const folder[] = {"it's a run"};
    char command[600];
    struct report report = {0};
    assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
    assert_int_equal(load(&report, names, 2, NULL, NULL), SAE_OK);
    assert_int_equal(report.runs[0].n_phases, 1);
    snprintf(command, sizeof command, "sae-analyze '%s/it'\\''s a run/ckpt_50.h5'", dir);
    assert_string_equal(report.missing_command.v[0], command);
    report_clear(&report);
    assert_int_equal(load(&report, folder, 1, NULL, NULL), SAE_OK);
    snprintf(command, sizeof command, "sae-train --resume '%s/it'\\''s a run'", dir);
    assert_string_equal(report.missing_command.v[0], command);
    snprintf(command, sizeof command, "sae-analyze --all '%s/it'\\''s a run'", dir);
    assert_string_equal(report.missing_command.v[1], command);
    report_clear(&report);
}

/* run_k stopped at 50 %: the summary compares there, whichever run is the reference. */
static void test_compared_where_both_are(void **state)
{
    (void)state;
    static const char *const names[] = {"run_1", "run_k"};
    static const char *const expected[] = {"run_k against run_1 at 50 % of training; NOT AT EQUAL L0 (8.0 against 4.0):",
                                           "run_1 against run_k at 50 % of training; NOT AT EQUAL L0 (4.0 against 8.0):"};
    for (size_t i = 0; i < 2; i++) {
        struct report report = {0};
        assert_int_equal(load(&report, names, 2, names[i], NULL), SAE_OK);
        char *text = notes_of(&report);
        assert_non_null(strstr(text, expected[i]));
        /* at unequal L0 no better or worse is said, and why is said once */
        assert_null(strstr(text, "\n      better "));
        assert_null(strstr(text, "\n      worse "));
        assert_non_null(strstr(text, "\n      unequal L0    held-out explained variance"));
        assert_int_equal(count(text, "NOT AT EQUAL L0:"), 1);
        assert_int_equal(count(text, "Unequal L0: active latents a token differ"), 1);
        free(text);
        report_clear(&report);
    }
}

/* Two core results with other eval_config than the rest: the odd one is named. */
static void test_unlike_measurements(void **state)
{
    (void)state;
    static const char *const names[] = {"run_1", "run_2"};
    struct report report = {0};
    assert_int_equal(load(&report, names, 2, NULL, NULL), SAE_OK);
    for (size_t i = 0; i < 2; i++)
        for (size_t p = 0; p < 3; p++)
            json_object_set_new(report.runs[i].phases[p].result[SAE_SOURCE_CORE], "eval_config",
                                json_pack("{s:i}", "contexts", i == 1 && p == 2 ? 4 : 64));
    char *text = notes_of(&report);
    assert_non_null(strstr(text, "NOT MEASURED ALIKE"));
    assert_non_null(strstr(text, "      unlike        CE score of the language model 0.9500 -> 0.9600\n"));
    assert_non_null(strstr(text, "run_2 at 100 %"));
    free(text);
    json_object_set_new(
        json_object_get(report.runs[1].phases[2].result[SAE_SOURCE_CORE], "eval_config"), "contexts",
        json_integer(64));
    text = notes_of(&report);
    assert_null(strstr(text, "NOT MEASURED ALIKE"));
    free(text);
    report_clear(&report);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const none[] = {"no_such_run"}, *const one[] = {"run_1"};
    struct report report = {0};
    struct sae_err err = {0};
    assert_int_equal(load(&report, none, 1, NULL, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "no_such_run"));
    assert_int_equal(load(&report, one, 1, "run_9", &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "--against run_9"));
}

/* Lines stay within 110 columns; numbers of --json are those of the runs. */
static void test_width_and_json(void **state)
{
    (void)state;
    static const char *const names[] = {"run_1", "run_2", "run_3"};
    struct report report = {0};
    assert_int_equal(load(&report, names, 3, "run_2", NULL), SAE_OK);
    char *text = notes_of(&report);
    assert_non_null(strstr(text, "Differences from run_2"));
    for (char *line = text; *line != '\0';) {
        const size_t len = strcspn(line, "\n");
        if (len > 110 && strstr(line, dir) == NULL)
            fail_msg("%zu columns: %.*s", len, (int)len, line);
        line += len + (line[len] == '\n');
    }
    free(text);
    json_t *json = NULL;
    assert_int_equal(report_json(&json, &report, NULL), SAE_OK);
    const json_t *run = json_array_get(json_object_get(json, "runs"), 0);
    const json_t *phase = json_array_get(json_object_get(run, "phases"), 2);
    assert_float_equal(sae_json_real(phase, "metrics.heldout_ev", NAN), 0.9, 1e-9);
    assert_string_equal(sae_json_str(json, "against", ""), "run_2");
    json_decref(json);
    report_clear(&report);
}

/* Ends of paths as long as it takes; names of files that no two runs share. */
static void test_names(void **state)
{
    (void)state;
    static const char *const names[] = {"p/x/run", "q/x/run", "q/y/run", "q/x_run", "q_x/run", "alone"};
    static const char *const called[] = {"p/x/run", "q/x/run", "y/run", "x_run", "q_x/run", "alone"};
    static const char *const files[] = {"p_x_run", "q_x_run", "y_run", "x_run", "q_x_run_2", "alone"};
    for (size_t i = 0; i < 6; i++) {
        const struct fake_run run = {
            .name = names[i], .orth = "none", .seed = i, .k = 8, .percents = {100, -1}};
        assert_int_equal(fake_run_make(dir, &run, NULL), SAE_OK);
    }
    struct report report = {0};
    struct sae_err err;
    assert_int_equal(load(&report, names, 6, "y/run", NULL), SAE_OK);
    assert_int_equal(report.against, 2);
    for (size_t i = 0; i < 6; i++) {
        char *file = NULL;
        assert_string_equal(report.runs[i].name, called[i]);
        assert_int_equal(report_file_name(&file, &report, &report.runs[i], NULL), SAE_OK);
        assert_string_equal(file, files[i]);
        free(file);
    }
    assert_int_equal(report_find_run(&report, "q/y/run"), 2);
    assert_int_equal(report_find_run(&report, "run"), SIZE_MAX); /* several end so */
    char path[512], label[600], other[] = "b=alone";
    in_dir(path, "q/x/run");
    snprintf(label, sizeof label, "c=%s", path);
    char *labels[] = {label, other};
    assert_int_equal(report_name_runs(&report, labels, 2, NULL), SAE_OK);
    assert_string_equal(report.runs[1].name, "c");
    assert_string_equal(report.runs[5].name, "b");
    snprintf(label, sizeof label, "two\nlines=%s", path);
    assert_int_equal(report_name_runs(&report, labels, 1, NULL), SAE_OK);
    assert_string_equal(report.runs[1].name, "two\\nlines");
    in_dir(path, "q/x_run");
    snprintf(label, sizeof label, "alone=%s", path);
    assert_int_equal(report_name_runs(&report, labels, 1, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "--label"));
    report_clear(&report);
}

static void expect_cell(const char *text, const char *cell)
{
    char *got = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&got, &len);
    csv_text(to, text);
    fclose(to);
    assert_string_equal(got, cell);
    free(got);
}

/* Quotes as RFC 4180 has them; nothing that a spreadsheet runs; numbers that read back as they were. */
static void test_csv_cells(void **state)
{
    (void)state;
    expect_cell("plain name", "plain name");
    expect_cell("", "");
    expect_cell("a,b", "\"a,b\"");
    expect_cell("say \"hi\"", "\"say \"\"hi\"\"\"");
    expect_cell("two\nlines", "\"two\nlines\"");
    expect_cell("=1+1", "'=1+1");
    expect_cell("@SUM(A1)", "'@SUM(A1)");
    expect_cell("-x,y", "\"'-x,y\"");
    expect_cell("\x1b[2J \xff", "\\x1b[2J \\xff");
    expect_cell("-0.5", "-0.5"); /* an option's value, no formula */
    static const double numbers[] = {0, 0.1, -1.0 / 3, 1e300, 16, 0.22080795796365438, 123456789};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char *got = NULL;
        size_t len = 0;
        FILE *to = open_memstream(&got, &len);
        csv_number(to, numbers[i]);
        csv_number(to, NAN);
        fclose(to);
        assert_true(strtod(got, NULL) == numbers[i]);
        free(got);
    }
}

/* Each number of the runs stands in metrics.csv once, with its run, percent and id. */
static void test_csv_metrics(void **state)
{
    (void)state;
    static const char *const names[] = {"run_1", "run_2", "run_3"};
    struct report report = {0};
    char *text = NULL, row[256];
    size_t len = 0, n = 1;
    assert_int_equal(load(&report, names, 3, NULL, NULL), SAE_OK);
    FILE *to = open_memstream(&text, &len);
    assert_int_equal(report_csv_metrics(&report, to, NULL), SAE_OK);
    fclose(to);
    for (size_t i = 0; i < report.n_runs; i++)
        for (size_t p = 0; p < report.runs[i].n_phases; p++)
            SAE_EACH_METRIC(metric)
            n += isfinite(report_value(&report.runs[i].phases[p], metric)) != 0;
    for (size_t b = 0; b < report.n_baselines; b++)
        SAE_EACH_METRIC(metric)
        n += isfinite(report_baseline_value(&report.baselines[b], metric)) != 0;
    assert_int_equal(count(text, "\n"), n);
    snprintf(row, sizeof row, "\nrun,run_3,run_2,43,50,100,heldout,heldout_l0,4,,,topk,8,16,4,"
                              "progressive,0.1\n");
    assert_non_null(strstr(text, row));
    assert_non_null(strstr(text, "\npublished,topk,,,,,probe,top_1,0.7449374999999999,,higher,,,,,,\n"));
    assert_ptr_equal(strstr(text, "kind,run,group,seed,percent,step,source,metric,value,se,better,"
                                  "arch,d,m,k,orth,lambda2_max\n"),
                     text);
    free(text);
    report_clear(&report);
}

static void test_metric_table(void **state)
{
    (void)state;
    SAE_EACH_METRIC(metric)
    {
        assert_ptr_equal(sae_metric_by(metric->id), metric); /* no id stands twice */
        assert_true(metric->meaning != NULL && strlen(metric->meaning) > 0 && metric->head != NULL);
        assert_true((metric->panel != NULL) == (metric->axis != NULL));
        assert_true(metric->panel == NULL || report_sources[metric->source].chart.file != NULL);
        assert_true(metric->level == NULL || sae_metric_by(metric->level) != NULL);
    }
    for (enum sae_source s = 0; s < SAE_SOURCE_N; s++) {
        size_t n = 0;
        SAE_EACH_METRIC(metric)
        n += metric->source == s && !metric->extra;
        assert_true(n > 0); /* an evaluation without a table */
        assert_non_null(report_sources[s].note);
        if (report_sources[s].saebench[0] != NULL)
            assert_int_equal(report_source_of(report_sources[s].saebench[0]), s);
    }
    assert_int_equal(report_source_of("ravel"), SAE_SOURCE_N);
    for (size_t i = 0; i < report_n_targets; i++)
        assert_non_null(sae_metric_by(report_targets[i].metric));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metric_table),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_csv_cells),
        cmocka_unit_test(test_csv_metrics),
        cmocka_unit_test(test_seed_group),
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_student),
        cmocka_unit_test(test_differences_of_seeds),
        cmocka_unit_test(test_holm),
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_small_intervals),
        cmocka_unit_test(test_within_noise),
        cmocka_unit_test(test_many_groups),
        cmocka_unit_test(test_one_seed_twice),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_baselines),
        cmocka_unit_test(test_equal_l0_and_missing),
        cmocka_unit_test(test_unequal_l0_on_the_way),
        cmocka_unit_test(test_one_missing),
        cmocka_unit_test(test_damage_is_named),
        cmocka_unit_test(test_commands_around_damage),
        cmocka_unit_test(test_commands_of_named_checkpoints),
        cmocka_unit_test(test_compared_where_both_are),
        cmocka_unit_test(test_unlike_measurements),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_width_and_json),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
