/* SPDX-License-Identifier: MIT */
/* settings : everything that decides what a training run computes. */
#ifndef SAE_TRAIN_SETTINGS_H
#define SAE_TRAIN_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/cli/opt.h"
#include "lib/sae/model.h"
#include "lib/math/compete.h"
#include "lib/sae/sched.h"
#include "train/arch/arch.h"

enum train_orth { ORTH_NONE, ORTH_STATIC, ORTH_PROGRESSIVE, ORTH_ORTSAE };
enum train_norm { NORM_NONE, NORM_UNIT };
/* Sparsity term: sum of activations, (sum f^p)^(1/p), sum f^p. */
enum train_sparsity { SPARSITY_L1, SPARSITY_LP, SPARSITY_LPP };
/* What the step of jumprelu's L0 looks at: f, one-sided (dictionary_learning), or z (the paper). */
enum train_l0_step { L0_STEP_F, L0_STEP_Z };
/* How the losses of a matryoshka's prefixes add up: their mean, or that over their number again. */
enum train_prefix_loss { PREFIX_MEAN, PREFIX_PUBLISHED };
enum train_normalizer { NORMALIZER_SUM, NORMALIZER_MEAN, NORMALIZER_LATENT };

/* Controls (Korznikov et al. 2026, arXiv 2602.14111): a matrix that stays as it was drawn, or a decoder
 * whose rows stay near. */
enum train_freeze { FREEZE_NONE, FREEZE_DECODER, FREEZE_ENCODER, FREEZE_SOFT };

extern const char *const train_freeze_names[];
extern const char *const train_orth_names[];
extern const char *const train_norm_names[];
extern const char *const train_normalizer_names[];
extern const char *const train_prefix_loss_names[];
extern const char *const train_sparsity_names[];
extern const char *const train_l0_step_names[];

/* "Not given": the value is then chosen by settings_resolve. */
#define SETTINGS_UNSET UINT64_MAX
/* The largest number that a count may be given as: SETTINGS_UNSET cannot be typed, and sums and
 * products of counts and sizes stay below 2^64. */
#define SETTINGS_MOST 1e15

struct settings {
    int arch; /* TRAIN_TOPK ... */
    uint64_t k, k_start, k_anneal, m, batch, tokens, steps;
    double lr, l1;
    uint64_t warmup, decay_start, sparsity_warmup, seed;
    int normalize;
    struct sae_reals groups; /* matryoshka: fractions of m, inner first */
    int prefix_loss;
    uint64_t cut_start; /* batchtopk, matryoshka: step after which the threshold is averaged */
    double cut_momentum;
    double target_l0, l0_penalty, bandwidth; /* jumprelu */
    int l0_step;
    int sparsity; /* standard, gated; the others: of lp and lp^p */
    double p_start, p_end;
    uint64_t p_updates, anneal_start, anneal_end;
    uint64_t resample_every; /* standard; 0: never */
    double auxk_alpha;
    uint64_t dead_after;
    int freeze;
    double freeze_cos; /* soft: least cosine of a decoder row to its start */
    int orth;
    double lambda2_max, gamma, base_threshold;
    uint64_t ortsae_chunk, ortsae_every;
    int threshold_schedule;
    double threshold_momentum, threshold_floor;
    int overlap;
    uint64_t overlap_window;
    int competition;
    double sharpness, min_count;
    int orth_normalizer;
    uint64_t log_every, heldout_rows, save_every, pairs;
    double save_minutes;   /* between saves of state.h5; 0: never by time */
    bool full_checkpoints; /* with the optimiser's moments */
    struct sae_reals checkpoints; /* percent of the steps, ascending after resolving */
};

/* Replaces what is unset by its rule for a store of n_rows rows of width d, and checks the
 * whole: ranges, and settings that contradict the store or each other.
 * Fails: SAE_EARG (the message names the option) */
SAE_MUST_CHECK enum sae_status settings_resolve(struct settings *set, size_t n_rows, size_t d,
                                                struct sae_err *err);

/* The lists become copies of their own; settings_clear frees them. On failure nothing is held. */
SAE_MUST_CHECK enum sae_status settings_own_lists(struct settings *set, struct sae_err *err);
void settings_clear(struct settings *set);

static inline const struct train_arch *settings_arch(const struct settings *set)
{
    return train_archs[set->arch];
}

static inline bool settings_has_k(const struct settings *set)
{
    return settings_arch(set)->keeps != TRAIN_KEEPS_ALL;
}

/* Selects over the whole batch, and is used with an averaged threshold. */
static inline bool settings_has_cut(const struct settings *set)
{
    return settings_arch(set)->keeps == TRAIN_KEEPS_BATCH;
}

/* Whether competing pairs are pushed apart, by the masks of a batch. */
static inline bool settings_competes(const struct settings *set)
{
    return set->orth == ORTH_STATIC || set->orth == ORTH_PROGRESSIVE;
}

static inline bool settings_has_l1(const struct settings *set)
{
    const enum train_penalty penalty = settings_arch(set)->penalty;
    return penalty == TRAIN_PENALTY_L1 || penalty == TRAIN_PENALTY_GATE;
}

/* Whether the sparsity term has an exponent that falls. */
static inline bool settings_has_lp(const struct settings *set)
{
    return settings_has_l1(set) && set->sparsity != SPARSITY_L1;
}

/* Latents of group i of a matryoshka. */
static inline size_t settings_group_size(const struct settings *set, size_t i)
{
    size_t rest = (size_t)set->m;
    for (size_t g = 0; g + 1 < set->groups.n; g++) {
        const size_t size = (size_t)(set->groups.v[g] * (double)set->m);
        if (g == i)
            return size;
        rest -= size;
    }
    return rest;
}

enum sae_arch settings_model_arch(const struct settings *set);

#endif /* SAE_TRAIN_SETTINGS_H */
