/* SPDX-License-Identifier: MIT */
/* options_rows : the table of options.
 * Contents: 1. when options have a meaning   2. the rows */
#include "lib/math/ops.h"
#include "lib/cli/plan.h"
#include "train/options.h"

struct options_given options_given;

/* --- 1. when options have a meaning ------------------------------------------------------- */

static bool has_k(int arch)
{
    return train_archs[arch]->keeps != TRAIN_KEEPS_ALL;
}

static bool has_cut(int arch)
{
    return train_archs[arch]->keeps == TRAIN_KEEPS_BATCH;
}

static bool has_l1(int arch)
{
    return train_archs[arch]->l1 > 0;
}

static bool has_l0(int arch)
{
    return train_archs[arch]->penalty == TRAIN_PENALTY_L0;
}

static bool has_warmup(int arch)
{
    return train_archs[arch]->sparsity_warmup;
}

static bool has_prefixes(int arch)
{
    return train_archs[arch]->prefixes;
}

static bool resamples(int arch)
{
    return train_archs[arch]->resamples;
}

static bool is_lp(int sparsity)
{
    return sparsity != SPARSITY_L1;
}

static bool is_term(int orth)
{
    return orth != ORTH_NONE;
}

static bool competes(int orth)
{
    return orth == ORTH_STATIC || orth == ORTH_PROGRESSIVE;
}

static bool is_ortsae(int orth)
{
    return orth == ORTH_ORTSAE;
}

static bool is_soft(int freeze)
{
    return freeze == FREEZE_SOFT;
}

static bool is_sigmoid(int competition)
{
    return competition == SAE_COMPETE_SIGMOID;
}

/* clang-format off */
static const struct sae_opt_when
    with_k         = {.by = "arch", .holds = has_k, .lacks = "k"},
    with_cut       = {.by = "arch", .holds = has_cut},
    with_l1        = {.by = "arch", .holds = has_l1, .lacks = "L1 term"},
    with_l0        = {.by = "arch", .holds = has_l0},
    with_warmup    = {.by = "arch", .holds = has_warmup, .lacks = "sparsity warm-up"},
    with_prefixes  = {.by = "arch", .holds = has_prefixes},
    with_resamples = {.by = "arch", .holds = resamples},
    with_start     = {.by = "k-start"},
    with_lp        = {.by = "sparsity", .holds = is_lp, .without = "--sparsity lp or lp^p"},
    with_term      = {.by = "orth", .holds = is_term, .without = "--orth"},
    with_competes  = {.by = "orth", .holds = competes,
                      .without = "--orth static or --orth progressive"},
    with_ortsae    = {.by = "orth", .holds = is_ortsae, .without = "--orth ortsae"},
    with_soft      = {.by = "freeze", .holds = is_soft, .without = "--freeze soft"},
    with_sigmoid   = {.by = "competition", .holds = is_sigmoid, .without = "--competition sigmoid"},
    /* Without the term these say what is counted, which is worth no run of its own. */
    with_counts    = {.by = "orth", .holds = competes, .in_sweeps = true};

/* --- 2. the rows -------------------------------------------------------------------------- */

#define SET(field) &options_given.set.field
#define MAIN SAE_OPT_MAIN
#define SWEEP SAE_OPT_SWEEP
#define OVERRIDE SAE_OPT_OVERRIDE
#define UNRECORDED SAE_OPT_UNRECORDED
#define STAYS SAE_OPT_STAYS
#define RESOLVED SAE_OPT_RESOLVED
static const char in_out[] = "Input and output", sae[] = "Autoencoder", fit[] = "Training",
                  orth[] = "Orthogonality", watch[] = "Records";

const struct sae_opt options_rows[] = {
    {.name = "acts", .kind = SAE_OPT_PATH, .to = &options_given.acts, .arg = "DIR",
     .group = in_out, .flags = MAIN,
     .help = "activation store of sae-harvest"},
    {.name = "out", .letter = 'o', .kind = SAE_OPT_PATH, .to = &options_given.out, .arg = "RUN",
     .group = in_out, .flags = MAIN | UNRECORDED,
     .help = "run folder for checkpoints; for a sweep, the folder that will hold its run folders"},
    {.name = "resume", .kind = SAE_OPT_PATH, .to = &options_given.resume, .arg = "RUN",
     .group = in_out, .flags = MAIN | UNRECORDED,
     .help = "continue an interrupted run or sweep with its recorded options"},
    {.name = "continue", .kind = SAE_OPT_FLAG, .to = &options_given.go_on, .value = "false",
     .group = in_out, .flags = MAIN | UNRECORDED,
     .help = "start the run or sweep of -o, or continue it, or do nothing if it is finished"},
    SAE_PLAN_ROW(&options_given.plan, 0),
    {.name = "verify", .kind = SAE_OPT_FLAG, .to = &options_given.verify, .value = "false",
     .group = in_out, .flags = UNRECORDED,
     .help = "first read the whole store and check its contents against its ids"},
    {.name = "any-space", .kind = SAE_OPT_FLAG, .to = &options_given.any_space, .value = "false",
     .group = in_out, .flags = UNRECORDED,
     .help = "start even if the files will not fit on the disk"},
    {.name = "memory", .kind = SAE_OPT_COUNT, .to = &options_given.memory, .value = "0",
     .max = SETTINGS_MOST, .arg = "BYTES", .group = in_out, .flags = UNRECORDED,
     .help = "memory for the runs of a sweep that are trained side by side, e.g. 16G; 0: three "
             "quarters of the free memory. --resume uses the same unless it is given again"},
    {.name = "arch", .kind = SAE_OPT_ENUM, .to = SET(arch), .value = "topk",
     .choices = train_arch_names, .arg = "NAME", .group = sae, .flags = MAIN | SWEEP,
     .help = "architecture and loss; --list-arch explains them"},
    {.name = "list-arch", .kind = SAE_OPT_FLAG, .to = &options_given.list_arch, .value = "false",
     .group = sae, .flags = UNRECORDED,
     .help = "print the architectures and the options of each, and stop"},
    {.name = "k", .kind = SAE_OPT_U64, .to = SET(k), .value = "32", .min = 1,
     .max = SETTINGS_MOST, .arg = "N", .group = sae, .when = &with_k, .flags = MAIN | SWEEP,
     .help = "active latents per token, or on average over a batch"},
    {.name = "m", .kind = SAE_OPT_COUNT, .to = SET(m), .min = 2,
     .max = SETTINGS_MOST, .arg = "N", .group = sae, .flags = MAIN | SWEEP,
     .help = "dictionary width in latents; default: 16 times the activation width"},
    {.name = "k-start", .kind = SAE_OPT_U64, .to = SET(k_start), .value = "0",
     .max = SETTINGS_MOST, .arg = "N", .group = sae, .when = &with_k, .flags = SWEEP | STAYS,
     .help = "progressive k: starts here and moves linearly to --k; 0: k is constant"},
    {.name = "k-anneal", .kind = SAE_OPT_COUNT, .to = SET(k_anneal),
     .max = SETTINGS_MOST, .arg = "STEPS", .group = sae, .when = &with_start, .flags = SWEEP,
     .help = "steps from --k-start to --k; default: the whole run"},
    {.name = "groups", .kind = SAE_OPT_REALS, .to = SET(groups),
     .value = "0.03125,0.0625,0.125,0.25,0.53125", .max = 1, .arg = "LIST", .group = sae,
     .when = &with_prefixes,
     .help = "shares of the latents, innermost first; the last takes the rest"},
    {.name = "prefix-loss", .kind = SAE_OPT_ENUM, .to = SET(prefix_loss),
     .value = "mean", .choices = train_prefix_loss_names, .arg = "HOW", .group = sae,
     .when = &with_prefixes, .flags = SWEEP,
     .help = "mean of the losses of the nested prefixes; published: divided by their number once "
             "more, as in dictionary_learning"},
    {.name = "normalize", .kind = SAE_OPT_ENUM, .to = SET(normalize),
     .value = "none", .choices = train_norm_names, .arg = "HOW", .group = sae, .flags = SWEEP,
     .help = "unit: train on activations scaled to mean square norm 1. Saved checkpoints always "
             "take raw activations"},
    {.name = "batch", .kind = SAE_OPT_COUNT, .to = SET(batch), .value = "2048",
     .min = 1, .max = SETTINGS_MOST, .arg = "N", .group = fit, .flags = SWEEP,
     .help = "tokens in a batch"},
    {.name = "tokens", .kind = SAE_OPT_COUNT, .to = SET(tokens), .min = 1,
     .max = SETTINGS_MOST, .arg = "N", .group = fit, .flags = MAIN,
     .help = "tokens to train on; default: all rows once"},
    {.name = "steps", .kind = SAE_OPT_COUNT, .to = SET(steps), .min = 1,
     .max = SETTINGS_MOST, .arg = "N", .group = fit,
     .help = "number of updates (alternative to --tokens)"},
    {.name = "lr", .kind = SAE_OPT_REAL, .to = SET(lr), .max = 1e30, .arg = "X",
     .group = fit, .flags = MAIN | SWEEP,
     .help = "learning rate; default: see --list-arch"},
    {.name = "l1", .kind = SAE_OPT_REAL, .to = SET(l1), .max = 1e12, .arg = "X",
     .group = fit, .when = &with_l1, .flags = SWEEP,
     .help = "weight of the sparsity term; default: see --list-arch"},
    {.name = "sparsity", .kind = SAE_OPT_ENUM, .to = SET(sparsity), .value = "l1",
     .choices = train_sparsity_names, .arg = "TERM", .group = fit, .when = &with_l1,
     .flags = SWEEP,
     .help = "sparsity term: sum f (l1); with annealed p, (sum f^p)^(1/p) (lp) or sum f^p (lp^p). "
             "Its weight is --l1"},
    {.name = "p-start", .kind = SAE_OPT_REAL, .to = SET(p_start), .value = "1",
     .max = 100, .arg = "P", .group = fit, .when = &with_lp,
     .help = "exponent p at the start"},
    {.name = "p-end", .kind = SAE_OPT_REAL, .to = SET(p_end), .value = "0.2",
     .max = 100, .arg = "P", .group = fit, .when = &with_lp, .flags = SWEEP,
     .help = "exponent p at the end"},
    {.name = "p-updates", .kind = SAE_OPT_COUNT, .to = SET(p_updates), .value = "10",
     .max = SETTINGS_MOST, .arg = "N", .group = fit, .when = &with_lp, .flags = RESOLVED,
     .help = "number of steps in which p changes; 0: at every update"},
    {.name = "anneal-start", .kind = SAE_OPT_COUNT, .to = SET(anneal_start),
     .max = SETTINGS_MOST, .arg = "STEP", .group = fit, .when = &with_lp,
     .help = "update at which p begins to change; default: 15000, or a tenth of a run below "
             "150000 steps"},
    {.name = "anneal-end", .kind = SAE_OPT_COUNT, .to = SET(anneal_end),
     .max = SETTINGS_MOST, .arg = "STEP", .group = fit, .when = &with_lp,
     .help = "update at which p stops changing; default: the end of the run, where --p-end itself "
             "is not used"},
    {.name = "resample-every", .kind = SAE_OPT_COUNT, .to = SET(resample_every),
     .value = "0", .max = SETTINGS_MOST, .arg = "STEPS", .group = fit, .when = &with_resamples,
     .flags = SWEEP,
     .help = "steps between restarts of the latents that were silent for half as long; the "
             "learning rate warms up again. 0: never"},
    {.name = "warmup", .kind = SAE_OPT_COUNT, .to = SET(warmup),
     .max = SETTINGS_MOST, .arg = "STEPS", .group = fit, .flags = SWEEP,
     .help = "linear warm-up of the learning rate; default: 1000, or a tenth of a run below 2000 "
             "steps"},
    {.name = "decay-start", .kind = SAE_OPT_COUNT, .to = SET(decay_start),
     .max = SETTINGS_MOST, .arg = "STEP", .group = fit,
     .help = "step from which the learning rate falls linearly to 0; default: never"},
    {.name = "sparsity-warmup", .kind = SAE_OPT_COUNT, .to = SET(sparsity_warmup),
     .max = SETTINGS_MOST, .arg = "STEPS", .group = fit, .when = &with_warmup, .flags = SWEEP,
     .help = "linear warm-up of the sparsity term; default: 2000, or a fifth of a run below 4000 "
             "steps"},
    {.name = "target-l0", .kind = SAE_OPT_REAL, .to = SET(target_l0), .value = "20",
     .max = 1e12, .arg = "X", .group = fit, .when = &with_l0, .flags = MAIN | SWEEP,
     .help = "target number of active latents"},
    {.name = "l0-penalty", .kind = SAE_OPT_REAL, .to = SET(l0_penalty), .value = "1",
     .max = 1e12, .arg = "X", .group = fit, .when = &with_l0, .flags = SWEEP,
     .help = "weight of (L0 / target - 1)^2"},
    {.name = "bandwidth", .kind = SAE_OPT_REAL, .to = SET(bandwidth),
     .value = "0.001", .max = 1e12, .arg = "X", .group = fit, .when = &with_l0, .flags = SWEEP,
     .help = "width of the window around a threshold in which it gets a gradient, in activation "
             "units; the default fits --normalize unit"},
    {.name = "l0-step", .kind = SAE_OPT_ENUM, .to = SET(l0_step), .value = "f",
     .choices = train_l0_step_names, .arg = "WHAT", .group = fit, .when = &with_l0,
     .flags = SWEEP,
     .help = "argument of L0's step function: f, one-sided, as in dictionary_learning; z, as in "
             "the paper"},
    {.name = "cut-start", .kind = SAE_OPT_COUNT, .to = SET(cut_start),
     .max = SETTINGS_MOST, .arg = "STEP", .group = fit, .when = &with_cut,
     .help = "step from which the inference threshold is averaged; default: 1000, or a tenth of a "
             "run below 2000 steps"},
    {.name = "cut-momentum", .kind = SAE_OPT_REAL, .to = SET(cut_momentum), .max = 1,
     .arg = "X", .group = fit, .when = &with_cut,
     .help = "share of the inference threshold kept at each step; default: 0.999, or 1 - 20 / "
             "steps in a run below 20000 steps"},
    {.name = "auxk-alpha", .kind = SAE_OPT_REAL, .to = SET(auxk_alpha),
     .value = "0.03125", .max = 1e6, .arg = "X", .group = fit, .when = &with_k, .flags = SWEEP,
     .help = "weight of the loss that revives dead latents; 0: off"},
    {.name = "dead-after", .kind = SAE_OPT_COUNT, .to = SET(dead_after), .min = 1,
     .max = SETTINGS_MOST, .arg = "TOKENS", .group = fit,
     .help = "tokens without firing after which a latent counts as dead; default: the smaller of "
             "10M and a tenth of the run"},
    {.name = "matmul", .kind = SAE_OPT_ENUM, .to = &options_given.matmul, .value = "f32",
     .choices = sae_precision_names, .arg = "TYPE", .group = fit,
     .help = "operand type of matrix products; accumulation is f32. tf32 and bf16 need --backend "
             "cuda"},
    {.name = "freeze", .kind = SAE_OPT_ENUM, .to = SET(freeze), .value = "none",
     .choices = train_freeze_names, .arg = "PART", .group = fit, .flags = SWEEP,
     .help = "control with random directions, to hold a trained run against: the decoder or the "
             "encoder matrix keeps its random start; soft: each decoder row stays near its own"},
    {.name = "freeze-cos", .kind = SAE_OPT_REAL, .to = SET(freeze_cos), .value = "0.8",
     .max = 1, .arg = "X", .group = fit, .when = &with_soft, .flags = SWEEP,
     .help = "least cosine of a decoder row to its start"},
    {.name = "seed", .kind = SAE_OPT_U64, .to = SET(seed), .value = "42", .arg = "N",
     .group = fit, .flags = MAIN | SWEEP,
     .help = "random seed for weights, data order, pairs"},
    {.name = "orth", .kind = SAE_OPT_ENUM, .to = SET(orth), .value = "none",
     .choices = train_orth_names, .arg = "HOW", .group = orth, .flags = MAIN | SWEEP,
     .help = "orthogonality term on pairs that fire together, with constant weight (static) or "
             "one that falls as (1 - p)^gamma with progress p (progressive); ortsae: on nearest "
             "neighbours in random chunks"},
    {.name = "lambda2-max", .kind = SAE_OPT_REAL, .to = SET(lambda2_max),
     .max = 1e12, .arg = "X", .group = orth, .when = &with_term, .flags = MAIN | SWEEP,
     .help = "weight of the orthogonality term at the start; default: 0.1, 0.25 for ortsae"},
    {.name = "gamma", .kind = SAE_OPT_REAL, .to = SET(gamma), .max = 1e6, .arg = "X",
     .group = orth, .when = &with_term, .flags = SWEEP,
     .help = "exponent of the decay of that weight; default: 2 for progressive, else 0"},
    {.name = "ortsae-chunk", .kind = SAE_OPT_COUNT, .to = SET(ortsae_chunk),
     .value = "8192", .min = 2, .max = SETTINGS_MOST, .arg = "N", .group = orth,
     .when = &with_ortsae, .flags = SWEEP,
     .help = "size of the chunk in which ortsae looks for the nearest neighbour, in latents"},
    {.name = "ortsae-every", .kind = SAE_OPT_COUNT, .to = SET(ortsae_every),
     .value = "5", .min = 1, .max = SETTINGS_MOST, .arg = "STEPS", .group = orth,
     .when = &with_ortsae, .flags = SWEEP,
     .help = "steps between those on which ortsae acts; it acts that many times as strongly"},
    {.name = "base-threshold", .kind = SAE_OPT_REAL, .to = SET(base_threshold),
     .value = "0.1", .max = 1e12, .arg = "X", .group = orth, .when = &with_counts,
     .flags = MAIN | SWEEP,
     .help = "overlap above which two latents compete"},
    {.name = "threshold-schedule", .kind = SAE_OPT_ENUM,
     .to = SET(threshold_schedule), .value = "down", .choices = sae_tau_names,
     .arg = "HOW", .group = orth, .when = &with_counts, .flags = SWEEP,
     .help = "factor of the threshold at progress p: 1 - p (down), 1 + p (up), 1 (const)"},
    {.name = "threshold-momentum", .kind = SAE_OPT_REAL,
     .to = SET(threshold_momentum), .value = "0", .max = 1, .arg = "X",
     .group = orth, .when = &with_counts, .flags = SWEEP,
     .help = "share of the last step's threshold that is kept"},
    {.name = "threshold-floor", .kind = SAE_OPT_REAL, .to = SET(threshold_floor),
     .value = "0.001", .max = 1e12, .arg = "X", .group = orth,
     .help = "lowest value of the threshold"},
    {.name = "overlap", .kind = SAE_OPT_ENUM, .to = SET(overlap), .value = "overlap",
     .choices = sae_overlap_names, .arg = "NAME", .group = orth, .flags = SWEEP,
     .help = "measure of how much two latents fire together"},
    {.name = "overlap-window", .kind = SAE_OPT_U64, .to = SET(overlap_window),
     .value = "1", .min = 1, .max = 10000, .arg = "N", .group = orth, .when = &with_counts,
     .flags = SWEEP,
     .help = "batches in the running counts of the overlap, weighted by (1 - 1/N)^age up to age "
             "3N; 1: the current batch alone"},
    {.name = "competition", .kind = SAE_OPT_ENUM, .to = SET(competition),
     .value = "linear", .choices = sae_compete_names, .arg = "FORM", .group = orth,
     .flags = SWEEP,
     .help = "form of the competition of a pair above the threshold"},
    {.name = "sharpness", .kind = SAE_OPT_REAL, .to = SET(sharpness), .value = "4",
     .max = 1e6, .arg = "X", .group = orth, .when = &with_sigmoid, .flags = SWEEP | STAYS,
     .help = "slope of the sigmoid form of --competition"},
    {.name = "min-count", .kind = SAE_OPT_REAL, .to = SET(min_count), .value = "2",
     .max = 1e12, .arg = "N", .group = orth, .flags = SWEEP,
     .help = "tokens on which each latent of a pair must fire; other pairs are left out"},
    {.name = "orth-normalizer", .kind = SAE_OPT_ENUM, .to = SET(orth_normalizer),
     .value = "sum", .choices = train_normalizer_names, .arg = "HOW", .group = orth,
     .when = &with_competes, .flags = SWEEP | STAYS,
     .help = "what the term is divided by: nothing (sum), the number of competing pairs (mean), "
             "the number of latents (latent)"},
    {.name = "checkpoints", .kind = SAE_OPT_REALS, .to = SET(checkpoints),
     .value = "0,25,50,75,100", .max = 100, .arg = "LIST", .group = watch, .flags = MAIN,
     .help = "points of the run at which checkpoints are written, in percent"},
    {.name = "log-every", .kind = SAE_OPT_COUNT, .to = SET(log_every), .min = 1,
     .max = SETTINGS_MOST, .arg = "STEPS", .group = watch,
     .help = "steps between points of the time series; default: a hundredth of the run, at least "
             "10"},
    {.name = "heldout-rows", .kind = SAE_OPT_COUNT, .to = SET(heldout_rows),
     .min = 1, .max = SETTINGS_MOST, .arg = "N", .group = watch,
     .help = "rows at the end of the store that are held out from training; default: a tenth, at "
             "most 8192, at least a batch"},
    {.name = "save-every", .kind = SAE_OPT_COUNT, .to = SET(save_every),
     .value = "0", .max = SETTINGS_MOST, .arg = "STEPS", .group = watch, .flags = OVERRIDE,
     .help = "steps between saves of state.h5, from which --resume continues; 0: never by steps. "
             "It is also saved at each checkpoint and when the run is stopped"},
    {.name = "save-minutes", .kind = SAE_OPT_REAL, .to = SET(save_minutes),
     .value = "15", .max = 1e6, .arg = "MINUTES", .group = watch, .flags = OVERRIDE,
     .help = "minutes between saves of state.h5; 0: never by time"},
    {.name = "full-checkpoints", .kind = SAE_OPT_FLAG, .to = SET(full_checkpoints),
     .value = "false", .group = watch,
     .help = "also save the optimiser's moments in each checkpoint, which makes it three times as "
             "large; a run can then be resumed from any of them"},
    {.name = "pairs", .kind = SAE_OPT_U64, .to = SET(pairs), .value = "64",
     .max = 100000, .arg = "N", .group = watch,
     .help = "pairs to follow of each kind: competing, firing together, never firing together"},
    {0}};
/* clang-format on */
