/* SPDX-License-Identifier: MIT */
/* scores : the matchings of one SAE with the others, as means, and latent by latent. */
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "match/match.h"

void match_scores_open(struct match_scores *ret, size_t m)
{
    *ret = (struct match_scores){.m = m, .alive = NAN, .final_mean = NAN, .final_share = NAN};
    for (int k = 0; k < MATCH_KINDS; k++)
        ret->random[k] = NAN;
}

void match_scores_clear(struct match_scores *scores)
{
    for (int k = 0; k < MATCH_KINDS; k++)
        free(scores->stability[k]);
    free(scores->final_cos);
    *scores = (struct match_scores){0};
}

/* Mean similarity of the latents that fired; NaN where none did. */
static enum sae_status mean_alive(double *ret, const struct sae_matching *of,
                                  const struct sae_masks *masks, struct sae_err *err)
{
    bool *fired = NULL;
    double sum = 0;
    size_t n = 0;
    SAE_TRY(sae_mem_alloc(&fired, of->n, sizeof *fired, err));
    for (uint64_t e = 0; masks->n_rows > 0 && e < masks->start[masks->n_rows]; e++)
        fired[masks->idx[e]] = true;
    for (size_t j = 0; j < of->n; j++)
        if (fired[j] && of->partner[j] != SAE_MATCH_NONE) {
            sum += (double)of->similarity[j];
            n++;
        }
    free(fired);
    *ret = n > 0 ? sum / (double)n : NAN;
    return SAE_OK;
}

enum sae_status match_scores_add(struct match_scores *scores, const struct match_pair *pair,
                                 const struct sae_masks *masks, struct sae_err *err)
{
    double alive;
    SAE_TRY(mean_alive(&alive, &pair->of[MATCH_DECODER], masks, err));
    for (int k = 0; k < MATCH_KINDS; k++) {
        const struct sae_matching *const of = &pair->of[k];
        scores->mean[k] += of->mean;
        for (int level = 0; level < 2; level++)
            scores->share[k][level] += pair->share[k][level];
        if (!of->partner)
            continue;
        if (!scores->stability[k])
            SAE_TRY(sae_mem_alloc(&scores->stability[k], scores->m, sizeof(float), err));
        for (size_t j = 0; j < scores->m; j++)
            scores->stability[k][j] += of->similarity[j];
        if (k != MATCH_FIRING)
            scores->gap = fmax(scores->gap, of->gap);
    }
    scores->alive = scores->n_others == 0 ? alive : scores->alive + alive;
    scores->agree += pair->agree;
    scores->n_others++;
    return SAE_OK;
}

void match_scores_finish(struct match_scores *scores)
{
    const double n = scores->n_others > 0 ? (double)scores->n_others : NAN; /* of none: NaN */
    for (int k = 0; k < MATCH_KINDS; k++) {
        scores->mean[k] /= n;
        for (int level = 0; level < 2; level++)
            scores->share[k][level] /= n;
        for (size_t j = 0; scores->stability[k] && j < scores->m; j++)
            scores->stability[k][j] /= (float)n;
    }
    scores->alive /= n;
    scores->agree /= n;
    if (scores->n_others == 0)
        scores->gap = NAN;
}

enum sae_status match_scores_final(struct match_scores *scores, const struct sae_model *now,
                                   const struct sae_model *last, struct sae_err *err)
{
    static const double FIXED = 0.9;
    const size_t m = now->m, d = now->d;
    double sum = 0;
    size_t n = 0;
    SAE_TRY(sae_mem_alloc(&scores->final_cos, m, sizeof(float), err));
    for (size_t j = 0; j < m; j++) {
        double ab = 0, aa = 0, bb = 0;
        for (size_t i = j * d; i < (j + 1) * d; i++) {
            ab += (double)now->W_dec[i] * (double)last->W_dec[i];
            aa += (double)now->W_dec[i] * (double)now->W_dec[i];
            bb += (double)last->W_dec[i] * (double)last->W_dec[i];
        }
        const double c = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
        scores->final_cos[j] = (float)c;
        sum += c;
        n += c >= FIXED;
    }
    scores->final_mean = sum / (double)m;
    scores->final_share = (double)n / (double)m;
    return SAE_OK;
}
