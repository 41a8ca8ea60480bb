/* SPDX-License-Identifier: MIT */
/* sae-probe : how well do single latents stand for labelled concepts? */
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cli/opt.h"
#include "lib/eval/evaluate.h"
#include "lib/eval/output.h"
#include "lib/eval/store.h"
#include "probe/last.h"
#include "probe/plan.h"
#include "probe/probe.h"

static struct {
    struct sae_eval_options eval;
    struct sae_u64s k, seeds;
    struct sae_strs labels;
    uint64_t train_size, test_size, batch;
    int protocol, setting;
    bool full;
} given;

enum { SAEBENCH, SAE_PROBES };
enum { LAST_BATCH = 512 }; /* a set is a few thousand rows: scratch that is soon full of them */
static const char *const protocols[] = {"saebench", "sae-probes", NULL};
static const char *const settings[] = {"normal", "scarcity", "imbalance", NULL};

/* clang-format off */
static const struct sae_opt options[] = {
    {"protocol", 0, SAE_OPT_ENUM, &given.protocol, "saebench", .choices = protocols,
     .group = "Probes",
     .help = "saebench: latents averaged over a text, every class against the others; sae-probes: "
             "latents at the last token of a text, as the package of that name has it",
     .flags = SAE_OPT_MAIN},
    {"setting", 0, SAE_OPT_ENUM, &given.setting, "normal", .choices = settings, .group = "Probes",
     .help = "of --protocol sae-probes: how many texts of each class there are to train on; only "
             "normal is computed"},
    {"k", 0, SAE_OPT_U64S, &given.k, "1,2,5", .min = 1, .max = 1000000, .arg = "K,..",
     .group = "Probes", .help = "number of latents that a probe uses; one column for each number",
     .flags = SAE_OPT_MAIN},
    {"seeds", 0, SAE_OPT_U64S, &given.seeds, "42,43,44,45,46", .min = 0, .max = 4294967295.0,
     .arg = "S,..", .group = "Probes",
     .help = "random seeds for the draws of negative examples; the mean over seeds and its "
             "standard error are reported. With --protocol sae-probes one seed, by default 42",
     .flags = SAE_OPT_MAIN},
    {"train-size", 0, SAE_OPT_COUNT, &given.train_size, "4000", .min = 2, .max = 1e9, .arg = "N",
     .group = "Probes", .help = "training texts per task, at most; half of them are positive",
     .flags = SAE_OPT_MAIN},
    {"test-size", 0, SAE_OPT_COUNT, &given.test_size, "1000", .min = 2, .max = 1e9, .arg = "N",
     .group = "Probes", .help = "test texts per task, at most; half of them are "
                                "positive", .flags = SAE_OPT_MAIN},
    {"full", 0, SAE_OPT_FLAG, &given.full, "true", .group = "Probes",
     .help = "also probe with all latents and with all neurons, as SAEBench's form requires (with "
             "--protocol sae-probes with all neurons); --no-full: do not",
     .flags = SAE_OPT_MAIN},
    {"labels", 0, SAE_OPT_STRS, &given.labels, NULL, .arg = "FILE,..", .group = "Input",
     .help = "labelled sets; default: labels_*.h5 beside the run's activation store (last_*.h5 with "
             "--protocol sae-probes)",
     .flags = SAE_OPT_MAIN},
    SAE_EVAL_ALL(given.eval, "Input", 0),
    SAE_EVAL_ROWS(given.eval),
    SAE_EVAL_PLAN(given.eval),
    {"batch", 0, SAE_OPT_COUNT, &given.batch, "4096", .min = 1, .max = 1e7, .arg = "N",
     .group = "Input", .help = "tokens encoded at a time; with --protocol sae-probes 512 unless it is given"},
    {0}};
/* clang-format on */

/* What lasts from one checkpoint to the next. */
struct work {
    struct probe_settings settings;
    struct probe_set *set_cache; /* [n_cached] all sets met: raw neurons are probed once for each */
    size_t n_cached, cap;
    size_t n_sets; /* the first ones, which are those of the checkpoint at hand */
};

static enum sae_status open_work(struct sae_evaluation *run, struct sae_err *err)
{
    struct work *const w = run->eval->data;
    if (given.k.n == 0 || given.seeds.n == 0)
        return sae_err_set(err, SAE_EARG, "--%s needs at least one number",
                           given.k.n ? "seeds" : "k");
    /* ascending, so that a probe's columns are the first ones of the next */
    w->settings = (struct probe_settings){.k = given.k.v,
                                          .n_k = sae_u64s_distinct(&given.k),
                                          .seeds = given.seeds.v,
                                          .n_seeds = sae_u64s_distinct(&given.seeds),
                                          .train_size = given.train_size,
                                          .test_size = given.test_size,
                                          .batch = given.batch,
                                          .full = given.full};
    return SAE_OK;
}

/* Puts the set at `path`, checked against the checkpoint, into place `to` of the cache. */
static enum sae_status select_set(struct work *w, size_t to, const char *path,
                                  const struct sae_ckpt *ckpt, struct sae_err *err)
{
    struct probe_set set = {0};
    size_t at = to;
    SAE_TRY(probe_set_open(&set, path, &w->settings, err));
    while (at < w->n_cached && strcmp(w->set_cache[at].id, set.id) != 0)
        at++;
    const bool is_cached = at < w->n_cached;
    enum sae_status st = sae_store_check(ckpt, set.path, set.d, set.record, err);
    if (st == SAE_OK && !is_cached)
        st = sae_mem_grow(&w->set_cache, &w->cap, w->n_cached + 1, sizeof *w->set_cache, err);
    if (st != SAE_OK || is_cached)
        probe_set_clear(&set);
    SAE_TRY(st);
    if (!is_cached)
        w->set_cache[w->n_cached++] = set;
    const struct probe_set moved = w->set_cache[at];
    w->set_cache[at] = w->set_cache[to];
    w->set_cache[to] = moved;
    probe_set_drop_latents(&w->set_cache[to]);
    return SAE_OK;
}

/* Makes the checkpoint's sets the first ones of the cache. */
static enum sae_status select_sets(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                   struct sae_err *err)
{
    struct work *const w = run->eval->data;
    char **paths = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_TRY(sae_store_sets(&paths, &n, SAE_STORE_LABELS, &subject->ckpt, given.labels.v,
                           given.labels.n, err));
    for (size_t i = 0; i < n; i++)
        SAE_GO(st, select_set(w, i, paths[i], &subject->ckpt, err));
    w->n_sets = n;
    st = SAE_OK;
done:
    sae_fs_list_free(paths, n);
    return st;
}

/* Probes the sets that no earlier, interrupted invocation has finished. */
static enum sae_status probe_sets(const struct work *w, const struct sae_eval_subject *subject,
                                  const struct sae_ops *ops, struct sae_err *err)
{
    const struct probe_settings *const s = &w->settings;
    struct probe_set *const sets = w->set_cache;
    size_t n_taken = 0;
    SAE_TRY(probe_partial_load(&n_taken, subject->partial, &subject->ckpt, sets, w->n_sets, s, err));
    if (n_taken)
        sae_log_info("%zu of %zu sets were finished before, in '%s'", n_taken, w->n_sets,
                     subject->partial);
    for (size_t i = 0; i < w->n_sets; i++) {
        if (sets[i].has_latents && sets[i].has_neurons)
            continue;
        const enum sae_status st = probe_set_run(&sets[i], &subject->ckpt, ops, s, err);
        if (st != SAE_OK)
            return st == SAE_EINTR ? st : sae_err_prefix(err, "'%s'", sets[i].path);
        if (w->n_sets > 1)
            SAE_TRY(probe_partial_save(subject->partial, &subject->ckpt, sets, w->n_sets, s, err));
    }
    return SAE_OK;
}

static enum sae_status plan_one(struct sae_evaluation *run, struct sae_plan *plan,
                                struct sae_err *err)
{
    const struct work *const w = run->eval->data;
    for (size_t i = 0; i < w->n_sets; i++)
        SAE_TRY(probe_plan_set(plan, w->set_cache[i].path, &run->group[0]->ckpt.model, run->ops,
                               &w->settings, err));
    if (plan->is_asked)
        sae_plan_hold(plan);
    return SAE_OK;
}

static enum sae_status probe_one(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                 struct sae_result_parts parts[], json_t *record,
                                 struct sae_err *err)
{
    const struct work *const w = run->eval->data;
    SAE_TRY(probe_sets(w, subject, run->ops, err));
    for (size_t i = 0; i < w->n_sets; i++) {
        const struct probe_set *const set = &w->set_cache[i];
        SAE_TRY(sae_output_input(record, &subject->ckpt, "labels", set->path, set->id, set->record,
                                 err));
    }
    parts[0] = probe_result_parts(&subject->ckpt, w->set_cache, w->n_sets, &w->settings);
    return SAE_OK;
}

static enum sae_status print(struct sae_evaluation *run, const struct sae_eval_subject *subject,
                             struct sae_err *err)
{
    const struct work *const w = run->eval->data;
    return probe_table_print(&subject->ckpt, w->set_cache, w->n_sets, &w->settings, stdout, err);
}

static void close_work(struct sae_evaluation *run)
{
    struct work *const w = run->eval->data;
    for (size_t i = 0; i < w->n_cached; i++)
        probe_set_clear(&w->set_cache[i]);
    free(w->set_cache);
}

/* What --protocol sae-probes fixes by itself is refused by name. */
static enum sae_status check_protocol(const struct sae_cli *cli, struct sae_err *err)
{
    static const char *const of_saebench[] = {"train-size", "test-size"};
    if (given.protocol == SAEBENCH && sae_opt_given(cli, "setting"))
        return sae_err_set(err, SAE_EARG,
                           "--setting has no meaning without --protocol sae-probes; leave it out");
    if (given.protocol == SAEBENCH)
        return SAE_OK;
    for (size_t i = 0; i < sizeof of_saebench / sizeof *of_saebench; i++)
        if (sae_opt_given(cli, of_saebench[i]))
            return sae_err_set(err, SAE_EARG,
                               "--%s has no meaning with --protocol sae-probes, which fixes the "
                               "sizes itself; leave it out",
                               of_saebench[i]);
    if (sae_opt_given(cli, "plan"))
        return sae_err_set(err, SAE_EARG,
                           "--plan does not measure --protocol sae-probes; leave one of them out");
    if (given.setting != 0)
        return sae_err_set(err, SAE_EARG,
                           "--setting %s is not computed here; expected normal, the one that "
                           "SAEBench takes",
                           settings[given.setting]);
    if (sae_opt_given(cli, "seeds") && (given.seeds.n != 1 || given.seeds.v[0] > UINT32_MAX))
        return sae_err_set(err, SAE_EARG,
                           "--seeds: --protocol sae-probes takes one seed, of 32 bits; give one");
    if (given.k.n == 0)
        return sae_err_set(err, SAE_EARG, "--k needs at least one number");
    return SAE_OK;
}

static enum sae_status run_last(const struct sae_cli *cli, struct sae_err *err)
{
    struct probe_last_work work = {
        .settings = {.k = given.k.v,
                     .n_k = sae_u64s_distinct(&given.k),
                     .seed = sae_opt_given(cli, "seeds") ? (uint32_t)given.seeds.v[0] : 42,
                     .batch = sae_opt_given(cli, "batch") ? given.batch : LAST_BATCH,
                     .full = given.full},
        .labels = given.labels.v,
        .n_labels = given.labels.n,
    };
    const struct sae_eval eval = probe_last_eval(&work, &given.eval);
    return sae_evaluate(&eval, cli, err);
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct work work = {0};
    SAE_TRY(check_protocol(cli, err));
    if (given.protocol == SAE_PROBES)
        return run_last(cli, err);
    const struct sae_eval eval = {
        .results = {{"sparse_probing", "sparse_probing", "probe.json"}},
        .partial = ".part.json",
        .options = &given.eval,
        .data = &work,
        .open = open_work,
        .check = select_sets,
        .plan = plan_one,
        .one = probe_one,
        .print = print,
        .close = close_work,
    };
    return sae_evaluate(&eval, cli, err);
}

int main(int argc, char **argv)
{
    static const struct sae_program program = {
        .name = "sae-probe",
        .summary = "probe labelled concepts with few latents, against raw neurons",
        .usage = "sae-probe [--k 1,2,5] [--all] [CHECKPOINT|RUN ...]",
        .examples = "# the newest checkpoint of the run in this folder, or of every run here\n"
                    "sae-probe --k 1,2,5\n"
                    "# every checkpoint of one run\n"
                    "sae-probe --all run_2\n"
                    "# labelled sets of your own\n"
                    "sae-probe --labels acts/labels_topic.h5 run_2/ckpt_50.h5\n"
                    "# the sets of the package sae-probes, from sae-harvest --sae-probes\n"
                    "sae-probe --protocol sae-probes run_2/ckpt_50.h5\n",
        .about = "For every class of every labelled set, sae-probe makes a balanced task (the "
                 "class against the others), picks the k latents whose means differ most between "
                 "the two sides, and fits a logistic regression on them. The same is done with the "
                 "raw neurons. High accuracy at k = 1 says that single latents stand for the "
                 "concepts.\n\n"
                 "Results go to ckpt_<n>.probe.json beside the checkpoint, in SAEBench's "
                 "sparse_probing form. An interrupted run keeps its finished sets in "
                 "ckpt_<n>.probe.part.json and continues from there.\n\n"
                 "--protocol sae-probes is k-sparse probing as the package sae-probes 0.4 does it "
                 "(SAEBench's sparse_probing_sae_probes), which an audit of SAEBench's metrics "
                 "found the most reliable of them (arXiv 2605.18229): the activation at the last "
                 "token of each text, two classes a set, up to 1,024 texts to train on; latents "
                 "ranked by the difference of their class means over their mean where they fire; "
                 "L1 logistic regression whose C is chosen on a held-out tail, and as the bar an L2 "
                 "regression on the activation itself (the package's method logreg; its pca, knn, "
                 "xgboost and mlp are not computed). Results go to ckpt_<n>.sae_probes.json.\n\n"
                 "Formulas and versions: docs/math-probing.md.",
        .operands = "CHECKPOINT|RUN ...",
        .opts = options,
        .run = run,
    };
    return sae_program_main(&program, argc, argv);
}
