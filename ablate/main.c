/* SPDX-License-Identifier: MIT */
/* sae-ablate : does zeroing a concept's latents remove the concept, and nothing else? */
#include <stdio.h>
#include <string.h>

#include "ablate/ablate.h"
#include "ablate/plan.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/cli/opt.h"
#include "lib/eval/evaluate.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/record.h"

static struct {
    struct sae_eval_options eval;
    struct sae_u64s n, seeds;
    struct sae_strs labels, pairs;
    uint64_t train_size, test_size, batch, padding, epochs, probe_batch;
    double lr, l1;
    bool scr, tpp;
} given;

/* clang-format off */
static const struct sae_opt options[] = {
    {"scr", 0, SAE_OPT_FLAG, &given.scr, "true", .group = "Evaluations",
     .help = "run spurious correlation removal, on sets with a second label of two values",
     .flags = SAE_OPT_MAIN},
    {"tpp", 0, SAE_OPT_FLAG, &given.tpp, "true", .group = "Evaluations",
     .help = "run targeted probe perturbation, on every set", .flags = SAE_OPT_MAIN},
    {"n", 0, SAE_OPT_U64S, &given.n, "2,5,10,20,50,100,500", .min = 1, .max = 1e6, .arg = "N,..",
     .group = "Evaluations", .help = "number of latents set to zero; one column for each number",
     .flags = SAE_OPT_MAIN},
    {"seeds", 0, SAE_OPT_U64S, &given.seeds, "42,43,44", .min = 0, .max = 4294967295.0,
     .arg = "S,..", .group = "Evaluations",
     .help = "random seeds for the probes and the negative examples; the mean over seeds and its "
             "standard error are reported",
     .flags = SAE_OPT_MAIN},
    {"pairs", 0, SAE_OPT_STRS, &given.pairs, NULL, .arg = "A:B,..", .group = "Evaluations",
     .help = "pairs of classes that SCR compares; default: neighbours, 1st:2nd, 3rd:4th ...",
     .flags = SAE_OPT_MAIN},
    {"labels", 0, SAE_OPT_STRS, &given.labels, NULL, .arg = "FILE,..", .group = "Input",
     .help = "labelled sets; default: labels_*.h5 beside the run's activation store",
     .flags = SAE_OPT_MAIN},
    SAE_EVAL_ALL(given.eval, "Input", 0),
    SAE_EVAL_ROWS(given.eval),
    SAE_EVAL_PLAN(given.eval),
    {"train-size", 0, SAE_OPT_COUNT, &given.train_size, "4000", .min = 4, .max = 1e9, .arg = "N",
     .group = "Probes", .help = "training texts per probe, at most; half of them are positive"},
    {"test-size", 0, SAE_OPT_COUNT, &given.test_size, "1000", .min = 4, .max = 1e9, .arg = "N",
     .group = "Probes", .help = "test texts per probe, at most; half of them are positive"},
    {"epochs", 0, SAE_OPT_COUNT, &given.epochs, "20", .min = 1, .max = 100000, .arg = "N",
     .group = "Probes", .help = "passes of a probe over its training texts"},
    {"probe-batch", 0, SAE_OPT_COUNT, &given.probe_batch, "16", .min = 1, .max = 1e6, .arg = "N",
     .group = "Probes", .help = "texts in one step of a probe; how much of a correlation it learns "
                                "depends on this"},
    {"lr", 0, SAE_OPT_REAL, &given.lr, "0.001", .min = 1e-9, .max = 10, .arg = "X",
     .group = "Probes", .help = "learning rate"},
    {"l1", 0, SAE_OPT_REAL, &given.l1, "0.001", .min = 0, .max = 10, .arg = "X",
     .group = "Probes", .help = "L1 weight of a probe"},
    {"padding", 0, SAE_OPT_COUNT, &given.padding, NULL, .min = 0, .max = 65536, .arg = "N",
     .group = "Input", .help = "tokens to which texts are padded, since SAEBench counts padding "
                               "in; 0: no padding; default: the context of the set"},
    {"batch", 0, SAE_OPT_COUNT, &given.batch, "4096", .min = 1, .max = 1e7, .arg = "N",
     .group = "Input", .help = "tokens encoded at a time"},
    {0}};
/* clang-format on */

enum { SCR, TPP };

struct work {
    struct ablate_settings settings;
    char **paths; /* [n_paths] labelled sets of the SAE at hand */
    size_t n_paths;
    struct ablate_scores scores[2]; /* of it, SCR and TPP */
};

static enum sae_status open_work(struct sae_evaluation *run, struct sae_err *err)
{
    struct ablate_settings *const s = &((struct work *)run->eval->data)->settings;
    if (given.n.n == 0 || given.seeds.n == 0 || !(given.scr || given.tpp))
        return sae_err_set(err, SAE_EARG,
                           "nothing to do: --n and --seeds need a number each, and "
                           "one of --scr and --tpp must be on");
    if (given.n.n > 20)
        return sae_err_set(err, SAE_EARG, "--n: %zu numbers, at most 20 are taken", given.n.n);
    *s = (struct ablate_settings){.n = given.n.v,
                                  .n_n = sae_u64s_distinct(&given.n),
                                  .seeds = given.seeds.v,
                                  .n_seeds = sae_u64s_distinct(&given.seeds),
                                  .train_size = (size_t)given.train_size,
                                  .test_size = (size_t)given.test_size,
                                  .epochs = (size_t)given.epochs,
                                  .probe_batch = (size_t)given.probe_batch,
                                  .lr = given.lr,
                                  .l1 = given.l1,
                                  .batch = (size_t)given.batch,
                                  .padding = sae_opt_given(run->cli, "padding") ? given.padding
                                                                                : UINT64_MAX,
                                  .pairs = given.pairs.v,
                                  .n_pairs = given.pairs.n};
    run->unwanted[SCR] = !given.scr;
    run->unwanted[TPP] = !given.tpp;
    return SAE_OK;
}

static enum sae_status find_sets(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                 struct sae_err *err)
{
    struct work *const w = run->eval->data;
    return sae_store_sets(&w->paths, &w->n_paths, SAE_STORE_LABELS, &subject->ckpt,
                          given.labels.v, given.labels.n, err);
}

/* What a set was cut to by harvest, BOS included; 128 as upstream where it does not say. */
static uint64_t padding_of(const struct sae_labels *labels, const struct ablate_settings *s)
{
    if (s->padding != UINT64_MAX)
        return s->padding;
    return sae_json_u64(sae_store_site(labels->record), "context", 128);
}

static enum sae_status run_set(struct work *w, const char *path, const struct sae_ckpt *ckpt,
                               const struct sae_ops *ops, json_t *record, struct sae_err *err)
{
    const struct ablate_settings *const s = &w->settings;
    struct sae_labels labels = {0};
    struct ablate_texts texts = {0};
    enum sae_status st;
    SAE_TRY(sae_labels_open(&labels, path, err));
    const bool scr = given.scr && labels.n_attributes > 0;
    SAE_GO(st, sae_store_check(ckpt, path, labels.d, labels.record, err));
    if (!scr && !given.tpp)
        goto done;
    SAE_GO(st, ablate_texts_make(&texts, &labels, &ckpt->model, ops, s->batch,
                                 padding_of(&labels, s), err));
    if (scr)
        SAE_GO(st, ablate_scr(&w->scores[SCR], &texts, s, err));
    if (given.tpp)
        SAE_GO(st, ablate_tpp(&w->scores[TPP], &texts, s, err));
    st = sae_record_input(record, "labels", sae_fs_base(path), labels.id, labels.record, err);
done:
    ablate_texts_clear(&texts);
    sae_labels_close(&labels);
    return st;
}

/* SCR that was asked for must not be missing; by default it is left out where no set allows it. */
static enum sae_status check_scr(const struct sae_evaluation *run, const struct work *w,
                                 struct sae_err *err)
{
    if (!given.scr || w->scores[SCR].n > 0)
        return SAE_OK;
    if (sae_opt_given(run->cli, "scr") || !given.tpp)
        return sae_err_set(err, SAE_EARG,
                           "none of %zu labelled sets has two attributes, which SCR needs; "
                           "harvest one from data with a second label (--attribute-column)",
                           w->n_paths);
    sae_log_info("no labelled set has two attributes: no SCR");
    return SAE_OK;
}

static enum sae_status plan_one(struct sae_evaluation *run, struct sae_plan *plan,
                                struct sae_err *err)
{
    const struct work *const w = run->eval->data;
    for (size_t i = 0; i < w->n_paths; i++) {
        struct sae_labels labels = {0};
        SAE_TRY(sae_labels_open(&labels, w->paths[i], err));
        const bool scr = given.scr && labels.n_attributes > 0;
        const enum sae_status st =
            scr || given.tpp ? ablate_plan_set(plan, &labels, &run->group[0]->ckpt.model, run->ops,
                                               &w->settings, scr, given.tpp, err)
                             : SAE_OK;
        sae_labels_close(&labels);
        SAE_TRY(st);
    }
    if (plan->is_asked)
        sae_plan_hold(plan);
    return SAE_OK;
}

static enum sae_status ablate_one(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                  struct sae_result_parts parts[], json_t *record,
                                  struct sae_err *err)
{
    struct work *const w = run->eval->data;
    for (size_t i = 0; i < w->n_paths; i++) {
        const enum sae_status st = run_set(w, w->paths[i], &subject->ckpt, run->ops, record, err);
        if (st != SAE_OK && st != SAE_EINTR && !strstr(err->msg, w->paths[i]))
            (void)sae_err_prefix(err, "'%s'", w->paths[i]);
        SAE_TRY(st);
    }
    SAE_TRY(check_scr(run, w, err));
    for (int r = SCR; r <= TPP; r++)
        if (w->scores[r].n > 0)
            parts[r] = ablate_result_parts(&subject->ckpt, &w->scores[r], r == SCR, &w->settings);
    return SAE_OK;
}

static enum sae_status print(struct sae_evaluation *run, const struct sae_eval_subject *subject,
                             struct sae_err *err)
{
    const struct work *const w = run->eval->data;
    for (int r = SCR; r <= TPP; r++)
        if (w->scores[r].n > 0)
            SAE_TRY(ablate_table_print(&subject->ckpt, &w->scores[r], r == SCR, &w->settings,
                                       stdout, err));
    return SAE_OK;
}

static void end_checkpoint(struct sae_evaluation *run)
{
    struct work *const w = run->eval->data;
    ablate_scores_clear(&w->scores[SCR]);
    ablate_scores_clear(&w->scores[TPP]);
    sae_fs_list_free(w->paths, w->n_paths);
    w->paths = NULL;
    w->n_paths = 0;
}

static enum sae_status print_caution(struct sae_evaluation *run, struct sae_err *err)
{
    (void)run;
    (void)err;
    puts("read both with caution: SCR and TPP fail checks of reliability (docs/math-ablation.md)");
    return SAE_OK;
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct work work = {0};
    const struct sae_eval eval = {
        .results = {{"scr", "scr", "scr.json"}, {"tpp", "tpp", "tpp.json"}},
        .options = &given.eval,
        .data = &work,
        .open = open_work,
        .check = find_sets,
        .plan = plan_one,
        .one = ablate_one,
        .print = print,
        .end = end_checkpoint,
        .print_all = print_caution,
    };
    return sae_evaluate(&eval, cli, err);
}

int main(int argc, char **argv)
{
    static const struct sae_program program = {
        .name = "sae-ablate",
        .summary = "zero a concept's latents: spurious correlations (SCR), perturbed probes (TPP)",
        .usage = "sae-ablate [--no-scr|--no-tpp] [--all] [CHECKPOINT|RUN ...]",
        .examples =
            "# both evaluations, on the labelled sets beside the run's store\n"
            "sae-ablate run_2\n"
            "# SCR on profession and gender, SAEBench's pairs (labels as the data has them)\n"
            "sae-harvest --like acts --labels bias_in_bios.csv --text-column hard_text \\\n"
            "    --label-column profession --attribute-column gender\n"
            "sae-ablate --no-tpp --labels acts/labels_bias_in_bios.h5 \\\n"
            "    --pairs 21:13,1:11,25:22,2:26 run_2\n",
        .about =
            "sae-ablate runs two evaluations of SAEBench on labelled sets. Linear probes are "
            "trained on the mean activations of texts. A latent's effect on a probe is how much "
            "more it fires on the concept's texts, times the weight of its direction in the probe. "
            "The n latents with the largest effect are set to zero.\n\n"
            "SCR (spurious correlation removal): a probe is trained where class and attribute "
            "always come together (all professors men, all nurses women). Ablating the latents of "
            "one should leave a probe of the other: the score is how much of the accuracy lost to "
            "the correlation comes back. It needs a set with a second label of two values "
            "(sae-harvest --attribute-column).\n\n"
            "TPP (targeted probe perturbation): ablating one class's latents should cost its own "
            "probe accuracy, and the other classes' probes none; the score is the difference.\n\n"
            "Both are doubtful: they fail the reliability checks of an independent audit, which "
            "advises against them. If you use them, use several seeds and other measures beside "
            "them. Results go to ckpt_<n>.scr.json and ckpt_<n>.tpp.json beside the checkpoint, in "
            "SAEBench's forms. Formulas, versions, doubts: docs/math-ablation.md.",
        .operands = "CHECKPOINT|RUN ...",
        .opts = options,
        .run = run,
    };
    return sae_program_main(&program, argc, argv);
}
