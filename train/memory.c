/* SPDX-License-Identifier: MIT */
/* memory : how much a run takes. Planning only: nothing is refused by it. */
#include <math.h>

#include "train/run.h"

enum { BLOCK = 256, WINDOW_ROWS = 65536 };

/* Competing pairs that are listed at a time: where latents fire k to a token, at most as many as meet
 * in a batch, and no more than a share of all that was seen at d 2304, m 16384 and k 160 to 320. Other
 * architectures list none while they are dense, and come to such numbers on their way down. */
static double pairs_planned(const struct settings *set)
{
    const double all = (double)set->m * (double)set->m / 16,
                 k = (double)(set->k > set->k_start ? set->k : set->k_start);
    const double meet = (double)set->batch * k * k / 2;
    return settings_has_k(set) && meet < all ? meet : all;
}

/* The large arrays of a step (state.c, arch/), and the model that
 * a checkpoint being read holds besides. A tenth is added for what is small. docs/math-training.md
 * holds it against what runs take. */
double run_memory(const struct settings *set, size_t d)
{
    enum { PAIR_BYTES = 42 }; /* both ways round, and the lists they are joined from */
    const double m = (double)set->m, n = (double)set->batch, w = (double)d;
    const double k = settings_has_k(set) ? (double)(set->k > set->k_start ? set->k : set->k_start)
                                         : 64;
    const double ring = set->overlap_window > 1 ? 3 * (double)set->overlap_window : 1;
    double floats = 4 * (2 * m * w + 3 * m) + 3 * n * w; /* weights, moments, gradient */
    floats += 6 * (ring + 1) * n * k; /* masks, both ways round; those of followed pairs too */
    if (settings_arch(set)->keeps != TRAIN_KEEPS_TOKEN)
        floats += n * m; /* topk has its room in the gradient */
    if (set->orth != ORTH_NONE)
        floats += m * w; /* gradient for the monitors */
    if (set->freeze == FREEZE_SOFT)
        floats += m * w; /* the decoder's start */
    if (settings_arch(set)->prefixes)
        floats += (double)set->groups.n * n * w + 6 * n * k; /* every prefix; masks by group */
    if (set->orth == ORTH_ORTSAE)
        floats += (m < (double)set->ortsae_chunk ? m : (double)set->ortsae_chunk) * (w + 128);
    if (settings_has_k(set)) {
        if (set->auxk_alpha > 0)
            floats += m * w / 4 + n * m / 8 + n * w; /* an eighth of the latents dead */
    } else {
        floats += 5 * BLOCK * m + 2 * n * w; /* dense gradients; gate */
    }
    return 1.1 * 4 * floats + PAIR_BYTES * pairs_planned(set);
}

/* Lists that grow, gradients of dense products, and what operations take for themselves. */
double run_later_bytes(const struct settings *set, const struct sae_ops *ops, size_t d)
{
    const double m = (double)set->m, n = (double)set->batch, w = (double)d;
    const double k = (double)(set->k > set->k_start ? set->k : set->k_start);
    double bytes = ops->step_bytes((size_t)set->batch, (size_t)set->m, d, set->orth != ORTH_NONE,
                                   set->overlap_window > 1);
    bytes += 4 * (2 * n * m + n * w + (set->orth != ORTH_NONE ? m * w : 0)); /* dense products, ... */
    if (settings_has_k(set))
        bytes += 8 * n * (k + (set->auxk_alpha > 0 ? fmin(w / 2, m) : 0));
    else if (settings_competes(set))
        bytes += 16 * n * m / 2; /* an untrained dictionary is half active */
    return bytes;
}

double feed_memory(const struct settings *set, size_t n_rows, size_t d)
{
    const double n_train = (double)n_rows - (double)set->heldout_rows;
    const double window = n_train < WINDOW_ROWS ? n_train : WINDOW_ROWS;
    return (double)d *
           (2 * window + 4 * (3 * (double)set->batch + (double)set->heldout_rows));
}
