/* SPDX-License-Identifier: MIT */
/* Results of evaluations and everything sae-report makes of them but charts. Modes 0..7: the result
 * of one evaluation of a run; 8: a published baseline; 9: a result file of SAEBench. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/report.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fixtures/report_runs.h"

static const char *const results[] = {"analyze", "probe",   "absorb", "core",
                                      "scr",     "unlearn", "tpp",    "autointerp"};
enum { N_RESULTS = 8, BASELINE = 8, SAEBENCH };

static void make_run(void)
{
    static const struct fake_run run = {
        "run_1", "progressive", 42, 4, 0, {100, -1},
             1
    };
    struct sae_err err = {0};
    if (fake_run_make(fuzz_folder(), &run, &err) != SAE_OK) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
}

void fuzz_seeds(void)
{
    make_run();
    for (uint8_t i = 0; i < N_RESULTS; i++) {
        char name[64];
        snprintf(name, sizeof name, "run_1/ckpt_100.%s.json", results[i]);
        FILE *const file = fopen(fuzz_path(name), "rb");
        static uint8_t text[1 << 16];
        if (file == NULL)
            continue;
        text[0] = i;
        const size_t n = fread(text + 1, 1, sizeof text - 1, file);
        fclose(file);
        fuzz_seed(text, n + 1);
        text[0] = SAEBENCH;
        fuzz_seed(text, n + 1);
    }
    fuzz_seed_file(BASELINE, "data/baselines/run_1.json");
}

static void make_report(const char *saebench)
{
    static FILE *nowhere;
    struct report report = {0};
    struct sae_err err = {0};
    json_t *json = NULL;
    char run[300], other[300];
    snprintf(run, sizeof run, "%s/run_1", fuzz_folder());
    snprintf(other, sizeof other, "%s", saebench != NULL ? saebench : "");
    char *operands[] = {run}, *folders[] = {other};
    const struct report_settings settings = {.operands = operands,
                                             .n_operands = 1,
                                             .baselines = fuzz_path("none"),
                                             .saebench = folders,
                                             .n_saebench = saebench != NULL};
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    if (fuzz_ok(report_load(&report, &settings, &err), &err)) {
        (void)fuzz_ok(report_notes(&report, true, nowhere, &err), &err);
        if (fuzz_ok(report_json(&json, &report, &err), &err))
            json_decref(json);
        report_clear(&report);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static int is_made;
    char name[64];
    if (n < 1)
        return 0;
    if (!is_made) {
        make_run();
        mkdir(fuzz_path("none"), 0755);
        mkdir(fuzz_path("bench"), 0755);
        for (size_t i = 0; i < N_RESULTS; i++) {
            snprintf(name, sizeof name, "run_1/ckpt_100.%s.json", results[i]);
            unlink(fuzz_path(name));
        }
        is_made = 1;
    }
    const unsigned mode = bytes[0] % 10;
    if (mode == BASELINE) {
        struct report_baseline baseline = {0};
        struct sae_err err = {0};
        if (fuzz_ok(report_baseline_load(&baseline, fuzz_put("b.json", bytes + 1, n - 1), &err),
                    &err))
            report_baseline_clear(&baseline);
    } else if (mode == SAEBENCH) {
        fuzz_put("bench/x_eval_results.json", bytes + 1, n - 1);
        make_report(fuzz_path("bench"));
    } else {
        snprintf(name, sizeof name, "run_1/ckpt_100.%s.json", results[mode]);
        fuzz_put(name, bytes + 1, n - 1);
        make_report(NULL);
        unlink(fuzz_path(name));
    }
    return 0;
}
