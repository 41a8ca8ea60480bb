/* SPDX-License-Identifier: MIT */
/* sae-splice : what does the language model lose when the reconstruction replaces its activations? */
#include <math.h>
#include <stdio.h>

#include "lib/cli/backend.h"
#include "lib/cli/opt.h"
#include "lib/cli/table.h"
#include "lib/file/json.h"
#include "lib/text/docs.h"
#include "splice/group.h"

static struct {
    struct sae_eval_options eval;
    const char *model, *field, *hook;
    struct sae_strs texts;
    uint64_t skip, layer, contexts, context, batch, reference_size;
    const char *reference;
    int split;
    bool features, keep;
    int matmul;
} given;

/* clang-format off */
static const struct sae_opt opts[] = {
    {"model", 0, SAE_OPT_PATH, &given.model, NULL, .arg = "DIR", .group = "What to measure on",
     .help = "folder or GGUF file of the language model; default: the one that made "
             "the activations", .flags = SAE_OPT_MAIN},
    {"text", 0, SAE_OPT_STRS, &given.texts, NULL, .arg = "FILE", .group = "What to measure on",
     .help = "plain text, JSON lines, Parquet and the like, as sae-harvest reads them; default: the store's text, "
             "after what the store holds",
     .flags = SAE_OPT_MAIN},
    {"contexts", 0, SAE_OPT_COUNT, &given.contexts, "64", .min = 1, .max = 1e9, .arg = "N",
     .group = "What to measure on",
     .help = "contexts of text to run; SAEBench's published numbers use 3200 and 32000",
     .flags = SAE_OPT_MAIN},
    {"context", 0, SAE_OPT_COUNT, &given.context, "128", .min = 2, .max = 65536, .arg = "N",
     .group = "What to measure on",
     .help = "tokens in a context", .flags = SAE_OPT_MAIN},
    SAE_EVAL_ALL(given.eval, "What to measure on", 0),
    {"features", 0, SAE_OPT_FLAG, &given.features, "true", .group = "Results",
     .help = "write densities and cosines of each latent to the result (eval_result_details)",
     .flags = SAE_OPT_MAIN},
    SAE_EVAL_ROWS(given.eval),
    SAE_EVAL_PLAN(given.eval),
    {"layer", 0, SAE_OPT_U64, &given.layer, NULL, .min = 0, .max = 255, .arg = "N",
     .group = "What to measure on",
     .help = "layer where activations are replaced; default: the one trained on"},
    {"hook", 0, SAE_OPT_STR, &given.hook, NULL, .arg = "NAME", .group = "What to measure on",
     .help = "place in the layer where they are replaced: " SAE_HOOK_HELP
             "; default: the one trained on"},
    {"field", 0, SAE_OPT_STR, &given.field, NULL, .arg = "NAME", .group = "What to measure on",
     .help = "field or column that holds the text; default: as in the store"},
    {"split", 0, SAE_OPT_ENUM, &given.split, "none", .choices = sae_docs_split_names,
     .group = "What to measure on",
     .help = "where a document of plain text ends: with the file (none), at a blank line, at each "
             "line; default: as in the store"},
    {"skip", 0, SAE_OPT_COUNT, &given.skip, NULL, .min = 0, .max = 1e15, .arg = "N",
     .group = "What to measure on",
     .help = "documents to skip; default: those that the store holds; with --text: 0"},
    {"batch", 0, SAE_OPT_COUNT, &given.batch, "16", .min = 1, .max = 65536, .arg = "N",
     .group = "What to measure on",
     .help = "contexts in a batch; mse and the legacy explained variance depend on it"},
    {"keep", 0, SAE_OPT_FLAG, &given.keep, "true", .group = "Speed",
     .help = "cache the clean and the zero-ablated pass, so that the next checkpoint needs only "
             "its own; --no-keep: no cache"},
    {"reference", 0, SAE_OPT_PATH, &given.reference, NULL, .arg = "DIR", .group = "Speed",
     .help = "folder of that cache; default: reference in the store's folder"},
    SAE_CLI_LM_MATMUL(&given.matmul, "Speed"),
    {"reference-size", 0, SAE_OPT_COUNT, &given.reference_size, "16G", .min = 0, .max = 1e18,
     .arg = "BYTES", .group = "Speed",
     .help = "largest cache; if the text needs more, nothing is cached"},
    {0}
};
/* clang-format on */

static double metric(const json_t *json, const char *path)
{
    char whole[160];
    snprintf(whole, sizeof whole, "eval_result_metrics.%s", path);
    return sae_json_real(json, whole, NAN);
}

static enum sae_status print_table(struct sae_evaluation *run, struct sae_err *err)
{
    static const char *const heads[] = {"checkpoint", "CE score",  "CE sae",    "KL score",
                                        "KL sae",     "expl.var.", "EV legacy", "cosine",
                                        "L2 ratio",   "L0",        "alive"};
    static const char *const paths[] = {"model_performance_preservation.ce_loss_score",
                                        "model_performance_preservation.ce_loss_with_sae",
                                        "model_behavior_preservation.kl_div_score",
                                        "model_behavior_preservation.kl_div_with_sae",
                                        "reconstruction_quality.explained_variance_pooled",
                                        "reconstruction_quality.explained_variance_legacy",
                                        "reconstruction_quality.cossim",
                                        "shrinkage.l2_ratio",
                                        "sparsity.l0",
                                        "misc_metrics.frac_alive"};
    struct sae_table *table = NULL;
    SAE_TRY(sae_table_make(&table, sizeof heads / sizeof *heads, heads, err));
    for (size_t i = 0; i < run->n; i++) {
        sae_table_text(table, "%s", run->subjects[i].path);
        for (size_t c = 0; c < sizeof paths / sizeof *paths; c++)
            sae_table_real(table, metric(run->subjects[i].result[0], paths[c]), c == 8 ? 1 : 4);
    }
    const enum sae_status st = sae_table_print(table, stdout, 0, err);
    const json_t *const first = run->subjects[0].result[0];
    sae_table_free(table);
    printf("clean CE %.4f, zero-ablated CE %.4f and KL %.4f nats a token; score 1: nothing lost, "
           "0: as bad as zeros\n",
           metric(first, "model_performance_preservation.ce_loss_without_sae"),
           metric(first, "model_performance_preservation.ce_loss_with_ablation"),
           metric(first, "model_behavior_preservation.kl_div_with_ablation"));
    return st;
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct splice_group group = {
        .settings = {
            .model = given.model,
            .texts = given.texts.v,
            .n_texts = given.texts.n,
            .field = given.field,
            .split = sae_opt_given(cli, "split") ? sae_docs_split_names[given.split] : NULL,
            .skip = sae_opt_given(cli, "skip") ? given.skip : UINT64_MAX,
            .layer = sae_opt_given(cli, "layer") ? given.layer : UINT64_MAX,
            .hook = given.hook,
            .n_contexts = (size_t)given.contexts,
            .context = (size_t)given.context,
            .batch = (size_t)given.batch,
            .features = given.features,
            .keep = given.keep,
            .cache = given.reference,
            .cache_bytes = given.reference_size,
            .matmul = &given.matmul}};
    const struct sae_eval eval = {
        .results = {{"core", "core", "core.json"}},
        .partial = ".part.hdf5",
        .options = &given.eval,
        .matmul = &given.matmul,
        .data = &group,
        .check = splice_group_check,
        .same = splice_group_same,
        .begin = splice_group_begin,
        .plan = splice_group_plan,
        .share = splice_group_share,
        .one = splice_group_one,
        .end = splice_group_end,
        .print_all = print_table,
        .drop = splice_group_drop,
    };
    return sae_evaluate(&eval, cli, err);
}

int main(int argc, char **argv)
{
    static const struct sae_program program = {
        .name = "sae-splice",
        .summary = "measure what a language model loses when the reconstruction replaces its "
                   "activations",
        .usage = "sae-splice [options] [RUN|CHECKPOINT ...]",
        .examples = "# the last checkpoint of a run, on text that its store does not hold\n"
                    "sae-splice run_2\n"
                    "# every checkpoint of three runs, in one pass over the text\n"
                    "sae-splice --all run_1 run_2 run_3\n"
                    "# as many contexts as SAEBench, from another text\n"
                    "sae-splice --text openwebtext.jsonl.zst --contexts 3200 run_2\n",
        .about =
            "sae-splice is SAEBench's core evaluation. The language model reads the text three "
            "times: unchanged, with the autoencoder's reconstruction in place of the activations at "
            "its hook (BOS, EOS and PAD keep their own vectors), and with zeros in place of them. "
            "Cross-entropy and KL divergence of the predictions show how much of the model "
            "survives: a score of 1 means that nothing is lost, 0 that it is as bad as zeros. On "
            "the same text it measures the reconstruction (explained variance by three formulas, "
            "error, cosine, shrinkage), sparsity, and the density of each latent.\n\n"
            "Model and text are found through the checkpoint's record. From the store's own text "
            "it takes the documents after the last one that the store holds, so that no text is "
            "both trained on and measured on. If the store holds the whole text, it takes the last "
            "contexts, with a warning. The clean and the zero-ablated model run once for all "
            "checkpoints. Their predictions are cached in the folder 'reference' beside the store, "
            "so that another checkpoint on the same text needs only its own pass; the folder may "
            "be removed at any time. An interrupted run keeps what it has in "
            "ckpt_XX.core.part.hdf5; the same command continues from there.\n\n"
            "The result is written beside the checkpoint as ckpt_XX.core.json in SAEBench's shape. "
            "Formulas and versions: docs/math-core.md.",
        .operands = "RUN|CHECKPOINT ...",
        .opts = opts,
        .run = run,
    };
    return sae_program_main(&program, argc, argv);
}
