/* SPDX-License-Identifier: MIT */
/* sae-train : one run, or a grid of them - settings in, checkpoints and time series out.
 * Contents: 1. options   2. main */

#include "lib/base/log.h"
#include "lib/cli/backend.h"
#include "lib/cli/opt.h"
#include "lib/cli/progress.h"
#include "lib/file/acts.h"
#include "train/job.h"
#include "train/options.h"

/* --- 1. options --------------------------------------------------------------------------- */

static struct settings set; /* destinations of the table */
static const char *acts_path, *out_path, *resume_path;
static uint64_t memory;
static bool go_on, any_space, verify;

#define MAIN SAE_OPT_MAIN
#define SWEEP SAE_OPT_SWEEP
static const char in_out[] = "Input and output", sae[] = "Autoencoder", fit[] = "Training",
                  orth[] = "Orthogonality", watch[] = "Records";

static int matmul;

/* clang-format off : its aligned columns would be 280 wide */
static const struct sae_opt options[] = {
    {"acts", 0, SAE_OPT_PATH, &acts_path, NULL, NULL, 0, 0, "DIR", in_out,
     "activation store of sae-harvest", MAIN},
    {"out", 'o', SAE_OPT_PATH, &out_path, NULL, NULL, 0, 0, "RUN", in_out,
     "run folder for checkpoints; for a sweep, the folder that will hold its run folders",
     MAIN | SAE_OPT_UNRECORDED},
    {"resume", 0, SAE_OPT_PATH, &resume_path, NULL, NULL, 0, 0, "RUN", in_out,
     "continue an interrupted run or sweep with its recorded options", MAIN | SAE_OPT_UNRECORDED},
    {"continue", 0, SAE_OPT_FLAG, &go_on, "false", NULL, 0, 0, NULL, in_out,
     "start the run or sweep of -o, or continue it, or do nothing if it is finished",
     MAIN | SAE_OPT_UNRECORDED},
    {"verify", 0, SAE_OPT_FLAG, &verify, "false", NULL, 0, 0, NULL, in_out,
     "first read the whole store and check its contents against its ids",
     SAE_OPT_UNRECORDED},
    {"any-space", 0, SAE_OPT_FLAG, &any_space, "false", NULL, 0, 0, NULL, in_out,
     "start even if the files will not fit on the disk", SAE_OPT_UNRECORDED},
    {"memory", 0, SAE_OPT_COUNT, &memory, "0", NULL, 0, SETTINGS_MOST, "BYTES", in_out,
     "memory for the runs of a sweep that are trained side by side, e.g. 16G; 0: three quarters of "
     "the free memory. --resume uses the same unless it is given again",
     SAE_OPT_UNRECORDED},
    {"arch", 0, SAE_OPT_ENUM, &set.arch, "topk", train_arch_names, 0, 0, "NAME", sae,
     "architecture and loss", MAIN | SWEEP},
    {"k", 0, SAE_OPT_U64, &set.k, "32", NULL, 1, SETTINGS_MOST, "N", sae,
     "active latents per token (topk), on average over a batch (batchtopk, "
     "matryoshka)", MAIN | SWEEP},
    {"m", 0, SAE_OPT_COUNT, &set.m, NULL, NULL, 2, SETTINGS_MOST, "N", sae,
     "dictionary width in latents; default: 16 times the activation width", MAIN | SWEEP},
    {"k-start", 0, SAE_OPT_U64, &set.k_start, "0", NULL, 0, SETTINGS_MOST, "N", sae,
     "progressive k: starts here and moves linearly to --k; 0: k is constant", SWEEP},
    {"k-anneal", 0, SAE_OPT_COUNT, &set.k_anneal, NULL, NULL, 0, SETTINGS_MOST, "STEPS", sae,
     "steps from --k-start to --k; default: the whole run", SWEEP},
    {"groups", 0, SAE_OPT_REALS, &set.groups, "0.03125,0.0625,0.125,0.25,0.53125", NULL, 0, 1,
     "LIST", sae, "matryoshka: shares of the latents, innermost first; the last takes the rest", 0},
    {"prefix-loss", 0, SAE_OPT_ENUM, &set.prefix_loss, "mean", train_prefix_loss_names, 0, 0, "HOW",
     sae, "matryoshka: mean of the losses of the nested prefixes; published: divided by their "
          "number once more, as in dictionary_learning", SWEEP},
    {"normalize", 0, SAE_OPT_ENUM, &set.normalize, "none", train_norm_names, 0, 0, "HOW", sae,
     "unit: train on activations scaled to mean square norm 1. Saved checkpoints always take raw "
     "activations", SWEEP},
    {"batch", 0, SAE_OPT_COUNT, &set.batch, "2048", NULL, 1, SETTINGS_MOST, "N", fit,
     "tokens in a batch", SWEEP},
    {"tokens", 0, SAE_OPT_COUNT, &set.tokens, NULL, NULL, 1, SETTINGS_MOST, "N", fit,
     "tokens to train on; default: all rows once", MAIN},
    {"steps", 0, SAE_OPT_COUNT, &set.steps, NULL, NULL, 1, SETTINGS_MOST, "N", fit,
     "number of updates (alternative to --tokens)", 0},
    {"lr", 0, SAE_OPT_REAL, &set.lr, NULL, NULL, 0, 1e30, "X", fit,
     "learning rate; default: 2e-4 / sqrt(m / 16384) for topk, batchtopk and matryoshka, 3e-4 for "
     "standard and standard-2024, 5e-5 for gated, 7e-5 for jumprelu", MAIN | SWEEP},
    {"l1", 0, SAE_OPT_REAL, &set.l1, NULL, NULL, 0, 1e12, "X", fit,
     "weight of the sparsity term (standard, gated); default: 0.04, 0.1 for gated", SWEEP},
    {"sparsity", 0, SAE_OPT_ENUM, &set.sparsity, "l1", train_sparsity_names, 0, 0, "TERM", fit,
     "sparsity term (standard, gated): sum f (l1); with annealed p, (sum f^p)^(1/p) (lp) or sum "
     "f^p (lp^p). Its weight is --l1", SWEEP},
    {"p-start", 0, SAE_OPT_REAL, &set.p_start, "1", NULL, 0, 100, "P", fit,
     "exponent p at the start (lp, lp^p)", 0},
    {"p-end", 0, SAE_OPT_REAL, &set.p_end, "0.2", NULL, 0, 100, "P", fit,
     "exponent p at the end (lp, lp^p)", SWEEP},
    {"p-updates", 0, SAE_OPT_COUNT, &set.p_updates, "10", NULL, 0, SETTINGS_MOST, "N", fit,
     "number of steps in which p changes (lp, lp^p); 0: at every update", 0},
    {"anneal-start", 0, SAE_OPT_COUNT, &set.anneal_start, NULL, NULL, 0, SETTINGS_MOST, "STEP", fit,
     "update at which p begins to change; default: 15000, or a tenth of a run below 150000 steps", 0},
    {"anneal-end", 0, SAE_OPT_COUNT, &set.anneal_end, NULL, NULL, 0, SETTINGS_MOST, "STEP", fit,
     "update at which p stops changing; default: the end of the run, where --p-end itself is not "
     "used", 0},
    {"resample-every", 0, SAE_OPT_COUNT, &set.resample_every, "0", NULL, 0, SETTINGS_MOST, "STEPS", fit,
     "standard: steps between restarts of the latents that were silent for half as long; the "
     "learning rate warms up again. 0: never", SWEEP},
    {"warmup", 0, SAE_OPT_COUNT, &set.warmup, NULL, NULL, 0, SETTINGS_MOST, "STEPS", fit,
     "linear warm-up of the learning rate; default: 1000, or a tenth of a run below 2000 "
     "steps", SWEEP},
    {"decay-start", 0, SAE_OPT_COUNT, &set.decay_start, NULL, NULL, 0, SETTINGS_MOST, "STEP", fit,
     "step from which the learning rate falls linearly to 0; default: never", 0},
    {"sparsity-warmup", 0, SAE_OPT_COUNT, &set.sparsity_warmup, NULL, NULL, 0, SETTINGS_MOST, "STEPS", fit,
     "linear warm-up of the sparsity term (standard, gated, jumprelu); default: 2000, or a fifth "
     "of a run below 4000 steps", SWEEP},
    {"target-l0", 0, SAE_OPT_REAL, &set.target_l0, "20", NULL, 0, 1e12, "X", fit,
     "target number of active latents (jumprelu)", MAIN | SWEEP},
    {"l0-penalty", 0, SAE_OPT_REAL, &set.l0_penalty, "1", NULL, 0, 1e12, "X", fit,
     "weight of (L0 / target - 1)^2 (jumprelu)", SWEEP},
    {"bandwidth", 0, SAE_OPT_REAL, &set.bandwidth, "0.001", NULL, 0, 1e12, "X", fit,
     "width of the window around a threshold in which it gets a gradient, in activation units "
     "(jumprelu); the default fits --normalize unit", SWEEP},
    {"l0-step", 0, SAE_OPT_ENUM, &set.l0_step, "f", train_l0_step_names, 0, 0, "WHAT", fit,
     "argument of L0's step function (jumprelu): f, one-sided, as in dictionary_learning; z, as in "
     "the paper", SWEEP},
    {"cut-start", 0, SAE_OPT_COUNT, &set.cut_start, NULL, NULL, 0, SETTINGS_MOST, "STEP", fit,
     "step from which the inference threshold is averaged (batchtopk, matryoshka); default: 1000, "
     "or a tenth of a run below 2000 steps", 0},
    {"cut-momentum", 0, SAE_OPT_REAL, &set.cut_momentum, NULL, NULL, 0, 1, "X", fit,
     "share of the inference threshold kept at each step; default: 0.999, or 1 - 20 / steps in a "
     "run below 20000 steps", 0},
    {"auxk-alpha", 0, SAE_OPT_REAL, &set.auxk_alpha, "0.03125", NULL, 0, 1e6, "X", fit,
     "weight of the loss that revives dead latents (topk, batchtopk, matryoshka); 0: off", SWEEP},
    {"dead-after", 0, SAE_OPT_COUNT, &set.dead_after, NULL, NULL, 1, SETTINGS_MOST, "TOKENS", fit,
     "tokens without firing after which a latent counts as dead; default: the smaller of 10M and a tenth of the run", 0},
    {"matmul", 0, SAE_OPT_ENUM, &matmul, "f32", sae_precision_names, 0, 0, "TYPE", fit,
     "operand type of matrix products; accumulation is f32. tf32 and bf16 need --backend cuda", 0},
    {"seed", 0, SAE_OPT_U64, &set.seed, "42", NULL, 0, 0, "N", fit,
     "random seed for weights, data order, pairs", MAIN | SWEEP},
    {"orth", 0, SAE_OPT_ENUM, &set.orth, "none", train_orth_names, 0, 0, "HOW", orth,
     "orthogonality term on pairs that fire together, with constant weight (static) or one that "
     "falls as (1 - p)^gamma with progress p (progressive); ortsae: on nearest neighbours in "
     "random chunks", MAIN | SWEEP},
    {"lambda2-max", 0, SAE_OPT_REAL, &set.lambda2_max, NULL, NULL, 0, 1e12, "X", orth,
     "weight of the orthogonality term at the start; default: 0.1, 0.25 for ortsae", MAIN | SWEEP},
    {"gamma", 0, SAE_OPT_REAL, &set.gamma, NULL, NULL, 0, 1e6, "X", orth,
     "exponent of the decay of that weight; default: 2 for progressive, else 0", SWEEP},
    {"ortsae-chunk", 0, SAE_OPT_COUNT, &set.ortsae_chunk, "8192", NULL, 2, SETTINGS_MOST, "N", orth,
     "size of the chunk in which ortsae looks for the nearest neighbour, in latents", SWEEP},
    {"ortsae-every", 0, SAE_OPT_COUNT, &set.ortsae_every, "5", NULL, 1, SETTINGS_MOST, "STEPS", orth,
     "steps between those on which ortsae acts; it acts that many times as strongly", SWEEP},
    {"base-threshold", 0, SAE_OPT_REAL, &set.base_threshold, "0.1", NULL, 0, 1e12, "X", orth,
     "overlap above which two latents compete", MAIN | SWEEP},
    {"threshold-schedule", 0, SAE_OPT_ENUM, &set.threshold_schedule, "down", sae_tau_names, 0, 0,
     "HOW", orth, "factor of the threshold at progress p: 1 - p (down), 1 + p (up), 1 "
                  "(const)", SWEEP},
    {"threshold-momentum", 0, SAE_OPT_REAL, &set.threshold_momentum, "0", NULL, 0, 1, "X", orth,
     "share of the last step's threshold that is kept", SWEEP},
    {"threshold-floor", 0, SAE_OPT_REAL, &set.threshold_floor, "0.001", NULL, 0, 1e12, "X", orth,
     "lowest value of the threshold", 0},
    {"overlap", 0, SAE_OPT_ENUM, &set.overlap, "overlap", sae_overlap_names, 0, 0, "NAME", orth,
     "measure of how much two latents fire together", SWEEP},
    {"overlap-window", 0, SAE_OPT_U64, &set.overlap_window, "1", NULL, 1, 10000, "N", orth,
     "batches in the running counts of the overlap, weighted by (1 - 1/N)^age up to age 3N; 1: the "
     "current batch alone", SWEEP},
    {"competition", 0, SAE_OPT_ENUM, &set.competition, "linear", sae_compete_names, 0, 0, "FORM",
     orth, "form of the competition of a pair above the threshold", SWEEP},
    {"sharpness", 0, SAE_OPT_REAL, &set.sharpness, "4", NULL, 0, 1e6, "X", orth,
     "slope of the sigmoid form of --competition", SWEEP},
    {"min-count", 0, SAE_OPT_REAL, &set.min_count, "2", NULL, 0, 1e12, "N", orth,
     "tokens on which each latent of a pair must fire; other pairs are left out", SWEEP},
    {"orth-normalizer", 0, SAE_OPT_ENUM, &set.orth_normalizer, "sum", train_normalizer_names, 0, 0,
     "HOW", orth, "what the term is divided by: nothing (sum), the number of competing pairs "
                  "(mean), the number of latents (latent)", SWEEP},
    {"checkpoints", 0, SAE_OPT_REALS, &set.checkpoints, "0,25,50,75,100", NULL, 0, 100, "LIST",
     watch, "points of the run at which checkpoints are written, in percent", MAIN},
    {"log-every", 0, SAE_OPT_COUNT, &set.log_every, NULL, NULL, 1, SETTINGS_MOST, "STEPS", watch,
     "steps between points of the time series; default: a hundredth of the run, at least 10", 0},
    {"heldout-rows", 0, SAE_OPT_COUNT, &set.heldout_rows, NULL, NULL, 1, SETTINGS_MOST, "N", watch,
     "rows at the end of the store that are held out from training; default: a tenth, at most "
     "8192, at least a batch", 0},
    {"save-every", 0, SAE_OPT_COUNT, &set.save_every, "0", NULL, 0, SETTINGS_MOST, "STEPS", watch,
     "steps between saves of state.h5, from which --resume continues; 0: never by steps. It is "
     "also saved at each checkpoint and when the run is stopped", SAE_OPT_OVERRIDE},
    {"save-minutes", 0, SAE_OPT_REAL, &set.save_minutes, "15", NULL, 0, 1e6, "MINUTES", watch,
     "minutes between saves of state.h5; 0: never by time", SAE_OPT_OVERRIDE},
    {"full-checkpoints", 0, SAE_OPT_FLAG, &set.full_checkpoints, "false", NULL, 0, 0, NULL, watch,
     "also save the optimiser's moments in each checkpoint, which makes it three times as large; a "
     "run can then be resumed from any of them", 0},
    {"pairs", 0, SAE_OPT_U64, &set.pairs, "64", NULL, 0, 100000, "N", watch,
     "pairs to follow of each kind: competing, firing together, never firing together", 0},
    {NULL, 0, SAE_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, 0}};
/* clang-format on */

/* --- 2. main ------------------------------------------------------------------------------ */

static void verified_shards(void *bar, uint64_t done)
{
    sae_progress_step(bar, done, NULL);
}

static enum sae_status verify_store(const struct job *job, struct sae_err *err)
{
    struct sae_progress bar;
    if (job->acts == NULL) /* nothing is left to train */
        return SAE_OK;
    sae_progress_begin(&bar, "verify", "shards", 0, sae_acts_n_shards(job->acts));
    const enum sae_status st = sae_acts_verify(job->acts, 0, verified_shards, &bar, err);
    sae_progress_end(&bar);
    return st;
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    const struct asked asked = {.cli = cli,
                                .set = &set,
                                .acts = acts_path,
                                .out = out_path,
                                .resume = resume_path,
                                .memory = memory,
                                .go_on = go_on,
                                .any_space = any_space};
    struct job job = {0};
    enum sae_status st;
    SAE_GO(st, sae_cli_backend(&job.ops, cli, "training ", err));
    SAE_GO(st, go_on         ? job_continue(&job, &asked, err)
               : resume_path ? job_resume(&job, &asked, err)
                             : job_start(&job, &asked, err));
    SAE_GO(st, job.ops->precision((enum sae_precision)matmul, err));
    if (verify)
        SAE_GO(st, verify_store(&job, err));
    st = job_train(&job, err);
    if (st == SAE_OK)
        st = job_print(&job, cli->json, err);
    else if (job.sweep && st == SAE_ERANGE && job_print(&job, cli->json, NULL) != SAE_OK)
        sae_log_warn("the runs that did not fail cannot be shown either");
done:
    job_clear(&job);
    return st;
}

static const struct sae_program program = {
    .name = "sae-train",
    .summary = "train sparse autoencoders on an activation store",
    .usage = "sae-train --acts DIR [options] -o RUN",
    .examples = "# TopK baseline\n"
                "sae-train --acts acts --arch topk --k 32 -o run_1\n"
                "# progressive orthogonality\n"
                "sae-train --acts acts --arch topk --k 32 --orth progressive --lambda2-max 0.1 -o "
                "run_2\n"
                "# continue after an interruption, to the same bytes\n"
                "sae-train --resume run_2\n"
                "# a grid of runs in one pass over the activations: sweep/run_lam0.1_tau0.1 ...\n"
                "sae-train --acts acts --orth progressive --lambda2-max 0.1,0.5,1.0 \\\n"
                "    --base-threshold 0.1,0.3,0.5 -o sweep\n",
    .about =
        "sae-train writes ckpt_00.h5 ... ckpt_100.h5 into the run folder. Each holds weights, the "
        "time series so far, and metrics and masks of held-out rows. The steps follow the 2025 "
        "dictionary_learning trainers (topk, batchtopk, matryoshka, standard, gated, jumprelu) and "
        "the loss of its 2024 trainer (standard-2024: unsquared norm, no sparsity warm-up).\n"
        "state.h5 holds what else an exact resume needs. It is saved at each checkpoint, every "
        "--save-minutes, and when a signal makes the program finish its step and stop; it is "
        "removed when the run is finished. --resume RUN needs no other option and ends with the "
        "bytes of an unbroken run, on the same machine and build. Checkpoints that are missing or "
        "damaged are made again, to the same bytes, from the nearest state before them or from the "
        "start. Options given with --resume must agree with the record; --save-every, "
        "--save-minutes and --memory may be given again with other values, and --threads, --quiet, "
        "--verbose and --json are not recorded: none of them changes a file. --continue is for "
        "scripts and takes the whole command line again: it starts the run, continues it, or does "
        "nothing if it is finished, and it refuses other options than those the run was started "
        "with. Only one process at a time writes to a run.\n\n"
        "An option given as a list makes a sweep: one run for each combination, in its own folder "
        "below -o, with the same files as if it had been trained alone. Runs that read the "
        "activations in the same order (equal --seed, --batch, --heldout-rows, --normalize) are "
        "trained side by side on each batch, as many at a time as --memory allows. If --arch, "
        "--orth or --competition is a list, a run ignores the options that have no meaning for it, "
        "and runs that become equal are trained once. A run that fails does not stop the others; "
        "the exit status is then 1. --resume takes the folder of the sweep.",
    .opts = options,
    .run = run};

int main(int argc, char **argv)
{
    options_unset(&set);
    return sae_program_main(&program, argc, argv);
}
