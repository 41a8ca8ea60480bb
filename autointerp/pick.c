/* SPDX-License-Identifier: MIT */
/* pick : the excerpts that stand for a latent, and the latents that have enough of them.
 *
 * Contents:  1. windows   2. strongest   3. weighted   4. a latent   5. which latents */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autointerp/autointerp.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"

/* --- 1. windows ------------------------------------------------------------------------------ */

/* Whether a window around `at` stays inside its context. */
static bool is_centre(const struct autointerp_corpus *corpus, uint32_t at)
{
    const size_t position = at % corpus->T;
    return position >= AUTOINTERP_BUFFER && position + AUTOINTERP_BUFFER < corpus->T;
}

/* First entry at or after `at`. */
static size_t lower_bound(const struct autointerp_latent *latent, uint32_t at)
{
    size_t low = 0, high = latent->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (latent->entry[mid].at < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct autointerp_window window_at(const struct autointerp_latent *latent, uint32_t centre)
{
    struct autointerp_window w = {.first = centre - AUTOINTERP_BUFFER};
    for (size_t e = lower_bound(latent, w.first);
         e < latent->n && latent->entry[e].at < w.first + AUTOINTERP_WINDOW; e++) {
        w.value[latent->entry[e].at - w.first] = latent->entry[e].value;
        if (latent->entry[e].value > w.max)
            w.max = latent->entry[e].value;
    }
    return w;
}

static void mark_active(struct autointerp_window *w, double threshold)
{
    for (size_t i = 0; i < AUTOINTERP_WINDOW; i++) {
        w->active[i] = (double)w->value[i] > threshold;
        w->fires |= w->active[i];
    }
}

/* --- 2. strongest ---------------------------------------------------------------------------- */

static int by_strength(const void *a, const void *b)
{
    const struct autointerp_entry *const x = a, *const y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

static bool overlaps(const struct autointerp_corpus *corpus, uint32_t a, uint32_t b)
{
    const uint32_t apart = a > b ? a - b : b - a;
    return a / corpus->T == b / corpus->T && apart <= AUTOINTERP_BUFFER;
}

/* Centres of the strongest entries, none within a buffer of a stronger one of its context.
 * sorted: entries by strength. Returns how many there are. */
static size_t strongest(struct autointerp_entry to[AUTOINTERP_TOP],
                        const struct autointerp_entry *sorted, size_t n,
                        const struct autointerp_corpus *corpus)
{
    size_t found = 0;
    for (size_t e = 0; e < n && found < AUTOINTERP_TOP; e++) {
        bool taken = !is_centre(corpus, sorted[e].at);
        for (size_t i = 0; i < found && !taken; i++)
            taken = overlaps(corpus, to[i].at, sorted[e].at);
        if (!taken)
            to[found++] = sorted[e];
    }
    return found;
}

/* --- 3. weighted ----------------------------------------------------------------------------- */

/* Draws centres without replacement among the entries weaker than `below`, with probability
 * proportional to the square of the activation. left: scratch [n]. Returns how many were found. */
static size_t weighted(struct autointerp_entry to[AUTOINTERP_WEIGHTED],
                       const struct autointerp_latent *latent,
                       const struct autointerp_corpus *corpus, float below,
                       struct autointerp_entry *left, struct sae_rng *rng)
{
    size_t n = 0, found = 0;
    for (size_t e = 0; e < latent->n; e++)
        if (latent->entry[e].value < below && is_centre(corpus, latent->entry[e].at))
            left[n++] = latent->entry[e];
    if (n < AUTOINTERP_WEIGHTED)
        return n;
    for (; found < AUTOINTERP_WEIGHTED; found++) {
        double total = 0;
        for (size_t e = 0; e < n; e++)
            total += (double)left[e].value * (double)left[e].value;
        double aim = sae_rng_uniform(rng) * total;
        size_t e = 0;
        for (; e + 1 < n; e++) {
            aim -= (double)left[e].value * (double)left[e].value;
            if (aim < 0)
                break;
        }
        to[found] = left[e];
        memmove(left + e, left + e + 1, (n - e - 1) * sizeof *left);
        n--;
    }
    return found;
}

/* --- 4. a latent ----------------------------------------------------------------------------- */

static void shuffle(struct autointerp_window *w, size_t n, struct sae_rng *rng)
{
    for (size_t i = n; i > 1; i--) {
        const size_t j = (size_t)sae_rng_below(rng, i);
        const struct autointerp_window swapped = w[i - 1];
        w[i - 1] = w[j];
        w[j] = swapped;
    }
}

static int by_max(const void *a, const void *b)
{
    const struct autointerp_window *const x = a, *const y = b;
    if (x->max != y->max)
        return x->max < y->max ? 1 : -1;
    return (x->first > y->first) - (x->first < y->first);
}

/* Excerpts of each kind in random order, dealt out to the two prompts. */
static void deal(struct autointerp_pick *pick, struct autointerp_window top[AUTOINTERP_TOP],
                 struct autointerp_window drawn[AUTOINTERP_WEIGHTED],
                 const struct autointerp_window random[AUTOINTERP_RANDOM], struct sae_rng *rng)
{
    size_t n_explain = 0, n_score = 0;
    shuffle(top, AUTOINTERP_TOP, rng);
    shuffle(drawn, AUTOINTERP_WEIGHTED, rng);
    for (size_t i = 0; i < AUTOINTERP_TOP; i++)
        if (i < AUTOINTERP_TOP_EXPLAIN)
            pick->explain[n_explain++] = top[i];
        else
            pick->score[n_score++] = top[i];
    for (size_t i = 0; i < AUTOINTERP_WEIGHTED; i++)
        if (i < AUTOINTERP_WEIGHTED_EXPLAIN)
            pick->explain[n_explain++] = drawn[i];
        else
            pick->score[n_score++] = drawn[i];
    for (size_t i = 0; i < AUTOINTERP_RANDOM; i++)
        pick->score[n_score++] = random[i];
    qsort(pick->explain, n_explain, sizeof *pick->explain, by_max);
    shuffle(pick->score, n_score, rng);
}

enum sae_status autointerp_pick_make(struct autointerp_pick *ret, bool *ret_usable,
                                     const struct autointerp_latent *latent,
                                     const struct autointerp_corpus *corpus, uint64_t seed,
                                     struct sae_err *err)
{
    struct autointerp_pick pick = {.latent = latent->index, .n_active = latent->n};
    struct autointerp_entry *scratch = NULL, top_at[AUTOINTERP_TOP], drawn_at[AUTOINTERP_WEIGHTED];
    struct autointerp_window top[AUTOINTERP_TOP], drawn[AUTOINTERP_WEIGHTED],
        random[AUTOINTERP_RANDOM];
    /* a stretch of the stream for each latent, so that no draw depends on other latents */
    struct sae_rng rng = sae_rng_make(seed, SAE_RNG_AUTOINTERP);
    rng.counter = ((uint64_t)latent->index + 1) << 32;
    SAE_TRY(sae_mem_alloc(&scratch, latent->n, sizeof *scratch, err));
    if (latent->n > 0)
        memcpy(scratch, latent->entry, latent->n * sizeof *scratch);
    qsort(scratch, latent->n, sizeof *scratch, by_strength);
    bool usable = strongest(top_at, scratch, latent->n, corpus) == AUTOINTERP_TOP;
    if (usable)
        usable = weighted(drawn_at, latent, corpus, top_at[AUTOINTERP_TOP - 1].value, scratch, &rng) ==
                 AUTOINTERP_WEIGHTED;
    free(scratch);
    *ret_usable = usable;
    if (!usable)
        return SAE_OK;
    float max = 0;
    for (size_t i = 0; i < AUTOINTERP_TOP; i++) {
        top[i] = window_at(latent, top_at[i].at);
        max = top[i].max > max ? top[i].max : max;
    }
    pick.threshold = AUTOINTERP_ACTIVE_SHARE * (double)max;
    for (size_t i = 0; i < AUTOINTERP_WEIGHTED; i++)
        drawn[i] = window_at(latent, drawn_at[i].at);
    for (size_t i = 0; i < AUTOINTERP_RANDOM; i++) {
        const uint64_t context = sae_rng_below(&rng, corpus->n_contexts);
        const uint64_t column = sae_rng_below(&rng, corpus->T - 2 * AUTOINTERP_BUFFER);
        random[i] = window_at(latent, (uint32_t)(context * corpus->T + AUTOINTERP_BUFFER + column));
        random[i].random = true;
    }
    deal(&pick, top, drawn, random, &rng);
    for (size_t i = 0; i < AUTOINTERP_EXPLAIN; i++)
        mark_active(&pick.explain[i], pick.threshold);
    for (size_t i = 0; i < AUTOINTERP_SCORE; i++)
        mark_active(&pick.score[i], pick.threshold);
    *ret = pick;
    return SAE_OK;
}

/* --- 5. which latents ------------------------------------------------------------------------ */

static int by_latent(const void *a, const void *b)
{
    const struct autointerp_pick *const x = a, *const y = b;
    return (x->latent > y->latent) - (x->latent < y->latent);
}

/* Takes those of the scanned latents that will do, until n are found. */
static enum sae_status take(struct autointerp_pick *picks, size_t *n_found, size_t n,
                            struct autointerp_census *census,
                            const struct autointerp_latent *latents, size_t n_latents,
                            uint64_t min_active, uint64_t seed,
                            const struct autointerp_corpus *corpus, struct sae_err *err)
{
    for (size_t i = 0; i < n_latents && *n_found < n; i++) {
        bool usable = false;
        census->n_looked_at++;
        if (latents[i].n <= min_active) {
            census->n_rare++;
            continue;
        }
        SAE_TRY(autointerp_pick_make(&picks[*n_found], &usable, &latents[i], corpus, seed, err));
        if (usable)
            ++*n_found;
        else
            census->n_clustered++;
    }
    return SAE_OK;
}

/* One pass over the corpus for order[0 .. n_order). */
static enum sae_status try_some(struct autointerp_pick *picks, size_t *n_found, size_t n,
                                struct autointerp_census *census, const uint32_t *order,
                                size_t n_order, uint64_t min_active, uint64_t seed,
                                const struct autointerp_corpus *corpus, struct sae_acts *acts,
                                const struct sae_model *model, const struct sae_ops *ops,
                                size_t batch, struct sae_err *err)
{
    struct autointerp_latent *latents = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&latents, n_order, sizeof *latents, err));
    for (size_t i = 0; i < n_order; i++)
        latents[i].index = order[i];
    SAE_GO(st, autointerp_scan(latents, n_order, corpus, acts, model, ops, batch, err));
    SAE_GO(st, take(picks, n_found, n, census, latents, n_order, min_active, seed, corpus, err));
done:
    for (size_t i = 0; i < n_order; i++)
        free(latents[i].entry);
    free(latents);
    return st;
}

enum sae_status autointerp_choose(struct autointerp_pick **ret, size_t *ret_n,
                                  struct autointerp_census *census, size_t n, uint64_t min_active,
                                  uint64_t seed, const struct autointerp_corpus *corpus,
                                  struct sae_acts *acts, const struct sae_model *model,
                                  const struct sae_ops *ops, size_t batch, struct sae_err *err)
{
    const size_t m = model->m, wanted = n < m ? n : m;
    uint32_t *order = NULL;
    struct autointerp_pick *picks = NULL;
    size_t n_found = 0;
    enum sae_status st;
    *census = (struct autointerp_census){0};
    SAE_GO(st, sae_mem_alloc(&order, m, sizeof *order, err));
    SAE_GO(st, sae_mem_alloc(&picks, wanted, sizeof *picks, err));
    for (size_t i = 0; i < m; i++)
        order[i] = (uint32_t)i;
    struct sae_rng rng = sae_rng_make(seed, SAE_RNG_AUTOINTERP);
    sae_rng_shuffle_u32(&rng, order, m);
    /* Entries of all latents may not fit in memory: those of twice as many as wanted are kept, and
     * where too many of these are silent the text is passed over again for the next ones. */
    for (size_t from = 0, some = 2 * wanted + 16; from < m && n_found < wanted; from += some) {
        const size_t left = m - from;
        SAE_GO(st,
               try_some(picks, &n_found, wanted, census, order + from, left < some ? left : some,
                        min_active, seed, corpus, acts, model, ops, batch, err));
    }
    qsort(picks, n_found, sizeof *picks, by_latent);
    *ret = picks;
    *ret_n = n_found;
    picks = NULL;
done:
    free(order);
    free(picks);
    return st;
}
