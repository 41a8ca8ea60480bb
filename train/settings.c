/* SPDX-License-Identifier: MIT */
/* settings : defaults that follow rules, and what cannot be trained. */
#include "train/settings.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"

const char *const train_freeze_names[] = {"none", "decoder", "encoder", "soft", NULL};
const char *const train_orth_names[] = {"none", "static", "progressive", "ortsae", NULL};
const char *const train_norm_names[] = {"none", "unit", NULL};
const char *const train_normalizer_names[] = {"sum", "mean", "latent", NULL};
const char *const train_prefix_loss_names[] = {"mean", "published", NULL};
const char *const train_sparsity_names[] = {"l1", "lp", "lp^p", NULL};
const char *const train_l0_step_names[] = {"f", "z", NULL};

enum sae_arch settings_model_arch(const struct settings *set)
{
    enum sae_arch ret = SAE_ARCH_STANDARD;
    (void)sae_arch_parse(settings_arch(set)->model, &ret); /* true of every row: test_settings.c */
    return ret;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How the store is divided and how long the run is. */
static enum sae_status resolve_length(struct settings *set, size_t n_rows, struct sae_err *err)
{
    if (set->batch == 0)
        return sae_err_set(err, SAE_EARG, "--batch 0: must be at least 1");
    if (set->heldout_rows == SETTINGS_UNSET) {
        const uint64_t share = least(8192, n_rows / 10);
        set->heldout_rows = share > set->batch ? share : set->batch;
        /* A store of a few batches gives a tenth: training needs the rows more. */
        if (set->heldout_rows + set->batch > n_rows && n_rows / 10 > 0)
            set->heldout_rows = n_rows / 10;
    }
    if (set->heldout_rows == 0)
        return sae_err_set(err, SAE_EARG, "--heldout-rows 0: must be at least 1");
    if (set->heldout_rows >= n_rows || n_rows - set->heldout_rows < set->batch)
        return sae_err_set(err, SAE_EARG,
                           "the store has %zu rows, of which %" PRIu64 " are held out; training "
                           "needs at least one batch of %" PRIu64 "; give a smaller --batch or "
                           "--heldout-rows, or harvest more",
                           n_rows, set->heldout_rows, set->batch);
    const uint64_t n_train = n_rows - set->heldout_rows;
    if (set->steps == SETTINGS_UNSET) {
        if (set->tokens == SETTINGS_UNSET)
            set->tokens = n_train;
        if (set->tokens < set->batch)
            return sae_err_set(err, SAE_EARG,
                               "--tokens %" PRIu64 ": less than one batch of %" PRIu64, set->tokens,
                               set->batch);
        set->steps = set->tokens / set->batch;
    }
    if (set->steps == 0 || set->steps > UINT64_MAX / 2 / set->batch)
        return sae_err_set(err, SAE_EARG, "--steps %" PRIu64 ": must be at least 1 and countable",
                           set->steps);
    set->tokens = set->steps * set->batch;
    if (set->log_every == SETTINGS_UNSET) /* a point takes as long as one or two steps */
        set->log_every = set->steps > 1000 ? set->steps / 100 : 10;
    return SAE_OK;
}

static double default_lr(const struct settings *set)
{
    const struct train_arch *const arch = settings_arch(set);
    return arch->lr_by_width ? arch->lr / sqrt((double)set->m / 16384) : arch->lr;
}

static enum sae_status resolve_rates(struct settings *set, struct sae_err *err)
{
    const uint64_t steps = set->steps;
    if (isnan(set->lr))
        set->lr = default_lr(set);
    if (!(set->lr > 0))
        return sae_err_set(err, SAE_EARG, "--lr %g: must be more than 0", set->lr);
    if (set->warmup == SETTINGS_UNSET)
        set->warmup = steps >= 2000 ? 1000 : steps / 10;
    if (set->decay_start == SETTINGS_UNSET)
        set->decay_start = steps;
    if (!settings_arch(set)->sparsity_warmup)
        set->sparsity_warmup = 0;
    else if (set->sparsity_warmup == SETTINGS_UNSET)
        set->sparsity_warmup = steps >= 4000 ? 2000 : steps / 5;
    if (set->dead_after == SETTINGS_UNSET) {
        set->dead_after = least(10000000, set->tokens / 10);
        if (set->dead_after == 0)
            set->dead_after = 1;
    }
    if (set->warmup >= steps && set->warmup > 0)
        return sae_err_set(err, SAE_EARG,
                           "--warmup %" PRIu64 ": the run has %" PRIu64 " steps; "
                           "it must be less",
                           set->warmup, steps);
    if (set->decay_start < steps && set->decay_start <= set->warmup)
        return sae_err_set(err, SAE_EARG,
                           "--decay-start %" PRIu64 ": must come after the warm-up "
                           "of %" PRIu64 " steps",
                           set->decay_start, set->warmup);
    if (set->decay_start < steps && set->decay_start <= set->sparsity_warmup)
        return sae_err_set(err, SAE_EARG,
                           "--decay-start %" PRIu64 ": must come after the sparsity "
                           "warm-up of %" PRIu64 " steps",
                           set->decay_start, set->sparsity_warmup);
    return SAE_OK;
}

/* A long run averages over 1000 steps from step 1000 on; a short one over a twentieth of itself, or
 * the average would still remember the first steps. */
static enum sae_status resolve_cut(struct settings *set, struct sae_err *err)
{
    if (set->cut_start == SETTINGS_UNSET)
        set->cut_start = set->steps >= 2000 ? 1000 : set->steps / 10;
    if (isnan(set->cut_momentum))
        set->cut_momentum = set->steps >= 20000 ? 0.999 : fmax(0, 1 - 20.0 / (double)set->steps);
    if (!(set->cut_momentum >= 0 && set->cut_momentum < 1))
        return sae_err_set(err, SAE_EARG, "--cut-momentum %g: must be in [0, 1)",
                           set->cut_momentum);
    if (settings_has_cut(set) && set->cut_start >= set->steps - 1 && set->steps > 1)
        return sae_err_set(err, SAE_EARG,
                           "--cut-start %" PRIu64 ": the run has %" PRIu64 " steps; it must be "
                           "less than the last, or there is no threshold to use",
                           set->cut_start, set->steps);
    return SAE_OK;
}

static enum sae_status check_groups(const struct settings *set, struct sae_err *err)
{
    double sum = 0;
    if (!settings_arch(set)->prefixes)
        return SAE_OK;
    if (set->groups.n == 0)
        return sae_err_set(err, SAE_EARG, "--groups: name at least one fraction of the latents");
    for (size_t i = 0; i < set->groups.n; i++) {
        const double v = set->groups.v[i];
        if (!(v > 0 && v <= 1))
            return sae_err_set(err, SAE_EARG, "--groups %g: each must be more than 0, at most 1", v);
        sum += v;
        if (v * (double)set->m < 1)
            return sae_err_set(err, SAE_EARG,
                               "--groups %g: less than one of the %" PRIu64 " latents (--m)", v,
                               set->m);
    }
    if (fabs(sum - 1) > 1e-6)
        return sae_err_set(err, SAE_EARG, "--groups: the fractions add up to %g, not to 1", sum);
    return SAE_OK;
}

static enum sae_status check_jump(const struct settings *set, struct sae_err *err)
{
    if (settings_arch(set)->penalty != TRAIN_PENALTY_L0)
        return SAE_OK;
    if (!(set->target_l0 > 0 && set->target_l0 <= (double)set->m))
        return sae_err_set(err, SAE_EARG,
                           "--target-l0 %g: must be more than 0 and at most the dictionary width "
                           "(--m %" PRIu64 ")",
                           set->target_l0, set->m);
    if (!(set->bandwidth > 0) || !isfinite(set->bandwidth))
        return sae_err_set(err, SAE_EARG, "--bandwidth %g: must be more than 0", set->bandwidth);
    if (!(set->l0_penalty >= 0) || !isfinite(set->l0_penalty))
        return sae_err_set(err, SAE_EARG, "--l0-penalty %g: must be 0 or more", set->l0_penalty);
    return SAE_OK;
}

static enum sae_status resolve_lp(struct settings *set, struct sae_err *err)
{
    const uint64_t steps = set->steps;
    if (set->anneal_start == SETTINGS_UNSET)
        set->anneal_start = steps >= 150000 ? 15000 : steps / 10;
    if (set->anneal_end == SETTINGS_UNSET)
        set->anneal_end = steps;
    if (!settings_has_lp(set))
        return SAE_OK;
    if (!(set->p_start > 0 && set->p_end > 0) || !isfinite(set->p_start) || !isfinite(set->p_end))
        return sae_err_set(err, SAE_EARG,
                           "--p-start %g and --p-end %g: must be more than 0 (f^0 is 1 whatever f "
                           "is)",
                           set->p_start, set->p_end);
    if (set->anneal_start >= set->anneal_end || set->anneal_end > steps)
        return sae_err_set(err, SAE_EARG,
                           "--anneal-start %" PRIu64 " and --anneal-end %" PRIu64
                           ": must be in this order, and within the run of %" PRIu64 " steps",
                           set->anneal_start, set->anneal_end, steps);
    const uint64_t span = set->anneal_end - set->anneal_start + 1;
    if (set->p_updates == 0)
        set->p_updates = span;
    if (set->p_updates > span)
        return sae_err_set(err, SAE_EARG,
                           "--p-updates %" PRIu64 ": there are only %" PRIu64 " steps from "
                           "--anneal-start to --anneal-end",
                           set->p_updates, span);
    return SAE_OK;
}

static enum sae_status check_resampling(const struct settings *set, struct sae_err *err)
{
    if (set->resample_every == 0)
        return SAE_OK;
    if (!settings_arch(set)->resamples)
        return sae_err_set(err, SAE_EARG, "--resample-every has a meaning with standard "
                                          "architectures only; leave it out");
    if (set->decay_start < set->steps)
        return sae_err_set(err, SAE_EARG,
                           "--decay-start and --resample-every exclude each other: the learning "
                           "rate warms up again at each resampling");
    if (set->resample_every >= set->steps)
        return sae_err_set(err, SAE_EARG,
                           "--resample-every %" PRIu64 ": the run has %" PRIu64 " steps; it must "
                           "be less",
                           set->resample_every, set->steps);
    return SAE_OK;
}

static enum sae_status resolve_orth(struct settings *set, struct sae_err *err)
{
    if (isnan(set->lambda2_max))
        set->lambda2_max = set->orth == ORTH_ORTSAE ? 0.25 : 0.1;
    if (isnan(set->gamma))
        set->gamma = set->orth == ORTH_PROGRESSIVE ? 2 : 0;
    if (set->orth == ORTH_STATIC && set->gamma != 0)
        return sae_err_set(err, SAE_EARG,
                           "--gamma %g with --orth static: static means gamma 0; "
                           "use --orth progressive",
                           set->gamma);
    if (!(set->gamma >= 0) || !(set->lambda2_max >= 0) || !isfinite(set->lambda2_max))
        return sae_err_set(err, SAE_EARG, "--gamma and --lambda2-max must be 0 or more");
    if (set->ortsae_chunk < 2)
        return sae_err_set(err, SAE_EARG, "--ortsae-chunk %" PRIu64 ": must be at least 2",
                           set->ortsae_chunk);
    if (set->ortsae_every < 1)
        return sae_err_set(err, SAE_EARG, "--ortsae-every 0: must be at least 1");
    if (!(set->base_threshold > 0) || !(set->threshold_floor > 0))
        return sae_err_set(err, SAE_EARG,
                           "--base-threshold and --threshold-floor must be more than 0");
    if (set->threshold_floor > set->base_threshold)
        return sae_err_set(err, SAE_EARG,
                           "--threshold-floor %g is above --base-threshold %g: the threshold would "
                           "never move; lower the floor",
                           set->threshold_floor, set->base_threshold);
    if (!(set->threshold_momentum >= 0 && set->threshold_momentum < 1))
        return sae_err_set(err, SAE_EARG, "--threshold-momentum %g: must be in [0, 1)",
                           set->threshold_momentum);
    if (set->overlap_window == 0 || set->overlap_window > 10000)
        return sae_err_set(err, SAE_EARG, "--overlap-window %" PRIu64 ": must be 1 to 10000",
                           set->overlap_window);
    return SAE_OK;
}

/* What moves rows that are to stay. */
static enum sae_status check_freeze(const struct settings *set, struct sae_err *err)
{
    const char *const name = train_freeze_names[set->freeze];
    if (set->freeze == FREEZE_NONE)
        return SAE_OK;
    if (set->freeze == FREEZE_SOFT && !(set->freeze_cos > 0 && set->freeze_cos < 1))
        return sae_err_set(err, SAE_EARG,
                           "--freeze-cos %g: must be more than 0 and less than 1; a decoder that does "
                           "not move at all is --freeze decoder",
                           set->freeze_cos);
    if (set->resample_every > 0)
        return sae_err_set(err, SAE_EARG,
                           "--freeze %s and --resample-every exclude each other: a latent that starts "
                           "again gets new rows; leave one out",
                           name);
    if (set->freeze == FREEZE_DECODER && set->orth != ORTH_NONE)
        return sae_err_set(err, SAE_EARG,
                           "--freeze decoder and --orth %s exclude each other: the term moves the "
                           "decoder alone; leave one out",
                           train_orth_names[set->orth]);
    return SAE_OK;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum sae_status resolve_checkpoints(struct settings *set, struct sae_err *err)
{
    struct sae_reals *const list = &set->checkpoints;
    for (size_t i = 0; i < list->n; i++)
        if (!(list->v[i] >= 0 && list->v[i] <= 100))
            return sae_err_set(err, SAE_EARG, "--checkpoints %g: percent of the run, 0 to 100",
                               list->v[i]);
    if (list->n > 1)
        qsort(list->v, list->n, sizeof *list->v, by_value);
    for (size_t i = 1; i < list->n; i++)
        if (list->v[i] == list->v[i - 1])
            return sae_err_set(err, SAE_EARG, "--checkpoints: %g is named twice", list->v[i]);
    if (list->n == 0 || list->v[list->n - 1] != 100)
        return sae_err_set(err, SAE_EARG,
                           "--checkpoints must end with 100: the last checkpoint "
                           "holds the trained autoencoder");
    return SAE_OK;
}

enum sae_status settings_resolve(struct settings *set, size_t n_rows, size_t d, struct sae_err *err)
{
    if (set->m == SETTINGS_UNSET)
        set->m = 16 * d;
    if (set->m < 2 || set->m > UINT32_MAX / 2)
        return sae_err_set(err, SAE_EARG, "--m %" PRIu64 ": must be 2 to 2^31", set->m);
    if (isnan(set->l1))
        set->l1 = settings_arch(set)->l1;
    if (!settings_has_k(set)) {
        set->k = 0;
        set->k_start = 0;
        set->auxk_alpha = 0;
    } else if (set->k == 0 || set->k > set->m || set->k_start > set->m) {
        return sae_err_set(err, SAE_EARG,
                           "--k %" PRIu64 ": must be 1 to the dictionary width (--m "
                           "%" PRIu64 ")",
                           set->k_start > set->m ? set->k_start : set->k, set->m);
    }
    if (set->log_every == 0)
        return sae_err_set(err, SAE_EARG, "--log-every 0: must be at least 1");
    SAE_TRY(resolve_length(set, n_rows, err));
    SAE_TRY(resolve_rates(set, err));
    SAE_TRY(resolve_cut(set, err));
    SAE_TRY(check_jump(set, err));
    SAE_TRY(check_groups(set, err));
    SAE_TRY(resolve_lp(set, err));
    SAE_TRY(check_resampling(set, err));
    if (set->k_anneal == SETTINGS_UNSET || set->k_anneal == 0)
        set->k_anneal = set->steps;
    SAE_TRY(resolve_orth(set, err));
    SAE_TRY(check_freeze(set, err));
    return resolve_checkpoints(set, err);
}

static enum sae_status copy_list(struct sae_reals *list, struct sae_err *err)
{
    const struct sae_reals from = *list;
    list->v = NULL;
    SAE_TRY(sae_mem_alloc(&list->v, from.n, sizeof *list->v, err));
    for (size_t i = 0; i < from.n; i++)
        list->v[i] = from.v[i];
    return SAE_OK;
}

enum sae_status settings_own_lists(struct settings *set, struct sae_err *err)
{
    struct sae_reals *const lists[] = {&set->checkpoints, &set->groups};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (st == SAE_OK)
            st = copy_list(lists[i], err);
        else
            lists[i]->v = NULL;
    }
    if (st != SAE_OK)
        settings_clear(set);
    return st;
}

void settings_clear(struct settings *set)
{
    free(set->checkpoints.v);
    free(set->groups.v);
    set->checkpoints = set->groups = (struct sae_reals){0};
}
