/* SPDX-License-Identifier: MIT */
/* sae-harvest : what do layers of a language model do on this text? */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harvest/describe.h"
#include "harvest/import.h"
#include "harvest/labels.h"
#include "harvest/lasts.h"
#include "harvest/origin.h"
#include "harvest/plan.h"
#include "harvest/preset.h"
#include "harvest/shards.h"
#include "harvest/sites.h"
#include "harvest/store.h"
#include "harvest/words.h"
#include "lib/base/fs.h"
#include "lib/base/lock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/cli/backend.h"
#include "lib/cli/opt.h"
#include "lib/cli/progress.h"
#include "lib/cli/table.h"
#include "lib/file/acts.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/math/ops.h"

static struct {
    const char *model, *like, *out, *field, *glob;
    const char *array, *token_array, *document_array, *position_array, *model_name;
    struct sae_u64s layers;
    struct sae_strs hooks;
    uint64_t context, n_tokens, shard_rows, batch, seed;
    uint64_t max_train, max_test, min_texts, max_words;
    struct sae_strs text, labels, sae_probes, import;
    struct harvest_columns columns;
    int split, separator;
    bool words, spaced_only, describe, plan;
    int matmul;
} wanted;

static const char *const separators[] = {"bos", "eos", "none", NULL};

/* Aligned columns would push the rows off the page. */
/* clang-format off */
static const struct sae_opt options[] = {
    {"model", 0, SAE_OPT_PATH, &wanted.model, NULL, .arg = "DIR", .group = "Model",
     .help = "folder of the language model: config.json, *.safetensors, tokenizer.model or tokenizer.json; or its "
             "GGUF file",
     .flags = SAE_OPT_MAIN},
    {"layer", 0, SAE_OPT_U64S, &wanted.layers, NULL, .min = 0, .max = 255, .arg = "L",
     .group = "Model",
     .help = "layer, from 0, after which the stream is stored; 5,12: a store each; --hook: other places",
     .flags = SAE_OPT_MAIN},
    {"hook", 0, SAE_OPT_STRS, &wanted.hooks, NULL, .arg = "NAME", .group = "Model",
     .help = "place in the layer: " SAE_HOOK_HELP "; several become a store each; default: "
             "resid_post, the residual stream after the layer. With --import any name, for the record"},
    {"like", 0, SAE_OPT_PATH, &wanted.like, NULL, .arg = "ACTS", .group = "Model",
     .help = "store whose model, layer, hook and folder are used", .flags = SAE_OPT_MAIN},
    {"describe", 0, SAE_OPT_FLAG, &wanted.describe, NULL, .group = "Model",
     .help = "print what the model of --model is (family, layers, width, context), and stop",
     .flags = SAE_OPT_UNRECORDED},
    {"text", 0, SAE_OPT_STRS, &wanted.text, NULL, .arg = "FILE|DIR", .group = "Activation store",
     .help = "plain text, JSON lines, JSON, CSV or Parquet: files, or folders of them; texts also "
             "compressed with gzip or zstd", .flags = SAE_OPT_MAIN},
    {"glob", 0, SAE_OPT_STR, &wanted.glob, NULL, .arg = "PATTERN", .group = "Activation store",
     .help = "in folders of --text, read only the files whose names match, e.g. '*.txt'"},
    {"tokens", 0, SAE_OPT_COUNT, &wanted.n_tokens, "0", .arg = "N", .group = "Activation store",
     .help = "activations to store, e.g. 5M; 0: all that the text gives", .flags = SAE_OPT_MAIN},
    {"field", 0, SAE_OPT_STR, &wanted.field, "text", .arg = "NAME", .group = "Activation store",
     .help = "field of JSON objects, or column of CSV or Parquet, that holds the text, or lists of "
             "token ids; text: of Parquet also its only column of strings, else input_ids"},
    {"split", 0, SAE_OPT_ENUM, &wanted.split, "none", .choices = sae_docs_split_names,
     .group = "Activation store",
     .help = "where a document of plain text ends: with the file (none), at a blank line, at "
             "each line"},
    {"separator", 0, SAE_OPT_ENUM, &wanted.separator, "bos", .choices = separators,
     .group = "Activation store", .help = "token before a document that begins inside a context"},
    {"shard-rows", 0, SAE_OPT_COUNT, &wanted.shard_rows, "0", .min = 0, .max = 1e9, .arg = "N",
     .group = "Activation store",
     .help = "rows in a shard; 0: 65536, or fewer if they would take more than 128 MiB"},
    {"labels", 0, SAE_OPT_STRS, &wanted.labels, NULL, .arg = "[NAME=]FILE",
     .group = "Labelled sets",
     .help = "labelled texts: CSV (text,label), JSON lines, Parquet, or NAME=FILE for a set of SAEBench; "
             "each becomes labels_<name>.h5", .flags = SAE_OPT_MAIN},
    {"sae-probes", 0, SAE_OPT_STRS, &wanted.sae_probes, NULL, .arg = "FILE|DIR",
     .group = "Labelled sets",
     .help = "labelled texts of the package sae-probes (CSV with columns prompt and target), or its "
             "folder of them; each of two classes becomes last_<name>.h5", .flags = SAE_OPT_MAIN},
    {"text-column", 0, SAE_OPT_STR, &wanted.columns.text, "text", .arg = "NAME",
     .group = "Labelled sets", .help = "column or field that holds the text"},
    {"label-column", 0, SAE_OPT_STR, &wanted.columns.label, "label", .arg = "NAME",
     .group = "Labelled sets", .help = "column or field that holds the label"},
    {"attribute-column", 0, SAE_OPT_STR, &wanted.columns.attribute, "attribute", .arg = "NAME",
     .group = "Labelled sets",
     .help = "column or field that holds a second label, for sae-ablate --scr; must exist only "
             "if it is named here"},
    {"split-column", 0, SAE_OPT_STR, &wanted.columns.split, "split", .arg = "NAME",
     .group = "Labelled sets",
     .help = "column or field that says train or test; must exist only if it is named here"},
    {"max-train-per-class", 0, SAE_OPT_COUNT, &wanted.max_train, "2000", .min = 1, .max = 1e9,
     .arg = "N", .group = "Labelled sets",
     .help = "training texts per class, at most; drawn with --seed"},
    {"max-test-per-class", 0, SAE_OPT_COUNT, &wanted.max_test, "500", .min = 1, .max = 1e9,
     .arg = "N", .group = "Labelled sets", .help = "test texts per class, at most"},
    {"min-per-class", 0, SAE_OPT_COUNT, &wanted.min_texts, "20", .min = 2, .max = 1e9, .arg = "N",
     .group = "Labelled sets",
     .help = "texts that a class needs; a smaller class is left out with a warning"},
    {"words", 0, SAE_OPT_FLAG, &wanted.words, NULL, .group = "Word set",
     .help = "also make the word set for sae-absorb: first-letter prompts of the vocabulary's "
             "words", .flags = SAE_OPT_MAIN},
    {"max-words", 0, SAE_OPT_COUNT, &wanted.max_words, "0", .min = 0, .max = 1e9, .arg = "N",
     .group = "Word set", .help = "words to keep, drawn with --seed; 0: all"},
    {"spaced-only", 0, SAE_OPT_FLAG, &wanted.spaced_only, NULL, .group = "Word set",
     .help = "only words with a leading space (\" cat\", not \"cat\")"},
    {"import", 0, SAE_OPT_STRS, &wanted.import, NULL, .arg = "FILE", .group = "Import",
     .help = "make the store from arrays [rows][width] of another program: .npy, .npz, safetensors, "
             "HDF5, PyTorch (.pt), in this order; values are rounded to bf16",
     .flags = SAE_OPT_MAIN},
    {"array", 0, SAE_OPT_STR, &wanted.array, NULL, .arg = "NAME", .group = "Import",
     .help = "array that holds the rows; default: the only one of floats with two dimensions"},
    {"token-array", 0, SAE_OPT_STR, &wanted.token_array, NULL, .arg = "NAME", .group = "Import",
     .help = "array of the same file that holds the token id of each row"},
    {"document-array", 0, SAE_OPT_STR, &wanted.document_array, NULL, .arg = "NAME",
     .group = "Import", .help = "likewise the number of its document"},
    {"position-array", 0, SAE_OPT_STR, &wanted.position_array, NULL, .arg = "NAME",
     .group = "Import", .help = "likewise its position in its context, 0 to 65535"},
    {"model-name", 0, SAE_OPT_STR, &wanted.model_name, NULL, .arg = "NAME", .group = "Import",
     .help = "name of the model that the rows come from, for the record; default: unknown"},
    {"context", 0, SAE_OPT_COUNT, &wanted.context, "128", .min = 2, .max = 65535, .arg = "N",
     .group = "Common", .help = "tokens in a context, BOS included; longer labelled texts are cut",
     .flags = SAE_OPT_MAIN},
    {"batch", 0, SAE_OPT_COUNT, &wanted.batch, "16", .min = 1, .max = 65536, .arg = "N",
     .group = "Common", .help = "contexts in one pass through the model"},
    SAE_CLI_LM_MATMUL(&wanted.matmul, "Common"),
    {"seed", 0, SAE_OPT_U64, &wanted.seed, "42", .arg = "N", .group = "Common",
     .help = "random seed for the draws and shuffles of sets (a store has none)"},
    SAE_PLAN_ROW(&wanted.plan, SAE_OPT_MAIN),
    {"out", 'o', SAE_OPT_PATH, &wanted.out, NULL, .arg = "DIR", .group = "Output",
     .help = "output folder; default: that of --like, else acts",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {NULL},
};
/* clang-format on */

/* Options that decide the bytes of each product. */
static const char *const of_store[] = {"text",       "tokens",  "field", "split", "separator",
                                       "shard-rows", "context", "batch", NULL};
static const char *const of_labels[] = {"labels",
                                        "text-column",
                                        "label-column",
                                        "attribute-column",
                                        "split-column",
                                        "max-train-per-class",
                                        "max-test-per-class",
                                        "min-per-class",
                                        "context",
                                        "batch",
                                        "seed",
                                        NULL};
static const char *const of_words[] = {"max-words", "spaced-only", "context",
                                       "batch",     "seed",        NULL};

/* All that one invocation holds. */
struct harvest {
    const struct sae_cli *cli;
    const char *dir;
    char *folder;          /* of the model */
    char *beside;          /* of the store that --like names */
    struct sae_strs texts; /* those of --text and the operands; the names are borrowed */
    const struct sae_ops *ops;
    struct harvest_sites sites; /* an import has one, without a model */
    json_t *invocation;
    json_t *answer;
    struct sae_table *labels_table;
    struct sae_str taken; /* "126 files: 120 plain text, ..." */
};

/* --- model and folder --------------------------------------------------------------------- */

/* Model and hook of another store; its folder is where --out points by default. */
static enum sae_status resolve_like(struct harvest *h, struct sae_hook *hook, struct sae_err *err)
{
    struct sae_acts *acts = NULL;
    enum sae_status st;
    SAE_GO(st, sae_acts_open(&acts, wanted.like, err));
    SAE_GO(st, sae_mem_strdup(&h->beside, sae_acts_dir(acts), err));
    if (wanted.out == NULL)
        h->dir = h->beside; /* --like may name the index or a shard */
    const json_t *record = sae_acts_record(acts);
    const json_t *model = sae_record_find_input(record, "model");
    const char *path = model != NULL ? sae_json_str(model, "path", NULL) : NULL;
    const bool known = sae_hook_of_site(hook, json_object_get(record, "site"));
    if (sae_record_find_input(record, "import") != NULL) {
        st = sae_err_set(err, SAE_EARG,
                         "'%s' was imported (--import), so it names no language model that could "
                         "make more; give --model DIR and --layer L, and another folder with -o",
                         wanted.like);
        goto done;
    }
    if (path == NULL || !known) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' does not say which model and layer made it; give --model "
                         "and --layer",
                         wanted.like);
        goto done;
    }
    if (wanted.model != NULL) /* moved since: the folder given now must hold the same model */
        SAE_GO(st, sae_mem_strdup(&h->folder, wanted.model, err));
    else
        SAE_GO(st, sae_fs_join(&h->folder, sae_acts_dir(acts), path, err));
    sae_fs_shorten(h->folder);
    if (wanted.model == NULL && !sae_fs_is_dir(h->folder) && !sae_fs_is_file(h->folder))
        st = sae_err_set(err, SAE_EIO,
                         "the model that made '%s' is no longer at '%s'; name its folder with --model "
                         "DIR",
                         wanted.like, h->folder);
done:
    sae_acts_close(acts);
    return st;
}

static enum sae_status check_like(const struct harvest *h, struct sae_err *err)
{
    struct sae_acts *acts = NULL;
    SAE_TRY(sae_acts_open(&acts, wanted.like, err));
    const char *id = sae_json_str(sae_acts_record(acts), "site.model_id", "unknown");
    enum sae_status st = SAE_OK;
    const char *const here = h->sites.v->tap.model_id;
    if (strcmp(id, here) != 0)
        st = sae_err_set(err, SAE_EARG, "'%s' was made by another model (%.12s) than '%s' (%.12s)",
                         wanted.like, id, h->folder, here);
    if (st == SAE_OK) /* one shard takes a second; all are read by sae-train --verify */
        st = sae_acts_verify(acts, 1, NULL, NULL, err);
    sae_acts_close(acts);
    return st;
}

/* The layer is for the user to choose: which there are, and a usual choice. */
static enum sae_status ask_layer(struct sae_err *err)
{
    struct sae_lm_config c;
    SAE_TRY(sae_lm_config_read(&c, wanted.model, err));
    return sae_err_set(err, SAE_EARG, "which layer? '%s' has layers 0 to %zu: give --layer %zu for the middle one",
                       wanted.model, c.L - 1, harvest_middle_layer(&c));
}

/* The site of --like; --layer and --hook may repeat it. */
static enum sae_status choose_like(struct harvest *h, struct sae_err *err)
{
    struct sae_hook hook;
    char name[SAE_HOOK_NAME];
    SAE_TRY(resolve_like(h, &hook, err));
    (void)sae_hook_name(name, hook);
    const struct sae_strs one = {1, (char *[]){name}};
    const struct sae_u64s none = {0};
    SAE_TRY(harvest_sites_choose(&h->sites, &none, &one, err));
    for (size_t i = 0; i < wanted.layers.n; i++)
        if (wanted.layers.v[i] != hook.layer)
            return sae_err_set(err, SAE_EARG, "--layer %" PRIu64 ": '%s' is of layer %zu",
                               wanted.layers.v[i], wanted.like, hook.layer);
    for (size_t i = 0; i < wanted.hooks.n; i++) {
        struct sae_hook given;
        bool whole;
        SAE_TRY(sae_hook_option(&given, &whole, wanted.hooks.v[i], err));
        given.layer = whole ? given.layer : hook.layer;
        if (!sae_hook_same(given, hook))
            return sae_err_set(err, SAE_EARG, "--hook %s: '%s' is of '%s'", wanted.hooks.v[i],
                               wanted.like, name);
    }
    return SAE_OK;
}

static enum sae_status choose_sites(struct harvest *h, struct sae_err *err)
{
    if (wanted.like != NULL)
        return choose_like(h, err);
    if (wanted.model == NULL)
        return sae_err_set(err, SAE_EARG, "which model? give --model DIR, or --like ACTS");
    if (wanted.layers.n == 0 && wanted.hooks.n == 0)
        return ask_layer(err);
    SAE_TRY(sae_mem_strdup(&h->folder, wanted.model, err));
    return harvest_sites_choose(&h->sites, &wanted.layers, &wanted.hooks, err);
}

static enum sae_status open_model(struct harvest *h, struct sae_err *err)
{
    size_t n_layers = 0;
    SAE_TRY(choose_sites(h, err));
    if (wanted.sae_probes.n > 0 && h->sites.n > 1)
        return sae_err_set(err, SAE_EARG, "--sae-probes makes its sets at one hook; name one, or use "
                                          "--like with each store");
    SAE_TRY(harvest_sites_open(&h->sites, h->folder, h->dir, err));
    struct harvest_tap *const first = &h->sites.v->tap;
    for (size_t i = 0; i < h->sites.n; i++) {
        const size_t n = sae_lm_layers_to(first->config, h->sites.v[i].hook);
        n_layers = n > n_layers ? n : n_layers;
    }
    SAE_TRY(sae_lm_place(first->model, h->ops, (enum sae_precision)wanted.matmul,
                         wanted.words ? first->config->L : n_layers, err));
    return wanted.like != NULL ? check_like(h, err) : SAE_OK;
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; names != NULL && i < n; i++)
        free(names[i]);
    free(names);
}

/* Nothing in the folders may be of another model or hook, except what is now replaced. */
static enum sae_status check_folders(struct harvest *h, struct sae_err *err)
{
    char **names = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&names, wanted.labels.n + 1, sizeof *names, err));
    for (size_t i = 0; i < wanted.labels.n; i++) {
        SAE_GO(st, harvest_labels_path(&names[i], "", wanted.labels.v[i], err));
        for (size_t j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0) {
                st = sae_err_set(err, SAE_EARG, "'%s' and '%s' would both become '%s'; rename one",
                                 wanted.labels.v[j], wanted.labels.v[i], names[i]);
                goto done;
            }
    }
    const bool force = h->cli->force;
    const struct harvest_origin_renewed renewed = {.store = force && h->texts.n > 0,
                                                   .words = force && wanted.words,
                                                   .lasts = force && wanted.sae_probes.n > 0,
                                                   .n_labels = force ? wanted.labels.n : 0,
                                                   .labels = names};
    SAE_GO(st, harvest_sites_lock(&h->sites, h->dir, err));
    for (size_t i = 0; i < h->sites.n; i++)
        SAE_GO(st, harvest_origin_folder(h->sites.v[i].dir, &h->sites.v[i].tap, &renewed, err));
done:
    free_names(names, wanted.labels.n);
    return st;
}

/* --- the three products ------------------------------------------------------------------- */

static void step_bar(void *bar, uint64_t done)
{
    sae_progress_step(bar, done >> 20, NULL);
}

static enum sae_status hash_files(struct sae_files *files, const char *what, struct sae_err *err)
{
    struct sae_progress bar;
    sae_progress_begin(&bar, what, "MiB", 0, sae_files_bytes(files) >> 20);
    const enum sae_status st = sae_files_hash(files, step_bar, &bar, err);
    sae_progress_end(&bar);
    return st;
}

static json_t *packing_of(size_t shard_rows)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I}", "context_begins_with", "bos", "separator",
                     separators[wanted.separator], "kept", "not bos, eos, pad", "dtype", "bf16",
                     "shard_rows", (json_int_t)shard_rows);
}

static void print_store(const struct harvest *h, const struct harvest_store *store)
{
    const struct harvest_store_totals *const t = &store->totals;
    const struct harvest_tap *const tap = store->tap;
    const bool post = tap->hook.point == SAE_RESID_POST;
    sae_utf8_print(stdout, "activation store %s%s: %s%slayer %zu of %s\n", store->dir,
                   t->found ? " (complete before)" : "",
                   post ? "" : sae_points[tap->hook.point].name, post ? "" : " of ",
                   tap->hook.layer, tap->config->name);
    printf("  rows        %zu of width %zu, bf16, in %zu shard%s\n", t->n_rows, tap->d,
           t->n_shards, t->n_shards == 1 ? "" : "s");
    printf("  documents   %" PRIu64 ", %.1f tokens each; %zu contexts of %" PRIu64 "\n",
           t->n_documents, (double)t->n_rows / (double)t->n_documents, t->n_contexts,
           wanted.context);
    if (h->taken.s != NULL)
        printf("  text        %s\n", h->taken.s);
    if (t->n_left + t->n_empty + t->n_replaced > 0)
        printf("  left out    %" PRIu64 " rows that could not be used, %" PRIu64
               " empty documents; %" PRIu64 " sequences replaced by U+FFFD\n",
               t->n_left, t->n_empty, t->n_replaced);
    printf("  row norm    %.4g mean, %.4g root mean square, %.4g max\n", t->mean_norm,
           sqrt(t->mean_square), t->max_norm);
}

static json_t *json_of_store(const struct harvest_store *store)
{
    const struct harvest_store_totals *const t = &store->totals;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:b}", "rows",
                     (json_int_t)t->n_rows, "shards", (json_int_t)t->n_shards, "contexts",
                     (json_int_t)t->n_contexts, "documents", (json_int_t)t->n_documents,
                     "empty_documents", (json_int_t)t->n_empty, "rows_left_out",
                     (json_int_t)t->n_left, "replaced", (json_int_t)t->n_replaced, "mean_norm",
                     t->mean_norm, "mean_square_norm", t->mean_square, "max_norm", t->max_norm,
                     "found", t->found);
}

/* "store": the one, or "stores": {hook: store, ...}. */
static enum sae_status answer_stores(const struct harvest *h, const struct harvest_store *stores,
                                     struct sae_err *err)
{
    const size_t n = h->sites.n;
    json_t *const all = json_object();
    char name[SAE_HOOK_NAME];
    bool good = true;
    for (size_t i = 0; i < n && n > 1; i++)
        good &= json_object_set_new(all, sae_hook_name(name, h->sites.v[i].hook),
                                    json_of_store(&stores[i])) == 0;
    if (n > 1)
        good &= json_object_set(h->answer, "stores", all) == 0;
    else
        good &= json_object_set_new(h->answer, "store", json_of_store(stores)) == 0;
    json_decref(all);
    return good ? SAE_OK : sae_err_set(err, SAE_ENOMEM, "out of memory");
}

/* Finds the files of the text, tells what they hold, and hashes them. */
static enum sae_status find_text(struct harvest *h, struct sae_files *files, bool hash,
                                 struct sae_err *err)
{
    for (size_t i = 0; i < h->texts.n; i++)
        SAE_TRY(sae_files_add(files, h->texts.v[i], err));
    SAE_TRY(sae_files_sort_out(files, wanted.field, err));
    SAE_TRY(sae_files_say(files, &h->taken, err));
    sae_log_info("text: %s", h->taken.s);
    return hash ? hash_files(files, "reading text", err) : SAE_OK;
}

static struct harvest_store_settings store_settings(const struct harvest *h,
                                                    const struct sae_files *files)
{
    return (struct harvest_store_settings){
        .files = files,
        .field = wanted.field,
        .split = (enum sae_docs_split)wanted.split,
        .separator = (enum harvest_separator)wanted.separator,
        .context = (size_t)wanted.context,
        .batch = (size_t)wanted.batch,
        .n_tokens = wanted.n_tokens,
        .force = h->cli->force};
}

static struct harvest_store store_of(struct harvest_site *site)
{
    return (struct harvest_store){
        .tap = &site->tap,
        .dir = site->dir,
        .shard_rows =
            wanted.shard_rows != 0 ? (size_t)wanted.shard_rows : harvest_shards_rows(site->tap.d)};
}

/* Warns where memory or disk do not suffice. Of labelled sets and words --plan alone knows. */
static void warn_of(const struct harvest *h, const struct harvest_store *stores,
                    const struct harvest_store_settings *settings)
{
    const struct sae_lm_cost cost = {h->sites.v->tap.model, 1, 1, 1, NAN, NAN};
    struct sae_plan plan;
    sae_plan_init(&plan, false, h->dir);
    harvest_plan_store(&plan, &cost, stores, h->sites.n, settings);
    sae_plan_warn(&plan);
}

/* The store of a site, its record in new memory. */
static enum sae_status make_store(struct harvest_store *store, const struct harvest *h,
                                  struct harvest_site *site, const struct sae_files *files,
                                  struct sae_err *err)
{
    json_t *record = NULL;
    *store = store_of(site);
    SAE_TRY(harvest_origin_make(&record, h->invocation, of_store, &site->tap, (size_t)wanted.context,
                                site->dir, err));
    store->record = record;
    SAE_TRY(harvest_origin_files(record, "text", files, err));
    json_object_set_new(record, "packing", packing_of(store->shard_rows));
    return SAE_OK;
}

static enum sae_status harvest_text(struct harvest *h, struct sae_err *err)
{
    struct sae_files files = {.glob = wanted.glob};
    struct harvest_store *stores = NULL;
    const size_t n = h->sites.n;
    enum sae_status st;
    SAE_GO(st, find_text(h, &files, true, err));
    SAE_GO(st, sae_mem_alloc(&stores, n, sizeof *stores, err));
    for (size_t i = 0; i < n; i++)
        SAE_GO(st, make_store(&stores[i], h, &h->sites.v[i], &files, err));
    const struct harvest_store_settings settings = store_settings(h, &files);
    warn_of(h, stores, &settings);
    SAE_GO(st, harvest_store_write(stores, n, &settings, err));
    for (size_t i = 0; i < n && !h->cli->json; i++)
        print_store(h, &stores[i]);
    if (h->cli->json)
        st = answer_stores(h, stores, err);
done:
    for (size_t i = 0; stores != NULL && i < n; i++)
        json_decref((json_t *)(uintptr_t)stores[i].record);
    free(stores);
    sae_files_clear(&files);
    return st;
}

static void answer_labels(struct harvest *h, const struct harvest_site *site,
                          const struct harvest_labels_totals *t)
{
    char hook[SAE_HOOK_NAME] = "";
    if (h->sites.n > 1)
        (void)sae_hook_name(hook, site->hook);
    if (h->cli->json) {
        json_t *const set = json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:b}", "name", t->name, "classes",
            (json_int_t)t->n_classes, "train", (json_int_t)t->n_train, "test",
            (json_int_t)t->n_test, "rows", (json_int_t)t->n_rows, "truncated",
            (json_int_t)t->n_truncated, "found", t->found);
        if (hook[0] != '\0')
            json_object_set_new(set, "hook", json_string(hook));
        json_array_append_new(json_object_get(h->answer, "labels"), set);
        return;
    }
    sae_table_text(h->labels_table, "%s%s%s%s", t->name, hook[0] != '\0' ? " at " : "", hook,
                   t->found ? " (made before)" : "");
    sae_table_count(h->labels_table, (double)t->n_classes);
    sae_table_count(h->labels_table, (double)t->n_train);
    sae_table_count(h->labels_table, (double)t->n_test);
    sae_table_count(h->labels_table, (double)t->n_rows);
    sae_table_real(h->labels_table, (double)t->n_rows / (double)(t->n_train + t->n_test), 1);
    sae_table_count(h->labels_table, (double)t->n_truncated);
}

static struct harvest_labels_settings labels_settings(const struct harvest *h)
{
    wanted.columns.need_split = sae_opt_given(h->cli, "split-column");
    wanted.columns.need_attribute = sae_opt_given(h->cli, "attribute-column");
    wanted.columns.first = (size_t)(wanted.max_train + wanted.max_test) + 1; /* as SAEBench */
    return (struct harvest_labels_settings){
        .columns = wanted.columns,
        .draw = {(size_t)wanted.max_train, (size_t)wanted.max_test, (size_t)wanted.min_texts,
                 wanted.seed},
        .context = (size_t)wanted.context,
        .batch = (size_t)wanted.batch,
        .force = h->cli->force
    };
}

/* Where what is made at each site goes; its record has these options. */
static enum sae_status make_targets(struct harvest_target **ret, const struct harvest *h,
                                    const char *const *named, struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(ret, h->sites.n, sizeof **ret, err));
    for (size_t i = 0; i < h->sites.n; i++) {
        struct harvest_site *const site = &h->sites.v[i];
        json_t *record = NULL;
        SAE_TRY(harvest_origin_make(&record, h->invocation, named, &site->tap,
                                    (size_t)wanted.context, site->dir, err));
        (*ret)[i] = (struct harvest_target){&site->tap, site->dir, record};
    }
    return SAE_OK;
}

static void free_targets(struct harvest_target *targets, size_t n)
{
    for (size_t i = 0; targets != NULL && i < n; i++)
        json_decref((json_t *)(uintptr_t)targets[i].record);
    free(targets);
}

/* A set at every site. */
static enum sae_status harvest_one_set(struct harvest *h, const char *source, struct sae_err *err)
{
    struct sae_files files = {0};
    struct harvest_labels_totals *totals = NULL;
    struct harvest_target *targets = NULL;
    const struct harvest_preset *preset;
    const char *path;
    const size_t n = h->sites.n;
    enum sae_status st;
    SAE_GO(st, harvest_preset_parse(&preset, &path, source, err));
    SAE_GO(st, sae_files_add(&files, path, err));
    SAE_GO(st, sae_files_sort_out(&files, NULL, err));
    SAE_GO(st, hash_files(&files, "reading labels", err));
    SAE_GO(st, make_targets(&targets, h, of_labels, err));
    for (size_t i = 0; i < n; i++) {
        json_t *const record = (json_t *)(uintptr_t)targets[i].record;
        SAE_GO(st, harvest_origin_files(record, "labels", &files, err));
        json_object_set_new(json_object_get(record, "options"), "labels", json_string(path));
        if (preset != NULL)
            json_object_set_new(record, "dataset", json_string(preset->name));
    }
    const struct harvest_labels_settings settings = labels_settings(h);
    SAE_GO(st, sae_mem_alloc(&totals, n, sizeof *totals, err));
    SAE_GO(st, harvest_labels_write(targets, n, source, &settings, totals, err));
    for (size_t i = 0; i < n; i++)
        answer_labels(h, &h->sites.v[i], &totals[i]);
done:
    free_targets(targets, n);
    free(totals);
    sae_files_clear(&files);
    return st;
}

static enum sae_status harvest_labels(struct harvest *h, struct sae_err *err)
{
    static const char *const heads[] = {"labelled set", "classes",     "train",    "test",
                                        "rows",         "rows a text", "truncated"};
    SAE_TRY(sae_table_make(&h->labels_table, sizeof heads / sizeof *heads, heads, err));
    json_object_set_new(h->answer, "labels", json_array());
    enum sae_status st = SAE_OK;
    for (size_t i = 0; st == SAE_OK && i < wanted.labels.n; i++)
        st = harvest_one_set(h, wanted.labels.v[i], err);
    if (st == SAE_OK && !h->cli->json)
        st = sae_table_print(h->labels_table, stdout, 0, err);
    return st;
}

static enum sae_status harvest_lasts(struct harvest *h, struct sae_err *err)
{
    struct harvest_site *const site = h->sites.v;
    const size_t most = site->tap.config->max_context;
    const size_t usual = most < HARVEST_LASTS_CONTEXT ? most : HARVEST_LASTS_CONTEXT;
    const size_t context = sae_opt_given(h->cli, "context") ? (size_t)wanted.context : usual;
    const size_t batch = (size_t)(wanted.batch * wanted.context) / context;
    const struct harvest_lasts_settings settings = {.dir = site->dir,
                                                    .sources = &wanted.sae_probes,
                                                    .invocation = h->invocation,
                                                    .context = context,
                                                    .batch = batch > 0 ? batch : 1,
                                                    .force = h->cli->force,
                                                    .answer = h->cli->json ? h->answer : NULL};
    return harvest_lasts_write(&site->tap, &settings, err);
}

static void print_words(const char *dir, const struct harvest_words_totals *t)
{
    sae_utf8_print(stdout, "word set %s/words.h5%s\n", dir, t->found ? " (made before)" : "");
    printf("  words       %zu%s: %zu train, %zu test\n", t->n,
           wanted.spaced_only ? " with a leading space" : " with and without a leading space",
           t->n_train, t->n_test);
    printf("  left out    %zu of %zu candidates are not one token in the prompt\n", t->n_skipped,
           t->n_candidates);
    printf("  answered    %zu (%.1f %%) rightly by the model itself\n", t->n_correct,
           100.0 * (double)t->n_correct / (double)t->n);
}

static struct harvest_words_settings words_settings(const struct harvest *h)
{
    return (struct harvest_words_settings){.seed = wanted.seed,
                                           .max_words = (size_t)wanted.max_words,
                                           .spaced_only = wanted.spaced_only,
                                           .n_batch = (size_t)(wanted.batch * wanted.context),
                                           .force = h->cli->force};
}

/* "words": of the one site, or {hook: ...}. */
static int answer_words(struct harvest *h, const struct harvest_site *site,
                        const struct harvest_words_totals *t)
{
    char name[SAE_HOOK_NAME];
    json_t *const words = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "words", (json_int_t)t->n, "train",
        (json_int_t)t->n_train, "test", (json_int_t)t->n_test, "candidates",
        (json_int_t)t->n_candidates, "skipped", (json_int_t)t->n_skipped, "correct",
        (json_int_t)t->n_correct, "found", t->found);
    if (h->sites.n == 1)
        return json_object_set_new(h->answer, "words", words);
    if (json_object_get(h->answer, "words") == NULL)
        json_object_set_new(h->answer, "words", json_object());
    return json_object_set_new(json_object_get(h->answer, "words"),
                               sae_hook_name(name, site->hook), words);
}

static enum sae_status harvest_words(struct harvest *h, struct sae_err *err)
{
    struct harvest_words_totals *totals = NULL;
    struct harvest_target *targets = NULL;
    const size_t n = h->sites.n;
    const struct harvest_words_settings settings = words_settings(h);
    enum sae_status st;
    SAE_GO(st, make_targets(&targets, h, of_words, err));
    SAE_GO(st, sae_mem_alloc(&totals, n, sizeof *totals, err));
    SAE_GO(st, harvest_words_write(targets, n, &settings, totals, err));
    for (size_t i = 0; i < n; i++)
        if (!h->cli->json)
            print_words(h->sites.v[i].dir, &totals[i]);
        else if (answer_words(h, &h->sites.v[i], &totals[i]) != 0)
            st = sae_err_set(err, SAE_ENOMEM, "out of memory");
done:
    free_targets(targets, n);
    free(totals);
    return st;
}

/* --- arrays of another program ------------------------------------------------------------ */

static void print_import(const struct harvest *h, const struct harvest_import_plan *plan,
                         const struct harvest_import_totals *t)
{
    sae_utf8_print(stdout, "activation store %s%s: imported from %zu file%s\n", h->dir,
                   t->found ? " (complete before)" : "", plan->n_parts,
                   plan->n_parts == 1 ? "" : "s");
    printf("  rows        %zu of width %zu, rounded to bf16, in %zu shard%s\n", t->n_rows, plan->d,
           t->n_shards, t->n_shards == 1 ? "" : "s");
    printf("  row norm    %.4g mean, %.4g root mean square, %.4g max\n", t->mean_norm,
           sqrt(t->mean_square), t->max_norm);
}

static enum sae_status answer_import(struct harvest *h, const struct harvest_import_plan *plan,
                                     const struct harvest_import_totals *t, struct sae_err *err)
{
    if (!h->cli->json) {
        print_import(h, plan, t);
        return SAE_OK;
    }
    json_t *const store =
        json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:b}", "rows", (json_int_t)t->n_rows, "d",
                  (json_int_t)plan->d, "files", (json_int_t)plan->n_parts, "shards",
                  (json_int_t)t->n_shards, "mean_norm", t->mean_norm, "mean_square_norm",
                  t->mean_square, "max_norm", t->max_norm, "found", t->found);
    if (json_object_set_new(h->answer, "store", store) != 0)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    return sae_json_print(stdout, h->answer, err);
}

/* A shard of the store that --force would remove. */
static enum sae_status check_apart(const struct harvest *h, const char *path, struct sae_err *err)
{
    char *folder = NULL;
    SAE_TRY(sae_fs_dir(&folder, path, err));
    const bool inside = sae_fs_same(folder, h->dir) && strncmp(sae_fs_base(path), "acts_", 5) == 0;
    free(folder);
    return inside ? sae_err_set(err, SAE_EARG,
                                "'%s' holds '%s' of the store that would be replaced; choose another "
                                "folder with -o",
                                h->dir, sae_fs_base(path))
                  : SAE_OK;
}

static enum sae_status find_imports(struct harvest *h, struct sae_files *files, struct sae_err *err)
{
    for (size_t i = 0; i < h->texts.n; i++) {
        if (sae_fs_is_dir(h->texts.v[i]))
            return sae_err_set(err, SAE_EARG,
                               "--import %s: a folder; name its files, in the order of their rows",
                               h->texts.v[i]);
        SAE_TRY(check_apart(h, h->texts.v[i], err));
        SAE_TRY(sae_files_add(files, h->texts.v[i], err));
    }
    return SAE_OK;
}

static enum sae_status harvest_arrays(struct harvest *h, struct sae_err *err)
{
    struct sae_files files = {0};
    struct harvest_import_plan plan = {0};
    struct harvest_import_totals totals;
    json_t *record = NULL;
    enum sae_status st;
    struct harvest_import_settings settings = {
        .dir = h->dir,
        .array = wanted.array,
        .token = wanted.token_array,
        .document = wanted.document_array,
        .position = wanted.position_array,
        .model = wanted.model_name,
        .hook = wanted.hooks.n > 0 ? wanted.hooks.v[0] : NULL,
        .layer = wanted.layers.n > 0 ? wanted.layers.v[0] : UINT64_MAX,
        .shard_rows = (size_t)wanted.shard_rows,
        .force = h->cli->force,
    };
    SAE_GO(st, find_imports(h, &files, err));
    SAE_GO(st, harvest_import_plan(&plan, &files, &settings, err));
    SAE_GO(st, sae_mem_alloc(&h->sites.v, 1, sizeof *h->sites.v, err));
    h->sites.n = 1;
    SAE_GO(st, sae_mem_strdup(&h->sites.v->dir, h->dir, err));
    SAE_GO(st, harvest_sites_lock(&h->sites, h->dir, err));
    settings.lock = h->sites.v->lock;
    SAE_GO(st, hash_files(&files, "hashing", err));
    SAE_GO(st, harvest_import_record(&record, h->invocation, &plan, &files, &settings, err));
    SAE_GO(st, harvest_import_write(&plan, &files, &settings, record, &totals, err));
    st = answer_import(h, &plan, &totals, err);
done:
    json_decref(record);
    harvest_import_plan_clear(&plan);
    sae_files_clear(&files);
    return st;
}

/* --- the program -------------------------------------------------------------------------- */

/* `--text a b c` and `--text *.txt` leave b and c as operands: they are texts too. Likewise of
 * --import, which goes with no --text. */
static enum sae_status take_operands(const struct sae_cli *cli, struct sae_strs *all,
                                     struct sae_err *err)
{
    const struct sae_strs *const named = wanted.import.n > 0 ? &wanted.import : &wanted.text;
    SAE_TRY(sae_mem_alloc(&all->v, named->n + cli->n_args, sizeof *all->v, err));
    for (size_t i = 0; i < named->n; i++)
        all->v[all->n++] = named->v[i];
    for (size_t i = 0; i < cli->n_args; i++)
        all->v[all->n++] = cli->args[i];
    return SAE_OK;
}

/* Options that say nothing about what is harvested are a slip, or meant for another command. */
static enum sae_status check_meaning(const struct harvest *h, struct sae_err *err)
{
    const struct {
        bool needed;
        const char *without, *names[8];
    } groups[] = {
        {h->texts.n > 0, "--text", {"tokens", "glob", "field", "split", "separator", "shard-rows"}},
        {wanted.labels.n > 0,
         "--labels",
         {"text-column", "label-column", "attribute-column", "split-column", "max-train-per-class",
          "max-test-per-class", "min-per-class"}},
        {wanted.words, "--words", {"max-words", "spaced-only"}},
        {wanted.labels.n > 0 || wanted.words, "--labels or --words", {"seed"}},
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
    for (const struct sae_opt *row = options; row->name; row++) {
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
    if (wanted.layers.n > 1 || wanted.hooks.n > 1)
        return sae_err_set(err, SAE_EARG, "--import makes one store; name one --layer and one --hook");
    return check_files(h, err);
}

static enum sae_status check_describe(const struct harvest *h, struct sae_err *err)
{
    static const char *const known[] = {"model", "describe", NULL};
    SAE_TRY(refuse_others(h, known, "--describe, which harvests nothing", err));
    if (wanted.model == NULL)
        return sae_err_set(err, SAE_EARG, "--describe: which model? give --model DIR");
    return h->cli->n_args == 0 ? SAE_OK
                               : sae_err_set(err, SAE_EARG, "'%s' has no meaning with --describe; leave it out",
                                             h->cli->args[0]);
}

static enum sae_status check_asked(const struct harvest *h, struct sae_err *err)
{
    const struct sae_cli *cli = h->cli;
    if (wanted.describe)
        return check_describe(h, err);
    if (wanted.import.n > 0)
        return check_import(h, err);
    const bool sets = wanted.labels.n > 0 || wanted.sae_probes.n > 0;
    if (h->texts.n == 0 && !sets && !wanted.words)
        return sae_err_set(err, SAE_EARG,
                           "nothing to harvest: give --text FILE, --labels FILE, --sae-probes FILE, "
                           "--words or --import FILE");
    SAE_TRY(check_meaning(h, err));
    if (cli->n_args > 0 && wanted.text.n == 0 && sets)
        return sae_err_set(err, SAE_EARG,
                           "is '%s' a text or a labelled set? several sets are named as --labels "
                           "A,B; texts beside them by --text",
                           cli->args[0]);
    return check_files(h, err);
}

/* --plan: what all parts would take, as if nothing of them were there. */
static enum sae_status plan_parts(struct harvest *h, struct sae_err *err)
{
    struct sae_files files = {.glob = wanted.glob};
    struct harvest_store *stores = NULL;
    struct harvest_tap **taps = NULL;
    struct sae_lm_cost cost;
    struct sae_plan plan;
    const size_t n = h->sites.n;
    const struct harvest_labels_settings labels = labels_settings(h);
    const struct harvest_words_settings words = words_settings(h);
    enum sae_status st;
    if (wanted.sae_probes.n > 0)
        return sae_err_set(err, SAE_EARG,
                           "--plan does not measure --sae-probes; leave one of them out");
    sae_plan_init(&plan, true, h->dir);
    if (h->texts.n > 0)
        SAE_GO(st, find_text(h, &files, false, err));
    SAE_GO(st, sae_mem_alloc(&stores, n, sizeof *stores, err));
    SAE_GO(st, sae_mem_alloc(&taps, n, sizeof(struct harvest_tap *), err));
    for (size_t i = 0; i < n; i++) {
        stores[i] = store_of(&h->sites.v[i]);
        taps[i] = stores[i].tap;
    }
    const struct harvest_store_settings settings = store_settings(h, &files);
    SAE_GO(st, harvest_plan_measure(&cost, stores->tap, settings.batch, settings.context,
                                    wanted.words, err));
    if (h->texts.n > 0)
        harvest_plan_store(&plan, &cost, stores, n, &settings);
    for (size_t i = 0; i < wanted.labels.n; i++)
        SAE_GO(st, harvest_plan_labels(&plan, &cost, taps, n, wanted.labels.v[i], &labels, err));
    if (wanted.words)
        SAE_GO(st, harvest_plan_words(&plan, &cost, taps, n, &words, err));
    sae_plan_hold(&plan); /* what the parts tried is given back */
    st = sae_plan_print(&plan, h->cli, err);
done:
    free(stores);
    free(taps);
    sae_files_clear(&files);
    return st;
}

static enum sae_status run_parts(struct harvest *h, struct sae_err *err)
{
    SAE_TRY(open_model(h, err));
    if (wanted.plan)
        return plan_parts(h, err);
    SAE_TRY(check_folders(h, err));
    if (h->texts.n > 0)
        SAE_TRY(harvest_text(h, err));
    if (wanted.labels.n > 0)
        SAE_TRY(harvest_labels(h, err));
    if (wanted.sae_probes.n > 0)
        SAE_TRY(harvest_lasts(h, err));
    if (wanted.words)
        SAE_TRY(harvest_words(h, err));
    return h->cli->json ? sae_json_print(stdout, h->answer, err) : SAE_OK;
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct harvest h = {.cli = cli, .dir = wanted.out != NULL ? wanted.out : "acts", .answer = json_object()};
    enum sae_status st;
    SAE_GO(st, take_operands(cli, &h.texts, err));
    SAE_GO(st, check_asked(&h, err));
    if (wanted.describe) {
        st = harvest_describe(wanted.model, cli->json, err);
        goto done;
    }
    SAE_GO(st, sae_opt_record(&h.invocation, cli, err));
    if (wanted.import.n > 0) {
        st = harvest_arrays(&h, err);
        goto done;
    }
    SAE_GO(st, sae_cli_lm_backend(&h.ops, cli, &wanted.matmul, err));
    st = run_parts(&h, err);
done:
    sae_table_free(h.labels_table);
    sae_str_clear(&h.taken);
    harvest_sites_close(&h.sites, h.dir, st != SAE_OK);
    json_decref(h.invocation);
    json_decref(h.answer);
    free(h.folder);
    free(h.beside);
    free(h.texts.v);
    return st;
}

static const struct sae_program program = {
    .name = "sae-harvest",
    .summary = "store the activations of a language model on texts, at one or more hooks",
    .usage = "sae-harvest --model DIR --layer L --text FILE|DIR ... [options] -o DIR",
    .operands = "FILE|DIR ...",
    .examples =
        "# five million activations of Gemma-2-2b, layer 12\n"
        "sae-harvest --model gemma-2-2b --layer 12 --text pile.jsonl.zst --tokens 5M -o acts/\n"
        "# in the same folder: labelled sets for sae-probe, the word set for sae-absorb\n"
        "sae-harvest --like acts --labels news.csv,reviews.jsonl.gz --words\n"
        "# two of SAEBench's sets, from folders of train.jsonl and test.jsonl\n"
        "sae-harvest --like acts --labels ag_news=ag_news,bias_in_bios_class_set1=bias_in_bios\n"
        "# two layers and two hooks in one pass: four stores, acts/blocks.5.hook_mlp_out and so on\n"
        "sae-harvest --model gemma-2-2b --layer 5,12 --hook resid_post,mlp_out --text pile/ -o acts/\n"
        "# what a model is: its layers, its width\n"
        "sae-harvest --model gemma-2-2b --describe\n"
        "# activations that another program saved\n"
        "sae-harvest --import part_0.npy part_1.npy --model-name my-model --layer 6 -o acts/\n",
    .about =
        "Text comes from files or folders (every file below, sorted by path, except hidden ones). "
        "The kind of a file is recognised by its content, after gzip or zstd: JSON lines, an array "
        "of JSON objects, CSV or TSV, Parquet (each row a document, its text the field --field "
        "names), or plain text. In folders, files that are no text are left out and counted: images, PDF, "
        "archives, HTML, tables without that field, and README and LICENSE files beside tables and "
        "objects; --glob selects by name. Rows that cannot be used are left out and counted; bytes "
        "that are not UTF-8 become U+FFFD and are counted. A field that holds lists of token ids "
        "(input_ids) is taken as it is, without the tokenizer. Documents are tokenized and packed as "
        "SAELens packs them: each context starts with BOS, each document that begins inside one "
        "has a BOS before it, and long documents run on into the next context. The model runs as "
        "far as the hooks need, and their activations at every position but BOS, EOS and PAD are "
        "stored in bf16. Several layers or hooks are read in one pass; each has a store of its own, "
        "in a folder of its hook's name in that of -o, equal to the one that it would have alone.\n\n"
        "A store is written shard by shard. When it is interrupted, the same command continues "
        "after the last whole shard, and the result is equal, byte for byte, to an unbroken pass "
        "on the same machine with the same number of threads. If the text was changed in between, "
        "the shards whose tokens are still the same are kept. A folder holds one hook of one "
        "layer of one model; anything else is refused.\n\n"
        "Labelled sets keep every token of each text, truncated to the context, and are pooled as "
        "in SAEBench. Without a split column a fifth of each class becomes its test set; in a "
        "folder, files named train* and test* give the split.\n\n"
        "The data sets of SAEBench's sparse probing have names, with columns and classes as "
        "Hugging Face has them (Parquet, or to_json, to_csv): NAME=FILE or NAME=DIR, where NAME is "
        "bias_in_bios_class_set1, _set2 or _set3 (hard_text, profession, gender); "
        "amazon_reviews_mcauley_1and5 (text, category, rating) or the same with _sentiment (text, "
        "rating; ratings 1 and 5); github-code (code, language, or content and path; the first 150 "
        "characters cut, shorter files left out); ag_news (text, label); europarl (translation, or "
        "a column a language; pairs en-fr, fr-it, de-en, es-fr, nl-pt). Rows of other classes are "
        "skipped; bias_in_bios and amazon_reviews are balanced over gender and rating.\n\n"
        "--sae-probes takes the labelled texts of the Python package sae-probes as it ships them "
        "(its folder data/cleaned_data): of each file with two classes the first 5,000 texts, in "
        "their order, BOS first, of a longer text the last tokens (1,024 with BOS, or --context), "
        "and of each the activation at its last token, in f32. sae-probe --protocol sae-probes "
        "draws from them.\n\n"
        "The word set holds two first-letter prompts for each word of the vocabulary that is a "
        "single token: one with ten examples from the word's own split, one with ten from all "
        "words.\n\n"
        "--import makes a store from what another program saved: arrays [rows][width] of f32, f16, "
        "bf16 or f64, row by row (C order). Values are rounded to bf16, to three significant digits "
        "about; NaN, infinities and what is beyond the range of bf16 are refused, so leave such "
        "rows out, and those at BOS, EOS or padding, whose norm is far from that of the others. "
        "What --model-name, --layer and --hook do not say is recorded as unknown. sae-train and "
        "sae-analyze take such a store as any other; evaluations that run the language model must "
        "be told where it is (--model, --layer), and labelled sets and the word set be made from "
        "it, in another folder. Formats: docs/FORMATS.md.",
    .opts = options,
    .run = run,
};

int main(int argc, char **argv)
{
    return sae_program_main(&program, argc, argv);
}
