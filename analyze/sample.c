/* SPDX-License-Identifier: MIT */
/* sample : similarity matrix of a fixed sample of latents. */
#include "analyze/sample.h"

#include <stdlib.h>
#include <string.h>

#include "analyze/geom.h"
#include "lib/base/mem.h"

/* Reorders latents in place: each next one is the closest to the one before. */
static void order_greedily(size_t n, uint32_t *latent, size_t d, const float *U)
{
    for (size_t at = 1; at + 1 < n; at++) {
        const float *last = U + latent[at - 1] * d;
        size_t best = at;
        float best_cos = analyze_geom_dot(d, last, U + latent[at] * d);
        for (size_t c = at + 1; c < n; c++) {
            const float cos = analyze_geom_dot(d, last, U + latent[c] * d);
            if (cos > best_cos) {
                best = c;
                best_cos = cos;
            }
        }
        const uint32_t chosen = latent[best]; /* the others keep their order */
        memmove(latent + at + 1, latent + at, (best - at) * sizeof *latent);
        latent[at] = chosen;
    }
}

void analyze_sample_clear(struct analyze_sample *sample)
{
    free(sample->latent);
    free(sample->cos);
    memset(sample, 0, sizeof *sample);
}

enum sae_status analyze_sample_make(struct analyze_sample *ret, size_t m, size_t d, const float *U,
                                    const struct analyze_usage *usage, size_t n_want,
                                    struct sae_err *err)
{
    enum sae_status st;
    struct analyze_sample sample = {0};
    if (n_want > m)
        n_want = m;
    SAE_GO(st, sae_mem_alloc(&sample.latent, n_want, sizeof *sample.latent, err));
    if (usage != NULL) {
        SAE_GO(st, analyze_usage_top(usage, n_want, sample.latent, &sample.n, err));
    } else {
        for (; sample.n < n_want; sample.n++)
            sample.latent[sample.n] = (uint32_t)sample.n;
    }
    order_greedily(sample.n, sample.latent, d, U);
    SAE_GO(st, sae_mem_alloc(&sample.cos, sample.n * sample.n, sizeof *sample.cos, err));
    for (size_t r = 0; r < sample.n; r++)
        for (size_t c = 0; c < sample.n; c++)
            sample.cos[r * sample.n + c] =
                analyze_geom_dot(d, U + sample.latent[r] * d, U + sample.latent[c] * d);
    *ret = sample;
    return SAE_OK;
done:
    analyze_sample_clear(&sample);
    return st;
}
