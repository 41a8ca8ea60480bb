/* SPDX-License-Identifier: MIT */
/* options : what sae-harvest takes, and what of it goes together. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "harvest/command.h"
#include "lib/cli/backend.h"
#include "lib/cli/plan.h"
#include "lib/file/hook.h"
#include "lib/text/docs.h"

struct harvest_wanted harvest_wanted;

const char *const harvest_separators[] = {"bos", "eos", "none", NULL};

/* Aligned columns would push the rows off the page. */
/* clang-format off */
const struct sae_opt harvest_options[] = {
    {"model", 0, SAE_OPT_PATH, &harvest_wanted.model, NULL, .arg = "DIR", .group = "Model",
     .help = "folder of the language model: config.json, *.safetensors, tokenizer.model or tokenizer.json; or its "
             "GGUF file",
     .flags = SAE_OPT_MAIN},
    {"layer", 0, SAE_OPT_U64S, &harvest_wanted.layers, NULL, .min = 0, .max = 255, .arg = "L",
     .group = "Model",
     .help = "layer, from 0, after which the stream is stored; 5,12: a store each; --hook: other places",
     .flags = SAE_OPT_MAIN},
    {"hook", 0, SAE_OPT_STRS, &harvest_wanted.hooks, NULL, .arg = "NAME", .group = "Model",
     .help = "place in the layer: " SAE_HOOK_HELP "; several become a store each; default: "
             "resid_post, the residual stream after the layer. With --import any name, for the record"},
    {"like", 0, SAE_OPT_PATH, &harvest_wanted.like, NULL, .arg = "ACTS", .group = "Model",
     .help = "store whose model, layer, hook and folder are used", .flags = SAE_OPT_MAIN},
    {"describe", 0, SAE_OPT_FLAG, &harvest_wanted.describe, NULL, .group = "Model",
     .help = "print what the model of --model is (family, layers, width, context), and stop",
     .flags = SAE_OPT_UNRECORDED},
    {"text", 0, SAE_OPT_STRS, &harvest_wanted.text, NULL, .arg = "FILE|DIR", .group = "Activation store",
     .help = "plain text, JSON lines, JSON, CSV or Parquet: files, or folders of them; texts also "
             "compressed with gzip or zstd", .flags = SAE_OPT_MAIN},
    {"glob", 0, SAE_OPT_STR, &harvest_wanted.glob, NULL, .arg = "PATTERN", .group = "Activation store",
     .help = "in folders of --text, read only the files whose names match, e.g. '*.txt'"},
    {"tokens", 0, SAE_OPT_COUNT, &harvest_wanted.n_tokens, "0", .arg = "N", .group = "Activation store",
     .help = "activations to store, e.g. 5M; 0: all that the text gives", .flags = SAE_OPT_MAIN},
    {"field", 0, SAE_OPT_STR, &harvest_wanted.field, "text", .arg = "NAME", .group = "Activation store",
     .help = "field of JSON objects, or column of CSV or Parquet, that holds the text, or lists of "
             "token ids; text: of Parquet also its only column of strings, else input_ids"},
    {"split", 0, SAE_OPT_ENUM, &harvest_wanted.split, "none", .choices = sae_docs_split_names,
     .group = "Activation store",
     .help = "where a document of plain text ends: with the file (none), at a blank line, at "
             "each line"},
    {"separator", 0, SAE_OPT_ENUM, &harvest_wanted.separator, "bos", .choices = harvest_separators,
     .group = "Activation store", .help = "token before a document that begins inside a context"},
    {"shard-rows", 0, SAE_OPT_COUNT, &harvest_wanted.shard_rows, "0", .min = 0, .max = 1e9, .arg = "N",
     .group = "Activation store",
     .help = "rows in a shard; 0: 65536, or fewer if they would take more than 128 MiB"},
    {"labels", 0, SAE_OPT_STRS, &harvest_wanted.labels, NULL, .arg = "[NAME=]FILE",
     .group = "Labelled sets",
     .help = "labelled texts: CSV (text,label), JSON lines, Parquet, or NAME=FILE for a set of SAEBench; "
             "each becomes labels_<name>.h5", .flags = SAE_OPT_MAIN},
    {"sae-probes", 0, SAE_OPT_STRS, &harvest_wanted.sae_probes, NULL, .arg = "FILE|DIR",
     .group = "Labelled sets",
     .help = "labelled texts of the package sae-probes (CSV with columns prompt and target), or its "
             "folder of them; each of two classes becomes last_<name>.h5", .flags = SAE_OPT_MAIN},
    {"text-column", 0, SAE_OPT_STR, &harvest_wanted.columns.text, "text", .arg = "NAME",
     .group = "Labelled sets", .help = "column or field that holds the text"},
    {"label-column", 0, SAE_OPT_STR, &harvest_wanted.columns.label, "label", .arg = "NAME",
     .group = "Labelled sets", .help = "column or field that holds the label"},
    {"attribute-column", 0, SAE_OPT_STR, &harvest_wanted.columns.attribute, "attribute", .arg = "NAME",
     .group = "Labelled sets",
     .help = "column or field that holds a second label, for sae-ablate --scr; must exist only "
             "if it is named here"},
    {"split-column", 0, SAE_OPT_STR, &harvest_wanted.columns.split, "split", .arg = "NAME",
     .group = "Labelled sets",
     .help = "column or field that says train or test; must exist only if it is named here"},
    {"max-train-per-class", 0, SAE_OPT_COUNT, &harvest_wanted.max_train, "2000", .min = 1, .max = 1e9,
     .arg = "N", .group = "Labelled sets",
     .help = "training texts per class, at most; drawn with --seed"},
    {"max-test-per-class", 0, SAE_OPT_COUNT, &harvest_wanted.max_test, "500", .min = 1, .max = 1e9,
     .arg = "N", .group = "Labelled sets", .help = "test texts per class, at most"},
    {"min-per-class", 0, SAE_OPT_COUNT, &harvest_wanted.min_texts, "20", .min = 2, .max = 1e9, .arg = "N",
     .group = "Labelled sets",
     .help = "texts that a class needs; a smaller class is left out with a warning"},
    {"words", 0, SAE_OPT_FLAG, &harvest_wanted.words, NULL, .group = "Word set",
     .help = "also make the word set for sae-absorb: first-letter prompts of the vocabulary's "
             "words", .flags = SAE_OPT_MAIN},
    {"max-words", 0, SAE_OPT_COUNT, &harvest_wanted.max_words, "0", .min = 0, .max = 1e9, .arg = "N",
     .group = "Word set", .help = "words to keep, drawn with --seed; 0: all"},
    {"spaced-only", 0, SAE_OPT_FLAG, &harvest_wanted.spaced_only, NULL, .group = "Word set",
     .help = "only words with a leading space (\" cat\", not \"cat\")"},
    {"import", 0, SAE_OPT_STRS, &harvest_wanted.import, NULL, .arg = "FILE", .group = "Import",
     .help = "make the store from arrays [rows][width] of another program: .npy, .npz, safetensors, "
             "HDF5, PyTorch (.pt), in this order; values are rounded to bf16",
     .flags = SAE_OPT_MAIN},
    {"array", 0, SAE_OPT_STR, &harvest_wanted.array, NULL, .arg = "NAME", .group = "Import",
     .help = "array that holds the rows; default: the only one of floats with two dimensions"},
    {"token-array", 0, SAE_OPT_STR, &harvest_wanted.token_array, NULL, .arg = "NAME", .group = "Import",
     .help = "array of the same file that holds the token id of each row"},
    {"document-array", 0, SAE_OPT_STR, &harvest_wanted.document_array, NULL, .arg = "NAME",
     .group = "Import", .help = "likewise the number of its document"},
    {"position-array", 0, SAE_OPT_STR, &harvest_wanted.position_array, NULL, .arg = "NAME",
     .group = "Import", .help = "likewise its position in its context, 0 to 65535"},
    {"model-name", 0, SAE_OPT_STR, &harvest_wanted.model_name, NULL, .arg = "NAME", .group = "Import",
     .help = "name of the model that the rows come from, for the record; default: unknown"},
    {"context", 0, SAE_OPT_COUNT, &harvest_wanted.context, "128", .min = 2, .max = 65535, .arg = "N",
     .group = "Common", .help = "tokens in a context, BOS included; longer labelled texts are cut",
     .flags = SAE_OPT_MAIN},
    {"batch", 0, SAE_OPT_COUNT, &harvest_wanted.batch, "16", .min = 1, .max = 65536, .arg = "N",
     .group = "Common", .help = "contexts in one pass through the model"},
    SAE_CLI_LM_MATMUL(&harvest_wanted.matmul, "Common"),
    {"seed", 0, SAE_OPT_U64, &harvest_wanted.seed, "42", .arg = "N", .group = "Common",
     .help = "random seed for the draws and shuffles of sets (a store has none)"},
    SAE_PLAN_ROW(&harvest_wanted.plan, SAE_OPT_MAIN),
    {"out", 'o', SAE_OPT_PATH, &harvest_wanted.out, NULL, .arg = "DIR", .group = "Output",
     .help = "output folder; default: that of --like, else acts",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {NULL},
};
/* clang-format on */

/* Options that say nothing about what is harvested are a slip, or meant for another command. */
static enum sae_status check_meaning(const struct harvest *h, struct sae_err *err)
{
    const struct {
        bool needed;
        const char *without, *names[8];
    } groups[] = {
        {h->texts.n > 0, "--text", {"tokens", "glob", "field", "split", "separator", "shard-rows"}},
        {harvest_wanted.labels.n > 0,
         "--labels",
         {"text-column", "label-column", "attribute-column", "split-column", "max-train-per-class",
          "max-test-per-class", "min-per-class"}},
        {harvest_wanted.words, "--words", {"max-words", "spaced-only"}},
        {harvest_wanted.labels.n > 0 || harvest_wanted.words, "--labels or --words", {"seed"}},
        {false,
         "--import",
         {"array", "token-array", "document-array", "position-array", "model-name"}},
    };
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
        for (const char *const *name = groups[g].names; !groups[g].needed && *name; name++)
            if (sae_opt_given(h->cli, *name))
                return sae_err_set(err, SAE_EARG, "--%s has no meaning without %s; leave it out",
                                   *name, groups[g].without);
    return SAE_OK;
}

/* Before the model, whose hash takes minutes: a misspelt name. */
static enum sae_status check_files(const struct harvest *h, struct sae_err *err)
{
    for (size_t i = 0; i < h->texts.n; i++)
        if (access(h->texts.v[i], F_OK) != 0)
            return sae_err_set(err, SAE_EIO, "cannot read '%s': %s", h->texts.v[i],
                               strerror(errno));
    return SAE_OK;
}

/* Options other than those of `known`, which ends with NULL. */
static enum sae_status refuse_others(const struct harvest *h, const char *const known[],
                                     const char *why, struct sae_err *err)
{
    for (const struct sae_opt *row = harvest_options; row->name; row++) {
        size_t i = 0;
        while (known[i] && strcmp(known[i], row->name) != 0)
            i++;
        if (!known[i] && sae_opt_given(h->cli, row->name))
            return sae_err_set(err, SAE_EARG, "--%s has no meaning with %s; leave it out", row->name, why);
    }
    return SAE_OK;
}

/* An import knows no language model, and makes a store and nothing else. */
static enum sae_status check_import(const struct harvest *h, struct sae_err *err)
{
    static const char *const known[] = {
        "import", "array", "token-array", "document-array", "position-array", "model-name",
        "layer",  "hook",  "shard-rows",  "out",            NULL};
    SAE_TRY(refuse_others(h, known, "--import, which runs no language model", err));
    if (harvest_wanted.layers.n > 1 || harvest_wanted.hooks.n > 1)
        return sae_err_set(err, SAE_EARG, "--import makes one store; name one --layer and one --hook");
    return check_files(h, err);
}

static enum sae_status check_describe(const struct harvest *h, struct sae_err *err)
{
    static const char *const known[] = {"model", "describe", NULL};
    SAE_TRY(refuse_others(h, known, "--describe, which harvests nothing", err));
    if (harvest_wanted.model == NULL)
        return sae_err_set(err, SAE_EARG, "--describe: which model? give --model DIR");
    return h->cli->n_args == 0 ? SAE_OK
                               : sae_err_set(err, SAE_EARG, "'%s' has no meaning with --describe; leave it out",
                                             h->cli->args[0]);
}

enum sae_status harvest_check_wanted(const struct harvest *h, struct sae_err *err)
{
    const struct sae_cli *cli = h->cli;
    if (harvest_wanted.describe)
        return check_describe(h, err);
    if (harvest_wanted.import.n > 0)
        return check_import(h, err);
    const bool sets = harvest_wanted.labels.n > 0 || harvest_wanted.sae_probes.n > 0;
    if (h->texts.n == 0 && !sets && !harvest_wanted.words)
        return sae_err_set(err, SAE_EARG,
                           "nothing to harvest: give --text FILE, --labels FILE, --sae-probes FILE, "
                           "--words or --import FILE");
    SAE_TRY(check_meaning(h, err));
    if (cli->n_args > 0 && harvest_wanted.text.n == 0 && sets)
        return sae_err_set(err, SAE_EARG,
                           "is '%s' a text or a labelled set? several sets are named as --labels "
                           "A,B; texts beside them by --text",
                           cli->args[0]);
    return check_files(h, err);
}
