/* SPDX-License-Identifier: MIT */
/* sae-report : all runs and the published baselines side by side. Notes on stdout, charts beside.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/cli/chart.h"
#include "lib/cli/opt.h"
#include "lib/file/json.h"
#include "report/csv.h"
#include "report/report.h"

static struct {
    const char *against, *baselines, *charts, *csv, *title;
    struct sae_strs saebench, labels;
    bool draw, full, doubtful;
} given;

static struct sae_chart_options drawing;

static const struct sae_opt opts[] = {
    {"charts", 0, SAE_OPT_PATH, &given.charts, "report_charts", .arg = "DIR", .group = "Output",
     .help = "folder for the charts and their gnuplot scripts",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"draw", 0, SAE_OPT_FLAG, &given.draw, "true", .group = "Output",
     .help = "draw the charts; --no-draw: only the notes",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    SAE_CHART_ROWS(drawing),
    {"title", 0, SAE_OPT_STR, &given.title, NULL, .arg = "TEXT", .group = "Output",
     .help = "title of every chart; none: no title, for figures with a caption; default: each "
             "chart has its own", .flags = SAE_OPT_UNRECORDED},
    {"csv", 0, SAE_OPT_PATH, &given.csv, NULL, .arg = "FILE|DIR", .group = "Output",
     .help = "write every number as CSV, one per row: into FILE.csv, to stdout (-) in place of "
             "the notes, or, with runs, groups, comparisons and time series, into DIR",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"full", 0, SAE_OPT_FLAG, &given.full, "false", .group = "Output",
     .help = "print every metric with its meaning, at every phase of training",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"doubtful", 0, SAE_OPT_FLAG, &given.doubtful, "false", .group = "Output",
     .help = "show in the notes what an audit advises against, too: SCR and TPP (--csv and --json "
             "always have them)", .flags = SAE_OPT_UNRECORDED},
    {"against", 0, SAE_OPT_STR, &given.against, NULL, .arg = "RUN", .group = "Comparison",
     .help = "run that the others are compared with; default: the first", .flags = SAE_OPT_MAIN},
    {"label", 0, SAE_OPT_STRS, &given.labels, NULL, .arg = "NAME=RUN", .group = "Comparison",
     .help = "name of a run in the report; default: its folder's name, with as much of its path "
             "as makes it unique", .flags = SAE_OPT_MAIN},
    {"baselines", 0, SAE_OPT_PATH, &given.baselines, NULL, .arg = "DIR", .group = "Comparison",
     .help = "folder of published results (*.json); default: those that are installed with saekit",
     .flags = SAE_OPT_MAIN},
    {"saebench", 0, SAE_OPT_STRS, &given.saebench, NULL, .arg = "DIR,..", .group = "Comparison",
     .help = "folders of SAEBench's result files (*_eval_results.json), to be shown beside the "
             "runs", .flags = SAE_OPT_MAIN},
    {NULL                                                  },
};

static enum sae_status print_json(const struct report *report, struct sae_err *err)
{
    json_t *json = NULL;
    SAE_TRY(report_json(&json, report, err));
    const enum sae_status st = sae_json_print(stdout, json, err);
    json_decref(json);
    return st;
}

/* Charts that cannot be made are no reason to keep the tables back. */
static enum sae_status draw(struct report *report, const struct report_settings *settings,
                            struct sae_err *err)
{
    struct sae_err why = {0};
    const bool none = given.title != NULL && strcmp(given.title, "none") == 0;
    const char *const title = none ? "" : given.title;
    const enum sae_status st = report_draw(report, settings, &drawing, title, &why);
    if (st == SAE_EINTR)
        return sae_err_set(err, st, "%s", why.msg);
    if (st == SAE_OK)
        return SAE_OK;
    sae_log_warn("the charts are not complete: %s", why.msg);
    return report_lines_add(&report->problems, err, "The charts are not complete: %s", why.msg);
}

/* "numbers.txt" would become a folder: a misspelt file is told before anything is read. */
static enum sae_status check_csv(const char *path, struct sae_err *err)
{
    if (path == NULL || strcmp(path, "-") == 0 || sae_str_ends(path, ".csv") ||
        sae_fs_is_dir(path) || strchr(sae_fs_base(path), '.') == NULL)
        return SAE_OK;
    return sae_err_set(err, SAE_EARG,
                       "--csv %s: expected a file named *.csv, - for stdout, or a folder (whose name "
                       "has no dot, or which is there)",
                       path);
}

/* What goes to stdout, and the file of numbers. Where that cannot be written, the rest comes all the
 * same. */
static enum sae_status print(const struct report *report, bool json, struct sae_err *err)
{
    const bool csv = given.csv != NULL && strcmp(given.csv, "-") == 0;
    if (csv && json)
        return sae_err_set(err, SAE_EARG, "--csv - and --json both want stdout; give one of them");
    if (csv)
        return report_csv_metrics(report, stdout, err);
    struct sae_err why = {0};
    const enum sae_status st =
        given.csv != NULL ? report_csv(report, given.csv, &why) : SAE_OK;
    SAE_TRY(json ? print_json(report, err) : report_notes(report, given.full, stdout, err));
    return st == SAE_OK ? SAE_OK : sae_err_set(err, st, "%s", why.msg);
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    char self[PATH_MAX];
    sae_host_program(self);
    const struct report_settings settings = {
        .operands = cli->args,
        .n_operands = cli->n_args,
        .labels = given.labels.v,
        .n_labels = given.labels.n,
        .against = given.against,
        .baselines = given.baselines,
        .saebench = given.saebench.v,
        .n_saebench = given.saebench.n,
        .doubtful = given.doubtful,
        .charts = given.draw ? given.charts : NULL,
        .program = self[0] ? self : NULL,
    };
    struct report report = {0};
    enum sae_status st = SAE_OK;
    SAE_GO(st, check_csv(given.csv, err));
    SAE_GO(st, sae_chart_check(&drawing, err));
    SAE_GO(st, report_load(&report, &settings, err));
    for (size_t i = 0; i < report.problems.n; i++)
        sae_log_warn("%s", report.problems.v[i]);
    if (settings.charts != NULL)
        SAE_GO(st, draw(&report, &settings, err));
    SAE_GO(st, print(&report, cli->json, err));
    if (report.n_lost > 0)
        st = sae_err_set(err, SAE_EFORMAT,
                         "%zu of the files and folders could not be read; the rest is reported",
                         report.n_lost);
done:
    report_clear(&report);
    return st;
}

int main(int argc, char **argv)
{
    static const struct sae_program program = {
        .name = "sae-report",
        .summary = "compare runs with each other and with published baselines, in tables and "
                   "charts",
        .usage = "sae-report [options] [RUN ...] > notes.txt",
        .examples = "# every run_* folder here\n"
                    "sae-report > notes.txt\n"
                    "# three runs, differences taken from the second\n"
                    "sae-report --against run_2 run_1 run_2 run_3 > notes.txt\n"
                    "# a sweep; an SAE of another package that was measured with -o out\n"
                    "sae-report sweep out > notes.txt\n"
                    "# beside results that SAEBench made or published\n"
                    "sae-report --saebench eval_results run_1 run_2 > notes.txt\n"
                    "# all numbers for pandas: pandas.read_csv('report.csv')\n"
                    "sae-report --no-draw --csv report.csv sweep > notes.txt\n"
                    "# all numbers, to be read by a program\n"
                    "sae-report --json --no-draw run_1 run_2 > report.json\n",
        .about =
            "sae-report reads the checkpoints of each run and the results beside them "
            "(ckpt_50.analyze.json, .probe.json, .absorb.json, .core.json and the others). It "
            "measures nothing itself. The notes say what was run, what each number means, how the "
            "runs compare at each phase of training, which score targets are met, and which "
            "command makes each result that is missing.\n\n"
            "A run is a folder of ckpt_*.h5. A folder of runs, such as a sweep, means all of them. "
            "A folder that an evaluation filled with -o means the SAEs measured there, so that "
            "SAEs of other packages can be compared with runs.\n\n"
            "If a file cannot be read, the notes and stderr name it, the rest is reported, and the "
            "exit status is 1. A result that was made from an earlier version of its checkpoint is "
            "left out.\n\n"
            "Published results are printed in [brackets]. They were measured on gemma-2-2b, layer "
            "12.",
        .operands = "RUN|FOLDER|CHECKPOINT ...",
        .opts = opts,
        .run = run,
    };
    return sae_program_main(&program, argc, argv);
}
