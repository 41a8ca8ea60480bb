/* SPDX-License-Identifier: MIT */
/* sae-harvest : what do layers of a language model do on this text? */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harvest/command.h"
#include "harvest/describe.h"
#include "harvest/origin.h"
#include "harvest/plan.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/cli/backend.h"
#include "lib/file/acts.h"
#include "lib/file/record.h"

/* --- model and folder --------------------------------------------------------------------- */

/* Model and hook of another store; its folder is where --out points by default. */
static enum sae_status resolve_like(struct harvest *h, struct sae_hook *hook, struct sae_err *err)
{
    struct sae_acts *acts = NULL;
    enum sae_status st;
    SAE_GO(st, sae_acts_open(&acts, harvest_wanted.like, err));
    SAE_GO(st, sae_mem_strdup(&h->beside, sae_acts_dir(acts), err));
    if (harvest_wanted.out == NULL)
        h->dir = h->beside; /* --like may name the index or a shard */
    const json_t *record = sae_acts_record(acts);
    const json_t *model = sae_record_find_input(record, "model");
    const char *path = model != NULL ? sae_json_str(model, "path", NULL) : NULL;
    const bool known = sae_hook_of_site(hook, json_object_get(record, "site"));
    if (sae_record_find_input(record, "import") != NULL) {
        st = sae_err_set(err, SAE_EARG,
                         "'%s' was imported (--import), so it names no language model that could "
                         "make more; give --model DIR and --layer L, and another folder with -o",
                         harvest_wanted.like);
        goto done;
    }
    if (path == NULL || !known) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' does not say which model and layer made it; give --model "
                         "and --layer",
                         harvest_wanted.like);
        goto done;
    }
    if (harvest_wanted.model != NULL) /* moved since: the folder given now must hold the same model */
        SAE_GO(st, sae_mem_strdup(&h->folder, harvest_wanted.model, err));
    else
        SAE_GO(st, sae_fs_join(&h->folder, sae_acts_dir(acts), path, err));
    sae_fs_shorten(h->folder);
    if (harvest_wanted.model == NULL && !sae_fs_is_dir(h->folder) && !sae_fs_is_file(h->folder))
        st = sae_err_set(err, SAE_EIO,
                         "the model that made '%s' is no longer at '%s'; name its folder with --model "
                         "DIR",
                         harvest_wanted.like, h->folder);
done:
    sae_acts_close(acts);
    return st;
}

static enum sae_status check_like(const struct harvest *h, struct sae_err *err)
{
    struct sae_acts *acts = NULL;
    SAE_TRY(sae_acts_open(&acts, harvest_wanted.like, err));
    const char *id = sae_json_str(sae_acts_record(acts), "site.model_id", "unknown");
    enum sae_status st = SAE_OK;
    const char *const here = h->sites.v->tap.model_id;
    if (strcmp(id, here) != 0)
        st = sae_err_set(err, SAE_EARG, "'%s' was made by another model (%.12s) than '%s' (%.12s)",
                         harvest_wanted.like, id, h->folder, here);
    if (st == SAE_OK) /* one shard takes a second; all are read by sae-train --verify */
        st = sae_acts_verify(acts, 1, NULL, NULL, err);
    sae_acts_close(acts);
    return st;
}

/* The layer is for the user to choose: which there are, and a usual choice. */
static enum sae_status ask_layer(struct sae_err *err)
{
    struct sae_lm_config c;
    SAE_TRY(sae_lm_config_read(&c, harvest_wanted.model, err));
    return sae_err_set(err, SAE_EARG, "which layer? '%s' has layers 0 to %zu: give --layer %zu for the middle one",
                       harvest_wanted.model, c.L - 1, harvest_middle_layer(&c));
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
    for (size_t i = 0; i < harvest_wanted.layers.n; i++)
        if (harvest_wanted.layers.v[i] != hook.layer)
            return sae_err_set(err, SAE_EARG, "--layer %" PRIu64 ": '%s' is of layer %zu",
                               harvest_wanted.layers.v[i], harvest_wanted.like, hook.layer);
    for (size_t i = 0; i < harvest_wanted.hooks.n; i++) {
        struct sae_hook given;
        bool whole;
        SAE_TRY(sae_hook_option(&given, &whole, harvest_wanted.hooks.v[i], err));
        given.layer = whole ? given.layer : hook.layer;
        if (!sae_hook_same(given, hook))
            return sae_err_set(err, SAE_EARG, "--hook %s: '%s' is of '%s'", harvest_wanted.hooks.v[i],
                               harvest_wanted.like, name);
    }
    return SAE_OK;
}

static enum sae_status choose_sites(struct harvest *h, struct sae_err *err)
{
    if (harvest_wanted.like != NULL)
        return choose_like(h, err);
    if (harvest_wanted.model == NULL)
        return sae_err_set(err, SAE_EARG, "which model? give --model DIR, or --like ACTS");
    if (harvest_wanted.layers.n == 0 && harvest_wanted.hooks.n == 0)
        return ask_layer(err);
    SAE_TRY(sae_mem_strdup(&h->folder, harvest_wanted.model, err));
    return harvest_sites_choose(&h->sites, &harvest_wanted.layers, &harvest_wanted.hooks, err);
}

static enum sae_status open_model(struct harvest *h, struct sae_err *err)
{
    size_t n_layers = 0;
    SAE_TRY(choose_sites(h, err));
    if (harvest_wanted.sae_probes.n > 0 && h->sites.n > 1)
        return sae_err_set(err, SAE_EARG, "--sae-probes makes its sets at one hook; name one, or use "
                                          "--like with each store");
    SAE_TRY(harvest_sites_open(&h->sites, h->folder, h->dir, err));
    struct harvest_tap *const first = &h->sites.v->tap;
    for (size_t i = 0; i < h->sites.n; i++) {
        const size_t n = sae_lm_layers_to(first->config, h->sites.v[i].hook);
        n_layers = n > n_layers ? n : n_layers;
    }
    SAE_TRY(sae_lm_place(first->model, h->ops, (enum sae_precision)harvest_wanted.matmul,
                         harvest_wanted.words ? first->config->L : n_layers, err));
    return harvest_wanted.like != NULL ? check_like(h, err) : SAE_OK;
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
    SAE_TRY(sae_mem_alloc(&names, harvest_wanted.labels.n + 1, sizeof *names, err));
    for (size_t i = 0; i < harvest_wanted.labels.n; i++) {
        SAE_GO(st, harvest_labels_path(&names[i], "", harvest_wanted.labels.v[i], err));
        for (size_t j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0) {
                st = sae_err_set(err, SAE_EARG, "'%s' and '%s' would both become '%s'; rename one",
                                 harvest_wanted.labels.v[j], harvest_wanted.labels.v[i], names[i]);
                goto done;
            }
    }
    const bool force = h->cli->force;
    const struct harvest_origin_renewed renewed = {.store = force && h->texts.n > 0,
                                                   .words = force && harvest_wanted.words,
                                                   .lasts = force && harvest_wanted.sae_probes.n > 0,
                                                   .n_labels = force ? harvest_wanted.labels.n : 0,
                                                   .labels = names};
    SAE_GO(st, harvest_sites_lock(&h->sites, h->dir, err));
    for (size_t i = 0; i < h->sites.n; i++)
        SAE_GO(st, harvest_origin_folder(h->sites.v[i].dir, &h->sites.v[i].tap, &renewed, err));
done:
    free_names(names, harvest_wanted.labels.n);
    return st;
}

/* --- the program -------------------------------------------------------------------------- */

/* `--text a b c` and `--text *.txt` leave b and c as operands: they are texts too. Likewise of
 * --import, which goes with no --text. */
static enum sae_status take_operands(const struct sae_cli *cli, struct sae_strs *all,
                                     struct sae_err *err)
{
    const struct sae_strs *const named =
        harvest_wanted.import.n > 0 ? &harvest_wanted.import : &harvest_wanted.text;
    SAE_TRY(sae_mem_alloc(&all->v, named->n + cli->n_args, sizeof *all->v, err));
    for (size_t i = 0; i < named->n; i++)
        all->v[all->n++] = named->v[i];
    for (size_t i = 0; i < cli->n_args; i++)
        all->v[all->n++] = cli->args[i];
    return SAE_OK;
}

/* --plan: what all parts would take, as if nothing of them were there. */
enum sae_status harvest_plan_all(struct harvest *h, struct sae_err *err)
{
    struct sae_files files = {.glob = harvest_wanted.glob};
    struct harvest_store *stores = NULL;
    struct harvest_tap **taps = NULL;
    struct sae_lm_cost cost;
    struct sae_plan plan;
    const size_t n = h->sites.n;
    const struct harvest_labels_settings labels = harvest_labels_wanted(h);
    const struct harvest_words_settings words = harvest_words_wanted(h);
    enum sae_status st;
    if (harvest_wanted.sae_probes.n > 0)
        return sae_err_set(err, SAE_EARG,
                           "--plan does not measure --sae-probes; leave one of them out");
    sae_plan_init(&plan, true, h->dir);
    if (h->texts.n > 0)
        SAE_GO(st, harvest_find_text(h, &files, false, err));
    SAE_GO(st, sae_mem_alloc(&stores, n, sizeof *stores, err));
    SAE_GO(st, sae_mem_alloc(&taps, n, sizeof(struct harvest_tap *), err));
    for (size_t i = 0; i < n; i++) {
        stores[i] = harvest_store_of(&h->sites.v[i]);
        taps[i] = stores[i].tap;
    }
    const struct harvest_store_settings settings = harvest_store_wanted(h, &files);
    SAE_GO(st, harvest_plan_measure(&cost, stores->tap, settings.batch, settings.context,
                                    harvest_wanted.words, err));
    if (h->texts.n > 0)
        harvest_plan_store(&plan, &cost, stores, n, &settings);
    for (size_t i = 0; i < harvest_wanted.labels.n; i++)
        SAE_GO(st, harvest_plan_labels(&plan, &cost, taps, n, harvest_wanted.labels.v[i], &labels, err));
    if (harvest_wanted.words)
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
    if (harvest_wanted.plan)
        return harvest_plan_all(h, err);
    SAE_TRY(check_folders(h, err));
    if (h->texts.n > 0)
        SAE_TRY(harvest_make_stores(h, err));
    if (harvest_wanted.labels.n > 0)
        SAE_TRY(harvest_make_labels(h, err));
    if (harvest_wanted.sae_probes.n > 0)
        SAE_TRY(harvest_make_lasts(h, err));
    if (harvest_wanted.words)
        SAE_TRY(harvest_make_words(h, err));
    return h->cli->json ? sae_json_print(stdout, h->answer, err) : SAE_OK;
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct harvest h = {.cli = cli,
                        .dir = harvest_wanted.out != NULL ? harvest_wanted.out : "acts",
                        .answer = json_object()};
    enum sae_status st;
    SAE_GO(st, take_operands(cli, &h.texts, err));
    SAE_GO(st, harvest_check_wanted(&h, err));
    if (harvest_wanted.describe) {
        st = harvest_describe(harvest_wanted.model, cli->json, err);
        goto done;
    }
    SAE_GO(st, sae_opt_record(&h.invocation, cli, err));
    if (harvest_wanted.import.n > 0) {
        st = harvest_make_import(&h, err);
        goto done;
    }
    SAE_GO(st, sae_cli_lm_backend(&h.ops, cli, &harvest_wanted.matmul, err));
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
    .opts = harvest_options,
    .run = run,
};

int main(int argc, char **argv)
{
    return sae_program_main(&program, argc, argv);
}
