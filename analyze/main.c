/* SPDX-License-Identifier: MIT */
/* sae-analyze : how separated are the features of a checkpoint? */
#include <stdio.h>
#include <stdlib.h>

#include "analyze/analyze.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/backend.h"
#include "lib/cli/opt.h"
#include "lib/cli/target.h"
#include "lib/eval/subjects.h"
#include "lib/file/json.h"
#include "lib/file/result.h"

static struct analyze_settings settings;
static struct sae_subject_options subject;
static struct sae_chart_options drawing;
static struct {
    bool all, charts, full;
    double began;           /* of the checkpoint at hand */
    struct sae_err unsaved; /* why the first result that could not be written was not */
} wanted;

static const struct sae_opt options[] = {
    {"all",                                          0, SAE_OPT_FLAG, &wanted.all, NULL, NULL, 0, 0, NULL, "Checkpoints",
     "every checkpoint of a run, not only its last", SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"full",                                  0, SAE_OPT_FLAG, &wanted.full, "false", NULL, 0, 0, NULL, "Output",
     "of several checkpoints the tables of each, too; of one they are always printed", SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"charts",                                          0, SAE_OPT_FLAG, &wanted.charts, "true", NULL, 0, 0, NULL, "Output",
     "draw charts into the run's folder charts/ (--no-charts leaves them out)", SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"weights-only",                                             0, SAE_OPT_FLAG, &settings.weights_only, NULL, NULL, 0, 0, NULL, "Measures",
     "directions and spectrum only; needs no held-out masks", SAE_OPT_MAIN},
    {"floor",                                          0, SAE_OPT_U64, &settings.floor, "5", NULL, 1, 1e9, "N", "Measures",
     "overlaps: only latents that fire on at least N held-out tokens", SAE_OPT_MAIN},
    {"bins", 0, SAE_OPT_U64, &settings.n_bins, "200", NULL, 10, 10000, "N", "Measures",
     "bins of the cosine histogram over [-1, 1]", SAE_OPT_MAIN},
    {"sample",                                              0, SAE_OPT_U64, &settings.n_sample, "64", NULL, 2, 1024, "N", "Measures",
     "latents in the similarity matrix (the most frequent)", SAE_OPT_MAIN},
    {"top",            0, SAE_OPT_U64, &settings.n_top, "20", NULL, 0, 100000, "N", "Measures",
     "pairs of largest |cos| to list", SAE_OPT_MAIN},
    {"duplicate",                                  0, SAE_OPT_REAL, &settings.duplicate, "0.9", NULL, 0.2, 1, "COS", "Measures",
     "pairs with a larger cosine count as near duplicates", 0},
    {"tokens",                                          0, SAE_OPT_U64, &settings.n_tokens, "2048", NULL, 1, 1e6, "N", "Input",
     "tokens of the store of --acts that overlaps are counted on (its last)", 0},
    SAE_SUBJECT_ROWS(subject),
    SAE_CHART_ROWS(drawing),
    {NULL                                            },
};

/* Small checkpoints take a second; of large ones the parts are told. */
static void tell_stage(const char *what)
{
    if (sae_stop_clock() - wanted.began > 2)
        sae_log_info("... %s", what);
    else
        sae_log_debug("... %s", what);
}

/* The charts of one report, into its run's folder. The result stands without them. */
static void draw(const struct analyze_report *report)
{
    enum sae_status status;
    struct sae_err why = {0}, *const err = &why;
    char *run = NULL, *charts = NULL;
    size_t n_charts = 0;
    SAE_GO(status, subject.out != NULL ? sae_fs_dir(&run, report->place, err)
                                       : sae_target_run(&run, report->ckpt.path, err));
    SAE_GO(status, sae_fs_join(&charts, run, "charts", err));
    SAE_GO(status, analyze_draw(report, &drawing, charts, &n_charts, err));
    sae_log_info("drew %zu charts: %s/%s.*", n_charts, charts, report->stem);
done:
    if (status != SAE_OK)
        sae_log_warn("no charts of '%s': %s", report->ckpt.path, why.msg);
    free(run);
    free(charts);
}

/* What was measured is printed even where it cannot be written; the exit status tells. */
static enum sae_status try_to_save(const struct analyze_report *report, const json_t *result,
                                   struct sae_err *err)
{
    struct sae_err why = {0};
    const enum sae_status status = sae_json_save(report->place, result, &why);
    if (status == SAE_OK)
        sae_log_info("wrote '%s'", report->place);
    if (wanted.charts && status != SAE_EINTR)
        draw(report);
    if (status == SAE_OK)
        return SAE_OK;
    if (status == SAE_EINTR)
        return sae_err_set(err, status, "%s", why.msg);
    sae_log_warn("%s", why.msg);
    if (wanted.unsaved.code == SAE_OK)
        wanted.unsaved = why;
    return SAE_OK;
}

/* One checkpoint: measure, save, and print its tables where they are wanted. */
static enum sae_status analyze_one(const struct sae_cli *cli, const struct sae_ops *ops,
                                   const char *path, bool tables, json_t *results,
                                   struct analyze_column *column, struct sae_err *err)
{
    enum sae_status status;
    struct analyze_report report = {0};
    json_t *record = NULL, *result = NULL;
    sae_log_info("measuring '%s'", path);
    wanted.began = sae_stop_clock();
    SAE_GO(status, analyze_report_make(&report, path, ops, &settings, err));
    SAE_GO(status, sae_opt_record(&record, cli, err));
    SAE_GO(status, analyze_outcome_make(&result, &report, &settings, record, err));
    SAE_GO(status, try_to_save(&report, result, err));
    analyze_compare_fill(column, &report);
    if (cli->json) {
        if (json_array_append(results, result) != 0)
            status = sae_err_set(err, SAE_ENOMEM, "out of memory");
    } else if (tables) {
        status = analyze_tables_print(&report, stdout, err);
        if (subject.n > 1)
            fputs("\n\n", stdout);
    }
done:
    json_decref(record);
    json_decref(result);
    analyze_report_clear(&report);
    return status;
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    enum sae_status status;
    const struct sae_ops *ops;
    struct sae_subjects saes = {0};
    struct analyze_column *columns = NULL;
    settings.acts = subject.acts;
    settings.subject = &subject;
    settings.stage = tell_stage;
    SAE_GO(status, sae_chart_check(&drawing, err));
    SAE_GO(status, sae_cli_backend(&ops, cli, "", err));
    SAE_GO(status, sae_subjects_find(&saes, &subject, cli, wanted.all, err));
    SAE_GO(status, sae_mem_alloc(&columns, saes.n, sizeof *columns, err));
    for (size_t i = 0; i < saes.n; i++)
        SAE_GO(status,
               analyze_one(cli, ops, saes.paths[i], wanted.full || saes.n == 1, saes.answers,
                           &columns[i], err));
    if (!cli->json && saes.n > 1)
        SAE_GO(status, wanted.full ? analyze_compare_print(columns, saes.n, stdout, err)
                                   : analyze_brief_print(columns, saes.n, stdout, err));
    SAE_GO(status, sae_subjects_end(&saes, cli, err));
    if (wanted.unsaved.code != SAE_OK)
        status = sae_err_set(err, wanted.unsaved.code, "%s", wanted.unsaved.msg);
done:
    free(columns);
    sae_subjects_clear(&saes);
    return status;
}

static const struct sae_program program = {
    .name = "sae-analyze",
    .summary = "measure how separated the features of checkpoints are",
    .usage = "sae-analyze [options] [CHECKPOINT|RUN ...]",
    .operands = "CHECKPOINT|RUN|FOLDER ...",
    .examples = "# one checkpoint\n"
                "sae-analyze run_2/ckpt_50.h5\n"
                "# every checkpoint of a run, a row each\n"
                "sae-analyze --all run_2\n"
                "# every run of a sweep, each with its tables\n"
                "sae-analyze --full sweep\n"
                "# last checkpoints of all runs here, for a program\n"
                "sae-analyze --json --no-charts > separation.json\n",
    .about =
        "Reads one checkpoint (no other file) and tells how far apart its decoder directions are, "
        "how many directions they span, how often latents fire together, whether latents that fire "
        "together point the same way, and which pairs compete under the run's own schedule.\n\n"
        "Without an operand it takes the last checkpoint of the run it stands in, or of every "
        "run_* folder beside it. It writes CHECKPOINT.analyze.json and charts/CHECKPOINT.*.svg "
        "into the run's folder. Of one checkpoint it prints all tables; of several a row each, and with --full "
        "the tables of each. With --json, one checkpoint gives one object, several an array.\n\n"
        "Overlaps come from the held-out batch stored in the checkpoint: rare latents overlap by "
        "chance, so pairs below --floor are left out, and the value expected of independent "
        "latents stands beside each number.",
    .opts = options,
    .run = run,
};

int main(int argc, char **argv)
{
    return sae_program_main(&program, argc, argv);
}
