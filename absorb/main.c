/* SPDX-License-Identifier: MIT */
/* sae-absorb : do latents that should fire for a letter go silent because others took it over? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "absorb/absorb.h"
#include "absorb/kept.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/backend.h"
#include "lib/cli/opt.h"
#include "lib/cli/target.h"
#include "lib/eval/store.h"
#include "lib/eval/subjects.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/file/result.h"

static struct {
    struct sae_subject_options subject;
    const char *words;
    uint64_t seed, max_k, min_letters, epochs, l1_batch, batch;
    double f1_jump, min_probe_f1, l1;
    bool all, keep;
} given;

/* clang-format off */
static const struct sae_opt options[] = {
    {"seed", 0, SAE_OPT_U64, &given.seed, "42", .min = 0, .max = 4294967295.0, .arg = "S",
     .group = "Probes", .help = "initialisation and order of the probes' training",
     .flags = SAE_OPT_MAIN},
    {"max-k", 0, SAE_OPT_U64, &given.max_k, "10", .min = 1, .max = ABSORB_MAX_K, .arg = "K",
     .group = "Probes", .help = "latents a letter may be split over, at most",
     .flags = SAE_OPT_MAIN},
    {"f1-jump", 0, SAE_OPT_REAL, &given.f1_jump, "0.03", .min = 0, .max = 1, .arg = "X",
     .group = "Probes", .help = "F1 that one more latent must add to count as a split"},
    {"l1", 0, SAE_OPT_REAL, &given.l1, "0.01", .min = 0, .max = 1e6, .arg = "X",
     .group = "Probes", .help = "L1 weight of the probe that ranks latents"},
    {"l1-batch", 0, SAE_OPT_U64, &given.l1_batch, "0", .min = 0, .max = 1e9, .arg = "N",
     .group = "Probes",
     .help = "its batch; 0: 4096, less where an epoch would have under 20 steps"},
    {"epochs", 0, SAE_OPT_U64, &given.epochs, "50", .min = 1, .max = 1e6, .arg = "N",
     .group = "Probes", .help = "epochs of both trained probes"},
    {"min-probe-f1", 0, SAE_OPT_REAL, &given.min_probe_f1, "0.6", .min = 0, .max = 1, .arg = "X",
     .group = "Means", .help = "version D leaves out letters whose ground-truth probe is worse"},
    {"min-letters", 0, SAE_OPT_U64, &given.min_letters, "20", .min = 1, .max = ABSORB_LETTERS,
     .arg = "N", .group = "Means", .help = "version D gives no mean over fewer letters"},
    {"words", 0, SAE_OPT_PATH, &given.words, NULL, .arg = "FILE", .group = "Input",
     .help = "word set; default: words.h5 beside the run's activation store",
     .flags = SAE_OPT_MAIN},
    {"all", 0, SAE_OPT_FLAG, &given.all, "false", .group = "Input",
     .help = "every checkpoint of a run, not only its last", .flags = SAE_OPT_MAIN},
    SAE_SUBJECT_ROWS(given.subject),
    {"keep", 0, SAE_OPT_FLAG, &given.keep, "true", .group = "Speed",
     .help = "the ground-truth probe beside the word set, for the next run; --no-keep leaves "
             "nothing behind"},
    {"batch", 0, SAE_OPT_COUNT, &given.batch, "2048", .min = 1, .max = 1e7, .arg = "N",
     .group = "Input", .help = "activations encoded at a time"},
    {0}};
/* clang-format on */

/* The word set in use and its ground-truth probe, kept from checkpoint to checkpoint. */
struct lexicon {
    char *path;
    struct sae_words words;
    struct absorb_truth truth;
};

static void lexicon_clear(struct lexicon *lexicon)
{
    free(lexicon->path);
    sae_words_clear(&lexicon->words);
    absorb_truth_clear(&lexicon->truth);
    *lexicon = (struct lexicon){0};
}

static enum sae_status find_words(char **ret, const struct sae_ckpt *ckpt, struct sae_err *err)
{
    if (given.words)
        return sae_mem_strdup(ret, given.words, err);
    char *folder = NULL, *path = NULL;
    SAE_TRY(sae_store_find(&folder, ckpt, "--words", err));
    enum sae_status st = sae_fs_join(&path, folder, "words.h5", err);
    if (st == SAE_OK && !sae_fs_is_file(path)) {
        st = sae_err_set(err, SAE_EIO,
                         "no word set '%s' in the store of '%s'; make it with 'sae-harvest --like "
                         "%s --words', or name one with --words FILE",
                         path, ckpt->path, folder);
        free(path);
    } else if (st == SAE_OK) {
        *ret = path;
    }
    free(folder);
    return st;
}

/* Loads the checkpoint's word set and trains its probe, unless they are at hand already. */
static enum sae_status use_words(struct lexicon *lexicon, const struct sae_ckpt *ckpt,
                                 const struct sae_ops *ops, const struct absorb_settings *s,
                                 struct sae_err *err)
{
    char *path = NULL;
    SAE_TRY(find_words(&path, ckpt, err));
    if (lexicon->path && strcmp(lexicon->path, path) == 0) {
        free(path);
        return sae_store_check(ckpt, lexicon->path, lexicon->words.d, lexicon->words.record, err);
    }
    struct lexicon made = {.path = path};
    char *kept = NULL;
    enum sae_status st;
    SAE_GO(st, sae_words_load(&made.words, path, err));
    SAE_GO(st, sae_store_check(ckpt, path, made.words.d, made.words.record, err));
    if (given.keep)
        SAE_GO(st, absorb_kept_path(&kept, path, &made.words, s, err));
    st = absorb_truth_make(&made.truth, &made.words, kept, ops->host ? ops : &sae_ops_cpu, s, err);
    if (st != SAE_OK && st != SAE_EINTR)
        st = sae_err_prefix(err, "'%s'", path);
    if (st != SAE_OK)
        goto done;
    lexicon_clear(lexicon);
    *lexicon = made;
    made = (struct lexicon){0};
done:
    free(kept);
    lexicon_clear(&made);
    return st;
}

static enum sae_status make_result(json_t **ret, const struct sae_cli *cli,
                                   const struct sae_ckpt *ckpt, const struct lexicon *lexicon,
                                   const struct absorb_outcome *outcome,
                                   const struct absorb_settings *s, struct sae_err *err)
{
    json_t *record = NULL;
    char *run = NULL, *words = NULL;
    SAE_TRY(sae_opt_record(&record, cli, err));
    enum sae_status st;
    SAE_GO(st, sae_target_run(&run, ckpt->path, err));
    SAE_GO(st, sae_fs_relative(&words, run, lexicon->path, err));
    SAE_GO(st, sae_record_input(record, "checkpoint", sae_fs_base(ckpt->path), ckpt->id,
                                ckpt->record, err));
    SAE_GO(st,
           sae_record_input(record, "words", words, lexicon->words.id, lexicon->words.record, err));
    SAE_GO(st, absorb_result_make(ret, ckpt, &lexicon->words, &lexicon->truth, outcome, s, record,
                                  err));
done:
    free(run);
    free(words);
    json_decref(record);
    return st;
}

/* One checkpoint from file to result. */
static enum sae_status absorb_checkpoint(json_t **ret, const struct sae_cli *cli,
                                         struct sae_subjects *saes, const char *path,
                                         struct lexicon *lexicon, const struct sae_ops *ops,
                                         struct absorb_settings s, struct sae_err *err)
{
    struct sae_ckpt ckpt = {0};
    struct absorb_outcome outcome;
    char *out = NULL, *part = NULL;
    json_t *result = NULL;
    SAE_TRY(sae_subject_load(&ckpt, path, given.subject.acts, err));
    enum sae_status st;
    SAE_GO(st, use_words(lexicon, &ckpt, ops, &s, err));
    if (s.sparse_batch == 0)
        s.sparse_batch = absorb_auto_batch(lexicon->truth.n_train);
    SAE_GO(st, sae_subject_out(&out, &given.subject, "absorption", &ckpt, "absorb.json", err));
    SAE_GO(st, sae_subject_part(&part, out, ".json", err));
    SAE_GO(st, absorb_run(&outcome, &ckpt, &lexicon->words, &lexicon->truth, part, ops, &s, err));
    SAE_GO(st, make_result(&result, cli, &ckpt, lexicon, &outcome, &s, err));
    SAE_GO(st, sae_subjects_write(saes, out, result, part, err));
    if (!cli->json)
        SAE_GO(st, absorb_table_print(&ckpt, &lexicon->truth, &outcome, &s, stdout, err));
    *ret = json_incref(result);
done:
    json_decref(result);
    free(out);
    free(part);
    sae_ckpt_clear(&ckpt);
    return st;
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    const struct absorb_settings s = {.seed = given.seed,
                                      .max_k = given.max_k,
                                      .f1_jump = given.f1_jump,
                                      .min_probe_f1 = given.min_probe_f1,
                                      .min_letters = given.min_letters,
                                      .truth_epochs = given.epochs,
                                      .truth_batch = 64,
                                      .sparse_epochs = given.epochs,
                                      .sparse_batch = given.l1_batch,
                                      .l1_decay = given.l1,
                                      .encode_batch = given.batch};
    const struct sae_ops *ops = NULL;
    struct lexicon lexicon = {0};
    struct sae_subjects saes = {0};
    enum sae_status st;
    SAE_GO(st, sae_cli_backend(&ops, cli, "", err));
    SAE_GO(st, sae_subjects_find(&saes, &given.subject, cli, given.all, err));
    for (size_t i = 0; i < saes.n; i++) {
        json_t *result = NULL;
        SAE_GO(st, absorb_checkpoint(&result, cli, &saes, saes.paths[i], &lexicon, ops, s, err));
        json_array_append_new(saes.answers, result);
        if (!cli->json && i + 1 < saes.n)
            putchar('\n');
    }
    st = sae_subjects_end(&saes, cli, err);
done:
    lexicon_clear(&lexicon);
    sae_subjects_clear(&saes);
    return st;
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
                    "# the newest checkpoint of the run one stands in, or of every run here\n"
                    "sae-absorb\n",
        .about = "A linear probe on raw activations finds each letter's direction. k-sparse "
                 "probes find the latents that carry the letter. A word is absorbed where those "
                 "latents are silent although the direction is present, and some other latent "
                 "supplies it.\n\n"
                 "SAEBench changed its formulas three times; all versions are computed and named "
                 "A to D. Lower is better.\n\n"
                 "Results go to ckpt_<n>.absorb.json beside the checkpoint, in SAEBench's "
                 "absorption_first_letter form. The ground-truth probe is kept beside the word "
                 "set, so that a further checkpoint need not train it. An interrupted run keeps "
                 "its finished letters in ckpt_<n>.absorb.part.json and goes on from there.\n\n"
                 "Formulas and versions: docs/math-absorption.md.",
        .operands = "CHECKPOINT|RUN ...",
        .opts = options,
        .run = run,
    };
    return sae_program_main(&program, argc, argv);
}
