/* SPDX-License-Identifier: MIT */
/* usage : how often each latent fires on the held-out tokens. */
#include "analyze/usage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

enum { BINS_A_DECADE = 10 };

static enum sae_status count_masks(uint64_t *n, size_t m, const struct sae_masks *masks,
                                   struct sae_err *err)
{
    for (size_t t = 0; t < masks->n_rows; t++) {
        if (masks->start[t + 1] < masks->start[t])
            return sae_err_set(err, SAE_EFORMAT,
                               "/heldout/start runs backwards at token %zu; the file is damaged",
                               t);
        for (uint64_t e = masks->start[t]; e < masks->start[t + 1]; e++) {
            if (masks->idx[e] >= m)
                return sae_err_set(err, SAE_EFORMAT,
                                   "/heldout/idx names latent %u, but there are %zu",
                                   (unsigned)masks->idx[e], m);
            n[masks->idx[e]]++;
        }
    }
    return SAE_OK;
}

/* Median density of the latents that fire, from counts. */
static enum sae_status find_median(struct analyze_usage *usage, struct sae_err *err)
{
    double *alive;
    size_t n = 0;
    SAE_TRY(sae_mem_alloc(&alive, usage->m, sizeof *alive, err));
    for (size_t i = 0; i < usage->m; i++)
        if (usage->n[i] > 0)
            alive[n++] = (double)usage->n[i] / (double)usage->n_tokens;
    analyze_sort(alive, n);
    usage->median_alive = analyze_sorted_quantile(alive, n, 0.5);
    free(alive);
    return SAE_OK;
}

static void summarise(struct analyze_usage *usage)
{
    const double tokens = (double)usage->n_tokens, m = (double)usage->m;
    double total = 0, entropy = 0, mass_1 = 0, mass_10 = 0;
    size_t n_1 = 0, n_10 = 0;
    for (size_t i = 0; i < usage->m; i++)
        total += (double)usage->n[i];
    for (size_t i = 0; i < usage->m; i++) {
        const double n = (double)usage->n[i], density = n / tokens;
        usage->n_dead += usage->n[i] == 0;
        n_1 += density > 0.01;
        n_10 += density > 0.1;
        mass_1 += density > 0.01 ? n : 0;
        mass_10 += density > 0.1 ? n : 0;
        if (usage->n[i] > 0) {
            entropy -= n / total * log(n / total);
            analyze_hist_add(&usage->hist, log10(density));
        }
    }
    usage->l0 = total / tokens;
    usage->frac_alive = 1 - (double)usage->n_dead / m;
    usage->over_1 = (double)n_1 / m;
    usage->over_10 = (double)n_10 / m;
    usage->mass_1 = total > 0 ? mass_1 / total : 0;
    usage->mass_10 = total > 0 ? mass_10 / total : 0;
    usage->effective = total > 0 ? exp(entropy) : 0;
}

void analyze_usage_clear(struct analyze_usage *usage)
{
    free(usage->n);
    analyze_hist_clear(&usage->hist);
    memset(usage, 0, sizeof *usage);
}

enum sae_status analyze_usage_make(struct analyze_usage *ret, size_t m,
                                   const struct sae_masks *masks, struct sae_err *err)
{
    enum sae_status st;
    struct analyze_usage usage = {.m = m, .n_tokens = masks->n_rows};
    const double decades = ceil(log10((double)masks->n_rows + 1));
    const size_t n_bins = (size_t)(decades < 1 ? 1 : decades) * BINS_A_DECADE;
    SAE_GO(st, sae_mem_alloc(&usage.n, m, sizeof *usage.n, err));
    SAE_GO(st,
           analyze_hist_init(&usage.hist, -(double)(n_bins / BINS_A_DECADE), 0, n_bins, err));
    SAE_GO(st, count_masks(usage.n, m, masks, err));
    summarise(&usage);
    SAE_GO(st, find_median(&usage, err));
    *ret = usage;
    return SAE_OK;
done:
    analyze_usage_clear(&usage);
    return st;
}

struct ranked {
    uint64_t n;
    uint32_t latent;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return (x->latent > y->latent) - (x->latent < y->latent);
}

enum sae_status analyze_usage_top(const struct analyze_usage *usage, size_t n_want, uint32_t *ret,
                                  size_t *ret_n, struct sae_err *err)
{
    struct ranked *all;
    SAE_TRY(sae_mem_alloc(&all, usage->m, sizeof *all, err));
    for (size_t i = 0; i < usage->m; i++)
        all[i] = (struct ranked){usage->n[i], (uint32_t)i};
    qsort(all, usage->m, sizeof *all, compare_ranked);
    size_t n = 0;
    for (; n < n_want && n < usage->m && all[n].n > 0; n++)
        ret[n] = all[n].latent;
    *ret_n = n;
    free(all);
    return SAE_OK;
}
