/* SPDX-License-Identifier: MIT */
/* options : contradictions on the command line, and the record of what was chosen. */
#include "train/options.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BECAUSE = 100 };

struct check {
    const struct sae_cli *cli;
    bool drop; /* forget what has no meaning, instead of refusing it */
};

static enum sae_status refuse(const struct check *check, const char *const *names,
                              const char *because, struct sae_err *err)
{
    for (; *names; names++) {
        if (!sae_opt_given(check->cli, *names))
            continue;
        if (!check->drop)
            return sae_err_set(err, SAE_EARG, "--%s has no meaning %s; leave it out", *names,
                               because);
        SAE_TRY(sae_opt_drop(check->cli, *names, err));
    }
    return SAE_OK;
}

static enum sae_status go_through(const struct check *cli, const struct settings *set,
                                  struct sae_err *err)
{
    const char *const arch = train_arch_names[set->arch];
    char because[BECAUSE];
    static const char *const k_only[] = {"k", "k-start", "k-anneal", "auxk-alpha", NULL};
    static const char *const start_only[] = {"k-anneal", NULL};
    static const char *const lp_only[] = {"p-start",   "p-end",        "p-updates",
                                          "anneal-start", "anneal-end", NULL};
    static const char *const resample_only[] = {"resample-every", NULL};
    static const char *const l1_only[] = {"l1", "sparsity", NULL};
    static const char *const warmup_only[] = {"sparsity-warmup", NULL};
    static const char *const cut_only[] = {"cut-start", "cut-momentum", NULL};
    static const char *const groups_only[] = {"groups", "prefix-loss", NULL};
    static const char *const orth_only[] = {"lambda2-max", "gamma", NULL};
    static const char *const pairs_only[] = {"orth-normalizer", NULL};
    static const char *const ortsae_only[] = {"ortsae-chunk", "ortsae-every", NULL};
    static const char *const count_only[] = {"base-threshold", "threshold-schedule",
                                             "threshold-momentum", "overlap-window", NULL};
    static const char *const sigmoid_only[] = {"sharpness", NULL};
    static const char *const jump_only[] = {"target-l0", "l0-penalty", "bandwidth", "l0-step", NULL};
    snprintf(because, sizeof because, "with --arch %s, which has no k", arch);
    if (!settings_has_k(set))
        SAE_TRY(refuse(cli, k_only, because, err));
    snprintf(because, sizeof because, "with --arch %s, which has no L1 term", arch);
    if (!settings_has_l1(set))
        SAE_TRY(refuse(cli, l1_only, because, err));
    if (set->k_start == 0)
        SAE_TRY(refuse(cli, start_only, "without --k-start", err));
    if (!settings_has_lp(set))
        SAE_TRY(refuse(cli, lp_only, "without --sparsity lp or lp^p", err));
    if (!settings_arch(set)->resamples)
        SAE_TRY(refuse(cli, resample_only, "except with --arch standard or standard-2024", err));
    snprintf(because, sizeof because, "with --arch %s, which has no sparsity warm-up", arch);
    if (!settings_arch(set)->sparsity_warmup)
        SAE_TRY(refuse(cli, warmup_only, because, err));
    if (!settings_has_cut(set))
        SAE_TRY(refuse(cli, cut_only, "except with --arch batchtopk or matryoshka", err));
    if (!settings_arch(set)->prefixes)
        SAE_TRY(refuse(cli, groups_only, "except with --arch matryoshka", err));
    if (settings_arch(set)->penalty != TRAIN_PENALTY_L0)
        SAE_TRY(refuse(cli, jump_only, "except with --arch jumprelu", err));
    if (set->orth == ORTH_NONE)
        SAE_TRY(refuse(cli, orth_only, "without --orth", err));
    if (!settings_competes(set))
        SAE_TRY(refuse(cli, pairs_only, "without --orth static or --orth progressive", err));
    if (set->orth != ORTH_ORTSAE)
        SAE_TRY(refuse(cli, ortsae_only, "without --orth ortsae", err));
    /* Without the term these say what is counted, which is worth no run of its own. */
    if (!settings_competes(set) && cli->drop)
        SAE_TRY(refuse(cli, count_only, "", err));
    if (set->competition != SAE_COMPETE_SIGMOID)
        SAE_TRY(refuse(cli, sigmoid_only, "without --competition sigmoid", err));
    return SAE_OK;
}

enum sae_status options_check(const struct sae_cli *cli, const struct settings *set,
                              struct sae_err *err)
{
    if (sae_opt_given(cli, "tokens") && sae_opt_given(cli, "steps"))
        return sae_err_set(err, SAE_EARG,
                           "--tokens and --steps both set the length of the run; "
                           "give one of them");
    return go_through(&(struct check){cli, false}, set, err);
}

enum sae_status options_drop(const struct sae_cli *cli, struct settings *set, struct sae_err *err)
{
    SAE_TRY(go_through(&(struct check){cli, true}, set, err));
    options_unset(set);
    return sae_opt_refresh(cli, err);
}

void options_unset(struct settings *set)
{
    set->m = set->tokens = set->steps = set->warmup = set->decay_start = SETTINGS_UNSET;
    set->sparsity_warmup = set->dead_after = set->heldout_rows = set->log_every = SETTINGS_UNSET;
    set->cut_start = set->anneal_start = set->anneal_end = set->k_anneal = SETTINGS_UNSET;
    set->lr = set->gamma = set->l1 = set->cut_momentum = set->lambda2_max = NAN;
}

/* The shortest text that reads back as the same double. */
static void real_text(double v, char *to, size_t size)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(to, size, "%.*g", digits, v);
        if (strtod(to, NULL) == v)
            return;
    }
}

static int put_u64(json_t *options, const char *name, uint64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, v);
    return json_object_set_new(options, name, json_string(text));
}

static int put_real(json_t *options, const char *name, double v)
{
    char text[40];
    real_text(v, text, sizeof text);
    return json_object_set_new(options, name, json_string(text));
}

static int record_lp(json_t *options, const struct settings *set)
{
    int bad = 0;
    if (!settings_has_l1(set))
        bad |= json_object_set_new(options, "sparsity", json_null());
    if (!settings_arch(set)->resamples)
        bad |= json_object_set_new(options, "resample-every", json_null());
    if (settings_has_lp(set)) {
        bad |= put_u64(options, "p-updates", set->p_updates);
        bad |= put_u64(options, "anneal-start", set->anneal_start);
        bad |= put_u64(options, "anneal-end", set->anneal_end);
        return bad;
    }
    static const char *const none[] = {"p-start", "p-end", "p-updates"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        bad |= json_object_set_new(options, none[i], json_null());
    return bad;
}

enum sae_status options_record(json_t *record, const struct settings *set, struct sae_err *err)
{
    json_t *const options = json_object_get(record, "options");
    int bad = put_u64(options, "m", set->m);
    bad |= put_u64(options, "tokens", set->tokens);
    bad |= put_u64(options, "steps", set->steps);
    bad |= put_real(options, "lr", set->lr);
    bad |= put_u64(options, "warmup", set->warmup);
    bad |= put_u64(options, "decay-start", set->decay_start);
    bad |= put_u64(options, "dead-after", set->dead_after);
    bad |= put_u64(options, "heldout-rows", set->heldout_rows);
    bad |= put_u64(options, "log-every", set->log_every);
    if (settings_arch(set)->sparsity_warmup)
        bad |= put_u64(options, "sparsity-warmup", set->sparsity_warmup);
    if (settings_has_l1(set))
        bad |= put_real(options, "l1", set->l1);
    if (!settings_has_k(set)) {
        bad |= json_object_set_new(options, "k", json_null());
        bad |= json_object_set_new(options, "auxk-alpha", json_null());
    }
    if (settings_has_k(set) && set->k_start > 0)
        bad |= put_u64(options, "k-anneal", set->k_anneal);
    bad |= record_lp(options, set);
    if (settings_has_cut(set)) {
        bad |= put_u64(options, "cut-start", set->cut_start);
        bad |= put_real(options, "cut-momentum", set->cut_momentum);
    }
    if (!settings_arch(set)->prefixes) {
        bad |= json_object_set_new(options, "groups", json_null());
        bad |= json_object_set_new(options, "prefix-loss", json_null());
    }
    if (settings_arch(set)->penalty != TRAIN_PENALTY_L0) {
        bad |= json_object_set_new(options, "target-l0", json_null());
        bad |= json_object_set_new(options, "l0-penalty", json_null());
        bad |= json_object_set_new(options, "bandwidth", json_null());
        bad |= json_object_set_new(options, "l0-step", json_null());
    }
    if (set->orth != ORTH_NONE) {
        bad |= put_real(options, "gamma", set->gamma);
        bad |= put_real(options, "lambda2-max", set->lambda2_max);
    }
    if (set->orth != ORTH_ORTSAE) {
        bad |= json_object_set_new(options, "ortsae-chunk", json_null());
        bad |= json_object_set_new(options, "ortsae-every", json_null());
    }
    if (bad)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    return SAE_OK;
}
