/* SPDX-License-Identifier: MIT */
/* sae-probe : how well do single latents stand for labelled concepts? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "lib/cli/backend.h"
#include "lib/cli/opt.h"
#include "lib/cli/target.h"
#include "lib/eval/site.h"
#include "lib/eval/subjects.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/file/result.h"
#include "probe/probe.h"

static struct {
    struct sae_subject_options subject;
    struct sae_u64s k, seeds;
    struct sae_strs labels;
    uint64_t train_size, test_size, batch;
    bool all, full;
} given;

/* clang-format off */
static const struct sae_opt options[] = {
    {"k", 0, SAE_OPT_U64S, &given.k, "1,2,5", .min = 1, .max = 1000000, .arg = "K,..",
     .group = "Probes", .help = "latents a probe may use; one column each",
     .flags = SAE_OPT_MAIN},
    {"seeds", 0, SAE_OPT_U64S, &given.seeds, "42,43,44,45,46", .min = 0, .max = 4294967295.0,
     .arg = "S,..", .group = "Probes",
     .help = "draws of negative examples; the mean and its standard error are reported",
     .flags = SAE_OPT_MAIN},
    {"train-size", 0, SAE_OPT_COUNT, &given.train_size, "4000", .min = 2, .max = 1e9, .arg = "N",
     .group = "Probes", .help = "training texts of a task, half of them positive, at most",
     .flags = SAE_OPT_MAIN},
    {"test-size", 0, SAE_OPT_COUNT, &given.test_size, "1000", .min = 2, .max = 1e9, .arg = "N",
     .group = "Probes", .help = "test texts of a task, likewise", .flags = SAE_OPT_MAIN},
    {"full", 0, SAE_OPT_FLAG, &given.full, "true", .group = "Probes",
     .help = "also probe all latents and all neurons; --no-full leaves it out (SAEBench's form wants it)",
     .flags = SAE_OPT_MAIN},
    {"labels", 0, SAE_OPT_STRS, &given.labels, NULL, .arg = "FILE,..", .group = "Input",
     .help = "labelled sets; default: labels_*.h5 beside the run's activation store",
     .flags = SAE_OPT_MAIN},
    {"all", 0, SAE_OPT_FLAG, &given.all, "false", .group = "Input",
     .help = "every checkpoint of a run, not only its last", .flags = SAE_OPT_MAIN},
    SAE_SUBJECT_ROWS(given.subject),
    {"batch", 0, SAE_OPT_COUNT, &given.batch, "4096", .min = 1, .max = 1e7, .arg = "N",
     .group = "Input", .help = "tokens encoded at a time"},
    {0}};
/* clang-format on */

/* Keys must not repeat and come in order, so that a probe's columns are a prefix of the next. */
static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t sort_distinct(uint64_t *v, size_t n)
{
    size_t kept = 0;
    qsort(v, n, sizeof *v, by_value);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || v[i] != v[kept - 1])
            v[kept++] = v[i];
    return kept;
}

/* All sets met so far, so that raw neurons are probed once per set, whatever the checkpoints. */
struct pantry {
    struct probe_set *sets;
    size_t n, cap;
};

/* The checkpoint's sets as a block of `ret_n` at the pantry's front, checked against it. */
static enum sae_status lay_out(struct pantry *pantry, char *const *paths, size_t n,
                               const struct sae_ckpt *ckpt, const struct probe_settings *s,
                               struct sae_err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct probe_set set = {0};
        SAE_TRY(probe_set_open(&set, paths[i], s, err));
        size_t at = i;
        while (at < pantry->n && strcmp(pantry->sets[at].id, set.id) != 0)
            at++;
        const bool known = at < pantry->n;
        enum sae_status st = sae_site_check(ckpt, set.path, set.d, set.record, err);
        if (st == SAE_OK && !known)
            st =
                sae_mem_grow(&pantry->sets, &pantry->cap, pantry->n + 1, sizeof *pantry->sets, err);
        if (st != SAE_OK || known)
            probe_set_clear(&set);
        if (st != SAE_OK)
            return st;
        if (!known)
            pantry->sets[pantry->n++] = set;
        const struct probe_set moved = pantry->sets[at];
        pantry->sets[at] = pantry->sets[i];
        pantry->sets[i] = moved;
        probe_set_forget_latents(&pantry->sets[i]);
    }
    return SAE_OK;
}

/* Probes the sets that no earlier, interrupted invocation has finished. */
static enum sae_status probe_sets(struct probe_set *sets, size_t n_sets,
                                  const struct sae_ckpt *ckpt, const struct sae_ops *ops,
                                  const struct probe_settings *s, const char *part,
                                  struct sae_err *err)
{
    size_t n_taken = 0;
    SAE_TRY(probe_part_load(&n_taken, part, ckpt, sets, n_sets, s, err));
    if (n_taken)
        sae_log_info("%zu of %zu sets were finished before, in '%s'", n_taken, n_sets, part);
    for (size_t i = 0; i < n_sets; i++) {
        if (sets[i].has_latents && sets[i].has_neurons)
            continue;
        const enum sae_status st = probe_set_run(&sets[i], ckpt, ops, s, err);
        if (st != SAE_OK)
            return st == SAE_EINTR ? st : sae_err_prefix(err, "'%s'", sets[i].path);
        if (n_sets > 1)
            SAE_TRY(probe_part_save(part, ckpt, sets, n_sets, s, err));
    }
    return SAE_OK;
}

static enum sae_status make_result(json_t **ret, const struct sae_cli *cli,
                                   const struct sae_ckpt *ckpt, const struct probe_set *sets,
                                   size_t n_sets, const struct probe_settings *s,
                                   struct sae_err *err)
{
    json_t *record = NULL;
    char *run = NULL, *seen = NULL;
    SAE_TRY(sae_opt_record(&record, cli, err));
    enum sae_status st;
    SAE_GO(st, sae_target_run(&run, ckpt->path, err));
    SAE_GO(st, sae_record_input(record, "checkpoint", sae_fs_base(ckpt->path), ckpt->id,
                                ckpt->record, err));
    for (size_t i = 0; i < n_sets; i++) {
        free(seen);
        seen = NULL;
        SAE_GO(st, sae_fs_relative(&seen, run, sets[i].path, err));
        SAE_GO(st, sae_record_input(record, "labels", seen, sets[i].id, sets[i].record, err));
    }
    SAE_GO(st, probe_result_make(ret, ckpt, sets, n_sets, s, record, err));
done:
    free(run);
    free(seen);
    json_decref(record);
    return st;
}

/* One checkpoint from file to result. *ret: the result. */
static enum sae_status probe_checkpoint(json_t **ret, const struct sae_cli *cli,
                                         struct sae_subjects *saes, const char *path,
                                        struct pantry *pantry, const struct sae_ops *ops,
                                        const struct probe_settings *s, struct sae_err *err)
{
    struct sae_ckpt ckpt = {0};
    char **paths = NULL, *part = NULL, *out = NULL;
    size_t n = 0;
    json_t *result = NULL;
    SAE_TRY(sae_subject_load(&ckpt, path, given.subject.acts, err));
    enum sae_status st;
    SAE_GO(st, sae_site_sets(&paths, &n, &ckpt, given.labels.v, given.labels.n, err));
    SAE_GO(st, lay_out(pantry, paths, n, &ckpt, s, err));
    SAE_GO(st, sae_subject_out(&out, &given.subject, "sparse_probing", &ckpt, "probe.json", err));
    SAE_GO(st, sae_subject_part(&part, out, ".json", err));
    SAE_GO(st, probe_sets(pantry->sets, n, &ckpt, ops, s, part, err));
    SAE_GO(st, make_result(&result, cli, &ckpt, pantry->sets, n, s, err));
    SAE_GO(st, sae_subjects_write(saes, out, result, part, err));
    if (!cli->json)
        SAE_GO(st, probe_table_print(&ckpt, pantry->sets, n, s, stdout, err));
    *ret = json_incref(result);
done:
    if (st == SAE_EINTR && part && sae_fs_is_file(part))
        sae_log_info("finished sets are kept in '%s'; the same command goes on from there", part);
    json_decref(result);
    sae_fs_list_free(paths, n);
    free(part);
    free(out);
    sae_ckpt_clear(&ckpt);
    return st;
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    if (given.k.n == 0 || given.seeds.n == 0)
        return sae_err_set(err, SAE_EARG, "--%s needs at least one number",
                           given.k.n ? "seeds" : "k");
    const struct probe_settings s = {.k = given.k.v,
                                     .n_k = sort_distinct(given.k.v, given.k.n),
                                     .seeds = given.seeds.v,
                                     .n_seeds = sort_distinct(given.seeds.v, given.seeds.n),
                                     .train_size = given.train_size,
                                     .test_size = given.test_size,
                                     .batch = given.batch,
                                     .full = given.full};
    const struct sae_ops *ops = NULL;
    struct sae_subjects saes = {0};
    struct pantry pantry = {0};
    enum sae_status st;
    SAE_GO(st, sae_cli_backend(&ops, cli, "", err));
    SAE_GO(st, sae_subjects_find(&saes, &given.subject, cli, given.all, err));
    for (size_t i = 0; i < saes.n; i++) {
        json_t *result = NULL;
        SAE_GO(st, probe_checkpoint(&result, cli, &saes, saes.paths[i], &pantry, ops, &s, err));
        json_array_append_new(saes.answers, result);
        if (!cli->json && i + 1 < saes.n)
            putchar('\n');
    }
    st = sae_subjects_end(&saes, cli, err);
done:
    for (size_t i = 0; i < pantry.n; i++)
        probe_set_clear(&pantry.sets[i]);
    free(pantry.sets);
    sae_subjects_clear(&saes);
    return st;
}

int main(int argc, char **argv)
{
    static const struct sae_program program = {
        .name = "sae-probe",
        .summary = "probe labelled concepts with few latents, against raw neurons",
        .usage = "sae-probe [--k 1,2,5] [--all] [CHECKPOINT|RUN ...]",
        .examples = "# the newest checkpoint of the run one stands in, or of every run here\n"
                    "sae-probe --k 1,2,5\n"
                    "# every checkpoint of one run\n"
                    "sae-probe --all run_2\n"
                    "# own labelled sets\n"
                    "sae-probe --labels acts/labels_topic.h5 run_2/ckpt_50.h5\n",
        .about = "For every class of every labelled set, sae-probe makes a balanced task (the "
                 "class against the others), picks the k latents whose means differ most between "
                 "the two sides, and fits a logistic regression on them. The same is done with "
                 "the raw neurons. High accuracy at k = 1 says that single latents stand for the "
                 "concepts.\n\n"
                 "Results go to ckpt_<n>.probe.json beside the checkpoint, in SAEBench's "
                 "sparse_probing form. An interrupted run keeps its finished sets in "
                 "ckpt_<n>.probe.part.json and goes on from there.\n\n"
                 "Formulas and versions: docs/math-probing.md.",
        .operands = "CHECKPOINT|RUN ...",
        .opts = options,
        .run = run,
    };
    return sae_program_main(&program, argc, argv);
}
