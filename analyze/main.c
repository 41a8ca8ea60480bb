/* SPDX-License-Identifier: MIT */
/* sae-analyze : how separated are the features of a checkpoint? */
#include <stdio.h>
#include <stdlib.h>

#include "analyze/analyze.h"
#include "analyze/plan.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/opt.h"
#include "lib/eval/evaluate.h"

static struct {
    struct sae_eval_options eval;
    struct analyze_settings settings;
    struct sae_chart_options drawing;
    bool charts, full;
} given;

/* clang-format off */
static const struct sae_opt options[] = {
    SAE_EVAL_ALL(given.eval, "Checkpoints", SAE_OPT_UNRECORDED),
    {"full", 0, SAE_OPT_FLAG, &given.full, "false", .group = "Output",
     .help = "print the tables of each checkpoint even if there are several",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"charts", 0, SAE_OPT_FLAG, &given.charts, "true", .group = "Output",
     .help = "draw charts into the folder charts/ of the run; --no-charts: none",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"weights-only", 0, SAE_OPT_FLAG, &given.settings.weights_only, NULL, .group = "Measures",
     .help = "measure only directions and spectrum, which need no held-out "
             "masks", .flags = SAE_OPT_MAIN},
    {"floor", 0, SAE_OPT_COUNT, &given.settings.floor, "5", .min = 1, .max = 1e9, .arg = "N",
     .group = "Measures",
     .help = "held-out tokens on which a latent must fire to count in overlaps",
     .flags = SAE_OPT_MAIN},
    {"bins", 0, SAE_OPT_COUNT, &given.settings.n_bins, "200", .min = 10, .max = 10000, .arg = "N",
     .group = "Measures",
     .help = "bins of the cosine histogram over [-1, 1]", .flags = SAE_OPT_MAIN},
    {"sample", 0, SAE_OPT_COUNT, &given.settings.n_sample, "64", .min = 2, .max = 1024, .arg = "N",
     .group = "Measures",
     .help = "latents in the similarity matrix: those that fire most often", .flags = SAE_OPT_MAIN},
    {"top", 0, SAE_OPT_COUNT, &given.settings.n_top, "20", .min = 0, .max = 100000, .arg = "N",
     .group = "Measures",
     .help = "pairs to list, those with the largest |cos|", .flags = SAE_OPT_MAIN},
    {"duplicate", 0, SAE_OPT_REAL, &given.settings.duplicate, "0.9", .min = 0.2, .max = 1,
     .arg = "COS", .group = "Measures",
     .help = "cosine above which a pair counts as near duplicates"},
    {"tokens", 0, SAE_OPT_COUNT, &given.settings.n_tokens, "2048", .min = 1, .max = 1e6, .arg = "N",
     .group = "Input",
     .help = "with --acts: tokens at the end of the store on which overlaps are counted"},
    SAE_EVAL_ROWS(given.eval),
    SAE_EVAL_PLAN(given.eval),
    SAE_CHART_ROWS(given.drawing),
    {0}};
/* clang-format on */

struct work {
    struct analyze_report report;   /* of the checkpoint at hand */
    struct analyze_column *columns; /* of all */
};

static double began; /* the checkpoint at hand */

/* Small checkpoints take a second; of large ones the parts are reported. */
static void report_stage(const char *what)
{
    if (sae_stop_clock() - began > 2)
        sae_log_info("... %s", what);
    else
        sae_log_debug("... %s", what);
}

static enum sae_status open_work(struct sae_evaluation *run, struct sae_err *err)
{
    (void)run;
    given.settings.measures_masks = given.eval.acts != NULL;
    given.settings.stage = report_stage;
    given.eval.brief = !given.full;
    return sae_chart_check(&given.drawing, err);
}

static enum sae_status plan_one(struct sae_evaluation *run, struct sae_plan *plan,
                                struct sae_err *err)
{
    return analyze_plan(plan, &run->group[0]->ckpt, run->ops, &given.settings, err);
}

static enum sae_status analyze_one(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                   struct sae_result_parts parts[], json_t *record,
                                   struct sae_err *err)
{
    struct work *const w = run->eval->data;
    (void)record; /* it reads nothing but the checkpoint */
    if (!w->columns)
        SAE_TRY(sae_mem_alloc(&w->columns, run->n, sizeof *w->columns, err));
    sae_log_info("measuring '%s'", subject->path);
    began = sae_stop_clock();
    SAE_TRY(analyze_report_make(&w->report, &subject->ckpt, run->ops, &given.settings, err));
    w->report.stem = subject->name; /* of several runs in one folder of -o: the SAE's whole name */
    analyze_compare_fill(&w->columns[subject - run->subjects], &w->report);
    return analyze_result_parts(&parts[0], &w->report, &given.settings, err);
}

/* The charts of one report, beside its result. The result stands without them. */
static void draw(const struct analyze_report *report, const struct sae_eval_subject *subject)
{
    enum sae_status st;
    struct sae_err why = {0}, *const err = &why;
    char *folder = NULL, *charts = NULL;
    size_t n_charts = 0;
    SAE_GO(st, sae_fs_dir(&folder, subject->out[0], err));
    SAE_GO(st, sae_fs_join(&charts, folder, "charts", err));
    SAE_GO(st, analyze_draw(report, &given.drawing, charts, &n_charts, err));
    sae_log_info("drew %zu charts: %s/%s.*", n_charts, charts,
                 report->stem ? report->stem : report->name);
done:
    if (st != SAE_OK)
        sae_log_warn("no charts of '%s': %s", subject->path, why.msg);
    free(folder);
    free(charts);
}

static enum sae_status print(struct sae_evaluation *run, const struct sae_eval_subject *subject,
                             struct sae_err *err)
{
    (void)subject;
    return analyze_tables_print(&((struct work *)run->eval->data)->report, stdout, err);
}

static void end_checkpoint(struct sae_evaluation *run)
{
    struct work *const w = run->eval->data;
    if (given.charts && run->group[0]->result[0])
        draw(&w->report, run->group[0]);
    analyze_report_clear(&w->report);
}

static enum sae_status print_all(struct sae_evaluation *run, struct sae_err *err)
{
    const struct work *const w = run->eval->data;
    if (run->n < 2)
        return SAE_OK;
    if (!given.full)
        return analyze_brief_print(w->columns, run->n, stdout, err);
    putchar('\n');
    return analyze_compare_print(w->columns, run->n, stdout, err);
}

static void close_work(struct sae_evaluation *run)
{
    free(((struct work *)run->eval->data)->columns);
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct work work = {0};
    const struct sae_eval eval = {
        .results = {{"analyze", "analyze", "analyze.json"}},
        .options = &given.eval,
        .data = &work,
        .open = open_work,
        .plan = plan_one,
        .one = analyze_one,
        .print = print,
        .end = end_checkpoint,
        .print_all = print_all,
        .close = close_work,
    };
    return sae_evaluate(&eval, cli, err);
}

static const struct sae_program program = {
    .name = "sae-analyze",
    .summary = "measure how separated the features of checkpoints are",
    .usage = "sae-analyze [options] [CHECKPOINT|RUN ...]",
    .operands = "CHECKPOINT|RUN|FOLDER ...",
    .examples = "# one checkpoint\n"
                "sae-analyze run_2/ckpt_50.h5\n"
                "# every checkpoint of a run, one row each\n"
                "sae-analyze --all run_2\n"
                "# every run of a sweep, each with its tables\n"
                "sae-analyze --full sweep\n"
                "# last checkpoints of all runs here, to be read by a program\n"
                "sae-analyze --json --no-charts > separation.json\n",
    .about =
        "sae-analyze reads one checkpoint and no other file. It measures how far apart the decoder "
        "directions are, how many directions they span, how often latents fire together, whether "
        "latents that fire together point the same way, and which pairs compete under the run's "
        "own schedule.\n\n"
        "Without an operand it takes the last checkpoint of the run in the current folder, or of "
        "every run_* folder there. It writes CHECKPOINT.analyze.json and charts/CHECKPOINT.*.svg "
        "into the run's folder. For one checkpoint it prints all tables; for several it prints one "
        "row each, or all tables with --full. With --json, one checkpoint gives an object, several "
        "give an array.\n\n"
        "Overlaps come from the held-out batch stored in the checkpoint: rare latents overlap by "
        "chance, so pairs below --floor are left out, and each number is printed beside the value "
        "expected of independent latents.",
    .opts = options,
    .run = run,
};

int main(int argc, char **argv)
{
    return sae_program_main(&program, argc, argv);
}
