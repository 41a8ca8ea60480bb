/* SPDX-License-Identifier: MIT */
/* sae-train : one run - settings in, checkpoints and time series out.
 * Contents: 1. options   2. a new run   3. a resumed run   4. the answer   5. main */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cli/opt.h"
#include "lib/cli/table.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "train/options.h"
#include "train/run.h"

/* --- 1. options --------------------------------------------------------------------------- */

static struct settings set; /* destinations of the table; read once by start() */
static const char *acts_path, *out_path, *resume_path;

#define MAIN SAE_OPT_MAIN
static const char in_out[] = "Input and output", sae[] = "Autoencoder", fit[] = "Training",
                  orth[] = "Orthogonality", watch[] = "Records";

/* clang-format off : its aligned columns would be 280 wide */
static const struct sae_opt options[] = {
    {"acts", 0, SAE_OPT_PATH, &acts_path, NULL, NULL, 0, 0, "DIR", in_out,
     "activation store to train on (sae-harvest makes it)", MAIN},
    {"out", 'o', SAE_OPT_PATH, &out_path, NULL, NULL, 0, 0, "RUN", in_out,
     "run folder for checkpoints", MAIN | SAE_OPT_UNRECORDED},
    {"resume", 0, SAE_OPT_PATH, &resume_path, NULL, NULL, 0, 0, "RUN", in_out,
     "continue an interrupted run with its recorded options", MAIN | SAE_OPT_UNRECORDED},
    {"arch", 0, SAE_OPT_ENUM, &set.arch, "topk", train_arch_names, 0, 0, "NAME", sae,
     "architecture and loss", MAIN},
    {"k", 0, SAE_OPT_U64, &set.k, "32", NULL, 1, 0, "N", sae,
     "active latents a token (topk), on average over a batch (batchtopk, matryoshka)", MAIN},
    {"m", 0, SAE_OPT_COUNT, &set.m, NULL, NULL, 2, 0, "N", sae,
     "dictionary width in latents; default 16 times the activation width", MAIN},
    {"k-start", 0, SAE_OPT_U64, &set.k_start, "0", NULL, 0, 0, "N", sae,
     "progressive k: linear from here to --k over the run; 0 keeps k", 0},
    {"groups", 0, SAE_OPT_REALS, &set.groups, "0.03125,0.0625,0.125,0.25,0.53125", NULL, 0, 1,
     "LIST", sae, "matryoshka: shares of the latents, innermost first; the last takes the rest", 0},
    {"prefix-loss", 0, SAE_OPT_ENUM, &set.prefix_loss, "mean", train_prefix_loss_names, 0, 0, "HOW",
     sae, "matryoshka: losses of the nested prefixes averaged; published: divided by their number "
     "once more, as dictionary_learning does", 0},
    {"normalize", 0, SAE_OPT_ENUM, &set.normalize, "none", train_norm_names, 0, 0, "HOW", sae,
     "unit: train on activations scaled to mean square norm 1; files take raw ones either way", 0},
    {"batch", 0, SAE_OPT_COUNT, &set.batch, "2048", NULL, 1, 0, "N", fit, "tokens in a batch", 0},
    {"tokens", 0, SAE_OPT_COUNT, &set.tokens, NULL, NULL, 1, 0, "N", fit,
     "tokens to train on; default all training rows once", MAIN},
    {"steps", 0, SAE_OPT_COUNT, &set.steps, NULL, NULL, 1, 0, "N", fit,
     "updates; instead of --tokens", 0},
    {"lr", 0, SAE_OPT_REAL, &set.lr, NULL, NULL, 0, 1e30, "X", fit,
     "learning rate; default 2e-4 / sqrt(m / 16384) for topk, batchtopk and matryoshka, 3e-4 "
     "for standard, 5e-5 for gated, 7e-5 for jumprelu", MAIN},
    {"l1", 0, SAE_OPT_REAL, &set.l1, NULL, NULL, 0, 1e12, "X", fit,
     "weight of the L1 term (standard, gated); default 0.04, gated 0.1", 0},
    {"warmup", 0, SAE_OPT_COUNT, &set.warmup, NULL, NULL, 0, 0, "STEPS", fit,
     "linear learning rate warm-up; default 1000, a tenth of runs below 2000 steps", 0},
    {"decay-start", 0, SAE_OPT_COUNT, &set.decay_start, NULL, NULL, 0, 0, "STEP", fit,
     "step from which the learning rate falls linearly to 0; default never", 0},
    {"sparsity-warmup", 0, SAE_OPT_COUNT, &set.sparsity_warmup, NULL, NULL, 0, 0, "STEPS", fit,
     "linear warm-up of the sparsity term (standard, gated, jumprelu); default 2000, a fifth of runs below 4000 steps", 0},
    {"target-l0", 0, SAE_OPT_REAL, &set.target_l0, "20", NULL, 0, 1e12, "X", fit,
     "active latents a token that the penalty leads to (jumprelu)", MAIN},
    {"l0-penalty", 0, SAE_OPT_REAL, &set.l0_penalty, "1", NULL, 0, 1e12, "X", fit,
     "weight of (L0 / target - 1)^2 (jumprelu)", 0},
    {"bandwidth", 0, SAE_OPT_REAL, &set.bandwidth, "0.001", NULL, 0, 1e12, "X", fit,
     "width around a threshold in which it learns, in activation units (jumprelu); the default "
     "fits --normalize unit", 0},
    {"cut-start", 0, SAE_OPT_COUNT, &set.cut_start, NULL, NULL, 0, 0, "STEP", fit,
     "batchtopk, matryoshka: step after which the threshold of inference is averaged; default 1000, a tenth "
     "of runs below 2000 steps", 0},
    {"cut-momentum", 0, SAE_OPT_REAL, &set.cut_momentum, NULL, NULL, 0, 1, "X", fit,
     "share of that threshold kept each step; default 0.999, 1 - 20 / steps in runs below 20000", 0},
    {"auxk-alpha", 0, SAE_OPT_REAL, &set.auxk_alpha, "0.03125", NULL, 0, 1e6, "X", fit,
     "weight of the loss that revives dead latents (topk, batchtopk, matryoshka); 0 switches it off", 0},
    {"dead-after", 0, SAE_OPT_COUNT, &set.dead_after, NULL, NULL, 1, 0, "TOKENS", fit,
     "a latent is dead after as many tokens; default 10M or a tenth of the run, the lesser", 0},
    {"seed", 0, SAE_OPT_U64, &set.seed, "42", NULL, 0, 0, "N", fit,
     "of weights, data order and chosen pairs", MAIN},
    {"orth", 0, SAE_OPT_ENUM, &set.orth, "none", train_orth_names, 0, 0, "HOW", orth,
     "orthogonality term: pairs that fire together, with constant weight or falling as (1 - p)^gamma; "
     "ortsae: nearest neighbours of random chunks", MAIN},
    {"lambda2-max", 0, SAE_OPT_REAL, &set.lambda2_max, NULL, NULL, 0, 1e12, "X", orth,
     "weight of the term at the start; default 0.1, 0.25 for ortsae", MAIN},
    {"gamma", 0, SAE_OPT_REAL, &set.gamma, NULL, NULL, 0, 1e6, "X", orth,
     "exponent of the weight's decay; default 2 for progressive, else 0", 0},
    {"ortsae-chunk", 0, SAE_OPT_COUNT, &set.ortsae_chunk, "8192", NULL, 2, 0, "N", orth,
     "latents among which ortsae looks for the nearest neighbour", 0},
    {"ortsae-every", 0, SAE_OPT_COUNT, &set.ortsae_every, "5", NULL, 1, 0, "STEPS", orth,
     "ortsae acts on every n-th step, n times as strongly", 0},
    {"base-threshold", 0, SAE_OPT_REAL, &set.base_threshold, "0.1", NULL, 0, 1e12, "X", orth,
     "overlap above which two latents compete", MAIN},
    {"threshold-schedule", 0, SAE_OPT_ENUM, &set.threshold_schedule, "down", sae_tau_names, 0, 0,
     "HOW", orth, "how the threshold moves with progress p: times 1 - p, 1 + p, 1", 0},
    {"threshold-momentum", 0, SAE_OPT_REAL, &set.threshold_momentum, "0", NULL, 0, 1, "X", orth,
     "share of the last threshold kept each step", 0},
    {"threshold-floor", 0, SAE_OPT_REAL, &set.threshold_floor, "0.001", NULL, 0, 1e12, "X", orth,
     "the threshold never falls below", 0},
    {"overlap", 0, SAE_OPT_ENUM, &set.overlap, "overlap", sae_overlap_names, 0, 0, "NAME", orth,
     "how shared firing is normalised", 0},
    {"overlap-window", 0, SAE_OPT_U64, &set.overlap_window, "1", NULL, 1, 10000, "N", orth,
     "batches in the running counts: weight (1 - 1/N)^age, cut at age 3N; 1 is this batch", 0},
    {"competition", 0, SAE_OPT_ENUM, &set.competition, "linear", sae_compete_names, 0, 0, "FORM",
     orth, "how strongly a pair above the threshold competes", 0},
    {"sharpness", 0, SAE_OPT_REAL, &set.sharpness, "4", NULL, 0, 1e6, "X", orth,
     "slope of the sigmoid form", 0},
    {"min-count", 0, SAE_OPT_REAL, &set.min_count, "2", NULL, 0, 1e12, "N", orth,
     "pairs with a latent active on fewer tokens are left out", 0},
    {"orth-normalizer", 0, SAE_OPT_ENUM, &set.orth_normalizer, "sum", train_normalizer_names, 0, 0,
     "HOW", orth, "divide the term by nothing, by the competing pairs, by the latents", 0},
    {"checkpoints", 0, SAE_OPT_REALS, &set.checkpoints, "0,25,50,75,100", NULL, 0, 100, "LIST",
     watch, "percent of the run at which checkpoints are written", MAIN},
    {"log-every", 0, SAE_OPT_COUNT, &set.log_every, "10", NULL, 1, 0, "STEPS", watch,
     "steps between points of the time series", 0},
    {"heldout-rows", 0, SAE_OPT_COUNT, &set.heldout_rows, NULL, NULL, 1, 0, "N", watch,
     "last rows of the store, kept apart; default a tenth, at most 8192, at least a batch", 0},
    {"save-every", 0, SAE_OPT_COUNT, &set.save_every, "0", NULL, 0, 0, "STEPS", watch,
     "steps between saves of state.h5, for --resume; 0: only when stopped", SAE_OPT_UNRECORDED},
    {"pairs", 0, SAE_OPT_U64, &set.pairs, "64", NULL, 0, 100000, "N", watch,
     "pairs of each kind to follow: competitors, co-active, never together", 0},
    {NULL, 0, SAE_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, 0}};
/* clang-format on */

/* --- 2. a new run ------------------------------------------------------------------------- */

struct job {
    struct run_plan plan;
    struct sae_acts *acts;
    json_t *record;
    char *from;
    char *store; /* path of the store when resuming */
};

/* An earlier run in the folder is refused, or with --force removed: old checkpoints beside new
 * ones would be read as one run. */
static enum sae_status clear_folder(const char *dir, bool force, struct sae_err *err)
{
    static const char *const prefixes[] = {"ckpt_", "state.h5"};
    enum sae_status st = SAE_OK;
    for (size_t p = 0; st == SAE_OK && p < sizeof prefixes / sizeof *prefixes; p++) {
        char **names = NULL;
        size_t n = 0;
        SAE_TRY(sae_fs_list(&names, &n, dir, prefixes[p], "", err));
        if (n > 0 && !force)
            st = sae_err_set(err, SAE_EARG,
                             "'%s' holds a run already ('%s'); continue it with --resume %s, or "
                             "replace it with --force",
                             dir, names[0], dir);
        for (size_t i = 0; st == SAE_OK && i < n; i++) {
            char *path = NULL;
            st = sae_fs_join(&path, dir, names[i], err);
            if (st == SAE_OK && unlink(path) != 0)
                st = sae_err_set(err, SAE_EIO, "cannot remove '%s'", path);
            free(path);
        }
        sae_fs_list_free(names, n);
    }
    return st;
}

/* The record of a new run: options as resolved, the store, and the store's site. */
static enum sae_status make_record(struct job *job, const struct sae_cli *cli, struct sae_err *err)
{
    char *relative = NULL;
    enum sae_status st;
    SAE_GO(st, sae_opt_record(&job->record, cli, err));
    SAE_GO(st, options_record(job->record, &set, err));
    SAE_GO(st, sae_fs_relative(&relative, out_path, sae_acts_dir(job->acts), err));
    const json_t *const from = sae_acts_record(job->acts);
    SAE_GO(st, sae_record_input(job->record, "acts", relative, sae_acts_id(job->acts), from, err));
    json_t *const site = json_object_get(from, "site");
    if (site && json_object_set(job->record, "site", site) != 0)
        st = sae_err_set(err, SAE_ENOMEM, "out of memory");
done:
    free(relative);
    return st;
}

static enum sae_status start(struct job *job, const struct sae_cli *cli, struct sae_err *err)
{
    if (!acts_path)
        return sae_err_set(err, SAE_EARG, "no activation store; give --acts DIR");
    if (!out_path)
        return sae_err_set(err, SAE_EARG, "no run folder; give -o RUN");
    SAE_TRY(options_check(cli, &set, err));
    SAE_TRY(sae_acts_open(&job->acts, acts_path, err));
    SAE_TRY(settings_resolve(&set, sae_acts_n_rows(job->acts), sae_acts_d(job->acts), err));
    SAE_TRY(sae_fs_make_dirs(out_path, err));
    SAE_TRY(clear_folder(out_path, cli->force, err));
    job->plan.dir = out_path;
    return make_record(job, cli, err);
}

/* --- 3. a resumed run --------------------------------------------------------------------- */

static enum sae_status step_of(const char *path, uint64_t *step, uint64_t *total,
                               struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    enum sae_status st;
    SAE_GO(st, sae_h5_open(&file, path, "checkpoint", err));
    SAE_GO(st, sae_h5_attr_u64(file, "/", "step", step, err));
    SAE_GO(st, sae_h5_attr_u64(file, "/", "total_steps", total, err));
done:
    sae_h5_close(file);
    return st;
}

/* The file of the run that is furthest on. */
static enum sae_status find_state(char **ret, const char *dir, struct sae_err *err)
{
    static const char *const prefixes[] = {"ckpt_", "state"};
    char *best = NULL;
    uint64_t best_step = 0, best_total = 1;
    enum sae_status st = SAE_OK;
    if (!sae_fs_is_dir(dir))
        return sae_err_set(err, SAE_EIO, "cannot resume '%s': no such folder", dir);
    for (size_t p = 0; st == SAE_OK && p < sizeof prefixes / sizeof *prefixes; p++) {
        char **names = NULL;
        size_t n = 0;
        SAE_TRY(sae_fs_list(&names, &n, dir, prefixes[p], ".h5", err));
        for (size_t i = 0; st == SAE_OK && i < n; i++) {
            char *path = NULL;
            uint64_t step = 0, total = 1;
            st = sae_fs_join(&path, dir, names[i], err);
            if (st == SAE_OK)
                st = step_of(path, &step, &total, err);
            if (st == SAE_OK && (!best || step > best_step)) {
                free(best);
                best = path;
                best_step = step;
                best_total = total;
                path = NULL;
            }
            free(path);
        }
        sae_fs_list_free(names, n);
    }
    if (st == SAE_OK && !best)
        st = sae_err_set(err, SAE_EARG, "cannot resume '%s': no checkpoint and no state.h5 in it",
                         dir);
    if (st == SAE_OK && best_step >= best_total)
        st = sae_err_set(err, SAE_EARG,
                         "'%s' is finished: %" PRIu64 " of %" PRIu64
                         " steps are done; nothing to resume",
                         dir, best_step, best_total);
    if (st != SAE_OK) {
        free(best);
        return st;
    }
    *ret = best;
    return SAE_OK;
}

static enum sae_status load_record(struct job *job, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    enum sae_status st;
    SAE_GO(st, sae_h5_open(&file, job->from, "checkpoint", err));
    SAE_GO(st, sae_json_parse(&job->record, sae_h5_record(file), job->from, err));
done:
    sae_h5_close(file);
    return st;
}

/* Opens the store the run was trained on: where the record says, or where --acts says it went. */
static enum sae_status open_store(struct job *job, struct sae_err *err)
{
    const json_t *const input = sae_record_find_input(job->record, "acts");
    const char *const path = sae_json_str(input, "path", NULL);
    const char *const id = sae_json_str(input, "id", NULL);
    if (!path || !id)
        return sae_err_set(err, SAE_EFORMAT, "'%s' names no activation store in its record",
                           job->from);
    SAE_TRY(acts_path ? sae_mem_strdup(&job->store, acts_path, err)
                      : sae_fs_join(&job->store, resume_path, path, err));
    const enum sae_status st = sae_acts_open(&job->acts, job->store, err);
    if (st != SAE_OK && !acts_path && err)
        (void)sae_err_prefix(err, "the run's store (if it moved, give --acts DIR)");
    SAE_TRY(st);
    if (strcmp(id, sae_acts_id(job->acts)) != 0)
        return sae_err_set(err, SAE_EARG,
                           "'%s' is not the store of this run: its id is %.12s, but '%s' was "
                           "trained on %.12s",
                           job->store, sae_acts_id(job->acts), resume_path, id);
    return SAE_OK;
}

static enum sae_status apply_record(const struct job *job, const struct sae_cli *cli,
                                    struct sae_err *err)
{
    json_t *const options_of_run = json_copy(json_object_get(job->record, "options"));
    if (!json_is_object(options_of_run)) {
        json_decref(options_of_run);
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no options in its record", job->from);
    }
    /* The store is known by its id, not by where it was when the run began. */
    json_object_del(options_of_run, "acts");
    const enum sae_status st = sae_opt_apply(cli, options_of_run, err);
    json_decref(options_of_run);
    return st;
}

static enum sae_status resume(struct job *job, const struct sae_cli *cli, struct sae_err *err)
{
    if (out_path)
        return sae_err_set(err, SAE_EARG,
                           "--out and --resume both name a run folder; leave --out "
                           "out to continue '%s'",
                           resume_path);
    SAE_TRY(find_state(&job->from, resume_path, err));
    SAE_TRY(load_record(job, err));
    SAE_TRY(apply_record(job, cli, err));
    SAE_TRY(open_store(job, err));
    SAE_TRY(settings_resolve(&set, sae_acts_n_rows(job->acts), sae_acts_d(job->acts), err));
    job->plan.dir = resume_path;
    job->plan.from = job->from;
    sae_log_info("resuming from '%s'", job->from);
    return SAE_OK;
}

/* --- 4. the answer ------------------------------------------------------------------------ */

static const struct {
    const char *metric, *head;
    int digits; /* -1: a count */
} columns[] = {{"loss", "held-out loss", 4},
               {"explained_variance", "expl. var.", 4},
               {"l0", "L0", 1},
               {"dead", "dead", -1},
               {"competing_pairs", "competing", -1},
               {"mean_abs_cos", "mean |cos|", 4}};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

/* {"path", "step", metrics...} of a checkpoint, from its attributes. */
static enum sae_status read_summary(json_t **ret, const char *path, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    uint64_t step = 0;
    json_t *row = NULL;
    enum sae_status st;
    SAE_GO(st, sae_h5_open(&file, path, "checkpoint", err));
    SAE_GO(st, sae_h5_attr_u64(file, "/", "step", &step, err));
    row = json_pack("{s:s, s:I}", "checkpoint", path, "step", (json_int_t)step);
    for (const char *const *name = sae_ckpt_metric_names; *name; name++) {
        double v = NAN;
        if (sae_h5_attr_f64(file, "/heldout", *name, &v, NULL) != SAE_OK)
            v = NAN;
        json_object_set_new(row, *name, sae_json_number(v));
    }
    *ret = row;
done:
    sae_h5_close(file);
    return st;
}

static enum sae_status print_table(const json_t *rows, const struct run_plan *plan,
                                   struct sae_err *err)
{
    const char *heads[N_COLUMNS + 2] = {"checkpoint", "step"};
    for (size_t c = 0; c < N_COLUMNS; c++)
        heads[c + 2] = columns[c].head;
    struct sae_table *table = NULL;
    SAE_TRY(sae_table_make(&table, N_COLUMNS + 2, heads, err));
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        sae_table_text(table, "%s", sae_fs_base(sae_json_str(row, "checkpoint", "")));
        sae_table_count(table, sae_json_real(row, "step", NAN));
        for (size_t c = 0; c < N_COLUMNS; c++) {
            const double v = sae_json_real(row, columns[c].metric, NAN);
            if (columns[c].digits < 0)
                sae_table_count(table, v);
            else
                sae_table_real(table, v, columns[c].digits);
        }
    }
    const enum sae_status st = sae_table_print(table, stdout, 0, err);
    sae_table_free(table);
    if (st == SAE_OK)
        printf("\n%s, d %zu, m %" PRIu64 ", %" PRIu64 " steps of %" PRIu64 " tokens; competing: "
               "pairs of held-out masks above the base threshold.\nCheckpoints are in %s.\n",
               train_arch_names[plan->set.arch], sae_acts_d(plan->acts), plan->set.m,
               plan->set.steps, plan->set.batch, plan->dir);
    return st;
}

static enum sae_status print_answer(const struct run_plan *plan, bool as_json, struct sae_err *err)
{
    json_t *rows = json_array(), *all = NULL;
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < plan->set.checkpoints.n; i++) {
        char *path = NULL;
        json_t *row = NULL;
        SAE_GO(st, run_checkpoint_path(&path, plan->dir, &plan->set, i, err));
        st = read_summary(&row, path, err);
        free(path);
        if (st != SAE_OK)
            goto done;
        json_array_append_new(rows, row);
    }
    if (!as_json) {
        st = print_table(rows, plan, err);
        goto done;
    }
    all =
        json_pack("{s:s, s:O, s:O}", "run", plan->dir, "checkpoints", rows, "record", plan->record);
    st = sae_json_print(stdout, all, err);
done:
    json_decref(all);
    json_decref(rows);
    return st;
}

/* --- 5. main ------------------------------------------------------------------------------ */

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct job job = {0};
    enum sae_status st;
    SAE_GO(st, sae_ops_open(&job.plan.ops, cli->backend, (size_t)cli->threads, err));
    SAE_GO(st, resume_path ? resume(&job, cli, err) : start(&job, cli, err));
    job.plan.set = set;
    job.plan.acts = job.acts;
    job.plan.record = job.record;
    SAE_GO(st, run_train(&job.plan, err));
    SAE_GO(st, print_answer(&job.plan, cli->json, err));
done:
    sae_acts_close(job.acts);
    json_decref(job.record);
    free(job.from);
    free(job.store);
    return st;
}

static const struct sae_program program = {
    .name = "sae-train",
    .summary = "train one sparse autoencoder on an activation store",
    .usage = "sae-train --acts DIR [options] -o RUN",
    .examples = "# TopK baseline\n"
                "sae-train --acts acts --arch topk --k 32 -o run_1\n"
                "# progressive orthogonality\n"
                "sae-train --acts acts --arch topk --k 32 --orth progressive --lambda2-max 0.1 -o "
                "run_2\n"
                "# continue after an interruption, to the same bytes\n"
                "sae-train --resume run_2\n",
    .about =
        "Writes ckpt_00.h5 ... ckpt_100.h5 into the run folder. Each holds weights, the time "
        "series so far, metrics and masks of held-out rows, and all that an exact resume needs. "
        "The steps follow the 2025 dictionary_learning trainers (topk, batchtopk, matryoshka, "
        "standard, gated, jumprelu) and the loss of "
        "its 2024 trainer (standard-2024: unsquared norm, no sparsity warm-up).\n"
        "A signal makes the program finish its step, save state.h5 and stop; --resume continues "
        "and ends with the bytes of an unbroken run, on the same machine, build and number of "
        "threads.",
    .opts = options,
    .run = run};

int main(int argc, char **argv)
{
    options_unset(&set);
    return sae_program_main(&program, argc, argv);
}
