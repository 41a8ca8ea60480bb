/* SPDX-License-Identifier: MIT */
/* plan : see the header. Cosines of all pairs are formed four times: of the encoder, of the decoder, of
 * the latents that fire often enough, and of the decoder again to find the closest. */
#include "analyze/plan.h"

#include <math.h>
#include <stdlib.h>

#include "analyze/spectrum.h"
#include "analyze/tally.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/eval/cost.h"

enum { GRAPH_ROWS = 256, A_LATENT = 40 /* bytes of its counts */ };
/* Sums of overlaps in 16 parts, bin by bin; cosines of pairs while they are counted. */
#define TALLIES                                                                                    \
    (16.0 * 8 *                                                                                    \
         ((SAE_OVERLAP_N + 2.0) * ANALYZE_UNIT_BINS + 2.0 * (ANALYZE_N_COS * ANALYZE_N_OVERLAP)) + \
     3e6)

/* Latents that fire on enough held-out tokens; all, where the masks are yet to be made. */
static enum sae_status count_latents(double *ret, const struct sae_ckpt *ckpt,
                                     const struct analyze_settings *s, struct sae_err *err)
{
    const struct sae_masks *const masks = &ckpt->heldout;
    uint32_t *fired = NULL;
    *ret = s->weights_only ? 0 : (double)ckpt->model.m;
    if (s->weights_only || s->measures_masks || masks->n_rows == 0)
        return SAE_OK;
    SAE_TRY(sae_mem_alloc(&fired, ckpt->model.m, sizeof *fired, err));
    for (uint64_t e = 0; e < masks->start[masks->n_rows]; e++)
        fired[masks->idx[e]]++;
    *ret = 0;
    for (size_t i = 0; i < ckpt->model.m; i++)
        *ret += fired[i] >= s->floor;
    free(fired);
    return SAE_OK;
}

static enum sae_status measure(double *pairs, double *spectrum, const struct sae_model *model,
                               const struct sae_ops *ops, struct sae_err *err)
{
    double *eig = NULL;
    SAE_TRY(sae_cost_pairs(pairs, model, ops, err));
    SAE_TRY(sae_mem_alloc(&eig, model->d, sizeof *eig, err));
    const double from = sae_stop_clock();
    const enum sae_status st =
        analyze_spectrum_eigenvalues(ops, model->m, model->d, model->W_dec, eig, err);
    *spectrum = sae_stop_clock() - from;
    free(eig);
    return st;
}

enum sae_status analyze_plan(struct sae_plan *plan, const struct sae_ckpt *ckpt,
                             const struct sae_ops *ops, const struct analyze_settings *settings,
                             struct sae_err *err)
{
    const struct sae_model *const model = &ckpt->model;
    const double m = (double)model->m, d = (double)model->d, rows = 4 * m * d;
    double latents, pairs = NAN, spectrum = NAN;
    SAE_TRY(count_latents(&latents, ckpt, settings, err));
    if (plan->is_asked) {
        SAE_TRY(measure(&pairs, &spectrum, model, ops, err));
        sae_plan_hold(plan);
    }
    const double of_all = sae_cost_pairs_flops(model), share = latents / m * latents / m;
    const struct sae_plan_stage cosines = {
        .unit = "pairs", .n = m * m, .seconds = 2 * pairs, .flops = 2 * of_all};
    const struct sae_plan_stage gram = {.unit = "latents",
                                        .n = m,
                                        .seconds = spectrum,
                                        .flops = m * d * d + 4.0 / 3 * d * d * d,
                                        .bytes = 8 * d * d};
    const struct sae_plan_stage overlaps = {.unit = "pairs",
                                            .n = m * m * share,
                                            .seconds = pairs * share,
                                            .flops = of_all * share,
                                            .bytes = rows + 4 * latents * d + TALLIES};
    const struct sae_plan_stage close = {.unit = "pairs",
                                         .n = m * m,
                                         .seconds = pairs,
                                         .flops = of_all,
                                         .bytes = rows + 8 * GRAPH_ROWS * m};
    sae_plan_memory(plan, rows, "decoder rows of unit length");
    sae_plan_memory(plan, A_LATENT * m, "counts of latents");
    sae_plan_stage(plan, &cosines, "cosines of all pairs, encoder and decoder");
    sae_plan_stage(plan, &gram, "eigenvalues of the Gram matrix");
    if (latents > 0)
        sae_plan_stage(plan, &overlaps, "overlaps, and cosines of latents that fire enough");
    sae_plan_stage(plan, &close, "closest pairs");
    sae_plan_disk(plan, 3e5, "result and charts");
    return SAE_OK;
}
