/* SPDX-License-Identifier: MIT */
/* sae-absorb : do latents that should fire for a letter go silent because others took it over? */
#include <stdlib.h>
#include <string.h>

#include "absorb/absorb.h"
#include "absorb/cache.h"
#include "absorb/plan.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/opt.h"
#include "lib/eval/evaluate.h"
#include "lib/eval/output.h"
#include "lib/eval/store.h"

static struct {
    struct sae_eval_options eval;
    const char *words;
    uint64_t seed, max_k, min_letters, epochs, l1_batch, batch;
    double f1_jump, min_probe_f1, l1;
    bool keep;
} given;

/* clang-format off */
static const struct sae_opt options[] = {
    {"seed", 0, SAE_OPT_U64, &given.seed, "42", .min = 0, .max = 4294967295.0, .arg = "S",
     .group = "Probes", .help = "random seed for the initialisation of the probes and the order of "
                                "their training",
     .flags = SAE_OPT_MAIN},
    {"max-k", 0, SAE_OPT_U64, &given.max_k, "10", .min = 1, .max = ABSORB_MAX_K, .arg = "K",
     .group = "Probes", .help = "latents that a letter may be split over, at most",
     .flags = SAE_OPT_MAIN},
    {"f1-jump", 0, SAE_OPT_REAL, &given.f1_jump, "0.03", .min = 0, .max = 1, .arg = "X",
     .group = "Probes", .help = "increase of F1 by which one more latent counts as a split"},
    {"l1", 0, SAE_OPT_REAL, &given.l1, "0.01", .min = 0, .max = 1e6, .arg = "X",
     .group = "Probes", .help = "L1 weight of the probe that ranks latents"},
    {"l1-batch", 0, SAE_OPT_COUNT, &given.l1_batch, "0", .min = 0, .max = 1e9, .arg = "N",
     .group = "Probes",
     .help = "batch of that probe; 0: 4096, or less if an epoch would have under 20 steps"},
    {"epochs", 0, SAE_OPT_COUNT, &given.epochs, "50", .min = 1, .max = 1e6, .arg = "N",
     .group = "Probes", .help = "epochs of both trained probes"},
    {"min-probe-f1", 0, SAE_OPT_REAL, &given.min_probe_f1, "0.6", .min = 0, .max = 1, .arg = "X",
     .group = "Means", .help = "least F1 of the ground-truth probe for a letter to count in "
                               "version D"},
    {"min-letters", 0, SAE_OPT_U64, &given.min_letters, "20", .min = 1, .max = ABSORB_LETTERS,
     .arg = "N", .group = "Means", .help = "letters that version D needs for a mean"},
    {"words", 0, SAE_OPT_PATH, &given.words, NULL, .arg = "FILE", .group = "Input",
     .help = "word set; default: words.h5 beside the run's activation store",
     .flags = SAE_OPT_MAIN},
    SAE_EVAL_ALL(given.eval, "Input", 0),
    SAE_EVAL_ROWS(given.eval),
    SAE_EVAL_PLAN(given.eval),
    {"keep", 0, SAE_OPT_FLAG, &given.keep, "true", .group = "Speed",
     .help = "cache the ground-truth probe beside the word set; --no-keep: no cache"},
    {"batch", 0, SAE_OPT_COUNT, &given.batch, "2048", .min = 1, .max = 1e7, .arg = "N",
     .group = "Input", .help = "activations encoded at a time"},
    {0}};
/* clang-format on */

/* A word set and its ground-truth probe, which serve one checkpoint after the other. */
struct lexicon {
    char *path;
    struct sae_words words;
    struct absorb_truth truth;
    bool has_truth;
};

static void lexicon_clear(struct lexicon *lexicon)
{
    free(lexicon->path);
    sae_words_clear(&lexicon->words);
    absorb_truth_clear(&lexicon->truth);
    *lexicon = (struct lexicon){0};
}

struct work {
    struct absorb_settings settings;
    struct lexicon lexicon;
    struct absorb_letters letters; /* of the checkpoint at hand */
};

static enum sae_status find_words(char **ret, const struct sae_ckpt *ckpt, struct sae_err *err)
{
    if (given.words)
        return sae_mem_strdup(ret, given.words, err);
    char *folder = NULL, *path = NULL;
    SAE_TRY(sae_store_find(&folder, ckpt, "--words", err));
    enum sae_status st = sae_fs_join(&path, folder, "words.h5", err);
    if (st == SAE_OK && !sae_fs_is_file(path) && sae_store_imported(ckpt)) {
        st = sae_err_set(err, SAE_EIO,
                         "'%s' was trained on an imported store, '%s', which has no word set; make "
                         "one with the language model that the activations came from (sae-harvest "
                         "--model DIR --layer L --words -o OTHER) and name it with --words "
                         "OTHER/words.h5",
                         ckpt->path, folder);
        free(path);
    } else if (st == SAE_OK && !sae_fs_is_file(path)) {
        st = sae_err_set(err, SAE_EIO,
                         "no word set '%s' in the store of '%s'; name one with --words FILE, or make "
                         "it with: sae-harvest --like %s --words",
                         path, ckpt->path, sae_str_shell(folder).s);
        free(path);
    } else if (st == SAE_OK) {
        *ret = path;
    }
    free(folder);
    return st;
}

/* The checkpoint's word set, unless it is at hand already. */
static enum sae_status use_words(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                 struct sae_err *err)
{
    struct lexicon *const lexicon = &((struct work *)run->eval->data)->lexicon;
    struct lexicon made = {0};
    enum sae_status st;
    SAE_TRY(find_words(&made.path, &subject->ckpt, err));
    if (!lexicon->path || strcmp(lexicon->path, made.path) != 0) {
        SAE_GO(st, sae_words_load(&made.words, made.path, err));
        lexicon_clear(lexicon);
        *lexicon = made;
        made = (struct lexicon){0};
    }
    st = sae_store_check(&subject->ckpt, lexicon->path, lexicon->words.d, lexicon->words.record,
                         err);
done:
    lexicon_clear(&made);
    return st;
}

/* Its ground-truth probe, cached or trained. */
static enum sae_status use_truth(struct work *w, const struct sae_ops *ops, struct sae_err *err)
{
    struct lexicon *const lexicon = &w->lexicon;
    char *cache = NULL;
    enum sae_status st = SAE_OK;
    if (!lexicon->has_truth) {
        if (given.keep)
            SAE_GO(st, absorb_cache_path(&cache, lexicon->path, &lexicon->words, &w->settings, err));
        st = absorb_truth_make(&lexicon->truth, &lexicon->words, cache,
                               ops->host ? ops : &sae_ops_cpu, &w->settings, err);
        if (st != SAE_OK && st != SAE_EINTR)
            st = sae_err_prefix(err, "'%s'", lexicon->path);
        lexicon->has_truth = st == SAE_OK;
    }
    w->settings.sparse_batch =
        given.l1_batch ? given.l1_batch : absorb_auto_batch(lexicon->truth.n_train);
done:
    free(cache);
    return st;
}

static enum sae_status plan_one(struct sae_evaluation *run, struct sae_plan *plan,
                                struct sae_err *err)
{
    struct work *const w = run->eval->data;
    struct absorb_settings settings = w->settings;
    settings.sparse_batch = given.l1_batch;
    return absorb_plan(plan, &run->group[0]->ckpt, &w->lexicon.words, &settings, run->ops, err);
}

static enum sae_status absorb_one(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                  struct sae_result_parts parts[], json_t *record,
                                  struct sae_err *err)
{
    struct work *const w = run->eval->data;
    const struct lexicon *const lexicon = &w->lexicon;
    SAE_TRY(use_truth(w, run->ops, err));
    SAE_TRY(absorb_run(&w->letters, &subject->ckpt, &lexicon->words, &lexicon->truth,
                       subject->partial, run->ops, &w->settings, err));
    parts[0] = absorb_result_parts(&subject->ckpt, &lexicon->words, &lexicon->truth, &w->letters,
                                   &w->settings);
    return sae_output_input(record, &subject->ckpt, "words", lexicon->path, lexicon->words.id,
                            lexicon->words.record, err);
}

static enum sae_status print(struct sae_evaluation *run, const struct sae_eval_subject *subject,
                             struct sae_err *err)
{
    const struct work *const w = run->eval->data;
    return absorb_table_print(&subject->ckpt, &w->lexicon.truth, &w->letters, &w->settings, stdout,
                              err);
}

static void close_work(struct sae_evaluation *run)
{
    lexicon_clear(&((struct work *)run->eval->data)->lexicon);
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct work work = {.settings = {.seed = given.seed,
                                     .max_k = given.max_k,
                                     .f1_jump = given.f1_jump,
                                     .min_probe_f1 = given.min_probe_f1,
                                     .min_letters = given.min_letters,
                                     .truth_epochs = given.epochs,
                                     .truth_batch = 64,
                                     .sparse_epochs = given.epochs,
                                     .l1_decay = given.l1,
                                     .encode_batch = given.batch}};
    const struct sae_eval eval = {
        .results = {{"absorption_first_letter", "absorption", "absorb.json"}},
        .partial = ".part.json",
        .options = &given.eval,
        .data = &work,
        .check = use_words,
        .plan = plan_one,
        .one = absorb_one,
        .print = print,
        .close = close_work,
    };
    return sae_evaluate(&eval, cli, err);
}

int main(int argc, char **argv)
{
    static const struct sae_program program = {
        .name = "sae-absorb",
        .summary = "measure feature absorption on the first-letter task",
        .usage = "sae-absorb [--all] [CHECKPOINT|RUN ...]",
        .examples = "# the last checkpoint of a run\n"
                    "sae-absorb run_2\n"
                    "# how absorption grows during training\n"
                    "sae-absorb --all run_2\n"
                    "# the newest checkpoint of the run in this folder, or of every run here\n"
                    "sae-absorb\n",
        .about = "A linear probe on raw activations finds each letter's direction. k-sparse probes "
                 "find the latents that carry the letter. A word is absorbed if those latents are "
                 "silent although the direction is present, and some other latent supplies it.\n\n"
                 "SAEBench changed its formulas three times; all versions are computed and named A "
                 "to D. Lower is better.\n\n"
                 "Results go to ckpt_<n>.absorb.json beside the checkpoint, in SAEBench's "
                 "absorption_first_letter form. The ground-truth probe is cached beside the word "
                 "set, so that it is trained only once for all checkpoints. An interrupted run "
                 "keeps its finished letters in ckpt_<n>.absorb.part.json and continues from "
                 "there.\n\n"
                 "Formulas and versions: docs/math-absorption.md.",
        .operands = "CHECKPOINT|RUN ...",
        .opts = options,
        .run = run,
    };
    return sae_program_main(&program, argc, argv);
}
